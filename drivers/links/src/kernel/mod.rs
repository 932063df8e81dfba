//! Interfaces of the kernel as wires.
//!
//! What it does: a TAP interface that is made for the model, or any interface that is there.
//! Key types: [`Tap`], [`PacketSocket`].
//! Neighbours: behind [`Link`](crate::Link) like all others. System calls go through crates that wrap them safely
//! (tun-rs for the TAP's ioctls, nix for sockets), as this crate has no unsafe code.

mod backoff;
mod packet_socket;
mod segment;
mod tap;

pub use packet_socket::{PacketSocket, PacketSocketConfig};
pub use tap::{Tap, TapConfig};

use crate::LinkError;
use crate::text::Word;

/// Room for the largest frame of the kernel: an IP packet of 64 KiB, behind addresses and two VLAN tags.
const LARGEST_FRAME: usize = 65_536 + 22;

/// What the kernel accepts as the name of an interface (`dev_valid_name`), without '%', which asks for a number.
fn check_name(name: &str) -> Result<Word, LinkError> {
    let text = Word::head(name);
    let usable = |c: char| !c.is_whitespace() && !c.is_control() && !['/', ':', '%'].contains(&c);
    if (1..=15).contains(&name.len()) && ![".", ".."].contains(&name) && name.chars().all(usable) {
        Ok(text)
    } else {
        Err(LinkError::BadInterfaceName { name: text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_the_kernel_refuses_are_refused_with_a_sentence() {
        for good in ["eth0", "a", "veth-1.100", "exactly15bytes_", "é"] {
            assert!(check_name(good).is_ok(), "{good:?}");
        }
        for bad in
            ["", ".", "..", "a/b", "a b", "tap%d", "eth0:1", "a\nb", "a\0b", "sixteen-bytes-ab", "ééééééééé"]
        {
            assert!(matches!(check_name(bad), Err(LinkError::BadInterfaceName { .. })), "{bad:?}");
        }
    }
}
