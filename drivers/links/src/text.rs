//! Short text inside errors.
//!
//! What it does: keeps a name, a path or a word of the user's inside a `Copy` error, without a heap.
//! Key types: [`Text`].
//! Neighbours: [`LinkError`](crate::LinkError), [`PcapError`](crate::PcapError) and
//! [`SpecError`](crate::SpecError) hold it to say which file, interface or option they are about.

use core::fmt;

const CAPACITY: usize = 63;
const ELLIPSIS: &str = "…";

/// Up to 63 bytes of UTF-8, held inline. What is longer loses its start or its end, and an ellipsis says so.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Text {
    len: u8,
    bytes: [u8; CAPACITY],
}

impl Text {
    /// Keeps the start: right for names, keys and values.
    pub fn head(text: &str) -> Text {
        if text.len() <= CAPACITY {
            return Text::concat("", text);
        }
        let mut end = CAPACITY - ELLIPSIS.len();
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Text::concat(&text[..end], ELLIPSIS)
    }

    /// Keeps the end: right for paths, whose last component says most.
    pub fn tail(text: &str) -> Text {
        if text.len() <= CAPACITY {
            return Text::concat("", text);
        }
        let mut start = text.len() - (CAPACITY - ELLIPSIS.len());
        while !text.is_char_boundary(start) {
            start += 1;
        }
        Text::concat(ELLIPSIS, &text[start..])
    }

    /// The end of a path.
    pub fn path(path: &std::path::Path) -> Text {
        Text::tail(&path.to_string_lossy())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        // Only whole characters were copied in, so this is the text itself.
        core::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or("")
    }

    fn concat(a: &str, b: &str) -> Text {
        let mut bytes = [0; CAPACITY];
        let joined = a.bytes().chain(b.bytes());
        let mut len = 0;
        for (slot, byte) in bytes.iter_mut().zip(joined) {
            *slot = byte;
            len += 1;
        }
        Text { len, bytes }
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_kept_whole() {
        for text in ["", "eth0", &"x".repeat(63)] {
            assert_eq!(Text::head(text).as_str(), text);
            assert_eq!(Text::tail(text).as_str(), text);
        }
    }

    #[test]
    fn what_does_not_fit_says_so_and_stays_utf8() {
        // Two-byte characters, so that one of the two cuts falls inside a character.
        let long = format!("a{}b", "é".repeat(60));
        let head = Text::head(&long);
        let tail = Text::tail(&long);
        assert!(head.as_str().starts_with("aé") && head.as_str().ends_with('…'), "{head}");
        assert!(tail.as_str().starts_with('…') && tail.as_str().ends_with("éb"), "{tail}");
        assert!(head.as_str().len() <= 63 && tail.as_str().len() <= 63);
    }
}
