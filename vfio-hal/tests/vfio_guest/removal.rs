//! A device that is taken away while it is driven.

use std::time::{Duration, Instant};

use vfio_hal::backend::vfio::{DeviceEvent, VfioDevice, VfioError};
use vfio_hal::bar::Width;
use vfio_hal::{Device, Lost};

use crate::kit;

/// The check asks QEMU to remove the device as soon as the file is there.
#[test]
#[ignore = "runs in a guest: scripts/guest/guest run vfio"]
fn removed_while_running() {
    let name = kit::address("KIT_IGB");
    let igb = kit::open("KIT_IGB");
    let bar = igb.bar(0).expect("registers");
    let events = igb.events().expect("events");
    assert_ne!(bar.read(8, Width::W32), Ok(0xffff_ffff));
    std::fs::write("/tmp/running", "").expect("a file");

    let end = Instant::now() + Duration::from_secs(40);
    let event = loop {
        match events.wait(Duration::from_secs(1)).expect("wait") {
            Some(event) => break event,
            None => assert!(Instant::now() < end, "nobody asked for the device"),
        }
    };
    println!("{event:?}");
    let lost: Lost = igb.lost().clone();
    match event {
        // It is still there, until it is closed.
        DeviceEvent::ReleaseRequested => assert!(!lost.is_lost()),
        DeviceEvent::Removed => {
            assert!(lost.is_lost());
            assert_eq!(bar.read(8, Width::W32), Ok(0xffff_ffff));
        }
        DeviceEvent::Error => panic!("no error was reported"),
    }
    drop((bar, events, igb));
    kit::wait("the device to go", || !std::path::Path::new("/sys/bus/pci/devices").join(&name).exists());
    let gone = VfioDevice::open(&name, &kit::options()).map(drop);
    assert!(matches!(gone, Err(VfioError::NoDevice { .. })), "{gone:?}");
}
