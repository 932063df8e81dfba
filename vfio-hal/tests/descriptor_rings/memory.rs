//! Ring memory: sizes, alignment, what is left.

use vfio_hal::dma::memory::{HeapMemory, Memory};
use vfio_hal::dma::{DmaAccess, DmaError, IovaSpace, Region};
use vfio_hal::ring::{RingError, RingMemory};

use crate::kit::region;

#[test]
fn only_powers_of_two_from_64_to_4096_are_sizes() {
    let mut memory = RingMemory::new(region(&IovaSpace::new(), 1 << 17));
    for size in [0, 1, 8, 32, 63, 65, 96, 4095, 5000, 8192, 1 << 31, u32::MAX] {
        let error = memory.ring(size).err();
        assert_eq!(error, Some(RingError::Size { size, min: 64, max: 4096 }));
    }
    for size in [64, 128, 4096] {
        let ring = memory.ring(size).unwrap();
        assert_eq!((ring.size(), ring.mask(), ring.bytes()), (size, size - 1, size * 16));
    }
}

#[test]
fn rings_are_zero_aligned_and_apart() {
    let region = region(&IovaSpace::new(), 1 << 16);
    region.fill(0, 1 << 16, 0xff).unwrap();
    let mut memory = RingMemory::new(region);
    let rings: Vec<_> = [64, 128, 64, 1024].map(|size| memory.ring(size).unwrap()).into();
    let mut ends: Vec<_> = rings.iter().map(|ring| (ring.bus().iova().0, ring.bytes())).collect();
    ends.sort();
    for pair in ends.windows(2) {
        assert!(pair[0].0 + u64::from(pair[0].1) <= pair[1].0, "{pair:?}");
    }
    for ring in &rings {
        assert_eq!(ring.bus().iova().0 % 128, 0);
        assert!((0..ring.size()).all(|index| ring.read(index) == [0, 0]));
        // An index is masked.
        assert_eq!(ring.read(u32::MAX), [0, 0]);
    }
}

#[test]
fn what_does_not_fit_is_refused_and_says_what_is_left() {
    let mut memory = RingMemory::new(region(&IovaSpace::new(), 4096));
    assert_eq!(memory.ring(512).err(), Some(RingError::NoRoom { need: 8192, left: 4096 }));
    memory.ring(128).unwrap();
    let (block, _) = memory.block().unwrap();
    assert_eq!(block.load(), 0);
    assert_eq!(memory.ring(128).err(), Some(RingError::NoRoom { need: 2048, left: 4096 - 2048 - 64 }));
    memory.ring(64).unwrap();
    for _ in 0..15 {
        memory.block().unwrap();
    }
    assert_eq!(memory.block().err(), Some(RingError::NoRoom { need: 64, left: 0 }));
    assert_eq!(memory.ring(64).err(), Some(RingError::NoRoom { need: 1024, left: 0 }));
}

/// Memory in pages of 16 bytes, which start at an odd one.
struct Odd(HeapMemory);

// SAFETY: 1. the heap's memory from its 16th byte to 32 before its end: whole pages of 16 bytes, aligned; 2. to 5. as
// for the heap's.
unsafe impl Memory for Odd {
    fn ptr(&self) -> std::ptr::NonNull<u8> {
        // SAFETY: inside of the memory, which has 4 KiB at least.
        unsafe { self.0.ptr().add(16) }
    }

    fn len(&self) -> usize {
        self.0.len() - 48
    }

    fn page_size(&self) -> u64 {
        16
    }
}

#[test]
fn a_region_that_is_not_aligned_is_refused() {
    let odd = Odd(HeapMemory::new(4096).unwrap());
    let region = Region::alloc(&IovaSpace::new(), odd, DmaAccess::ReadWrite).unwrap();
    let mut memory = RingMemory::new(region);
    let needs = |error| match error {
        Some(RingError::Dma(DmaError::Unaligned { page, .. })) => page,
        other => panic!("{other:?}"),
    };
    assert_eq!((needs(memory.ring(64).err()), needs(memory.block().err())), (128, 64));
}
