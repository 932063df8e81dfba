//! The driver against a board that answers as the datasheet says, register by register. What a device does with packets is
//! QEMU's to tell: `scripts/bare-metal`.

mod board;
mod control;
mod inplace;
mod interrupts;
mod life;
mod packets;
mod probe;
mod start_fails;
mod vanish;
