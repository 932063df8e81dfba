//! Memory that devices reach.

use vfio_hal::Iova;
use vfio_hal::backend::vfio::Api;
use vfio_hal::dma::memory::{Kind, Pages, Request};
use vfio_hal::dma::{DmaAccess, DmaError, IovaSpace, Region, RegionOptions};

use crate::edu::Edu;
use crate::kit;

#[test]
#[ignore = "runs in a guest: scripts/guest/guest run vfio"]
fn dma_map_and_unmap() {
    let edu = Edu::open("KIT_EDU");
    let space = kit::space(&[&edu.device]);
    let region = kit::memory(&space, 8192, DmaAccess::ReadWrite);
    region.copy_in(0, b"from memory, through the device, and back").expect("inside");
    let base = region.bus(0).expect("inside").iova();
    let back = region.bus(4096).expect("inside").iova();
    edu.take(base, 41);
    edu.give(back, 41);
    let mut bytes = [0; 41];
    region.copy_out(4096, &mut bytes).expect("inside");
    assert_eq!(&bytes, b"from memory, through the device, and back");

    let limits = edu.device.limits();
    assert_eq!((limits.mappings, limits.mapped_bytes), (1, region.len() as u64));
    println!("{limits:?}");
    drop(region);
    assert_eq!(edu.device.limits().mappings, 0);
    let leaked = space.stats().leaked_regions;
    assert_eq!(leaked, u64::from(kit::api() == Api::NoIommu), "only an IOMMU proves that memory is free");
}

#[test]
#[ignore = "runs in a guest: scripts/guest/guest run vfio"]
fn dma_unmap_all() {
    let edu = Edu::open("KIT_EDU");
    let space = kit::space(&[&edu.device]);
    let regions = [1, 2].map(|pages| kit::memory(&space, pages * 4096, DmaAccess::ReadWrite));
    let bytes: usize = regions.iter().map(Region::len).sum();
    if kit::api() == Api::NoIommu {
        assert!(edu.device.iommu().unmap_all().is_err());
        return;
    }
    assert_eq!(edu.device.iommu().unmap_all(), Ok(bytes as u64));
    assert_eq!(edu.device.limits().mapped_bytes, 0);
    assert_eq!(edu.device.iommu().unmap_all(), Ok(0));
    let bus = regions[0].bus(0).expect("inside");
    drop(regions);
    assert_eq!(space.stats().leaked_regions, 0, "it is known to be unmapped");
    // The addresses can be used again.
    let options = RegionOptions::new(DmaAccess::Read).at(bus.iova());
    let again = options.alloc(&space, Request::new(4096).alloc().expect("memory")).expect("a region");
    edu.take(again.bus(0).expect("inside").iova(), 16);
}

/// Run by a check of its own, which reads the faults from the kernel's log.
#[test]
#[ignore = "runs in a guest: scripts/guest/guest run vfio"]
fn outside_of_what_is_mapped() {
    let edu = Edu::open("KIT_EDU");
    let space = kit::space(&[&edu.device]);
    let good = kit::memory(&space, 4096, DmaAccess::ReadWrite);
    let read_only = kit::memory(&space, 4096, DmaAccess::Read);
    let gone = kit::memory(&space, 4096, DmaAccess::ReadWrite);
    for region in [&good, &read_only, &gone] {
        region.fill(0, region.len(), 0x55).expect("inside");
    }
    let at = |region: &Region| region.bus(0).expect("inside").iova();
    edu.take(at(&good), 64);
    good.fill(0, 4096, 0xaa).expect("inside");

    println!("never mapped: {}", Iova(0x7_0000_0000));
    edu.give(Iova(0x7_0000_0000), 64);
    println!("mapped for reading only: {}", at(&read_only));
    edu.give(at(&read_only), 64);
    let mut bytes = [0; 64];
    read_only.copy_out(0, &mut bytes).expect("inside");
    assert_eq!(bytes, [0x55; 64], "the IOMMU let a write through");
    let old = at(&gone);
    drop(gone);
    println!("unmapped: {old}");
    edu.give(old, 64);

    // What is mapped still works.
    edu.give(at(&good), 64);
    good.copy_out(0, &mut bytes).expect("inside");
    assert_eq!(bytes, [0x55; 64]);
}

