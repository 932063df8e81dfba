//! Capture files as wires.
//!
//! What it does: plays a capture into a MAC, and records what a MAC sends, or what crosses any link.
//! Key types: [`PcapSource`], [`PcapSink`], [`Tee`], [`PcapError`].
//! Neighbours: the halves of a [`split`](crate::split()); `reader` knows the file formats (through the crate
//! pcap-parser, which is fuzzed and streams), `writer` the one format we write.

mod error;
mod reader;
mod sink;
mod source;
mod tee;
mod writer;

pub use error::PcapError;
pub use sink::PcapSink;
pub use source::{PcapSource, Replay};
pub use tee::Tee;
pub(crate) use writer::writable;
pub use writer::{CaptureFormat, Epoch};
