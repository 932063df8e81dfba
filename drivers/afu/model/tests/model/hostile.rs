//! Any access in any order: no panic, no access outside of what was given; and the cards that lie on purpose.

use std::sync::atomic::Ordering;
use std::time::Duration;

use pmd_afu_model::hostile::{Hostile, RandomLists};
use pmd_afu_model::{AfuKind, AfuModel, Config, Counters, Discovery, Faults, Headers};
use proptest::prelude::*;
use vfio_user_kit::{Context, DeviceModel, NoConfig, ResetKind};

use crate::board::{Board, MEMORY, MEMORY_BYTES};

/// What a client may do.
#[derive(Clone, Debug)]
enum Action {
    Read(u8, u64, usize),
    Write(u8, u64, usize, u64),
    Wait(u64),
    Fault(Faults),
    Load(AfuKind),
    Reset,
}

/// Offsets where registers are, and anything else.
fn offset() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => (0u64..6, 0u64..0x16).prop_map(|(feature, word)| feature * 0x1000 + 8 * word),
        8 => (0u64..0x40).prop_map(|word| 0x4_0000 + 8 * word),
        4 => (0u64..0x40).prop_map(|word| 0x4_1000 + 4 * word),
        1 => any::<u64>(),
        1 => 0u64..0x10_0000,
    ]
}

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 0u64..16,
        2 => any::<u64>(),
        2 => (0u64..MEMORY_BYTES as u64).prop_map(|at| MEMORY + at),
        2 => (0u64..MEMORY_BYTES as u64).prop_map(|at| (MEMORY + at) >> 6),
        1 => (0u32..64).prop_map(|bit| 1 << bit),
        1 => Just(u64::MAX),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    let width = prop_oneof![Just(4usize), Just(8), 0usize..9];
    let bar = prop_oneof![4 => Just(2u8), 4 => Just(0), 1 => 0u8..8];
    let faults = (any::<bool>(), any::<bool>(), any::<Option<u8>>(), any::<Option<u8>>());
    let faults = faults.prop_map(|(stalled, reset_stuck, line, after)| Faults {
        stalled,
        reset_stuck,
        corrupt_line: line.map(u64::from),
        dma_fails_after: after.map(u64::from),
    });
    prop_oneof![
        4 => (bar.clone(), offset(), width.clone()).prop_map(|(bar, at, width)| Action::Read(bar, at, width)),
        12 => (bar, offset(), width, value()).prop_map(|(bar, at, width, v)| Action::Write(bar, at, width, v)),
        4 => (0u64..100_000).prop_map(Action::Wait),
        1 => faults.prop_map(Action::Fault),
        1 => (0usize..5).prop_map(|kind| Action::Load(AfuKind::ALL[kind])),
        1 => Just(Action::Reset),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn anything_may_be_written_anywhere(
        kind in 0usize..5,
        vsec: bool,
        v1: bool,
        integrated: bool,
        actions in prop::collection::vec(action(), 1..200),
    ) {
        let config = Config {
            discovery: if vsec { Discovery::Vsec } else { Discovery::PortOffsets },
            headers: if v1 { Headers::V1 } else { Headers::V0 },
            counters: if integrated { Counters::Integrated } else { Counters::Discrete },
            ..Config::with_ports(&[AfuKind::ALL[kind], AfuKind::HeMem])
        };
        let mut board = Board::new(config);
        if !vsec {
            board.release(0);
        }
        // Only the upper half of memory may be written.
        let half = MEMORY + MEMORY_BYTES as u64 / 2;
        *board.memory.writable.borrow_mut() = vec![(half, MEMORY + MEMORY_BYTES as u64)];
        let lower = board.memory.get(MEMORY, MEMORY_BYTES / 2);
        for action in actions {
            match action {
                Action::Read(bar, at, width) => {
                    let mut data = vec![0; width];
                    let _ = board.context(|model, cx| model.bar_read(cx, bar, at, &mut data));
                }
                Action::Write(bar, at, width, value) => {
                    let data = &value.to_le_bytes()[..width];
                    let _ = board.context(|model, cx| model.bar_write(cx, bar, at, data));
                }
                Action::Wait(nanos) => {
                    board.now += Duration::from_nanos(nanos);
                    for _ in 0..4 {
                        board.step();
                    }
                    board.context(|model, _| model.next_deadline());
                }
                Action::Fault(faults) => board.control.set_faults(0, faults),
                Action::Load(kind) => board.control.load(0, kind),
                Action::Reset => board.context(|model, cx| model.reset(cx, ResetKind::Function)),
            }
        }
        prop_assert_eq!(board.memory.get(MEMORY, MEMORY_BYTES / 2), lower);
        prop_assert!(board.irqs.take().iter().all(|&vector| vector < 11));
    }
}

#[test]
fn random_cards_repeat_with_their_seed_and_stay_within_their_bars() {
    let board = Board::new(Config::default());
    let mut walks = 0;
    for seed in 0..2_000 {
        let (mut card, mut again) = (RandomLists::new(seed), RandomLists::new(seed));
        let spec = card.spec();
        spec.check().unwrap();
        assert_eq!(spec, again.spec());
        let refused = card.refused();
        let cx = |card: &mut RandomLists, offset: u64| {
            let mut data = [0; 8];
            let (dma, irq) = (&board.memory, &board.irqs);
            let bells = NoBells;
            let mut cx = Context { dma, irq, doorbells: &bells, config: &NoConfig, now: board.now };
            card.bar_read(&mut cx, 0, offset, &mut data).map(|()| u64::from_le_bytes(data))
        };
        // A walk that a naive driver would make gets somewhere now and then.
        let (mut at, mut steps) = (0u64, 0);
        while steps < 50 {
            let Ok(header) = cx(&mut card, at) else { break };
            assert_eq!(Ok(header), cx(&mut again, at));
            let next = header >> 16 & 0xFF_FFFF;
            if header >> 60 != 3 && header >> 60 != 4 || next == 0 || header >> 40 & 1 == 1 {
                break;
            }
            at += next;
            steps += 1;
        }
        walks += u32::from(steps > 2);
        assert!(refused.load(Ordering::Relaxed) <= 1);
    }
    assert!(walks > 200, "{walks} walks of three and more");
}

#[test]
fn a_hostile_card_is_honest_until_it_is_told_otherwise() {
    let board = Board::new(Config::default());
    let mut card = Hostile::new(AfuModel::new(Config::default()), 7);
    let switch = card.switch();
    let mut read = |offset: u64| {
        let mut data = [0; 8];
        let mut cx = Context {
            dma: &board.memory,
            irq: &board.irqs,
            doorbells: &NoBells,
            config: &NoConfig,
            now: board.now,
        };
        card.bar_read(&mut cx, 0, offset, &mut data).unwrap();
        u64::from_le_bytes(data)
    };
    let honest = read(0x60);
    assert!((0..100).all(|_| read(0x60) == honest));
    assert_eq!(switch.lies(), 0);
    switch.set_rate(512);
    let wrong = (0..100).filter(|_| read(0x60) != honest).count();
    assert!((20..80).contains(&wrong), "{wrong} of 100");
    assert!(switch.lies() >= wrong as u64);
}

struct NoBells;

impl vfio_user_kit::Doorbells for NoBells {
    fn load(&self, _: usize) -> u32 {
        0
    }
    fn store(&self, _: usize, _: u32) {}
}
