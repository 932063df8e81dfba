//! Port reset: both acknowledgements take their time; who touches the accelerator meanwhile is told.

use std::time::Duration;

use pmd_afu_model::{AfuKind, Config, Faults};
use vfio_user_kit::{DeviceModel, ResetKind};

use crate::board::{AFU, Board, PORT};

const CTRL: u64 = PORT + 0x38;

#[test]
fn a_port_is_in_reset_after_power_on() {
    let mut board = Board::new(Config::default());
    assert_eq!(board.r(2, CTRL) & 0x11, 0x11);
    assert_eq!(board.model.port_in_reset(0), Some(true));
}

#[test]
fn both_acknowledgements_come_later() {
    let mut board = Board::new(Config::default());
    board.w(2, CTRL, 0);
    assert_eq!(board.r(2, CTRL) & 0x11, 0x10, "the end is requested, not acknowledged");
    board.now += Duration::from_nanos(4_999);
    assert_eq!(board.r(2, CTRL) & 0x11, 0x10);
    board.now += Duration::from_nanos(1);
    assert_eq!(board.r(2, CTRL) & 0x11, 0);
    board.w(2, CTRL, 1);
    assert_eq!(board.r(2, CTRL) & 0x11, 0x01);
    board.now += Duration::from_micros(5);
    assert_eq!(board.r(2, CTRL) & 0x11, 0x11);
}

#[test]
fn other_bits_of_control_do_not_reset() {
    let mut board = Board::ready(AfuKind::Nlb0);
    board.w(2, CTRL, 1 << 2 | 1 << 4);
    assert_eq!(board.r(2, CTRL), 1 << 2, "the acknowledgement is the hardware's, the latency bit is kept");
}

#[test]
fn an_accelerator_in_reset_does_not_answer_and_the_port_tells() {
    let mut board = Board::ready(AfuKind::Nlb0);
    board.w(2, AFU + 0x100, 0x1234);
    assert_eq!(board.r(2, AFU + 0x100), 0x1234);
    board.w(2, CTRL, 1);
    assert_eq!(board.r(2, AFU + 0x100), u64::MAX);
    assert_eq!(board.r(2, PORT + 0x1010), 1 << 9);
    assert_eq!(board.irqs.take(), [4], "the port's error vector");
    board.w(2, AFU + 0x100, 5);
    assert_eq!(board.r(2, PORT + 0x1010), 1 << 9 | 1 << 10);
    assert_eq!(board.r(2, PORT + 0x1018), 1 << 9, "the first one");
    assert_eq!(board.r(0, 0x4050), 0, "the FME's errors are masked");
    board.wait_us(10);
    board.release(PORT);
    assert_eq!(board.r(2, AFU + 0x100), 0, "the accelerator starts over");
}

#[test]
fn masked_errors_are_not_latched() {
    let mut board = Board::ready(AfuKind::Nlb0);
    board.w(2, PORT + 0x1008, u64::MAX);
    board.w(2, CTRL, 1);
    board.r(2, AFU);
    assert_eq!(board.r(2, PORT + 0x1010), 0);
    assert_eq!(board.irqs.take(), [0; 0]);
}

#[test]
fn errors_clear_by_writing_back_what_was_read() {
    let mut board = Board::ready(AfuKind::Nlb0);
    board.control.raise_port_error(0, 1 << 48 | 1 << 3);
    let errors = board.r(2, PORT + 0x1010);
    assert_eq!(errors, 1 << 48 | 1 << 3);
    board.w(2, PORT + 0x1010, 1 << 3);
    assert_eq!(board.r(2, PORT + 0x1010), 1 << 48);
    board.w(2, PORT + 0x1010, u64::MAX);
    let first = board.r(2, PORT + 0x1018);
    board.w(2, PORT + 0x1018, first);
    assert_eq!((board.r(2, PORT + 0x1010), board.r(2, PORT + 0x1018)), (0, 0));
}

#[test]
fn a_stuck_reset_is_never_acknowledged_until_it_is_free() {
    let mut board = Board::ready(AfuKind::Nlb0);
    board.control.set_faults(0, Faults { reset_stuck: true, ..Faults::default() });
    board.w(2, CTRL, 1);
    board.wait_us(10_000_000);
    assert_eq!(board.r(2, CTRL) & 0x11, 0x01);
    board.control.set_faults(0, Faults::default());
    board.wait_us(10);
    assert_eq!(board.r(2, CTRL) & 0x11, 0x11);
    board.release(PORT);
}

#[test]
fn a_function_reset_puts_everything_back_but_the_accelerator() {
    let mut board = Board::ready(AfuKind::Nlb0);
    board.control.load(0, AfuKind::Dummy);
    board.w(0, 0x28, 7);
    board.w(0, 0x4008, 0);
    board.context(|model, cx| model.reset(cx, ResetKind::Function));
    assert_eq!(board.r(2, CTRL) & 0x11, 0x11);
    assert_eq!((board.r(0, 0x28), board.r(0, 0x4008)), (0, u64::MAX));
    assert_eq!(board.model.accelerator(0), Some(AfuKind::Dummy));
    assert_eq!(board.model.port_in_reset(1), None);
}
