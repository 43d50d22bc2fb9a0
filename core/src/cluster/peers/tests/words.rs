//! What is asked and answered.

use super::*;
use crate::edges::directory::ClaimState;

fn entry(id: ClaimId, device: Option<&str>) -> Claim {
    Claim {
        id,
        device: device.map(Into::into),
        epoch: 1_000,
        state: ClaimState::Resumable,
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_is_said_is_heard_and_answered() {
    let (mut one, mut two) = pair(&Net::default(), &config()).await;
    let displaced = claim(two.life, 5);
    one.peers.fence(two.life, &user("alice"), displaced);
    let said = two.said().await;
    assert!(
        matches!(&said, FromPeer::Fence(from, who, what) if (*from, who, *what) == (one.life, &user("alice"), displaced)),
        "{said:?}"
    );
    two.peers.fenced(one.life, displaced);
    assert!(matches!(one.said().await, FromPeer::Fenced(what) if what == displaced));

    one.peers.ask(two.life, 9, &user("bob"));
    let said = two.said().await;
    assert!(
        matches!(&said, FromPeer::Ask(from, 9, who) if (*from, who) == (one.life, &user("bob")))
    );
    let claims = [
        entry(claim(two.life, 1), Some("phone")),
        entry(displaced, None),
    ];
    two.peers.tell(one.life, 9, &claims);
    let said = one.said().await;
    assert!(
        matches!(&said, FromPeer::Told(from, 9, Some(told)) if *from == two.life && **told == claims),
        "{said:?}"
    );
    // Nobody has asked.
    two.peers.tell(one.life, 9, &claims);
    one.hears_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn lives_that_have_ended_are_told_in_both_directions_and_to_those_who_come() {
    let net = Net::default();
    let (mut one, mut two) = pair(&net, &config()).await;
    let is = |said: FromPeer, lives: &[Incarnation]| matches!(said, FromPeer::Ended(ended) if ended == lives);
    one.peers.ended(&[life(90)]);
    assert!(is(two.said().await, &[life(90)]));
    two.peers.ended(&[life(91)]);
    assert!(is(one.said().await, &[life(91)]));
    let many: Vec<_> = (1_000..3_000).map(life).collect();
    one.peers.ended(&many);
    assert!(is(two.said().await, &many[..1024]));
    assert!(is(two.said().await, &many[1024..]));
    let mut three = Node::new(&net, 3);
    three.knows(&[&one]);
    three.peers.ended(&[life(92)]);
    three.peers.dial(one.life);
    three.finds(one.life).await;
    assert!(is(three.said().await, &many[2_000 - 1024..]), "the latest");
    one.finds(three.life).await;
    assert!(is(one.said().await, &[life(92)]));
}

#[tokio::test(start_paused = true)]
async fn a_question_that_cannot_be_asked_is_not_answered() {
    let net = Net::default();
    let (mut one, two) = pair(&net, &config()).await;
    one.peers.ask(life(99), 1, &user("alice"));
    assert!(matches!(one.said().await, FromPeer::Told(_, 1, None)));
    one.peers.ask(two.life, 2, &user("alice"));
    two.stop.cancel();
    assert!(matches!(one.said().await, FromPeer::Told(_, 2, None)));
    one.loses(two.life).await;
}
