//! How a device is opened: which interface, which files, which IOMMU context.
//!
//! [`open`] finds the device, chooses, and returns its file with a [`Membership`]: what ties it to its IOMMU context for
//! as long as it is open. Groups that this process has open are known to it, because a group has one context.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustix::io::Errno;

use super::error::{Label, VfioError};
use super::iommu::{self, Iommu};
use super::sysfs::{Group, Node, Root};
use super::{Api, Options, sys};

/// The groups that this process has open.
static GROUPS: Mutex<Vec<Weak<Membership>>> = Mutex::new(Vec::new());

/// A group's place in an IOMMU context. The last device of the group to be closed ends it.
pub(super) struct Membership {
    group: u32,
    /// The group's file, unless its devices are opened one by one.
    file: Option<OwnedFd>,
    iommu: Iommu,
}

impl Membership {
    #[cfg(test)]
    pub(super) fn without_group(iommu: Iommu) -> Membership {
        Membership { group: 0, file: None, iommu }
    }

    pub(super) fn iommu(&self) -> &Iommu {
        &self.iommu
    }

    pub(super) fn group_file(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_ref().map(AsFd::as_fd)
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            // Closing the file does the same; this does it before anybody else can see the group as busy.
            let _ = sys::unset_container(file.as_fd());
        }
    }
}

/// An opened device.
pub(super) struct Opened {
    pub(super) name: String,
    pub(super) file: OwnedFd,
    pub(super) membership: Arc<Membership>,
    /// Its number in the iommufd.
    pub(super) number: Option<u32>,
}

/// Opens a device by its address.
pub(super) fn open(address: &str, options: &Options) -> Result<Opened, VfioError> {
    let root = Root::new();
    let node = root.find(address)?;
    let device = Label::new(&node.name);
    let group = match node.group {
        // vfio-pci does not even bind a device that is in no group.
        None if options.api != Api::NoIommu => return Err(VfioError::NoIommu { device }),
        None if !root.no_iommu_mode() => return Err(VfioError::NoIommuModeOff),
        group => {
            node.check_driver()?;
            group.ok_or(VfioError::NoIommu { device })?
        }
    };
    let wants = match (options.api, &options.iommu) {
        (Api::Auto, Some(iommu)) => iommu.api(),
        (wants, _) => wants,
    };
    match wants {
        Api::NoIommu if !group.no_iommu => return Err(VfioError::HasIommu { device }),
        Api::NoIommu => {}
        _ if group.no_iommu => return Err(VfioError::NoIommuNotAsked { device }),
        _ => {}
    }
    // Held until the device is open, so that two threads do not open one group at once.
    let mut groups = GROUPS.lock().unwrap_or_else(PoisonError::into_inner);
    groups.retain(|weak| weak.strong_count() > 0);
    let known = groups.iter().filter_map(Weak::upgrade).find(|known| known.group == group.number);
    if let (Some(known), Some(iommu)) = (&known, &options.iommu)
        && !known.iommu.is_same(iommu)
    {
        return Err(VfioError::OtherContext { group: group.number });
    }
    let given = known.as_ref().map(|known| &known.iommu).or(options.iommu.as_ref());
    let wants = match (wants, given) {
        (Api::Auto, Some(iommu)) => iommu.api(),
        (wants, Some(iommu)) if iommu.api() != wants => {
            return Err(VfioError::ContextKind { has: iommu.api(), wants });
        }
        (wants, _) => wants,
    };
    let attempt =
        Attempt { root: &root, node: &node, group, known: known.clone(), given: given.cloned(), options };
    let opened = match wants {
        Api::Iommufd => attempt.cdev(),
        Api::Type1 | Api::NoIommu => attempt.by_group(wants),
        Api::Auto => match attempt.cdev() {
            // Kernels before 2025 take a token by the group only.
            Err(
                first @ (VfioError::TokenNotTaken { .. }
                | VfioError::Missing { .. }
                | VfioError::Permission { .. }
                | VfioError::Kernel { .. }),
            ) => {
                log::debug!("{}: not by iommufd ({first}), trying its group", node.name);
                match attempt.by_group(Api::Type1) {
                    // What is missing as well says nothing new.
                    Err(VfioError::Missing { .. } | VfioError::Permission { .. }) => Err(first),
                    other => other,
                }
            }
            other => other,
        },
    }?;
    groups.push(Arc::downgrade(&opened.membership));
    Ok(opened)
}

struct Attempt<'a> {
    root: &'a Root,
    node: &'a Node,
    group: Group,
    known: Option<Arc<Membership>>,
    given: Option<Iommu>,
    options: &'a Options,
}

