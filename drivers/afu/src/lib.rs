//! A driver for FPGA cards with a device feature list (DFL): management engine, ports, accelerators.
//!
//! [`Card`] walks the lists of a device ([`dfl`]) and gives out what is on it: [`Fme`], the management engine with its
//! errors, sensors, counters and partial reconfiguration; [`Port`], which resets an accelerator; and [`Afu`], an accelerator
//! that is open, found by its GUID or other [properties](Filter). Drivers of accelerators, and the trait they have in
//! common, are in [`accel`]; [`events`] are interrupts; [`gbs`] reads bitstream files.
//!
//! [`regs`], [`guid`] and [`ids`] are the tables of the card, which the device model beside it is made with too. Read
//! [`dfl`], `card`, `port`, `afu`, then one driver: [`accel::nlb0`].
//!
//! The driver knows no backend: it gets an `Arc<dyn Device>` and a clock. Its calls may be used from several threads.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod accel;
mod afu;
mod card;
pub mod dfl;
mod error;
pub mod events;
mod fme;
mod gate;
pub mod gbs;
pub mod guid;
pub mod ids;
mod port;
mod properties;
pub mod regs;

pub use afu::{Afu, Entered, Registers, Sharing};
pub use card::Card;
pub use error::AfuError;
pub use events::Event;
pub use fme::{
    CacheEvent, FabricEvent, Fme, FmeErrors, FmeInfo, Injection, Metric, PerfEvent, Power, PrError, PrErrors,
    Progress, SipEvent, Thermal, Thresholds, Unit, VtdEvent,
};
pub use port::{Frequencies, Held, Port, PortErrors, PortInfo, PowerState, UserClock};
pub use properties::{Filter, Properties, enumerate};
