//! The bad cable: what it counts is what the checker at its end finds.

use pmd_links::{
    Faults, FrameSize, Generator, GeneratorConfig, Impair, ImpairConfig, Impairments, Link, Loopback,
    PauseCycle, Probability, Sent, Sink, Verdict, pair, split,
};

const COUNT: u64 = 20_000;

fn chance(p: f64) -> Probability {
    Probability::new(p).unwrap()
}

/// Generated frames through a bad cable in the receiving direction, into a judge.
fn receive_all(config: &ImpairConfig) -> (Verdict, Impairments) {
    let generator = Generator::new(&GeneratorConfig {
        count: Some(COUNT),
        size: FrameSize::Fixed(100),
        ..Default::default()
    });
    let mut cable = Impair::new(generator.unwrap(), config);
    let mut sink = Sink::verifying();
    let mut frame = Vec::new();
    while !cable.exhausted() {
        if cable.receive(&mut frame, 0).unwrap() {
            assert_eq!(sink.transmit(&frame, 0).unwrap(), Sent::Accepted);
        }
    }
    (sink.verdict().get(), cable.impairments().get())
}

/// The same in the sending direction, into a cable that is often full: offered again until it is taken.
fn send_all(config: &ImpairConfig, depth: usize) -> (Verdict, Impairments) {
    let mut generator = Generator::new(&GeneratorConfig {
        count: Some(COUNT),
        size: FrameSize::Fixed(100),
        ..Default::default()
    })
    .unwrap();
    let (near, mut far) = pair(depth);
    let mut cable = Impair::new(near, config);
    let mut sink = Sink::verifying();
    let (mut out, mut frame) = (Vec::new(), Vec::new());
    let mut drain = |most: usize| {
        let mut taken = 0;
        while taken < most && far.receive(&mut frame, 0).unwrap() {
            assert_eq!(sink.transmit(&frame, 0).unwrap(), Sent::Accepted);
            taken += 1;
        }
        taken
    };
    while generator.receive(&mut out, 0).unwrap() {
        while cable.transmit(&out, 0).unwrap() == Sent::Busy {
            drain(1);
        }
    }
    loop {
        cable.flush().unwrap();
        if drain(usize::MAX) == 0 {
            break;
        }
    }
    (sink.verdict().get(), cable.impairments().get())
}

fn near(count: u64, p: f64) -> bool {
    // Six standard deviations of a binomial distribution.
    let n = COUNT as f64;
    (count as f64 - n * p).abs() <= 6.0 * (n * p * (1.0 - p)).sqrt()
}

#[test]
fn a_good_cable_changes_nothing() {
    let (verdict, done) = receive_all(&ImpairConfig::default());
    assert!(verdict.is_perfect(COUNT));
    assert_eq!(done, Impairments::default());
    assert!(send_all(&ImpairConfig::default(), 4).0.is_perfect(COUNT));
}

#[test]
fn each_fault_is_what_the_judge_finds() {
    let p = 0.02;
    for (tx, rx) in [(false, true), (true, false)] {
        let run = |faults: Faults| {
            let mut config = ImpairConfig::default();
            if tx {
                config.tx = faults;
            }
            if rx {
                config.rx = faults;
            }
            let (verdict, done) = if rx { receive_all(&config) } else { send_all(&config, 3) };
            let counts = if rx {
                [done.rx_lost, done.rx_reordered, done.rx_duplicated, done.rx_corrupted]
            } else {
                [done.tx_lost, done.tx_reordered, done.tx_duplicated, done.tx_corrupted]
            };
            (verdict, counts)
        };

        let (verdict, [lost, ..]) = run(Faults { loss: chance(p), ..Default::default() });
        assert!(near(lost, p), "{lost}");
        assert_eq!((verdict.missing(COUNT), verdict.reordered), (lost, 0));

        let (verdict, [_, reordered, ..]) = run(Faults { reorder: chance(p), ..Default::default() });
        assert!(near(reordered, p), "{reordered}");
        assert_eq!((verdict.good, verdict.lost), (COUNT, 0), "reordering loses nothing");
        // The last ones may have had nobody to overtake them.
        assert!((reordered - 4..=reordered).contains(&verdict.reordered), "{verdict:?}");

        let (verdict, [_, _, duplicated, _]) = run(Faults { duplicate: chance(p), ..Default::default() });
        assert!(near(duplicated, p), "{duplicated}");
        assert_eq!((verdict.good, verdict.duplicated, verdict.reordered), (COUNT, duplicated, 0));

        let (verdict, [.., corrupted]) = run(Faults { corrupt: chance(p), ..Default::default() });
        assert!(near(corrupted, p), "{corrupted}");
        assert_eq!(verdict.corrupt + verdict.foreign, corrupted);
        assert_eq!(verdict.good, COUNT - corrupted);
    }
}

#[test]
fn faults_are_drawn_independently() {
    let alone = ImpairConfig { rx: Faults { loss: chance(0.1), ..Default::default() }, ..Default::default() };
    let faults =
        Faults { loss: chance(0.1), reorder: chance(0.1), duplicate: chance(0.1), corrupt: chance(0.1) };
    let together = ImpairConfig { rx: faults, ..Default::default() };
    assert_eq!(receive_all(&alone).1.rx_lost, receive_all(&together).1.rx_lost);
    // A doubled frame that is corrupt is corrupt twice, so only sums hold.
    let (verdict, done) = receive_all(&together);
    assert_eq!(verdict.frames, COUNT - done.rx_lost + done.rx_duplicated);
}

