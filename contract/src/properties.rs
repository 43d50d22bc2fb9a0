//! Where a filter may stand in a pipeline.

use std::fmt;

use crate::link::Form;

/// Something that is true of messages from a slot on, by the name that error messages use.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fact(pub &'static str);

impl Fact {
    /// The codec has decoded the frame: command, key and body are known.
    pub const DECODED: Self = Self("decoded messages");
    /// The body is in clear. So it is where no filter gives this, and otherwise behind the last that does.
    pub const CLEAR: Self = Self("clear bodies");
    /// A receipt answers the client, so outcomes reach it.
    pub const ANSWERED: Self = Self("answered messages");
    /// Messages are joined into batches.
    pub const JOINED: Self = Self("joined messages");
}

impl fmt::Debug for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// What a filter asks of its place, and what it changes for those after it (upstream). May depend on the config.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    /// Facts that a filter before it has to give.
    pub needs: Vec<Fact>,
    /// Facts true from it on. One that is true before it already is refused: such a filter stands in a pipeline once.
    pub gives: Vec<Fact>,
    /// Facts not true any more from it on.
    pub takes: Vec<Fact>,
    /// It gathers messages of several links: the trunk begins here.
    pub joins_links: bool,
    /// It needs one link: it is refused in the trunk.
    pub needs_link: bool,
    /// It is the end of the pipeline: nothing stands behind it.
    pub terminal: bool,
    /// The one form that it speaks with clients, whatever they ask for. A listener that is fixed to another is refused.
    pub speaks: Option<Form>,
}

impl Properties {
    /// A plain filter.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a need.
    #[must_use]
    pub fn needs(mut self, fact: Fact) -> Self {
        self.needs.push(fact);
        self
    }

    /// Adds a fact it gives.
    #[must_use]
    pub fn gives(mut self, fact: Fact) -> Self {
        self.gives.push(fact);
        self
    }

    /// Adds a fact it takes away.
    #[must_use]
    pub fn takes(mut self, fact: Fact) -> Self {
        self.takes.push(fact);
        self
    }

    /// It gathers messages of several links.
    #[must_use]
    pub fn joins_links(mut self) -> Self {
        self.joins_links = true;
        self
    }

    /// It needs one link.
    #[must_use]
    pub fn needs_link(mut self) -> Self {
        self.needs_link = true;
        self
    }

    /// It speaks this form with clients, whatever they ask for.
    #[must_use]
    pub fn speaks(mut self, form: Form) -> Self {
        self.speaks = Some(form);
        self
    }

    /// It is the end of the pipeline.
    #[must_use]
    pub fn terminal(mut self) -> Self {
        self.terminal = true;
        self
    }
}
