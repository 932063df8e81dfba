//! Memory goes back only when no device can reach it.

use std::sync::Arc;

use vfio_hal::dma::{DmaError, IovaSpace, Quiesced, Region};
use vfio_hal::poll;

use crate::fakes::*;

fn leaked(space: &IovaSpace) -> (u64, u64) {
    (space.stats().leaked_regions, space.stats().leaked_bytes)
}

/// A proof, which only a device that was seen to stop gives.
fn proof(of: &Fake) -> Quiesced {
    poll::reset(of).unwrap()
}

#[test]
fn a_fence_frees_even_if_the_device_knew_the_address() {
    let one = Fake::answering(Answer::Fenced);
    let space = space_of(&[&one]);
    let (region, freed) = alloc(&space, 0x1000);
    region.bus(0).unwrap();
    assert!(!freed.yet());
    drop(region);
    assert!(freed.yet());
    assert_eq!(leaked(&space), (0, 0));
}

#[test]
fn the_fence_of_the_last_device_of_a_context_frees() {
    let (one, two) = (Fake::answering(Answer::Shared), Fake::answering(Answer::Fenced));
    let space = space_of(&[&one, &two]);
    let (region, freed) = alloc(&space, 0x1000);
    region.bus(0).unwrap();
    drop(region);
    assert!(freed.yet());
    // One that leaves does not hold the memory, because it is fenced off with the other.
    let (region, freed) = alloc(&space, 0x1000);
    region.bus(0).unwrap();
    space.detach(&device(&one)).unwrap();
    drop(region);
    assert!(freed.yet());
    assert_eq!(leaked(&space), (0, 0));
}

#[test]
fn a_context_whose_last_device_never_answers_leaks() {
    let (one, two) = (Fake::answering(Answer::Fenced), Fake::answering(Answer::Shared));
    let space = space_of(&[&one, &two]);
    let (region, freed) = alloc(&space, 0x1000);
    drop(region);
    assert!(!freed.yet());
    assert_eq!(leaked(&space), (1, 0x1000));
}

#[test]
fn without_a_fence_only_an_address_that_nobody_knows_is_freed() {
    let one = Fake::answering(Answer::Unfenced);
    let space = space_of(&[&one]);
    let (unknown, freed_unknown) = alloc(&space, 0x1000);
    let (known, freed_known) = alloc(&space, 0x2000);
    known.bus(0x1fff).unwrap();
    drop(unknown);
    assert!(freed_unknown.yet());
    drop(known);
    assert!(!freed_known.yet());
    assert_eq!(leaked(&space), (1, 0x2000));
}

#[test]
fn a_proof_frees_without_a_fence() {
    let one = Fake::answering(Answer::Unfenced);
    let space = space_of(&[&one]);
    let (region, freed) = alloc(&space, 0x1000);
    region.bus(0).unwrap();
    assert_eq!(region.release(&[proof(&one)]), 0);
    assert!(freed.yet());
    assert_eq!(leaked(&space), (0, 0));
}

#[test]
fn one_proof_does_not_speak_for_two_devices() {
    let (one, two) = (Fake::answering(Answer::Unfenced), Fake::answering(Answer::Unfenced));
    let space = space_of(&[&one, &two]);
    let (region, freed) = alloc(&space, 0x1000);
    let (other, other_freed) = alloc(&space, 0x2000);
    region.bus(0).unwrap();
    other.bus(0).unwrap();
    assert_eq!(region.release(&[proof(&two), proof(&two)]), 0x1000);
    assert!(!freed.yet());
    assert_eq!(other.release(&[proof(&two), proof(&one)]), 0);
    assert!(other_freed.yet());
    assert_eq!(leaked(&space), (1, 0x1000));
}

#[test]
fn the_proof_of_another_device_frees_nothing() {
    let (one, stranger) = (Fake::answering(Answer::Unfenced), Fake::new());
    let space = space_of(&[&one]);
    let (region, freed) = alloc(&space, 0x1000);
    region.bus(0).unwrap();
    assert_eq!(region.release(&[proof(&stranger)]), 0x1000);
    assert!(!freed.yet());
}

#[test]
fn a_lost_device_leaks_what_it_had_known_or_not() {
    let (one, two) = (Fake::answering(Answer::Fenced), Fake::answering(Answer::Fenced));
    let space = space_of(&[&one, &two]);
    let (known, freed_known) = alloc(&space, 0x1000);
    let (unknown, freed_unknown) = alloc(&space, 0x2000);
    let (proven, freed_proven) = alloc(&space, 0x4000);
    known.bus(0).unwrap();
    *two.answer.lock().unwrap() = Answer::Lost;
    drop((known, unknown));
    assert_eq!(proven.release(&[proof(&one), proof(&two)]), 0x4000);
    assert!(!freed_known.yet() && !freed_unknown.yet() && !freed_proven.yet());
    assert_eq!(leaked(&space), (3, 0x7000));
    assert_eq!(space.stats().regions, 0);
    assert!(one.mapped().is_empty(), "the device that lives lets go");
}

