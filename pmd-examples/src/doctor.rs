//! `pmd doctor`: what this machine offers to a user-space driver, and how to get what it lacks.

use std::fs;
use std::path::Path;

use clap::Args;
use serde::Serialize;
use vfio_hal::dma::memory::{Memlock, hugepage_pools, hugetlbfs_mounts};
use vfio_hal::pci::discovery::{Holder, System};

use crate::fault::Fault;
use crate::port::drivers;
use crate::{out, output};

/// Check what this machine offers.
#[derive(Args)]
pub(crate) struct DoctorArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// How good one thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Grade {
    Good,
    /// It works, slower or only with models.
    Note,
}

#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    grade: Grade,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<&'static str>,
}

impl Check {
    fn new(name: &'static str, good: bool, found: String, advice: &'static str) -> Check {
        let (grade, advice) = if good { (Grade::Good, None) } else { (Grade::Note, Some(advice)) };
        Check { name, grade, found, advice }
    }
}

/// Runs the command.
pub(crate) fn run(args: &DoctorArgs) -> Result<(), Fault> {
    let checks = [iommu(), vfio(), devices(), hugepages(), memlock(), isolated(), governor(), tun()];
    if args.json {
        return output::json(&checks);
    }
    for check in &checks {
        let mark = if check.grade == Grade::Good { "good" } else { "note" };
        out!("{mark}  {:<14} {}", check.name, check.found);
        if let Some(advice) = check.advice {
            out!("      {:<14} -> {advice}", "");
        }
    }
    out!("\nDevice models need none of this: `pmd fwd` runs as it is.");
    Ok(())
}

fn entries(path: &str) -> usize {
    fs::read_dir(path).map_or(0, Iterator::count)
}

fn iommu() -> Check {
    let groups = entries("/sys/kernel/iommu_groups");
    let advice = "switch on VT-d or AMD-Vi in the firmware, and boot with intel_iommu=on or amd_iommu=on";
    let without = System::new().no_iommu_mode() == Some(true);
    let found = match (groups, without) {
        (0, true) => "none; VFIO may do without (no-IOMMU mode is on)".to_owned(),
        _ => format!("{groups} groups"),
    };
    Check::new("IOMMU", groups != 0, found, advice)
}

/// What there is to drive.
fn devices() -> Check {
    let all = System::new().devices().unwrap_or_default();
    let network: Vec<_> = all.iter().filter(|found| found.is_network()).collect();
    let given = network.iter().filter(|found| found.holder() == Holder::Vfio).count();
    let known =
        network.iter().filter(|found| drivers::of(found.ids.vendor, found.ids.device).is_some()).count();
    let found =
        format!("{} network devices, {known} with a driver here, {given} given to user space", network.len());
    Check::new(
        "devices",
        given != 0,
        found,
        "`pmd status` lists them, `pmd bind BDF` gives one to user space",
    )
}

fn vfio() -> Check {
    let there = Path::new("/dev/vfio/vfio").exists() || Path::new("/dev/iommu").exists();
    let found = if there { "/dev/vfio is there" } else { "no /dev/vfio" };
    Check::new("VFIO", there, found.into(), "load the driver: modprobe vfio-pci")
}

fn hugepages() -> Check {
    let pools = hugepage_pools();
    let list: Vec<String> = pools
        .iter()
        .map(|pool| format!("{} of {} pages of {} KiB free", pool.free, pool.total, pool.page >> 10))
        .collect();
    let mounts = hugetlbfs_mounts().len();
    let good = pools.iter().any(|pool| pool.free != 0);
    let list = if list.is_empty() { "none".to_owned() } else { list.join(", ") };
    let advice = "reserve some: pmd hugepages --setup 1G; without, buffers are in 4 KiB pages";
    Check::new("hugepages", good, format!("{list}; {mounts} hugetlbfs mounts"), advice)
}

fn memlock() -> Check {
    let memlock = Memlock::read();
    // Rings and buffers of two ports with the defaults.
    const NEED: u64 = 16 << 20;
    let left = memlock.left();
    let found = left.map_or("unlimited".to_owned(), |bytes| format!("{} KiB left", bytes >> 10));
    let advice = "raise it: ulimit -l unlimited, or LimitMEMLOCK= and limits.conf";
    Check::new("memlock", left.is_none_or(|left| left >= NEED), found, advice)
}

fn isolated() -> Check {
    let list = fs::read_to_string("/sys/devices/system/cpu/isolated").unwrap_or_default();
    let list = list.trim();
    let found = if list.is_empty() { "none".to_owned() } else { list.to_owned() };
    let advice = "for steady rates, boot with isolcpus= and nohz_full= for the cores you give to -l";
    Check::new("isolated CPUs", !list.is_empty(), found, advice)
}

fn governor() -> Check {
    let path = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor";
    match fs::read_to_string(path) {
        Ok(name) => {
            let name = name.trim().to_owned();
            Check::new("governor", name == "performance", name, "cpupower frequency-set -g performance")
        }
        Err(_) => Check::new("governor", true, "not scaled by this system".into(), ""),
    }
}

fn tun() -> Check {
    let there = Path::new("/dev/net/tun").exists();
    let root = rustix::process::geteuid().is_root();
    let found = match (there, root) {
        (true, true) => "TAP links work",
        (true, false) => "TAP links need root or CAP_NET_ADMIN",
        (false, _) => "no /dev/net/tun",
    };
    Check::new(
        "TAP",
        there && root,
        found.into(),
        "run as root for --vdev net_tap0, or make the TAP beforehand for your user",
    )
}
