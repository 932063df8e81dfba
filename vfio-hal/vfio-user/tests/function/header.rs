//! What the function is: ids, BARs, capabilities, access.

use vfio_user_kit::config::cap;
use vfio_user_kit::{Config, Spec};

use super::*;

#[test]
fn the_header_names_the_function() {
    let config = Config::new(&spec()).unwrap();
    assert_eq!(read32(&config, 0x00), 0x10fb_8086);
    assert_eq!(read32(&config, 0x08), 0x0200_0001);
    assert_eq!(read32(&config, 0x2c), 0x0611_15d9);
    assert_eq!(read8(&config, 0x0e), 0, "header type 0, one function");
    assert_eq!(read8(&config, 0x3d), 1, "INTA");
    assert_eq!(read16(&config, 0x04), 0, "nothing is switched on");
}

#[test]
fn every_capability_is_listed_once_and_found() {
    let config = Config::new(&spec()).unwrap();
    let list = capabilities(&config);
    let mut ids: Vec<u8> = list.iter().map(|(id, _)| *id).collect();
    for (id, at) in list {
        assert_eq!(config.capability(id), Some(at));
    }
    ids.sort_unstable();
    assert_eq!(ids, [cap::PM, cap::MSI, cap::PCIE, cap::MSIX]);
    assert_eq!(config.capability(0x09), None);
}

#[test]
fn what_a_function_lacks_is_not_listed() {
    let config = Config::new(&Spec { ids: spec().ids, ..Spec::default() }).unwrap();
    let ids: Vec<u8> = capabilities(&config).into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, [cap::PM, cap::PCIE]);
    assert_eq!(read32(&config, 0x100), 0, "no extended capability");
    assert_eq!(read8(&config, 0x3d), 0, "no INTx pin");
}

#[test]
fn the_serial_number_is_an_extended_capability() {
    let config = Config::new(&spec()).unwrap();
    assert_eq!(read32(&config, 0x100), 0x0001_0003, "version 1, the last of the list");
    assert_eq!(read32(&config, 0x104), 0xff33_4455);
    assert_eq!(read32(&config, 0x108), 0x0011_22ff);
}

#[test]
fn pcie_says_endpoint_with_flr_and_a_trained_link() {
    let config = Config::new(&spec()).unwrap();
    let at = config.capability(cap::PCIE).unwrap();
    assert_eq!(read16(&config, at + 2), 0x0002, "version 2, endpoint");
    assert_ne!(read32(&config, at + 4) & (1 << 28), 0, "FLR");
    assert_eq!(read16(&config, at + 0x12) & 0x3ff, 0x082, "8 lanes at 5 GT/s");
}

#[test]
fn msix_points_at_its_table() {
    let config = Config::new(&spec()).unwrap();
    let at = config.capability(cap::MSIX).unwrap();
    assert_eq!(read16(&config, at + 2), 63, "one less than the vectors");
    assert_eq!(read32(&config, at + 4), 4, "the table starts BAR 4");
    assert_eq!(read32(&config, at + 8), 0x2004, "pending bits in the middle of it");
}

#[test]
fn bars_are_sized_by_writing_all_ones() {
    let mut config = Config::new(&spec()).unwrap();
    let expected =
        [0xfff8_000c, 0xffff_ffff, 0xffff_ffe1, 0xffff_f000, 0xffff_c004, 0xffff_ffff, /* ROM */ 0, 0];
    for (index, expected) in (0..6).zip(expected) {
        let at = 0x10 + 4 * index;
        write32(&mut config, at, u32::MAX);
        assert_eq!(read32(&config, at), expected, "BAR {index}");
    }
    write32(&mut config, 0x30, u32::MAX);
    assert_eq!(read32(&config, 0x30), 0, "no expansion ROM");
}

#[test]
fn a_bar_takes_an_address_and_keeps_its_kind() {
    let mut config = Config::new(&spec()).unwrap();
    write32(&mut config, 0x10, 0xf000_1234);
    write32(&mut config, 0x14, 0x12);
    assert_eq!(read32(&config, 0x10), 0xf000_000c);
    assert_eq!(config.bar_address(0), Some(0x12_f000_0000));
    assert_eq!(config.bar_address(1), None, "the upper half of BAR 0");
    assert_eq!(config.bar_address(6), None);
    // One byte of an address.
    config.write(0x1e, &[0xab]).unwrap();
    assert_eq!(config.bar_address(3), Some(0x00ab_0000));
    write32(&mut config, 0x18, 0xc021);
    assert_eq!(config.bar_address(2), Some(0xc020));
}

#[test]
fn a_missing_bar_reads_zero_whatever_is_written() {
    let mut config =
        Config::new(&Spec { msix_vectors: 0, bars: Vec::new(), doorbells: Vec::new(), ..spec() }).unwrap();
    for at in (0x10..0x28).step_by(4) {
        write32(&mut config, at, u32::MAX);
        assert_eq!(read32(&config, at), 0);
    }
    write16(&mut config, 0x04, 0b111);
    assert_eq!(read16(&config, 0x04), 0b100, "without BARs there is no access to enable");
}

#[test]
fn the_command_register_gates_access() {
    let mut config = Config::new(&spec()).unwrap();
    assert!(!config.memory_enabled() && !config.io_enabled() && !config.bus_master());
    assert!(write16(&mut config, 0x04, 0b010).access);
    assert!(config.memory_enabled() && !config.io_enabled() && !config.bus_master());
    assert!(write16(&mut config, 0x04, 0b111).access);
    assert!(config.memory_enabled() && config.io_enabled() && config.bus_master());
    assert!(!write16(&mut config, 0x04, 0b111).access, "nothing changed");
    write16(&mut config, 0x04, u16::MAX);
    assert_eq!(read16(&config, 0x04), 0x0547, "only what exists can be set");
}

#[test]
fn power_gates_access_too_and_keeps_the_state() {
    let mut config = Config::new(&spec()).unwrap();
    write16(&mut config, 0x04, 0b111);
    write32(&mut config, 0x1c, 0xfeb0_0000);
    let pm = config.capability(cap::PM).unwrap();
    assert!(write16(&mut config, pm + 4, 3).access);
    assert_eq!(config.power_state(), 3);
    assert!(!config.memory_enabled() && !config.bus_master());
    // D1 and D2 do not exist.
    assert!(!write16(&mut config, pm + 4, 1).access);
    assert!(!write16(&mut config, pm + 4, 2).access);
    assert_eq!(config.power_state(), 3);
    assert!(write16(&mut config, pm + 4, 0).access);
    assert!(config.memory_enabled() && config.bus_master());
    assert_eq!(config.bar_address(3), Some(0xfeb0_0000));
}
