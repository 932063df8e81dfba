//! A device of a file: everything but the kernel.

use super::super::fake;
use super::*;
use crate::irq::IrqKind;
use rustix::fs::ftruncate;
use rustix::io::{pread, pwrite};

const CONFIG: u64 = 7 * fake::REGION;

/// A device whose BAR 0 has a hole in the middle that cannot be mapped.
fn with_hole() -> (VfioDevice, std::os::fd::OwnedFd) {
    let areas = vec![(0, 0x1000), (0x3000, 0x1000)];
    let bar = RegionInfo { sparse: Some(areas), ..fake::region(0, 0x4000) };
    let (device, file) = fake::device(vec![bar, fake::region(7, 256)]);
    pwrite(&file, &0x10fb_8086u32.to_le_bytes(), CONFIG).unwrap();
    (device, file)
}

#[test]
fn holes_are_reached_by_calls_and_invent_nothing() {
    let (device, file) = with_hole();
    let bar = device.bar(0).unwrap();
    let windows: Vec<_> = bar.windows().collect();
    assert_eq!(windows, [(0, 0x1000, true), (0x1000, 0x2000, false), (0x3000, 0x1000, true)]);
    for offset in [0x10, 0x1ff8, 0x3ff8] {
        bar.write(offset, Width::W64, 0x1122_3344_5566_7788 + offset).unwrap();
        let mut bytes = [0; 8];
        pread(&file, &mut bytes, offset).unwrap();
        assert_eq!(u64::from_le_bytes(bytes), 0x1122_3344_5566_7788 + offset);
        assert_eq!(bar.read(offset, Width::W64), Ok(0x1122_3344_5566_7788 + offset));
    }
    bar.write(0x1000, Width::W8, 0xab).unwrap();
    assert_eq!(bar.read(0x1000, Width::W16), Ok(0xab));
    assert_eq!(device.bar(1).map(drop), Err(DeviceError::NoBar { index: 1 }));
    assert_eq!(device.bar(7).map(drop), Err(DeviceError::NoBar { index: 7 }));
}

#[test]
fn a_failed_access_is_all_ones_and_the_device_is_lost() {
    let (device, file) = with_hole();
    let bar = device.bar(0).unwrap();
    // Everything behind the first page is gone, and with it configuration space.
    ftruncate(&file, 0x1000).unwrap();
    assert!(!device.lost().is_lost());
    assert_eq!(bar.read(0x1000, Width::W32), Ok(0xffff_ffff));
    assert!(device.lost().is_lost());
    assert_eq!(device.config_read(0, &mut [0; 4]), Err(DeviceError::Lost));
    assert_eq!(device.bar(0).map(drop), Err(DeviceError::Lost));
    assert!(device.read_region(0, 0, Width::W32).is_err());
}

#[test]
fn all_ones_in_a_mapped_window_are_doubted() {
    let (device, file) = with_hole();
    let bar = device.bar(0).unwrap();
    bar.write(0, Width::W32, 0xffff_ffff).unwrap();
    assert_eq!(bar.read(0, Width::W32), Ok(0xffff_ffff));
    assert!(!device.lost().is_lost(), "its configuration space still answers");
    pwrite(&file, &[0xff; 4], CONFIG).unwrap();
    assert_eq!(bar.read(0, Width::W32), Ok(0xffff_ffff));
    assert!(device.lost().is_lost());
}

#[test]
fn accesses_stay_inside() {
    let (device, _file) = with_hole();
    let out = |offset, len| Err(VfioError::OutOfRegion { index: 0, offset, len, size: 0x4000 });
    assert_eq!(device.read_region(0, 0x3ffc, Width::W64), out(0x3ffc, 8));
    assert_eq!(device.read_region(0, 2, Width::W32), out(2, 4));
    assert_eq!(device.read_region_bytes(0, u64::MAX, &mut [0; 2]).map(|()| 0), out(u64::MAX, 2));
    assert_eq!(device.write_region(3, 0, Width::W8, 0), Err(VfioError::NoRegion { index: 3 }));
    assert_eq!(device.config_read(252, &mut [0; 8]), Err(DeviceError::ConfigRange { offset: 252, len: 8 }));
    assert_eq!(device.config_write(256, &[]), Ok(()));
    let mut three = [0; 3];
    device.read_region_bytes(7, 1, &mut three).unwrap();
    assert_eq!(three, [0x80, 0xfb, 0x10]);
    assert_eq!(device.file_offset(7, 255), Some(CONFIG + 255));
    assert_eq!(device.file_offset(7, 256), None);
}

#[test]
fn windows_are_checked_and_keep_low_power_away() {
    use super::super::Protection;
    let (device, _file) = with_hole();
    let map = |offset, len| device.map_window(0, offset, len, Protection::Read);
    assert!(matches!(map(0xff0, 0x20), Err(VfioError::NotMappable { .. })), "into the hole");
    assert!(matches!(map(0x3ff0, 0x20), Err(VfioError::OutOfRegion { .. })));
    let window = map(0x3ff0, 0x10).unwrap();
    assert_eq!(window.read(8, Width::W64), Ok(0));
    assert!(window.read(9, Width::W8).is_ok() && window.read(9, Width::W16).is_err());
    assert!(window.write(0, Width::W8, 0).is_err());
    let asleep = |result: Result<(), DeviceError>| matches!(result, Err(DeviceError::Unsupported { .. }));
    assert!(asleep(device.enter_low_power()));
    drop(window);
    assert_eq!(device.core().power().windows, 0);
}

#[test]
fn a_device_without_interrupts_has_none() {
    let (device, _file) = with_hole();
    let irqs = device.irqs().unwrap();
    for kind in [IrqKind::IntX, IrqKind::Msi, IrqKind::MsiX, IrqKind::Error, IrqKind::Request] {
        assert_eq!(irqs.info(kind).count, 0);
        assert!(matches!(irqs.mask(kind, 0), Err(DeviceError::Unsupported { .. })));
        assert_eq!(irqs.disable(kind), Ok(()));
    }
    assert!(matches!(device.reset(), Err(DeviceError::Unsupported { .. })));
    assert_eq!(device.events().unwrap().take(), None);
}
