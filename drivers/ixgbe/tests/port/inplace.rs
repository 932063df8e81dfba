//! The in-place forwarder: one input, one to three outputs.

use std::sync::Arc;

use pmd_ixgbe::inplace::{self, InPlaceStarted};
use pmd_ixgbe::{Config, Configured};
use pmd_ixgbe_model::Model82599;
use pmd_links::{Impair, ImpairConfig, Link, PauseSwitch};
use vfio_hal::DeviceError;
use vfio_hal::dma::IovaSpace;
use vfio_hal::pmd::PortError;
use vfio_hal::ring::{InPlaceStats, Outputs};

use crate::frames::{Frame, number_of, pattern};
use crate::rig::{Rig, model_config, pool, queues, small};

/// Ports in one space, each on a link that can be paused.
struct Yard {
    rigs: Vec<Rig>,
    pauses: Vec<PauseSwitch>,
    space: IovaSpace,
}

impl Yard {
    fn new(ports: u32) -> Yard {
        let space = IovaSpace::new();
        let pool = pool(&space, ports * small().buffers());
        let mut pauses = Vec::new();
        let rigs = (0..ports)
            .map(|_| {
                let make = |wire: Box<dyn Link>| {
                    let impaired = Impair::new(wire, &ImpairConfig::default());
                    pauses.push(impaired.pause_switch());
                    Model82599::new(model_config(), Box::new(impaired))
                };
                Rig::in_space(make, space.clone(), pool.clone())
            })
            .collect();
        Yard { rigs, pauses, space }
    }

    fn configure(&self, config: Config) -> Vec<Configured> {
        self.rigs.iter().map(|rig| rig.configure(config.clone())).collect()
    }

    fn start(&self, input: usize, outputs: &[usize], size: u32) -> InPlaceStarted {
        self.begin(self.configure(Config { promiscuous: true, ..small() }), input, outputs, size)
    }

    fn begin(&self, ports: Vec<Configured>, input: usize, outputs: &[usize], size: u32) -> InPlaceStarted {
        let started = inplace::start(&self.space, ports, input, outputs, size).unwrap();
        // The links come up.
        for _ in 0..100 {
            self.rigs.iter().for_each(|rig| rig.wait(core::time::Duration::from_millis(1)));
        }
        started
    }

    fn step(&self) {
        for rig in &self.rigs {
            rig.stepper.step();
        }
    }

    /// The numbers of what `port` sent.
    fn sent(&mut self, port: usize) -> Vec<u32> {
        self.rigs[port].sent().iter().map(|frame| number_of(frame)).collect()
    }

    /// Stops, and checks that all memory but the pool's is free again.
    fn stop(&self, started: InPlaceStarted) -> Vec<Configured> {
        let ports = started.stop().unwrap();
        assert_eq!(self.space.stats().regions, 1);
        self.rigs[0].assert_home();
        ports
    }
}

fn counts(stats: &Arc<InPlaceStats>) -> [u64; 4] {
    [stats.received(), stats.bytes(), stats.dropped(), stats.malformed()]
}

/// Forwards until nothing comes any more.
fn drain(yard: &Yard, started: &mut InPlaceStarted, mut decide: impl FnMut(u32) -> Outputs) {
    let mut idle = 0;
    while idle < 50 {
        let taken = started.forwarder.forward(|data| decide(number_of(data))).unwrap();
        idle = if taken == 0 { idle + 1 } else { 0 };
        yard.step();
    }
}

#[test]
fn every_packet_goes_where_it_was_sent() {
    for (ports, input, outputs) in [
        (1, 0, vec![0]),
        (2, 0, vec![1]),
        (2, 1, vec![0, 1]),
        (3, 0, vec![1, 2]),
        (3, 0, vec![0, 1, 2]),
        (4, 3, vec![0, 1, 2]),
    ] {
        for size in [64, 128, 512] {
            let mut yard = Yard::new(ports);
            let mut started = yard.start(input, &outputs, size);
            let all = Outputs::all(outputs.len() as u32).0;
            // Every mix of outputs, in an order that is not theirs.
            let decide = |number: u32| Outputs(number.wrapping_mul(0x9e37_79b9) >> 20 & all);
            let mut expected = vec![Vec::new(); ports as usize];
            let (mut dropped, mut bytes) = (0, 0);
            let total = 2000;
            let mut got = vec![Vec::new(); ports as usize];
            for from in (0..total).step_by(50) {
                for number in from..from + 50 {
                    let len = 64 + number as usize * 7 % 1400;
                    yard.rigs[input].inject(&Frame::numbered(len, number));
                    bytes += len as u64;
                    let to = decide(number);
                    dropped += u64::from(to == Outputs::DROP);
                    for (place, &output) in outputs.iter().enumerate() {
                        if to.0 >> place & 1 != 0 {
                            expected[output].push(number);
                        }
                    }
                }
                drain(&yard, &mut started, decide);
                for (port, got) in got.iter_mut().enumerate() {
                    got.extend(yard.sent(port));
                }
            }
            assert_eq!(got, expected, "{ports} ports, {input} to {outputs:?}, {size} descriptors");
            assert_eq!(counts(&started.forwarder.stats()), [total.into(), bytes, dropped, 0]);
            yard.stop(started);
        }
    }
}

