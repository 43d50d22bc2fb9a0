//! Whatever searches find, in whatever order: each push ends once; nobody is offline, and nothing has all links, unless a
//! search was certain of it since.

use proptest::prelude::*;

use super::everywhere::among_others;
use super::*;
use crate::push::receivers::Verdict;
use crate::push::testing::{Look, TestLink, TestNode};

#[derive(Clone, Debug)]
enum Step {
    /// The push of a user sets out, or comes from another node.
    Send(usize),
    Forward(usize),
    /// A link of the user comes here, or one goes.
    Come(usize),
    Go(usize),
    /// The oldest search finds links at a node.
    Find(u64),
    End(u8),
    /// The oldest push settles at a node; or here, at a user's oldest link.
    SettleThere(usize, u8),
    SettleHere(usize, u8),
    Park(usize),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let user = || 0..3_usize;
    let step = prop_oneof![
        3 => user().prop_map(Step::Send),
        1 => user().prop_map(Step::Forward),
        2 => user().prop_map(Step::Come),
        1 => user().prop_map(Step::Go),
        4 => (0..4_u64).prop_map(Step::Find),
        4 => (0..4_u8).prop_map(Step::End),
        5 => (0..6_usize, 0..6_u8).prop_map(|(node, outcome)| Step::SettleThere(node, outcome)),
        3 => (user(), 0..6_u8).prop_map(|(user, outcome)| Step::SettleHere(user, outcome)),
        1 => user().prop_map(Step::Park),
        1 => (0..400_000_u64).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 1..60)
}

fn outcome(number: u8) -> Outcome {
    match number {
        0 => Outcome::accepted(""),
        1 => Outcome::sent(),
        2 => Outcome::Failed(Fault::gateway("link.queue_full").retryable()),
        3 => Outcome::Failed(gone()),
        4 => Outcome::Failed(Fault::client("push.offline").retryable()),
        _ => Outcome::Unknown(gone().effect_unknown()),
    }
}

/// What is so of one user, and of the one push to them.
#[derive(Default)]
struct One {
    links: Vec<Arc<TestLink>>,
    sent: Option<Push>,
    outcomes: Vec<JoinHandle<ReceiverOutcome>>,
    forwarded: Vec<JoinHandle<ReceiverOutcome>>,
    /// A search was certain since the push set out, and since a way has left.
    is_certain: bool,
    is_confirmed: bool,
}

fn user(number: usize) -> String {
    format!("u{number}")
}

struct World {
    node: Node,
    ones: [One; 3],
    looks: Vec<(usize, Look)>,
    /// Whose each is, and where.
    nodes: Vec<(usize, Arc<TestNode>)>,
    kinds: [(bool, bool); 3],
    newest: u64,
}

