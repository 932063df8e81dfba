//! Keys and values.
//!
//! What it does: takes `KEY[=VALUE]` apart, and reads numbers, times, probabilities and addresses.
//! Key types: [`Args`].
//! Neighbours: the parser of links, and that of devices.

use super::error::{Accepted, SpecError};
use crate::text::Word;
use crate::{Nanos, Probability};

/// The options of one link, from which the parser takes what it knows.
pub(super) struct Args<'t> {
    owner: Word,
    items: Vec<(&'t str, Option<&'t str>)>,
}

impl<'t> Args<'t> {
    /// The first word, and the options behind it.
    pub(super) fn split(text: &'t str) -> (&'t str, Args<'t>) {
        let mut words = text.split(',').map(str::trim);
        let first = words.next().unwrap_or_default();
        let items = words.map(|word| match word.split_once('=') {
            Some((key, value)) => (key.trim(), Some(value.trim())),
            None => (word, None),
        });
        (first, Args { owner: Word::head(first), items: items.collect() })
    }

    /// Who is named in errors.
    pub(super) fn owner(&self) -> Word {
        self.owner
    }

    /// Whether an option is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.items.iter().any(|(found, _)| *found == key)
    }

    /// Adds an option unless it is there.
    pub(super) fn add_default(&mut self, key: &'t str, value: &'t str) {
        if !self.has(key) {
            self.items.push((key, Some(value)));
        }
    }

    /// Refuses what is not accepted, and what is there twice.
    pub(super) fn check(&self, accepted: Accepted) -> Result<(), SpecError> {
        for (i, (key, _)) in self.items.iter().enumerate() {
            if !accepted.0.iter().copied().flatten().any(|word| word == key) {
                return Err(SpecError::UnknownKey { kind: self.owner, key: Word::head(key), accepted });
            }
            if self.items[..i].iter().any(|(earlier, _)| earlier == key) {
                return Err(SpecError::Twice { kind: self.owner, key: Word::head(key) });
            }
        }
        Ok(())
    }

    /// Renames an option, so that another tool's word is understood.
    pub(super) fn rename(&mut self, from: &str, to: &'static str) {
        for (key, _) in self.items.iter_mut().filter(|(key, _)| *key == from) {
            *key = to;
        }
    }

    /// Takes an option out as it stands.
    pub(super) fn take(&mut self, key: &str) -> Option<(&'t str, Option<&'t str>)> {
        let at = self.items.iter().position(|(found, _)| *found == key)?;
        Some(self.items.remove(at))
    }

    /// Takes an option out and reads its value.
    pub(super) fn read<T>(
        &mut self,
        key: &str,
        expected: &'static str,
        parse: impl FnOnce(&'t str) -> Option<T>,
    ) -> Result<Option<T>, SpecError> {
        let Some((key, value)) = self.take(key) else {
            return Ok(None);
        };
        let value = value.unwrap_or_default();
        parse(value).map(Some).ok_or(SpecError::BadValue {
            key: Word::head(key),
            value: Word::head(value),
            expected,
        })
    }

    /// Like [`read`](Self::read), for an option that must be there.
    pub(super) fn require<T>(
        &mut self,
        key: &'static str,
        example: &'static str,
        parse: impl FnOnce(&'t str) -> Option<T>,
    ) -> Result<T, SpecError> {
        let kind = self.owner;
        self.read(key, example, parse)?.ok_or(SpecError::Missing { kind, key, example })
    }

    /// A switch: on by its name alone.
    pub(super) fn switch(&mut self, key: &str) -> Result<Option<bool>, SpecError> {
        if let Some(at) = self.items.iter().position(|(found, value)| *found == key && value.is_none()) {
            self.items.remove(at);
            return Ok(Some(true));
        }
        self.read(key, "0 or 1", |value| match value {
            "1" | "on" | "yes" | "true" => Some(true),
            "0" | "off" | "no" | "false" => Some(false),
            _ => None,
        })
    }
}

/// A whole number, or a decimal one that a suffix (k, M, G) makes whole.
pub(super) fn number(text: &str) -> Option<u64> {
    let (digits, unit) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], 1_000),
        b'm' | b'M' => (&text[..text.len() - 1], 1_000_000),
        b'g' | b'G' => (&text[..text.len() - 1], 1_000_000_000),
        _ => (text, 1),
    };
    decimal(digits, unit)
}

/// `digits` × `unit`, if that is whole and fits.
fn decimal(digits: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) || fraction.len() > 9 {
        return None;
    }
    let scale = 10u64.pow(fraction.len() as u32);
    let part = u128::from(fraction.parse::<u64>().ok()?) * u128::from(unit);
    if part % u128::from(scale) != 0 {
        return None;
    }
    let part = u64::try_from(part / u128::from(scale)).ok()?;
    whole.parse::<u64>().ok()?.checked_mul(unit)?.checked_add(part)
}

/// A time with its unit.
pub(super) fn time(text: &str) -> Option<Nanos> {
    let units = [("ns", 1), ("us", 1_000), ("µs", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)];
    units.iter().find_map(|(suffix, nanos)| decimal(text.strip_suffix(suffix)?, *nanos))
}

/// 0 to 1, or 0% to 100%.
pub(super) fn probability(text: &str) -> Option<Probability> {
    // Only plain digits: f64 would also read "inf" and "1e-3".
    let (number, scale) = match text.strip_suffix('%') {
        Some(number) => (number, 0.01),
        None => (text, 1.0),
    };
    if !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    Probability::new(number.parse::<f64>().ok()? * scale)
}

/// Six bytes in hexadecimal, separated by colons or hyphens.
pub(super) fn mac(text: &str) -> Option<[u8; 6]> {
    let mut bytes = [0; 6];
    let mut parts = text.split([':', '-']);
    for byte in &mut bytes {
        let part = parts.next()?;
        if !(1..=2).contains(&part.len()) || part.starts_with('+') {
            return None;
        }
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(bytes)
}

/// Word that is not empty.
pub(super) fn word(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
