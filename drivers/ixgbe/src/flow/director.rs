//! The flow director with exact filters (82599 datasheet 7.1.2.7, 8.2.3.17).
//!
//! All filters are compared under the same masks: the first one decides which fields count, and one that looks at other
//! fields is refused while there are any. A filter is found by its bucket and its index, which is also the mark that
//! the descriptor of a matching packet reports.

use alloc::collections::BTreeMap;

use vfio_hal::pmd::{FlowAction, FlowTuple, IpProtocol, PortError};

use super::hash::{BUCKET_KEY, SIGNATURE_KEY, bucket};
use super::tuple::{check_ports, on_wire};
use crate::hw::{Chip, Hw};
use crate::regs::{
    FDIRCMD, FDIRCTRL, FDIRDIP4M, FDIRHASH, FDIRHKEY, FDIRIPDA, FDIRIPSA, FDIRM, FDIRPORT, FDIRSCTPM,
    FDIRSIP4M, FDIRSIPV6, FDIRSKEY, FDIRTCPM, FDIRUDPM, FDIRVLAN,
};

/// What the flow director gets of the receive packet buffer: memory for filters that packets do not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowMemory {
    /// 64 KiB: 2,046 filters.
    Kib64,
    /// 128 KiB: 4,094 filters.
    Kib128,
    /// 256 KiB: 8,190 filters.
    Kib256,
}

impl FlowMemory {
    /// Returns the memory in KiB.
    pub(crate) fn kib(self) -> u32 {
        match self {
            FlowMemory::Kib64 => 64,
            FlowMemory::Kib128 => 128,
            FlowMemory::Kib256 => 256,
        }
    }

    /// Returns how many filters fit: 32 bytes each, two are the device's own (7.1.2.7.2).
    fn filters(self) -> u32 {
        self.kib() * 1024 / 32 - 2
    }

    /// Returns FDIRCTRL.PBALLOC.
    fn code(self) -> u32 {
        match self {
            FlowMemory::Kib64 => 1,
            FlowMemory::Kib128 => 2,
            FlowMemory::Kib256 => 3,
        }
    }
}

/// The queue number that stands for dropping (FDIRCTRL.DROP_QUEUE); no queue of ours has it.
const DROP_QUEUE: u32 = 127;

/// FDIRCMD.CMD.
const ADD: u32 = 1;
const REMOVE: u32 = 2;
const QUERY: u32 = 3;

/// Which fields count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fields {
    source: bool,
    destination: bool,
    protocol: bool,
    source_port: bool,
    destination_port: bool,
    vlan: bool,
}

impl Fields {
    fn of(tuple: &FlowTuple) -> Fields {
        Fields {
            source: tuple.source.is_some(),
            destination: tuple.destination.is_some(),
            protocol: tuple.protocol.is_some(),
            source_port: tuple.source_port.is_some(),
            destination_port: tuple.destination_port.is_some(),
            vlan: tuple.vlan.is_some(),
        }
    }

    /// Writes the masks; a 1 leaves a bit out.
    fn write(&self, hw: &Hw) -> Result<(), PortError> {
        let regs = &hw.regs;
        let whole = |counts: bool| if counts { 0 } else { u32::MAX };
        regs.single::<FDIRSIP4M>().write(FDIRSIP4M::new(whole(self.source)));
        regs.single::<FDIRDIP4M>().write(FDIRDIP4M::new(whole(self.destination)));
        let ports = (whole(self.source_port) & 0xffff, whole(self.destination_port) & 0xffff);
        regs.single::<FDIRTCPM>().write(FDIRTCPM::default().with_sportm(ports.0).with_dportm(ports.1));
        regs.single::<FDIRUDPM>().write(FDIRUDPM::default().with_sportm(ports.0).with_dportm(ports.1));
        if hw.model.chip != Chip::I82599 {
            regs.single::<FDIRSCTPM>().write(FDIRSCTPM::default().with_sportm(ports.0).with_dportm(ports.1));
        }
        let mask = FDIRM::default()
            .with_vlanid(!self.vlan)
            .with_vlanp(true)
            .with_pool(true)
            .with_l4p(!self.protocol)
            .with_flex(true)
            .with_dipv6(true);
        regs.single::<FDIRM>().write(mask);
        Ok(hw.check()?)
    }
}

