//! A port.

pub mod error;
pub mod header;
pub mod uint;
pub mod userclk;
