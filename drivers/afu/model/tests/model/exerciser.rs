//! The host exerciser beyond plain tests: memory of its own, atomic operations, continuous mode, delay, interleave, stride,
//! interrupts, what it refuses.

use pmd_afu_model::{AfuKind, Config, Faults};

use crate::board::{AFU, Board, PORT};

const CTL: u64 = AFU + 0x138;
const STATUS0: u64 = AFU + 0x160;

struct Test {
    source: u64,
    destination: u64,
    dsm: u64,
    lines: usize,
}

/// Sets a test up on an exerciser that is out of reset.
fn set_up(board: &mut Board, lines: usize, cfg: u64) -> Test {
    let source = board.memory.patterned(64 * lines);
    let destination = board.memory.take(64 * lines);
    board.memory.put(destination, &vec![0xBE; 64 * lines]);
    let dsm = board.memory.take(4096);
    board.w32(2, CTL, 0);
    board.w32(2, CTL, 1);
    board.w(2, AFU + 0x110, dsm >> 6);
    board.w(2, AFU + 0x120, source >> 6);
    board.w(2, AFU + 0x128, destination >> 6);
    board.w(2, AFU + 0x130, lines as u64 - 1);
    board.w(2, AFU + 0x140, cfg);
    Test { source, destination, dsm, lines }
}

fn start(board: &mut Board) {
    board.w32(2, CTL, 3);
}

impl Test {
    fn done(&self, board: &Board) -> bool {
        board.memory.word(self.dsm) & 1 == 1
    }

    fn wait(&self, board: &mut Board) {
        assert!(board.wait_for(10_000, |board| self.done(board)), "the test ends");
    }

    /// (ticks, reads, writes)
    fn status(&self, board: &Board) -> (u64, u64, u64) {
        let word = board.memory.word(self.dsm + 8);
        let low = |at: u64| u64::from(board.memory.word32(self.dsm + at));
        let (reads, writes) = (low(0x10) | (word >> 48 & 0xFF) << 32, low(0x14) | word >> 56 << 32);
        (word & 0xFF_FFFF_FFFF, reads, writes)
    }

    fn line(&self, board: &Board, of: u64, line: usize) -> [u64; 8] {
        std::array::from_fn(|word| board.memory.word(of + 64 * line as u64 + 8 * word as u64))
    }
}

/// Runs a test to its end.
fn run(kind: AfuKind, lines: usize, cfg: u64) -> (Board, Test) {
    let mut board = Board::ready(kind);
    let test = set_up(&mut board, lines, cfg);
    start(&mut board);
    test.wait(&mut board);
    (board, test)
}

#[test]
fn loopback_through_the_cards_memory_is_the_same_data() {
    let (board, test) = run(AfuKind::HeMem, 1024, 0);
    assert_eq!(board.memory.get(test.source, 1 << 16), board.memory.get(test.destination, 1 << 16));
    assert_eq!(test.status(&board).1, test.lines as u64);
}

#[test]
fn other_modes_of_the_memory_exerciser_leave_the_hosts_memory_alone() {
    for (mode, counts) in [(1u64, (256, 0)), (2, (0, 256)), (3, (128, 128))] {
        let (mut board, test) = run(AfuKind::HeMem, 256, mode << 2);
        assert_eq!(board.memory.get(test.destination, 256 * 64), vec![0xBE; 256 * 64]);
        let (_, reads, writes) = test.status(&board);
        assert_eq!((reads, writes), counts);
        assert_eq!(board.model.traffic(0), (0, 2), "but for the status block");
        let info = board.r(2, AFU + 0x180);
        assert_eq!(info >> 27 & 0x1F, 4, "the card's memory is 64 bytes wide");
    }
}

