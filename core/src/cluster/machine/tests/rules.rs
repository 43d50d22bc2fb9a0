//! The rules one by one, each by the schedule that breaks what it protects.

use std::time::Duration;

use super::world::{Choice, Fate, LEASE, SUSPECT_FOR, World, over, user};
use crate::cluster::machine::*;
use crate::edges::directory::{ClaimId, Incarnation, Life, Operation, Record, Shard};

fn three() -> World {
    let mut world = World::new(3, true);
    world.pass(Duration::from_secs(3));
    world
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_node_that_answers_is_not_given_up_though_its_lease_has_run_out() {
    let mut world = three();
    world.login(1, "phone");
    world.take(&Choice::CutRegistry(1));
    world.pass(LEASE + SUSPECT_FOR * 3);
    assert!(world.lives_at(1), "it answers at its address");
    world.rest();
    world.check_rest();
}

#[test]
fn a_node_that_does_not_answer_is_given_up_after_a_while_and_not_before() {
    let mut world = three();
    world.login(1, "phone");
    world.settle();
    world.take(&Choice::Kill(1));
    world.pass(SUSPECT_FOR);
    assert!(world.lives_at(1), "its lease stood for a part of that time");
    world.pass(LEASE * 2);
    assert!(!world.lives_at(1));
}

#[test]
fn while_the_registry_is_silent_nobody_is_given_up() {
    let mut world = three();
    world.take(&Choice::Kill(1));
    for node in [0, 2] {
        world.take(&Choice::CutRegistry(node));
    }
    world.pass(SUSPECT_FOR * 3);
    for node in [0, 2] {
        world.take(&Choice::CutRegistry(node));
    }
    world.pass(SUSPECT_FOR / 2);
    assert!(
        world.lives_at(1),
        "they have not seen for long enough that it is not registered"
    );
    world.pass(SUSPECT_FOR);
    assert!(!world.lives_at(1));
}

#[test]
fn a_node_that_was_given_up_lives_again_and_does_not_displace_the_newer_login() {
    let mut world = three();
    world.login(1, "phone");
    world.settle();
    let before = world.own(1);
    world.take(&Choice::Freeze(1));
    world.pass(LEASE + SUSPECT_FOR * 2);
    assert!(!world.lives_at(1));
    world.login(2, "phone");
    world.settle();
    world.take(&Choice::Thaw(1));
    world.pass(seconds(5));
    assert_ne!(world.own(1), before);
    assert!(world.links(1).is_empty(), "the newer login has its place");
    assert_eq!(world.links(2).len(), 1);
}

#[test]
fn a_node_that_was_given_up_keeps_the_links_that_nobody_has_taken() {
    let mut world = three();
    world.login(1, "phone");
    world.settle();
    world.take(&Choice::Freeze(1));
    world.pass(LEASE + SUSPECT_FOR * 2);
    world.take(&Choice::Thaw(1));
    world.rest();
    world.check_rest();
    assert_eq!(world.links(1).len(), 1);
}

#[test]
fn a_node_that_did_not_run_for_a_while_claims_nothing_before_somebody_says_that_it_lives() {
    let mut world = three();
    world.take(&Choice::CutRegistry(1));
    world.take(&Choice::Freeze(1));
    world.pass(LEASE * 2);
    world.take(&Choice::Thaw(1));
    world.login(1, "phone");
    world.settle();
    assert!(!world.claims(1), "nobody has said so yet");
    world.take(&Choice::CutRegistry(1));
    world.pass(seconds(3));
    assert!(world.claims(1));
}

#[test]
fn a_node_whose_registry_is_away_goes_on_claiming() {
    let mut world = three();
    world.take(&Choice::CutRegistry(1));
    world.pass(LEASE * 2);
    world.login(1, "phone");
    world.settle();
    assert!(world.claims(1));
}

#[test]
fn claims_after_a_loss_are_above_those_that_were_lost() {
    let mut world = three();
    // Ten logins, so that the epoch is at ten; the store loses all of it.
    for _ in 0..10 {
        world.login(1, "phone");
        world.settle();
    }
    let older = world.links(1);
    world.take(&Choice::Freeze(1));
    world.take(&Choice::Flush);
    world.login(2, "phone");
    world.pass(seconds(1));
    let newer = world.links(2);
    world.take(&Choice::Thaw(1));
    world.pass(seconds(15));
    assert_eq!((older.len(), newer.len()), (1, 1));
    assert!(
        world.links(1).is_empty(),
        "the older login is displaced, though its epoch was higher"
    );
    assert_eq!(world.links(2), newer);
}

#[test]
fn the_claims_of_a_dead_node_are_deleted_when_their_clients_can_not_come_back() {
    let mut world = three();
    world.login(1, "phone");
    world.settle();
    world.take(&Choice::Kill(1));
    world.pass(LEASE + SUSPECT_FOR * 2);
    world.look(0, Need::Found);
    world.settle();
    assert!(world.claims(1), "they may come back");
    world.pass(seconds(60));
    world.look(0, Need::Found);
    world.settle();
    assert!(!world.claims(1));
}

#[test]
fn who_is_sent_for_a_link_that_is_not_there_has_its_claim_deleted_and_no_other() {
    let mut world = three();
    world.login(1, "phone");
    world.login(1, "desk");
    world.settle();
    let own = world.own(1).expect("it lives");
    let not_here = |link| {
        let claim = ClaimId {
            incarnation: own,
            link,
        };
        Event::Peer(FromPeer::NotHere(user(), Shard(0), claim))
    };
    world.hears(1, not_here(1));
    world.settle();
    assert_eq!(world.claimed(), [1, 2], "the link stands");
    world.forget_in_silence(1, 1);
    world.hears(1, not_here(1));
    world.settle();
    assert_eq!(world.claimed(), [2]);
}

#[test]
fn one_shard_that_fails_leaves_the_others_alone() {
    let mut world = three();
    world.hears(1, Event::Directory(over(2)));
    world.settle();
    let tag = Tag::Nobody;
    let failed = FromDirectory::Answer(Shard(1), tag, Err(Failed::Unknown), seconds(0));
    world.hears(1, Event::Directory(failed));
    let lives = world.machine(1).lives();
    assert_eq!((lives[0].is_some(), lives[1]), (true, None));
}

#[test]
fn a_node_whose_links_are_missing_for_a_minute_is_told_of() {
    let mut world = three();
    world.take(&Choice::CutStore(1));
    world.login(1, "phone");
    world.pass(seconds(50));
    assert!(world.notes(0).is_empty());
    world.pass(seconds(20));
    let own = world.own(1).expect("it lives");
    assert_eq!(world.notes(0), [Note::Lags(own)]);
}

#[test]
fn an_absent_user_who_is_waited_for_is_looked_for_less_and_less_and_at_once_when_a_node_changes() {
    let mut machine = World::new(1, true).machine(0).clone();
    let mut now = seconds(100);
    machine.step(Event::Tick, now);
    machine.step(Event::Push(OfPush::Await(user(), Shard(0))), now);
    let mut looked = Vec::new();
    for _ in 0..400 {
        now += Duration::from_millis(100);
        for action in machine.step(Event::Tick, now) {
            if let Action::Run(shard, _, Operation::Find(_), tag @ Tag::Find(_)) = action {
                looked.push(now.as_secs_f64() - 100.0);
                let answer = FromDirectory::Answer(shard, tag, Ok(Record::default()), seconds(0));
                machine.step(Event::Directory(answer), now);
            }
        }
    }
    let pauses: Vec<f64> = looked.windows(2).map(|two| two[1] - two[0]).collect();
    assert!((0.9..1.2).contains(&looked[0]), "{looked:?}");
    assert!(
        pauses.windows(2).all(|two| two[1] >= two[0] - 0.2),
        "{pauses:?}"
    );
    assert!(pauses.iter().all(|pause| *pause < 11.2), "{pauses:?}");
    let spread = machine.step(Event::Directory(over(1)), now);
    let asks = |action: &Action| matches!(action, Action::ReadLife(_));
    assert!(spread.iter().any(asks));
    let life = machine.step(
        Event::Directory(FromDirectory::Life(Shard(0), Some(Life(9)))),
        now,
    );
    let finds = |action: &Action| matches!(action, Action::Run(_, _, Operation::Find(_), _));
    assert!(
        life.iter().any(finds),
        "a shard in another life may have the user: {life:?}"
    );
}

#[test]
fn who_is_looked_for_while_the_shards_change_is_looked_for_anew_in_the_right_one() {
    let mut machine = World::new(1, true).machine(0).clone();
    let now = seconds(100);
    machine.step(Event::Tick, now);
    machine.step(Event::Push(OfPush::Await(user(), Shard(0))), now);
    let look = OfPush::Look(900, user(), Shard(0), Need::Found);
    machine.step(Event::Push(look), now);
    // The answer to what was asked is lost with the line that it stood in.
    assert_eq!(machine.looked_for(), [user()]);
    let spread = Spread {
        shards: 2,
        links: Vec::new(),
        users: vec![(user(), Shard(1))],
    };
    machine.step(Event::Directory(FromDirectory::Spread(spread)), now);
    let found = |actions: Vec<Action>| {
        let mut finds = actions.into_iter().filter_map(|action| match action {
            Action::Run(shard, _, Operation::Find(_), tag) => Some((shard, tag)),
            _ => None,
        });
        finds.next().expect("it is looked for")
    };
    let life = FromDirectory::Life(Shard(1), Some(Life(9)));
    let (shard, tag) = found(machine.step(Event::Directory(life), now));
    assert_eq!(shard, Shard(1));
    let answer = FromDirectory::Answer(shard, tag, Ok(Record::default()), seconds(0));
    let told = machine.step(Event::Directory(answer), now);
    let ends = Action::Found(900, Vec::new(), Some(Verdict::Enough));
    assert!(told.contains(&ends), "{told:?}");
    assert_eq!(found(told).0, Shard(1), "so is who is waited for");
}

#[test]
fn a_life_of_another_registry_is_over() {
    let world = three();
    let mut machine = world.machine(0).clone();
    let now = world.now;
    let own = world.own(0).expect("it lives");
    let mut view = (*world.view()).clone();
    view.mark.registry = 8;
    view.boots.clear();
    let actions = machine.step(Event::Registry(FromRegistry::View(view.into())), now);
    assert!(actions.contains(&Action::Boot(None)), "{actions:?}");
    assert!(actions.contains(&Action::Note(Note::Reborn(own))));
}

#[test]
fn a_life_of_a_restored_registry_lives_for_whoever_met_it_before_the_registry() {
    let world = three();
    let mut machine = world.machine(0).clone();
    let now = world.now;
    let restored = Incarnation {
        registry: 8,
        revision: 1,
    };
    let finds = |machine: &mut Machine, ticket| {
        let look = OfPush::Look(ticket, user(), Shard(0), Need::Found);
        let asked = machine.step(Event::Push(look), now);
        let Some(Action::Run(shard, _, _, tag)) = asked.first() else {
            panic!("it reads the record: {asked:?}");
        };
        let claim = crate::edges::directory::Claim {
            id: ClaimId {
                incarnation: restored,
                link: 1,
            },
            device: None,
            epoch: 1,
            state: crate::edges::directory::ClaimState::Online,
        };
        let record = Record {
            epoch: 1,
            claims: vec![claim],
            ..Record::default()
        };
        let answer = FromDirectory::Answer(*shard, tag.clone(), Ok(record), seconds(0));
        let told = machine.step(Event::Directory(answer), now);
        let holders = |action: &Action| match action {
            Action::Found(_, holders, _) => Some(holders.len()),
            _ => None,
        };
        told.iter().find_map(holders)
    };
    assert_eq!(finds(&mut machine, 900), Some(0), "it is of no node yet");
    let mut view = (*world.view()).clone();
    view.mark.registry = 8;
    let boot = view.boots.values().next().expect("a boot").clone();
    view.boots = [(restored, boot)].into();
    machine.step(Event::Registry(FromRegistry::View(view.into())), now);
    assert_eq!(finds(&mut machine, 901), Some(1));
    // While the registry is silent it may have been restored again.
    let mut machine = world.machine(0).clone();
    machine.step(Event::Registry(FromRegistry::Silent), now);
    assert_eq!(finds(&mut machine, 902), None, "the view may come");
}

#[test]
fn a_claim_of_a_life_that_the_view_does_not_have_yet_is_waited_for_then_read() {
    let world = three();
    let mut machine = world.machine(0).clone();
    let now = world.now;
    let newer = Incarnation {
        registry: 7,
        revision: 1 << 40,
    };
    let look = OfPush::Look(900, user(), Shard(0), Need::Found);
    let asked = machine.step(Event::Push(look), now);
    let Some(Action::Run(shard, _, _, tag)) = asked.first() else {
        panic!("it reads the record: {asked:?}");
    };
    let claim = crate::edges::directory::Claim {
        id: ClaimId {
            incarnation: newer,
            link: 1,
        },
        device: None,
        epoch: 1,
        state: crate::edges::directory::ClaimState::Online,
    };
    let record = Record {
        epoch: 1,
        claims: vec![claim],
        ..Record::default()
    };
    let answer = FromDirectory::Answer(*shard, tag.clone(), Ok(record), seconds(0));
    let told = |actions: &[Action]| {
        actions
            .iter()
            .any(|action| matches!(action, Action::Found(..)))
    };
    assert!(
        !told(&machine.step(Event::Directory(answer), now)),
        "the view may come"
    );
    let late = machine.step(Event::Tick, now + seconds(2));
    let Some(Action::ReadView(number)) = late.iter().find(|a| matches!(a, Action::ReadView(_)))
    else {
        panic!("it reads the view: {late:?}");
    };
    let mut view = (*world.view()).clone();
    view.mark.boots = 1 << 40;
    let boot = view.boots.values().next().expect("a boot").clone();
    view.boots.insert(newer, boot);
    let read = FromRegistry::Read(*number, Some(view.into()));
    let found = machine.step(Event::Registry(read), now + seconds(2));
    assert!(told(&found), "{found:?}");
}

#[test]
fn a_link_is_not_served_before_it_is_claimed_or_its_node_known_to_be_behind() {
    let mut world = three();
    world.take(&Choice::CutStore(1));
    world.login(1, "phone");
    world.take(&Choice::Store(1, Fate::Arrives));
    assert!(
        !world.is_served(1),
        "others may still take the node to be complete"
    );
    world.settle();
    assert!(world.is_served(1), "now they know");
}

#[test]
fn where_links_are_refused_without_a_claim_they_are_never_served() {
    let mut world = World::new(2, false);
    world.pass(seconds(3));
    world.take(&Choice::CutStore(1));
    world.login(1, "phone");
    world.pass(seconds(1));
    assert!(world.links(1).is_empty());
}