#[test]
fn what_it_changes_is_what_is_sent() {
    let mut yard = Yard::new(2);
    let mut started = yard.start(0, &[1], 64);
    for number in 0..300 {
        yard.rigs[0].inject(&Frame::numbered(64 + number as usize, number));
        yard.rigs[0].run();
        let taken = started.forwarder.forward(|data| {
            data[..6].copy_from_slice(&[0x02, 9, 9, 9, 9, 9]);
            Outputs::FIRST
        });
        assert_eq!(taken, Ok(1));
        let mut expected = Frame::numbered(64 + number as usize, number);
        expected[..6].copy_from_slice(&[0x02, 9, 9, 9, 9, 9]);
        assert_eq!(yard.rigs[1].sent(), [expected]);
    }
    yard.stop(started);
}

#[test]
fn a_long_pause_of_any_output_costs_nothing_that_was_accepted() {
    for outputs in [vec![1], vec![1, 2], vec![1, 2, 3]] {
        for paused in outputs.clone() {
            let mut yard = Yard::new(4);
            let mut started = yard.start(0, &outputs, 128);
            let all = Outputs::all(outputs.len() as u32);
            let (mut number, mut accepted) = (0, Vec::new());
            let mut got = vec![Vec::new(); 4];
            let mut round = |yard: &mut Yard, started: &mut InPlaceStarted, inject: bool| {
                if inject {
                    yard.rigs[0].inject(&Frame::numbered(64, number));
                    number += 1;
                }
                started
                    .forwarder
                    .forward(|data| {
                        accepted.push(number_of(data));
                        all
                    })
                    .unwrap();
                yard.step();
                if inject {
                    for (port, got) in got.iter_mut().enumerate() {
                        got.extend(yard.sent(port));
                    }
                }
            };
            for _ in 0..300 {
                round(&mut yard, &mut started, true);
            }
            yard.pauses[paused].set(true);
            for poll in 0..100_000 {
                round(&mut yard, &mut started, poll % 64 == 0);
            }
            yard.pauses[paused].set(false);
            for poll in 0..4000 {
                round(&mut yard, &mut started, poll % 8 == 0);
            }
            round(&mut yard, &mut started, true);
            for _ in 0..50 {
                round(&mut yard, &mut started, false);
            }
            let last = number - 1;
            for (port, got) in got.iter_mut().enumerate() {
                got.extend(yard.sent(port));
                let expected = if outputs.contains(&port) { &accepted[..] } else { &[] };
                assert!(got == expected, "{outputs:?} paused {paused}: port {port} lost or doubled packets");
            }
            assert_eq!(accepted.last(), Some(&last), "{outputs:?} paused {paused}: it receives again");
            let tail = &accepted[accepted.len() - 400..];
            assert!(tail.windows(2).all(|pair| pair[1] == pair[0] + 1), "nothing is lost after the pause");
            yard.stop(started);
        }
    }
}

#[test]
fn packets_longer_than_a_buffer_are_dropped_and_counted() {
    let mut yard = Yard::new(2);
    let ports = yard.configure(Config { mtu: 9000, ..small() });
    let mut started = yard.begin(ports, 0, &[1], 64);
    let mut expected = Vec::new();
    for number in 0..200 {
        // 2,048 bytes fit, one more takes two buffers, and so on.
        let len = [64, 2048, 2049, 1500, 4096, 9014][number as usize % 6];
        yard.rigs[0].inject(&Frame::numbered(len, number));
        if len <= 2048 {
            expected.push(number);
        }
        drain(&yard, &mut started, |_| Outputs::FIRST);
    }
    assert_eq!(yard.sent(1), expected);
    let [received, _, dropped, malformed] = counts(&started.forwarder.stats());
    // Of the last three lengths there are 33 each, in 2, 2 and 5 parts.
    assert_eq!((received, dropped, malformed), (101, 0, 33 * (2 + 2 + 5)));
    yard.stop(started);
}