#[test]
fn atomic_operations_change_the_source_and_keep_what_was_there() {
    for (bits, wide, operation) in [
        (0x1u64, false, "add"),
        (0x3, true, "add"),
        (0x5, false, "swap"),
        (0x7, true, "swap"),
        (0x9, false, "cas"),
        (0xB, true, "cas"),
    ] {
        let mut board = Board::ready(AfuKind::HeLpbk);
        let test = set_up(&mut board, 32, bits << 7);
        // Every third line has its number, so that a comparison hits.
        for line in (0..32u64).step_by(3) {
            board.memory.put(test.source + 64 * line, &line.to_le_bytes());
        }
        let before: Vec<[u64; 8]> = (0..32).map(|line| test.line(&board, test.source, line)).collect();
        start(&mut board);
        test.wait(&mut board);
        let mask = if wide { u64::MAX } else { 0xFFFF_FFFF };
        for (line, before) in before.iter().enumerate() {
            let number = line as u64;
            let new = match operation {
                "add" => before[0].wrapping_add(number),
                "swap" => number,
                _ if before[0] & mask == number & mask => !number,
                _ => before[0],
            };
            let after = test.line(&board, test.source, line);
            assert_eq!(after[0], before[0] & !mask | new & mask, "{operation} {wide} line {line}");
            assert_eq!(after[1..], before[1..], "the rest of the line");
            let copy = test.line(&board, test.destination, line);
            let old = 0xBEBE_BEBE_BEBE_BEBE;
            assert_eq!(copy[0], before[0] & mask | old & !mask, "{operation} {wide} line {line}");
            assert_eq!(copy[1..], [old; 7]);
        }
        assert_eq!((test.status(&board).1, test.status(&board).2), (32, 64));
    }
}

#[test]
fn a_card_without_atomics_says_so_and_refuses() {
    let mut board = Board::ready_with(Config { atomics: false, ..Config::with_ports(&[AfuKind::HeLpbk]) });
    assert_eq!(board.r(2, AFU + 0x180) >> 24 & 1, 1);
    let test = set_up(&mut board, 8, 1 << 7);
    start(&mut board);
    test.wait(&mut board);
    assert_ne!(board.memory.word(test.dsm) >> 32, 0, "an error");
    assert_eq!((test.status(&board).1, test.status(&board).2), (0, 0));
}

#[test]
fn what_it_cannot_run_is_an_error_at_once() {
    for cfg in [4u64 << 2, 7 << 2, 1 << 5 | 1 << 30] {
        let mut board = Board::ready(AfuKind::HeLpbk);
        let test = set_up(&mut board, 8, cfg | 1 << 28);
        start(&mut board);
        test.wait(&mut board);
        assert_eq!(board.memory.word(test.dsm) >> 32, 8, "configuration {cfg:#x}");
        assert_eq!(board.irqs.take(), [0], "interrupt on error");
        board.w32(2, CTL, 0);
        assert_eq!(board.r(2, AFU + 0x170), 0);
        let good = set_up(&mut board, 8, 0);
        start(&mut board);
        good.wait(&mut board);
        assert_eq!(board.memory.word(good.dsm) >> 32, 0);
    }
}

#[test]
fn continuous_mode_starts_over_until_it_is_told_to_stop() {
    for mode in 0..4u64 {
        let mut board = Board::ready(AfuKind::HeLpbk);
        let test = set_up(&mut board, 64, mode << 2 | 2);
        *board.memory.writable.borrow_mut() =
            vec![(test.destination, test.destination + 64 * 64), (test.dsm, test.dsm + 64)];
        start(&mut board);
        board.wait_us(500);
        assert!(!test.done(&board));
        board.w32(2, CTL, 5);
        test.wait(&mut board);
        let (ticks, reads, writes) = test.status(&board);
        assert_eq!(board.r(2, STATUS0), reads << 32 | writes);
        assert!(reads + writes > 64 * 10, "mode {mode}: {reads} {writes}");
        assert!(ticks > 500 * 400 * 9 / 10, "{ticks} ticks");
        assert_eq!(board.memory.violations.get(), 0, "it stays within its buffers");
        assert_eq!((reads > 0, writes > 0), (mode != 2, mode != 1));
    }
}

