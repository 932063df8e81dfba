//! What can go wrong on a wire, as one line that names the cause and the way out.
//!
//! Key types: [`LinkError`], [`Errno`].
//! Neighbours: returned by [`Link`](crate::Link) and by whatever opens a link; capture files have their own
//! [`PcapError`], which it carries.

use core::fmt;

use thiserror::Error;

use crate::text::Word;
use crate::{GeneratorError, PcapError};

/// An error number of the operating system, shown with its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Errno(pub i32);

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&std::io::Error::from_raw_os_error(self.0), f)
    }
}

impl From<&std::io::Error> for Errno {
    /// 0 ("Success") never occurs: an error that the standard library made itself counts as EIO.
    fn from(error: &std::io::Error) -> Errno {
        Errno(error.raw_os_error().unwrap_or(libc::EIO))
    }
}

/// Why a link could not be opened, or stopped working.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LinkError {
    /// The name cannot be the name of a network interface.
    #[error(
        "\"{name}\" cannot name a network interface: use 1 to 15 bytes without '/', ':', '%' or white space"
    )]
    BadInterfaceName {
        /// The name given.
        name: Word,
    },
    /// Creating a TAP interface was refused.
    #[error(
        "no permission for TAP {name}: run as root, give the binary cap_net_admin (setcap cap_net_admin+ep), or \
         let root make it once (ip tuntap add {name} mode tap user $USER)"
    )]
    TapNotPermitted {
        /// The interface.
        name: Word,
    },
    /// The kernel has no TUN/TAP driver here.
    #[error(
        "there is no /dev/net/tun: load the driver (modprobe tun), or pass the device into the container"
    )]
    NoTunDriver,
    /// Another process holds the TAP interface.
    #[error("TAP {name} is held by another process: stop it, or choose another name")]
    TapInUse {
        /// The interface.
        name: Word,
    },
    /// The interface is there, but it is no TAP interface.
    #[error(
        "{name} exists and is not a TAP interface: choose another name, or use the link \"iface,name={name}\""
    )]
    NotTap {
        /// The interface.
        name: Word,
    },
    /// Raw packet sockets are refused.
    #[error(
        "no permission for raw packets on {name}: run as root, or give the binary cap_net_raw (setcap cap_net_raw+ep)"
    )]
    PacketSocketNotPermitted {
        /// The interface.
        name: Word,
    },
    /// There is no such interface.
    #[error("there is no interface {name} in this network namespace: \"ip link\" lists those there are")]
    NoInterface {
        /// The interface.
        name: Word,
    },
    /// The interface does not carry Ethernet.
    #[error("{name} does not carry Ethernet frames: choose an interface that has a MAC address")]
    NotEthernet {
        /// The interface.
        name: Word,
    },
    /// The interface was removed while it was in use.
    #[error("interface {name} was removed: open the link again when it is back")]
    InterfaceGone {
        /// The interface.
        name: Word,
    },
    /// A system call failed for a reason that has no variant of its own.
    #[error("{call} on {name} failed: {errno}")]
    Os {
        /// The operation.
        call: &'static str,
        /// The interface.
        name: Word,
        /// The kernel's answer.
        errno: Errno,
    },
    /// A capture file.
    #[error(transparent)]
    Pcap(#[from] PcapError),
    /// A generator.
    #[error(transparent)]
    Generator(#[from] GeneratorError),
}
