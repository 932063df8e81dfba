//! The server, seen through its socket.

#[path = "../common/mod.rs"]
mod common;

mod commands;
mod dma;
mod doorbells;
mod hostile;
mod interrupts;
mod life;
mod migration;
mod regions;
mod segments;
