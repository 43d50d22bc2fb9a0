use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn admission(config: &AdmissionConfig) -> Admission {
    Admission::new(config, Gauge::default())
}

fn ip(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

fn pace(initial: u32, step: u32, max: Option<u32>) -> AdmissionConfig {
    let every = Duration::from_secs(1).into();
    AdmissionConfig {
        links_per_second: Some(LinksPerSecond {
            initial,
            step,
            every,
            max,
        }),
        ..AdmissionConfig::default()
    }
}

#[test]
fn links_in_all_are_limited_and_come_free_again() {
    let door = admission(&AdmissionConfig {
        max_links: 2,
        ..AdmissionConfig::default()
    });
    let first = door.seat(ip("192.0.2.1")).unwrap();
    let _second = door.seat(ip("192.0.2.2")).unwrap();
    assert_eq!(door.seat(ip("192.0.2.3")).unwrap_err(), Refusal::MaxLinks);
    drop(first);
    assert!(door.seat(ip("192.0.2.3")).is_ok());
}

#[test]
fn links_per_address_are_limited_and_leave_no_trace() {
    let door = admission(&AdmissionConfig {
        per_ip: Some(1),
        ..AdmissionConfig::default()
    });
    let one = door.seat(ip("192.0.2.1")).unwrap();
    assert_eq!(
        door.seat(ip("::ffff:192.0.2.1")).unwrap_err(),
        Refusal::PerIp
    );
    let other = door.seat(ip("192.0.2.2")).unwrap();
    drop((one, other));
    assert_eq!(door.per_ip.addresses(), 0);
    assert_eq!(
        door.links.held(),
        0,
        "a seat that was refused holds nothing"
    );
}

#[test]
fn an_ipv6_client_counts_by_its_network() {
    let door = admission(&AdmissionConfig {
        per_ip: Some(1),
        ..AdmissionConfig::default()
    });
    let _one = door.seat(ip("2001:db8:0:1::1")).unwrap();
    assert_eq!(
        door.seat(ip("2001:db8:0:1:ffff::9")).unwrap_err(),
        Refusal::PerIp
    );
    assert!(door.seat(ip("2001:db8:0:2::1")).is_ok());
}

#[test]
fn links_of_a_business_are_limited_and_the_gauge_follows() {
    let door = admission(&AdmissionConfig::default());
    let business = Quota::new(1);
    let permit = door
        .open(door.seat(ip("192.0.2.1")).unwrap(), &business)
        .unwrap();
    assert_eq!((business.held(), door.open.get()), (1, 1));
    let refused = door
        .open(door.seat(ip("192.0.2.1")).unwrap(), &business)
        .unwrap_err();
    assert_eq!(refused, Refusal::BizLinks);
    assert_eq!(door.links.held(), 1, "the refused one's seat is free again");
    drop(permit);
    assert_eq!(
        (business.held(), door.links.held(), door.open.get()),
        (0, 0, 0)
    );
}

#[test]
fn changed_limits_apply_to_what_comes() {
    let door = admission(&AdmissionConfig::default());
    let held: Vec<_> = (0..3)
        .map(|_| door.seat(ip("192.0.2.1")).unwrap())
        .collect();
    door.change(&AdmissionConfig {
        max_links: 2,
        ..AdmissionConfig::default()
    });
    assert_eq!(door.seat(ip("192.0.2.1")).unwrap_err(), Refusal::MaxLinks);
    drop(held);
    assert!(door.seat(ip("192.0.2.1")).is_ok());
}

/// How many links come in, if as many as possible try.
fn rush(door: &Admission) -> u32 {
    let mut came = 0;
    while door
        .open(door.seat(ip("192.0.2.1")).unwrap(), &Quota::unlimited())
        .is_ok()
    {
        came += 1;
    }
    came
}

#[tokio::test(start_paused = true)]
async fn the_pace_rises_in_steps_to_its_maximum() {
    let door = admission(&pace(10, 5, Some(20)));
    let mut came = vec![rush(&door)];
    for _ in 0..4 {
        tokio::time::advance(Duration::from_secs(1)).await;
        came.push(rush(&door));
    }
    assert_eq!(came, [10, 15, 20, 20, 20]);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_used_is_not_saved_up() {
    let door = admission(&pace(10, 0, None));
    assert_eq!(rush(&door), 10);
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(rush(&door), 10);
    tokio::time::advance(Duration::from_millis(300)).await;
    assert_eq!(rush(&door), 3);
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_pace_keeps_its_place() {
    let config = pace(10, 10, Some(100));
    let door = admission(&config);
    rush(&door);
    door.change(&config);
    assert_eq!(rush(&door), 0);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(rush(&door), 20);
    door.change(&pace(5, 0, None));
    assert_eq!(rush(&door), 5);
}

proptest! {
    /// Whatever is taken and given back in whatever order: the limits hold, and nothing is left at the end.
    #[test]
    fn limits_hold_in_any_order(steps in proptest::collection::vec((0..4_u8, any::<bool>()), 1..200)) {
        let door = admission(&AdmissionConfig { max_links: 6, per_ip: Some(3), ..AdmissionConfig::default() });
        let mut held: Vec<(u8, Seat)> = Vec::new();
        for (host, take) in steps {
            let of_host = held.iter().filter(|(h, _)| *h == host).count();
            if take {
                let seat = door.seat(Some(IpAddr::from([192, 0, 2, host])));
                prop_assert_eq!(seat.is_ok(), held.len() < 6 && of_host < 3);
                held.extend(seat.ok().map(|seat| (host, seat)));
            } else if let Some(i) = held.iter().position(|(h, _)| *h == host) {
                held.swap_remove(i);
            }
        }
        drop(held);
        prop_assert_eq!((door.links.held(), door.per_ip.addresses()), (0, 0));
    }
}

#[test]
fn handshakes_are_shared_by_address_and_by_network() {
    let shares = Shares::new(&AdmissionConfig {
        handshakes_per_ip: Some(1),
        handshakes_per_network: Some(2),
        ..AdmissionConfig::default()
    });
    let take = |address: &str| shares.take(address.parse().unwrap());
    for [first, second, third, elsewhere] in [
        ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.3.1"],
        [
            "2001:db8:1:1::1",
            "2001:db8:1:2::1",
            "2001:db8:1:3::1",
            "2001:db8:2::1",
        ],
    ] {
        let one = take(first).unwrap();
        assert_eq!(take(first).unwrap_err(), Refusal::HandshakesPerIp);
        let _two = take(second).unwrap();
        assert_eq!(take(third).unwrap_err(), Refusal::HandshakesPerNetwork);
        assert!(take(elsewhere).is_ok());
        drop(one);
        assert!(take(third).is_ok(), "who was refused holds nothing");
    }
}
