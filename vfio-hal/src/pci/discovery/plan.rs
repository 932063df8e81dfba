//! What binding writes, step by step.
//!
//! A [`Plan`] is made by looking only; [`System::carry_out`] does what it says, checks that the kernel followed, and
//! takes everything back if it did not.

use core::fmt;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;

use super::bind::Owner;
use super::error::{Back, BindError};
use super::files::VfioFiles;
use super::name::Name;
use super::state::Before;
use super::{System, link_name};
use crate::addr::Bdf;

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// A file of the kernel is written.
    Write {
        /// The file.
        path: PathBuf,
        /// What is written.
        value: String,
        /// What that does, in a few words.
        what: &'static str,
    },
    /// What the device was like is written down.
    #[non_exhaustive]
    Remember {
        /// Where.
        path: PathBuf,
        /// The text.
        text: String,
    },
    /// What was written down is removed.
    Forget {
        /// Where.
        path: PathBuf,
    },
    /// The device must have this driver now; any, if none is named.
    Expect {
        /// The driver.
        driver: Option<String>,
    },
    /// The device files get an owner, and the mode 0660.
    Own {
        /// User and group.
        owner: Owner,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Write { path, value, what } => {
                write!(f, "{what}: write {:?} to {}", value.trim_end(), path.display())
            }
            Step::Remember { path, .. } => write!(f, "write down how it was: {}", path.display()),
            Step::Forget { path } => write!(f, "forget how it was: {}", path.display()),
            Step::Expect { driver: Some(driver) } => write!(f, "check that {driver} has it"),
            Step::Expect { driver: None } => f.write_str("check that a driver has it"),
            Step::Own { owner } => write!(f, "give the files in /dev/vfio to {owner}"),
        }
    }
}

/// What will be done to one device. Nothing is done by making it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub(super) address: Bdf,
    pub(super) steps: Vec<Step>,
    /// What takes the steps back.
    pub(super) undo: Vec<Step>,
    /// The driver that had the device.
    pub(super) had: Option<String>,
}

impl Plan {
    pub(super) fn new(address: Bdf, had: Option<String>) -> Plan {
        Plan { address, steps: Vec::new(), undo: Vec::new(), had }
    }

    /// Returns the device that the plan is for.
    pub fn address(&self) -> Bdf {
        self.address
    }

    /// Returns the steps, in their order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Returns whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

/// What came of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The device.
    pub address: Bdf,
    /// The driver that holds it now.
    pub driver: Option<String>,
    /// The files to open it by, if that is VFIO.
    pub files: VfioFiles,
    /// Devices of the same IOMMU group, with their drivers, that keep VFIO from giving it out.
    pub blockers: Vec<(Bdf, String)>,
}

impl System {
    /// Does what a plan says. If a driver does not take the device, the one that had it gets it back.
    pub fn carry_out(&self, plan: &Plan) -> Result<Carried, BindError> {
        for step in &plan.steps {
            if let Err(error) = self.step(plan, step) {
                // The failure is what is told; a step back that fails shows in what `Refused` says.
                for step in &plan.undo {
                    let _ = self.step(plan, step);
                }
                return Err(match error {
                    BindError::Refused { address, driver, .. } => {
                        BindError::Refused { address, driver, back: self.back(plan) }
                    }
                    error => error,
                });
            }
        }
        let now = self.device(plan.address)?;
        let group = now.iommu_group.filter(|_| now.vfio != VfioFiles::default());
        Ok(Carried {
            address: plan.address,
            blockers: group.map(|group| self.group_blockers(group)).unwrap_or_default(),
            driver: now.driver,
            files: now.vfio,
        })
    }

    fn back(&self, plan: &Plan) -> Back {
        let now = link_name(&self.device_dir(plan.address).join("driver"));
        match &plan.had {
            None => Back::Free,
            Some(had) if now.as_ref() == Some(had) => Back::Restored(Name::new(had)),
            Some(had) => Back::Lost(Name::new(had)),
        }
    }

    fn step(&self, plan: &Plan, step: &Step) -> Result<(), BindError> {
        let address = plan.address;
        match step {
            Step::Write { path, value, what } => match (self.write)(path, value) {
                Ok(()) => Ok(()),
                // A driver that refuses in its probe: the check behind it tells which, and what became of the device.
                Err(error)
                    if (path.ends_with("drivers_probe") || path.ends_with("bind"))
                        && error.kind() != io::ErrorKind::PermissionDenied =>
                {
                    Ok(())
                }
                Err(error) => Err(failed(what, &error)),
            },
            Step::Remember { text, .. } => self
                .remember(address, &Before::from_text(text))
                .map_err(|error| failed("how it was to /run/pmd", &error)),
            Step::Forget { .. } => {
                self.forget(address).map_err(|error| failed("how it was to /run/pmd", &error))
            }
            Step::Expect { driver } => {
                let now = link_name(&self.device_dir(address).join("driver"));
                match driver {
                    None if now.is_none() => Err(BindError::NothingToRestore { address }),
                    Some(driver) if now.as_ref() != Some(driver) => {
                        Err(BindError::Refused { address, driver: Name::new(driver), back: Back::Free })
                    }
                    _ => Ok(()),
                }
            }
            Step::Own { owner } => {
                for path in self.vfio_files(address).paths() {
                    chown(path, owner.user, owner.group)
                        .and_then(|()| std::fs::set_permissions(path, PermissionsExt::from_mode(0o660)))
                        .map_err(|error| failed("the owner of the files in /dev/vfio", &error))?;
                }
                Ok(())
            }
        }
    }
}

fn failed(what: &'static str, error: &io::Error) -> BindError {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => BindError::Permission { what },
        _ => BindError::Write { what, errno: error.raw_os_error().unwrap_or(libc::EIO) },
    }
}
