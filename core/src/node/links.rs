//! Links at a change of generations: over to what serves them now, or out at a pace.

use std::sync::Arc;
use std::time::Duration;

use linkgate_filter::CloseCode;
use tokio_util::sync::CancellationToken;

use super::send_off::{Pause, send_off};
use crate::link::{LinkHandle, LinkManager};
use crate::pipeline::{Generation, Generations};

/// Links that nothing serves any more, and the pace at which they go.
pub(super) type Leaving = Vec<(Arc<LinkHandle>, Pause)>;

/// The links that are not on what serves them in `generation`, and those that nothing serves: they leave as fast as their
/// listener let them go in the generation `before`.
pub(super) fn sort(
    manager: &LinkManager,
    before: &Generation,
    generation: &Generation,
) -> (Vec<Arc<LinkHandle>>, Leaving) {
    let (mut changing, mut leaving) = (Vec::new(), Vec::new());
    for link in manager.all() {
        let identity = &link.info().identity;
        if let Some(served) = generation.find(link.listener(), &identity.biz_id) {
            if !link.is_on(served.pipeline(identity)) {
                changing.push(link);
            }
        } else if is_served(&link, before) {
            let entrance = before.entrance(link.listener());
            let drain = entrance.map_or(1.0, |entrance| entrance.drain);
            leaving.push((link, Duration::from_secs_f64(1.0 / drain)));
        }
    }
    (changing, leaving)
}

/// Changes a link over to what serves it; says whether it was on something else.
pub(super) fn bring(link: &LinkHandle, generation: &Generation) -> bool {
    let identity = &link.info().identity;
    let Some(served) = generation.find(link.listener(), &identity.biz_id) else {
        return false;
    };
    link.change(served.pipeline(identity), served.change_over)
}

/// A link has been entered, with what served it when its handshake was at work.
pub(super) fn entered(link: &LinkHandle, generation: &Generation) {
    if is_served(link, generation) {
        bring(link, generation);
    } else {
        link.close(CloseCode::RETIRED);
    }
}

fn is_served(link: &LinkHandle, generation: &Generation) -> bool {
    let biz_id = &link.info().identity.biz_id;
    generation.find(link.listener(), biz_id).is_some()
}

/// Closes links at their listener's pace, those that nothing serves meanwhile.
pub(super) async fn let_go(
    leaving: Leaving,
    generations: Arc<Generations>,
    stop: CancellationToken,
) {
    let tell = |link: &Arc<LinkHandle>| {
        if !is_served(link, &generations.load()) {
            link.close(CloseCode::RETIRED);
        }
    };
    stop.run_until_cancelled(send_off(leaving, tell)).await;
}
