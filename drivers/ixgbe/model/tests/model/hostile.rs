//! Anything may be written to the registers and descriptors; the model neither panics nor reaches outside.

use pmd_ixgbe_model::hostile::Hostile;
use pmd_ixgbe_model::{Config, Model82599};
use proptest::prelude::*;
use vfio_user_kit::DeviceModel;

use crate::board::{Board, MAC, MEMORY, cmd, frame};

const NOISE: usize = 128 << 10;

/// One thing a client, or the world, does.
#[derive(Clone, Debug)]
enum Act {
    Write(u64, u32),
    WriteWide(u64, u64),
    WriteNarrow(u64, u8),
    Read(u64),
    Inject(Vec<u8>),
    Wait(u16),
    Step,
}

/// Offsets: any, and more often those that matter.
fn offset() -> impl Strategy<Value = u64> {
    let queue = (0u64..8).prop_map(|i| i * 4);
    prop_oneof![
        0u64..0x8_0000,
        (queue.clone(), 0u64..4).prop_map(|(r, q)| 0x1000 + 0x40 * q + 2 * r),
        (queue, 0u64..4).prop_map(|(r, q)| 0x6000 + 0x40 * q + 2 * r),
        proptest::sample::select(vec![
            0x0u64, 0x18, 0x20, 0x28, 0x800, 0x880, 0x898, 0x900, 0x10010, 0x10014, 0x2F00, 0x3000, 0x3C00,
            0x4240, 0x4268, 0x42A0, 0x4294, 0x3D00, 0x3260, 0x4A80, 0x5000, 0x5080, 0x5088, 0x5090, 0x5818,
            0x8D00, 0x8800, 0xE600, 0xEC30, 0xEE00, 0xEE28, 0xEE2C, 0x5128, 0xEC00, 0x1014, 0x1028, 0x6028,
            0x1018, 0x6018,
        ]),
    ]
    .prop_map(|offset| offset & !3)
}

fn value() -> impl Strategy<Value = u32> {
    prop_oneof![
        any::<u32>(),
        (0u32..32).prop_map(|bit| 1 << bit),
        Just(0),
        Just(u32::MAX),
        (0u32..0x2_0000).prop_map(|at| (MEMORY as u32).wrapping_add(at)),
        Just((MEMORY >> 32) as u32),
        (0u32..64).prop_map(|n| n * 128),
        Just(1 << 25 | 2),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => (offset(), value()).prop_map(|(o, v)| Act::Write(o, v)),
        1 => (offset(), any::<u64>()).prop_map(|(o, v)| Act::WriteWide(o, v)),
        1 => (offset(), any::<u8>()).prop_map(|(o, v)| Act::WriteNarrow(o + 1, v)),
        2 => offset().prop_map(Act::Read),
        2 => proptest::collection::vec(any::<u8>(), 0..2000).prop_map(Act::Inject),
        1 => any::<u16>().prop_map(Act::Wait),
        3 => Just(Act::Step),
    ]
}

fn perform(board: &mut Board, act: Act) {
    match act {
        Act::Write(offset, value) => board.w(offset, value),
        Act::WriteWide(offset, value) => {
            board.access(|model, cx| model.bar_write(cx, 0, offset, &value.to_le_bytes())).ok();
        }
        Act::WriteNarrow(offset, value) => {
            board.access(|model, cx| model.bar_write(cx, 0, offset, &[value])).ok();
        }
        Act::Read(offset) => {
            board.r(offset);
        }
        Act::Inject(frame) => {
            use pmd_links::Link;
            // A full wire is fine.
            let _ = board.wire.transmit(&frame, 0).unwrap();
        }
        Act::Wait(us) => board.wait_us(u64::from(us)),
        Act::Step => {
            board.step();
        }
    }
}

