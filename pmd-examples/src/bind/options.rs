//! Options of the commands that bind.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;
use vfio_hal::pci::discovery::System;

use super::VFIO;
use crate::fault::Fault;

/// Where to look.
#[derive(Args)]
pub(crate) struct Root {
    /// Look at a copy of another machine's /sys, /proc and /dev below this folder; nothing can be changed there
    #[arg(long, value_name = "DIR")]
    sysroot: Option<PathBuf>,
}

impl Root {
    pub(crate) fn system(&self) -> System {
        System::at(self.dir())
    }

    pub(crate) fn dir(&self) -> &Path {
        self.sysroot.as_deref().unwrap_or(Path::new("/"))
    }

    /// Refuses to change a copy: nobody would carry it out.
    pub(crate) fn check(&self, only_looks: bool) -> Result<(), Fault> {
        match self.sysroot {
            Some(_) if !only_looks => Err(Fault::Usage(
                "--sysroot is a copy, where no kernel binds anything: add --dry-run to see what would be done".into(),
            )),
            _ => Ok(()),
        }
    }
}

/// Give devices to user space or to another driver, with the options of dpdk-devbind and opaevfio.
///
/// Without another word the device goes to vfio-pci. What it was like is kept in /run/pmd/bind; `pmd unbind` restores it.
#[derive(Args)]
#[command(
    after_help = "-u is dpdk-devbind's --unbind; together with -i it is opaevfio's --user, which takes a name."
)]
pub(crate) struct BindArgs {
    /// Devices: PCI addresses, paths in sysfs, or names of network interfaces
    #[arg(value_name = "DEVICE")]
    pub(super) devices: Vec<String>,
    /// Show the devices and their drivers; with another action, afterwards
    #[arg(short = 's', long)]
    pub(super) status: bool,
    /// Give them to this driver; "none" leaves them without
    #[arg(short = 'b', long, value_name = "DRIVER", group = "action")]
    bind: Option<String>,
    /// Leave them without a driver
    #[arg(short = 'u', long, group = "action")]
    unbind: bool,
    /// Give them to vfio-pci, as opaevfio says it
    #[arg(short = 'i', long, group = "action")]
    init: bool,
    /// Give them back to the driver that had them
    #[arg(short = 'r', long, group = "action")]
    release: bool,
    /// With -r, give them to this driver instead
    #[arg(short = 'd', long, value_name = "DRIVER", requires = "release")]
    driver: Option<String>,
    /// Who may open the device files in /dev/vfio: name or number
    #[arg(short = 'U', long, visible_alias = "uid", value_name = "USER")]
    pub(super) user: Option<String>,
    /// Which group may open them
    #[arg(short = 'g', short_alias = 'G', long, visible_alias = "gid", value_name = "GROUP")]
    pub(super) group: Option<String>,
    /// Have this many virtual functions; without another action, that alone
    #[arg(long, value_name = "N")]
    pub(super) vfs: Option<u16>,
    /// Do not switch on SR-IOV of vfio-pci, which --vfs needs there
    #[arg(short = 'n', long)]
    pub(super) no_sriov: bool,
    /// Where there is no IOMMU, let VFIO do without: the driver's program can then write to all memory
    #[arg(long)]
    pub(super) noiommu_mode: bool,
    #[command(flatten)]
    pub(super) change: ChangeArgs,
}

/// Give devices back to the driver that had them before `pmd bind`.
#[derive(Args)]
pub(crate) struct UnbindArgs {
    /// Devices: PCI addresses, paths in sysfs
    #[arg(value_name = "DEVICE", required = true)]
    pub(super) devices: Vec<String>,
    /// Give them to this driver instead
    #[arg(short = 'd', long, value_name = "DRIVER")]
    pub(super) driver: Option<String>,
    #[command(flatten)]
    pub(super) change: ChangeArgs,
}

/// Options of what changes who holds a device.
#[derive(Args)]
pub(crate) struct ChangeArgs {
    /// Take them though an interface is in use or virtual functions vanish
    #[arg(long)]
    pub(super) force: bool,
    /// Only say what would be done
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) root: Root,
}

/// Show devices by what holds them: user space, the kernel, nobody.
#[derive(Args)]
pub(crate) struct StatusArgs {
    /// Only these devices [default: network devices, and others that VFIO holds]
    #[arg(value_name = "DEVICE")]
    pub(super) devices: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) root: Root,
}

/// Where devices go.
pub(super) enum To<'a> {
    Driver(&'a str),
    None,
    Previous(Option<&'a str>),
    AsItIs,
}

impl BindArgs {
    pub(super) fn asks_for_status_only(&self) -> bool {
        self.status && !self.acts()
    }

    fn acts(&self) -> bool {
        self.bind.is_some() || self.unbind || self.init || self.release || self.vfs.is_some()
    }

    /// Returns where the devices go, or what is said that cannot be.
    pub(super) fn driver(&self) -> Result<To<'_>, Fault> {
        let to = match self.bind.as_deref() {
            Some("none") => To::None,
            Some(driver) => To::Driver(driver),
            None if self.unbind => To::None,
            None if self.release => To::Previous(self.driver.as_deref()),
            None if self.init || !self.acts() && !self.status => To::Driver(VFIO),
            None => To::AsItIs,
        };
        let named = self.user.is_some() || self.group.is_some() || self.noiommu_mode;
        match to {
            To::Driver(_) => Ok(to),
            _ if named => Err(Fault::Usage(
                "--user, --group and --noiommu-mode are for devices that go to vfio-pci: add -i, or leave them out".into(),
            )),
            _ => Ok(to),
        }
    }
}

/// Turns opaevfio's `-u USER` into `--user USER`, which it can only be after `-i`: alone it is dpdk-devbind's.
pub(crate) fn rewrite(mut args: Vec<OsString>) -> Vec<OsString> {
    let is = |arg: &OsString, words: &[&str]| words.iter().any(|word| arg == word);
    if args.get(1).is_some_and(|word| word == "bind") && args.iter().any(|arg| is(arg, &["-i", "--init"])) {
        args.iter_mut().filter(|arg| *arg == "-u").for_each(|arg| *arg = "--user".into());
    }
    args
}
