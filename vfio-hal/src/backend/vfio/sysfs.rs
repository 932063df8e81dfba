//! Where the kernel shows a device: its driver, its IOMMU group, its device files.
//!
//! [`Node`] is one device as sysfs describes it. Everything is below a root that tests replace.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::{Label, Members, VfioError};
use crate::addr::Bdf;

/// A device as sysfs shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// The name that VFIO knows it by: the last part of its path.
    pub(super) name: String,
    pub(super) driver: Option<String>,
    pub(super) group: Option<Group>,
    /// The name of its file in `/dev/vfio/devices`.
    pub(super) cdev: Option<String>,
}

/// An IOMMU group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) number: u32,
    /// The kernel made it up for a device without an IOMMU.
    pub(super) no_iommu: bool,
}

impl Group {
    /// Returns the name of its file in `/dev/vfio`.
    pub(super) fn file(&self) -> String {
        let prefix = if self.no_iommu { "noiommu-" } else { "" };
        format!("{prefix}{}", self.number)
    }
}

/// The file systems of the kernel.
#[derive(Clone, Debug)]
pub(super) struct Root(PathBuf);

impl Root {
    pub(super) fn new() -> Root {
        Root(PathBuf::from("/"))
    }

    /// Finds a device by `[domain:]bus:device.function`, by the UUID of a mediated device, or by its path in sysfs.
    pub(super) fn find(&self, address: &str) -> Result<Node, VfioError> {
        let no_device = VfioError::NoDevice { device: Label::new(address) };
        let path = if address.contains('/') {
            PathBuf::from(address)
        } else if let Ok(bdf) = address.parse::<Bdf>() {
            self.0.join(format!("sys/bus/pci/devices/{bdf}"))
        } else if address.len() == 36 && uuid::Uuid::try_parse(address).is_ok() {
            self.0.join(format!("sys/bus/mdev/devices/{address}"))
        } else {
            return Err(VfioError::Address { text: Label::new(address) });
        };
        let path = fs::canonicalize(path).map_err(|_| no_device)?;
        // Every device has a subsystem; a folder of another kind, or a file, does not.
        if !path.join("subsystem").exists() {
            return Err(VfioError::Address { text: Label::new(address) });
        }
        let name = path.file_name().and_then(|name| name.to_str()).ok_or(no_device)?;
        Ok(Node {
            name: name.to_owned(),
            driver: link_name(&path.join("driver")),
            group: self.group(&path),
            cdev: first_entry(&path.join("vfio-dev")),
        })
    }

    fn group(&self, device: &Path) -> Option<Group> {
        let number = link_name(&device.join("iommu_group"))?.parse().ok()?;
        // The group's own name is the same for mediated devices, which need no IOMMU.
        let no_iommu = self.0.join(format!("sys/class/vfio/noiommu-{number}")).exists();
        Some(Group { number, no_iommu })
    }

    /// Returns the PCI devices of a group that drivers hold which do not share it with user space.
    pub(super) fn in_the_way(&self, group: u32) -> Members {
        let devices = self.0.join(format!("sys/kernel/iommu_groups/{group}/devices"));
        let mut all: Vec<Bdf> = fs::read_dir(devices)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| {
                let driver = link_name(&entry.path().join("driver"));
                driver.is_some_and(|driver| !shares(&driver))
            })
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect();
        all.sort_unstable();
        Members::new(all)
    }

    /// Returns how many devices a group has.
    pub(super) fn group_size(&self, group: u32) -> usize {
        let devices = self.0.join(format!("sys/kernel/iommu_groups/{group}/devices"));
        fs::read_dir(devices).map_or(0, |entries| entries.flatten().count())
    }

    /// Returns a module parameter's value.
    pub(super) fn parameter(&self, module: &str, name: &str) -> Option<String> {
        let text = fs::read_to_string(self.0.join(format!("sys/module/{module}/parameters/{name}"))).ok()?;
        Some(text.trim().to_owned())
    }

    /// Returns whether the kernel gives out devices without an IOMMU.
    pub(super) fn no_iommu_mode(&self) -> bool {
        self.parameter("vfio", "enable_unsafe_noiommu_mode").is_some_and(|value| value == "Y" || value == "1")
    }
}

impl Node {
    /// Checks that a driver holds the device which gives it to user space.
    pub(super) fn check_driver(&self) -> Result<(), VfioError> {
        let device = Label::new(&self.name);
        match &self.driver {
            // Every driver that does makes this folder; kernels before 6.1 do not have it.
            _ if self.cdev.is_some() => Ok(()),
            Some(driver) if driver.starts_with("vfio") => Ok(()),
            Some(driver) => Err(VfioError::OtherDriver { device, driver: Label::new(driver) }),
            None => Err(VfioError::Unbound { device }),
        }
    }
}

/// Returns whether a driver leaves its device's group viable.
fn shares(driver: &str) -> bool {
    driver.starts_with("vfio") || matches!(driver, "pci-stub" | "pcieport")
}

fn link_name(link: &Path) -> Option<String> {
    Some(fs::read_link(link).ok()?.file_name()?.to_str()?.to_owned())
}

