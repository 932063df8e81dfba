//! Device features: what a device can do beyond registers, DMA and interrupts.
//!
//! [`Feature`] names them and [`VfioDevice::has_feature`] asks; the calls are in their own files. What a kernel or a
//! device lacks is [`DeviceError::Unsupported`].

use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;
use vfio_bindings::bindings::vfio as abi;

use super::device::VfioDevice;
use super::sys::{self, Operation, PlainFeature};
use super::token::Token;
use crate::device::DeviceError;
use crate::irq::EventFd;

/// A feature of VFIO_DEVICE_FEATURE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Feature {
    /// The token that a PF shares with its VFs can be set.
    VfToken,
    /// The device migrates.
    Migration,
    /// The device can be brought to another migration state.
    MigrationState,
    /// Low power can be entered.
    LowPower,
    /// Low power can be entered with an eventfd that tells when it ends.
    LowPowerWithWakeup,
    /// Low power can be left.
    LowPowerExit,
    /// The device logs the pages that it writes.
    DmaLogging,
    /// The size of what migrates is known.
    MigrationSize,
    /// A region can be exported as a dma-buf.
    DmaBuf,
    /// An ACPI device-specific method can be called. No kernel has it.
    AcpiDsm,
    /// ACPI notifications are delivered. No kernel has it.
    AcpiNotification,
}

impl Feature {
    /// Returns the kernel's number and how the feature is used; `None` if there is no such thing in VFIO.
    fn number(self) -> Option<(u32, Operation)> {
        Some(match self {
            Feature::VfToken => (abi::VFIO_DEVICE_FEATURE_PCI_VF_TOKEN, Operation::Set),
            Feature::Migration => (abi::VFIO_DEVICE_FEATURE_MIGRATION, Operation::Get),
            Feature::MigrationState => (abi::VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, Operation::Set),
            Feature::LowPower => (abi::VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY, Operation::Set),
            Feature::LowPowerWithWakeup => {
                (abi::VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP, Operation::Set)
            }
            Feature::LowPowerExit => (abi::VFIO_DEVICE_FEATURE_LOW_POWER_EXIT, Operation::Set),
            Feature::DmaLogging => (abi::VFIO_DEVICE_FEATURE_DMA_LOGGING_START, Operation::Set),
            Feature::MigrationSize => (abi::VFIO_DEVICE_FEATURE_MIG_DATA_SIZE, Operation::Get),
            Feature::DmaBuf => (abi::VFIO_DEVICE_FEATURE_DMA_BUF, Operation::Get),
            Feature::AcpiDsm | Feature::AcpiNotification => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Feature::VfToken => "VF token to set: it is no PF with VFs",
            Feature::Migration | Feature::MigrationState | Feature::MigrationSize => "migration",
            Feature::LowPower | Feature::LowPowerExit => "low power",
            Feature::LowPowerWithWakeup => "low power with wake-up",
            Feature::DmaLogging => "log of the pages that it writes",
            Feature::DmaBuf => "export of regions as dma-buf",
            Feature::AcpiDsm => "ACPI device-specific method: VFIO has no such call",
            Feature::AcpiNotification => "ACPI notification: VFIO has no such call",
        }
    }

    pub(super) fn unsupported(self) -> DeviceError {
        DeviceError::Unsupported { what: self.name() }
    }
}

impl VfioDevice {
    /// Asks the kernel whether the device has a feature.
    pub fn has_feature(&self, feature: Feature) -> Result<bool, DeviceError> {
        self.core().lost.check()?;
        let Some((number, operation)) = feature.number() else { return Ok(false) };
        match sys::probe_feature(self.core().fd(), number as u16, operation) {
            Ok(()) => Ok(true),
            Err(Errno::NOTTY | Errno::INVAL | Errno::OPNOTSUPP) => Ok(false),
            Err(error) => Err(self.core().error("VFIO_DEVICE_FEATURE", error)),
        }
    }

    /// Returns [`DeviceError::Unsupported`] if the device does not have a feature.
    pub fn require_feature(&self, feature: Feature) -> Result<(), DeviceError> {
        if self.has_feature(feature)? { Ok(()) } else { Err(feature.unsupported()) }
    }

    /// Sets the token that whoever opens a VF of this PF must show.
    pub fn set_vf_token(&self, token: Token) -> Result<(), DeviceError> {
        self.plain(Feature::VfToken, PlainFeature::VfToken, Operation::Set, token.bytes()).map(drop)
    }

    /// Lets the device sleep, in D3cold where the platform can. It wakes up by itself for any access to its
    /// configuration space or by a call, and goes back to sleep; [`leave_low_power`](Self::leave_low_power) ends that.
    ///
    /// Mapped registers of a sleeping device cannot be accessed, the attempt would end the process: while BARs or windows
    /// of the device are mapped, this is refused, and until low power is left, they cannot be mapped. Drop them first and
    /// open them again afterwards.
    pub fn enter_low_power(&self) -> Result<(), DeviceError> {
        self.sleep(Feature::LowPower, PlainFeature::LowPower, &[])
    }

    /// Lets the device sleep until something wakes it up, which `wakeup` is signalled for: it stays awake then. Leave low
    /// power all the same before registers are mapped, see [`enter_low_power`](Self::enter_low_power).
    pub fn enter_low_power_until(&self, wakeup: &EventFd) -> Result<(), DeviceError> {
        let file = wakeup.as_fd().as_raw_fd();
        let data = [file.to_ne_bytes(), [0; 4]].concat();
        self.sleep(Feature::LowPowerWithWakeup, PlainFeature::LowPowerWithWakeup, &data)
    }

    /// Wakes the device up for good. Nothing happens if it is awake.
    pub fn leave_low_power(&self) -> Result<(), DeviceError> {
        let mut power = self.core().power();
        self.plain(Feature::LowPowerExit, PlainFeature::LowPowerExit, Operation::Set, &[])?;
        power.low = false;
        Ok(())
    }

    fn sleep(&self, feature: Feature, number: PlainFeature, data: &[u8]) -> Result<(), DeviceError> {
        let mut power = self.core().power();
        if power.windows > 0 {
            return Err(DeviceError::Unsupported {
                what: "low power while its registers are mapped: drop its BARs and windows first",
            });
        }
        self.plain(feature, number, Operation::Set, data)?;
        power.low = true;
        Ok(())
    }

    /// Uses a feature whose data holds no address.
    pub(super) fn plain(
        &self,
        feature: Feature,
        number: PlainFeature,
        operation: Operation,
        data: &[u8],
    ) -> Result<Vec<u8>, DeviceError> {
        self.core().lost.check()?;
        sys::feature(self.core().fd(), number, operation, data)
            .map_err(|error| self.feature_error(feature, error))
    }

    pub(super) fn feature_error(&self, feature: Feature, error: Errno) -> DeviceError {
        match error {
            Errno::NOTTY | Errno::OPNOTSUPP => feature.unsupported(),
            error => self.core().error("VFIO_DEVICE_FEATURE", error),
        }
    }
}
