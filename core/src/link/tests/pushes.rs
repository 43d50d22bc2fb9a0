//! Pushes on their way to the socket, and their outcomes.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_push_is_sent_once_it_is_written() {
    let world = World::new("[{ use: mirror }]");
    let mut client = world.connect("alice").await;
    let pushed = world.push("alice", "hello");
    assert_eq!(pushed.outcome(), None);
    assert_eq!(client.text().await, "hello");
    assert_eq!(pushed.outcome(), Some(Outcome::sent()));
}

#[tokio::test(start_paused = true)]
async fn large_pushes_arrive_whole_among_small_ones() {
    let world = World::new("[{ use: mirror }]");
    let mut client = world.connect("alice").await;
    let large = "l".repeat(50_000);
    let pushes: Vec<_> = ["a", &large, "b", "c"]
        .map(|body| world.push("alice", body.to_owned()))
        .into();
    for body in ["a", &large, "b", "c"] {
        assert_eq!(client.text().await, body);
    }
    settle().await;
    assert!(
        pushes
            .iter()
            .all(|push| push.outcome() == Some(Outcome::sent()))
    );
}

#[tokio::test(start_paused = true)]
async fn pushes_beyond_the_queue_are_refused_and_those_of_a_lost_link_settle() {
    let world = World::new("[{ use: mirror }]");
    let client = world.connect("alice").await;
    let pushes: Vec<_> = (0..40)
        .map(|_| world.push("alice", "x".repeat(4000)))
        .collect();
    settle().await;
    let full = |push: &&Pushed| {
        push.outcome()
            .is_some_and(|o| o.fault().is_some_and(|f| f.code == "link.queue_full"))
    };
    let refused = pushes.iter().filter(full).count();
    assert!(
        refused > 10,
        "the queue holds 64 KiB, the stream 8: {refused}"
    );
    drop(client.socket);
    client.task.await.unwrap();
    assert!(
        pushes.iter().all(|push| push.outcome().is_some()),
        "every push has an outcome"
    );
}

#[tokio::test(start_paused = true)]
async fn what_would_be_too_large_a_frame_is_not_sent() {
    let mut world = World::new("[{ use: mirror }]");
    world.settings.max_frame = 1000;
    let mut client = world.connect("alice").await;
    let too_big = world.push("alice", vec![b'x'; 1001]);
    let fault = too_big
        .outcome()
        .and_then(|outcome| outcome.fault().cloned());
    assert_eq!(
        fault.map(|fault| fault.code.into_owned()),
        Some("push.too_big".to_owned())
    );
    // What no filter has foreseen is stopped at the socket, and the link goes on.
    client.send(&"y".repeat(1001)).await;
    world.push("alice", "fits");
    assert_eq!(client.text().await, "fits");
}
