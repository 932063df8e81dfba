//! Memory that devices reach.

use vfio_hal::backend::vfio::Api;
use vfio_hal::dma::DmaAccess;

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
    assert_eq!(
        leaked,
        if kit::api() == Api::NoIommu { 1 } else { 0 },
        "only an IOMMU proves that memory is free"
    );
}
