//! What is shown of PCI devices.

use serde::Serialize;
use vfio_hal::Bdf;
use vfio_hal::pci::discovery::{BindError, Found, Holder, System};

use crate::fault::Fault;
use crate::port::drivers;
use crate::{out, output};

/// One device, as programs read it.
#[derive(Serialize)]
struct Row {
    address: String,
    id: String,
    class: String,
    name: String,
    /// The driver that holds it.
    driver: Option<String>,
    /// The driver of this kit that is for it.
    pmd: Option<&'static str>,
    iommu_group: Option<u32>,
    numa_node: Option<u32>,
    link: Option<String>,
    interfaces: Vec<String>,
    /// What its interfaces are in use for.
    in_use: Option<String>,
    /// The process that has it open through VFIO.
    opened_by: Option<u32>,
    functions: Vec<String>,
    functions_total: Option<u16>,
    physical_function: Option<String>,
    files: Vec<String>,
    previous_driver: Option<String>,
    /// Others of its IOMMU group that keep VFIO from giving it out.
    blockers: Vec<String>,
}

impl Row {
    fn new(system: &System, found: &Found) -> Row {
        let used =
            |one: &vfio_hal::pci::discovery::Interface| Some(format!("{} {}", one.name, one.in_use()?));
        let held = found.holder() == Holder::Vfio;
        let blockers = found.iommu_group.filter(|_| held).map(|group| system.group_blockers(group));
        let functions = found.functions.as_ref();
        Row {
            address: found.address.to_string(),
            id: format!("{:04x}:{:04x}", found.ids.vendor, found.ids.device),
            class: format!("{:02x}{:02x}", found.class.base, found.class.sub),
            name: title(found),
            driver: found.driver.clone(),
            pmd: drivers::of(found.ids.vendor, found.ids.device).map(|driver| driver.name),
            iommu_group: found.iommu_group,
            numa_node: found.numa_node,
            link: found.link.map(|link| link.to_string()),
            interfaces: found.interfaces.iter().map(|one| one.name.clone()).collect(),
            in_use: found.interfaces.iter().find_map(used),
            opened_by: system.users_of(&found.vfio).first().copied(),
            functions: functions.iter().flat_map(|all| &all.addresses).map(Bdf::to_string).collect(),
            functions_total: functions.map(|all| all.total),
            physical_function: found.physical_function.map(|address| address.to_string()),
            files: found.vfio.paths().map(|path| path.display().to_string()).collect(),
            previous_driver: system.previous_driver(found.address),
            blockers: blockers
                .unwrap_or_default()
                .iter()
                .map(|(at, driver)| format!("{at} ({driver})"))
                .collect(),
        }
    }

    /// Prints one line, with the words of dpdk-devbind: `if=`, `drv=`, `*Active*`.
    fn print(&self) {
        let mut line = format!("{} '{}' [{}]", self.address, self.name, self.id);
        let mut word = |key: &str, value: &str| line.push_str(&format!(" {key}={value}"));
        if !self.interfaces.is_empty() {
            word("if", &self.interfaces.join(","));
        }
        if let Some(driver) = &self.driver {
            word("drv", driver);
        }
        if let Some(driver) = self.pmd {
            word("pmd", driver);
        }
        if let Some(group) = self.iommu_group {
            word("group", &group.to_string());
        }
        if let Some(node) = self.numa_node {
            word("numa", &node.to_string());
        }
        if let Some(driver) = &self.previous_driver {
            word("before", driver);
        }
        if let Some(physical) = &self.physical_function {
            word("pf", physical);
        }
        if !self.functions.is_empty() {
            word("vfs", &self.functions.join(","));
        }
        if let Some(pid) = self.opened_by {
            word("pid", &pid.to_string());
        }
        if let Some(reason) = &self.in_use {
            line.push_str(&format!(" *Active* ({reason})"));
        }
        out!("{line}");
        if !self.blockers.is_empty() {
            out!(
                "  its IOMMU group cannot be opened while a kernel driver holds {}",
                self.blockers.join(", ")
            );
        }
    }
}

