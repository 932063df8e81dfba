//! One receive queue: its ring, the descriptors it has fetched, and how a packet is put into them (datasheet 7.1.5 to
//! 7.1.10).
//!
//! Key types: [`RxQueue`], [`Outcome`]. Neighbours: [`Rx`](super::Rx) chooses the queue and keeps what cannot be
//! delivered yet.

use pmd_ixgbe::desc;
use pmd_ixgbe::regs::SRRCTL;
use vfio_user_kit::{DmaBus, DmaFault, Doorbells};

use super::meta::Meta;
use crate::shared::doorbell;
use crate::state::{Reader, State, StateError, Writer, check, state_enum, within};

/// Descriptors fetched with one access.
const FETCH: usize = 64;

/// The kinds of descriptor that SRRCTL.DESCTYPE can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Legacy,
    OneBuffer,
    /// The header in its own buffer if it is known and fits.
    Split,
    /// The first bytes always in the header buffer.
    SplitAlways,
    /// A reserved value.
    Reserved,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is in memory.
    Delivered,
    /// There are not enough descriptors now.
    NoDescriptors,
    /// It can never be delivered with this set-up.
    Impossible(&'static str),
    /// Memory did not answer.
    Fault(DmaFault),
}

/// A receive queue.
pub(crate) struct RxQueue {
    number: usize,
    pub(crate) enabled: bool,
    /// A memory access failed: nothing happens until the queue is disabled and enabled again.
    pub(crate) halted: bool,
    base: u64,
    /// Descriptors in the ring.
    len: u32,
    /// The next descriptor to use.
    pub(crate) head: u32,
    tail: u32,
    kind: Kind,
    /// Bytes of a packet buffer, of a header buffer.
    buffer: usize,
    header: usize,
    pub(crate) drop_en: bool,
    /// PFQDE says drop, whatever SRRCTL says.
    pub(crate) drop_anyway: bool,
    pub(crate) strip_vlan: bool,
    /// Descriptors from `head` on that were read already.
    fetched: Box<[[u64; 2]; FETCH]>,
    fetched_from: usize,
    fetched_to: usize,
}

state_enum!(Kind { Legacy = 0, OneBuffer = 1, Split = 2, SplitAlways = 3, Reserved = 4 });

impl State for RxQueue {
    fn save(&self, to: &mut Writer) {
        let RxQueue {
            number,
            enabled,
            halted,
            base,
            len,
            head,
            tail,
            kind,
            buffer,
            header,
            drop_en,
            drop_anyway,
            strip_vlan,
            fetched,
            fetched_from,
            fetched_to,
        } = self;
        number.save(to);
        (*enabled, *halted).save(to);
        base.save(to);
        [*len, *head, *tail].save(to);
        kind.save(to);
        (*buffer, *header).save(to);
        [*drop_en, *drop_anyway, *strip_vlan].save(to);
        fetched[*fetched_from..*fetched_to].to_vec().save(to);
    }

    fn load(from: &mut Reader<'_>) -> Result<RxQueue, StateError> {
        let mut queue = RxQueue::new(State::load(from)?);
        (queue.enabled, queue.halted) = State::load(from)?;
        queue.base = State::load(from)?;
        [queue.len, queue.head, queue.tail] = State::load(from)?;
        queue.kind = State::load(from)?;
        (queue.buffer, queue.header) = State::load(from)?;
        [queue.drop_en, queue.drop_anyway, queue.strip_vlan] = State::load(from)?;
        let fetched = Vec::<[u64; 2]>::load(from)?;
        check(fetched.len() <= FETCH, "more receive descriptors at hand than are fetched")?;
        queue.fetched_to = fetched.len();
        queue.fetched[..fetched.len()].copy_from_slice(&fetched);
        Ok(queue)
    }
}

impl RxQueue {
    /// Checks what came from outside.
    pub(crate) fn sound(&self, number: usize) -> Result<(), StateError> {
        check(self.number == number, "a receive queue at the place of another")?;
        check(within(self.head, self.len) && within(self.tail, self.len), "a receive ring's head or tail")?;
        let (_, owned) = self.owned();
        let at_hand = (self.fetched_to - self.fetched_from) as u32;
        check(at_hand <= owned && self.len <= 1 << 16, "a receive ring with more descriptors than it has")
    }

