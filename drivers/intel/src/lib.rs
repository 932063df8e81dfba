//! What Intel's server NICs have in common.
#![no_std]
#![forbid(unsafe_code)]
