//! Links of one user: which of them stays.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_second_login_replaces_the_first() {
    let world = World::new("[{ use: mirror }]");
    let mut first = world.connect("alice").await;
    let mut second = world.connect("alice").await;
    assert_eq!(first.closed().await, Some(CloseCode::REPLACED));
    first.task.await.unwrap();
    second.send("still here").await;
    assert_eq!(second.text().await, "still here");
    assert_eq!(
        world.manager.find("chat", "alice", None).len(),
        1,
        "the old link took only itself out"
    );
}

#[tokio::test(start_paused = true)]
async fn a_second_login_is_rejected() {
    let mut world = World::new("[{ use: mirror }]");
    world.settings.second_login = SecondLogin::Reject;
    let mut first = world.connect("alice").await;
    let mut second = world.connect("alice").await;
    assert_eq!(second.closed().await, Some(CloseCode::ALREADY_CONNECTED));
    first.send("mine").await;
    assert_eq!(first.text().await, "mine");
}

#[tokio::test(start_paused = true)]
async fn the_oldest_of_several_logins_makes_room() {
    let mut world = World::new("[{ use: mirror }]");
    world.settings.second_login = SecondLogin::Allow(2);
    let mut first = world.connect("alice").await;
    let _second = world.connect("alice").await;
    assert_eq!(world.manager.find("chat", "alice", None).len(), 2);
    let _third = world.connect("alice").await;
    assert_eq!(first.closed().await, Some(CloseCode::REPLACED));
    first.task.await.unwrap();
    assert_eq!(world.manager.find("chat", "alice", None).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn devices_are_links_of_their_own() {
    let world = World::new("[{ use: mirror }]");
    let mut clients = Vec::new();
    for device in ["phone", "desk"] {
        let identity = Identity::new("chat", "alice").at_device(device);
        clients.push(
            world
                .connect_to(Arc::clone(world.kit.own()), identity)
                .await,
        );
    }
    assert_eq!(world.manager.find("chat", "alice", None).len(), 2);
    assert_eq!(world.manager.find("chat", "alice", Some("desk")).len(), 1);
    assert_eq!(world.manager.find("chat", "alice", Some("car")).len(), 0);
}
