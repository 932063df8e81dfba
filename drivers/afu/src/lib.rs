//! Driver for FPGA accelerators.
#![no_std]
#![forbid(unsafe_code)]
