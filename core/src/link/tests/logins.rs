//! Links of one user: which of them stays.

use super::*;

/// A world whose links answer each frame with itself.
fn world(second_login: SecondLogin) -> World {
    let mut world = World::new("[{ use: mirror }]");
    world.settings.second_login = second_login;
    world
}

#[tokio::test(start_paused = true)]
async fn a_second_login_replaces_the_first() {
    let world = world(SecondLogin::Replace);
    let mut first = world.connect("alice").await;
    let mut second = world.connect("alice").await;
    assert_eq!(first.closed().await, Some(CloseCode::REPLACED));
    first.task.await.unwrap();
    second.send("still here").await;
    assert_eq!(second.text().await, "still here");
    assert_eq!(
        world.manager.find(&user("chat", "alice"), None).len(),
        1,
        "the old link took only itself out"
    );
}

#[tokio::test(start_paused = true)]
async fn a_second_login_is_rejected() {
    let world = world(SecondLogin::Reject);
    let mut first = world.connect("alice").await;
    let mut second = world.connect("alice").await;
    assert_eq!(second.closed().await, Some(CloseCode::ALREADY_CONNECTED));
    first.send("mine").await;
    assert_eq!(first.text().await, "mine");
}

#[tokio::test(start_paused = true)]
async fn the_oldest_of_several_logins_makes_room() {
    let world = world(SecondLogin::Allow(2));
    let mut first = world.connect("alice").await;
    let _second = world.connect("alice").await;
    assert_eq!(world.manager.find(&user("chat", "alice"), None).len(), 2);
    let _third = world.connect("alice").await;
    assert_eq!(first.closed().await, Some(CloseCode::REPLACED));
    first.task.await.unwrap();
    assert_eq!(world.manager.find(&user("chat", "alice"), None).len(), 2);
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
    assert_eq!(world.manager.find(&user("chat", "alice"), None).len(), 2);
    assert_eq!(
        world
            .manager
            .find(&user("chat", "alice"), Some("desk"))
            .len(),
        1
    );
    assert_eq!(
        world
            .manager
            .find(&user("chat", "alice"), Some("car"))
            .len(),
        0
    );
}

#[tokio::test(start_paused = true)]
async fn a_session_is_handed_on_once_though_the_old_socket_stays() {
    let world = world(SecondLogin::Allow(2));
    // Half-open: they never answer the close frame.
    let _first = world.connect("alice").await;
    let _second = world.connect("alice").await;
    let mut third = world.connect("alice").await;
    let mut fourth = world.connect("alice").await;
    let links = world.manager.find(&user("chat", "alice"), None);
    assert_eq!(
        links.len(),
        2,
        "the two that were replaced are no longer found"
    );
    let sessions = [links[0].info().session(), links[1].info().session()];
    assert!(!Arc::ptr_eq(sessions[0], sessions[1]), "a session each");
    for client in [&mut third, &mut fourth] {
        client.send("here").await;
        assert_eq!(client.text().await, "here");
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_closing_does_not_keep_its_client_out() {
    let world = world(SecondLogin::Reject);
    let _first = world.connect("alice").await;
    world.manager.find(&user("chat", "alice"), None)[0].close(CloseCode::REDIRECT);
    settle().await;
    let mut second = world.connect("alice").await;
    second.send("back").await;
    assert_eq!(second.text().await, "back");
}

#[tokio::test(start_paused = true)]
async fn a_rejected_login_counts_until_its_socket_is_closed() {
    let world = world(SecondLogin::Reject);
    let _first = world.connect("alice").await;
    let second = world.connect("alice").await;
    assert!(second.permit.upgrade().is_some());
    drop(second.socket);
    second.task.await.unwrap();
    assert!(second.permit.upgrade().is_none());
}

/// `id+links` for a link that came, `id-links` for one that went.
async fn read(reader: &Reader) -> Vec<String> {
    settle().await;
    let changes = reader.changes(100).now_or_never().flatten();
    let line = |change: &Change| {
        let sign = if change.is_online { '+' } else { '-' };
        format!("{}{sign}{}", change.link.id, change.links)
    };
    changes.unwrap_or_default().iter().map(line).collect()
}

#[tokio::test(start_paused = true)]
async fn whoever_watches_hears_what_comes_and_goes() {
    let world = world(SecondLogin::Replace);
    let mut first = world.connect("alice").await;
    let reader = world.manager.read(Backlog::default());
    assert_eq!(read(&reader).await, ["1+1"]);
    let second = world.connect("alice").await;
    assert_eq!(read(&reader).await, ["2+1"]);
    assert_eq!(first.closed().await, Some(CloseCode::REPLACED));
    first.task.await.unwrap();
    assert_eq!(read(&reader).await, ["1-1"]);
    drop(second.socket);
    second.task.await.unwrap();
    assert_eq!(read(&reader).await, ["2-0"]);
}

#[tokio::test(start_paused = true)]
async fn whoever_looks_late_hears_the_difference() {
    let world = world(SecondLogin::Replace);
    let mut first = world.connect("alice").await;
    let reader = world.manager.read(Backlog::default());
    assert_eq!(read(&reader).await, ["1+1"]);
    let mut second = world.connect("alice").await;
    let third = world.connect("alice").await;
    for replaced in [&mut first, &mut second] {
        assert_eq!(replaced.closed().await, Some(CloseCode::REPLACED));
    }
    first.task.await.unwrap();
    second.task.await.unwrap();
    assert_eq!(read(&reader).await, ["3+1", "1-1"], "of 2 nothing is told");
    drop(third.socket);
    third.task.await.unwrap();
    assert_eq!(read(&reader).await, ["3-0"]);
}
