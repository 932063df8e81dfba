//! A model of a DFL FPGA card.
#![forbid(unsafe_code)]
