//! What other tasks hold of a link.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use linkgate_filter::runner::Pipeline;
use linkgate_filter::{CloseCode, Fault, LinkInfo, Message};
use parking_lot::Mutex;

use super::mailbox::{Mailbox, PushBudget};
use super::settings::{Grace, LinkSettings};

/// What other tasks hold of a link: who it is, and a way to its mailbox.
pub struct LinkHandle {
    info: Arc<LinkInfo>,
    /// Where it was let in.
    listener: Arc<str>,
    /// What it was last told to run its messages through.
    pipeline: Mutex<Arc<Pipeline>>,
    pub(super) mailbox: Mailbox,
    parked: AtomicBool,
    closing: AtomicBool,
    replaced: AtomicBool,
    /// It is not served yet.
    held: AtomicBool,
    /// As many links of its identity may stand side by side.
    side_by_side: u32,
}

impl LinkHandle {
    pub(super) fn new(
        info: Arc<LinkInfo>,
        (listener, pipeline): (&Arc<str>, &Arc<Pipeline>),
        settings: &LinkSettings,
        budget: Arc<PushBudget>,
    ) -> Self {
        Self {
            info,
            listener: Arc::clone(listener),
            pipeline: Mutex::new(Arc::clone(pipeline)),
            mailbox: Mailbox::new(settings.push_queue, budget),
            parked: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            replaced: AtomicBool::new(false),
            held: AtomicBool::new(false),
            side_by_side: settings.second_login.side_by_side(),
        }
    }

    /// The link is not served until [`LinkHandle::serve`]: its client is not read, and pushes for it wait in its mailbox.
    pub(super) fn hold(&self) {
        self.held.store(true, Ordering::Release);
    }

    pub(super) fn is_held(&self) -> bool {
        self.held.load(Ordering::Acquire)
    }

    /// Serves a link that was held.
    pub fn serve(&self) {
        if self.held.swap(false, Ordering::AcqRel) {
            self.mailbox.order(|_| {});
        }
    }

    /// As many links of its identity may stand side by side, by its listener's policy.
    pub fn side_by_side(&self) -> u32 {
        self.side_by_side
    }

    /// What filters know of the link.
    pub fn info(&self) -> &Arc<LinkInfo> {
        &self.info
    }

    /// The name of the listener that let it in.
    pub fn listener(&self) -> &str {
        &self.listener
    }

    /// Whether the socket is gone, while the link still settles messages or keeps a session.
    pub fn is_parked(&self) -> bool {
        self.parked.load(Ordering::Acquire)
    }

    /// Marks the socket as gone; says whether it was there until now.
    pub(super) fn park(&self) -> bool {
        !self.parked.swap(true, Ordering::AcqRel)
    }

    /// Whether the client is there to stay, as far as the gateway knows.
    pub(super) fn is_live(&self) -> bool {
        !self.is_parked() && !self.closing.load(Ordering::Acquire)
    }

    /// The close frame is on its way, or has come.
    pub(super) fn closes(&self) {
        self.closing.store(true, Ordering::Release);
    }

    /// Whether a later link has taken the session over, though the socket may still be open.
    pub(super) fn is_replaced(&self) -> bool {
        self.replaced.load(Ordering::Acquire)
    }

    /// Marks it as replaced; [`LinkHandle::replace`] tells its task.
    pub(super) fn gives_way(&self) {
        self.replaced.store(true, Ordering::Release);
    }

    /// Sends a push. Its outcome comes by its receipt; a push that is not taken comes back with the reason.
    ///
    /// # Errors
    /// The link is gone (`link.gone`), its queue is full (`link.queue_full`), or the push is too big (`push.too_big`).
    #[allow(clippy::result_large_err)] // The message goes back to its owner.
    pub fn push(&self, message: Message) -> Result<(), (Message, Fault)> {
        let room = self.pipeline.lock().room(&self.info);
        if !room.fits(&message.key, message.body.len()) {
            return Err((message, too_big(room.max_frame())));
        }
        self.mailbox.push(message)
    }

    /// Closes the link with this code.
    pub fn close(&self, code: CloseCode) {
        self.mailbox.order(|orders| orders.close = Some(code));
    }

    /// Sends `notice` to the client, then closes the link.
    pub fn redirect(&self, notice: Message) {
        self.mailbox.order(|orders| {
            orders.notice = Some(notice);
            orders.close = Some(CloseCode::REDIRECT);
        });
    }

    /// Whether it was last told to run its messages through this pipeline.
    pub fn is_on(&self, pipeline: &Arc<Pipeline>) -> bool {
        Arc::ptr_eq(&self.pipeline.lock(), pipeline)
    }

    /// Changes the link over to another pipeline, if it is not on that already; what the old one has not settled after
    /// `patience` settles as unknown. Says whether it is another.
    pub fn change(&self, pipeline: &Arc<Pipeline>, patience: Duration) -> bool {
        let mut current = self.pipeline.lock();
        if Arc::ptr_eq(&current, pipeline) {
            return false;
        }
        *current = Arc::clone(pipeline);
        // Under the lock, so that of two changes the last one stays.
        self.mailbox
            .order(|orders| orders.change = Some((Arc::clone(pipeline), patience)));
        true
    }

    /// Closes the link because the node stops: nobody will take its session up here. What the client has sent is answered
    /// before, as far as that is done within the grace; what it still sends is refused.
    pub fn shut_down(&self, grace: Grace) {
        self.mailbox.order(|orders| {
            orders.close = Some(CloseCode::SHUTDOWN);
            orders.grace = Some(grace);
            orders.fenced = true;
        });
    }

    /// A later link of the same identity takes the session over, here or on another node.
    pub fn replace(&self) {
        self.mailbox.order(|orders| {
            orders.close = Some(CloseCode::REPLACED);
            orders.fenced = true;
        });
    }
}

/// What the sender of a push hears that is too big for the link.
pub(super) fn too_big(max_frame: usize) -> Fault {
    let fault = Fault::backend("push.too_big");
    fault.detail(format!("its frame would have more than {max_frame} bytes"))
}
