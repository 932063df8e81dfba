//! The structures of the messages: host byte order, no padding, any alignment in the stream.
//!
//! Key types: [`Header`], [`Command`]; the payloads are named after their commands. Where the request and the
//! reply share a structure, it is here once. Flags are constants beside their structure.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of a message's header.
pub const HEADER_BYTES: usize = 16;

/// The most descriptors that the kernel passes with one message (SCM_MAX_FD).
pub const MAX_FDS: u32 = 253;

/// Header flags 3:0: the kind of message.
pub const TYPE_MASK: u32 = 0xf;
/// A request.
pub const TYPE_COMMAND: u32 = 0;
/// A reply.
pub const TYPE_REPLY: u32 = 1;
/// The sender wants no reply.
pub const NO_REPLY: u32 = 1 << 4;
/// The reply is a failure, and [`Header::errno`] says which.
pub const ERROR: u32 = 1 << 5;

/// What every message starts with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    /// Chosen by who asks, and echoed by who answers.
    pub id: u16,
    /// A [`Command`].
    pub command: u16,
    /// Bytes of the message, this header included.
    pub size: u32,
    /// The kind of message, [`NO_REPLY`], [`ERROR`].
    pub flags: u32,
    /// What went wrong, in an error reply.
    pub errno: u32,
}

impl Header {
    /// Returns whether this is a reply.
    pub fn is_reply(&self) -> bool {
        self.flags & TYPE_MASK == TYPE_REPLY
    }
}

macro_rules! commands {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// What a message asks for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u16)]
        pub enum Command {
            $($(#[$doc])* $name = $number,)*
        }

        impl TryFrom<u16> for Command {
            type Error = u16;

            fn try_from(number: u16) -> Result<Command, u16> {
                match number {
                    $($number => Ok(Command::$name),)*
                    other => Err(other),
                }
            }
        }
    };
}

commands! {
    /// Agree on a version and on capabilities: the first message.
    Version = 1,
    /// Make client memory reachable.
    DmaMap = 2,
    /// Take client memory back.
    DmaUnmap = 3,
    /// What the device is.
    DeviceGetInfo = 4,
    /// What a region is, and where it can be mapped.
    DeviceGetRegionInfo = 5,
    /// Which parts of a region take writes by eventfd.
    DeviceGetRegionIoFds = 6,
    /// What an interrupt kind can do.
    DeviceGetIrqInfo = 7,
    /// Arm, disarm, mask, unmask and trigger interrupts.
    DeviceSetIrqs = 8,
    /// Read device registers.
    RegionRead = 9,
    /// Write device registers.
    RegionWrite = 10,
    /// Server to client: read client memory.
    DmaRead = 11,
    /// Server to client: write client memory.
    DmaWrite = 12,
    /// Reset the device.
    DeviceReset = 13,
    /// Several register writes in one message.
    RegionWriteMulti = 15,
    /// Migration states and dirty-page logging.
    DeviceFeature = 16,
    /// Read the device's state.
    MigDataRead = 17,
    /// Write the device's state.
    MigDataWrite = 18,
}

/// The version both sides speak, in front of the JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Version {
    /// 0 until the protocol is declared stable.
    pub major: u16,
    /// Compatible additions.
    pub minor: u16,
}

/// [`Command::DmaMap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct DmaMap {
    /// Bytes of this structure.
    pub argsz: u32,
    /// [`DMA_READ`], [`DMA_WRITE`].
    pub flags: u32,
    /// Where in the file the memory starts, in bytes.
    pub offset: u64,
    /// The first bus address.
    pub address: u64,
    /// Bytes.
    pub size: u64,
}

/// The device may read the memory.
pub const DMA_READ: u32 = 1 << 0;
/// The device may write the memory.
pub const DMA_WRITE: u32 = 1 << 1;

/// [`Command::DmaUnmap`], both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct DmaUnmap {
    /// Bytes of this structure.
    pub argsz: u32,
    /// [`UNMAP_ALL`].
    pub flags: u32,
    /// The first bus address.
    pub address: u64,
    /// Bytes.
    pub size: u64,
}

