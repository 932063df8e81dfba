//! Descriptor rings from the outside: a driver's rings on one side, and a NIC that the test plays on the other, with
//! nothing but bus addresses and doorbells between them.
#![cfg(not(loom))]

mod inplace;
mod inplace_faults;
mod kit;
mod memory;
mod random;
mod rx;
mod rx_coalesced;
mod rx_faults;
mod tx;
mod tx_faults;
mod tx_offloads;
