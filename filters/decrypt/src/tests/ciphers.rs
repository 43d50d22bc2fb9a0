//! A cipher alone: what it opens, what it refuses, and what both cost.

use proptest::prelude::*;

use super::*;

#[test]
fn a_change_of_any_byte_is_refused() {
    for mode in ["sealed", "interop"] {
        let config = format!("{}, mode: {mode}", old_and_new());
        let mut client = client(&config);
        let sealed = client.seal(up("k"), b"hello").unwrap();
        for at in 0..sealed.len() {
            for flip in [1, 0x80] {
                let mut changed = sealed.clone();
                changed[at] ^= flip;
                assert!(client.open(up("k"), &changed).is_err(), "{mode}: byte {at}");
            }
            assert!(
                client.open(up("k"), &sealed[..at]).is_err(),
                "{mode}: cut at {at}"
            );
        }
        assert!(client.open(up("k"), &[&sealed[..], &[0]].concat()).is_err());
        assert_eq!(client.open(up("k"), &sealed).unwrap().clear, b"hello");
    }
}

/// Parts that run into each other when written side by side.
#[test]
fn links_with_similar_names_have_different_keys() {
    let ring = ring(&old_and_new());
    let identities = [
        Identity::new("ab", "c"),
        Identity::new("a", "bc"),
        Identity::new("ab", "").at_device("c"),
        Identity::new("ab", "c").at_device(""),
    ];
    let mut ciphers = identities.map(|identity| Cipher::new(Arc::clone(&ring), identity));
    for sealer in 0..ciphers.len() {
        let sealed = ciphers[sealer].seal(up("k"), b"hello").unwrap();
        for (opener, cipher) in ciphers.iter_mut().enumerate() {
            let opens = cipher.open(up("k"), &sealed).is_ok();
            assert_eq!(opens, opener == sealer, "{sealer} to {opener}");
        }
    }
}

#[test]
fn compression_is_used_where_it_helps() {
    // Sealed bytes are as good as random ones.
    let random = client(&old_and_new()).seal(up("k"), &[0; 1000]).unwrap();
    for (method, flag) in [("deflate", 1), ("zstd", 2)] {
        let config = format!(
            "{}, compress: {{ method: {method}, min_size: 100B }}",
            old_and_new()
        );
        let mut client = client(&config);
        let (long, short) = ([b'a'; 1000], [b'a'; 99]);
        for (text, compressed) in [(&long[..], true), (&short[..], false), (&random[..], false)] {
            let sealed = client.seal(up("k"), text).unwrap();
            assert_eq!(sealed[1], if compressed { flag } else { 0 }, "{method}");
            assert_eq!(sealed.len() < text.len(), compressed);
            assert_eq!(client.open(up("k"), &sealed).unwrap().clear, text);
        }
    }
}

#[test]
fn a_bomb_takes_no_more_memory_than_it_may() {
    let text = vec![0; 60 << 20];
    for method in ["deflate", "zstd"] {
        let compressing = format!("{}, compress: {{ method: {method} }}", old_and_new());
        let bomb = client(&compressing).seal(up("k"), &text).unwrap();
        assert!(bomb.len() < 1 << 20);
        let mut gateway = client(&format!("{}, max_decompressed: 100KiB", old_and_new()));
        let used = allocation_counter::measure(|| {
            assert_eq!(gateway.open(up("k"), &bomb), Err(Refused::TooLarge));
        });
        assert!(
            used.bytes_max < 1 << 20,
            "{method}: {} bytes",
            used.bytes_max
        );
    }
}

#[test]
fn opening_takes_memory_for_the_text_alone() {
    let mut gateway = client(&old_and_new());
    let sealed = gateway.seal(up("k"), &[7; 10_000]).unwrap();
    let short = &sealed[..30];
    gateway.open(up("k"), &sealed).unwrap();
    let used = allocation_counter::measure(|| drop(gateway.open(up("k"), &sealed)));
    assert!(used.bytes_max < 11_000, "{} bytes", used.bytes_max);
    let used = allocation_counter::measure(|| drop(gateway.open(up("k"), short)));
    assert!(used.bytes_max < 1_000, "{} bytes", used.bytes_max);
}

#[test]
fn nothing_shows_a_key() {
    let config: Config = serde_yaml::from_str(&format!("{{ {} }}", old_and_new())).unwrap();
    let shown = format!(
        "{config:?} {:?} {:?}",
        ring(&old_and_new()),
        client(&old_and_new())
    );
    assert!(
        !shown.contains(K1) && !shown.contains("[0, 1, 2"),
        "{shown}"
    );
}

fn any_algorithm() -> impl Strategy<Value = Algorithm> {
    proptest::sample::select(&Algorithm::ALL[..])
}

proptest! {
    #[test]
    fn what_is_sealed_opens_to_the_same(
        algorithm in any_algorithm(), interop: bool, compress in 0..3,
        user in ".{0,9}", device in proptest::option::of(".{0,9}"),
        key in ".{0,9}", text in proptest::collection::vec(0..4_u8, 0..2000),
    ) {
        let mode = if interop { "mode: interop" } else {
            ["mode: sealed", "compress: { method: zstd }", "compress: { method: deflate }"][compress as usize]
        };
        let ring = ring(&format!("{}, {mode}", keys(algorithm, &[("k", K1)])));
        let mut identity = Identity::new("chat", &user);
        identity.device_id = device.as_deref().map(Into::into);
        let mut ends = [(); 2].map(|()| Cipher::new(Arc::clone(&ring), identity.clone()));
        let sealed = ends[0].seal(up(&key), &text).unwrap();
        prop_assert_eq!(ends[1].open(up(&key), &sealed).unwrap().clear, text);
    }

    #[test]
    fn any_bytes_are_refused(interop: bool, bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mode = if interop { "interop" } else { "sealed" };
        let mut client = client(&format!("{}, mode: {mode}", old_and_new()));
        prop_assert!(client.open(up("k"), &bytes).is_err());
        let header = [&[1, 0, 3][..], b"old", &bytes].concat();
        prop_assert!(client.open(up("k"), &header).is_err());
    }
}
