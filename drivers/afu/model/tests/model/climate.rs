//! Temperature, power, and the FME's errors: what the user sets, what thresholds do, how errors latch and clear.

use pmd_afu_model::{AfuKind, Config, ErrorRegister};

use crate::board::{AFU, Board, PORT};

const STS: u64 = PORT + 0x40;
const THRESHOLD: u64 = 0x1008;
const POWER: u64 = 0x2010;
const NONFATAL: u64 = 0x4050;
const CATASTROPHIC: u64 = 0x4060;

/// Unmasks all errors of the FME.
fn unmask(board: &mut Board) {
    for mask in [0x4008, 0x4018, 0x4028, 0x4048, 0x4058] {
        board.w(0, mask, 0);
    }
}

#[test]
fn the_sensor_follows_the_user() {
    let mut board = Board::new(Config { temperature: 33, power: 17, ..Config::default() });
    let first = board.r(0, 0x1010);
    assert_eq!((first & 0x7F, first >> 24 & 1), (33, 1));
    board.control.set_temperature(80);
    let second = board.r(0, 0x1010);
    assert_eq!(second & 0x7F, 80);
    assert_ne!(first >> 8 & 0xFFFF, second >> 8 & 0xFFFF, "readings are counted");
    board.control.set_temperature(200);
    assert_eq!(board.r(0, 0x1010) & 0x7F, 127);
    assert_eq!(board.r(0, 0x2008) & 0x3_FFFF, 17);
    board.control.set_power(u32::MAX);
    assert_eq!(board.r(0, 0x2008) & 0x3_FFFF, 0x3_FFFF);
    assert_eq!(board.r(0, 0x1020), 0, "throttling is supported");
}

#[test]
fn thresholds_throttle_and_are_told_to_ports_and_the_engine() {
    let mut board = Board::ready(AfuKind::Nlb0);
    unmask(&mut board);
    for (celsius, reached, state, events, nonfatal, catastrophic) in [
        (92, 0b00, 0, 0b00, 0, 0),
        (93, 0b01, 1, 0b01, 1 << 0, 0),
        (97, 0b11, 6, 0b01, 1 << 0 | 1 << 9, 0),
        (105, 0b11, 6, 0b01, 1 << 0 | 1 << 9, 1 << 10),
        (40, 0b00, 0, 0b01, 0, 0),
    ] {
        board.control.set_temperature(celsius);
        assert_eq!(board.r(0, THRESHOLD) >> 32 & 0b11, reached, "{celsius} °C");
        let status = board.r(2, STS);
        assert_eq!((status >> 8 & 0xF, status >> 12 & 0b11), (state, events), "{celsius} °C");
        // The AP6 error of the port is one that the FME shows too.
        assert_eq!(board.r(0, NONFATAL) & !(1 << 3), nonfatal, "{celsius} °C");
        assert_eq!(board.r(0, CATASTROPHIC), catastrophic, "{celsius} °C");
    }
    board.w(2, STS, 1 << 12);
    assert_eq!(board.r(2, STS), 0, "events clear by writing a 1");
    assert_eq!(board.r(2, PORT + 0x1010), 1 << 50, "AP6 is an error of the port");
}

#[test]
fn power_has_thresholds_that_software_sets() {
    let mut board = Board::ready(AfuKind::Nlb0);
    unmask(&mut board);
    board.w(0, POWER, 30 | 50 << 8 | 1 << 16 | 1 << 40);
    assert_eq!(board.r(0, POWER), 30 | 50 << 8, "status and reserved bits are not written");
    board.control.set_power(30);
    assert_eq!(board.r(0, POWER) >> 16 & 0b11, 0b01);
    assert_eq!((board.r(2, STS) >> 8 & 0xF, board.r(0, NONFATAL)), (1, 1 << 10));
    board.control.set_power(50);
    assert_eq!((board.r(2, STS) >> 8 & 0xF, board.r(0, NONFATAL)), (2, 1 << 10 | 1 << 11));
    board.w(0, POWER, 0);
    assert_eq!((board.r(2, STS) >> 8 & 0xF, board.r(0, NONFATAL)), (0, 0), "a threshold of 0 is none");
}

#[test]
fn a_throttled_accelerator_takes_longer_and_a_halted_one_forever() {
    let time = |watts: u32, celsius: u8| {
        let mut board = Board::ready(AfuKind::Dummy);
        board.w(0, POWER, 30 | 50 << 8);
        board.control.set_power(watts);
        board.control.set_temperature(celsius);
        let (source, destination) = (board.memory.patterned(64), board.memory.take(64));
        board.w(2, AFU + 0x2050, source);
        board.w(2, AFU + 0x2058, destination);
        let start = board.now;
        board.w(2, AFU + 0x2040, 1);
        let done = board.wait_for(100, |board| board.r(2, AFU + 0x2048) == 1);
        done.then(|| (board.now - start).as_micros())
    };
    assert_eq!(time(0, 40), Some(1), "250 clocks of 400 MHz");
    assert_eq!(time(30, 40), Some(2), "half as fast");
    assert_eq!(time(50, 40), Some(7), "a tenth");
    assert_eq!(time(0, 100), None, "AP6");
}

