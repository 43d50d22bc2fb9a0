//! The task of a node's machine: takes in what happens, and has done what it decides.

mod notes;

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use linkgate_filter::CloseCode;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::clerk::Clerk;
use super::inbox::{Inbox, News};
use super::machine::{
    Action, Event, FromDirectory, FromPeer, FromRegistry, Holder, Machine, NewLink, OfLink, OfPush,
    Spread, Time, Verdict,
};
use super::peers::Peers;
use super::registrar::Registrar;
use super::registry::{Incarnation, Load, NodeState, Told, View};
use super::state::{Standing, State};
use super::ways::Seekers;
use crate::clock::Suspends;
use crate::edges::directory::{Shard, Topology, User};
use crate::link::{Awaited, Change, LinkHandle, LinkManager, Reader};

/// How often what the node carries is looked at, and at least told.
const LOAD: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(30));

/// Comings and goings that are taken in at once.
const CHANGES: usize = 256;

/// What a node says of itself, as the rest of it knows.
pub type Says = Arc<dyn Fn() -> (Load, NodeState, u64) + Send + Sync>;

/// A machine at work.
pub(super) struct Mind {
    pub(super) machine: Machine,
    /// Where the machine's time begins.
    pub(super) zero: Instant,
    pub(super) suspends: Suspends,
    pub(super) inbox: Arc<Inbox>,
    pub(super) clerk: Clerk,
    pub(super) registrar: Registrar,
    pub(super) peers: Peers,
    pub(super) links: Arc<LinkManager>,
    pub(super) handles: HashMap<u64, Weak<LinkHandle>>,
    pub(super) seekers: Arc<Seekers>,
    pub(super) state: Arc<State>,
    pub(super) says: Says,
    pub(super) topology: watch::Receiver<Option<Arc<dyn Topology>>>,
    pub(super) spread: Option<Arc<dyn Topology>>,
    pub(super) told: mpsc::Receiver<Told>,
    pub(super) view: Arc<View>,
    pub(super) is_dialled: bool,
    /// When the load is to be looked at, and told in any case.
    pub(super) load_at: (Instant, Instant),
}

/// The next comings and goings, if they are read.
async fn read(reader: Option<&Reader>) -> Option<Vec<Change>> {
    match reader {
        Some(reader) => reader.changes(CHANGES).await,
        None => std::future::pending().await,
    }
}

/// Who is waited for, or no longer.
async fn await_users(awaited: Option<&Awaited>) -> Vec<(User, bool)> {
    match awaited {
        Some(awaited) => awaited.changes(CHANGES).await,
        None => std::future::pending().await,
    }
}

/// What has come that the task waits for.
enum Came {
    News,
    Changes(Option<Vec<Change>>),
    Awaited(Vec<(User, bool)>),
    Told(Option<Told>),
    Registered(Option<super::registry::Registered>),
    Spread,
    Load,
    Timer,
    Stop,
}

