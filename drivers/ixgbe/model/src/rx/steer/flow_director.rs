//! The flow director: many flows to queues, by their hash or by their exact fields (datasheet 7.1.2.7).
//!
//! Signature filters compare a 15-bit signature in a hash bucket; perfect filters compare the fields themselves, after
//! masks that hold for all of them. Software computes the bucket with the same hash, so a filter in the wrong bucket
//! is never found, as on the card. Commands are done when the write returns.
//!
//! Not modelled: the limit of a bucket's length (FDIRCTRL.max_length) and IPv6 destinations.
//!
//! Key types: [`FlowDirector`]. Neighbours: [`steer`](super) asks before RSS; the dispatcher brings the registers;
//! [`fields`](super::fields) takes packets apart.

use std::collections::HashMap;

use pmd_ixgbe::regs::{
    EICR, FDIRCMD, FDIRCTRL, FDIRFREE, FDIRFSTAT, FDIRHASH, FDIRHKEY, FDIRIPDA, FDIRIPSA, FDIRLEN, FDIRMATCH,
    FDIRMISS, FDIRPORT, FDIRSIPV6, FDIRSKEY, FDIRUSTAT, FDIRVLAN,
};
use pmd_links::Nanos;

use super::fields::{Fields, Masks};
use crate::packet::{Ip, Parsed};
use crate::regs::RegisterFile;
use crate::shared::{Core, QUEUES};
use crate::state::{Reader, State, StateError, Writer, check, state};

/// FDIRCMD.cmd.
const ADD: u32 = 1;
const REMOVE: u32 = 2;
const QUERY: u32 = 3;

/// What a filter does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Action {
    /// The queue, if the filter chooses one.
    pub(crate) queue: Option<usize>,
    pub(crate) drop: bool,
    pub(crate) interrupt: bool,
}

/// A packet's way through the flow director.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) action: Action,
    /// For the descriptor: the bucket's hash in 31:16, signature or software's index in 15:0.
    pub(crate) report: u32,
}

struct Filter {
    /// The signature, or software's index.
    index: u32,
    /// Perfect filters: what must be equal.
    fields: Option<Fields>,
    action: Action,
}

/// The tables.
#[derive(Default)]
pub(crate) struct FlowDirector {
    buckets: HashMap<u16, Vec<Filter>>,
    filters: u32,
    capacity: u32,
    ready_at: Nanos,
    /// FDIRCTRL gave it memory.
    on: bool,
}

state!(Action { queue, drop, interrupt });
state!(Filter { index, fields, action });

/// The buckets in their order, so that equal tables are equal bytes.
impl State for FlowDirector {
    fn save(&self, to: &mut Writer) {
        let FlowDirector { buckets, filters, capacity, ready_at, on } = self;
        let mut order: Vec<u16> = buckets.keys().copied().collect();
        order.sort_unstable();
        order.len().save(to);
        for bucket in order {
            bucket.save(to);
            buckets[&bucket].save(to);
        }
        filters.save(to);
        capacity.save(to);
        ready_at.save(to);
        on.save(to);
    }

    fn load(from: &mut Reader<'_>) -> Result<FlowDirector, StateError> {
        let buckets = Vec::<(u16, Vec<Filter>)>::load(from)?.into_iter().collect();
        Ok(FlowDirector {
            buckets,
            filters: State::load(from)?,
            capacity: State::load(from)?,
            ready_at: State::load(from)?,
            on: State::load(from)?,
        })
    }
}

impl FlowDirector {
    /// Checks what came from outside.
    pub(crate) fn sound(&self) -> Result<(), StateError> {
        let all = || self.buckets.values().flatten();
        check(all().count() == self.filters as usize, "a flow director that does not hold what it counts")?;
        check(self.filters <= self.capacity && self.capacity <= 1 << 15, "more flow filters than fit")?;
        let to_queues = all().all(|filter| filter.action.queue.is_none_or(|queue| queue < QUEUES));
        check(to_queues, "a flow filter for a queue that there is not")
    }

    /// FDIRCTRL was written: everything starts over (7.1.2.7.13).
    pub(crate) fn init(&mut self, core: &mut Core) {
        let control = core.regs.get::<FDIRCTRL>();
        let takes = core.config.timing.flow_director.as_nanos() as Nanos;
        *self = FlowDirector {
            on: control.pballoc() != 0,
            capacity: capacity(control),
            ready_at: core.now.saturating_add(takes),
            ..FlowDirector::default()
        };
        core.regs.set(FDIRFREE::default().with_free(self.capacity));
    }

    /// Whether FDIRCTRL.init_done reads 1.
    pub(crate) fn is_ready(&self, now: Nanos) -> bool {
        self.on && now >= self.ready_at
    }

    /// FDIRCMD was written.
    pub(crate) fn command(&mut self, core: &mut Core, command: FDIRCMD) {
        if command.clearht() {
            self.buckets.clear();
            self.filters = 0;
        }
        let hash = core.regs.get::<FDIRHASH>();
        let bucket = hash.hash() as u16 & bucket_mask(core.regs.get());
        let index = hash.signature_sw_index();
        let mut answer = command.with_cmd(0).with_filter_valid(false);
        match command.cmd() {
            ADD => self.add(core, command, bucket, index),
            REMOVE => self.remove(core, bucket, index),
            QUERY => {
                if let Some(filter) =
                    self.buckets.get(&bucket).and_then(|b| b.iter().find(|f| f.index == index))
                {
                    answer = answer
                        .with_filter_valid(true)
                        .with_drop(filter.action.drop)
                        .with_queue_en(filter.action.queue.is_some())
                        .with_rx_queue(filter.action.queue.unwrap_or(0) as u32);
                }
            }
            _ => {}
        }
        core.regs.set(answer);
        let free = core.regs.get::<FDIRFREE>().with_free(self.capacity.saturating_sub(self.filters));
        core.regs.set(free);
    }

