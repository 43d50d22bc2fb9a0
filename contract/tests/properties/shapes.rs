//! Random pipelines, and such as an operator makes of one by and by.

use proptest::prelude::*;
use proptest::sample::{Index, select};

/// A filter, by its habit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Note,
    WaitUp,
    WaitDown,
    WaitAll,
    Track,
    TrackAll,
    Confirm,
    Hold,
    Pick,
    Keep,
}

/// A pipeline.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// Begins the ids.
    ids: &'static str,
    /// Before the codec: work on frames.
    frames: Vec<Kind>,
    /// After it.
    own: Vec<Kind>,
    /// Behind a `join` of so many messages.
    trunk: Option<(usize, Vec<Kind>)>,
    /// The end calls a backend by itself.
    calls: bool,
}

impl Shape {
    /// Whether pushes are kept until the client has got them.
    pub(crate) fn keeps(&self) -> bool {
        self.own.contains(&Kind::Keep)
    }

    /// Under which name.
    pub(crate) fn keeps_as(&self) -> Option<&'static str> {
        self.keeps().then_some(self.ids)
    }

    pub(crate) fn yaml(&self) -> String {
        let all = |at: &'static str, kinds: &[Kind]| -> Vec<String> {
            let numbered = kinds.iter().enumerate();
            numbered
                .map(|(n, kind)| kind.yaml(&format!("{at}{n}{}", self.ids), self.ids))
                .collect()
        };
        let mut lines = vec!["{ use: census }".to_owned()];
        lines.extend(all("frame", &self.frames));
        lines.push("{ use: codec }".to_owned());
        lines.push("{ id: ack, use: track, config: { answer: true } }".to_owned());
        lines.extend(all("own", &self.own));
        if let Some((size, trunk)) = &self.trunk {
            lines.push(format!("{{ use: join, config: {{ size: {size} }} }}"));
            lines.extend(all("trunk", trunk));
        }
        let calls = self.calls;
        lines.push(format!(
            "{{ id: end, use: arrive, config: {{ call: {calls} }} }}"
        ));
        format!("[{}]", lines.join(", "))
    }
}

impl Kind {
    fn yaml(self, id: &str, ids: &str) -> String {
        let (name, config) = match self {
            Self::Note => ("note", ""),
            Self::WaitUp => ("wait", "up: true"),
            Self::WaitDown => ("wait", "down: true"),
            Self::WaitAll => ("wait", "up: true, down: true, others: true"),
            Self::Track => ("track", ""),
            Self::TrackAll => ("track", "pushes: true"),
            Self::Confirm => ("track", "confirm: true"),
            Self::Hold => ("hold", ""),
            Self::Pick => ("pick", ""),
            // One address wherever it stands, so that pushes move with the session.
            Self::Keep => return format!("{{ id: keep{ids}, use: keep }}"),
        };
        format!("{{ id: {id}, use: {name}, config: {{ {config} }} }}")
    }
}

fn own_kind() -> impl Strategy<Value = Kind> {
    use Kind::{Confirm, Hold, Note, Pick, Track, TrackAll, WaitAll, WaitDown, WaitUp};
    select(vec![
        Note, WaitUp, WaitDown, WaitAll, Track, TrackAll, Confirm, Hold, Pick,
    ])
}

fn trunk() -> impl Strategy<Value = (usize, Vec<Kind>)> {
    let shared = select(vec![Kind::Note, Kind::WaitUp, Kind::Confirm]);
    (1_usize..4, prop::collection::vec(shared, 0..3))
}

/// Any pipeline.
fn shape() -> impl Strategy<Value = Shape> {
    let frame = select(vec![Kind::Note, Kind::WaitUp, Kind::WaitDown]);
    let parts = (
        prop::collection::vec(frame, 0..2),
        prop::collection::vec(own_kind(), 0..5),
        prop::option::of(trunk()),
        prop::option::of(any::<Index>()),
        any::<bool>(),
    );
    parts.prop_map(|(frames, mut own, trunk, keep, calls)| {
        if let Some(at) = keep {
            own.insert(at.index(own.len() + 1), Kind::Keep);
        }
        let ids = "";
        Shape {
            ids,
            frames,
            own,
            trunk,
            calls,
        }
    })
}

/// What an operator does to a pipeline.
#[derive(Clone, Debug)]
enum Edit {
    Insert(Index, Kind),
    Remove(Index),
    Reverse,
    Rename,
    Frame(Kind),
    Trunk(Option<(usize, Vec<Kind>)>),
    End,
    Keep(Index),
    All(Shape),
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        2 => (any::<Index>(), own_kind()).prop_map(|(at, kind)| Edit::Insert(at, kind)),
        1 => any::<Index>().prop_map(Edit::Remove),
        1 => Just(Edit::Reverse),
        1 => Just(Edit::Rename),
        1 => select(vec![Kind::WaitUp, Kind::WaitDown]).prop_map(Edit::Frame),
        2 => prop::option::of(trunk()).prop_map(Edit::Trunk),
        1 => Just(Edit::End),
        1 => any::<Index>().prop_map(Edit::Keep),
        2 => shape().prop_map(Edit::All),
    ]
}

impl Edit {
    fn apply(self, shape: &mut Shape) {
        let own = &mut shape.own;
        match self {
            Self::Insert(at, kind) => own.insert(at.index(own.len() + 1), kind),
            Self::Remove(at) if !own.is_empty() => drop(own.remove(at.index(own.len()))),
            Self::Remove(_) => {}
            Self::Reverse => own.reverse(),
            Self::Rename => shape.ids = "x",
            Self::Frame(kind) => shape.frames.insert(0, kind),
            Self::Trunk(trunk) => shape.trunk = trunk,
            Self::End => shape.calls = !shape.calls,
            Self::Keep(_) if own.contains(&Kind::Keep) => own.retain(|kind| *kind != Kind::Keep),
            Self::Keep(at) => own.insert(at.index(own.len() + 1), Kind::Keep),
            Self::All(other) => *shape = other,
        }
    }
}

/// As many pipelines that a link can change between: the first, and what became of it by one or two edits each.
pub(crate) fn shapes() -> impl Strategy<Value = Vec<Shape>> {
    let edits = || prop::collection::vec(edit(), 1..3);
    (shape(), edits(), edits()).prop_map(|(first, second, third)| {
        let mut shapes = vec![first];
        for edits in [second, third] {
            let mut next = shapes[shapes.len() - 1].clone();
            edits.into_iter().for_each(|edit| edit.apply(&mut next));
            shapes.push(next);
        }
        shapes
    })
}

pub(crate) const SHAPES: usize = 3;
