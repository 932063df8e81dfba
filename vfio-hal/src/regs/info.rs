//! What is known about registers without a device: names, places, fields.

use super::access::{Access, AccessKind, Shape};
use crate::bar::Width;

/// A set of registers, declared by [`registers!`](crate::registers).
pub trait RegisterMap: 'static {
    /// The map's name.
    const NAME: &'static str;
    /// How many bytes the registers span: all of them lie below.
    const SPAN: u64;
    /// Every register.
    const REGISTERS: &'static [RegisterInfo];
}

/// One register, or an array of equal ones. The value type holds its bits and has an accessor per field.
///
/// The map is the part that is trusted: declare what holds a bus address as [`BUS`](super::BUS).
pub trait Register: Copy + 'static {
    /// The map it is declared in.
    type Map: RegisterMap;
    /// What may be done with it.
    type Access: Access;
    /// Whether it is one or many.
    type Shape: Shape;
    /// Everything below as a value.
    const INFO: RegisterInfo;

    /// The datasheet's name.
    const NAME: &'static str = Self::INFO.name;
    /// Bytes from the start of the block; of entry 0 of an array.
    const OFFSET: u64 = Self::INFO.spans[0].offset as u64;
    /// Bytes from entry 0 to entry 1 of an array; 0 for a single register.
    const STRIDE: u64 = Self::INFO.spans[0].stride as u64;
    /// How many entries there are.
    const COUNT: usize = Self::INFO.count();
    /// The access kind.
    const ACCESS: AccessKind = Self::INFO.access;
    /// The bit fields, in the order of the declaration.
    const FIELDS: &'static [FieldInfo] = Self::INFO.fields;

    /// Returns the value with these bits; above the register's width they are cut off.
    fn from_raw(raw: u64) -> Self;

    /// Returns the bits.
    fn to_raw(self) -> u64;
}

/// A register or an array of registers, described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisterInfo {
    /// The datasheet's name.
    pub name: &'static str,
    /// What may be done with it.
    pub access: AccessKind,
    /// How wide it is.
    pub bits: Bits,
    /// Where its entries are, in order of their index. A single register has one span of one entry.
    pub spans: &'static [Span],
    /// Further places where the first entries are reached too.
    pub aliases: &'static [Span],
    /// The bit fields.
    pub fields: &'static [FieldInfo],
    /// For [`BUS`](super::BUS) registers what an address must be a multiple of, in bytes; otherwise 1.
    pub align: u64,
    /// For [`BUS`](super::BUS) registers how far down an address is moved: the register counts in units of 2^shift bytes.
    pub shift: u8,
}

/// Equally spaced entries of a register array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Bytes from the start of the block to the first entry.
    pub offset: u32,
    /// Bytes between entries.
    pub stride: u32,
    /// How many entries.
    pub count: u32,
}

/// A register's width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(non_camel_case_types)]
pub enum Bits {
    /// 8 bits.
    u8,
    /// 16 bits.
    u16,
    /// 32 bits, the default.
    u32,
    /// 64 bits, one access.
    u64,
    /// 64 bits in two accesses of 32, the low half (at the lower offset) first.
    u32x2,
}

impl Bits {
    /// Returns how many bits a value has.
    pub const fn count(self) -> u32 {
        match self {
            Bits::u8 => 8,
            Bits::u16 => 16,
            Bits::u32 => 32,
            Bits::u64 | Bits::u32x2 => 64,
        }
    }

    /// Returns how many bytes of the block a register takes.
    pub const fn bytes(self) -> u64 {
        self.count() as u64 / 8
    }

    /// Returns the width of one access.
    pub const fn access(self) -> Width {
        match self {
            Bits::u8 => Width::W8,
            Bits::u16 => Width::W16,
            Bits::u32 | Bits::u32x2 => Width::W32,
            Bits::u64 => Width::W64,
        }
    }
}

/// A bit field of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldInfo {
    /// The accessor's name.
    pub name: &'static str,
    /// The highest bit.
    pub msb: u8,
    /// The lowest bit.
    pub lsb: u8,
}

impl FieldInfo {
    /// Returns the field's bits of a register value, moved down to bit 0.
    pub const fn get(&self, raw: u64) -> u64 {
        (raw & self.mask()) >> self.lsb
    }

    /// Returns the field's bits as a mask.
    pub const fn mask(&self) -> u64 {
        (u64::MAX >> (63 - (self.msb - self.lsb))) << self.lsb
    }
}

