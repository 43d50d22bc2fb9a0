//! A business's filters, prepared: each checked by itself, and in its place.

mod places;

use std::collections::BTreeSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde_json::Value;

use crate::client::Ends;
use crate::coverage::Coverage;
use crate::edges::{Declared, EdgeName};
use crate::growth::{Growth, Room};
use crate::link::{Form, Identity, LinkInfo};
use crate::meter::Meter;
use crate::open::Open;
use crate::prepare::Prepare;
use crate::problem::{Path, Problem, nearest};
use crate::properties::{Fact, Properties};
use crate::registry::{Prepared, Registry};
use crate::runner::erased::ErasedFilter;
use crate::runner::host::Host;

/// One step as the configuration writes it.
#[derive(Clone, PartialEq)]
pub struct Entry {
    /// Names the step within its pipeline.
    pub id: String,
    /// The filter's name.
    pub uses: String,
    /// The filter's config.
    pub config: Value,
}

impl fmt::Debug for Entry {
    /// Without the config, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("id", &self.id)
            .field("uses", &self.uses)
            .finish_non_exhaustive()
    }
}

/// Something wrong with an entry; the path starts at the entry itself (`use`, `id`, `config`, …).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryProblem {
    /// Index of the entry; `None`: the pipeline as a whole.
    pub entry: Option<usize>,
    /// What is wrong.
    pub problem: Problem,
}

/// The prepared filters of a pipeline. Nothing runs yet.
#[derive(Default)]
pub struct Plan {
    pub(crate) slots: Vec<Slot>,
    /// How many are the link's own; the others are trunk.
    pub(crate) own: usize,
    pub(crate) decodes_at: Option<usize>,
    named: BTreeSet<EdgeName>,
}

/// One step of a prepared pipeline.
pub struct Slot {
    id: Arc<str>,
    uses: String,
    prepared: Arc<dyn Prepared>,
    meter: Arc<Meter>,
}

impl Slot {
    /// The entry's id.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// The filter's name.
    pub fn uses(&self) -> &str {
        &self.uses
    }

    /// Where the filter may stand.
    pub fn properties(&self) -> Properties {
        self.prepared.properties()
    }

    /// What test cases are asked to bring about of it.
    pub fn coverage(&self) -> Coverage {
        self.prepared.coverage()
    }

    /// How much larger it makes messages on their way to a client of this form; of whole frames, if `framed`.
    pub(crate) fn growth(&self, form: Form, framed: bool) -> Growth {
        self.prepared.growth(form, framed)
    }

    /// It goes on counting where its predecessor is, if that is of the same filter.
    pub(crate) fn count_on(&mut self, predecessors: &[Self]) {
        let is_same = |old: &&Self| old.id == self.id && old.uses == self.uses;
        if let Some(same) = predecessors.iter().find(is_same) {
            self.meter = Arc::clone(&same.meter);
        }
    }

    /// What the entry has counted.
    pub fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    pub(crate) fn open(
        &self,
        host: &Arc<Host>,
        link: &Arc<LinkInfo>,
        room: Room,
    ) -> Box<dyn ErasedFilter> {
        self.prepared.open(&Open {
            host,
            link,
            id: &self.id,
            meter: &self.meter,
            room,
        })
    }
}

