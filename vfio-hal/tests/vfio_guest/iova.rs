//! Which addresses there are.

use vfio_hal::backend::vfio::{Api, Iommu, Options, VfioDevice, VfioError};
use vfio_hal::dma::memory::{Pages, Request};
use vfio_hal::dma::{Addressing, DmaAccess, DmaError, IovaSpace, RegionOptions, SpaceOptions};
use vfio_hal::{Device, Iova, IovaRange};

use crate::edu::Edu;
use crate::kit;

/// Where x86 has its interrupt messages.
const MESSAGES: Iova = Iova(0xfee0_0000);

#[test]
#[ignore = "runs in a guest: scripts/guest/guest run vfio"]
fn iova_ranges() {
    let edu = Edu::open("KIT_EDU");
    let caps = edu.device.dma().caps();
    println!("{caps:x?}");
    assert_eq!(caps.page_sizes & 0x1fff, 0x1000, "4 KiB is the smallest page");
    assert!(caps.coherent);
    let ranges = match caps.addressing {
        Addressing::Physical => {
            assert_eq!(kit::api(), Api::NoIommu);
            return;
        }
        Addressing::Translated(ranges) => ranges,
    };
    assert!(
        !ranges.is_empty()
            && ranges.iter().all(|range| !range.contains(IovaRange { first: MESSAGES, last: MESSAGES }))
    );
    assert!(ranges.windows(2).all(|pair| pair[0].last < pair[1].first), "sorted and disjoint");

    let space = kit::space(&[&edu.device]);
    assert_eq!(space.usable(), ranges);
    let page = || Request::new(4096).pages(Pages::Size4K).alloc().expect("memory");
    let at = |iova| RegionOptions::new(DmaAccess::ReadWrite).at(iova).alloc(&space, page());
    let fixed = at(Iova(0x1234_5000)).expect("a fixed address");
    assert_eq!(fixed.iova(), Iova(0x1234_5000));
    fixed.copy_in(0, b"here").expect("inside");
    edu.take(fixed.bus(0).expect("inside").iova(), 4);
    assert!(matches!(at(MESSAGES).map(drop), Err(DmaError::IovaReserved { .. })));
    assert!(matches!(at(Iova(0x1234_5000)).map(drop), Err(DmaError::IovaInUse { .. })));
    assert!(matches!(at(Iova(0x1234_5800)).map(drop), Err(DmaError::Unaligned { .. })));
    let highest = ranges.last().expect("a range").last;
    println!("highest address: {highest}");
    let top = at(Iova(highest.0 - 4095)).expect("the last page");
    top.fill(0, 4, 0x11).expect("inside");
    edu.give(top.bus(0).expect("inside").iova(), 4);
    let mut bytes = [0; 4];
    top.copy_out(0, &mut bytes).expect("inside");
    assert_eq!(&bytes, b"here", "the last page is reached");

    // The address in this process, if the IOMMU is wide enough.
    let space = IovaSpace::with(SpaceOptions::default().identity());
    drop((fixed, top));
    let device = std::sync::Arc::clone(&edu.device) as std::sync::Arc<dyn Device>;
    space.attach(&device).expect("attach");
    match RegionOptions::new(DmaAccess::Read).alloc(&space, page()) {
        Ok(region) => {
            let info = space.region_at(region.iova()).expect("a region");
            assert_eq!(info.address as u64, region.iova().0);
            assert_eq!(space.iova_of(info.address as *const u8), Some(region.iova()));
        }
        Err(error) => {
            assert!(matches!(error, DmaError::IovaReserved { .. }) && highest.0 < 1 << 47, "{error}")
        }
    }
}

#[test]
#[ignore = "runs in a guest: scripts/guest/guest run vfio"]
fn iova_allowed_ranges() {
    let range = |first, last| IovaRange { first: Iova(first), last: Iova(last) };
    let iommu = Iommu::new(kit::api()).expect("a context");
    let good = [range(0x1000_0000, 0x2fff_ffff)];
    if kit::api() != Api::Iommufd {
        assert!(matches!(iommu.allow(&good), Err(DmaError::Device(_))));
        return;
    }
    iommu.allow(&good).expect("free yet");
    let options = Options { iommu: Some(iommu), ..kit::options() };
    let device = VfioDevice::open(&kit::address("KIT_EDU"), &options).expect("it can use them");
    assert_eq!(device.limits().mappings, 0);
    // What no device of this platform can use keeps them out.
    let iommu = Iommu::new(kit::api()).expect("a context");
    iommu.allow(&[range(MESSAGES.0, MESSAGES.0 + 0xfff)]).expect("free yet");
    let options = Options { iommu: Some(iommu), ..kit::options() };
    let refused = VfioDevice::open(&kit::address("KIT_EDU2"), &options).map(drop);
    assert!(matches!(refused, Err(VfioError::Reserved { .. })), "{refused:?}");
}
