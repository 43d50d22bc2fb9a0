//! `linkgate rollback`: what was pushed before becomes what nodes run.

use std::process::ExitCode;

use super::{etcd, somebody, told};
use crate::text;

/// Go back to what was pushed before, as a new generation. The last 10 are kept.
///
/// Exit code: 0 if it is done, 1 if there is no such generation or etcd does not answer, 2 if the command line is wrong.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// `etcd://host:2379/linkgate/prod`, or `etcds://` for TLS
    #[arg(value_name = "URL")]
    url: String,
    /// The generation to go back to [default: the one before the last]
    #[arg(value_name = "GENERATION")]
    to: Option<u64>,
    /// Who, for the history [default: the user of this shell]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> ExitCode {
    match rollback(&args).await {
        Ok(done) => {
            text::say(done);
            ExitCode::SUCCESS
        }
        Err(problem) => {
            text::complain(problem);
            ExitCode::FAILURE
        }
    }
}

async fn rollback(args: &Args) -> Result<String, String> {
    let etcd = etcd(&args.url)?;
    let to = match args.to {
        Some(to) => to,
        None => {
            let history = etcd.history().await.map_err(|error| error.to_string())?;
            let before = history
                .get(1)
                .ok_or("nothing was pushed before what runs now")?;
            before.generation
        }
    };
    let by = args.by.clone().unwrap_or_else(somebody);
    let pushed = etcd
        .rollback(to, &by)
        .await
        .map_err(|error| error.to_string())?;
    Ok(told(&pushed.head))
}
