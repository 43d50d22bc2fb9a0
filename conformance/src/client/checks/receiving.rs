//! Pushes.

use super::{SOON, arrived, ensure, round_trip};
use crate::client::Checked;
use crate::client::settings::ANSWER_TIMEOUT;
use crate::client::stage::Stage;

pub(in super::super) async fn push(stage: &mut Stage) -> Checked {
    let mut link = stage.link().await?;
    round_trip(&mut link, "p-1", "news").await
}

/// Sees that the application has been handed it once.
fn once(stage: &Stage, body: &str) -> Checked {
    let times = stage.log.ask(|heard| heard.handed(body));
    ensure(times == 1, "the push handed over once", || {
        format!("handed over {times} times")
    })
}

pub(in super::super) async fn twice(stage: &mut Stage) -> Checked {
    let mut link = stage.link().await?;
    round_trip(&mut link, "p-1", "news").await?;
    link.push("p-1", "news").await?;
    link.until("an acknowledgement of the second copy too", SOON, |heard| {
        heard.acks("p-1") > 1
    })
    .await?;
    link.during(ANSWER_TIMEOUT).await?;
    once(stage, "news")
}

pub(in super::super) async fn again_later(stage: &mut Stage) -> Checked {
    let mut link = stage.link().await?;
    round_trip(&mut link, "p-1", "news").await?;
    link.cut();
    let mut link = stage.link().await?;
    link.push("p-1", "news").await?;
    link.until("an acknowledgement on the new connection", SOON, |heard| {
        heard.acks("p-1") > 1
    })
    .await?;
    link.during(ANSWER_TIMEOUT).await?;
    once(stage, "news")
}

pub(in super::super) async fn order(stage: &mut Stage) -> Checked {
    let mut link = stage.link().await?;
    let keys = ["p-3", "p-1", "p-2", "p-10", "p-0"];
    for key in keys {
        link.push(key, &format!("body-of-{key}")).await?;
    }
    for key in keys {
        arrived(&mut link, key, &format!("body-of-{key}")).await?;
    }
    Ok(())
}

pub(in super::super) async fn same_body(stage: &mut Stage) -> Checked {
    let mut link = stage.link().await?;
    for key in ["p-1", "p-2"] {
        link.push(key, "alike").await?;
    }
    link.until("two pushes handed over", SOON, |heard| {
        heard.handed("alike") == 2
    })
    .await
}

pub(in super::super) async fn any_key(stage: &mut Stage) -> Checked {
    let mut link = stage.link().await?;
    for key in [" p\"\\/\u{1F600}é\n", "0", &"k".repeat(128)] {
        link.push(key, "any").await?;
        link.until(
            &format!("an acknowledgement with the key {key:?}"),
            SOON,
            |heard| heard.acks(key) > 0,
        )
        .await?;
    }
    Ok(())
}
