//! A terminal that hands its messages to the test.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::filter::Context;
use crate::filter::{Filter, Never};
use crate::filter_type::FilterType;
use crate::message::Message;
use crate::open::Open;
use crate::prepare::Prepare;
use crate::problem::Problems;
use crate::properties::Properties;
use crate::runner::Host;
use crate::state::SharedScope;
use crate::verdict::Verdict;

/// `use: test_end`: ends a pipeline; see [`Testkit::taken`](super::Testkit::taken).
pub struct End;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {}

type Taken = Mutex<VecDeque<Message>>;

pub(super) fn taken(host: &Host) -> Vec<Message> {
    let none: Arc<str> = "".into();
    let taken = host.states.shared(
        SharedScope::Node,
        &none,
        &none,
        &"test_end".into(),
        Taken::default,
    );
    let taken = std::mem::take(&mut *taken.lock());
    taken.into()
}

impl FilterType for End {
    const NAME: &'static str = "test_end";
    type Config = Config;
    type Filter = Ending;

    fn prepare(_: Config, _: &Prepare<'_>) -> Result<Self, Problems> {
        Ok(Self)
    }

    fn properties(&self) -> Properties {
        Properties::new().terminal()
    }

    fn filter(&self, cx: &Open<'_>) -> Ending {
        Ending(cx.shared(SharedScope::Node, Taken::default))
    }
}

pub struct Ending(Arc<Taken>);

impl Filter for Ending {
    type Token = Never;
    type Timer = Never;
    type Waited = Never;
    type Done = Never;

    fn upstream(&mut self, m: Message, _: &mut Context<'_, Self>) -> Verdict {
        self.0.lock().push_back(m);
        Verdict::Done
    }
}
