//! Capability chains: what the kernel appends to an info structure.
//!
//! A chain is a list of entries (id, version, offset of the next) inside of the structure. [`walk`] finds them and
//! [`Fields`] reads their content; neither trusts an offset.

/// One entry of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) id: u16,
    pub(super) version: u16,
    /// What follows the entry's head, to the end of the structure.
    pub(super) content: Fields<'a>,
}

/// The bytes of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl Fields<'_> {
    /// Returns the 32-bit word at `offset`, `None` beyond the end.
    pub(super) fn u32(self, offset: usize) -> Option<u32> {
        self.0.get(offset..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
    }

    /// Returns the 64-bit word at `offset`, `None` beyond the end.
    pub(super) fn u64(self, offset: usize) -> Option<u64> {
        self.0.get(offset..)?.first_chunk().map(|bytes| u64::from_ne_bytes(*bytes))
    }

    /// Returns up to `count` pairs of 64-bit words from `offset` on, as many as there are.
    pub(super) fn pairs(self, offset: usize, count: u32) -> impl Iterator<Item = (u64, u64)> {
        let (pairs, _) = self.0.get(offset..).unwrap_or_default().as_chunks::<16>();
        let words = |pair: &[u8; 16]| Some((Fields(pair).u64(0)?, Fields(pair).u64(8)?));
        pairs.iter().take(count as usize).filter_map(words).collect::<Vec<_>>().into_iter()
    }
}

/// Returns the entries of the chain that starts `first` bytes into a structure; 0 is no chain. A list that loops or
/// leaves the structure ends there.
pub(super) fn walk(structure: &[u8], first: u32) -> Vec<Entry<'_>> {
    const HEAD: usize = 8;
    let mut entries = Vec::new();
    let mut at = first as usize;
    // The kernel appends entries, so a chain only goes up: one that does not has no end.
    let mut before = 0;
    while at > before {
        let Some((head, content)) = structure.get(at..).and_then(|rest| rest.split_at_checked(HEAD)) else {
            break;
        };
        let (Some(id_version), Some(next)) = (Fields(head).u32(0), Fields(head).u32(4)) else { break };
        let [a, b, c, d] = id_version.to_ne_bytes();
        let (id, version) = (u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d]));
        entries.push(Entry { id, version, content: Fields(content) });
        before = at + HEAD - 1;
        at = next as usize;
    }
    entries
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(id: u16, version: u16, next: u32, content: &[u8]) -> Vec<u8> {
        let head = [id.to_ne_bytes().to_vec(), version.to_ne_bytes().to_vec(), next.to_ne_bytes().to_vec()];
        [head.concat(), content.to_vec()].concat()
    }

    #[test]
    fn entries_are_found_in_order() {
        let structure = [vec![0; 16], entry(3, 1, 32, &[7; 8]), entry(9, 2, 0, &[5, 0, 0, 0])].concat();
        let found: Vec<(u16, u16)> =
            walk(&structure, 16).iter().map(|entry| (entry.id, entry.version)).collect();
        assert_eq!(found, [(3, 1), (9, 2)]);
        assert_eq!(walk(&structure, 16)[1].content.u32(0), Some(5));
        assert_eq!(walk(&structure, 16)[1].content.u64(0), None);
        assert!(walk(&structure, 0).is_empty());
    }

    #[test]
    fn loops_and_wild_offsets_end_the_walk() {
        let itself = [vec![0; 8], entry(1, 1, 8, &[])].concat();
        assert_eq!(walk(&itself, 8).len(), 1);
        let back = [vec![0; 8], entry(1, 1, 16, &[]), entry(2, 1, 8, &[])].concat();
        assert_eq!(walk(&back, 8).len(), 2);
        assert_eq!(walk(&back, 20).len(), 0, "the head does not fit");
        assert_eq!(walk(&back, u32::MAX).len(), 0);
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_to_an_end(bytes in proptest::collection::vec(any::<u8>(), 0..256), first in any::<u16>()) {
            let entries = walk(&bytes, u32::from(first) % 300);
            prop_assert!(entries.len() <= bytes.len() / 8 + 1);
            for entry in entries {
                let _ = (entry.content.u32(4), entry.content.pairs(8, u32::MAX).count());
            }
        }
    }
}
