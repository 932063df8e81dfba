//! The filters of layer 2: may this frame come in (datasheet 7.1.1.1 and 7.1.1.2)?
//!
//! Exact addresses (RAL/RAH), the hash tables for multicast (MTA) and unicast (UTA), broadcast, promiscuous modes; then
//! the VLAN filter.
//!
//! Key types: [`L2Filter`], [`Verdict`]. Neighbours: the MAC asks before anything is counted as good.

use pmd_ixgbe::regs::{FCTRL, MCSTCTRL, MTA, PFUTA, RAH, RAL, VFTA, VLNCTRL};

use super::mac::{BROADCAST, mac_bits};
use crate::packet::Parsed;
use crate::regs::RegisterFile;

/// Exact addresses.
const ADDRESSES: usize = 128;

/// What the filters say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nobody wants it.
    Drop,
    /// It is for this port; `inexact` if only a hash table says so. `entry` is the receive address that matched.
    Pass { inexact: bool, entry: Option<usize> },
}

/// The filters, with the valid exact addresses gathered.
#[derive(Default)]
pub(crate) struct L2Filter {
    /// Address, in the byte order of RAL and RAH (the first byte on the wire is the lowest), and its entry.
    exact: Vec<(u64, usize)>,
}

impl L2Filter {
    /// RAL or RAH changed.
    pub(crate) fn reload(&mut self, regs: &RegisterFile) {
        self.exact.clear();
        for entry in 0..ADDRESSES {
            let high = regs.at::<RAH>(entry);
            if high.av() {
                let low = regs.at::<RAL>(entry).bits();
                self.exact.push((u64::from(low) | u64::from(high.rah()) << 32, entry));
            }
        }
    }

    /// Whether `address` is one of the exact ones.
    pub(crate) fn is_own(&self, address: u64) -> bool {
        self.entry(address).is_some()
    }

    fn entry(&self, address: u64) -> Option<usize> {
        self.exact.iter().find(|(exact, _)| *exact == address).map(|(_, entry)| *entry)
    }

    /// Filters a frame of at least 14 bytes.
    pub(crate) fn check(&self, regs: &RegisterFile, frame: &[u8], parsed: &Parsed) -> Verdict {
        let verdict = self.address(regs, mac_bits(frame));
        if verdict != Verdict::Drop && !vlan(regs, parsed) {
            return Verdict::Drop;
        }
        verdict
    }

    fn address(&self, regs: &RegisterFile, to: u64) -> Verdict {
        let fctrl = regs.get::<FCTRL>();
        let pass =
            |on: bool, inexact| if on { Verdict::Pass { inexact, entry: None } } else { Verdict::Drop };
        if to == BROADCAST {
            return pass(fctrl.bam(), false);
        }
        if let Some(entry) = self.entry(to) {
            return Verdict::Pass { inexact: false, entry: Some(entry) };
        }
        // The first bit on the wire is the lowest of the first byte: group addresses have it set.
        let group = to & 1 == 1;
        if if group { fctrl.mpe() } else { fctrl.upe() } {
            return pass(true, false);
        }
        let control = regs.get::<MCSTCTRL>();
        let hash = hash(to, control.mo());
        let row = if group { regs.at::<MTA>(hash >> 5).bits() } else { regs.at::<PFUTA>(hash >> 5).bits() };
        pass(control.mfe() && row >> (hash & 31) & 1 == 1, true)
    }
}

/// The 12 bits of an address that index MTA and UTA: 47:36, 46:35, 45:34 or 43:32 (MCSTCTRL.MO).
pub(crate) fn hash(address: u64, offset: u32) -> usize {
    let shift = [36, 35, 34, 32][offset as usize & 3];
    (address >> shift & 0xFFF) as usize
}

