//! What has to hold, whatever happens.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use linkgate_core::cluster::Whereabouts;
use linkgate_proto::v1::receiver_outcome::Status;

use crate::world::World;
use crate::world::callers::{Outcome, Pushed};
use crate::world::clients::{Link, Who};
use crate::world::node::SUSPECT_FOR;

/// Why a process may be given up by others, or its links not be known: by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trouble {
    /// It does not run.
    Frozen(u32),
    /// The registry does not answer it, or tells it nothing.
    Registry(u32),
}

/// A link whose process was in trouble so shortly before a push may have been given up.
const RECOVERS: Duration = Duration::from_secs(8);

/// Knows what was in trouble, and when.
#[derive(Default)]
pub(crate) struct Judge {
    /// From when until when.
    troubles: BTreeMap<Trouble, Vec<(u64, Option<u64>)>>,
    /// When the registry went back.
    pub(crate) restored: Vec<u64>,
}

impl Judge {
    pub(crate) fn begins(&mut self, trouble: Trouble, now: u64) {
        let spans = self.troubles.entry(trouble).or_default();
        if spans.last().is_none_or(|(_, end)| end.is_some()) {
            spans.push((now, None));
        }
    }

    pub(crate) fn ends(&mut self, trouble: Trouble, now: u64) {
        if let Some((_, end)) = self
            .troubles
            .get_mut(&trouble)
            .and_then(|all| all.last_mut())
        {
            end.get_or_insert(now);
        }
    }

    /// Whether nothing of the kind was the matter from `from` to `to`, nor shortly before.
    fn is_well(&self, process: u32, from: u64, to: u64) -> bool {
        let recovers = RECOVERS + SUSPECT_FOR;
        let recovers = u64::try_from(recovers.as_millis()).unwrap_or_default();
        let from = from.saturating_sub(recovers);
        let troubles = [Trouble::Frozen(process), Trouble::Registry(process)];
        let spans = troubles
            .iter()
            .filter_map(|trouble| self.troubles.get(trouble));
        let mut spans = spans.flatten();
        let is_troubled =
            spans.any(|(began, ended)| *began <= to && ended.is_none_or(|end| end >= from));
        let is_restored = self.restored.iter().any(|at| (from..=to).contains(at));
        !is_troubled && !is_restored
    }

    /// Whether a link was served all the time, by a process of which nobody could think anything else.
    fn stood(&self, link: &Link, from: u64, to: u64) -> bool {
        // A client hears some time later that another one has its place.
        let late = if link.was_replaced { 15_000 } else { 0 };
        let stood = link.began < from && link.ended.is_none_or(|end| end > to + late);
        stood && self.is_well(link.process, from, to)
    }

    /// What is wrong with what became of pushes.
    pub(crate) fn of_pushes(&self, world: &World) -> Vec<String> {
        let pushes = world.pushes.lock();
        let mut wrong = Vec::new();
        let alive: BTreeSet<u32> = world
            .processes
            .values()
            .map(|process| process.number)
            .collect();
        for pushed in pushes.iter() {
            let key = &pushed.request.key;
            match &pushed.answer {
                None if alive.contains(&pushed.process) => {
                    wrong.push(format!("{key} is not settled"));
                }
                Some((at, Some(outcomes))) => {
                    wrong.extend(is_answered_once(pushed, outcomes));
                    for outcome in outcomes {
                        wrong.extend(self.of_outcome(world, pushed, *at, outcome));
                    }
                }
                _ => {}
            }
        }
        wrong
    }

