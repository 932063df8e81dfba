//! The declaration of registers.

/// Declares a register map: one type per register, named as in the datasheet.
///
/// ```text
/// registers! {
///     pub block NAME[span in bytes];
///
///     /// What it is (the datasheet's section).
///     pub REGISTER @ offset ACCESS<width, align bytes, shift bits> { field: bit, field: msb:lsb }
///     pub REGISTER @ offset + stride * [count], offset + stride * [count] = alias + stride * [count] ACCESS;
/// }
/// ```
///
/// - `offset` is in bytes from the start of the block. An array may lie in several places; its index runs
///   through them in order. After `=` come further places where the first entries are reached too.
/// - `ACCESS` is one of [`RO`](crate::regs::RO), [`WO`](crate::regs::WO), [`RW`](crate::regs::RW),
///   [`W1C`](crate::regs::W1C), [`RC`](crate::regs::RC), [`RCW1C`](crate::regs::RCW1C) and
///   [`BUS`](crate::regs::BUS).
/// - `width` is `u8`, `u16`, `u32` (the default), `u64`, or `u32x2` for a pair of 32-bit registers that hold 64
///   bits, the low half first. `align` is for `BUS`: what an address must be a multiple of. Fields of a `BUS`
///   register are flags in the bits below. `shift` is for `BUS` registers that count in units of 2^shift bytes.
/// - A field of one bit is a `bool`, a wider one is an unsigned number of the register's width. Each field `f`
///   gets `f()`, and `with_f(value)` which cuts a number to the field's width; both are
///   [`bitfield`](https://docs.rs/bitfield)'s.
///
/// Offsets, alignment and bit positions are checked at compile time: what leaves the block does not compile.
///
/// A large map is split into chapters, one module each: `registers! { in super::NAME; … }` in the modules, and
/// `pub block NAME[span] = module, module;` where they meet.
///
/// See [`regs`](crate::regs) for an example with a device.
#[macro_export]
macro_rules! registers {
    // One chapter.
    (in $map:path; $($registers:tt)*) => {
        $crate::registers! { @each [$map] $($registers)* }
        $crate::registers! { @table [pub(super) const REGISTERS] $($registers)* }
    };

    // What the chapters make together.
    ($(#[$attr:meta])* $vis:vis block $map:ident[$span:literal] = $($chapter:ident),+ $(,)?;) => {
        $(#[$attr])*
        #[derive(Clone, Copy, Debug)]
        $vis enum $map {}

        impl $crate::regs::RegisterMap for $map {
            const NAME: &'static str = stringify!($map);
            const SPAN: u64 = $span;
            const REGISTERS: &'static [$crate::regs::RegisterInfo] = {
                const COUNT: usize = 0 $(+ $chapter::REGISTERS.len())+;
                const ALL: [$crate::regs::RegisterInfo; COUNT] =
                    $crate::regs::__private::concat(&[$($chapter::REGISTERS),+]);
                &ALL
            };
        }
    };

    // A whole map in one place.
    ($(#[$attr:meta])* $vis:vis block $map:ident[$span:literal]; $($registers:tt)*) => {
        $(#[$attr])*
        #[derive(Clone, Copy, Debug)]
        $vis enum $map {}

        impl $crate::regs::RegisterMap for $map {
            const NAME: &'static str = stringify!($map);
            const SPAN: u64 = $span;
            const REGISTERS: &'static [$crate::regs::RegisterInfo] = {
                $crate::registers! { @table [const ALL] $($registers)* }
                ALL
            };
        }

        $crate::registers! { @each [$map] $($registers)* }
    };

    (@each [$map:path] $(
        $(#[$attr:meta])*
        pub $name:ident @ $($at:literal $(+ $stride:literal * [$count:literal])?),+
        $(= $($alias:literal + $alias_stride:literal * [$alias_count:literal]),+)?
        $access:ident $(<$bits:ident $(, align $align:literal $(, shift $shift:literal)?)?>)?
        $({ $($(#[$field_attr:meta])* $field:ident: $msb:literal $(: $lsb:literal)?),* $(,)? })? $(;)?
    )*) => {$(
        $crate::registers! { @one
            [$(#[$attr])* pub struct $name] [$map]
            [$([$at $(, $stride, $count)?])+] [$($([$alias, $alias_stride, $alias_count])+)?]
            [$access] [$($bits)?] [$($($align $($shift)?)?)?] [$($([$(#[$field_attr])*] $field [$msb $($lsb)?])*)?]
        }
    )*};

    (@one
        [$(#[$attr:meta])* $vis:vis struct $name:ident] [$map:path]
        [$([$at:literal $(, $stride:literal, $count:literal)?])+] [$([$($alias:literal),+])*]
        [$access:ident] $bits:tt [$($align:literal $($shift:literal)?)?]
        [$([$($field_attr:tt)*] $field:ident $place:tt)*]
    ) => {
        $(#[$attr])*
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        #[derive(Clone, Copy, Default, PartialEq, Eq)]
        #[repr(transparent)]
        $vis struct $name($crate::registers!(@raw $bits));

        impl $crate::regs::Register for $name {
            type Map = $map;
            type Access = $crate::regs::$access;
            type Shape = $crate::registers!(@shape $($($count)?)+);
            const INFO: $crate::regs::RegisterInfo = $crate::regs::RegisterInfo {
                name: stringify!($name),
                access: <$crate::regs::$access as $crate::regs::Access>::KIND,
                bits: $crate::registers!(@bits $bits),
                spans: &[$($crate::registers!(@span $at $(, $stride, $count)?)),+],
                aliases: &[$($crate::registers!(@span $($alias),+)),*],
                fields: &[$($crate::registers!(@field $field $place)),*],
                align: $crate::registers!(@align $($align)?),
                shift: $crate::registers!(@shift $($($shift)?)?),
            };

            #[inline]
            fn from_raw(raw: u64) -> Self {
                Self(raw as _)
            }

            #[inline]
            fn to_raw(self) -> u64 {
                u64::from(self.0)
            }
        }

        const _: () = {
            const INFO: $crate::regs::RegisterInfo = <$name as $crate::regs::Register>::INFO;
            assert!(
                $crate::regs::__private::within(&INFO, <$map as $crate::regs::RegisterMap>::SPAN),
                concat!(stringify!($name), " leaves its block, is not aligned, or overlaps itself")
            );
            assert!(
                $crate::regs::__private::fields_fit(&INFO),
                concat!("a field of ", stringify!($name), " is not written msb:lsb, or is above the register's width")
            );
            assert!(
                $crate::regs::__private::flags_beside_address(&INFO),
                concat!("the alignment of ", stringify!($name), " is no power of two, or below its unit, or a flag lies above it")
            );
        };

        // A field may be named `len`: it is no collection's.
        #[allow(clippy::len_without_is_empty)]
        impl $name {
            /// Returns the register value with these bits.
            #[inline]
            pub const fn new(bits: $crate::registers!(@raw $bits)) -> Self {
                Self(bits)
            }

            /// Returns all bits.
            #[inline]
            pub const fn bits(self) -> $crate::registers!(@raw $bits) {
                self.0
            }

            $($crate::registers! { @accessors [$($field_attr)*] $field $bits $place })*
        }

        impl ::core::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                ::core::fmt::Debug::fmt(&$crate::regs::Value::of(*self), f)
            }
        }
    };

    (@table [$($item:tt)*] $(
        $(#[$attr:meta])*
        pub $name:ident @ $($at:literal $(+ $stride:literal * [$count:literal])?),+
        $(= $($alias:literal + $alias_stride:literal * [$alias_count:literal]),+)?
        $access:ident $(<$bits:ident $(, align $align:literal $(, shift $shift:literal)?)?>)?
        $({ $($fields:tt)* })? $(;)?
    )*) => {
        $($item)*: &[$crate::regs::RegisterInfo] = &[$(<$name as $crate::regs::Register>::INFO),*];
    };

    // A field of one bit.
    (@accessors [$($attr:tt)*] $field:ident $bits:tt [$bit:literal]) => {
        $crate::regs::__private::pastey::paste! {
            $($attr)*
            #[doc = ""]
            #[doc = concat!("Bit ", stringify!($bit), ".")]
            #[inline]
            pub fn $field(self) -> bool {
                $crate::regs::__private::bitfield::Bit::bit(&self.0, $bit)
            }

            #[doc = concat!("Returns the value with `", stringify!($field), "` (bit ", stringify!($bit), ") as given.")]
            #[must_use]
            #[inline]
            pub fn [<with_ $field>](mut self, value: bool) -> Self {
                $crate::regs::__private::bitfield::BitMut::set_bit(&mut self.0, $bit, value);
                self
            }
        }
    };
    // A wider field.
    (@accessors [$($attr:tt)*] $field:ident $bits:tt [$msb:literal $lsb:literal]) => {
        $crate::regs::__private::pastey::paste! {
            $($attr)*
            #[doc = ""]
            #[doc = concat!("Bits ", stringify!($msb), ":", stringify!($lsb), ".")]
            #[inline]
            pub fn $field(self) -> $crate::registers!(@raw $bits) {
                $crate::regs::__private::bitfield::BitRange::bit_range(&self.0, $msb, $lsb)
            }

            #[doc = concat!("Returns the value with `", stringify!($field), "` (bits ", stringify!($msb), ":",
                stringify!($lsb), ") as given, cut to that width.")]
            #[must_use]
            #[inline]
            pub fn [<with_ $field>](mut self, value: $crate::registers!(@raw $bits)) -> Self {
                $crate::regs::__private::bitfield::BitRangeMut::set_bit_range(&mut self.0, $msb, $lsb, value);
                self
            }
        }
    };

    (@field $field:ident [$bit:literal]) => {
        $crate::regs::FieldInfo { name: stringify!($field), msb: $bit, lsb: $bit }
    };
    (@field $field:ident [$msb:literal $lsb:literal]) => {
        $crate::regs::FieldInfo { name: stringify!($field), msb: $msb, lsb: $lsb }
    };
    (@span $at:literal) => {
        $crate::regs::Span { offset: $at, stride: 0, count: 1 }
    };
    (@span $at:literal, $stride:literal, $count:literal) => {
        $crate::regs::Span { offset: $at, stride: $stride, count: $count }
    };
    (@shape) => { $crate::regs::Single };
    (@shape $($count:literal)+) => { $crate::regs::Array };
    (@align) => { 1 };
    (@align $align:literal) => { $align };
    (@shift) => { 0 };
    (@shift $shift:literal) => { $shift };
    (@bits []) => { $crate::regs::Bits::u32 };
    (@bits [$bits:ident]) => { $crate::regs::Bits::$bits };
    (@raw []) => { u32 };
    (@raw [u32x2]) => { u64 };
    (@raw [$bits:ident]) => { $bits };
}
