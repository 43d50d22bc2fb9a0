use linkgate_filter::testkit::{TestLink, Testkit};
use linkgate_filter::{Identity, Registry, Settle};
use schemars::JsonSchema;
use serde::Deserialize;

use super::*;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Stands where the codec stands.
struct Decodes;

/// Stands where `ack_retry` could stand: answers outcomes itself.
struct Tracks;

impl FilterType for Decodes {
    const NAME: &'static str = "decodes";
    type Config = Nothing;
    type Filter = Self;
    fn prepare(_: Nothing, _: &Prepare<'_>) -> Result<Self, Problems> {
        Ok(Self)
    }
    fn properties(&self) -> Properties {
        Properties::new().gives(Fact::DECODED)
    }
    fn filter(&self, _: &Open<'_>) -> Self {
        Self
    }
}

impl Filter for Decodes {
    type Token = Never;
    type Timer = Never;
    type Waited = Never;
    type Done = Never;
}

impl FilterType for Tracks {
    const NAME: &'static str = "tracks";
    type Config = Nothing;
    type Filter = Self;
    fn prepare(_: Nothing, _: &Prepare<'_>) -> Result<Self, Problems> {
        Ok(Self)
    }
    fn properties(&self) -> Properties {
        Properties::new()
    }
    fn filter(&self, _: &Open<'_>) -> Self {
        Self
    }
}

impl Filter for Tracks {
    type Token = ();
    type Timer = Never;
    type Waited = Never;
    type Done = Never;

    fn upstream(&mut self, mut m: Message, cx: &mut Context<'_, Self>) -> Verdict {
        cx.track(&mut m, ());
        Verdict::Next(m)
    }

    fn settled(&mut self, (): (), outcome: Outcome, cx: &mut Context<'_, Self>) -> Settle {
        if let Some(fault) = outcome.fault() {
            let link = Arc::clone(cx.link());
            cx.downstream(Message::nack(link, "tracked".to_owned(), fault.clone()));
        }
        Settle::Next(outcome)
    }
}

fn entries(config: &str) -> String {
    format!(
        "[{{ use: decodes }}, {{ id: limit, use: rate_limit, config: {config} }}, {{ use: test_end }}]"
    )
}

fn kit(entries: &str) -> Testkit {
    let registry = Registry::new()
        .with::<Decodes>()
        .with::<Tracks>()
        .with::<RateLimit>();
    Testkit::new(registry, entries)
}

fn limit(config: &str) -> Testkit {
    kit(&entries(config))
}

/// The keys that have reached the end of the pipeline, accepted there.
fn passed(kit: &Testkit) -> Vec<String> {
    let accept = |m: Message| {
        let key = m.key.clone();
        m.settle(Outcome::accepted(""));
        key
    };
    kit.taken().into_iter().map(accept).collect()
}

/// Sends that many business messages; how many of them pass.
fn pass_of(kit: &Testkit, link: &mut TestLink, messages: usize) -> usize {
    for i in 0..messages {
        link.business(&format!("m{i}"), "");
    }
    passed(kit).len()
}

