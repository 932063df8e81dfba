//! Which packets come in.

use pmd_ixgbe::Config;
use vfio_hal::pmd::{MacAddr, PortError};

use crate::bench::{Bench, OWN, configure, frame, tagged};

const OTHER: MacAddr = MacAddr([0x02, 0xaa, 0xbb, 0xcc, 0xdd, 0xee]);
const THIRD: MacAddr = MacAddr([0x02, 0xaa, 0xbb, 0xcc, 0xdd, 0xef]);
const GROUP: MacAddr = MacAddr([0x01, 0x00, 0x5e, 0x01, 0x02, 0x03]);
const FAR_GROUP: MacAddr = MacAddr([0x33, 0x33, 0, 0, 0xff, 0x09]);

const TAG: u16 = 0x8100;

fn bench() -> Bench {
    Bench::new(Config::default())
}

#[test]
fn a_fresh_port_takes_its_own_packets_and_broadcasts_whatever_the_tables_held_before() {
    let mut bench = bench();
    assert_eq!(bench.port.info().mac, OWN);
    assert!(bench.takes(&frame(OWN)));
    assert!(bench.takes(&frame(MacAddr::BROADCAST)));
    // The model's tables are random at power-on: an uncleared one lets half of these in.
    for last in 0..64 {
        assert!(!bench.takes(&frame(MacAddr([0x02, 0, 0, 0, last, last]))));
        assert!(!bench.takes(&frame(MacAddr([0x01, 0, 0x5e, 0, last, last]))));
        assert!(bench.takes(&tagged(OWN, [(TAG, u16::from(last) * 60)])), "no VLAN filter yet");
    }
    bench.port.set_vlan_filter(true).unwrap();
    assert!((0..64).all(|n| !bench.takes(&tagged(OWN, [(TAG, n * 60)]))));
}

#[test]
fn a_changed_address_is_the_only_own_one() {
    let mut bench = bench();
    bench.port.set_mac(OTHER).unwrap();
    assert!(bench.takes(&frame(OTHER)) && !bench.takes(&frame(OWN)));
    assert_eq!(bench.port.info().mac, OTHER);
    assert!(bench.port.set_mac(GROUP).is_err());
    assert!(bench.takes(&frame(OTHER)));
}

#[test]
fn addresses_come_and_go() {
    let mut bench = bench();
    bench.port.add_mac(OTHER).unwrap();
    bench.port.add_mac(THIRD).unwrap();
    assert!(bench.takes(&frame(OTHER)) && bench.takes(&frame(THIRD)) && bench.takes(&frame(OWN)));
    bench.port.remove_mac(OTHER).unwrap();
    assert!(!bench.takes(&frame(OTHER)) && bench.takes(&frame(THIRD)) && bench.takes(&frame(OWN)));
    assert!(matches!(bench.port.remove_mac(OTHER), Err(PortError::Invalid { .. })));
}

#[test]
fn the_last_of_128_addresses_works_and_the_next_is_refused() {
    let mut bench = bench();
    let station = |n: u8| MacAddr([0x02, 0, 0, 0, 2, n]);
    for n in 0..127 {
        bench.port.add_mac(station(n)).unwrap();
    }
    let full = PortError::TableFull { what: "unicast addresses", capacity: 128 };
    assert_eq!(bench.port.add_mac(OTHER), Err(full));
    assert!(bench.takes(&frame(station(126))) && bench.takes(&frame(station(0))) && bench.takes(&frame(OWN)));
    assert!(!bench.takes(&frame(OTHER)));
}

#[test]
fn promiscuous_takes_everything_and_its_end_is_an_end() {
    let mut bench = bench();
    bench.port.set_vlan_filter(true).unwrap();
    bench.port.set_promiscuous(true).unwrap();
    assert!(
        bench.takes(&frame(OTHER)) && bench.takes(&frame(GROUP)) && bench.takes(&tagged(OTHER, [(TAG, 7)]))
    );
    bench.port.set_promiscuous(false).unwrap();
    assert!(
        !bench.takes(&frame(OTHER)) && !bench.takes(&frame(GROUP)) && !bench.takes(&tagged(OWN, [(TAG, 7)]))
    );
    assert!(bench.takes(&frame(OWN)) && bench.takes(&frame(MacAddr::BROADCAST)));
}

