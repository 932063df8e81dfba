//! A driver for FPGA cards with a device feature list (DFL): management engine, ports, accelerators.
//!
//! [`regs`], [`guid`] and [`ids`] are the tables of the card, which the device model beside it is made with too.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod guid;
pub mod ids;
pub mod regs;
