//! The IOVA allocator: against a naive model, and at the ends of the 64-bit space.

use proptest::prelude::*;
use vfio_hal::dma::DmaError;
use vfio_hal::dma::iova::IovaAllocator;
use vfio_hal::{Iova, IovaRange};

fn range(first: u64, last: u64) -> IovaRange {
    IovaRange { first: Iova(first), last: Iova(last) }
}

fn free(allocator: &IovaAllocator) -> Vec<IovaRange> {
    allocator.free().collect()
}

#[test]
fn the_whole_space_can_be_taken_and_given_back() {
    let mut all = IovaAllocator::new(&[IovaRange::ALL]);
    all.allocate_at(IovaRange::ALL, None).unwrap();
    assert_eq!(free(&all), []);
    assert_eq!(all.allocate(1, 1, Iova(0), None), Err(DmaError::IovaExhausted { len: 1, align: 1 }));
    assert_eq!(all.release(Iova(0)), Ok(IovaRange::ALL));
    assert_eq!(free(&all), [IovaRange::ALL]);
}

#[test]
fn the_last_byte_can_be_had_and_nothing_overflows_behind_it() {
    let mut all = IovaAllocator::new(&[IovaRange::ALL]);
    let top = Iova(u64::MAX);
    assert_eq!(all.allocate(1, 1, top, None), Ok(top));
    assert_eq!(all.lookup(top), Some((range(u64::MAX, u64::MAX), None)));
    // From the top there is nothing above, so the lowest place is found.
    assert_eq!(all.allocate(2, 1, top, None), Ok(Iova(1)));
    // Alignment that leads past the end.
    assert_eq!(all.allocate(1, 1 << 63, Iova((1 << 63) + 1), None), Ok(Iova(1 << 63)));
    assert_eq!(
        all.allocate(u64::MAX, 1, Iova(0), None),
        Err(DmaError::IovaExhausted { len: u64::MAX, align: 1 })
    );
    all.release(top).unwrap();
    all.release(Iova(1)).unwrap();
    all.release(Iova(1 << 63)).unwrap();
    assert_eq!(free(&all), [IovaRange::ALL]);
}

#[test]
fn address_zero_is_only_given_when_asked_for() {
    let mut low = IovaAllocator::new(&[range(0, 0xffff)]);
    assert_eq!(low.allocate(0x1000, 0x1000, Iova(0), None), Ok(Iova(0x1000)));
    assert_eq!(low.allocate(1, 1, Iova(0), None), Ok(Iova(1)));
    assert_eq!(low.allocate_at(range(0, 0), None), Ok(()));
}

#[test]
fn lengths_need_not_be_powers_of_two() {
    let mut allocator = IovaAllocator::new(&[range(0x1000, 0xffff)]);
    assert_eq!(allocator.allocate(0x3000, 0x1000, Iova(0), None), Ok(Iova(0x1000)));
    assert_eq!(allocator.allocate(0x5000, 0x1000, Iova(0), None), Ok(Iova(0x4000)));
    assert_eq!(allocator.allocate(0x7000, 0x1000, Iova(0), None), Ok(Iova(0x9000)));
    assert!(matches!(allocator.allocate(1, 1, Iova(0), None), Err(DmaError::IovaExhausted { .. })));
}

#[test]
fn bad_sizes_are_refused() {
    let mut allocator = IovaAllocator::new(&[IovaRange::ALL]);
    assert_eq!(allocator.allocate(0, 1, Iova(0), None), Err(DmaError::Length { len: 0, page: 1 }));
    for align in [0, 3, 0x1001, u64::MAX] {
        assert_eq!(allocator.allocate(1, align, Iova(0), None), Err(DmaError::Alignment { align }));
    }
    let backwards = range(2, 1);
    assert_eq!(allocator.allocate_at(backwards, None), Err(DmaError::IovaReserved { range: backwards }));
    assert_eq!(IovaAllocator::new(&[backwards]).usable(), []);
}

