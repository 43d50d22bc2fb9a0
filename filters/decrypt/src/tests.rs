//! What a client and a backend see of the filter; [`client`] is the other end of its cipher.

mod ciphers;
mod configs;

use linkgate_filter::testkit::{TestLink, Testkit};
use linkgate_filter::{CloseCode, Command, Direction, Identity, Message, Outcome, Registry};

use super::*;

const K1: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const K2: &str = "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f";

/// The inside of a config: the cipher and these keys of the right length, the first of them active.
fn keys(algorithm: Algorithm, keys: &[(&str, &str)]) -> String {
    let key = |(id, key): &(&str, &str)| {
        let text = &key[..2 * algorithm.key_len()];
        format!("{{ id: \"{id}\", key: \"{text}\" }}")
    };
    let list: Vec<_> = keys.iter().map(key).collect();
    format!(
        "algorithm: {}, keys: [{}]",
        algorithm.name(),
        list.join(", ")
    )
}

fn old_and_new() -> String {
    keys(Algorithm::Aes256Gcm, &[("old", K1), ("new", K2)])
}

fn ring(config: &str) -> Arc<Ring> {
    let config: Config = serde_yaml::from_str(&format!("{{ {config} }}")).unwrap();
    Arc::new(Ring::of(&config).unwrap_or_else(|problems| panic!("{problems}")))
}

fn alice() -> Identity {
    Identity::new(Testkit::BIZ_ID, "alice")
}

/// The client's end of alice's link.
fn client(config: &str) -> Cipher {
    Cipher::new(ring(config), alice())
}

fn up(key: &str) -> Place<'_> {
    Place {
        direction: Direction::Upstream,
        part: Part::Message,
        key,
    }
}

fn down(part: Part, key: &str) -> Place<'_> {
    Place {
        direction: Direction::Downstream,
        part,
        key,
    }
}

fn entries(config: &str) -> String {
    format!(
        "[{{ use: test_decoded }}, {{ use: decrypt, config: {{ {config} }} }}, {{ use: test_end }}]"
    )
}

fn kit(config: &str) -> Testkit {
    Testkit::new(Registry::new().with::<Decrypt>(), &entries(config))
}

/// What the filter has counted under this name.
fn counted(kit: &Testkit, event: &str) -> u64 {
    let events = kit.own().slots()[1].meter().events();
    let found = events.iter().find(|(name, _)| *name == event);
    found.unwrap_or_else(|| panic!("{event} is not counted")).1
}

/// The one message that has reached the backend: its body.
fn arrived(kit: &Testkit) -> Vec<u8> {
    let [m] = kit.taken().try_into().expect("one message");
    let body = m.body.to_vec();
    m.settle(Outcome::accepted(""));
    body
}

fn received(link: &mut TestLink) -> Message {
    let [m] = link.received().try_into().expect("one message");
    m
}

