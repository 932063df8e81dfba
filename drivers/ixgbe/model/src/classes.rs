//! Traffic classes and pools: which of them a packet or a queue belongs to (datasheet 7.1.2.1, 7.2.1.2, 8.2.3.10).
//!
//! On receive the user priority of the tag chooses the class, and with it the packet buffer; on transmit the queue does. In
//! flow control frames classes have user priorities again.
//!
//! Neighbours: `rx` and `tx` sort by it, `flow_control` stops classes.

use pmd_ixgbe::regs::{MRQC, MTQC, PFVFTE, PFVTCTL, RTRUP2TC, RTTUP2TC};

use crate::regs::RegisterFile;

/// Traffic classes, and packet buffers.
pub(crate) const CLASSES: usize = 8;

fn map(bits: u32, priority: usize) -> usize {
    (bits >> (3 * priority) & 7) as usize
}

/// The class of a received packet by its tag; 0 unless receive is divided into classes.
pub(crate) fn received(regs: &RegisterFile, tag: Option<u16>) -> usize {
    let divided = matches!(regs.get::<MRQC>().mrqe(), 2..=5 | 12 | 13);
    if divided { map(regs.get::<RTRUP2TC>().bits(), usize::from(tag.unwrap_or(0) >> 13)) } else { 0 }
}

/// The user priorities that receive maps to a class, a bit each.
pub(crate) fn priorities(regs: &RegisterFile, class: usize) -> u8 {
    let bits = regs.get::<RTRUP2TC>().bits();
    (0..8).filter(|priority| map(bits, *priority) == class).fold(0, |set, priority| set | 1 << priority)
}

/// The transmit class of a user priority.
pub(crate) fn of_priority(regs: &RegisterFile, priority: usize) -> usize {
    map(regs.get::<RTTUP2TC>().bits(), priority)
}

/// The class of a transmit queue (7.2.1.2.1): with eight classes the first two have 32 queues each, the next two 16, the
/// others 8; with four 64, 32, 16 and 16; with pools each pool has a queue for each class.
pub(crate) fn of_queue(regs: &RegisterFile, queue: usize) -> usize {
    let control = regs.get::<MTQC>();
    match (control.rt_ena(), control.vt_ena(), control.num_tc_or_q()) {
        (true, true, 3) => queue % 8,
        (true, true, 2) => queue % 4,
        (true, false, 3) => match queue {
            0..64 => queue / 32,
            64..96 => queue / 16 - 2,
            _ => (queue / 8).min(15) - 8,
        },
        (true, false, 2) => match queue {
            0..64 => 0,
            64..96 => 1,
            _ => (queue / 16).min(7) - 4,
        },
        _ => 0,
    }
}

/// The pool of a transmit queue; `None` without pools.
pub(crate) fn pool_of_queue(regs: &RegisterFile, queue: usize) -> Option<usize> {
    let control = regs.get::<MTQC>();
    if !regs.get::<PFVTCTL>().vt_ena() || !control.vt_ena() {
        return None;
    }
    Some(match (control.rt_ena(), control.num_tc_or_q()) {
        (true, 3) => queue / 8,
        (true, _) | (false, 1) => queue / 4,
        _ => queue / 2,
    })
}

/// Whether a transmit queue's pool may send (PFVFTE).
pub(crate) fn may_send(regs: &RegisterFile, queue: usize) -> bool {
    pool_of_queue(regs, queue).is_none_or(|pool| regs.at::<PFVFTE>(pool / 32).bits() >> (pool % 32) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_divided_as_the_datasheet_says() {
        let mut regs = RegisterFile::new();
        regs.set(MTQC::default().with_rt_ena(true).with_num_tc_or_q(3));
        let firsts = [0, 32, 64, 80, 96, 104, 112, 120];
        for (class, first) in firsts.into_iter().enumerate() {
            assert_eq!(of_queue(&regs, first), class);
            let last = firsts.get(class + 1).map_or(127, |next| next - 1);
            assert_eq!(of_queue(&regs, last), class);
        }
        regs.set(MTQC::default().with_rt_ena(true).with_num_tc_or_q(2));
        assert_eq!(
            [0, 63, 64, 95, 96, 111, 112, 127].map(|queue| of_queue(&regs, queue)),
            [0, 0, 1, 1, 2, 2, 3, 3]
        );
        regs.set(MTQC::default());
        assert_eq!(of_queue(&regs, 127), 0);
    }

    #[test]
    fn pools_send_only_if_allowed() {
        let mut regs = RegisterFile::new();
        assert!(may_send(&regs, 5), "there are no pools");
        regs.set(PFVTCTL::default().with_vt_ena(true));
        regs.set(MTQC::default().with_vt_ena(true).with_num_tc_or_q(2));
        assert!(!may_send(&regs, 5));
        regs.set(PFVFTE::new(1 << 2));
        assert!(may_send(&regs, 5) && !may_send(&regs, 6));
    }
}
