//! The model's way to memory: rights, bounds, bus mastering, and the end of a mapping.

use std::sync::Arc;

use vfio_hal::backend::local::LocalOptions;
use vfio_hal::device::Device;
use vfio_hal::dma::memory::HeapMemory;
use vfio_hal::dma::{DmaAccess, DmaError, Region, RegionOptions};
use vfio_hal::{Iova, IovaRange};
use vfio_user_kit::DmaFault;

use crate::model::*;

fn region_at(rig: &Rig, iova: u64, access: DmaAccess) -> Region {
    let options = RegionOptions::new(access).at(Iova(iova));
    options.alloc(&rig.space, HeapMemory::new(0x1000).unwrap()).unwrap()
}

#[test]
fn bytes_move_between_regions_at_any_alignment() {
    let rig = Rig::new();
    let pattern: Vec<u8> = (0..0x4000).map(|at| (at % 251) as u8).collect();
    rig.src.copy_in(0, &pattern).unwrap();
    for (from, to, len) in [(0, 0, 0x4000), (1, 0, 100), (3, 5, 7), (0, 7, 1), (4, 12, 64), (5, 5, 0)] {
        rig.dst.fill(0, 0x4000, 0xee).unwrap();
        rig.copy(rig.src.iova().0 + from, rig.dst.iova().0 + to, len).unwrap();
        let mut all = vec![0; 0x4000];
        rig.dst.copy_out(0, &mut all).unwrap();
        let (from, to, len) = (from as usize, to as usize, len as usize);
        assert_eq!(all[to..to + len], pattern[from..from + len]);
        assert!(all[..to].iter().chain(&all[to + len..]).all(|byte| *byte == 0xee));
    }
}

#[test]
fn rights_are_checked_both_ways() {
    let rig = Rig::new();
    let (src, dst) = (rig.src.iova().0, rig.dst.iova().0);
    assert_eq!(rig.copy(dst, dst, 8), Err(DmaFault::Protection { iova: dst, access: "read" }));
    assert_eq!(rig.copy(src, src, 8), Err(DmaFault::Protection { iova: src, access: "write" }));
    let both = Region::alloc(&rig.space, HeapMemory::new(0x1000).unwrap(), DmaAccess::ReadWrite).unwrap();
    assert_eq!(rig.copy(both.iova().0, both.iova().0 + 8, 8), Ok(()));
}

#[test]
fn what_is_not_mapped_in_full_faults_and_nothing_is_written() {
    let rig = Rig::new();
    let (src, dst) = (rig.src.iova().0, rig.dst.iova().0);
    for (from, len) in [(0, 8), (src - 1, 2), (u64::MAX, 1), (u64::MAX - 3, 8)] {
        let fault = DmaFault::NotMapped { iova: from, len };
        assert_eq!(rig.copy(from, dst, len as u64), Err(fault));
    }
    rig.src.fill(0, 0x4000, 1).unwrap();
    // The regions lie side by side, so it is the end of the second that is the end.
    assert_eq!(dst, src + 0x4000);
    let end = dst + 0x4000;
    assert_eq!(rig.copy(src, end - 4, 8), Err(DmaFault::NotMapped { iova: end - 4, len: 8 }));
    assert_eq!(rig.dst.read_u32(0x3ffc), Ok(0));
    assert_eq!(rig.copy(src, end - 4, 4), Ok(()));
    assert_eq!(rig.dst.read_u32(0x3ffc), Ok(0x0101_0101));
}

#[test]
fn a_range_over_two_mappings_is_one_transfer_if_both_allow_it() {
    let rig = Rig::new();
    let first = region_at(&rig, 0x10_0000, DmaAccess::ReadWrite);
    let second = region_at(&rig, 0x10_1000, DmaAccess::ReadWrite);
    let _third = region_at(&rig, 0x10_2000, DmaAccess::Read);
    rig.src.copy_in(0, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]).unwrap();
    rig.copy(rig.src.iova().0, 0x10_0ffb, 10).unwrap();
    assert_eq!(first.read_u8(0xfff), Ok(5));
    assert_eq!(second.read_u32(1), Err(DmaError::Unaligned { address: 1, page: 4 }));
    assert_eq!([second.read_u8(0), second.read_u8(4), second.read_u8(5)], [Ok(6), Ok(10), Ok(0)]);
    rig.copy(0x10_0ffb, rig.dst.iova().0, 10).unwrap();
    assert_eq!(rig.dst.read_u64(0), Ok(0x0807_0605_0403_0201));
    // The last part may not be written, so no part is.
    second.fill(0, 0x1000, 0xaa).unwrap();
    let fault = rig.copy(rig.src.iova().0, 0x10_1ffc, 8);
    assert_eq!(fault, Err(DmaFault::Protection { iova: 0x10_1ffc, access: "write" }));
    assert_eq!(second.read_u32(0xffc), Ok(0xaaaa_aaaa));
}

#[test]
fn without_bus_mastering_there_is_no_dma() {
    let rig = Rig::new();
    let (src, dst) = (rig.src.iova().0, rig.dst.iova().0);
    rig.set_master(false);
    assert_eq!(rig.copy(src, dst, 8), Err(DmaFault::NotBusMaster { iova: src }));
    rig.set_master(true);
    assert_eq!(rig.copy(src, dst, 8), Ok(()));
    // Power-managed away.
    let mut pm = [0];
    rig.device.config_read(0x34, &mut pm).unwrap();
    let control = u16::from(pm[0]) + 4;
    rig.prepare(src, dst, 8);
    rig.ring(99);
    rig.device.config_write(control, &3u16.to_le_bytes()).unwrap();
    rig.stepper.step();
    let last = rig.device.with_model(|model| model.last).unwrap();
    assert_eq!(last, Some(Err(DmaFault::NotBusMaster { iova: src })));
}

