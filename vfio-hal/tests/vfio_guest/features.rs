//! Low power and other device features.

use std::time::Duration;

use vfio_hal::backend::vfio::{Feature, Protection};
use vfio_hal::bar::Width;
use vfio_hal::irq::EventFd;
use vfio_hal::{Device, DeviceError};

use crate::edu::Edu;
use crate::kit;

fn unsupported<T: std::fmt::Debug>(result: Result<T, DeviceError>) {
    assert!(matches!(result, Err(DeviceError::Unsupported { .. })), "{result:?}");
}

fn runtime_status(device: &dyn Device) -> String {
    let path = format!("/sys/bus/pci/devices/{}/power/runtime_status", device.name());
    std::fs::read_to_string(path).expect("a status").trim().to_owned()
}

#[test]
#[ignore = "runs in a guest: scripts/guest/guest run vfio"]
fn low_power() {
    let igb = kit::open("KIT_IGB");
    for feature in [Feature::LowPower, Feature::LowPowerWithWakeup, Feature::LowPowerExit] {
        assert_eq!(igb.has_feature(feature), Ok(true), "{feature:?}");
    }
    // Not while an access would end the process.
    let bar = igb.bar(0).expect("registers");
    unsupported(igb.enter_low_power());
    drop(bar);
    let window = igb.map_window(0, 0, 4096, Protection::Read).expect("a window");
    unsupported(igb.enter_low_power());
    drop(window);

    igb.enter_low_power().expect("asleep");
    kit::wait("sleep", || runtime_status(&*igb) == "suspended");
    unsupported(igb.bar(0).map(drop));
    let mut vendor = [0; 2];
    igb.config_read(0, &mut vendor).expect("configuration space answers");
    assert_eq!(vendor, [0x86, 0x80]);
    igb.leave_low_power().expect("awake");
    igb.leave_low_power().expect("still awake");
    assert_eq!(runtime_status(&*igb), "active");

    let wakeup = EventFd::new().expect("eventfd");
    igb.enter_low_power_until(&wakeup).expect("asleep");
    kit::wait("sleep", || runtime_status(&*igb) == "suspended");
    assert_eq!(wakeup.take(), 0);
    igb.config_read(0, &mut vendor).expect("this wakes it up");
    assert_eq!(wakeup.wait(Duration::from_secs(5)), Ok(1));
    igb.leave_low_power().expect("awake");
    let bar = igb.bar(0).expect("registers");
    assert_ne!(bar.read(8, Width::W32), Ok(0xffff_ffff));
}

#[test]
#[ignore = "runs in a guest: scripts/guest/guest run vfio"]
fn device_features() {
    let edu = Edu::open("KIT_EDU");
    let device = &edu.device;
    for feature in [
        Feature::VfToken,
        Feature::Migration,
        Feature::MigrationState,
        Feature::MigrationSize,
        Feature::DmaLogging,
        Feature::AcpiDsm,
        Feature::AcpiNotification,
    ] {
        assert_eq!(device.has_feature(feature), Ok(false), "{feature:?}");
        unsupported(device.require_feature(feature));
    }
    assert_eq!(device.migration_support(), Ok(None));
    unsupported(device.migration_state());
    unsupported(device.migration_size());
    unsupported(device.start_dirty_log(4096, &[(0, 1 << 20)]));
    unsupported(device.stop_dirty_log());
    unsupported(device.dirty_pages(0, 1 << 20, 4096));
    println!("dma-buf: {:?}", device.has_feature(Feature::DmaBuf));
    if device.has_feature(Feature::DmaBuf) == Ok(false) {
        unsupported(device.export_dma_buf(0, 0, 4096));
    }
}

#[test]
#[ignore = "runs in a guest: scripts/guest/guest run vfio"]
fn leave_the_address_space() {
    use vfio_hal::backend::vfio::Api;
    use vfio_hal::dma::DmaAccess;

    let edu = Edu::open("KIT_EDU");
    if edu.device.api() != Api::Iommufd {
        unsupported(edu.device.detach_from_iommu());
        return;
    }
    let space = kit::space(&[&edu.device]);
    let region = kit::memory(&space, 4096, DmaAccess::ReadWrite);
    region.fill(0, 4096, 0x77).expect("inside");
    let at = region.bus(0).expect("inside").iova();
    edu.take(at, 16);
    region.fill(0, 4096, 0).expect("inside");
    edu.device.detach_from_iommu().expect("detach");
    edu.give(at, 16);
    assert_eq!(region.read_u64(0), Ok(0), "it reached memory all the same");
    edu.device.attach_to_iommu().expect("attach");
    edu.give(at, 16);
    assert_eq!(region.read_u64(0), Ok(0x7777_7777_7777_7777));
}

/// The guest's IOMMU has no dirty bits; the kernel's test device has, see the unit tests of the backend.
#[test]
#[ignore = "runs in a guest: scripts/guest/guest run vfio"]
fn written_pages_are_not_noted_here() {
    let edu = kit::open("KIT_EDU");
    unsupported(edu.track_dirty_pages().map(drop));
}
