//! What the type states of a port need: [`Failed`] and [`PortKey`].

use alloc::sync::Arc;

use vfio_hal::pmd::PortError;

/// Which port a queue belongs to: all queues of one start have the same.
#[derive(Clone, Debug)]
pub struct PortKey(Arc<()>);

impl PortKey {
    /// Returns a key that no other port has.
    #[allow(clippy::new_without_default)]
    pub fn new() -> PortKey {
        PortKey(Arc::new(()))
    }

    /// Returns whether both are of the same start of the same port.
    pub fn is(&self, other: &PortKey) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// A step that failed, and what it started from.
#[derive(Debug)]
pub struct Failed<T> {
    /// Why.
    pub error: PortError,
    /// The state before the step.
    pub back: T,
}

impl<T> core::fmt::Display for Failed<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.error.fmt(f)
    }
}

impl<T: core::fmt::Debug> core::error::Error for Failed<T> {}
