//! Counters: what they count, that they clear on reading, and that they balance.

use crate::board::{Board, MAC, cmd, frame};
use pmd_links::Link;

const GPRC: u64 = 0x4074;

fn tx(board: &mut Board, count: usize, len: usize) {
    let mut ring = board.tx_ring(0, 512);
    for _ in 0..count {
        ring.send(board, &frame(MAC, len), 0);
    }
}

#[test]
fn good_packets_are_counted_by_size_kind_and_bytes() {
    let mut board = Board::ready();
    board.rx_ring(0, 64);
    for len in [60, 61, 123, 124, 251, 252, 507, 508, 1019, 1020, 1514] {
        board.inject(&frame(MAC, len));
    }
    board.inject(&frame([0xFF; 6], 60));
    board.inject(&frame([0x01, 0, 0x5E, 0, 0, 1], 60));
    let sizes: Vec<_> = (0..6).map(|i| board.r(0x405C + 4 * i)).collect();
    assert_eq!(sizes, [3, 2, 2, 2, 2, 2]);
    assert_eq!((board.r(GPRC), board.r(0x4078), board.r(0x407C)), (13, 1, 1));
    let bytes = 60 + 61 + 123 + 124 + 251 + 252 + 507 + 508 + 1019 + 1020 + 1514 + 120;
    assert_eq!((board.r(0x4088), board.r(0x408C)), (bytes, 0), "GORC, without the FCS that is stripped");
    assert_eq!((board.r(0x40C0), board.r(0x40D0)), (bytes + 13 * 4, 13), "TOR, TPR");
    assert_eq!((board.r(GPRC), board.r(0x4088), board.r(0x405C)), (0, 0, 0), "all clear on reading");
}

#[test]
fn filtered_packets_are_total_but_not_good() {
    let mut board = Board::ready();
    board.rx_ring(0, 8);
    board.w(0x5080, 0);
    board.inject(&frame([2, 9, 9, 9, 9, 9], 60));
    assert_eq!((board.r(0x40D0), board.r(0x41B0), board.r(GPRC)), (1, 1, 0), "TPR, RXNFGPC, GPRC");
}

#[test]
fn queues_count_into_the_registers_they_are_mapped_to() {
    let mut board = Board::ready();
    board.rx_ring(0, 8);
    board.w(0x2300, 0x0B); // receive queue 0 to counter 11
    board.inject(&frame(MAC, 100));
    assert_eq!((board.r(0x1030), board.r(0x1030 + 0x40 * 11)), (0, 1), "QPRC");
    assert_eq!((board.r(0x1034 + 0x40 * 11), board.r(0x1038 + 0x40 * 11)), (100, 0), "QBRC");
    board.w(0x8600 + 4 * 16, 0x0000_0200); // transmit queue 65 to counter 2
    let mut ring = board.tx_ring(65, 8);
    ring.send(&mut board, &frame(MAC, 200), 0);
    assert_eq!((board.r(0x6030 + 0x40 * 2), board.r(0x8700 + 8 * 2)), (1, 200), "QPTC, QBTC");
}

#[test]
fn sent_packets_are_counted_with_their_fcs() {
    let mut board = Board::ready();
    tx(&mut board, 3, 100);
    assert_eq!((board.r(0x4080), board.r(0x40D4), board.r(0x4090)), (3, 3, 312), "GPTC, TPT, GOTC");
    assert_eq!(board.r(0x40DC), 3, "PTC127");
}

#[test]
fn no_packet_is_lost_from_the_books() {
    let mut board = Board::ready();
    board.w(0x5080, 1 << 10); // broadcast and own only
    board.w(0x3C00, 8 << 10);
    let mut ring = board.rx_ring_with(0, 32, 1 << 25 | 2);
    let mut state = 1u64;
    let mut tail = 31;
    let (mut sent, mut delivered) = (0u32, 0u32);
    for _ in 0..5_000 {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let to = match state >> 60 {
            0 => [0xFF; 6],
            1 => [2, 9, 9, 9, 9, 9],
            _ => MAC,
        };
        let len = 60 + (state >> 40) as usize % 1600;
        board.wire.transmit(&frame(to, len), 0).map(|_| ()).unwrap();
        sent += 1;
        if state >> 33 & 7 == 0 {
            board.run();
            for got in ring.drain(&board) {
                delivered += u32::from(got.end());
                ring.refill(&mut board, tail, (tail + 1) % 32);
                tail = (tail + 1) % 32;
            }
        }
    }
    for _ in 0..100 {
        board.run();
        for got in ring.drain(&board) {
            delivered += u32::from(got.end());
            ring.refill(&mut board, tail, (tail + 1) % 32);
            tail = (tail + 1) % 32;
        }
    }
    let counters = board.model.inspect().counters();
    let (total, good, missed) = (board.r(0x40D0), board.r(GPRC), board.r(0x3FA0));
    let (oversize, queue) = (board.r(0x40AC), board.r(0x1030));
    assert_eq!(total, sent, "TPR");
    assert_eq!(good + oversize + counters.rx_filtered as u32, total);
    assert_eq!(good, queue + missed, "GPRC = QPRC + MPC");
    assert_eq!(queue, delivered);
    assert!(missed > 0 && oversize > 0 && counters.rx_filtered > 0, "every way was taken");
}

