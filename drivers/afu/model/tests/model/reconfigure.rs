//! Partial reconfiguration: the handshake, credits, what is taken and what is refused.

use pmd_afu::guid;
use pmd_afu_model::{AfuKind, Config, bitstream};
use uuid::Uuid;

use crate::board::{AFU, Board};

const CTRL: u64 = 0x5008;
const STS: u64 = 0x5010;
const DATA: u64 = 0x5018;
const ERR: u64 = 0x5020;
const START: u64 = 1 << 12;
const COMPLETE: u64 = 1 << 13;
const BUSY: u64 = 1 << 16;

fn good(kind: AfuKind) -> Vec<u8> {
    bitstream::build(Config::default().interface_id, kind.guid(), 4096)
}

/// Resets the engine, as each reconfiguration begins.
fn reset(board: &mut Board, port: u64) {
    board.w(0, CTRL, 1);
    assert!(board.wait_for(100, |board| board.r(0, CTRL) & 1 << 4 != 0), "the reset is acknowledged");
    board.w(0, CTRL, 0);
    assert_eq!(board.r(0, STS) & BUSY, 0);
    board.w(0, CTRL, port << 7);
}

/// Pushes words as fast as there are credits.
fn push(board: &mut Board, bytes: &[u8]) {
    for word in bytes.chunks(4) {
        assert!(board.wait_for(100, |board| board.r(0, STS) & 0x1FF > 1), "credit");
        board.w(0, DATA, u32::from_le_bytes(word.try_into().unwrap()).into());
    }
}

/// Does all of it. Returns the errors.
fn load(board: &mut Board, port: u64, bytes: &[u8]) -> u64 {
    reset(board, port);
    board.w(0, CTRL, START | port << 7);
    push(board, bytes);
    let control = board.r(0, CTRL);
    board.w(0, CTRL, control | COMPLETE);
    assert!(board.wait_for(100_000, |board| board.r(0, CTRL) & START == 0), "the end");
    let busy = board.r(0, STS) & BUSY != 0;
    let errors = board.r(0, ERR);
    assert_eq!(busy, errors != 0, "errors are shown as busy");
    errors
}

#[test]
fn a_bitstream_makes_another_accelerator() {
    let mut board = Board::ready_with(Config::with_ports(&[AfuKind::Nlb0, AfuKind::Nlb0]));
    board.release(0x1_0000);
    assert_eq!(load(&mut board, 1, &good(AfuKind::HeMem)), 0);
    assert_eq!(board.model.accelerator(0), Some(AfuKind::Nlb0));
    assert_eq!(board.model.accelerator(1), Some(AfuKind::HeMem));
    let (low, high) = guid::words(guid::HE_MEM);
    let afu = AFU + 0x4_0000;
    assert_eq!((board.r(2, afu + 8), board.r(2, afu + 16)), (low, high));
}

#[test]
fn the_interface_id_is_shown() {
    let mut board = Board::new(Config::default());
    let (low, high) = guid::words(Config::default().interface_id);
    assert_eq!((board.r(0, 0x50A8), board.r(0, 0x50B0)), (low, high));
}

#[test]
fn an_accelerator_does_not_answer_while_it_is_replaced() {
    let mut board = Board::ready(AfuKind::Nlb0);
    reset(&mut board, 0);
    board.w(0, CTRL, START);
    assert_eq!(board.r(2, AFU + 8), u64::MAX);
    assert_eq!(board.r(2, 0x1010), 1 << 9);
    push(&mut board, &good(AfuKind::Dummy));
    board.w(0, CTRL, START | COMPLETE);
    assert_eq!(board.r(2, AFU + 8), u64::MAX);
    board.wait_us(10_000);
    assert_ne!(board.r(2, AFU + 8), u64::MAX);
}

#[test]
fn what_is_wrong_with_a_bitstream_is_told_and_changes_nothing() {
    let own = good(AfuKind::HeLpbk);
    let mut corrupt = own.clone();
    *corrupt.last_mut().unwrap() ^= 1;
    let foreign = bitstream::build(Uuid::from_u128(7), guid::HE_LBK, 64);
    let unknown = bitstream::build(Config::default().interface_id, Uuid::from_u128(7), 64);
    for (what, bytes, error) in [
        ("another card's", foreign, 1 << 2),
        ("an accelerator nobody has", unknown, 1 << 2),
        ("no bitstream", vec![0x7F; 400], 1 << 2),
        ("corrupt", corrupt, 1 << 1),
        ("truncated", own[..own.len() - 4].to_vec(), 1 << 0),
        ("a header only", own[..40].to_vec(), 1 << 0),
        ("nothing", vec![], 1 << 0),
    ] {
        let mut board = Board::ready(AfuKind::Nlb0);
        assert_eq!(load(&mut board, 0, &bytes), error, "{what}");
        assert_eq!(board.model.accelerator(0), Some(AfuKind::Nlb0), "{what}");
        board.w(0, ERR, error);
        assert_eq!(board.r(0, STS) & BUSY, 0, "cleared by writing back");
        assert_eq!(load(&mut board, 0, &own), 0, "the next one is taken after {what}");
        assert_eq!(board.model.accelerator(0), Some(AfuKind::HeLpbk));
    }
}

#[test]
fn the_protocol_is_kept_or_there_is_an_error() {
    let mut board = Board::ready(AfuKind::Nlb0);
    reset(&mut board, 0);
    board.w(0, DATA, 5);
    assert_eq!((board.r(0, ERR), board.r(0, STS) & BUSY), (1 << 3, BUSY), "data without a start");
    reset(&mut board, 0);
    assert_eq!(board.r(0, ERR), 0, "a reset clears");
    board.w(0, CTRL, COMPLETE);
    assert_eq!(board.r(0, ERR), 1 << 3, "an end without a start");
    reset(&mut board, 3);
    board.w(0, CTRL, START | 3 << 7);
    assert_eq!(board.r(0, ERR), 1 << 0, "no such port");
    assert_eq!(board.r(0, CTRL) & START, 0);
}

#[test]
fn words_without_credit_are_lost_and_told() {
    let mut board = Board::ready(AfuKind::Nlb0);
    reset(&mut board, 0);
    board.w(0, CTRL, START);
    assert_eq!(board.r(0, STS) & 0x1FF, 511);
    for word in 0..600 {
        board.w(0, DATA, word);
    }
    assert_eq!(board.r(0, STS) & 0x1FF, 0);
    assert_eq!(board.r(0, ERR), 1 << 4);
    board.w(0, CTRL, START | COMPLETE);
    board.wait_us(100_000);
    assert_eq!(board.model.accelerator(0), Some(AfuKind::Nlb0));
    assert_eq!(board.r(0, STS) & BUSY, BUSY);
}

#[test]
fn a_reset_in_the_middle_ends_it() {
    let mut board = Board::ready(AfuKind::Nlb0);
    reset(&mut board, 0);
    board.w(0, CTRL, START);
    push(&mut board, &good(AfuKind::Dummy)[..400]);
    reset(&mut board, 0);
    assert_eq!(board.model.accelerator(0), Some(AfuKind::Nlb0));
    assert_eq!(load(&mut board, 0, &good(AfuKind::Dummy)), 0);
    assert_eq!(board.model.accelerator(0), Some(AfuKind::Dummy));
}
