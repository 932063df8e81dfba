//! What can be wrong with a capture file.
//!
//! Key types: [`PcapError`].
//! Neighbours: a variant of [`LinkError`](crate::LinkError).

use thiserror::Error;

use crate::Errno;
use crate::text::PathEnd;

/// Why a capture cannot be played or written. Frames are counted from 1, as Wireshark does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PcapError {
    /// The operating system refused.
    #[error("cannot {call} capture {path}: {errno}")]
    File {
        /// open, read, create or write.
        call: &'static str,
        /// The file.
        path: PathEnd,
        /// Why.
        errno: Errno,
    },
    /// A pipe, device or directory.
    #[error(
        "{path} is not a regular file: a capture is checked before it is played, so save it to a file first"
    )]
    NotAFile {
        /// The file.
        path: PathEnd,
    },
    /// The first bytes belong to another format, or there are none.
    #[error("{path} is no pcap or pcapng file: capture with \"tcpdump -w\", unpack it if it is compressed")]
    NotACapture {
        /// The file.
        path: PathEnd,
    },
    /// The file ends within a record.
    #[error(
        "capture {path} is cut off behind frame {frames}, in the record at byte {offset}: copy it again, or keep what \
         is whole with \"editcap IN OUT\""
    )]
    Truncated {
        /// The file.
        path: PathEnd,
        /// Whole frames before.
        frames: u64,
        /// Where the broken record starts.
        offset: u64,
    },
    /// A record contradicts itself.
    #[error(
        "capture {path} is damaged behind frame {frames}, in the record at byte {offset}: copy or capture it again"
    )]
    Damaged {
        /// The file.
        path: PathEnd,
        /// Whole frames before.
        frames: u64,
        /// Where the bad record starts.
        offset: u64,
    },
    /// A pcapng block that has been obsolete since 2004.
    #[error("capture {path} uses obsolete packet blocks: convert it with \"editcap -F pcap IN OUT\"")]
    Obsolete {
        /// The file.
        path: PathEnd,
    },
    /// Frames of another kind of network.
    #[error(
        "capture {path} holds link type {link_type}, not Ethernet (1): capture on an Ethernet interface, not on \"any\""
    )]
    NotEthernet {
        /// The file.
        path: PathEnd,
        /// Its LINKTYPE number.
        link_type: u32,
    },
    /// The capture kept only the start of a frame.
    #[error(
        "capture {path} kept {kept} of the {length} bytes of frame {frame}: capture whole frames (tcpdump -s 0), or \
         play the shortened ones with the option \"cut\""
    )]
    Cut {
        /// The file.
        path: PathEnd,
        /// Which frame.
        frame: u64,
        /// Bytes that were kept.
        kept: u32,
        /// Bytes it had.
        length: u32,
    },
}
