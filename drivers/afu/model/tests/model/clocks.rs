//! The port's user clock.

use std::time::Duration;

use pmd_afu_model::{AfuKind, Config};

use crate::board::{Board, PORT};

const CMD0: u64 = PORT + 0x50;
const CMD1: u64 = PORT + 0x58;
const STS0: u64 = PORT + 0x60;
const STS1: u64 = PORT + 0x68;
const LOCKED: u64 = 1 << 60;

/// Writes a register of the PLL and waits for its sequence.
fn pll_write(board: &mut Board, address: u64, data: u64, sequence: u64) {
    board.w(2, CMD0, data | address << 32 | 1 << 44 | (sequence & 3) << 48 | 1 << 52);
    assert!(board.wait_for(10, |board| board.r(2, STS0) >> 48 & 3 == sequence & 3));
}

fn frequencies(board: &mut Board) -> (u64, u64) {
    let mut one = |high: u64| {
        board.w(2, CMD1, high << 32);
        board.wait_us(2_000);
        let status = board.r(2, STS1);
        assert_eq!((status >> 32 & 1, status >> 33 & 0x3_FFFF), (high, 10_000));
        status & 0x1_FFFF
    };
    (one(0), one(1))
}

#[test]
fn the_clock_runs_after_power_on() {
    let mut board = Board::new(Config::default());
    assert_eq!(board.r(2, STS0) & LOCKED, LOCKED);
    assert_eq!(frequencies(&mut board), (15_625, 31_250));
}

#[test]
fn counters_make_the_frequency_after_a_reset_of_the_pll() {
    let mut board = Board::ready(AfuKind::Dummy);
    // OPAE's table for 20 MHz: M = 16, N bypassed, C1 = 80, C0 = 40.
    let writes: [(u64, u64); 12] = [
        (0x104, 8),
        (0x107, 8),
        (0x105, 0),
        (0x100, 0),
        (0x102, 0),
        (0x101, 1 | 4 << 4),
        (0x11b, 0x14),
        (0x11e, 0x14),
        (0x11c, 0),
        (0x11f, 0x28),
        (0x122, 0x28),
        (0x120, 0),
    ];
    for (number, (address, data)) in (1..).zip(writes) {
        pll_write(&mut board, address, data, number);
        assert_eq!(board.r(2, STS0) & 0xFFFF_FFFF, data);
    }
    assert_eq!(frequencies(&mut board), (15_625, 31_250), "not before the reset");
    board.w(2, CMD0, 1 << 56 | 1 << 57);
    assert_eq!(board.r(2, STS0) & LOCKED, 0);
    assert_eq!(board.r(2, STS1) & 0x1_FFFF, 0, "it stands still");
    board.w(2, CMD0, 1 << 56);
    assert_eq!(board.r(2, STS0) & LOCKED, 0);
    board.wait_us(1_000);
    board.w(2, CMD0, 1 << 52);
    assert_eq!(board.r(2, STS0) & LOCKED, LOCKED);
    assert_eq!(frequencies(&mut board), (2_000, 4_000));
}

#[test]
fn what_the_oscillator_cannot_do_never_locks() {
    let mut board = Board::ready(AfuKind::Dummy);
    // M = 100: 10 GHz / 2.
    pll_write(&mut board, 0x104, 50, 1);
    pll_write(&mut board, 0x107, 50, 2);
    board.w(2, CMD0, 1 << 57 | 1 << 56);
    board.w(2, CMD0, 1 << 52);
    board.wait_us(1_000_000);
    assert_eq!(board.r(2, STS0) & LOCKED, 0);
}

#[test]
fn the_mailbox_takes_one_access_at_a_time() {
    let mut board = Board::ready(AfuKind::Dummy);
    board.w(2, CMD0, 0x104 << 32 | 1 << 48 | 1 << 52);
    assert_eq!(board.r(2, STS0) >> 48 & 3, 0, "not done yet");
    board.w(2, CMD0, 0x107 << 32 | 2 << 48 | 1 << 52);
    board.now += Duration::from_micros(3);
    let status = board.r(2, STS0);
    assert_eq!((status >> 63, status >> 48 & 3, status & 0xFF), (1, 1, 13), "the second one is an error");
    board.w(2, CMD0, 0);
    assert_eq!(board.r(2, STS0) >> 63, 0, "the interface was reset");
}
