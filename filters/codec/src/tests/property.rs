//! Any message survives its way over the wire, and any bytes come to something.

use proptest::prelude::*;

use super::*;

fn any_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        Just(Command::UpstreamMessage),
        Just(Command::UpstreamAck),
        Just(Command::DownstreamMessage),
        Just(Command::DownstreamAck),
        Just(Command::Redirect),
    ]
}

fn any_form() -> impl Strategy<Value = Form> {
    prop_oneof![Just(Form::Protobuf), Just(Form::Json)]
}

fn any_body() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from)
}

/// Whatever a client sends, one thing comes of it.
fn one_thing_comes_of(form: Form, frame: Bytes, text: bool) -> Result<(), TestCaseError> {
    let kit = kit("{}");
    let mut link = open(&kit, form);
    link.frame(frame, text);
    let taken = kit.taken();
    let back = link.received();
    // An acknowledgement goes through, and ends where nobody waits for it.
    let unclaimed: u64 = kit.own().meter().faults().iter().map(|(_, n)| n).sum();
    prop_assert_eq!(taken.len() + back.len() + unclaimed as usize, 1);
    for m in taken {
        prop_assert!(!m.key.is_empty());
        m.settle(Outcome::accepted(""));
    }
    for m in &back {
        let answer = read(form, m);
        let known = [v1::Command::UpstreamNack, v1::Command::Heartbeat];
        prop_assert!(known.contains(&answer.cmd()));
    }
    Ok(())
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_the_same(
        form in any_form(), command in any_command(), key in ".{0,40}", body in any_body(),
    ) {
        let frame = encode(form, command, key.clone(), body.clone(), None);
        prop_assert_eq!(decode(form, &frame), Ok(Decoded { command, key, body }));
    }

    #[test]
    fn no_frame_grows_beyond_what_is_said(
        form in any_form(), command in any_command(), key in "\\PC{0,40}|[\u{0}-\u{1f}\"]{0,20}", body in any_body(),
    ) {
        let growth = crate::wire::growth(form);
        let most = growth.body * body.len() as f64 + growth.key * key.len() as f64 + growth.fixed;
        let frame = encode(form, command, key.clone(), body.clone(), None);
        prop_assert!(frame.len() as f64 <= most, "{} of {most}", frame.len());
        let legacy = crate::wire::encode_legacy(command, key, body);
        prop_assert!(form == Form::Protobuf || legacy.len() as f64 <= most, "{} of {most}", legacy.len());
        prop_assert!(frame.len() as f64 + growth.key * 40.0 * 4.0 + 100.0 > most, "{} of {most}", frame.len());
    }

    #[test]
    fn any_bytes_come_to_something(form in any_form(), text: bool, frame in any_body()) {
        let clock = tokio::runtime::Builder::new_current_thread().enable_time().build();
        clock.unwrap().block_on(async { one_thing_comes_of(form, frame, text) })?;
    }

    #[test]
    fn a_damaged_frame_comes_to_something(
        form in any_form(), key in "[a-z]{1,9}", body in any_body(),
        cut in any::<prop::sample::Index>(), flips in proptest::collection::vec(any::<(prop::sample::Index, u8)>(), 0..4),
    ) {
        let mut frame = encode(form, Command::UpstreamMessage, key, body, None).to_vec();
        for (at, value) in flips {
            let at = at.index(frame.len());
            frame[at] = value;
        }
        frame.truncate(cut.index(frame.len() + 1));
        let clock = tokio::runtime::Builder::new_current_thread().enable_time().build();
        clock.unwrap().block_on(async { one_thing_comes_of(form, frame.into(), form == Form::Json) })?;
    }
}
