//! Whatever the broker has room for, and however it confirms: records stand in the order of each link's messages, and each
//! message is answered once.

use std::collections::HashMap;

use proptest::prelude::*;

use super::rig::{self, JOINED, PLAIN, kit_of};
use super::scripted::Scripted;

const USERS: [&str; 3] = ["ann", "bob", "cem"];

#[derive(Clone, Debug)]
enum Step {
    /// A user sends.
    Send(usize),
    /// The broker confirms its oldest record.
    Confirm,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (0..USERS.len()).prop_map(Step::Send),
        1 => Just(Step::Confirm),
    ];
    prop::collection::vec(step, 1..60)
}

async fn run(steps: Vec<Step>, room: usize, before: &str, count: usize) {
    let broker = Scripted::with_room(room);
    let kit = kit_of(&broker, before, count, "wait_for_room: 1h");
    let mut links = USERS.map(|user| rig::link(&kit, user));
    let mut sent: HashMap<&str, Vec<String>> = HashMap::new();
    for (number, step) in steps.into_iter().enumerate() {
        match step {
            Step::Send(user) => {
                let key = format!("{}-{number}", USERS[user]);
                links[user].send(&[&key]).await;
                sent.entry(USERS[user]).or_default().push(key);
            }
            Step::Confirm => {
                broker.confirm_oldest();
            }
        }
    }
    // What has not filled a joined message stays where it is joined; the rest has to arrive.
    let mut idle = 0;
    while idle < 2 {
        idle = if broker.confirm_oldest() { 0 } else { idle + 1 };
        for link in &mut links {
            link.run().await;
        }
    }
    let taken = broker.keys();
    let all: usize = sent.values().map(Vec::len).sum();
    assert_eq!(taken.len(), all - all % count);
    for (link, user) in links.iter_mut().zip(USERS) {
        let mut of_user: Vec<_> = taken
            .iter()
            .filter(|key| key.starts_with(user))
            .cloned()
            .collect();
        let sent = sent.remove(user).unwrap_or_default();
        assert_eq!(of_user, sent[..of_user.len()], "the order sent");
        let mut answers = link.answers().await;
        answers.sort();
        of_user.iter_mut().for_each(|key| key.push_str(" ACK"));
        of_user.sort();
        assert_eq!(answers, of_user, "each is answered once");
    }
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(future);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_link_keeps_its_order_through_a_full_queue(steps in steps(), room in 1..4_usize) {
        block_on(run(steps, room, PLAIN, 1));
    }

    #[test]
    fn so_do_joined_messages(steps in steps(), room in 1..4_usize, count in 1..7_usize) {
        block_on(run(steps, room, JOINED, count));
    }
}
