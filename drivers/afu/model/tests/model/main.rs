//! The card as a raw client sees it: registers, memory, interrupts, and a clock that the test holds.

mod board;
mod lists;
mod loopback;
mod resets;
