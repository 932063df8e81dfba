//! Clients that send whatever they like to a server whose model does everything.
//!
//! An input is a sequence of messages, with descriptors, cut, wrong or right, of signals and of reconnections
//! ([`input`]). They go through a real socket to a real server with a model that uses every part of it ([`model`]). What
//! must hold ([`client`]): the server does not panic, and as long as the client keeps to the framing, every command is
//! answered once and in order; in the end a good client is served; and no descriptor is left.
#![no_main]

#[path = "server/body.rs"]
mod body;
#[path = "server/client.rs"]
mod client;
#[path = "server/input.rs"]
mod input;
#[path = "server/model.rs"]
mod model;

use std::cell::Cell;

use libfuzzer_sys::fuzz_target;

use client::Bench;
use input::Input;

thread_local! {
    static RUNS: Cell<u64> = const { Cell::new(0) };
    static DESCRIPTORS: Cell<usize> = const { Cell::new(0) };
}

/// Runs between two counts of descriptors, which cost more than a run.
const COUNTED: u64 = 50;

fuzz_target!(|input: Input| {
    let mut bench = Bench::new(&input);
    for step in input.steps.iter().take(100) {
        bench.step(step);
    }
    bench.finish();
    drop(bench);
    let run = RUNS.get();
    RUNS.set(run + 1);
    if run.is_multiple_of(COUNTED) {
        let now = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        // libFuzzer opens a file or two after the first run; a leak grows beyond that soon.
        assert!(run == 0 || now <= DESCRIPTORS.get() + 3, "{} descriptors, now {now}", DESCRIPTORS.get());
        if run == 0 {
            DESCRIPTORS.set(now);
        }
    }
});
