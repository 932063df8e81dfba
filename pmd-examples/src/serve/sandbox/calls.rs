//! The system calls of a serving process, and the filters made of them.
//!
//! Each call is here for a reason that its comment names. Arguments are looked at where a call can do more than serving
//! needs: memory is never made executable, sockets are of the families that a link's status is asked with, `ioctl`
//! and `fcntl` have a list.

use std::collections::BTreeMap;

use pmd_links::Kind;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

/// Calls with the rules of which one must hold; none means any arguments.
type Calls = BTreeMap<i64, Vec<SeccompRule>>;

/// Always needed.
const ALWAYS: &[i64] = &[
    // The client: it is let in, spoken with, and its descriptors come and go.
    libc::SYS_accept4,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_recvfrom,
    libc::SYS_sendto,
    libc::SYS_shutdown,
    libc::SYS_close,
    libc::SYS_ppoll,
    // The second socket of a client, and eventfds to wait for.
    libc::SYS_socketpair,
    libc::SYS_eventfd2,
    // Interrupts and captures are written, doorbells' eventfds read; client memory without a mapping is a file.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_preadv2,
    libc::SYS_pwrite64,
    libc::SYS_lseek,
    // How large the client's file is; whose inode the socket's file has at the end.
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_unlinkat,
    // Memory of the heap and of stacks that end.
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_brk,
    libc::SYS_madvise,
    // Locks, waiting, time.
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_clock_gettime,
    libc::SYS_restart_syscall,
    libc::SYS_membarrier,
    // The key of a hash table.
    libc::SYS_getrandom,
    // Ctrl-C, and the end.
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigaction,
    libc::SYS_sigaltstack,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// The older names that only x86-64 has.
#[cfg(target_arch = "x86_64")]
const OLDER: &[i64] = &[libc::SYS_poll, libc::SYS_stat, libc::SYS_lstat, libc::SYS_unlink];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[i64] = &[];

/// What nobody calls here but somebody who broke in.
const FATAL: &[i64] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_bpf,
    libc::SYS_mount,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_io_uring_setup,
];

fn argument(index: u8, operator: SeccompCmpOp, value: u64) -> SeccompCondition {
    // An index below 6 is an argument.
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, value).expect("an argument that there is")
}

fn rule(conditions: Vec<SeccompCondition>) -> SeccompRule {
    SeccompRule::new(conditions).expect("a rule with a condition")
}

/// One rule for each value that an argument may have.
fn one_of(index: u8, values: &[u64]) -> Vec<SeccompRule> {
    values.iter().map(|value| rule(vec![argument(index, SeccompCmpOp::Eq, *value)])).collect()
}

/// The calls that serving takes, with links of these kinds, and doorbells in memory or not.
pub(super) fn allowed<'k>(links: impl IntoIterator<Item = &'k Kind>, mapped_doorbells: bool) -> Calls {
    let mut calls: Calls = ALWAYS.iter().chain(OLDER).map(|call| (*call, Vec::new())).collect();
    let not_executable = vec![rule(vec![argument(2, SeccompCmpOp::MaskedEq(libc::PROT_EXEC as u64), 0)])];
    calls.insert(libc::SYS_mmap, not_executable.clone());
    calls.insert(libc::SYS_mprotect, not_executable);
    let mut flags = vec![
        libc::F_GETFD,
        libc::F_SETFD,
        libc::F_GETFL,
        libc::F_SETFL,
        libc::F_DUPFD_CLOEXEC,
        libc::F_GET_SEALS,
    ];
    // Each client gets memory of its own.
    if mapped_doorbells {
        flags.push(libc::F_ADD_SEALS);
        for call in [libc::SYS_memfd_create, libc::SYS_ftruncate] {
            calls.insert(call, Vec::new());
        }
    }
    calls.insert(libc::SYS_fcntl, one_of(1, &flags.into_iter().map(|flag| flag as u64).collect::<Vec<_>>()));
    let mut requests = vec![libc::FIONBIO];
    for link in links {
        match link {
            // An interface tells its name, and its flags are asked over a datagram socket by that.
            Kind::Tap(_) => {
                requests.extend([libc::SIOCGIFFLAGS, libc::TUNGETIFF]);
                sockets(&mut calls, libc::AF_INET, libc::SOCK_DGRAM);
            }
            // The list of interfaces comes over a netlink socket, and a packet socket tells what it is bound to.
            Kind::Interface(_) => {
                sockets(&mut calls, libc::AF_NETLINK, libc::SOCK_RAW);
                for call in [libc::SYS_bind, libc::SYS_getsockname] {
                    calls.insert(call, Vec::new());
                }
            }
            _ => {}
        }
    }
    calls.insert(libc::SYS_ioctl, one_of(1, &requests));
    calls
}

/// Adds sockets of one family and type.
fn sockets(calls: &mut Calls, family: i32, kind: i32) {
    const FLAGS: u64 = !((libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK) as u64) & 0xFFFF_FFFF;
    calls.entry(libc::SYS_socket).or_default().push(rule(vec![
        argument(0, SeccompCmpOp::Eq, family as u64),
        argument(1, SeccompCmpOp::MaskedEq(FLAGS), kind as u64),
    ]));
}

/// The calls that end the process.
pub(super) fn fatal() -> Calls {
    FATAL.iter().map(|call| (*call, Vec::new())).collect()
}

/// A filter that lets `calls` through and refuses all others.
pub(super) fn refusing(calls: Calls) -> Result<BpfProgram, BackendError> {
    compile(calls, SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow)
}

/// A filter that ends the process at `calls`.
pub(super) fn ending(calls: Calls) -> Result<BpfProgram, BackendError> {
    compile(calls, SeccompAction::Allow, SeccompAction::KillProcess)
}

fn compile(calls: Calls, others: SeccompAction, these: SeccompAction) -> Result<BpfProgram, BackendError> {
    SeccompFilter::new(calls, others, these, std::env::consts::ARCH.try_into()?)?.try_into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_call_is_both_needed_and_fatal() {
        let kinds = [Kind::Tap(Default::default()), Kind::Interface(Default::default())];
        let allowed = allowed(&kinds, true);
        assert!(fatal().keys().all(|call| !allowed.contains_key(call)));
    }

    #[test]
    fn only_links_that_ask_with_sockets_may_make_them() {
        assert!(!allowed([], true).contains_key(&libc::SYS_socket));
        assert!(!allowed(&[Kind::Loopback { depth: 4 }], true).contains_key(&libc::SYS_socket));
        assert!(allowed(&[Kind::Tap(Default::default())], false).contains_key(&libc::SYS_socket));
    }

    #[test]
    fn the_filters_compile() {
        assert!(refusing(allowed([], false)).is_ok() && ending(fatal()).is_ok());
    }
}
