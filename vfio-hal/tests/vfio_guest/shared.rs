//! Several devices in one address space.

use std::sync::Arc;

use vfio_hal::Device;
use vfio_hal::backend::vfio::{Api, Options, VfioDevice, VfioError};
use vfio_hal::dma::{DmaAccess, IovaSpace, Region};

use crate::edu::Edu;
use crate::kit;

fn relay(from: &Edu, to: &Edu, region: &Region, text: &[u8; 8]) {
    let bus = |offset| region.bus(offset).expect("inside").iova();
    region.copy_in(0, text).expect("inside");
    // Through one device and then the other: both see the same memory at the same addresses.
    from.take(bus(0), 8);
    from.give(bus(1024), 8);
    to.take(bus(1024), 8);
    to.give(bus(2048), 8);
    let mut bytes = [0; 8];
    region.copy_out(2048, &mut bytes).expect("inside");
    assert_eq!(&bytes, text);
}

#[test]
#[ignore = "runs in a guest: scripts/guest/guest run vfio"]
fn several_devices_share_a_context() {
    let one = Edu::open("KIT_EDU");
    let options = Options { iommu: Some(one.device.iommu().clone()), ..kit::options() };
    let open = |name| VfioDevice::open(&kit::address(name), &options).expect("a second device");
    let two = Edu::new(open("KIT_EDU2"));
    assert!(one.device.iommu().is_same(two.device.iommu()));
    let space = kit::space(&[&one.device, &two.device]);
    let region = kit::memory(&space, 4096, DmaAccess::ReadWrite);
    assert_eq!(one.device.limits().mappings, 1, "mapped once for both");
    relay(&one, &two, &region, b"together");

    // One leaves; the memory stays the other's, and is free when that lets go.
    let first: Arc<dyn Device> = Arc::clone(&one.device) as _;
    space.detach(&first).expect("detach");
    assert_eq!(one.device.limits().mappings, 1);
    two.take(region.bus(0).expect("inside").iova(), 8);
    // And comes back.
    space.attach(&first).expect("attach");
    relay(&two, &one, &region, b"and back");
    drop(region);
    assert_eq!(two.device.limits().mappings, 0);
    let no_iommu = kit::api() == Api::NoIommu;
    assert_eq!(space.stats().leaked_regions, u64::from(no_iommu));

    // Another space over the same context cannot take addresses that are taken.
    if !no_iommu {
        let (this, that) = (kit::space(&[&one.device]), kit::space(&[&two.device]));
        let taken = kit::memory(&this, 4096, DmaAccess::ReadWrite);
        let memory = vfio_hal::dma::memory::Request::new(4096).alloc().expect("memory");
        let error = Region::alloc_at(&that, memory, DmaAccess::ReadWrite, taken.iova()).map(drop);
        assert!(matches!(error, Err(vfio_hal::dma::DmaError::IovaInUse { .. })), "{error:?}");
    }
}

#[test]
#[ignore = "runs in a guest: scripts/guest/guest run vfio"]
fn several_devices_with_contexts_of_their_own() {
    let (one, two) = (Edu::open("KIT_EDU"), Edu::open("KIT_EDU2"));
    assert!(!one.device.iommu().is_same(two.device.iommu()));
    let space = kit::space(&[&one.device, &two.device]);
    let region = kit::memory(&space, 4096, DmaAccess::ReadWrite);
    assert_eq!((one.device.limits().mappings, two.device.limits().mappings), (1, 1));
    relay(&one, &two, &region, b"the same");
    // One that joins late is told what is mapped already.
    let first: Arc<dyn Device> = Arc::clone(&one.device) as _;
    space.detach(&first).expect("detach");
    assert_eq!(one.device.limits().mappings, 0);
    space.attach(&first).expect("attach");
    relay(&one, &two, &region, b"as ever.");
}

#[test]
#[ignore = "runs in a guest: scripts/guest/guest run vfio"]
fn several_devices_of_one_group() {
    if kit::api() == Api::NoIommu {
        return; // Every device is a group.
    }
    let (one, two) = (Edu::open("KIT_EDU3"), Edu::open("KIT_EDU4"));
    assert!(one.device.iommu().is_same(two.device.iommu()), "a group has one context");
    let space = IovaSpace::new();
    for edu in [&one, &two] {
        let device: Arc<dyn Device> = Arc::clone(&edu.device) as _;
        space.attach(&device).expect("attach");
    }
    let region = kit::memory(&space, 4096, DmaAccess::ReadWrite);
    relay(&one, &two, &region, b"a group.");
    // Another context for the second of them is impossible.
    drop(two);
    let other = vfio_hal::backend::vfio::Iommu::new(kit::api()).expect("a context");
    let options = Options { iommu: Some(other), ..kit::options() };
    let refused = VfioDevice::open(&kit::address("KIT_EDU4"), &options).map(drop);
    assert!(matches!(refused, Err(VfioError::OtherContext { .. })), "{refused:?}");
    // And one of another kind as well.
    let kind = if kit::api() == Api::Iommufd { Api::Type1 } else { Api::Iommufd };
    let refused =
        VfioDevice::open(&kit::address("KIT_EDU4"), &Options { api: kind, ..Options::default() }).map(drop);
    assert_eq!(refused, Err(VfioError::ContextKind { has: kit::api(), wants: kind }));
}