impl RegisterInfo {
    /// Returns how many entries there are.
    pub const fn count(&self) -> usize {
        let (mut count, mut at) = (0, 0);
        while at < self.spans.len() {
            count += self.spans[at].count as usize;
            at += 1;
        }
        count
    }

    /// Returns the bytes from the start of the block to entry `index`, `None` beyond the last.
    #[inline]
    pub const fn offset(&self, index: usize) -> Option<u64> {
        entry(self.spans, index)
    }

    /// Returns every place of the register as (index, offset in bytes), those reached by an alias last.
    pub fn places(&self) -> impl Iterator<Item = (usize, u64)> + use<> {
        fn entries(spans: &'static [Span]) -> impl Iterator<Item = (usize, u64)> {
            let offsets = |span: &'static Span| {
                (0..u64::from(span.count)).map(|n| u64::from(span.offset) + u64::from(span.stride) * n)
            };
            spans.iter().flat_map(offsets).enumerate()
        }
        entries(self.spans).chain(entries(self.aliases))
    }
}

/// Returns the offset of entry `index` of an array that lies in these spans.
#[inline]
pub(super) const fn entry(spans: &[Span], index: usize) -> Option<u64> {
    let (mut index, mut at) = (index as u64, 0);
    while at < spans.len() {
        let span = spans[at];
        if index < span.count as u64 {
            return Some(span.offset as u64 + span.stride as u64 * index);
        }
        index -= span.count as u64;
        at += 1;
    }
    None
}

/// Returns whether a register's entries lie within a block, are aligned and do not overlap each other.
#[doc(hidden)]
pub const fn within(info: &RegisterInfo, limit: u64) -> bool {
    const fn fits(spans: &[Span], bits: Bits, limit: u64) -> bool {
        let access = bits.access().bytes();
        let mut at = 0;
        while at < spans.len() {
            let Span { offset, stride, count } = spans[at];
            let (offset, stride, count) = (offset as u64, stride as u64, count as u64);
            let spaced = count == 1 || stride >= bits.bytes();
            let aligned = offset.is_multiple_of(access) && stride.is_multiple_of(access);
            if count == 0 || !spaced || !aligned || offset + stride * (count - 1) + bits.bytes() > limit {
                return false;
            }
            at += 1;
        }
        true
    }
    fits(info.spans, info.bits, limit) && fits(info.aliases, info.bits, limit)
}

/// Returns whether every field is written msb:lsb and lies within the register.
#[doc(hidden)]
pub const fn fields_fit(info: &RegisterInfo) -> bool {
    let mut at = 0;
    while at < info.fields.len() {
        let FieldInfo { msb, lsb, .. } = info.fields[at];
        if lsb > msb || msb as u32 >= info.bits.count() {
            return false;
        }
        at += 1;
    }
    true
}

/// Returns whether the flags beside a bus address lie in the bits that its alignment keeps 0, and no bit of an address is
/// lost where the register counts in larger units.
#[doc(hidden)]
pub const fn flags_beside_address(info: &RegisterInfo) -> bool {
    let bus = matches!(info.access, AccessKind::BusAddress);
    let unit = match 1u64.checked_shl(info.shift as u32) {
        Some(unit) => unit,
        None => return false,
    };
    info.align.is_power_of_two() && unit <= info.align && (!bus || flag_mask(info) < info.align / unit)
}

/// Returns the bits that the fields of a register cover.
pub(super) const fn flag_mask(info: &RegisterInfo) -> u64 {
    let (mut mask, mut at) = (0, 0);
    while at < info.fields.len() {
        mask |= info.fields[at].mask();
        at += 1;
    }
    mask
}

/// Returns the registers of all chapters in one table.
#[doc(hidden)]
pub const fn concat<const N: usize>(chapters: &[&[RegisterInfo]]) -> [RegisterInfo; N] {
    const NONE: RegisterInfo = RegisterInfo {
        name: "",
        access: AccessKind::ReadOnly,
        bits: Bits::u32,
        spans: &[],
        aliases: &[],
        fields: &[],
        align: 1,
        shift: 0,
    };
    let mut all = [NONE; N];
    let (mut chapter, mut next) = (0, 0);
    while chapter < chapters.len() {
        let mut at = 0;
        while at < chapters[chapter].len() {
            all[next] = chapters[chapter][at];
            next += 1;
            at += 1;
        }
        chapter += 1;
    }
    assert!(next == N, "the table has a place for every register");
    all
}
