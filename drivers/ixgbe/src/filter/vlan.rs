//! VLAN filter and the types of VLAN tags (82599 datasheet 7.4, 8.2.3.7.2, 8.2.3.7.11).
//!
//! [`Vlan`] is a copy of the table of 4,096 bits, one for each VLAN, whether it is in force, and whether packets carry
//! a second tag. Whether a tag is taken out of a packet is each queue's own setting (RXDCTL.VME), see
//! [`RxQueue::set_vlan_strip`](crate::RxQueue::set_vlan_strip).

use pmd_intel::filter::Bits;
use vfio_hal::pmd::PortError;

use crate::hw::{Chip, Hw};
use crate::regs::{CTRL_EXT, DMATXCTL, EXVET, PFVTCTL, VFTA, VLNCTRL};

/// The EtherType of a VLAN tag (IEEE 802.1Q).
const TAG: u16 = 0x8100;

/// PFVTCTL, pooling mode of the X550: must be 0 with a second tag.
const POOLING_MODE: u32 = 3 << 16;

pub(super) struct Vlan {
    table: Bits,
    filter: bool,
    outer: Option<u16>,
}

impl Vlan {
    pub(super) fn new() -> Vlan {
        Vlan { table: Bits::NONE, filter: false, outer: None }
    }

    /// Writes the table and the types of tags. What is in force comes with [`write_control`](Self::write_control).
    pub(super) fn apply(&self, hw: &mut Hw) -> Result<(), PortError> {
        for (index, word) in self.table.words() {
            hw.regs.at::<VFTA>(index)?.write(VFTA::new(word));
        }
        self.write_outer(hw);
        Ok(hw.check()?)
    }

    pub(super) fn set(&mut self, hw: &mut Hw, id: u16, on: bool) -> Result<(), PortError> {
        let (index, word) = self.table.set(id, on)?;
        hw.regs.at::<VFTA>(index)?.write(VFTA::new(word));
        Ok(hw.check()?)
    }

    pub(super) fn set_filter(&mut self, on: bool) {
        self.filter = on;
    }

    pub(super) fn set_outer(&mut self, ethertype: Option<u16>) -> Result<(), PortError> {
        // Below 1536 the field is a length (IEEE 802.3).
        if ethertype.is_some_and(|ethertype| ethertype < 0x600) {
            return Err(PortError::Invalid {
                what: "an outer tag's EtherType is 0x600 or more: 0x88a8 is the standard's, 0x8100 is common",
            });
        }
        self.outer = ethertype;
        Ok(())
    }

    /// Writes whether the filter is in force: not while the port is promiscuous, which would not see all otherwise.
    pub(super) fn write_control(&self, hw: &Hw, promiscuous: bool) {
        let filter = self.filter && !promiscuous;
        hw.regs.write(VLNCTRL::default().with_vet(TAG.into()).with_cfien(false).with_vfe(filter));
    }

    /// Writes both ways' idea of tags; a reset by software may leave CTRL_EXT's as it was (8.2.3.1.3).
    fn write_outer(&self, hw: &mut Hw) {
        let double = self.outer.is_some();
        hw.regs.modify(|dmatxctl: DMATXCTL| dmatxctl.with_gdv(double).with_vt(TAG.into()));
        if let Some(ethertype) = self.outer {
            hw.regs.write(EXVET::default().with_vet_ext(ethertype.into()));
            if hw.model.chip == Chip::X550 {
                hw.regs.modify(|pfvtctl: PFVTCTL| PFVTCTL::new(pfvtctl.bits() & !POOLING_MODE));
            }
        }
        hw.regs.modify(|ctrl_ext: CTRL_EXT| ctrl_ext.with_extended_vlan(double));
    }
}
