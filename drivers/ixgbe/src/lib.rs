//! A polled-mode driver for the Intel 82599, X540 and X550.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod desc;
mod eeprom;
mod hw;
mod link;
mod phy;
pub mod regs;
mod semaphore;

pub use eeprom::{NvmVersion, OptionRom};
pub use hw::{Chip, MODELS, Media, Model, VENDOR};
pub use link::{LinkConfig, Speeds};
pub use phy::{Identification, Module, ModuleKind, Text};
