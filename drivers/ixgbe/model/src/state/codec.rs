//! How values become bytes and bytes values again: little endian, no padding, nothing implied.
//!
//! A struct names all its fields to [`state!`](crate::state::state), which takes it apart without a rest: a field that
//! is added later and forgotten there does not compile. What is read is bounded by the bytes that are there, so a count that
//! lies costs nothing.
//!
//! Key types: [`State`], [`Writer`], [`Reader`]. Neighbours: each unit of the model says next to its struct what of it is
//! state; [`stream`](super::stream) puts the units into sections.

use std::collections::VecDeque;

use super::StateError;

/// Collects bytes.
#[derive(Default)]
pub(crate) struct Writer {
    pub(super) bytes: Vec<u8>,
}

impl Writer {
    /// Whether all 64-bit numbers written are below `limit`.
    pub(crate) fn all_below(&self, limit: u64) -> bool {
        let (numbers, _) = self.bytes.as_chunks::<8>();
        numbers.iter().all(|number| u64::from_le_bytes(*number) < limit)
    }
}

/// Hands bytes out.
pub(crate) struct Reader<'b> {
    rest: &'b [u8],
}

impl<'b> Reader<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Reader<'b> {
        Reader { rest: bytes }
    }

    fn take(&mut self, len: usize) -> Result<&'b [u8], StateError> {
        let (part, rest) = self.rest.split_at_checked(len).ok_or(StateError::Truncated)?;
        self.rest = rest;
        Ok(part)
    }

    /// Everything was read.
    pub(super) fn end(&self) -> Result<(), StateError> {
        if self.rest.is_empty() { Ok(()) } else { Err(StateError::Invalid { what: "a section's length" }) }
    }
}

/// A value that is part of a device's state.
pub(crate) trait State: Sized {
    /// Appends the value.
    fn save(&self, to: &mut Writer);
    /// Reads it back.
    fn load(from: &mut Reader<'_>) -> Result<Self, StateError>;
}

macro_rules! numbers {
    ($($number:ty),+) => {$(
        impl State for $number {
            fn save(&self, to: &mut Writer) {
                to.bytes.extend_from_slice(&self.to_le_bytes());
            }
            fn load(from: &mut Reader<'_>) -> Result<Self, StateError> {
                let mut bytes = [0; size_of::<$number>()];
                bytes.copy_from_slice(from.take(size_of::<$number>())?);
                Ok(<$number>::from_le_bytes(bytes))
            }
        }
    )+};
}

numbers!(u8, u16, u32, u64, u128);

impl State for usize {
    fn save(&self, to: &mut Writer) {
        (*self as u64).save(to);
    }
    fn load(from: &mut Reader<'_>) -> Result<usize, StateError> {
        usize::try_from(u64::load(from)?).map_err(|_| StateError::Invalid { what: "a size" })
    }
}

impl State for bool {
    fn save(&self, to: &mut Writer) {
        u8::from(*self).save(to);
    }
    fn load(from: &mut Reader<'_>) -> Result<bool, StateError> {
        match u8::load(from)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(StateError::Invalid { what: "a flag" }),
        }
    }
}

impl<T: State> State for Option<T> {
    fn save(&self, to: &mut Writer) {
        self.is_some().save(to);
        if let Some(value) = self {
            value.save(to);
        }
    }
    fn load(from: &mut Reader<'_>) -> Result<Option<T>, StateError> {
        Ok(if bool::load(from)? { Some(T::load(from)?) } else { None })
    }
}

impl<T: State> State for Vec<T> {
    fn save(&self, to: &mut Writer) {
        self.len().save(to);
        self.iter().for_each(|value| value.save(to));
    }
    fn load(from: &mut Reader<'_>) -> Result<Vec<T>, StateError> {
        let count = usize::load(from)?;
        // Every value has a byte at least: no allocation for what is not there.
        if count > from.rest.len() {
            return Err(StateError::Truncated);
        }
        (0..count).map(|_| T::load(from)).collect()
    }
}

impl<T: State> State for VecDeque<T> {
    fn save(&self, to: &mut Writer) {
        self.len().save(to);
        self.iter().for_each(|value| value.save(to));
    }
    fn load(from: &mut Reader<'_>) -> Result<VecDeque<T>, StateError> {
        Ok(Vec::load(from)?.into())
    }
}

impl<T: State + Copy, const N: usize> State for [T; N] {
    fn save(&self, to: &mut Writer) {
        self.iter().for_each(|value| value.save(to));
    }
    fn load(from: &mut Reader<'_>) -> Result<[T; N], StateError> {
        let mut array = [T::load(from)?; N];
        for value in array.iter_mut().skip(1) {
            *value = T::load(from)?;
        }
        Ok(array)
    }
}

