//! Messages that take their time to arrive, or never do.

use super::*;

const BINARY: u8 = 0x02;
const CONTINUATION: u8 = 0x00;
const FIN: u8 = 0x80;

/// A frame's header that announces so many bytes.
fn head(first: u8, length: u16) -> Vec<u8> {
    let mut head = vec![first, 0x80 | 126];
    head.extend(length.to_be_bytes());
    head.extend([0; 4]);
    head
}

impl Client {
    async fn write(&mut self, bytes: &[u8]) {
        self.socket.get_mut().write_all(bytes).await.unwrap();
        settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_is_heard_by_every_byte_of_a_large_frame() {
    let mut world = World::new("[{ use: mirror }]");
    world.settings.message = Duration::from_secs(600);
    let mut slow = world.connect("slow").await;
    slow.write(&head(FIN | BINARY, 10_000)).await;
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_secs(5)).await;
        slow.write(&[b'x'; 100]).await;
    }
    assert_eq!(slow.text().await.len(), 10_000);
}

#[tokio::test(start_paused = true)]
async fn a_client_is_heard_by_every_byte_of_fragments() {
    let mut world = World::new("[{ use: mirror }]");
    world.settings.message = Duration::from_secs(600);
    let mut slow = world.connect("slow").await;
    slow.write(&[BINARY, 0x81, 0, 0, 0, 0, b'x']).await;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_secs(20)).await;
        slow.write(&[CONTINUATION, 0x81, 0, 0, 0, 0, b'x']).await;
    }
    slow.write(&[FIN | CONTINUATION, 0x80, 0, 0, 0, 0]).await;
    assert_eq!(slow.text().await.len(), 21);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_not_finished_in_time_closes_its_link() {
    for begun in [
        head(FIN | BINARY, 10_000),
        head(FIN | BINARY, 500),
        head(FIN | 0x09, 100),
        vec![BINARY, 0x80, 0, 0, 0, 0],
        vec![FIN | BINARY, 0xff],
    ] {
        let world = World::new("[{ use: mirror }]");
        let mut eve = world.connect("eve").await;
        let start = Instant::now();
        eve.write(&begun).await;
        // What shows that it is there and finishes nothing: a pong between two fragments, a byte of a frame.
        let more: &[u8] = if begun.len() == 6 {
            &[0x8a, 0x80, 0, 0, 0, 0]
        } else {
            &[0x80]
        };
        for _ in 0..8 {
            tokio::time::sleep(Duration::from_secs(7)).await;
            eve.write(more).await;
        }
        assert_eq!(
            eve.closed().await,
            Some(CloseCode::MESSAGE_TIMEOUT),
            "{begun:?}"
        );
        assert_eq!(start.elapsed().as_secs(), 60);
    }
}

#[tokio::test(start_paused = true)]
async fn many_messages_in_a_row_are_not_one_that_takes_long() {
    let world = World::new("[{ use: mirror }]");
    let mut busy = world.connect("busy").await;
    // Each write ends in the middle of a message or a ping, as those of a busy client may.
    let (message, ping) = (
        [FIN | BINARY, 0x81, 0, 0, 0, 0, b'x'],
        [FIN | 0x09, 0x80, 0, 0, 0, 0],
    );
    for frame in [&message[..], &ping[..]] {
        let (begin, end) = frame.split_at(3);
        busy.write(begin).await;
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_secs(10)).await;
            busy.write(&[end, begin].concat()).await;
        }
        busy.write(end).await;
    }
    for _ in 0..21 {
        assert_eq!(busy.text().await, "x");
    }
}

#[tokio::test(start_paused = true)]
async fn without_room_for_unfinished_messages_a_link_is_closed() {
    let world = World::new("[{ use: mirror }]");
    world.room.set_limits(16_384, 16_384);
    let (mut first, mut second) = (world.connect("first").await, world.connect("second").await);
    first.write(&head(FIN | BINARY, 10_000)).await;
    first.write(&[0; 4000]).await;
    second.write(&head(FIN | BINARY, 16_000)).await;
    second.write(&[0; 13_000]).await;
    assert_eq!(second.closed().await, Some(CloseCode::OVERLOADED));
    drop(second);
    settle().await;
    first.write(&[0; 6000]).await;
    assert_eq!(first.text().await.len(), 10_000);
    // What is finished holds nothing any more.
    let mut third = world.connect("third").await;
    third.write(&head(FIN | BINARY, 8000)).await;
    third.write(&[0; 8000]).await;
    assert_eq!(third.text().await.len(), 8000);
}
