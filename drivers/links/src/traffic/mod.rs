//! Traffic made and judged here, without a kernel or a file.
//!
//! What it does: a generator makes UDP frames that say who they are, and a checker at the other end of whatever
//! carried them says which were lost, overtaken, doubled or damaged.
//! Key types: [`Generator`] with its [`GeneratorConfig`], [`Checker`], [`Sink`].
//! Neighbours: joined by [`split`](crate::split()) to one link; [`Impair`](crate::Impair) is what their tests put in
//! between; `checksum` also serves the packet socket.

mod checker;
pub(crate) mod checksum;
mod generator;
mod sink;
mod stamp;

pub use checker::Checker;
pub use generator::{FrameSize, Generator, GeneratorConfig, GeneratorError, MAX_FRAME_SIZE, MIN_FRAME_SIZE};
pub use sink::Sink;
