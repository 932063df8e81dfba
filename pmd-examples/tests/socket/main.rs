//! The driver over a socket: packets between a card that is served there and one in this process, through one pool; lost
//! connections in between; a server that is killed.

mod bench;
mod killed;
#[path = "../../../vfio-hal/vfio-user/tests/client/wire.rs"]
mod wire;

use std::time::Duration;

use bench::{Bench, Card, Rings, Served, Valve, forward_all, options};
use pmd_links::{Generator, GeneratorConfig, Link, Sink, Verdict, Watch, split};
use vfio_hal::Device;
use vfio_hal::backend::user::{Options, UserDevice};
use wire::Wire;

/// A generator and a judge on one cable, and the valve that lets packets in: a card that does not receive yet drops them.
fn cable(packets: u64, valve: &Valve) -> (impl Link + 'static, Watch<Verdict>) {
    let sink = Sink::verifying();
    let verdict = sink.verdict();
    let config = GeneratorConfig { count: Some(packets), flows: 4, ..GeneratorConfig::default() };
    (split(valve.gate(Generator::new(&config).unwrap()), sink), verdict)
}

/// Forwards both ways between a card on a socket and one in this process.
fn both_ways(packets: u64, mapped_doorbells: bool, rings: Rings, options: Options, cuts: u32) {
    let valve = Valve::default();
    let (near, at_near) = cable(packets, &valve);
    let (far, at_far) = cable(packets, &valve);
    let served = Served::start(far, mapped_doorbells);
    let wire = Wire::to(&served.path);
    let path = if cuts > 0 { &wire.path } else { &served.path };
    let device = UserDevice::connect(path, &options).unwrap();
    let mapped = device.bar(0).unwrap().windows().filter(|window| window.2).count();
    assert_eq!(mapped > 0, mapped_doorbells);
    let mut bench = Bench::new(vec![Card::On(device.clone()), Card::here(near)], rings);
    valve.open();
    let mut cut = 0;
    let done = |_: u64| (at_near.get().frames, at_far.get().frames) == (packets, packets);
    forward_all(&mut bench, done, |forwarded| {
        if forwarded / 150 > u64::from(cut) && cut < cuts {
            cut += 1;
            wire.cut();
        }
    });
    assert_eq!(cut, cuts);
    for verdict in [at_near.get(), at_far.get()] {
        assert_eq!((verdict.frames, verdict.good, verdict.lost, verdict.reordered), (packets, packets, 0, 0));
    }
    assert_eq!(device.fault(), None);
    bench.stop();
}

#[test]
fn between_a_socket_and_this_process_with_trapped_doorbells_and_rings_by_message() {
    both_ways(3_000, false, Rings::Heap, options(), 0);
}

#[test]
fn between_a_socket_and_this_process_with_mapped_doorbells() {
    both_ways(3_000, true, Rings::File, options(), 0);
}

#[test]
fn lost_connections_lose_no_packet() {
    for mapped in [false, true] {
        both_ways(600, mapped, Rings::File, options().reconnect(Duration::from_secs(60)), 6);
    }
}
