//! Who is there, who has to leave, and what is kept of what has not come whole.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use linkgate_filter::units::ByteSize;
use tokio::io::DuplexStream;
use tokio::time::{Instant, timeout};

use super::*;
use crate::network::{Binding, MemoryNetwork, Network};

struct House {
    network: MemoryNetwork,
    socket: Socket,
    reception: Arc<Reception>,
    metrics: ReceptionMetrics,
    far_ends: Vec<DuplexStream>,
}

impl House {
    fn new(limits: &ConnectionLimits, idle: Idle) -> Self {
        let network = MemoryNetwork::default();
        let address = "127.0.0.1:9902".parse().unwrap();
        let metrics = ReceptionMetrics::default();
        Self {
            socket: Network::Memory(network.clone())
                .bind(address, Binding::default())
                .unwrap(),
            reception: Reception::new(address, limits, idle, &metrics),
            network,
            metrics,
            far_ends: Vec::new(),
        }
    }

    async fn comes(&mut self, from: &str) -> Seat {
        let from: SocketAddr = from.parse().unwrap();
        let to = self.socket.local_address().unwrap();
        self.far_ends.push(self.network.dial(to, from).unwrap());
        self.reception.next(&self.socket).await.1
    }

    fn refused(&self, reason: &str) -> u64 {
        let text = self.metrics.text();
        let label = format!("reason=\"{reason}\"}} ");
        let line = text.lines().find_map(|line| line.split_once(&label));
        line.unwrap().1.parse().unwrap()
    }
}

fn limits() -> ConnectionLimits {
    ConnectionLimits {
        max: 4,
        strangers: 3,
        ..ConnectionLimits::default()
    }
}

async fn has_to_leave(seat: &Seat) -> bool {
    timeout(Duration::ZERO, seat.leaves()).await == Ok(Leaves::MakesRoom)
}

