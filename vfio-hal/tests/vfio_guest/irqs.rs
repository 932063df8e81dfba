//! Interrupts.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use vfio_hal::backend::vfio::DeviceEvent;
use vfio_hal::bar::Width;
use vfio_hal::dma::DmaAccess;
use vfio_hal::irq::{EventFd, IrqKind, IrqSink};
use vfio_hal::{Device, DeviceError};

use crate::edu::Edu;
use crate::kit;

const LONG: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_millis(300);

/// A device may signal a cause more than once.
fn fired(event: &EventFd) -> bool {
    event.wait(LONG).expect("poll") > 0
}

fn event() -> (Arc<EventFd>, Option<Arc<dyn IrqSink>>) {
    let event = Arc::new(EventFd::new().expect("eventfd"));
    (event.clone(), Some(event))
}

#[test]
#[ignore = "runs in a guest: scripts/guest/guest run vfio"]
fn interrupts_by_message() {
    let edu = Edu::open("KIT_EDU");
    let space = kit::space(&[&edu.device]);
    let region = kit::memory(&space, 4096, DmaAccess::ReadWrite);
    let irqs = edu.device.irqs().expect("interrupts");
    let info = irqs.info(IrqKind::Msi);
    assert!(info.count == 1 && info.eventfd && !info.maskable, "{info:?}");
    assert_eq!(irqs.info(IrqKind::MsiX).count, 0);

    let (event, sink) = event();
    irqs.enable(IrqKind::Msi, 0, &[sink]).expect("enable");
    edu.raise(1);
    assert_eq!(event.wait(LONG), Ok(1));
    edu.acknowledge();
    edu.give_and_interrupt(region.bus(0).expect("inside").iova(), 64);
    // As a file, for whoever waits for many.
    let limit = Timespec { tv_sec: 5, tv_nsec: 0 };
    let file = event.as_fd();
    assert_eq!(poll(&mut [PollFd::new(&file, PollFlags::IN)], Some(&limit)), Ok(1));
    assert_eq!(event.take(), 1, "the DMA engine is done");
    edu.acknowledge();

    let unsupported = |result: Result<(), DeviceError>| {
        assert!(matches!(result, Err(DeviceError::Unsupported { .. })), "{result:?}")
    };
    unsupported(irqs.mask(IrqKind::Msi, 0));
    unsupported(irqs.unmask(IrqKind::Msi, 0));
    unsupported(irqs.enable(IrqKind::MsiX, 0, &[None]));
    unsupported(irqs.trigger(IrqKind::Request, 0));
    assert!(matches!(irqs.mask(IrqKind::Msi, 1), Err(DeviceError::RegisterIndex { index: 1, count: 1, .. })));
    // One way at a time.
    let (_, pin) = self::event();
    unsupported(irqs.enable(IrqKind::IntX, 0, &[pin]));

    irqs.trigger(IrqKind::Msi, 0).expect("trigger");
    assert_eq!(event.take(), 1);
    irqs.disable(IrqKind::Msi).expect("disable");
    irqs.disable(IrqKind::Msi).expect("again");
    edu.raise(1);
    assert_eq!(event.wait(SHORT), Ok(0));
    edu.acknowledge();
    unsupported(irqs.trigger(IrqKind::Msi, 0));
}

#[test]
#[ignore = "runs in a guest: scripts/guest/guest run vfio"]
fn interrupts_by_pin() {
    let edu = Edu::open("KIT_EDU");
    let irqs = edu.device.irqs().expect("interrupts");
    let info = irqs.info(IrqKind::IntX);
    assert!(info.count == 1 && info.eventfd && info.maskable && info.automasked, "{info:?}");
    let (event, sink) = event();
    irqs.enable(IrqKind::IntX, 0, &[sink]).expect("enable");

    edu.raise(1);
    assert_eq!(event.wait(LONG), Ok(1));
    assert_eq!(event.wait(SHORT), Ok(0), "it masked itself");
    // Still asserted: unmasking it delivers it again.
    irqs.unmask(IrqKind::IntX, 0).expect("unmask");
    assert_eq!(event.wait(LONG), Ok(1));
    edu.acknowledge();
    irqs.unmask(IrqKind::IntX, 0).expect("unmask");
    assert_eq!(event.wait(SHORT), Ok(0));

    irqs.mask(IrqKind::IntX, 0).expect("mask");
    edu.raise(1);
    assert_eq!(event.wait(SHORT), Ok(0), "masked");
    irqs.unmask(IrqKind::IntX, 0).expect("unmask");
    assert_eq!(event.wait(LONG), Ok(1));
    edu.acknowledge();

    // An eventfd unmasks it, without a call.
    let resample = EventFd::new().expect("eventfd");
    edu.device.unmask_intx_by(Some(&resample)).expect("resample");
    resample.fire();
    assert_eq!(event.wait(SHORT), Ok(0));
    edu.raise(1);
    assert_eq!(event.wait(LONG), Ok(1));
    resample.fire();
    assert_eq!(event.wait(LONG), Ok(1), "still asserted");
    edu.acknowledge();
    edu.device.unmask_intx_by(None).expect("no resample");
    irqs.disable(IrqKind::IntX).expect("disable");
}

