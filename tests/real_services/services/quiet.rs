//! A network between two ends that goes dead without a word, as behind a firewall that forgets connections.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// What a question is known by, until it comes.
type Text = Mutex<Option<Vec<u8>>>;

/// Forwards connections to a service.
pub(crate) struct Quiet {
    address: SocketAddr,
    /// Connections with a lower number carry nothing any more, and stay open.
    hushed: Arc<AtomicU64>,
    lost: Arc<Text>,
    held: Arc<Text>,
    released: Arc<Notify>,
    opened: Arc<AtomicU64>,
    _task: JoinSet<()>,
}

impl Quiet {
    pub(crate) async fn before(service: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (hushed, opened) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        // Connections with a lower number carry questions and no answers.
        let muted = Arc::<AtomicU64>::default();
        let (lost, held) = (Arc::<Text>::default(), Arc::<Text>::default());
        let released = Arc::new(Notify::new());
        let mut task = JoinSet::new();
        let (limit, count, loses) = (Arc::clone(&hushed), Arc::clone(&opened), Arc::clone(&lost));
        let (holds, release) = (Arc::clone(&held), Arc::clone(&released));
        task.spawn(async move {
            let mut ways = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let number = count.fetch_add(1, Ordering::SeqCst);
                let far = TcpStream::connect(service).await.unwrap();
                let ((near_in, near_out), (far_in, far_out)) =
                    (near.into_split(), far.into_split());
                let (count, muted, loses) =
                    (Arc::clone(&count), Arc::clone(&muted), Arc::clone(&loses));
                let (limit, is_muted) = (Arc::clone(&limit), Arc::clone(&muted));
                let speaks = move || number >= limit.load(Ordering::SeqCst);
                let is_heard = speaks.clone();
                let asks = move |question: &[u8]| {
                    if is_next(&loses, question) {
                        muted.store(count.load(Ordering::SeqCst), Ordering::SeqCst);
                    }
                    is_heard()
                };
                let (holds, released) = (Arc::clone(&holds), Arc::clone(&release));
                let holds =
                    move |question: &[u8]| is_next(&holds, question).then(|| Arc::clone(&released));
                let answers = move |_: &[u8]| speaks() && number >= is_muted.load(Ordering::SeqCst);
                ways.spawn(forward(near_in, far_out, asks, holds));
                ways.spawn(forward(far_in, near_out, answers, |_: &[u8]| None));
            }
        });
        Self {
            address,
            hushed,
            lost,
            held,
            released,
            opened,
            _task: task,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The connections that are open now carry nothing from here on; later ones do.
    pub(crate) fn hush(&self) {
        let opened = self.opened.load(Ordering::SeqCst);
        self.hushed.store(opened, Ordering::SeqCst);
    }

    /// The answer to the next question that holds this text is lost, and all later ones of connections that are open then.
    pub(crate) fn lose_answer_to(&self, text: &str) {
        *self.lost.lock().unwrap() = Some(text.as_bytes().to_vec());
    }

    /// The next question that holds this text is held back, with all that follows it on its connection.
    pub(crate) fn hold(&self, text: &str) {
        *self.held.lock().unwrap() = Some(text.as_bytes().to_vec());
    }

    /// What is held back arrives now, and nothing of what followed it.
    pub(crate) fn release(&self) {
        self.released.notify_one();
    }
}

/// Whether this is the question; the next one is not.
fn is_next(text: &Text, question: &[u8]) -> bool {
    let is_it = |text: &mut Vec<u8>| question.windows(text.len()).any(|part| part == text);
    text.lock().unwrap().take_if(is_it).is_some()
}

async fn forward(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    speaks: impl Fn(&[u8]) -> bool,
    holds: impl Fn(&[u8]) -> Option<Arc<Notify>>,
) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        if let Some(released) = holds(&bytes[..length]) {
            released.notified().await;
            to.write_all(&bytes[..length]).await.ok();
            return std::future::pending().await;
        }
        if speaks(&bytes[..length]) && to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
    if !speaks(&[]) {
        // The end of one side is not heard of on the other either.
        std::future::pending::<()>().await;
    }
}