#[test]
fn keys_find_their_range_and_cannot_be_taken_twice() {
    let mut allocator = IovaAllocator::new(&[range(0, 0xffff)]);
    let at = allocator.allocate(0x100, 0x100, Iova(0), Some(7)).unwrap();
    let taken = IovaRange::new(at, 0x100).unwrap();
    assert_eq!(allocator.find(7), Some(taken));
    assert_eq!(allocator.lookup(Iova(at.0 + 0xff)), Some((taken, Some(7))));
    assert_eq!(allocator.lookup(Iova(at.0 + 0x100)), None);
    assert_eq!(allocator.allocate(1, 1, Iova(0), Some(7)), Err(DmaError::IovaInUse { range: taken }));
    assert_eq!(allocator.allocate_at(range(0, 0), Some(7)), Err(DmaError::IovaInUse { range: taken }));
    allocator.release(at).unwrap();
    assert_eq!(allocator.find(7), None);
    allocator.allocate_at(range(0x5000, 0x5fff), Some(7)).unwrap();
    assert_eq!(allocator.find(7), Some(range(0x5000, 0x5fff)));
}

#[test]
fn giving_back_what_was_not_taken_is_an_error() {
    let mut allocator = IovaAllocator::new(&[range(0, 0xffff)]);
    let not = |iova| Err(DmaError::NotMapped { iova, len: 0 });
    assert_eq!(allocator.release(Iova(0x1000)), not(Iova(0x1000)));
    allocator.allocate_at(range(0x1000, 0x1fff), None).unwrap();
    assert_eq!(allocator.release(Iova(0x1800)), not(Iova(0x1800)), "not its first address");
    allocator.release(Iova(0x1000)).unwrap();
    assert_eq!(allocator.release(Iova(0x1000)), not(Iova(0x1000)), "twice");
}

#[test]
fn what_is_retired_never_comes_back() {
    let mut allocator = IovaAllocator::new(&[range(0x1000, 0x2fff)]);
    allocator.allocate_at(range(0x1000, 0x1fff), Some(1)).unwrap();
    allocator.retire(Iova(0x1000)).unwrap();
    assert_eq!(allocator.find(1), None);
    assert_eq!(free(&allocator), [range(0x2000, 0x2fff)]);
    allocator.set_usable(&[IovaRange::ALL]).unwrap();
    assert_eq!(free(&allocator), [range(0, 0xfff), range(0x2000, u64::MAX)]);
    let inside = range(0x1800, 0x18ff);
    assert_eq!(allocator.allocate_at(inside, None), Err(DmaError::IovaReserved { range: inside }));
}

#[test]
fn usable_ranges_are_joined_and_cannot_exclude_what_is_taken() {
    let mut allocator = IovaAllocator::new(&[
        range(0x3000, 0x3fff),
        range(0x1000, 0x1fff),
        range(0x2000, 0x2fff),
        range(0, 0x10),
    ]);
    assert_eq!(allocator.usable(), [range(0, 0x10), range(0x1000, 0x3fff)]);
    let taken = range(0x1800, 0x2800);
    allocator.allocate_at(taken, None).unwrap();
    let excluded = Err(DmaError::IovaReserved { range: taken });
    assert_eq!(allocator.set_usable(&[range(0x1900, u64::MAX)]), excluded);
    assert_eq!(allocator.set_usable(&[range(0, 0x1fff), range(0x2001, 0x3000)]), excluded);
    assert_eq!(allocator.usable(), [range(0, 0x10), range(0x1000, 0x3fff)], "nothing changed");
    allocator.set_usable(&[range(0x1800, 0x2900)]).unwrap();
    assert_eq!(free(&allocator), [range(0x2801, 0x2900)]);
}

/// A byte map of a small space: what the allocator must agree with.
struct Naive {
    usable: Vec<bool>,
    taken: Vec<(u64, u64)>,
}

impl Naive {
    fn is_free(&self, first: u64, len: u64) -> bool {
        let Some(end) = first.checked_add(len) else { return false };
        let usable = end <= self.usable.len() as u64 && (first..end).all(|at| self.usable[at as usize]);
        usable && self.taken.iter().all(|&(taken, last)| end <= taken || last < first)
    }

