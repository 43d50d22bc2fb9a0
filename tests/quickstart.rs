//! `linkgate quickstart` as a newcomer has it: the program started, the page fetched, two users chatting.
#![cfg(feature = "filters")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test that cannot go on fails and says why"
)]

use std::process::Stdio;
use std::time::Duration;

use linkgate_client::{Event, Options, Session, Target};
use linkgate_filter::Form;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

/// Nothing here takes a second; a machine that is busy may.
const PATIENCE: Duration = Duration::from_secs(30);

struct Quickstart {
    process: Child,
    page: String,
    /// Of the first node.
    gateway: String,
    /// Of the last one.
    last: String,
}

async fn start(args: &[&str]) -> Quickstart {
    let mut process = Command::new(env!("CARGO_BIN_EXE_linkgate"))
        .arg("quickstart")
        .args(args)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let (mut page, mut gateway, mut last) = (None, None, None);
    let mut is_listed = false;
    while !is_listed {
        let line = lines
            .next_line()
            .await
            .unwrap()
            .expect("the quickstart ended");
        let found = |prefix: &str| Some(line.split_once(prefix)?.1.to_owned());
        page = page.or_else(|| found("http://").map(|rest| rest.trim_end_matches('/').to_owned()));
        last = found("gateway   ").or(last);
        gateway = gateway.or_else(|| last.clone());
        is_listed = found("backend   ").is_some();
    }
    // The rest of the output is read, so that the process does not wait for us.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Quickstart {
        process,
        page: page.unwrap(),
        gateway: gateway.unwrap(),
        last: last.unwrap(),
    }
}

fn user(name: &str, gateway: &str, form: Form) -> (Session, mpsc::Receiver<Event>) {
    let target = Target {
        url: gateway.to_owned(),
        biz_id: Some("chat".into()),
        user_id: Some(name.into()),
        device_id: Some("test".into()),
        form,
        ..Target::default()
    };
    Session::start(target, Options::default())
}

/// The next event of which `pick` makes something.
async fn event<T>(events: &mut mpsc::Receiver<Event>, pick: impl Fn(Event) -> Option<T>) -> T {
    let search = async {
        loop {
            let event = events.recv().await.expect("the session is over");
            let shown = format!("{event:?}");
            if let Some(picked) = pick(event) {
                return picked;
            }
            println!("passed over: {shown}");
        }
    };
    tokio::time::timeout(PATIENCE, search)
        .await
        .expect("the event does not come")
}

fn push(event: Event) -> Option<String> {
    match event {
        Event::Push { body, .. } => Some(String::from_utf8(body.to_vec()).unwrap()),
        _ => None,
    }
}

#[tokio::test]
async fn two_users_chat_and_the_sender_hears_of_the_delivery() {
    two_users_chat(&[]).await;
}

#[tokio::test]
async fn two_users_chat_who_are_on_different_nodes() {
    let ports = [
        "--gateway-port",
        "--page-port",
        "--admin-port",
        "--push-port",
        "--backend-port",
    ];
    // The other test may take the usual ones just now.
    let ports = ports.iter().flat_map(|port| [*port, "0"]);
    let args: Vec<&str> = ["--nodes", "3"].into_iter().chain(ports).collect();
    two_users_chat(&args).await;
}

async fn two_users_chat(args: &[&str]) {
    let mut quickstart = start(args).await;

    let mut page = TcpStream::connect(&quickstart.page).await.unwrap();
    page.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut html = String::new();
    page.read_to_string(&mut html).await.unwrap();
    assert!(html.starts_with("HTTP/1.1 200"), "{html}");
    assert!(
        html.contains(&format!("\"{}\"", quickstart.gateway)),
        "{html}"
    );

    // One in each form: the gateway translates.
    let (mut alice, mut for_alice) = user("alice", &quickstart.gateway, Form::Protobuf);
    let (_bob, mut for_bob) = user("bob", &quickstart.last, Form::Json);
    event(&mut for_bob, |event| {
        matches!(event, Event::Connected { .. }).then_some(())
    })
    .await;

    let key = alice
        .send(r#"{"to": "bob", "text": "hi"}"#.into())
        .await
        .unwrap();
    let got = event(&mut for_bob, push).await;
    assert_eq!(
        got,
        format!(r#"{{"from":"alice","text":"hi","key":"{key}"}}"#)
    );
    // The acknowledgement and the news of the delivery come in either order.
    let (mut acked, mut told) = (false, false);
    while !(acked && told) {
        let delivered = event(&mut for_alice, |event| match event {
            Event::Acked { key: of, .. } if of == key => Some(false),
            Event::Push { body, .. } => {
                Some(body == format!(r#"{{"about":"{key}","state":"delivered"}}"#))
            }
            _ => None,
        })
        .await;
        told |= delivered;
        acked |= !delivered;
    }

    // What is no letter is accepted too: it is what a newcomer types first.
    let word = alice.send("hello".into()).await.unwrap();
    event(&mut for_alice, |event| {
        matches!(event, Event::Acked { key, .. } if key == word).then_some(())
    })
    .await;
    quickstart.process.kill().await.unwrap();
}
