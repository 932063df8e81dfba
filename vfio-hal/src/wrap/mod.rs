//! Devices that wrap devices.
//!
//! - [`Tracer`] shows every register access by name and field.
//! - [`FaultInjector`] makes a good device a bad one, the same way each time.
//!
//! Each takes any `Arc<dyn Device>` and is a [`Device`] itself, so they
//! compose in any order, around real hardware, a model or a [fake](crate::testing). A wrapped register window is
//! trapped, whatever it was before: that is the price of looking at each access.

mod fault;
mod trace;

pub use fault::{FaultInjector, Faults};
pub use trace::{Direction, TraceEvent, TraceSink, Tracer};

use alloc::sync::Arc;

use crate::bar::{Bar, Trap};
#[cfg(doc)]
use crate::device::Device;
use crate::device::DeviceError;

/// Returns a BAR of the same windows as `inner`, each reached through `trap`.
fn wrapped(inner: &Bar, trap: Arc<dyn Trap>) -> Result<Bar, DeviceError> {
    let builder = Bar::builder(inner.index(), inner.len(), inner.lost().clone());
    inner
        .windows()
        .fold(builder, |builder, (offset, len, _)| builder.trapped(offset, len, trap.clone()))
        .build()
}