    fn allocate(&mut self, len: u64, align: u64, from: u64) -> Option<u64> {
        let top = self.usable.len() as u64;
        let fits = |at: &u64| at.is_multiple_of(align) && self.is_free(*at, len);
        let found = (from.max(1)..top).find(fits).or_else(|| (1..top).find(fits))?;
        self.taken.push((found, found + len - 1));
        Some(found)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Allocate { len: u64, align: u32, from: u64 },
    At { first: u64, len: u64 },
    Release { index: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1u64..40, 0u32..6, 0u64..300).prop_map(|(len, align, from)| Step::Allocate { len, align, from }),
        1 => (0u64..300, 1u64..40).prop_map(|(first, len)| Step::At { first, len }),
        2 => any::<usize>().prop_map(|index| Step::Release { index }),
    ]
}

proptest! {
    #[test]
    fn agrees_with_a_byte_map(
        holes in prop::collection::vec((0u64..256, 1u64..30), 0..4),
        // The same space, moved to the top of the 64-bit one: aligned, so that alignment means the same.
        high in any::<bool>(),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        const SIZE: u64 = 256;
        let base = if high { u64::MAX - (SIZE - 1) } else { 0 };
        let mut usable = vec![true; SIZE as usize];
        for (first, len) in holes {
            for at in first..(first + len).min(SIZE) {
                usable[at as usize] = false;
            }
        }
        // Address 0 is never chosen, which the byte map knows; at the top, the first byte is kept out likewise.
        if high {
            usable[0] = false;
        }
        let bytes = (0..SIZE).filter(|at| usable[*at as usize]);
        let ranges: Vec<IovaRange> = bytes.map(|at| range(base + at, base + at)).collect();
        let mut allocator = IovaAllocator::new(&ranges);
        let mut naive = Naive { usable, taken: Vec::new() };
        for step in steps {
            match step {
                Step::Allocate { len, align, from } => {
                    let align = 1 << align;
                    let got = allocator.allocate(len, align, Iova(base.saturating_add(from)), None);
                    // Beyond the top there is no higher address to start from.
                    let from = if high { from.min(SIZE - 1) } else { from };
                    match naive.allocate(len, align, from) {
                        Some(first) => prop_assert_eq!(got, Ok(Iova(base + first))),
                        None => prop_assert_eq!(got, Err(DmaError::IovaExhausted { len, align })),
                    }
                }
                Step::At { first, len } => {
                    let Some(wanted) = IovaRange::new(Iova(base.saturating_add(first)), len) else { continue };
                    let first = wanted.first.0 - base;
                    let ok = naive.is_free(first, len);
                    prop_assert_eq!(allocator.allocate_at(wanted, None).is_ok(), ok);
                    if ok {
                        naive.taken.push((first, first + len - 1));
                    }
                }
                Step::Release { index } if !naive.taken.is_empty() => {
                    let (first, last) = naive.taken.swap_remove(index % naive.taken.len());
                    let released = range(base + first, base + last);
                    prop_assert_eq!(allocator.release(released.first), Ok(released));
                }
                Step::Release { .. } => {}
            }
            // Nothing is lost and nothing is there twice, and free ranges never touch.
            let free: Vec<IovaRange> = allocator.free().collect();
            prop_assert!(free.windows(2).all(|pair| pair[0].last.0 + 1 < pair[1].first.0));
            for at in 0..SIZE {
                let byte = range(base + at, base + at);
                let is_free = free.iter().any(|range| range.contains(byte));
                prop_assert_eq!(is_free, naive.is_free(at, 1), "byte {}", at);
                let taken = naive.taken.iter().find(|(first, last)| (*first..=*last).contains(&at));
                let found = allocator.lookup(byte.first).map(|(range, _)| (range.first.0 - base, range.last.0 - base));
                prop_assert_eq!(found, taken.copied());
            }
        }
    }
}
