//! Interrupts by eventfd.

use std::sync::Arc;
use std::time::Duration;

use vfio_hal::Device;
use vfio_hal::device::DeviceError;
use vfio_hal::irq::{EventFd, IrqKind, IrqSink};

use crate::common::{Served, reg};
use crate::kit::{Toy, options};

const SOON: Duration = Duration::from_secs(20);

type Sink = Option<Arc<dyn IrqSink>>;

fn sinks<const N: usize>() -> ([Arc<EventFd>; N], [Sink; N]) {
    let fds = std::array::from_fn(|_| Arc::new(EventFd::new().unwrap()));
    let sinks = fds.clone().map(|fd: Arc<EventFd>| Some(fd as Arc<dyn IrqSink>));
    (fds, sinks)
}

#[test]
fn kinds_and_counts() {
    let served = Served::start();
    let toy = Toy::open(&served.path, &options());
    let irqs = toy.device.irqs().unwrap();
    let all = [IrqKind::IntX, IrqKind::Msi, IrqKind::MsiX, IrqKind::Error, IrqKind::Request];
    assert_eq!(all.map(|kind| irqs.info(kind).count), [1, 4, 8, 1, 1]);
    let pin = irqs.info(IrqKind::IntX);
    assert!(pin.eventfd && pin.maskable && pin.automasked);
    assert!(irqs.info(IrqKind::MsiX).maskable && !irqs.info(IrqKind::Error).maskable);
}

#[test]
fn messages_reach_their_vectors() {
    let served = Served::start();
    for kind in [IrqKind::Msi, IrqKind::MsiX] {
        let toy = Toy::open(&served.path, &options());
        let irqs = toy.device.irqs().unwrap();
        let (fds, mut sinks) = sinks::<4>();
        // A hole.
        sinks[2] = None;
        irqs.enable(kind, 0, &sinks).unwrap();
        for vector in [0, 1, 3] {
            assert_eq!(toy.act(reg::MSI, 0, vector), reg::DONE);
            assert_eq!(fds[vector as usize].wait(SOON), Ok(1), "{kind:?} {vector}");
        }
        assert_eq!(toy.act(reg::MSI, 0, 2), reg::DONE);
        assert!(fds.iter().all(|fd| fd.take() == 0));
        // One vector changes, the others keep what they have.
        irqs.enable(kind, 1, &[None]).unwrap();
        assert_eq!(toy.act(reg::MSI, 0, 1), reg::DONE);
        assert_eq!(toy.act(reg::MSI, 0, 0), reg::DONE);
        assert_eq!((fds[0].wait(SOON), fds[1].take()), (Ok(1), 0));
        irqs.disable(kind).unwrap();
        assert_eq!(toy.act(reg::MSI, 0, 0), reg::DONE);
        assert_eq!(fds[0].take(), 0);
    }
}

#[test]
fn masked_vectors_pend() {
    let served = Served::start();
    let toy = Toy::open(&served.path, &options());
    let irqs = toy.device.irqs().unwrap();
    let (fds, sinks) = sinks::<2>();
    irqs.enable(IrqKind::MsiX, 0, &sinks).unwrap();
    irqs.mask(IrqKind::MsiX, 1).unwrap();
    toy.act(reg::MSI, 0, 1);
    assert_eq!(fds[1].take(), 0);
    irqs.unmask(IrqKind::MsiX, 1).unwrap();
    assert_eq!(fds[1].wait(SOON), Ok(1));
    assert_eq!(
        irqs.mask(IrqKind::Error, 0),
        Err(DeviceError::Unsupported { what: "mask for that interrupt" })
    );
}

#[test]
fn the_pin_masks_itself() {
    let served = Served::start();
    let toy = Toy::open(&served.path, &options());
    let irqs = toy.device.irqs().unwrap();
    let ([fd], sinks) = sinks::<1>();
    irqs.enable(IrqKind::IntX, 0, &sinks).unwrap();
    toy.act(reg::ASSERT, 0, 0);
    assert_eq!(fd.wait(SOON), Ok(1));
    // Still asserted, so it fires again when it is unmasked.
    irqs.unmask(IrqKind::IntX, 0).unwrap();
    assert_eq!(fd.wait(SOON), Ok(1));
    toy.act(reg::DEASSERT, 0, 0);
    irqs.unmask(IrqKind::IntX, 0).unwrap();
    toy.read(reg::STATUS);
    assert_eq!(fd.take(), 0);
}

#[test]
fn software_fires_error_and_request() {
    let served = Served::start();
    let toy = Toy::open(&served.path, &options());
    let irqs = toy.device.irqs().unwrap();
    for kind in [IrqKind::Error, IrqKind::Request, IrqKind::MsiX] {
        let ([fd], sinks) = sinks::<1>();
        irqs.enable(kind, 0, &sinks).unwrap();
        irqs.trigger(kind, 0).unwrap();
        assert_eq!(fd.wait(SOON), Ok(1), "{kind:?}");
    }
}

#[test]
fn vectors_that_are_not_there_and_sinks_without_a_descriptor() {
    struct Call;
    impl IrqSink for Call {
        fn fire(&self) {}
    }
    let served = Served::start();
    let toy = Toy::open(&served.path, &options());
    let irqs = toy.device.irqs().unwrap();
    let (_fds, three) = sinks::<3>();
    let beyond = irqs.enable(IrqKind::MsiX, 6, &three);
    assert_eq!(beyond, Err(DeviceError::RegisterIndex { register: "MSI-X vector", index: 8, count: 8 }));
    assert!(irqs.enable(IrqKind::MsiX, u32::MAX, &three).is_err());
    let call = irqs.enable(IrqKind::MsiX, 0, &[Some(Arc::new(Call))]);
    assert!(matches!(call, Err(DeviceError::Unsupported { .. })), "{call:?}");
    assert!(irqs.trigger(IrqKind::Msi, 4).is_err());
    assert!(!toy.device.lost().is_lost());
}
