//! Another implementation, written from the docs with Python's `cryptography`, opens what we seal and seals what we open.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use linkgate_decrypt::{Algorithm, Cipher, Config, Part, Place, Ring};
use linkgate_filter::{Direction, Identity};
use serde_json::{Value, json};

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

struct Python {
    process: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Python {
    /// The first `python3` that has the package: another one may hide the system's.
    fn start() -> Self {
        let has_package = |python: &&str| {
            let import = Command::new(python)
                .args(["-c", "import cryptography"])
                .output();
            import.is_ok_and(|output| output.status.success())
        };
        let python = ["python3", "/usr/bin/python3"]
            .into_iter()
            .find(has_package);
        let python =
            python.expect("python3 with `cryptography`: `scripts/packages.sh test` installs it");
        let mut process = Command::new(python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peer.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let asks = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        Self {
            process,
            asks,
            answers,
        }
    }

    fn ask(&mut self, ask: &Value) -> Vec<u8> {
        writeln!(self.asks, "{ask}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).expect("Python has answered");
        bytes(answer["text"].as_str().unwrap())
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // It ends at the end of its input; should it not, it must not stay behind.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

fn identities() -> [Identity; 2] {
    let user = Identity::new("chat", "Zoë-1");
    [user.clone(), user.at_device("phone")]
}

/// Every cipher, mode and place; compressed and not; with and without a device.
fn each_case(mut check: impl FnMut(&mut Cipher, Place<'_>, &Value, &[u8])) {
    let texts: [&[u8]; 3] = [b"", b"hello", &[b'x'; 5000]];
    for algorithm in Algorithm::ALL {
        for (mode, deflate) in [("sealed", false), ("sealed", true), ("interop", false)] {
            let key = &KEY[..2 * algorithm.key_len()];
            let compress = if deflate {
                "compress: { method: deflate },"
            } else {
                ""
            };
            let config = format!(
                "{{ {compress} algorithm: {}, mode: {mode}, keys: [{{ id: k-1, key: {key} }}] }}",
                algorithm.name()
            );
            let config: Config = serde_yaml::from_str(&config).unwrap();
            let ring = Arc::new(Ring::of(&config).unwrap());
            for identity in identities() {
                let names: Vec<_> = [&identity.biz_id, &identity.user_id]
                    .into_iter()
                    .chain(&identity.device_id)
                    .map(|name| name.to_string())
                    .collect();
                let mut cipher = Cipher::new(Arc::clone(&ring), identity);
                for (place, direction, part) in [
                    (
                        Place {
                            direction: Direction::Upstream,
                            part: Part::Message,
                            key: "m-é",
                        },
                        "up",
                        "message",
                    ),
                    (
                        Place {
                            direction: Direction::Downstream,
                            part: Part::Message,
                            key: "p-1",
                        },
                        "down",
                        "message",
                    ),
                    (
                        Place {
                            direction: Direction::Downstream,
                            part: Part::Answer,
                            key: "m-1",
                        },
                        "down",
                        "answer",
                    ),
                    (
                        Place {
                            direction: Direction::Upstream,
                            part: Part::Frame,
                            key: "",
                        },
                        "up",
                        "frame",
                    ),
                ] {
                    for text in texts {
                        let ask = json!({
                            "algorithm": algorithm.name(), "mode": mode, "deflate": deflate,
                            "ring": { "k-1": key }, "identity": names,
                            "direction": direction, "part": part, "key": place.key,
                        });
                        check(&mut cipher, place, &ask, text);
                    }
                }
            }
        }
    }
}

fn with(ask: &Value, what: &str, text: &[u8]) -> Value {
    let mut ask = ask.clone();
    (ask["do"], ask["text"]) = (json!(what), json!(hex(text)));
    ask
}

#[test]
fn python_opens_what_we_seal() {
    let mut python = Python::start();
    each_case(|cipher, place, ask, text| {
        let sealed = cipher.seal(place, text).unwrap();
        assert_eq!(python.ask(&with(ask, "open", &sealed)), text, "{ask}");
    });
}

#[test]
fn we_open_what_python_seals() {
    let mut python = Python::start();
    each_case(|cipher, place, ask, text| {
        let sealed = python.ask(&with(ask, "seal", text));
        assert_eq!(cipher.open(place, &sealed).unwrap().clear, text, "{ask}");
    });
}
