//! The filters at the level of registers: what is written, in which order, and what survives.

extern crate std;

use alloc::sync::Arc;
use alloc::vec::Vec;
use std::sync::Mutex;

use vfio_hal::pmd::{MacAddr, PortError};
use vfio_hal::testing::{Access, FakeDevice};
use vfio_hal::{Device, DeviceError};

use super::*;
use crate::regs::{CTRL_EXT, DMATXCTL, EXVET, MCSTCTRL, PFVTCTL, VLNCTRL};
use crate::testing::{SFP, X550, bench, written};

const OWN: MacAddr = MacAddr([0x02, 0x11, 0x22, 0x33, 0x44, 0x55]);
const OTHER: MacAddr = MacAddr([0x02, 0xaa, 0xbb, 0xcc, 0xdd, 0xee]);
const GROUP: MacAddr = MacAddr([0x01, 0x00, 0x5e, 0x01, 0x02, 0x03]);

fn station(number: u8) -> MacAddr {
    MacAddr([0x02, 0, 0, 0, 1, number])
}

/// Returns the addresses that the device accepts, by entry.
fn accepted(device: &FakeDevice) -> Vec<(usize, MacAddr)> {
    let registers = device.registers().registers();
    let entries = (0..128).filter(|entry| registers.get::<RAH>(*entry).av());
    let address = |entry| {
        let [a, b, c, d] = registers.get::<RAL>(entry).bits().to_le_bytes();
        let [e, f, ..] = registers.get::<RAH>(entry).bits().to_le_bytes();
        MacAddr([a, b, c, d, e, f])
    };
    entries.map(|entry| (entry, address(entry))).collect()
}

/// Returns all registers of filters.
fn snapshot(device: &FakeDevice) -> Vec<u32> {
    let tables = [(0xa200, 0xa600), (0xa600, 0xaa00), (0x5200, 0x5400), (0xa000, 0xa200), (0xf400, 0xf600)];
    let single = [0x5080, 0x5088, 0x5090, 0x5078, 0x0018, 0x4a80];
    let offsets = tables.into_iter().flat_map(|(from, to)| (from..to).step_by(4)).chain(single);
    offsets.map(|offset| device.registers().registers().read32(offset)).collect()
}

#[test]
fn an_own_address_is_accepted_and_no_other() {
    let (mut hw, device) = bench(SFP);
    let registers = device.registers().registers().clone();
    // What another driver, or the time before power was stable, has left.
    for entry in 1..128 {
        registers.set(entry, RAH::default().with_rah(7).with_av(true));
    }
    Filters::new(OWN, false).apply(&mut hw).unwrap();
    assert_eq!(accepted(&device), [(0, OWN)]);
    assert_eq!(registers.get::<MPSAR>(0).bits(), 1, "pool 0");
    assert!((1..256).all(|word| registers.get::<MPSAR>(word).bits() == 0));
    let modes = registers.get::<FCTRL>(0);
    assert!(modes.bam() && !modes.upe() && !modes.mpe() && !modes.sbp());
    assert!(!registers.get::<VLNCTRL>(0).vfe() && !registers.get::<MCSTCTRL>(0).mfe());
    assert_eq!(registers.get::<VLNCTRL>(0).vet(), 0x8100);
    assert_eq!(registers.get::<DMATXCTL>(0).vt(), 0x8100);
}

#[test]
fn a_changed_address_is_valid_last_and_no_mix_of_two_ever_matches() {
    let (mut hw, device) = bench(SFP);
    let mut filters = Filters::new(OWN, false);
    filters.apply(&mut hw).unwrap();
    device.registers().take_log();
    // After each write, what would the device accept?
    let seen = Arc::new(Mutex::new(Vec::new()));
    device.registers().react({
        let (device, seen) = (device.clone(), seen.clone());
        move |access, _| {
            if matches!(access, Access::Write { .. }) {
                seen.lock().unwrap().extend(accepted(&device));
            }
        }
    });
    filters.set_mac(&mut hw, OTHER).unwrap();
    let seen = seen.lock().unwrap().clone();
    assert!(seen.iter().all(|(entry, mac)| *entry == 0 && (*mac == OWN || *mac == OTHER)), "{seen:?}");
    assert_eq!(accepted(&device), [(0, OTHER)]);
    assert_eq!(filters.mac(), OTHER);
    let high = written::<RAH>(&device.registers().take_log());
    assert_eq!(high.last().map(|(entry, rah)| (*entry, rah.av())), Some((0, true)));
}

