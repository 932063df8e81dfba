//! Neither does it take an address that nobody mapped.

use pmd_ixgbe::regs::{Regs, TDBA};
use vfio_hal::Iova;

fn aim(regs: &Regs) {
    let _ = regs.write_bus::<TDBA>(0, Iova(0x1000));
}

fn main() {}
