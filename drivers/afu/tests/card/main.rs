//! The driver against the model of the card, on a clock that the test holds: what an application sees, faults first.

mod bench;
mod board;
mod exerciser;
mod faults;
mod lists;
mod loopback;
mod pages;
mod reconfigure;
mod stream;
