//! Sizes as people write them: 2M, 1G, 524288K.

use std::fmt;

use serde::Serialize;

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Bytes(pub(crate) u64);

/// Reads a size: a whole number, with K, M, G or T for multiples of 1,024.
pub(crate) fn bytes(text: &str) -> Result<Bytes, String> {
    let wrong = || format!("'{text}' is not a size such as 2M or 1G");
    let upper = text.to_ascii_uppercase();
    let upper = upper.strip_suffix("IB").or(upper.strip_suffix('B')).unwrap_or(&upper);
    let units = [('K', 10), ('M', 20), ('G', 30), ('T', 40)];
    let unit = units.iter().find_map(|(letter, shift)| Some((upper.strip_suffix(*letter)?, *shift)));
    let (digits, shift) = unit.unwrap_or((upper, 0));
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    match number.checked_mul(1 << shift) {
        Some(0) => Err("a size of 0 is none: --clear gives pages back".into()),
        Some(bytes) => Ok(Bytes(bytes)),
        None => Err(format!("'{text}' is more than any machine has")),
    }
}

impl fmt::Display for Bytes {
    /// The largest unit that divides it, as `dpdk-hugepages` writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(30, "Gb"), (20, "Mb"), (10, "Kb")];
        match units.iter().find(|(shift, _)| self.0 != 0 && self.0.is_multiple_of(1 << shift)) {
            Some((shift, unit)) => write!(f, "{}{unit}", self.0 >> shift),
            None => write!(f, "{}b", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_unit() {
        for (text, value) in
            [("2M", 2 << 20), ("1g", 1 << 30), ("2048kB", 2 << 20), ("4096", 4096), ("1GiB", 1 << 30)]
        {
            assert_eq!(bytes(text), Ok(Bytes(value)), "{text}");
        }
        for wrong in ["", "M", "-1M", "1.5G", "x", "1X", "0", "99999999999999999999", "99999999T", "B"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Bytes(3 << 29).to_string(), "1536Mb");
        assert_eq!(Bytes(2048).to_string(), "2Kb");
    }
}
