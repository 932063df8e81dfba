//! What a device was like before it was given away, kept until it goes back.
//!
//! A small file for each device below `/run/pmd/bind`, which a restart of the machine forgets together with the
//! binding itself.

use std::path::PathBuf;
use std::{fs, io};

use super::System;
use crate::addr::Bdf;

/// How a device was before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Before {
    /// The driver that held it.
    pub(super) driver: Option<String>,
    /// The only driver that was allowed.
    pub(super) driver_override: Option<String>,
    /// VFIO without an IOMMU was switched on for this device.
    pub(super) no_iommu: bool,
    /// SR-IOV of vfio-pci was switched on for this device.
    pub(super) sriov: bool,
}

impl Before {
    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        let mut line = |key: &str, value: &str| text.push_str(&format!("{key}={value}\n"));
        line("driver", self.driver.as_deref().unwrap_or_default());
        line("driver_override", self.driver_override.as_deref().unwrap_or_default());
        line("no_iommu", if self.no_iommu { "1" } else { "0" });
        line("sriov", if self.sriov { "1" } else { "0" });
        text
    }

    pub(super) fn from_text(text: &str) -> Before {
        let value = |key: &str| {
            let lines = text.lines().filter_map(|line| line.split_once('='));
            lines
                .filter(|(name, value)| *name == key && !value.is_empty())
                .map(|(_, value)| value.to_owned())
                .next_back()
        };
        let set = |key: &str| value(key).is_some_and(|value| value == "1");
        // A name with a slash would be a path: nobody wrote that.
        let name = |key: &str| value(key).filter(|name| !name.contains('/'));
        Before {
            driver: name("driver"),
            driver_override: name("driver_override"),
            no_iommu: set("no_iommu"),
            sriov: set("sriov"),
        }
    }
}

impl System {
    pub(super) fn state_path(&self, address: Bdf) -> PathBuf {
        self.path("run/pmd/bind").join(address.to_string())
    }

    /// Returns what was written down of a device; `None` if nothing was.
    pub(super) fn before(&self, address: Bdf) -> Option<Before> {
        fs::read_to_string(self.state_path(address)).ok().map(|text| Before::from_text(&text))
    }

    /// Returns the driver that held a device before it was given away, where that is known.
    pub fn previous_driver(&self, address: Bdf) -> Option<String> {
        self.before(address)?.driver
    }

    pub(super) fn remember(&self, address: Bdf, before: &Before) -> io::Result<()> {
        let path = self.state_path(address);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, before.to_text())
    }

    pub(super) fn forget(&self, address: Bdf) -> io::Result<()> {
        match fs::remove_file(self.state_path(address)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for before in [
            Before::default(),
            Before { driver: Some("igb".into()), no_iommu: true, ..Before::default() },
            Before { driver_override: Some("a=b".into()), sriov: true, ..Before::default() },
        ] {
            assert_eq!(Before::from_text(&before.to_text()), before);
        }
    }

    #[test]
    fn a_strange_file_harms_nothing() {
        for text in ["", "driver", "=\n=\n", "driver=../../x\n", "\0\n", "no_iommu=yes"] {
            assert_eq!(Before::from_text(text), Before::default(), "{text:?}");
        }
    }
}
