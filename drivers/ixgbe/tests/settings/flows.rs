//! Packets that flow rules choose, against what RSS or nothing would have done with them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pmd_ixgbe::{Config, FlowMemory};
use vfio_hal::dma::pool::{Burst, MAGAZINE};
use vfio_hal::pmd::{FlowAction, FlowId, FlowPattern, FlowRule, FlowTuple, IpProtocol, PortError};

use crate::bench::{Bench, OWN, ipv4, tagged};

const TCP: u8 = 6;
const UDP: u8 = 17;

fn bench(flow_director: Option<FlowMemory>) -> Bench {
    Bench::new(Config { rx_queues: 8, rx_ring: 64, flow_director, ..Config::default() })
}

fn v4(bytes: [u8; 4]) -> Option<IpAddr> {
    Some(IpAddr::V4(Ipv4Addr::from(bytes)))
}

fn tuple(tuple: FlowTuple, action: FlowAction) -> FlowRule {
    FlowRule::new(FlowPattern::Tuple(tuple), action)
}

/// Sends one packet through and returns the queue it went to and its mark; `None` if it does not arrive.
fn arrives(bench: &mut Bench, frame: &[u8]) -> Option<(u16, Option<u32>)> {
    bench.arrive(frame);
    let mut burst = Burst::new(MAGAZINE);
    let mut found = None;
    for queue in &mut bench.rx {
        while queue.rx_burst(&mut bench.cache, &mut burst).unwrap() != 0 {
            while let Some(buf) = burst.take() {
                assert!(found.replace((queue.id(), buf.mark())).is_none(), "one packet was sent");
                bench.cache.free(buf);
            }
        }
    }
    found
}

/// A TCP segment from port `from` of 10.0.0.1 to port `to` of 10.0.0.2.
fn tcp(from: u16, to: u16) -> Vec<u8> {
    ipv4(TCP, ([10, 0, 0, 1], from), ([10, 0, 0, 2], to))
}

fn udp(from: u16, to: u16) -> Vec<u8> {
    ipv4(UDP, ([10, 0, 0, 1], from), ([10, 0, 0, 2], to))
}

fn to_port(port: u16, protocol: IpProtocol) -> FlowTuple {
    FlowTuple { protocol: Some(protocol), destination_port: Some(port), ..FlowTuple::default() }
}

#[test]
fn ethertype_rules_choose_the_queue_of_what_is_not_ip() {
    let mut bench = bench(None);
    let rule = FlowRule::new(FlowPattern::EtherType(0x88b5), FlowAction::Queue(5));
    let packet = tagged(OWN, []);
    assert_eq!(arrives(&mut bench, &packet), Some((0, None)));
    let id = bench.port.add_flow(&rule).unwrap();
    assert_eq!(arrives(&mut bench, &packet), Some((5, None)));
    assert_eq!(arrives(&mut bench, &tagged(OWN, [(0x8100, 7)])), Some((5, None)), "behind a tag, too");
    assert_eq!(arrives(&mut bench, &tcp(1, 2)), Some((0, None)));
    assert!(matches!(bench.port.add_flow(&rule), Err(PortError::Invalid { .. })));
    bench.port.remove_flow(id).unwrap();
    assert_eq!(arrives(&mut bench, &packet), Some((0, None)));
    assert_eq!(bench.port.remove_flow(id), Err(PortError::UnknownFlow));
}

#[test]
fn five_tuple_rules_look_at_what_they_name_and_at_nothing_else() {
    let mut bench = bench(None);
    let exact = FlowTuple {
        source: v4([10, 0, 0, 1]),
        destination: v4([10, 0, 0, 2]),
        source_port: Some(1000),
        ..to_port(80, IpProtocol::Tcp)
    };
    bench.port.add_flow(&tuple(exact, FlowAction::Queue(1))).unwrap();
    bench.port.add_flow(&tuple(to_port(53, IpProtocol::Udp), FlowAction::Queue(2))).unwrap();
    let by_address = FlowTuple { destination: v4([192, 168, 0, 9]), ..FlowTuple::default() };
    bench.port.add_flow(&tuple(by_address, FlowAction::Queue(3))).unwrap();
    assert_eq!(arrives(&mut bench, &tcp(1000, 80)), Some((1, None)));
    assert_eq!(arrives(&mut bench, &tcp(1001, 80)), Some((0, None)));
    assert_eq!(arrives(&mut bench, &tcp(80, 1000)), Some((0, None)), "the other direction");
    assert_eq!(arrives(&mut bench, &udp(1000, 80)), Some((0, None)));
    assert_eq!(arrives(&mut bench, &udp(7, 53)), Some((2, None)));
    assert_eq!(arrives(&mut bench, &tcp(7, 53)), Some((0, None)));
    let other = ipv4(TCP, ([1, 2, 3, 4], 5), ([192, 168, 0, 9], 6));
    assert_eq!(arrives(&mut bench, &other), Some((3, None)));
}