#[test]
fn what_is_no_station_is_refused_before_anything_is_written() {
    let (mut hw, device) = bench(SFP);
    let mut filters = Filters::new(OWN, false);
    for mac in [MacAddr::default(), MacAddr::BROADCAST, GROUP] {
        assert!(matches!(filters.set_mac(&mut hw, mac), Err(PortError::Invalid { .. })));
        assert!(matches!(filters.add_mac(&mut hw, mac), Err(PortError::Invalid { .. })));
    }
    assert!(matches!(filters.remove_mac(&mut hw, OWN), Err(PortError::Invalid { .. })), "the own one stays");
    assert!(matches!(filters.remove_mac(&mut hw, OTHER), Err(PortError::Invalid { .. })), "never added");
    assert!(matches!(filters.set_multicast(&mut hw, &[GROUP, OTHER]), Err(PortError::Invalid { .. })));
    assert!(device.registers().log().is_empty());
    assert_eq!(filters.mac(), OWN);
}

#[test]
fn the_table_holds_127_addresses_besides_the_own_one() {
    let (mut hw, device) = bench(SFP);
    let mut filters = Filters::new(OWN, false);
    filters.apply(&mut hw).unwrap();
    for number in 0..127 {
        filters.add_mac(&mut hw, station(number)).unwrap();
        filters.add_mac(&mut hw, station(number)).unwrap();
    }
    let full = PortError::TableFull { what: "unicast addresses", capacity: 128 };
    assert_eq!(filters.add_mac(&mut hw, OTHER), Err(full));
    assert_eq!(accepted(&device).len(), 128);
    filters.remove_mac(&mut hw, station(60)).unwrap();
    assert!(!accepted(&device).iter().any(|(_, mac)| *mac == station(60)));
    filters.add_mac(&mut hw, OTHER).unwrap();
    assert_eq!(accepted(&device)[61], (61, OTHER), "the free entry is used again");
}

#[test]
fn an_added_address_that_was_the_own_one_stays_when_that_changes() {
    let (mut hw, device) = bench(SFP);
    let mut filters = Filters::new(OWN, false);
    filters.apply(&mut hw).unwrap();
    filters.add_mac(&mut hw, OWN).unwrap();
    filters.set_mac(&mut hw, OTHER).unwrap();
    assert_eq!(accepted(&device), [(0, OTHER), (1, OWN)]);
    filters.remove_mac(&mut hw, OWN).unwrap();
    assert_eq!(accepted(&device), [(0, OTHER)]);
}

#[test]
fn promiscuous_sees_every_vlan_too() {
    let (mut hw, device) = bench(SFP);
    let registers = device.registers().registers().clone();
    let mut filters = Filters::new(OWN, false);
    filters.set_vlan_filter(&mut hw, true).unwrap();
    assert!(registers.get::<VLNCTRL>(0).vfe());
    filters.set_promiscuous(&mut hw, true).unwrap();
    let modes = registers.get::<FCTRL>(0);
    assert!(modes.upe() && modes.mpe() && modes.bam() && !registers.get::<VLNCTRL>(0).vfe());
    // Said while promiscuous, in force after.
    filters.set_all_multicast(&mut hw, true).unwrap();
    filters.set_promiscuous(&mut hw, false).unwrap();
    let modes = registers.get::<FCTRL>(0);
    assert!(!modes.upe() && modes.mpe() && modes.bam() && registers.get::<VLNCTRL>(0).vfe());
    filters.set_all_multicast(&mut hw, false).unwrap();
    filters.set_vlan_filter(&mut hw, false).unwrap();
    assert!(!registers.get::<FCTRL>(0).mpe() && !registers.get::<VLNCTRL>(0).vfe());
}