#[test]
fn it_stops_and_starts_and_becomes_a_port_again() {
    let mut yard = Yard::new(2);
    let mut ports = yard.configure(Config { promiscuous: true, ..small() });
    for life in 0..10 {
        let mut started = yard.begin(ports, 0, &[1, 0], 64);
        for number in 0..100 {
            yard.rigs[0].inject(&Frame::numbered(64, number));
            drain(&yard, &mut started, |number| Outputs(1 + number % 3));
        }
        assert_eq!(counts(&started.forwarder.stats())[0], 100, "life {life}");
        assert_eq!(yard.sent(1).len() + yard.sent(0).len(), 133);
        // In the middle of traffic.
        for number in 0..40 {
            yard.rigs[0].inject(&Frame::numbered(64, number));
        }
        yard.step();
        started.forwarder.forward(|_| Outputs::all(2)).unwrap();
        ports = yard.stop(started);
        yard.rigs.iter_mut().for_each(|rig| drop(rig.sent()));
    }
    let mut rest = ports.into_iter();
    let (first, second) = (rest.next().unwrap(), rest.next().unwrap());
    drop(second);
    let rig = &mut yard.rigs[0];
    let mut started = rig.up(first);
    rig.inject(&Frame::numbered(64, 1));
    assert_eq!(rig.received(&mut started.rx[0]).len(), 1);
    rig.stop(started);
}

#[test]
fn what_cannot_work_gives_the_ports_back() {
    let yard = Yard::new(3);
    let mut ports = yard.configure(small());
    for (input, outputs, size) in [
        (3, vec![0], 64),
        (0, vec![3], 64),
        (0, vec![], 64),
        (0, vec![1, 1], 64),
        (0, vec![1, 2, 1], 64),
        (0, vec![1], 63),
        (0, vec![1], 32),
        (0, vec![1], 8192),
    ] {
        let failed = inplace::start(&yard.space, ports, input, &outputs, size).unwrap_err();
        let refused = matches!(failed.error, PortError::Invalid { .. } | PortError::Ring(_));
        assert!(refused, "{input} {outputs:?} {size}: {}", failed.error);
        ports = failed.back;
        assert_eq!(ports.len(), 3);
    }
    assert_eq!(yard.space.stats().regions, 1, "no ring is left behind");
    let failed = inplace::start(&IovaSpace::new(), ports, 0, &[1], 64).unwrap_err();
    assert_eq!(failed.error, PortError::NotInSpace);
    // A queue that does not start.
    use pmd_ixgbe::regs::TXDCTL;
    use vfio_hal::regs::Register;
    let enable = TXDCTL::default().with_enable(true).to_raw();
    let offset = TXDCTL::INFO.offset(0).unwrap();
    yard.rigs[2].faults.set(vfio_hal::wrap::Faults::new().stuck(0, offset, enable, 0));
    let failed = inplace::start(&yard.space, failed.back, 0, &[1, 2], 64).unwrap_err();
    assert!(matches!(failed.error, PortError::Device(DeviceError::Timeout { .. })), "{}", failed.error);
    yard.rigs[2].faults.set(vfio_hal::wrap::Faults::new());
    yard.stop(yard.begin(failed.back, 0, &[1, 2], 64));
    let spread = queues(2, 1);
    let spread = Config { rss: Some(pmd_ixgbe::rss::RssConfig::default()), ..spread };
    let yard = Yard::new(1);
    let ports = vec![Rig::new().configure(spread)];
    let failed = inplace::start(&yard.space, ports, 0, &[0], 64).unwrap_err();
    assert!(matches!(failed.error, PortError::Invalid { .. }), "{}", failed.error);
}

#[test]
fn a_device_that_vanishes_ends_it() {
    for gone in [0, 1] {
        let yard = Yard::new(2);
        let mut started = yard.start(0, &[1], 64);
        assert_eq!(started.check(), Ok(()));
        yard.rigs[gone].model.kill();
        let taken = started.forwarder.forward(|_| Outputs::FIRST);
        // The loss of the input is seen at once, that of an output by the next call.
        assert_eq!(taken, if gone == 0 { Err(DeviceError::Lost) } else { Ok(0) });
        assert_eq!(started.forwarder.forward(|_| Outputs::FIRST), Err(DeviceError::Lost));
        assert_eq!(started.check(), Err(DeviceError::Lost));
        let failed = started.stop().unwrap_err();
        assert_eq!(failed.error, PortError::Device(DeviceError::Lost));
        assert_eq!(failed.back.len(), 2);
        // What the device could still reach is given up and counted.
        assert!(yard.space.stats().leaked_bytes >= 64 * 2048 + 64 * 16);
    }
}

#[test]
fn patterns_survive_every_length() {
    let mut yard = Yard::new(2);
    let ports = yard.configure(Config { mtu: 2034, promiscuous: true, ..small() });
    let mut started = yard.begin(ports, 0, &[1], 64);
    for len in 60..=2048 {
        let frame = [&[0xff; 6][..], &pattern(len - 6, len as u32)].concat();
        yard.rigs[0].inject(&frame);
        yard.rigs[0].run();
        assert_eq!(started.forwarder.forward(|_| Outputs::FIRST), Ok(1), "{len}");
        assert_eq!(yard.rigs[1].sent(), [frame]);
    }
    yard.stop(started);
}
