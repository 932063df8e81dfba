//! Users and groups by name or number.

use nix::unistd::{Group, User};
use vfio_hal::pci::discovery::Owner;

use crate::fault::Fault;

/// Returns who is meant.
pub(super) fn of(user: Option<&str>, group: Option<&str>) -> Result<Owner, Fault> {
    let user = user.map(|name| {
        id("user", name, |name| User::from_name(name).ok().flatten().map(|user| user.uid.as_raw()))
    });
    let group = group.map(|name| {
        id("group", name, |name| Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw()))
    });
    Ok(Owner { user: user.transpose()?, group: group.transpose()? })
}

fn id(what: &str, name: &str, find: impl FnOnce(&str) -> Option<u32>) -> Result<u32, Fault> {
    // The highest number means "no change" to the kernel.
    let number = name.parse().ok().filter(|&number| number != u32::MAX);
    number.or_else(|| find(name)).ok_or_else(|| {
        Fault::Usage(format!("there is no {what} {name}: name one of this machine, or give its number"))
    })
}
