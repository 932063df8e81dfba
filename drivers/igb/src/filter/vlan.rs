//! VLAN filter, stripping, and the types of VLAN tags (82576 datasheet 7.4, 8.10).
//!
//! [`Vlan`] is a copy of the table of 4,096 bits, one for each VLAN, whether it is in force, whether tags are taken out,
//! and whether packets carry a second tag.

use pmd_intel::filter::Bits;
use vfio_hal::pmd::PortError;

use crate::hw::{Chip, Hw};
use crate::regs::{CTRL, CTRL_EXT, DVMOLR, VET, VFTA};

/// The EtherType of a VLAN tag (IEEE 802.1Q).
const TAG: u16 = 0x8100;

pub(super) struct Vlan {
    table: Bits,
    filter: bool,
    strip: bool,
    outer: Option<u16>,
}

impl Vlan {
    pub(super) fn new(strip: bool) -> Vlan {
        Vlan { table: Bits::NONE, filter: false, strip, outer: None }
    }

    /// Returns whether the filter is to be in force.
    pub(super) fn filters(&self) -> bool {
        self.filter
    }

    pub(super) fn set_filter(&mut self, on: bool) {
        self.filter = on;
    }

    /// Writes the table, the types of tags, and whether they are taken out.
    pub(super) fn apply(&self, hw: &mut Hw) -> Result<(), PortError> {
        for (index, word) in self.table.words() {
            hw.regs.at::<VFTA>(index)?.write(VFTA::new(word));
        }
        let outer = self.outer.unwrap_or(TAG);
        hw.regs.write(VET::default().with_vet(TAG.into()).with_vet_ext(outer.into()));
        hw.regs.modify(|ctrl_ext: CTRL_EXT| ctrl_ext.with_ext_vlan(self.outer.is_some()));
        self.write_strip(hw)
    }

    pub(super) fn set(&mut self, hw: &mut Hw, id: u16, on: bool) -> Result<(), PortError> {
        let (index, word) = self.table.set(id, on)?;
        hw.regs.at::<VFTA>(index)?.write(VFTA::new(word));
        Ok(hw.check()?)
    }

    pub(super) fn set_strip(&mut self, hw: &mut Hw, on: bool) -> Result<(), PortError> {
        self.strip = on;
        self.write_strip(hw)
    }

    fn write_strip(&self, hw: &mut Hw) -> Result<(), PortError> {
        hw.regs.modify(|ctrl: CTRL| ctrl.with_vme(self.strip));
        if hw.model.chip == Chip::I350 {
            for queue in 0..hw.model.chip.queues() {
                hw.regs.at_mut::<DVMOLR>(queue.into())?.modify(|dvmolr| dvmolr.with_strvlan(self.strip));
            }
        }
        Ok(hw.check()?)
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
}
