//! A network between two ends that goes dead without a word, as behind a firewall that forgets connections.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Forwards connections to a service.
pub(crate) struct Quiet {
    address: SocketAddr,
    /// Connections with a lower number carry nothing any more, and stay open.
    hushed: Arc<AtomicU64>,
    lost: Arc<Mutex<Option<Vec<u8>>>>,
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
        let lost = Arc::<Mutex<Option<Vec<u8>>>>::default();
        let mut task = JoinSet::new();
        let (limit, count, loses) = (Arc::clone(&hushed), Arc::clone(&opened), Arc::clone(&lost));
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
                let asks = speaks.clone();
                let asks = move |question: &[u8]| {
                    let next = &mut *loses.lock().unwrap();
                    let is_it =
                        |text: &mut Vec<u8>| question.windows(text.len()).any(|is| is == text);
                    if next.take_if(is_it).is_some() {
                        muted.store(count.load(Ordering::SeqCst), Ordering::SeqCst);
                    }
                    asks()
                };
                let answers = move |_: &[u8]| speaks() && number >= is_muted.load(Ordering::SeqCst);
                ways.spawn(forward(near_in, far_out, asks));
                ways.spawn(forward(far_in, near_out, answers));
            }
        });
        Self {
            address,
            hushed,
            lost,
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
}

async fn forward(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    speaks: impl Fn(&[u8]) -> bool,
) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        if speaks(&bytes[..length]) && to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
    if !speaks(&[]) {
        // The end of one side is not heard of on the other either.
        std::future::pending::<()>().await;
    }
}
