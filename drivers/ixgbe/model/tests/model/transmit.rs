//! From memory to the wire.

use pmd_ixgbe_model::inspect::LastFault;

use crate::board::{Board, MAC, cmd, frame};

const DD: u64 = 1 << 32;

#[test]
fn a_packet_goes_out_and_is_reported_done() {
    let mut board = Board::ready();
    let mut ring = board.tx_ring(0, 32);
    let packet = frame(MAC, 100);
    let descriptor = ring.send(&mut board, &packet, cmd::RS);
    assert_eq!(board.sent(), [packet]);
    assert_eq!([board.memory.word(descriptor), board.memory.word(descriptor + 8)], [0, DD]);
    assert_eq!(board.r(0x6010), 1, "TDH moved");
}

#[test]
fn without_rs_nothing_is_written_back() {
    let mut board = Board::ready();
    let mut ring = board.tx_ring(0, 32);
    let descriptor = ring.send(&mut board, &frame(MAC, 100), 0);
    assert_eq!(board.sent().len(), 1);
    assert_eq!(board.memory.word(descriptor + 8) & DD, 0);
}

#[test]
fn the_pieces_of_a_packet_are_joined() {
    let mut board = Board::ready();
    let mut ring = board.tx_ring(0, 32);
    let packet = frame(MAC, 500);
    let at = board.memory.take(500);
    board.memory.put(at, &packet);
    let payload = cmd::payload(500);
    ring.put(&board, [at, cmd::DATA | payload | 14]);
    ring.put(&board, [at + 14, cmd::DATA | payload | 86]);
    ring.ring(&mut board);
    assert!(board.sent().is_empty(), "no end yet");
    assert_eq!(board.r(0x6010), 0);
    ring.put(&board, [at + 100, cmd::DATA | payload | cmd::EOP | cmd::RS | 400]);
    ring.ring(&mut board);
    assert_eq!(board.sent(), [packet]);
    assert_eq!(board.r(0x6010), 3);
}

#[test]
fn legacy_descriptors_keep_their_words_and_get_dd() {
    let mut board = Board::ready();
    let mut ring = board.tx_ring(0, 8);
    let packet = frame(MAC, 64);
    let at = board.memory.take(64);
    board.memory.put(at, &packet);
    let word = 64 | cmd::EOP | cmd::IFCS | cmd::RS;
    let descriptor = ring.put(&board, [at, word]);
    ring.ring(&mut board);
    assert_eq!(board.sent(), [packet]);
    assert_eq!([board.memory.word(descriptor), board.memory.word(descriptor + 8)], [at, word | DD]);
}

#[test]
fn head_write_back_writes_the_head_and_no_descriptor() {
    let mut board = Board::ready();
    let head = board.memory.take(16);
    board.memory.put_word(head, 0xFFFF_FFFF_FFFF_FFFF);
    board.w(0x6038, head as u32 | 1);
    board.w(0x603C, (head >> 32) as u32);
    let mut ring = board.tx_ring(0, 8);
    ring.send(&mut board, &frame(MAC, 64), 0);
    assert_eq!(board.memory.word(head), u64::MAX, "no RS, no write-back");
    let descriptor = ring.send(&mut board, &frame(MAC, 64), cmd::RS);
    assert_eq!(board.memory.word(head), 0xFFFF_FFFF_0000_0002, "32 bits");
    assert_eq!(board.memory.word(descriptor + 8) & DD, 0);
}

#[test]
fn with_wthresh_reports_come_in_groups_or_when_the_interval_is_over() {
    let mut board = Board::ready();
    board.w(0x900, 0x80 << 8); // IVAR: transmit queue 0 to vector 0
    board.w(0x820, 25 << 3); // EITR 0: 50 µs
    let mut ring = board.tx_ring(0, 32);
    board.w(0x6028, 1 << 25 | 4 << 16);
    let descriptors: Vec<_> = (0..6).map(|_| ring.send(&mut board, &frame(MAC, 64), cmd::RS)).collect();
    let done = |board: &Board| descriptors.iter().filter(|d| board.memory.word(**d + 8) & DD != 0).count();
    assert_eq!(done(&board), 4);
    board.wait_us(60);
    assert_eq!(done(&board), 6);
}

#[test]
fn short_packets_are_padded_if_the_mac_may() {
    let mut board = Board::ready();
    let mut ring = board.tx_ring(0, 32);
    ring.send(&mut board, &frame(MAC, 20), 0);
    let hlreg0 = board.r(0x4240);
    board.w(0x4240, hlreg0 & !(1 << 10));
    ring.send(&mut board, &frame(MAC, 20), 0);
    let sent = board.sent();
    assert_eq!(sent.iter().map(Vec::len).collect::<Vec<_>>(), [60, 20]);
    assert_eq!(sent[0][20..], [0; 40]);
}

#[test]
fn a_queue_needs_dmatxctl_te() {
    let mut board = Board::ready();
    board.w(0x4A80, 0x8100_0000);
    board.w(0x6028, 1 << 25);
    board.wait_ms(1);
    assert_eq!(board.r(0x6028) & 1 << 25, 0);
    board.w(0x4A80, 0x8100_0001);
    board.wait_ms(1);
    assert_eq!(board.r(0x6028) & 1 << 25, 1 << 25);
}

#[test]
fn a_busy_link_holds_the_queue_and_nothing_is_lost() {
    let mut board = Board::ready();
    let (near, far) = pmd_links::pair(2);
    board.model.plug(Box::new(far));
    board.wire = near;
    board.wait_ms(20);
    let mut ring = board.tx_ring(0, 32);
    for i in 0..10 {
        ring.send(&mut board, &frame(MAC, 60 + i), cmd::RS);
    }
    assert_eq!(board.r(0x6010), 2);
    let mut lengths = Vec::new();
    for _ in 0..10 {
        lengths.extend(board.sent().iter().map(Vec::len));
        board.run();
    }
    assert_eq!(lengths, (60..70).collect::<Vec<_>>());
    assert_eq!(board.r(0x4080), 10, "GPTC");
}

