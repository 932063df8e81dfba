//! Which NUMA node pages come from. Two system calls that rustix does not have.

use core::ffi::{c_int, c_ulong, c_void};
use core::ptr::{self, NonNull};

use rustix::io::Errno;

/// `linux/mempolicy.h`: take pages from these nodes and no others.
const MPOL_BIND: c_ulong = 2;
/// Answer with a node number,
const MPOL_F_NODE: c_ulong = 1;
/// that of the page at the given address.
const MPOL_F_ADDR: c_ulong = 2;

const WORD: usize = c_ulong::BITS as usize;
/// The kernel's largest node number is 1,023.
const WORDS: usize = 1024 / WORD;

/// Makes pages of a mapping that are not there yet come from `node`. EINVAL if there is no such node.
pub(super) fn bind(at: NonNull<u8>, len: usize, node: u32) -> Result<(), Errno> {
    let mut nodes: [c_ulong; WORDS] = [0; WORDS];
    let word = nodes.get_mut(node as usize / WORD).ok_or(Errno::INVAL)?;
    *word = 1 << (node as usize % WORD);
    // The kernel takes the number of bits plus one.
    let bits = (WORDS * WORD + 1) as c_ulong;
    let flags: c_ulong = 0;
    // SAFETY: 1. the mask is live and `bits - 1` bits long; 2. a policy changes no content.
    let result =
        unsafe { libc::syscall(libc::SYS_mbind, at.as_ptr(), len, MPOL_BIND, nodes.as_ptr(), bits, flags) };
    if result == 0 { Ok(()) } else { Err(last_error()) }
}

/// Returns the node of the page at `at`, which is there; `None` where the kernel does not say.
pub(super) fn node_of(at: NonNull<u8>) -> Option<u32> {
    let mut node: c_int = -1;
    let (mask, bits): (*mut c_void, c_ulong) = (ptr::null_mut(), 0);
    let flags = MPOL_F_NODE | MPOL_F_ADDR;
    // SAFETY: `node` is live and writable; no mask is asked for; `at` is only looked up.
    let result =
        unsafe { libc::syscall(libc::SYS_get_mempolicy, &raw mut node, mask, bits, at.as_ptr(), flags) };
    if result == 0 { u32::try_from(node).ok() } else { None }
}

fn last_error() -> Errno {
    let error = std::io::Error::last_os_error().raw_os_error();
    error.map_or(Errno::INVAL, Errno::from_raw_os_error)
}
