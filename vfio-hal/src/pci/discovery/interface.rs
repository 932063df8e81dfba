//! Network interfaces of a device, and what they are in use for.

use core::fmt;
use std::fs;
use std::net::Ipv6Addr;
use std::path::Path;

use super::{System, link_name, text};

/// A network interface that the kernel's driver made for a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name in this network namespace.
    pub name: String,
    /// It is switched on (`ip link set NAME up`).
    pub up: bool,
    /// It has a carrier; `None` while it is down.
    pub carrier: Option<bool>,
    /// Routes through it, those that the kernel makes for its IPv6 addresses not counted.
    pub routes: u32,
    /// Its IPv6 addresses, without link-local ones. IPv4 addresses show as routes.
    pub addresses: Vec<Ipv6Addr>,
    /// The bridge, bond or team it is a part of.
    pub master: Option<String>,
}

/// Why an interface should not lose its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InUse {
    /// Routes lead through it.
    Routes(u32),
    /// It has addresses.
    Addresses(u32),
    /// It is part of a bridge, bond or team.
    Master,
    /// It is up.
    Up,
}

impl fmt::Display for InUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InUse::Routes(1) => f.write_str("has a route"),
            InUse::Routes(count) => write!(f, "has {count} routes"),
            InUse::Addresses(1) => f.write_str("has an address"),
            InUse::Addresses(count) => write!(f, "has {count} addresses"),
            InUse::Master => f.write_str("is part of a bridge or bond"),
            InUse::Up => f.write_str("is up"),
        }
    }
}

impl Interface {
    /// Returns the strongest reason why the interface is in use, `None` if it is not.
    pub fn in_use(&self) -> Option<InUse> {
        if self.routes != 0 {
            Some(InUse::Routes(self.routes))
        } else if !self.addresses.is_empty() {
            Some(InUse::Addresses(self.addresses.len() as u32))
        } else if self.master.is_some() {
            Some(InUse::Master)
        } else {
            self.up.then_some(InUse::Up)
        }
    }

    /// Reads the interfaces of a device's folder.
    pub(super) fn of_device(system: &System, dir: &Path) -> Vec<Interface> {
        let mut names = names_in(&dir.join("net"));
        // Those of virtio hang below a bus device of their own.
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with("virtio") {
                names.extend(names_in(&entry.path().join("net")));
            }
        }
        names.sort_unstable();
        names.into_iter().map(|name| Interface::read(system, name)).collect()
    }

    fn read(system: &System, name: String) -> Interface {
        const IFF_UP: u32 = 1;
        let dir = system.path("sys/class/net").join(&name);
        let flags = text(&dir.join("flags"));
        let flags = flags.and_then(|text| u32::from_str_radix(text.trim_start_matches("0x"), 16).ok());
        let read = |file: &str| fs::read_to_string(system.path(file)).unwrap_or_default();
        Interface {
            up: flags.is_some_and(|flags| flags & IFF_UP != 0),
            carrier: text(&dir.join("carrier")).map(|carrier| carrier == "1"),
            routes: ipv4_routes(&read("proc/net/route"), &name),
            addresses: ipv6_addresses(&read("proc/net/if_inet6"), &name),
            master: link_name(&dir.join("master")),
            name,
        }
    }
}

fn names_in(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Counts the lines of `/proc/net/route` for an interface, which is the first word of each.
fn ipv4_routes(table: &str, name: &str) -> u32 {
    table.lines().skip(1).filter(|line| line.split_whitespace().next() == Some(name)).count() as u32
}

/// Reads `/proc/net/if_inet6`: address, index, prefix length, scope, flags, name. Link-local addresses (scope 20h) come by
/// themselves and say nothing.
fn ipv6_addresses(table: &str, name: &str) -> Vec<Ipv6Addr> {
    let lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines
        .filter_map(|words| match words[..] {
            [address, _, _, scope, _, of] if of == name && scope != "20" => {
                u128::from_str_radix(address, 16).ok().map(Ipv6Addr::from)
            }
            _ => None,
        })
        .collect()
}
