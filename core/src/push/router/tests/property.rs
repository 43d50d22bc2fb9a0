//! Whatever happens to links and callers: each push ends once, in an outcome that the links' words bear out.

use proptest::prelude::*;

use super::*;
use crate::push::testing::TestLink;

#[derive(Clone, Debug)]
enum Step {
    Connect {
        user: u8,
        device: u8,
    },
    Push {
        user: u8,
        key: u8,
        ack: bool,
        all: bool,
        lives: Option<u64>,
    },
    /// The caller of a push goes away.
    Leave {
        caller: usize,
    },
    /// The oldest push of a link settles.
    Settle {
        link: usize,
        outcome: u8,
    },
    /// A link goes, and what stands in its queue fails, now or later.
    Gone {
        link: usize,
        settles: bool,
    },
    Pass {
        ms: u64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (0..3_u8, 0..2_u8).prop_map(|(user, device)| Step::Connect { user, device }),
        4 => (0..3_u8, 0..4_u8, any::<bool>(), any::<bool>(), prop::option::of(0..3_000_u64))
            .prop_map(|(user, key, ack, all, lives)| Step::Push { user, key, ack, all, lives }),
        1 => (0..20_usize).prop_map(|caller| Step::Leave { caller }),
        4 => (0..8_usize, 0..5_u8).prop_map(|(link, outcome)| Step::Settle { link, outcome }),
        2 => (0..8_usize, any::<bool>()).prop_map(|(link, settles)| Step::Gone { link, settles }),
        2 => (0..2_000_u64).prop_map(|ms| Step::Pass { ms }),
    ];
    prop::collection::vec(step, 1..60)
}

fn outcome(number: u8) -> Outcome {
    match number {
        0 | 1 => Outcome::accepted(""),
        2 => Outcome::sent(),
        3 => Outcome::Failed(Fault::client("push.window_full")),
        _ => Outcome::Unknown(gone().effect_unknown()),
    }
}

/// The users whose clients have confirmed a push, by key.
type Confirmed = Vec<(String, String)>;

fn settle(link: &TestLink, outcome: Outcome, confirmed: &mut Confirmed) {
    if let Some(message) = link.take() {
        if outcome == Outcome::accepted("") {
            let user_id = message.link.identity.user_id.to_string();
            confirmed.push((user_id, message.key.clone()));
        }
        message.settle(outcome);
    }
}

async fn play(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let limits = PushLimits {
        unsettled: 6,
        unsettled_per_biz: 5,
        max_wait: Duration::from_secs(5).into(),
        ..PushLimits::default()
    };
    let node = node_with(&limits);
    let (mut links, mut callers, mut confirmed) = (Vec::new(), Vec::new(), Vec::new());
    let mut sent = 0;
    for step in steps {
        match step {
            Step::Connect { user, device } => {
                let (user, device) = (format!("u{user}"), format!("d{device}"));
                links.push(node.links.connect(&user, Some(&device)));
            }
            Step::Push {
                user,
                key,
                ack,
                all,
                lives,
            } => {
                let (user, key) = (format!("u{user}"), format!("k{key}"));
                let expires_at = lives.map(|ms| node.soon(ms));
                let push = Push {
                    ack,
                    all,
                    expires_at,
                    ..push(&key)
                };
                callers.push((user.clone(), key, all, node.start(push, &user)));
                sent += 1;
            }
            Step::Leave { caller } => {
                if !callers.is_empty() {
                    let caller = caller % callers.len();
                    callers.swap_remove(caller).3.abort();
                }
            }
            Step::Settle {
                link,
                outcome: number,
            } => {
                if let Some(link) = links.get(link) {
                    settle(link, outcome(number), &mut confirmed);
                }
            }
            Step::Gone { link, settles } => {
                if link < links.len() {
                    let link = links.swap_remove(link);
                    node.links.remove(&link);
                    link.refuse(gone());
                    while settles && link.settle(Outcome::Failed(gone())) {}
                    if !settles {
                        links.push(link);
                    }
                }
            }
            Step::Pass { ms } => tokio::time::sleep(Duration::from_millis(ms)).await,
        }
        settle_down().await;
        prop_assert!(node.router.unsettled() <= 5);
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    settle_down().await;
    for (user, key, all, caller) in callers {
        prop_assert!(caller.is_finished(), "{user} {key} has no outcome");
        let outcome = caller.await.expect("the caller was not stopped");
        if outcome.status == Status::Delivered && !all {
            prop_assert!(confirmed.contains(&(user, key)), "delivered to nobody");
        }
        prop_assert_eq!(
            outcome.reason.is_some(),
            !matches!(outcome.status, Status::Delivered | Status::Sent)
        );
    }
    for link in links {
        while link.take().is_some() {}
    }
    prop_assert_eq!(node.router.limits.load(), Load::default());
    let metrics = node.router.metrics();
    prop_assert_eq!(metrics.unsettled.get(), 0);
    let all = [
        Status::Delivered,
        Status::Sent,
        Status::Offline,
        Status::Expired,
        Status::Rejected,
    ];
    let ended: u64 = all.into_iter().map(|status| metrics.count(status)).sum();
    prop_assert_eq!(ended + metrics.joined.get(), sent, "each push ends once");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_receiver_gets_exactly_one_outcome(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(play(steps))?;
    }
}
