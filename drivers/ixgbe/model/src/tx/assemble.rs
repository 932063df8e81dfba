//! From the bytes and the first descriptor of a packet to what goes to the MAC.
//!
//! Key types: [`Packet`], [`Ready`]. Neighbours: [`queue`](super::queue) gathers the bytes; [`offload`]
//! and [`segment`] change them.

use pmd_ixgbe::regs::{DTXTCPFLGH, DTXTCPFLGL};

use super::descriptor::{Context, Data, Offload};
use super::offload::{self, Reason, Tagging, pool_tag};
use super::segment::{self, FlagMasks, Segments};
use crate::checksum::crc32;
use crate::regs::RegisterFile;
use crate::state::{Reader, State, StateError, Writer, check};

/// The longest packet that is not segmented (datasheet 7.2.1).
const LONGEST: usize = pmd_ixgbe::desc::MAX_FRAME as usize;
/// The shortest packet that the device takes (7.2.1.1): software pads what is shorter.
const SHORTEST: usize = 17;

/// A packet being gathered.
#[derive(Default)]
pub(crate) struct Packet {
    /// Its bytes, without FCS.
    pub(crate) bytes: Vec<u8>,
    /// The first descriptor.
    first: Option<Data>,
    /// What is wrong with it.
    pub(crate) fault: Option<Reason>,
}

/// A packet in full.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ready {
    /// It is one frame, complete.
    Frame,
    /// It is cut into frames.
    Segments { segments: Segments, tag: Option<u16> },
    /// There is nothing to send: a null packet, or a bad one.
    Nothing,
}

impl State for Packet {
    fn save(&self, to: &mut Writer) {
        let Packet { bytes, first, fault } = self;
        bytes.save(to);
        first.save(to);
        fault.is_some().save(to);
    }
    fn load(from: &mut Reader<'_>) -> Result<Packet, StateError> {
        let (bytes, first) = (State::load(from)?, State::load(from)?);
        let fault = bool::load(from)?.then_some("a packet that was bad before the device moved here");
        Ok(Packet { bytes, first, fault })
    }
}

impl State for Ready {
    fn save(&self, to: &mut Writer) {
        match *self {
            Ready::Nothing => 0u8.save(to),
            Ready::Frame => 1u8.save(to),
            Ready::Segments { segments, tag } => {
                2u8.save(to);
                (segments, tag).save(to);
            }
        }
    }
    fn load(from: &mut Reader<'_>) -> Result<Ready, StateError> {
        match u8::load(from)? {
            0 => Ok(Ready::Nothing),
            1 => Ok(Ready::Frame),
            2 => {
                let (segments, tag) = State::load(from)?;
                Ok(Ready::Segments { segments, tag })
            }
            _ => Err(StateError::Invalid { what: "a packet that is neither a frame nor several" }),
        }
    }
}

impl Packet {
    /// Checks what came from outside.
    pub(crate) fn sound(&self, ready: Option<Ready>) -> Result<(), StateError> {
        check(self.bytes.len() <= segment::LONGEST, "a packet longer than the device sends")?;
        match ready {
            // The frame check sequence that software made is off already.
            Some(Ready::Frame) => check(self.bytes.len() >= SHORTEST - 4, "a frame that is too short"),
            Some(Ready::Segments { segments, .. }) => segments.sound(&self.bytes),
            Some(Ready::Nothing) | None => Ok(()),
        }
    }

    /// Forgets everything, keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.first = None;
        self.fault = None;
    }

    /// Whether nothing was gathered yet.
    pub(crate) fn is_fresh(&self) -> bool {
        self.first.is_none()
    }

    /// Makes room for the next piece; `None` for nothing to read, because it is empty or the packet is bad.
    pub(crate) fn extend(&mut self, data: &Data) -> Option<&mut [u8]> {
        let first = *self.first.get_or_insert(*data);
        let longest = match first.offload {
            Offload::Advanced { segment: true, .. } => segment::LONGEST,
            _ => LONGEST,
        };
        if self.bytes.len() + data.len > longest {
            self.fault.get_or_insert("a packet longer than the device sends");
        }
        if self.fault.is_some() || data.len == 0 {
            return None;
        }
        let from = self.bytes.len();
        self.bytes.resize(from + data.len, 0);
        Some(&mut self.bytes[from..])
    }

    /// Whether a time stamp was asked for.
    pub(crate) fn wants_stamp(&self) -> bool {
        matches!(self.first, Some(Data { offload: Offload::Advanced { stamp: true, .. }, .. }))
    }

    /// The packet is complete: does everything to it but segmentation.
    pub(crate) fn finish(
        &mut self,
        regs: &RegisterFile,
        queue: usize,
        contexts: &[Context; 2],
    ) -> Result<Ready, Reason> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let Some(first) = self.first else { return Ok(Ready::Nothing) };
        if self.bytes.is_empty() {
            return Ok(Ready::Nothing);
        }
        if self.bytes.len() < SHORTEST {
            return Err("a packet of less than 17 bytes");
        }
        if !first.fcs {
            self.own_fcs()?;
        }
        let tagging = Tagging::new(regs);
        match first.offload {
            Offload::Legacy { checksum, vlan } => {
                if let Some((start, at)) = checksum {
                    offload::legacy_checksum(&mut self.bytes, start, at)?;
                }
                if let Some(tag) = pool_tag(regs, queue, vlan) {
                    tagging.insert(&mut self.bytes, tag);
                }
            }
            Offload::Advanced { context, ip, l4, vlan, segment, payload, .. } => {
                if !(ip || l4 || vlan || segment) {
                    if let Some(tag) = pool_tag(regs, queue, None) {
                        tagging.insert(&mut self.bytes, tag);
                    }
                    return Ok(Ready::Frame);
                }
                let context = *contexts.get(context).ok_or("a context index above 1")?;
                let tag = pool_tag(regs, queue, vlan.then_some(context.vlan));
                if segment {
                    let masks = masks(regs);
                    let segments = Segments::new(&self.bytes, context, payload, masks)?;
                    return Ok(Ready::Segments { segments, tag });
                }
                if ip && context.ipv4 {
                    offload::ip_checksum(&mut self.bytes, &context)?;
                }
                if l4 {
                    offload::l4_checksum(&mut self.bytes, &context, 0)?;
                }
                if let Some(tag) = tag {
                    tagging.insert(&mut self.bytes, tag);
                }
            }
        }
        Ok(Ready::Frame)
    }

    /// Software made the frame check sequence: it must be right, and comes off since links carry none.
    fn own_fcs(&mut self) -> Result<(), Reason> {
        let at = self.bytes.len() - 4;
        if crc32(&self.bytes[..at]).to_le_bytes() != self.bytes[at..] {
            return Err("a packet without IFCS whose own frame check sequence is wrong");
        }
        self.bytes.truncate(at);
        Ok(())
    }
}

fn masks(regs: &RegisterFile) -> FlagMasks {
    let low = regs.get::<DTXTCPFLGL>();
    FlagMasks {
        first: low.first_seg() as u16,
        middle: low.mid_seg() as u16,
        last: regs.get::<DTXTCPFLGH>().last_seg() as u16,
    }
}
