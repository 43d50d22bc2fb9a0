//! What makes sense in a config, and what is said of the rest.

use super::*;

fn said(config: &str) -> String {
    let config: Config = serde_yaml::from_str(config).unwrap();
    Ring::of(&config).unwrap_err().to_string()
}

#[test]
fn a_key_is_read_in_any_of_its_spellings() {
    let bytes: Vec<u8> = (0xe0..=0xff).collect();
    for algorithm in Algorithm::ALL {
        let bytes = &bytes[32 - algorithm.key_len()..];
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let padded = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, bytes);
        let url = base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, bytes);
        for text in [
            &hex,
            &hex.to_uppercase(),
            &padded,
            &url,
            &format!("{hex}\n"),
        ] {
            assert_eq!(algorithm.read_key(text).as_deref(), Ok(bytes), "{text}");
        }
    }
}

#[test]
fn a_wrong_key_is_refused_and_not_repeated() {
    let texts = [
        "",
        "00",
        "not a key!",
        &K1[1..],
        &K1[..32],
        &K1.replace('0', "x"),
    ];
    for text in texts {
        let why = Algorithm::Aes256Gcm.read_key(text).unwrap_err();
        assert!(text.is_empty() || !why.contains(text), "{why}");
    }
    // 32 digits are the base64 of 24 bytes, and mean a key of another cipher.
    assert!(Algorithm::Aes192Gcm.read_key(&K1[..32]).is_err());
}

#[test]
fn the_config_says_all_that_is_wrong() {
    let problems = said(
        "{ algorithm: aes_128_gcm, active: newest, mode: interop, max_decompressed: 0B,
           compress: { method: zstd, min_size: 0B },
           keys: [{ id: a, key: short }, { id: a, key: 000102030405060708090a0b0c0d0e0f }, { id: \"\", key: 'MDAwMDAwMDAwMDAwMDAwMA==' }] }",
    );
    for what in [
        "active: no key has the id `newest`",
        "keys[0].key: the key",
        "keys[1].id: two keys have the id `a`",
        "keys[2].id",
        "compress:",
        "compress.min_size",
        "max_decompressed",
    ] {
        assert!(problems.contains(what), "{what} is not in: {problems}");
    }
    assert!(
        !problems.contains("0001020304") && !problems.contains("MDAw"),
        "{problems}"
    );
    assert!(said("{ keys: [] }").contains("1 to 16 keys"));
    let ring: Vec<_> = (0..17)
        .map(|n| format!("{{ id: k{n}, key: {K1} }}"))
        .collect();
    assert!(said(&format!("{{ keys: [{}] }}", ring.join(", "))).contains("not 17"));
}

#[test]
fn a_key_of_digits_alone_is_not_repeated() {
    let error = serde_yaml::from_str::<Config>("{ keys: [{ id: k, key: 12345678 }] }");
    let error = error.unwrap_err().to_string();
    assert!(!error.contains("1234"), "{error}");
}

#[test]
fn the_example_of_the_protocol_page_opens() {
    // Sealed by the Python of tests/peer.py: a change of the form locks clients out.
    let page = include_str!("../../../../docs/protocol.md");
    let (_, example) = page.split_once("```sealed\n").unwrap();
    let (sealed, _) = example.split_once("```").unwrap();
    let sealed: Vec<u8> = sealed
        .split_whitespace()
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect();
    let identity = alice().at_device("phone");
    let mut cipher = Cipher::new(ring(&old_and_new()), identity);
    assert_eq!(cipher.open(up("m-1"), &sealed).unwrap().clear, b"hello");
}
