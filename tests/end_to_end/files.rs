//! Files that change under a running node, in all the ways in which editors, scripts and Kubernetes change them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use linkgate_client::Target;
use linkgate_core::node::{ConfigStatus, Node};
use linkgate_core::reload::Reloader;
use linkgate_proto::v1::PushRequest;
use tempfile::TempDir;
use tokio::process::Command;
use tonic::Code;

use crate::common::client::{Answer, Client};
use crate::common::documents::{PLATFORM, business};
use crate::common::gateway::target;
use crate::common::push::{Caller, push};
use crate::common::tls::Authority;
use crate::common::wait::{until, within};

pub(crate) fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("platform.yaml"), PLATFORM).unwrap();
    fs::write(folder.path().join("chat.yaml"), business("chat", 1000)).unwrap();
    folder
}

/// Runs `body` beside a node that follows what is at `path`.
pub(crate) async fn following(path: &Path, body: impl AsyncFnOnce(&Node)) {
    let registry = linkgate_filters::all();
    let paths = [path.to_owned()];
    let mut reloader = Reloader::begin(&paths, &registry)
        .await
        .unwrap_or_else(|e| panic!("{e}"));
    let node = reloader.start(linkgate::program!()).await.unwrap();
    tokio::select! {
        () = Box::pin(reloader.run(&node)) => {}
        () = Box::pin(body(&node)) => {}
    }
    node.stop(crate::common::wait::PATIENCE).await;
}

fn status(node: &Node) -> ConfigStatus {
    node.status().get()
}

async fn generation(node: &Node, generation: u64) {
    let what = format!("generation {generation}");
    until(&what, async || status(node).generation >= generation).await;
    assert_eq!(status(node).generation, generation, "and no more than that");
}

/// Why the document is refused.
async fn refused(node: &Node, document: &str) -> String {
    let mut why = None;
    until("the document is refused", async || {
        let documents = status(node).documents;
        let found = documents
            .into_iter()
            .find(|own| own.name.ends_with(document));
        why = found.and_then(|document| document.refused);
        why.is_some()
    })
    .await;
    why.unwrap()
}

#[tokio::test]
async fn every_way_of_writing_a_file_is_seen_once() {
    let folder = folder();
    let chat = folder.path().join("chat.yaml");
    following(folder.path(), async |node| {
        let address = node.listeners()[0].1;
        let mut ann = Client::connect(&target(address, "ann")).await;
        assert_eq!(ann.ask("0", "hi").await, Answer::Ack("hi".into()));

        // In place, as `echo >` does it.
        fs::write(&chat, business("chat", 2000)).unwrap();
        generation(node, 2).await;
        // A new file in its place, as editors and `sed -i` do it.
        let new = folder.path().join(".chat.yaml.swp");
        fs::write(&new, business("chat", 3000)).unwrap();
        fs::rename(&new, &chat).unwrap();
        generation(node, 3).await;
        // Removed, and written anew.
        fs::remove_file(&chat).unwrap();
        fs::write(folder.path().join("shop.yaml"), business("shop", 1000)).unwrap();
        generation(node, 4).await;
        assert!(
            ann.ended().await.code.code() == 4004,
            "the business is gone"
        );
        fs::write(&chat, business("chat", 4000)).unwrap();
        generation(node, 5).await;
        // Written without a change, and with one that means nothing.
        fs::write(&chat, business("chat", 4000)).unwrap();
        fs::write(&chat, format!("# a comment\n{}", business("chat", 4000))).unwrap();
        fs::write(folder.path().join("shop.yaml"), business("shop", 2000)).unwrap();
        generation(node, 6).await;
        let mut ann = Client::connect(&target(address, "ann")).await;
        assert_eq!(ann.ask("1", "hi").await, Answer::Ack("hi".into()));
    })
    .await;
}