/// Takes back everything; address and size are 0.
pub const UNMAP_ALL: u32 = 1 << 1;

/// [`Command::DeviceGetInfo`], both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct DeviceInfo {
    /// Bytes of this structure.
    pub argsz: u32,
    /// [`DEVICE_RESET`], [`DEVICE_PCI`].
    pub flags: u32,
    /// Regions, those that are not there included.
    pub regions: u32,
    /// Interrupt kinds.
    pub irqs: u32,
}

/// The device can be reset.
pub const DEVICE_RESET: u32 = 1 << 0;
/// The device is a PCI function.
pub const DEVICE_PCI: u32 = 1 << 1;

/// Regions of a PCI function: BARs 0 to 5, ROM, configuration space, VGA.
pub const PCI_REGIONS: u32 = 9;
/// The expansion ROM's region.
pub const REGION_ROM: u32 = 6;
/// Configuration space's region.
pub const REGION_CONFIG: u32 = 7;
/// Interrupt kinds of a PCI function: INTx, MSI, MSI-X, error, request.
pub const PCI_IRQS: u32 = 5;

/// [`Command::DeviceGetRegionInfo`], both ways; capabilities may follow in the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RegionInfo {
    /// Request: bytes that the reply may have. Reply: bytes that the whole answer needs.
    pub argsz: u32,
    /// [`REGION_READ`] and its neighbours.
    pub flags: u32,
    /// The region.
    pub index: u32,
    /// Where the first capability is, from the start of this structure.
    pub cap_offset: u32,
    /// Bytes of the region, 0 if it is not there.
    pub size: u64,
    /// Where in the file of the reply the region starts.
    pub offset: u64,
}

/// The region can be read.
pub const REGION_READ: u32 = 1 << 0;
/// The region can be written.
pub const REGION_WRITE: u32 = 1 << 1;
/// The region can be mapped.
pub const REGION_MMAP: u32 = 1 << 2;
/// Capabilities follow.
pub const REGION_CAPS: u32 = 1 << 3;

/// What each capability of a region starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CapHeader {
    /// 1 for sparse areas, 2 for a device-specific region's type.
    pub id: u16,
    /// 1.
    pub version: u16,
    /// Where the next one is, 0 for none.
    pub next: u32,
}

/// The capability that lists the areas which can be mapped.
pub const CAP_SPARSE_MMAP: u16 = 1;

/// The capability that names the type of a device-specific region: type and subtype, 32 bits each.
pub const CAP_TYPE: u16 = 2;

/// The head of a sparse capability's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SparseHeader {
    /// Areas that follow.
    pub areas: u32,
    /// 0.
    pub reserved: u32,
}

/// An area that can be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SparseArea {
    /// From the start of the region, in bytes.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
}

/// [`Command::DeviceGetRegionIoFds`], both ways; [`IoFd`]s follow in the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RegionIoFds {
    /// As in [`RegionInfo`].
    pub argsz: u32,
    /// 0.
    pub flags: u32,
    /// The region.
    pub index: u32,
    /// Entries that follow.
    pub count: u32,
}

/// A part of a region where a write signals an eventfd, or goes to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct IoFd {
    /// From the start of the region, in bytes.
    pub offset: u64,
    /// Bytes of the part.
    pub size: u64,
    /// The place of the descriptor in the message.
    pub fd_index: u32,
    /// [`IO_FD_EVENT`] or [`IO_FD_SHADOW`].
    pub kind: u32,
    /// [`IOEVENTFD_DATAMATCH`].
    pub flags: u32,
    /// Of a shadow: the place of the memory's descriptor in the message; otherwise 0.
    pub padding: u32,
    /// The value that signals, if flagged. Of a shadow: where in its memory the part is.
    pub datamatch: u64,
}

