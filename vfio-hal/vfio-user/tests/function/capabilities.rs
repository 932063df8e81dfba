//! Capabilities of a model's own: vendor, extended, places, who answers; conventional PCI; ROM.

use vfio_user_kit::config::{CONFIG_BYTES, WriteError, cap};
use vfio_user_kit::{CapabilityId, CapabilitySpec, Config, ConfigCallback, PciType, Spec, SpecError};

use super::*;

const VENDOR: u8 = 9;
const VSEC: u16 = 0xb;

fn with(capabilities: Vec<CapabilitySpec>) -> Spec {
    Spec { capabilities, ..spec() }
}

fn config(capabilities: Vec<CapabilitySpec>) -> Config {
    Config::new(&with(capabilities)).unwrap()
}

/// Walks the extended list as an operating system does: (id, version, offset).
fn extended(config: &Config) -> Vec<(u16, u8, u16)> {
    let mut list = Vec::new();
    let mut at: u16 = 0x100;
    while at != 0 {
        assert!(at >= 0x100 && at.is_multiple_of(4) && list.len() < 960, "a broken list: {list:x?}, {at:#x}");
        let header = read32(config, at);
        if header == 0 {
            break;
        }
        list.push((header as u16, (header >> 16) as u8 & 0xf, at));
        at = (header >> 20) as u16;
    }
    list
}

#[test]
fn vendor_and_extended_capabilities_are_listed_behind_the_emulated_ones() {
    let config = config(vec![
        CapabilitySpec::vendor(&[1, 2, 3, 4, 5]),
        CapabilitySpec::vsec(0x43, 0, &[0xaa; 12]),
        CapabilitySpec::extended(0x1234, 7, &[]),
    ]);
    let list = capabilities(&config);
    let (id, at) = *list.last().unwrap();
    assert_eq!((list.len(), id), (5, VENDOR));
    assert_eq!(read8(&config, at + 2), 8, "its length, number and link included");
    assert_eq!([3, 4, 5, 6, 7].map(|byte| read8(&config, at + byte)), [1, 2, 3, 4, 5]);
    let list = extended(&config);
    assert_eq!(list[..2], [(cap::SERIAL, 1, 0x100), (VSEC, 1, 0x10c)]);
    assert_eq!(list[2], (0x1234, 7, 0x10c + 20));
    // PCIe 5.0, 7.9.5.2: id, revision, length of everything.
    assert_eq!(read32(&config, 0x110), 20 << 20 | 0x43);
    assert_eq!(read32(&config, 0x114), 0xaaaa_aaaa);
}

#[test]
fn an_explicit_position_is_kept_and_the_list_has_the_specs_order() {
    let config = config(vec![
        CapabilitySpec::standard(VENDOR, &[4, 0]).at(0xf0),
        CapabilitySpec::standard(0x55, &[0; 6]).at(0xe0),
        CapabilitySpec::vsec(1, 0, &[0; 4]).at(0xff0),
        CapabilitySpec::vsec(2, 0, &[0; 4]).at(0x200),
    ]);
    assert_eq!(capabilities(&config)[4..], [(VENDOR, 0xf0), (0x55, 0xe0)]);
    assert_eq!(extended(&config), [(cap::SERIAL, 1, 0x100), (VSEC, 1, 0xff0), (VSEC, 1, 0x200)]);
}

#[test]
fn an_extended_list_that_starts_elsewhere_is_linked_from_its_first_place() {
    let far = CapabilitySpec::vsec(1, 0, &[]).at(0x300);
    let spec = Spec { serial: None, ..with(vec![far.clone()]) };
    let config = Config::new(&spec).unwrap();
    assert_eq!(extended(&config), [(0, 0, 0x100), (VSEC, 1, 0x300)]);
    // One that takes the first place comes first.
    let first = CapabilitySpec::extended(0x20, 1, &[]).at(0x100);
    let config = Config::new(&Spec { serial: Some(1), ..with(vec![far, first]) }).unwrap();
    assert_eq!(extended(&config), [(0x20, 1, 0x100), (cap::SERIAL, 1, 0x104), (VSEC, 1, 0x300)]);
}