/// Registers of the 82576: interrupt cause set, mask set and clear, general purpose interrupt enable, cause (datasheet
/// 8.8).
const EICS: u64 = 0x1520;
const EIMS: u64 = 0x1524;
const EIMC: u64 = 0x1528;
const GPIE: u64 = 0x1514;
const EICR: u64 = 0x1580;

#[test]
#[ignore = "runs in a guest: scripts/guest/guest run vfio"]
fn interrupts_of_several_vectors() {
    let igb = kit::open("KIT_IGB");
    let bar = igb.bar(0).expect("registers");
    let write = |offset, value| bar.write(offset, Width::W32, value).expect("a register");
    // A cause that is set already does not interrupt again.
    let cause = |bits| {
        write(EICR, 0x1f);
        write(EIMS, 0x1f);
        write(EICS, bits);
    };
    let irqs = igb.irqs().expect("interrupts");
    let info = irqs.info(IrqKind::MsiX);
    println!("{info:?}");
    assert!(info.count >= 4 && info.eventfd);

    // Vectors 1 and 3, with a hole between.
    let ((one, first), (three, third)) = (event(), event());
    irqs.enable(IrqKind::MsiX, 1, &[first, None, third]).expect("enable");
    // Multiple MSI-X, and every vector of the device on.
    write(GPIE, 1 << 4);
    cause(1 << 1);
    assert!(fired(&one) && three.take() == 0);
    cause(1 << 3 | 1 << 2);
    assert!(fired(&three) && one.take() == 0);

    // One comes and goes without disturbing the others.
    let (two, second) = event();
    irqs.enable(IrqKind::MsiX, 2, &[second]).expect("one more");
    cause(1 << 2);
    assert!(fired(&two));
    irqs.enable(IrqKind::MsiX, 2, &[None]).expect("one less");
    two.take();
    cause(1 << 1 | 1 << 2 | 1 << 3);
    assert!(fired(&one) && fired(&three));
    assert_eq!(two.take(), 0);
    // Beyond those that there were.
    let (last, sink) = event();
    let end = info.count.min(5) - 1;
    irqs.enable(IrqKind::MsiX, end, &[sink]).expect("a higher one");
    irqs.trigger(IrqKind::MsiX, end).expect("trigger");
    assert_eq!(last.take(), 1);

    // The kernel masks no message; the device does.
    assert!(matches!(irqs.mask(IrqKind::MsiX, 1), Err(DeviceError::Unsupported { .. })));
    write(EICR, 0x1f);
    write(EIMC, 0x1f);
    write(EICS, 1 << 1);
    assert_eq!(one.wait(SHORT), Ok(0));
    let beyond = irqs.enable(IrqKind::MsiX, info.count, &[None]);
    assert!(matches!(beyond, Err(DeviceError::RegisterIndex { .. })), "{beyond:?}");
    irqs.disable(IrqKind::MsiX).expect("disable");
}

#[test]
#[ignore = "runs in a guest: scripts/guest/guest run vfio"]
fn error_and_request_events() {
    let igb = kit::open("KIT_IGB");
    let events = igb.events().expect("events");
    assert_eq!(events.take(), None);
    let irqs = igb.irqs().expect("interrupts");
    for (kind, event) in
        [(IrqKind::Error, DeviceEvent::Error), (IrqKind::Request, DeviceEvent::ReleaseRequested)]
    {
        assert_eq!(irqs.info(kind).count, 1);
        irqs.trigger(kind, 0).expect("trigger");
        let limit = Timespec { tv_sec: 5, tv_nsec: 0 };
        assert_eq!(poll(&mut [PollFd::new(&events, PollFlags::IN)], Some(&limit)), Ok(1));
        assert_eq!(events.wait(LONG), Ok(Some(event)));
        assert_eq!(events.take(), None);
    }
    assert!(!igb.lost().is_lost());
    // A conventional device reports no errors, but can be asked for.
    let edu = kit::open("KIT_EDU");
    let events = edu.events().expect("events");
    assert_eq!(edu.irqs().expect("interrupts").info(IrqKind::Error).count, 0);
    edu.irqs().expect("interrupts").trigger(IrqKind::Request, 0).expect("trigger");
    assert_eq!(events.take(), Some(DeviceEvent::ReleaseRequested));
}
