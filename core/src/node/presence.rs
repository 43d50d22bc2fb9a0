//! Who tells of users who come and go, and changes of that.

use linkgate_filter::backend::Backends;
use linkgate_filter::runner::{Edges, Host};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::edges::Edge;
use crate::link::LinkManager;
use crate::outbox::Outlet;
use crate::presence::{Presence, PresenceConfig, PresenceMetrics};

/// Who tells, if anybody does.
#[derive(Default)]
pub(super) struct Teller(Option<Telling>);

struct Telling {
    made_of: (PresenceConfig, Option<Edge>),
    stop: CancellationToken,
}

impl Teller {
    /// Changes to this config. A new teller begins with the links that are there.
    pub(super) fn change(
        &mut self,
        config: Option<&PresenceConfig>,
        (node, host, backends): (&str, &Host, &Backends),
        (links, metrics): (&LinkManager, &PresenceMetrics),
        (tasks, stop): (&TaskTracker, &CancellationToken),
    ) {
        let made_of = config.map(|config| (config.clone(), edge(config, &host.edges, backends)));
        if self.0.as_ref().map(|telling| &telling.made_of) == made_of.as_ref() {
            return;
        }
        if let Some(before) = self.0.take() {
            before.stop.cancel();
        }
        let outlet =
            |config: &PresenceConfig| Outlet::open(&config.destination(), &host.edges, backends);
        let Some((made_of, outlet)) =
            made_of.and_then(|made_of| outlet(&made_of.0).map(|outlet| (made_of, outlet)))
        else {
            return;
        };
        let most = made_of.0.max_queued as usize;
        let read = |backlog| links.read(backlog);
        let presence = Presence::new(outlet, most, (node, &host.clock), metrics, read);
        let presence = presence.in_format(made_of.0.format);
        let stop = stop.child_token();
        tasks.spawn(presence.run(stop.clone()));
        self.0 = Some(Telling { made_of, stop });
    }
}

fn edge(config: &PresenceConfig, edges: &Edges, backends: &Backends) -> Option<Edge> {
    let name = config.destination().edge()?;
    Some(Edge::find(&name, edges, backends))
}
