//! Pushes, roll-backs and the history.

use std::time::Duration;

use linkgate_core::config::etcd::{
    Etcd as Documents, EtcdError, EtcdSource, EtcdTls, PushError, Unreadable,
};

use super::{key, open, push, push_now, raw, source, texts};
use crate::common::tls::Authority;
use crate::common::wait::within;
use crate::services::{Etcd, free_address};

#[tokio::test]
async fn what_is_pushed_is_read() {
    let Some(server) = Etcd::start().await else {
        return;
    };
    let etcd = open(server.address());
    let empty = etcd.read().await.unwrap();
    assert!(empty.documents.is_empty() && empty.head.is_none());
    let first = push(&[("a.yaml", "a: 1\n"), ("biz/b.yaml", "b: ä\n")]);
    let pushed = etcd.push(&empty, &first).await.unwrap();
    assert_eq!(pushed.written, ["a.yaml", "biz/b.yaml"]);
    let read = etcd.read().await.unwrap();
    let expected = [("a.yaml", "a: 1\n"), ("biz/b.yaml", "b: ä\n")];
    assert_eq!(texts(&read), expected.into());
    assert!(read.is_whole());
    assert_eq!(read.head().unwrap(), &pushed.head);
    assert_eq!(
        (pushed.head.generation, pushed.head.by.as_str()),
        (1, "anna")
    );

    // The same again writes nothing; a change writes what differs.
    let again = etcd.push(&read, &first).await.unwrap();
    assert_eq!(again.head, pushed.head);
    assert_eq!(etcd.read().await.unwrap().revision, read.revision);
    let second = push(&[("a.yaml", "a: 2\n"), ("c.yaml", "c: 1\n")]);
    let pushed = etcd.push(&read, &second).await.unwrap();
    assert_eq!(pushed.written, ["a.yaml", "c.yaml"]);
    assert_eq!(pushed.removed, ["biz/b.yaml"]);
    assert_eq!(pushed.head.generation, 2);
    let read = etcd.read().await.unwrap();
    let expected = [("a.yaml", "a: 2\n"), ("c.yaml", "c: 1\n")];
    assert_eq!(texts(&read), expected.into());
    // All of it was one transaction.
    let versions = read.documents.values().map(|document| document.version);
    assert!(
        versions
            .chain(read.head.map(|head| head.version))
            .all(|version| version == read.revision)
    );
}

#[tokio::test]
async fn a_push_is_refused_when_somebody_was_quicker() {
    let Some(server) = Etcd::start().await else {
        return;
    };
    let (anna, bert) = (open(server.address()), open(server.address()));
    let before = [("a", "1"), ("b", "1"), ("c", "1")];
    push_now(&anna, &before).await;
    let seen = anna.read().await.unwrap();

    // Both at once: one of them wins, and the other is told.
    let (one, other) = (
        push(&[("a", "anna"), ("b", "1"), ("c", "1")]),
        push(&[("a", "1"), ("b", "bert"), ("c", "1")]),
    );
    let (one, other) = tokio::join!(anna.push(&seen, &one), bert.push(&seen, &other));
    let (won, lost) = match (one, other) {
        (Ok(won), Err(lost)) | (Err(lost), Ok(won)) => (won, lost),
        both => panic!("{both:?}"),
    };
    let PushError::ChangedMeanwhile { documents, head } = &lost else {
        panic!("{lost:?}");
    };
    assert_eq!(documents, &won.written);
    assert_eq!(head.as_deref(), Some(&won.head));
    assert!(lost.to_string().contains("generation 2"), "{lost}");
    let revision = won.head;
    assert_eq!(anna.read().await.unwrap().head(), Some(&revision));

    // Documents that somebody changed or removed by hand, touched by the push or not.
    let mut client = raw(server.address()).await;
    let after = push(&[("a", "mine"), ("b", "1"), ("c", "1")]);
    let seen = anna.read().await.unwrap();
    client.put(key("c"), "by hand", None).await.unwrap();
    let lost = anna.push(&seen, &after).await.unwrap_err();
    assert!(
        matches!(&lost, PushError::ChangedMeanwhile { documents, head: None } if documents == &["c"]),
        "{lost}"
    );
    let seen = anna.read().await.unwrap();
    client.delete(key("b"), None).await.unwrap();
    let lost = anna.push(&seen, &after).await.unwrap_err();
    assert!(
        matches!(&lost, PushError::ChangedMeanwhile { documents, .. } if documents == &["b"]),
        "{lost}"
    );
    let seen = anna.read().await.unwrap();
    client.put(key("d"), "new", None).await.unwrap();
    let lost = anna.push(&seen, &after).await.unwrap_err();
    assert!(
        matches!(&lost, PushError::ChangedMeanwhile { documents, .. } if documents == &["d"]),
        "{lost}"
    );
    push_now(&anna, &[("a", "mine")]).await;
    assert_eq!(texts(&anna.read().await.unwrap()), [("a", "mine")].into());
}

