//! Links in which a filter panics.

use linkgate_filter::{Fact, Message};

use super::*;

pub(super) fn with(registry: Registry) -> Registry {
    registry.with::<Lines>().with::<End>()
}

/// A frame is a key; on its way to the client the command and the key.
struct Lines;

impl FilterType for Lines {
    const NAME: &'static str = "lines";
    type Config = NoConfig;
    type Filter = Self;

    fn prepare(_: NoConfig, _: &Prepare<'_>) -> Result<Self, linkgate_filter::problem::Problems> {
        Ok(Self)
    }

    fn properties(&self) -> Properties {
        Properties::new().gives(Fact::DECODED)
    }

    fn filter(&self, _: &Open<'_>) -> Self {
        Self
    }
}

impl Filter for Lines {
    type Token = Never;
    type Timer = Never;
    type Waited = Never;
    type Done = Never;

    fn upstream(&mut self, mut m: Message, _: &mut Context<'_, Self>) -> Verdict {
        m.command = Some(Command::UpstreamMessage);
        m.key = String::from_utf8_lossy(&m.body).into_owned();
        Verdict::Next(m)
    }

    fn downstream(&mut self, mut m: Message, _: &mut Context<'_, Self>) -> Verdict {
        let code = m.fault.as_ref().map_or("", |fault| &fault.code);
        m.body = format!("{:?} {} {code}", m.command.unwrap(), m.key).into();
        m.text = true;
        Verdict::Next(m)
    }
}

/// The end: panics at `trip`, has `slow` settle after a second and `never` not at all.
struct End;

impl FilterType for End {
    const NAME: &'static str = "end";
    type Config = NoConfig;
    type Filter = Self;

    fn prepare(_: NoConfig, _: &Prepare<'_>) -> Result<Self, linkgate_filter::problem::Problems> {
        Ok(Self)
    }

    fn properties(&self) -> Properties {
        Properties::new().terminal()
    }

    fn filter(&self, _: &Open<'_>) -> Self {
        Self
    }
}

impl Filter for End {
    type Token = Never;
    type Timer = Never;
    type Waited = Never;
    type Done = ();

    fn upstream(&mut self, m: Message, cx: &mut Context<'_, Self>) -> Verdict {
        assert!(m.key != "trip", "told to");
        let clock = Arc::clone(cx.clock());
        let wait = Duration::from_secs(if m.key == "slow" { 1 } else { 3600 });
        let at = cx.now() + wait;
        cx.spawn(async move {
            clock.sleep_until(at).await;
            m.settle(Outcome::accepted(""));
        });
        Verdict::Done
    }
}

const PIPELINE: &str = "[{ use: lines }, { use: test_answers }, { use: end }]";

#[tokio::test(start_paused = true)]
async fn the_client_is_told_and_the_link_closed_once_the_rest_is_answered() {
    let world = World::new(PIPELINE);
    world.kit.contain_panics();
    let (mut client, mut other) = (world.connect("alice").await, world.connect("bob").await);
    let start = Instant::now();
    for key in ["slow", "trip"] {
        client.send(key).await;
    }
    other.send("slow").await;
    assert_eq!(client.text().await, "UpstreamNack trip gateway.panicked");
    client.send("late").await;
    assert_eq!(client.text().await, "UpstreamNack late link.closing");
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(client.text().await, "UpstreamAck slow ");
    assert_eq!(start.elapsed().as_secs(), 1);
    assert_eq!(client.closed().await, Some(CloseCode::INTERNAL));
    assert_eq!(start.elapsed().as_secs(), 1);
    drop(client.socket);
    client.task.await.unwrap();
    assert_eq!(other.text().await, "UpstreamAck slow ");
    let reason = super::super::metrics::Closed {
        reason: CloseCode::INTERNAL.name(),
    };
    assert_eq!(world.metrics.closed.get_or_create(&reason).get(), 1);
    assert_eq!(world.manager.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_settle_holds_the_close_up_for_a_while_only() {
    let world = World::new(PIPELINE);
    world.kit.contain_panics();
    let mut client = world.connect("alice").await;
    let start = Instant::now();
    client.send("never").await;
    client.send("trip").await;
    assert_eq!(client.text().await, "UpstreamNack trip gateway.panicked");
    assert_eq!(client.closed().await, Some(CloseCode::INTERNAL));
    assert_eq!(start.elapsed(), world.settings.close);
}
