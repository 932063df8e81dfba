//! Owners of a buffer: [`Buf`], unique, and [`SharedBuf`], a counted read-only clone.
//!
//! Both are one pointer to the buffer's [`Packet`]. Handing a `Buf` to a transmit queue moves it, so it cannot
//! be used after; dropping it anywhere returns it to its pool's shared level, the cold path. The hot path
//! gives buffers to a [`Cache`](super::Cache) instead.

use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::ptr::NonNull;

use super::packet::{Head, HeaderLens, Packet, RxInfo, TxFlags};
use super::{HEADROOM, shared};
use crate::sync::atomic::Ordering;

/// The unique owner of one buffer, or of a chain of them that makes one packet.
#[derive(Debug)]
#[repr(transparent)]
pub struct Buf(NonNull<Packet>);

// SAFETY: a `Buf` is the only owner of its packet and buffer, so moving it to another thread moves all access.
unsafe impl Send for Buf {}
// SAFETY: a shared `Buf` only reads.
unsafe impl Sync for Buf {}

impl Buf {
    /// Takes ownership of a packet.
    ///
    /// # Safety
    /// 1. `packet` is a slot of a live pool; 2. nobody else owns it, and no device may still use the buffer.
    #[inline]
    pub(crate) unsafe fn from_raw(packet: NonNull<Packet>) -> Buf {
        Buf(packet)
    }

    /// Gives up ownership: the caller keeps the packet, for a ring or a pool.
    #[inline]
    pub(crate) fn into_raw(self) -> NonNull<Packet> {
        ManuallyDrop::new(self).0
    }

    #[inline]
    pub(crate) fn raw(&self) -> NonNull<Packet> {
        self.0
    }

    #[inline]
    pub(crate) fn packet_mut(&mut self) -> &mut Packet {
        // SAFETY: a `Buf` is the unique owner of a live packet, borrowed mutably here.
        unsafe { self.0.as_mut() }
    }

    /// Makes the packet empty: default headroom, no length, no flags. Used on buffers fresh from the pool.
    #[inline]
    pub(crate) fn renew(&mut self) {
        let packet = self.packet_mut();
        packet.head = Head { off: HEADROOM, port: 0, tx_flags: TxFlags::NONE };
        packet.rx = RxInfo::default();
        packet.len = 0;
        packet.tx_vlan = 0;
        packet.vlan_outer = 0;
        packet.mss = 0;
        packet.lens = HeaderLens::default();
        packet.user = 0;
    }

    /// Returns this segment's data.
    #[inline]
    pub fn data_mut(&mut self) -> &mut [u8] {
        let packet = self.packet_mut();
        // SAFETY: as in `Packet::data`, and the unique owner is borrowed mutably.
        unsafe {
            let data = packet.start.as_ptr().add(packet.head.off as usize);
            core::slice::from_raw_parts_mut(data, packet.len as usize)
        }
    }

    /// Replaces the data of this segment with `data`, at the default headroom; `false` and unchanged if it does
    /// not fit or the packet has further segments.
    #[must_use]
    pub fn fill(&mut self, data: &[u8]) -> bool {
        if self.is_segmented() || data.len() > (self.room as usize).saturating_sub(HEADROOM.into()) {
            return false;
        }
        let packet = self.packet_mut();
        packet.head.off = HEADROOM;
        // Fits in 32 bits: `room` is one.
        packet.len = data.len() as u32;
        self.data_mut().copy_from_slice(data);
        true
    }

    /// Moves the data's start `bytes` forward into the headroom; returns the new bytes, or `None` if there is
    /// not enough room.
    pub fn prepend(&mut self, bytes: usize) -> Option<&mut [u8]> {
        if bytes > self.headroom() {
            return None;
        }
        let packet = self.packet_mut();
        packet.head.off -= bytes as u16;
        packet.len += bytes as u32;
        self.data_mut().get_mut(..bytes)
    }

    /// Adds `bytes` at the end of this segment; returns them, or `None` if there is not enough room or the
    /// packet has further segments.
    pub fn append(&mut self, bytes: usize) -> Option<&mut [u8]> {
        if bytes > self.tailroom() || self.is_segmented() {
            return None;
        }
        let start = self.len();
        let packet = self.packet_mut();
        packet.len += bytes as u32;
        self.data_mut().get_mut(start..)
    }

    /// Takes `bytes` off the start of this segment; `false` and unchanged if it is shorter.
    #[must_use]
    pub fn trim_front(&mut self, bytes: usize) -> bool {
        if bytes > self.len() {
            return false;
        }
        let packet = self.packet_mut();
        packet.head.off += bytes as u16;
        packet.len -= bytes as u32;
        true
    }

    /// Cuts a single-segment packet to `len` bytes; `false` and unchanged if it is shorter or segmented.
    #[must_use]
    pub fn truncate(&mut self, len: usize) -> bool {
        if len > self.len() || self.is_segmented() {
            return false;
        }
        let packet = self.packet_mut();
        packet.len = len as u32;
        true
    }

    /// Adds `tail` (one or more segments) behind this packet's last segment.
    pub fn chain(&mut self, tail: Buf) {
        let mut last = self.packet_mut();
        while last.next.is_some() {
            match &mut last.next {
                Some(next) => last = next.packet_mut(),
                None => return,
            }
        }
        last.head.tx_flags = last.head.tx_flags.union(TxFlags::SEGMENTED);
        last.next = Some(tail);
    }

    /// Takes the segments behind the first off the packet.
    pub fn unchain(&mut self) -> Option<Buf> {
        let packet = self.packet_mut();
        packet.head.tx_flags = packet.head.tx_flags.without(TxFlags::SEGMENTED);
        packet.next.take()
    }

