//! What a device says of itself and of its regions, with everything in the capability chains.

use vfio_bindings::bindings::vfio as abi;

use super::chain::{self, Entry, Fields};
use super::sys::Buffer;

/// What kind of device the kernel hands out (VFIO_DEVICE_GET_INFO).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// A PCI function.
    Pci,
    /// A platform device.
    Platform,
    /// An AMBA device.
    Amba,
    /// A channel I/O device.
    Ccw,
    /// A crypto adapter.
    Ap,
    /// A device of a DPAA2 bus.
    FslMc,
    /// A CDX device.
    Cdx,
    /// Something that this kit has no name for.
    Unknown,
}

/// What a device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// The kind of device.
    pub kind: DeviceKind,
    /// It can be reset.
    pub resettable: bool,
    /// How many regions there are.
    pub regions: u32,
    /// How many interrupt indices there are.
    pub irqs: u32,
    /// Widths of the atomic operations that it may complete in memory, from the chain.
    pub atomics: Option<Atomics>,
    /// Entries of the chain that this kit does not know.
    pub unknown: Vec<UnknownCapability>,
}

/// Which PCIe atomic operations reach memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Atomics {
    /// 32-bit operations.
    pub bits32: bool,
    /// 64-bit operations.
    pub bits64: bool,
    /// 128-bit compare and swap.
    pub bits128: bool,
}

/// An entry of a capability chain that this kit does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownCapability {
    /// Its number.
    pub id: u16,
    /// The version of its layout.
    pub version: u16,
}

/// What a region is (VFIO_DEVICE_GET_REGION_INFO).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionInfo {
    /// Its number: 0 to 5 the BARs, 6 the ROM, 7 configuration space, 8 VGA, from 9 on what the driver adds.
    pub index: u32,
    /// Its length in bytes; 0 if it is not there.
    pub len: u64,
    /// Where it starts in the device's file.
    pub file_offset: u64,
    /// It can be read.
    pub readable: bool,
    /// It can be written.
    pub writable: bool,
    /// It can be mapped, in full or in the areas of `sparse`.
    pub mappable: bool,
    /// The areas that can be mapped, where that is not all of it: (offset, length) in bytes.
    pub sparse: Option<Vec<(u64, u64)>>,
    /// What a region beyond the fixed ones is: (type, subtype).
    pub kind: Option<(u32, u32)>,
    /// The pages of the MSI-X table may be mapped with the rest.
    pub msix_mappable: bool,
    /// Entries of the chain that this kit does not know.
    pub unknown: Vec<UnknownCapability>,
}

impl DeviceInfo {
    pub(super) fn parse(info: &Buffer) -> DeviceInfo {
        let flags = info.word(4);
        let kinds = [
            (abi::VFIO_DEVICE_FLAGS_PCI, DeviceKind::Pci),
            (abi::VFIO_DEVICE_FLAGS_PLATFORM, DeviceKind::Platform),
            (abi::VFIO_DEVICE_FLAGS_AMBA, DeviceKind::Amba),
            (abi::VFIO_DEVICE_FLAGS_CCW, DeviceKind::Ccw),
            (abi::VFIO_DEVICE_FLAGS_AP, DeviceKind::Ap),
            (abi::VFIO_DEVICE_FLAGS_FSL_MC, DeviceKind::FslMc),
            (abi::VFIO_DEVICE_FLAGS_CDX, DeviceKind::Cdx),
        ];
        let kind = kinds.iter().find(|(flag, _)| flags & flag != 0);
        let first = if flags & abi::VFIO_DEVICE_FLAGS_CAPS != 0 { info.word(16) } else { 0 };
        let mut parsed = DeviceInfo {
            kind: kind.map_or(DeviceKind::Unknown, |&(_, kind)| kind),
            resettable: flags & abi::VFIO_DEVICE_FLAGS_RESET != 0,
            regions: info.word(8),
            irqs: info.word(12),
            atomics: None,
            unknown: Vec::new(),
        };
        for entry in chain::walk(info.bytes(), first) {
            match (u32::from(entry.id), entry.content.u32(0)) {
                (abi::VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP, Some(widths)) => {
                    parsed.atomics = Some(Atomics {
                        bits32: widths & abi::VFIO_PCI_ATOMIC_COMP32 != 0,
                        bits64: widths & abi::VFIO_PCI_ATOMIC_COMP64 != 0,
                        bits128: widths & abi::VFIO_PCI_ATOMIC_COMP128 != 0,
                    });
                }
                _ => parsed.unknown.push(unknown(entry)),
            }
        }
        parsed
    }
}

impl RegionInfo {
    pub(super) fn parse(info: &Buffer) -> RegionInfo {
        let flags = info.word(4);
        let fixed = Fields(info.bytes());
        let first = if flags & abi::VFIO_REGION_INFO_FLAG_CAPS != 0 { info.word(12) } else { 0 };
        let mut parsed = RegionInfo {
            index: info.word(8),
            len: fixed.u64(16).unwrap_or(0),
            file_offset: fixed.u64(24).unwrap_or(0),
            readable: flags & abi::VFIO_REGION_INFO_FLAG_READ != 0,
            writable: flags & abi::VFIO_REGION_INFO_FLAG_WRITE != 0,
            mappable: flags & abi::VFIO_REGION_INFO_FLAG_MMAP != 0,
            sparse: None,
            kind: None,
            msix_mappable: false,
            unknown: Vec::new(),
        };
        for entry in chain::walk(info.bytes(), first) {
            let words = (entry.content.u32(0), entry.content.u32(4));
            match (u32::from(entry.id), words) {
                (abi::VFIO_REGION_INFO_CAP_SPARSE_MMAP, (Some(count), _)) => {
                    parsed.sparse = Some(entry.content.pairs(8, count).collect());
                }
                (abi::VFIO_REGION_INFO_CAP_TYPE, (Some(kind), Some(subtype))) => {
                    parsed.kind = Some((kind, subtype));
                }
                (abi::VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, _) => parsed.msix_mappable = true,
                _ => parsed.unknown.push(unknown(entry)),
            }
        }
        parsed
    }

