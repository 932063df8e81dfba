//! From the wire to memory.

use pmd_ixgbe_model::inspect::LastFault;
use pmd_ixgbe_model::{Config, Overrun, ShortFrames};

use crate::board::{Board, MAC, frame, rx_regs};

const DD: u32 = 1;
const EOP: u32 = 2;
const VP: u32 = 8;

#[test]
fn a_packet_lands_in_its_buffer_and_the_descriptor_comes_back() {
    let mut board = Board::ready();
    let mut ring = board.rx_ring(0, 32);
    let sent = frame(MAC, 100);
    board.inject(&sent);
    let got = ring.poll(&board).expect("a packet");
    assert_eq!(got.data, sent);
    assert_eq!(got.status() & (DD | EOP), DD | EOP);
    assert_eq!(board.r(0x1010), 1, "RDH moved");
    assert!(ring.poll(&board).is_none());
}

#[test]
fn the_short_alias_of_srrctl_sets_the_buffer_size() {
    let mut board = Board::ready();
    let mut ring = board.rx_ring(0, 8);
    board.w(0x2100, 1 << 25 | 1);
    assert_eq!(board.r(rx_regs(0) + 0x14), 1 << 25 | 1);
    board.inject(&frame(MAC, 1500));
    let got = ring.drain(&board);
    assert_eq!(got.iter().map(|r| r.data.len()).collect::<Vec<_>>(), [1024, 476]);
}

#[test]
fn a_long_packet_takes_several_descriptors_and_only_the_last_ends_it() {
    let mut board = Board::ready();
    let hlreg0 = board.r(0x4240);
    board.w(0x4240, hlreg0 | 1 << 2);
    board.w(0x4268, 9600 << 16);
    let mut ring = board.rx_ring(0, 16);
    let sent = frame(MAC, 9000);
    board.inject(&sent);
    let got = ring.drain(&board);
    assert_eq!(got.iter().map(|r| r.end()).collect::<Vec<_>>(), [false, false, false, false, true]);
    let joined: Vec<u8> = got.into_iter().flat_map(|r| r.data).collect();
    assert_eq!(joined, sent);
}

#[test]
fn a_legacy_descriptor_keeps_its_address() {
    let mut board = Board::ready();
    let mut ring = board.rx_ring_with(0, 8, 2);
    board.inject(&frame(MAC, 64));
    let got = ring.poll_legacy(&board).expect("done");
    assert_eq!(got.words[0], ring.buffers[0]);
    assert_eq!(got.words[1] & 0xFFFF, 64);
    assert_eq!(got.words[1] >> 32 & 0x3, 3);
    assert_eq!(got.data, frame(MAC, 64));
}

