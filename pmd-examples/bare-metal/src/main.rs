//! The igb driver without an operating system, in QEMU: `scripts/bare-metal` builds and boots it.
//!
//! The program finds the NICs that the driver knows on PCI and does what the command line says: [`ping`] answers ARP and
//! ping until somebody tells it to end; [`check`] sends from one NIC to another and looks at everything that the driver
//! can do. It speaks on the serial port, in lines that start with `ok` or `not ok`, and ends through isa-debug-exit.
//!
//! Read `boot.rs` and `machine.rs` for what a platform of one's own consists of: a pointer to registers, addresses of
//! memory, a clock. There is no `unsafe` elsewhere.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

#[allow(unsafe_code)]
mod boot;
mod check;
#[allow(unsafe_code)]
mod machine;
mod net;
mod ping;

use alloc::sync::Arc;
use alloc::vec::Vec;

use machine::{Hpet, Nic, Serial};
use pmd_igb::Probed;
use vfio_hal::pmd::PortError;
use vfio_hal::{Clock, Device};

/// Does what `command` says, and ends.
fn run(command: &str) -> ! {
    Serial::open();
    // A logger is set once, here.
    let _ = log::set_logger(&Serial).map(|()| log::set_max_level(log::LevelFilter::Info));
    let result = start(command);
    if let Err(error) = &result {
        say!("not ok {command}: {error}");
    }
    machine::exit(if result.is_ok() { machine::PASSED } else { machine::FAILED })
}

fn start(command: &str) -> Result<(), PortError> {
    let clock: Arc<dyn Clock> = Arc::new(Hpet::start()?);
    let mut nics = Vec::new();
    for nic in Nic::all() {
        let device: Arc<dyn Device> = nic;
        match Probed::new(device.clone(), clock.clone()) {
            Ok(probed) => {
                say!("ok found {} {} {}", device.name(), probed.model().name, probed.mac());
                nics.push((device, probed));
            }
            Err(PortError::WrongDevice { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    match command.trim() {
        "ping" => ping::run(nics, &*clock),
        "check" => check::run(nics, &clock),
        _ => Err(PortError::Invalid { what: "the command line must be: ping, or check" }),
    }
}
