//! Which device it is, and what is in its NVM.

use std::sync::Arc;

use pmd_igb::{Chip, Probed};
use vfio_hal::DeviceError;
use vfio_hal::pmd::{MacAddr, PortError};
use vfio_hal::testing::{FakeDevice, VirtualClock};

use pmd_igb::regs::{RAH, RAL, STATUS};

use crate::board::{Board, I350, I82576, MAC, nvm, react, seal};

fn fails(board: &Board) -> PortError {
    Probed::new(board.device.clone(), board.clock.clone()).unwrap_err()
}

#[test]
fn both_chips_are_known_and_no_other() {
    for (id, chip, name) in [(I82576, Chip::I82576, "82576 Gigabit"), (I350, Chip::I350, "I350 Gigabit")] {
        let probed = Board::of(id).probe();
        assert_eq!((probed.model().chip, probed.model().name), (chip, name));
        assert_eq!(probed.mac(), MacAddr(MAC));
    }
    let error = fails(&Board::of(0x10fb));
    assert_eq!(error, PortError::WrongDevice { vendor: 0x8086, device: 0x10fb });
}

#[test]
fn a_bar_that_is_too_small_is_another_device() {
    let mut config = vec![0; 256];
    config[..4].copy_from_slice(&[0x86, 0x80, 0xc9, 0x10]);
    let device = Arc::new(FakeDevice::new(0x1_0000).with_config(config));
    let error = Probed::new(device, Arc::new(VirtualClock::new())).unwrap_err();
    assert!(matches!(error, PortError::Device(DeviceError::BarTooSmall { need: 0x2_0000, .. })), "{error}");
}

#[test]
fn a_damaged_nvm_is_an_error_that_says_so() {
    let board = Board::new();
    board.outside.lock().unwrap().nvm[7] ^= 0x10;
    let expected = 0xbaba ^ 0x10;
    let PortError::EepromChecksum { found } = fails(&board) else { panic!("no checksum error") };
    assert!(found == expected || found == 0xbaba + 0x10, "{found:x}");

    let board = Board::new();
    board.outside.lock().unwrap().present = false;
    let error = fails(&board);
    assert!(matches!(error, PortError::Unsupported { what } if what.contains("NVM")), "{error}");
}

#[test]
fn an_address_that_is_no_station_s_is_refused() {
    for (low, high) in [(0, 0), (0x0000_0001, 0), (u32::MAX, 0xffff)] {
        let board = Board::new();
        let outside = board.outside.clone();
        board.chip.registers().react({
            move |access, registers| {
                react(access, registers, &mut outside.lock().unwrap());
                registers.set(0, RAL::new(low));
                registers.set(0, RAH::default().with_rah(high).with_av(true));
            }
        });
        let error = fails(&board);
        assert!(matches!(error, PortError::BadMac { .. }), "{error}");
    }
}

#[test]
fn the_card_says_who_it_is() {
    let board = Board::new();
    let mut probed = board.probe();
    let look = probed.inspect();
    let version = look.nvm_version().unwrap();
    assert_eq!((version.major, version.minor, version.track_id), (1, 0x63, Some(0x8000_1234)));
    assert_eq!(version.to_string(), "1.63, 0x80001234");
    assert_eq!(look.part_number().unwrap().as_deref(), Some("E66560-002"));
    assert_eq!(look.nvm().unwrap(), nvm());
}

#[test]
fn a_part_number_that_leads_nowhere_is_none() {
    for (words, expected) in [
        ([0xfafa, 0], None),
        ([0xfafa, 0xffff], None),
        ([0xfafa, 0x3ff], None),
        ([0xfafa, 0x300], None),
        ([0, 0], None),
        ([0xffff, 0xffff], None),
        ([0xe665, 0x6002], Some("E66560-002")),
    ] {
        let board = Board::new();
        {
            let mut outside = board.outside.lock().unwrap();
            outside.nvm[8..10].copy_from_slice(&words);
            seal(&mut outside.nvm, 0);
        }
        let part = board.probe().inspect().part_number().unwrap();
        assert_eq!(part.as_deref(), expected, "{words:x?}");
    }
}

#[test]
fn the_ports_of_an_i350_have_a_section_each() {
    for (port, start) in [(0, 0x00), (1, 0x80), (2, 0xc0), (3, 0x100)] {
        let board = Board::of(I350);
        board.registers().set(0, board.get::<STATUS>(0).with_lan_id(port));
        // Others' may be damaged.
        for other in [0x00, 0x80, 0xc0, 0x100].into_iter().filter(|other| *other != start) {
            board.outside.lock().unwrap().nvm[other + 7] ^= 1;
        }
        board.probe();
        board.outside.lock().unwrap().nvm[start + 7] ^= 1;
        assert!(matches!(fails(&board), PortError::EepromChecksum { .. }), "port {port}");
    }
}
