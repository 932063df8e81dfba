//! Native loopback and HE-LBK: every mode and length, the status block, what goes wrong.

use pmd_afu_model::{AfuKind, Faults};

use crate::board::{AFU, Board, PORT};

const SRC: u64 = AFU + 0x120;
const DST: u64 = AFU + 0x128;
const LINES: u64 = AFU + 0x130;
const CTL: u64 = AFU + 0x138;
const CFG: u64 = AFU + 0x140;
const STATUS0: u64 = AFU + 0x160;
const STATUS1: u64 = AFU + 0x168;

/// Buffers of a test.
struct Buffers {
    source: u64,
    destination: u64,
    dsm: u64,
}

fn buffers(board: &Board, lines: usize) -> Buffers {
    let source = board.memory.patterned(64 * lines);
    let destination = board.memory.take(64 * lines);
    board.memory.put(destination, &vec![0xBE; 64 * lines]);
    Buffers { source, destination, dsm: board.memory.take(4096) }
}

/// Sets a test of NLB0 up and starts it.
fn start_nlb(board: &mut Board, buffers: &Buffers, lines: u32, cfg: u32) {
    board.w(2, AFU + 0x110, buffers.dsm);
    board.w32(2, CTL, 0);
    board.w32(2, CTL, 1);
    board.w(2, SRC, buffers.source >> 6);
    board.w(2, DST, buffers.destination >> 6);
    board.w32(2, LINES, lines);
    board.w32(2, CFG, cfg);
    board.w32(2, CTL, 3);
}

/// The same for a host exerciser, whose lines are counted from 0.
fn start_he(board: &mut Board, buffers: &Buffers, lines: u64, cfg: u64) {
    board.w32(2, CTL, 0);
    board.w32(2, CTL, 1);
    board.w(2, AFU + 0x110, buffers.dsm >> 6);
    board.w(2, SRC, buffers.source >> 6);
    board.w(2, DST, buffers.destination >> 6);
    board.w(2, LINES, lines - 1);
    board.w(2, CFG, cfg);
    board.w32(2, CTL, 3);
}

fn nlb_done(board: &Board, buffers: &Buffers) -> bool {
    board.memory.word32(buffers.dsm + 0x40) & 1 == 1
}

fn he_done(board: &Board, buffers: &Buffers) -> bool {
    board.memory.word(buffers.dsm) & 1 == 1
}

/// (clocks, reads, writes) of NLB0's status block.
fn nlb_status(board: &Board, buffers: &Buffers) -> (u64, u32, u32) {
    let at = buffers.dsm;
    (board.memory.word(at + 0x48), board.memory.word32(at + 0x50), board.memory.word32(at + 0x54))
}

fn he_status(board: &Board, buffers: &Buffers) -> (u64, u32, u32) {
    let at = buffers.dsm;
    let ticks = board.memory.word(at + 8) & 0xFF_FFFF_FFFF;
    (ticks, board.memory.word32(at + 0x10), board.memory.word32(at + 0x14))
}

fn same(board: &Board, buffers: &Buffers, lines: usize) -> bool {
    board.memory.get(buffers.source, 64 * lines) == board.memory.get(buffers.destination, 64 * lines)
}

#[test]
fn hello_fpga_copies_a_mebibyte() {
    let mut board = Board::ready(AfuKind::Nlb0);
    let lines = (1 << 20) / 64;
    let buffers = buffers(&board, lines);
    start_nlb(&mut board, &buffers, lines as u32, 0x42000);
    assert_ne!(board.r(2, STATUS1), 0, "requests are under way");
    assert!(board.wait_for(1_000, |board| nlb_done(board, &buffers)));
    board.w32(2, CTL, 7);
    assert_eq!(board.r(2, STATUS1), 0, "drained");
    assert!(same(&board, &buffers, lines));
    let (clocks, reads, writes) = nlb_status(&board, &buffers);
    assert_eq!((reads, writes), (lines as u32, lines as u32));
    assert_eq!(board.r(2, STATUS0), (lines as u64) << 32 | lines as u64);
    // 400 MHz: at most 12.8 GB/s, at least half of it.
    let bytes_a_clock = (64 * lines) as f64 / clocks as f64;
    assert!((16.0..=32.0).contains(&bytes_a_clock), "{bytes_a_clock}");
    assert_eq!(board.r(2, AFU + 0x170) >> 32 & 0xFFFF, 400, "MHz");
}