impl Plan {
    /// Prepares every entry and checks that each stands where it can work. Reports all problems at once.
    pub fn prepare(
        registry: &Registry,
        biz_id: &str,
        entries: &[Entry],
        declared: &Declared,
    ) -> Result<Self, Vec<EntryProblem>> {
        let mut problems = Vec::new();
        let mut slots = Vec::new();
        let mut ids = BTreeSet::new();
        let mut named = BTreeSet::new();
        for (index, entry) in entries.iter().enumerate() {
            let mut report = |problem| {
                problems.push(EntryProblem {
                    entry: Some(index),
                    problem,
                });
            };
            if !ids.insert(entry.id.as_str()) {
                let mut problem =
                    Problem::new("id", format!("two filters have the id `{}`", entry.id));
                problem.hint("give one of them another `id`");
                report(problem);
            }
            let Some(filter) = registry.get(&entry.uses) else {
                report(unknown(registry, &entry.uses));
                continue;
            };
            let cx = Prepare::new(biz_id, &entry.id, declared);
            let prepared = catch_unwind(AssertUnwindSafe(|| filter.prepare(&entry.config, &cx)));
            let Ok(prepared) = prepared else {
                report(panicked(&entry.uses));
                continue;
            };
            named.extend(cx.named());
            match prepared {
                Ok(prepared) => slots.push((
                    index,
                    Slot {
                        id: entry.id.as_str().into(),
                        uses: entry.uses.clone(),
                        prepared,
                        meter: Arc::default(),
                    },
                )),
                Err(found) => {
                    for mut problem in found {
                        problem.path = Path::from("config").join(&problem.path);
                        report(problem);
                    }
                }
            }
        }
        // Where an entry is unknown or broken, what it would give is unknown too: the places are checked afterwards.
        if problems.is_empty() {
            let properties: Vec<_> = slots
                .iter()
                .map(|(_, slot)| slot.prepared.properties())
                .collect();
            problems = places::check(entries, &properties);
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let slots: Vec<Slot> = slots.into_iter().map(|(_, slot)| slot).collect();
        let find = |test: fn(&Properties) -> bool| {
            slots
                .iter()
                .position(|slot| test(&slot.prepared.properties()))
        };
        let own = find(|p| p.joins_links).unwrap_or(slots.len());
        let decodes_at = find(|p| p.gives.contains(&Fact::DECODED));
        Ok(Self {
            slots,
            own,
            decodes_at,
            named,
        })
    }

    /// Whether it has no filters.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// What wants care if `next` takes its place: the filter's id, and why. `None`: the pipeline is removed.
    pub fn risks(&self, next: Option<&Self>) -> Vec<(Arc<str>, String)> {
        let successor = |slot: &Slot| {
            let mut slots = next.into_iter().flat_map(|next| &next.slots);
            slots.find(|other| other.id == slot.id)
        };
        let risk = |slot: &Slot| {
            let next = successor(slot).map(|next| &*next.prepared);
            Some((Arc::clone(&slot.id), slot.prepared.risk(next)?))
        };
        self.slots.iter().filter_map(risk).collect()
    }

    /// A client's ends of the filters, for the link of this identity.
    pub fn client(&self, identity: &Identity) -> Ends {
        ends(&self.slots, self.decodes_at, identity)
    }

    /// What the filters have asked for of what is declared outside.
    pub fn named(&self) -> &BTreeSet<EdgeName> {
        &self.named
    }

    /// The filter that speaks one form whatever the client asks for, by its index, and that form.
    pub fn speaks(&self) -> Option<(usize, Form)> {
        let mut slots = self.slots.iter().enumerate();
        slots.find_map(|(index, slot)| Some((index, slot.prepared.properties().speaks?)))
    }
}

pub(crate) fn ends(slots: &[Slot], decodes_at: Option<usize>, identity: &Identity) -> Ends {
    let mut ends = Ends::default();
    let (frames, bodies) = slots.split_at(decodes_at.map_or(0, |at| at + 1));
    let client = |slot: &Slot| slot.prepared.client(identity);
    ends.frames.extend(frames.iter().filter_map(client));
    ends.bodies.extend(bodies.iter().filter_map(client));
    ends
}

fn panicked(name: &str) -> Problem {
    let message = format!("the filter `{name}` panicked when it was given this config");
    let mut problem = Problem::new("config", message);
    problem.hint("that is a bug in the filter; the log says where it is");
    problem
}

fn unknown(registry: &Registry, name: &str) -> Problem {
    let mut problem = Problem::new("use", format!("there is no filter `{name}`"));
    let names: Vec<_> = registry.names().collect();
    match nearest(name, names.iter().copied()) {
        Some(near) => problem.hint(format!("did you mean `{near}`?")),
        None => problem.hint(format!("this program has: {}", names.join(", "))),
    };
    problem
}
