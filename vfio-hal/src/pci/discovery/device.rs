//! One PCI device.

use std::fs;
use std::path::Path;

use super::interface::Interface;
use super::link::PciLink;
use super::{DiscoveryError, System, VfioFiles, link_name, text};
use crate::addr::Bdf;
use crate::pci::{Class, Ids};

/// A PCI device, as sysfs describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it sits.
    pub address: Bdf,
    /// Vendor, device, subsystem, revision.
    pub ids: Ids,
    /// What it is.
    pub class: Class,
    /// The kernel's driver that holds it.
    pub driver: Option<String>,
    /// The only driver that may bind to it, where one is named.
    pub driver_override: Option<String>,
    /// Its IOMMU group: devices that can only be given away together.
    pub iommu_group: Option<u32>,
    /// The NUMA node it is near to.
    pub numa_node: Option<u32>,
    /// Its PCI Express link.
    pub link: Option<PciLink>,
    /// Its virtual functions, where it can have any.
    pub functions: Option<Virtual>,
    /// The physical function, where this is a virtual one.
    pub physical_function: Option<Bdf>,
    /// Its network interfaces in this namespace.
    pub interfaces: Vec<Interface>,
    /// The files to open it by, while VFIO holds it.
    pub vfio: VfioFiles,
}

/// Virtual functions of a device (SR-IOV).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Virtual {
    /// How many there can be.
    pub total: u16,
    /// Those that are there.
    pub addresses: Vec<Bdf>,
}

/// What kind of driver holds a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A driver that hands the device to user space: vfio-pci and its variants.
    Vfio,
    /// A driver that hands out memory and an interrupt, without the IOMMU.
    Uio,
    /// A driver of the kernel that uses the device itself.
    Kernel,
    /// None.
    Nobody,
}

impl Found {
    /// Returns what kind of driver holds it.
    pub fn holder(&self) -> Holder {
        match self.driver.as_deref() {
            None => Holder::Nobody,
            Some(name) if is_vfio(name) => Holder::Vfio,
            Some("uio_pci_generic" | "igb_uio") => Holder::Uio,
            Some(_) => Holder::Kernel,
        }
    }

    /// Returns whether it is a network controller (class 02h).
    pub fn is_network(&self) -> bool {
        self.class.base == 0x02
    }

    /// Returns whether it is a bridge (class 06h), which cannot be given to user space.
    pub fn is_bridge(&self) -> bool {
        self.class.base == 0x06
    }
}

/// Returns whether a driver is vfio-pci or a vendor's variant of it, such as `mlx5_vfio_pci`.
pub(super) fn is_vfio(driver: &str) -> bool {
    driver == "vfio-pci" || driver.ends_with("_vfio_pci") || driver.ends_with("-vfio-pci")
}

/// Returns whether a driver is made for devices of any kind.
pub(super) fn takes_any(driver: &str) -> bool {
    is_vfio(driver) || matches!(driver, "uio_pci_generic" | "igb_uio" | "pci-stub")
}

pub(super) fn read(system: &System, address: Bdf) -> Result<Found, DiscoveryError> {
    let dir = system.device_dir(address);
    if !dir.is_dir() {
        return Err(DiscoveryError::NoDevice { address });
    }
    let number = |name: &'static str| -> Result<u32, DiscoveryError> {
        let wrong = DiscoveryError::Unreadable { address, file: name };
        let text = fs::read_to_string(dir.join(name)).map_err(|error| match error.kind() {
            // It was removed after the look at its folder.
            std::io::ErrorKind::NotFound if !dir.is_dir() => DiscoveryError::NoDevice { address },
            _ => wrong,
        })?;
        u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).map_err(|_| wrong)
    };
    let id = |name| number(name).map(|value| value as u16);
    // Bridges have no subsystem of their own; what sysfs shows for them is 0.
    let subsystem = id("subsystem_vendor").ok().zip(id("subsystem_device").ok());
    let ids = Ids {
        vendor: id("vendor")?,
        device: id("device")?,
        subsystem: subsystem.filter(|ids| *ids != (0, 0)),
        revision: number("revision").unwrap_or(0) as u8,
    };
    let [interface, sub, base, _] = number("class")?.to_le_bytes();
    Ok(Found {
        address,
        ids,
        class: Class { base, sub, interface },
        driver: link_name(&dir.join("driver")),
        // An empty one reads as "(null)".
        driver_override: text(&dir.join("driver_override"))
            .filter(|name| !name.is_empty() && name != "(null)"),
        iommu_group: link_name(&dir.join("iommu_group")).and_then(|name| name.parse().ok()),
        // A machine without NUMA says -1.
        numa_node: text(&dir.join("numa_node")).and_then(|node| node.parse().ok()),
        link: PciLink::read(&dir),
        functions: functions(&dir),
        physical_function: link_name(&dir.join("physfn")).and_then(|name| name.parse().ok()),
        interfaces: Interface::of_device(system, &dir),
        vfio: system.vfio_files(address),
    })
}

fn functions(dir: &Path) -> Option<Virtual> {
    let total: u16 = text(&dir.join("sriov_totalvfs"))?.parse().ok()?;
    let numbers = 0..total;
    let mut addresses: Vec<Bdf> = numbers
        .map_while(|number| link_name(&dir.join(format!("virtfn{number}"))))
        .filter_map(|name| name.parse().ok())
        .collect();
    addresses.sort_unstable();
    Some(Virtual { total, addresses })
}

impl System {
    /// Returns the devices of an IOMMU group, each with its driver.
    pub fn group(&self, number: u32) -> Vec<(Bdf, Option<String>)> {
        let dir = self.path(&format!("sys/kernel/iommu_groups/{number}/devices"));
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        let addresses = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<Bdf>().ok());
        let mut all: Vec<_> =
            addresses.map(|address| (address, link_name(&self.device_dir(address).join("driver")))).collect();
        all.sort_unstable();
        all
    }

    /// Returns who of an IOMMU group keeps VFIO from giving it to user space: drivers of the kernel that do DMA.
    pub fn group_blockers(&self, number: u32) -> Vec<(Bdf, String)> {
        // VFIO waits only for drivers that do DMA of their own.
        let harmless = |driver: &str| is_vfio(driver) || matches!(driver, "pci-stub" | "pcieport");
        let held = self.group(number).into_iter().filter_map(|(address, driver)| Some((address, driver?)));
        held.filter(|(_, driver)| !harmless(driver)).collect()
    }
}