    /// Sets the port number.
    pub fn set_port(&mut self, port: u16) {
        self.packet_mut().head.port = port;
    }

    /// Sets the application's own word.
    pub fn set_user(&mut self, user: u64) {
        self.packet_mut().user = user;
    }

    /// Asks the NIC for offloads on transmit.
    pub fn set_tx_flags(&mut self, flags: TxFlags) {
        let packet = self.packet_mut();
        let kept = TxFlags(packet.head.tx_flags.0 & TxFlags::SEGMENTED.0);
        packet.head.tx_flags = flags.without(TxFlags::SEGMENTED).union(kept);
    }

    /// Sets the header lengths that checksum and segmentation offloads need.
    pub fn set_header_lens(&mut self, lens: HeaderLens) {
        self.packet_mut().lens = lens;
    }

    /// Sets the TCP payload bytes per segment, for [`TxFlags::TCP_SEGMENT`].
    pub fn set_mss(&mut self, mss: u16) {
        self.packet_mut().mss = mss;
    }

    /// Sets the VLAN tag (TCI) to insert, for [`TxFlags::VLAN_INSERT`].
    pub fn set_tx_vlan(&mut self, tci: u16) {
        self.packet_mut().tx_vlan = tci;
    }

    /// Sets the outer VLAN tag.
    pub fn set_vlan_outer(&mut self, tci: u16) {
        self.packet_mut().vlan_outer = tci;
    }

    /// Makes the packet read-only and countable, for multicast.
    pub fn share(self) -> SharedBuf {
        self.owners.store(1, Ordering::Relaxed);
        SharedBuf(self.into_raw())
    }
}

impl Deref for Buf {
    type Target = Packet;

    #[inline]
    fn deref(&self) -> &Packet {
        // SAFETY: a `Buf` owns a live packet.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Buf {
    #[cold]
    fn drop(&mut self) {
        // SAFETY: this owner is going away and nobody uses the packet after.
        unsafe { shared::free_chain(self.0) }
    }
}

/// A read-only clone of a packet, counted. The last one returns the buffers to their pool.
///
/// With 2^32 - 1 owners, which takes forgotten clones, the packet is given up for good.
#[derive(Debug)]
#[repr(transparent)]
pub struct SharedBuf(NonNull<Packet>);

// SAFETY: all owners only read the packet; the count is atomic.
unsafe impl Send for SharedBuf {}
// SAFETY: as for Send.
unsafe impl Sync for SharedBuf {}

impl SharedBuf {
    /// Takes over one count.
    ///
    /// # Safety
    /// `packet` came from [`into_raw`](Self::into_raw), and its count is given up by this.
    pub(crate) unsafe fn from_raw(packet: NonNull<Packet>) -> SharedBuf {
        SharedBuf(packet)
    }

    pub(crate) fn into_raw(self) -> NonNull<Packet> {
        ManuallyDrop::new(self).0
    }

    /// Returns the packet to write to again, if this is its only owner.
    pub fn try_unshare(self) -> Result<Buf, SharedBuf> {
        // Acquire: what other owners did before they let go happens before a write by the new one.
        match self.owners.compare_exchange(1, 0, Ordering::Acquire, Ordering::Relaxed) {
            // SAFETY: the count was 1, so this was the only owner, and it is given up here.
            Ok(_) => Ok(unsafe { Buf::from_raw(self.into_raw()) }),
            Err(_) => Err(self),
        }
    }
}

/// The count that is never left: clones can be forgotten, so safe code can reach it. The packet stays out of its
/// pool for ever then, instead of returning to it under owners that nobody counted.
const ENDLESS: u32 = u32::MAX;

impl Clone for SharedBuf {
    fn clone(&self) -> SharedBuf {
        // Relaxed, as in `Arc`: the clone comes from an owner that keeps the packet alive. An error is `ENDLESS`.
        let _ =
            self.owners.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |owners| owners.checked_add(1));
        SharedBuf(self.0)
    }
}

impl Deref for SharedBuf {
    type Target = Packet;

    fn deref(&self) -> &Packet {
        // SAFETY: the count that this owner holds keeps the packet out of the pool.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for SharedBuf {
    fn drop(&mut self) {
        let fewer = |owners| if owners == ENDLESS { None } else { Some(owners - 1) };
        // AcqRel: reads by this owner happen before the release, and the last owner sees them all.
        if self.owners.fetch_update(Ordering::AcqRel, Ordering::Relaxed, fewer) == Ok(1) {
            // SAFETY: the last count is gone, so nobody uses the packet after.
            unsafe { shared::free_chain(self.0) }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::dma::memory::HeapMemory;
    use crate::dma::pool::Pool;
    use crate::dma::{DmaAccess, IovaSpace, Region};

    #[test]
    fn a_count_that_reached_its_end_keeps_the_packet_out_of_the_pool() {
        let memory = HeapMemory::new(4096).unwrap();
        let region = Region::alloc(&IovaSpace::new(), memory, DmaAccess::ReadWrite).unwrap();
        let pool = Pool::new(region, 1, 64).unwrap();
        let shared = pool.alloc().unwrap().share();
        // What forgetting 2^32 - 3 clones leads to, and what takes minutes.
        shared.owners.store(ENDLESS - 2, Ordering::Relaxed);
        let clones: Vec<_> = (0..5).map(|_| shared.clone()).collect();
        assert_eq!(shared.owners.load(Ordering::Relaxed), ENDLESS);
        drop(clones);
        assert_eq!(shared.owners.load(Ordering::Relaxed), ENDLESS);
        let shared = shared.try_unshare().unwrap_err();
        drop(shared);
        assert!(pool.alloc().is_none());
    }
}
