use super::*;

fn confirmed() -> Option<Outcome> {
    Some(Outcome::accepted(""))
}

fn sent() -> Option<Outcome> {
    Some(Outcome::sent())
}

fn failed(code: &'static str) -> Option<Outcome> {
    Some(Outcome::Failed(Fault::client(code)))
}

const ACK: bool = true;
const ALL: bool = true;

fn status(said: &[Option<Outcome>], ack: bool, all: bool) -> Option<Status> {
    judge(said.iter().map(Option::as_ref), ack, all).map(|outcome| outcome.status)
}

#[test]
fn one_link_that_has_it_is_enough_unless_all_are_wanted() {
    let two = [None, confirmed()];
    assert_eq!(status(&two, ACK, !ALL), Some(Status::Delivered));
    assert_eq!(status(&two, ACK, ALL), None);
    let both = [confirmed(), confirmed()];
    assert_eq!(status(&both, ACK, ALL), Some(Status::Delivered));
    let one_failed = [failed("push.expired"), confirmed()];
    assert_eq!(status(&one_failed, ACK, !ALL), Some(Status::Delivered));
    assert_eq!(status(&one_failed, ACK, ALL), Some(Status::Expired));
}

#[test]
fn what_was_only_written_is_sent() {
    assert_eq!(status(&[sent(), None], !ACK, !ALL), Some(Status::Sent));
    assert_eq!(status(&[sent(), None], !ACK, ALL), None);
    assert_eq!(
        status(&[sent(), None], ACK, !ALL),
        None,
        "the other link may yet confirm it"
    );
    let one_confirmed = [sent(), confirmed()];
    assert_eq!(status(&one_confirmed, ACK, !ALL), Some(Status::Delivered));
    assert_eq!(status(&one_confirmed, ACK, ALL), Some(Status::Sent));
    assert_eq!(
        status(&[sent(), failed("link.gone")], ACK, !ALL),
        Some(Status::Sent)
    );
}

#[test]
fn faults_are_read_by_their_codes() {
    for (code, expected) in [
        ("push.expired", Status::Expired),
        ("push.unacknowledged", Status::Expired),
        ("push.offline", Status::Offline),
        ("link.gone", Status::Offline),
        ("link.queue_full", Status::Rejected),
        ("push.window_full", Status::Rejected),
        ("anything.else", Status::Rejected),
    ] {
        assert_eq!(status(&[failed(code)], ACK, !ALL), Some(expected), "{code}");
    }
}

#[test]
fn where_none_has_it_the_outcome_that_went_furthest_counts() {
    let (gone, full, late) = (
        failed("link.gone"),
        failed("link.queue_full"),
        failed("push.expired"),
    );
    let two = [gone.clone(), full.clone()];
    assert_eq!(status(&two, ACK, !ALL), Some(Status::Rejected));
    let three = [late, gone, full];
    assert_eq!(status(&three, ACK, !ALL), Some(Status::Expired));
    assert_eq!(status(&[], ACK, !ALL), Some(Status::Offline));
}

#[test]
fn only_clients_that_acknowledge_may_see_a_push_twice() {
    let gone = Fault::client("link.gone");
    assert!(has_left(&Outcome::Failed(gone.clone()), ACK));
    assert!(has_left(&Outcome::Failed(gone.clone()), !ACK));
    let maybe = Outcome::Unknown(gone.effect_unknown());
    assert!(has_left(&maybe, ACK));
    assert!(!has_left(&maybe, !ACK));
    assert!(!has_left(
        &Outcome::Failed(Fault::client("link.queue_full")),
        ACK
    ));
}

#[test]
fn no_effect_is_said_only_if_no_link_may_have_it() {
    let unknown = Some(Outcome::Unknown(
        Fault::gateway("link.gone").effect_unknown(),
    ));
    let full = || failed("link.queue_full");
    for (said, all, may) in [
        (vec![full(), full()], !ALL, false),
        (vec![full(), unknown.clone()], !ALL, true),
        (vec![full(), confirmed()], ALL, true),
        (vec![full(), sent()], ALL, true),
    ] {
        let outcome = judge(said.iter().map(Option::as_ref), ACK, all).unwrap();
        assert_eq!(outcome.status, Status::Rejected, "{said:?}");
        assert_eq!(outcome.may_have_arrived(), may, "{said:?}");
    }
}
