//! The SFP+ module: what its memory says, and the two-wire bus that reads it.
//!
//! - [`memory`]: the pages at A0h and A2h (SFF-8472).
//! - [`i2c`]: the bus slave behind the pins of I2CCTL.

pub(crate) mod i2c;
pub(crate) mod memory;
