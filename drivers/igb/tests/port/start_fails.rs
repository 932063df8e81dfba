//! Steps that fail midway: the state before comes back, no buffer is lost, and it works once the cause is gone.

use std::time::Duration;

use pmd_igb::regs::{CTRL, MDIC, RXDCTL, STATUS, SWSM, TXDCTL};
use pmd_igb::{Config, Failed, LinkConfig, Speeds, StopFailed};
use vfio_hal::pmd::PortError;
use vfio_hal::regs::Register;
use vfio_hal::wrap::Faults;
use vfio_hal::{Clock, DeviceError};

use crate::board::{Board, queues, small};

fn offset<R: Register>(index: usize) -> u64 {
    R::INFO.offset(index).unwrap()
}

#[test]
fn a_start_that_fails_gives_the_port_and_its_buffers_back() {
    let board = Board::new();
    let mut configured = board.configure(queues(3, 3));
    let enable = RXDCTL::default().with_enable(true).to_raw();
    let faults = [
        (offset::<RXDCTL>(0), enable, 0),
        (offset::<RXDCTL>(2), enable, 0),
        (offset::<TXDCTL>(0), enable, 0),
        (offset::<TXDCTL>(2), enable, 0),
        (CTRL::OFFSET, CTRL::default().with_rst(true).to_raw(), u64::MAX),
        (MDIC::OFFSET, MDIC::default().with_ready(true).to_raw(), 0),
        (SWSM::OFFSET, SWSM::default().with_swesmbi(true).to_raw(), 0),
        (SWSM::OFFSET, SWSM::default().with_smbi(true).to_raw(), u64::MAX),
    ];
    for (offset, mask, value) in faults {
        board.faults.set(Faults::new().stuck(0, offset, mask, value & mask));
        let before = board.clock.now();
        let Failed { error, back } = configured.start().unwrap_err();
        assert!(matches!(error, PortError::Device(DeviceError::Timeout { .. })), "{offset:x}: {error}");
        assert!(board.clock.now() - before < Duration::from_secs(10), "{error}");
        board.faults.set(Faults::new());
        let started = back.start().unwrap();
        configured = board.stop(started);
        board.assert_home();
    }
}

#[test]
fn a_phy_that_does_not_answer_is_named() {
    let board = Board::new();
    board.outside.lock().unwrap().phy_answers = false;
    let Failed { error, back } = board.configure(small()).start().unwrap_err();
    assert!(matches!(error, PortError::Device(DeviceError::Unsupported { what }) if what.contains("PHY")));
    board.outside.lock().unwrap().phy_answers = true;
    board.stop(back.start().unwrap());
    board.assert_home();
}

#[test]
fn a_link_that_cannot_be_is_refused() {
    for (speeds, autoneg) in [(Speeds::GB10, true), (Speeds::GB1, false), (Speeds::ALL, false)] {
        let board = Board::new();
        let config = Config { link: LinkConfig { speeds, autoneg }, ..small() };
        let Failed { error, .. } = board.configure(config).start().unwrap_err();
        assert!(matches!(error, PortError::Unsupported { .. } | PortError::Invalid { .. }), "{error}");
        board.assert_home();
    }
}

#[test]
fn a_queue_that_does_not_stop_is_stopped_with_the_device() {
    let board = Board::new();
    let started = board.start(queues(2, 2));
    let enable = RXDCTL::default().with_enable(true).to_raw();
    let faults = Faults::new().stuck(0, offset::<RXDCTL>(1), enable, enable);
    board.faults.set(faults.stuck(0, offset::<TXDCTL>(0), enable, enable));
    board.stop(started);
    board.assert_home();
}

#[test]
fn a_device_that_holds_the_bus_is_reset_as_a_whole() {
    let board = Board::new();
    let started = board.start(small());
    let busy = STATUS::default().with_gio_master_enable(true).to_raw();
    board.faults.set(Faults::new().stuck(0, STATUS::OFFSET, busy, busy));
    // Its registers are gone with that: what else the driver waits for answers as an idle chip does.
    let stopped = started.port.stop(started.rx, started.tx).unwrap();
    assert_eq!(board.chip.resets(), 1);
    board.assert_home();
    drop(stopped);
}

#[test]
fn buffers_under_a_device_that_does_not_stop_are_given_up() {
    let board = Board::new();
    let started = board.start(small());
    let busy = STATUS::default().with_gio_master_enable(true).to_raw();
    let enable = RXDCTL::default().with_enable(true).to_raw();
    let faults =
        Faults::new().stuck(0, STATUS::OFFSET, busy, busy).stuck(0, offset::<RXDCTL>(0), enable, enable);
    board.faults.set(faults.fail_reset(DeviceError::Unsupported { what: "reset" }));
    let Failed { error, back } = started.port.stop(started.rx, started.tx).unwrap_err();
    assert_eq!(error, PortError::Device(DeviceError::Unsupported { what: "reset" }));
    let StopFailed::Stopped(configured) = back else { panic!("it did stop") };
    assert_eq!(board.pool.leaked(), 64);
    board.faults.set(Faults::new());
    let started = configured.start().unwrap();
    board.stop(started);
    assert_eq!(board.pool.available() + 64, board.pool.capacity());
}