#[test]
fn the_frame_check_sequence_stays_if_it_is_not_stripped() {
    let mut board = Board::ready();
    let hlreg0 = board.r(0x4240);
    board.w(0x4240, hlreg0 & !2);
    let mut ring = board.rx_ring(0, 8);
    board.inject(&frame(MAC, 60));
    let got = ring.poll(&board).unwrap();
    assert_eq!(got.data.len(), 64);
    // The residue of a frame with its check sequence is a constant.
    let mut crc = !0u32;
    for byte in &got.data {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    assert_eq!(crc, 0xDEBB_20E3);
}

#[test]
fn the_tag_is_stripped_where_the_queue_says_so() {
    let mut board = Board::ready();
    let mut ring = board.rx_ring(0, 8);
    let plain = frame(MAC, 70);
    let mut tagged = plain[..12].to_vec();
    tagged.extend_from_slice(&[0x81, 0x00, 0x60, 0x2A]);
    tagged.extend_from_slice(&plain[12..]);
    board.inject(&tagged);
    board.w(0x1028, 1 << 25 | 1 << 30);
    board.inject(&tagged);
    let kept = ring.poll(&board).unwrap();
    assert_eq!((kept.data, kept.words[1] as u32 & VP), (tagged, 0));
    let stripped = ring.poll(&board).unwrap();
    assert_eq!(stripped.status() & VP, VP);
    assert_eq!((stripped.data.clone(), stripped.vlan()), (plain, 0x602A));
}

#[test]
fn a_ring_without_descriptors_holds_packets_in_the_packet_buffer() {
    let mut board = Board::ready();
    let mut ring = board.rx_ring(0, 8);
    for i in 0..20 {
        board.inject(&frame(MAC, 60 + i));
    }
    assert_eq!(ring.drain(&board).len(), 7, "one descriptor always stays empty");
    assert_eq!(board.model.inspect().packet_buffer().0, 13);
    assert_eq!(board.r(0x3FC0), 1, "RNBC: the first one that waited");
    ring.refill(&mut board, 0, 6);
    board.run();
    let more = ring.drain(&board);
    assert_eq!(
        more.iter().map(|r| r.data.len()).collect::<Vec<_>>(),
        (67..74).collect::<Vec<_>>(),
        "in order"
    );
    assert_eq!(board.r(0x3FA0), 0, "nothing was missed");
}

#[test]
fn with_drop_enable_the_queue_drops_instead_and_counts() {
    let mut board = Board::ready();
    let mut ring = board.rx_ring_with(0, 8, 1 << 28 | 1 << 25 | 2);
    for _ in 0..20 {
        board.inject(&frame(MAC, 60));
    }
    assert_eq!(ring.drain(&board).len(), 7);
    assert_eq!(board.model.inspect().packet_buffer().0, 0);
    assert_eq!((board.r(0x1430), board.r(0x1430)), (13, 0), "QPRDC clears on read");
    assert_eq!(board.r(0x1030), 7, "QPRC");
}

#[test]
fn a_full_packet_buffer_misses_packets() {
    let mut board = Board::ready();
    board.w(0x3C00, 4 << 10);
    board.rx_ring(0, 8);
    for _ in 0..50 {
        board.inject(&frame(MAC, 512));
    }
    let (waiting, bytes) = board.model.inspect().packet_buffer();
    assert_eq!((waiting, bytes), (8, 4096));
    assert_eq!(board.r(0x3FA0), 50 - 7 - 8, "MPC");
    assert_eq!(board.r(0x4074), 50, "GPRC counts missed ones too");
    assert_eq!(board.r(0x800) & 1 << 17, 1 << 17, "EICR: receive miss");
}

#[test]
fn a_link_that_waits_loses_nothing() {
    let mut board = Board::ready_with(Config { overrun: Overrun::Wait, ..Config::new(MAC) });
    board.w(0x3C00, 4 << 10);
    let mut ring = board.rx_ring(0, 8);
    for i in 0..200u32 {
        use pmd_links::Link;
        assert_eq!(board.wire.transmit(&frame(MAC, 60 + i as usize), 0).unwrap(), pmd_links::Sent::Accepted);
    }
    let mut lengths = Vec::new();
    let mut tail = 7;
    for _ in 0..200 {
        board.run();
        for got in ring.drain(&board) {
            lengths.push(got.data.len());
            ring.refill(&mut board, tail, (tail + 1) % 8);
            tail = (tail + 1) % 8;
        }
    }
    assert_eq!(lengths, (60..260).collect::<Vec<_>>());
    assert_eq!(board.r(0x3FA0), 0);
}

#[test]
fn receive_must_be_on() {
    let mut board = Board::ready();
    let mut ring = board.rx_ring(0, 8);
    board.w(0x3000, 0);
    board.inject(&frame(MAC, 60));
    board.w(0x3000, 1);
    board.w(0x8D00, 2); // SECRXCTRL.RX_DIS
    assert_eq!(board.r(0x8D04) & 1, 1, "the path is empty");
    board.inject(&frame(MAC, 60));
    board.w(0x8D00, 0);
    assert!(ring.poll(&board).is_none());
    assert_eq!(board.r(0x40D0), 0, "TPR");
    assert_eq!(board.model.inspect().counters().rx_disabled, 2);
    board.inject(&frame(MAC, 60));
    assert!(ring.poll(&board).is_some());
}

#[test]
fn short_and_long_frames_are_counted_and_dropped() {
    let mut board = Board::ready_with(Config { short_frames: ShortFrames::Undersized, ..Config::new(MAC) });
    let mut ring = board.rx_ring(0, 16);
    board.inject(&frame(MAC, 59));
    board.inject(&frame(MAC, 60));
    board.inject(&frame(MAC, 1514));
    board.inject(&frame(MAC, 1515));
    assert_eq!((board.r(0x40A4), board.r(0x40AC)), (1, 1), "RUC, ROC");
    let hlreg0 = board.r(0x4240);
    board.w(0x4240, hlreg0 | 4);
    board.w(0x4268, 2000 << 16);
    board.inject(&frame(MAC, 1996));
    board.inject(&frame(MAC, 1997));
    let mut tagged = frame(MAC, 2000);
    tagged[12..14].copy_from_slice(&[0x81, 0x00]);
    board.inject(&tagged);
    assert_eq!(board.r(0x40AC), 1, "a tag makes room for four bytes");
    let lengths: Vec<_> = ring.drain(&board).iter().map(|r| r.data.len()).collect();
    assert_eq!(lengths, [60, 1514, 1996, 2000]);
}

#[test]
fn frames_of_a_peer_that_does_not_pad_are_padded() {
    let mut board = Board::ready();
    let mut ring = board.rx_ring(0, 8);
    board.inject(&frame(MAC, 42));
    let got = ring.poll(&board).unwrap().data;
    assert_eq!((got.len(), &got[..42], &got[42..]), (60, &frame(MAC, 42)[..], &[0u8; 18][..]));
}

#[test]
fn a_disabled_queue_reads_disabled_after_a_while_and_gets_nothing() {
    let mut board = Board::ready();
    let mut ring = board.rx_ring(0, 8);
    board.w(0x1028, 0);
    assert_ne!(board.r(0x1028) & 1 << 25, 0);
    board.wait_us(20);
    assert_eq!(board.r(0x1028) & 1 << 25, 0);
    board.inject(&frame(MAC, 60));
    assert!(ring.poll(&board).is_none());
    assert_eq!(board.r(0x1430), 1, "QPRDC");
}

#[test]
fn a_set_up_that_cannot_work_is_named() {
    let mut board = Board::ready();
    board.rx_ring(0, 8);
    for (srrctl, reason) in [
        (1 << 25, "SRRCTL.BSIZEPACKET is not between 1 and 16 KB"),
        (3 << 25 | 2, "SRRCTL.DESCTYPE is a reserved value"),
        (2 << 25 | 2, "SRRCTL.BSIZEHEADER is not between 64 and 1024 bytes"),
    ] {
        board.w(0x1014, srrctl);
        board.inject(&frame(MAC, 60));
        assert_eq!(board.model.inspect().last_fault(), LastFault::RxSetup { queue: 0, reason });
    }
}

#[test]
fn memory_that_does_not_answer_stops_the_queue_until_it_is_enabled_again() {
    let mut board = Board::ready();
    let mut ring = board.rx_ring(0, 8);
    board.memory.put_word(ring.base + 16, 0xDEAD_0000_0000);
    board.inject(&frame(MAC, 60));
    board.inject(&frame(MAC, 60));
    board.inject(&frame(MAC, 60));
    assert_eq!(ring.drain(&board).len(), 1);
    let inspect = board.model.inspect();
    assert!(inspect.rx_queue(0).unwrap().halted);
    assert!(matches!(inspect.last_fault(), LastFault::Dma(_)));
    assert_eq!(board.r(0x800) & 1 << 18, 1 << 18, "EICR: PCI exception");
    board.w(0x1028, 0);
    board.w(0x1028, 1 << 25);
    ring.refill(&mut board, 0, 7);
    ring.rewind();
    board.inject(&frame(MAC, 60));
    assert_eq!(ring.drain(&board).len(), 1);
}

#[test]
fn a_tail_beyond_the_ring_is_ignored() {
    let mut board = Board::ready();
    let mut ring = board.rx_ring(0, 8);
    board.w(0x1018, 60_000);
    for _ in 0..10 {
        board.inject(&frame(MAC, 60));
    }
    assert!(ring.drain(&board).len() <= 7);
    assert_eq!(board.model.inspect().counters().dma_faults, 0);
}
