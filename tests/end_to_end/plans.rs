//! What a node says would change, of documents that somebody proposes.

use std::fs;
use std::path::Path;
use std::time::Duration;

use linkgate_core::node::Node;
use tokio::process::Command;
use tokio::time::Instant;

use crate::common::documents::{PLATFORM, business};
use crate::common::metrics::get;
use crate::common::wait::within;
use crate::files::{folder, following};

/// What `linkgate plan` says of a proposal to the node, and how it ends.
async fn plan(node: &Node, proposal: &Path) -> (Option<i32>, String) {
    let admin = format!("http://{}", node.admin_address().unwrap());
    let mut program = Command::new(env!("CARGO_BIN_EXE_linkgate"));
    let program = program.args(["plan", "--node", &admin]).arg(proposal);
    let ended = within("plan", program.output()).await.unwrap();
    let said = [ended.stdout, ended.stderr].concat();
    (ended.status.code(), String::from_utf8(said).unwrap())
}

#[tokio::test]
async fn a_plan_reads_nothing_for_whoever_proposes_it() {
    let folder = folder();
    let platform = format!("{PLATFORM}admin: {{ address: \"127.0.0.1:0\" }}\n");
    let second =
        "      - { use: rate_limit, id: second, config: { per: link, rate: 1/h, burst: 1001 } }\n";
    let chat = business("chat", 1000).replace(
        "      - use: ack_retry\n",
        &format!("{second}      - use: ack_retry\n"),
    );
    let chat = chat.replace("1/h", "\"${file:rate}\"");
    fs::write(folder.path().join("platform.yaml"), &platform).unwrap();
    fs::write(folder.path().join("chat.yaml"), &chat).unwrap();
    fs::write(folder.path().join("rate"), "1/h").unwrap();
    let (other, proposal) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(other.path().join("secret.yaml"), "hunter2hunter2").unwrap();
    let secret = other.path().join("secret.yaml");
    let secret = secret.to_str().unwrap();
    following(folder.path(), async |node| {
        let propose = async |platform: &str, chat: &str| {
            fs::write(proposal.path().join("platform.yaml"), platform).unwrap();
            fs::write(proposal.path().join("chat.yaml"), chat).unwrap();
            let (code, said) = plan(node, proposal.path()).await;
            let variable = std::env::var("PATH").unwrap();
            assert!(!said.contains("hunter2") && !said.contains(&variable), "{said}");
            (code, said)
        };
        // What stands in both is the same, whatever it stands for.
        assert_eq!(
            propose(&platform, &chat).await,
            (Some(0), "nothing changes\n".to_owned())
        );
        let faster = chat.replace("burst: 1000", "burst: 2000");
        let (code, said) = propose(&platform, &faster).await;
        assert!(said.contains("pipeline chat: changed"), "{code:?} {said}");
        // Whoever guesses what a reference stands for is told the same, right or wrong; so is he who keeps it elsewhere.
        let first = "\"${file:rate}\", burst: 1000";
        let second = "\"${file:rate}\", burst: 1001";
        assert!(chat.contains(first) && chat.contains(second));
        for (guessed, filter) in [(first, "rate_limit"), (second, "second")] {
            let guess = async |value| {
                let literal = guessed.replace("\"${file:rate}\"", value);
                propose(&platform, &chat.replace(guessed, &literal)).await
            };
            let (code, said) = guess("1/h").await;
            assert_eq!(code, Some(0), "{said}");
            assert!(said.contains(&format!("`{filter}`: `rate`;")), "{said}");
            assert_eq!((code, said), guess("2/h").await);
        }
        for reference in [format!("\"${{file:{secret}}}\""), "\"${PATH}\"".to_owned()] {
            for (platform, chat) in [
                (platform.replace("public", &reference), chat.clone()),
                (platform.clone(), chat.replace("biz_id: chat", &format!("biz_id: {reference}"))),
                (platform.clone(), chat.replace("use: ack_retry", &format!("use: ack_retry\n        id: {reference}"))),
            ] {
                let (code, said) = propose(&platform, &chat).await;
                assert_eq!(code, Some(1), "{said}");
                assert!(said.contains("is a name, and cannot be a reference"), "{said}");
            }
            let slow = chat.replace("\"${file:rate}\"", &reference);
            let (code, said) = propose(&platform, &slow).await;
            assert_eq!(code, Some(0), "{said}");
            assert!(said.contains("`rate_limit`: `rate`, `rate`") || said.contains("`rate_limit`: `rate`;"), "{said}");
        }
        // Nor is it told whether a file is there, or what a directory holds.
        let away = other.path().display().to_string();
        for path in [secret, "/nowhere"] {
            let backend = format!(
                "{platform}backends: {{ a: {{ grpc: {{ endpoints: [\"localhost:1\"], tls: {{ ca: {path} }} }} }} }}\n"
            );
            let listener = format!("{{ cert: {path}, key: {path} }}");
            let listener = format!(
                "schema: 1\nlisteners: [{{ name: b, address: \"127.0.0.1:0\", auth: insecure_query, tls: {listener} }}]\n{chat}"
            );
            let listener = listener.replacen(&chat, chat.strip_prefix("schema: 1\n").unwrap(), 1);
            for (platform, chat, new) in [
                (&backend, &chat, "backend a: new"),
                (&platform, &listener, "listener b: new"),
            ] {
                let (code, said) = propose(platform, chat).await;
                assert_eq!((code, said.contains(new)), (Some(0), true), "{said}");
            }
        }
        let more = format!("{platform}config: {{ directory: {away} }}\n");
        let (code, said) = propose(&more, &chat).await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("is not looked at here"), "{said}");
    })
    .await;
}

