//! The fields of the configuration header.

use core::fmt;

use bitfield::{Bit, BitMut};

use super::error::ConfigError;

/// Who made a device and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ids {
    /// The chip's maker.
    pub vendor: u16,
    /// The chip.
    pub device: u16,
    /// The board's maker and the board; `None` for bridges.
    pub subsystem: Option<(u16, u16)>,
    /// The chip's revision.
    pub revision: u8,
}

impl fmt::Display for Ids {
    /// Writes `vendor:device` in hex, as `lspci -n` does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:04x}", self.vendor, self.device)
    }
}

/// What kind of device it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Class {
    /// Base class: 2 network, 12h processing accelerator.
    pub base: u8,
    /// Sub-class: 0 Ethernet, within network.
    pub sub: u8,
    /// Programming interface.
    pub interface: u8,
}

impl fmt::Display for Class {
    /// Writes six hex digits, as sysfs does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}{:02x}{:02x}", self.base, self.sub, self.interface)
    }
}

/// Declares a 16-bit register of flags over [`bitfield`]'s bit access.
macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident { $($(#[$flag_doc:meta])* $flag:ident: $bit:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
        pub struct $name(u16);

        impl $name {
            /// Returns the register with these bits.
            pub const fn new(bits: u16) -> $name {
                $name(bits)
            }

            /// Returns all bits.
            pub const fn bits(self) -> u16 {
                self.0
            }

            $(
                $(#[$flag_doc])*
                pub fn $flag(self) -> bool {
                    self.0.bit($bit)
                }

                pastey::paste! {
                    #[doc = concat!("Returns the register with `", stringify!($flag), "` as given.")]
                    #[must_use]
                    pub fn [<with_ $flag>](mut self, value: bool) -> $name {
                        self.0.set_bit($bit, value);
                        self
                    }
                }
            )*
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))$(.field(stringify!($flag), &self.$flag()))*.finish()
            }
        }
    )*};
}

flags! {
    /// The command register (PCI 6.2.2, PCIe 7.5.1.1.3).
    Command {
        /// The device answers in I/O space.
        io: 0,
        /// The device answers in memory space: its BARs work.
        memory: 1,
        /// The device may start transactions: its DMA and message interrupts work.
        bus_master: 2,
        /// Poisoned data is reported.
        parity_error_response: 6,
        /// Errors are reported to the root.
        serr: 8,
        /// The device does not assert its interrupt pin.
        intx_disable: 10,
    }
    /// The status register (PCI 6.2.3, PCIe 7.5.1.1.4). The errors stay until a 1 is written.
    Status {
        /// The interrupt pin is asserted.
        intx: 3,
        /// There is a capability list.
        capabilities: 4,
        /// Poisoned data was seen while `parity_error_response` was on.
        master_data_parity_error: 8,
        /// A request was answered with completer abort.
        signaled_target_abort: 11,
        /// A request of the device was answered with completer abort.
        received_target_abort: 12,
        /// A request of the device was answered with unsupported request.
        received_master_abort: 13,
        /// An error was reported to the root.
        signaled_system_error: 14,
        /// Poisoned data was seen.
        detected_parity_error: 15,
    }
}

/// A base address register, as configuration space describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarInfo {
    /// Its number, 0 to 5.
    pub index: u8,
    /// Where it is.
    pub kind: BarKind,
    /// Reads have no side effects.
    pub prefetchable: bool,
    /// The address on the bus.
    pub address: u64,
}

/// The space of a BAR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BarKind {
    /// I/O ports.
    Io,
    /// Memory below 4 GiB.
    Memory32,
    /// Memory anywhere; takes two BARs' places.
    Memory64,
}

impl BarKind {
    /// Returns the kind that the low word of BAR `index` says (PCI 6.2.5.1).
    pub(super) fn of(index: u8, low: u32) -> Result<BarKind, ConfigError> {
        match (low & 1, low >> 1 & 3) {
            (1, _) => Ok(BarKind::Io),
            // 1 is "below 1 MiB", which devices before PCI 2.2 ask for.
            (0, 0 | 1) => Ok(BarKind::Memory32),
            (0, 2) => Ok(BarKind::Memory64),
            _ => Err(ConfigError::Reserved { what: BAR_TYPES[usize::from(index).min(5)], value: low }),
        }
    }

    /// Returns which bits of the low word are address.
    pub(super) const fn address_mask(self) -> u32 {
        if matches!(self, BarKind::Io) { !3 } else { !15 }
    }
}

const BAR_TYPES: [&str; 6] = ["BAR 0", "BAR 1", "BAR 2", "BAR 3", "BAR 4", "BAR 5"];