#[test]
fn of_two_five_tuple_rules_the_higher_priority_wins() {
    let mut bench = bench(None);
    let wide = FlowTuple { source: v4([10, 0, 0, 1]), ..FlowTuple::default() };
    bench.port.add_flow(&tuple(wide, FlowAction::Queue(1))).unwrap();
    let narrow = tuple(to_port(80, IpProtocol::Tcp), FlowAction::Queue(2));
    let id = bench.port.add_flow(&FlowRule { priority: 7, ..narrow }).unwrap();
    assert_eq!(arrives(&mut bench, &tcp(9, 80)), Some((2, None)));
    bench.port.remove_flow(id).unwrap();
    assert_eq!(arrives(&mut bench, &tcp(9, 80)), Some((1, None)));
    for priority in [0, 8] {
        let refused = bench.port.add_flow(&FlowRule { priority, ..narrow });
        assert!(matches!(refused, Err(PortError::OutOfRange { max: 7, .. })));
    }
}

#[test]
fn what_opens_a_connection_can_have_a_queue() {
    let mut bench = bench(None);
    let mut open = tcp(9, 80);
    open[47] = 1 << 1;
    let id = bench.port.add_flow(&FlowRule::new(FlowPattern::TcpSyn, FlowAction::Queue(6))).unwrap();
    assert_eq!(arrives(&mut bench, &open), Some((6, None)));
    assert_eq!(arrives(&mut bench, &tcp(9, 80)), Some((0, None)));
    bench.port.remove_flow(id).unwrap();
    assert_eq!(arrives(&mut bench, &open), Some((0, None)));
}

#[test]
fn the_flow_director_marks_and_drops() {
    let mut bench = bench(Some(FlowMemory::Kib64));
    let port = |port| to_port(port, IpProtocol::Udp);
    let marked = tuple(port(53), FlowAction::Mark { queue: 4, mark: 0x1234 });
    let marked = bench.port.add_flow(&marked).unwrap();
    let dropped = bench.port.add_flow(&tuple(port(666), FlowAction::Drop)).unwrap();
    assert_eq!(arrives(&mut bench, &udp(9, 53)), Some((4, Some(0x1234))));
    assert_eq!(arrives(&mut bench, &udp(9, 666)), None);
    assert_eq!(arrives(&mut bench, &udp(9, 54)), Some((0, None)));
    assert_eq!(arrives(&mut bench, &tcp(9, 53)), Some((0, None)), "another protocol");
    bench.port.remove_flow(marked).unwrap();
    assert_eq!(arrives(&mut bench, &udp(9, 53)), Some((0, None)));
    bench.port.remove_flow(dropped).unwrap();
    assert_eq!(arrives(&mut bench, &udp(9, 666)), Some((0, None)));
}

#[test]
fn the_flow_director_compares_every_field() {
    let whole = FlowTuple {
        source: v4([10, 0, 0, 1]),
        destination: v4([10, 0, 0, 2]),
        source_port: Some(0x1122),
        ..to_port(0x3344, IpProtocol::Tcp)
    };
    let mut bench = bench(Some(FlowMemory::Kib128));
    bench.port.add_flow(&tuple(whole, FlowAction::Mark { queue: 7, mark: 1 })).unwrap();
    assert_eq!(arrives(&mut bench, &tcp(0x1122, 0x3344)), Some((7, Some(1))));
    for other in [tcp(0x1123, 0x3344), tcp(0x1122, 0x3345), tcp(0x3344, 0x1122), udp(0x1122, 0x3344)] {
        assert_eq!(arrives(&mut bench, &other), Some((0, None)));
    }
    for (from, to) in [([10, 0, 0, 3], [10, 0, 0, 2]), ([10, 0, 0, 1], [10, 0, 0, 3])] {
        let other = ipv4(TCP, (from, 0x1122), (to, 0x3344));
        assert_eq!(arrives(&mut bench, &other), Some((0, None)));
    }
}

#[test]
fn the_flow_director_has_one_mask_for_all() {
    let mut bench = bench(Some(FlowMemory::Kib64));
    let drop_port = |port| tuple(to_port(port, IpProtocol::Udp), FlowAction::Drop);
    let ids: Vec<FlowId> = (0..3).map(|port| bench.port.add_flow(&drop_port(port)).unwrap()).collect();
    let by_source = FlowTuple { source: v4([10, 0, 0, 1]), ..FlowTuple::default() };
    let other = tuple(by_source, FlowAction::Drop);
    assert!(matches!(bench.port.add_flow(&other), Err(PortError::Unsupported { .. })));
    assert!(matches!(bench.port.add_flow(&drop_port(2)), Err(PortError::Invalid { .. })));
    ids.into_iter().for_each(|id| bench.port.remove_flow(id).unwrap());
    // Without filters the mask is free again.
    bench.port.add_flow(&other).unwrap();
    assert_eq!(arrives(&mut bench, &udp(1, 2)), None);
    assert_eq!(arrives(&mut bench, &ipv4(UDP, ([10, 0, 0, 9], 1), ([10, 0, 0, 2], 2))), Some((0, None)));
}

