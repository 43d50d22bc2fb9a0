//! `linkgate quickstart`: a gateway, a chat backend and a page to chat with, in one process on this machine.

mod nodes;
mod page;
mod places;

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use linkgate_client::Pusher;
use linkgate_filter::Registry;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use self::nodes::Member;
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
    /// How many nodes work as one
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=9))]
    nodes: u8,
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
    let nodes = nodes::start(&places, args.nodes, folder.path(), registry)?;
    text::say(welcome(&places, &nodes));
    let served = tokio::select! {
        served = sample.serve(backend, std::future::pending()) => served.map_err(|e| format!("the backend failed: {e}")),
        served = page::serve(page, &nodes) => served.map_err(|e| format!("the page failed: {e}")),
        stopped = stopped() => stopped.map_err(|e| format!("cannot listen for signals: {e}")),
    };
    for member in nodes {
        member.node.stop(GRACE).await;
    }
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

fn welcome(places: &Places, nodes: &[Member]) -> String {
    let (page, backend) = (places.page, places.backend);
    let program = std::env::args().next().unwrap_or_else(|| "linkgate".into());
    let mut text = format!("Chat with yourself:   http://{page}/\n\n");
    for member in nodes {
        let Member {
            id,
            gateway,
            admin,
            push,
            config,
            ..
        } = member;
        if let Some(id) = id {
            text += &format!("node {id}\n");
        }
        text += &format!(
            "  gateway   ws://{gateway}/ws
  pushes    {push} (gRPC, token \"{TOKEN}\")
  admin     http://{admin}/metrics
  config    {} (removed at the end)
",
            config.display()
        );
    }
    text += &format!("  backend   {backend} (gRPC)\n\nTry next, in another terminal:\n\n");
    let [first, ..] = nodes else {
        return text;
    };
    let last = nodes.last().unwrap_or(first);
    let (gateway, admin, config) = (last.gateway, first.admin, first.config.display());
    text += &format!(
        "  {program} client {gateway} --biz chat --user carol
      then type   {{\"to\": \"alice\", \"text\": \"hi\"}}
"
    );
    text += &match nodes.len() {
        1 => format!(
            "  {program} validate {config}
  {program} bench {gateway} --biz chat --links 10 --rate 20/s
  cp {config} my.yaml; {program} run my.yaml      (once this has ended)
  {program} backend --chat --push-token {TOKEN}   (beside it; or your own service: proto/linkgate/v1)
"
        ),
        _ => format!(
            "  {program} nodes http://{admin}
  {program} where alice --biz chat --node http://{admin}
"
        ),
    };
    text + "\nCtrl-C ends it. What the backend receives:\n"
}
