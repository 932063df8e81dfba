//! Frames out of a pcap or pcapng file, one by one.
//!
//! Key types: [`CaptureReader`], [`Record`].
//! Neighbours: read by the source. Both byte orders, micro- and nanoseconds, any pcapng time resolution.

use std::fs::File;
use std::path::Path;

use pcap_parser::traits::{PcapNGPacketBlock, PcapReaderIterator};
use pcap_parser::{Block, IDB_MAGIC, PcapBlockOwned, PcapError as ParseError, create_reader};

use super::PcapError;
use crate::Errno;
use crate::text::PathEnd;

const BUFFER: usize = 256 << 10;
/// No Ethernet frame and no sane block of metadata is larger: such a length is a damaged one.
const LARGEST_RECORD: usize = 4 << 20;
const ETHERNET: u32 = 1;
/// Block type of the obsolete Packet Block.
const PACKET_BLOCK: u32 = 2;
const FCS_LENGTH_OPTION: u16 = 13;

/// What a capture says of a frame besides its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    /// Capture time in nanoseconds since 1970. Only differences are used.
    pub(super) time: u64,
    /// Bytes of the frame on the wire, without FCS.
    pub(super) length: u32,
}

/// How to read the frames of one interface.
#[derive(Clone, Copy)]
struct Interface {
    link_type: u32,
    clock: CaptureClock,
    /// Bytes of FCS that the capture kept behind each frame.
    fcs: u32,
}

#[derive(Clone, Copy)]
enum CaptureClock {
    /// 10^-n seconds, and seconds to add.
    Decimal(u8, i64),
    /// 2^-n seconds, and seconds to add.
    Binary(u8, i64),
}

impl CaptureClock {
    fn nanos(self, units: u64) -> u64 {
        let units = i128::from(units);
        let (nanos, offset) = match self {
            CaptureClock::Decimal(n @ 0..=9, offset) => (units * 10i128.pow(9 - u32::from(n)), offset),
            CaptureClock::Decimal(n @ ..=30, offset) => (units / 10i128.pow(u32::from(n) - 9), offset),
            CaptureClock::Binary(n @ ..=90, offset) => ((units * 1_000_000_000) >> n, offset),
            // Finer than any 64-bit count of such units could show.
            CaptureClock::Decimal(_, offset) | CaptureClock::Binary(_, offset) => (0, offset),
        };
        (nanos + i128::from(offset) * 1_000_000_000).clamp(0, i128::from(u64::MAX)) as u64
    }
}

pub(super) struct CaptureReader {
    path: PathEnd,
    parser: Box<dyn PcapReaderIterator + Send>,
    interfaces: Vec<Interface>,
    frames: u64,
}

/// What a block of the file was.
enum Found {
    Frame(Record),
    Other,
}

impl CaptureReader {
    pub(super) fn open(path: &Path) -> Result<CaptureReader, PcapError> {
        let name = PathEnd::path(path);
        let failed =
            |error: std::io::Error| PcapError::File { call: "open", path: name, errno: (&error).into() };
        // Asked before opening: to open a pipe waits for its writer.
        if !std::fs::metadata(path).map_err(failed)?.is_file() {
            return Err(PcapError::NotAFile { path: name });
        }
        let file = File::open(path).map_err(failed)?;
        match create_reader(BUFFER, file) {
            Ok(parser) => Ok(CaptureReader { path: name, parser, interfaces: Vec::new(), frames: 0 }),
            Err(ParseError::ReadError) => {
                Err(PcapError::File { call: "read", path: name, errno: Errno(libc::EIO) })
            }
            Err(_) => Err(PcapError::NotACapture { path: name }),
        }
    }

    /// Frames read so far.
    pub(super) fn frames(&self) -> u64 {
        self.frames
    }

    /// The next frame, into `frame`; `None` at the end of the file.
    pub(super) fn next(&mut self, frame: &mut Vec<u8>) -> Result<Option<Record>, PcapError> {
        loop {
            let offset = self.parser.consumed() as u64;
            let damaged = PcapError::Damaged { path: self.path, frames: self.frames, offset };
            let truncated = PcapError::Truncated { path: self.path, frames: self.frames, offset };
            let (used, found) = match self.parser.next() {
                Ok((used, block)) => {
                    let found = match block {
                        PcapBlockOwned::LegacyHeader(header) => {
                            // The upper bits say how much FCS is kept: 4 bits of length in 16-bit units, a flag.
                            let network = header.network.0 as u32;
                            let fcs = if network & 1 << 26 != 0 { (network >> 28) * 2 } else { 0 };
                            let digits = if header.is_nanosecond_precision() { 9 } else { 6 };
                            self.interfaces.push(Interface {
                                link_type: network & 0x03ff_ffff,
                                clock: CaptureClock::Decimal(digits, 0),
                                fcs,
                            });
                            Ok(Found::Other)
                        }
                        PcapBlockOwned::Legacy(record) => match self.interfaces.first() {
                            Some(interface) => {
                                let per_second = match interface.clock {
                                    CaptureClock::Decimal(9, _) => 1_000_000_000,
                                    _ => 1_000_000,
                                };
                                let time = u64::from(record.ts_sec) * per_second + u64::from(record.ts_usec);
                                copy(frame, record.data, record.origlen, interface, time, self.path)
                            }
                            None => Err(damaged),
                        },
                        PcapBlockOwned::NG(block) => {
                            pcapng(&mut self.interfaces, frame, &block, self.path, damaged)
                        }
                    };
                    (used, found?)
                }
                Err(ParseError::Eof) => return Ok(None),
                Err(ParseError::Incomplete(_)) => {
                    self.refill(damaged)?;
                    continue;
                }
                // Asked again with room for the largest record before anything is read: what does not fit there is
                // a damaged length, and not a file that is cut off.
                Err(ParseError::BufferTooSmall) => {
                    if !self.parser.grow(LARGEST_RECORD) {
                        return Err(damaged);
                    }
                    continue;
                }
                Err(ParseError::UnexpectedEof) => {
                    return if self.parser.data().is_empty() { Ok(None) } else { Err(truncated) };
                }
                Err(_) => return Err(damaged),
            };
            // A block of no bytes would be read for ever.
            if used == 0 {
                return Err(damaged);
            }
            self.parser.consume(used);
            if let Found::Frame(record) = found {
                self.frames += 1;
                return Ok(Some(record));
            }
        }
    }

