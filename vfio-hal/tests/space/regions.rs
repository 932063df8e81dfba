//! Regions: where they may be, and what users may do with their bytes.

use std::ptr::NonNull;
use std::sync::Arc;

use vfio_hal::dma::memory::{CallerMemory, HeapMemory, Memory};
use vfio_hal::dma::{DmaAccess, DmaError, IovaSpace, Region, RegionOptions, SpaceOptions};
use vfio_hal::{Iova, IovaRange};

use crate::fakes::*;

fn heap(len: usize) -> HeapMemory {
    HeapMemory::new(len).unwrap()
}

#[test]
fn addresses_start_at_the_base() {
    let space = IovaSpace::with(SpaceOptions::default().base(Iova(0x1234_5000)));
    let (a, _) = alloc(&space, 0x3000);
    let (b, _) = alloc(&space, 0x1000);
    assert_eq!((a.iova(), b.iova()), (Iova(0x1234_5000), Iova(0x1234_8000)));
    assert_eq!(IovaSpace::new().usable(), [IovaRange::ALL]);
}

#[test]
fn a_limit_keeps_addresses_low() {
    let limit = IovaRange { first: Iova(0), last: Iova(0xffff_ffff) };
    let space = IovaSpace::with(SpaceOptions::default().limit(limit));
    let (a, _) = alloc(&space, 0x1000);
    assert!(a.iova().0 + 0xfff <= 0xffff_ffff);
    let above = Region::alloc_at(&space, heap(0x1000), DmaAccess::Read, Iova(1 << 32));
    assert!(matches!(above, Err(DmaError::IovaReserved { .. })));
}

#[test]
fn identity_makes_addresses_equal_pointers() {
    let one = Fake::ranges(&[(0, 0x7fff_ffff_ffff)]);
    let space = IovaSpace::with(SpaceOptions::default().identity());
    space.attach(&device(&one)).unwrap();
    let memory = heap(0x2000);
    let pointer = memory.ptr().as_ptr().addr() as u64;
    let region = Region::alloc(&space, memory, DmaAccess::Read).unwrap();
    assert_eq!(region.iova(), Iova(pointer));
    let low = Region::alloc_at(&space, heap(0x1000), DmaAccess::Read, Iova(0x1000)).unwrap();
    assert_eq!(low.iova(), Iova(0x1000));
    // A device that cannot reach the pointer.
    let narrow = IovaSpace::with(SpaceOptions::default().identity());
    narrow.attach(&device(&Fake::ranges(&[(0, 0xffff)]))).unwrap();
    let refused = Region::alloc(&narrow, heap(0x1000), DmaAccess::Read).unwrap_err();
    assert!(matches!(refused, DmaError::IovaReserved { .. }));
}

#[test]
fn a_fixed_address_is_that_or_an_error() {
    let space = space_of(&[&Fake::ranges(&[(0x1_0000, 0x1_ffff), (u64::MAX - 0xfff, u64::MAX)])]);
    let at = |iova, len| Region::alloc_at(&space, heap(len), DmaAccess::Read, Iova(iova));
    let kept = at(0x1_2000, 0x2000).unwrap();
    assert_eq!(kept.iova(), Iova(0x1_2000));
    let range = |iova, len| IovaRange::new(Iova(iova), len).unwrap();
    let in_use = at(0x1_3000, 0x1000).unwrap_err();
    assert_eq!(in_use, DmaError::IovaInUse { range: range(0x1_3000, 0x1000) });
    let reserved = at(0x1_f000, 0x2000).unwrap_err();
    assert_eq!(reserved, DmaError::IovaReserved { range: range(0x1_f000, 0x2000) });
    assert_eq!(at(0x1_5800, 0x1000).unwrap_err(), DmaError::Unaligned { address: 0x1_5800, page: 0x1000 });
    let top = at(u64::MAX - 0xfff, 0x1000).unwrap();
    assert_eq!(top.bus(0xfff).unwrap().iova(), Iova(u64::MAX));
    assert!(matches!(at(u64::MAX - 0xfff, 0x2000), Err(DmaError::IovaExhausted { .. })), "past the end");
}

#[test]
fn alignment_is_kept_and_must_be_one() {
    let space = space_of(&[&Arc::new(Fake::new())]);
    let (_low, _) = alloc(&space, 0x1000);
    let options = RegionOptions::new(DmaAccess::Read);
    let region = options.align(1 << 21).alloc(&space, heap(0x1000)).unwrap();
    assert!(region.iova().0.is_multiple_of(1 << 21));
    for align in [0, 3, u64::MAX] {
        let refused = options.align(align).alloc(&space, heap(0x1000)).unwrap_err();
        assert_eq!(refused, DmaError::Alignment { align });
    }
    let refused = options.align(0x2000).at(Iova(0x1000)).alloc(&space, heap(0x1000)).unwrap_err();
    assert_eq!(refused, DmaError::Unaligned { address: 0x1000, page: 0x2000 });
}

