//! Devices that come and go.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use vfio_hal::device::DeviceError;
use vfio_hal::dma::memory::HeapMemory;
use vfio_hal::dma::{Addressing, DmaAccess, DmaError, IovaSpace, Region, RegionOptions};
use vfio_hal::{Iova, IovaRange};

use crate::fakes::*;

#[test]
fn two_devices_see_a_region_at_the_same_address_which_is_not_a_pointer() {
    let (one, two) = (Arc::new(Fake::new()), Arc::new(Fake::new()));
    let space = space_of(&[&one, &two]);
    let (region, _) = alloc(&space, 0x3000);
    let pointer = space.regions()[0].address;
    assert_ne!(region.iova().0, pointer as u64);
    for fake in [&one, &two] {
        assert_eq!(fake.mapped(), [(region.iova().0, 0x3000)]);
        assert_eq!(fake.table.lock().unwrap()[&region.iova().0].0, pointer);
    }
    drop(region);
    assert!(one.mapped().is_empty() && two.mapped().is_empty());
}

#[test]
fn a_device_that_joins_late_gets_what_lives() {
    let one = Arc::new(Fake::new());
    let space = space_of(&[&one]);
    let (a, _) = alloc(&space, 0x1000);
    let (b, _) = alloc(&space, 0x2000);
    let (dead, _) = alloc(&space, 0x1000);
    drop(dead);
    let late = Arc::new(Fake::new());
    space.attach(&device(&late)).unwrap();
    assert_eq!(late.mapped(), [(a.iova().0, 0x1000), (b.iova().0, 0x2000)]);
    assert_eq!(late.mapped(), one.mapped());
}

#[test]
fn addresses_are_what_all_devices_can_reach() {
    let one = Fake::ranges(&[(0x1000, 0xffff), (0x10_0000, 0x1f_ffff)]);
    let two = Fake::ranges(&[(0x8000, 0x10_ffff)]);
    let space = space_of(&[&one, &two]);
    let ranges = [(0x8000, 0xffff), (0x10_0000, 0x10_ffff)];
    let ranges = ranges.map(|(first, last)| IovaRange { first: Iova(first), last: Iova(last) });
    assert_eq!(space.usable(), ranges);
    // The default base is above, so the lowest fit is taken.
    let (a, _) = alloc(&space, 0x8000);
    let (b, _) = alloc(&space, 0x8000);
    assert_eq!((a.iova(), b.iova()), (Iova(0x8000), Iova(0x10_0000)));
    let (memory, freed) = memory(0x9000);
    assert_eq!(
        Region::alloc(&space, memory, DmaAccess::Read).unwrap_err(),
        DmaError::IovaExhausted { len: 0x9000, align: 0x1000 }
    );
    assert!(freed.yet(), "memory that was not mapped goes back at once");
    space.detach(&device(&two)).unwrap();
    assert_eq!(space.usable()[0].first, Iova(0x1000), "one device alone reaches more");
}

#[test]
fn a_device_that_excludes_a_live_range_cannot_join() {
    let one = Arc::new(Fake::new());
    let space = space_of(&[&one]);
    let (region, _) = alloc(&space, 0x1000);
    let narrow = Fake::ranges(&[(0, region.iova().0 + 0xffe)]);
    let range = IovaRange::new(region.iova(), 0x1000).unwrap();
    assert_eq!(space.attach(&device(&narrow)), Err(DmaError::IovaReserved { range }));
    assert!(narrow.mapped().is_empty());
    assert_eq!(space.usable(), [IovaRange::ALL], "the others do not notice");
    assert_eq!(space.stats().devices, 1);
    drop(region);
    space.attach(&device(&narrow)).unwrap();
}

#[test]
fn a_device_that_fails_to_join_leaves_nothing_behind() {
    let one = Arc::new(Fake::new());
    let space = space_of(&[&one]);
    let (regions, freed): (Vec<_>, Vec<_>) = (0..3).map(|_| alloc(&space, 0x1000)).unzip();
    let failing = Arc::new(Fake::new());
    failing.maps_left.store(2, Ordering::Relaxed);
    let error = DmaError::Device(DeviceError::System { what: "map", errno: 12 });
    assert_eq!(space.attach(&device(&failing)), Err(error));
    assert!(failing.mapped().is_empty() && !space.is_attached(&device(&failing)));
    drop(regions);
    assert!(freed.iter().all(Freed::yet));
}

#[test]
fn a_region_that_one_device_refuses_is_in_none() {
    let (one, two) = (Arc::new(Fake::new()), Arc::new(Fake::new()));
    let space = space_of(&[&one, &two]);
    two.maps_left.store(0, Ordering::Relaxed);
    let (memory, freed) = memory(0x1000);
    assert!(Region::alloc(&space, memory, DmaAccess::Read).is_err());
    assert!(one.mapped().is_empty() && freed.yet());
    assert_eq!((space.stats().regions, space.stats().leaked_bytes), (0, 0));
}

