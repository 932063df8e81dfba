//! Which packets come in: addresses, groups, VLANs, promiscuous modes (82576 datasheet 7.1.2, 8.10).
//!
//! A packet passes if its destination is one of the port's addresses, hits the multicast table, is broadcast, or a
//! promiscuous mode is on; and if its VLAN passes where the VLAN filter is on.
//!
//! Key types: [`Filters`] is everything a port was told, so that [`Filters::apply`] can tell a device again after a
//! reset. Its tables are the family's ([`pmd_intel::filter`]). [`clear_all`] empties the tables that a reset leaves as
//! they were.
//!
//! Neighbours: [`port`](crate::port) applies all of it while receive is off; [`Running`](crate::Running) changes
//! single things while packets flow. Where a packet goes once it is in is [`rss`](crate::rss)'s business.

mod vlan;

use pmd_intel::filter::{Addresses, Bits, address_words};
use vfio_hal::DeviceError;
use vfio_hal::pmd::{MacAddr, PortError};
use vfio_hal::regs::{Register, Writable};

use crate::Configured;
use crate::hw::{Chip, Hw};
use crate::regs::{ETQF, FTQF, Igb, MTA, RAH, RAL, RCTL, SYNQF, UTA, VLVF, VT_CTL};
use vlan::Vlan;

/// Addresses besides the port's own that the larger table (the I350's) holds.
const ADDED: usize = 31;

/// RCTL.MO: the multicast table is indexed by bits 47:36 of an address.
const BITS_47_36: u32 = 0;

/// The receive filters of a port.
pub(crate) struct Filters {
    addresses: Addresses<ADDED>,
    groups: Bits,
    vlan: Vlan,
    promiscuous: bool,
    all_multicast: bool,
}

impl Filters {
    /// Returns filters that let packets to `mac` and broadcasts pass, or everything.
    pub(crate) fn new(chip: Chip, mac: MacAddr, promiscuous: bool, vlan_strip: bool) -> Filters {
        let entries = match chip {
            Chip::I82576 => 24,
            Chip::I350 => 32,
        };
        Filters {
            addresses: Addresses::new(mac, entries),
            groups: Bits::NONE,
            vlan: Vlan::new(vlan_strip),
            promiscuous,
            all_multicast: false,
        }
    }

    /// Returns the port's own address.
    pub(crate) fn mac(&self) -> MacAddr {
        self.addresses.own()
    }

    /// Tells the device everything. Receive must be off (RCTL.RXEN).
    pub(crate) fn apply(&self, hw: &mut Hw) -> Result<(), PortError> {
        self.addresses.entries().try_for_each(|(entry, mac)| write_address(hw, entry, mac))?;
        for (index, word) in self.groups.words() {
            hw.regs.at::<MTA>(index)?.write(MTA::new(word));
        }
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
        self.addresses.replace_own(mac, |entry, mac| write_address(hw, entry, mac))
    }

    /// Receives packets to a further unicast address; nothing changes if it was added before.
    pub(crate) fn add_mac(&mut self, hw: &mut Hw, mac: MacAddr) -> Result<(), PortError> {
        self.addresses.add(mac, |entry, mac| write_address(hw, entry, mac))
    }

    /// Stops receiving packets to an address that was added.
    pub(crate) fn remove_mac(&mut self, hw: &mut Hw, mac: MacAddr) -> Result<(), PortError> {
        self.addresses.remove(mac, |entry, mac| write_address(hw, entry, mac))
    }

    /// Replaces the list of multicast groups. Packets to groups that stay in it are not lost meanwhile.
    pub(crate) fn set_multicast(&mut self, hw: &mut Hw, groups: &[MacAddr]) -> Result<(), PortError> {
        self.groups.replace(Bits::of_groups(groups)?, |index, word| {
            hw.regs.at::<MTA>(index)?.write(MTA::new(word));
            Ok(())
        })?;
        Ok(hw.check()?)
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

    /// Takes VLAN tags out of received packets, or leaves them in.
    pub(crate) fn set_vlan_strip(&mut self, hw: &mut Hw, on: bool) -> Result<(), PortError> {
        self.vlan.set_strip(hw, on)
    }

    /// Writes what lets whole kinds of packets pass: promiscuous modes, broadcast, and whether VLANs are filtered: not while
    /// the port is promiscuous, which would not see all otherwise.
    fn write_modes(&self, hw: &mut Hw) -> Result<(), PortError> {
        let (unicast, multicast) = (self.promiscuous, self.promiscuous || self.all_multicast);
        let vlan = self.vlan.filters() && !self.promiscuous;
        hw.regs.modify(|rctl: RCTL| {
            let rctl = rctl.with_sbp(false).with_upe(unicast).with_mpe(multicast).with_bam(true);
            rctl.with_mo(BITS_47_36).with_vfe(vlan).with_cfien(false)
        });
        Ok(hw.check()?)
    }
}

/// Writes one entry of the address table. It is not valid while it changes, so that no mix of two addresses matches, and
/// AV comes last.
fn write_address(hw: &mut Hw, entry: usize, mac: Option<MacAddr>) -> Result<(), PortError> {
    hw.regs.at::<RAH>(entry)?.write(RAH::default());
    let (low, high) = address_words(mac.unwrap_or_default());
    hw.regs.at::<RAL>(entry)?.write(RAL::new(low));
    if mac.is_some() {
        hw.regs.at::<RAH>(entry)?.write(RAH::default().with_rah(high).with_av(true));
    }
    Ok(hw.check()?)
}

impl Configured {
    /// Says that every packet carries an outer tag of this EtherType around the VLAN tag (QinQ), or that none does. The
    /// VLAN filter and stripping mean the inner tag then.
    pub fn set_outer_tag(&mut self, ethertype: Option<u16>) -> Result<(), PortError> {
        self.parts().1.filters.vlan.set_outer(ethertype)
    }
}

/// Empties all filter tables, which hold anything after power-on and are not cleared by a reset (4.5.9). The port's
/// own address, which the device has loaded from its NVM into entry 0, stays.
pub(crate) fn clear_all(hw: &mut Hw) -> Result<(), PortError> {
    hw.regs.write(VT_CTL::default());
    zero::<UTA>(hw, 0)?;
    zero::<VLVF>(hw, 0)?;
    zero::<MTA>(hw, 0)?;
    zero::<ETQF>(hw, 0)?;
    zero::<FTQF>(hw, 0)?;
    hw.regs.write(SYNQF::default());
    zero::<RAH>(hw, 1)?;
    zero::<RAL>(hw, 1)?;
    Ok(hw.check()?)
}

/// Writes 0 to the entries of a register array from `first` on.
fn zero<R: Register<Map = Igb, Access: Writable>>(hw: &Hw, first: usize) -> Result<(), DeviceError> {
    (first..R::COUNT).try_for_each(|index| hw.regs.at::<R>(index).map(|at| at.write(R::from_raw(0))))
}
