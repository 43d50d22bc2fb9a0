//! When a batch goes, what is in it, and what waits.

use std::time::Duration;

use linkgate_filter::runner::Limits;
use linkgate_filter::testkit::{TestLink, Testkit};
use linkgate_filter::{Command, Outcome};

use super::rig::{
    accept, advance, answers, entries, failed, kit, kit_with, run, send, settle, texts,
};

const MS: Duration = Duration::from_millis(1);

/// Gathers until a batch is full or has waited for ten milliseconds.
const PATIENT: &str = "{ adaptive: false, max_wait: 10ms, max_messages: 4 }";

fn links(kit: &Testkit) -> Vec<TestLink> {
    ["alice", "bob", "carol"].map(|user| kit.link(user)).into()
}

fn event(kit: &Testkit, name: &str) -> u64 {
    let events = kit.own().slots()[2].meter().events();
    let found = events.iter().find(|(event, _)| *event == name);
    found.map_or(0, |(_, count)| *count)
}

#[tokio::test(start_paused = true)]
async fn a_full_batch_goes_at_once_with_messages_of_many_links() {
    let kit = kit(PATIENT);
    let mut links = links(&kit);
    send(&mut links, &["a1", "b1", "a2", "c1", "b2"]).await;
    let batches = kit.taken();
    // The links in turn, each link's messages in its order.
    assert_eq!(texts(&batches), ["a1 a2 b1 c1"]);
    assert_eq!((event(&kit, "batches"), event(&kit, "messages")), (1, 4));
    assert_eq!(event(&kit, "full"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_does_not_fill_goes_when_its_first_message_has_waited() {
    let kit = kit(PATIENT);
    let mut links = links(&kit);
    send(&mut links, &["a1"]).await;
    advance(&mut links, 6 * MS).await;
    send(&mut links, &["b1"]).await;
    advance(&mut links, 3 * MS).await;
    assert_eq!(texts(&kit.taken()), [""; 0]);
    advance(&mut links, MS).await;
    let batches = kit.taken();
    assert_eq!(texts(&batches), ["a1 b1"]);
    // The next one begins to wait anew, and a single message is a batch too.
    send(&mut links, &["c1"]).await;
    advance(&mut links, 9 * MS).await;
    assert_eq!(texts(&kit.taken()), [""; 0]);
    advance(&mut links, MS).await;
    let single = kit.taken();
    assert_eq!(texts(&single), ["c1"]);
    assert_eq!(event(&kit, "full"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_batch_weighs_no_more_than_allowed_and_what_weighs_more_goes_alone() {
    let kit = kit("{ adaptive: false, max_wait: 10ms, max_bytes: 1KiB }");
    let mut links = links(&kit);
    // Each weighs 128 bytes by itself, so the third does not fit any more.
    for (link, key, size) in [
        (0, "a1", 300),
        (1, "b1", 300),
        (2, "c1", 300),
        (0, "a2", 4000),
    ] {
        links[link].business(key, vec![b'x'; size]);
    }
    run(&mut links).await;
    let first = kit.taken();
    assert_eq!(texts(&first), ["a1 b1"]);
    first.into_iter().for_each(accept);
    run(&mut links).await;
    assert_eq!(texts(&kit.taken()), ["c1", "a2"]);
}

#[tokio::test(start_paused = true)]
async fn adaptive_sends_at_once_when_nothing_is_in_flight_and_gathers_meanwhile() {
    let kit = kit("{ max_wait: 1m }");
    let mut links = links(&kit);
    send(&mut links, &["a1"]).await;
    let mut first = kit.taken();
    assert_eq!(texts(&first), ["a1"]);
    send(&mut links, &["b1", "c1", "b2"]).await;
    advance(&mut links, 100 * MS).await;
    assert_eq!(texts(&kit.taken()), [""; 0]);
    accept(first.remove(0));
    run(&mut links).await;
    assert_eq!(texts(&kit.taken()), ["b1 b2 c1"]);
}

#[tokio::test(start_paused = true)]
async fn adaptive_sends_beside_one_in_flight_what_is_full_or_has_waited() {
    let kit = kit("{ max_wait: 10ms, max_messages: 2 }");
    let mut links = links(&kit);
    send(&mut links, &["a1"]).await;
    send(&mut links, &["b1", "b2"]).await;
    let flying = kit.taken();
    assert_eq!(texts(&flying), ["a1", "b1 b2"]);
    send(&mut links, &["c1"]).await;
    assert_eq!(texts(&kit.taken()), [""; 0]);
    advance(&mut links, 10 * MS).await;
    assert_eq!(texts(&kit.taken()), ["c1"]);
}

#[tokio::test(start_paused = true)]
async fn a_links_next_message_waits_for_those_in_flight_and_others_go() {
    let kit = kit("{ max_wait: 0s, max_messages: 2 }");
    let mut links = links(&kit);
    send(&mut links, &["a1", "a2", "a3", "b1"]).await;
    // With no wait the first one goes alone.
    let mut flying = kit.taken();
    assert_eq!(texts(&flying), ["a1", "b1"]);
    accept(flying.remove(0));
    run(&mut links).await;
    let mut next = kit.taken();
    assert_eq!(texts(&next), ["a2 a3"]);
    send(&mut links, &["a4", "c1"]).await;
    assert_eq!(texts(&kit.taken()), ["c1"]);
    settle(next.remove(0), |_| failed());
    run(&mut links).await;
    assert_eq!(
        texts(&kit.taken()),
        ["a4"],
        "what came to nothing has settled too"
    );
    assert_eq!(
        answers(&mut links[0]),
        ["a1 ok", "a2 test.failed", "a3 test.failed"]
    );
}

#[tokio::test(start_paused = true)]
async fn without_order_a_links_messages_go_in_several_batches() {
    let kit = kit("{ max_wait: 0s, ordering: none, max_in_flight: 3, max_messages: 2 }");
    let mut links = links(&kit);
    send(&mut links, &["a1", "a2", "b1", "a3", "a4", "b2"]).await;
    let flying = kit.taken();
    assert_eq!(texts(&flying), ["a1", "a2", "b1"]);
    flying.into_iter().for_each(accept);
    run(&mut links).await;
    assert_eq!(texts(&kit.taken()), ["a3 a4", "b2"]);
}

#[tokio::test(start_paused = true)]
async fn no_more_batches_are_in_flight_than_allowed() {
    let kit = kit("{ max_wait: 1ms, max_in_flight: 2 }");
    let mut links = links(&kit);
    let mut flying = Vec::new();
    for key in ["a1", "b1", "c1"] {
        send(&mut links, &[key]).await;
        advance(&mut links, MS).await;
        flying.extend(kit.taken());
    }
    advance(&mut links, 100 * MS).await;
    flying.extend(kit.taken());
    assert_eq!(texts(&flying), ["a1", "b1"]);
    accept(flying.remove(1));
    run(&mut links).await;
    assert_eq!(texts(&kit.taken()), ["c1"], "it has waited long enough");
}

#[tokio::test(start_paused = true)]
async fn each_part_settles_by_itself() {
    let kit = kit("{ adaptive: false, max_wait: 10ms, max_messages: 3 }");
    let mut links = links(&kit);
    send(&mut links, &["a1", "b1", "a2"]).await;
    let batch = kit.taken().remove(0);
    settle(batch, |key| match key {
        "a2" => failed(),
        _ => Outcome::accepted(""),
    });
    run(&mut links).await;
    assert_eq!(answers(&mut links[0]), ["a1 ok", "a2 test.failed"]);
    assert_eq!(answers(&mut links[1]), ["b1 ok"]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_dropped_holds_nobody_up() {
    let kit = kit("{ max_wait: 1m }");
    let mut links = links(&kit);
    send(&mut links, &["a1", "a2", "b1"]).await;
    drop(kit.taken());
    run(&mut links).await;
    assert_eq!(texts(&kit.taken()), ["b1 a2"]);
    assert_eq!(answers(&mut links[0]), ["a1 gateway.dropped"]);
}

#[tokio::test(start_paused = true)]
async fn a_reload_sends_what_was_gathered_and_keeps_the_order() {
    let kit = kit("{ adaptive: false, max_wait: 1m, max_messages: 100 }");
    let mut links = links(&kit);
    let old = kit.pipeline(&entries("{ adaptive: false, max_wait: 1m }"));
    links[0].change(&old, 10 * MS);
    drop(old);
    run(&mut links).await;
    // The old one is held by the link alone: it closes when the link lets go of it at the deadline.
    send(&mut links, &["a1", "a2"]).await;
    links[0].change(kit.own(), 10 * MS);
    send(&mut links, &["a3"]).await;
    assert_eq!(texts(&kit.taken()), [""; 0]);
    advance(&mut links, 10 * MS).await;
    let flushed = kit.taken();
    assert_eq!(texts(&flushed), ["a1 a2"]);
    assert_eq!(
        answers(&mut links[0]),
        ["a1 link.retired", "a2 link.retired"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_that_retires_sends_what_was_gathered_and_what_still_comes() {
    let kit = kit("{ adaptive: false, max_wait: 1m, max_in_flight: 2 }");
    let mut links = links(&kit);
    send(&mut links, &["a1", "b1"]).await;
    assert_eq!(texts(&kit.taken()), [""; 0]);
    kit.own().retire();
    run(&mut links).await;
    let gathered = kit.taken();
    assert_eq!(texts(&gathered), ["a1 b1"]);
    send(&mut links, &["c1", "a2"]).await;
    assert_eq!(texts(&kit.taken()), ["c1"], "a2 waits for a1");
    gathered.into_iter().for_each(accept);
    run(&mut links).await;
    assert_eq!(texts(&kit.taken()), ["a2"]);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_its_link_when_the_shard_closes_goes_after_it() {
    let kit = kit("{}");
    let mut links = links(&kit);
    let old = kit.pipeline(&entries("{ max_wait: 1m }"));
    links[0].change(&old, 10 * MS);
    drop(old);
    send(&mut links, &["a1"]).await;
    send(&mut links, &["a2", "a3"]).await;
    let mut first = kit.taken();
    assert_eq!(texts(&first), ["a1"]);
    links[0].change(kit.own(), 10 * MS);
    advance(&mut links, 10 * MS).await;
    assert_eq!(texts(&kit.taken()), [""; 0], "closed, but a1 is in flight");
    accept(first.remove(0));
    run(&mut links).await;
    assert_eq!(texts(&kit.taken()), ["a2 a3"]);
}

#[tokio::test(start_paused = true)]
async fn no_more_is_gathered_than_the_shard_may_hold() {
    let limits = Limits {
        trunk_shards: 1,
        trunk_bytes: 2000,
        ..Limits::default()
    };
    let kit = kit_with(
        limits,
        "{ adaptive: false, max_wait: 10ms, max_messages: 1000 }",
    );
    let mut links: Vec<_> = (0..8).map(|_| kit.link("alice")).collect();
    for link in &mut links {
        for n in 0..8 {
            link.business(&format!("a{n}"), vec![b'x'; 100]);
        }
    }
    let (mut batches, mut messages) = (0, 0);
    for _ in 0..64 {
        advance(&mut links, 10 * MS).await;
        for batch in kit.taken() {
            assert!(batch.weight() <= 2000 + 128 + 230, "{}", batch.weight());
            batches += 1;
            messages += batch.parts().len();
            accept(batch);
        }
    }
    assert_eq!(messages, 64, "in {batches} batches");
}

#[tokio::test(start_paused = true)]
async fn heartbeats_never_get_here() {
    let kit = kit(PATIENT);
    let mut links = links(&kit);
    links[0].send(Command::Heartbeat, "h", "");
    links[0].send(Command::DownstreamAck, "p", "");
    send(&mut links, &["a1"]).await;
    advance(&mut links, 10 * MS).await;
    assert_eq!(texts(&kit.taken()), ["a1"]);
}
