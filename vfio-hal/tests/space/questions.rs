//! What a space answers about itself.

use std::sync::Arc;

use vfio_hal::Iova;
use vfio_hal::dma::memory::HeapMemory;
use vfio_hal::dma::{DmaAccess, IovaSpace, RegionInfo, RegionOptions, SpaceStats};

use crate::fakes::*;

#[test]
fn any_address_inside_finds_the_region_both_ways() {
    let space = space_of(&[&Arc::new(Fake::new())]);
    let named = RegionOptions::new(DmaAccess::Write).name("pool").at(Iova(0x10_0000));
    let region = named.alloc(&space, HeapMemory::new(0x2000).unwrap()).unwrap();
    let (_other, _) = alloc(&space, 0x1000);
    let info = space.region_at(region.iova()).unwrap();
    assert_eq!(
        info,
        RegionInfo {
            name: "pool",
            iova: Iova(0x10_0000),
            address: info.address,
            len: 0x2000,
            page_size: 0x1000,
            access: DmaAccess::Write,
        }
    );
    let pointer = |offset: usize| (info.address + offset) as *const u8;
    for offset in [0, 1, 0x1000, 0x1fff] {
        let iova = Iova(0x10_0000 + offset as u64);
        assert_eq!(space.region_at(iova), Some(info));
        assert_eq!(space.region_of(pointer(offset)), Some(info));
        assert_eq!(space.iova_of(pointer(offset)), Some(iova));
    }
    assert_eq!(space.region_at(Iova(0x10_2000)), None);
    assert_eq!(space.region_at(Iova(0xf_ffff)), None);
    assert_eq!(space.region_at(Iova(u64::MAX)), None);
    assert_eq!(space.region_of(std::ptr::null()), None);
    assert_ne!(space.region_of(pointer(0x2000)), Some(info));
    assert_eq!(space.regions().len(), 2);
    drop(region);
    assert_eq!(space.region_at(Iova(0x10_0000)), None);
    assert_eq!(space.iova_of(pointer(0)), None);
}

#[test]
fn an_empty_space_says_so() {
    let empty = SpaceStats {
        devices: 0,
        regions: 0,
        mapped_bytes: 0,
        leaked_regions: 0,
        leaked_bytes: 0,
        mappings_left: None,
        page_sizes: u64::MAX,
        coherent: true,
        physical: false,
    };
    assert_eq!(IovaSpace::new().stats(), empty);
}

#[test]
fn one_device_that_is_not_coherent_is_enough() {
    let mut fake = Fake::new();
    fake.caps.coherent = false;
    let fake = Arc::new(fake);
    let space = space_of(&[&Arc::new(Fake::new()), &fake]);
    assert!(!space.stats().coherent);
    space.detach(&device(&fake)).unwrap();
    assert!(space.stats().coherent);
}
