//! Links the core and the ixgbe driver without std, libc or a C runtime. It is built and looked at, never run.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::sync::Arc;
use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;

use pmd_ixgbe::{Config, Probed};
use vfio_hal::dma::memory::HeapMemory;
use vfio_hal::dma::pool::{Burst, Pool};
use vfio_hal::dma::{DmaAccess, IovaSpace, Region};
use vfio_hal::testing::RamDevice;
use vfio_hal::{Clock, Device};

struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn wait(&self, _: Duration) {}
}

/// Forwards one burst: every layer of the kit is reachable from here.
fn forward() -> Option<usize> {
    // A black box, so that the compiler cannot know how little this device does and leave the driver out.
    let device: Arc<dyn Device> = core::hint::black_box(Arc::new(RamDevice::new(0x2_0000)));
    let space = IovaSpace::new();
    space.attach(&device).ok()?;
    let memory = HeapMemory::new(8 << 20).ok()?;
    let pool = Pool::new(Region::alloc(&space, memory, DmaAccess::ReadWrite).ok()?, 2048, 2048).ok()?;
    let probed = Probed::new(device, Arc::new(Stopped)).ok()?;
    let mut started = probed.configure(&space, &pool, Config::default()).ok()?.start().ok()?;
    let (mut cache, mut burst) = (pool.cache(), Burst::new(32));
    started.rx.first_mut()?.rx_burst(&mut cache, &mut burst).ok()?;
    started.tx.first_mut()?.tx_burst(&mut cache, &mut burst).ok()
}

#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    core::hint::black_box(forward());
    loop {
        core::hint::spin_loop();
    }
}

/// Memory for set-up, handed out once and never taken back.
struct Bump {
    heap: UnsafeCell<[u8; HEAP]>,
    used: AtomicUsize,
}

const HEAP: usize = 1 << 20;

// SAFETY: each byte is handed out once, by an atomic counter.
unsafe impl Sync for Bump {}

// SAFETY: 1. what is handed out is aligned, inside of the heap, and never handed out again; 2. null says that it is full.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let base = self.heap.get().cast::<u8>();
        // Room for the worst alignment, so that one addition is enough.
        let taken = self.used.fetch_add(layout.size() + layout.align(), Ordering::Relaxed);
        let start = (base as usize + taken).next_multiple_of(layout.align()) - base as usize;
        if start + layout.size() > HEAP {
            return core::ptr::null_mut();
        }
        // SAFETY: inside of the heap.
        unsafe { base.add(start) }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static BUMP: Bump = Bump { heap: UnsafeCell::new([0; HEAP]), used: AtomicUsize::new(0) };

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// What the compiler calls where a C library would have it. Byte by byte, and volatile, so that the compiler does not
/// turn the loops into calls of themselves.
mod memory {
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
        for index in 0..len {
            // SAFETY: the caller has `len` bytes at both.
            unsafe { to.add(index).write_volatile(from.add(index).read_volatile()) }
        }
        to
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
        for step in 0..len {
            let index = if (to as usize) < from as usize { step } else { len - 1 - step };
            // SAFETY: the caller has `len` bytes at both; the order suits an overlap.
            unsafe { to.add(index).write_volatile(from.add(index).read_volatile()) }
        }
        to
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memset(to: *mut u8, value: i32, len: usize) -> *mut u8 {
        for index in 0..len {
            // SAFETY: the caller has `len` bytes.
            unsafe { to.add(index).write_volatile(value as u8) }
        }
        to
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcmp(one: *const u8, other: *const u8, len: usize) -> i32 {
        for index in 0..len {
            // SAFETY: the caller has `len` bytes at both.
            let (a, b) = unsafe { (one.add(index).read_volatile(), other.add(index).read_volatile()) };
            if a != b {
                return i32::from(a) - i32::from(b);
            }
        }
        0
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn bcmp(one: *const u8, other: *const u8, len: usize) -> i32 {
        // SAFETY: the same contract.
        unsafe { memcmp(one, other, len) }
    }
}