#[test]
fn groups_hash_by_the_last_12_bits_of_an_address() {
    let (mut hw, device) = bench(SFP);
    let registers = device.registers().registers().clone();
    let mut filters = Filters::new(OWN, false);
    let all_nodes = MacAddr([0x33, 0x33, 0, 0, 0, 0x01]);
    let last = MacAddr([0x33, 0x33, 0, 0, 0xff, 0xff]);
    filters.set_multicast(&mut hw, &[GROUP, all_nodes, last]).unwrap();
    // Bits 47:36: 03:02 gives 030h, 01:00 gives 010h, ff:ff gives fffh.
    let bits = |index: usize| registers.get::<MTA>(index).bits();
    assert_eq!((bits(1), bits(0), bits(127)), (1 << 16, 1 << 16, 1 << 31));
    assert!((2..127).all(|index| bits(index) == 0));
    assert!(registers.get::<MCSTCTRL>(0).mfe() && registers.get::<MCSTCTRL>(0).mo() == 0);

    device.registers().take_log();
    filters.set_multicast(&mut hw, &[last, GROUP]).unwrap();
    let log = device.registers().take_log();
    assert_eq!(written::<MTA>(&log), [(0, MTA::default())], "groups that stay are not touched");
    filters.set_multicast(&mut hw, &[]).unwrap();
    assert!((0..128).all(|index| bits(index) == 0) && !registers.get::<MCSTCTRL>(0).mfe());
}

#[test]
fn any_number_of_groups_fits() {
    let (mut hw, device) = bench(SFP);
    let groups: Vec<_> =
        (0..0x1_0000u32).map(|n| MacAddr([0x01, 0, 0x5e, 0, (n >> 8) as u8, n as u8])).collect();
    Filters::new(OWN, false).set_multicast(&mut hw, &groups).unwrap();
    assert!((0..128).all(|index| device.registers().registers().get::<MTA>(index).bits() == u32::MAX));
}

#[test]
fn a_vlan_has_a_bit_and_4096_has_none() {
    let (mut hw, device) = bench(SFP);
    let registers = device.registers().registers().clone();
    let mut filters = Filters::new(OWN, false);
    for id in [4096, u16::MAX] {
        let expected = PortError::OutOfRange { what: "the VLAN id", value: id.into(), min: 0, max: 4095 };
        assert_eq!(filters.set_vlan(&mut hw, id, true), Err(expected));
    }
    assert!(device.registers().log().is_empty());
    for id in [0, 33, 34, 4095] {
        filters.set_vlan(&mut hw, id, true).unwrap();
    }
    filters.set_vlan(&mut hw, 34, false).unwrap();
    filters.set_vlan(&mut hw, 35, false).unwrap();
    let bits = |index: usize| registers.get::<VFTA>(index).bits();
    assert_eq!((bits(0), bits(1), bits(127)), (1, 2, 1 << 31));
    assert!(!registers.get::<VLNCTRL>(0).vfe(), "filtering is another matter");
}

#[test]
fn an_outer_tag_waits_for_the_next_start() {
    let (mut hw, device) = bench(X550);
    let registers = device.registers().registers().clone();
    registers.set(0, PFVTCTL::new(3 << 16 | 1));
    // As a reset by software leaves it.
    registers.set(0, CTRL_EXT::default().with_extended_vlan(true).with_drv_load(true));
    let mut filters = Filters::new(OWN, false);
    filters.apply(&mut hw).unwrap();
    assert!(!registers.get::<CTRL_EXT>(0).extended_vlan() && registers.get::<CTRL_EXT>(0).drv_load());
    assert!(matches!(filters.set_outer_tag(Some(0x05ff)), Err(PortError::Invalid { .. })));
    filters.set_outer_tag(Some(0x88a8)).unwrap();
    assert!(!registers.get::<CTRL_EXT>(0).extended_vlan());
    filters.apply(&mut hw).unwrap();
    assert!(registers.get::<CTRL_EXT>(0).extended_vlan() && registers.get::<DMATXCTL>(0).gdv());
    assert_eq!(registers.get::<EXVET>(0).vet_ext(), 0x88a8);
    assert_eq!(registers.get::<PFVTCTL>(0), PFVTCTL::new(1));
    filters.set_outer_tag(None).unwrap();
    filters.apply(&mut hw).unwrap();
    assert!(!registers.get::<CTRL_EXT>(0).extended_vlan() && !registers.get::<DMATXCTL>(0).gdv());
}

