//! Polled-mode driver for the Intel 82576 and I350.
#![no_std]
#![forbid(unsafe_code)]
