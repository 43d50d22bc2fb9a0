//! The one list of the filters a program knows, and the erasure of their types.

use std::any::Any;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

use schemars::Schema;
use serde_json::Value;

use crate::client::ClientEnd;
use crate::coverage::Coverage;
use crate::filter_type::FilterType;
use crate::growth::Growth;
use crate::link::{Form, Identity};
use crate::open::Open;
use crate::prepare::Prepare;
use crate::problem::{Problems, deserialize};
use crate::properties::Properties;
use crate::runner::erased::{ErasedFilter, Held};

/// A [`FilterType`] behind a trait object.
pub(crate) trait ErasedType: Send + Sync {
    /// Checks `config` and makes the prepared value of an entry.
    fn prepare(&self, config: &Value, cx: &Prepare<'_>) -> Result<Arc<dyn Prepared>, Problems>;

    /// The schema of the entry's `config:`.
    fn schema(&self) -> Schema;
}

/// The prepared value of one entry behind a trait object.
pub(crate) trait Prepared: Any + Send + Sync {
    /// Where the filter may stand.
    fn properties(&self) -> Properties;

    /// What test cases are asked to bring about of it.
    fn coverage(&self) -> Coverage;

    /// Opens the filter for one link or trunk shard.
    fn open(&self, cx: &Open<'_>) -> Box<dyn ErasedFilter>;

    /// How much larger it makes messages on their way to a client of this form; of whole frames, if `framed`.
    fn growth(&self, form: Form, framed: bool) -> Growth;

    /// The client's end of it, if it has one.
    fn client(&self, identity: &Identity) -> Option<Box<dyn ClientEnd>>;

    /// Why a change to `next`, or its removal, wants care; one of another type counts as its removal.
    fn risk(&self, next: Option<&dyn Prepared>) -> Option<String>;
}

impl<T: FilterType> Prepared for T {
    fn properties(&self) -> Properties {
        FilterType::properties(self)
    }

    fn coverage(&self) -> Coverage {
        FilterType::coverage(self)
    }

    fn open(&self, cx: &Open<'_>) -> Box<dyn ErasedFilter> {
        Box::new(Held::new(self.filter(cx)))
    }

    fn growth(&self, form: Form, framed: bool) -> Growth {
        FilterType::growth(self, form, framed)
    }

    fn client(&self, identity: &Identity) -> Option<Box<dyn ClientEnd>> {
        FilterType::client(self, identity)
    }

    fn risk(&self, next: Option<&dyn Prepared>) -> Option<String> {
        let next = next.and_then(|next| (next as &dyn Any).downcast_ref::<Self>());
        FilterType::risk(self, next)
    }
}

struct Typed<T>(PhantomData<fn() -> T>);

impl<T: FilterType> ErasedType for Typed<T> {
    fn prepare(&self, config: &Value, cx: &Prepare<'_>) -> Result<Arc<dyn Prepared>, Problems> {
        Ok(Arc::new(T::prepare(deserialize(config)?, cx)?))
    }

    fn schema(&self) -> Schema {
        schemars::schema_for!(T::Config)
    }
}

/// The filters a program knows, by name.
#[derive(Clone, Default)]
pub struct Registry(BTreeMap<&'static str, Arc<dyn ErasedType>>);

impl Registry {
    /// No filters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a filter; one of the same name is replaced.
    #[must_use]
    pub fn with<T: FilterType>(mut self) -> Self {
        self.0.insert(T::NAME, Arc::new(Typed::<T>(PhantomData)));
        self
    }

    /// The schema of the `config:` of the filter that YAML calls `name`.
    pub fn schema(&self, name: &str) -> Option<Schema> {
        Some(self.get(name)?.schema())
    }

    /// The filter that YAML calls `name`.
    pub(crate) fn get(&self, name: &str) -> Option<&dyn ErasedType> {
        self.0.get(name).map(AsRef::as_ref)
    }

    /// The same names, with other filters behind them.
    pub(crate) fn map(&self, other: impl Fn(&Arc<dyn ErasedType>) -> Arc<dyn ErasedType>) -> Self {
        let filters = self.0.iter();
        Self(
            filters
                .map(|(name, filter)| (*name, other(filter)))
                .collect(),
        )
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.0.keys().copied()
    }
}
