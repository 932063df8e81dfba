//! The reports that a transmit ring waits for.

use alloc::boxed::Box;

use super::REPORT_EVERY;

/// A run of descriptors that ends with one the device reports.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch {
    pub(super) last: u32,
    /// Every slot holds an unchained packet of the pool.
    pub(super) plain: bool,
}

/// Batches in the order of their reports. A batch has at least [`REPORT_EVERY`] descriptors, so twice as many
/// places as fit into the ring are always enough.
pub(super) struct Batches {
    places: Box<[Batch]>,
    first: u32,
    end: u32,
}

impl Batches {
    pub(super) fn new(size: u32) -> Batches {
        let places = (2 * size / REPORT_EVERY).next_power_of_two();
        Batches { places: (0..places).map(|_| Batch { last: 0, plain: true }).collect(), first: 0, end: 0 }
    }

    #[inline]
    pub(super) fn push(&mut self, batch: Batch) {
        let mask = self.places.len() - 1;
        if let Some(place) = self.places.get_mut(self.end as usize & mask) {
            *place = batch;
            self.end = self.end.wrapping_add(1);
        }
    }

    #[inline]
    pub(super) fn front(&self) -> Option<Batch> {
        if self.first == self.end {
            return None;
        }
        self.places.get(self.first as usize & (self.places.len() - 1)).copied()
    }

    pub(super) fn pop(&mut self) {
        self.first = self.first.wrapping_add(1);
    }

    pub(super) fn clear(&mut self) {
        self.first = self.end;
    }
}
