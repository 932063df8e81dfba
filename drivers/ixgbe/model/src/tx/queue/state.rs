//! A transmit queue's part of the device's state: its ring, the packet that it gathers or sends, what it has still to report.

use super::{FETCH, Report, TxQueue};
use crate::state::{Reader, State, StateError, Writer, check, state, within};

state!(Report { index, words });

impl State for TxQueue {
    fn save(&self, to: &mut Writer) {
        let TxQueue {
            number,
            enabled,
            halted,
            base,
            len,
            next,
            head,
            tail,
            threshold,
            head_address,
            contexts,
            packet,
            ready,
            holding,
            frame,
            asked,
            due,
            flush_at,
            rate_divisor,
            not_before,
            reported,
            fetched,
            fetched_from,
            fetched_to,
        } = self;
        number.save(to);
        [*enabled, *halted, *holding, *reported].save(to);
        base.save(to);
        [*len, *next, *head, *tail].save(to);
        (*threshold, *head_address).save(to);
        contexts.save(to);
        packet.save(to);
        ready.save(to);
        // What is left in the buffer of a frame that went is nobody's.
        if *holding {
            frame.save(to)
        } else {
            Vec::<u8>::new().save(to)
        }
        asked.save(to);
        due.save(to);
        [*flush_at, *not_before].save(to);
        rate_divisor.save(to);
        fetched[*fetched_from..*fetched_to].to_vec().save(to);
    }

    fn load(from: &mut Reader<'_>) -> Result<TxQueue, StateError> {
        let mut queue = TxQueue::new(State::load(from)?);
        [queue.enabled, queue.halted, queue.holding, queue.reported] = State::load(from)?;
        queue.base = State::load(from)?;
        [queue.len, queue.next, queue.head, queue.tail] = State::load(from)?;
        (queue.threshold, queue.head_address) = State::load(from)?;
        queue.contexts = State::load(from)?;
        queue.packet = State::load(from)?;
        queue.ready = State::load(from)?;
        queue.frame = State::load(from)?;
        queue.asked = State::load(from)?;
        queue.due = State::load(from)?;
        [queue.flush_at, queue.not_before] = State::load(from)?;
        queue.rate_divisor = State::load(from)?;
        let fetched = Vec::<[u64; 2]>::load(from)?;
        check(fetched.len() <= FETCH, "more transmit descriptors at hand than are fetched")?;
        queue.fetched_to = fetched.len();
        queue.fetched[..fetched.len()].copy_from_slice(&fetched);
        Ok(queue)
    }
}

impl TxQueue {
    /// Checks what came from outside.
    pub(crate) fn sound(&self, number: usize) -> Result<(), StateError> {
        check(self.number == number, "a transmit queue at the place of another")?;
        let inside = [self.next, self.head, self.tail].into_iter().all(|index| within(index, self.len));
        check(inside && self.len <= 1 << 16, "a transmit ring's head or tail")?;
        let (at_hand, len) = (self.fetched_to - self.fetched_from, self.len as usize);
        check(at_hand <= len, "a transmit ring with more descriptors than it has")?;
        check(
            self.rate_divisor.is_none_or(|divisor| divisor < 1 << 24),
            "a rate limit that no register holds",
        )?;
        check(!self.holding || (13..=1 << 17).contains(&self.frame.len()), "a frame of no length")?;
        self.packet.sound(self.ready)
    }
}