impl Mind {
    /// Works until it is told to stop, then leaves the registry.
    pub(super) async fn run(mut self, journal: Option<(Reader, Awaited)>, stop: CancellationToken) {
        let reader = journal.as_ref().map(|(reader, _)| reader);
        let awaited = journal.as_ref().map(|(_, awaited)| awaited);
        self.registrar.boot(None);
        self.spreads();
        loop {
            self.work_off();
            let slept = self.suspends.since();
            let next = self.machine.next_timer();
            let next = next.map(|at| self.zero + at.saturating_sub(slept));
            let timer = async {
                match next {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let came = tokio::select! {
                biased;
                () = stop.cancelled() => Came::Stop,
                () = self.inbox.rung() => Came::News,
                changes = read(reader) => Came::Changes(changes),
                awaited = await_users(awaited) => Came::Awaited(awaited),
                told = self.told.recv() => Came::Told(told),
                registered = self.registrar.registered() => Came::Registered(registered),
                Ok(()) = self.topology.changed() => Came::Spread,
                () = sleep_until(self.load_at.0) => Came::Load,
                () = timer => Came::Timer,
            };
            match came {
                Came::Stop => break,
                Came::News => {}
                Came::Changes(changes) => self.links_change(changes.unwrap_or_default()),
                Came::Awaited(users) => self.users_are_awaited(users),
                Came::Told(told) => self.registry_tells(told),
                Came::Registered(registered) => {
                    if let Some(event) = self
                        .registrar
                        .means(registered, (self.zero, self.suspends.since()))
                    {
                        self.step(Event::Registry(event));
                    }
                }
                Came::Spread => self.spreads(),
                Came::Load => self.weighs(),
                Came::Timer => self.step(Event::Tick),
            }
        }
        self.peers.is(None);
        self.registrar.leave().await;
        // Nobody looks any more.
        self.seekers.clear();
    }

    fn now(&self) -> Time {
        self.zero.elapsed() + self.suspends.since()
    }

    fn work_off(&mut self) {
        loop {
            let news = self.inbox.take();
            if news.is_empty() {
                return;
            }
            for news in news {
                match news {
                    News::LookAt(look) => look(&self.machine),
                    news => {
                        if let Some(event) = self.event(news) {
                            self.step(event);
                        }
                    }
                }
            }
        }
    }

    fn event(&self, news: News) -> Option<Event> {
        Some(match news {
            News::LookAt(_) => return None,
            News::Event(event) => event,
            News::Directory(spread, event) => {
                // What was asked before users were spread anew was asked of other shards.
                return (spread == self.clerk.spreads()).then_some(Event::Directory(event));
            }
            News::Look(ticket, user, need) => {
                let shard = self.shard(&user);
                Event::Push(OfPush::Look(ticket, user, shard, need))
            }
            News::Forget(ticket) => Event::Push(OfPush::Forget(ticket)),
            News::NotHere(user, claim) => {
                let shard = self.shard(&user);
                Event::Peer(FromPeer::NotHere(user, shard, claim))
            }
        })
    }

    fn shard(&self, user: &User) -> Shard {
        let shard = self.spread.as_ref().map(|spread| spread.shard(user));
        shard.unwrap_or_default()
    }

    fn step(&mut self, event: Event) {
        let actions = self.machine.step(event, self.now());
        for action in actions {
            self.act(action);
        }
    }

    /// Links have come or gone.
    fn links_change(&mut self, changes: Vec<Change>) {
        for change in changes {
            let link = change.link;
            if !change.is_online {
                self.handles.remove(&link.id);
                self.step(Event::Link(OfLink::Went(link.id)));
                continue;
            }
            // One that has gone again is told of next.
            let Some(handle) = self.links.get(&link) else {
                continue;
            };
            self.handles.insert(link.id, Arc::downgrade(&handle));
            let identity = &link.identity;
            let user = (Arc::clone(&identity.biz_id), Arc::clone(&identity.user_id));
            let new = NewLink {
                link: link.id,
                shard: self.shard(&user),
                user,
                device: identity.device_id.clone(),
                most: handle.side_by_side(),
            };
            self.step(Event::Link(OfLink::Came(new)));
        }
    }

    fn users_are_awaited(&mut self, users: Vec<(User, bool)>) {
        for (user, is_awaited) in users {
            let shard = self.shard(&user);
            self.step(Event::Push(match is_awaited {
                true => OfPush::Await(user, shard),
                false => OfPush::Unawait(user),
            }));
        }
    }

    fn registry_tells(&mut self, told: Option<Told>) {
        let event = match told {
            Some(Told::View(view)) => {
                self.sees(&view);
                FromRegistry::View(view)
            }
            Some(Told::Answers) => {
                self.state.registry_answers(None);
                FromRegistry::Answers
            }
            Some(Told::Silent(why)) => {
                self.state.registry_answers(Some(&why));
                FromRegistry::Silent
            }
            None => return,
        };
        self.step(Event::Registry(event));
    }

    fn sees(&mut self, view: &Arc<View>) {
        self.state.registry_answers(None);
        self.view = Arc::clone(view);
        let own = self.machine.incarnation();
        let others = view.boots.iter().filter(|(life, _)| Some(**life) != own);
        let others: Vec<(Incarnation, String)> = others
            .filter_map(|(life, boot)| {
                let record = view.nodes.get(&boot.node)?;
                let is_of_it = record.incarnation == Some(*life);
                (is_of_it && !record.peer.is_empty()).then(|| (*life, record.peer.clone()))
            })
            .collect();
        self.state.remember(&others);
        self.peers.know(self.state.addresses(view, own));
        if own.is_some() && !std::mem::replace(&mut self.is_dialled, true) {
            for (life, _) in others {
                self.peers.dial(life);
            }
        }
        self.state.set_view(Arc::clone(view));
    }

    /// Users are spread over the shards of the directory in this way now.
    fn spreads(&mut self) {
        let Some(spread) = self.topology.borrow_and_update().clone() else {
            return;
        };
        let shards = spread.shards();
        self.spread = Some(spread);
        self.clerk.spread(shards);
        let links = self.handles.iter();
        let links = links.filter_map(|(id, handle)| {
            let handle = handle.upgrade()?;
            let identity = &handle.info().identity;
            let user = (Arc::clone(&identity.biz_id), Arc::clone(&identity.user_id));
            Some((*id, self.shard(&user)))
        });
        let links = links.collect();
        let users = self.machine.looked_for().into_iter();
        let users = users.map(|user| (user.clone(), self.shard(&user)));
        let users = users.collect();
        let spread = Spread {
            shards,
            links,
            users,
        };
        self.step(Event::Directory(FromDirectory::Spread(spread)));
    }

    /// Sees whether what the node carries is worth telling.
    fn weighs(&mut self) {
        let now = Instant::now();
        let is_due = now >= self.load_at.1;
        let (load, state, generation) = (self.says)();
        self.registrar.says(load, state, generation, is_due);
        self.load_at.0 = now + LOAD.0;
        if is_due {
            self.load_at.1 = now + LOAD.1;
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Boot(over) => {
                self.peers.is(None);
                self.registrar.boot(over);
            }
            Action::Register(number, life, lives) => {
                self.peers.is(Some(life));
                self.state.set(Standing::Lives);
                self.registrar.register(number, life, lives);
            }
            Action::End(node, life) => self.registrar.end(node, life),
            Action::AskNewest(number) => self.registrar.ask_newest(number),
            Action::ReadView(number) => self.registrar.read(number),
            Action::Probe(life) => self.peers.dial(life),
            Action::TellEnded(lives) => self.peers.ended(&lives),
            Action::Fence(to, user, claim) => self.peers.fence(to, &user, claim),
            Action::Fenced(to, claim) => self.peers.fenced(to, claim),
            Action::Ask(to, number, user) => self.peers.ask(to, number, &user),
            Action::Tell(to, number, claims) => self.peers.tell(to, number, &claims),
            Action::ReadLife(shard) => self.clerk.read_life(shard),
            Action::Run(shard, life, operation, tag) => self.clerk.run(shard, life, operation, tag),
            Action::Serve(link) => self.with(link, LinkHandle::serve),
            Action::Replace(link) => self.with(link, LinkHandle::replace),
            Action::Refuse(link) => self.with(link, |link| link.close(CloseCode::OVERLOADED)),
            Action::LetGo => self.lets_go(),
            Action::Found(ticket, holders, verdict) => self.found(ticket, &holders, verdict),
            Action::Come(user) => self.links.journal().comes(&user),
            Action::Note(note) => self.note(note),
        }
    }

    fn with(&self, link: u64, order: impl FnOnce(&LinkHandle)) {
        if let Some(link) = self.handles.get(&link).and_then(Weak::upgrade) {
            order(&link);
        }
    }

    fn found(&self, ticket: u64, holders: &[Holder], verdict: Option<Verdict>) {
        let own = self.machine.incarnation();
        self.seekers
            .found(ticket, (holders, own), &self.peers, verdict);
    }
}