#[test]
fn an_overlap_is_refused() {
    let at = |at: u16| CapabilitySpec::standard(VENDOR, &[12; 10]).at(at);
    for place in [0, 0x3c, 0x38, 0x40, 0x44, 0x48, 0x76, 0x7a, 0x98, 0xf8, 0xfc, 0x100, 0x104, 0xfffc] {
        let error = SpecError::CapabilityPlace { id: VENDOR.into(), at: place };
        assert_eq!(Config::new(&with(vec![at(place)])).unwrap_err(), error, "{place:#x}");
    }
    let two = with(vec![at(0xe0), at(0xe8)]);
    assert_eq!(two.check(), Err(SpecError::CapabilityPlace { id: VENDOR.into(), at: 0xe8 }));
    assert_eq!(with(vec![at(0xe0), at(0x80)]).check(), Ok(()));
    for place in [0, 0xfc, 0x102, 0xffc, 0x1000] {
        let far = CapabilitySpec::vsec(1, 0, &[]).at(place);
        let error = SpecError::CapabilityPlace { id: VSEC, at: place };
        assert_eq!(with(vec![far]).check(), Err(error), "{place:#x}");
    }
}

#[test]
fn no_room_and_reserved_numbers_are_refused() {
    let large = CapabilitySpec::vendor(&[0; 200]);
    assert_eq!(with(vec![large]).check(), Err(SpecError::CapabilityRoom { id: VENDOR.into(), len: 204 }));
    let large = CapabilitySpec::vsec(1, 0, &[0; 0xf00]);
    assert_eq!(with(vec![large]).check(), Err(SpecError::CapabilityRoom { id: VSEC, len: 0xf08 }));
    for id in [0, cap::PM, cap::MSI, cap::MSIX, cap::PCIE] {
        let own = with(vec![CapabilitySpec::standard(id, &[])]);
        assert_eq!(own.check(), Err(SpecError::CapabilityId { id: id.into() }));
    }
    for (id, version) in [(0, 1), (0xffff, 1), (cap::SERIAL, 1), (7, 16)] {
        let own = with(vec![CapabilitySpec::extended(id, version, &[])]);
        assert_eq!(own.check(), Err(SpecError::CapabilityId { id }));
    }
}

#[test]
fn find_and_find_next_follow_the_list() {
    let config = config(vec![
        CapabilitySpec::vendor(&[1]),
        CapabilitySpec::standard(0x55, &[]),
        CapabilitySpec::vendor(&[2]),
        CapabilitySpec::vsec(1, 0, &[]),
        CapabilitySpec::vsec(2, 0, &[]),
    ]);
    let first = config.capability(VENDOR).unwrap();
    let second = config.capability_after(VENDOR, first).unwrap();
    assert_eq!((read8(&config, first + 3), read8(&config, second + 3)), (1, 2));
    assert_eq!(config.capability_after(VENDOR, second), None);
    assert_eq!(config.capability_after(0x55, first), config.capability(0x55));
    assert_eq!(config.capability_after(VENDOR, first + 2), None, "no capability starts there");
    let first = config.extended_capability(VSEC).unwrap();
    let second = config.extended_capability_after(VSEC, first).unwrap();
    assert_eq!((read32(&config, first + 4) as u16, read32(&config, second + 4) as u16), (1, 2));
    assert_eq!(config.extended_capability_after(VSEC, second), None);
    assert_eq!(config.extended_capability(cap::SERIAL), Some(0x100));
    assert_eq!(config.capability(VSEC as u8), None, "another list");
}

#[test]
fn number_and_link_are_read_only_and_the_rest_is_as_the_flags_say() {
    let mut config = config(vec![
        CapabilitySpec::standard(0x55, &[1, 2, 3, 4, 5, 6]),
        CapabilitySpec::standard(0x56, &[1, 2]).read_only(),
        CapabilitySpec::standard(0x57, &[1, 2]).by_model(),
    ]);
    let [stored, fixed, model] = [0x55, 0x56, 0x57].map(|id| config.capability(id).unwrap());
    let head = read16(&config, stored);
    config.write(stored, &[0xff; 8]).unwrap();
    assert_eq!(read16(&config, stored), head);
    assert_eq!(read32(&config, stored + 4), u32::MAX);
    config.write(fixed, &[0xff; 4]).unwrap();
    assert_eq!(read16(&config, fixed + 2), 0x0201);
    let error = WriteError::ReadOnly { offset: fixed + 2 };
    assert_eq!(config.parts(fixed, 4, true), Err(error));
    assert!(config.parts(fixed, 4, false).is_ok() && config.parts(fixed, 2, true).is_ok());
    let parts = config.parts(model, 4, true).unwrap();
    assert_eq!(
        parts.iter().map(|part| (part.range.clone(), part.model)).collect::<Vec<_>>(),
        [(0..2, false), (2..4, true)]
    );
    // The model changes what it answers for, and what only software cannot write, but nothing that is emulated.
    config.set(model + 2, &[7, 8]).unwrap();
    config.set(fixed + 2, &[9]).unwrap();
    assert_eq!((read16(&config, model + 2), read8(&config, fixed + 2)), (0x0807, 9));
    assert_eq!(config.set(model, &[1]), Err(WriteError::Emulated { offset: model }));
    assert_eq!(config.set(0x04, &[7]), Err(WriteError::Emulated { offset: 4 }));
}