impl Row {
    /// Prints all that is known, a line a thing.
    fn print_whole(&self) {
        out!("{} {} [{}]", self.address, self.name, self.id);
        let line = |what: &str, value: Option<String>| {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                out!("  {what:<12}{value}");
            }
        };
        let driver = self.driver.clone().unwrap_or_else(|| "none".into());
        let before =
            self.previous_driver.as_ref().map_or(String::new(), |before| format!(", before it {before}"));
        line("driver", Some(driver + &before));
        line("pmd", self.pmd.map(str::to_owned));
        let used = self.in_use.as_ref().map_or(String::new(), |used| format!(", in use: {used}"));
        line("interfaces", (!self.interfaces.is_empty()).then(|| self.interfaces.join(" ") + &used));
        line("opened by", self.opened_by.map(|pid| format!("process {pid}")));
        line("IOMMU group", Some(self.iommu_group.map_or("none".into(), |group| group.to_string())));
        line("blocked by", Some(self.blockers.join(", ")));
        line("NUMA node", self.numa_node.map(|node| node.to_string()));
        line("PCIe link", self.link.clone());
        line("files", Some(self.files.join(" ")));
        let functions = |total| format!("{} of {total} {}", self.functions.len(), self.functions.join(" "));
        line("VFs", self.functions_total.map(functions).map(|text| text.trim_end().to_owned()));
        line("VF of", self.physical_function.clone());
    }
}

/// Lists the machine's devices: those of interest, or all.
pub(crate) fn list(system: &System, all: bool, json: bool) -> Result<(), Fault> {
    let found = system.devices().map_err(BindError::from)?;
    let rows: Vec<Row> =
        found.iter().filter(|one| all || interesting(one)).map(|one| Row::new(system, one)).collect();
    if json {
        return output::json(&rows);
    }
    rows.iter().for_each(Row::print_whole);
    if rows.is_empty() {
        out!("no network devices on PCI, and none that VFIO holds; --all shows the others");
    }
    Ok(())
}

/// Returns what to call a device: the name that the kit's driver has for it, or what its class says.
fn title(found: &Found) -> String {
    if let Some(driver) = drivers::of(found.ids.vendor, found.ids.device) {
        return driver.model.to_owned();
    }
    let name = match (found.class.base, found.class.sub) {
        (0x01, 0x08) => "NVMe controller",
        (0x01, _) => "Mass storage controller",
        (0x02, 0x00) => "Ethernet controller",
        (0x02, _) => "Network controller",
        (0x03, _) => "Display controller",
        (0x04, _) => "Multimedia controller",
        (0x05, _) => "Memory controller",
        (0x06, 0x00) => "Host bridge",
        (0x06, 0x01) => "ISA bridge",
        (0x06, 0x04) => "PCI bridge",
        (0x06, _) => "Bridge",
        (0x07, _) => "Communication controller",
        (0x08, 0x06) => "IOMMU",
        (0x08, _) => "System peripheral",
        (0x0b, _) => "Processor",
        (0x0c, 0x03) => "USB controller",
        (0x0c, 0x05) => "SMBus",
        (0x0c, _) => "Serial bus controller",
        (0x10, _) => "Encryption controller",
        (0x11, _) => "Signal processing controller",
        (0x12, _) => "Processing accelerator",
        _ => "Device",
    };
    name.to_owned()
}

/// Shows devices, all of interest if none are named.
pub(super) fn run(system: &System, devices: &[Bdf], json: bool) -> Result<(), Fault> {
    let all = match devices {
        [] => {
            let all = system.devices().map_err(BindError::from)?;
            all.into_iter().filter(interesting).collect::<Vec<_>>()
        }
        some => some
            .iter()
            .map(|&address| system.device(address))
            .collect::<Result<_, _>>()
            .map_err(BindError::from)?,
    };
    let rows = |holder: &[Holder]| -> Vec<Row> {
        all.iter().filter(|one| holder.contains(&one.holder())).map(|one| Row::new(system, one)).collect()
    };
    if json {
        let rows: Vec<Row> = all.iter().map(|one| Row::new(system, one)).collect();
        return output::json(&rows);
    }
    let sections = [
        ("Devices given to user space", &[Holder::Vfio, Holder::Uio][..]),
        ("Devices used by the kernel", &[Holder::Kernel]),
        ("Devices without a driver", &[Holder::Nobody]),
    ];
    let mut first = true;
    for (heading, holders) in sections {
        let rows = rows(holders);
        if rows.is_empty() {
            continue;
        }
        out!("{}{heading}\n{}", if first { "" } else { "\n" }, "=".repeat(heading.len()));
        rows.iter().for_each(Row::print);
        first = false;
    }
    if first {
        out!("no network devices, and none that VFIO holds");
    }
    Ok(())
}

/// Returns whether somebody who binds would look for it.
fn interesting(found: &Found) -> bool {
    let known = drivers::of(found.ids.vendor, found.ids.device).is_some();
    found.is_network() || known || matches!(found.holder(), Holder::Vfio | Holder::Uio)
}
