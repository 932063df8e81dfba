//! Names inside errors, without a heap.

use core::fmt;

/// The longest name kept whole, in bytes: that of a kernel module is at most 55, that of an interface 15.
const LEN: usize = 47;

/// A driver's or an interface's name, cut at the end if it is longer than any sensible one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name {
    len: u8,
    bytes: [u8; LEN],
}

impl Name {
    /// Keeps `text`; control characters become question marks, because an error is one line.
    pub fn new(text: &str) -> Name {
        let mut end = text.len().min(LEN);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let mut bytes = [0; LEN];
        for (to, from) in bytes.iter_mut().zip(text[..end].bytes()) {
            *to = if from.is_ascii_control() { b'?' } else { from };
        }
        Name { len: end as u8, bytes }
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        // Whole characters were copied in, and ASCII replaced by ASCII.
        core::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_one_line_of_whole_characters() {
        assert_eq!(Name::new("vfio-pci").to_string(), "vfio-pci");
        assert_eq!(Name::new("a\nb").as_str(), "a?b");
        let long = format!("a{}", "é".repeat(40));
        assert!(long.starts_with(Name::new(&long).as_str()));
        assert_eq!(Name::new(&long).as_str().len(), LEN);
        assert_eq!(Name::new("").as_str(), "");
    }
}
