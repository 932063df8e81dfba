//! What is found on cards of all kinds, and by which properties.

use pmd_afu::dfl::{Kind, Start};
use pmd_afu::{AfuError, Filter, Sharing, enumerate, guid};
use pmd_afu_model::{AfuKind, Config, Discovery, Headers};

use std::sync::Arc;

use vfio_hal::bar::Width;
use vfio_hal::testing::FakeDevice;

use crate::bench::Bench;

const KINDS: [AfuKind; 3] = [AfuKind::Nlb0, AfuKind::HeLpbk, AfuKind::HeMem];

#[test]
fn every_way_of_listing_shows_the_same_card() {
    for discovery in [Discovery::PortOffsets, Discovery::Vsec] {
        for headers in [Headers::V0, Headers::V1] {
            let config = Config { discovery, headers, ..Config::with_ports(&KINDS) };
            let bench = Bench::new(config.clone());
            let card = bench.card();
            let found = if discovery == Discovery::Vsec { Start::Capability } else { Start::Default };
            assert_eq!(card.lists().0, found);
            let numbers: Vec<u8> = card.ports().iter().map(|port| port.number()).collect();
            assert_eq!(numbers, [0, 1, 2]);
            let guids: Vec<_> = card.accelerators().iter().filter_map(|afu| afu.guid).collect();
            assert_eq!(guids, [guid::NLB0, guid::HE_LBK, guid::HE_MEM]);
            let fme = card.fme().unwrap();
            let info = fme.info().unwrap();
            assert_eq!((info.ports, info.interface_id), (3, Some(config.interface_id)));
            assert_eq!(info.bitstream_id, config.bitstream_id);
            assert_eq!(fme.thermal().unwrap().celsius, config.temperature);
            assert!(!card.ports()[2].info().unwrap().in_reset);
            let versions = card.features().all().iter().filter(|feature| feature.version == 1).count();
            assert_eq!(versions != 0, headers == Headers::V1);
            let private = card
                .features()
                .all()
                .iter()
                .filter(|feature| matches!(feature.kind, Kind::Private(_)))
                .count();
            assert!(private >= 3 * 2 + 4, "{:?}", card.features());
        }
    }
}

#[test]
fn accelerators_are_found_by_their_properties() {
    let benches = [Bench::new(Config::with_ports(&KINDS)), Bench::new(Config::with_ports(&[AfuKind::Nlb0]))];
    let cards: Vec<_> = benches.iter().map(Bench::card).collect();
    let found = |filter: Filter| {
        let found = enumerate(&cards, &filter).into_iter();
        found.map(|(card, afu)| (card, afu.port.unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(found(Filter::new()).len(), 4);
    assert_eq!(found(Filter::new().guid(guid::NLB0)), [(0, 0), (1, 0)]);
    assert_eq!(found(Filter::new().port(1)), [(0, 1)]);
    assert_eq!(found(Filter::new().vendor(0x8086).device(0x09c4)).len(), 4);
    assert_eq!(found(Filter::new().device(0x1234)), []);
    assert_eq!(found(Filter::new().interface_id(guid::DUMMY)), []);
    let open = cards[0].open_afu(guid::NLB0, Sharing::Exclusive).unwrap();
    assert_eq!(found(Filter::new().guid(guid::NLB0).free()), [(1, 0)]);
    drop(open);
    let none = cards[1].open_afu(guid::HE_MEM, Sharing::Shared).unwrap_err();
    assert_eq!(none, AfuError::NoAccelerator { guid: guid::HE_MEM });
}

#[test]
fn exclusive_is_alone_and_shared_is_not() {
    let bench = Bench::new(Config::with_ports(&[AfuKind::Dummy]));
    let card = bench.card();
    let first = card.open_afu(guid::DUMMY, Sharing::Shared).unwrap();
    let second = card.open_afu(guid::DUMMY, Sharing::Shared).unwrap();
    let alone = card.open_afu(guid::DUMMY, Sharing::Exclusive).unwrap_err();
    assert_eq!(alone, AfuError::InUse { port: 0, users: 2 });
    first.write64(0x28, 0x1234_5678_9abc_def0).unwrap();
    assert_eq!(second.read64(0x28).unwrap(), 0x1234_5678_9abc_def0);
    drop((first, second));
    let alone = card.open_afu(guid::DUMMY, Sharing::Exclusive).unwrap();
    assert!(matches!(card.open_afu(guid::DUMMY, Sharing::Shared), Err(AfuError::InUse { users: 1, .. })));
    drop(alone);
    card.open_afu(guid::DUMMY, Sharing::Shared).unwrap();
}

#[test]
fn registers_are_read_in_their_width_and_not_beyond_the_end() {
    let bench = Bench::new(Config::with_ports(&[AfuKind::Dummy]));
    let card = bench.card();
    let afu = card.open_afu(guid::DUMMY, Sharing::Exclusive).unwrap();
    afu.write32(0x28, 0xdead_beef).unwrap();
    afu.write32(0x2c, 0x0102_0304).unwrap();
    assert_eq!(afu.read64(0x28).unwrap(), 0x0102_0304_dead_beef);
    let size = afu.mmio_size();
    assert_eq!(size, 256 << 10);
    for offset in [size - 4, size, u64::MAX - 7, u64::MAX] {
        assert!(afu.read64(offset).is_err(), "{offset:#x}");
    }
    assert!(afu.read64(0x2a).is_err(), "not aligned");
}

#[test]
fn an_accelerator_without_a_port_is_reset_with_its_function() {
    // A virtual function whose BAR 0 is the accelerator.
    let device = Arc::new(FakeDevice::new(0x10000));
    let registers = device.registers().registers().clone();
    let (low, high) = guid::words(guid::DUMMY);
    for (at, word) in [(0x00, 1 << 60 | 1 << 40), (0x08, low), (0x10, high)] {
        registers.write(at, Width::W64, word);
    }
    let bench = Bench::new(Config::default());
    let card = bench.open_as(device.clone()).unwrap();
    assert!(card.fme().is_err() && card.ports().is_empty());
    let found = card.accelerators();
    assert_eq!(
        (found.len(), found[0].guid, found[0].port, found[0].mmio_size),
        (1, Some(guid::DUMMY), None, 0x10000)
    );
    let afu = card.open_afu(guid::DUMMY, Sharing::Exclusive).unwrap();
    assert!(afu.port().is_none());
    afu.write64(0x28, 5).unwrap();
    assert_eq!(afu.read64(0x28), Ok(5));
    assert_eq!(device.resets(), 0);
    afu.reset().unwrap();
    assert_eq!(device.resets(), 1);
    assert!(afu.read64(0x28).is_ok());
}