#[test]
fn groups_are_those_listed_last_or_all() {
    let mut bench = bench();
    bench.port.set_multicast(&[GROUP, FAR_GROUP]).unwrap();
    assert!(bench.takes(&frame(GROUP)) && bench.takes(&frame(FAR_GROUP)));
    bench.port.set_multicast(&[FAR_GROUP]).unwrap();
    assert!(!bench.takes(&frame(GROUP)) && bench.takes(&frame(FAR_GROUP)));
    bench.port.set_all_multicast(true).unwrap();
    assert!(bench.takes(&frame(GROUP)) && !bench.takes(&frame(OTHER)));
    bench.port.set_all_multicast(false).unwrap();
    assert!(!bench.takes(&frame(GROUP)) && bench.takes(&frame(FAR_GROUP)));
    bench.port.set_multicast(&[]).unwrap();
    assert!(!bench.takes(&frame(FAR_GROUP)));
}

#[test]
fn the_vlan_filter_lets_listed_vlans_and_untagged_packets_pass() {
    let mut bench = bench();
    assert!(bench.port.set_vlan(4096, true).is_err());
    bench.port.set_vlan(100, true).unwrap();
    bench.port.set_vlan(4095, true).unwrap();
    assert!(bench.takes(&tagged(OWN, [(TAG, 101)])), "the filter is not on yet");
    bench.port.set_vlan_filter(true).unwrap();
    assert!(bench.takes(&tagged(OWN, [(TAG, 100)])) && bench.takes(&tagged(OWN, [(TAG, 4095)])));
    assert!(bench.takes(&tagged(OWN, [(TAG, 5 << 13 | 100)])), "whatever the priority");
    assert!(!bench.takes(&tagged(OWN, [(TAG, 101)])) && !bench.takes(&tagged(OWN, [(TAG, 0)])));
    assert!(bench.takes(&frame(OWN)));
    bench.port.set_vlan(100, false).unwrap();
    assert!(!bench.takes(&tagged(OWN, [(TAG, 100)])));
    bench.port.set_vlan_filter(false).unwrap();
    assert!(bench.takes(&tagged(OWN, [(TAG, 100)])));
}

#[test]
fn all_of_it_survives_a_restart() {
    let mut bench = bench();
    bench.port.set_mac(OTHER).unwrap();
    bench.port.add_mac(THIRD).unwrap();
    bench.port.set_multicast(&[GROUP]).unwrap();
    bench.port.set_vlan(100, true).unwrap();
    bench.port.set_vlan_filter(true).unwrap();
    for round in 0..3 {
        bench = bench.restart();
        assert!(
            bench.takes(&frame(OTHER)) && bench.takes(&frame(THIRD)) && bench.takes(&frame(GROUP)),
            "{round}"
        );
        assert!(bench.takes(&tagged(OTHER, [(TAG, 100)])) && !bench.takes(&tagged(OTHER, [(TAG, 101)])));
        assert!(!bench.takes(&frame(OWN)) && !bench.takes(&frame(FAR_GROUP)));
    }
    bench.port.set_promiscuous(true).unwrap();
    bench.port.set_all_multicast(true).unwrap();
    bench = bench.restart();
    assert!(bench.takes(&tagged(OWN, [(TAG, 101)])));
    bench.port.set_promiscuous(false).unwrap();
    assert!(bench.takes(&frame(FAR_GROUP)) && !bench.takes(&frame(OWN)));
}

#[test]
fn a_port_may_start_promiscuous() {
    let mut bench = Bench::new(Config { promiscuous: true, ..Config::default() });
    assert!(bench.takes(&frame(OTHER)) && bench.takes(&frame(GROUP)));
}

#[test]
fn an_outer_tag_of_a_type_that_is_a_length_is_refused() {
    let (mut configured, parts) = configure(Config::default());
    assert!(matches!(configured.set_outer_tag(Some(0x05ff)), Err(PortError::Invalid { .. })));
    configured.set_outer_tag(Some(0x88a8)).unwrap();
    let mut bench = Bench::start((configured, parts));
    assert!(bench.takes(&tagged(OWN, [(0x88a8, 1), (TAG, 100)])));
}
