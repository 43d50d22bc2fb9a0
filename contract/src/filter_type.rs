//! The first two of a filter's three lives: its type, and what is prepared of one entry.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::client::ClientEnd;
use crate::coverage::Coverage;
use crate::filter::Filter;
use crate::growth::Growth;
use crate::link::{Form, Identity};
use crate::open::Open;
use crate::prepare::Prepare;
use crate::problem::Problems;
use crate::properties::Properties;

/// The prepared value of one entry.
///
/// ```
/// use linkgate_filter::problem::Problems;
/// use linkgate_filter::{
///     Context, Deserialize, Fact, Filter, FilterType, JsonSchema, Message, Never, Open, Prepare, Properties, Registry,
///     Verdict,
/// };
///
/// /// The config of `use: stamp`.
/// #[derive(Deserialize, JsonSchema)]
/// #[serde(deny_unknown_fields)]
/// struct Config {
///     /// What is put before each body. At least one character.
///     stamp: String,
/// }
///
/// /// One entry.
/// struct Stamp(String);
///
/// impl FilterType for Stamp {
///     const NAME: &'static str = "stamp";
///     type Config = Config;
///     type Filter = Stamping;
///
///     fn prepare(config: Config, _: &Prepare<'_>) -> Result<Self, Problems> {
///         let mut problems = Problems::new();
///         if config.stamp.is_empty() {
///             problems.at("stamp", "there is nothing to put before bodies").hint("remove the filter");
///         }
///         problems.into_result(Self(config.stamp))
///     }
///
///     fn properties(&self) -> Properties {
///         Properties::new().needs(Fact::DECODED)
///     }
///
///     fn filter(&self, _: &Open<'_>) -> Stamping {
///         Stamping(self.0.clone())
///     }
/// }
///
/// /// On one link.
/// struct Stamping(String);
///
/// impl Filter for Stamping {
///     type Token = Never;
///     type Timer = Never;
///     type Waited = Never;
///     type Done = Never;
///
///     fn upstream(&mut self, mut m: Message, _: &mut Context<'_, Self>) -> Verdict {
///         m.body = [self.0.as_bytes(), &m.body].concat().into();
///         Verdict::Next(m)
///     }
/// }
///
/// let registry = Registry::new().with::<Stamp>();
/// assert_eq!(registry.names().collect::<Vec<_>>(), ["stamp"]);
/// ```
pub trait FilterType: Sized + Send + Sync + 'static {
    /// What YAML calls it after `use:`.
    const NAME: &'static str;

    /// The entry's `config:`. Use `#[serde(deny_unknown_fields)]`; the doc comments of its fields are the user docs.
    type Config: DeserializeOwned + JsonSchema;

    /// What runs on a link or a trunk shard.
    type Filter: Filter;

    /// Checks the config and makes the prepared value. Pure: it opens nothing and starts nothing, because
    /// `linkgate validate` calls it too. Reports all problems at once.
    fn prepare(config: Self::Config, cx: &Prepare<'_>) -> Result<Self, Problems>;

    /// Where the filter may stand.
    fn properties(&self) -> Properties;

    /// What test cases are asked to bring about of it.
    fn coverage(&self) -> Coverage {
        Coverage::new()
    }

    /// Opens the filter for one link or trunk shard.
    fn filter(&self, cx: &Open<'_>) -> Self::Filter;

    /// How much larger it makes messages on their way to a client of this form, at most; of whole frames, if `framed`. What
    /// changes no bodies has nothing to say.
    fn growth(&self, form: Form, framed: bool) -> Growth {
        let _ = (form, framed);
        Growth::NONE
    }

    /// The client's end of it, for the link of this identity, if it changes what clients send and get.
    fn client(&self, identity: &Identity) -> Option<Box<dyn ClientEnd>> {
        let _ = identity;
        None
    }

    /// Why whoever plans to put `next` in its place, under the same id, or nothing, should think twice: one sentence
    /// about what clients or backends would notice. `linkgate plan` says so.
    fn risk(&self, next: Option<&Self>) -> Option<String> {
        let _ = next;
        None
    }
}