fn first_entry(folder: &Path) -> Option<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    names.into_iter().next()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A sysfs of a few folders.
    struct Fake(PathBuf);

    impl Fake {
        fn new(name: &str) -> Fake {
            let root = std::env::temp_dir().join(format!("kit-sysfs-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&root);
            fs::create_dir_all(root.join("sys/bus/pci/devices")).unwrap();
            Fake(root)
        }

        fn device(&self, bdf: &str, driver: Option<&str>, group: Option<u32>) -> PathBuf {
            let path = self.0.join("sys/devices/pci0000:00").join(bdf);
            fs::create_dir_all(&path).unwrap();
            symlink("../../../bus/pci", path.join("subsystem")).unwrap();
            symlink(&path, self.0.join("sys/bus/pci/devices").join(bdf)).unwrap();
            if let Some(driver) = driver {
                symlink(format!("../../../bus/pci/drivers/{driver}"), path.join("driver")).unwrap();
            }
            if let Some(group) = group {
                let folder = self.0.join(format!("sys/kernel/iommu_groups/{group}"));
                fs::create_dir_all(folder.join("devices")).unwrap();
                symlink(&folder, path.join("iommu_group")).unwrap();
                symlink(&path, folder.join("devices").join(bdf)).unwrap();
            }
            path
        }

        fn root(&self) -> Root {
            Root(self.0.clone())
        }
    }

    impl Drop for Fake {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_device_is_found_by_its_address_with_or_without_domain_and_by_path() {
        let fake = Fake::new("find");
        let path = fake.device("0000:00:05.0", Some("vfio-pci"), Some(7));
        fs::create_dir_all(path.join("vfio-dev/vfio3")).unwrap();
        let node = fake.root().find("0000:00:05.0").unwrap();
        assert_eq!(node.name, "0000:00:05.0");
        assert_eq!((node.driver.as_deref(), node.cdev.as_deref()), (Some("vfio-pci"), Some("vfio3")));
        assert_eq!(node.group, Some(Group { number: 7, no_iommu: false }));
        assert_eq!(node.group.unwrap().file(), "7");
        assert_eq!(node.check_driver(), Ok(()));
        assert_eq!(fake.root().find("00:05.0").unwrap(), node);
        let link = fake.0.join("sys/bus/pci/devices/0000:00:05.0");
        assert_eq!(fake.root().find(link.to_str().unwrap()).unwrap(), node);
    }

    #[test]
    fn what_is_no_device_says_why() {
        let fake = Fake::new("none");
        let root = fake.root();
        assert!(matches!(root.find("00:05.0"), Err(VfioError::NoDevice { .. })));
        assert!(matches!(root.find("eth0"), Err(VfioError::Address { .. })));
        assert!(matches!(root.find(""), Err(VfioError::Address { .. })));
        assert!(matches!(root.find("/"), Err(VfioError::Address { .. })));
        assert!(matches!(root.find("/no/such"), Err(VfioError::NoDevice { .. })));
        let uuid = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";
        assert!(matches!(root.find(uuid), Err(VfioError::NoDevice { .. })));
    }

    #[test]
    fn the_driver_must_be_one_of_vfio() {
        let fake = Fake::new("driver");
        fake.device("0000:00:05.0", Some("ixgbe"), None);
        fake.device("0000:00:06.0", None, None);
        let node = fake.root().find("00:05.0").unwrap();
        let (device, driver) = (Label::new("0000:00:05.0"), Label::new("ixgbe"));
        assert_eq!(node.check_driver(), Err(VfioError::OtherDriver { device, driver }));
        let node = fake.root().find("00:06.0").unwrap();
        assert_eq!(node.check_driver(), Err(VfioError::Unbound { device: Label::new("0000:00:06.0") }));
        assert_eq!(node.group, None);
    }

    #[test]
    fn the_devices_in_the_way_of_a_group_are_named() {
        let fake = Fake::new("group");
        fake.device("0000:00:1f.0", Some("lpc_ich"), Some(4));
        fake.device("0000:00:1f.2", Some("ahci"), Some(4));
        fake.device("0000:00:1f.3", Some("vfio-pci"), Some(4));
        fake.device("0000:00:1c.0", Some("pcieport"), Some(4));
        fake.device("0000:00:1f.4", None, Some(4));
        assert_eq!(fake.root().in_the_way(4).to_string(), "0000:00:1f.0, 0000:00:1f.2");
        assert_eq!(fake.root().in_the_way(5).count(), 0);
    }

    #[test]
    fn a_group_without_an_iommu_is_known_by_its_file() {
        let fake = Fake::new("noiommu");
        fake.device("0000:00:05.0", Some("vfio-pci"), Some(0));
        assert!(!fake.root().find("00:05.0").unwrap().group.unwrap().no_iommu);
        fs::create_dir_all(fake.0.join("sys/class/vfio/noiommu-0")).unwrap();
        let group = fake.root().find("00:05.0").unwrap().group.unwrap();
        assert!(group.no_iommu);
        assert_eq!(group.file(), "noiommu-0");
        assert!(!fake.root().no_iommu_mode());
        fs::create_dir_all(fake.0.join("sys/module/vfio/parameters")).unwrap();
        fs::write(fake.0.join("sys/module/vfio/parameters/enable_unsafe_noiommu_mode"), "Y\n").unwrap();
        assert!(fake.root().no_iommu_mode());
    }
}
