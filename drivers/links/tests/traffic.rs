//! The generator against an independent parser, and the checker against everything that can happen to a frame.

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use pmd_links::{
    Checker, FrameSize, Generator, GeneratorConfig, GeneratorError, Link, LinkStatus, Sent, Sink, Verdict,
};
use proptest::prelude::*;

fn generate(config: GeneratorConfig, frames: u64) -> Vec<Vec<u8>> {
    let mut generator = Generator::new(&GeneratorConfig { count: Some(frames), ..config }).unwrap();
    let mut frame = vec![0xee; 3_000];
    let mut all = Vec::new();
    while generator.receive(&mut frame, 0).unwrap() {
        all.push(frame.clone());
    }
    assert!(generator.exhausted() && frame.is_empty());
    assert_eq!(generator.generated(), frames);
    all
}

fn judged<'f>(frames: impl IntoIterator<Item = &'f Vec<u8>>) -> Verdict {
    let mut checker = Checker::new();
    frames.into_iter().for_each(|frame| checker.check(frame));
    checker.verdict()
}

/// Everything that another implementation can say of a frame: (source address, source port, VLAN id).
fn dissect(frame: &[u8]) -> ([u8; 4], u16, Option<u16>) {
    let packet = SlicedPacket::from_ethernet(frame).unwrap();
    let vlan = packet.vlan_ids().first().map(|id| id.value());
    let Some(NetSlice::Ipv4(ip)) = &packet.net else { panic!("{packet:?}") };
    let Some(TransportSlice::Udp(udp)) = &packet.transport else { panic!("{packet:?}") };
    let ip_header = ip.header().to_header();
    assert_eq!(ip_header.calc_header_checksum(), ip.header().header_checksum());
    let checksum = udp.to_header().calc_checksum_ipv4(&ip_header, udp.payload()).unwrap();
    assert_eq!(checksum, udp.checksum());
    assert_eq!((ip_header.destination, udp.destination_port()), ([198, 19, 0, 1], 9));
    (ip_header.source, udp.source_port(), vlan)
}

