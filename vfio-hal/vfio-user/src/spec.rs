//! What a device looks like on PCI, before anything happens.

/// Vendor, device, subsystem and class ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ids {
    /// Vendor id, 8086h for Intel.
    pub vendor: u16,
    /// Device id.
    pub device: u16,
    /// Subsystem vendor id.
    pub subsystem_vendor: u16,
    /// Subsystem id.
    pub subsystem: u16,
    /// Class code: base class 23:16, sub-class 15:8, programming interface 7:0.
    pub class: u32,
    /// Revision id.
    pub revision: u8,
}

/// The kind of a base address register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarKind {
    /// 32-bit memory.
    Memory32,
    /// 64-bit memory; takes the next BAR's place too.
    Memory64,
    /// 64-bit prefetchable memory; takes the next BAR's place too.
    Memory64Prefetchable,
    /// I/O ports.
    Io,
}

/// One base address register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarSpec {
    /// Its number, 0 to 5.
    pub index: u8,
    /// Its size in bytes, a power of two.
    pub size: u64,
    /// Its kind.
    pub kind: BarKind,
}

/// A PCI function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spec {
    /// Ids and class.
    pub ids: Ids,
    /// Its BARs.
    pub bars: Vec<BarSpec>,
    /// MSI-X vectors, 0 for none; table and pending bits are in BAR `msix_bar`.
    pub msix_vectors: u16,
    /// The BAR that holds the MSI-X table at offset 0 and the pending bits behind it.
    pub msix_bar: u8,
    /// MSI vectors, 0 for none.
    pub msi_vectors: u8,
    /// Whether there is an INTx pin (A).
    pub intx: bool,
    /// 32-bit registers, as (BAR, offset), that are doorbells: a write only stores the value. Sorted.
    pub doorbells: Vec<(u8, u64)>,
    /// The device serial number (extended capability), if it has one.
    pub serial: Option<u64>,
}
