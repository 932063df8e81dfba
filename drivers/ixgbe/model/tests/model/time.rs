//! What depends on time or asks for haste: the IEEE 1588 clock, the TCP timer, low-latency interrupts, module changes.

use std::time::Duration;

use pmd_ixgbe_model::{Config, Module};
use vfio_user_kit::DeviceModel;

use crate::board::{Board, MAC, frame};
use crate::packets::Packet;

const EICR: u64 = 0x800;
const SYSTIML: u64 = 0x8C0C;

fn systim(board: &mut Board) -> u64 {
    let low = board.r(SYSTIML);
    u64::from(board.r(SYSTIML + 4)) << 32 | u64::from(low)
}

#[test]
fn the_clock_adds_its_increment() {
    let mut board = Board::ready();
    assert_eq!(systim(&mut board), 0, "stopped");
    // 64 units each 10 clocks of 6.4 ns: nanoseconds.
    board.w(0x8C14, 10 << 24 | 64);
    board.wait_us(1_000);
    assert_eq!(systim(&mut board), 1_000_000);
    board.w(SYSTIML, 5);
    board.w(SYSTIML + 4, 1);
    board.wait_us(64);
    assert_eq!(systim(&mut board), (1 << 32) + 5 + 64_000);
    board.w(0x8C18, 1_000);
    board.w(0x8C1C, 1 << 31);
    assert_eq!(systim(&mut board), (1 << 32) + 5 + 63_000, "adjusted backwards");
    board.w(0x8C14, 0);
    board.wait_us(64);
    assert_eq!(systim(&mut board), (1 << 32) + 5 + 63_000, "stopped where it was");
}

/// A PTP version 2 message over Ethernet.
fn ptp(kind: u8, sequence: u16) -> Vec<u8> {
    let mut frame = frame(MAC, 60);
    frame[12..14].copy_from_slice(&[0x88, 0xF7]);
    frame[14] = kind;
    frame[44..46].copy_from_slice(&sequence.to_be_bytes());
    frame
}

#[test]
fn a_sync_message_is_stamped_once_until_it_is_read() {
    let mut board = Board::ready();
    let mut ring = board.rx_ring(0, 16);
    board.w(0x8C14, 10 << 24 | 64);
    board.w(0x5128 + 12, 1 << 31 | 1 << 30 | 0x88F7);
    board.w(0x5188, 2 << 1 | 1 << 4); // layer 2 and 4, version 2
    board.wait_us(512);
    let stamped = |board: &mut Board, ring: &mut crate::board::RxRing, frame: &[u8]| {
        board.inject(frame);
        ring.poll(board).unwrap().status() >> 16 & 1 == 1
    };
    assert!(!stamped(&mut board, &mut ring, &ptp(1, 7)), "RXMTRL asks for Sync, 0");
    assert!(stamped(&mut board, &mut ring, &ptp(0, 7)));
    assert_eq!(board.r(0x5188) & 1, 1);
    assert_eq!(board.r(0x51A8) >> 16, 7, "its sequence number");
    board.wait_us(1);
    assert!(!stamped(&mut board, &mut ring, &ptp(0, 8)), "the latch is taken");
    assert_eq!((board.r(0x51E8), board.r(0x51A4)), (512_000, 0));
    assert_eq!(board.r(0x5188) & 1, 0, "reading frees it");
    let mut udp = Packet { ports: (319, 319), payload: vec![0; 44], ..Packet::udp() };
    udp.payload[0] = 0;
    assert!(stamped(&mut board, &mut ring, &udp.build()));
}

#[test]
fn a_sent_packet_is_stamped_if_it_asks() {
    let mut board = Board::ready();
    let mut ring = board.tx_ring(0, 16);
    board.w(0x8C14, 10 << 24 | 64);
    board.w(0x8C00, 1 << 4);
    board.wait_us(128);
    ring.send(&mut board, &frame(MAC, 60), 0);
    assert_eq!(board.r(0x8C00) & 1, 0);
    ring.send(&mut board, &frame(MAC, 60), 1 << 19);
    assert_eq!(board.r(0x8C00) & 1, 1);
    assert_eq!((board.r(0x8C04), board.r(0x8C08)), (128_000, 0));
    assert_eq!(board.r(0x8C00) & 1, 0);
}

/// Goes from deadline to deadline, for so long.
fn jump(board: &mut Board, time: Duration) -> usize {
    let end = board.now + time;
    let mut jumps = 0;
    while let Some(at) = board.model.next_deadline().filter(|at| *at <= end) {
        assert!(at > board.now, "a deadline that has passed: {at:?} at {:?}", board.now);
        board.now = at;
        board.step();
        jumps += 1;
    }
    board.now = end;
    jumps
}

