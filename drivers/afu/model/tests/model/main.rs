//! The card as a raw client sees it: registers, memory, interrupts, and a clock that the test holds.

mod board;
mod climate;
mod clocks;
mod counters;
mod exerciser;
mod hostile;
mod lists;
mod loopback;
mod reconfigure;
mod resets;
mod streams;
