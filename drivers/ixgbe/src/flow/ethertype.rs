//! EtherType filters (82599 datasheet 7.1.2.3, 8.2.3.7.21, 8.2.3.7.22).

use vfio_hal::pmd::PortError;
use vfio_hal::regs::Register;

use crate::hw::Hw;
use crate::regs::{ETQF, ETQS};

/// EtherTypes that the device does not filter by: IP has tables of its own (DPDK refuses them too).
const IP: [u16; 2] = [0x0800, 0x86dd];

/// The table: an EtherType and a queue each.
#[derive(Default)]
pub(super) struct EtherTypes([Option<(u16, u16)>; ETQF::COUNT]);

impl EtherTypes {
    /// Adds a filter; returns its place.
    pub(super) fn add(&mut self, hw: &Hw, ethertype: u16, queue: u16) -> Result<u8, PortError> {
        if IP.contains(&ethertype) {
            return Err(PortError::Unsupported {
                what: "a flow rule by the EtherType of IP: use a tuple, which may be empty",
            });
        }
        if self.0.iter().flatten().any(|(taken, _)| *taken == ethertype) {
            return Err(PortError::Invalid {
                what: "there is a flow rule for this EtherType already: remove it first",
            });
        }
        let full = PortError::TableFull { what: "EtherType filters", capacity: ETQF::COUNT as u32 };
        let index = self.0.iter().position(Option::is_none).ok_or(full)?;
        write(hw, index, Some((ethertype, queue)))?;
        if let Some(place) = self.0.get_mut(index) {
            *place = Some((ethertype, queue));
        }
        Ok(index as u8)
    }

    /// Removes a filter.
    pub(super) fn remove(&mut self, hw: &Hw, index: u8) -> Result<(), PortError> {
        write(hw, index.into(), None)?;
        if let Some(place) = self.0.get_mut(usize::from(index)) {
            *place = None;
        }
        Ok(())
    }

    /// Writes the filters into an empty table.
    pub(super) fn apply(&self, hw: &Hw) -> Result<(), PortError> {
        let mut used = self.0.iter().enumerate().filter(|(_, filter)| filter.is_some());
        used.try_for_each(|(index, filter)| write(hw, index, *filter))
    }
}

/// The queue goes first: the filter is in force with the other register.
fn write(hw: &Hw, index: usize, filter: Option<(u16, u16)>) -> Result<(), PortError> {
    let (select, key) = match filter {
        Some((ethertype, queue)) => (
            ETQS::default().with_rx_queue(queue.into()).with_queue_en(true),
            ETQF::default().with_etype(ethertype.into()).with_filter_en(true),
        ),
        None => Default::default(),
    };
    if filter.is_none() {
        hw.regs.at::<ETQF>(index)?.write(key);
    }
    hw.regs.at::<ETQS>(index)?.write(select);
    if filter.is_some() {
        hw.regs.at::<ETQF>(index)?.write(key);
    }
    Ok(hw.check()?)
}
