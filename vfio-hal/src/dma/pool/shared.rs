//! The pool: the slab of packets, the region of buffers, and the shared level between caches.

use alloc::alloc::{Layout, alloc, dealloc};
use alloc::boxed::Box;
use core::ptr::NonNull;

use super::buf::Buf;
use super::packet::{Head, HeaderLens, Packet, RxInfo, TxFlags};
use super::{Cache, HEADROOM, MAGAZINE};
use crate::addr::SpaceId;
use crate::dma::{DmaError, IovaSpace, Region};
use crate::ring::mpmc::Mpmc;
use crate::sync::Backoff;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Buffers cut from one region. Clones share them; the memory goes back when the last clone, [`Cache`] and
/// buffer are gone.
#[derive(Debug)]
pub struct Pool(NonNull<Shared>);

// SAFETY: `Shared` is Sync (below), and the count that this handle holds keeps it alive.
unsafe impl Send for Pool {}
// SAFETY: as for Send.
unsafe impl Sync for Pool {}

/// What all handles, caches and buffers of a pool point to.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Handles and caches, plus buffers that are not in `home`. 0 frees everything. 64 bits, so that forgotten
    /// handles never make it wrap.
    live: AtomicU64,
    home: Mpmc<Slot>,
    slab: NonNull<Packet>,
    count: u32,
    room: u32,
    space: SpaceId,
    leaked: AtomicU32,
    committed: AtomicU32,
    /// Keeps the buffers mapped and in memory.
    region: Region,
}

/// A packet at home: owned by nobody but the pool.
#[derive(Debug)]
struct Slot(NonNull<Packet>);

// SAFETY: a packet at home is reached through the one slot that names it.
unsafe impl Send for Slot {}
// SAFETY: 1. `slab` is only read, and its packets are reached through their owners; 2. the rest is Sync by itself.
unsafe impl Sync for Shared {}
// SAFETY: as for Sync.
unsafe impl Send for Shared {}

impl Pool {
    /// Returns the bytes that one buffer of `data_room` bytes takes in a region: headroom, room, rounded up to
    /// whole cache lines.
    pub const fn stride(data_room: u32) -> usize {
        (HEADROOM as usize + data_room as usize).next_multiple_of(64)
    }

    /// Cuts `region` into `count` buffers of `data_room` bytes each (2,048 suits Ethernet's 1,518) behind 128
    /// bytes of headroom.
    pub fn new(region: Region, count: u32, data_room: u32) -> Result<Pool, DmaError> {
        let shape = |reason| DmaError::PoolShape { count, size: data_room, reason };
        if !(64..=0xf000).contains(&data_room) {
            return Err(shape("the data room must be 64 to 61,440 bytes"));
        }
        let stride = Pool::stride(data_room);
        let ring = count.checked_next_power_of_two().ok_or(shape("too many buffers"))?.max(2);
        match stride.checked_mul(count as usize) {
            Some(0) => return Err(shape("there must be at least one buffer")),
            Some(need) if need <= region.len() => {}
            _ => return Err(shape("the region is too small")),
        }
        let layout = Layout::array::<Packet>(count as usize).map_err(|_| shape("too many buffers"))?;
        let home = Mpmc::new(ring as usize).map_err(|_| shape("too many buffers"))?;
        let (base, bus) = (region.ptr(), region.bus(0)?);
        // SAFETY: `count` is not 0, so neither is the layout's size.
        let slab = NonNull::new(unsafe { alloc(layout) }.cast::<Packet>());
        let slab = slab.ok_or(shape("there is no memory for what is kept of each buffer"))?;
        let (iova, space) = (bus.iova(), bus.space());
        let room = HEADROOM as u32 + data_room;
        let shared = Shared {
            live: AtomicU64::new(1),
            home,
            slab,
            count,
            room,
            space,
            leaked: AtomicU32::new(0),
            committed: AtomicU32::new(0),
            region,
        };
        let shared = NonNull::from(Box::leak(Box::new(shared)));
        for index in 0..count as usize {
            let packet = Packet {
                iova: iova.0 + (index * stride) as u64,
                fill: iova.0 + (index * stride) as u64 + u64::from(HEADROOM),
                // SAFETY: `count * stride` bytes fit into the region, checked above.
                start: unsafe { base.add(index * stride) },
                pool: shared,
                next: None,
                head: Head { off: HEADROOM, port: 0, tx_flags: TxFlags::NONE },
                rx: RxInfo::default(),
                len: 0,
                lens: HeaderLens::default(),
                mss: 0,
                tx_vlan: 0,
                vlan_outer: 0,
                mark: 0,
                timestamp: 0,
                user: 0,
                owners: AtomicU32::new(0),
                room,
            };
            // SAFETY: 1. `slab` has room for `count` packets and `index` is below; 2. nobody else has it yet.
            unsafe { slab.add(index).write(packet) };
        }
        let pool = Pool(shared);
        let mut index = 0;
        pool.shared().home.push_burst(count as usize, || {
            // SAFETY: called once for each of the `count` packets written above.
            let slot = Slot(unsafe { slab.add(index) });
            index += 1;
            slot
        });
        Ok(pool)
    }

