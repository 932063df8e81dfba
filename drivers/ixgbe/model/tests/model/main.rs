//! The model as a raw client sees it: registers, memory, interrupts, a wire and a clock that the test holds.

mod board;
mod bring_up;
mod classes;
mod coalesce;
mod filters;
mod hostile;
mod interrupts;
mod offload;
mod packets;
mod receive;
mod state;
mod statistics;
mod streams;
mod time;
mod transmit;
mod verdicts;
