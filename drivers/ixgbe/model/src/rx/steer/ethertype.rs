//! EtherType filters: what is not IP to a queue of its own (datasheet 7.1.2.3).
//!
//! Neighbours: [`steer`](super) asks them before all others.

use pmd_ixgbe::regs::{ETQF, ETQS};
use vfio_hal::regs::Register;

use crate::packet::Parsed;
use crate::regs::RegisterFile;

/// A filter that matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Match {
    /// Which of the eight; the descriptor tells it.
    pub(crate) index: usize,
    /// Where the packet goes, if the filter decides that.
    pub(crate) queue: Option<usize>,
    /// A low-latency interrupt is asked for.
    pub(crate) immediate: bool,
    /// The filter marks IEEE 1588 packets.
    pub(crate) ieee1588: bool,
}

/// The filters that are on, for a quick no.
#[derive(Default)]
pub(crate) struct EtherTypes {
    enabled: u8,
}

impl EtherTypes {
    /// ETQF was written.
    pub(crate) fn reload(&mut self, regs: &RegisterFile) {
        let on = (0..ETQF::COUNT).filter(|i| regs.at::<ETQF>(*i).filter_en());
        self.enabled = on.fold(0, |bits, i| bits | 1 << i);
    }

    /// The first filter that matches.
    #[inline]
    pub(crate) fn find(&self, regs: &RegisterFile, parsed: &Parsed) -> Option<Match> {
        if self.enabled == 0 {
            return None;
        }
        let index = (0..ETQF::COUNT).find(|i| {
            let filter = regs.at::<ETQF>(*i);
            let priority = || parsed.vlan.map(|tag| u32::from(tag >> 13));
            filter.filter_en()
                && filter.etype() == u32::from(parsed.ethertype)
                && (!filter.up_en() || priority() == Some(filter.up()))
        })?;
        let select = regs.at::<ETQS>(index);
        Some(Match {
            index,
            queue: select.queue_en().then_some(select.rx_queue() as usize),
            immediate: select.lli(),
            ieee1588: regs.at::<ETQF>(index).ieee1588(),
        })
    }
}