#[tokio::test]
async fn a_mount_of_kubernetes_is_followed() {
    let mount = tempfile::tempdir().unwrap();
    let write = |version: &str, max| {
        let data = mount.path().join(version);
        fs::create_dir(&data).unwrap();
        fs::write(data.join("platform.yaml"), PLATFORM).unwrap();
        fs::write(data.join("chat.yaml"), business("chat", max)).unwrap();
    };
    write("..2026_1", 1000);
    symlink("..2026_1", mount.path().join("..data")).unwrap();
    for name in ["platform.yaml", "chat.yaml"] {
        symlink(format!("..data/{name}"), mount.path().join(name)).unwrap();
    }
    following(mount.path(), async |node| {
        for version in 2..5 {
            let data = format!("..2026_{version}");
            write(&data, 1000 * version);
            symlink(&data, mount.path().join("..data_tmp")).unwrap();
            fs::rename(mount.path().join("..data_tmp"), mount.path().join("..data")).unwrap();
            generation(node, version.into()).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_directory_that_takes_the_place_of_another_is_followed() {
    let (one, two, place) = (folder(), folder(), tempfile::tempdir().unwrap());
    let (conf, new) = (place.path().join("conf"), place.path().join("new"));
    symlink(one.path(), &conf).unwrap();
    fs::write(two.path().join("chat.yaml"), business("chat", 1001)).unwrap();
    following(&conf, async |node| {
        symlink(two.path(), &new).unwrap();
        fs::rename(&new, &conf).unwrap();
        generation(node, 2).await;
        fs::write(two.path().join("chat.yaml"), business("chat", 1002)).unwrap();
        generation(node, 3).await;
    })
    .await;
}

#[tokio::test]
async fn an_address_that_was_taken_is_tried_again_while_businesses_advance() {
    let folder = folder();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let more = PLATFORM.replace(
        "insecure_query }",
        &format!(
            "insecure_query }}, {{ name: more, address: \"{}\", auth: insecure_query }}",
            taken.local_addr().unwrap()
        ),
    );
    following(folder.path(), async |node| {
        fs::write(folder.path().join("platform.yaml"), &more).unwrap();
        fs::write(folder.path().join("chat.yaml"), business("chat", 1001)).unwrap();
        let why = refused(node, "platform.yaml").await;
        assert!(why.contains("cannot listen"), "{why}");
        assert_eq!(status(node).generation, 2, "the business has advanced");
        drop(taken);
        fs::write(folder.path().join("platform.yaml"), &more).unwrap();
        generation(node, 3).await;
        assert!(status(node).accepted);
    })
    .await;
}

#[tokio::test]
async fn half_a_file_changes_nothing_and_its_rest_does() {
    let folder = folder();
    let chat = folder.path().join("chat.yaml");
    following(folder.path(), async |node| {
        let whole = business("chat", 2000);
        fs::write(&chat, &whole[..whole.find("rate_limit").unwrap()]).unwrap();
        let why = refused(node, "chat.yaml").await;
        assert!(why.contains("chat.yaml:"), "{why}");
        assert_eq!(status(node).generation, 1);
        assert_eq!((status(node).rejected, status(node).accepted), (1, false));
        fs::write(&chat, &whole).unwrap();
        generation(node, 2).await;
        assert!(status(node).accepted);
    })
    .await;
}

#[tokio::test]
async fn a_secret_in_a_file_rotates_without_a_new_address() {
    let folder = folder();
    let secret = folder.path().join("push.token");
    fs::write(&secret, "the-first-of-the-tokens").unwrap();
    let push_yaml = "schema: 1
push: { sources: [{ grpc: { address: \"127.0.0.1:0\", auth: { token: \"${file:push.token}\", biz_ids: [chat] } } }] }
";
    fs::write(folder.path().join("push.yaml"), push_yaml).unwrap();
    following(folder.path(), async |node| {
        let address = node.push_sources()[0];
        let old = Caller::with_token(address, Some("the-first-of-the-tokens"));
        let new = Caller::with_token(address, Some("the-second-of-the-tokens"));
        assert!(old.push(push("1", &["ann"])).await.is_ok());
        assert!(new.push(push("2", &["ann"])).await.is_err());
        fs::write(&secret, "the-second-of-the-tokens").unwrap();
        until("the new token counts", async || {
            new.push(push("3", &["ann"])).await.is_ok()
        })
        .await;
        assert!(old.push(push("4", &["ann"])).await.is_err());
        assert_eq!(node.push_sources()[0], address);
    })
    .await;
}

#[tokio::test]
async fn a_node_that_starts_anew_takes_the_last_good_version_of_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("conf.d")).unwrap();
    let node = "schema: 1\nconfig: { directory: conf.d, cache: last-good }\n";
    fs::write(at("node.yaml"), format!("{node}---\n{PLATFORM}")).unwrap();
    fs::write(at("conf.d/chat.yaml"), business("chat", 1000)).unwrap();
    fs::write(at("conf.d/shop.yaml"), business("shop", 1000)).unwrap();
    following(&at("node.yaml"), async |node| {
        until("it has started", async || status(node).documents.len() == 3).await;
    })
    .await;
    fs::write(at("conf.d/chat.yaml"), "schema: 1\npipelines: 5\n").unwrap();
    fs::write(at("conf.d/news.yaml"), "schema: 1\npipelines: 5\n").unwrap();
    following(&at("node.yaml"), async |node| {
        let address = node.listeners()[0].1;
        let mut ann = Client::connect(&target(address, "ann")).await;
        assert_eq!(ann.ask("1", "hi").await, Answer::Ack("hi".into()));
        for document in ["chat.yaml", "news.yaml"] {
            let why = refused(node, document).await;
            assert!(why.contains(document), "{why}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_business_whose_document_is_refused_at_a_start_is_not_unknown() {
    let folder = folder();
    let push_yaml = "schema: 1
push: { sources: [{ grpc: { address: \"127.0.0.1:0\" } }] }
";
    fs::write(folder.path().join("push.yaml"), push_yaml).unwrap();
    let wrong = business("chat", 1000).replace("burst", "burts");
    fs::write(folder.path().join("chat.yaml"), wrong).unwrap();
    fs::write(folder.path().join("shop.yaml"), business("shop", 1000)).unwrap();
    following(folder.path(), async |node| {
        let caller = Caller::new(node.push_sources()[0]);
        let code = async |biz_id: &str| {
            let request = PushRequest {
                biz_id: biz_id.into(),
                ..push("1", &["ann"])
            };
            caller.push(request).await.map_err(|status| status.code())
        };
        assert_eq!(code("chat").await, Err(Code::Unavailable));
        assert_eq!(code("game").await, Err(Code::NotFound));
        assert!(code("shop").await.is_ok());
        let ann = target(node.listeners()[0].1, "ann");
        let Err(refused) = Client::try_connect(&ann).await else {
            panic!("nothing serves it");
        };
        assert!(refused.to_string().contains("503"), "{refused}");
        fs::write(folder.path().join("chat.yaml"), business("chat", 1000)).unwrap();
        until("it is served", async || code("chat").await.is_ok()).await;
        Client::connect(&ann).await;
    })
    .await;
}

#[tokio::test]
async fn a_renewed_certificate_serves_new_links_and_open_ones_stay() {
    let (first, renewed) = (Authority::new(), Authority::new());
    let folder = folder();
    let platform = format!(
        "schema: 1
listeners: [{{ name: public, address: \"127.0.0.1:0\", auth: insecure_query, admission: {{ max_links: 2 }}, {} }}]
",
        first.listener()
    );
    let file = folder.path().join("platform.yaml");
    fs::write(&file, &platform).unwrap();
    following(folder.path(), async |node| {
        let address = node.listeners()[0].1;
        let by = |authority: &Authority, user: &str| Target {
            url: format!("wss://localhost:{}/ws", address.port()),
            tls: Some(authority.trusting()),
            ..target(address, user)
        };
        let mut ann = Client::connect(&by(&first, "ann")).await;
        renewed.take_the_place_of(&first);
        let mut bob = None;
        until("the new certificate is shown", async || {
            bob = Client::try_connect(&by(&renewed, "bob")).await.ok();
            bob.is_some()
        })
        .await;
        assert!(Client::try_connect(&by(&first, "eve")).await.is_err());
        assert_eq!(ann.ask("1", "hi").await, Answer::Ack("hi".into()));

        // A limit is changed in place too: two links are open, and a third finds room.
        assert!(Client::try_connect(&by(&renewed, "cid")).await.is_err());
        fs::write(&file, platform.replace("max_links: 2", "max_links: 3")).unwrap();
        until("there is room", async || {
            Client::try_connect(&by(&renewed, "cid")).await.is_ok()
        })
        .await;
        assert_eq!(node.listeners()[0].1, address);
        assert_eq!(ann.ask("2", "hi").await, Answer::Ack("hi".into()));
        drop(bob);
    })
    .await;
}

#[tokio::test]
async fn what_only_a_restart_changes_is_said() {
    let folder = folder();
    following(folder.path(), async |node| {
        let platform = PLATFORM.replace("auth:", "backlog: 77, auth:");
        fs::write(
            folder.path().join("platform.yaml"),
            format!(
                "{platform}node: {{ id: other }}\nconfig: {{ directory: ., cache: elsewhere }}\n"
            ),
        )
        .unwrap();
        until("it is said", async || status(node).needs_restart.len() == 3).await;
        let said = status(node).needs_restart.join("; ");
        assert!(
            ["`node:`", "`cache`", "backlog"]
                .iter()
                .all(|part| said.contains(part)),
            "{said}"
        );
        fs::write(folder.path().join("platform.yaml"), PLATFORM).unwrap();
        until("nothing is left of it", async || {
            status(node).needs_restart.is_empty()
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn an_operator_is_known_by_a_certificate() {
    let (folder, authority, other) = (folder(), Authority::new(), Authority::new());
    let ca = authority.ca().display().to_string();
    let tls = authority
        .listener()
        .replace("tls: {", &format!("tls: {{ client_ca: \"${{file:{ca}}}\","));
    let tls = tls
        .replace("cert: \"", "cert: \"${file:")
        .replace("key: \"", "key: \"${file:");
    let tls = tls.replace(".pem\"", ".pem}\"").replace("}}", "}");
    let admin = format!(
        "schema: 1\nadmin: {{ address: \"127.0.0.1:0\", {tls}, auth: [{{ client_cert: localhost }}] }}\n"
    );
    fs::write(folder.path().join("admin.yaml"), admin).unwrap();
    following(folder.path(), async |node| {
        let url = format!("https://{}", node.admin_address().unwrap());
        let status = async |own: Option<&Authority>, ca: &Authority| {
            let mut program = Command::new(env!("CARGO_BIN_EXE_linkgate"));
            let program = program.args(["status", &url, "--ca"]).arg(ca.ca());
            if let Some(own) = own {
                let (cert, key) = (own.file("cert.pem"), own.file("key.pem"));
                program.args(["--cert", &cert, "--key", &key]);
            }
            let ended = within("status", program.output()).await.unwrap();
            let said = [ended.stdout, ended.stderr].concat();
            (ended.status.code(), String::from_utf8(said).unwrap())
        };
        let (code, said) = status(Some(&authority), &authority).await;
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("runs"), "{said}");
        let (code, said) = status(None, &authority).await;
        assert!(code == Some(1) && said.contains("--token"), "{said}");
        let (code, said) = status(Some(&other), &authority).await;
        assert_eq!(code, Some(1), "not by this authority: {said}");
        let (code, said) = status(Some(&authority), &other).await;
        assert!(
            code == Some(1) && said.contains("invalid peer certificate"),
            "{said}"
        );
    })
    .await;
}
