//! EtherType filters (82599 datasheet 7.1.2.3, 8.2.3.7.21, 8.2.3.7.22).

use vfio_hal::pmd::PortError;
use vfio_hal::regs::Register;

use crate::hw::Hw;
use crate::regs::{ETQF, ETQS};
use crate::time::PTP;

/// EtherTypes that the device does not filter by: IP has tables of its own (DPDK refuses them too).
const IP: [u16; 2] = [0x0800, 0x86dd];

/// One filter.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Filter {
    ethertype: u16,
    /// Where its packets go; as all others if there is none.
    queue: Option<u16>,
    /// Its packets are timed.
    ptp: bool,
}

/// The table.
#[derive(Default)]
pub(super) struct EtherTypes([Option<Filter>; ETQF::COUNT]);

impl EtherTypes {
    /// Adds a filter that chooses a queue; returns its place.
    pub(super) fn add(&mut self, hw: &Hw, ethertype: u16, queue: u16) -> Result<u8, PortError> {
        if IP.contains(&ethertype) {
            return Err(PortError::Unsupported {
                what: "a flow rule by the EtherType of IP: use a tuple, which may be empty",
            });
        }
        if self.0.iter().flatten().any(|filter| filter.ethertype == ethertype) {
            return Err(PortError::Invalid {
                what: "there is a filter for this EtherType already: remove that flow rule, or disable time synchronisation",
            });
        }
        self.put(hw, Filter { ethertype, queue: Some(queue), ptp: false })
    }

    /// Lets PTP packets be timed, whether a rule gives them a queue or not.
    pub(super) fn enable_ptp(&mut self, hw: &Hw) -> Result<(), PortError> {
        match self.ptp_place() {
            Some((index, filter)) => self.set(hw, index, Some(Filter { ptp: true, ..filter })),
            None => self.put(hw, Filter { ethertype: PTP, queue: None, ptp: true }).map(drop),
        }
    }

    /// Ends that.
    pub(super) fn disable_ptp(&mut self, hw: &Hw) -> Result<(), PortError> {
        let Some((index, filter)) = self.ptp_place() else { return Ok(()) };
        let rest = filter.queue.is_some().then_some(Filter { ptp: false, ..filter });
        self.set(hw, index, rest)
    }

    fn ptp_place(&self) -> Option<(usize, Filter)> {
        let mut used = self.0.iter().enumerate().filter_map(|(index, filter)| Some((index, (*filter)?)));
        used.find(|(_, filter)| filter.ethertype == PTP)
    }

    fn put(&mut self, hw: &Hw, filter: Filter) -> Result<u8, PortError> {
        let full = PortError::TableFull { what: "EtherType filters", capacity: ETQF::COUNT as u32 };
        let index = self.0.iter().position(Option::is_none).ok_or(full)?;
        self.set(hw, index, Some(filter))?;
        Ok(index as u8)
    }

    fn set(&mut self, hw: &Hw, index: usize, filter: Option<Filter>) -> Result<(), PortError> {
        write(hw, index, filter)?;
        if let Some(place) = self.0.get_mut(index) {
            *place = filter;
        }
        Ok(())
    }

    /// Takes a rule's filter away; what times packets stays.
    pub(super) fn remove(&mut self, hw: &Hw, index: u8) -> Result<(), PortError> {
        let index = usize::from(index);
        let rest = self.0.get(index).copied().flatten().filter(|filter| filter.ptp);
        self.set(hw, index, rest.map(|filter| Filter { queue: None, ..filter }))
    }

    /// Writes the filters into an empty table. Packets are timed no more: the reset took the clock.
    pub(super) fn apply(&mut self, hw: &Hw) -> Result<(), PortError> {
        self.disable_ptp(hw)?;
        let mut used = self.0.iter().enumerate().filter(|(_, filter)| filter.is_some());
        used.try_for_each(|(index, filter)| write(hw, index, *filter))
    }
}

/// The queue goes first: the filter is in force with the other register.
fn write(hw: &Hw, index: usize, filter: Option<Filter>) -> Result<(), PortError> {
    let queue = filter.and_then(|filter| filter.queue);
    let select = queue.map(|queue| ETQS::default().with_rx_queue(queue.into()).with_queue_en(true));
    let key = filter.map(|filter| {
        ETQF::default().with_etype(filter.ethertype.into()).with_ieee1588(filter.ptp).with_filter_en(true)
    });
    if key.is_none() {
        hw.regs.at::<ETQF>(index)?.write(ETQF::default());
    }
    hw.regs.at::<ETQS>(index)?.write(select.unwrap_or_default());
    if let Some(key) = key {
        hw.regs.at::<ETQF>(index)?.write(key);
    }
    Ok(hw.check()?)
}
