use clap::CommandFactory;
use tracing::Level;

use super::*;

/// What is said of a command line that is not taken. The exit code is 2.
fn refused(line: &str) -> String {
    let words = std::iter::once("linkgate").chain(line.split_whitespace());
    let error = Cli::try_parse_from(words).unwrap_err();
    assert_eq!(error.exit_code(), 2, "{error}");
    error.to_string()
}

#[test]
fn a_log_filter_that_cannot_be_read_is_refused() {
    let said = refused("--log linkgate=loud schema");
    assert!(
        said.contains("--log") && said.contains("`linkgate=debug,warn`"),
        "{said}"
    );
    for good in ["info", "linkgate=debug,warn", "off"] {
        assert!(Cli::try_parse_from(["linkgate", "--log", good, "schema"]).is_ok());
    }
}

#[test]
fn a_log_filter_for_linkgate_takes_the_lines_of_all_its_crates() {
    let logs = tracing_subscriber::fmt().with_env_filter(EnvFilter::new("linkgate=debug,warn"));
    tracing::subscriber::with_default(logs.with_writer(io::sink).finish(), || {
        assert!(tracing::enabled!(target: "linkgate", Level::DEBUG));
        assert!(tracing::enabled!(target: "linkgate_core::node", Level::DEBUG));
        assert!(!tracing::enabled!(target: "h2", Level::DEBUG));
    });
}

#[test]
fn a_client_without_heartbeats_is_refused() {
    let said = refused("client --heartbeat 0s");
    assert!(said.contains("longer than 0s"), "{said}");
}

#[test]
fn a_gateway_is_not_spoken_to_by_http() {
    for tool in ["client", "bench"] {
        let said = refused(&format!("{tool} http://127.0.0.1:8080/ws"));
        assert!(said.contains("`ws://` or `wss://`"), "{said}");
    }
    assert!(Cli::try_parse_from(["linkgate", "client", "127.0.0.1:8080"]).is_ok());
}

#[test]
fn every_command_tells_its_exit_codes() {
    for command in Cli::command().get_subcommands_mut() {
        let help = command.render_long_help().to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        let (_, codes) = help.split_once("Exit code: 0 if ").unwrap_or_default();
        assert!(
            codes.contains(", 1 if ") && codes.contains(", 2 if the command line is wrong."),
            "{}: {help}",
            command.get_name()
        );
    }
}
