//! What a model NIC is plugged into.
//!
//! A device model ends at its MAC; here is the wire behind it. A wire is a [`Link`]: it takes whole Ethernet frames
//! (without FCS), gives whole frames, and knows nothing of a NIC. Links are small and are composed:
//!
//! ```
//! use pmd_links::{Checker, Generator, GeneratorConfig, Impair, ImpairConfig, Link, Probability, Sink, split};
//!
//! // A generator of 1,000 frames and a judge of what comes back, over a cable that loses one frame in ten.
//! let generator = Generator::new(&GeneratorConfig { count: Some(1_000), ..Default::default() })?;
//! let sink = Sink::verifying();
//! let verdict = sink.verdict();
//! let mut config = ImpairConfig::default();
//! config.rx.loss = Probability::new(0.1).unwrap();
//! let mut wire = Impair::new(split(generator, sink), &config);
//!
//! // A MAC that sends back what it receives.
//! let mut frame = Vec::new();
//! while !wire.exhausted() {
//!     if wire.receive(&mut frame, 0)? {
//!         let _ = wire.transmit(&frame, 0)?;
//!     }
//! }
//! assert_eq!(verdict.get().good, 1_000 - wire.impairments().get().rx_lost);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | a wire that | is |
//! |---|---|
//! | joins two MACs, also in two threads | [`pair()`] |
//! | returns what is sent | [`Loopback`] |
//! | makes traffic, judges traffic | [`Generator`], [`Sink`] (a [`Checker`] as a link) |
//! | plays a capture, writes a capture | [`PcapSource`], [`PcapSink`] |
//! | is an interface of the kernel | [`Tap`] (a new one), [`PacketSocket`] (any that is there) |
//! | joins a source and a drain | [`split()`] |
//! | spoils, counts or captures another | [`Impair`], [`Meter`], [`Tee`] |
//!
//! [`Spec`] reads all of them from a command line, [`PatchPanel`] opens what it read.
//!
//! Everything is driven by the caller's calls and clock ([`Nanos`]); no link has a thread. Counts are read through a
//! [`Watch`] from wherever the tool sits. Linux only, as the kit is.
#![forbid(unsafe_code)]

mod counters;
mod error;
mod impair;
mod kernel;
mod link;
mod loopback;
mod meter;
mod pair;
mod pcap;
mod queue;
mod spec;
mod split;
mod text;
mod traffic;

pub use counters::{Counts, Impairments, KernelDrops, Traffic, Verdict, Watch};
pub use error::{Errno, LinkError};
pub use impair::{Faults, Impair, ImpairConfig, PauseCycle, PauseSwitch, Probability};
pub use kernel::{PacketSocket, PacketSocketConfig, Tap, TapConfig};
pub use link::{Link, LinkStatus, Nanos, Sent};
pub use loopback::Loopback;
pub use meter::Meter;
pub use pair::{PairEnd, pair};
pub use pcap::{CaptureFormat, Epoch, PcapError, PcapSink, PcapSource, Replay, Tee};
pub use spec::{Accepted, Kind, Opened, PatchPanel, Spec, SpecError, Vdev};
pub use split::{Split, split};
pub use text::{PathEnd, Text, Word};
pub use traffic::{
    Checker, FrameSize, Generator, GeneratorConfig, GeneratorError, MAX_FRAME_SIZE, MIN_FRAME_SIZE, Sink,
};
