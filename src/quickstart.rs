//! `linkgate quickstart`: a gateway, a chat backend and a page to chat with, in one process on this machine.

mod page;
mod places;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use linkgate_client::Pusher;
use linkgate_core::config;
use linkgate_core::node::Node;
use linkgate_filter::Registry;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use self::places::{Places, Ports};
use super::backend::{Behaviour, Chat, MAX_PUSHES, Mode, Sample, Watch, shown};
use super::text;

/// The configuration that is run, but for addresses that are taken.
const CONFIG: &str = include_str!("../examples/configs/quickstart.yaml");
/// The push token in [`CONFIG`].
const TOKEN: &str = "only-for-the-quickstart";
/// How long the end waits for what is unsettled.
const GRACE: Duration = Duration::from_secs(3);

/// Run a gateway, a small backend and a chat page on this machine, to see how it works.
///
/// Ends with Ctrl-C. A port that is taken is replaced by a free one, unless an option asks for it.
///
/// Exit code: 0 if it ran until the end, 1 if it could not, 2 if the command line is wrong.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Do not print what the backend receives
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    ports: Ports,
}

/// Runs until a signal comes.
pub(super) async fn run(args: Args, registry: &Registry) -> ExitCode {
    match serve(&args, registry).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            text::complain(problem);
            ExitCode::FAILURE
        }
    }
}

async fn serve(args: &Args, registry: &Registry) -> Result<(), String> {
    let places = Places::choose(&args.ports)?;
    let folder = tempfile::Builder::new().prefix("linkgate-").tempdir();
    let folder = folder.map_err(|e| format!("no folder for the configuration: {e}"))?;
    let file = folder.path().join("quickstart.yaml");
    std::fs::write(&file, places.fill(CONFIG))
        .map_err(|e| format!("cannot write {}: {e}", file.display()))?;
    let config = config::load(std::slice::from_ref(&file), registry)
        .map_err(|invalid| invalid.render(false))?;

    let backend = listen(places.backend).await?;
    let page = listen(places.page).await?;
    let pusher = Pusher::start(
        &format!("http://{}", places.push),
        Some(TOKEN),
        MAX_PUSHES,
        |_| {},
    );
    let sample = Sample {
        behaviour: Behaviour::default(),
        mode: Mode::Chat(Chat::new(pusher.map_err(|e| e.to_string())?)),
        watch: if args.quiet {
            Watch::default()
        } else {
            Watch::new(|seen| text::say(shown(&seen)))
        },
    };
    let node = Node::start(config).map_err(|e| e.to_string())?;
    text::say(welcome(&places, &file));
    let served = tokio::select! {
        served = sample.serve(backend, std::future::pending()) => served.map_err(|e| format!("the backend failed: {e}")),
        served = page::serve(page, &places) => served.map_err(|e| format!("the page failed: {e}")),
        stopped = stopped() => stopped.map_err(|e| format!("cannot listen for signals: {e}")),
    };
    node.stop(GRACE).await;
    served
}

async fn listen(address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address)
        .await
        .map_err(|e| format!("cannot listen on {address}: {e}"))
}

async fn stopped() -> io::Result<()> {
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
    Ok(())
}

fn welcome(places: &Places, config: &Path) -> String {
    let Places {
        gateway,
        admin,
        push,
        backend,
        page,
    } = places;
    let program = std::env::args().next().unwrap_or_else(|| "linkgate".into());
    let config = config.display();
    format!(
        "\
Chat with yourself:   http://{page}/

  gateway   ws://{gateway}/ws
  backend   {backend} (gRPC)
  pushes    {push} (gRPC, token \"{TOKEN}\")
  admin     http://{admin}/metrics
  config    {config} (removed at the end)

Try next, in another terminal:

  {program} client {gateway} --biz chat --user carol
      then type   {{\"to\": \"alice\", \"text\": \"hi\"}}
  {program} validate {config}
  {program} bench {gateway} --biz chat --links 10 --rate 20/s
  cp {config} my.yaml; {program} run my.yaml      (once this has ended)
  {program} backend --chat --push-token {TOKEN}   (beside it; or your own service: proto/linkgate/v1)

Ctrl-C ends it. What the backend receives:
"
    )
}