    #[inline]
    pub(super) fn shared(&self) -> &Shared {
        // SAFETY: the count this handle holds keeps it alive.
        unsafe { self.0.as_ref() }
    }

    pub(crate) fn shared_ptr(&self) -> NonNull<Shared> {
        self.0
    }

    /// Returns a private stock for one lcore.
    pub fn cache(&self) -> Cache {
        Cache::new(self.clone())
    }

    /// Takes one buffer from the shared level; `None` when that is empty. For set-up and slow paths: an lcore
    /// uses its [`Cache`].
    pub fn alloc(&self) -> Option<Buf> {
        let mut taken = None;
        self.shared().take(1, |packet| taken = Some(packet));
        // SAFETY: the packet came out of the shared level, so nobody else has it.
        let mut buf = unsafe { Buf::from_raw(taken?) };
        buf.renew();
        Some(buf)
    }

    /// Returns how many buffers there are.
    pub fn capacity(&self) -> u32 {
        self.shared().count
    }

    /// Returns how many buffers are at the shared level. Exact while nobody else uses the pool.
    pub fn available(&self) -> u32 {
        // Fits: never more than `count`.
        self.shared().home.len() as u32
    }

    /// Returns the bytes a NIC may write into one buffer.
    pub fn data_room(&self) -> u32 {
        self.shared().room - HEADROOM as u32
    }

    /// Returns the space itself.
    pub(crate) fn iova_space(&self) -> &IovaSpace {
        self.shared().region.space()
    }

    /// Returns the address space the buffers are mapped in.
    pub fn space(&self) -> SpaceId {
        self.shared().space
    }

    /// Sets `buffers` apart for a user that may hold as many at once, so that several users of a pool never starve
    /// each other; an error if the pool is too small for all of them together.
    pub fn commit(&self, buffers: u32) -> Result<Commitment, DmaError> {
        let have = self.capacity();
        let committed = &self.shared().committed;
        let add = |all: u32| all.checked_add(buffers).filter(|&need| need <= have);
        // Relaxed: it is a sum, nothing is published with it.
        match committed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add) {
            Ok(_) => Ok(Commitment { pool: self.clone(), buffers }),
            Err(all) => Err(DmaError::PoolTooSmall { have, need: all.saturating_add(buffers) }),
        }
    }

    /// Returns how many buffers were left to a device that nobody saw stop. They are never used again.
    pub fn leaked(&self) -> u32 {
        self.shared().leaked.load(Ordering::Relaxed)
    }

    pub(crate) fn count_leaked(&self, buffers: u32) {
        self.shared().count_leaked(buffers);
    }

    /// Returns whether `buf` comes from this pool.
    pub fn owns(&self, buf: &Buf) -> bool {
        buf.pool == self.0
    }
}

/// Buffers of a pool set apart for one user, until it is dropped.
#[derive(Debug)]
pub struct Commitment {
    pool: Pool,
    buffers: u32,
}

impl Drop for Commitment {
    fn drop(&mut self) {
        self.pool.shared().committed.fetch_sub(self.buffers, Ordering::Relaxed);
    }
}

impl Clone for Pool {
    fn clone(&self) -> Pool {
        // Relaxed, as in `Arc`: the handle that is cloned keeps the pool alive.
        self.shared().live.fetch_add(1, Ordering::Relaxed);
        Pool(self.0)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: this handle's count is given up, and the handle is not used after.
        unsafe { release(self.0, 1) }
    }
}

