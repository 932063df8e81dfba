//! The `pmd` tool from the outside: what it does to packets, what it says, how it ends. No test needs root.

mod ends;
mod frames;
mod modes;
mod pcap;
mod ports;
mod shows;
mod support;
mod traffic;
mod wrong;