#[test]
fn callers_memory_is_refused_unaligned_never_rounded() {
    let memory = heap(0x3000);
    let at = |offset: usize, len, page| {
        // SAFETY: inside of `memory`, which lives until the end of the test and is not accessed otherwise.
        unsafe { CallerMemory::new(memory.ptr().add(offset), len, page) }
    };
    assert!(at(0, 0x3000, 0x1000).is_ok());
    assert!(at(0x10, 0x10, 0x10).is_ok(), "small pages are the caller's word");
    let address = memory.ptr().as_ptr().addr() as u64 + 8;
    assert_eq!(at(8, 0x1000, 0x1000).unwrap_err(), DmaError::Unaligned { address, page: 0x1000 });
    assert_eq!(at(0, 0x1800, 0x1000).unwrap_err(), DmaError::Length { len: 0x1800, page: 0x1000 });
    assert_eq!(at(0, 0, 0x1000).unwrap_err(), DmaError::Length { len: 0, page: 0x1000 });
    for page in [0, 0x1800] {
        assert_eq!(at(0, 0x1800, page).unwrap_err(), DmaError::Alignment { align: page });
    }
    // What is finer than the device's pages is refused by the space.
    let space = space_of(&[&Arc::new(Fake::new())]);
    let fine = at(0x1010, 0x1000, 0x10).unwrap();
    let refused = Region::alloc(&space, fine, DmaAccess::Read).unwrap_err();
    assert!(matches!(refused, DmaError::Unaligned { page: 0x1000, .. }));
}

#[test]
fn heap_memory_has_no_zero_and_no_impossible_length() {
    assert_eq!(HeapMemory::new(0).unwrap_err(), DmaError::Length { len: 0, page: 4096 });
    for len in [usize::MAX, isize::MAX as usize, usize::MAX - 4095] {
        assert!(matches!(HeapMemory::new(len), Err(DmaError::NoMemory { .. })));
    }
    let memory = heap(1);
    assert_eq!((memory.len(), memory.page_size()), (4096, 4096));
    assert!(memory.ptr().as_ptr().addr().is_multiple_of(4096));
}

#[test]
fn the_same_memory_twice_is_answered_not_aliased() {
    let space = space_of(&[&Arc::new(Fake::new())]);
    let memory = heap(0x4000);
    let part = |offset: usize, len| -> CallerMemory {
        // SAFETY: inside of `memory`, which outlives the regions, and is only accessed through them.
        unsafe { CallerMemory::new(memory.ptr().add(offset), len, 0x1000) }.unwrap()
    };
    let first = Region::alloc(&space, part(0x1000, 0x2000), DmaAccess::Read).unwrap();
    let iova = first.iova();
    let again = |offset, len, access| Region::alloc(&space, part(offset, len), access).unwrap_err();
    assert_eq!(again(0x1000, 0x2000, DmaAccess::Read), DmaError::AlreadyMapped { iova });
    assert_eq!(again(0x1000, 0x2000, DmaAccess::Write), DmaError::MappedDifferently { iova });
    assert_eq!(again(0x1000, 0x1000, DmaAccess::Read), DmaError::MappedDifferently { iova });
    assert_eq!(again(0, 0x4000, DmaAccess::Read), DmaError::MappedDifferently { iova });
    assert_eq!(again(0x2000, 0x2000, DmaAccess::Read), DmaError::MappedDifferently { iova });
    let before = Region::alloc(&space, part(0, 0x1000), DmaAccess::Read).unwrap();
    let behind = Region::alloc(&space, part(0x3000, 0x1000), DmaAccess::Read).unwrap();
    drop((first, before, behind));
    Region::alloc(&space, part(0x1000, 0x2000), DmaAccess::Write).unwrap();
}

#[test]
fn words_are_little_endian_aligned_and_in_bounds() {
    let (region, _) = alloc(&IovaSpace::new(), 0x1000);
    region.write_u64(8, 0x1122_3344_5566_7788).unwrap();
    assert_eq!(region.read_u8(8), Ok(0x88));
    assert_eq!(region.read_u16(10), Ok(0x5566));
    assert_eq!(region.read_u32(12), Ok(0x1122_3344));
    region.write_u8(15, 0xff).unwrap();
    region.write_u16(8, 0xabcd).unwrap();
    region.write_u32(0xffc, 1).unwrap();
    assert_eq!(region.read_u64(8), Ok(0xff22_3344_5566_abcd));
    assert_eq!(
        region.atomic_u64(8).unwrap().load(std::sync::atomic::Ordering::Relaxed).to_le(),
        0xff22_3344_5566_abcd
    );
    let out = |offset, len| DmaError::OutOfRegion { offset, len, region: 0x1000 };
    assert_eq!(region.read_u64(0xffc), Err(out(0xffc, 8)));
    assert_eq!(region.write_u8(0x1000, 0), Err(out(0x1000, 1)));
    assert_eq!(region.read_u32(usize::MAX), Err(out(usize::MAX, 4)));
    assert_eq!(region.read_u64(4), Err(DmaError::Unaligned { address: 4, page: 8 }));
    assert_eq!(region.write_u16(1, 0), Err(DmaError::Unaligned { address: 1, page: 2 }));
    assert!(region.atomic_u32(2).is_err());
}

