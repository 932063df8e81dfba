//! Back to back, loopback, split and meter: nothing is lost, doubled or overtaken, and Busy means kept.

use std::collections::VecDeque;

use pmd_links::{
    Counts, Generator, GeneratorConfig, Link, LinkStatus, Loopback, Meter, PairEnd, Sent, Sink, Traffic,
    pair, split,
};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Send { east: bool, len: usize },
    Receive { east: bool },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (any::<bool>(), 0usize..2_000).prop_map(|(east, len)| Step::Send { east, len }),
        any::<bool>().prop_map(|east| Step::Receive { east }),
    ]
}

proptest! {
    /// Against two queues.
    #[test]
    fn a_pair_is_two_bounded_queues(capacity in 0usize..6, steps in prop::collection::vec(step(), 0..200)) {
        let room = capacity.max(1);
        let (mut east, mut west) = pair(capacity);
        // To the west, to the east.
        let mut model: [VecDeque<Vec<u8>>; 2] = Default::default();
        let mut counts = [Traffic::default(); 2];
        let mut frame = Vec::new();
        for (i, step) in steps.into_iter().enumerate() {
            match step {
                Step::Send { east: from_east, len } => {
                    let (end, me) = if from_east { (&mut east, 0) } else { (&mut west, 1) };
                    let bytes = vec![i as u8; len];
                    let sent = end.transmit(&bytes, 0).unwrap();
                    if model[me].len() == room {
                        prop_assert_eq!(sent, Sent::Busy);
                        counts[me].tx_busy += 1;
                    } else {
                        prop_assert_eq!(sent, Sent::Accepted);
                        counts[me].tx_frames += 1;
                        counts[me].tx_bytes += len as u64;
                        model[me].push_back(bytes);
                    }
                }
                Step::Receive { east: to_east } => {
                    let (end, me) = if to_east { (&mut east, 0) } else { (&mut west, 1) };
                    let received = end.receive(&mut frame, 0).unwrap();
                    let expected = model[1 - me].pop_front();
                    prop_assert_eq!(received, expected.is_some());
                    prop_assert_eq!(&frame, &expected.unwrap_or_default());
                    if received {
                        counts[me].rx_frames += 1;
                        counts[me].rx_bytes += frame.len() as u64;
                    }
                }
            }
            prop_assert!(!east.exhausted() && !west.exhausted());
        }
        prop_assert_eq!(east.traffic().get(), counts[0]);
        prop_assert_eq!(west.traffic().get(), counts[1]);
        // The plug is pulled: the other end still gets what is on the cable, then the end.
        drop(east);
        prop_assert_eq!(west.status(), LinkStatus::DOWN);
        prop_assert_eq!(west.transmit(b"x", 0).unwrap(), Sent::Busy);
        for expected in model[0].drain(..) {
            prop_assert!(!west.exhausted());
            prop_assert!(west.receive(&mut frame, 0).unwrap());
            prop_assert_eq!(&frame, &expected);
        }
        prop_assert!(west.exhausted());
        prop_assert!(!west.receive(&mut frame, 0).unwrap());
    }

    #[test]
    fn a_loopback_is_one_bounded_queue(capacity in 0usize..6, steps in prop::collection::vec(prop::option::of(0usize..100), 0..100)) {
        let mut link = Loopback::new(capacity);
        let mut model = VecDeque::new();
        let mut frame = Vec::new();
        for (i, step) in steps.into_iter().enumerate() {
            if let Some(len) = step {
                let bytes = vec![i as u8; len];
                let full = model.len() == capacity.max(1);
                prop_assert_eq!(link.transmit(&bytes, 0).unwrap() == Sent::Busy, full);
                if !full {
                    model.push_back(bytes);
                }
            } else {
                let expected = model.pop_front();
                prop_assert_eq!(link.receive(&mut frame, 0).unwrap(), expected.is_some());
                prop_assert_eq!(&frame, &expected.unwrap_or_default());
            }
        }
    }
}

/// Sends all that a generator makes, waiting while the cable is full.
fn send(mut end: PairEnd, count: u64) -> PairEnd {
    let mut generator =
        Generator::new(&GeneratorConfig { count: Some(count), flows: 3, ..Default::default() }).unwrap();
    let mut frame = Vec::new();
    while generator.receive(&mut frame, 0).unwrap() {
        while end.transmit(&frame, 0).unwrap() == Sent::Busy {
            std::thread::yield_now();
        }
    }
    end
}

