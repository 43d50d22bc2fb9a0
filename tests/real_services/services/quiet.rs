//! A network between two ends that goes dead without a word, as behind a firewall that forgets connections.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Forwards connections to a service.
pub(crate) struct Quiet {
    address: SocketAddr,
    /// Connections with a lower number carry nothing any more, and stay open.
    hushed: Arc<AtomicU64>,
    opened: Arc<AtomicU64>,
    _task: JoinSet<()>,
}

impl Quiet {
    pub(crate) async fn before(service: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (hushed, opened) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let mut task = JoinSet::new();
        let (limit, count) = (Arc::clone(&hushed), Arc::clone(&opened));
        task.spawn(async move {
            let mut ways = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let number = count.fetch_add(1, Ordering::SeqCst);
                let far = TcpStream::connect(service).await.unwrap();
                let ((near_in, near_out), (far_in, far_out)) =
                    (near.into_split(), far.into_split());
                let limit = Arc::clone(&limit);
                let speaks = move || number >= limit.load(Ordering::SeqCst);
                ways.spawn(forward(near_in, far_out, speaks.clone()));
                ways.spawn(forward(far_in, near_out, speaks));
            }
        });
        Self {
            address,
            hushed,
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
}

async fn forward(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    speaks: impl Fn() -> bool,
) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        if speaks() && to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
    if !speaks() {
        // The end of one side is not heard of on the other either.
        std::future::pending::<()>().await;
    }
}
