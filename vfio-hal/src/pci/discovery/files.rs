//! The files through which a program opens a device that VFIO holds, and who has them open.

use std::fs;
use std::path::{Path, PathBuf};

use super::System;
use crate::addr::Bdf;

/// The files of a device below `/dev`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VfioFiles {
    /// The file of its IOMMU group, `/dev/vfio/7` or `/dev/vfio/noiommu-0`.
    pub group: Option<PathBuf>,
    /// Its own character device, `/dev/vfio/devices/vfio0`, of kernels from 6.6 on.
    pub cdev: Option<PathBuf>,
}

impl VfioFiles {
    /// Returns the files that are there.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        [&self.group, &self.cdev].into_iter().flatten().map(PathBuf::as_path)
    }
}

impl System {
    /// Returns the files of the device at `address`; none while VFIO does not hold it.
    pub fn vfio_files(&self, address: Bdf) -> VfioFiles {
        let dir = self.device_dir(address);
        let group = fs::read_link(dir.join("iommu_group")).ok();
        let group =
            group.and_then(|path| path.file_name().map(std::ffi::OsStr::to_owned)).and_then(|number| {
                let dev = self.path("dev/vfio");
                let noiommu = dev.join(format!("noiommu-{}", number.to_string_lossy()));
                [dev.join(&number), noiommu].into_iter().find(|path| path.exists())
            });
        let entries = fs::read_dir(dir.join("vfio-dev")).into_iter().flatten().flatten();
        let cdev = entries.map(|entry| self.path("dev/vfio/devices").join(entry.file_name()));
        VfioFiles { group, cdev: cdev.into_iter().find(|path| path.exists()) }
    }

    /// Returns the processes that have one of `files` open, as far as this one may look: root sees all.
    pub fn users_of(&self, files: &VfioFiles) -> Vec<u32> {
        let real: Vec<PathBuf> = files.paths().filter_map(|path| fs::canonicalize(path).ok()).collect();
        let mut users = Vec::new();
        if real.is_empty() {
            return users;
        }
        for process in fs::read_dir(self.path("proc")).into_iter().flatten().flatten() {
            let Some(id) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            let open = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
            if open.filter_map(|fd| fs::read_link(fd.path()).ok()).any(|target| real.contains(&target)) {
                users.push(id);
            }
        }
        users.sort_unstable();
        users
    }
}
