//! The FPGA management engine.

pub mod error;
pub mod header;
pub mod perf;
pub mod power;
pub mod pr;
pub mod thermal;
