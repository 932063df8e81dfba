//! Packet buffers: fixed-size, owned, cut from one region.
//!
//! - [`Pool`] cuts a [`Region`] into buffers and is their shared level: a lock-free ring that exchanges them in
//!   magazines of [`MAGAZINE`].
//! - [`Cache`] is one lcore's private stock, handed to the burst functions; getting and putting a buffer
//!   there is a few instructions and no atomic operation.
//! - [`Buf`] is the unique owner of one buffer and its metadata ([`Packet`]); [`SharedBuf`] a counted read-only
//!   clone; [`Burst`] a batch of either.
//!
//! A `Buf` holds no reference count. Instead every buffer outside of the shared level keeps the pool alive
//! through one counter that moves by 32 when a magazine moves: `Drop` of the last handle frees the pool
//! if every buffer is home, and otherwise the last buffer to come home does.
//!
//! Metadata lives in ordinary memory that no device can reach.

mod buf;
mod burst;
mod cache;
mod packet;
mod shared;

pub use buf::{Buf, SharedBuf};
pub use burst::Burst;
pub use cache::Cache;
pub(crate) use packet::Head;
pub use packet::{HeaderLens, Packet, PacketType, RxFlags, RxInfo, TxFlags, Verdict};
pub(crate) use shared::Shared;
pub use shared::{Commitment, Pool};

#[cfg(doc)]
use super::Region;

/// Bytes kept free before the data of a fresh buffer, so that headers can be prepended (as DPDK has it).
pub const HEADROOM: u16 = 128;

/// How many buffers move between a [`Cache`] and the [`Pool`] at once.
pub const MAGAZINE: usize = 32;

/// The most buffers a [`Cache`] holds; the smallest pool counts one of these per lcore.
pub const CACHE_CAPACITY: usize = 4 * MAGAZINE;