#[tokio::test(start_paused = true)]
async fn a_stranger_too_many_costs_whoever_has_most_its_oldest() {
    let mut house = House::new(&limits(), Idle::Stays);
    let one = house.comes("10.0.0.1:1").await;
    let first = house.comes("10.0.0.2:1").await;
    let second = house.comes("10.0.0.2:2").await;
    assert!(!has_to_leave(&first).await);
    let third = house.comes("10.0.0.2:3").await;
    assert!(has_to_leave(&first).await, "the oldest of the crowd");
    let other = house.comes("10.0.0.3:1").await;
    assert!(has_to_leave(&second).await);
    for stays in [&one, &third, &other] {
        assert!(!has_to_leave(stays).await);
    }
    // An IPv6 client is its network, whatever address it takes.
    let _v6 = house.comes("[2001:db8::1]:1").await;
    assert!(has_to_leave(&one).await, "among equals the oldest");
    assert_eq!(house.refused("crowded"), 3);
    assert!(second.guest().known().is_err(), "it comes too late");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_is_known_counts_apart() {
    let mut house = House::new(&limits(), Idle::Stays);
    let callers = [
        house.comes("10.0.0.1:1").await,
        house.comes("10.0.0.1:2").await,
        house.comes("10.0.0.2:1").await,
    ];
    for caller in &callers {
        caller.guest().known().unwrap();
        caller.guest().known().unwrap();
    }
    let busy: Vec<_> = callers.iter().map(|caller| caller.guest().asks()).collect();
    let strangers = [
        house.comes("10.0.0.1:3").await,
        house.comes("10.0.0.2:2").await,
        house.comes("10.0.0.3:1").await,
    ];
    assert!(
        strangers[0].guest().known().is_err(),
        "half of `max` from one address"
    );
    let _busy = strangers[1].guest().asks();
    assert!(strangers[1].guest().known().is_ok());
    assert!(strangers[2].guest().known().is_err(), "`max` in all");
    assert_eq!(house.refused("full"), 2);
    drop((busy, callers));
    assert!(strangers[2].guest().known().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_does_nothing_makes_room_for_one_that_asks() {
    let mut house = House::new(&limits(), Idle::Stays);
    let (one, two) = (
        house.comes("10.0.0.1:1").await,
        house.comes("10.0.0.1:2").await,
    );
    for caller in [&one, &two] {
        let _busy = caller.guest().asks();
        caller.guest().known().unwrap();
        sleep(Duration::from_secs(1)).await;
    }
    let busy = one.guest().asks();
    let three = house.comes("10.0.0.1:3").await;
    three.guest().known().unwrap();
    assert_eq!(
        timeout(Duration::ZERO, two.leaves()).await,
        Ok(Leaves::Silent)
    );
    assert!(timeout(Duration::ZERO, one.leaves()).await.is_err());
    assert_eq!(house.refused("silent") + house.refused("full"), 0);
    drop(busy);
}

#[tokio::test(start_paused = true)]
async fn a_stranger_asks_little_at_once() {
    let mut house = House::new(&limits(), Idle::Stays);
    let seat = house.comes("10.0.0.1:1").await;
    let guest = seat.guest();
    let mut answers: Vec<_> = std::iter::repeat_with(|| guest.answer()).take(20).collect();
    assert_eq!(answers.iter().flatten().count(), 8);
    answers.clear();
    assert!(guest.answer().is_some());
    let busy: Vec<_> = std::iter::repeat_with(|| guest.asks()).take(65).collect();
    assert!(guest.asks_too_much());
    guest.known().unwrap();
    assert!(!guest.asks_too_much());
    let answers: Vec<_> = std::iter::repeat_with(|| guest.answer()).take(20).collect();
    assert_eq!(answers.iter().flatten().count(), 20);
    drop(busy);
}

#[tokio::test(start_paused = true)]
async fn who_asks_nothing_has_to_leave_in_time() {
    let mut house = House::new(&limits(), Idle::Stays);
    let begun = Instant::now();
    let silent = house.comes("10.0.0.1:1").await;
    assert_eq!(silent.leaves().await, Leaves::Silent);
    assert_eq!(begun.elapsed(), Duration::from_secs(10));
    assert_eq!(house.refused("silent"), 1);
    let asks = house.comes("10.0.0.1:2").await;
    let begun = Instant::now();
    // A question that is open keeps no stranger here.
    let _busy = asks.guest().asks();
    assert_eq!(asks.leaves().await, Leaves::Silent);
    assert_eq!(begun.elapsed(), Duration::from_secs(60));
    assert_eq!(house.refused("silent"), 1, "it has asked");
    let known = house.comes("10.0.0.1:3").await;
    known.guest().known().unwrap();
    let day = Duration::from_secs(86_400);
    assert!(timeout(day, known.leaves()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_idle_caller_leaves_where_idle_ones_do_but_not_while_it_is_answered() {
    let mut house = House::new(&limits(), Idle::Leaves);
    let caller = house.comes("10.0.0.1:1").await;
    let busy = caller.guest().asks();
    caller.guest().known().unwrap();
    let day = Duration::from_secs(86_400);
    assert!(timeout(day, caller.leaves()).await.is_err());
    drop(busy);
    let begun = Instant::now();
    assert_eq!(caller.leaves().await, Leaves::Silent);
    assert_eq!(begun.elapsed(), Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn what_has_not_come_whole_is_shared() {
    let limits = ConnectionLimits {
        unfinished: ByteSize::kib(400),
        ..limits()
    };
    let mut house = House::new(&limits, Idle::Stays);
    let stranger = house.comes("10.0.0.1:1").await;
    let mut held = stranger.guest().hold();
    assert!(held.grow(64 << 10).is_ok());
    assert!(held.grow(1).is_err(), "a stranger has little");
    let mut callers = Vec::new();
    for port in 1..=3 {
        let seat = house.comes(&format!("10.0.0.{port}:2")).await;
        seat.guest().known().unwrap();
        callers.push((seat.guest().hold(), seat));
    }
    assert!(callers[0].0.grow(200 << 10).is_ok());
    assert!(callers[0].0.grow(1).is_err(), "one has half, and loses it");
    assert!(callers[0].0.grow(200 << 10).is_ok());
    assert!(callers[1].0.grow(190 << 10).is_ok());
    assert!(callers[2].0.grow(20 << 10).is_err(), "all together");
    callers.remove(0);
    assert!(callers[1].0.grow(20 << 10).is_ok());
    assert_eq!(house.refused("unfinished"), 3);
    drop(callers);
    assert!(
        house
            .metrics
            .text()
            .contains("caller_unfinished_bytes{address=\"127.0.0.1:9902\"} 0")
    );
}
