//! Links from a command line.
//!
//! What it does: reads `KIND[,KEY[=VALUE]]…`, such as `gen,size=imix,rate=1M,loss=0.01`, and opens what it says. What
//! is wrong is one line that names what is accepted.
//! Key types: [`Spec`] with its [`Kind`], [`SpecError`], [`Vdev`] (DPDK's `--vdev`), [`PatchPanel`] which opens, and
//! [`Opened`].
//! Neighbours: the only module that knows all the others; the `pmd` tool reads its options with it.

mod args;
mod error;
mod open;
mod parse;
mod vdev;

use std::path::PathBuf;

pub use error::{Accepted, SpecError};
pub use open::{Opened, PatchPanel};
pub use vdev::Vdev;

use crate::{CaptureFormat, GeneratorConfig, ImpairConfig, PacketSocketConfig, Replay, TapConfig};

/// A link that is described and not open yet. Made by [`str::parse`].
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// What is at the other end.
    pub kind: Kind,
    /// How bad the cable is.
    pub impair: Option<ImpairConfig>,
    /// Where to capture what the MAC sends and receives.
    pub tee: Option<PathBuf>,
}

/// What can be at the other end of a cable.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A generator to receive from, a sink to send to.
    Generate {
        /// What to generate.
        config: GeneratorConfig,
        /// Whether the sink judges every frame, or only counts.
        verify: bool,
    },
    /// A sink to send to, nothing to receive.
    Sink {
        /// Whether it judges every frame as a generator's, or only counts.
        verify: bool,
    },
    /// Capture files; where one of them is absent, nothing is received, or what is sent is counted and dropped.
    Pcap {
        /// What to play.
        rx: Option<PathBuf>,
        /// How to play it.
        replay: Replay,
        /// Where to write what is sent.
        tx: Option<PathBuf>,
        /// How to write it.
        format: CaptureFormat,
    },
    /// A TAP interface.
    Tap(TapConfig),
    /// An interface that is there.
    Interface(PacketSocketConfig),
    /// What is sent comes back.
    Loopback {
        /// Frames it holds.
        depth: usize,
    },
    /// A cable to the other link with the same id.
    Pair {
        /// Which cable.
        id: String,
        /// Frames it holds in each direction.
        depth: usize,
    },
}

impl Spec {
    /// The grammar, for a tool's help.
    pub const HELP: &str = "\
KIND[,KEY[=VALUE]]...
  gen     generate UDP frames, judge what is sent back
          size=64..16384|imix (with FCS)  flows=1..65535  rate=FRAMES/S  count=FRAMES  vlan=ID
          dst=MAC  src=MAC  verify=0|1
  sink    receive nothing, count what is sent: verify=0|1 judges it as generated frames
  pcap    rx=FILE to play: loop, paced (keep the gaps), cut (accept cut frames); tx=FILE to write: us (microseconds)
  tap     iface=NAME, made if need be: mtu=BYTES, down (do not bring it up)
  iface   name=NAME of an interface that is there: promisc=0|1
  loop    what is sent comes back: depth=FRAMES
  pair    id=ID joins the two links with that id: depth=FRAMES
 and with each of them
  loss=P reorder=P dup=P corrupt=P   probabilities from 0 to 1, or in percent (1%)
  dir=rx|tx|both  seed=N  gap=FRAMES that overtake at most  hold=TIME a frame is held back at most
  pause=TIME[/EVERY][@FIRST]         the peer pauses what is sent
  tee=FILE                           capture both directions
Numbers take k, M, G (1.5M); times take ns, us, ms, s.";
}
