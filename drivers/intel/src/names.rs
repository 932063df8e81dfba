//! Names of statistics that have a number in them.

use core::fmt::Write;

/// A name that is put together, in memory that is allocated once.
#[derive(Debug)]
pub struct Name(alloc::string::String);

impl Name {
    /// Returns room for a name; the longest of DPDK's has 40 characters.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Name {
        Name(alloc::string::String::with_capacity(48))
    }

    /// Puts a name together.
    pub fn set(&mut self, name: core::fmt::Arguments<'_>) -> &str {
        self.0.clear();
        // A string takes everything.
        let _ = self.0.write_fmt(name);
        &self.0
    }
}
