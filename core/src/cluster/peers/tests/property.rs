//! Whatever comes is read or refused, and costs no more than what has come.

use bytes::{BufMut, BytesMut};
use linkgate_proto::v1::peer_request::Said as Asked;
use proptest::prelude::*;
use prost::Message;

use super::super::frames::{put, take};
use super::super::serving::{Heard, Serving};
use super::*;

const LARGEST: usize = 4096;

fn serving() -> Arc<Serving> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let serving = Serving::new(life(1), CancellationToken::new(), &clock, LARGEST);
    serving.grant(16 * 1024);
    serving
}

fn asked() -> impl Strategy<Value = Asked> {
    let number = || 0..6_u64;
    prop_oneof![
        (number(), 0..LARGEST * 2, any::<Option<u64>>()).prop_map(|(number, size, left)| {
            Asked::Body(v1::PeerBody {
                number,
                body: vec![1; size].into(),
                expires_in_ms: left,
                ..v1::PeerBody::default()
            })
        }),
        (number(), number(), any::<bool>()).prop_map(|(number, body, parked)| {
            Asked::Deliver(v1::Deliver {
                number,
                body,
                parked,
                ..v1::Deliver::default()
            })
        }),
        number().prop_map(|body| Asked::Forget(v1::Forget { body })),
        number().prop_map(|delivery| Asked::Park(v1::Park { delivery })),
        number().prop_map(|number| Asked::Ask(v1::Ask { number, user: None })),
    ]
}

proptest! {
    #[test]
    fn any_bytes_are_a_frame_or_none(bytes in prop::collection::vec(any::<u8>(), 0..256), is_framed: bool) {
        let mut come = BytesMut::new();
        if is_framed {
            come.put_u8(0);
            come.put_u32(u32::try_from(bytes.len()).unwrap());
        }
        come.extend_from_slice(&bytes);
        let serving = serving();
        while let Ok(Some(frame)) = take::<PeerRequest>(&mut come, LARGEST) {
            if serving.hear(frame).is_err() {
                break;
            }
        }
        // What is only announced takes no room.
        prop_assert!(come.capacity() <= 1024);
    }

    #[test]
    fn any_frames_are_heard_or_a_breach(frames in prop::collection::vec((asked(), any::<bool>()), 0..40)) {
        let serving = serving();
        let mut answers = Vec::new();
        for (said, settles) in frames {
            let mut bytes = BytesMut::new();
            put(&PeerRequest { said: Some(said) }, &mut bytes);
            let Ok(Some(frame)) = take(&mut bytes, LARGEST) else {
                break;
            };
            match serving.hear(frame) {
                Ok(Heard::Deliver(_, answer)) => answers.push(answer),
                Ok(_) => {}
                Err(_) => break,
            }
            if settles && let Some(answer) = answers.pop() {
                answer.settle(delivered());
            }
            prop_assert!(serving.held() <= 16 * 1024 + LARGEST as u64);
        }
    }

    #[test]
    fn a_frame_is_the_same_however_it_comes(sizes in prop::collection::vec(0..2_000_usize, 1..8), cut in 1..500_usize) {
        let mut all = BytesMut::new();
        for (number, size) in sizes.iter().enumerate() {
            let told = peer_response::Said::Told(v1::Told { number: number as u64, claims: None });
            put(&PeerResponse { said: Some(told) }, &mut all);
            let key = "k".repeat(*size);
            let body = Asked::Body(v1::PeerBody { key, ..v1::PeerBody::default() });
            put(&PeerRequest { said: Some(body) }, &mut all);
        }
        let (mut come, mut frames) = (BytesMut::new(), Vec::new());
        for part in all.chunks(cut) {
            come.extend_from_slice(part);
            loop {
                let is_answer = frames.len() % 2 == 0;
                let frame = match is_answer {
                    true => take::<PeerResponse>(&mut come, LARGEST).unwrap().map(|frame| frame.encoded_len()),
                    false => take::<PeerRequest>(&mut come, LARGEST).unwrap().map(|frame| frame.encoded_len()),
                };
                match frame {
                    Some(length) => frames.push(length),
                    None => break,
                }
            }
        }
        prop_assert_eq!(frames.len(), sizes.len() * 2);
        prop_assert_eq!(frames.iter().map(|length| length + 5).sum::<usize>(), all.len());
    }
}