#[test]
fn native_loopback_has_four_modes_and_three_lengths() {
    for (mode, cfg) in [("lpbk", 0), ("read", 4), ("write", 8), ("trput", 0xC)] {
        for (burst, length) in [(1, 0), (2, 0x20), (4, 0x60)] {
            let mut board = Board::ready(AfuKind::Nlb0);
            let buffers = buffers(&board, 64);
            start_nlb(&mut board, &buffers, 64, cfg | length);
            assert!(board.wait_for(100, |board| nlb_done(board, &buffers)), "{mode} {burst}");
            let (_, reads, writes) = nlb_status(&board, &buffers);
            let expected = match mode {
                "read" => (64, 0),
                "write" => (0, 64),
                _ => (64, 64),
            };
            assert_eq!((reads, writes), expected, "{mode} {burst}");
            assert_eq!(board.memory.word32(buffers.dsm + 0x44), 0, "no error");
            match mode {
                "lpbk" => assert!(same(&board, &buffers, 64)),
                "read" => assert_eq!(board.memory.get(buffers.destination, 64), [0xBE; 64]),
                _ => {
                    for line in 0..64u32 {
                        let words = board.memory.get(buffers.destination + 64 * u64::from(line), 20);
                        assert_eq!(words[..4], (line % burst).to_le_bytes());
                        assert_eq!(words[4..8], 0xFEED_F00Du32.to_le_bytes());
                    }
                }
            }
        }
    }
}

#[test]
fn longer_requests_take_fewer_clocks() {
    let clocks = |cfg: u32| {
        let mut board = Board::ready(AfuKind::Nlb0);
        let buffers = buffers(&board, 1024);
        start_nlb(&mut board, &buffers, 1024, cfg);
        assert!(board.wait_for(1_000, |board| nlb_done(board, &buffers)));
        nlb_status(&board, &buffers).0
    };
    let (one, two, four) = (clocks(0), clocks(0x20), clocks(0x60));
    assert!(one > two && two > four, "{one} {two} {four}");
    assert_eq!(one, clocks(0), "the same test takes the same clocks");
}

#[test]
fn a_test_takes_the_time_that_its_clocks_say() {
    let mut board = Board::ready(AfuKind::Nlb0);
    let buffers = buffers(&board, 4096);
    let start = board.now;
    start_nlb(&mut board, &buffers, 4096, 0);
    assert!(board.wait_for(1_000, |board| nlb_done(board, &buffers)));
    let took = (board.now - start).as_nanos() as u64;
    let clocks = nlb_status(&board, &buffers).0;
    assert!(
        took * 400 / 1000 >= clocks && took * 400 / 1000 < clocks + 2 * 400,
        "{took} ns, {clocks} clocks"
    );
}

#[test]
fn continuous_loopback_goes_on_until_it_is_stopped() {
    let mut board = Board::ready(AfuKind::Nlb0);
    let buffers = buffers(&board, 16);
    start_nlb(&mut board, &buffers, 16, 2);
    board.wait_us(1_000);
    assert!(!nlb_done(&board, &buffers));
    board.w32(2, CTL, 7);
    assert!(board.wait_for(10, |board| nlb_done(board, &buffers)));
    let (clocks, reads, writes) = nlb_status(&board, &buffers);
    assert!(reads > 16 && reads == writes, "{reads} {writes}");
    assert!(clocks > 300_000, "{clocks} clocks in a millisecond at 400 MHz");
    assert!(same(&board, &buffers, 16));
}

#[test]
fn what_native_loopback_cannot_do_is_an_error_of_the_port() {
    for (cfg, shift, error) in [(0x40, 0, 1u64 << 2), (0x20, 64, 1 << 3 | 1 << 19), (0x10, 0, 1 << 1)] {
        let mut board = Board::ready(AfuKind::Nlb0);
        let mut buffers = buffers(&board, 64);
        buffers.source += shift;
        buffers.destination += shift;
        start_nlb(&mut board, &buffers, 16, cfg);
        board.wait_us(100);
        assert!(!nlb_done(&board, &buffers));
        assert_eq!(board.r(2, PORT + 0x1010), error, "configuration {cfg:#x}");
        assert_eq!(board.irqs.take(), [4]);
    }
}

#[test]
fn the_host_exerciser_has_every_mode_and_length() {
    for (mode, cfg) in [("lpbk", 0u64), ("read", 1 << 2), ("write", 2 << 2), ("trput", 3 << 2)] {
        for length in 0..=4u64 {
            let mut board = Board::ready(AfuKind::HeLpbk);
            let buffers = buffers(&board, 256);
            start_he(&mut board, &buffers, 256, cfg | (length & 3) << 5 | (length >> 2) << 30);
            assert!(board.wait_for(100, |board| he_done(board, &buffers)), "{mode} {length}");
            let (ticks, reads, writes) = he_status(&board, &buffers);
            let expected = match mode {
                "lpbk" => (256, 256),
                "read" => (256, 0),
                "write" => (0, 256),
                _ => (128, 128),
            };
            assert_eq!((reads, writes), expected, "{mode} {length}");
            assert_eq!(board.r(2, STATUS0), u64::from(reads) << 32 | u64::from(writes));
            assert!(ticks > 0);
            assert_eq!(mode == "lpbk", same(&board, &buffers, 256), "{mode}");
            assert_eq!(board.memory.word(buffers.dsm) >> 32, 0, "no error");
        }
    }
}

