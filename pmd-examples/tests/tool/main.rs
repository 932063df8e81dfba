//! The `pmd` tool from the outside: what it does to packets, what it says, how it ends. No test needs root.

mod asked;
mod bind;
mod ends;
mod frames;
mod hugepages;
/// The machine that the library's tests are made with.
#[allow(dead_code, reason = "not all of it is needed here")]
#[path = "../../../vfio-hal/tests/discovery/fake.rs"]
mod machine;
mod modes;
mod pcap;
mod ports;
mod shows;
mod support;
mod traffic;
mod wrong;
