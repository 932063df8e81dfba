//! A machine made of files, and the part of a kernel that binds drivers.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use vfio_hal::Bdf;
use vfio_hal::pci::discovery::System;

/// What the kernel of the machine does of its own.
#[derive(Default)]
struct Habits {
    /// Drivers that refuse every device.
    refusing: Vec<String>,
    /// Files that cannot be written, by the end of their paths.
    locked: Vec<(&'static str, io::ErrorKind)>,
    /// Every write, for tests that look at their order.
    written: Vec<(String, String)>,
}

pub(crate) struct Machine {
    dir: TempDir,
    habits: Arc<Mutex<Habits>>,
}

pub(crate) fn bdf(text: &str) -> Bdf {
    text.parse().unwrap()
}

impl Machine {
    /// A machine with the drivers igb, igbvf and vfio-pci, and a VFIO that can do without an IOMMU but does not.
    pub(crate) fn new() -> Machine {
        let machine = Machine { dir: TempDir::new().unwrap(), habits: Arc::default() };
        for driver in ["igb", "igbvf", "vfio-pci", "uio_pci_generic"] {
            fs::create_dir_all(machine.path(&format!("sys/bus/pci/drivers/{driver}"))).unwrap();
        }
        fs::create_dir_all(machine.path("sys/bus/pci/devices")).unwrap();
        machine.file("sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "N\n");
        machine.file("sys/module/vfio_pci/parameters/enable_sriov", "N\n");
        machine.file("proc/net/route", "Iface\tDestination\tGateway \tFlags\n");
        machine.file("proc/net/if_inet6", "");
        fs::create_dir_all(machine.path("dev/vfio/devices")).unwrap();
        machine
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    pub(crate) fn file(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap().trim().to_owned()
    }

    /// Adds an 82576 in IOMMU group `group`, held by igb, with the interface `interface`, which is down.
    pub(crate) fn nic(&self, address: &str, group: Option<u32>, interface: &str) {
        let dir = format!("sys/bus/pci/devices/{address}");
        for (name, text) in [
            ("vendor", "0x8086\n"),
            ("device", "0x10c9\n"),
            ("subsystem_vendor", "0x8086\n"),
            ("subsystem_device", "0xa03c\n"),
            ("revision", "0x01\n"),
            ("class", "0x020000\n"),
            ("driver_override", "(null)\n"),
            ("numa_node", "-1\n"),
            ("current_link_speed", "2.5 GT/s PCIe\n"),
            ("current_link_width", "1\n"),
            ("max_link_speed", "5.0 GT/s PCIe\n"),
            ("max_link_width", "4\n"),
            ("sriov_totalvfs", "7\n"),
            ("sriov_numvfs", "0\n"),
        ] {
            self.file(&format!("{dir}/{name}"), text);
        }
        if let Some(group) = group {
            self.group(address, group);
        }
        if !interface.is_empty() {
            fs::create_dir_all(self.path(&format!("{dir}/net/{interface}"))).unwrap();
            self.file(&format!("sys/class/net/{interface}/flags"), "0x1002\n");
            symlink(self.path(&dir), self.path(&format!("sys/class/net/{interface}/device"))).unwrap();
        }
        link_driver(self.dir.path(), address, "igb");
    }

    pub(crate) fn group(&self, address: &str, group: u32) {
        let groups = self.path(&format!("sys/kernel/iommu_groups/{group}/devices"));
        fs::create_dir_all(&groups).unwrap();
        symlink(groups.parent().unwrap(), self.path(&format!("sys/bus/pci/devices/{address}/iommu_group")))
            .unwrap();
        symlink("x", groups.join(address)).unwrap();
    }

    /// Lets a driver refuse every device.
    pub(crate) fn refuse(&self, driver: &str) {
        self.habits.lock().unwrap().refusing.push(driver.into());
    }

    /// Lets writes to files with this ending fail.
    pub(crate) fn lock(&self, ending: &'static str, error: io::ErrorKind) {
        self.habits.lock().unwrap().locked.push((ending, error));
    }

    pub(crate) fn unlock(&self) {
        self.habits.lock().unwrap().locked.clear();
    }

    /// Returns what was written since the last call, paths without the root.
    pub(crate) fn written(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.habits.lock().unwrap().written)
    }

    pub(crate) fn system(&self) -> System {
        let (root, habits) = (self.dir.path().to_owned(), self.habits.clone());
        System::at(self.dir.path()).with_write(move |path, value| kernel(&root, &habits, path, value))
    }

    pub(crate) fn driver(&self, address: &str) -> Option<String> {
        driver(self.dir.path(), address)
    }
}

fn device(root: &Path, address: &str) -> PathBuf {
    root.join("sys/bus/pci/devices").join(address)
}

fn driver(root: &Path, address: &str) -> Option<String> {
    let link = fs::read_link(device(root, address).join("driver")).ok()?;
    Some(link.file_name()?.to_str()?.to_owned())
}

fn link_driver(root: &Path, address: &str, driver: &str) {
    let target = root.join("sys/bus/pci/drivers").join(driver);
    symlink(target, device(root, address).join("driver")).unwrap();
    if driver != "vfio-pci" {
        return;
    }
    let dir = device(root, address);
    let name = format!("vfio{}", address.chars().nth(6).unwrap());
    fs::create_dir_all(dir.join("vfio-dev").join(&name)).unwrap();
    fs::write(root.join("dev/vfio/devices").join(name), "").unwrap();
    if let Ok(group) = fs::read_link(dir.join("iommu_group")) {
        fs::write(root.join("dev/vfio").join(group.file_name().unwrap()), "").unwrap();
    }
}

/// What Linux does when a file of its own is written.
fn kernel(root: &Path, habits: &Mutex<Habits>, path: &Path, value: &str) -> io::Result<()> {
    let mut habits = habits.lock().unwrap();
    let short = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
    if let Some((_, error)) = habits.locked.iter().find(|(ending, _)| short.ends_with(ending)) {
        return Err((*error).into());
    }
    habits.written.push((short.clone(), value.trim_end().to_owned()));
    if short.ends_with("/driver/unbind") {
        let dir = device(root, value);
        let name = driver(root, value).ok_or(io::ErrorKind::NotFound)?;
        fs::remove_file(dir.join("driver"))?;
        if name == "vfio-pci" {
            fs::remove_dir_all(dir.join("vfio-dev"))?;
        }
        return Ok(());
    }
    if short.ends_with("/driver_override") {
        let value = if value == "\n" { "(null)\n" } else { value };
        return fs::write(path, value);
    }
    if short.ends_with("/drivers_probe") {
        let wanted = fs::read_to_string(device(root, value).join("driver_override"))?;
        let name = match wanted.trim() {
            "(null)" => "igb",
            name => name,
        };
        if driver(root, value).is_some() || habits.refusing.iter().any(|one| one == name) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        link_driver(root, value, name);
        return Ok(());
    }
    if let Some(name) = short.strip_prefix("sys/bus/pci/drivers/").and_then(|rest| rest.strip_suffix("/bind"))
    {
        let wanted = fs::read_to_string(device(root, value).join("driver_override"))?;
        let other = wanted.trim() != "(null)" && wanted.trim() != name || driver(root, value).is_some();
        // Only igb knows the ids of an 82576.
        if other || name != "igb" || habits.refusing.iter().any(|one| one == name) {
            return Err(io::Error::from_raw_os_error(19));
        }
        link_driver(root, value, name);
        return Ok(());
    }
    if short.ends_with("/sriov_numvfs") {
        let (count, dir) = (value.parse::<u32>().unwrap(), path.parent().unwrap());
        let there: u32 = fs::read_to_string(path)?.trim().parse().unwrap();
        if count != 0 && there != 0 {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        for number in 0..there.max(count) {
            let link = dir.join(format!("virtfn{number}"));
            let address = format!("0000:01:10.{number}");
            let place = device(root, &address);
            if count == 0 {
                fs::remove_file(link)?;
                fs::remove_dir_all(place)?;
            } else {
                symlink(format!("../{address}"), link)?;
                fs::create_dir_all(&place)?;
                let files = [("vendor", "0x8086"), ("device", "0x10ca"), ("class", "0x020000")];
                files.iter().try_for_each(|(name, text)| fs::write(place.join(name), text))?;
                symlink(dir, place.join("physfn"))?;
            }
        }
        return fs::write(path, value);
    }
    if !path.exists() {
        return Err(io::ErrorKind::NotFound.into());
    }
    fs::write(path, value)
}
