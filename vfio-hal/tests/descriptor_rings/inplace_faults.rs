//! Forwarding in place with a device that is broken, hostile or gone, a closure that panics, and parts that do not fit.

use std::panic::{AssertUnwindSafe, catch_unwind};

use vfio_hal::Iova;
use vfio_hal::device::DeviceError;
use vfio_hal::ring::{InPlace, Output, Outputs, RingError};

use crate::inplace::{GOT, LAST, Legacy, STRIDE, forwarder};
use crate::kit::*;

#[test]
fn before_the_start_nothing_is_looked_at() {
    let mut host = Host::new();
    let (mut forwarder, mut nic) = forwarder(&mut host, 64, 1);
    nic.write_back(&frame(0, 60), 60 | GOT | LAST);
    assert_eq!(forwarder.forward(|_| unreachable!()), Ok(0));
    assert!(host.device.registers().take_log().is_empty());
}

#[test]
fn a_device_that_is_gone_is_an_error() {
    let mut host = Host::new();
    let (mut forwarder, mut nic) = forwarder(&mut host, 64, 1);
    forwarder.start();
    assert!(nic.receive(&frame(0, 60)));
    host.lost.latch();
    assert_eq!(forwarder.forward(|_| unreachable!()), Err(DeviceError::Lost));
}

#[test]
fn impossible_lengths_are_skipped_by_all_outputs() {
    let mut host = Host::new();
    let (mut forwarder, mut nic) = forwarder(&mut host, 64, 2);
    forwarder.start();
    nic.receive(&frame(0, 60));
    nic.write_back(&[], 257 | GOT | LAST);
    nic.write_back(&[], 0xffff | GOT | LAST);
    nic.receive(&frame(1, 256));
    let mut shown = 0;
    let taken = forwarder.forward(|data| {
        assert_eq!(data, frame(shown, data.len()));
        shown += 1;
        Outputs::all(2)
    });
    nic.send_all();
    assert_eq!((taken, shown), (Ok(4), 2));
    for port in &nic.ports {
        assert_eq!((&port.sent, port.head), (&vec![frame(0, 60), frame(1, 256)], 4));
    }
    let stats = forwarder.stats();
    assert_eq!((stats.received(), stats.bytes()), (2, 316));
    assert_eq!((stats.malformed(), stats.dropped()), (2, 0));
}

#[test]
fn no_part_of_a_packet_that_is_longer_than_a_buffer_is_sent() {
    // The parts lie within one call, and across calls.
    for before in [0, 30, 31] {
        let mut host = Host::new();
        let (mut forwarder, mut nic) = forwarder(&mut host, 64, 1);
        forwarder.start();
        for number in 0..before {
            nic.receive(&frame(number, 60));
        }
        nic.write_back(&frame(1, 256), 256 | GOT);
        nic.write_back(&frame(1, 256), 256 | GOT);
        // The end looks like a packet.
        nic.write_back(&frame(1, 100), 100 | GOT | LAST);
        nic.receive(&frame(40, 60));
        let mut shown = 0;
        while forwarder
            .forward(|_| {
                shown += 1;
                Outputs::FIRST
            })
            .unwrap()
            != 0
        {}
        nic.send_all();
        assert_eq!((shown, nic.ports[0].sent.len()), (before + 1, before + 1));
        assert_eq!(nic.ports[0].sent[before], frame(40, 60));
        assert_eq!((forwarder.stats().malformed(), forwarder.stats().received()), (3, before as u64 + 1));
    }
}

#[test]
fn a_restart_forgets_a_packet_that_had_not_ended() {
    let mut host = Host::new();
    let (mut forwarder, mut nic) = forwarder(&mut host, 64, 1);
    forwarder.start();
    nic.write_back(&frame(1, 256), 256 | GOT);
    assert_eq!(forwarder.forward(|_| unreachable!()), Ok(1));
    forwarder.restart(&[host.stopped()]).unwrap();
    nic.reset();
    forwarder.start();
    assert!(nic.receive(&frame(2, 60)));
    assert_eq!(forwarder.forward(|_| Outputs::FIRST), Ok(1));
    assert_eq!((forwarder.stats().malformed(), forwarder.stats().received()), (1, 1));
}

#[test]
fn a_packet_over_which_the_closure_panics_is_dropped_and_all_others_go() {
    for at in [0, 1, 31, 32, 62] {
        let mut host = Host::new();
        let (mut forwarder, mut nic) = forwarder(&mut host, 64, 2);
        forwarder.start();
        for number in 0..63 {
            assert!(nic.receive(&frame(number, 60)));
        }
        let mut shown = 0;
        let mut panics = 0;
        loop {
            let result = catch_unwind(AssertUnwindSafe(|| {
                forwarder.forward(|_| {
                    shown += 1;
                    assert_ne!(shown, at + 1, "the closure panics");
                    Outputs::all(2)
                })
            }));
            match result {
                Ok(Ok(0)) => break,
                Ok(taken) => assert!(taken.is_ok()),
                Err(_) => panics += 1,
            }
        }
        nic.send_all();
        assert_eq!((shown, panics), (63, 1));
        let expected: Vec<_> =
            (0..63).filter(|&number| number != at).map(|number| frame(number, 60)).collect();
        for port in &nic.ports {
            assert_eq!(port.sent, expected);
        }
        let stats = forwarder.stats();
        assert_eq!((stats.received(), stats.dropped(), stats.malformed()), (63, 1, 0));
        // And it still gets descriptors back.
        forwarder.forward(|_| Outputs::FIRST).unwrap();
        assert!(nic.receive(&frame(0, 60)));
    }
}