/// One filter, as its registers have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    source: u32,
    destination: u32,
    source_port: u16,
    destination_port: u16,
    vlan: u16,
    l4type: u32,
}

impl Key {
    fn new(chip: Chip, tuple: &FlowTuple) -> Result<Key, PortError> {
        check_ports(tuple)?;
        // The 82599 has no mask for SCTP ports: they always count (8.2.3.17).
        let both = tuple.source_port.is_some() && tuple.destination_port.is_some();
        if chip == Chip::I82599 && tuple.protocol == Some(IpProtocol::Sctp) && !both {
            return Err(PortError::Unsupported {
                what: "a flow rule that marks or drops SCTP without both ports",
            });
        }
        if let Some(vlan @ 4096..) = tuple.vlan {
            return Err(PortError::OutOfRange { what: "the VLAN id", value: vlan.into(), min: 0, max: 4095 });
        }
        Ok(Key {
            source: on_wire(tuple.source)?,
            destination: on_wire(tuple.destination)?,
            source_port: tuple.source_port.unwrap_or(0),
            destination_port: tuple.destination_port.unwrap_or(0),
            vlan: tuple.vlan.unwrap_or(0),
            l4type: match tuple.protocol {
                None => 0,
                Some(IpProtocol::Udp) => 1,
                Some(IpProtocol::Tcp) => 2,
                Some(IpProtocol::Sctp) => 3,
            },
        })
    }

    fn bucket(&self) -> u16 {
        let flow = self.l4type << 16 | u32::from(self.vlan);
        let ports = u32::from(self.source_port) << 16 | u32::from(self.destination_port);
        bucket(BUCKET_KEY, flow, self.source.swap_bytes() ^ self.destination.swap_bytes() ^ ports)
    }
}

#[derive(Clone, Copy, Debug)]
struct Filter {
    key: Key,
    /// `None` drops.
    queue: Option<u16>,
}

/// The flow director of a port.
pub(super) struct Director {
    memory: FlowMemory,
    fields: Option<Fields>,
    /// By index.
    filters: BTreeMap<u16, Filter>,
}

impl Director {
    pub(super) fn new(memory: FlowMemory) -> Director {
        Director { memory, fields: None, filters: BTreeMap::new() }
    }

    /// Adds a filter; returns its index.
    pub(super) fn add(&mut self, hw: &Hw, tuple: &FlowTuple, action: FlowAction) -> Result<u16, PortError> {
        let fields = Fields::of(tuple);
        if self.fields.is_some_and(|others| others != fields) {
            return Err(PortError::Unsupported {
                what: "a flow rule that marks, drops, or looks at the VLAN, by other fields than those before it: the \
                       flow director has one mask for all",
            });
        }
        let key = Key::new(hw.model.chip, tuple)?;
        if self.filters.values().any(|filter| filter.key == key) {
            return Err(PortError::Invalid {
                what: "there is a flow rule for these packets already: remove it first",
            });
        }
        let (queue, mark) = match action {
            FlowAction::Queue(queue) => (Some(queue), None),
            FlowAction::Mark { queue, mark } => (Some(queue), Some(mark)),
            FlowAction::Drop => (None, None),
        };
        let index = self.index(mark)?;
        let filter = Filter { key, queue };
        if self.fields.is_none() {
            fields.write(hw)?;
        }
        write(hw, index, &filter)?;
        self.fields = Some(fields);
        self.filters.insert(index, filter);
        Ok(index)
    }

    /// The index is what the descriptor reports, so a mark is one; without a mark, one from the end.
    fn index(&self, mark: Option<u16>) -> Result<u16, PortError> {
        let capacity = self.memory.filters();
        if self.filters.len() as u32 >= capacity {
            return Err(PortError::TableFull { what: "flow director filters", capacity });
        }
        match mark {
            Some(mark) if mark > LAST => Err(PortError::OutOfRange {
                what: "the flow rule's mark",
                value: mark.into(),
                min: 0,
                max: LAST.into(),
            }),
            Some(mark) if self.filters.contains_key(&mark) => Err(PortError::Invalid {
                what: "another flow rule has this mark: the device tells filters apart by it",
            }),
            Some(mark) => Ok(mark),
            // There are more indices than filters fit.
            None => Ok((0..=LAST).rev().find(|index| !self.filters.contains_key(index)).unwrap_or(LAST)),
        }
    }

