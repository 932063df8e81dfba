//! Rings: bounded queues between threads.
//!
//! Key types: [`mpmc::Mpmc`], [`spsc::Producer`] and [`spsc::Consumer`].

pub mod mpmc;
pub mod spsc;