#[test]
fn the_exerciser_takes_its_configuration_only_between_reset_and_start() {
    let mut board = Board::ready(AfuKind::HeLpbk);
    board.w(2, SRC, 0x1111);
    assert_eq!(board.r(2, SRC), 0, "in reset");
    board.w32(2, CTL, 1);
    board.w(2, SRC, 0x1111);
    assert_eq!(board.r(2, SRC), 0x1111);
    board.w32(2, CTL, 3);
    board.w(2, SRC, 0x2222);
    assert_eq!(board.r(2, SRC), 0x1111, "a test was started");
    board.w(2, LINES, u64::MAX);
    assert_eq!(board.r(2, LINES), 0xF_FFFF);
    board.w(2, AFU + 0x178, u64::MAX);
    assert_eq!(board.r(2, AFU + 0x178), 0x3F);
    let info = board.r(2, AFU + 0x180);
    assert_eq!((info & 0xFFFF, info >> 16 & 0xFF, info >> 24 & 1, info >> 25 & 3), (400, 4, 0, 1));
}

#[test]
fn a_stalled_accelerator_never_ends_and_a_reset_frees_it() {
    let mut board = Board::ready(AfuKind::HeLpbk);
    let buffers = buffers(&board, 16);
    board.control.set_faults(0, Faults { stalled: true, ..Faults::default() });
    start_he(&mut board, &buffers, 16, 0);
    board.wait_us(1_000_000);
    assert!(!he_done(&board, &buffers));
    assert_ne!(board.r(2, STATUS1), 0);
    board.w(2, PORT + 0x38, 1);
    board.wait_us(10);
    board.control.set_faults(0, Faults::default());
    board.release(PORT);
    start_he(&mut board, &buffers, 16, 0);
    assert!(board.wait_for(100, |board| he_done(board, &buffers)));
    assert!(same(&board, &buffers, 16));
}

#[test]
fn one_corrupt_line_is_one_wrong_bit() {
    for kind in [AfuKind::Nlb0, AfuKind::HeLpbk, AfuKind::HeMem] {
        let mut board = Board::ready(kind);
        let buffers = buffers(&board, 200);
        board.control.set_faults(0, Faults { corrupt_line: Some(133), ..Faults::default() });
        match kind {
            AfuKind::Nlb0 => start_nlb(&mut board, &buffers, 200, 0),
            _ => start_he(&mut board, &buffers, 200, 0),
        }
        board.wait_us(100);
        let source = board.memory.get(buffers.source, 64 * 200);
        let destination = board.memory.get(buffers.destination, 64 * 200);
        let wrong: Vec<usize> = (0..64 * 200).filter(|&at| source[at] != destination[at]).collect();
        assert_eq!(wrong, [64 * 133], "{kind:?}");
    }
}

#[test]
fn memory_that_is_not_there_ends_the_test_with_an_error() {
    for (source, destination, code) in [(0x1000, 0, 1u64), (0, 0x1000, 2)] {
        let mut board = Board::ready(AfuKind::HeLpbk);
        board.w(0, 0x4018, 0);
        let mut buffers = buffers(&board, 16);
        if source != 0 {
            buffers.source = source;
        }
        if destination != 0 {
            buffers.destination = destination;
        }
        start_he(&mut board, &buffers, 16, 1 << 28);
        assert!(board.wait_for(100, |board| he_done(board, &buffers)));
        assert_eq!(board.memory.word(buffers.dsm) >> 32, code);
        assert_eq!(board.r(2, AFU + 0x170), code);
        assert_eq!(board.r(2, PORT + 0x1010), 1 << 48, "page fault");
        assert_eq!(board.r(2, PORT + 0x1020), 0x1000, "the address that was refused");
        assert_eq!(board.r(0, 0x4020), if code == 1 { 1 << 6 } else { 0 }, "a completion with an error");
        let vectors = board.irqs.take();
        assert!(
            vectors.contains(&0) && vectors.contains(&4),
            "user interrupt 0 and the port's error: {vectors:?}"
        );
        // The card is usable afterwards.
        board.w32(2, CTL, 0);
        let good = self::buffers(&board, 16);
        start_he(&mut board, &good, 16, 0);
        assert!(board.wait_for(100, |board| he_done(board, &good)));
        assert!(same(&board, &good, 16));
    }
}

#[test]
fn dma_that_fails_in_the_middle_is_told() {
    let mut board = Board::ready(AfuKind::HeLpbk);
    let buffers = buffers(&board, 256);
    board.control.set_faults(0, Faults { dma_fails_after: Some(200), ..Faults::default() });
    start_he(&mut board, &buffers, 256, 0);
    board.wait_us(1_000);
    assert!(!he_done(&board, &buffers), "not even the status block can be written");
    assert_eq!(board.r(2, AFU + 0x170) & 0b111, 0b110);
    assert_eq!(board.r(2, PORT + 0x1010), 1 << 48);
    assert_eq!(board.r(2, STATUS1), 0, "nothing is under way");
}
