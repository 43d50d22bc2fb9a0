//! One run: open, warm up, measure, close.

use std::io::{IsTerminal, stderr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use linkgate_client::Target;
use linkgate_filter::Form;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep};

use super::open::{Link, Opening};
use super::push::{Pushes, listen};
use super::report::{Percentiles, Report, Server};
use super::server::{self, Usage};
use super::stats::Shared;
use super::upstream::{Load, Pace};
use super::way::Way;
use super::{Args, Mode, Wire};

/// The server may need so long to notice that the links are gone.
const AFTER: Duration = Duration::from_secs(2);

/// The time, the count and the cost at one moment.
struct Moment {
    at: Instant,
    /// Messages since the time for warming up was over.
    done: u64,
    usage: Option<Usage>,
}

pub(super) async fn run(args: &Args) -> Result<Report, String> {
    check_files(args)?;
    let shared = Shared::new(args.messages).map_err(|e| format!("no histogram: {e}"))?;
    let shared = Arc::new(shared);
    let opening = opening(args)?;
    let before = moment(args, &shared)?;

    let bar = bar(args.links as u64, "opening {bar:30} {pos}/{len} links");
    let links = opening.open(&shared, &bar).await;
    bar.finish_and_clear();
    let count = links.len();

    if args.warmup.is_zero() {
        shared.measure();
    }
    let mut tasks = load(args, &opening, &shared, links)?;
    let measured = if count == 0 {
        None
    } else {
        Some(measure(args, &shared, &mut tasks).await?)
    };
    shared.stop.cancel();
    if args.mode == Mode::Push {
        // The clients go on acknowledging until the pushes under way have their outcomes.
        tasks.loads.join_all().await;
        shared.hang_up.cancel();
        tasks.links.join_all().await;
    } else {
        shared.hang_up.cancel();
        tasks.links.join_all().await;
    }
    if args.server_pid.is_some() {
        sleep(AFTER).await;
    }
    let after = moment(args, &shared)?;
    Ok(report(
        args,
        &shared,
        count,
        &before,
        measured.as_ref(),
        &after,
    ))
}

fn check_files(args: &Args) -> Result<(), String> {
    let needed = args.links as u64 + 64;
    match server::open_files() {
        Some(most) if most < needed => Err(format!(
            "{} links need {needed} open files, and this process may have {most}: see ulimit -n",
            args.links
        )),
        _ => Ok(()),
    }
}

fn opening(args: &Args) -> Result<Opening, String> {
    let form = if args.form == Wire::Json {
        Form::Json
    } else {
        Form::Protobuf
    };
    Ok(Opening {
        target: Target {
            token: args.token.clone(),
            silent: args.form == Wire::Raw,
            ..args.gateway.target(form)?
        },
        links: args.links,
        users_prefix: args.users_prefix.clone(),
        per_second: args.ramp.per_second(),
        sources: args.source_addresses.clone(),
    })
}

fn moment(args: &Args, shared: &Shared) -> Result<Moment, String> {
    Ok(Moment {
        at: Instant::now(),
        done: shared.done.load(Ordering::Relaxed),
        usage: args.server_pid.map(server::usage).transpose()?,
    })
}

/// What runs.
struct Tasks {
    links: JoinSet<()>,
    /// In push mode: those who push.
    loads: JoinSet<()>,
}

