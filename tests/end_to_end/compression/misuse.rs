//! Clients that misuse compression.

use linkgate_filter::CloseCode;

use super::*;

async fn closes(gateway: &Gateway, bytes: &[u8], code: CloseCode, what: &str) {
    let (mut client, _) = Client::open(gateway.address(), "eve", OFFER).await;
    client.raw.write(bytes).await;
    assert_eq!(client.raw.close_code().await, Some(code.code()), "{what}");
}

#[tokio::test]
async fn a_misplaced_mark_breaks_the_protocol() {
    let gateway = gateway("").await;
    let (mut good, _) = Client::open(gateway.address(), "ann", OFFER).await;
    let packed = good.pack(&business("1", &long()));
    let half = masked(RSV1 | BINARY, &packed);
    let continued = [half, masked(FIN | RSV1 | CONTINUATION, b"")].concat();
    for (bytes, what) in [
        (continued, "a continuation"),
        (masked(FIN | RSV1 | PING, b""), "a ping"),
        (masked(FIN | 0x20 | BINARY, &packed), "the second bit"),
        (masked(FIN | RSV1 | BINARY, &[0xff; 9]), "no deflate"),
    ] {
        closes(&gateway, &bytes, CloseCode::PROTOCOL, what).await;
    }
    let (mut none, agreed) = Client::open(gateway.address(), "eve", "none").await;
    assert_eq!(agreed, None);
    none.raw.write(&masked(FIN | RSV1 | BINARY, &packed)).await;
    assert_eq!(
        none.raw.close_code().await,
        Some(CloseCode::PROTOCOL.code())
    );
    assert!(good.ask("2", &long()).await);
}

#[tokio::test]
async fn a_bomb_is_closed_before_it_unpacks() {
    let gateway = gateway("").await;
    let (mut good, _) = Client::open(gateway.address(), "ann", OFFER).await;
    // 64 MiB in 64 KiB: more than a link may hold, in less than it may send.
    let mut packer = Compress::new(Compression::best(), false);
    let (zeros, mut bomb) = (vec![0; 64 << 20], Vec::with_capacity(1 << 20));
    packer
        .compress_vec(&zeros, &mut bomb, FlushCompress::Sync)
        .unwrap();
    assert!(bomb.len() < 68 << 10, "{}", bomb.len());
    let whole = masked(FIN | RSV1 | BINARY, &bomb);
    let mut first = RSV1 | BINARY;
    let mut pieces = Vec::new();
    for piece in bomb.chunks(1000) {
        pieces.extend(masked(first, piece));
        first = CONTINUATION;
    }
    closes(&gateway, &whole, CloseCode::TOO_BIG, "a bomb").await;
    closes(&gateway, &pieces, CloseCode::TOO_BIG, "in pieces").await;
    assert!(good.ask("1", &long()).await);
}