    /// Removes a filter.
    pub(super) fn remove(&mut self, hw: &Hw, index: u16) -> Result<(), PortError> {
        let Some(filter) = self.filters.get(&index) else { return Err(PortError::UnknownFlow) };
        let hash = hash(index, filter);
        // 7.1.2.7.12: a filter that is not there must not be removed, which a query tells.
        hw.regs.single::<FDIRHASH>().write(hash);
        if command(hw, FDIRCMD::default().with_cmd(QUERY))?.filter_valid() {
            hw.regs.single::<FDIRHASH>().write(hash);
            command(hw, FDIRCMD::default().with_cmd(REMOVE))?;
        }
        self.filters.remove(&index);
        if self.filters.is_empty() {
            self.fields = None;
        }
        Ok(())
    }

    /// Starts the flow director and writes the filters, on a device that was just reset (7.1.2.7.13).
    pub(super) fn apply(&self, hw: &Hw) -> Result<(), PortError> {
        hw.regs.single::<FDIRHKEY>().write(FDIRHKEY::new(BUCKET_KEY));
        hw.regs.single::<FDIRSKEY>().write(FDIRSKEY::new(SIGNATURE_KEY));
        let control = FDIRCTRL::default()
            .with_pballoc(self.memory.code())
            .with_perfect_match(true)
            .with_report_status(true)
            .with_drop_queue(DROP_QUEUE)
            // What Linux and DPDK choose: lists of up to 10, a warning at 4 times 16 free filters.
            .with_flex_offset(6)
            .with_max_length(10)
            .with_full_thresh(4);
        hw.regs.single::<FDIRCTRL>().write(control);
        hw.poll("flow director initialisation (FDIRCTRL.INIT_DONE)", 10)
            .register(hw.regs.single(), |control: FDIRCTRL| control.init_done())?;
        if let Some(fields) = &self.fields {
            fields.write(hw)?;
        }
        self.filters.iter().try_for_each(|(index, filter)| write(hw, *index, filter))
    }
}

/// The highest index: 15 bits.
const LAST: u16 = 0x7fff;

fn hash(index: u16, filter: &Filter) -> FDIRHASH {
    FDIRHASH::default().with_hash(filter.key.bucket().into()).with_signature_sw_index(index.into())
}

/// Writes a filter: the command register last.
fn write(hw: &Hw, index: u16, filter: &Filter) -> Result<(), PortError> {
    let regs = &hw.regs;
    let Filter { key, queue } = filter;
    for word in 0..3 {
        regs.at::<FDIRSIPV6>(word)?.write(FDIRSIPV6::default());
    }
    regs.single::<FDIRIPSA>().write(FDIRIPSA::new(key.source));
    regs.single::<FDIRIPDA>().write(FDIRIPDA::new(key.destination));
    let ports = (key.source_port.into(), key.destination_port.into());
    regs.single::<FDIRPORT>().write(FDIRPORT::default().with_source(ports.0).with_destination(ports.1));
    regs.single::<FDIRVLAN>().write(FDIRVLAN::default().with_vlan(key.vlan.into()));
    regs.single::<FDIRHASH>().write(hash(index, filter));
    let add = FDIRCMD::default()
        .with_cmd(ADD)
        .with_filter_update(true)
        .with_last(true)
        .with_l4type(key.l4type)
        .with_queue_en(true)
        .with_drop(queue.is_none())
        .with_rx_queue(queue.map_or(DROP_QUEUE, u32::from));
    command(hw, add).map(drop)
}

/// Sets a command off and waits for its end; returns the answer.
fn command(hw: &Hw, command: FDIRCMD) -> Result<FDIRCMD, PortError> {
    hw.regs.single::<FDIRCMD>().write(command);
    let answer = hw.poll("flow director command (FDIRCMD.CMD)", 1);
    Ok(answer.register(hw.regs.single(), |answer: FDIRCMD| answer.cmd() == 0)?)
}
