//! Which vector speaks of what, and when.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use pmd_igb::regs::{EIAC, EIAM, EIMS, GPIE, IMS, IVAR, IVAR_MISC};
use vfio_hal::irq::IrqSink;
use vfio_hal::pmd::PortError;

use crate::board::{Board, I350, queues, small};

#[derive(Default)]
struct Count(AtomicU32);

impl IrqSink for Count {
    fn fire(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn each_queue_has_a_vector_and_all_else_the_first() {
    let board = Board::new();
    let started = board.start(queues(16, 1));
    for queue in 0..16usize {
        let ivar: IVAR = board.get(queue % 8);
        let entry = if queue < 8 {
            (ivar.rx_low(), ivar.rx_low_valid())
        } else {
            (ivar.rx_high(), ivar.rx_high_valid())
        };
        assert_eq!(entry, (queue as u32 + 1, true), "queue {queue}");
    }
    board.stop(started);

    let board = Board::of(I350);
    let started = board.start(queues(8, 1));
    for queue in 0..8usize {
        let ivar: IVAR = board.get(queue / 2);
        let low = queue % 2 == 0;
        let entry =
            if low { (ivar.rx_low(), ivar.rx_low_valid()) } else { (ivar.rx_high(), ivar.rx_high_valid()) };
        assert_eq!(entry, (queue as u32 + 1, true), "queue {queue}");
    }
    let misc: IVAR_MISC = board.get(0);
    assert_eq!((misc.other(), misc.other_valid(), misc.tcp_timer_valid()), (0, true, false));
    let gpie: GPIE = board.get(0);
    assert!(gpie.multiple_msix() && gpie.eiame() && gpie.nsicr());
    // A queue's vector masks itself, the other one stays.
    assert_eq!((board.get::<EIAC>(0).vectors(), board.get::<EIAM>(0).vectors()), (0x1ff, 0x1fe));
    assert_eq!((board.get::<EIMS>(0).bits(), board.get::<IMS>(0).bits()), (0, 0), "all are masked");
    board.stop(started);
}

#[test]
fn a_queue_is_armed_and_disarmed() {
    let board = Board::new();
    let mut started = board.start(queues(3, 1));
    let count = Arc::new(Count::default());
    started.port.set_rx_interrupt(2, Some(count.clone())).unwrap();
    started.rx[2].arm().unwrap();
    assert_eq!(board.get::<EIMS>(0).vectors(), 1 << 3);
    assert!(board.chip.interrupts().fire(3));
    assert!(!board.chip.interrupts().fire(2), "nobody listens there");
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    started.rx[2].disarm().unwrap();
    assert_eq!(board.get::<EIMS>(0).vectors(), 0);
    board.stop(started);
    assert_eq!(board.chip.interrupts().enabled(), 0, "a stop lets go of all sinks");
    assert_eq!(Arc::strong_count(&count), 1);
}

#[test]
fn a_queue_without_a_vector_or_without_being_is_an_error() {
    let board = Board::new();
    let mut started = board.start(queues(16, 1));
    let sink = || -> Option<Arc<dyn IrqSink>> { Some(Arc::new(Count::default())) };
    // Ten vectors: the first nine queues.
    started.port.set_rx_interrupt(8, sink()).unwrap();
    let error = started.port.set_rx_interrupt(9, sink()).unwrap_err();
    assert!(matches!(error, PortError::Unsupported { .. }), "{error}");
    let error = started.port.set_rx_interrupt(16, sink()).unwrap_err();
    assert!(matches!(error, PortError::OutOfRange { value: 16, min: 0, max: 15, .. }), "{error}");
    board.stop(started);
}

#[test]
fn changes_of_the_link_fire_the_first_vector() {
    let board = Board::new();
    let mut started = board.start(small());
    let count = Arc::new(Count::default());
    started.port.set_link_interrupt(Some(count.clone())).unwrap();
    assert!(board.get::<IMS>(0).lsc());
    assert_eq!(board.get::<EIMS>(0).vectors(), 1);
    board.link_up();
    assert!(board.chip.interrupts().fire(0));
    assert!(started.port.service_link().unwrap().up);
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    started.port.set_link_interrupt(None).unwrap();
    assert!(!board.get::<IMS>(0).lsc());
    assert_eq!(board.get::<EIMS>(0).vectors(), 0);
    board.stop(started);
}