fn load(
    args: &Args,
    opening: &Opening,
    shared: &Arc<Shared>,
    links: Vec<Link>,
) -> Result<Tasks, String> {
    let mut tasks = Tasks {
        links: JoinSet::new(),
        loads: JoinSet::new(),
    };
    let pace = args
        .interval(links.len())
        .map_or(Pace::Depth(args.depth), Pace::Every);
    let epoch = Instant::now();
    let mut arrivals = Arc::default();
    if args.mode == Mode::Push && !links.is_empty() {
        let most = links.len().saturating_mul(args.depth as usize).max(10_000);
        let way = Way::open(&args.push_to, args.push_token.as_deref(), most)?;
        arrivals = way.arrivals();
        let pushes = Pushes {
            shared: Arc::clone(shared),
            way,
            biz_id: args.gateway.biz.clone().unwrap_or_default(),
            users: links
                .iter()
                .map(|link| (link.number, opening.user(link.number)))
                .collect(),
            run: fastrand::u32(..),
            size: args.size.as_usize(),
            pace,
            patience: *args.patience,
            epoch,
        };
        tasks.loads.spawn(pushes.run());
    }
    let body = Bytes::from(vec![b'x'; args.size.as_usize()]);
    for link in links {
        let shared = Arc::clone(shared);
        if args.mode != Mode::Upstream {
            let arrivals = Arc::clone(&arrivals);
            tasks.links.spawn(listen(link, shared, arrivals, epoch));
            continue;
        }
        let load = Load {
            shared,
            wire: args.form,
            body: body.clone(),
            pace,
            patience: *args.patience,
            next: 0,
        };
        tasks.links.spawn(load.run(link));
    }
    Ok(tasks)
}

/// Warms up and measures.
async fn measure(
    args: &Args,
    shared: &Shared,
    tasks: &mut Tasks,
) -> Result<(Moment, Moment), String> {
    let work = if args.mode == Mode::Push {
        &mut tasks.loads
    } else {
        &mut tasks.links
    };
    // All messages are sent and answered, or no link is left; this may be so before the warm-up ends.
    let over = Box::pin(async { while work.join_next().await.is_some() {} }).shared();
    if !args.warmup.is_zero() {
        tokio::select! {
            () = sleep(*args.warmup) => {}
            () = over.clone() => {}
        }
    }
    let start = moment(args, shared)?;
    shared.measure();
    let bar = match args.messages {
        Some(messages) => bar(messages, "measuring {bar:30} {pos}/{len} messages, {msg}/s"),
        None => bar(
            args.duration.as_secs(),
            "measuring {bar:30} {pos}/{len} s, {msg}/s",
        ),
    };
    tokio::select! {
        () = sleep(*args.duration), if args.messages.is_none() || args.mode == Mode::Idle => {}
        () = over => {}
        () = show(args, shared, &start, &bar) => {}
    }
    bar.finish_and_clear();
    Ok((start, moment(args, shared)?))
}

/// Keeps the bar up to date.
async fn show(args: &Args, shared: &Shared, start: &Moment, bar: &ProgressBar) {
    let (mut tick, mut last) = (interval(Duration::from_millis(500)), 0);
    loop {
        tick.tick().await;
        let done = shared.done.load(Ordering::Relaxed);
        let position = if args.messages.is_some() {
            done
        } else {
            start.at.elapsed().as_secs()
        };
        bar.set_position(position);
        bar.set_message((2 * (done - last)).to_string());
        last = done;
    }
}

/// A bar on the standard error, or none where that is no terminal.
fn bar(length: u64, template: &str) -> ProgressBar {
    let target = if stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(Some(length), target);
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "rates are shown to a few digits"
)]
fn report(
    args: &Args,
    shared: &Shared,
    links: usize,
    before: &Moment,
    measured: Option<&(Moment, Moment)>,
    after: &Moment,
) -> Report {
    let (seconds, messages) = measured.map_or((0.0, 0), |(start, end)| {
        (end.at.duration_since(start.at).as_secs_f64(), end.done)
    });
    let server = measured.and_then(|(start, end)| {
        let (before, start, end, after) = (before.usage?, start.usage?, end.usage?, after.usage?);
        let cpu_seconds = end.cpu.saturating_sub(start.cpu).as_secs_f64();
        Some(Server {
            cpu_seconds,
            cpu_seconds_per_million: (messages > 0).then(|| cpu_seconds * 1e6 / messages as f64),
            resident_before: before.resident,
            resident: end.resident,
            resident_after: after.resident,
            resident_per_link: (end.resident as f64 - before.resident as f64) / links.max(1) as f64,
        })
    });
    Report {
        mode: args.mode.name().into(),
        links,
        seconds,
        messages,
        per_second: if seconds > 0.0 {
            messages as f64 / seconds
        } else {
            0.0
        },
        latency: Percentiles::of(&shared.latency.merged()),
        outcome_latency: Percentiles::of(&shared.outcome.merged()),
        errors: shared.errors(),
        server,
    }
}