    pub(crate) fn new(number: usize) -> RxQueue {
        RxQueue {
            number,
            enabled: false,
            halted: false,
            base: 0,
            len: 0,
            head: 0,
            tail: 0,
            kind: Kind::OneBuffer,
            buffer: 0,
            header: 0,
            drop_en: false,
            drop_anyway: false,
            strip_vlan: false,
            fetched: Box::new([[0; 2]; FETCH]),
            fetched_from: 0,
            fetched_to: 0,
        }
    }

    /// Takes the ring's place and starts at its beginning.
    pub(crate) fn start(&mut self, base: u64, bytes: u32) {
        self.base = base;
        self.len = bytes / 16;
        self.head = 0;
        self.tail = 0;
        self.halted = false;
        self.fetched_from = 0;
        self.fetched_to = 0;
        self.enabled = true;
    }

    /// Stops; the fetched descriptors are forgotten.
    pub(crate) fn stop(&mut self) {
        self.enabled = false;
        self.fetched_from = 0;
        self.fetched_to = 0;
    }

    /// SRRCTL was written.
    pub(crate) fn set_srrctl(&mut self, value: SRRCTL) {
        self.kind = match value.desctype() {
            0 => Kind::Legacy,
            1 => Kind::OneBuffer,
            2 => Kind::Split,
            5 => Kind::SplitAlways,
            _ => Kind::Reserved,
        };
        self.buffer = value.bsizepacket() as usize * 1024;
        self.header = value.bsizeheader() as usize * 64;
        self.drop_en = value.drop_en();
    }

    /// The descriptors that the device may still read: the first, and how many.
    pub(crate) fn owned(&self) -> (u32, u32) {
        (
            self.head,
            if self.tail >= self.head { self.tail - self.head } else { self.len + self.tail - self.head },
        )
    }

    /// Whether the descriptors have room for what coalescing tells.
    pub(crate) fn coalesces(&self) -> bool {
        matches!(self.kind, Kind::OneBuffer | Kind::Split | Kind::SplitAlways)
    }

    /// Bytes of a packet buffer.
    pub(crate) fn buffer_bytes(&self) -> usize {
        self.buffer
    }

    /// Whether headers get buffers of their own.
    pub(crate) fn splits(&self) -> bool {
        matches!(self.kind, Kind::Split | Kind::SplitAlways)
    }

