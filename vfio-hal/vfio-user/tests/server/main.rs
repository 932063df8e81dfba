//! The server, seen through its socket.

#[path = "../common/mod.rs"]
mod common;

mod commands;
mod config;
mod dma;
mod doorbells;
mod hooks;
mod hostile;
mod interrupts;
mod killed;
mod life;
mod migration;
mod regions;
mod segments;
mod table;