#[test]
fn two_threads_lose_nothing_in_either_direction() {
    const COUNT: u64 = 50_000;
    let (east, west) = pair(8);
    let both = [east, west].map(|end| {
        std::thread::spawn(move || {
            // Sends and receives in turn, as a MAC does.
            let mut end = Meter::new(end);
            let traffic = end.traffic();
            let mut generator =
                Generator::new(&GeneratorConfig { count: Some(COUNT), flows: 5, ..Default::default() })
                    .unwrap();
            let mut sink = Sink::verifying();
            let verdict = sink.verdict();
            let (mut out, mut frame) = (Vec::new(), Vec::new());
            let mut pending = generator.receive(&mut out, 0).unwrap();
            while pending || verdict.get().frames < COUNT {
                let mut idle = true;
                if pending && end.transmit(&out, 0).unwrap() == Sent::Accepted {
                    pending = generator.receive(&mut out, 0).unwrap();
                    idle = false;
                }
                if end.receive(&mut frame, 0).unwrap() {
                    assert_eq!(sink.transmit(&frame, 0).unwrap(), Sent::Accepted);
                    idle = false;
                }
                if idle {
                    std::thread::yield_now();
                }
            }
            (end, verdict.get(), traffic.get())
        })
    });
    // Joined before either end is dropped.
    let results = both.map(|thread| thread.join().unwrap());
    for (_, verdict, traffic) in &results {
        assert!(verdict.is_perfect(COUNT), "{verdict:?}");
        assert_eq!((traffic.tx_frames, traffic.rx_frames), (COUNT, COUNT));
        assert_eq!((traffic.tx_bytes, traffic.rx_bytes), (60 * COUNT, 60 * COUNT));
    }
}

#[test]
fn a_sender_that_leaves_takes_no_frame_along() {
    for _ in 0..200 {
        let (east, mut west) = pair(4);
        let sender = std::thread::spawn(move || drop(send(east, 20)));
        let mut sink = Sink::verifying();
        let mut frame = Vec::new();
        while !west.exhausted() {
            if west.receive(&mut frame, 0).unwrap() {
                assert_eq!(sink.transmit(&frame, 0).unwrap(), Sent::Accepted);
            }
        }
        sender.join().unwrap();
        assert!(sink.verdict().get().is_perfect(20), "{:?}", sink.verdict());
    }
}

#[test]
fn a_split_receives_from_one_half_and_sends_to_the_other() {
    let (mut far, near) = pair(4);
    let generator = Generator::new(&GeneratorConfig { count: Some(2), ..Default::default() }).unwrap();
    let mut link = split(generator, near);
    let mut frame = Vec::new();
    assert!(link.receive(&mut frame, 0).unwrap() && link.receive(&mut frame, 0).unwrap());
    assert!(!link.receive(&mut frame, 0).unwrap());
    assert!(link.exhausted(), "the receiving half decides");
    assert_eq!(link.transmit(b"out", 0).unwrap(), Sent::Accepted);
    assert!(far.receive(&mut frame, 0).unwrap());
    assert_eq!(frame, b"out");
    assert_eq!(link.status(), LinkStatus::UP_10G);
    drop(far);
    assert_eq!(link.status(), LinkStatus::DOWN, "one dead half is a dead link");
}

#[test]
fn links_work_through_boxes_and_references() {
    let mut boxed: Box<dyn Link> = Box::new(Loopback::new(1));
    let meter = {
        let mut meter = Meter::new(&mut boxed);
        assert_eq!(meter.transmit(b"abc", 0).unwrap(), Sent::Accepted);
        assert_eq!(meter.transmit(b"abc", 0).unwrap(), Sent::Busy);
        meter.flush().unwrap();
        meter.traffic()
    };
    let mut frame = Vec::new();
    assert!(boxed.receive(&mut frame, 0).unwrap());
    let named: Vec<_> = meter.get().named().collect();
    assert_eq!(named, [("tx_frames", 1), ("tx_bytes", 3), ("tx_busy", 1), ("rx_frames", 0), ("rx_bytes", 0)]);
}
