//! A filter that panics where it is told to.

use linkgate_filter::{
    Context, Deserialize, Filter, FilterType, JsonSchema, Message, Open, Outcome, Prepare,
    Properties, Settle, Verdict,
};

/// What the filter is at when it panics. Where that is a message, its key is `trip`.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum At {
    Prepare,
    Open,
    Opened,
    Upstream,
    Downstream,
    Wait,
    Resumed,
    Spawned,
    Settled,
    SettleWait,
    Wake,
    Close,
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Trip {
    at: At,
}

pub struct Tripping(At);

impl FilterType for Trip {
    const NAME: &'static str = "trip";
    type Config = Self;
    type Filter = Tripping;

    fn prepare(config: Self, _: &Prepare<'_>) -> Result<Self, linkgate_filter::problem::Problems> {
        Tripping(config.at).trip(At::Prepare);
        Ok(config)
    }

    fn properties(&self) -> Properties {
        Properties::new()
    }

    fn filter(&self, _: &Open<'_>) -> Tripping {
        Tripping(self.at).trip(At::Open);
        Tripping(self.at)
    }
}

impl Tripping {
    fn trip(&self, at: At) {
        assert!(self.0 != at, "told to");
    }
}

impl Filter for Tripping {
    type Token = ();
    type Timer = ();
    type Waited = ();
    type Done = ();

    fn opened(&mut self, _: &mut Context<'_, Self>) {
        self.trip(At::Opened);
    }

    fn upstream(&mut self, mut m: Message, cx: &mut Context<'_, Self>) -> Verdict {
        let keys = [&m].into_iter().chain(m.parts()).map(|m| m.key.as_str());
        if !keys.into_iter().any(|key| key == "trip") {
            return Verdict::Next(m);
        }
        self.trip(At::Upstream);
        match self.0 {
            At::Wait => {
                return cx.wait(async move {
                    let held = m;
                    std::future::ready(()).await;
                    assert!(held.key.len() > 100, "told to");
                    (held, ())
                });
            }
            At::Resumed => return cx.wait(async move { (m, ()) }),
            At::Spawned => {
                cx.spawn(async move {
                    let held = m;
                    assert!(held.key.len() > 100, "told to");
                });
                return Verdict::Done;
            }
            At::Settled | At::SettleWait => cx.track(&mut m, ()),
            At::Wake => {
                cx.wake_at(cx.now(), ());
            }
            _ => {}
        }
        Verdict::Next(m)
    }

    fn downstream(&mut self, m: Message, _: &mut Context<'_, Self>) -> Verdict {
        if m.key == "trip" {
            self.trip(At::Downstream);
        }
        Verdict::Next(m)
    }

    fn resumed(&mut self, m: Message, (): (), _: &mut Context<'_, Self>) -> Verdict {
        self.trip(At::Resumed);
        Verdict::Next(m)
    }

    fn settled(&mut self, (): (), outcome: Outcome, _: &mut Context<'_, Self>) -> Settle {
        self.trip(At::Settled);
        Settle::Wait(Box::pin(async move {
            assert!(outcome.fault().is_some(), "told to");
            outcome
        }))
    }

    fn wake(&mut self, (): (), _: &mut Context<'_, Self>) {
        self.trip(At::Wake);
    }

    fn close(&mut self, _: &mut Context<'_, Self>) {
        self.trip(At::Close);
    }
}