/// A write signals the eventfd.
pub const IO_FD_EVENT: u32 = 0;
/// A write goes to memory that stands for the registers. With an eventfd, that is signalled too; without, the server
/// looks by itself.
pub const IO_FD_SHADOW: u32 = 2;
/// [`IoFd::fd_index`] where there is no eventfd.
pub const NO_FD: u32 = u32::MAX;

/// Only a write of [`IoFd::datamatch`] signals (KVM_IOEVENTFD_FLAG_DATAMATCH).
pub const IOEVENTFD_DATAMATCH: u32 = 1 << 0;

/// [`Command::DeviceGetIrqInfo`], both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct IrqInfo {
    /// Bytes of this structure.
    pub argsz: u32,
    /// [`IRQ_EVENTFD`] and its neighbours.
    pub flags: u32,
    /// The interrupt kind.
    pub index: u32,
    /// Its vectors.
    pub count: u32,
}

/// It can be signalled by eventfd.
pub const IRQ_EVENTFD: u32 = 1 << 0;
/// It can be masked and unmasked.
pub const IRQ_MASKABLE: u32 = 1 << 1;
/// It masks itself when it fires.
pub const IRQ_AUTOMASKED: u32 = 1 << 2;
/// The set of armed vectors cannot grow.
pub const IRQ_NORESIZE: u32 = 1 << 3;

/// [`Command::DeviceSetIrqs`]; flags follow as bytes for [`IRQ_DATA_BOOL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct IrqSet {
    /// Bytes of this structure and of the flags behind it.
    pub argsz: u32,
    /// One kind of data and one action.
    pub flags: u32,
    /// The interrupt kind.
    pub index: u32,
    /// The first vector.
    pub start: u32,
    /// Vectors.
    pub count: u32,
}

/// No data: the action is for every vector named.
pub const IRQ_DATA_NONE: u32 = 1 << 0;
/// A byte each: the action is for vectors whose byte is 1.
pub const IRQ_DATA_BOOL: u32 = 1 << 1;
/// A descriptor each.
pub const IRQ_DATA_EVENTFD: u32 = 1 << 2;
/// Mask.
pub const IRQ_ACTION_MASK: u32 = 1 << 3;
/// Unmask.
pub const IRQ_ACTION_UNMASK: u32 = 1 << 4;
/// Trigger, or arm with descriptors.
pub const IRQ_ACTION_TRIGGER: u32 = 1 << 5;

/// [`Command::RegionRead`] and [`Command::RegionWrite`], both ways; data follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RegionAccess {
    /// From the start of the region, in bytes.
    pub offset: u64,
    /// The region.
    pub region: u32,
    /// Bytes.
    pub count: u32,
}

/// One write of [`Command::RegionWriteMulti`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MultiWrite {
    /// From the start of the region, in bytes.
    pub offset: u64,
    /// The region.
    pub region: u32,
    /// Bytes, up to 8.
    pub count: u32,
    /// The data, from its first byte.
    pub data: [u8; 8],
}

/// [`Command::DmaRead`] and [`Command::DmaWrite`], both ways; data follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct DmaAccess {
    /// The first bus address.
    pub address: u64,
    /// Bytes.
    pub count: u64,
}

/// [`Command::DeviceFeature`], both ways; the feature's data follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Feature {
    /// As in [`RegionInfo`].
    pub argsz: u32,
    /// The feature in bits 15:0, and [`FEATURE_GET`] and its neighbours.
    pub flags: u32,
}

/// Reads the feature.
pub const FEATURE_GET: u32 = 1 << 16;
/// Sets the feature.
pub const FEATURE_SET: u32 = 1 << 17;
/// Asks whether the feature is there.
pub const FEATURE_PROBE: u32 = 1 << 18;

/// [`Command::MigDataRead`] and [`Command::MigDataWrite`], both ways; data follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MigrationData {
    /// Bytes that the reply may have.
    pub argsz: u32,
    /// Bytes of data.
    pub size: u32,
}