    fn add(&mut self, core: &mut Core, command: FDIRCMD, bucket: u16, index: u32) {
        let control = core.regs.get::<FDIRCTRL>();
        let action = Action {
            queue: command.queue_en().then_some(command.rx_queue() as usize),
            drop: command.drop(),
            interrupt: command.int(),
        };
        let fields = control.perfect_match().then(|| programmed(&core.regs, command));
        let list = self.buckets.entry(bucket).or_default();
        let same = list.iter_mut().find(|filter| match fields {
            Some(_) => filter.fields == fields,
            None => filter.index == index,
        });
        match same {
            Some(filter) if command.filter_update() => *filter = Filter { index, fields, action },
            Some(_) => {}
            None if !self.on || core.now < self.ready_at || self.filters >= self.capacity => {
                let stat = core.regs.get::<FDIRFSTAT>();
                core.regs.set(stat.with_fadd((stat.fadd() + 1).min(0xFF)));
                return;
            }
            None => {
                list.push(Filter { index, fields, action });
                self.filters += 1;
                let longest = core.regs.get::<FDIRLEN>();
                if list.len() as u32 > longest.maxlen() {
                    let len = (list.len() as u32).min(0x3F);
                    core.regs.set(longest.with_maxlen(len).with_maxhash(u32::from(bucket)));
                }
            }
        }
        let stat = core.regs.get::<FDIRUSTAT>();
        core.regs.set(stat.with_add((stat.add() + 1).min(0xFFFF)));
        if self.capacity - self.filters <= control.full_thresh() * 16 {
            core.irq.raise(EICR::default().with_flow_director(true));
        }
    }

    fn remove(&mut self, core: &mut Core, bucket: u16, index: u32) {
        let list = self.buckets.entry(bucket).or_default();
        match list.iter().position(|filter| filter.index == index) {
            Some(place) => {
                list.swap_remove(place);
                self.filters -= 1;
                let stat = core.regs.get::<FDIRUSTAT>();
                core.regs.set(stat.with_remove((stat.remove() + 1).min(0xFFFF)));
            }
            None => {
                let stat = core.regs.get::<FDIRFSTAT>();
                core.regs.set(stat.with_fremove((stat.fremove() + 1).min(0xFF)));
            }
        }
    }

    /// The filter for a packet; counts the match or miss.
    #[inline]
    pub(crate) fn find(&self, core: &mut Core, frame: &[u8], parsed: &Parsed) -> Option<Found> {
        if !self.on || parsed.ip == Ip::None || core.now < self.ready_at {
            return None;
        }
        let found = self.look_up(&core.regs, frame, parsed);
        if found.is_some() {
            core.regs.count::<FDIRMATCH>()
        } else {
            core.regs.count::<FDIRMISS>()
        }
        found
    }

    fn look_up(&self, regs: &RegisterFile, frame: &[u8], parsed: &Parsed) -> Option<Found> {
        let control = regs.get::<FDIRCTRL>();
        let fields =
            Fields::of_packet(frame, parsed, control.flex_offset() as usize * 2).masked(&Masks::new(regs));
        let bucket = fields.hash(regs.get::<FDIRHKEY>().bits()) & bucket_mask(control);
        let list = self.buckets.get(&bucket)?;
        let filter = if control.perfect_match() {
            list.iter().find(|filter| filter.fields == Some(fields))
        } else {
            let signature = fields.hash(regs.get::<FDIRSKEY>().bits()) & 0x7FFF;
            list.iter().find(|filter| filter.index == u32::from(signature))
        }?;
        Some(Found { action: filter.action, report: u32::from(bucket) << 16 | filter.index & 0x7FFF })
    }
}

/// The fields in the programming registers, under the masks.
fn programmed(regs: &RegisterFile, command: FDIRCMD) -> Fields {
    let vlan = regs.get::<FDIRVLAN>();
    let port = regs.get::<FDIRPORT>();
    let mut fields = Fields {
        flow_type: command.l4type() as u8 | u8::from(command.ipv6()) << 2,
        pool: command.pool() as u8,
        vlan: vlan.vlan() as u16,
        // The register holds what is on the wire, low byte first.
        flex: (vlan.flex() as u16).swap_bytes(),
        source_port: port.source() as u16,
        destination_port: port.destination() as u16,
        ..Fields::default()
    };
    if command.ipv6() {
        for i in 0..3 {
            let word = regs.at::<FDIRSIPV6>(i).bits().to_le_bytes();
            fields.source[4 * i..4 * i + 4].copy_from_slice(&word);
        }
        fields.source[12..].copy_from_slice(&regs.get::<FDIRIPSA>().bits().to_le_bytes());
    } else {
        fields.source[..4].copy_from_slice(&regs.get::<FDIRIPSA>().bits().to_le_bytes());
        fields.destination[..4].copy_from_slice(&regs.get::<FDIRIPDA>().bits().to_le_bytes());
    }
    fields.masked(&Masks::new(regs))
}

/// Filters that fit: 8 bytes each by signature, 32 by fields, 64 to 256 KB in all (7.1.2.7.2). Two are the hardware's.
fn capacity(control: FDIRCTRL) -> u32 {
    let bytes = match control.pballoc() {
        0 => return 0,
        n => 0x8000 << n,
    };
    bytes / if control.perfect_match() { 32 } else { 8 } - 2
}

/// The bits of a hash that choose the bucket: as many buckets as filters fit.
fn bucket_mask(control: FDIRCTRL) -> u16 {
    let bits = 12 + control.pballoc() - if control.perfect_match() { 2 } else { 0 };
    ((1u32 << bits) - 1) as u16
}