/// 64 cases, or what PROPTEST_CASES says.
fn cases() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    ProptestConfig::with_cases(cases.unwrap_or(64))
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn no_register_access_makes_it_panic(acts in proptest::collection::vec(act(), 1..400), up: bool, seed: u64) {
        let config = Config { ram_noise: Some(seed), ..Config::new(MAC) };
        let mut board = if up { Board::ready_with(config) } else { Board::new(config) };
        // Memory full of noise: whatever is taken for a descriptor is one.
        let mut state = seed | 1;
        let noise: Vec<u8> = (0..NOISE / 8).flat_map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            state.to_le_bytes()
        }).collect();
        board.memory.put(MEMORY, &noise);
        for act in acts {
            perform(&mut board, act);
        }
        for _ in 0..50 {
            board.step();
        }
    }

    #[test]
    fn only_what_was_posted_is_touched(
        descriptors in proptest::collection::vec((any::<u64>(), 0usize..4096, 0usize..4000, 0u8..8), 1..60),
        frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 14..1600), 0..40),
        kind in proptest::sample::select(vec![0u32, 1, 2, 5]),
        options: u32,
    ) {
        let mut board = Board::ready();
        let (rings, buffers) = (board.memory.take(0), 2048);
        let mut rx = board.rx_ring_with(0, 16, kind << 25 | 4 << 8 | 2);
        let mut tx = board.tx_ring(0, 64);
        let data = board.memory.take(4096);
        let _ = rings;
        let mut allowed = vec![(rx.base, rx.base + 256, true), (tx.base, tx.base + 1024, true), (data, data + 4096, false)];
        allowed.extend(rx.buffers.iter().map(|b| (*b, *b + buffers, true)));
        allowed.extend(rx.headers.iter().map(|h| (*h, *h + 256, true)));
        *board.memory.allowed.borrow_mut() = allowed;
        board.w(0xEA00, options);
        board.w(0x102C, options >> 8 & 0xD);
        board.w(0x1028, 1 << 25 | options & 1 << 30);
        for (noise, at, len, shape) in descriptors {
            let len = len.min(4096 - at) as u64;
            let word = match shape {
                0 => cmd::CONTEXT | noise & !(0xF << 20),
                1 => cmd::DATA | cmd::TSE | noise & !(0xFFFF | 0xF << 20) | len,
                2 => noise & !(0xFFFF | cmd::DEXT) | len,
                _ => cmd::DATA | noise & 0x0003_FF70_4B00_0000 | len,
            };
            let low = if shape == 0 { noise } else { data + at as u64 };
            tx.put(&board, [low, word]);
        }
        board.w(tx.regs + 0x18, tx.tail);
        for frame in frames {
            board.inject(&frame);
            rx.drain(&board);
        }
        board.run();
        prop_assert_eq!(board.memory.violations.get(), 0);
        prop_assert_eq!(board.model.inspect().counters().dma_faults, 0);
    }
}

#[test]
fn a_hostile_device_lies_only_when_told_to_and_always_the_same_lies() {
    fn run(seed: u64, rate: u32) -> (Vec<u64>, u64) {
        let mut board = Board::ready();
        let rx = board.rx_ring(0, 64);
        let mut tx = board.tx_ring(0, 64);
        let spare = Model82599::new(Config::new(MAC), Box::new(pmd_links::pair(1).0));
        let mut hostile = Hostile::new(std::mem::replace(&mut board.model, spare), seed);
        let switch = hostile.switch();
        switch.set_rate(rate);
        let mut words = Vec::new();
        for i in 0..200u32 {
            use pmd_links::Link;
            assert_eq!(board.wire.transmit(&frame(MAC, 100), 0).unwrap(), pmd_links::Sent::Accepted);
            let at = board.memory.take(128);
            board.memory.put(at, &frame(MAC, 100));
            let descriptor = tx.put(&board, [at, cmd::DATA | cmd::EOP | cmd::RS | cmd::payload(100) | 100]);
            board.w(tx.regs + 0x18, tx.tail);
            board.with(&mut hostile, |hostile, cx| hostile.step(cx));
            let done = rx.base + 16 * u64::from(i % 64);
            words.extend([
                board.memory.word(descriptor + 8),
                board.memory.word(done),
                board.memory.word(done + 8),
            ]);
            rx.refill(&mut board, (i + 63) % 64, i % 64);
        }
        (words, switch.lies())
    }
    let (honest, lies) = run(1, 0);
    assert_eq!(lies, 0);
    assert!(honest.chunks(3).all(|w| w[0] == 1 << 32 && w[2] == 100 << 32 | 3), "{honest:x?}");
    let (first, lies) = run(1, 300);
    assert!(lies > 50, "{lies}");
    assert_ne!(first, honest);
    assert_eq!(run(1, 300), (first.clone(), lies));
    assert_ne!(run(2, 300).0, first);
}