/// So many cases, unless PROPTEST_CASES says how many.
fn cases(number: u32) -> ProptestConfig {
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => ProptestConfig::default(),
        None => ProptestConfig::with_cases(number),
    }
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn every_frame_is_valid_for_others_and_perfect_for_the_checker(
        size in prop_oneof![Just(64u16), Just(16_384), 64u16..=1_600, 1_600u16..=16_384],
        flows in 1u32..=300,
        vlan in prop::option::of(0u16..=4094),
    ) {
        let config = GeneratorConfig { size: FrameSize::Fixed(size), flows, vlan, ..Default::default() };
        let frames = generate(config, 400);
        for (i, frame) in frames.iter().enumerate() {
            prop_assert_eq!(frame.len(), usize::from(size) - 4);
            let (source, port, found_vlan) = dissect(frame);
            let flow = i as u32 % flows;
            prop_assert_eq!(u32::from_be_bytes(source), u32::from_be_bytes([198, 18, 0, 1]) + flow);
            prop_assert_eq!(u32::from(port), 1024 + flow);
            prop_assert_eq!(found_vlan, vlan);
            prop_assert_eq!(&frame[..12], &[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1]);
        }
        prop_assert!(judged(&frames).is_perfect(400), "{:?}", judged(&frames));
    }

    /// What a NIC or a forwarder may do to a frame on its way.
    #[test]
    fn what_a_forwarder_may_change_stays_good(size in 64u16..=1_518, strip in any::<bool>(), zero in any::<bool>()) {
        let config = GeneratorConfig { size: FrameSize::Fixed(size), vlan: strip.then_some(7), ..Default::default() };
        let mut frames = generate(config, 10);
        for frame in &mut frames {
            if strip {
                frame.drain(12..16);
            }
            frame[..12].rotate_left(6);
            let (source, destination): ([u8; 4], [u8; 4]) = (frame[26..30].try_into().unwrap(), frame[30..34].try_into().unwrap());
            frame[26..30].copy_from_slice(&destination);
            frame[30..34].copy_from_slice(&source);
            frame[34..38].rotate_left(2);
            if zero {
                frame[40..42].fill(0);
            }
            frame.extend([0xaa; 6]);
        }
        prop_assert!(judged(&frames).is_perfect(10));
    }

    /// Any damage behind the addresses is seen, as corrupt or as not a generator's; none makes a good frame.
    #[test]
    fn any_damaged_bit_is_seen(size in 64u16..=400, vlan in prop::option::of(0u16..=4094), bit in any::<prop::sample::Index>()) {
        let config = GeneratorConfig { size: FrameSize::Fixed(size), vlan, ..Default::default() };
        let mut frames = generate(config, 1);
        let bit = bit.index((frames[0].len() - 12) * 8);
        // The tag's own number is nobody's concern here.
        prop_assume!(vlan.is_none() || !(16..32).contains(&bit));
        frames[0][12 + bit / 8] ^= 0x80 >> (bit % 8);
        let verdict = judged(&frames);
        prop_assert_eq!((verdict.good, verdict.corrupt + verdict.foreign), (0, 1), "bit {}", bit);
    }

    #[test]
    fn no_bytes_make_the_checker_panic(
        template in prop::sample::select(vec![None, Some(false), Some(true)]),
        noise in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut frame = match template {
            None => bytes,
            Some(vlan) => generate(GeneratorConfig { vlan: vlan.then_some(1), ..Default::default() }, 1).remove(0),
        };
        for (at, byte) in noise {
            if !frame.is_empty() {
                let at = at.index(frame.len());
                frame[at] = byte;
            }
        }
        frame.truncate(cut.index(frame.len() + 1));
        let verdict = judged([&frame]);
        prop_assert_eq!(verdict.good + verdict.corrupt + verdict.foreign, 1);
    }
}

#[test]
fn the_checker_tells_what_happened() {
    let frames = generate(GeneratorConfig::default(), 10);
    let pick = |order: &[usize]| judged(order.iter().map(|&i| &frames[i]));
    let expect = |order: &[usize], good, lost, reordered, duplicated| {
        let bytes = 60 * order.len() as u64;
        let frames = order.len() as u64;
        let expected = Verdict { frames, bytes, good, lost, reordered, duplicated, ..Default::default() };
        assert_eq!(pick(order), expected, "{order:?}");
    };
    expect(&[], 0, 0, 0, 0);
    expect(&[0, 1, 2], 3, 0, 0, 0);
    expect(&[0, 2, 3], 3, 1, 0, 0);
    expect(&[0, 2, 1, 3], 4, 0, 1, 0);
    expect(&[0, 1, 1, 2], 3, 0, 0, 1);
    expect(&[3, 3, 0, 9], 3, 7, 1, 1);
    assert_eq!(pick(&[0, 1, 2]).missing(10), 7, "what is missing at the end only the sender's count shows");
    assert!(!pick(&[0, 2, 1]).is_perfect(3));
}

#[test]
fn flows_are_judged_apart() {
    let frames = generate(GeneratorConfig { flows: 2, ..Default::default() }, 8);
    // All of the second flow before all of the first: no flow is out of order.
    let order = [1, 3, 5, 7, 0, 2, 4, 6];
    assert!(judged(order.iter().map(|&i| &frames[i])).is_perfect(8));
}

#[test]
fn imix_is_seven_four_one() {
    let frames = generate(GeneratorConfig { size: FrameSize::Imix, ..Default::default() }, 1_200);
    let count = |len: usize| frames.iter().filter(|frame| frame.len() == len).count();
    assert_eq!((count(60), count(590), count(1_514)), (700, 400, 100));
    assert!(judged(&frames).is_perfect(1_200));
}

