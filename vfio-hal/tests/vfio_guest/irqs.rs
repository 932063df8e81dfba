//! Interrupts.

use std::sync::Arc;
use std::time::Duration;

use vfio_hal::Device;
use vfio_hal::dma::DmaAccess;
use vfio_hal::irq::{EventFd, IrqKind, IrqSink};

use crate::edu::Edu;
use crate::kit;

#[test]
#[ignore = "runs in a guest: scripts/guest/guest run vfio"]
fn interrupts_by_message() {
    let edu = Edu::open("KIT_EDU");
    let space = kit::space(&[&edu.device]);
    let region = kit::memory(&space, 4096, DmaAccess::ReadWrite);
    let irqs = edu.device.irqs().expect("interrupts");
    let info = irqs.info(IrqKind::Msi);
    assert!(info.count == 1 && info.eventfd, "{info:?}");

    let event = Arc::new(EventFd::new().expect("eventfd"));
    let sink: Arc<dyn IrqSink> = event.clone();
    irqs.enable(IrqKind::Msi, 0, &[Some(sink)]).expect("enable");
    edu.raise(1);
    assert_eq!(event.wait(Duration::from_secs(5)), Ok(1));
    edu.acknowledge();
    edu.give_and_interrupt(region.bus(0).expect("inside").iova(), 64);
    assert_eq!(event.wait(Duration::from_secs(5)), Ok(1), "the DMA engine is done");
    edu.acknowledge();
    irqs.trigger(IrqKind::Msi, 0).expect("trigger");
    assert_eq!(event.take(), 1);
    irqs.disable(IrqKind::Msi).expect("disable");
    edu.raise(1);
    assert_eq!(event.wait(Duration::from_millis(300)), Ok(0));
    edu.acknowledge();
}
