//! Counts that one thread writes and any thread reads.
//!
//! What it does: a link lives in the thread of its model, while a tool prints its counts once a second and a test
//! reads them at the end. Each set of counts is a plain `Copy` struct of numbers; the link holds its live twin and
//! hands out [`Watch`]es on it.
//! Key types: [`Watch`], [`Traffic`], [`Verdict`], [`Impairments`], [`KernelDrops`].
//! Neighbours: [`Meter`](crate::Meter) and [`pair`](crate::pair()) count [`Traffic`], [`Checker`](crate::Checker) a
//! [`Verdict`], [`Impair`](crate::Impair) its [`Impairments`], the links in the kernel their [`KernelDrops`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Adds to a counter that has one writer: a load and a store, which cost what a plain integer costs, where an
/// atomic addition would lock the cache line for every frame.
#[inline]
pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(n), Relaxed);
}

/// A set of counts with a live twin. Only the sets of this crate implement it.
pub trait Counts: Copy + sealed::Sealed {
    /// The twin that the writer counts in.
    #[doc(hidden)]
    type Live: Default + Send + Sync;
    #[doc(hidden)]
    fn read(live: &Self::Live) -> Self;
    /// Each count with its name, in the order of the fields; for printing.
    fn named(&self) -> impl Iterator<Item = (&'static str, u64)>;
}

mod sealed {
    pub trait Sealed {}
}

/// A view of a link's counts that stays valid wherever the link goes, also after its end.
pub struct Watch<C: Counts>(Arc<C::Live>);

impl<C: Counts> Watch<C> {
    /// The counts now. Each number is exact; while the link runs, two numbers may be a frame apart.
    pub fn get(&self) -> C {
        C::read(&self.0)
    }
}

impl<C: Counts> Clone for Watch<C> {
    fn clone(&self) -> Self {
        Watch(Arc::clone(&self.0))
    }
}

impl<C: Counts + core::fmt::Debug> core::fmt::Debug for Watch<C> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.get().fmt(f)
    }
}

/// The writer's end: derefs to the live counters.
#[derive(Default)]
pub(crate) struct Live<C: Counts>(Arc<C::Live>);

impl<C: Counts> Live<C> {
    pub(crate) fn new() -> Self {
        Live(Arc::default())
    }

    pub(crate) fn watch(&self) -> Watch<C> {
        Watch(Arc::clone(&self.0))
    }

    pub(crate) fn get(&self) -> C {
        C::read(&self.0)
    }
}

impl<C: Counts> core::ops::Deref for Live<C> {
    type Target = C::Live;
    #[inline]
    fn deref(&self) -> &C::Live {
        &self.0
    }
}

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident / $live:ident { $($(#[$field_doc:meta])* $field:ident,)+ })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: u64,)+
        }

        #[doc(hidden)]
        #[derive(Default)]
        pub struct $live {
            $(pub(crate) $field: AtomicU64,)+
        }

        impl sealed::Sealed for $name {}

        impl Counts for $name {
            type Live = $live;
            fn read(live: &$live) -> Self {
                $name { $($field: live.$field.load(Relaxed),)+ }
            }
            fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($field), self.$field),)+].into_iter()
            }
        }
    )+};
}

counts! {
    /// What crossed a link, seen from the MAC: `tx` is what the MAC sent. Bytes are without FCS.
    Traffic / TrafficLive {
        /// Frames the wire took.
        tx_frames,
        /// Bytes in them.
        tx_bytes,
        /// Offers that were answered Busy.
        tx_busy,
        /// Frames taken off the wire.
        rx_frames,
        /// Bytes in them.
        rx_bytes,
    }

    /// What a [`Checker`](crate::Checker) found in the frames that reached it.
    Verdict / VerdictLive {
        /// All frames.
        frames,
        /// Bytes in them, without FCS.
        bytes,
        /// Frames of a generator that are whole, first of their number.
        good,
        /// Numbers that were passed over and have not arrived since. What is missing behind the last frame of a
        /// flow cannot be seen from here: see [`Verdict::missing`].
        lost,
        /// Good frames that a later one of their flow overtook.
        reordered,
        /// Frames whose number had arrived before.
        duplicated,
        /// Frames that come more than 1,024 numbers late in their flow: late or twice, nobody can tell.
        stale,
        /// Frames of a generator whose stamp, filling, or IP or UDP checksum is wrong.
        corrupt,
        /// Frames that carry no generator's stamp.
        foreign,
    }

    /// What an [`Impair`](crate::Impair) did to the frames. Each counter counts frames, `tx_paused` offers.
    Impairments / ImpairmentsLive {
        /// Sent frames that were dropped.
        tx_lost,
        /// Sent frames that were held back.
        tx_reordered,
        /// Sent frames that went out twice.
        tx_duplicated,
        /// Sent frames with a bit flipped.
        tx_corrupted,
        /// Offers that were answered Busy because of a pause.
        tx_paused,
        /// Received frames that were dropped.
        rx_lost,
        /// Received frames that were held back.
        rx_reordered,
        /// Received frames that came twice.
        rx_duplicated,
        /// Received frames with a bit flipped.
        rx_corrupted,
    }

    /// Frames that a link in the kernel could not pass on.
    KernelDrops / KernelDropsLive {
        /// Sent frames larger than the interface's MTU allows.
        tx_oversize,
        /// Sent frames that the interface refuses to carry, such as one without a whole header.
        tx_refused,
        /// Received frames larger than the receive buffer, or segments too odd to be cut into frames.
        rx_unusable,
    }
}

impl Verdict {
    /// How many of `sent` frames never arrived whole, those behind the last arrival included.
    pub fn missing(&self, sent: u64) -> u64 {
        sent.saturating_sub(self.good)
    }

    /// Whether every one of `sent` frames arrived once, whole and in the order of its flow, and no more came.
    pub fn is_perfect(&self, sent: u64) -> bool {
        self.good == sent && self.frames == sent && self.reordered == 0
    }
}

impl core::ops::AddAssign for Verdict {
    /// Adds up what several sinks saw.
    fn add_assign(&mut self, other: Verdict) {
        self.frames += other.frames;
        self.bytes += other.bytes;
        self.good += other.good;
        self.lost += other.lost;
        self.reordered += other.reordered;
        self.duplicated += other.duplicated;
        self.stale += other.stale;
        self.corrupt += other.corrupt;
        self.foreign += other.foreign;
    }
}
