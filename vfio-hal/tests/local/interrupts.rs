//! Interrupts from the model to the driver.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use vfio_hal::bar::Width;
use vfio_hal::device::{Device, DeviceError};
use vfio_hal::irq::{EventFd, IrqKind, IrqSink, Irqs};

use crate::model::*;

#[derive(Default)]
struct Count(AtomicU32);

impl IrqSink for Count {
    fn fire(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Count {
    fn get(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

fn sinks(counts: &[&Arc<Count>]) -> Vec<Option<Arc<dyn IrqSink>>> {
    counts.iter().map(|count| Some((*count).clone() as Arc<dyn IrqSink>)).collect()
}

fn irqs(rig: &Rig) -> &dyn Irqs {
    rig.device.irqs().unwrap()
}

/// One copy, which fires vector 0 and asserts the pin.
fn work(rig: &Rig) {
    rig.copy(rig.src.iova().0, rig.dst.iova().0, 8).unwrap();
}

#[test]
fn info_says_what_there_is() {
    let rig = Rig::new();
    let count = |kind| irqs(&rig).info(kind).count;
    let kinds = [IrqKind::IntX, IrqKind::Msi, IrqKind::MsiX, IrqKind::Error, IrqKind::Request];
    assert_eq!(kinds.map(count), [1, 2, 4, 1, 1]);
    assert!(irqs(&rig).info(IrqKind::IntX).automasked);
    assert!(irqs(&rig).info(IrqKind::MsiX).maskable && !irqs(&rig).info(IrqKind::Error).maskable);
}

#[test]
fn an_armed_vector_fires_and_others_are_left_alone() {
    for kind in [IrqKind::MsiX, IrqKind::Msi] {
        let rig = Rig::new();
        let (zero, one) = (Arc::new(Count::default()), Arc::new(Count::default()));
        work(&rig);
        irqs(&rig).enable(kind, 0, &sinks(&[&zero, &one])).unwrap();
        assert_eq!(zero.get(), 0, "what was before is lost");
        work(&rig);
        assert_eq!((zero.get(), one.get()), (1, 0));
        // One subindex away, the other stays.
        irqs(&rig).enable(kind, 0, &[None]).unwrap();
        work(&rig);
        irqs(&rig).trigger(kind, 1).unwrap();
        assert_eq!((zero.get(), one.get()), (1, 1));
        irqs(&rig).disable(kind).unwrap();
        assert!(irqs(&rig).trigger(kind, 1).is_err());
        work(&rig);
        assert_eq!((zero.get(), one.get()), (1, 1));
    }
}

#[test]
fn a_masked_vector_pends_and_fires_once_when_unmasked() {
    for kind in [IrqKind::MsiX, IrqKind::Msi] {
        let rig = Rig::new();
        let zero = Arc::new(Count::default());
        irqs(&rig).enable(kind, 0, &sinks(&[&zero])).unwrap();
        irqs(&rig).mask(kind, 0).unwrap();
        work(&rig);
        work(&rig);
        assert_eq!(zero.get(), 0);
        irqs(&rig).unmask(kind, 0).unwrap();
        assert_eq!(zero.get(), 1);
        irqs(&rig).unmask(kind, 0).unwrap();
        assert_eq!(zero.get(), 1);
    }
}

#[test]
fn the_table_in_the_bar_masks_too() {
    let rig = Rig::new();
    let zero = Arc::new(Count::default());
    irqs(&rig).enable(IrqKind::MsiX, 0, &sinks(&[&zero])).unwrap();
    let table = rig.device.bar(4).unwrap();
    assert_eq!(table.read(12, Width::W32), Ok(0), "enabling unmasked the vector");
    assert_eq!(table.read(28, Width::W32), Ok(1), "and no other");
    table.write(12, Width::W32, 1).unwrap();
    work(&rig);
    assert_eq!((zero.get(), table.read(0x800, Width::W64)), (0, Ok(1)));
    table.write(12, Width::W32, 0).unwrap();
    assert_eq!((zero.get(), table.read(0x800, Width::W64)), (1, Ok(0)));
    // The rest of the BAR is the model's.
    assert_eq!(table.read(0x100, Width::W32), Ok(0xffff_ffff));
    assert_eq!(rig.device.refused_accesses(), 1);
    assert_eq!(table.read(12, Width::W16), Ok(0xffff), "the table takes words");
    assert_eq!(rig.device.refused_accesses(), 2);
}

#[test]
fn without_bus_mastering_no_message_arrives() {
    let rig = Rig::new();
    let zero = Arc::new(Count::default());
    irqs(&rig).enable(IrqKind::MsiX, 0, &sinks(&[&zero])).unwrap();
    rig.set_master(false);
    let _ = rig.copy(0, 0, 1);
    assert_eq!(zero.get(), 0);
    rig.set_master(true);
    work(&rig);
    assert_eq!(zero.get(), 1);
}

#[test]
fn the_pin_fires_once_and_again_after_unmasking_while_it_is_asserted() {
    let rig = Rig::new();
    let pin = Arc::new(Count::default());
    irqs(&rig).enable(IrqKind::IntX, 0, &sinks(&[&pin])).unwrap();
    work(&rig);
    work(&rig);
    assert_eq!(pin.get(), 1, "it masked itself");
    irqs(&rig).unmask(IrqKind::IntX, 0).unwrap();
    assert_eq!(pin.get(), 2, "the model still asserts it");
    irqs(&rig).mask(IrqKind::IntX, 0).unwrap();
    rig.device.reset().unwrap();
    irqs(&rig).unmask(IrqKind::IntX, 0).unwrap();
    assert_eq!(pin.get(), 2, "the reset took it back");
    rig.set_master(true);
    work(&rig);
    assert_eq!(pin.get(), 3);
    // Gone and asserted again, but the driver has not unmasked it.
    rig.device.reset().unwrap();
    rig.set_master(true);
    work(&rig);
    assert_eq!(pin.get(), 3);
    irqs(&rig).unmask(IrqKind::IntX, 0).unwrap();
    assert_eq!(pin.get(), 4);
}

#[test]
fn a_pin_that_is_asserted_already_fires_when_it_is_armed() {
    let rig = Rig::new();
    work(&rig);
    let pin = Arc::new(Count::default());
    irqs(&rig).enable(IrqKind::IntX, 0, &sinks(&[&pin])).unwrap();
    assert_eq!(pin.get(), 1);
}

#[test]
fn one_way_to_interrupt_at_a_time() {
    let rig = Rig::new();
    let count = Arc::new(Count::default());
    irqs(&rig).enable(IrqKind::Msi, 0, &sinks(&[&count])).unwrap();
    for kind in [IrqKind::IntX, IrqKind::MsiX] {
        let refused = irqs(&rig).enable(kind, 0, &sinks(&[&count]));
        assert!(matches!(refused, Err(DeviceError::Unsupported { .. })));
    }
    irqs(&rig).enable(IrqKind::Error, 0, &sinks(&[&count])).unwrap();
    irqs(&rig).disable(IrqKind::Msi).unwrap();
    irqs(&rig).enable(IrqKind::MsiX, 0, &sinks(&[&count])).unwrap();
    work(&rig);
    assert_eq!(count.get(), 1);
}

#[test]
fn vectors_that_do_not_exist_are_errors() {
    let rig = Rig::new();
    let count = Arc::new(Count::default());
    for (first, n) in [(4, 1), (3, 2), (0, 5), (u32::MAX, 1), (u32::MAX, 3)] {
        let many: Vec<&Arc<Count>> = vec![&count; n];
        let refused = irqs(&rig).enable(IrqKind::MsiX, first, &sinks(&many));
        assert!(matches!(refused, Err(DeviceError::RegisterIndex { count: 4, .. })), "{first} + {n}");
    }
    assert!(irqs(&rig).mask(IrqKind::MsiX, 4).is_err());
    assert!(irqs(&rig).unmask(IrqKind::Msi, 2).is_err());
    assert!(irqs(&rig).trigger(IrqKind::IntX, 1).is_err());
    assert!(irqs(&rig).mask(IrqKind::Error, 0).is_err(), "it has no mask");
    assert_eq!(irqs(&rig).enable(IrqKind::MsiX, 9, &[]), Ok(()), "nothing is asked for");
    assert!(irqs(&rig).enable(IrqKind::Msi, 0, &sinks(&[&count])).is_ok(), "and nothing was switched on");
}

#[test]
fn an_eventfd_is_a_sink_like_any_other() {
    let rig = Rig::new();
    let event = Arc::new(EventFd::new().unwrap());
    irqs(&rig).enable(IrqKind::MsiX, 0, &[Some(event.clone())]).unwrap();
    work(&rig);
    work(&rig);
    assert_eq!(event.wait(std::time::Duration::from_secs(5)), Ok(2));
}

#[test]
fn removal_can_be_requested() {
    let rig = Rig::new();
    let request = Arc::new(Count::default());
    rig.device.request_removal();
    irqs(&rig).enable(IrqKind::Request, 0, &sinks(&[&request])).unwrap();
    rig.device.request_removal();
    assert_eq!(request.get(), 1);
}
