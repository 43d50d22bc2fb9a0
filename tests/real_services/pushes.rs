//! Pushes from a real Kafka: whatever is killed, stopped or moved meanwhile, every push is delivered and reported.

mod readable;
mod world;

use std::time::Duration;

use linkgate_proto::v1::receiver_outcome::Status;
use tokio::time::sleep;

use self::world::{Gateway, World};
use crate::common::client::Client;
use crate::common::gateway::target;
use crate::services::Kafka;

const USERS: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_killed_in_the_middle_loses_no_push() {
    let Some(kafka) = Kafka::shared().await else {
        return;
    };
    let world = World::new(kafka, "killed", USERS).await;
    let gateway = Gateway::start(&world, "node").await;
    world.connect(gateway.address()).await;
    let pushes = 50_000;
    let writing = world.write(0..pushes);
    let killing = async {
        world.has_delivered(pushes / 3).await;
        gateway.kill();
        let gateway = Gateway::start(&world, "node").await;
        world.has_delivered(pushes * 2 / 3).await;
        gateway.kill();
        Gateway::start(&world, "node").await
    };
    let ((), gateway) = tokio::join!(writing, killing);
    world.all_is_reported_delivered(pushes).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_that_a_stop_parks_waits_for_its_client_after_a_late_start() {
    let Some(kafka) = Kafka::shared().await else {
        return;
    };
    let mut world = World::new(kafka, "restarted", 1).await;
    // Less than the stop and the pause take together.
    world.offline_after = Duration::from_secs(8);
    let gateway = Gateway::start(&world, "node").await;
    let mut client = Client::connect(&target(gateway.address(), "user0")).await;
    world.write(0..1).await;
    assert_eq!(client.push().await.0, "k0");
    tokio::join!(gateway.stop(), client.ended());
    sleep(Duration::from_secs(8)).await;
    let gateway = Gateway::start(&world, "node").await;
    sleep(Duration::from_secs(3)).await;
    world.connect(gateway.address()).await;
    world.all_is_reported_delivered(1).await;
    assert_eq!(world.reported("k0"), [Status::Delivered]);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kafka_that_goes_away_loses_no_push() {
    let Some(mut kafka) = Kafka::start().await else {
        return;
    };
    let world = World::new(kafka.address(), "away", USERS).await;
    let gateway = Gateway::start(&world, "node").await;
    world.connect(gateway.address()).await;
    let pushes = 50_000;
    // The last one is longer than a member of the group may be silent: it loses its partitions, and gets them again.
    let outages = async {
        for (part, seconds) in [(1, 1), (2, 1), (3, 10)] {
            world.has_delivered(pushes / 4 * part).await;
            kafka.stop();
            sleep(Duration::from_secs(seconds)).await;
            kafka.resume().await;
        }
    };
    tokio::join!(world.write(0..pushes), outages);
    let again = world.all_is_reported_delivered(pushes).await;
    assert_eq!(again, (0, 0), "nothing comes, or is reported, twice");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_that_move_in_the_middle_lose_no_push() {
    let Some(kafka) = Kafka::shared().await else {
        return;
    };
    let world = World::new(kafka, "moved", USERS).await;
    let one = Gateway::start(&world, "one").await;
    world.connect(one.address()).await;
    let pushes = 50_000;
    // A second member takes half of the partitions and gives them back. It has no links: what it reads it parks or holds,
    // and the first one takes that up again.
    let moving = async {
        world.has_delivered(pushes / 4).await;
        let two = Gateway::start(&world, "two").await;
        sleep(Duration::from_secs(3)).await;
        two.stop().await;
    };
    tokio::join!(world.write(0..pushes), moving);
    world.all_is_reported_delivered(pushes).await;
    one.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_clients_that_never_acknowledge_delay_nobody_else() {
    let Some(kafka) = Kafka::shared().await else {
        return;
    };
    let world = World::new(kafka, "asleep", USERS).await;
    let gateway = Gateway::start(&world, "node").await;
    world.connect(gateway.address()).await;
    world.connect_sleepers(gateway.address(), 1000).await;
    let pushes = 2_000;
    world.write(0..pushes).await;
    let alone = world.all_is_delivered(pushes).await;
    world.write_to_sleepers(20).await;
    world.write(pushes..pushes * 2).await;
    let beside = world.all_is_delivered(pushes * 2).await;
    // They may wait for `min_hold` in full partitions, and the sleepers' 20,000 pushes have to be read and parked first.
    assert!(
        beside < alone + Duration::from_secs(20),
        "{alone:?}, then {beside:?}"
    );
    gateway.kill();
}