#[test]
fn pause_frames_stop_transmission_for_their_time() {
    let mut board = Board::ready();
    board.w(0x4294, 1 << 3 | 1 << 1); // RFCE, DPF
    let mut ring = board.tx_ring(0, 32);
    let mut pause = vec![0x01, 0x80, 0xC2, 0, 0, 1, 2, 0, 0, 0, 0, 9, 0x88, 0x08, 0, 1, 0x03, 0xE8];
    pause.resize(60, 0);
    board.inject(&pause); // 1,000 quanta: 51.2 µs
    ring.send(&mut board, &frame(MAC, 60), 0);
    assert!(board.sent().is_empty());
    assert_eq!(board.r(0xCE00) & 1, 1, "TFCS");
    board.wait_us(40);
    assert!(board.sent().is_empty());
    board.wait_us(20);
    board.run();
    assert_eq!(board.sent().len(), 1);
    // XON ends a pause early.
    board.inject(&pause);
    ring.send(&mut board, &frame(MAC, 60), 0);
    pause[16..18].fill(0);
    board.inject(&pause);
    board.run();
    assert_eq!(board.sent().len(), 1);
    assert_eq!((board.r(0x41A8), board.r(0x41A4)), (2, 1), "XOFF and XON received");
    assert_eq!(board.r(GPRC), 0, "no packets");
    board.w(0x4294, 0);
    pause[16..18].fill(0xFF);
    board.inject(&pause);
    ring.send(&mut board, &frame(MAC, 60), 0);
    assert_eq!(board.sent().len(), 1, "not obeyed");
}

#[test]
fn a_filling_packet_buffer_sends_xoff_and_then_xon() {
    let mut board = Board::ready();
    board.w(0x3D00, 1 << 3); // FCCFG: link flow control
    board.w(0x3200, 0x0100);
    board.w(0x32A0, 0x80);
    board.w(0x3260, 1 << 31 | 4096);
    board.w(0x3220, 1 << 31 | 1024);
    let mut ring = board.rx_ring(0, 8);
    for _ in 0..14 {
        board.inject(&frame(MAC, 1024));
    }
    let pauses: Vec<_> = board.sent();
    assert_eq!(pauses.len(), 1);
    assert_eq!(pauses[0][..6], [0x01, 0x80, 0xC2, 0, 0, 1]);
    assert_eq!(pauses[0][6..12], MAC);
    assert_eq!(pauses[0][12..18], [0x88, 0x08, 0, 1, 1, 0]);
    board.wait_us(10);
    assert_eq!(board.sent().len(), 1, "again while it stays full");
    let got = ring.drain(&board).len() as u32;
    ring.refill(&mut board, 7, (7 + got) % 8);
    board.run();
    assert_eq!(board.sent().iter().map(|f| f[16..18].to_vec()).collect::<Vec<_>>(), [[0, 0]], "XON");
    assert_eq!((board.r(0x3F68), board.r(0x3F60)), (2, 1));
    assert_eq!(board.r(0x4080), 3, "GPTC counts PAUSE too");
}

#[test]
fn loopback_brings_packets_back_without_a_wire() {
    let mut board = Board::ready();
    drop(std::mem::replace(&mut board.wire, pmd_links::pair(1).0));
    board.wait_ms(5);
    let (hlreg0, autoc) = (board.r(0x4240), board.r(0x42A0));
    board.w(0x4240, hlreg0 | 1 << 15);
    board.w(0x42A0, autoc | 1);
    board.wait_ms(5);
    assert_eq!(board.r(0x42A4) >> 30 & 1, 1);
    let mut rx = board.rx_ring(0, 64);
    let mut ring = board.tx_ring(0, 64);
    for i in 0..40 {
        ring.send(&mut board, &frame(MAC, 60 + i), cmd::RS);
    }
    let lengths: Vec<_> = rx.drain(&board).iter().map(|r| r.data.len()).collect();
    assert_eq!(lengths, (60..100).collect::<Vec<_>>());
}