#[test]
fn a_rate_is_kept_to_the_frame_by_the_given_clock() {
    for rate in [1, 3, 7, 999, 1_000_000, 14_880_952, 999_999_937, 1_000_000_000u64] {
        let config = GeneratorConfig { rate: Some(rate), ..Default::default() };
        let mut generator = Generator::new(&config).unwrap();
        let mut frame = Vec::new();
        let start = 12_345;
        assert!(generator.receive(&mut frame, start).unwrap(), "the first one is due at once");
        // Long gaps and short ones; after each, just what is due has come. `i * 1e9 < elapsed * rate` counts it.
        for elapsed in [1u64, 999, 1_000, 333_333, 10_000_000] {
            let due = (u128::from(elapsed) * u128::from(rate) / 1_000_000_000 + 1).min(30_000) as u64;
            while generator.generated() < due {
                assert!(
                    generator.receive(&mut frame, start + elapsed).unwrap(),
                    "rate {rate} at {elapsed} ns"
                );
            }
            if due < 30_000 {
                assert!(
                    !generator.receive(&mut frame, start + elapsed).unwrap(),
                    "rate {rate} at {elapsed} ns"
                );
                assert!(frame.is_empty());
            }
        }
    }
}

#[test]
fn what_cannot_be_generated_is_refused_with_the_range() {
    let with = |change: fn(&mut GeneratorConfig)| {
        let mut config = GeneratorConfig::default();
        change(&mut config);
        Generator::new(&config).err()
    };
    assert_eq!(with(|c| c.size = FrameSize::Fixed(63)), Some(GeneratorError::Size(63)));
    assert_eq!(with(|c| c.size = FrameSize::Fixed(16_385)), Some(GeneratorError::Size(16_385)));
    assert_eq!(with(|c| c.flows = 0), Some(GeneratorError::Flows(0)));
    assert_eq!(with(|c| c.flows = 65_536), Some(GeneratorError::Flows(65_536)));
    assert_eq!(with(|c| c.rate = Some(0)), Some(GeneratorError::Rate(0)));
    assert_eq!(with(|c| c.rate = Some(1_000_000_001)), Some(GeneratorError::Rate(1_000_000_001)));
    assert_eq!(with(|c| c.vlan = Some(4_095)), Some(GeneratorError::Vlan(4_095)));
    assert_eq!(with(|c| (c.flows, c.vlan) = (65_535, Some(0))), None);
    assert!(GeneratorError::Size(63).to_string().contains("64 to 16384"));
}

#[test]
fn all_65535_flows_have_different_addresses() {
    let frames = generate(GeneratorConfig { flows: 65_535, ..Default::default() }, 2 * 65_535);
    let sources: std::collections::HashSet<_> = frames.iter().map(|frame| frame[26..30].to_vec()).collect();
    assert_eq!(sources.len(), 65_535);
    dissect(&frames[65_534]);
    assert!(judged(&frames).is_perfect(2 * 65_535));
}

#[test]
fn a_sink_counts_always_and_judges_when_told() {
    let frames = generate(GeneratorConfig::default(), 5);
    let (mut counting, mut verifying) = (Sink::counting(), Sink::verifying());
    let (counted, verified) = (counting.verdict(), verifying.verdict());
    for frame in [&frames[0], &frames[4], &vec![1, 2, 3]] {
        assert_eq!(counting.transmit(frame, 0).unwrap(), Sent::Accepted);
        assert_eq!(verifying.transmit(frame, 0).unwrap(), Sent::Accepted);
    }
    let expected = Verdict { frames: 3, bytes: 123, ..Default::default() };
    assert_eq!(counted.get(), expected);
    assert_eq!(verified.get(), Verdict { good: 2, lost: 3, foreign: 1, ..expected });
    let mut frame = vec![1];
    assert!(!verifying.receive(&mut frame, 0).unwrap() && frame.is_empty() && verifying.exhausted());
    assert_eq!(verifying.status(), LinkStatus::UP_10G);
    drop(verifying);
    assert_eq!(verified.get().frames, 3, "a watch outlives its link");
}