#[test]
fn everything_is_there_again_after_a_reset() {
    let (mut hw, device) = bench(SFP);
    let mut filters = Filters::new(OWN, false);
    filters.apply(&mut hw).unwrap();
    filters.set_mac(&mut hw, OTHER).unwrap();
    filters.add_mac(&mut hw, station(1)).unwrap();
    filters.add_mac(&mut hw, station(2)).unwrap();
    filters.remove_mac(&mut hw, station(1)).unwrap();
    filters.set_multicast(&mut hw, &[GROUP]).unwrap();
    filters.set_all_multicast(&mut hw, true).unwrap();
    filters.set_vlan(&mut hw, 100, true).unwrap();
    filters.set_vlan_filter(&mut hw, true).unwrap();
    let before = snapshot(&device);

    device.reset().unwrap();
    assert_ne!(snapshot(&device), before);
    // A reset loads entry 0 from the EEPROM.
    device.registers().registers().set(0, RAL::new(0x3322_1102));
    device.registers().registers().set(0, RAH::default().with_rah(0x5544).with_av(true));
    clear_all(&mut hw).unwrap();
    filters.apply(&mut hw).unwrap();
    assert_eq!(snapshot(&device), before);
}

#[test]
fn clearing_empties_every_table_but_not_the_own_address() {
    let (mut hw, device) = bench(SFP);
    let registers = device.registers().registers().clone();
    for offset in (0..0x2_0000).step_by(4) {
        registers.write32(offset, u32::MAX);
    }
    clear_all(&mut hw).unwrap();
    for (from, len) in [
        (0xf400, 512), // unicast table
        (0xf100, 256), // VLANs of pools
        (0xf200, 512), // and their pools
        (0xa600, 1024),
        (0x5200, 512), // multicast
        (0xa000, 512), // VLANs
        (0xe600, 512), // 5-tuples
        (0x5128, 32),  // EtherTypes
        (0xec00, 32),
        (0xec30, 4), // SYN
    ] {
        let left = (from..from + len).step_by(4).filter(|offset| registers.read32(*offset) != 0).count();
        assert_eq!(left, 0, "at {from:#x}");
    }
    assert!((1..128).all(|entry| !registers.get::<RAH>(entry).av()));
    assert!(registers.get::<RAH>(0).av() && registers.get::<RAL>(0).bits() == u32::MAX);
}

#[test]
fn a_device_that_goes_is_an_error_wherever_it_goes() {
    let lost = Err(PortError::Device(DeviceError::Lost));
    for after in [0, 1, 2, 100, 500, 700] {
        let (mut hw, device) = bench(SFP);
        device.registers().die_after(after);
        assert_eq!(Filters::new(OWN, false).apply(&mut hw), lost, "after {after} accesses");
        assert_eq!(clear_all(&mut hw), lost);
    }
    let (mut hw, device) = bench(SFP);
    let mut filters = Filters::new(OWN, false);
    device.registers().die_after(0);
    assert_eq!(filters.set_mac(&mut hw, OTHER), lost);
    assert_eq!(filters.mac(), OWN);
    assert_eq!(filters.add_mac(&mut hw, OTHER), lost);
    assert_eq!(filters.set_multicast(&mut hw, &[GROUP]), lost);
    assert_eq!(filters.set_vlan(&mut hw, 1, true), lost);
    assert_eq!(filters.set_promiscuous(&mut hw, true), lost);
}