#[test]
fn what_cannot_be_taken_back_after_a_refusal_is_leaked() {
    let (one, two) = (Fake::answering(Answer::Lost), Arc::new(Fake::new()));
    let space = space_of(&[&one, &two]);
    two.maps_left.store(0, Ordering::Relaxed);
    let (memory, freed) = memory(0x1000);
    assert!(Region::alloc(&space, memory, DmaAccess::Read).is_err());
    assert!(!freed.yet());
    assert_eq!((space.stats().leaked_regions, space.stats().leaked_bytes), (1, 0x1000));
}

#[test]
fn attaching_twice_and_detaching_a_stranger_are_errors() {
    let (one, two) = (Arc::new(Fake::new()), Arc::new(Fake::new()));
    let space = space_of(&[&one]);
    assert_eq!(space.attach(&device(&one)), Err(DmaError::AlreadyAttached));
    assert_eq!(space.detach(&device(&two)), Err(DmaError::NotAttached));
    assert_eq!(space.detach_with_reset(&device(&two)), Err(DmaError::NotAttached));
    space.detach(&device(&one)).unwrap();
    assert_eq!(space.detach(&device(&one)), Err(DmaError::NotAttached));
}

#[test]
fn a_device_whose_other_side_forgot_everything_gets_it_again() {
    let (one, two) = (Arc::new(Fake::new()), Arc::new(Fake::new()));
    let space = space_of(&[&one, &two]);
    let (region, freed) = alloc(&space, 0x1000);
    let (other, _) = alloc(&space, 0x2000);
    one.table.lock().unwrap().clear();
    space.reattach(&device(&one)).unwrap();
    assert_eq!(one.mapped(), two.mapped());
    assert_eq!(space.stats().devices, 2);
    // The next time it cannot take them, so it is out, and the other device stays.
    one.table.lock().unwrap().clear();
    one.maps_left.store(1, Ordering::Relaxed);
    assert!(space.reattach(&device(&one)).is_err());
    assert!(!space.is_attached(&device(&one)) && one.mapped().is_empty());
    assert_eq!(two.mapped().len(), 2);
    drop((region, other));
    assert!(freed.yet());
    assert_eq!(space.reattach(&device(&one)), Err(DmaError::NotAttached));
}

#[test]
fn the_granule_is_the_largest_and_live_regions_must_have_it() {
    let large = |page_sizes| {
        let mut fake = Fake::new();
        fake.caps.page_sizes = page_sizes;
        Arc::new(fake)
    };
    let one = large(0x4020_1000);
    let space = space_of(&[&one]);
    assert_eq!(space.stats().page_sizes, 0x4020_1000);
    let (small, _) = alloc(&space, 0x1000);
    let two = large(0x4001_0000);
    assert!(matches!(
        space.attach(&device(&two)),
        Err(DmaError::Length { len: 0x1000, page: 0x1_0000 } | DmaError::Unaligned { page: 0x1_0000, .. })
    ));
    drop(small);
    space.attach(&device(&two)).unwrap();
    assert_eq!(space.stats().page_sizes, 0x4001_0000);
    let (memory, _) = memory(0x1000);
    let refused = Region::alloc(&space, memory, DmaAccess::Read).unwrap_err();
    assert_eq!(refused, DmaError::Length { len: 0x1000, page: 0x1_0000 });
    let none = large(0);
    let unsupported = DeviceError::Unsupported { what: "page size for DMA mappings" };
    assert_eq!(space.attach(&device(&none)), Err(DmaError::Device(unsupported)));
}

#[test]
fn the_smallest_mapping_limit_counts_before_it_bites() {
    let limited = |limit| {
        let mut fake = Fake::new();
        fake.caps.max_mappings = Some(limit);
        Arc::new(fake)
    };
    let (one, two) = (limited(5), limited(3));
    let space = space_of(&[&one]);
    assert_eq!(space.stats().mappings_left, Some(5));
    let kept: Vec<_> = (0..4).map(|_| alloc(&space, 0x1000).0).collect();
    assert_eq!(space.attach(&device(&two)), Err(DmaError::EntryLimit { limit: 3 }));
    drop(kept);
    space.attach(&device(&two)).unwrap();
    let kept: Vec<_> = (0..3).map(|_| alloc(&space, 0x1000).0).collect();
    assert_eq!(space.stats().mappings_left, Some(0));
    let (memory, _) = memory(0x1000);
    let refused = Region::alloc(&space, memory, DmaAccess::Read).unwrap_err();
    assert_eq!(refused, DmaError::EntryLimit { limit: 3 });
    drop(kept);
}

fn physical(physical: fn(u64) -> Option<u64>) -> Arc<Fake> {
    Arc::new(Fake { physical, ..Fake::with(Addressing::Physical) })
}