#[test]
fn injected_errors_last_as_long_as_they_are_injected() {
    let mut board = Board::new(Config::default());
    board.w(0, 0x4068, u64::MAX);
    assert_eq!(board.r(0, 0x4068), 0b111);
    assert_eq!((board.r(0, NONFATAL), board.r(0, CATASTROPHIC)), (0, 0), "masked");
    unmask(&mut board);
    assert_eq!((board.r(0, NONFATAL), board.r(0, CATASTROPHIC)), (1 << 6, 1 << 8 | 1 << 11));
    assert!(board.irqs.take().contains(&5));
    board.w(0, NONFATAL, u64::MAX);
    assert_eq!(board.r(0, NONFATAL), 1 << 6, "not cleared by writing");
    board.w(0, 0x4068, 0b010);
    assert_eq!((board.r(0, NONFATAL), board.r(0, CATASTROPHIC)), (0, 1 << 8));
    board.w(0, 0x4058, u64::MAX);
    assert_eq!(board.r(0, CATASTROPHIC), 0, "masked again");
}

#[test]
fn engine_errors_latch_once_and_the_first_two_are_kept() {
    let mut board = Board::new(Config::default());
    board.control.raise_fme_error(ErrorRegister::Fme, 1);
    board.step();
    assert_eq!(board.r(0, 0x4010), 0, "masked after power-on");
    unmask(&mut board);
    board.control.raise_fme_error(ErrorRegister::Pcie0, 1 << 7);
    board.control.raise_fme_error(ErrorRegister::Fme, 1 << 2 | 1 << 60);
    board.control.raise_fme_error(ErrorRegister::Pcie1, 1 << 9);
    board.step();
    assert_eq!(board.irqs.take(), [5], "one interrupt for all of a moment");
    assert_eq!((board.r(0, 0x4020), board.r(0, 0x4010), board.r(0, 0x4030)), (1 << 7, 1 << 2, 1 << 9));
    assert_eq!((board.r(0, 0x4038), board.r(0, 0x4040)), (1 << 60 | 1 << 7, 1 << 2));
    board.control.raise_fme_error(ErrorRegister::Pcie0, 1 << 7);
    board.step();
    assert_eq!(board.irqs.take(), [0; 0], "it is latched already");
    board.w(0, 0x4020, 1 << 7);
    assert_eq!((board.r(0, 0x4038), board.r(0, 0x4040)), (1 << 2, 0), "the next one is the first now");
    board.w(0, 0x4010, u64::MAX);
    board.w(0, 0x4030, u64::MAX);
    for register in [0x4010, 0x4020, 0x4030, 0x4038, 0x4040] {
        assert_eq!(board.r(0, register), 0, "{register:#x}");
    }
}

#[test]
fn an_error_of_a_port_is_shown_by_the_engine_until_it_is_cleared() {
    let mut board = Board::ready(AfuKind::Nlb0);
    unmask(&mut board);
    board.control.raise_port_error(0, 1);
    board.step();
    assert_eq!(board.r(0, NONFATAL), 1 << 3);
    assert_eq!(board.irqs.take(), [4, 5], "the port's vector and the FME's");
    board.w(2, PORT + 0x1010, 1);
    assert_eq!(board.r(0, NONFATAL), 0);
}

#[test]
fn a_port_of_a_virtual_function_is_closed_to_the_physical_one() {
    let mut board = Board::ready(AfuKind::Nlb0);
    unmask(&mut board);
    board.w(2, AFU + 0x100, 5);
    board.w(0, 0x38, u64::MAX);
    assert_eq!(board.r(0, 0x38) >> 55 & 1, 1);
    assert_eq!(board.r(0, 0x38) & 0xFF_FFFF, 0, "only who may access can be changed");
    board.w(0, 0x40, u64::MAX);
    assert_eq!(board.r(0, 0x40), 0, "no such port");
    assert_eq!(board.r(2, AFU + 0x100), u64::MAX);
    board.w(2, AFU + 0x100, 6);
    assert_eq!(board.r(0, 0x4010), 1 << 5);
    board.w(0, 0x38, 0);
    assert_eq!(board.r(2, AFU + 0x100), 5);
}

#[test]
fn user_interrupts_have_their_vectors() {
    let mut board = Board::new(Config::with_ports(&[AfuKind::Nlb0, AfuKind::Dummy]));
    for (port, number, vectors) in [(0, 0, &[0][..]), (0, 3, &[3]), (1, 2, &[6]), (1, 4, &[]), (2, 0, &[])] {
        board.control.raise_user_interrupt(port, number);
        board.step();
        assert_eq!(board.irqs.take(), vectors, "port {port} interrupt {number}");
    }
}