impl<T: State> State for Box<T> {
    fn save(&self, to: &mut Writer) {
        (**self).save(to);
    }
    fn load(from: &mut Reader<'_>) -> Result<Box<T>, StateError> {
        T::load(from).map(Box::new)
    }
}

impl<T: State> State for Box<[T]> {
    fn save(&self, to: &mut Writer) {
        self.len().save(to);
        self.iter().for_each(|value| value.save(to));
    }
    fn load(from: &mut Reader<'_>) -> Result<Box<[T]>, StateError> {
        Vec::load(from).map(Vec::into_boxed_slice)
    }
}

impl<A: State, B: State> State for (A, B) {
    fn save(&self, to: &mut Writer) {
        self.0.save(to);
        self.1.save(to);
    }
    fn load(from: &mut Reader<'_>) -> Result<(A, B), StateError> {
        Ok((A::load(from)?, B::load(from)?))
    }
}

/// Makes a struct's fields its state. Fields behind `without` are no state and begin with the value given.
macro_rules! state {
    ($name:ident { $($field:ident),* $(,)? } $(without { $($other:ident: $value:expr),* $(,)? })?) => {
        impl $crate::state::State for $name {
            fn save(&self, to: &mut $crate::state::Writer) {
                let $name { $($field,)* $($($other: _,)*)? } = self;
                $( $crate::state::State::save($field, to); )*
            }
            fn load(from: &mut $crate::state::Reader<'_>) -> Result<Self, $crate::StateError> {
                Ok($name {
                    $( $field: $crate::state::State::load(from)?, )*
                    $( $( $other: $value, )* )?
                })
            }
        }
    };
}
pub(crate) use state;

/// Makes an enum without contents a byte.
macro_rules! state_enum {
    ($name:ident { $($variant:ident = $number:literal),* $(,)? }) => {
        impl $crate::state::State for $name {
            fn save(&self, to: &mut $crate::state::Writer) {
                let number: u8 = match self { $( $name::$variant => $number, )* };
                $crate::state::State::save(&number, to);
            }
            fn load(from: &mut $crate::state::Reader<'_>) -> Result<Self, $crate::StateError> {
                match <u8 as $crate::state::State>::load(from)? {
                    $( $number => Ok($name::$variant), )*
                    _ => Err($crate::StateError::Invalid { what: stringify!($name) }),
                }
            }
        }
    };
}
pub(crate) use state_enum;

/// Makes register types values of their width.
macro_rules! state_registers {
    ($($register:ty),* $(,)?) => {$(
        impl $crate::state::State for $register {
            fn save(&self, to: &mut $crate::state::Writer) {
                $crate::state::State::save(&vfio_hal::regs::Register::to_raw(*self), to);
            }
            fn load(from: &mut $crate::state::Reader<'_>) -> Result<Self, $crate::StateError> {
                <u64 as $crate::state::State>::load(from).map(vfio_hal::regs::Register::from_raw)
            }
        }
    )*};
}
pub(crate) use state_registers;

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(value: &impl State) -> Vec<u8> {
        let mut to = Writer::default();
        value.save(&mut to);
        to.bytes
    }

    fn back<T: State>(bytes: &[u8]) -> Result<T, StateError> {
        let mut from = Reader::new(bytes);
        let value = T::load(&mut from)?;
        from.end()?;
        Ok(value)
    }

    #[test]
    fn values_come_back_and_every_prefix_is_truncated() {
        let value: (Vec<Option<u16>>, (bool, [u32; 3])) = (vec![None, Some(7)], (true, [1, 2, u32::MAX]));
        let all = bytes(&value);
        assert_eq!(back::<(Vec<Option<u16>>, (bool, [u32; 3]))>(&all), Ok(value));
        for len in 0..all.len() {
            assert_eq!(back::<(Vec<Option<u16>>, (bool, [u32; 3]))>(&all[..len]), Err(StateError::Truncated));
        }
    }

    #[test]
    fn a_count_that_lies_allocates_nothing() {
        assert_eq!(back::<Vec<u8>>(&u64::MAX.to_le_bytes()), Err(StateError::Truncated));
        assert_eq!(back::<Vec<[u64; 128]>>(&bytes(&1_000_000usize)), Err(StateError::Truncated));
    }

    #[test]
    fn what_no_value_has_is_refused() {
        assert!(matches!(back::<bool>(&[2]), Err(StateError::Invalid { .. })));
        assert!(matches!(back::<u8>(&[1, 2]), Err(StateError::Invalid { .. })));
    }
}