#[test]
fn without_a_callback_the_rest_reads_and_refuses_writes() {
    let config = Config::new(&spec()).unwrap();
    assert_eq!(config.parts(0xe0, 4, true), Err(WriteError::Unclaimed { offset: 0xe0 }));
    assert!(config.parts(0xe0, 4, false).is_ok());
    assert!(config.parts(0x04, 4, true).is_ok(), "the header is emulated");
    assert_eq!(config.parts(4095, 2, true), Err(WriteError::Range(ConfigError { offset: 4095, len: 2 })));
    let unclaimed = Config::new(&Spec { config_callback: ConfigCallback::Unclaimed, ..spec() }).unwrap();
    assert!(unclaimed.parts(0xe0, 4, true).unwrap().iter().all(|part| part.model));
    assert!(unclaimed.parts(0x04, 4, true).unwrap().iter().all(|part| !part.model));
    let always = Config::new(&Spec { config_callback: ConfigCallback::Always, ..spec() }).unwrap();
    assert_eq!(always.parts(0, 4096, true).unwrap().len(), 1);
    assert!(always.parts(0, 4096, true).unwrap()[0].model);
}

#[test]
fn conventional_pci_has_256_bytes_and_no_extended_space() {
    let conventional = |pci_type| Spec { pci_type, serial: None, ..spec() };
    for (pci_type, bytes) in [
        (PciType::Conventional, 256),
        (PciType::PciX1, 256),
        (PciType::PciX2, 4096),
        (PciType::Express, CONFIG_BYTES),
    ] {
        let config = Config::new(&conventional(pci_type)).unwrap();
        assert_eq!(config.bytes(), bytes);
        assert_eq!(config.read(bytes, &mut [0]), Err(ConfigError { offset: bytes, len: 1 }));
        let express = config.capability(cap::PCIE).is_some();
        assert_eq!(express, pci_type == PciType::Express);
    }
    let serial = Spec { pci_type: PciType::Conventional, ..spec() };
    assert_eq!(serial.check(), Err(SpecError::CapabilityRoom { id: cap::SERIAL, len: 12 }));
    let vsec = Spec { capabilities: vec![CapabilitySpec::vsec(1, 0, &[])], ..conventional(PciType::PciX1) };
    assert_eq!(vsec.check(), Err(SpecError::CapabilityRoom { id: VSEC, len: 8 }));
    // Without PCI Express there is no bit that resets the function.
    let mut config = Config::new(&conventional(PciType::Conventional)).unwrap();
    assert!(!config.write(0xa8, &[0xff, 0xff]).unwrap().reset);
}

#[test]
fn a_header_other_than_an_endpoints_is_refused() {
    for header_type in [1, 2, 0x80] {
        let spec = Spec { header_type, ..spec() };
        assert_eq!(spec.check(), Err(SpecError::HeaderType { header_type }));
    }
}

#[test]
fn the_rom_is_sized_and_switched_on() {
    let mut config = Config::new(&Spec { rom: 64 << 10, ..spec() }).unwrap();
    write32(&mut config, 0x30, u32::MAX);
    assert_eq!(read32(&config, 0x30), 0xffff_0001);
    assert!(!config.rom_enabled(), "memory access is off");
    write16(&mut config, 0x04, 0b010);
    assert!(config.rom_enabled());
    write32(&mut config, 0x30, 0xfeb0_0000);
    assert!(!config.rom_enabled());
    for rom in [1, 1024, 3000, 32 << 20] {
        assert_eq!(Spec { rom, ..spec() }.check(), Err(SpecError::RomSize { size: rom }));
    }
}

#[test]
fn a_saved_state_carries_what_the_model_wrote() {
    let spec = with(vec![CapabilitySpec::standard(0x57, &[1, 2]).by_model()]);
    let mut from = Function::new(&spec).unwrap();
    let at = from.config().capability(0x57).unwrap();
    from.config_set(at + 2, &[0x77]).unwrap();
    let mut to = Function::new(&spec).unwrap();
    to.restore(&from.save()).unwrap();
    assert_eq!(read8(to.config(), at + 2), 0x77);
    let id = CapabilityId::Standard(0x57);
    assert_eq!(spec.capabilities[0].id, id);
}