#[test]
fn physical_and_translated_addresses_do_not_mix() {
    let (translated, bare) = (Arc::new(Fake::new()), physical(Some));
    let space = space_of(&[&translated]);
    assert_eq!(space.attach(&device(&bare)), Err(DmaError::MixedAddressing));
    let space = space_of(&[&bare]);
    assert_eq!(space.attach(&device(&translated)), Err(DmaError::MixedAddressing));
    assert!(space.stats().physical);
    // A region alone decides too, because its address was chosen.
    let space = IovaSpace::new();
    let (region, _) = alloc(&space, 0x1000);
    assert_eq!(space.attach(&device(&bare)), Err(DmaError::MixedAddressing));
    drop(region);
    space.attach(&device(&bare)).unwrap();
    space.detach(&device(&bare)).unwrap();
    space.attach(&device(&translated)).unwrap();
}

#[test]
fn a_physical_region_is_where_its_pages_are_in_one_run() {
    let bare = physical(|ptr| Some(ptr ^ (1 << 55)));
    let space = space_of(&[&bare]);
    let heap = HeapMemory::new(0x3000).unwrap();
    let region = Region::alloc(&space, heap, DmaAccess::ReadWrite).unwrap();
    assert_eq!(region.iova().0, space.regions()[0].address as u64 ^ (1 << 55));
    assert_eq!(bare.mapped(), [(region.iova().0, 0x3000)]);
    // Another address was asked for than the memory has.
    let elsewhere = RegionOptions::new(DmaAccess::Read).at(Iova(0x1000));
    let refused = elsewhere.alloc(&space, HeapMemory::new(0x1000).unwrap()).unwrap_err();
    assert!(matches!(refused, DmaError::IovaReserved { .. }));
}

#[test]
fn scattered_pages_or_none_are_refused() {
    // Pages in reverse order.
    for scattered in [physical(|ptr| Some(u64::MAX / 4096 * 4096 - ptr)), physical(|_| None)] {
        let space = space_of(&[&scattered]);
        let (memory, freed) = memory(0x2000);
        let refused = Region::alloc(&space, memory, DmaAccess::Read).unwrap_err();
        assert!(matches!(refused, DmaError::NoPhysical { .. }), "{refused}");
        assert!(freed.yet() && scattered.mapped().is_empty());
    }
}

#[test]
fn a_device_with_another_view_of_physical_memory_cannot_join() {
    let (one, two) = (physical(Some), physical(|ptr| Some(ptr + 0x1000)));
    let space = space_of(&[&one]);
    let (region, _) = alloc(&space, 0x1000);
    assert!(matches!(space.attach(&device(&two)), Err(DmaError::IovaReserved { .. })));
    drop(region);
    space.attach(&device(&two)).unwrap();
    let (memory, _) = memory(0x1000);
    let refused = Region::alloc(&space, memory, DmaAccess::Read).unwrap_err();
    assert!(matches!(refused, DmaError::NoPhysical { .. }));
}

#[test]
fn close_names_what_lives_and_ends_the_space() {
    let one = Arc::new(Fake::new());
    let space = space_of(&[&one]);
    let ring = RegionOptions::new(DmaAccess::ReadWrite).name("rx ring 3");
    let region = ring.alloc(&space, HeapMemory::new(0x1000).unwrap()).unwrap();
    let error = space.close().unwrap_err();
    assert_eq!(error, DmaError::SpaceInUse { regions: 1, name: "rx ring 3" });
    assert!(error.to_string().contains("'rx ring 3'"));
    drop(region);
    space.close().unwrap();
    assert_eq!(space.stats().devices, 0);
    assert_eq!(space.attach(&device(&one)), Err(DmaError::Closed));
    let refused = Region::alloc(&space, HeapMemory::new(1).unwrap(), DmaAccess::Read).unwrap_err();
    assert_eq!(refused, DmaError::Closed);
}

#[test]
fn a_forced_close_resets_first_so_that_nothing_leaks() {
    let one = Fake::answering(Answer::Unfenced);
    let space = space_of(&[&one]);
    let (region, freed) = alloc(&space, 0x1000);
    region.bus(0).unwrap();
    space.force_close().unwrap();
    assert!(one.mapped().is_empty());
    region.write_u64(0, 7).unwrap();
    assert_eq!(region.read_u64(0), Ok(7), "it is still memory");
    drop(region);
    assert!(freed.yet());
    assert_eq!(space.stats().leaked_bytes, 0);
}

#[test]
fn a_forced_close_without_a_reset_leaks_and_says_so() {
    let one = Arc::new(Fake { can_reset: false, answer: Mutex::new(Answer::Unfenced), ..Fake::new() });
    let space = space_of(&[&one]);
    let (region, freed) = alloc(&space, 0x1000);
    let error = DeviceError::Unsupported { what: "function reset" };
    assert_eq!(space.force_close(), Err(DmaError::Device(error)));
    assert_eq!(space.stats().devices, 0);
    drop(region);
    assert!(!freed.yet());
    assert_eq!(space.stats().leaked_bytes, 0x1000);
}
