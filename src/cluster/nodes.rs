//! `linkgate nodes`: the nodes of a cluster, as one of them knows them.

use std::process::ExitCode;

use linkgate_core::cluster::NodeReport;

use super::ask;
use crate::admin_client::Asking;
use crate::text;

/// Show the nodes of a cluster: what each does, carries and runs, and whose links are not all in the directory yet.
///
/// Exit code: 0 if all nodes serve and all of their links stand in the directory, 3 if not, 1 if the node does not answer, 2
/// if the command line is wrong.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The admin address of any node of the cluster
    #[arg(value_name = "URL", default_value = "http://127.0.0.1:9901")]
    node: String,
    #[command(flatten)]
    asking: Asking,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What the command ends with if not all is well.
const CARE: u8 = 3;

/// Runs the command.
pub(crate) async fn run(args: Args) -> ExitCode {
    let (nodes, json) = match ask::<Vec<NodeReport>>(&args.node, &args.asking, "/v1/nodes").await {
        Ok(answer) => answer,
        Err(problem) => {
            text::complain(problem);
            return ExitCode::FAILURE;
        }
    };
    match args.json {
        true => text::say(json),
        false => text::say(shown(&nodes)),
    }
    let is_well = |node: &NodeReport| node.state == "serving" && node.behind.is_empty();
    match nodes.iter().all(is_well) {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(CARE),
    }
}

fn shown(nodes: &[NodeReport]) -> String {
    let head = [
        "NODE",
        "STATE",
        "LINKS",
        "VERSION",
        "CONFIG",
        "PEERS AT",
        "DIRECTORY",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(nodes.iter().map(row));
    table(&rows)
}

fn row(node: &NodeReport) -> [String; 7] {
    let own = if node.is_own { "*" } else { "" };
    let dash = |text: &str| {
        if text.is_empty() {
            "-".to_owned()
        } else {
            text.to_owned()
        }
    };
    let directory = match (&node.incarnation, &*node.behind) {
        (None, _) => "an older gateway".to_owned(),
        (_, []) => "all links stand".to_owned(),
        (_, [one]) => format!("behind in shard {one}"),
        (_, many) => format!("behind in {} shards", many.len()),
    };
    [
        format!("{}{own}", node.id),
        node.state.clone(),
        node.links.to_string(),
        dash(&node.version),
        node.generation.to_string(),
        dash(&node.peer),
        directory,
    ]
}

/// Rows under one another, each column as wide as its widest cell.
pub(super) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths);
        let cells = cells.map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned);
        assert_eq!(
            table(&[row(["A", "B"]), row(["long", ""])]),
            "A     B\nlong"
        );
    }
}
