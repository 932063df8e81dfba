//! The in-process backend, with a small model behind it.

mod dma;
mod interrupts;
mod life;
mod model;
mod own;
mod registers;
mod threads;
