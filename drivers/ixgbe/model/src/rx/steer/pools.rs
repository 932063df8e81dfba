//! VMDq pools: which pool a packet belongs to (datasheet 7.10.3.3).
//!
//! Address and VLAN each allow a set of pools; the packet goes to the pools in both that may receive, else to the default
//! pool: a copy to each of them with PFVTCTL.RPL_EN, otherwise to the lowest. Not modelled: switching between pools, mirrors.
//!
//! Neighbours: [`steer`](super) asks when PFVTCTL has pools on.

use pmd_ixgbe::regs::{MCSTCTRL, MPSAR, PFUTA, PFVFRE, PFVLVF, PFVLVFB, PFVML2FLT, PFVTCTL};
use vfio_hal::regs::Register;

use crate::packet::Parsed;
use crate::regs::RegisterFile;
use crate::rx::filter::hash;
use crate::rx::mac::{BROADCAST, mac_bits};

/// The pools, a bit each; none to drop the packet. `exact` is the receive address that matched.
pub(crate) fn find(regs: &RegisterFile, frame: &[u8], parsed: &Parsed, exact: Option<usize>) -> u64 {
    let control = regs.get::<PFVTCTL>();
    let pair = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
    let mut pools = match exact {
        Some(entry) => pair(regs.at::<MPSAR>(2 * entry).bits(), regs.at::<MPSAR>(2 * entry + 1).bits()),
        None => 0,
    };
    pools |= by_class(regs, mac_bits(frame), exact.is_some());
    pools &= match parsed.vlan {
        Some(tag) => by_vlan(regs, u32::from(tag & 0xFFF)),
        None => of_pools(|pool| regs.at::<PFVML2FLT>(pool).aupe()),
    };
    if pools == 0 && !control.dis_def_pool() {
        pools = 1 << control.def_pl();
    }
    pools &= pair(regs.at::<PFVFRE>(0).bits(), regs.at::<PFVFRE>(1).bits());
    if control.rpl_en() { pools } else { pools & pools.wrapping_neg() }
}

fn of_pools(wants: impl Fn(usize) -> bool) -> u64 {
    (0..PFVML2FLT::COUNT).fold(0, |pools, pool| pools | u64::from(wants(pool)) << pool)
}

/// Pools that take what is not addressed to anyone alone.
fn by_class(regs: &RegisterFile, to: u64, exact: bool) -> u64 {
    let accepts = |pool| regs.at::<PFVML2FLT>(pool);
    if to == BROADCAST {
        of_pools(|pool| accepts(pool).bam())
    } else if to & 1 == 1 {
        of_pools(|pool| accepts(pool).mpe() || accepts(pool).rompe())
    } else if exact {
        0
    } else {
        let bit = hash(to, regs.get::<MCSTCTRL>().mo());
        let listed = regs.at::<PFUTA>(bit >> 5).bits() >> (bit & 31) & 1 == 1;
        of_pools(|pool| listed && accepts(pool).rope())
    }
}

fn by_vlan(regs: &RegisterFile, id: u32) -> u64 {
    let entry = (0..PFVLVF::COUNT).find(|i| {
        let entry = regs.at::<PFVLVF>(*i);
        entry.vi_en() && entry.vlan_id() == id
    });
    entry.map_or(0, |i| {
        u64::from(regs.at::<PFVLVFB>(2 * i + 1).bits()) << 32 | u64::from(regs.at::<PFVLVFB>(2 * i).bits())
    })
}
