//! From offsets and numbers back to names.

use alloc::boxed::Box;
use alloc::vec;
use core::fmt;

use super::info::{Bits, Register, RegisterInfo, RegisterMap, entry};

/// Finds the register at an offset. Built once per map; a look-up is one table access.
///
/// ```
/// use vfio_hal::registers;
/// use vfio_hal::regs::Decoder;
///
/// registers! {
///     /// An example.
///     pub block Example[0x100];
///     /// Tail.
///     pub TAIL @ 0x40 + 8 * [4] RW;
/// }
/// let decoder = Decoder::of::<Example>();
/// let found = decoder.find(0x50).unwrap();
/// assert_eq!((found.info.name, found.index), ("TAIL", 2));
/// assert!(decoder.find(0x44).is_none());
/// ```
#[derive(Clone, Debug)]
pub struct Decoder {
    registers: &'static [RegisterInfo],
    /// For each 32-bit word of the block, which register starts in it or covers it.
    words: Box<[Option<Word>]>,
}

#[derive(Clone, Copy, Debug)]
struct Word {
    register: u16,
    index: u16,
    alias: bool,
}

/// A register that was found at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The register.
    pub info: &'static RegisterInfo,
    /// The entry's index; 0 for a single register.
    pub index: usize,
    /// Bytes from the start of the entry: 4 for the upper half of a pair.
    pub byte: u64,
    /// Found at an alias, not at its own place.
    pub alias: bool,
}

impl Decoder {
    /// Returns the decoder of a map.
    pub fn of<M: RegisterMap>() -> Decoder {
        Decoder::new(M::REGISTERS, M::SPAN)
    }

    /// Returns the decoder of these registers, all below `span` bytes. Where two share a place the first wins.
    pub fn new(registers: &'static [RegisterInfo], span: u64) -> Decoder {
        let mut words = vec![None; usize::try_from(span.div_ceil(4)).unwrap_or(0)].into_boxed_slice();
        for (number, info) in registers.iter().enumerate() {
            let own = info.count();
            for (place, (index, offset)) in info.places().enumerate() {
                let (Ok(register), Ok(index)) = (u16::try_from(number), u16::try_from(index)) else {
                    continue;
                };
                for word in offset / 4..(offset + info.bits.bytes()).div_ceil(4) {
                    if let Some(slot @ None) = words.get_mut(word as usize) {
                        *slot = Some(Word { register, index, alias: place >= own });
                    }
                }
            }
        }
        Decoder { registers, words }
    }

    /// Returns the register that has the byte at `offset`.
    pub fn find(&self, offset: u64) -> Option<Decoded> {
        let word = (*self.words.get(usize::try_from(offset / 4).ok()?)?)?;
        let info = self.registers.get(usize::from(word.register))?;
        let index = usize::from(word.index);
        let start = entry(if word.alias { info.aliases } else { info.spans }, index)?;
        let inside = |start: u64, info: &RegisterInfo| {
            offset.checked_sub(start).filter(|&byte| byte < info.bits.bytes())
        };
        if let Some(byte) = inside(start, info) {
            return Some(Decoded { info, index, byte, alias: word.alias });
        }
        // Registers narrower than a word share it, and only the first of them is in the table.
        self.registers.iter().find_map(|info| {
            let places = info.places().enumerate();
            let found =
                places.filter_map(|(place, (index, start))| Some((place, index, inside(start, info)?)));
            found
                .map(|(place, index, byte)| Decoded { info, index, byte, alias: place >= info.count() })
                .next()
        })
    }
}

impl fmt::Display for Decoded {
    /// Writes `NAME`, `NAME[index]`, and for one half of a pair `NAME.lo[index]` or `NAME.hi[index]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.info.name)?;
        if self.info.bits == Bits::u32x2 {
            f.write_str(if self.byte < 4 { ".lo" } else { ".hi" })?;
        }
        if self.info.count() > 1 { write!(f, "[{}]", self.index) } else { Ok(()) }
    }
}

/// A register's value with its fields, for display.
#[derive(Clone, Copy)]
pub struct Value {
    info: &'static RegisterInfo,
    raw: u64,
    /// Which bits are known, as (lowest, count): one half of a pair is seen alone.
    seen: (u32, u32),
}

impl Value {
    /// Returns the value of a typed register.
    pub fn of<R: Register>(register: R) -> Value {
        let info = const { &R::INFO };
        Value { info, raw: register.to_raw(), seen: (0, info.bits.count()) }
    }

    /// Returns what an access of `bytes` bytes at a decoded place carried.
    pub fn access(at: &Decoded, bytes: u64, raw: u64) -> Value {
        let low = 8 * at.byte as u32;
        let raw = raw.checked_shl(low).unwrap_or(0);
        Value { info: at.info, raw, seen: (low, 8 * bytes as u32) }
    }

    /// Returns the fields that were seen whole, with their values.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        let Value { info, raw, seen: (low, count) } = *self;
        let whole =
            move |msb: u8, lsb: u8| u32::from(lsb) >= low && u32::from(msb) < low.saturating_add(count);
        let fields = info.fields.iter().filter(move |field| whole(field.msb, field.lsb));
        fields.map(move |field| (field.name, field.get(raw)))
    }
}

impl fmt::Display for Value {
    /// Writes the bits in hex, then each field that is not 0: `0x2000000 enable=0x1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.raw >> self.seen.0)?;
        self.fields()
            .filter(|&(_, value)| value != 0)
            .try_for_each(|(name, value)| write!(f, " {name}={value:#x}"))
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = f.debug_struct(self.info.name);
        all.field("bits", &format_args!("{:#x}", self.raw));
        self.fields().for_each(|(name, value)| _ = all.field(name, &value));
        all.finish()
    }
}
