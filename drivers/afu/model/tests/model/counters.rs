//! Performance counters: one event at a time, reset, freeze, the filter of a port.

use std::time::Duration;

use pmd_afu_model::{AfuKind, Config, Counters};

use crate::board::{AFU, Board};

const FAB_CTRL: u64 = 0x3020;
const FAB_CNTR: u64 = 0x3028;

/// Selects an event and returns its count.
fn count(board: &mut Board, event: u64, more: u64) -> u64 {
    board.w(0, FAB_CTRL, event << 16 | more);
    assert!(board.wait_for(2, |board| board.r(0, FAB_CNTR) >> 60 == event));
    board.r(0, FAB_CNTR) & ((1 << 60) - 1)
}

/// Lets the dummy accelerator copy a line.
fn copy(board: &mut Board, afu: u64) {
    let (source, destination) = (board.memory.patterned(64), board.memory.take(64));
    board.w(2, afu + 0x2050, source);
    board.w(2, afu + 0x2058, destination);
    board.w(2, afu + 0x2040, 0);
    board.w(2, afu + 0x2040, 1);
    board.wait_us(5);
}

fn two_ports() -> Board {
    let mut board = Board::new(Config::with_ports(&[AfuKind::Dummy, AfuKind::Dummy]));
    board.release(0);
    board.release(0x1_0000);
    board
}

#[test]
fn an_event_is_shown_some_time_after_it_was_selected() {
    let mut board = Board::new(Config::default());
    board.w(0, FAB_CTRL, 6 << 16);
    assert_eq!(board.r(0, FAB_CNTR) >> 60, 0);
    board.now += Duration::from_nanos(500);
    assert_eq!(board.r(0, FAB_CNTR) >> 60, 6);
}

#[test]
fn each_port_counts_and_all_of_them_together() {
    let mut board = two_ports();
    copy(&mut board, AFU);
    copy(&mut board, AFU);
    copy(&mut board, AFU + 0x4_0000);
    let filter = |port: u64| port << 20 | 1 << 23;
    for (more, copies) in [(0, 3), (filter(0), 2), (filter(1), 1), (filter(2), 0)] {
        assert_eq!(count(&mut board, 0, more), copies, "reads");
        assert_eq!(count(&mut board, 1, more), copies, "writes");
        assert_eq!(count(&mut board, 7, more), 4 * copies, "registers written");
        assert_eq!(count(&mut board, 2, more), 0, "there is no second PCIe link");
    }
    assert_eq!(board.model.traffic(0), (2, 2));
}

#[test]
fn counters_are_reset_and_frozen() {
    let mut board = two_ports();
    copy(&mut board, AFU);
    assert_eq!(count(&mut board, 0, 1), 0, "reset");
    copy(&mut board, AFU);
    assert_eq!(count(&mut board, 0, 0), 1);
    assert_eq!(count(&mut board, 0, 1 << 8), 1, "frozen");
    copy(&mut board, AFU);
    assert_eq!(count(&mut board, 0, 1 << 8), 1);
    assert_eq!(count(&mut board, 0, 0), 1, "what happened meanwhile does not count");
    copy(&mut board, AFU);
    assert_eq!(count(&mut board, 0, 0), 2);
}

#[test]
fn the_clock_counts_time_and_nothing_stops_it() {
    let mut board = Board::new(Config::default());
    let before = board.r(0, 0x3030);
    board.w(0, FAB_CTRL, 1 | 1 << 8);
    board.now += Duration::from_millis(1);
    assert_eq!(board.r(0, 0x3030) - before, 200_000, "200 MHz");
}

#[test]
fn only_an_integrated_card_counts_cache_and_iommu() {
    for counters in [Counters::Discrete, Counters::Integrated] {
        let mut board = Board::new(Config { counters, ..Config::with_ports(&[AfuKind::Dummy]) });
        board.release(0);
        for _ in 0..3 {
            copy(&mut board, AFU);
        }
        let there = counters == Counters::Integrated;
        // (control, counter, event, count): read misses; IOMMU reads, and hits; IOTLB misses.
        for (control, counter, event, expected) in
            [(0x3008, 0x3010, 2, 3), (0x3038, 0x3040, 0, 3), (0x3038, 0x3040, 2, 0), (0x3048, 0x3050, 6, 6)]
        {
            board.w(0, control, event << 16);
            board.wait_us(1);
            let value = board.r(0, counter);
            let expected = if there { event << 60 | expected } else { 0 };
            assert_eq!(value, expected, "{counters:?} {counter:#x} event {event}");
        }
    }
}
