//! A network before the address for other nodes, which can be cut for one of them.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Who is cut off, by its id.
type Off = watch::Receiver<Option<&'static str>>;

/// Forwards connections to a node. While it is cut for another one, what that one says and hears waits in the network.
pub(super) struct Cut {
    off: watch::Sender<Option<&'static str>>,
    _task: JoinSet<()>,
}

impl Cut {
    /// Listens at an address for a node at another one.
    pub(super) async fn at(address: SocketAddr, node: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let (off, watched) = watch::channel(None);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut ways = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(node).await else {
                    continue;
                };
                let ((near_in, near_out), (far_in, far_out)) =
                    (near.into_split(), far.into_split());
                // The first words of a node say who it is.
                let said = watch::Sender::new(Vec::new());
                let who = said.subscribe();
                ways.spawn(forward(
                    near_in,
                    far_out,
                    watched.clone(),
                    Some(said),
                    who.clone(),
                ));
                ways.spawn(forward(far_in, near_out, watched.clone(), None, who));
            }
        });
        Self { off, _task: task }
    }

    pub(super) fn cut(&self, node: &'static str) {
        self.off.send_replace(Some(node));
    }

    pub(super) fn heal(&self) {
        self.off.send_replace(None);
    }
}

/// So many bytes of a connection are searched for who speaks.
const FIRST: usize = 4096;

async fn forward(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut off: Off,
    said: Option<watch::Sender<Vec<u8>>>,
    who: watch::Receiver<Vec<u8>>,
) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        if let Some(said) = said.as_ref().filter(|said| said.borrow().len() < FIRST) {
            said.send_modify(|said| said.extend_from_slice(&bytes[..length]));
        }
        let is_through = |off: &Option<&'static str>| {
            let said = who.borrow();
            off.is_none_or(|off| !said.windows(off.len()).any(|part| part == off.as_bytes()))
        };
        let Ok(_) = off.wait_for(is_through).await else {
            return;
        };
        if to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
    to.shutdown().await.ok();
}
