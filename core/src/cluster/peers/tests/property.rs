//! Whatever comes is read or refused, and costs no more than what has come.

use bytes::{BufMut, BytesMut};
use linkgate_proto::v1::peer_request::Said as Asked;
use proptest::prelude::*;
use prost::Message;

use super::super::frames::Speaks;
use super::super::frames::{BATCH, put, take};
use super::super::sending::{Delivery, Sending, outcome};
use super::super::serving::{Heard, Serving};
use super::*;

const LARGEST: usize = 4096;
const GRANTED: u64 = 6 * 1024;

fn serving() -> Arc<Serving> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let serving = Serving::new(life(1), CancellationToken::new(), &clock, LARGEST);
    serving.grant(GRANTED);
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

/// What happens between two nodes that keep to the rules.
#[derive(Clone, Debug)]
enum Step {
    /// One of the pushes is forwarded.
    Deliver(usize),
    /// What the opener has to say is heard.
    Cross,
    /// One of those that are delivered ends.
    Settle(usize),
    /// What the other node has to say is heard.
    Back,
    Grant(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..6_usize).prop_map(Step::Deliver),
        2 => Just(Step::Cross),
        2 => any::<prop::sample::Index>().prop_map(|at| Step::Settle(at.index(16))),
        2 => Just(Step::Back),
        1 => (1..8_000_u64).prop_map(Step::Grant),
    ]
}

struct Wires {
    sending: Sending,
    serving: Arc<Serving>,
    answers: Vec<Answer>,
    pushes: Vec<Arc<Source>>,
    numbers: AtomicU64,
    ears: Arc<Ears>,
    settled: Vec<u64>,
}

impl Wires {
    fn new() -> Self {
        let (say, _) = mpsc::channel(1);
        let mut sending = Sending::new(&config().queue);
        sending.begin(LARGEST as u64);
        Self {
            sending,
            serving: serving(),
            answers: Vec::new(),
            pushes: (0..6)
                .map(|number| push("k", number * LARGEST / 5))
                .collect(),
            numbers: AtomicU64::new(0),
            ears: Arc::new(Ears(say)),
            settled: Vec::new(),
        }
    }

    fn run(&mut self, step: &Step, number: u64) {
        match *step {
            Step::Deliver(which) => {
                let delivery = Delivery {
                    push: Arc::clone(&self.pushes[which]) as _,
                    expires_at: None,
                    user: "alice".into(),
                    claims: Vec::new(),
                    receipt: Receipt::new(Arc::clone(&self.ears) as _, number),
                };
                assert!(self.sending.deliver(delivery, &self.numbers).is_ok());
            }
            Step::Cross => self
                .answers
                .extend(self.serving.hear_all(&mut self.sending)),
            Step::Settle(at) => {
                if !self.answers.is_empty() {
                    let answer = self.answers.remove(at % self.answers.len());
                    answer.settle(delivered());
                }
            }
            Step::Back => self.back(),
            Step::Grant(bytes) => self.serving.grant(bytes),
        }
    }

    fn back(&mut self) {
        let mut bytes = BytesMut::new();
        while self.serving.fill(&mut bytes) {
            while let Some(frame) = take::<PeerResponse>(&mut bytes, LARGEST).unwrap() {
                match frame.said.unwrap() {
                    peer_response::Said::Credit(credit) => self.sending.credit(credit.bytes),
                    peer_response::Said::Outcome(said) => {
                        let receipt = self.sending.settle(said.delivery).unwrap();
                        self.settled.push(said.delivery);
                        receipt.settle(outcome(said).unwrap());
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

trait HearAll {
    /// Hears all that there is to say. Nothing of it may be a breach.
    fn hear_all(&self, sending: &mut Sending) -> Vec<Answer>;
}

impl HearAll for Arc<Serving> {
    fn hear_all(&self, sending: &mut Sending) -> Vec<Answer> {
        let (mut bytes, mut answers) = (BytesMut::new(), Vec::new());
        while sending.fill(&mut bytes, SystemClock.now()) {
            assert!(bytes.len() < BATCH + 2 * LARGEST);
            while let Some(frame) = take(&mut bytes, 2 * LARGEST).unwrap() {
                if let Heard::Deliver(_, answer) = self.hear(frame).unwrap() {
                    answers.push(answer);
                }
            }
        }
        answers
    }
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
            prop_assert!(serving.held() <= GRANTED + LARGEST as u64);
        }
    }

    #[test]
    fn a_node_that_keeps_to_the_rules_is_never_a_liar(steps in prop::collection::vec(step(), 0..200)) {
        let mut wires = Wires::new();
        let mut taken = 0_u64;
        for step in steps {
            taken += u64::from(matches!(step, Step::Deliver(_)));
            wires.run(&step, taken);
        }
        // Whatever was taken is settled in the end, once.
        for _ in 0..=2 * taken {
            wires.run(&Step::Back, taken);
            wires.run(&Step::Cross, taken);
            wires.run(&Step::Settle(0), taken);
        }
        wires.run(&Step::Back, taken);
        wires.settled.sort_unstable();
        prop_assert_eq!(wires.settled, (1..=taken).collect::<Vec<_>>());
        wires.serving.hear_all(&mut wires.sending);
        prop_assert_eq!(wires.serving.held(), 0);
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
