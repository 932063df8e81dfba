//! The in-place forwarder over legacy descriptors and head write-back.

use pmd_igb::inplace::{self, InPlaceStarted};
use pmd_igb::regs::{RXDCTL, SRRCTL, TDWBA, TXCTL, TXDCTL};
use pmd_igb::rss::RssConfig;
use pmd_igb::{Config, Failed};
use vfio_hal::DeviceError;
use vfio_hal::pmd::PortError;
use vfio_hal::regs::Register;
use vfio_hal::ring::Outputs;
use vfio_hal::wrap::Faults;

use crate::board::{Board, queues, small};

#[test]
fn packets_are_sent_from_where_they_were_received() {
    let board = Board::new();
    let ports = vec![board.configure(small())];
    board.registers().set(0, TXCTL::default().with_tx_desc_write_ro_en(true));
    let mut started = inplace::start(&board.space, ports, 0, &[0], 64).unwrap();
    let srrctl: SRRCTL = board.get(0);
    assert_eq!((srrctl.desctype(), srrctl.bsizepacket()), (0, 2), "legacy descriptors");
    assert_eq!(board.get::<TDWBA>(0).to_raw() & 1, 1);
    assert!(!board.get::<TXCTL>(0).tx_desc_write_ro_en());
    let mut number = 0u32;
    for _ in 0..40 {
        let count = (0..50)
            .take_while(|_| {
                board.receive_legacy(&{
                    number += 1;
                    number.to_le_bytes().repeat(16)
                })
            })
            .count() as u32;
        // The last was not received.
        if count < 50 {
            number -= 1;
        }
        let mut shown = 0;
        while started
            .forwarder
            .forward(|packet| {
                packet[63] = 0xee;
                shown += 1;
                if packet[0] % 4 == 0 { Outputs::DROP } else { Outputs::FIRST }
            })
            .unwrap()
            != 0
        {}
        assert_eq!(shown, count);
        let sent = board.transmit_legacy();
        assert!(sent.iter().all(|packet| packet.len() == 64 && packet[63] == 0xee && packet[0] % 4 != 0));
        assert!(sent.len() as u32 <= count);
    }
    let stats = started.forwarder.stats();
    assert_eq!(stats.received(), u64::from(number));
    assert!(number > 500 && stats.dropped() == u64::from(number / 4), "{number}, {}", stats.dropped());
    let ports = started.stop().unwrap();
    assert!(!board.get::<RXDCTL>(0).enable() && !board.get::<TXDCTL>(0).enable());
    // The same port, the ordinary way.
    for port in ports {
        board.stop(port.start().unwrap());
    }
    board.assert_home();
    assert_eq!(board.space.stats().leaked_regions, 0);
}

#[test]
fn what_cannot_be_is_refused_before_a_device_is_touched() {
    let board = Board::new();
    let mut ports = vec![board.configure(queues(2, 1))];
    board.chip.registers().take_log();
    for (input, outputs) in [(1, &[0][..]), (0, &[1]), (0, &[0, 0])] {
        let Failed { error, back } = inplace::start(&board.space, ports, input, outputs, 64).unwrap_err();
        assert!(matches!(error, PortError::Invalid { .. }), "{error}");
        ports = back;
    }
    assert!(board.chip.registers().log().is_empty());
    let spread = Config { rss: Some(RssConfig::default()), ..queues(2, 1) };
    let port = ports.pop().unwrap().unconfigure().configure(&board.space, &board.pool, spread).unwrap();
    let Failed { error, .. } = inplace::start(&board.space, vec![port], 0, &[0], 64).unwrap_err();
    assert!(matches!(error, PortError::Invalid { what } if what.contains("RSS")), "{error}");
}

#[test]
fn a_queue_that_does_not_start_leaves_nothing_behind() {
    let board = Board::new();
    let mut ports = vec![board.configure(small())];
    let enable = TXDCTL::default().with_enable(true).to_raw();
    for register in [RXDCTL::INFO.offset(0).unwrap(), TXDCTL::INFO.offset(0).unwrap()] {
        board.faults.set(Faults::new().stuck(0, register, enable, 0));
        let Failed { error, back } = inplace::start(&board.space, ports, 0, &[0], 64).unwrap_err();
        assert!(matches!(error, PortError::Device(DeviceError::Timeout { .. })), "{error}");
        board.faults.set(Faults::new());
        ports = inplace::start(&board.space, back, 0, &[0], 64).unwrap().stop().unwrap();
    }
}

#[test]
fn a_device_that_is_gone_is_told() {
    let board = Board::new();
    let ports = vec![board.configure(small())];
    let InPlaceStarted { mut forwarder, ports } = inplace::start(&board.space, ports, 0, &[0], 64).unwrap();
    board.device.lost().latch();
    assert_eq!(forwarder.forward(|_| Outputs::FIRST), Err(DeviceError::Lost));
    let started = InPlaceStarted { forwarder, ports };
    assert_eq!(started.check(), Err(DeviceError::Lost));
    let Failed { error, .. } = started.stop().unwrap_err();
    assert_eq!(error, PortError::Device(DeviceError::Lost));
}