#[test]
fn the_seed_decides_all_and_back_pressure_nothing() {
    let faults =
        Faults { loss: chance(0.05), reorder: chance(0.05), duplicate: chance(0.05), corrupt: chance(0.05) };
    let config = ImpairConfig { rx: faults, tx: faults, seed: 7, ..Default::default() };
    assert_eq!(receive_all(&config), receive_all(&config));
    assert_eq!(send_all(&config, 1), send_all(&config, 1_000), "Busy must not change which frames suffer");
    let other = ImpairConfig { seed: 8, ..config };
    assert_ne!(receive_all(&config).1, receive_all(&other).1);
}

#[test]
fn always_is_always() {
    let all = |faults| ImpairConfig { rx: faults, ..Default::default() };
    let (verdict, _) = receive_all(&all(Faults { loss: chance(1.0), ..Default::default() }));
    assert_eq!(verdict.frames, 0);
    let (verdict, _) = receive_all(&all(Faults { duplicate: chance(1.0), ..Default::default() }));
    assert_eq!((verdict.good, verdict.duplicated), (COUNT, COUNT));
    let (verdict, _) = receive_all(&all(Faults { corrupt: chance(1.0), ..Default::default() }));
    assert_eq!(verdict.good, 0);
    assert_eq!(Probability::new(1.1), None);
    assert_eq!(Probability::new(-0.1), None);
    assert_eq!(Probability::new(f64::NAN), None);
}

#[test]
fn a_frame_is_held_back_no_longer_than_told() {
    let mut config = ImpairConfig { hold: 1_000, ..Default::default() };
    config.tx.reorder = chance(1.0);
    config.rx.reorder = chance(1.0);
    let mut cable = Impair::new(Loopback::new(8), &config);
    let mut frame = Vec::new();
    assert_eq!(cable.transmit(b"frame with a header", 0).unwrap(), Sent::Accepted);
    // Held on its way out until 1,000, then on its way in until 2,000.
    for now in [0, 999, 1_000, 1_500, 1_999] {
        assert!(!cable.receive(&mut frame, now).unwrap(), "at {now}");
    }
    assert!(cable.receive(&mut frame, 2_000).unwrap());
    assert_eq!(frame, b"frame with a header");
}

#[test]
fn frames_too_short_to_damage_pass_whole() {
    let mut config = ImpairConfig::default();
    config.tx.corrupt = chance(1.0);
    let mut cable = Impair::new(Loopback::new(8), &config);
    let mut frame = Vec::new();
    for short in [&b""[..], b"twelve bytes"] {
        assert_eq!(cable.transmit(short, 0).unwrap(), Sent::Accepted);
        assert!(cable.receive(&mut frame, 0).unwrap());
        assert_eq!(frame, short);
    }
    assert_eq!(cable.impairments().get(), Impairments::default());
}

#[test]
fn pauses_stop_the_sender_and_lose_nothing() {
    let pause = PauseCycle { first: 100, length: 10, every: Some(50) };
    let config = ImpairConfig { pause: Some(pause), ..Default::default() };
    let sink = Sink::counting();
    let received = sink.verdict();
    let generator = Generator::new(&GeneratorConfig::default()).unwrap();
    let mut cable = Impair::new(split(generator, sink), &config);
    let mut frame = Vec::new();
    for now in 0..300 {
        let paused = now >= 100 && (now - 100) % 50 < 10;
        let sent = cable.transmit(b"frame", now).unwrap();
        assert_eq!(sent == Sent::Busy, paused, "at {now}");
        assert!(cable.receive(&mut frame, now).unwrap(), "a paused sender still receives");
    }
    assert_eq!(cable.impairments().get().tx_paused, 40);
    assert_eq!(received.get().frames, 260);

    let single = PauseCycle { first: 0, length: 10, every: None };
    let config = ImpairConfig { pause: Some(single), ..Default::default() };
    let mut cable = Impair::new(Sink::counting(), &config);
    assert_eq!(cable.transmit(b"", 9).unwrap(), Sent::Busy);
    assert_eq!(cable.transmit(b"", 10).unwrap(), Sent::Accepted);
    assert_eq!(cable.transmit(b"", u64::MAX).unwrap(), Sent::Accepted);
}

#[test]
fn a_pause_also_stops_what_was_accepted_before() {
    let sink = Sink::counting();
    let received = sink.verdict();
    let mut config = ImpairConfig { hold: 10, ..Default::default() };
    config.tx.reorder = chance(1.0);
    let mut cable = Impair::new(sink, &config);
    assert_eq!(cable.transmit(b"held back", 0).unwrap(), Sent::Accepted);
    cable.pause_switch().set(true);
    let mut frame = Vec::new();
    assert!(!cable.receive(&mut frame, 1_000).unwrap());
    assert_eq!(received.get().frames, 0);
    cable.pause_switch().set(false);
    assert!(!cable.receive(&mut frame, 1_000).unwrap());
    assert_eq!(received.get().frames, 1);
}

#[test]
fn a_switch_pauses_from_another_thread() {
    let sink = Sink::counting();
    let received = sink.verdict();
    let mut cable = Impair::new(sink, &ImpairConfig::default());
    let switch = cable.pause_switch();
    std::thread::spawn(move || switch.set(true)).join().unwrap();
    for _ in 0..100_000 {
        assert_eq!(cable.transmit(b"frame", 0).unwrap(), Sent::Busy);
    }
    cable.pause_switch().set(false);
    assert_eq!(cable.transmit(b"frame", 0).unwrap(), Sent::Accepted);
    assert_eq!((received.get().frames, cable.impairments().get().tx_paused), (1, 100_000));
}
