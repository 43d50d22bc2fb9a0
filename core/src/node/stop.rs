//! The end of a node. It serves; then it drains: it takes nothing new, sends its links off, and what is unsettled settles; then
//! it stops: what goes on behind the links ends.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

use super::running::Running;
use super::send_off::{AT_ONCE, send_off};
use super::{Base, Node};
use crate::admin::{Admin, Phase};
use crate::link::Grace;

/// The part of a stop's patience that is kept for clients whose answers do not come: in its first half they are told which
/// of their messages have gone nowhere, then goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// What goes on behind the links has so long to end, even if draining has taken all the time there was.
const LAST_WORDS: Duration = Duration::from_secs(1);

impl Node {
    /// Accepts no more, answers what clients have sent, closes their links with `shutdown`, and waits for what is
    /// unsettled; all that for up to `patience`. Gives the number of links that were not done by then.
    pub async fn stop(self, patience: Duration) -> usize {
        let Self {
            admin,
            base,
            running,
            ..
        } = self;
        let deadline = Instant::now() + patience;
        let goodbye = (patience / 10).min(GOODBYE);
        let grace = Grace {
            answers: deadline - goodbye,
            refusals: deadline - goodbye / 2,
        };
        base.drain(&admin, running, grace, deadline).await;
        let left = base.gateway.links();
        admin.enter(Phase::Stopping);
        base.stop(deadline).await;
        left
    }
}

impl Base {
    /// Takes nothing new, sends all links off, and waits for what is unsettled, until the deadline.
    async fn drain(&self, admin: &Admin, running: Mutex<Running>, grace: Grace, deadline: Instant) {
        self.stop_accepting.cancel();
        self.accepting.close();
        self.send_all_off(grace).await;
        // Whoever sees that it is not ready any more finds its links told.
        admin.enter(Phase::Draining);
        // With it go the addresses that push sources keep for their successors.
        drop(running);
        let settled = async {
            self.accepting.wait().await;
            // A handshake that was under way may have brought one more link.
            self.send_all_off(grace).await;
            self.gateway.finished().await;
        };
        let _ = timeout_at(deadline, settled).await;
    }

    /// Closes every link, once what its client has sent is answered, as far as the grace goes.
    async fn send_all_off(&self, grace: Grace) {
        self.gateway.retire();
        let links = self.links.all().into_iter();
        let links = links.map(|link| (link, AT_ONCE));
        send_off(links, |link| link.shut_down(grace)).await;
    }

    /// Lets go of the pipelines, and ends what goes on behind the links.
    async fn stop(self, deadline: Instant) {
        self.gateway.let_go();
        drop(self.gateway);
        self.stop_background.cancel();
        self.background.close();
        let deadline = deadline.max(Instant::now() + LAST_WORDS);
        let _ = timeout_at(deadline, self.background.wait()).await;
    }
}
