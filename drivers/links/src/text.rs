//! Short text inside errors.
//!
//! What it does: keeps a name, a path or a word of the user's inside a `Copy` error, without a heap.
//! Key types: [`Text`].
//! Neighbours: [`LinkError`](crate::LinkError), [`PcapError`](crate::PcapError) and
//! [`SpecError`](crate::SpecError) hold it to say which file, interface or option they are about.

use core::fmt;

const ELLIPSIS: &str = "…";

/// A word or a name: the name of an interface fits.
pub type Word = Text<23>;
/// The end of a path.
pub type PathEnd = Text<63>;

/// Up to `N` (3 to 255) bytes of UTF-8, held inline. What is longer loses its start or its end, and an ellipsis says
/// so.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Text<const N: usize> {
    len: u8,
    bytes: [u8; N],
}

impl<const N: usize> Text<N> {
    const IN_RANGE: () = assert!(N >= ELLIPSIS.len() && N <= u8::MAX as usize);

    /// Keeps the start: right for names, keys and values.
    pub fn head(text: &str) -> Self {
        if text.len() <= N {
            return Self::concat("", text);
        }
        let mut end = N - ELLIPSIS.len();
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Self::concat(&text[..end], ELLIPSIS)
    }

    /// Keeps the end: right for paths, whose last component says most.
    pub fn tail(text: &str) -> Self {
        if text.len() <= N {
            return Self::concat("", text);
        }
        let mut start = text.len() - (N - ELLIPSIS.len());
        while !text.is_char_boundary(start) {
            start += 1;
        }
        Self::concat(ELLIPSIS, &text[start..])
    }

    /// The end of a path.
    pub fn path(path: &std::path::Path) -> Self {
        Self::tail(&path.to_string_lossy())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        // Only whole characters were copied in, so this is the text itself.
        core::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or("")
    }

    fn concat(a: &str, b: &str) -> Self {
        let () = Self::IN_RANGE;
        let mut bytes = [0; N];
        let joined = a.bytes().chain(b.bytes());
        let mut len = 0;
        for (slot, byte) in bytes.iter_mut().zip(joined) {
            // An error is one line, whatever was typed.
            *slot = if byte.is_ascii_control() { b'?' } else { byte };
            len += 1;
        }
        Text { len, bytes }
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
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
            assert_eq!(PathEnd::head(text).as_str(), text);
            assert_eq!(PathEnd::tail(text).as_str(), text);
        }
    }

    #[test]
    fn control_characters_break_no_line() {
        assert_eq!(Word::head("a\nb\0\x1b").as_str(), "a?b??");
    }

    #[test]
    fn what_does_not_fit_says_so_and_stays_utf8() {
        // Two-byte characters, so that one of the two cuts falls inside a character.
        let long = format!("a{}b", "é".repeat(60));
        let head = PathEnd::head(&long);
        let tail = PathEnd::tail(&long);
        assert!(head.as_str().starts_with("aé") && head.as_str().ends_with('…'), "{head}");
        assert!(tail.as_str().starts_with('…') && tail.as_str().ends_with("éb"), "{tail}");
        assert!(head.as_str().len() <= 63 && tail.as_str().len() <= 63);
    }
}
