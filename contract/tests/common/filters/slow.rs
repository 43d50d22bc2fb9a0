//! A filter that notes which messages take longer than a second, and calls somebody for each.

use std::time::Duration;

use linkgate_filter::{
    Command, Context, Deserialize, Filter, JsonSchema, Message, Never, Open, Outcome, Properties,
    Settle, TimerId, Verdict,
};

use super::filter_type;
use crate::common::{Desk, Go, says};

/// Tags business messages, sets a timer for each, and calls for it: the gate `ID KEY`.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Slow {}

pub struct Timing(String);
filter_type!(Slow, "slow", Timing, Properties::new());

impl Timing {
    fn open(_: &Slow, cx: &Open<'_>) -> Self {
        Self(cx.id().to_string())
    }
}

/// That a message was seen by a `slow`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen(pub String);

impl Filter for Timing {
    type Token = (String, TimerId);
    type Timer = String;
    type Waited = Never;
    type Done = (String, Go);

    fn upstream(&mut self, mut m: Message, cx: &mut Context<'_, Self>) -> Verdict {
        if m.command != Some(Command::UpstreamMessage) {
            return Verdict::Next(m);
        }
        let key = m.key.clone();
        m.tags_mut().insert(Seen(self.0.clone()));
        let timer = cx.wake_after(Duration::from_secs(1), key.clone());
        cx.track(&mut m, (key.clone(), timer));
        let gate = Desk::gate(&format!("{} {key}", self.0));
        cx.spawn(async move { (key, gate.await) });
        Verdict::Next(m)
    }

    fn settled(
        &mut self,
        (key, timer): Self::Token,
        outcome: Outcome,
        cx: &mut Context<'_, Self>,
    ) -> Settle {
        let cancelled = cx.cancel(timer);
        assert_eq!(cx.cancel(timer), None, "a timer is taken back once");
        let outcome_says = says(&outcome);
        Desk::note(match cancelled {
            Some(timer) => format!("{key} in time {outcome_says}, took back {timer}"),
            None => format!("{key} too late {outcome_says}"),
        });
        Settle::Next(outcome)
    }

    fn wake(&mut self, key: String, _: &mut Context<'_, Self>) {
        Desk::note(format!("{key} is late"));
    }

    fn done(&mut self, (key, go): (String, Go), _: &mut Context<'_, Self>) {
        Desk::note(format!("{key} called {go:?}"));
    }
}
