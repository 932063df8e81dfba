//! A register that takes a bus address does not take a number.

use pmd_ixgbe::regs::{RDBA, Regs};

fn aim(regs: &Regs) -> Option<()> {
    regs.at::<RDBA>(0).ok()?.write(RDBA::new(0x1000));
    Some(())
}

fn main() {}