    /// Returns what to map, as sorted, disjoint (offset, length) areas of whole pages inside of the region. What the
    /// kernel names beyond that is left out: it is reached by calls, like everything in between.
    pub fn mappable_areas(&self, page: u64) -> Vec<(u64, u64)> {
        if !self.mappable || page == 0 {
            return Vec::new();
        }
        let whole = [(0, self.len)];
        let mut areas: Vec<(u64, u64)> = self.sparse.as_deref().unwrap_or(&whole).to_vec();
        areas.sort_unstable();
        let mut end = 0;
        let mut kept = Vec::new();
        for (offset, len) in areas {
            let Some(last) = offset.checked_add(len).filter(|&last| last <= self.len) else { continue };
            let start = offset.max(end).next_multiple_of(page);
            let last = last - last % page;
            if start < last {
                kept.push((start, last - start));
                end = last;
            }
        }
        kept
    }
}

fn unknown(entry: Entry<'_>) -> UnknownCapability {
    UnknownCapability { id: entry.id, version: entry.version }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn region(flags: u32, len: u64, chain: &[u32]) -> RegionInfo {
        let mut buffer = Buffer::with(32 + chain.len() * 4, &[0, flags, 2, 32]);
        buffer.put(16, &len.to_ne_bytes());
        buffer.put(24, &0x2_0000_0000u64.to_ne_bytes());
        for (place, word) in chain.iter().enumerate() {
            buffer.put(32 + place * 4, &word.to_ne_bytes());
        }
        RegionInfo::parse(&buffer)
    }

    /// Head word of a version 1 entry.
    const V1: u32 = 1 << 16;

    #[test]
    fn a_region_is_read_with_its_whole_chain() {
        #[rustfmt::skip]
        let chain = [
            // Sparse: two areas.
            1 | V1, 80, 2, 0, 0, 0, 0x1000, 0, 0x4000, 0, 0x2000, 0,
            // Type, at 80.
            2 | V1, 96, 0x8000_8086, 3,
            // MSI-X mappable, at 96.
            3 | V1, 104,
            // Something of the future, at 104.
            77 | 2 << 16, 0,
        ];
        let info = region(1 | 2 | 4 | 8, 0x1_0000_0000, &chain);
        assert_eq!((info.index, info.len, info.file_offset), (2, 0x1_0000_0000, 0x2_0000_0000));
        assert!(info.readable && info.writable && info.mappable && info.msix_mappable);
        assert_eq!(info.sparse, Some(vec![(0, 0x1000), (0x4000, 0x2000)]));
        assert_eq!(info.kind, Some((0x8000_8086, 3)));
        assert_eq!(info.unknown, [UnknownCapability { id: 77, version: 2 }]);
        assert_eq!(info.mappable_areas(4096), [(0, 0x1000), (0x4000, 0x2000)]);
    }

    #[test]
    fn without_the_flag_there_is_no_chain() {
        let info = region(1 | 4, 0x2000, &[3 | V1, 0]);
        assert!(!info.msix_mappable && info.unknown.is_empty());
        assert_eq!(info.mappable_areas(4096), [(0, 0x2000)]);
        assert!(region(1, 0x2000, &[]).mappable_areas(4096).is_empty());
    }

    #[test]
    fn wild_areas_are_left_out() {
        let sparse = |areas: &[(u64, u64)]| RegionInfo {
            sparse: Some(areas.to_vec()),
            ..region(1 | 2 | 4, 0x8000, &[])
        };
        assert!(sparse(&[]).mappable_areas(4096).is_empty());
        assert!(sparse(&[(u64::MAX, 2), (0x8000, 0x1000), (0x7000, 0x2000)]).mappable_areas(4096).is_empty());
        assert_eq!(
            sparse(&[(0x2000, 0x3000), (0, 0x2800)]).mappable_areas(4096),
            [(0, 0x2000), (0x2000, 0x3000)]
        );
        assert_eq!(sparse(&[(0x10, 0x3000)]).mappable_areas(4096), [(0x1000, 0x2000)]);
    }

    #[test]
    fn a_device_is_read_with_its_chain() {
        let mut buffer = Buffer::with(40, &[40, 1 | 2 | 0x80, 9, 5, 24, 0, 5 | V1, 36, 6, 9 | V1]);
        buffer.put(36, &(9u32 | V1).to_ne_bytes());
        let info = DeviceInfo::parse(&buffer);
        assert_eq!((info.kind, info.resettable, info.regions, info.irqs), (DeviceKind::Pci, true, 9, 5));
        assert_eq!(info.atomics, Some(Atomics { bits32: false, bits64: true, bits128: true }));
        assert!(info.unknown.is_empty(), "the head at 36 does not fit");
    }

    proptest! {
        #[test]
        fn areas_are_whole_pages_in_order(len in 0u64..0x10_0000, areas in proptest::collection::vec((any::<u64>(), any::<u64>()), 0..8)) {
            let areas: Vec<(u64, u64)> = areas.iter().map(|(a, b)| (a % 0x11_0000, b % 0x11_0000)).collect();
            let info = RegionInfo { sparse: Some(areas), ..region(1 | 2 | 4, len, &[]) };
            let mut end = 0;
            for (offset, size) in info.mappable_areas(4096) {
                prop_assert!(offset >= end && size > 0 && offset % 4096 == 0 && size % 4096 == 0);
                end = offset + size;
                prop_assert!(end <= len);
            }
        }
    }
}
