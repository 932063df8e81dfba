//! What a device looks like on PCI, before anything happens.
//!
//! Key type: [`Spec`], with [`BarSpec`] and [`CapabilitySpec`]. A model returns it once; [`Spec::check`] tells whether such
//! a function can exist, and [`Function`](crate::Function) emulates it.

use crate::capability::CapabilitySpec;

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

/// The generation of PCI, which decides how large configuration space is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PciType {
    /// Conventional PCI: 256 bytes of configuration space.
    Conventional,
    /// PCI-X mode 1: 256 bytes.
    PciX1,
    /// PCI-X mode 2: 4,096 bytes, no PCI Express capability.
    PciX2,
    /// PCI Express: 4,096 bytes.
    #[default]
    Express,
}

impl PciType {
    /// Returns the bytes of configuration space.
    pub fn config_bytes(self) -> u16 {
        match self {
            PciType::Conventional | PciType::PciX1 => 256,
            PciType::PciX2 | PciType::Express => 4096,
        }
    }
}

/// A region that goes one way only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OneWay {
    /// It cannot be written.
    ReadOnly,
    /// It cannot be read.
    WriteOnly,
}

/// Which accesses to configuration space the model handles itself
/// ([`DeviceModel::config_read`](crate::DeviceModel::config_read),
/// [`config_write`](crate::DeviceModel::config_write)), beside its capabilities of
/// [`CapabilityAccess::Model`](crate::CapabilityAccess::Model).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConfigCallback {
    /// None: what is neither header nor capability reads as it is, and refuses writes.
    #[default]
    Never,
    /// Those to what is neither header nor capability.
    Unclaimed,
    /// All.
    Always,
}

/// A PCI function. What is not named has the value of [`Spec::default`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spec {
    /// Ids and class.
    pub ids: Ids,
    /// The generation of PCI.
    pub pci_type: PciType,
    /// The layout of the header; 0, an endpoint's, is the only one there is.
    pub header_type: u8,
    /// Its BARs.
    pub bars: Vec<BarSpec>,
    /// Bytes of the expansion ROM, a power of two from 2 KiB to 16 MiB, 0 for none. The model is asked for its contents
    /// as for those of a BAR with the number [`Spec::ROM`].
    pub rom: u64,
    /// Whether it answers the legacy VGA addresses. The model is asked as for a BAR with the number [`Spec::VGA`], where
    /// offsets are the addresses: A0000h to BFFFFh of memory, 3B0h to 3BBh and 3C0h to 3DFh of I/O.
    pub vga: bool,
    /// BARs that go one way only, by their numbers.
    pub one_way: Vec<(u8, OneWay)>,
    /// MSI-X vectors, 0 for none; table and pending bits are in BAR `msix_bar`.
    pub msix_vectors: u16,
    /// The BAR that holds the MSI-X table at offset 0 and the pending bits behind it.
    pub msix_bar: u8,
    /// MSI vectors, 0 for none.
    pub msi_vectors: u8,
    /// Whether there is an INTx pin (A).
    pub intx: bool,
    /// Interrupts for uncorrectable errors; `None` for one.
    pub error_irqs: Option<u8>,
    /// Interrupts that ask for the device to be given back; `None` for one.
    pub request_irqs: Option<u8>,
    /// 32-bit registers, as (BAR, offset), that are doorbells: a write only stores the value. Sorted.
    pub doorbells: Vec<(u8, u64)>,
    /// The device serial number (extended capability), if it has one.
    pub serial: Option<u64>,
    /// Capabilities beside those that the fields above call for.
    pub capabilities: Vec<CapabilitySpec>,
    /// It never does DMA: the memory that a client maps is acknowledged and forgotten.
    pub no_dma: bool,
    /// Which accesses to configuration space the model handles.
    pub config_callback: ConfigCallback,
}

impl Spec {
    /// The number under which a model is asked for its expansion ROM.
    pub const ROM: u8 = 6;
    /// The number of configuration space among the regions.
    pub const CONFIG: u8 = 7;
    /// The number under which a model is asked for the legacy VGA addresses.
    pub const VGA: u8 = 8;
}
