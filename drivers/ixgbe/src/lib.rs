//! A polled-mode driver for the Intel 82599, X540 and X550.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod desc;
mod hw;
pub mod regs;

pub use hw::{Chip, MODELS, Media, Model, VENDOR};
