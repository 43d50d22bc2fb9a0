//! Clients that stay within the letter of the protocol and mean no good.

use super::*;

/// A masked frame with up to 125 bytes.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first, 0x80 | payload.len() as u8, 0, 0, 0, 0];
    frame.extend(payload);
    frame
}

const BINARY: u8 = 0x02;
const CONTINUATION: u8 = 0x00;
const FIN: u8 = 0x80;
const PING: u8 = 0x89;

/// How long it takes until a link that may send 1,000 frames a second has read all of this.
async fn time_to_read(client: &mut Client, bytes: &[u8]) -> f64 {
    let start = Instant::now();
    let (reading, mut writing) = tokio::io::split(client.socket.get_mut());
    // What comes back is thrown away.
    let mut reading = tokio_util::io::ReaderStream::new(reading);
    let written = async {
        writing.write_all(bytes).await.unwrap();
        settle().await;
    };
    tokio::select! {
        () = written => {}
        () = async { while reading.next().await.is_some() {} } => panic!("closed"),
    }
    start.elapsed().as_secs_f64()
}

fn world() -> World {
    let mut world = World::new("[{ use: mirror }]");
    world.settings.frames_per_second = 1000.0;
    world
}

#[tokio::test(start_paused = true)]
async fn fragments_count_as_frames() {
    let world = world();
    let mut eve = world.connect("eve").await;
    // The largest message may come in pieces; these are more than its bytes could be.
    let mut flood = masked(BINARY, b"");
    flood.extend(masked(CONTINUATION, b"").repeat(40_000));
    let took = time_to_read(&mut eve, &flood).await;
    assert!((20.0..45.0).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn messages_in_many_pieces_count_by_their_pieces() {
    let world = world();
    let mut eve = world.connect("eve").await;
    let mut message = masked(BINARY, b"x");
    message.extend(masked(CONTINUATION, b"x").repeat(998));
    message.extend(masked(FIN | CONTINUATION, b"x"));
    let took = time_to_read(&mut eve, &message.repeat(20)).await;
    assert!((14.0..25.0).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn whole_messages_and_large_ones_in_pieces_count_as_before() {
    let world = world();
    let mut ann = world.connect("ann").await;
    let small = masked(FIN | BINARY, b"0123456789").repeat(900);
    assert!(time_to_read(&mut ann, &small).await < 0.1);
    let mut bob = world.connect("bob").await;
    let mut large = masked(BINARY, &[0; 125]);
    for _ in 0..300 {
        large.extend(masked(CONTINUATION, &[0; 125]));
        large.extend(masked(PING, &[0; 125]));
    }
    large.extend(masked(FIN | CONTINUATION, b""));
    assert!(time_to_read(&mut bob, &large).await < 0.1);
}