#[test]
fn descriptors_that_make_no_sense_lose_their_packet_and_are_named() {
    let mut board = Board::ready();
    let mut ring = board.tx_ring(0, 64);
    let at = board.memory.take(0x4000);
    let full = cmd::DATA | cmd::EOP | cmd::RS;
    let cases: [(u64, &str); 4] = [
        (full | 10, "a packet of less than 17 bytes"),
        (full | 15_873, "a packet longer than the device sends"),
        (full | cmd::VLE | 7 << 36 | 60, "a context index above 1"),
        (full & !cmd::IFCS | 60, "a packet without IFCS whose own frame check sequence is wrong"),
    ];
    for (word, reason) in cases {
        let descriptor = ring.put(&board, [at, word]);
        ring.ring(&mut board);
        assert!(
            matches!(board.model.inspect().last_fault(), LastFault::TxDescriptor { queue: 0, reason: r, .. } if r == reason),
            "{reason}"
        );
        assert_eq!(board.memory.word(descriptor + 8) & DD, DD, "reported done all the same");
    }
    let unknown = ring.put(&board, [at, 9 << 20 | cmd::DEXT | cmd::EOP | cmd::RS | 60]);
    ring.ring(&mut board);
    assert_eq!(board.memory.word(unknown + 8) & DD, 0, "no type: nobody knows where its status is");
    assert!(board.sent().is_empty());
    ring.send(&mut board, &frame(MAC, 60), 0);
    assert_eq!(board.sent().len(), 1, "the queue lives on");
}

#[test]
fn memory_that_does_not_answer_stops_the_queue() {
    let mut board = Board::ready();
    let mut ring = board.tx_ring(0, 8);
    ring.put(&board, [0x10, cmd::DATA | cmd::EOP | cmd::RS | 60]);
    ring.ring(&mut board);
    ring.send(&mut board, &frame(MAC, 60), 0);
    assert!(board.sent().is_empty());
    assert!(board.model.inspect().tx_queue(0).unwrap().halted);
    let mut ring = board.tx_ring(1, 8);
    ring.send(&mut board, &frame(MAC, 60), 0);
    assert_eq!(board.sent().len(), 1, "another queue goes on");
}

#[test]
fn null_descriptors_send_nothing_and_are_reported() {
    let mut board = Board::ready();
    let mut ring = board.tx_ring(0, 8);
    let descriptor = ring.put(&board, [0, cmd::DATA | cmd::EOP | cmd::RS]);
    ring.ring(&mut board);
    assert_eq!(board.memory.word(descriptor + 8), DD);
    assert!(board.sent().is_empty());
}

#[test]
fn queues_take_turns() {
    let mut board = Board::ready();
    let mut rings: Vec<_> = [0, 1, 64, 127].iter().map(|q| board.tx_ring(*q, 256)).collect();
    let at = board.memory.take(64);
    for (i, ring) in rings.iter_mut().enumerate() {
        let mut packet = frame(MAC, 60);
        packet[14] = i as u8;
        let place = at + 64 * i as u64;
        board.memory.take(64);
        board.memory.put(place, &packet);
        for _ in 0..100 {
            ring.put(&board, [place, cmd::DATA | cmd::EOP | cmd::payload(60) | 60]);
        }
        board.w(ring.regs + 0x18, ring.tail);
    }
    board.step();
    let first: Vec<u8> = board.sent().iter().map(|f| f[14]).collect();
    for i in 0..4 {
        assert!(first.iter().filter(|q| **q == i).count() >= 10, "queue {i} had its turn: {first:?}");
    }
    board.run();
    assert_eq!(first.len() + board.sent().len(), 400);
}

#[test]
fn a_reset_forgets_what_was_queued() {
    let mut board = Board::ready();
    let mut ring = board.tx_ring(0, 8);
    board.w(0x0, 1 << 2); // no more requests
    ring.send(&mut board, &frame(MAC, 60), 0);
    assert!(board.sent().is_empty());
    let accesses = board.memory.accesses.get();
    board.w(0x0, 1 << 26);
    board.wait_ms(20);
    board.run();
    assert!(board.sent().is_empty());
    assert_eq!(board.memory.accesses.get(), accesses, "no DMA from before the reset");
    assert_eq!((board.r(0x6018), board.r(0x6028) & 1 << 25), (0, 0));
}

#[test]
fn a_rate_limited_queue_sends_no_faster() {
    let mut board = Board::ready();
    let mut limited = board.tx_ring(3, 512);
    let mut free = board.tx_ring(4, 512);
    board.w(0x4904, 3); // RTTDQSEL
    board.w(0x4984, 1 << 31 | 100 << 14); // a hundredth of 10 Gbit/s
    let at = board.memory.take(1514);
    board.memory.put(at, &frame(MAC, 1226));
    for ring in [&mut limited, &mut free] {
        for _ in 0..200 {
            ring.put(&board, [at, cmd::DATA | cmd::EOP | cmd::payload(1226) | 1226]);
        }
        board.w(ring.regs + 0x18, ring.tail);
    }
    board.run();
    let burst = board.sent().len();
    assert!((200..=215).contains(&burst), "all of the free queue, a moment's worth of the other: {burst}");
    // 1,250 bytes on the wire are 100 µs at 100 Mbit/s.
    (0..50).for_each(|_| board.wait_us(100));
    let sent = board.sent().len();
    assert!((49..=51).contains(&sent), "{sent}");
}
