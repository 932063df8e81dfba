//! Reset, loss, panics and time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use vfio_hal::Clock;
use vfio_hal::backend::local::{LocalOptions, Ran};
use vfio_hal::bar::Width;
use vfio_hal::device::{Device, DeviceError};
use vfio_hal::dma::memory::HeapMemory;
use vfio_hal::dma::{DmaAccess, DmaError, Region};
use vfio_user_kit::{DmaFault, Work};

use crate::model::*;

#[test]
fn a_reset_resets_the_model_and_stops_its_dma() {
    let rig = Rig::new();
    rig.copy(rig.src.iova().0, rig.dst.iova().0, 8).unwrap();
    rig.device.reset().unwrap();
    assert_eq!(rig.bar.read(SRC, Width::W64), Ok(0), "registers answer, with their first values");
    assert_eq!(rig.bar.read(GO, Width::W32), Ok(0));
    assert_eq!(rig.device.with_model(|model| model.resets), Some(1));
    let mut command = [0; 2];
    rig.device.config_read(0x04, &mut command).unwrap();
    assert_eq!(u16::from_le_bytes(command), 0b011, "bus mastering is off, the rest was put back");
    let src = rig.src.iova().0;
    assert_eq!(rig.copy(src, rig.dst.iova().0, 8), Err(DmaFault::NotBusMaster { iova: src }));
}

#[test]
fn the_bit_in_configuration_space_resets_too() {
    let rig = Rig::new();
    rig.prepare(1, 2, 3);
    let mut at = [0];
    let (mut here, mut id) = (0x34u16, [0]);
    // Walks to the PCI Express capability.
    loop {
        rig.device.config_read(here, &mut at).unwrap();
        rig.device.config_read(at[0].into(), &mut id).unwrap();
        if id[0] == 0x10 {
            break;
        }
        here = u16::from(at[0]) + 1;
    }
    let control = u16::from(at[0]) + 8;
    rig.device.config_write(control, &(1u16 << 15).to_le_bytes()).unwrap();
    assert_eq!(rig.device.with_model(|model| (model.resets, model.registers[0])), Some((1, 0)));
}

#[test]
fn a_killed_device_is_gone_in_every_way() {
    let rig = Rig::new();
    let bell = rig.bar.doorbell(GO).unwrap();
    rig.prepare(rig.src.iova().0, rig.dst.iova().0, 8);
    rig.ring(1);
    rig.device.kill();
    assert!(rig.device.lost().is_lost());
    assert_eq!(rig.bar.read(SRC, Width::W64), Ok(u64::MAX));
    rig.bar.write(SRC, Width::W64, 5).unwrap();
    bell.ring(2);
    assert_eq!(rig.stepper.step(), Work::Idle);
    assert_eq!(
        rig.device.with_model(|model| (model.copies, model.registers[0])),
        Some((0, rig.src.iova().0))
    );
    let lost = Err(DeviceError::Lost);
    assert_eq!(rig.device.config_read(0, &mut [0; 4]), lost);
    assert_eq!(rig.device.config_write(4, &[0]), lost);
    assert_eq!(rig.device.reset(), lost);
    let refused = Region::alloc(&rig.space, HeapMemory::new(1).unwrap(), DmaAccess::Read).unwrap_err();
    assert_eq!(refused, DmaError::Device(DeviceError::Lost));
}

#[test]
fn what_a_killed_device_had_is_leaked_and_counted() {
    let Rig { device, space, src, dst, .. } = Rig::new();
    device.kill();
    drop((src, dst));
    let stats = space.stats();
    assert_eq!((stats.leaked_regions, stats.leaked_bytes, stats.regions), (2, 0x8000, 0));
}

#[test]
fn a_model_that_panics_in_a_register_access_is_a_lost_device() {
    let rig = Rig::new();
    assert_eq!(rig.bar.read(TRAPDOOR, Width::W32), Ok(0xffff_ffff));
    assert!(rig.device.lost().is_lost());
    assert_eq!(rig.bar.read(SRC, Width::W32), Ok(0xffff_ffff));
    assert_eq!(rig.stepper.step(), Work::Idle);
    assert_eq!(rig.device.with_model(|_| ()), None);
    assert_eq!(rig.device.reset(), Err(DeviceError::Lost));
}

#[test]
fn a_model_that_panics_in_a_step_loses_the_device_at_once() {
    let rig = Rig::new();
    rig.device.with_model(|model| model.panic_in_step = true);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| rig.stepper.step()));
    assert!(result.is_err(), "who steps is told");
    assert!(rig.device.lost().is_lost());
    assert_eq!(rig.stepper.step(), Work::Idle);
    // Unmapping does not wait for a step that will never end.
    let Rig { space, src, dst, .. } = rig;
    drop((src, dst));
    assert_eq!(space.stats().regions, 0);
}

#[test]
fn running_until_idle_counts_the_steps_and_stops_at_the_limit() {
    let rig = Rig::new();
    assert_eq!(rig.stepper.run_until_idle(10), Ran { steps: 0, idle: true });
    rig.ring(1);
    assert_eq!(rig.stepper.run_until_idle(0), Ran { steps: 0, idle: false });
    assert_eq!(rig.stepper.run_until_idle(1), Ran { steps: 1, idle: false });
    rig.ring(2);
    assert_eq!(rig.stepper.run_until_idle(10), Ran { steps: 1, idle: true });
}

/// A clock that a test moves.
#[derive(Default)]
struct Hand(AtomicU64);

impl Clock for Hand {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::SeqCst))
    }

    fn wait(&self, time: Duration) {
        self.0.fetch_add(time.as_nanos() as u64, Ordering::SeqCst);
    }
}

#[test]
fn the_models_time_is_the_clocks_since_power_on() {
    let clock = Arc::new(Hand::default());
    clock.wait(Duration::from_secs(1000));
    let rig = Rig::with(LocalOptions::default().clock(clock.clone()));
    let seen = || rig.device.with_model(|model| model.seen).unwrap();
    rig.stepper.step();
    assert_eq!(seen(), Duration::ZERO);
    clock.wait(Duration::from_micros(3));
    rig.bar.read(SRC, Width::W32).unwrap();
    assert_eq!(seen(), Duration::from_micros(3));
}
