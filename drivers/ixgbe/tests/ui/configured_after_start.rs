//! A port that was started cannot be started again.

use pmd_ixgbe::Configured;

fn start_twice(port: Configured) {
    let _ = port.start();
    let _ = port.start();
}

fn main() {}