#[test]
fn delays_and_changes_of_direction_take_clocks() {
    let ticks = |cfg: u64| {
        let (board, test) = run(AfuKind::HeLpbk, 512, cfg);
        test.status(&board).0
    };
    assert!(ticks(1) > ticks(0), "random delays");
    assert_eq!(ticks(1), ticks(1), "the same ones each time");
    let interleave = |pattern: u64| ticks(3 << 2 | pattern << 20);
    assert!(interleave(0) > interleave(1) && interleave(1) > interleave(2));
    assert!(ticks(1 << 12) > ticks(2 << 12), "a data mover's headers are longer");
}

#[test]
fn a_stride_leaves_lines_out() {
    let mut board = Board::ready(AfuKind::HeLpbk);
    let test = set_up(&mut board, 32, 0);
    board.w(2, AFU + 0x130, 7);
    board.w(2, AFU + 0x178, 4);
    start(&mut board);
    test.wait(&mut board);
    assert_eq!((test.status(&board).1, test.status(&board).2), (8, 8));
    for line in 0..32 {
        let (from, to) = (test.line(&board, test.source, line), test.line(&board, test.destination, line));
        assert_eq!(from == to, line % 4 == 0, "line {line}");
    }
}

#[test]
fn the_end_interrupts_with_the_vector_that_was_asked_for() {
    let mut board = Board::ready(AfuKind::HeLpbk);
    let test = set_up(&mut board, 8, 1 << 29);
    board.w32(2, AFU + 0x150, 3 << 16 | 0x1234);
    start(&mut board);
    test.wait(&mut board);
    assert_eq!(board.irqs.take(), [3]);
    // One that the port does not have goes nowhere.
    let test = set_up(&mut board, 8, 1 << 29);
    board.w32(2, AFU + 0x150, 9 << 16);
    start(&mut board);
    test.wait(&mut board);
    assert_eq!(board.irqs.take(), [0; 0]);
}

#[test]
fn status_blocks_are_numbered() {
    let mut board = Board::ready(AfuKind::HeLpbk);
    for number in 0..3u64 {
        let test = set_up(&mut board, 8, 0);
        start(&mut board);
        test.wait(&mut board);
        assert_eq!(board.memory.word(test.dsm) >> 1 & 0x7FFF, number);
    }
}

#[test]
fn a_reset_of_the_test_ends_it_without_a_word() {
    let mut board = Board::ready(AfuKind::HeLpbk);
    let test = set_up(&mut board, 8, 2);
    start(&mut board);
    board.wait_us(10);
    board.w32(2, CTL, 0);
    assert_eq!((board.r(2, STATUS0), board.r(2, AFU + 0x168)), (0, 0));
    board.wait_us(100);
    assert!(!test.done(&board));
}

#[test]
fn a_reset_of_the_port_stops_all_access_to_memory() {
    let mut board = Board::ready(AfuKind::HeLpbk);
    set_up(&mut board, 64, 2);
    start(&mut board);
    board.wait_us(10);
    board.w(2, PORT + 0x38, 1);
    board.wait_us(10);
    let before = board.model.traffic(0);
    board.wait_us(1_000);
    assert_eq!(board.model.traffic(0), before);
}

#[test]
fn lines_that_are_corrupted_on_request_are_wrong_in_every_pass() {
    let mut board = Board::ready(AfuKind::HeLpbk);
    board.control.set_faults(0, Faults { corrupt_line: Some(5), ..Faults::default() });
    for _ in 0..2 {
        let test = set_up(&mut board, 8, 0);
        start(&mut board);
        test.wait(&mut board);
        for line in 0..8 {
            let same = test.line(&board, test.source, line) == test.line(&board, test.destination, line);
            assert_eq!(same, line != 5);
        }
    }
}
