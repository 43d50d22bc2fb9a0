//! Nodes that are killed, frozen, started again, or started twice.

use linkgate_filter::CloseCode;
use linkgate_proto::v1::receiver_outcome::Status;

use tokio::time::Instant;

use super::cut::Cut;
use super::stream::Stream;
use super::users::{Users, names};
use super::world::{Addresses, Member, SUSPECT_FOR, World, all_is_well, eventually, push_ends};
use crate::common::client::Client;
use crate::common::push::{Caller, push, read};
use crate::common::wait::until;
use crate::services::{Redis, free_address};

/// Pushes by this node to a user with one client; it comes and is acknowledged.
async fn reaches(caller: &Caller, user: &str, client: &mut Client) {
    let key = format!("{}", fastrand::u64(..));
    let pushed = caller.pushing(push(&key, &[user]));
    assert_eq!(client.push().await.0, key);
    client.ack(&key).await;
    assert_eq!(read(&pushed.await.unwrap()), (Status::Delivered, ""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_by_any_node_finds_its_user_on_any_node_and_the_commands_say_where() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let Some(mut world) = World::on(&redis).await else {
        return;
    };
    let nodes = world.three().await;
    for holder in &nodes {
        let user = format!("of {}", holder.id);
        let mut client = holder.connect(&user, None).await;
        for node in &nodes {
            reaches(&node.caller(), &user, &mut client).await;
            let (code, said) = node.locate(&user).await;
            let line = said.lines().nth(1).unwrap_or_default();
            let is_told = line.starts_with(holder.id) && line.ends_with("open");
            assert!(code == 0 && is_told, "{code}: {said}");
        }
        client.close().await;
        until("both sides say that the user has left", async || {
            let (code, said) = nodes[0].locate(&user).await;
            code == 0 && said.starts_with("no link")
        })
        .await;
        let outcome = nodes[0].caller().push_one(push(&user, &[&user])).await;
        assert_eq!(read(&outcome), (Status::Offline, "push.offline"));
    }
    let (code, said) = nodes[0].nodes().await;
    assert_eq!(code, 0, "{said}");
    for node in &nodes {
        let is_it = |line: &str| line.starts_with(node.id) && line.contains("serving");
        assert!(said.lines().any(is_it), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_killed_takes_along_its_own_users_alone() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let Some(mut world) = World::on(&redis).await else {
        return;
    };
    let [a, b, c] = world.three().await;
    let mut users = Users::default();
    let (mut there, gone) = (names("ann", 50), names("bob", 5));
    users.log_in(&a, &there).await;
    let more = names("cat", 50);
    users.log_in(&c, &more).await;
    there.extend(more);
    users.log_in(&b, &gone).await;
    let stream = Stream::start("s", &[a.caller(), c.caller()], &there);
    stream.goes_on(500).await;

    let life = a.life_of("node-b").await;
    b.kill();
    eventually("the node is seen to be gone", async || {
        let (code, said) = a.nodes().await;
        let is_seen = code == 3 && said.contains("unregistered");
        is_seen.then_some(()).ok_or(said)
    })
    .await;
    let (code, said) = a.locate(&gone[0]).await;
    assert!(
        code == 3 && said.contains("node-b does not answer"),
        "{code}: {said}"
    );
    // What is answered before the life of the node is over says that it may be tried again.
    for user in &gone {
        for outcome in push_ends(&a.caller(), user, Status::Offline).await {
            let reason = outcome.reason.clone().unwrap();
            let is_open = outcome.status() == Status::Rejected && reason.retryable;
            assert!(is_open, "{outcome:?}");
        }
    }
    assert_eq!(a.life_of("node-b").await, None);
    let pair = [a, c];
    all_is_well(&pair, 2).await;
    stream.goes_on(500).await;

    // It comes back in another life, and so do its users.
    let b = world.start("node-b").await;
    let [a, c] = pair;
    assert_ne!(a.life_of("node-b").await, life);
    for user in &gone {
        push_ends(&c.caller(), user, Status::Delivered).await;
    }
    let nodes = [a, b, c];
    all_is_well(&nodes, 3).await;
    stream.reaches(5_000).await;
    stream.reconcile(&users).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_started_again_at_once_takes_the_place_of_its_dead_self() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let Some(mut world) = World::on(&redis).await else {
        return;
    };
    let [a, b, c] = world.three().await;
    let mut users = Users::default();
    let theirs = names("bob", 20);
    users.log_in(&b, &theirs).await;
    b.kill();
    let b = world.start("node-b").await;
    for user in &theirs {
        push_ends(&a.caller(), user, Status::Delivered).await;
    }
    all_is_well(&[a, b, c], 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stood_still_for_long_gives_way_to_newer_logins_and_keeps_the_others() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let Some(mut world) = World::on(&redis).await else {
        return;
    };
    let [a, b, c] = world.three().await;
    let mut early = b.connect("early", Some("phone")).await;
    let mut late = b.connect("late", Some("phone")).await;
    let mut stays = b.connect("stays", Some("phone")).await;
    b.signal("STOP");
    // One comes back elsewhere while the node may still live, another one when it is given up.
    let mut early_again = c.connect("early", Some("phone")).await;
    reaches(&a.caller(), "early", &mut early_again).await;
    eventually("the node is given up", async || {
        a.life_of("node-b").await.map_or(Ok(()), Err)
    })
    .await;
    let mut late_again = c.connect("late", Some("phone")).await;
    reaches(&a.caller(), "late", &mut late_again).await;
    push_ends(&a.caller(), "stays", Status::Offline).await;

    b.signal("CONT");
    for client in [&mut early, &mut late] {
        assert_eq!(client.ended().await.code, CloseCode::REPLACED);
    }
    let nodes = [a, b, c];
    all_is_well(&nodes, 3).await;
    for node in &nodes {
        reaches(&node.caller(), "early", &mut early_again).await;
        reaches(&node.caller(), "late", &mut late_again).await;
        reaches(&node.caller(), "stays", &mut stays).await;
        for user in ["early", "late", "stays"] {
            eventually("both sides say the same", async || {
                let (code, said) = node.locate(user).await;
                (code == 0).then_some(()).ok_or(said)
            })
            .await;
        }
    }
}

async fn is_refused(second: Member, first: &Member) {
    let (code, log) = second.exit().await;
    let place = first.at.advertised.to_string();
    let says = |line: &String| line.contains("another process") && line.contains(&place);
    assert!(
        code == Some(1) && log.iter().any(says),
        "{code:?}: {log:#?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_with_a_nodes_id_starts_only_when_the_first_is_dead() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let Some(mut world) = World::on(&redis).await else {
        return;
    };
    let first = world.start("node-a").await;
    let mut ann = first.connect("ann", None).await;
    is_refused(world.launch("node-a", Addresses::free()), &first).await;
    reaches(&first.caller(), "ann", &mut ann).await;
    first.kill();
    *world.addresses("node-a") = Addresses::free();
    let second = world.start("node-a").await;
    all_is_well(&[second], 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_is_cut_between_two_nodes_delays_pushes_and_hides_nobody() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let Some(mut world) = World::on(&redis).await else {
        return;
    };
    let mut cuts = Vec::new();
    for id in ["node-a", "node-b"] {
        let at = world.addresses(id);
        at.advertised = free_address();
        cuts.push(Cut::at(at.advertised, at.peers).await);
    }
    let nodes = world.three().await;
    let lives = [
        nodes[2].life_of("node-a").await,
        nodes[2].life_of("node-b").await,
    ];
    let mut users = Users::default();
    let sides = [names("ann", 20), names("bob", 20)];
    users.log_in(&nodes[0], &sides[0]).await;
    users.log_in(&nodes[1], &sides[1]).await;
    let across = [
        Stream::start("ab", &[nodes[0].caller()], &sides[1]),
        Stream::start("ba", &[nodes[1].caller()], &sides[0]),
    ];
    let third = Stream::start("c", &[nodes[2].caller()], &sides.concat());
    across[0].goes_on(100).await;
    across[1].goes_on(100).await;
    cuts[0].cut("node-b");
    cuts[1].cut("node-a");
    // The third node reaches both all the while. Who is with nobody cannot be told from who is across the cut.
    let since = Instant::now();
    eventually(
        "the cut lasts for longer than a node is suspected",
        async || {
            third.goes_on(50).await;
            let outcome = nodes[0].caller().push_one(push("nobody", &["eve"])).await;
            assert_ne!(outcome.status(), Status::Delivered);
            (since.elapsed() > SUSPECT_FOR * 2)
                .then_some(())
                .ok_or("not yet".to_owned())
        },
    )
    .await;
    // A user who logs in on the other side displaces the link here, though no word comes through.
    let mut before = nodes[0].connect("dan", Some("phone")).await;
    let mut after = nodes[1].connect("dan", Some("phone")).await;
    cuts[0].heal();
    cuts[1].heal();
    assert_eq!(before.ended().await.code, CloseCode::REPLACED);
    reaches(&nodes[0].caller(), "dan", &mut after).await;
    for stream in &across {
        stream.goes_on(500).await;
    }
    for stream in across.into_iter().chain([third]) {
        stream.reconcile(&users).await;
    }
    all_is_well(&nodes, 3).await;
    assert_eq!(
        lives,
        [
            nodes[2].life_of("node-a").await,
            nodes[2].life_of("node-b").await
        ]
    );
}
