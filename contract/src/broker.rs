//! What linkgate asks of a message broker such as Kafka: records sent and confirmed, and partitions of topics read by the
//! members of a group.

mod memory;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_channel::oneshot;
use futures_util::future::BoxFuture;

pub use self::memory::{MemoryBroker, MemoryBrokerLimits};
use crate::failure::EdgeError;

/// A broker of topics, whose partitions keep records in order.
pub trait Broker: Send + Sync {
    /// Takes a record. Records of one topic and key are stored in the order in which they are taken. The future ends once
    /// the broker has the record for good, or will not have it; the record is on its way whether it is polled or not.
    fn send(&self, record: Record) -> Result<Delivery, Full>;

    /// Ends when there is room for records again, after [`Broker::send`] was full. There may be none left by then.
    fn room(&self) -> BoxFuture<'static, ()>;

    /// Joins a group that reads topics. Nothing is read before [`Consumer::next`] is called.
    fn subscribe(&self, subscription: &Subscription) -> Result<Box<dyn Consumer>, EdgeError>;
}

/// Sends a record, after a wait for room if there is none.
pub fn deliver(broker: &Arc<dyn Broker>, record: Record) -> Delivery {
    match broker.send(record) {
        Ok(delivery) => delivery,
        Err(Full(mut record)) => {
            let broker = Arc::clone(broker);
            Box::pin(async move {
                loop {
                    broker.room().await;
                    match broker.send(record) {
                        Ok(delivery) => return delivery.await,
                        Err(Full(back)) => record = back,
                    }
                }
            })
        }
    }
}

/// What becomes of a record.
pub type Delivery = BoxFuture<'static, Result<(), EdgeError>>;

/// The record, given back: no more fit in what is on the way to the broker.
pub struct Full(pub Record);

impl fmt::Debug for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Full({})", self.0.topic)
    }
}

/// A record on its way to a broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Where to.
    pub topic: String,
    /// Records of one key are in one partition; an empty key leaves it to the broker.
    pub key: Bytes,
    /// What it says.
    pub payload: Bytes,
    /// What is said about it.
    pub headers: Vec<(String, Bytes)>,
}

/// What a group reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The topics.
    pub topics: Vec<String>,
    /// The group: its members share the partitions, and its progress outlives them.
    pub group: String,
    /// Where a topic is begun that the group has said nothing of yet. A partition that comes to a topic later is begun at its
    /// oldest record, whatever stands here.
    pub begin: Begin,
    /// Records read ahead of [`Consumer::next`], at the most, in bytes.
    pub read_ahead: usize,
    /// How long a partition that is taken away may be held for what is unsettled; see [`Event::Revoked`].
    pub release_within: Duration,
}

/// Where a group begins to read a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At the oldest record there is.
    Oldest,
    /// At what is written from now on; the group has that place at once.
    Newest,
}

/// A member of a group.
pub trait Consumer: Send {
    /// What happens next. May be dropped and called again without losing anything.
    fn next(&mut self) -> BoxFuture<'_, Event>;

    /// The group has done with all of a partition before `offset`. Written to the broker soon, and before the partition
    /// is given back. Says nothing on a partition that this member does not have.
    fn done(&mut self, partition: &Partition, offset: i64);

    /// No more records of this partition until [`Consumer::resume`]. Those read ahead are read again then.
    fn pause(&mut self, partition: &Partition);

    /// Records of this partition again.
    fn resume(&mut self, partition: &Partition);

    /// Writes what is done to the broker and leaves the group.
    fn close(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition {
    /// The topic.
    pub topic: Arc<str>,
    /// Its number.
    pub number: i32,
}

/// What happens to a member of a group.
#[derive(Debug)]
pub enum Event {
    /// A record, the next of its partition.
    Record(Arrival),
    /// The member has these partitions too from now on.
    Assigned(Vec<Partition>),
    /// These partitions go to another member: when [`Release`] is dropped, or its time is over. What is not
    /// [`Consumer::done`] by then is read again there.
    Revoked(Vec<Partition>, Release),
    /// These partitions are gone already: the broker took the member for dead.
    Lost(Vec<Partition>),
    /// A partition does not go on where it stopped.
    Reset(Reset),
    /// Other members of the group have so many partitions of the topics. Told whenever that changes; at first it is 0.
    Elsewhere(usize),
    /// The broker cannot be read now, or still cannot. The consumer goes on trying.
    Failed(EdgeError),
    /// The broker can be read again, after [`Event::Failed`].
    Recovered,
}

/// A partition that goes on elsewhere than where it stopped: its topic was deleted and made again, or no longer has what was
/// to come next. The offsets of what was read before say nothing any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reset {
    /// Which.
    pub partition: Partition,
    /// The offset that was to come next.
    pub expected: i64,
    /// The offset that comes instead. The group is done with what lies before it.
    pub found: i64,
}

/// Holds partitions that are to go to another member.
#[derive(Debug)]
pub struct Release {
    _held: oneshot::Sender<()>,
}

impl Release {
    /// A hold, and the future that ends with it.
    pub fn new() -> (Self, oneshot::Receiver<()>) {
        let (held, dropped) = oneshot::channel();
        (Self { _held: held }, dropped)
    }
}

/// A record that has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Where it was.
    pub partition: Partition,
    /// Its place there.
    pub offset: i64,
    /// When it was written, as the broker knows it.
    pub written: Option<SystemTime>,
    /// Its key.
    pub key: Bytes,
    /// What it says.
    pub payload: Bytes,
    /// What is said about it.
    pub headers: Vec<(String, Bytes)>,
}