#[test]
fn starting_twice_gives_the_device_nothing_that_is_being_sent() {
    let mut host = Host::new();
    let (mut forwarder, mut nic) = forwarder(&mut host, 64, 1);
    forwarder.start();
    let mut number = 0;
    while nic.receive(&frame(number, 60)) {
        number += 1;
    }
    while forwarder.forward(|_| Outputs::FIRST).unwrap() != 0 {}
    nic.send(0, 40);
    assert_eq!((forwarder.forward(|_| Outputs::FIRST), nic.free()), (Ok(0), 32));
    for _ in 0..20 {
        assert!(nic.receive(&frame(number, 60)));
    }
    // Descriptors 32 to 62 and 63 to 18 are being sent: 19 to 30 are the device's.
    assert_eq!((forwarder.forward(|_| Outputs::FIRST), nic.free()), (Ok(1), 12));
    assert_eq!((forwarder.forward(|_| Outputs::FIRST), nic.free()), (Ok(19), 12));
    forwarder.start();
    assert_eq!(nic.free(), 12);
}

#[test]
fn whatever_a_device_writes_nothing_breaks() {
    let mut host = Host::new();
    let (mut forwarder, nic) = forwarder(&mut host, 64, 3);
    forwarder.start();
    let mut state = 0x1357_9bdf_0246_8aceu64;
    let mut random = || {
        // Xorshift (Marsaglia).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut shown = 0u64;
    for _ in 0..50_000 {
        let at = Iova(nic.base.0 + random() % 64 * 16);
        let word = if random() % 2 == 0 { random() } else { (random() % 300) | GOT | LAST };
        nic.memory.store(Iova(at.0 + 8), word).unwrap();
        // A head beyond the ring, behind what was sent, ahead of what was posted.
        let port = &nic.ports[(random() % 3) as usize];
        nic.memory.store32(port.write_back, random() as u32).unwrap();
        forwarder
            .forward(|data| {
                assert!(data.len() <= ROOM as usize);
                data.fill(0xff);
                shown += 1;
                Outputs(random() as u32)
            })
            .unwrap();
        for tail in [&nic.tail, &nic.ports[0].tail, &nic.ports[1].tail, &nic.ports[2].tail] {
            assert!(tail.get() < 64);
        }
    }
    assert!(shown > 1000);
    // The addresses are as they were: nothing the device wrote was taken for one.
    let mut buffers: Vec<_> =
        (0..64).map(|at| nic.memory.load(Iova(nic.base.0 + at * 16)).unwrap()).collect();
    buffers.dedup();
    assert_eq!(buffers.len(), 64);
    forwarder.restart(&[host.stopped()]).unwrap();
}

#[test]
fn parts_that_do_not_fit_together_make_no_forwarder() {
    let mut host = Host::new();
    let try_with = |host: &mut Host, kinds: &[Option<u32>], stride: u32, room: u32, bytes: usize| {
        let ring = host.descriptors(64);
        let tail = host.doorbell().0;
        let outputs = kinds.iter().map(|own| {
            let (doorbell, head) = (host.doorbell().0, host.rings().block().unwrap().0);
            match own {
                None => Output::shared(doorbell, head),
                Some(size) => Output::own(host.descriptors(*size), doorbell, head),
            }
        });
        let outputs = outputs.collect();
        let buffers = region(&host.space, bytes);
        InPlace::<Legacy>::new(ring, tail, outputs, buffers, stride, room, host.lost.clone()).err()
    };
    let enough = (STRIDE * 64) as usize;
    for wrong in [
        vec![],
        vec![Some(64)],
        vec![None, None],
        vec![None, Some(128)],
        [vec![None], vec![Some(64); 32]].concat(),
    ] {
        assert_eq!(try_with(&mut host, &wrong, STRIDE, ROOM, enough), Some(RingError::Outputs), "{wrong:?}");
    }
    let no_room = |error| matches!(error, Some(RingError::NoRoom { .. }));
    assert!(no_room(try_with(&mut host, &[None], STRIDE, STRIDE + 1, enough)));
    assert!(no_room(try_with(&mut host, &[None], STRIDE, 0, enough)));
    assert!(no_room(try_with(&mut host, &[None], STRIDE, ROOM, enough / 2)));
    assert!(no_room(try_with(&mut host, &[None], u32::MAX, ROOM, enough)));
    assert_eq!(try_with(&mut host, &[None], STRIDE, STRIDE, enough), None);
    // Buffers, or an output's ring, in another space.
    let mut other = Host::new();
    let ring = host.descriptors(64);
    let output = Output::shared(host.doorbell().0, host.rings().block().unwrap().0);
    let far = region(&other.space, enough);
    let tail = host.doorbell().0;
    let error = InPlace::<Legacy>::new(ring, tail, vec![output], far, STRIDE, ROOM, host.lost.clone()).err();
    assert_eq!(error, Some(RingError::ForeignSpace));
    let ring = host.descriptors(64);
    let shared = Output::shared(host.doorbell().0, host.rings().block().unwrap().0);
    let own = Output::own(other.descriptors(64), other.doorbell().0, other.rings().block().unwrap().0);
    let near = region(&host.space, enough);
    let tail = host.doorbell().0;
    let error =
        InPlace::<Legacy>::new(ring, tail, vec![shared, own], near, STRIDE, ROOM, host.lost.clone()).err();
    assert_eq!(error, Some(RingError::ForeignSpace));
}
