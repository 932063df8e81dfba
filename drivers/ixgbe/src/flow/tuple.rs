//! 5-tuple filters and the SYN filter (82599 datasheet 7.1.2.4, 7.1.2.5, 8.2.3.7.16 to 8.2.3.7.20).

use core::net::{IpAddr, Ipv4Addr};

use alloc::collections::BTreeMap;
use vfio_hal::pmd::{FlowTuple, IpProtocol, PortError};
use vfio_hal::regs::Register;

use crate::hw::Hw;
use crate::regs::{DAQF, FTQF, L34TIMIR, SAQF, SDPQF, SYNQF};

/// FTQF.mask: a 1 leaves the field out.
mod mask {
    pub(super) const SOURCE: u32 = 1 << 0;
    pub(super) const DESTINATION: u32 = 1 << 1;
    pub(super) const SOURCE_PORT: u32 = 1 << 2;
    pub(super) const DESTINATION_PORT: u32 = 1 << 3;
    pub(super) const PROTOCOL: u32 = 1 << 4;
}

/// One filter, as its registers have it.
#[derive(Clone, Copy)]
struct Filter {
    source: SAQF,
    destination: DAQF,
    ports: SDPQF,
    action: L34TIMIR,
    key: FTQF,
}

/// The tables.
#[derive(Default)]
pub(super) struct Tuples {
    filters: BTreeMap<u8, Filter>,
    syn: Option<u16>,
}

/// Returns whether the table can hold it: IPv4, no VLAN.
pub(super) fn fits(tuple: &FlowTuple) -> bool {
    let v6 = |address: Option<IpAddr>| matches!(address, Some(IpAddr::V6(_)));
    tuple.vlan.is_none() && !v6(tuple.source) && !v6(tuple.destination)
}

/// Returns an address as the registers hold it: the first byte on the wire is the lowest.
pub(super) fn on_wire(address: Option<IpAddr>) -> Result<u32, PortError> {
    match address {
        None => Ok(0),
        Some(IpAddr::V4(address)) => Ok(u32::from_le_bytes(Ipv4Addr::octets(&address))),
        Some(IpAddr::V6(_)) => Err(PortError::Unsupported {
            what: "a flow rule by IPv6 addresses: the device compares IPv4's only",
        }),
    }
}

/// Ports without a protocol would be compared with bytes that are none.
pub(super) fn check_ports(tuple: &FlowTuple) -> Result<(), PortError> {
    let ports = tuple.source_port.is_some() || tuple.destination_port.is_some();
    if ports && tuple.protocol.is_none() {
        return Err(PortError::Invalid { what: "a flow rule with ports needs a protocol: TCP, UDP or SCTP" });
    }
    Ok(())
}

impl Filter {
    fn new(tuple: &FlowTuple, queue: u16, priority: u8) -> Result<Filter, PortError> {
        check_ports(tuple)?;
        if !(1..=7).contains(&priority) {
            let value = priority.into();
            return Err(PortError::OutOfRange { what: "the flow rule's priority", value, min: 1, max: 7 });
        }
        // 8.2.3.7.18: ports are in the order of the wire, too.
        let port = |port: Option<u16>| u32::from(port.unwrap_or(0).swap_bytes());
        let left_out = |absent: bool, bit: u32| if absent { bit } else { 0 };
        let mask = left_out(tuple.source.is_none(), mask::SOURCE)
            | left_out(tuple.destination.is_none(), mask::DESTINATION)
            | left_out(tuple.source_port.is_none(), mask::SOURCE_PORT)
            | left_out(tuple.destination_port.is_none(), mask::DESTINATION_PORT)
            | left_out(tuple.protocol.is_none(), mask::PROTOCOL);
        let protocol = match tuple.protocol {
            Some(IpProtocol::Tcp) | None => 0,
            Some(IpProtocol::Udp) => 1,
            Some(IpProtocol::Sctp) => 2,
        };
        Ok(Filter {
            source: SAQF::new(on_wire(tuple.source)?),
            destination: DAQF::new(on_wire(tuple.destination)?),
            ports: SDPQF::default()
                .with_source_port(port(tuple.source_port))
                .with_destination_port(port(tuple.destination_port)),
            action: L34TIMIR::default().with_size_bp(true).with_rx_queue(queue.into()),
            key: FTQF::default()
                .with_protocol(protocol)
                .with_priority(priority.into())
                .with_mask(mask)
                .with_pool_mask(true)
                .with_queue_enable(true),
        })
    }

    /// The key goes last: with it the filter is in force.
    fn write(&self, hw: &Hw, index: u8) -> Result<(), PortError> {
        let index = usize::from(index);
        hw.regs.at::<SAQF>(index)?.write(self.source);
        hw.regs.at::<DAQF>(index)?.write(self.destination);
        hw.regs.at::<SDPQF>(index)?.write(self.ports);
        hw.regs.at::<L34TIMIR>(index)?.write(self.action);
        hw.regs.at::<FTQF>(index)?.write(self.key);
        Ok(hw.check()?)
    }
}

impl Tuples {
    /// Adds a filter; returns its place.
    pub(super) fn add(
        &mut self,
        hw: &Hw,
        tuple: &FlowTuple,
        queue: u16,
        priority: u8,
    ) -> Result<u8, PortError> {
        let filter = Filter::new(tuple, queue, priority)?;
        let full = PortError::TableFull { what: "5-tuple filters", capacity: FTQF::COUNT as u32 };
        let index = (0..FTQF::COUNT as u8).find(|index| !self.filters.contains_key(index)).ok_or(full)?;
        filter.write(hw, index)?;
        self.filters.insert(index, filter);
        Ok(index)
    }

    /// Removes a filter.
    pub(super) fn remove(&mut self, hw: &Hw, index: u8) -> Result<(), PortError> {
        hw.regs.at::<FTQF>(index.into())?.write(FTQF::default());
        hw.check()?;
        self.filters.remove(&index);
        Ok(())
    }

    /// Sends what opens connections to a queue, unless a 5-tuple filter says otherwise.
    pub(super) fn set_syn(&mut self, hw: &Hw, queue: u16) -> Result<(), PortError> {
        if self.syn.is_some() {
            return Err(PortError::TableFull { what: "SYN filter", capacity: 1 });
        }
        write_syn(hw, Some(queue))?;
        self.syn = Some(queue);
        Ok(())
    }

    /// Treats what opens connections like everything else.
    pub(super) fn clear_syn(&mut self, hw: &Hw) -> Result<(), PortError> {
        write_syn(hw, None)?;
        self.syn = None;
        Ok(())
    }

    /// Writes the filters into empty tables.
    pub(super) fn apply(&self, hw: &Hw) -> Result<(), PortError> {
        self.filters.iter().try_for_each(|(index, filter)| filter.write(hw, *index))?;
        self.syn.map_or(Ok(()), |queue| write_syn(hw, Some(queue)))
    }
}

fn write_syn(hw: &Hw, queue: Option<u16>) -> Result<(), PortError> {
    let on = queue.map(|queue| SYNQF::default().with_queue_enable(true).with_rx_queue(queue.into()));
    hw.regs.single::<SYNQF>().write(on.unwrap_or_default());
    Ok(hw.check()?)
}