#[test]
fn bytes_are_copied_at_any_alignment() {
    let (region, _) = alloc(&IovaSpace::new(), 0x1000);
    let pattern: Vec<u8> = (0..64).map(|at| at + 1).collect();
    for offset in 0..9 {
        for len in 0..40 {
            region.fill(0, 64, 0xee).unwrap();
            region.copy_in(offset, &pattern[..len]).unwrap();
            let mut all = [0; 64];
            region.copy_out(0, &mut all).unwrap();
            assert_eq!(all[offset..offset + len], pattern[..len]);
            assert!(all[..offset].iter().chain(&all[offset + len..]).all(|byte| *byte == 0xee));
            let mut back = vec![0; len];
            region.copy_out(offset, &mut back).unwrap();
            assert_eq!(back, pattern[..len]);
        }
    }
    region.fill(1, 0xffe, 7).unwrap();
    assert_eq!([region.read_u8(1), region.read_u8(0xffe), region.read_u8(0xfff)], [Ok(7), Ok(7), Ok(0)]);
    let out = |offset, len| Err(DmaError::OutOfRegion { offset, len, region: 0x1000 });
    assert_eq!(region.copy_in(0xfff, &[1, 2]), out(0xfff, 2));
    assert_eq!(region.copy_out(usize::MAX, &mut [0; 2]), out(usize::MAX, 2));
    assert_eq!(region.fill(1, 0x1000, 0), out(1, 0x1000));
    assert_eq!(region.copy_in(0x1000, &[]), Ok(()));
}

#[test]
fn bus_addresses_are_inside_and_name_their_space() {
    let (space, other) = (IovaSpace::new(), IovaSpace::new());
    let (region, _) = alloc(&space, 0x1000);
    let bus = region.bus(0xfff).unwrap();
    assert_eq!(bus.iova(), Iova(region.iova().0 + 0xfff));
    assert_eq!(bus.space(), space.id());
    assert_ne!(bus.space(), other.id());
    for offset in [0x1000, u64::MAX] {
        assert!(matches!(region.bus(offset), Err(DmaError::OutOfRegion { .. })));
    }
}

#[test]
fn many_threads_share_a_space() {
    fn assert_shared<T: Send + Sync>(_: &T) {}
    let one = Arc::new(Fake::new());
    let space = space_of(&[&one]);
    assert_shared(&space);
    assert_shared(&alloc(&space, 0x1000).0);
    let threads: Vec<_> = (0..4u64)
        .map(|thread| {
            let space = space.clone();
            std::thread::spawn(move || use_space(&space, thread))
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(one.mapped().is_empty());
    let stats = space.stats();
    assert_eq!((stats.regions, stats.mapped_bytes, stats.leaked_regions), (0, 0, 0));
}

/// Allocates, writes, frees some, and finds what it wrote.
fn use_space(space: &IovaSpace, thread: u64) {
    let mut kept = Vec::new();
    for round in 0..50 {
        let (region, _) = alloc(space, 0x1000 * (1 + round % 3));
        let value = thread << 32 | round as u64;
        region.write_u64(0, value).unwrap();
        kept.push((region, value));
        if round % 5 == 4 {
            kept.swap_remove(round % kept.len());
        }
    }
    for (region, value) in &kept {
        assert_eq!(region.read_u64(0), Ok(*value));
    }
}

#[test]
fn callers_memory_without_an_owner_is_never_freed_by_the_kit() {
    // A static: nobody frees it.
    #[repr(align(4096))]
    struct Page(std::cell::UnsafeCell<[u8; 4096]>);
    // SAFETY: only the region below accesses it, atomically.
    unsafe impl Sync for Page {}
    static PAGE: Page = Page(std::cell::UnsafeCell::new([0; 4096]));
    let ptr = NonNull::new(PAGE.0.get().cast::<u8>()).unwrap();
    // SAFETY: static memory that nobody else uses.
    let memory = unsafe { CallerMemory::new(ptr, 4096, 4096) }.unwrap();
    let region = Region::alloc(&IovaSpace::new(), memory, DmaAccess::Write).unwrap();
    region.write_u32(0, 5).unwrap();
    drop(region);
    // SAFETY: the region is gone.
    assert_eq!(unsafe { ptr.cast::<u32>().read() }.to_le(), 5);
}