#[tokio::test(start_paused = true)]
async fn bodies_are_opened_upstream_and_sealed_downstream() {
    for algorithm in Algorithm::ALL {
        for mode in ["sealed", "interop"] {
            let config = format!("{}, mode: {mode}", keys(algorithm, &[("k", K1)]));
            let (kit, mut client) = (kit(&config), client(&config));
            let mut link = kit.link("alice");
            link.business("m-1", client.seal(up("m-1"), b"hello").unwrap());
            assert_eq!(arrived(&kit), b"hello", "{algorithm:?} {mode}");

            link.push("p-1", "news");
            let push = received(&mut link);
            assert_eq!(push.key, "p-1", "the key stays in clear");
            let opened = client.open(down(Part::Message, "p-1"), &push.body).unwrap();
            assert_eq!(opened.clear, b"news");
            assert_eq!((counted(&kit, "opened"), counted(&kit, "sealed")), (1, 1));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_no_body_passes_as_it_is() {
    let kit = kit(&old_and_new());
    let mut link = kit.link("alice");
    for command in [Command::Heartbeat, Command::DownstreamAck] {
        link.send(command, "k", "as it is");
    }
    let unclaimed = kit.own().meter().faults();
    assert_eq!(
        unclaimed,
        [("link.unclaimed".to_owned(), 2)],
        "they came through"
    );
    for command in [
        Command::Redirect,
        Command::UpstreamNack,
        Command::RateLimitExceeded,
    ] {
        link.push_with("k", "as it is", |mut m| {
            m.command = Some(command);
            m
        });
        assert_eq!(received(&mut link).body, "as it is", "{command:?}");
    }
    assert_eq!((counted(&kit, "opened"), counted(&kit, "sealed")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn every_reason_to_refuse_is_told_alike_and_counted_apart() {
    let config = format!("{}, max_decompressed: 1KiB", old_and_new());
    let sealed = client(&config).seal(up("k"), b"hello").unwrap();
    let stranger = Cipher::new(ring(&config), Identity::new(Testkit::BIZ_ID, "mallory"));
    let other_key = keys(Algorithm::Aes256Gcm, &[("old", K2)]);
    let unknown = keys(Algorithm::Aes256Gcm, &[("lost", K1)]);
    let bomb = format!("{config}, compress: {{ method: zstd }}");
    let cases = [
        ("refused_malformed", Vec::new()),
        ("refused_malformed", sealed[..20].to_vec()),
        ("refused_malformed", [&[2], &sealed[1..]].concat()),
        ("refused_malformed", [&[1, 3], &sealed[2..]].concat()),
        (
            "refused_unknown_key",
            client(&unknown).seal(up("k"), b"hello").unwrap(),
        ),
        (
            "refused_forged",
            client(&other_key).seal(up("k"), b"hello").unwrap(),
        ),
        (
            "refused_forged",
            { stranger }.seal(up("k"), b"hello").unwrap(),
        ),
        (
            "refused_forged",
            client(&config).seal(up("j"), b"hello").unwrap(),
        ),
        (
            "refused_forged",
            client(&config)
                .seal(down(Part::Message, "k"), b"hello")
                .unwrap(),
        ),
        (
            "refused_too_large",
            client(&bomb).seal(up("k"), &[0; 1025]).unwrap(),
        ),
    ];
    for (event, body) in cases {
        let kit = kit(&config);
        let mut link = kit.link("alice");
        link.business("k", body);
        assert!(kit.taken().is_empty(), "{event}");
        let nack = received(&mut link);
        assert_eq!(
            (nack.command, nack.key.as_str()),
            (Some(Command::UpstreamNack), "k")
        );
        let fault = nack.fault.unwrap();
        assert_eq!(
            *fault,
            linkgate_filter::Fault::client(REFUSED).detail("the message cannot be opened")
        );
        assert_eq!(
            (counted(&kit, event), link.close_wanted()),
            (1, None),
            "{event}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_is_closed_where_the_config_says_so() {
    let kit = kit(&format!("{}, on_refused: close", old_and_new()));
    let mut link = kit.link("alice");
    link.business("k", "in clear");
    assert_eq!(received(&mut link).command, Some(Command::UpstreamNack));
    assert_eq!(link.close_wanted(), Some(CloseCode::GARBAGE));
}

#[tokio::test(start_paused = true)]
async fn a_reload_rotates_the_keys() {
    let before = keys(Algorithm::Aes256Gcm, &[("old", K1)]);
    let kit = kit(&before);
    let mut link = kit.link("alice");
    let mut old = client(&before);
    let steps = [
        // Listed, so that clients can be given it.
        (format!("{}, active: old", old_and_new()), true, "old"),
        (format!("{}, active: new", old_and_new()), true, "new"),
        (keys(Algorithm::Aes256Gcm, &[("new", K2)]), false, "new"),
    ];
    for (config, old_opens, seals) in steps {
        let changed = kit.pipeline(&entries(&config));
        link.change(&changed, std::time::Duration::from_secs(1));
        link.run().await;
        link.business("k", old.seal(up("k"), b"by the old key").unwrap());
        if old_opens {
            assert_eq!(arrived(&kit), b"by the old key");
        } else {
            assert_eq!(received(&mut link).command, Some(Command::UpstreamNack));
        }
        link.push("p", "news");
        link.run().await;
        let push = received(&mut link);
        let opened = client(&config)
            .open(down(Part::Message, "p"), &push.body)
            .unwrap();
        assert!(opened.by_active_key);
        assert_eq!(&push.body[3..3 + seals.len()], seals.as_bytes());
        let events = changed.slots()[1].meter().events();
        let by_old = events
            .iter()
            .find(|(name, _)| *name == "opened_by_old_key")
            .unwrap()
            .1;
        assert_eq!(by_old, u64::from(seals == "new" && old_opens));
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_link_keeps_its_cipher_when_the_config_changes() {
    let before = keys(Algorithm::Aes256Gcm, &[("k", K1)]);
    let kit = kit(&before);
    let mut link = kit.link("alice");
    let config = keys(Algorithm::ChaCha20Poly1305, &[("k2", K2)]);
    let changed = kit.pipeline(&entries(&config));
    link.change(&changed, std::time::Duration::from_secs(1));
    link.push("p", "news");
    let push = received(&mut link);
    let opened = client(&before).open(down(Part::Message, "p"), &push.body);
    assert_eq!(opened.unwrap().clear, b"news");
}

#[tokio::test(start_paused = true)]
async fn the_same_text_is_never_sealed_the_same_way() {
    let kit = kit(&old_and_new());
    let mut link = kit.link("alice");
    link.push("p", "news");
    link.push("p", "news");
    let [one, two] = link.received().try_into().unwrap();
    assert_ne!(one.body, two.body);
}

/// Before a codec messages are whole frames; here none stands behind, so the test sends and settles frames.
#[tokio::test(start_paused = true)]
async fn frames_keep_their_kind() {
    let config = old_and_new();
    let end = format!("[{{ use: decrypt, config: {{ {config} }} }}, {{ use: test_end }}]");
    let kit = Testkit::new(Registry::new().with::<Decrypt>(), &end);
    let mut client = client(&config);
    let frame = |direction| Place {
        direction,
        part: Part::Frame,
        key: "",
    };
    for text in [false, true] {
        let mut link = kit.link("alice");
        let sealed = client.seal(frame(Direction::Upstream), b"{}").unwrap();
        let encoded = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, &sealed);
        link.frame(if text { encoded.into_bytes() } else { sealed }, text);
        let [m] = kit.taken().try_into().unwrap();
        assert_eq!((&m.body[..], m.text), (&b"{}"[..], text));

        link.push_with("", "a frame", |mut m| {
            (m.command, m.text) = (None, text);
            m
        });
        let m = received(&mut link);
        assert_eq!(m.text, text);
        let sealed = if text {
            base64::Engine::decode(&base64::prelude::BASE64_STANDARD, &m.body).unwrap()
        } else {
            m.body.to_vec()
        };
        let opened = client.open(frame(Direction::Downstream), &sealed).unwrap();
        assert_eq!(opened.clear, b"a frame");

        link.frame("neither sealed nor base64", text);
        assert_eq!(link.close_wanted(), Some(CloseCode::GARBAGE));
        assert!(link.received().is_empty() && kit.taken().is_empty());
    }
}
