//! Atomic operations on the host's memory, as the host exerciser makes them (OFS, `mode_atomic.sv`).
//!
//! Line i of the source is changed, with i as the operand, and what was there before goes to the start of line i of the
//! destination. PCIe's atomic operations are atomic with respect to the processor; the model's are two accesses, so
//! nobody else should change the line meanwhile.
//!
//! Key types: [`Atomic`]. Neighbours: [`engine`](super::engine) calls it for each line.

use super::Host;
use super::engine::End;

/// The operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    /// Adds the line's number.
    FetchAdd,
    /// Puts the line's number.
    Swap,
    /// Puts the inverse of the line's number where the line's number is.
    CompareSwap,
}

/// An operation on 4 or 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Atomic {
    pub(super) function: Function,
    pub(super) wide: bool,
}

impl Atomic {
    /// Returns what CFG.atomic says: bit 0 on, bit 1 for 8 bytes, 3:2 the function.
    pub(super) fn from_bits(bits: u64) -> Option<Atomic> {
        let function = match bits >> 2 & 0b11 {
            0 => Function::FetchAdd,
            1 => Function::Swap,
            _ => Function::CompareSwap,
        };
        (bits & 1 == 1).then_some(Atomic { function, wide: bits & 2 != 0 })
    }

    fn apply(self, old: u64, operand: u64) -> u64 {
        let mask = if self.wide { u64::MAX } else { u64::from(u32::MAX) };
        let new = match self.function {
            Function::FetchAdd => old.wrapping_add(operand),
            Function::Swap => operand,
            Function::CompareSwap if old & mask == operand & mask => !operand,
            Function::CompareSwap => old,
        };
        old & !mask | new & mask
    }
}

/// Does one operation on `address`; `result` is where the old value goes.
pub(super) fn run(
    host: &mut Host<'_>,
    atomic: Atomic,
    address: u64,
    result: Option<u64>,
    line: u64,
) -> Result<(), End> {
    let old = host.load(address).map_err(|_| End::ReadFault)?;
    let new = atomic.apply(old, line);
    let write = |host: &mut Host<'_>, at: u64, word: u64| match atomic.wide {
        true => host.store(at, word),
        false => host.store32(at, word as u32),
    };
    write(host, address, new).map_err(|_| End::WriteFault)?;
    match result {
        Some(at) => {
            let width = if atomic.wide { 8 } else { 4 };
            let mut bytes = old.to_le_bytes();
            host.write(at, &mut bytes[..width], line).map_err(|_| End::WriteFault)
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_bytes_leave_the_upper_half() {
        let old = 0x1111_2222_FFFF_FFFF;
        let of = |function, wide| Atomic { function, wide };
        assert_eq!(of(Function::FetchAdd, false).apply(old, 2), 0x1111_2222_0000_0001);
        assert_eq!(of(Function::FetchAdd, true).apply(old, 2), 0x1111_2223_0000_0001);
        assert_eq!(of(Function::Swap, false).apply(old, 7), 0x1111_2222_0000_0007);
        assert_eq!(of(Function::Swap, true).apply(old, 7), 7);
        assert_eq!(of(Function::CompareSwap, false).apply(0x1111_2222_0000_0005, 5), 0x1111_2222_FFFF_FFFA);
        assert_eq!(of(Function::CompareSwap, true).apply(0x1111_2222_0000_0005, 5), 0x1111_2222_0000_0005);
        assert_eq!(of(Function::CompareSwap, true).apply(5, 5), !5);
    }

    #[test]
    fn the_bits_are_those_of_the_register() {
        assert_eq!(Atomic::from_bits(0), None);
        assert_eq!(Atomic::from_bits(0x1), Some(Atomic { function: Function::FetchAdd, wide: false }));
        assert_eq!(Atomic::from_bits(0x7), Some(Atomic { function: Function::Swap, wide: true }));
        assert_eq!(Atomic::from_bits(0xb), Some(Atomic { function: Function::CompareSwap, wide: true }));
    }
}