#[test]
fn an_unmapped_region_is_out_of_reach_and_its_memory_freed() {
    let rig = Rig::new();
    let gone = region_at(&rig, 0x10_0000, DmaAccess::ReadWrite);
    gone.bus(0).unwrap();
    assert_eq!(rig.copy(0x10_0000, rig.dst.iova().0, 8), Ok(()));
    drop(gone);
    let fault = Err(DmaFault::NotMapped { iova: 0x10_0000, len: 8 });
    assert_eq!(rig.copy(0x10_0000, rig.dst.iova().0, 8), fault);
    assert_eq!(rig.space.stats().leaked_bytes, 0);
}

#[test]
fn the_mapper_takes_what_its_options_say() {
    let range = |first, last| IovaRange { first: Iova(first), last: Iova(last) };
    let options = LocalOptions::default().ranges(&[range(0x10_0000, 0x1f_ffff)]).max_mappings(3);
    let rig = Rig::with(options);
    assert_eq!(rig.space.usable(), [range(0x10_0000, 0x1f_ffff)]);
    assert_eq!(rig.src.iova(), Iova(0x10_0000));
    let third = Region::alloc(&rig.space, HeapMemory::new(1).unwrap(), DmaAccess::Read).unwrap();
    let fourth = Region::alloc(&rig.space, HeapMemory::new(1).unwrap(), DmaAccess::Read).unwrap_err();
    assert_eq!(fourth, DmaError::EntryLimit { limit: 3 });
    drop(third);
    let outside = RegionOptions::new(DmaAccess::Read).at(Iova(0x20_0000));
    let refused = outside.alloc(&rig.space, HeapMemory::new(1).unwrap()).unwrap_err();
    assert_eq!(refused, DmaError::IovaReserved { range: range(0x20_0000, 0x20_0fff) });
    let coarse = Rig::with(LocalOptions::default());
    assert_eq!(coarse.space.stats().page_sizes.trailing_zeros(), 12);
}

#[test]
fn addresses_of_interrupt_messages_are_not_memory() {
    let rig = Rig::new();
    let at = RegionOptions::new(DmaAccess::Read).at(Iova(0xfee0_0000));
    let refused = at.alloc(&rig.space, HeapMemory::new(1).unwrap()).unwrap_err();
    assert!(matches!(refused, DmaError::IovaReserved { .. }));
}

#[test]
fn the_mapper_itself_refuses_what_a_space_would_never_ask() {
    use vfio_hal::dma::memory::Memory;
    use vfio_hal::dma::{DmaMapping, Unmapped};
    let rig = Rig::new();
    let dma = rig.device.dma();
    let memory = HeapMemory::new(0x3000).unwrap();
    let map = |iova, offset: usize, len| {
        // SAFETY: inside of `memory`, which outlives the device's steps: there are none.
        unsafe { dma.map(&DmaMapping::new(Iova(iova), memory.ptr().add(offset), len, DmaAccess::Read, None)) }
    };
    assert_eq!(map(0x10_0800, 0, 0x1000), Err(DmaError::Unaligned { address: 0x10_0800, page: 4096 }));
    assert!(matches!(map(0x10_0000, 8, 0x1000), Err(DmaError::Unaligned { .. })));
    for len in [0, 1, 0x1800, u64::MAX] {
        assert_eq!(map(0x10_0000, 0, len), Err(DmaError::Length { len, page: 4096 }));
    }
    assert_eq!(map(u64::MAX - 0xfff, 0, 0x2000), Err(DmaError::Length { len: 0x2000, page: 4096 }));
    map(0x10_0000, 0, 0x2000).unwrap();
    for iova in [0x10_0000, 0x10_1000, 0xf_f000] {
        assert!(matches!(map(iova, 0, 0x2000), Err(DmaError::IovaInUse { .. })), "{iova:#x}");
    }
    map(0x10_2000, 0x2000, 0x1000).unwrap();
    map(0xf_f000, 0x2000, 0x1000).unwrap();
    for (iova, len) in [(0x10_0000, 0x1000), (0x10_1000, 0x1000), (0x10_0000, 0x3000), (0, 0x1000)] {
        let iova = Iova(iova);
        assert_eq!(dma.unmap(iova, len), Err(DmaError::NotMapped { iova, len }));
    }
    for (iova, len) in [(0x10_0000, 0x2000), (0x10_2000, 0x1000), (0xf_f000, 0x1000)] {
        assert!(matches!(dma.unmap(Iova(iova), len), Ok(Unmapped::Fenced(_))));
        assert!(dma.unmap(Iova(iova), len).is_err(), "twice");
    }
}

#[test]
fn two_devices_share_a_space_with_addresses_that_are_no_pointers() {
    let rig = Rig::new();
    let other =
        vfio_hal::backend::local::LocalDevice::new("other", Copier::default(), LocalOptions::default());
    let other = other.unwrap();
    let any: Arc<dyn Device> = other.clone();
    rig.space.attach(&any).unwrap();
    other.config_write(0x04, &0b110u16.to_le_bytes()).unwrap();
    assert_ne!(rig.src.iova().0, rig.space.regions()[0].address as u64);
    rig.src.copy_in(0, b"one space").unwrap();
    // The second device copies by the addresses that the first one uses.
    let bar = other.bar(0).unwrap();
    use vfio_hal::bar::Width;
    for (register, value) in [(SRC, rig.src.iova().0), (DST, rig.dst.iova().0), (LEN, 9)] {
        bar.write(register, Width::W64, value).unwrap();
    }
    bar.doorbell(GO).unwrap().ring(1);
    other.stepper().step();
    let mut bytes = [0; 9];
    rig.dst.copy_out(0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"one space");
}
