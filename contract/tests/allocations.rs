//! What the runner itself allocates: nothing for a message, little for an idle link.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "common/plain.rs"]
mod plain;

use std::sync::Arc;
use std::task::{Context, Waker};

use allocation_counter::measure;
use linkgate_filter::runner::Chains;
use linkgate_filter::testkit::Testkit;
use linkgate_filter::{Command, Identity, LinkInfo, Message, Outcome};

const PASS: &str = "[{ id: a, use: pass }, { id: b, use: pass }, { id: c, use: pass }, { id: d, use: pass }, \
                     { id: e, use: pass }, { use: answer }]";
const RECEIPTS: &str = "[{ id: a, use: receipts }, { id: b, use: receipts }, { id: c, use: receipts }, \
                         { id: d, use: receipts }, { use: answer }]";
const LATER: &str = "[{ id: a, use: receipts }, { use: test_end }]";
const FIVE: &str = "[{ id: a, use: pass }, { id: b, use: pass }, { id: c, use: pass }, { id: d, use: pass }, \
                     { use: answer }]";

fn link(kit: &Testkit) -> (Arc<LinkInfo>, Chains) {
    let info = Arc::new(LinkInfo::new(1, Identity::new("chat", "alice")));
    let chains = Chains::open(kit.own(), &info);
    (info, chains)
}

/// What a link's task does with one message, back and forth.
fn round(chains: &mut Chains, m: Message) -> Option<Message> {
    chains.tick();
    chains.upstream(m);
    chains.poll(&mut Context::from_waker(Waker::noop()));
    chains.next_outgoing()
}

fn allocations_of_rounds(entries: &str) -> u64 {
    let kit = Testkit::new(plain::registry(), entries);
    let (info, mut chains) = link(&kit);
    let mut m = Message::new(info, Command::UpstreamMessage, "key", "body");
    let mut go = |times| {
        for _ in 0..times {
            let mut back = round(&mut chains, m.copy()).unwrap();
            assert_eq!(
                back.command.replace(Command::UpstreamMessage),
                Some(Command::UpstreamAck)
            );
            m = back;
        }
    };
    go(16);
    // The copy's key is the test's own allocation.
    measure(|| go(100)).count_total - 100
}

#[tokio::test(start_paused = true)]
async fn a_message_through_five_filters_and_back_allocates_nothing() {
    assert_eq!(allocations_of_rounds(PASS), 0);
}

#[tokio::test(start_paused = true)]
async fn receipts_allocate_nothing() {
    assert_eq!(allocations_of_rounds(RECEIPTS), 0);
}

#[tokio::test(start_paused = true)]
async fn outcomes_from_elsewhere_allocate_nothing() {
    let kit = Testkit::new(plain::registry(), LATER);
    let (info, mut chains) = link(&kit);
    let mut go = |times| {
        let mut allocated = 0;
        for _ in 0..times {
            let m = Message::new(Arc::clone(&info), Command::UpstreamMessage, "key", "body");
            round(&mut chains, m);
            let taken = kit.taken();
            allocated += measure(|| {
                taken.into_iter().for_each(|m| m.settle(Outcome::sent()));
                chains.tick();
                chains.poll(&mut Context::from_waker(Waker::noop()));
            })
            .count_total;
        }
        allocated
    };
    go(16);
    assert_eq!(go(100), 0);
    assert_eq!(chains.load().messages, 0);
}

#[tokio::test(start_paused = true)]
async fn an_idle_link_of_five_filters_costs_little() {
    const OPENED: i64 = 800;
    const RESTED: i64 = 64;
    let kit = Testkit::new(plain::registry(), FIVE);
    let info = Arc::new(LinkInfo::new(1, Identity::new("chat", "alice")));
    let mut chains = None;
    let opened = measure(|| chains = Some(Box::new(Chains::open(kit.own(), &info)))).bytes_current;
    assert!(
        opened <= OPENED,
        "{opened} bytes for a link that was just opened"
    );
    let mut chains = chains.unwrap();
    let mut m = Message::new(Arc::clone(&info), Command::UpstreamMessage, "key", "body");
    let used = measure(|| {
        for _ in 0..100 {
            let mut back = round(&mut chains, m.copy()).unwrap();
            back.command = Some(Command::UpstreamMessage);
            m = back;
        }
        chains.rest();
    })
    .bytes_current;
    assert!(
        used <= RESTED,
        "{used} bytes more for a link that has worked and rests"
    );
}
