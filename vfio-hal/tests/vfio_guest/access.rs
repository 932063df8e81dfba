//! Regions: what is known of them, access by calls, mapped windows.

use std::sync::Arc;

use vfio_hal::backend::vfio::{Protection, VfioDevice, VfioError};
use vfio_hal::bar::Width;
use vfio_hal::pci::{Config, extended_id, id};
use vfio_hal::{Device, DeviceError};

use crate::edu::Edu;
use crate::kit;

#[test]
#[ignore = "runs in a guest: scripts/guest/guest run vfio"]
fn device_and_region_infos() {
    let (edu, igb) = (kit::open("KIT_EDU"), kit::open("KIT_IGB"));
    for device in [&edu, &igb] {
        println!("{:?}", device.info());
        for region in device.regions().iter().filter(|region| region.len > 0) {
            println!("{region:x?}");
        }
        assert!(device.info().regions >= 9 && device.info().irqs >= 5);
    }
    let bar = edu.region(0).expect("BAR 0");
    assert!(bar.len == 1 << 20 && bar.readable && bar.writable && bar.mappable && !bar.msix_mappable);
    assert_eq!(edu.file_offset(0, 0x40), Some(bar.file_offset + 0x40));
    assert_eq!((edu.file_offset(0, bar.len), edu.file_offset(1, 0)), (None, None));
    assert_eq!(edu.region(1), Err(VfioError::NoRegion { index: 1 }));
    assert_eq!(edu.region(1000), Err(VfioError::NoRegion { index: 1000 }));
    assert_eq!(edu.find_region(0x8000_8086, 1), None);

    // The 82576 has its MSI-X table in BAR 3: the kernel lets it be mapped, and says so.
    let table = igb.region(3).expect("BAR 3");
    assert!(table.msix_mappable || table.sparse.is_some(), "{table:?}");
    assert_eq!(edu.region(7).expect("configuration space").len, 256);
    assert_eq!(igb.region(7).expect("configuration space").len, 4096);
    assert!(igb.info().resettable && !edu.info().resettable);
}

#[test]
#[ignore = "runs in a guest: scripts/guest/guest run vfio"]
fn config_and_region_access() {
    let (edu, igb) = (kit::open("KIT_EDU"), kit::open("KIT_IGB"));
    let mut config = Config::new(Arc::clone(&igb) as Arc<dyn Device>);
    let found = |wanted: u8| config.find(wanted).expect("a list").is_some();
    assert!(found(id::POWER_MANAGEMENT) && found(id::MSI_X) && found(id::EXPRESS));
    assert!(config.find_extended(extended_id::SR_IOV).expect("a list").is_some());
    assert!(config.capabilities().expect("a list").count() >= 4);
    assert_eq!(config.read_u32(4096), Err(DeviceError::ConfigRange { offset: 4096, len: 4 }));
    let mut bytes = [0; 8];
    assert_eq!(edu.config_read(252, &mut bytes), Err(DeviceError::ConfigRange { offset: 252, len: 8 }));
    config.modify_command(|command| command.with_bus_master(false)).expect("a write");
    assert!(!config.command().expect("a read").bus_master());

    // A register that takes 64 bits at once only: two halves would read all ones above.
    let value = 0x1122_3344_5566_7788;
    edu.write_region(0, 0x80, Width::W64, value).expect("one access");
    assert_eq!(edu.read_region(0, 0x80, Width::W64), Ok(value));
    assert_eq!(edu.read_region(0, 0x84, Width::W32), Ok(0xffff_ffff));
    // Narrow accesses reach the device as such: it answers those with all ones.
    assert_eq!(edu.read_region(0, 0x00, Width::W32), Ok(0x0100_00ed));
    assert_eq!(edu.read_region(7, 0x00, Width::W8), Ok(0x34));
    assert_eq!(edu.read_region(7, 0x02, Width::W16), Ok(0x11e8));
    let out = |offset, len| Err(VfioError::OutOfRegion { index: 0, offset, len, size: 1 << 20 });
    assert_eq!(edu.read_region(0, 0x81, Width::W16), out(0x81, 2));
    assert_eq!(edu.read_region(0, (1 << 20) - 4, Width::W64), out((1 << 20) - 4, 8));
    assert_eq!(edu.read_region(0, u64::MAX, Width::W8), out(u64::MAX, 1));
    assert_eq!(edu.write_region(9, 0, Width::W8, 0), Err(VfioError::NoRegion { index: 9 }));
}

#[test]
#[ignore = "runs in a guest: scripts/guest/guest run vfio"]
fn map_and_unmap_windows() {
    let edu = Edu::open("KIT_EDU");
    let windows: Vec<_> = edu.bar.windows().collect();
    assert_eq!(windows, [(0, 1 << 20, true)]);
    edu.write(0x04, 0x1234_5678);
    assert_eq!(edu.read(0x04), !0x1234_5678);

    // A window that starts in the middle of a page sees the same registers.
    let window = edu.device.map_window(0, 0x04, 0x20, Protection::ReadWrite).expect("a window");
    assert_eq!(window.len(), 0x20);
    assert_eq!(window.read(0, Width::W32), Ok(u64::from(!0x1234_5678u32)));
    window.write(0, Width::W32, 5).expect("a write");
    assert_eq!(edu.read(0x04), !5);
    let out = |offset, len| Err(VfioError::OutOfRegion { index: 0, offset, len, size: 0x20 });
    assert_eq!(window.read(0x20, Width::W32), out(0x20, 4));
    assert_eq!(window.read(0, Width::W64), out(0, 8), "4 bytes into a page");
    assert_eq!(window.read(u64::MAX, Width::W8), out(u64::MAX, 1));

    let read_only = edu.device.map_window(0, 0, 4096, Protection::Read).expect("a window");
    assert_eq!(read_only.read(0, Width::W32), Ok(0x0100_00ed));
    assert!(matches!(
        read_only.write(4, Width::W32, 0),
        Err(VfioError::Device(DeviceError::Unsupported { .. }))
    ));
    let map = |index, offset, len| edu.device.map_window(index, offset, len, Protection::Read).map(drop);
    assert!(matches!(map(0, 1 << 20, 1), Err(VfioError::OutOfRegion { .. })));
    assert!(matches!(map(0, 0, 0), Err(VfioError::OutOfRegion { .. })));
    assert!(matches!(map(7, 0, 64), Err(VfioError::NotMappable { .. })), "configuration space");
    assert!(matches!(map(5, 0, 64), Err(VfioError::NoRegion { .. })));

    // Windows keep the device open; with the last of them it is closed and can be opened again.
    let name = edu.device.name().to_owned();
    drop(edu);
    assert_eq!(read_only.read(0, Width::W32), Ok(0x0100_00ed));
    drop((window, read_only));
    VfioDevice::open(&name, &kit::options()).expect("it was closed");

    // Ports are reached by calls.
    let igb = kit::open("KIT_IGB");
    let ports = igb.bar(2).expect("I/O ports");
    assert_eq!(ports.windows().collect::<Vec<_>>(), [(0, 32, false)]);
    let registers = igb.bar(0).expect("registers");
    // IOADDR and IODATA: register 8, the status, read through the ports.
    ports.write(0, Width::W32, 8).expect("a write");
    assert_eq!(ports.read(4, Width::W32), registers.read(8, Width::W32));
    assert_ne!(registers.read(8, Width::W32), Ok(0xffff_ffff));
    assert_eq!(igb.bar(6).map(drop), Err(DeviceError::NoBar { index: 6 }));
}