#[test]
fn nothing_is_missed_by_sleeping_until_the_next_deadline() {
    let mut board = Board::new(Config::new(MAC));
    board.step();
    let jumps = jump(&mut board, Duration::from_millis(20));
    assert_eq!(board.r(0x42A4) >> 30 & 1, 1, "the link is up");
    assert!(jumps <= 30, "{jumps} times awake in 20 ms");
    board.r(EICR);

    // The TCP timer and a moderated interrupt.
    board.w(0x4C, 5 | 1 << 8 | 1 << 9);
    jump(&mut board, Duration::from_millis(6));
    assert_eq!(board.r(EICR) >> 30 & 1, 1);
    board.w(0x898, 1 << 4 | 1 << 5);
    board.w(0x810, 0xFFFF);
    board.w(0x820, 100 << 3);
    board.w(0x880, 1);
    board.w(0x808, 1);
    board.step();
    board.w(0x808, 1);
    board.step();
    assert_eq!(board.irqs.msi.borrow().len(), 1, "the second waits for its interval");
    let before = board.now;
    jump(&mut board, Duration::from_micros(210));
    assert_eq!(board.irqs.msi.borrow().len(), 2, "{:?}", board.now - before);

    // A limited queue: 100 Mbit/s, so that 1,000 bytes take 82 us, after 100 us that it may be ahead.
    board.w(0x4A80, 0x8100_0001);
    let mut ring = board.tx_ring(0, 32);
    board.w(0x4904, 0);
    board.w(0x4984, 1 << 31 | 100 << 14);
    (0..4).for_each(|_| {
        ring.send(&mut board, &frame(MAC, 1_000), 0);
    });
    assert!(board.sent().len() < 4);
    jump(&mut board, Duration::from_micros(400));
    board.step();
    assert_eq!(board.r(0x4080), 4, "all went out at their time");
}

#[test]
fn the_tcp_timer_fires_once_or_again_and_again() {
    let mut board = Board::ready();
    board.r(EICR);
    let fired = |board: &mut Board| board.r(EICR) >> 30 & 1 == 1;
    board.w(0x4C, 5 | 1 << 8 | 1 << 9);
    board.wait_ms(4);
    assert!(!fired(&mut board));
    board.wait_ms(2);
    assert!(fired(&mut board));
    board.wait_ms(20);
    assert!(!fired(&mut board));
    board.w(0x4C, 5 | 1 << 8 | 1 << 9 | 1 << 11);
    for _ in 0..3 {
        board.wait_ms(6);
        assert!(fired(&mut board));
    }
    board.w(0x4C, 0);
    board.wait_ms(20);
    assert!(!fired(&mut board));
}

#[test]
fn a_low_latency_packet_waits_for_no_interval() {
    let mut board = Board::ready();
    board.r(EICR);
    board.w(0x898, 1 << 4 | 1 << 5);
    board.w(0x810, 0xFFFF);
    board.w(0x900, 0x80);
    board.w(0x820, 100 << 3);
    board.w(0x880, 1);
    let mut ring = board.rx_ring(0, 16);
    // UDP by a 5-tuple filter with LLI.
    board.w(0xE800, 1 << 12 | 1 << 20);
    board.w(0xE600, 1 << 31 | 1 << 30 | 0b01111 << 25 | 1);
    board.inject(&Packet::tcp().build());
    board.inject(&Packet::tcp().build());
    assert_eq!(board.irqs.msi.borrow().len(), 1, "the second waits");
    board.inject(&Packet::udp().build());
    assert_eq!(board.irqs.msi.borrow().len(), 2);
    let flags: Vec<_> = ring.drain(&board).iter().map(|r| r.status() >> 11 & 1).collect();
    assert_eq!(flags, [0, 0, 1]);
}

#[test]
fn a_module_can_be_pulled_and_another_put_in() {
    let mut board = Board::ready();
    board.w(0x898, 1 << 2); // SDP2 interrupts
    board.r(EICR);
    board.model.swap_module(Module::Absent);
    board.step();
    assert_eq!((board.r(0x20) & 4, board.r(0x42A4) >> 30 & 1), (0, 0));
    assert_eq!(board.r(EICR) & (1 << 26 | 1 << 20), 1 << 26 | 1 << 20, "SDP2 and LSC");
    board.wait_ms(50);
    assert_eq!(board.r(0x42A4) >> 30 & 1, 0);
    board.model.swap_module(Module::DirectAttach);
    board.wait_ms(20);
    assert_eq!((board.r(0x20) & 4, board.r(0x42A4) >> 30 & 1), (4, 1));
}

#[test]
fn queue_drop_enable_works_over_pfqde_too() {
    let mut board = Board::ready();
    board.rx_ring(0, 8);
    board.w(0x2F04, 1 << 16 | 1);
    for _ in 0..10 {
        board.inject(&frame(MAC, 60));
    }
    assert_eq!(board.r(0x1430), 3);
}
