//! Registers, doorbells and configuration space.

use vfio_hal::bar::Width;
use vfio_hal::device::{Device, DeviceError};
use vfio_user_kit::Work;

use crate::model::*;

#[test]
fn a_register_access_reaches_the_model_in_one_piece() {
    let rig = Rig::new();
    for (width, value) in [
        (Width::W8, 0x11),
        (Width::W16, 0x2211),
        (Width::W32, 0x4433_2211),
        (Width::W64, 0x8877_6655_4433_2211),
    ] {
        rig.bar.write(SRC, width, value).unwrap();
        assert_eq!(rig.bar.read(SRC, width), Ok(value));
    }
    assert_eq!(rig.bar.read(SRC + 4, Width::W16), Ok(0x6655));
    let widths = rig.device.with_model(|model| model.accesses.clone()).unwrap();
    assert_eq!(widths, [1, 1, 2, 2, 4, 4, 8, 8, 2]);
}

#[test]
fn a_doorbell_does_not_reach_the_model_until_it_steps() {
    let rig = Rig::new();
    let bell = rig.bar.doorbell(GO).unwrap();
    bell.ring(7);
    assert_eq!(rig.bar.read(GO, Width::W32), Ok(7));
    rig.bar.write(SECOND_BELL, Width::W32, 9).unwrap();
    assert_eq!(rig.bar.read(SECOND_BELL, Width::W32), Ok(9));
    assert!(rig.device.with_model(|model| model.accesses.is_empty() && model.copies == 0).unwrap());
    assert_eq!(rig.stepper.step(), Work::Done);
    assert_eq!(rig.stepper.step(), Work::Idle);
    assert_eq!(rig.device.with_model(|model| model.rung), Some(7));
}

#[test]
fn a_doorbell_can_be_rung_while_the_model_is_busy() {
    let rig = Rig::new();
    let bell = rig.bar.doorbell(GO).unwrap();
    let done = rig.device.with_model(|_| {
        // The model is locked here, so this thread ends only if ringing does not wait for it.
        std::thread::spawn(move || bell.ring(3)).join().is_ok()
    });
    assert_eq!(done, Some(true));
    assert_eq!(rig.bar.read(GO, Width::W32), Ok(3));
}

#[test]
fn another_width_at_a_doorbell_is_the_models_business() {
    let rig = Rig::new();
    rig.ring(1);
    rig.bar.write(GO, Width::W64, 5).unwrap();
    assert_eq!(rig.bar.read(GO, Width::W32), Ok(1));
    assert_eq!(rig.device.with_model(|model| model.accesses.clone()), Some(vec![8]));
}

#[test]
fn what_the_model_refuses_reads_all_ones_and_is_counted() {
    let rig = Rig::new();
    assert_eq!(rig.bar.read(0x800, Width::W32), Ok(0xffff_ffff));
    rig.bar.write(0x800, Width::W16, 1).unwrap();
    assert_eq!(rig.device.refused_accesses(), 2);
    assert!(!rig.device.lost().is_lost());
    assert!(matches!(rig.bar.read(0x1000, Width::W8), Err(DeviceError::OutOfBar { .. })));
    assert!(matches!(rig.bar.read(2, Width::W32), Err(DeviceError::OutOfBar { .. })));
}

#[test]
fn bars_are_those_of_the_spec() {
    let rig = Rig::new();
    for (index, len) in [(0, 0x1000), (2, 64), (4, 0x1000)] {
        assert_eq!(rig.device.bar(index).unwrap().len(), len);
    }
    for index in [1, 3, 5, 6, 255] {
        assert_eq!(rig.device.bar(index).unwrap_err(), DeviceError::NoBar { index });
    }
}

#[test]
fn the_command_register_switches_memory_and_io() {
    let rig = Rig::new();
    let io = rig.device.bar(2).unwrap();
    io.write(0, Width::W32, 5).unwrap();
    rig.ring(4);
    rig.device.config_write(0x04, &1u16.to_le_bytes()).unwrap();
    rig.bar.write(SRC, Width::W32, 1).unwrap();
    rig.ring(9);
    assert_eq!(rig.bar.read(SRC, Width::W32), Ok(0xffff_ffff));
    assert_eq!(rig.bar.read(GO, Width::W32), Ok(0xffff_ffff));
    assert_eq!(io.read(0, Width::W32), Ok(5));
    rig.device.config_write(0x04, &2u16.to_le_bytes()).unwrap();
    assert_eq!(io.read(0, Width::W32), Ok(0xffff_ffff));
    assert_eq!(rig.bar.read(GO, Width::W32), Ok(4), "what was written meanwhile went nowhere");
    assert!(!rig.device.lost().is_lost());
}

#[test]
fn configuration_space_is_that_of_the_spec_and_ends() {
    let rig = Rig::new();
    let mut ids = [0; 4];
    rig.device.config_read(0, &mut ids).unwrap();
    assert_eq!(ids, [0x34, 0x12, 0xe9, 0x11]);
    for (offset, len) in [(4093, 4), (4096, 1), (u16::MAX, 2)] {
        let error = Err(DeviceError::ConfigRange { offset, len });
        assert_eq!(rig.device.config_read(offset, &mut vec![0; len.into()]), error);
        assert_eq!(rig.device.config_write(offset, &vec![0; len.into()]), error);
    }
}

#[test]
fn a_device_that_cannot_exist_is_refused() {
    use vfio_hal::backend::local::{LocalDevice, LocalOptions};
    use vfio_user_kit::*;
    struct Bad;
    impl DeviceModel for Bad {
        fn spec(&self) -> Spec {
            Spec { bars: vec![BarSpec { index: 0, size: 3, kind: BarKind::Io }], ..Spec::default() }
        }
        fn bar_read(&mut self, _: &mut Context<'_>, _: u8, _: u64, _: &mut [u8]) -> Result<(), AccessError> {
            Ok(())
        }
        fn bar_write(&mut self, _: &mut Context<'_>, _: u8, _: u64, _: &[u8]) -> Result<(), AccessError> {
            Ok(())
        }
        fn step(&mut self, _: &mut Context<'_>) -> Work {
            Work::Idle
        }
        fn reset(&mut self, _: &mut Context<'_>, _: ResetKind) {}
    }
    let error = LocalDevice::new("bad", Bad, LocalOptions::default()).unwrap_err();
    assert_eq!(error, SpecError::BarSize { index: 0, size: 3 });
}