#[test]
fn a_leaked_address_is_never_used_again() {
    let one = Fake::answering(Answer::Lost);
    let space = space_of(&[&one]);
    let (region, _) = alloc(&space, 0x1000);
    let leaked = region.iova();
    drop(region);
    let (next, _) = alloc(&space, 0x1000);
    assert_ne!(next.iova(), leaked);
    let (memory, _) = memory(0x1000);
    let again = Region::alloc_at(&space, memory, vfio_hal::dma::DmaAccess::Read, leaked);
    assert!(matches!(again, Err(DmaError::IovaReserved { .. })));
}

#[test]
fn a_device_that_leaves_without_a_fence_holds_what_it_had() {
    let one = Fake::answering(Answer::Unfenced);
    let space = space_of(&[&one]);
    let (region, freed) = alloc(&space, 0x1000);
    space.detach(&device(&one)).unwrap();
    let (later, freed_later) = alloc(&space, 0x1000);
    drop((region, later));
    assert!(!freed.yet() && freed_later.yet());
    assert_eq!(leaked(&space), (1, 0x1000));
}

#[test]
fn a_device_that_is_reset_before_it_leaves_holds_nothing() {
    let one = Fake::answering(Answer::Unfenced);
    let space = space_of(&[&one]);
    let (region, freed) = alloc(&space, 0x1000);
    region.bus(0).unwrap();
    space.detach_with_reset(&device(&one)).unwrap();
    drop(region);
    assert!(freed.yet());
}

#[test]
fn memory_without_a_device_is_just_freed() {
    let space = IovaSpace::new();
    let (region, freed) = alloc(&space, 0x1000);
    region.bus(0).unwrap();
    drop(region);
    assert!(freed.yet());
}

#[test]
fn a_shared_region_is_in_use_until_the_last_lets_go() {
    let one = Fake::answering(Answer::Unfenced);
    let space = space_of(&[&one]);
    let (region, freed) = alloc(&space, 0x1000);
    region.bus(0).unwrap();
    let region = Arc::new(region);
    let (ring, pool) = (region.clone(), region.clone());
    assert_eq!(Region::release_shared(region, &[proof(&one)]), Err(DmaError::InUse { users: 2 }));
    assert_eq!(one.mapped().len(), 1, "it stays mapped");
    drop(ring);
    assert_eq!(Region::release_shared(pool, &[proof(&one)]), Ok(0));
    assert!(freed.yet());
}

#[test]
fn a_region_keeps_its_space_and_its_devices() {
    let one = Fake::answering(Answer::Fenced);
    let space = space_of(&[&one]);
    let (region, freed) = alloc(&space, 0x1000);
    let weak = Arc::downgrade(&one);
    drop((space, one));
    assert!(weak.upgrade().is_some_and(|one| one.mapped().len() == 1));
    drop(region);
    assert!(freed.yet() && weak.upgrade().is_none());
}

#[test]
fn a_freed_address_that_a_device_knew_rests_before_it_is_used_again() {
    let one = Fake::ranges(&[(0x1000, 0x4fff)]);
    let space = space_of(&[&one]);
    let (known, _) = alloc(&space, 0x1000);
    let first = known.iova();
    known.bus(0).unwrap();
    drop(known);
    let (a, _) = alloc(&space, 0x1000);
    assert_ne!(a.iova(), first, "a stale descriptor would write into it");
    let (unknown, _) = alloc(&space, 0x1000);
    let second = unknown.iova();
    drop(unknown);
    let (b, _) = alloc(&space, 0x1000);
    assert_eq!(b.iova(), second, "nobody knew this one");
    // When nothing else is left, or it is asked for, it is used.
    let (c, _) = alloc(&space, 0x1000);
    let (d, _) = alloc(&space, 0x1000);
    assert_eq!([c.iova(), d.iova()].iter().filter(|iova| **iova == first).count(), 1);
}

#[test]
fn an_owner_may_use_the_space_while_its_memory_is_freed() {
    struct Asks(IovaSpace);
    impl Drop for Asks {
        fn drop(&mut self) {
            assert_eq!(self.0.stats().regions, 0);
        }
    }
    let space = space_of(&[&Fake::answering(Answer::Fenced)]);
    let (memory, _) = memory(0x1000);
    let region = Region::alloc(&space, memory.owned_by(Asks(space.clone())), vfio_hal::dma::DmaAccess::Read);
    drop(region.unwrap());
    space.close().unwrap();
    let (memory, _) = crate::fakes::memory(0x1000);
    let refused = Region::alloc(&space, memory.owned_by(Asks(space.clone())), vfio_hal::dma::DmaAccess::Read);
    assert_eq!(refused.unwrap_err(), DmaError::Closed);
}
