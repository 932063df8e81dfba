//! A device that answers its mapper's questions as a test wants, and memory that tells when it is freed.

use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use vfio_hal::device::{Device, DeviceError, Lost};
use vfio_hal::dma::memory::{CallerMemory, HeapMemory, Memory};
use vfio_hal::dma::{
    Addressing, Dma, DmaAccess, DmaCaps, DmaError, DmaMapping, Fence, IovaSpace, Region, Unmapped,
};
use vfio_hal::{Bar, Iova, IovaRange};

/// What a fake mapper answers to an unmap.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Answer {
    Fenced,
    /// Another device, which shares the translation, still has the mapping.
    Shared,
    Unfenced,
    Lost,
}

/// A device with a mapper and nothing else.
pub(crate) struct Fake {
    pub(crate) lost: Lost,
    pub(crate) caps: DmaCaps,
    pub(crate) answer: Mutex<Answer>,
    /// Mappings by first IOVA: process address, length, access.
    pub(crate) table: Mutex<BTreeMap<u64, (usize, u64, DmaAccess)>>,
    /// How many further mappings succeed.
    pub(crate) maps_left: AtomicUsize,
    /// The physical address of a process address.
    pub(crate) physical: fn(u64) -> Option<u64>,
    pub(crate) can_reset: bool,
}

impl Fake {
    pub(crate) fn new() -> Fake {
        Fake::with(Addressing::Translated(vec![IovaRange::ALL]))
    }

    pub(crate) fn with(addressing: Addressing) -> Fake {
        Fake {
            lost: Lost::new(),
            caps: DmaCaps { addressing, page_sizes: 0x1000, max_mappings: None, coherent: true },
            answer: Mutex::new(Answer::Fenced),
            table: Mutex::default(),
            maps_left: AtomicUsize::new(usize::MAX),
            physical: |_| None,
            can_reset: true,
        }
    }

    pub(crate) fn answering(answer: Answer) -> Arc<Fake> {
        Arc::new(Fake { answer: Mutex::new(answer), ..Fake::new() })
    }

    pub(crate) fn ranges(ranges: &[(u64, u64)]) -> Arc<Fake> {
        let range = |&(first, last)| IovaRange { first: Iova(first), last: Iova(last) };
        Arc::new(Fake::with(Addressing::Translated(ranges.iter().map(range).collect())))
    }

    pub(crate) fn mapped(&self) -> Vec<(u64, u64)> {
        self.table.lock().unwrap().iter().map(|(first, (_, len, _))| (*first, *len)).collect()
    }
}

impl Device for Fake {
    fn name(&self) -> &str {
        "fake"
    }

    fn lost(&self) -> &Lost {
        &self.lost
    }

    fn bar(&self, index: u8) -> Result<Bar, DeviceError> {
        Err(DeviceError::NoBar { index })
    }

    fn dma(&self) -> &dyn Dma {
        self
    }

    fn reset(&self) -> Result<(), DeviceError> {
        if self.can_reset { Ok(()) } else { Err(DeviceError::Unsupported { what: "function reset" }) }
    }
}

impl Dma for Fake {
    fn caps(&self) -> DmaCaps {
        self.caps.clone()
    }

    fn map(&self, mapping: &DmaMapping<'_>) -> Result<(), DmaError> {
        let left = &self.maps_left;
        if left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err() {
            return Err(DeviceError::System { what: "map", errno: 12 }.into());
        }
        let entry = (mapping.ptr().as_ptr().addr(), mapping.len(), mapping.access());
        let before = self.table.lock().unwrap().insert(mapping.iova().0, entry);
        assert_eq!(before, None, "mapped twice");
        Ok(())
    }

    fn unmap(&self, iova: Iova, len: u64) -> Result<Unmapped, DmaError> {
        if *self.answer.lock().unwrap() == Answer::Lost {
            return Err(DeviceError::Lost.into());
        }
        let before = self.table.lock().unwrap().remove(&iova.0);
        assert_eq!(before.map(|(_, mapped, _)| mapped), Some(len), "not what was mapped");
        match *self.answer.lock().unwrap() {
            // SAFETY: this device never accesses memory.
            Answer::Fenced => Ok(Unmapped::Fenced(unsafe { Fence::new() })),
            Answer::Shared => Ok(Unmapped::Shared),
            Answer::Unfenced => Ok(Unmapped::Unfenced),
            Answer::Lost => unreachable!(),
        }
    }

    fn physical(&self, ptr: NonNull<u8>, _len: u64) -> Option<Iova> {
        (self.physical)(ptr.as_ptr().addr() as u64).map(Iova)
    }
}

pub(crate) fn device(fake: &Arc<Fake>) -> Arc<dyn Device> {
    fake.clone()
}

pub(crate) fn space_of(fakes: &[&Arc<Fake>]) -> IovaSpace {
    let space = IovaSpace::new();
    for fake in fakes {
        space.attach(&device(fake)).unwrap();
    }
    space
}

/// Tells whether memory was freed.
#[derive(Clone, Default)]
pub(crate) struct Freed(Arc<AtomicBool>);

impl Freed {
    pub(crate) fn yet(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Frees its memory and says so.
struct Owner(#[allow(dead_code)] HeapMemory, Freed);

impl Drop for Owner {
    fn drop(&mut self) {
        self.1.0.store(true, Ordering::SeqCst);
    }
}

/// Returns memory of `len` bytes that tells when it is freed.
pub(crate) fn memory(len: usize) -> (CallerMemory, Freed) {
    let (heap, freed) = (HeapMemory::new(len).unwrap(), Freed::default());
    let (ptr, len) = (heap.ptr(), heap.len());
    // SAFETY: the owner keeps the memory until it is dropped.
    let memory = unsafe { CallerMemory::new(ptr, len, 4096) }.unwrap();
    (memory.owned_by(Owner(heap, freed.clone())), freed)
}

pub(crate) fn alloc(space: &IovaSpace, len: usize) -> (Region, Freed) {
    let (memory, freed) = memory(len);
    (Region::alloc(space, memory, DmaAccess::ReadWrite).unwrap(), freed)
}