fn event(kit: &Testkit, name: &str) -> u64 {
    let events = kit.own().slots()[1].meter().events();
    let found = events.iter().find(|(event, _)| *event == name);
    found.map_or(0, |(_, count)| *count)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[tokio::test(start_paused = true)]
async fn an_excess_is_answered_with_its_key_and_the_time_to_wait() {
    let kit = limit("{ rate: 10/s, burst: 2 }");
    let mut link = kit.link("alice");
    assert_eq!(pass_of(&kit, &mut link, 3), 2);
    link.run().await;
    let [answer] = link.received().try_into().unwrap();
    assert_eq!(answer.command, Some(Command::RateLimitExceeded));
    assert_eq!(answer.key, "m2");
    let fault = answer.fault.unwrap();
    assert_eq!(fault.code, EXCEEDED);
    assert_eq!(fault.retry_after, Some(ms(100)));
    assert_eq!(event(&kit, "exceeded"), 1);
    assert_eq!(link.chains().load().messages, 0, "nothing stays unsettled");

    link.advance(ms(99)).await;
    assert_eq!(pass_of(&kit, &mut link, 1), 0);
    link.advance(ms(1)).await;
    assert_eq!(pass_of(&kit, &mut link, 1), 1);
}

#[tokio::test(start_paused = true)]
async fn who_tracks_the_message_answers_it_alone() {
    let kit = kit("[{ use: decodes }, { use: tracks }, \
         { use: rate_limit, config: { rate: 1/s } }, { use: test_end }]");
    let mut link = kit.link("alice");
    assert_eq!(pass_of(&kit, &mut link, 2), 1);
    link.run().await;
    let [answer] = link.received().try_into().unwrap();
    assert_eq!(answer.command, Some(Command::UpstreamNack));
    assert_eq!(answer.key, "tracked");
    let fault = answer.fault.unwrap();
    assert_eq!(fault.code, EXCEEDED);
    assert_eq!(fault.retry_after, Some(Duration::from_secs(1)));
}

#[tokio::test(start_paused = true)]
async fn heartbeats_and_acks_are_free() {
    let kit = limit("{ rate: 1/h }");
    let mut link = kit.link("alice");
    for _ in 0..100 {
        link.send(Command::Heartbeat, "", "");
        link.send(Command::DownstreamAck, "p", "");
    }
    assert_eq!(pass_of(&kit, &mut link, 1), 1);
    assert!(link.received().is_empty());
}

#[tokio::test(start_paused = true)]
async fn held_messages_pass_in_order_at_the_rate() {
    let kit = limit("{ rate: 10/s, burst: 1, on_excess: hold, max_hold: 1s }");
    let mut link = kit.link("alice");
    assert_eq!(pass_of(&kit, &mut link, 4), 1);
    for key in ["m1", "m2", "m3"] {
        link.advance(ms(99)).await;
        assert!(passed(&kit).is_empty());
        link.advance(ms(1)).await;
        assert_eq!(passed(&kit), [key]);
    }
    assert!(link.received().is_empty());
    assert_eq!((event(&kit, "held"), event(&kit, "exceeded")), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_overtakes_what_is_held() {
    let kit = limit("{ rate: 1/s, on_excess: hold }");
    let mut link = kit.link("alice");
    link.business("first", "");
    link.business("held", "");
    link.send(Command::Heartbeat, "", "");
    assert_eq!(
        kit.own().meter().faults(),
        [("link.unclaimed".to_owned(), 1)]
    );
    assert_eq!(passed(&kit), ["first"]);
}

#[tokio::test(start_paused = true)]
async fn what_would_be_held_too_long_is_answered_at_once() {
    let kit = limit("{ per: user, rate: 2/s, burst: 1, on_excess: hold, max_hold: 500ms }");
    let (mut phone, mut desk) = (kit.link("alice"), kit.link("alice"));
    phone.business("now", "");
    phone.business("held", "");
    desk.business("too late", "");
    desk.run().await;
    let [answer] = desk.received().try_into().unwrap();
    assert_eq!(answer.key, "too late");
    assert_eq!(answer.fault.unwrap().retry_after, Some(ms(1000)));
    phone.advance(ms(500)).await;
    assert_eq!(passed(&kit), ["now", "held"]);
}

#[tokio::test(start_paused = true)]
async fn a_held_message_of_a_client_that_left_still_passes() {
    let kit = limit("{ rate: 10/s, burst: 1, on_excess: hold }");
    let mut link = kit.link("alice");
    link.business("first", "");
    link.business("held", "");
    link.run().await;
    link.disconnect();
    assert_eq!(passed(&kit), ["first"]);
    link.advance(ms(100)).await;
    assert_eq!(passed(&kit), ["held"]);
    link.run().await;
    assert!(link.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_slow_down_is_closed() {
    let kit = limit("{ rate: 1/h, close_after: { excesses: 3, within: 10s } }");
    let mut link = kit.link("alice");
    pass_of(&kit, &mut link, 3);
    link.advance(Duration::from_secs(10)).await;
    pass_of(&kit, &mut link, 2);
    assert_eq!(link.close_wanted(), None, "the first two are too long ago");
    pass_of(&kit, &mut link, 1);
    assert_eq!(link.close_wanted(), Some(CloseCode::RATE_LIMITED));
    link.run().await;
    assert_eq!(link.received().len(), 5, "the last excess is answered too");
    assert_eq!(event(&kit, "closed"), 1);
}

#[tokio::test(start_paused = true)]
async fn the_first_excess_closes_where_it_is_to() {
    let kit = limit("{ rate: 1/h, on_excess: close }");
    let mut link = kit.link("alice");
    pass_of(&kit, &mut link, 1);
    assert_eq!(link.close_wanted(), None);
    pass_of(&kit, &mut link, 1);
    assert_eq!(link.close_wanted(), Some(CloseCode::RATE_LIMITED));
}

#[tokio::test(start_paused = true)]
async fn a_quota_is_shared_by_whom_it_is_for() {
    for (per, second_link, other_user, other_biz) in [
        ("link", 2, 2, 2),
        ("user", 0, 2, 2),
        ("biz_id", 0, 0, 2),
        ("node", 0, 0, 0),
    ] {
        let kit = limit(&format!("{{ per: {per}, rate: 1/h, burst: 2 }}"));
        let mut link = kit.link("alice");
        assert_eq!(pass_of(&kit, &mut link, 3), 2);
        let mut second = kit.link("alice");
        assert_eq!(pass_of(&kit, &mut second, 3), second_link, "{per}");
        let mut other = kit.link("bob");
        assert_eq!(pass_of(&kit, &mut other, 3), other_user, "{per}");
        let mut other = kit.open(Identity::new("shop", "alice"), |link| link);
        assert_eq!(pass_of(&kit, &mut other, 3), other_biz, "{per}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_changed_quota_keeps_what_was_spent() {
    for per in ["link", "user", "biz_id", "node"] {
        let config = |rest| entries(&format!("{{ per: {per}, {rest} }}"));
        let kit = kit(&config("rate: 10/s, burst: 10"));
        let mut link = kit.link("alice");
        assert_eq!(pass_of(&kit, &mut link, 4), 4);
        link.change(&kit.pipeline(&config("rate: 1/h, burst: 6")), ms(1000));
        link.run().await;
        assert_eq!(pass_of(&kit, &mut link, 10), 2, "{per}: 6 less 4 spent");
        link.change(&kit.pipeline(&config("rate: 1000/s, burst: 6")), ms(1000));
        link.run().await;
        assert_eq!(pass_of(&kit, &mut link, 1), 0, "{per}: still spent");
        link.advance(ms(1)).await;
        assert_eq!(pass_of(&kit, &mut link, 2), 1, "{per}: at the new rate");
    }
}

#[tokio::test(start_paused = true)]
async fn excesses_outlive_a_change_and_a_new_login_does_not_refill_the_user() {
    let config = entries("{ per: user, rate: 1/h, close_after: { excesses: 2 } }");
    let kit = kit(&config);
    let mut link = kit.link("alice");
    pass_of(&kit, &mut link, 2);
    link.change(&kit.pipeline(&config), ms(1000));
    link.run().await;
    pass_of(&kit, &mut link, 1);
    assert_eq!(link.close_wanted(), Some(CloseCode::RATE_LIMITED));
    let mut again = kit.relogin(&mut link);
    assert_eq!(pass_of(&kit, &mut again, 1), 0);
}