fn vlan(regs: &RegisterFile, parsed: &Parsed) -> bool {
    let control = regs.get::<VLNCTRL>();
    let Some(tag) = parsed.vlan else { return true };
    if control.vfe() {
        let id = usize::from(tag & 0xFFF);
        if regs.at::<VFTA>(id >> 5).bits() >> (id & 31) & 1 == 0 {
            return false;
        }
        if control.cfien() && (tag >> 12 & 1 == 1) != control.cfi() {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(to: [u8; 6], tag: Option<u16>) -> Vec<u8> {
        let mut frame = to.to_vec();
        frame.extend_from_slice(&[2, 0, 0, 0, 0, 9]);
        if let Some(tag) = tag {
            frame.extend_from_slice(&[0x81, 0x00]);
            frame.extend_from_slice(&tag.to_be_bytes());
        }
        frame.extend_from_slice(&[0x88, 0xB5]);
        frame.resize(60, 0);
        frame
    }

    struct Bench(L2Filter, RegisterFile);
    impl Bench {
        fn new() -> Bench {
            let mut regs = RegisterFile::new();
            regs.set_at(5, RAL::new(0x3322_1102));
            regs.set_at(5, RAH::new(0x5544).with_av(true));
            let mut filter = L2Filter::default();
            filter.reload(&regs);
            Bench(filter, regs)
        }
        fn passes(&self, to: [u8; 6], tag: Option<u16>) -> bool {
            let frame = frame(to, tag);
            self.0.check(&self.1, &frame, &Parsed::new(&frame, 0x8100, None)) != Verdict::Drop
        }
    }

    const OWN: [u8; 6] = [0x02, 0x11, 0x22, 0x33, 0x44, 0x55];
    const OTHER: [u8; 6] = [0x02, 0x11, 0x22, 0x33, 0x44, 0x56];
    const GROUP: [u8; 6] = [0x01, 0x00, 0x5E, 0x01, 0x02, 0x03];

    #[test]
    fn exact_addresses_need_av() {
        let mut bench = Bench::new();
        assert!(bench.passes(OWN, None) && !bench.passes(OTHER, None));
        bench.1.set_at(5, RAH::new(0x5544));
        bench.0.reload(&bench.1);
        assert!(!bench.passes(OWN, None));
    }

    #[test]
    fn promiscuous_modes_are_separate() {
        let mut bench = Bench::new();
        bench.1.set(FCTRL::default().with_upe(true));
        assert!(bench.passes(OTHER, None) && !bench.passes(GROUP, None) && !bench.passes([0xFF; 6], None));
        bench.1.set(FCTRL::default().with_mpe(true));
        assert!(!bench.passes(OTHER, None) && bench.passes(GROUP, None) && !bench.passes([0xFF; 6], None));
        bench.1.set(FCTRL::default().with_bam(true));
        assert!(!bench.passes(OTHER, None) && !bench.passes(GROUP, None) && bench.passes([0xFF; 6], None));
    }

    #[test]
    fn the_multicast_hash_takes_the_bits_that_mo_says() {
        // 01:00:5E:01:02:03: bits 47:32 of the address are 0302.
        for (offset, expected) in [(0, 0x030), (1, 0x060), (2, 0x0C0), (3, 0x302)] {
            let mut bench = Bench::new();
            bench.1.set(MCSTCTRL::default().with_mfe(true).with_mo(offset));
            assert!(!bench.passes(GROUP, None));
            bench.1.set_at(expected >> 5, MTA::new(1 << (expected & 31)));
            assert!(bench.passes(GROUP, None), "MO {offset}");
            bench.1.set(MCSTCTRL::default().with_mo(offset));
            assert!(!bench.passes(GROUP, None), "the table is off");
        }
    }

    #[test]
    fn the_vlan_filter_lets_untagged_frames_be() {
        let mut bench = Bench::new();
        assert!(bench.passes(OWN, Some(7)), "off: every tag passes");
        bench.1.set(VLNCTRL::new(0x8100).with_vfe(true));
        assert!(bench.passes(OWN, None) && !bench.passes(OWN, Some(0x6007)));
        bench.1.set_at(0, VFTA::new(1 << 7));
        assert!(bench.passes(OWN, Some(0x6007)), "the priority does not matter");
        bench.1.set(VLNCTRL::new(0x8100).with_vfe(true).with_cfien(true));
        assert!(bench.passes(OWN, Some(7)) && !bench.passes(OWN, Some(0x1007)));
    }
}