#[test]
#[ignore = "runs in a guest: scripts/guest/guest run vfio"]
fn dma_buffers() {
    let edu = Edu::open("KIT_EDU");
    let space = kit::space(&[&edu.device]);
    let hugepages = Request::new(4 << 20).pages(Pages::Size2M).exactly();
    let kinds = [
        Request::new(4096).pages(Pages::Size4K).lock(),
        Request::new(2 << 20).pages(Pages::Size2M).exactly().only(Kind::HugeMemfd),
        Request::new(2 << 20).pages(Pages::Size2M).exactly().only(Kind::Hugetlbfs),
    ];
    for request in kinds {
        let memory = request.alloc().expect("memory");
        println!("{}", memory.info());
        let region = Region::alloc(&space, memory, DmaAccess::ReadWrite).expect("a region");
        region.copy_in(0, b"buffer").expect("inside");
        edu.take(region.bus(0).expect("inside").iova(), 6);
        let last = region.len() - 64;
        edu.give(region.bus(last as u64).expect("inside").iova(), 6);
        let mut bytes = [0; 6];
        region.copy_out(last, &mut bytes).expect("inside");
        assert_eq!(&bytes, b"buffer");
        // Found by any address inside.
        let info = space.region_at(Iova(region.iova().0 + 77)).expect("a region");
        assert_eq!((info.iova, info.len), (region.iova(), region.len() as u64));
    }
    if kit::api() != Api::NoIommu {
        // Several hugepages are one mapping, and one entry of what the kernel allows.
        let region = Region::alloc(&space, hugepages.alloc().expect("memory"), DmaAccess::ReadWrite);
        let limits = edu.device.limits();
        assert_eq!((limits.mappings, limits.mapped_bytes), (1, 4 << 20));
        assert_eq!(limits.by_file > 0, edu.device.api() == Api::Iommufd, "{limits:?}");
        drop(region);
    }
}

#[test]
#[ignore = "runs in a guest: scripts/guest/guest run vfio"]
fn entry_limit() {
    // The check has set the limit of new containers to 3.
    let edu = Edu::open("KIT_EDU");
    let space = kit::space(&[&edu.device]);
    let limits = edu.device.limits();
    let alloc = |space: &IovaSpace| {
        Region::alloc(space, Request::new(4096).alloc().expect("memory"), DmaAccess::ReadWrite)
    };
    if edu.device.api() != Api::Type1 {
        assert_eq!((limits.entry_limit, limits.entries_left), (None, None));
        return;
    }
    assert_eq!((limits.entry_limit, limits.entries_left), (Some(3), Some(3)));
    assert_eq!(space.stats().mappings_left, Some(3));
    let regions: Vec<Region> = (0..3).map(|_| alloc(&space).expect("within the limit")).collect();
    assert_eq!(edu.device.limits().entries_left, Some(0));
    assert_eq!(alloc(&space).map(drop), Err(DmaError::EntryLimit { limit: 3 }));
    drop(regions);
    alloc(&space).expect("there is room again");
}

/// Run without privileges, under a limit of 1 MiB.
#[test]
#[ignore = "runs in a guest: scripts/guest/guest run vfio"]
fn memlock() {
    let edu = Edu::open("KIT_EDU");
    let memlock = edu.device.limits().memlock;
    assert_eq!((memlock.limit, memlock.privileged), (Some(1 << 20), false), "{memlock:?}");
    let space = kit::space(&[&edu.device]);
    let alloc = |len| {
        let memory = Request::new(len).pages(Pages::Size4K).alloc().expect("memory");
        Region::alloc(&space, memory, DmaAccess::ReadWrite)
    };
    let refused = |len| Err(DmaError::Memlock { len, limit: 1 << 20 });
    assert_eq!(alloc(2 << 20).map(drop), refused(2 << 20));
    let half = alloc(600 << 10).expect("within the limit");
    assert_eq!(alloc(600 << 10).map(drop), refused(600 << 10), "what is mapped counts");
    drop(half);
    let whole = alloc(1 << 20).expect("exactly the limit");
    edu.take(whole.bus(0).expect("inside").iova(), 64);
}
