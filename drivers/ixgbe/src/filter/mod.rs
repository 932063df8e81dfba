//! Which packets come in: addresses, groups, VLANs, promiscuous modes (82599 datasheet 7.1.1).
//!
//! A packet passes if its destination is one of the port's addresses, hits the multicast table, is broadcast, or a
//! promiscuous mode is on; and if its VLAN passes where the VLAN filter is on.
//!
//! Key types: [`Filters`] is everything a port was told, so that [`Filters::apply`] can tell a device again after a
//! reset. Its tables are the family's ([`pmd_intel::filter`]); `mac` (RAL, RAH, MPSAR), `multicast` (MTA) and [`Vlan`]
//! (VFTA, VLNCTRL) tell the device.
//! [`clear_all`] empties the tables that a reset leaves as they were.
//!
//! Neighbours: [`port`](crate::port) applies all of it while receive is off; [`Running`](crate::Running) changes
//! single things while packets flow. Where a packet goes once it is in is [`rss`](crate::rss)'s business.

mod mac;
mod multicast;
#[cfg(test)]
mod tests;
mod vlan;

use pmd_intel::filter::{Addresses, Bits};
use vfio_hal::DeviceError;
use vfio_hal::pmd::{MacAddr, PortError};
use vfio_hal::regs::{Register, Writable};

use crate::Configured;
use crate::hw::Hw;
use crate::regs::{
    ETQF, ETQS, FCTRL, FTQF, Ixgbe, MPSAR, MTA, PFUTA, PFVLVF, PFVLVFB, RAH, RAL, SYNQF, VFTA,
};
use vlan::Vlan;

/// The receive filters of a port.
pub(crate) struct Filters {
    addresses: Addresses<{ mac::ENTRIES - 1 }>,
    groups: Bits,
    vlan: Vlan,
    promiscuous: bool,
    all_multicast: bool,
}

impl Filters {
    /// Returns filters that let packets to `mac` and broadcasts pass, or everything.
    pub(crate) fn new(mac: MacAddr, promiscuous: bool) -> Filters {
        Filters {
            addresses: Addresses::new(mac, mac::ENTRIES),
            groups: Bits::NONE,
            vlan: Vlan::new(),
            promiscuous,
            all_multicast: false,
        }
    }

    /// Returns the port's own address.
    pub(crate) fn mac(&self) -> MacAddr {
        self.addresses.own()
    }

    /// Tells the device everything. Receive must be off (RXCTRL.RXEN).
    pub(crate) fn apply(&self, hw: &mut Hw) -> Result<(), PortError> {
        self.addresses.entries().try_for_each(|(entry, mac)| mac::write(hw, entry, mac))?;
        multicast::apply(hw, &self.groups)?;
        self.vlan.apply(hw)?;
        self.write_modes(hw)
    }

    /// Receives every packet, whatever its address and VLAN, or only those that the filters let pass.
    pub(crate) fn set_promiscuous(&mut self, hw: &mut Hw, on: bool) -> Result<(), PortError> {
        self.promiscuous = on;
        self.write_modes(hw)
    }

    /// Receives every multicast packet, or only listed groups.
    pub(crate) fn set_all_multicast(&mut self, hw: &mut Hw, on: bool) -> Result<(), PortError> {
        self.all_multicast = on;
        self.write_modes(hw)
    }

    /// Changes the port's own address. Packets to either may be lost while it changes.
    pub(crate) fn set_mac(&mut self, hw: &mut Hw, mac: MacAddr) -> Result<(), PortError> {
        self.addresses.replace_own(mac, |entry, mac| mac::write(hw, entry, mac))
    }

    /// Receives packets to a further unicast address; nothing changes if it was added before.
    pub(crate) fn add_mac(&mut self, hw: &mut Hw, mac: MacAddr) -> Result<(), PortError> {
        self.addresses.add(mac, |entry, mac| mac::write(hw, entry, mac))
    }