    /// Whether the ring has neither a sensible place nor length.
    fn set_up_wrong(&self) -> Option<&'static str> {
        if self.len == 0 {
            return Some("RDLEN is 0");
        }
        if self.buffer == 0 || self.buffer > 16 * 1024 {
            return Some("SRRCTL.BSIZEPACKET is not between 1 and 16 KB");
        }
        match self.kind {
            Kind::Reserved => Some("SRRCTL.DESCTYPE is a reserved value"),
            Kind::Split | Kind::SplitAlways if self.header == 0 || self.header > 1024 => {
                Some("SRRCTL.BSIZEHEADER is not between 64 and 1024 bytes")
            }
            _ => None,
        }
    }

    /// Descriptors that software has given: from head to tail.
    fn available(&mut self, want: u32, doorbells: &dyn Doorbells) -> u32 {
        let (_, have) = self.owned();
        if have >= want {
            return have;
        }
        let tail = doorbells.load(doorbell::rx(self.number)) & 0xFFFF;
        // A tail beyond the end is no place in the ring; the device stays with the last good one.
        if tail < self.len {
            self.tail = tail;
        }
        self.owned().1
    }

    /// Puts a packet into memory and writes its descriptors back. `starts` is where the segments of a coalesced packet begin,
    /// empty for others.
    pub(crate) fn deliver(
        &mut self,
        dma: &dyn DmaBus,
        doorbells: &dyn Doorbells,
        packet: &[u8],
        meta: &Meta,
        starts: &[usize],
    ) -> Outcome {
        if let Some(reason) = self.set_up_wrong() {
            return Outcome::Impossible(reason);
        }
        let header = self.split(packet, meta);
        let body = &packet[header.0..];
        let want = body.len().div_ceil(self.buffer).max(1) as u32;
        if want >= self.len {
            return Outcome::Impossible("the packet needs more descriptors than the ring can offer");
        }
        if self.available(want, doorbells) < want {
            return Outcome::NoDescriptors;
        }
        match self.write(dma, packet, header, want, meta, starts) {
            Ok(()) => Outcome::Delivered,
            Err(fault) => {
                self.halted = true;
                Outcome::Fault(fault)
            }
        }
    }

    /// How many bytes go to the header buffer, and the header bits of descriptor word 0 (7.1.10).
    fn split(&self, packet: &[u8], meta: &Meta) -> (usize, u64) {
        const HDR_LEN_SHIFT: u32 = 21;
        const SPH: u64 = 1 << 31;
        let fits = meta.header != 0 && meta.header <= self.header;
        match self.kind {
            Kind::Legacy | Kind::OneBuffer | Kind::Reserved => (0, 0),
            Kind::Split | Kind::SplitAlways if fits => {
                (meta.header, SPH | (meta.header as u64 & 0x3FF) << HDR_LEN_SHIFT)
            }
            Kind::Split => (0, 0),
            Kind::SplitAlways => {
                let len = packet.len().min(self.header);
                (len, (len as u64 & 0x3FF) << HDR_LEN_SHIFT)
            }
        }
    }

    fn write(
        &mut self,
        dma: &dyn DmaBus,
        packet: &[u8],
        (in_header, split): (usize, u64),
        want: u32,
        meta: &Meta,
        starts: &[usize],
    ) -> Result<(), DmaFault> {
        let mut rest = &packet[in_header..];
        for i in 0..want {
            let words = self.fetch(dma)?;
            if i == 0 && in_header != 0 {
                // Bit 0 of the header address is the place of DD.
                dma.write(words[1] & !1, &packet[..in_header])?;
            }
            let (part, more) = rest.split_at(rest.len().min(self.buffer));
            rest = more;
            if !part.is_empty() {
                dma.write(words[0], part)?;
            }
            let at = self.base.wrapping_add(u64::from(self.head) * 16);
            let last = i + 1 == want;
            let next = if self.head + 1 == self.len { 0 } else { self.head + 1 };
            if self.kind == Kind::Legacy {
                dma.store(at.wrapping_add(8), meta.legacy(part.len(), last))?;
            } else {
                let [mut low, mut high] = meta.advanced(part.len(), last);
                if i == 0 {
                    low |= split;
                }
                if !starts.is_empty() {
                    let from = packet.len() - rest.len() - part.len();
                    let here =
                        starts.iter().filter(|start| (from..from + part.len()).contains(*start)).count();
                    let [count, link] = coalesced(here, next, last);
                    low |= count;
                    high |= link;
                }
                dma.store(at, low)?;
                dma.store(at.wrapping_add(8), high)?;
            }
            self.head = next;
        }
        Ok(())
    }

    /// The descriptor at head; reads a batch if none is at hand.
    #[inline]
    fn fetch(&mut self, dma: &dyn DmaBus) -> Result<[u64; 2], DmaFault> {
        if self.fetched_from == self.fetched_to {
            let end = if self.tail >= self.head { self.tail } else { self.len };
            let count = ((end - self.head) as usize).min(FETCH);
            let mut bytes = [0u8; FETCH * 16];
            let bytes = &mut bytes[..count * 16];
            dma.read(self.base.wrapping_add(u64::from(self.head) * 16), bytes)?;
            for (words, bytes) in self.fetched.iter_mut().zip(bytes.chunks_exact(16)) {
                *words = words_of(bytes);
            }
            self.fetched_from = 0;
            self.fetched_to = count;
        }
        let words = self.fetched[self.fetched_from];
        self.fetched_from += 1;
        Ok(words)
    }
}

/// The bits of a coalesced packet's descriptor: RSCCNT, the segments that begin in it, in word 0; and, if it is not the
/// last, NEXTP, the descriptor after it, in word 1 (7.11.5).
fn coalesced(segments: usize, next: u32, last: bool) -> [u64; 2] {
    const RSCCNT_SHIFT: u32 = 17;
    const NEXTP_SHIFT: u32 = 4;
    [(segments.min(15) as u64) << RSCCNT_SHIFT, if last { 0 } else { u64::from(next) << NEXTP_SHIFT }]
}

/// The two words of a descriptor's 16 bytes.
pub(crate) fn words_of(bytes: &[u8]) -> [u64; 2] {
    let mut words = [[0u8; 8]; 2];
    words[0].copy_from_slice(&bytes[..8]);
    words[1].copy_from_slice(&bytes[8..16]);
    words.map(u64::from_le_bytes)
}

const _: () = assert!(desc::rx::DD == 1 && desc::legacy::DD == 1 << 32);
