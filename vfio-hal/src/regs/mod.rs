//! Typed device registers over a [`Bar`].
//!
//! [`registers!`](crate::registers) declares one type per register, under the datasheet's own name: where it is,
//! how wide, what may be done with it, and its bit fields. [`Block`] is those registers on one device.
//!
//! Key types:
//! - [`Block`] owns the registers of a device. What reads and writes back ([`modify`](Block::modify)) and what
//!   clears when read ([`take`](Block::take)) needs the one owner, so it needs `&mut`.
//! - [`View`] is a clone-able share of it, for queues and tools: reads, writes, doorbells.
//! - [`At`] and [`AtMut`] are one entry of a register array, its index checked once.
//! - [`RO`], [`WO`], [`RW`], [`W1C`], [`RC`], [`RCW1C`] and [`BUS`] are the access kinds. What a kind does not
//!   allow does not compile.
//! - [`RegisterInfo`] and [`Decoder`] say the same at run time, for the tracer, tools and device models.
//!
//! Below is [`bar`](crate::bar), which knows windows and offsets; above are drivers, which know only these
//! types. [`poll`](crate::poll) waits for a register to say something.
//!
//! ```
//! use vfio_hal::registers;
//! use vfio_hal::regs::{Block, Register};
//!
//! registers! {
//!     /// The registers of an example device.
//!     pub block Example[0x1000];
//!
//!     /// Device control (8.1).
//!     pub CTRL @ 0x000 RW {
//!         /// Resets the device; clears itself.
//!         rst: 26,
//!     }
//!     /// Device status (8.2).
//!     pub STATUS @ 0x008 RO { link_up: 1, lanes: 5:2 }
//!     /// Interrupt causes (8.3): a 1 clears.
//!     pub CAUSE @ 0x010 W1C { rx: 0, tx: 1 }
//!     /// Packets received (8.4).
//!     pub GPRC @ 0x018 RC;
//!     /// Receive queue base (8.5): two halves, the low one first.
//!     pub RDBA @ 0x100 + 0x40 * [8] BUS<u32x2, align 128>;
//!     /// Receive queue control (8.6); queues 8 to 15 sit elsewhere.
//!     pub RXDCTL @ 0x128 + 0x40 * [8], 0x828 + 0x40 * [8] RW { enable: 25 }
//!     /// Receive queue tail (8.7).
//!     pub RDT @ 0x118 + 0x40 * [8] RW;
//! }
//! pub type Regs = Block<Example>;
//!
//! # fn main() -> Result<(), vfio_hal::DeviceError> {
//! use vfio_hal::Device;
//! let device = vfio_hal::testing::RamDevice::new(0x1000);
//! let mut regs = Regs::new(device.bar(0)?)?;
//!
//! regs.write(CTRL::default().with_rst(true));
//! regs.modify(|ctrl: CTRL| ctrl.with_rst(false));
//! let lanes = regs.read::<STATUS>().lanes();
//! let received = regs.take::<GPRC>().bits();
//!
//! regs.at_mut::<RXDCTL>(9)?.modify(|queue| queue.with_enable(true));
//! assert!(regs.at::<RXDCTL>(9)?.read().enable());
//! assert!(regs.at::<RXDCTL>(16).is_err());
//! regs.doorbell::<RDT>(3)?.ring(31);
//! assert_eq!(regs.at::<RDT>(3)?.read().bits(), 31);
//! # assert_eq!((lanes, received), (0, 0));
//! # Ok(())
//! # }
//! ```

mod access;
mod block;
mod decode;
mod info;
mod macros;

pub use access::{
    Access, AccessKind, Array, BUS, Modifiable, RC, RCW1C, RO, RW, Readable, Shape, Single, Takeable, W1C,
    WO, Writable,
};
pub use block::{At, AtMut, Block, View};
pub use decode::{Decoded, Decoder, Value};
pub use info::{Bits, FieldInfo, Register, RegisterInfo, RegisterMap, Span};

#[cfg(doc)]
use crate::bar::Bar;

/// What [`registers!`](crate::registers) expands to; not for direct use.
#[doc(hidden)]
pub mod __private {
    pub use bitfield;
    pub use pastey;

    pub use super::info::{concat, fields_fit, flags_beside_address, within};
}
