//! Device feature lists: finding out what is on a card.
//!
//! - [`walk`] reads lists and gives a [`Features`]: every [`Feature`] with where its registers are. It trusts nothing it
//!   reads: every offset is checked against the BAR before it is used, and an odd list is a [`DflError`].
//! - [`starts`] says where a card's lists begin: in the vendor-specific capability, or at offset 0 of BAR 0.
//! - [`Words`] is what a list is read from: a [`Bar`](vfio_hal::Bar), or bytes, for tests and tools.
//!
//! [`Card`](crate::Card) walks the lists of a device and hands out what is in them.

mod error;
mod feature;
mod start;
mod walk;
mod words;

pub use error::DflError;
pub use feature::{Feature, Features, Kind, Msix, Place};
pub use start::{Start, starts};
pub use walk::{MAX_FEATURES, MAX_PARAMETERS, walk};
pub(crate) use words::Placed;
pub use words::Words;
