//! Interrupts on their way out.
//!
//! Key types: [`Pending`]: register accesses and steps only note a vector, and the model sends it at the end of the call.

use vfio_user_kit::IrqBus;

/// Vectors that fire at the end of the current call, each once.
#[derive(Default)]
pub(crate) struct Pending(u128);

impl Pending {
    /// Notes a vector. The card has fewer than 128.
    pub(crate) fn raise(&mut self, vector: u16) {
        self.0 |= 1u128.checked_shl(vector.into()).unwrap_or(0);
    }

    /// Sends what was noted, lowest first.
    pub(crate) fn send(&mut self, irq: &dyn IrqBus) {
        while self.0 != 0 {
            irq.msi(self.0.trailing_zeros());
            self.0 &= self.0 - 1;
        }
    }
}
