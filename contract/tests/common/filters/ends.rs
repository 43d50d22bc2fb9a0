//! An end that tells the desk what reaches it, and a filter that tells the desk how long its chain lives.

use linkgate_filter::{
    Context, Deserialize, Filter, JsonSchema, Message, Never, Open, Properties, Verdict,
};

use super::filter_type;
use crate::common::{Desk, Go, failed, ok};

/// Notes each message in the order of arrival, then hands it to the test or calls for it: the gate `ID KEY+KEY`.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Arrive {
    call: bool,
}

pub struct Arriving(String, bool);
filter_type!(Arrive, "arrive", Arriving, Properties::new().terminal());

impl Arriving {
    fn open(config: &Arrive, cx: &Open<'_>) -> Self {
        Self(cx.id().to_string(), config.call)
    }
}

impl Filter for Arriving {
    type Token = Never;
    type Timer = Never;
    type Waited = Never;
    type Done = ();

    fn upstream(&mut self, mut m: Message, cx: &mut Context<'_, Self>) -> Verdict {
        let mut parts = m.take_parts();
        let joined = !parts.is_empty();
        if !joined {
            parts.push(m);
        } else if !self.1 {
            m.settle(ok(""));
        } else {
            // The shell settles after its parts.
            parts.push(m);
        }
        let keys = parts.iter().filter(|m| !m.key.is_empty());
        for m in keys.clone() {
            Desk::arrive(m.link.id, &m.key);
        }
        if !self.1 {
            parts.into_iter().for_each(Desk::hand);
            return Verdict::Done;
        }
        let keys: Vec<_> = keys.map(|m| m.key.as_str()).collect();
        let gate = Desk::gate(&format!("{} {}", self.0, keys.join("+")));
        cx.spawn(async move {
            let good = gate.await != Go::Refuse;
            for m in parts {
                Desk::fate(&m.key, good);
                m.settle(if good { ok("yes") } else { failed() });
            }
        });
        Verdict::Done
    }
}

/// Tells the desk when it opens, closes and is gone.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Census {}

pub struct Counted(usize);
filter_type!(Census, "census", Counted, Properties::new());

impl Counted {
    fn open(_: &Census, cx: &Open<'_>) -> Self {
        Self(Desk::born(cx.link().id))
    }
}

impl Filter for Counted {
    type Token = Never;
    type Timer = Never;
    type Waited = Never;
    type Done = Never;

    fn close(&mut self, cx: &mut Context<'_, Self>) {
        Desk::closed(self.0, cx.now());
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        Desk::died(self.0);
    }
}