    fn refill(&mut self, no_progress: PcapError) -> Result<(), PcapError> {
        let before = self.parser.data().len();
        let path = self.path;
        self.parser.refill().map_err(|_| PcapError::File { call: "read", path, errno: Errno(libc::EIO) })?;
        if self.parser.data().len() == before && !self.parser.reader_exhausted() {
            return Err(no_progress);
        }
        Ok(())
    }
}

fn pcapng(
    interfaces: &mut Vec<Interface>,
    frame: &mut Vec<u8>,
    block: &Block<'_>,
    path: PathEnd,
    damaged: PcapError,
) -> Result<Found, PcapError> {
    match block {
        Block::SectionHeader(_) => interfaces.clear(),
        Block::InterfaceDescription(description) => {
            // The crate reads the offset as little-endian whatever the file is.
            let big_endian = description.block_type != IDB_MAGIC;
            let offset =
                if big_endian { description.if_tsoffset.swap_bytes() } else { description.if_tsoffset };
            let resolution = description.if_tsresol;
            let fcs_bits = description.options.iter().find(|option| option.code.0 == FCS_LENGTH_OPTION);
            interfaces.push(Interface {
                link_type: description.linktype.0 as u32,
                clock: match resolution & 0x80 {
                    0 => CaptureClock::Decimal(resolution, offset),
                    _ => CaptureClock::Binary(resolution & 0x7f, offset),
                },
                fcs: fcs_bits.and_then(|option| option.value.first()).map_or(0, |bits| u32::from(bits / 8)),
            });
        }
        Block::EnhancedPacket(packet) => {
            let interface =
                usize::try_from(packet.if_id).ok().and_then(|id| interfaces.get(id)).ok_or(damaged)?;
            let units = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
            return copy(frame, packet.packet_data(), packet.origlen, interface, units, path);
        }
        Block::SimplePacket(packet) => {
            let interface = interfaces.first().ok_or(damaged)?;
            return copy(frame, packet.packet_data(), packet.origlen, interface, 0, path);
        }
        Block::Unknown(unknown)
            if [unknown.block_type, unknown.block_type.swap_bytes()].contains(&PACKET_BLOCK) =>
        {
            return Err(PcapError::Obsolete { path });
        }
        _ => {}
    }
    Ok(Found::Other)
}

fn copy(
    frame: &mut Vec<u8>,
    data: &[u8],
    original: u32,
    interface: &Interface,
    units: u64,
    path: PathEnd,
) -> Result<Found, PcapError> {
    if interface.link_type != ETHERNET {
        return Err(PcapError::NotEthernet { path, link_type: interface.link_type });
    }
    let kept = data.len() as u32;
    // Some writers leave the original length at zero.
    let original = original.max(kept);
    let length = original.saturating_sub(interface.fcs);
    frame.clear();
    frame.extend_from_slice(&data[..kept.min(length) as usize]);
    Ok(Found::Frame(Record { time: interface.clock.nanos(units), length }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_resolution_becomes_nanoseconds() {
        for (clock, units, nanos) in [
            (CaptureClock::Decimal(6, 0), 1_500_000, 1_500_000_000),
            (CaptureClock::Decimal(9, 2), 5, 2_000_000_005),
            (CaptureClock::Decimal(0, 0), 3, 3_000_000_000),
            (CaptureClock::Decimal(12, 0), 7_999, 7),
            (CaptureClock::Decimal(127, 1), u64::MAX, 1_000_000_000),
            (CaptureClock::Binary(32, 0), 1 << 31, 500_000_000),
            (CaptureClock::Binary(127, 0), u64::MAX, 0),
            (CaptureClock::Decimal(0, i64::MAX), u64::MAX, u64::MAX),
            (CaptureClock::Decimal(6, i64::MIN), 1, 0),
        ] {
            assert_eq!(clock.nanos(units), nanos);
        }
    }
}