    /// Stops receiving packets to an address that was added.
    pub(crate) fn remove_mac(&mut self, hw: &mut Hw, mac: MacAddr) -> Result<(), PortError> {
        self.addresses.remove(mac, |entry, mac| mac::write(hw, entry, mac))
    }

    /// Replaces the list of multicast groups. Packets to groups that stay in it are not lost meanwhile.
    pub(crate) fn set_multicast(&mut self, hw: &mut Hw, groups: &[MacAddr]) -> Result<(), PortError> {
        multicast::replace(hw, &mut self.groups, groups)
    }

    /// Filters received packets by VLAN, or lets all pass. Untagged packets always pass.
    pub(crate) fn set_vlan_filter(&mut self, hw: &mut Hw, on: bool) -> Result<(), PortError> {
        self.vlan.set_filter(on);
        self.write_modes(hw)
    }

    /// Lets packets of VLAN `id` pass the VLAN filter, or stops that. 0 is a tag that has a priority only.
    pub(crate) fn set_vlan(&mut self, hw: &mut Hw, id: u16, on: bool) -> Result<(), PortError> {
        self.vlan.set(hw, id, on)
    }

    fn set_outer_tag(&mut self, ethertype: Option<u16>) -> Result<(), PortError> {
        self.vlan.set_outer(ethertype)
    }

    /// Writes what lets whole kinds of packets pass: promiscuous modes, broadcast, and whether VLANs are filtered.
    ///
    /// 8.2.3.7.1 wants receive off for this. Kernel and DPDK drivers write it under traffic, and so does this one:
    /// the bits are looked at once for each packet, while switching receive off and on under traffic is what can hang
    /// the receive DMA unit (the reason for the detour in [`init::enable_receive`](crate::init::enable_receive)).
    fn write_modes(&self, hw: &mut Hw) -> Result<(), PortError> {
        let (unicast, multicast) = (self.promiscuous, self.promiscuous || self.all_multicast);
        hw.regs.modify(|fctrl: FCTRL| {
            fctrl.with_sbp(false).with_upe(unicast).with_mpe(multicast).with_bam(true)
        });
        self.vlan.write_control(hw, self.promiscuous);
        Ok(hw.check()?)
    }
}

impl Configured {
    /// Says that every packet carries an outer tag of this EtherType around the VLAN tag (QinQ), or that none does. The
    /// VLAN filter and the queues' stripping mean the inner tag then.
    ///
    /// A port that runs cannot be told: the device allows the change only while both directions stand still (8.2.3.1.3).
    pub fn set_outer_tag(&mut self, ethertype: Option<u16>) -> Result<(), PortError> {
        self.parts().1.filters.set_outer_tag(ethertype)
    }
}

/// Empties all filter tables, which hold anything after power-on and are not cleared by a reset (4.6.7). The port's
/// own address, which the device has loaded from its EEPROM into entry 0, stays.
pub(crate) fn clear_all(hw: &mut Hw) -> Result<(), PortError> {
    zero::<PFUTA>(hw, 0)?;
    zero::<PFVLVF>(hw, 0)?;
    zero::<MPSAR>(hw, 0)?;
    zero::<PFVLVFB>(hw, 0)?;
    zero::<MTA>(hw, 0)?;
    zero::<FTQF>(hw, 0)?;
    zero::<VFTA>(hw, 0)?;
    zero::<ETQF>(hw, 0)?;
    zero::<ETQS>(hw, 0)?;
    hw.regs.write(SYNQF::default());
    zero::<RAH>(hw, 1)?;
    zero::<RAL>(hw, 1)?;
    Ok(hw.check()?)
}

/// Writes 0 to the entries of a register array from `first` on.
fn zero<R: Register<Map = Ixgbe, Access: Writable>>(hw: &Hw, first: usize) -> Result<(), DeviceError> {
    (first..R::COUNT).try_for_each(|index| hw.regs.at::<R>(index).map(|at| at.write(R::from_raw(0))))
}
