//! The buffer pool from the outside: buffers, chains, clones, bursts, caches, and whose memory lives how long.
#![cfg(not(loom))]

mod buffers;
mod bursts;
mod chains;
mod clones;
mod kit;
mod lifetimes;
mod random;
mod shapes;
