//! What all tests use: the devices of the environment, memory, waiting.

use std::sync::Arc;
use std::time::{Duration, Instant};

use vfio_hal::Device;
use vfio_hal::backend::vfio::{Api, Options, VfioDevice};
use vfio_hal::dma::memory::{Pages, Request};
use vfio_hal::dma::{DmaAccess, IovaSpace, Region};

/// Returns a device's address from the environment.
pub(crate) fn address(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} names no device: run this through scripts/guest"))
}

pub(crate) fn api() -> Api {
    address("KIT_VFIO_API").parse().expect("KIT_VFIO_API")
}

pub(crate) fn options() -> Options {
    Options { api: api(), ..Options::default() }
}

pub(crate) fn open(name: &str) -> Arc<VfioDevice> {
    VfioDevice::open(&address(name), &options()).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Returns a space with these devices.
pub(crate) fn space(devices: &[&Arc<VfioDevice>]) -> IovaSpace {
    let space = IovaSpace::new();
    for device in devices {
        let device: Arc<dyn Device> = Arc::clone(device) as _;
        space.attach(&device).expect("attach");
    }
    space
}

/// Returns memory that works with every interface: hugepages without an IOMMU.
pub(crate) fn memory(space: &IovaSpace, len: u64, access: DmaAccess) -> Region {
    let request = Request::new(len);
    let request = if api() == Api::NoIommu {
        request.pages(Pages::Size2M).exactly()
    } else {
        request.pages(Pages::Size4K)
    };
    Region::alloc(space, request.alloc().expect("memory"), access).expect("a region")
}

/// Waits until `done`, for 10 s at most.
pub(crate) fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < end, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