    fn of_outcome(
        &self,
        world: &World,
        pushed: &Pushed,
        at: u64,
        outcome: &Outcome,
    ) -> Option<String> {
        let key = &pushed.request.key;
        let Outcome { user, status, .. } = outcome;
        let links = world.links.lock();
        let of_user = || links.iter().filter(|link| link.user == *user);
        let has_acknowledged =
            |link: &Link| link.acknowledged.get(key).is_some_and(|when| *when <= at);
        let is_acknowledged = {
            let what = (user.clone(), key.clone());
            world
                .acknowledged
                .lock()
                .get(&what)
                .is_some_and(|when| *when <= at)
        };
        match status {
            // With `all` it says that one of the links was not there any more.
            Status::Offline if !pushed.request.all => {
                let stood = of_user().find(|link| self.stood(link, pushed.at, at))?;
                Some(format!(
                    "{key} is offline for {user} at {at}, who was at {} since {}",
                    stood.process, stood.began
                ))
            }
            Status::Delivered if !is_acknowledged => Some(format!(
                "{key} is delivered to {user}, who has not acknowledged it"
            )),
            Status::Delivered if pushed.request.all => {
                let mut stood = of_user().filter(|link| self.stood(link, pushed.at, at));
                let without = stood.find(|link| !has_acknowledged(link))?;
                Some(format!(
                    "{key} is delivered to all of {user}, and not acknowledged by {:?} at {} since {}",
                    without.device, without.process, without.began
                ))
            }
            _ => None,
        }
    }

    /// What is wrong with the pushes of the end.
    pub(crate) fn of_last(world: &World, from: usize, who: &[Who]) -> Vec<String> {
        let there: BTreeSet<&str> = who
            .iter()
            .filter(|who| who.stays)
            .map(|who| &*who.user)
            .collect();
        let pushes = world.pushes.lock();
        let mut wrong = Vec::new();
        for pushed in &pushes[from..] {
            let user = &pushed.request.receiver_ids[0];
            let is = match &pushed.answer {
                Some((_, Some(outcomes))) => outcomes[0].status,
                other => {
                    wrong.push(format!("{} is not settled: {other:?}", pushed.request.key));
                    continue;
                }
            };
            let has_to_be = match there.contains(&**user) {
                true => Status::Delivered,
                false => Status::Offline,
            };
            if is != has_to_be {
                wrong.push(format!(
                    "{} to {user} is {is:?}, not {has_to_be:?}",
                    pushed.request.key
                ));
            }
        }
        wrong
    }

    /// What is wrong with what a node says of a user in the end.
    pub(crate) fn of_whereabouts(
        world: &World,
        user: &str,
        node: usize,
        found: &Whereabouts,
    ) -> Vec<String> {
        let links = world.links.lock();
        let open = links
            .iter()
            .filter(|link| link.user == user && link.ended.is_none());
        let mut stand: Vec<(String, Option<String>)> = open
            .map(|link| (format!("node-{}", link.node), link.device.clone()))
            .collect();
        stand.sort();
        let mut wrong = Vec::new();
        let devices: BTreeSet<&Option<String>> = stand.iter().map(|(_, device)| device).collect();
        if devices.len() < stand.len() {
            wrong.push(format!("{user} has more than one link a device: {stand:?}"));
        }
        let mut held: Vec<(String, Option<String>)> = Vec::new();
        for (of, links) in &found.nodes {
            match links {
                None => wrong.push(format!("{of} does not answer node {node}")),
                Some(links) => {
                    held.extend(links.iter().map(|link| (of.clone(), link.device.clone())));
                }
            }
        }
        held.sort();
        if held != stand {
            wrong.push(format!(
                "by node {node} the nodes have {held:?} of {user}, who has {stand:?}"
            ));
        }
        match &found.directory {
            Err(why) => wrong.push(format!("the directory does not answer node {node}: {why}")),
            Ok(directory) => {
                // Those of a life that is over are deleted when somebody looks for the user later.
                let claims = directory.claims.iter();
                let claims = claims.filter(|claim| !claim.node.starts_with("ended "));
                let mut claims: Vec<(String, Option<String>)> = claims
                    .map(|claim| (claim.node.clone(), claim.device.clone()))
                    .collect();
                claims.sort();
                if claims != stand || !directory.displaced.is_empty() {
                    wrong.push(format!(
                        "by node {node} the directory has {claims:?} of {user}, who has {stand:?}; displaced: {:?}",
                        directory.displaced
                    ));
                }
            }
        }
        wrong
    }
}

fn is_answered_once(pushed: &Pushed, outcomes: &[Outcome]) -> Option<String> {
    let mut asked = pushed.request.receiver_ids.clone();
    let mut answered: Vec<String> = outcomes
        .iter()
        .map(|outcome| outcome.user.clone())
        .collect();
    asked.sort();
    answered.sort();
    (asked != answered).then(|| {
        format!(
            "{} to {asked:?} is answered for {answered:?}",
            pushed.request.key
        )
    })
}