#[tokio::test]
async fn ten_generations_are_kept_and_come_back() {
    let Some(server) = Etcd::start().await else {
        return;
    };
    let etcd = open(server.address());
    let lost = etcd.rollback(1, "bert").await.unwrap_err();
    assert!(lost.to_string().contains("nothing was pushed"), "{lost}");
    for number in 1..=13 {
        let text = format!("n: {number}");
        push_now(&etcd, &[("a", &text), ("same", "x")]).await;
    }
    let generations = async || -> Vec<u64> {
        let history = etcd.history().await.unwrap();
        history.iter().map(|head| head.generation).collect()
    };
    assert_eq!(generations().await, (4..=13).rev().collect::<Vec<_>>());
    let lost = etcd.rollback(3, "bert").await.unwrap_err();
    assert!(
        lost.to_string()
            .contains("13, 12, 11, 10, 9, 8, 7, 6, 5, 4"),
        "{lost}"
    );

    let back = etcd.rollback(4, "bert").await.unwrap();
    assert_eq!((back.head.generation, back.head.by.as_str()), (14, "bert"));
    assert_eq!(back.written, ["a"]);
    let read = etcd.read().await.unwrap();
    assert_eq!(texts(&read), [("a", "n: 4"), ("same", "x")].into());
    assert!(read.is_whole());
    assert_eq!(generations().await, (5..=14).rev().collect::<Vec<_>>());

    // Of texts only those are kept that the history names: ten of `a`, of which one is back, and one of `same`.
    let mut client = raw(server.address()).await;
    let blobs = etcd_client::GetOptions::new()
        .with_prefix()
        .with_count_only();
    let blobs = client
        .get("/linkgate/test/blobs/", Some(blobs))
        .await
        .unwrap();
    assert_eq!(blobs.count(), 11);
    // Without a head generations still go on.
    client.delete("/linkgate/test/head", None).await.unwrap();
    assert_eq!(push_now(&etcd, &[("a", "n: 4")]).await, 15);
}

#[tokio::test]
async fn a_push_of_hundreds_of_documents_takes_several_transactions() {
    let Some(server) = Etcd::start().await else {
        return;
    };
    let etcd = open(server.address());
    let text = "x".repeat(10_000);
    let names: Vec<String> = (0..300).map(|number| format!("{number:03}.yaml")).collect();
    let texts_now: Vec<String> = names.iter().map(|name| format!("{name} {text}")).collect();
    let all = |texts: &[String]| {
        let pairs = names.iter().zip(texts);
        let mut push = push(
            &pairs
                .map(|(name, text)| (name.as_str(), text.as_str()))
                .collect::<Vec<_>>(),
        );
        push.first = vec!["299.yaml".to_owned(), "150.yaml".to_owned()];
        push
    };
    let empty = etcd.read().await.unwrap();
    let pushed = etcd.push(&empty, &all(&texts_now)).await.unwrap();
    assert_eq!(pushed.written.len(), 300);
    assert_eq!(pushed.written[..3], ["299.yaml", "150.yaml", "000.yaml"]);
    let read = etcd.read().await.unwrap();
    assert_eq!(read.documents.len(), 300);
    assert!(read.is_whole());
    let version = |name: &str| read.documents[name].version;
    assert!(
        version("299.yaml") == version("150.yaml") && version("299.yaml") < version("298.yaml")
    );
    assert!(
        read.documents
            .values()
            .all(|one| one.version < read.head.as_ref().unwrap().version)
    );

    // Two at once: one is refused, whatever it had begun, and what it leaves can be mended.
    let (one, other): (Vec<_>, Vec<_>) = (
        texts_now.iter().map(|text| format!("one {text}")).collect(),
        texts_now
            .iter()
            .map(|text| format!("other {text}"))
            .collect(),
    );
    let twin = open(server.address());
    let (one, other) = (all(&one), all(&other));
    let (first, second) = tokio::join!(etcd.push(&read, &one), twin.push(&read, &other));
    assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
    let seen = etcd.read().await.unwrap();
    assert_eq!(seen.head().unwrap().generation, 2);
    etcd.push(&seen, &one).await.unwrap();
    let read = etcd.read().await.unwrap();
    assert!(read.is_whole());
    assert!(
        read.documents
            .values()
            .all(|one| one.text().unwrap().starts_with("one"))
    );

    // Back to the first, and all removed.
    etcd.rollback(1, "bert").await.unwrap();
    let read = etcd.read().await.unwrap();
    assert_eq!(
        read.documents["007.yaml"].text(),
        Some(texts_now[7].as_str())
    );
    etcd.push(&read, &push(&[])).await.unwrap();
    let read = etcd.read().await.unwrap();
    assert!(read.documents.is_empty() && read.is_whole());
}

