//! Every interleaving of two threads on the shared level of the buffer pool, by loom.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p vfio-hal --release --test loom_pool`
//!
//! loom cannot see the bytes of a buffer. [`Pages`] stands for them: one cell per buffer, in which loom notices two
//! accesses that nothing orders.
#![cfg(loom)]

use std::sync::Arc as Plain;
use std::sync::atomic::{AtomicUsize, Ordering};

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use vfio_hal::dma::memory::{CallerMemory, HeapMemory};
use vfio_hal::dma::pool::{Buf, Packet, Pool};
use vfio_hal::dma::{DmaAccess, DmaError, IovaSpace, Memory, Region};

const ROOM: u32 = 64;

/// Counts how often a pool's memory was freed.
#[derive(Clone, Default)]
struct Freed(Plain<AtomicUsize>);

impl Freed {
    fn times(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the memory belongs to: dropped when the pool frees it.
struct Owner {
    _heap: HeapMemory,
    freed: Freed,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.freed.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Returns a pool of `count` buffers, and what tells that its memory was freed.
fn pool(count: u32) -> (Pool, Freed) {
    let heap = HeapMemory::new(4096).unwrap();
    let freed = Freed::default();
    // SAFETY: the memory is the heap's, which lives as long: it is what owns this.
    let memory = unsafe { CallerMemory::new(heap.ptr(), heap.len(), 4096) }.unwrap();
    let memory = memory.owned_by(Owner { _heap: heap, freed: freed.clone() });
    let region = Region::alloc(&IovaSpace::new(), memory, DmaAccess::ReadWrite).unwrap();
    (Pool::new(region, count, ROOM).unwrap(), freed)
}

/// The bytes of each buffer, for loom.
struct Pages {
    first: u64,
    cells: Vec<UnsafeCell<u32>>,
}

// SAFETY: the cells are only reached through whoever owns the buffer; loom checks that.
unsafe impl Sync for Pages {}
// SAFETY: as for Sync.
unsafe impl Send for Pages {}

impl Pages {
    /// Returns the pages of a pool whose buffers are all at home.
    fn of(pool: &Pool) -> Arc<Pages> {
        let bufs: Vec<Buf> = std::iter::from_fn(|| pool.alloc()).collect();
        let first = bufs.iter().map(|buf| buf.data_iova().0).min().unwrap();
        Arc::new(Pages { first, cells: bufs.iter().map(|_| UnsafeCell::new(0)).collect() })
    }

    fn cell(&self, packet: &Packet) -> &UnsafeCell<u32> {
        &self.cells[((packet.data_iova().0 - self.first) / Pool::stride(ROOM) as u64) as usize]
    }

    fn write(&self, buf: &mut Buf) {
        // SAFETY: the buffer is borrowed mutably.
        self.cell(buf).with_mut(|page| unsafe { *page += 1 });
    }

    fn read(&self, packet: &Packet) -> u32 {
        // SAFETY: the buffer is borrowed.
        self.cell(packet).with(|page| unsafe { *page })
    }
}

#[test]
fn a_buffer_that_comes_back_is_handed_on_with_all_that_was_done_to_it() {
    loom::model(|| {
        let (pool, _freed) = pool(1);
        let pages = Pages::of(&pool);
        let (other, his) = (pool.clone(), pages.clone());
        let thread = thread::spawn(move || {
            if let Some(mut buf) = other.alloc() {
                his.write(&mut buf);
            }
        });
        if let Some(mut buf) = pool.alloc() {
            pages.write(&mut buf);
        }
        thread.join().unwrap();
        assert_eq!(pool.available(), 1);
    });
}

#[test]
fn two_threads_never_get_the_same_buffer_and_none_is_lost() {
    loom::model(|| {
        let (pool, freed) = pool(3);
        let pages = Pages::of(&pool);
        let (other, his) = (pool.clone(), pages.clone());
        let thread = thread::spawn(move || {
            let mut buf = other.alloc().expect("three buffers, two are asked for");
            his.write(&mut buf);
            buf
        });
        let mut mine = pool.alloc().expect("three buffers, two are asked for");
        pages.write(&mut mine);
        drop(mine);
        let his = thread.join().unwrap();
        assert_eq!(pool.available(), 2);
        drop((his, pool));
        assert_eq!(freed.times(), 1);
    });
}

#[test]
fn handles_and_buffers_go_in_any_order_and_the_last_frees_the_memory_once() {
    loom::model(|| {
        let (pool, freed) = pool(2);
        let (one, two) = (pool.alloc().unwrap(), pool.alloc().unwrap());
        let other = pool.clone();
        let thread = thread::spawn(move || {
            drop(one);
            drop(other);
        });
        drop(pool);
        drop(two);
        thread.join().unwrap();
        assert_eq!(freed.times(), 1);
    });
}

#[test]
fn a_buffer_alone_keeps_its_memory() {
    loom::model(|| {
        let (pool, freed) = pool(2);
        let mut last = pool.alloc().unwrap();
        let other = pool.clone();
        let thread = thread::spawn(move || drop(other.alloc()));
        drop(pool);
        assert!(last.fill(b"still here"));
        thread.join().unwrap();
        assert_eq!((freed.times(), last.data()), (0, b"still here".as_slice()));
        drop(last);
        assert_eq!(freed.times(), 1);
    });
}

#[test]
fn caches_exchange_magazines_and_lose_nothing() {
    loom::model(|| {
        let (pool, freed) = pool(2);
        let pages = Pages::of(&pool);
        let (mut other, his) = (pool.cache(), pages.clone());
        let thread = thread::spawn(move || {
            let Some(mut buf) = other.alloc() else { return 0 };
            his.write(&mut buf);
            other.free(buf);
            other.len()
        });
        let mut cache = pool.cache();
        if let Some(mut buf) = cache.alloc() {
            pages.write(&mut buf);
            cache.free(buf);
        }
        cache.flush();
        assert!(thread.join().unwrap() <= 2);
        // The other cache flushed itself when it was dropped.
        assert_eq!(pool.available(), 2);
        drop((cache, pool));
        assert_eq!(freed.times(), 1);
    });
}

#[test]
fn a_buffer_comes_home_through_another_threads_cache() {
    loom::model(|| {
        let (pool, freed) = pool(1);
        let pages = Pages::of(&pool);
        let mut buf = pool.alloc().unwrap();
        pages.write(&mut buf);
        let (mut cache, his) = (pool.cache(), pages.clone());
        let thread = thread::spawn(move || {
            his.write(&mut buf);
            cache.free(buf);
        });
        let mut back = loop {
            match pool.alloc() {
                Some(buf) => break buf,
                None => thread::yield_now(),
            }
        };
        pages.write(&mut back);
        assert_eq!(pages.read(&back), 3);
        drop((back, pool));
        thread.join().unwrap();
        assert_eq!(freed.times(), 1);
    });
}

#[test]
fn the_last_of_two_clones_brings_the_buffer_home() {
    loom::model(|| {
        let (pool, freed) = pool(1);
        let pages = Pages::of(&pool);
        let mut buf = pool.alloc().unwrap();
        pages.write(&mut buf);
        let shared = buf.share();
        let (clone, his) = (shared.clone(), pages.clone());
        let thread = thread::spawn(move || {
            assert_eq!(his.read(&clone), 1);
            drop(clone);
        });
        assert_eq!(pages.read(&shared), 1);
        drop(shared);
        // Whoever gets it next may write.
        if let Some(mut next) = pool.alloc() {
            pages.write(&mut next);
        }
        thread.join().unwrap();
        assert_eq!(pool.available(), 1);
        drop(pool);
        assert_eq!(freed.times(), 1);
    });
}

#[test]
fn clones_are_made_while_others_go() {
    loom::model(|| {
        let (pool, freed) = pool(1);
        let shared = pool.alloc().unwrap().share();
        let clone = shared.clone();
        let thread = thread::spawn(move || {
            let again = clone.clone();
            drop(clone);
            drop(again);
        });
        drop(shared.clone());
        drop(shared);
        thread.join().unwrap();
        assert_eq!(pool.available(), 1);
        drop(pool);
        assert_eq!(freed.times(), 1);
    });
}

#[test]
fn who_is_left_alone_may_write_again() {
    loom::model(|| {
        let (pool, freed) = pool(1);
        let pages = Pages::of(&pool);
        let shared = pool.alloc().unwrap().share();
        let (clone, his) = (shared.clone(), pages.clone());
        let thread = thread::spawn(move || {
            his.read(&clone);
            drop(clone);
        });
        match shared.try_unshare() {
            // loom checks that the other thread's read is over.
            Ok(mut buf) => pages.write(&mut buf),
            Err(shared) => drop(shared),
        }
        thread.join().unwrap();
        assert_eq!(pool.available(), 1);
        drop(pool);
        assert_eq!(freed.times(), 1);
    });
}

#[test]
fn of_two_who_try_at_most_one_gets_to_write() {
    loom::model(|| {
        let (pool, freed) = pool(1);
        let shared = pool.alloc().unwrap().share();
        let clone = shared.clone();
        let thread = thread::spawn(move || clone.try_unshare().is_ok());
        let mine = shared.try_unshare().is_ok();
        let his = thread.join().unwrap();
        assert!(!(mine && his));
        assert_eq!(pool.available(), 1);
        drop(pool);
        assert_eq!(freed.times(), 1);
    });
}

#[test]
fn a_chain_across_pools_frees_each_segment_to_its_own() {
    loom::model(|| {
        let ((left, left_freed), (right, right_freed)) = (pool(1), pool(1));
        let mut buf = left.alloc().unwrap();
        buf.chain(right.alloc().unwrap());
        let thread = thread::spawn(move || drop(buf));
        drop(left);
        drop(right);
        thread.join().unwrap();
        assert_eq!((left_freed.times(), right_freed.times()), (1, 1));
    });
}

#[test]
fn commitments_never_exceed_the_pool() {
    loom::model(|| {
        let (pool, freed) = pool(4);
        let other = pool.clone();
        let thread = thread::spawn(move || other.commit(3));
        let mine = pool.commit(3);
        let his = thread.join().unwrap();
        assert!(mine.is_ok() != his.is_ok(), "each alone fits, both do not");
        let refused = mine.as_ref().err().or(his.as_ref().err()).copied();
        assert_eq!(refused, Some(DmaError::PoolTooSmall { have: 4, need: 6 }));
        drop((mine, his));
        assert!(pool.commit(4).is_ok());
        drop(pool);
        assert_eq!(freed.times(), 1);
    });
}
