//! The client against servers made of bytes.

mod asked;
#[path = "../common/mod.rs"]
mod common;
mod fake;
mod regions;
mod version;
mod wrong;
