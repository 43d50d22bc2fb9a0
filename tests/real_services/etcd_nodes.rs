//! Nodes that follow an etcd, and the commands that change what they run, as docs/hot-reload.md walks through them.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::common::client::{Answer, Client};
use crate::common::documents::{PLATFORM, business};
use crate::common::gateway::target;
use crate::common::metrics::get;
use crate::common::process::Process;
use crate::common::wait::until;
use crate::services::Etcd;

const PROGRAM: &str = env!("CARGO_BIN_EXE_linkgate");

/// A folder of documents, a node's own document, and an etcd.
struct World {
    etcd: Etcd,
    folder: TempDir,
}

impl World {
    async fn new() -> Option<Self> {
        let etcd = Etcd::start().await?;
        let folder = tempfile::tempdir().unwrap();
        let node = format!(
            "schema: 1
node: {{ id: n1 }}
admin: {{ address: \"127.0.0.1:0\" }}
config: {{ etcd: {{ endpoints: [\"{}\"], prefix: /linkgate/test }}, cache: last-good }}
",
            etcd.address()
        );
        fs::write(folder.path().join("node.yaml"), node).unwrap();
        fs::create_dir(folder.path().join("conf")).unwrap();
        let world = Self { etcd, folder };
        world.write("platform.yaml", PLATFORM);
        world.write("chat.yaml", &business("chat", 1000));
        Some(world)
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join("conf").join(name), text).unwrap();
    }

    /// Runs a command to its end: its code, and what it said.
    fn run(&self, args: &[&str]) -> (i32, String) {
        let url = format!("etcd://{}/linkgate/test", self.etcd.address());
        let args = args
            .iter()
            .map(|arg| if *arg == "URL" { url.as_str() } else { arg });
        let output = Command::new(PROGRAM)
            .args(args)
            .current_dir(self.path())
            .output();
        let Output {
            status,
            stdout,
            stderr,
        } = output.unwrap();
        let said = [stdout, stderr].concat();
        (status.code().unwrap(), String::from_utf8(said).unwrap())
    }

    fn push(&self) {
        let (code, said) = self.run(&["push", "conf", "URL"]);
        assert_eq!(code, 0, "{said}");
    }

    async fn node(&self) -> Node {
        let args = ["run", "node.yaml"];
        let mut process = Process::start(Path::new(PROGRAM), self.path(), &args);
        let clients = process.address("accepting links").await;
        let admin = process.address("admin:").await;
        Node {
            process,
            clients,
            admin,
        }
    }

    /// Waits until `status` says this, with this exit code.
    async fn status(&self, code: i32, what: &str) {
        let mut said = (0, String::new());
        until(&format!("status says `{what}`"), async || {
            said = self.run(&["status", "URL", "--history"]);
            said.0 == code && said.1.contains(what)
        })
        .await;
    }
}

struct Node {
    process: Process,
    clients: SocketAddr,
    admin: SocketAddr,
}

impl Node {
    async fn stop(self) {
        self.process.terminate();
        assert_eq!(self.process.exit().await.0, Some(0));
    }

    async fn config(&self) -> String {
        get(self.admin, "/v1/config").await.1
    }
}

#[tokio::test]
async fn what_is_pushed_runs_what_is_wrong_is_refused_and_what_ran_comes_back() {
    let Some(world) = World::new().await else {
        return;
    };
    world.push();
    let node = world.node().await;
    world.status(0, "n1: in step").await;
    let mut ann = Client::connect(&target(node.clients, "ann")).await;
    assert_eq!(ann.ask("1", "hi").await, Answer::Ack("hi".into()));

    // What was spent stays spent.
    world.write("chat.yaml", &business("chat", 1));
    world.push();
    world.status(0, "generation 2").await;
    until("the new limit holds", async || {
        matches!(ann.ask("2", "hi").await, Answer::Limited(_))
    })
    .await;

    // What validate refuses is not pushed, but by force; then it is refused by the node alone.
    world.write("shop.yaml", &business("shop", 1));
    world.write("chat.yaml", &business("chat", 5).replace("burst", "burts"));
    let (code, said) = world.run(&["push", "conf", "URL"]);
    assert_eq!(
        (code, said.contains("did you mean `burst`?")),
        (1, true),
        "{said}"
    );
    assert_eq!(world.run(&["push", "conf", "URL", "--force"]).0, 0);
    world.status(3, "n1: refuses").await;
    world.status(3, "did you mean `burst`?").await;
    let mut eve = target(node.clients, "eve");
    eve.biz_id = Some("shop".into());
    let mut eve = Client::connect(&eve).await;
    assert_eq!(
        eve.ask("1", "hi").await,
        Answer::Ack("hi".into()),
        "others advance"
    );
    let metrics = get(node.admin, "/metrics").await.1;
    let rejected = "linkgate_config_document_rejected{document=\"etcd:chat.yaml\"} 1";
    assert!(metrics.contains(rejected), "{metrics}");

    assert_eq!(world.run(&["rollback", "URL", "1"]).0, 0);
    world.status(0, "roll-back to generation 1").await;
    world.status(0, "n1: in step").await;
    until("the first limit holds again", async || {
        ann.ask("3", "hi").await == Answer::Ack("hi".into())
    })
    .await;
    assert_eq!(world.run(&["rollback", "URL", "77"]).0, 1);
    node.stop().await;
    world.status(0, "no node follows it").await;
}

#[tokio::test]
async fn a_node_starts_from_its_copy_while_etcd_is_away_and_follows_it_again() {
    let Some(mut world) = World::new().await else {
        return;
    };
    world.push();
    let node = world.node().await;
    world.status(0, "n1: in step").await;
    world.etcd.stop();
    until("the node says that etcd is away", async || {
        node.config().await.contains("unreachable")
    })
    .await;
    let mut ann = Client::connect(&target(node.clients, "ann")).await;
    assert_eq!(ann.ask("1", "hi").await, Answer::Ack("hi".into()));
    node.stop().await;

    let node = world.node().await;
    let mut ann = Client::connect(&target(node.clients, "ann")).await;
    assert_eq!(ann.ask("1", "hi").await, Answer::Ack("hi".into()));
    assert!(node.config().await.contains("unreachable"));
    world.etcd.resume().await;
    world.write("chat.yaml", &business("chat", 1));
    until("etcd takes a push", async || {
        world.run(&["push", "conf", "URL"]).0 == 0
    })
    .await;
    world.status(0, "n1: in step").await;
    assert!(!node.config().await.contains("unreachable"));
    node.stop().await;
    fs::remove_dir_all(world.path().join("last-good")).unwrap();
    world.etcd.stop();
    let (code, said) = world.run(&["run", "node.yaml"]);
    assert_eq!((code, said.contains("no copy")), (1, true), "{said}");
}

#[tokio::test]
async fn a_document_for_a_later_linkgate_is_not_pushed_to_nodes_that_cannot_read_it() {
    let Some(world) = World::new().await else {
        return;
    };
    world.push();
    let node = world.node().await;
    world.status(0, "n1: in step").await;
    world.write(
        "chat.yaml",
        &business("chat", 5).replace("schema: 1", "schema: 2"),
    );
    let (code, said) = world.run(&["push", "conf", "URL"]);
    assert_eq!(
        (code, said.contains("this is for a later version")),
        (1, true),
        "{said}"
    );
    let (code, said) = world.run(&["push", "conf", "URL", "--force"]);
    assert_eq!((code, said.contains("the node n1")), (0, true), "{said}");
    world.status(3, "does not read schema `2`").await;
    let mut ann = Client::connect(&target(node.clients, "ann")).await;
    assert_eq!(
        ann.ask("1", "hi").await,
        Answer::Ack("hi".into()),
        "the last good one runs"
    );
    node.stop().await;
}

#[tokio::test]
async fn a_file_of_the_machine_takes_the_place_of_a_document_in_etcd() {
    let Some(world) = World::new().await else {
        return;
    };
    world.push();
    fs::create_dir(world.path().join("own")).unwrap();
    fs::write(world.path().join("own/chat.yaml"), business("chat", 1)).unwrap();
    let node = fs::read_to_string(world.path().join("node.yaml")).unwrap();
    let node = node.replace("config: { ", "config: { directory: own, ");
    fs::write(world.path().join("node.yaml"), node).unwrap();
    let node = world.node().await;
    let mut ann = Client::connect(&target(node.clients, "ann")).await;
    assert_eq!(ann.ask("1", "hi").await, Answer::Ack("hi".into()));
    assert!(matches!(ann.ask("2", "hi").await, Answer::Limited(_)));
    world.status(0, "n1: in step").await;
    node.stop().await;
}