#[test]
fn rules_are_there_again_after_a_restart_and_removed_ones_are_not() {
    let mut bench = bench(Some(FlowMemory::Kib64));
    let rules = [
        FlowRule::new(FlowPattern::EtherType(0x88b5), FlowAction::Queue(1)),
        FlowRule::new(FlowPattern::TcpSyn, FlowAction::Queue(2)),
        tuple(to_port(80, IpProtocol::Tcp), FlowAction::Queue(3)),
        tuple(to_port(53, IpProtocol::Udp), FlowAction::Mark { queue: 4, mark: 9 }),
    ];
    let ids = rules.map(|rule| bench.port.add_flow(&rule).unwrap());
    let gone = bench.port.add_flow(&tuple(to_port(81, IpProtocol::Tcp), FlowAction::Queue(5))).unwrap();
    bench.port.remove_flow(gone).unwrap();
    let mut bench = bench.restart();
    assert_eq!(arrives(&mut bench, &tagged(OWN, [])), Some((1, None)));
    assert_eq!(arrives(&mut bench, &tcp(9, 80)), Some((3, None)));
    assert_eq!(arrives(&mut bench, &udp(9, 53)), Some((4, Some(9))));
    assert_eq!(arrives(&mut bench, &tcp(9, 81)), Some((0, None)));
    ids.into_iter().for_each(|id| bench.port.remove_flow(id).unwrap());
    for packet in [tagged(OWN, []), tcp(9, 80), udp(9, 53)] {
        assert_eq!(arrives(&mut bench, &packet), Some((0, None)));
    }
}

#[test]
fn what_the_tables_cannot_do_is_refused_with_the_reason() {
    let mut bench = bench(None);
    let unsupported = |result| matches!(result, Err(PortError::Unsupported { .. }));
    let dns = to_port(53, IpProtocol::Udp);
    assert!(unsupported(bench.port.add_flow(&tuple(dns, FlowAction::Drop))), "no flow director");
    let ip = FlowRule::new(FlowPattern::EtherType(0x0800), FlowAction::Queue(1));
    assert!(unsupported(bench.port.add_flow(&ip)));
    let drops = FlowRule::new(FlowPattern::EtherType(0x88b5), FlowAction::Drop);
    assert!(unsupported(bench.port.add_flow(&drops)));
    let far = bench.port.add_flow(&tuple(dns, FlowAction::Queue(8)));
    assert!(matches!(far, Err(PortError::OutOfRange { value: 8, max: 7, .. })));
    let no_protocol = FlowTuple { source_port: Some(1), ..FlowTuple::default() };
    let refused = bench.port.add_flow(&tuple(no_protocol, FlowAction::Queue(1)));
    assert!(matches!(refused, Err(PortError::Invalid { .. })));

    let mut bench = Bench::new(Config { flow_director: Some(FlowMemory::Kib64), ..Config::default() });
    let v6 = FlowTuple { source: Some(IpAddr::V6(Ipv6Addr::LOCALHOST)), ..FlowTuple::default() };
    assert!(unsupported(bench.port.add_flow(&tuple(v6, FlowAction::Drop))));
    let vlan = FlowTuple { vlan: Some(4096), ..dns };
    let refused = bench.port.add_flow(&tuple(vlan, FlowAction::Drop));
    assert!(matches!(refused, Err(PortError::OutOfRange { max: 4095, .. })));
    let mark = |port, mark| tuple(to_port(port, IpProtocol::Udp), FlowAction::Mark { queue: 0, mark });
    assert!(matches!(bench.port.add_flow(&mark(1, 0x8000)), Err(PortError::OutOfRange { .. })));
    bench.port.add_flow(&mark(1, 5)).unwrap();
    assert!(matches!(bench.port.add_flow(&mark(2, 5)), Err(PortError::Invalid { .. })));
    bench.port.add_flow(&mark(2, 6)).unwrap();
}

#[test]
fn full_tables_say_so_and_a_removed_rule_makes_room() {
    let mut bench = bench(Some(FlowMemory::Kib64));
    let full =
        |result, entries| matches!(result, Err(PortError::TableFull { capacity, .. }) if capacity == entries);
    let ethertype = |n: u16| FlowRule::new(FlowPattern::EtherType(0x9000 + n), FlowAction::Queue(1));
    for n in 0..8 {
        bench.port.add_flow(&ethertype(n)).unwrap();
    }
    assert!(full(bench.port.add_flow(&ethertype(8)), 8));
    let five = |n| tuple(to_port(n, IpProtocol::Tcp), FlowAction::Queue(1));
    let first = bench.port.add_flow(&five(0)).unwrap();
    for n in 1..128 {
        bench.port.add_flow(&five(n)).unwrap();
    }
    assert!(full(bench.port.add_flow(&five(128)), 128));
    bench.port.remove_flow(first).unwrap();
    bench.port.add_flow(&five(128)).unwrap();
    let flow = |n| tuple(to_port(n, IpProtocol::Udp), FlowAction::Mark { queue: 2, mark: n });
    for n in 0..2046 {
        bench.port.add_flow(&flow(n)).unwrap();
    }
    assert!(full(bench.port.add_flow(&flow(2046)), 2046));
    assert_eq!(arrives(&mut bench, &udp(1, 2045)), Some((2, Some(2045))));
}
