//! What may be done with a register, as types.

mod sealed {
    pub trait Sealed {}
}

/// An access kind.
pub trait Access: sealed::Sealed {
    /// The same, as a value.
    const KIND: AccessKind;
}

/// An access kind as a value, for tools and models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccessKind {
    /// [`RO`]
    ReadOnly,
    /// [`WO`]
    WriteOnly,
    /// [`RW`]
    ReadWrite,
    /// [`W1C`]
    Write1Clear,
    /// [`RC`]
    ReadClear,
    /// [`RCW1C`]
    ReadOrWrite1Clear,
    /// [`BUS`]
    BusAddress,
}

/// Registers that can be read without a side effect.
#[diagnostic::on_unimplemented(
    message = "a register of kind `{Self}` cannot be read",
    note = "WO has nothing to read; RC and RCW1C clear when read: use `take`, which needs `&mut Block`"
)]
pub trait Readable: Access {}

/// Registers that take a number.
#[diagnostic::on_unimplemented(
    message = "a register of kind `{Self}` cannot be written with a number",
    note = "RO and RC are never written; BUS takes an address that owned, mapped memory gives out: use `write_bus`"
)]
pub trait Writable: Access {}

/// Registers where reading, changing and writing back makes sense.
#[diagnostic::on_unimplemented(
    message = "a register of kind `{Self}` cannot be read, changed and written back",
    note = "only RW can: writing back what a W1C register reads would clear it"
)]
pub trait Modifiable: Readable + Writable {}

/// Registers that clear when read.
#[diagnostic::on_unimplemented(
    message = "a register of kind `{Self}` does not clear when read",
    note = "use `read`"
)]
pub trait Takeable: Access {}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $kind:ident: $($can:ident)*;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub enum $name {}
        impl sealed::Sealed for $name {}
        impl Access for $name {
            const KIND: AccessKind = AccessKind::$kind;
        }
        $(impl $can for $name {})*
    )*};
}

kinds! {
    /// Read only.
    RO = ReadOnly: Readable;
    /// Write only; what a read gives means nothing.
    WO = WriteOnly: Writable;
    /// Read and write.
    RW = ReadWrite: Readable Writable Modifiable;
    /// Read; a written 1 clears its bit.
    W1C = Write1Clear: Readable Writable;
    /// Clears when it is read, so it has one reader.
    RC = ReadClear: Takeable;
    /// Clears when it is read, and a written 1 clears its bit.
    RCW1C = ReadOrWrite1Clear: Takeable Writable;
    /// Holds an address that the device will use: takes only a [`BusAddr`](crate::BusAddr).
    BUS = BusAddress: Readable;
}

/// Whether a register is one or many.
pub trait Shape: sealed::Sealed {}

/// A single register.
#[derive(Clone, Copy, Debug)]
pub enum Single {}

/// An array of equal registers.
#[derive(Clone, Copy, Debug)]
pub enum Array {}

impl sealed::Sealed for Single {}
impl Shape for Single {}
impl sealed::Sealed for Array {}
impl Shape for Array {}