#[tokio::test]
async fn a_plan_is_made_whatever_stands_for_what_runs() {
    let folder = folder();
    let any = |value: &str| format!("${{LINKGATE_NO_SUCH_VARIABLE:-{value}}}");
    let platform = format!(
        "schema: 1
listeners:
  - name: public
    address: 127.0.0.1:0
    auth: {}
    form: {}
    drain: {}
    admission:
      max_links: {}
    timeouts:
      idle: {}
admin: {{ address: \"127.0.0.1:0\" }}
node:
  id: {}
  weight: {}
",
        any("insecure_query"),
        any("any"),
        any("77/s"),
        any("1000"),
        any("90s"),
        any("n1"),
        any("7"),
    );
    let chat = format!(
        "schema: 1
pipelines:
  - biz_id: chat
    listeners: [public]
    limits:
      links: {}
      in_line: 2MiB
    filters:
      - use: codec
      - use: rate_limit
        config:
          per: {}
          rate: 1/h
          burst: {}
      - use: ack_retry
      - use: echo
",
        any("50"),
        any("link"),
        any("10"),
    );
    fs::write(folder.path().join("platform.yaml"), &platform).unwrap();
    fs::write(folder.path().join("chat.yaml"), &chat).unwrap();
    following(folder.path(), async |node| {
        let proposal = tempfile::tempdir().unwrap();
        let propose = async |platform: &str, chat: &str| {
            fs::write(proposal.path().join("platform.yaml"), platform).unwrap();
            fs::write(proposal.path().join("chat.yaml"), chat).unwrap();
            plan(node, proposal.path()).await
        };
        assert_eq!(
            propose(&platform, &chat).await,
            (Some(0), "nothing changes\n".to_owned())
        );
        // A literal value is another, even one that could stand in for the reference, or that it stands for.
        for value in ["1", "10", "20"] {
            let literal = chat.replace(&any("10"), value);
            let (code, said) = propose(&platform, &literal).await;
            assert_eq!(code, Some(0), "{said}");
            assert!(said.contains("`rate_limit`: `burst`;"), "{said}");
            assert!(!said.contains("cannot be told"), "{said}");
        }
        for (was, is, expected) in [
            (
                any("50"),
                "1".to_owned(),
                "pipeline chat: changed (0 links)\n    its limits\n",
            ),
            (
                any("50"),
                any("60"),
                "pipeline chat: changed (0 links)\n    its limits\n",
            ),
            (any("1000"), "1".to_owned(), "listener public: changed\n"),
            (any("any"), "any".to_owned(), "listener public: changed\n"),
            (
                any("insecure_query"),
                "insecure_query".to_owned(),
                "other clients are let in",
            ),
            (any("n1"), "n1".to_owned(), "node: changed\n"),
            (any("7"), "1".to_owned(), "node: changed\n"),
        ] {
            let change = |text: &str| text.replace(&was, &is);
            let (_, said) = propose(&change(&platform), &change(&chat)).await;
            assert!(said.contains(expected), "{was} {said}");
            assert!(said.contains("1 part of"), "{said}");
        }
        let gone = platform.replace("public", "other");
        let (_, said) = propose(&gone, &chat.replace("public", "other")).await;
        assert!(said.contains("at the pace `${LINKGATE_NO_SUCH"), "{said}");
        // What is wrong without its references stays wrong.
        let wrong = chat.replace(&any("link"), "nobody");
        let (code, said) = propose(&platform, &wrong).await;
        assert_eq!(code, Some(1), "{said}");
        assert!(
            said.contains("chat.yaml:") && said.contains("1 problem in"),
            "{said}"
        );
        fs::remove_file(proposal.path().join("platform.yaml")).unwrap();
        fs::remove_file(proposal.path().join("chat.yaml")).unwrap();
        let other = format!(
            "{PLATFORM}{}",
            business("shop", 1).trim_start_matches("schema: 1\n")
        );
        fs::write(proposal.path().join("shop.yaml"), other).unwrap();
        let (_, said) = plan(node, proposal.path()).await;
        assert!(
            said.contains("pipeline chat: gone") && said.contains("pipeline shop: new"),
            "{said}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_large_proposal_holds_nothing_up() {
    let folder = folder();
    let platform = format!("{PLATFORM}admin: {{ address: \"127.0.0.1:0\" }}\n");
    fs::write(folder.path().join("platform.yaml"), &platform).unwrap();
    let proposal = tempfile::tempdir().unwrap();
    fs::write(proposal.path().join("platform.yaml"), &platform).unwrap();
    for number in 0..300 {
        let name = format!("shop{number}");
        let file = proposal.path().join(format!("{name}.yaml"));
        fs::write(file, business(&name, 1000)).unwrap();
    }
    following(folder.path(), async |node| {
        let admin = node.admin_address().unwrap();
        let begin = Instant::now();
        let mut planned = Box::pin(plan(node, proposal.path()));
        let (mut longest, mut last) = (Duration::ZERO, begin);
        let said = loop {
            tokio::select! {
                (_, said) = &mut planned => break said,
                (code, _) = get(admin, "/healthz") => assert_eq!(code, 200),
            }
            longest = longest.max(last.elapsed());
            last = Instant::now();
        };
        assert!(said.contains("pipeline shop299: new"), "{said}");
        let all = begin.elapsed();
        assert!(longest < all / 2, "held up for {longest:?} of {all:?}");
    })
    .await;
}