impl Attempt<'_> {
    fn device(&self) -> Label {
        Label::new(&self.node.name)
    }

    fn context(&self, api: Api) -> Result<Iommu, VfioError> {
        self.given.clone().map_or_else(|| Iommu::new(api), Ok)
    }

    fn membership(&self, iommu: Iommu, file: Option<OwnedFd>) -> Arc<Membership> {
        Arc::new(Membership { group: self.group.number, file, iommu })
    }

    /// Opens the device's own file and binds it to an iommufd.
    fn cdev(&self) -> Result<Opened, VfioError> {
        let name = self.node.cdev.as_ref().ok_or(VfioError::Kernel { what: "device files of VFIO (6.6)" })?;
        let path = format!("/dev/vfio/devices/{name}");
        if !Path::new("/dev/vfio/devices").exists() {
            return Err(VfioError::Kernel { what: "device files of VFIO (CONFIG_VFIO_DEVICE_CDEV, 6.6)" });
        }
        let iommu = self.context(Api::Iommufd)?;
        let file = iommu::open(&path, "bind the device to vfio-pci")?;
        let token = self.options.token.as_ref().map(super::Token::bytes);
        let number = sys::bind_iommufd(file.as_fd(), iommu.file(), token)
            .map_err(|error| self.bind_error(&path, error))?;
        if let Some(ioas) = iommu.ioas() {
            sys::attach(file.as_fd(), ioas).map_err(|error| match error {
                Errno::ADDRINUSE => VfioError::Reserved { device: self.device() },
                Errno::INVAL => VfioError::Incompatible { device: self.device() },
                Errno::PERM => VfioError::UnsafeInterrupts { device: self.device() },
                error => VfioError::system("attach the device to the IOMMU", &self.node.name, error),
            })?;
        }
        let membership = self.known.clone().unwrap_or_else(|| self.membership(iommu, None));
        Ok(Opened { name: self.node.name.clone(), file, membership, number: Some(number) })
    }

    fn bind_error(&self, path: &str, error: Errno) -> VfioError {
        let (device, file) = (self.device(), Label::new(path));
        let others = self.root.in_the_way(self.group.number);
        match error {
            Errno::ACCESS => VfioError::Token { device },
            Errno::INVAL if self.options.token.is_some() => VfioError::TokenNotTaken { device },
            // The group is open by its own file, or the device by another process.
            Errno::BUSY | Errno::INVAL => VfioError::Busy { file },
            Errno::PERM if others.count() > 0 => {
                VfioError::GroupNotViable { group: self.group.number, others }
            }
            Errno::PERM if self.root.group_size(self.group.number) > 1 => VfioError::Busy { file },
            Errno::PERM => VfioError::UnsafeInterrupts { device },
            Errno::NODEV => VfioError::NoIommu { device },
            Errno::NOTTY => VfioError::Kernel { what: "binding of devices to an iommufd (6.6)" },
            error => VfioError::system("bind the device to the iommufd", path, error),
        }
    }

    /// Opens the device through the file of its group, in a container.
    fn by_group(&self, api: Api) -> Result<Opened, VfioError> {
        let membership = match &self.known {
            Some(known) => known.clone(),
            None => self.open_group(api)?,
        };
        let name = match &self.options.token {
            Some(token) => format!("{} vf_token={token}", self.node.name),
            None => self.node.name.clone(),
        };
        // A name of sysfs holds no 0.
        let name = CString::new(name).map_err(|_| VfioError::NoDevice { device: self.device() })?;
        let group = membership.group_file().ok_or(VfioError::OtherContext { group: self.group.number })?;
        let file = sys::group_device(group, &name).map_err(|error| match error {
            Errno::ACCESS => VfioError::Token { device: self.device() },
            Errno::INVAL if self.options.token.is_some() => {
                VfioError::TokenNotTaken { device: self.device() }
            }
            Errno::NODEV => VfioError::Unbound { device: self.device() },
            Errno::BUSY => VfioError::Busy { file: self.device() },
            error => VfioError::system("GROUP_GET_DEVICE_FD", &self.node.name, error),
        })?;
        Ok(Opened { name: self.node.name.clone(), file, membership, number: None })
    }

    fn open_group(&self, api: Api) -> Result<Arc<Membership>, VfioError> {
        let iommu = self.context(api)?;
        let path = format!("/dev/vfio/{}", self.group.file());
        let file = iommu::open(&path, "bind the device to vfio-pci")?;
        let system = |what, error| VfioError::system(what, &path, error);
        let viable = sys::group_is_viable(file.as_fd());
        if !viable.map_err(|error| system("GROUP_GET_STATUS", error))? {
            let others = self.root.in_the_way(self.group.number);
            return Err(VfioError::GroupNotViable { group: self.group.number, others });
        }
        let refused = |what, error| match error {
            Errno::PERM => VfioError::UnsafeInterrupts { device: self.device() },
            Errno::INVAL => VfioError::Incompatible { device: self.device() },
            Errno::BUSY => VfioError::Busy { file: Label::new(&path) },
            error => system(what, error),
        };
        sys::set_container(file.as_fd(), iommu.file())
            .map_err(|error| refused("GROUP_SET_CONTAINER", error))?;
        if let Some(kind) = iommu.container_kind() {
            match sys::set_iommu(iommu.file(), kind) {
                // The container has its IOMMU since its first group came.
                Ok(()) | Err(Errno::INVAL) => {}
                Err(error) => return Err(refused("SET_IOMMU", error)),
            }
        }
        Ok(self.membership(iommu, Some(file)))
    }
}
