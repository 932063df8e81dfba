//! Physical addresses of this process' memory, for devices without an IOMMU.
//!
//! Only memory that stays where it is has one: hugepages, and pages that are locked. Linux may still move locked pages
//! to make room (`vm.compact_unevictable_allowed`), hugepages only when told to; so hugepages are the ones to use.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;

use crate::addr::Iova;

/// Returns whether this thread may use devices without an IOMMU.
pub(super) fn has_raw_io() -> bool {
    const CAP_SYS_RAWIO: u32 = 17;
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let bits = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = bits.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    bits.is_some_and(|bits| bits & 1 << CAP_SYS_RAWIO != 0)
}

/// Returns where `len` bytes are physically, if they are one run that stays there.
pub(super) fn physical(ptr: NonNull<u8>, len: u64) -> Option<Iova> {
    let address = ptr.as_ptr().addr() as u64;
    let page = rustix::param::page_size() as u64;
    let stays = stays(&fs::read_to_string("/proc/self/smaps").ok()?, address);
    if !stays || len == 0 || !address.is_multiple_of(page) {
        return None;
    }
    let pagemap = File::open("/proc/self/pagemap").ok()?;
    let mut entries = vec![0; usize::try_from(len.div_ceil(page)).ok()?.checked_mul(8)?];
    pagemap.read_exact_at(&mut entries, address / page * 8).ok()?;
    let (entries, _) = entries.as_chunks::<8>();
    run(entries.iter().map(|entry| u64::from_ne_bytes(*entry)), page).map(Iova)
}

/// Returns the first address of pages that follow each other, from their entries in the page map.
fn run(entries: impl Iterator<Item = u64>, page: u64) -> Option<u64> {
    /// Bits 0 to 54 are the page's number, 0 for who may not know it; bit 63 says that it is in memory.
    const NUMBER: u64 = (1 << 55) - 1;
    const PRESENT: u64 = 1 << 63;
    let mut first = None;
    for (place, entry) in (0..).zip(entries) {
        let number = entry & NUMBER;
        if entry & PRESENT == 0 || number == 0 || number != *first.get_or_insert(number) + place {
            return None;
        }
    }
    first?.checked_mul(page)
}

/// Returns whether the mapping that holds `address` is of hugepages or locked, from `/proc/self/smaps`.
fn stays(smaps: &str, address: u64) -> bool {
    let mut inside = false;
    for line in smaps.lines() {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let ends = range.and_then(|(first, end)| {
            Some((u64::from_str_radix(first, 16).ok()?, u64::from_str_radix(end, 16).ok()?))
        });
        if let Some((first, end)) = ends {
            inside = (first..end).contains(&address);
        } else if inside && let Some(flags) = line.strip_prefix("VmFlags:") {
            return flags.split_ascii_whitespace().any(|flag| matches!(flag, "ht" | "lo"));
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
7f0000000000-7f0000200000 rw-s 00000000 00:0f 12 /memfd:x (deleted)
Size:               2048 kB
VmFlags: rd wr sh mr mw me ms de ht sd
7f0000200000-7f0000201000 rw-p 00000000 00:00 0
VmFlags: rd wr mr mw me ac sd
7f0000300000-7f0000301000 rw-p 00000000 00:00 0
VmFlags: rd wr mr mw me lo ac sd
";

    #[test]
    fn only_hugepages_and_locked_pages_stay() {
        assert!(stays(SMAPS, 0x7f00_0000_0000) && stays(SMAPS, 0x7f00_001f_ffff));
        assert!(!stays(SMAPS, 0x7f00_0020_0000));
        assert!(stays(SMAPS, 0x7f00_0030_0fff));
        assert!(!stays(SMAPS, 0x7f00_0025_0000), "nothing is mapped there");
        assert!(!stays("", 0) && !stays("VmFlags: ht", 0));
    }

    #[test]
    fn a_run_is_pages_that_follow_each_other() {
        const PRESENT: u64 = 1 << 63;
        assert_eq!(run([PRESENT | 5, PRESENT | 6].into_iter(), 4096), Some(5 * 4096));
        assert_eq!(run([PRESENT | 5, PRESENT | 7].into_iter(), 4096), None);
        assert_eq!(run([PRESENT | 5, 6].into_iter(), 4096), None);
        assert_eq!(run([PRESENT].into_iter(), 4096), None, "the kernel hides the numbers");
        assert_eq!(run([].into_iter(), 4096), None);
    }

    #[test]
    fn memory_that_may_move_has_no_address() {
        let memory = vec![1u8; 64 << 10];
        let aligned = memory.as_ptr().addr().next_multiple_of(4096) - memory.as_ptr().addr();
        let ptr = NonNull::from(&memory[aligned]);
        assert_eq!(physical(ptr, 4096), None);
    }
}
