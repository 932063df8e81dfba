//! Where packets go.

use std::collections::BTreeSet;

use pmd_ixgbe::Config;
use pmd_ixgbe::rss::{HashTypes, Redirection, RssConfig, RssKey};
use vfio_hal::pmd::PortError;

use crate::bench::{Bench, OWN, frame, ipv4, tagged};

const TCP: u8 = 6;
const UDP: u8 = 17;

fn bench(queues: u16, rss: RssConfig) -> Bench {
    Bench::new(Config { rx_queues: queues, rx_ring: 128, rss: Some(rss), ..Config::default() })
}

/// Sends one packet through and returns the queue it went to, and its hash.
fn goes_to(bench: &mut Bench, frame: &[u8]) -> (u16, Option<u32>) {
    bench.arrive(frame);
    let received = bench.received();
    let [(queue, _, hash)] = &received[..] else { panic!("{} packets", received.len()) };
    (*queue, *hash)
}

#[test]
fn hashes_are_those_of_the_verification_suite() {
    let mut bench = bench(16, RssConfig::default());
    let from = ([66, 9, 149, 187], 2794);
    let to = ([161, 142, 100, 80], 1766);
    // The last seven bits are the entry: 78h is 120, 42h is 66; of 16 queues in turn those are 8 and 2.
    assert_eq!(goes_to(&mut bench, &ipv4(TCP, from, to)), (8, Some(0x51cc_c178)));
    // Ports of UDP are left out of it by default.
    assert_eq!(goes_to(&mut bench, &ipv4(UDP, from, to)), (2, Some(0x323e_8fc2)));
    assert_eq!(goes_to(&mut bench, &frame(OWN)), (0, None), "what is not IP has no hash");
    assert_eq!(goes_to(&mut bench, &tagged(OWN, [(0x8100, 5)])), (0, None));
}

#[test]
fn sixteen_queues_all_get_some_of_many_flows() {
    let mut bench = bench(16, RssConfig::default());
    let flow = |port| ipv4(TCP, ([10, 0, 0, 1], port), ([10, 0, 0, 2], 80));
    let queues: BTreeSet<u16> = (1000..1200).map(|port| goes_to(&mut bench, &flow(port)).0).collect();
    assert_eq!(queues, (0..16).collect());
    let first = goes_to(&mut bench, &flow(1000));
    assert!((0..10).all(|_| goes_to(&mut bench, &flow(1000)) == first), "a flow stays on its queue");
}

#[test]
fn the_symmetric_key_keeps_both_directions_together() {
    let mut bench = bench(8, RssConfig { key: RssKey::SYMMETRIC, ..RssConfig::default() });
    assert_eq!(bench.port.rss_key(), Ok(RssKey::SYMMETRIC));
    let mut queues = BTreeSet::new();
    for port in 1000..1050 {
        let (one, other) = (([10, 0, 0, 1], port), ([192, 168, 3, 7], 443));
        let (there, back) =
            (goes_to(&mut bench, &ipv4(TCP, one, other)), goes_to(&mut bench, &ipv4(TCP, other, one)));
        assert_eq!(there, back);
        queues.insert(there.0);
    }
    assert!(queues.len() > 2, "{queues:?}");
}

#[test]
fn what_the_device_does_is_read_back_from_it() {
    let types = HashTypes::IPV4 | HashTypes::UDP_IPV4;
    let mut table = vec![0; 128];
    table[100] = 3;
    let rss = RssConfig { types, redirection: Redirection::Table(table.clone()), ..RssConfig::default() };
    let mut bench = bench(4, rss);
    assert_eq!(bench.port.rss_types(), Ok(types));
    assert_eq!(bench.port.rss_table(), Ok(table));
    assert_eq!(bench.port.rss_key(), Ok(RssKey::MICROSOFT));
    assert_eq!(bench.port.info().max_rss_queues, 16);

    let mut without = Bench::new(Config { rx_queues: 4, rx_ring: 64, ..Config::default() });
    assert_eq!(without.port.rss_types(), Ok(HashTypes::NONE));
    assert_eq!(goes_to(&mut without, &ipv4(TCP, ([1, 2, 3, 4], 5), ([6, 7, 8, 9], 10))), (0, None));
}

#[test]
fn the_table_changes_while_packets_come_and_survives_a_restart() {
    let mut bench = bench(4, RssConfig::default());
    let packet = ipv4(TCP, ([66, 9, 149, 187], 2794), ([161, 142, 100, 80], 1766));
    let entry = 0x51cc_c178u32 & 127;
    assert_eq!(goes_to(&mut bench, &packet).0, (entry % 4) as u16);
    bench.port.update_rss_table(entry as u16, &[3]).unwrap();
    assert_eq!(goes_to(&mut bench, &packet).0, 3);
    assert!(bench.port.update_rss_table(entry as u16, &[4]).is_err());
    assert_eq!(goes_to(&mut bench, &packet).0, 3);
    let mut bench = bench.restart();
    assert_eq!(goes_to(&mut bench, &packet).0, 3);

    bench.port.set_rss(&RssConfig { types: HashTypes::IPV6, ..RssConfig::default() }).unwrap();
    assert_eq!(goes_to(&mut bench, &packet), (0, None), "IPv4 is not hashed any more");
}

#[test]
fn what_the_device_cannot_hash_is_refused_and_changes_nothing() {
    let sctp = RssConfig { types: HashTypes::default() | HashTypes::SCTP_IPV4, ..RssConfig::default() };
    let mut bench = bench(2, RssConfig::default());
    let what = "RSS over the ports of SCTP over IPv4";
    assert_eq!(bench.port.set_rss(&sctp), Err(PortError::Unsupported { what }));
    assert_eq!(bench.port.rss_types(), Ok(HashTypes::default()));
}

#[test]
fn rss_cannot_be_switched_on_under_traffic() {
    let mut bench = Bench::new(Config { rx_queues: 2, rx_ring: 64, ..Config::default() });
    assert!(matches!(bench.port.set_rss(&RssConfig::default()), Err(PortError::Invalid { .. })));
    assert_eq!(bench.port.rss_types(), Ok(HashTypes::NONE));
}
