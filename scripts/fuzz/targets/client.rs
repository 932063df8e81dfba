//! Servers that answer whatever they like to a device on a socket that uses everything.
//!
//! An input says what the server does with each request, honest at first ([`server`]), and what the user of the device
//! does ([`input`]). They meet over a real socket. What must hold: nobody panics or hangs; the device's memory is only
//! written where it was mapped; a device that is lost says so, everywhere and at once; and no descriptor is left.
#![no_main]

#[path = "client/device.rs"]
mod device;
#[path = "client/input.rs"]
mod input;
#[path = "client/server.rs"]
mod server;

use std::cell::Cell;

use libfuzzer_sys::fuzz_target;

use input::Input;

thread_local! {
    static RUNS: Cell<u64> = const { Cell::new(0) };
    static DESCRIPTORS: Cell<usize> = const { Cell::new(0) };
}

/// Runs between two counts of descriptors, which cost more than a run.
const COUNTED: u64 = 200;

fuzz_target!(|input: Input| {
    let (server, socket) = server::start(&input);
    device::use_it(socket, &input);
    server.join().expect("the server's thread panicked");
    let run = RUNS.get();
    RUNS.set(run + 1);
    if run.is_multiple_of(COUNTED) {
        let now = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        // The first run opens what stays, and libFuzzer a file now and then.
        assert!(run == 0 || now <= DESCRIPTORS.get() + 3, "{} descriptors, now {now}", DESCRIPTORS.get());
        if run == 0 {
            DESCRIPTORS.set(now);
        }
    }
});