impl Shared {
    #[inline]
    pub(crate) fn space(&self) -> SpaceId {
        self.space
    }

    pub(crate) fn count_leaked(&self, buffers: u32) {
        self.leaked.fetch_add(buffers, Ordering::Relaxed);
    }

    /// Takes up to `n` packets out of the shared level; each then holds one count.
    pub(super) fn take(&self, n: usize, mut put: impl FnMut(NonNull<Packet>)) -> usize {
        let taken = self.home.pop_burst(n, |slot| put(slot.0));
        // Relaxed: the caller's handle keeps the pool alive meanwhile, as in `Arc::clone`.
        self.live.fetch_add(taken as u64, Ordering::Relaxed);
        taken
    }
}

/// Brings `packets` home: unchained packets that nobody uses any more.
///
/// # Safety
/// 1. `shared` is live; 2. each packet is of this pool, is not chained, and its owner gives it up.
pub(super) unsafe fn give(shared: NonNull<Shared>, packets: &[NonNull<Packet>]) {
    let mut rest = packets;
    let backoff = Backoff::new();
    while let Some((&packet, behind)) = rest.split_first() {
        // The ring has a place for every packet of the pool, so this ends; a further round happens only while a
        // consumer is between taking a slot and marking it free.
        let mut slots = core::iter::once(packet).chain(behind.iter().copied());
        // SAFETY: live until `release` below gives up the packets' counts.
        let given = unsafe { shared.as_ref() }
            .home
            // The ring asks at most as often as there are packets; the default is never used.
            .push_burst(rest.len(), || Slot(slots.next().unwrap_or(packet)));
        rest = rest.get(given..).unwrap_or_default();
        if given == 0 {
            backoff.snooze();
        }
    }
    // SAFETY: each packet held one count while it was out.
    unsafe { release(shared, packets.len()) }
}

/// Gives up `n` counts; frees the pool with the last.
///
/// # Safety
/// The caller owns `n` counts of `shared` and does not use it after.
unsafe fn release(shared: NonNull<Shared>, n: usize) {
    // AcqRel, as in `Arc`: everything done under a count happens before the memory goes.
    // SAFETY: live, for the caller owns counts.
    if n != 0 && unsafe { shared.as_ref() }.live.fetch_sub(n as u64, Ordering::AcqRel) == n as u64 {
        // SAFETY: nobody holds a count.
        unsafe { free_pool(shared) }
    }
}

/// Frees the pool. By itself, for unmapping the region calls everything there is, and a burst never comes here: it
/// has a cache, which holds a count.
///
/// # Safety
/// Nobody holds a count of `shared` or uses it after.
#[cold]
#[inline(never)]
unsafe fn free_pool(shared: NonNull<Shared>) {
    // SAFETY: it came out of `Box::leak`, and the caller says that nobody else has it.
    drop(unsafe { Box::from_raw(shared.as_ptr()) });
}

/// Frees a packet and the segments behind it, each to its own pool.
///
/// # Safety
/// The caller owns the packet, and nobody uses it after.
#[cold]
pub(super) unsafe fn free_chain(first: NonNull<Packet>) {
    let mut current = Some(first);
    while let Some(mut packet) = current {
        // SAFETY: owned by the caller or, further down the chain, by the segment before.
        let (next, pool) = unsafe {
            let packet = packet.as_mut();
            packet.head.tx_flags = TxFlags::NONE;
            (packet.next.take(), packet.pool)
        };
        // SAFETY: 1. a packet that is out keeps its pool alive; 2. it was just unchained, and is given up.
        unsafe { give(pool, &[packet]) };
        current = next.map(Buf::into_raw);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Nobody holds a count, so every packet is home and unchained: nothing in the slab needs a destructor.
        let layout = Layout::array::<Packet>(self.count as usize).unwrap_or(Layout::new::<Packet>());
        // SAFETY: the slab was allocated in `Pool::new` with this layout, which was valid then.
        unsafe { dealloc(self.slab.as_ptr().cast(), layout) }
    }
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Packet>() == 128 && align_of::<Packet>() == 64);
const _: () = assert!(core::mem::offset_of!(Packet, next) == 64, "the hot fields fill the first cache line");
const _: () = assert!(MAGAZINE.is_power_of_two());
