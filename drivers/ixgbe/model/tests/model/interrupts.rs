//! Causes, masks, vectors, moderation.

use crate::board::{Board, MAC, cmd, frame};

const EICR: u64 = 0x800;
const EICS: u64 = 0x808;
const EIAC: u64 = 0x810;
const EITR: u64 = 0x820;
const EIMS: u64 = 0x880;
const EIMC: u64 = 0x888;
const EIAM: u64 = 0x890;
const GPIE: u64 = 0x898;
const IVAR: u64 = 0x900;
const IVAR_MISC: u64 = 0xA00;
const EIMS_EX: u64 = 0xAA0;
const EIMC_EX: u64 = 0xAB0;
const EIAM_EX: u64 = 0xAD0;
const LSC: u32 = 1 << 20;

/// A board whose start-up causes were read.
fn board() -> Board {
    let mut board = Board::ready();
    board.r(EICR);
    board
}

/// Linux's way: MSI-X with auto-mask, other causes cleared by writing.
fn msix() -> Board {
    let mut board = board();
    board.w(GPIE, 1 << 4 | 1 << 5 | 1 << 30 | 1 << 31);
    board.w(EIAC, 0xFFFF);
    board
}

fn fired(board: &Board) -> Vec<u32> {
    std::mem::take(&mut *board.irqs.msi.borrow_mut())
}

#[test]
fn the_pin_follows_cause_and_mask() {
    let mut board = board();
    board.w(EICS, LSC);
    board.step();
    assert!(!board.irqs.pin.get(), "masked");
    board.w(EIMS, LSC);
    board.step();
    assert!(board.irqs.pin.get());
    assert_eq!(board.r(EIMS), LSC);
    assert_eq!(board.r(EICR), LSC | 1 << 31, "with the summary bit");
    assert!(!board.irqs.pin.get(), "reading clears");
    board.w(EICS, LSC);
    board.step();
    board.w(EIMC, LSC);
    assert!(!board.irqs.pin.get(), "masking lowers it at once");
    assert_eq!(board.r(EIMS), 0);
}

#[test]
fn a_queue_in_legacy_mode_sets_the_bit_of_its_ivar() {
    let mut board = board();
    board.w(IVAR, 0x80 | 3 | (0x80 | 5) << 8);
    board.rx_ring(0, 8);
    let mut ring = board.tx_ring(0, 8);
    board.w(EIMS, 0xFFFF);
    board.inject(&frame(MAC, 60));
    assert!(board.irqs.pin.get());
    assert_eq!(board.r(EICS), 1 << 3, "EICS reads the causes and clears none");
    assert_eq!(board.r(EICR), 1 << 3);
    ring.send(&mut board, &frame(MAC, 60), 0);
    assert_eq!(board.r(EICR), 0, "no RS, no cause");
    ring.send(&mut board, &frame(MAC, 60), cmd::RS);
    assert_eq!(board.r(EICR), 1 << 5);
}

#[test]
fn eiam_masks_on_reading_in_legacy_mode() {
    let mut board = board();
    board.w(EIAM, 0xFFFF);
    board.w(EIMS, 0xFFFF | LSC);
    board.w(EICS, 1);
    board.step();
    board.r(EICR);
    assert_eq!(board.r(EIMS), LSC);
}

#[test]
fn msix_vectors_fire_once_per_event_and_clear_and_mask_themselves() {
    let mut board = msix();
    board.w(IVAR, 0x80 | 7);
    board.w(EIAM_EX, u32::MAX);
    board.w(EIMS_EX, 1 << 7);
    board.rx_ring(0, 64);
    board.inject(&frame(MAC, 60));
    assert_eq!(fired(&board), [7]);
    assert_eq!(board.r(EIMS_EX) & 1 << 7, 0, "auto-mask");
    assert_eq!(board.r(EICS) & 1 << 7, 0, "auto-clear");
    board.inject(&frame(MAC, 60));
    board.inject(&frame(MAC, 60));
    assert!(fired(&board).is_empty(), "masked");
    board.w(EIMS_EX, 1 << 7);
    board.step();
    assert_eq!(fired(&board), [7], "what came meanwhile");
    board.w(EIMS_EX, 1 << 7);
    board.step();
    assert!(fired(&board).is_empty(), "nothing new");
}

#[test]
fn vectors_above_31_have_their_registers() {
    let mut board = msix();
    board.w(IVAR + 4 * 2, (0x80 | 45) << 16); // receive queue 5
    board.w(EIMS_EX + 4, 1 << (45 - 32));
    board.w(0x5818, 1 | 1 << 16);
    board.rx_ring(5, 8);
    board.w(0x5128, 1 << 31 | 0x88B5);
    board.w(0xEC00, 1 << 31 | 5 << 16);
    board.inject(&frame(MAC, 60));
    assert_eq!(fired(&board), [45]);
    board.w(EIMC_EX + 4, 1 << (45 - 32));
    board.inject(&frame(MAC, 60));
    assert!(fired(&board).is_empty());
}

#[test]
fn other_causes_go_to_their_vector_and_stay_until_written() {
    let mut board = msix();
    board.w(IVAR_MISC, (0x80 | 9) << 8);
    board.w(EIMS, LSC | 1 << 30 | 1 << 31);
    let esdp = board.r(0x20);
    board.w(0x20, esdp | 1 << 3); // laser off
    board.step();
    assert_eq!(fired(&board), [9]);
    assert_eq!(board.r(EICS) & LSC, LSC);
    board.step();
    assert!(fired(&board).is_empty());
    board.w(EICR, LSC);
    assert_eq!(board.r(EICS), 0);
}

#[test]
fn with_ocd_reading_clears_only_the_other_causes() {
    let mut board = msix();
    board.w(EICS, LSC | 3);
    assert_eq!(board.r(EICR) & (LSC | 3), LSC | 3);
    assert_eq!(board.r(EICR) & (LSC | 3), 3);
}

#[test]
fn the_interval_of_eitr_holds_interrupts_back() {
    let mut board = msix();
    board.w(IVAR, 0x80);
    board.w(EITR, 25 << 3); // 51.2 µs
    board.w(EIMS, 1);
    board.rx_ring(0, 64);
    board.inject(&frame(MAC, 60));
    assert_eq!(fired(&board), [0]);
    board.inject(&frame(MAC, 60));
    board.wait_us(20);
    board.inject(&frame(MAC, 60));
    assert!(fired(&board).is_empty());
    board.wait_us(40);
    assert_eq!(fired(&board), [0], "both at once");
    board.wait_us(100);
    assert!(fired(&board).is_empty());
}

#[test]
fn a_queue_without_a_valid_ivar_raises_nothing() {
    let mut board = msix();
    board.w(IVAR, 0x07);
    board.w(EIMS_EX, u32::MAX);
    board.rx_ring(0, 8);
    board.inject(&frame(MAC, 60));
    assert!(fired(&board).is_empty());
}

#[test]
fn a_reset_takes_causes_masks_and_the_pin_away() {
    let mut board = board();
    board.w(EIMS, LSC);
    board.w(EICS, LSC);
    board.step();
    assert!(board.irqs.pin.get());
    board.w(0, 1 << 26);
    assert!(!board.irqs.pin.get());
    board.wait_us(10);
    assert_eq!((board.r(EIMS), board.r(EICS)), (0, 0));
}