#[tokio::test]
async fn large_documents_go_through_and_too_large_ones_are_told_apart() {
    let Some(server) = Etcd::start().await else {
        return;
    };
    let etcd = open(server.address());
    let largest = "x".repeat(1 << 20);
    push_now(&etcd, &[("a", &largest), ("b", "1")]).await;
    let read = etcd.read().await.unwrap();
    assert_eq!(read.documents["a"].text().map(str::len), Some(1 << 20));

    let mut client = raw(server.address()).await;
    client
        .put(key("b"), &b"b: 1\nc: \xff\n"[..], None)
        .await
        .unwrap();
    client
        .put(key("c"), format!("{largest}y"), None)
        .await
        .unwrap();
    let read = etcd.read().await.unwrap();
    let why = |name: &str| read.documents[name].content.clone().unwrap_err();
    assert_eq!(
        why("b"),
        Unreadable::NotUtf8 {
            line: 2,
            byte: 0xff
        }
    );
    assert_eq!(
        why("c"),
        Unreadable::TooLarge {
            bytes: (1 << 20) + 1
        }
    );
    assert!(read.documents["a"].text().is_some());

    let more = format!("{largest}y");
    for wrong in [
        push(&[("a", &more)]),
        push(&[("../a", "1")]),
        push(&[("", "1")]),
    ] {
        let lost = etcd.push(&read, &wrong).await.unwrap_err();
        assert!(
            matches!(lost, PushError::TooLarge { .. } | PushError::Name { .. }),
            "{lost}"
        );
    }
    // A push mends what nobody could read.
    push_now(&etcd, &[("a", "1"), ("b", "1")]).await;
    let mended = etcd.read().await.unwrap();
    assert_eq!(texts(&mended), [("a", "1"), ("b", "1")].into());
}

#[tokio::test]
async fn an_etcd_that_is_not_there_or_wants_another_user_is_explained() {
    let mut wanted = source(&[free_address(), free_address()]);
    wanted.timeout = Duration::from_millis(500).into();
    let error = within("it ends in time", Documents::new(wanted).read())
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            EtcdError::Unreachable { .. } | EtcdError::TimedOut { .. }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("`endpoints`"), "{error}");

    let Some(server) = Etcd::start().await else {
        return;
    };
    let mut client = raw(server.address()).await;
    client.user_add("root", "hunter1", None).await.unwrap();
    client.user_grant_role("root", "root").await.unwrap();
    client.user_add("linkgate", "hunter2", None).await.unwrap();
    client.role_add("reader").await.unwrap();
    let permission = etcd_client::Permission::read("/linkgate/test/").with_prefix();
    client
        .role_grant_permission("reader", permission)
        .await
        .unwrap();
    client.user_grant_role("linkgate", "reader").await.unwrap();
    client.auth_enable().await.unwrap();

    let error = open(server.address()).read().await.unwrap_err();
    assert!(matches!(error, EtcdError::Refused { .. }), "{error}");
    let with = |password: &str| {
        let url = format!(
            "etcd://linkgate:{password}@{}/linkgate/test",
            server.address()
        );
        Documents::new(EtcdSource::parse_url(&url).unwrap())
    };
    let error = with("hunter3").read().await.unwrap_err();
    assert!(matches!(error, EtcdError::Refused { .. }), "{error}");
    assert!(!error.to_string().contains("hunter"), "{error}");
    let reader = with("hunter2");
    let empty = reader.read().await.unwrap();
    assert!(!format!("{reader:?} {reader}").contains("hunter2"));
    let error = reader.push(&empty, &push(&[("a", "1")])).await.unwrap_err();
    let PushError::Etcd(EtcdError::Refused { who, prefix, .. }) = &error else {
        panic!("{error}");
    };
    assert_eq!(
        (who.as_str(), prefix.as_str()),
        ("`linkgate`", "/linkgate/test")
    );
}

#[tokio::test]
async fn an_etcd_is_reached_over_mutual_tls() {
    let Some(mut server) = Etcd::start().await else {
        return;
    };
    let authority = Authority::new();
    let address = server.secure(&authority);
    server.stop();
    server.resume().await;
    push_now(&open(server.address()), &[("a", "1")]).await;
    let with = |tls: EtcdTls| {
        let mut wanted = source(&[address]);
        wanted.tls = Some(tls);
        wanted.timeout = Duration::from_secs(1).into();
        Documents::new(wanted)
    };
    let file = |name: &str| Some(authority.file(name).into());
    let known = EtcdTls {
        ca: file("ca.pem"),
        cert: file("cert.pem"),
        key: file("key.pem"),
        domain: None,
    };
    let read = with(known.clone()).read().await.unwrap();
    assert_eq!(texts(&read), [("a", "1")].into());
    let stranger = EtcdTls {
        cert: None,
        key: None,
        ..known.clone()
    };
    let other = Authority::new();
    let deceived = EtcdTls {
        ca: Some(other.ca()),
        ..known.clone()
    };
    // That nobody showed a certificate may come as no more than a closed connection.
    let error = with(stranger).read().await.unwrap_err();
    assert!(matches!(error, EtcdError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("`tls`"), "{error}");
    let error = with(deceived).read().await.unwrap_err();
    assert!(matches!(error, EtcdError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("ertificate"), "{error}");
    let missing = EtcdTls {
        ca: Some("missing.pem".into()),
        ..known
    };
    let error = with(missing).read().await.unwrap_err();
    assert!(error.to_string().contains("missing.pem"), "{error}");
}
