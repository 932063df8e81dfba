//! What the server says of its device, asked once for each connection.

use vfio_user_kit::client::{Client, ClientError, IoFds, Region};
use vfio_user_kit::proto::wire::{self, DEVICE_PCI, DEVICE_RESET, PCI_IRQS, REGION_CONFIG};

use super::UserError;

/// More regions than a PCI function has with all that is its own.
const MAX_REGIONS: u32 = 256;
/// Configuration space: vendor and device; revision and class; subsystem.
const IDS: [u64; 3] = [0x00, 0x08, 0x2c];
/// Configuration space: the command register, and its bit for bus mastering.
const COMMAND: u64 = 0x04;
const MASTER: u8 = 1 << 2;

const NO_IRQ: wire::IrqInfo = wire::IrqInfo { argsz: 0, flags: 0, index: 0, count: 0 };

/// The device.
pub(super) struct Description {
    pub(super) can_reset: bool,
    pub(super) regions: Vec<Region>,
    pub(super) irqs: [wire::IrqInfo; PCI_IRQS as usize],
}

impl Description {
    /// Returns what is known before the server was asked.
    pub(super) fn none() -> Description {
        Description { can_reset: false, regions: Vec::new(), irqs: [NO_IRQ; PCI_IRQS as usize] }
    }

    pub(super) fn read(client: &Client) -> Result<Description, UserError> {
        let info = client.device_info()?;
        if info.flags & DEVICE_PCI == 0 {
            return Err(UserError::NotPci);
        }
        if !(REGION_CONFIG + 1..=MAX_REGIONS).contains(&info.regions) {
            return Err(UserError::BadDevice {
                what: "it has no configuration space, or more regions than anyone",
            });
        }
        let regions =
            (0..info.regions).map(|index| client.region_info(index)).collect::<Result<Vec<_>, _>>()?;
        if regions[REGION_CONFIG as usize].size < 256 {
            return Err(UserError::BadDevice { what: "its configuration space has less than 256 bytes" });
        }
        let mut irqs = [NO_IRQ; PCI_IRQS as usize];
        for (index, irq) in (0..info.irqs).zip(&mut irqs) {
            *irq = client.irq_info(index)?;
        }
        Ok(Description { can_reset: info.flags & DEVICE_RESET != 0, regions, irqs })
    }

    /// Checks that a device is the same as before, as far as its description tells.
    pub(super) fn check_same(&self, other: &Description) -> Result<(), UserError> {
        let other_device = |what| Err(UserError::OtherDevice { what });
        let shape = |region: &Region| (region.flags, region.size);
        if !self.regions.iter().map(shape).eq(other.regions.iter().map(shape)) {
            return other_device("a BAR or another region");
        }
        let irqs = |description: &Description| description.irqs.map(|irq| (irq.flags, irq.count));
        if irqs(self) != irqs(other) || self.can_reset != other.can_reset {
            return other_device("interrupts or reset");
        }
        Ok(())
    }

    pub(super) fn region(&self, index: u32) -> Option<&Region> {
        self.regions.get(index as usize).filter(|region| region.size > 0)
    }
}

/// What tells functions apart, and does not change in a function's life.
pub(super) type Identity = [[u8; 4]; IDS.len()];

pub(super) fn identity(client: &Client) -> Result<Identity, UserError> {
    let mut identity = Identity::default();
    for (word, offset) in identity.iter_mut().zip(IDS) {
        client.region_read(REGION_CONFIG, offset, word)?;
    }
    Ok(identity)
}

/// Returns whether the function may start transactions.
pub(super) fn is_master(client: &Client) -> Result<bool, UserError> {
    let mut command = [0; 2];
    client.region_read(REGION_CONFIG, COMMAND, &mut command)?;
    Ok(command[0] & MASTER != 0)
}

/// Returns how a write to configuration space leaves bus mastering, if it decides over it.
pub(super) fn sets_master(offset: u16, data: &[u8]) -> Option<bool> {
    let byte = (COMMAND as usize).checked_sub(offset.into()).and_then(|at| data.get(at))?;
    Some(byte & MASTER != 0)
}

/// Returns where writes to a region need no message. A server that knows nothing of it has none.
pub(super) fn io_fds(client: &Client, region: u32) -> Result<IoFds, ClientError> {
    // Servers of the first version do not know the command, and there are some that get out of step with it.
    if client.minor_version() == 0 {
        return Ok(IoFds::default());
    }
    match client.region_io_fds(region) {
        Err(ClientError::Refused { .. }) => Ok(IoFds::default()),
        result => result,
    }
}