impl World {
    fn note(&mut self, user: usize, number: u8) {
        let one = &mut self.ones[user];
        one.is_confirmed |= number == 0;
        // What needs no acknowledgement and may have left was sent.
        one.is_certain &= number < 3 || (number == 5 && !self.kinds[user].0);
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Send(number) => {
                let (ack, all) = self.kinds[number];
                let sent = Push {
                    ack,
                    all,
                    ..push("k")
                };
                let one = &mut self.ones[number];
                let is_under_way = one.outcomes.iter().any(|own| !own.is_finished());
                if one.sent.is_none() || is_under_way {
                    one.outcomes
                        .push(self.node.start(sent.clone(), &user(number)));
                    one.sent = Some(sent);
                }
            }
            Step::Forward(number) => {
                if let Some(sent) = &self.ones[number].sent {
                    let sent = self.node.router.admit(sent.clone()).unwrap();
                    let pending = Pending::forward(&self.node.router, &sent, &user(number));
                    let is_known = pending.known().is_some();
                    let told = tokio::spawn(async move {
                        match is_known {
                            true => pending.known().cloned().unwrap(),
                            false => pending.outcome(None).await,
                        }
                    });
                    self.ones[number].forwarded.push(told);
                }
            }
            Step::Come(number) => {
                let link = self.node.links.connect(&user(number), None);
                self.ones[number].links.push(link);
            }
            Step::Go(number) => {
                if let Some(link) = self.ones[number].links.pop() {
                    self.node.links.remove(&link);
                    while let Some(message) = link.take() {
                        self.note(number, 3);
                        message.settle(Outcome::Failed(gone()));
                    }
                    link.refuse(gone());
                }
            }
            Step::Find(at) => {
                if let Some((number, look)) = self.looks.first() {
                    self.newest += at / 2;
                    let there = TestNode::new(at, self.newest);
                    look.finds(&there);
                    self.nodes.push((*number, there));
                }
            }
            Step::End(verdict) => {
                if !self.looks.is_empty() {
                    let (number, look) = self.looks.remove(0);
                    let why = Fault::gateway("directory.silent");
                    match verdict {
                        0 | 1 => {
                            self.ones[number].is_certain |= !look.is_over();
                            look.ends(Verdict::Certain);
                        }
                        2 => look.ends(Verdict::Enough),
                        _ => look.ends(Verdict::Unknown(why)),
                    }
                }
            }
            Step::SettleThere(at, number) => {
                if let Some((user, there)) = self.nodes.get(at).cloned()
                    && let Some((_, receipt)) = there.take()
                {
                    self.note(user, number);
                    receipt.settle(outcome(number));
                }
            }
            Step::SettleHere(user, number) => {
                let link = self.ones[user].links.first().cloned();
                if let Some(message) = link.and_then(|link| link.take()) {
                    self.note(user, number);
                    message.settle(outcome(number));
                }
            }
            Step::Park(number) => self.node.router.park(&push("k"), &user(number)),
            Step::Pass(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
        }
        settle_down().await;
        while let Some(look) = self.node.links.elsewhere.next() {
            let number: usize = look.user.1[1..].parse().unwrap();
            self.ones[number].is_certain = false;
            self.looks.push((number, look));
        }
    }

    /// What was said by now is borne out.
    async fn check(&mut self) -> Result<(), TestCaseError> {
        for (one, (ack, all)) in self.ones.iter_mut().zip(self.kinds) {
            let mut open = Vec::new();
            for told in one.outcomes.drain(..) {
                if !told.is_finished() {
                    open.push(told);
                    continue;
                }
                let said = told.await.expect("it was not stopped");
                let what = format!("{said:?}, ack {ack}, all {all}");
                match said.status {
                    Status::Delivered if all => prop_assert!(one.is_certain, "{}", what),
                    Status::Delivered => prop_assert!(one.is_confirmed, "{}", what),
                    Status::Offline | Status::Sent => prop_assert!(one.is_certain, "{}", what),
                    Status::Expired | Status::Rejected => {}
                }
            }
            one.outcomes = open;
        }
        Ok(())
    }
}

async fn play(steps: Vec<Step>, kinds: [(bool, bool); 3]) -> Result<(), TestCaseError> {
    let mut world = World {
        node: among_others(),
        ones: Default::default(),
        looks: Vec::new(),
        nodes: Vec::new(),
        kinds,
        newest: 0,
    };
    for step in steps {
        world.step(step).await;
        world.check().await?;
    }
    tokio::time::sleep(Duration::from_secs(901)).await;
    settle_down().await;
    world.check().await?;
    for one in &mut world.ones {
        prop_assert!(one.outcomes.is_empty(), "a push has not ended");
        for told in one.forwarded.drain(..) {
            prop_assert!(told.is_finished(), "a forwarded push has not ended");
        }
        for link in &one.links {
            while link.take().is_some() {}
        }
    }
    for (_, there) in &world.nodes {
        while there.take().is_some() {}
    }
    prop_assert!(world.looks.iter().all(|(_, look)| look.is_over()));
    prop_assert_eq!(world.node.router.limits.load(), Load::default());
    prop_assert_eq!(world.node.router.metrics().unsettled.get(), 0);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nothing_is_said_of_users_elsewhere_that_is_not_certain(
        steps in steps(),
        kinds in any::<[(bool, bool); 3]>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(play(steps, kinds))?;
    }
}
