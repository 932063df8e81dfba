//! Traffic classes: priority flow control, the transmit arbiter; pools; two VLAN tags.

use crate::board::{Board, MAC, cmd, frame};
use crate::packets::Packet;

/// Each user priority is the class of its number, on both ways.
const IDENTITY: u32 = 0o76543210;
const GROUP: [u8; 6] = [0x01, 0x80, 0xC2, 0, 0, 1];

/// Eight classes each way.
fn board() -> Board {
    let mut board = Board::ready();
    board.w(0x3020, IDENTITY);
    board.w(0xC800, IDENTITY);
    board.w(0x8120, 1 | 3 << 2);
    board.w(0x5818, 2);
    (0..8).for_each(|class| board.w(0x3C00 + 4 * class, 64 << 10));
    board
}

fn tagged(priority: u16, len: usize) -> Vec<u8> {
    let mut tagged = frame(MAC, len);
    let [a, b] = (priority << 13 | 5).to_be_bytes();
    tagged.splice(12..12, [0x81, 0x00, a, b]);
    tagged
}

/// A priority flow control frame.
fn told(enabled: u8, quanta: [u16; 8]) -> Vec<u8> {
    let mut frame = vec![0; 60];
    frame[..6].copy_from_slice(&GROUP);
    frame[12..18].copy_from_slice(&[0x88, 0x08, 0x01, 0x01, 0, enabled]);
    for (i, quanta) in quanta.into_iter().enumerate() {
        frame[18 + 2 * i..20 + 2 * i].copy_from_slice(&quanta.to_be_bytes());
    }
    frame
}

#[test]
fn a_paused_class_waits_and_the_others_do_not() {
    let mut board = board();
    board.w(0x4294, 1 << 2);
    let (mut first, mut second) = (board.tx_ring(0, 16), board.tx_ring(32, 16));
    board.inject(&told(1 << 1, [7, 0x1000, 0, 0, 0, 0, 0, 0]));
    assert_eq!(board.r(0xCE00), 1 << 9, "TFCS");
    second.send(&mut board, &frame(MAC, 100), 0);
    first.send(&mut board, &frame(MAC, 200), 0);
    assert_eq!(board.sent().iter().map(Vec::len).collect::<Vec<_>>(), [200]);
    board.inject(&told(1 << 1, [0; 8]));
    board.run();
    assert_eq!(board.sent().len(), 1, "XON");
    board.inject(&told(0xFF, [1; 8]));
    assert_eq!([0x4160, 0x4164, 0x4140, 0x4144].map(|r| board.r(r)), [1, 2, 0, 1], "PXOFFRXCNT, PXONRXCNT");
    // 0x1000 quanta of 51.2 ns are over after 210 us.
    board.inject(&told(1 << 1, [0, 0x1000, 0, 0, 0, 0, 0, 0]));
    second.send(&mut board, &frame(MAC, 100), 0);
    board.wait_us(209);
    assert!(board.sent().is_empty());
    board.wait_us(2);
    assert_eq!(board.sent().len(), 1);
}

#[test]
fn without_rpfce_nothing_waits() {
    let mut board = board();
    let mut ring = board.tx_ring(32, 16);
    board.inject(&told(1 << 1, [0, 0x1000, 0, 0, 0, 0, 0, 0]));
    ring.send(&mut board, &frame(MAC, 100), 0);
    assert_eq!(board.sent().len(), 1);
}

#[test]
fn a_full_class_stops_its_priority_at_the_partner() {
    let mut board = board();
    board.w(0x3D00, 2 << 3);
    board.w(0x3204, 0x1234);
    board.w(0x3228, 1 << 31 | 0x40 << 5);
    board.w(0x3268, 1 << 31 | 0x80 << 5);
    let mut other = board.rx_ring(0, 16);
    let ring = board.rx_ring(32, 8);
    // Seven fit into the ring; FCRTH is 4 KB.
    (0..7 + 4).for_each(|_| board.inject(&tagged(2, 1_000)));
    assert!(board.sent().is_empty());
    board.inject(&tagged(2, 1_000));
    let xoff = board.sent();
    assert_eq!(xoff.len(), 1);
    let (kind, enabled, quanta) =
        (&xoff[0][12..16], xoff[0][17], u16::from_be_bytes([xoff[0][22], xoff[0][23]]));
    assert_eq!((kind, enabled, quanta), (&[0x88, 0x08, 1, 1][..], 1 << 2, 0x1234));
    board.inject(&tagged(0, 500));
    assert_eq!(other.drain(&board).len(), 1, "another class is not held up");
    assert_eq!([0x3FC0, 0x3FC8].map(|r| board.r(r)), [0, 1], "RNBC of the class");
    ring.refill(&mut board, 0, 6);
    board.run();
    let xon = board.sent();
    assert_eq!((xon[0][17], xon[0][22], xon[0][23]), (1 << 2, 0, 0));
    assert_eq!([0x3F08, 0x3F28].map(|r| board.r(r)), [1, 1], "PXONTXC, PXOFFTXC");
    // What does not fit is missed by that class alone.
    (0..80).for_each(|_| board.inject(&tagged(2, 1_400)));
    assert!(board.r(0x3FA8) > 0 && board.r(0x3FA0) == 0, "MPC");
}

/// Fills the queues of classes 0 and 1, then lets the wire take frame by frame; returns how many of each class were in the
/// first 40.
fn shares(setup: impl Fn(&mut Board)) -> [usize; 2] {
    let mut board = Board::with_wire(pmd_ixgbe_model::Config::new(MAC), 4);
    board.wait_ms(20);
    board.w(0x4A80, 0x8100_0001);
    board.w(0x8120, 1 | 3 << 2);
    board.w(0x4900, 1 << 6);
    setup(&mut board);
    let control = board.r(0x4900);
    let mut rings = [board.tx_ring(0, 64), board.tx_ring(32, 64)];
    for (class, ring) in rings.iter_mut().enumerate() {
        for _ in 0..50 {
            let at = board.memory.take(1_000);
            board.memory.put(at, &frame([2, 0, 0, 0, 0, class as u8], 1_000));
            ring.put(&board, [at, cmd::DATA | cmd::EOP | cmd::payload(1_000) | 1_000]);
        }
        ring.ring(&mut board);
    }
    assert!(board.sent().is_empty(), "ARBDIS stops everything");
    board.w(0x4900, control & !(1 << 6));
    let mut seen = Vec::new();
    while seen.len() < 40 {
        board.run();
        seen.extend(board.sent().iter().map(|frame| frame[5]));
    }
    [0, 1].map(|class| seen[..40].iter().filter(|of| **of == class).count())
}

#[test]
fn classes_send_by_their_weights() {
    let weighted = |a: u32, b: u32| {
        move |board: &mut Board| {
            board.w(0x4900, 1 << 6 | 1);
            board.w(0x4910, a | 512 << 12);
            board.w(0x4914, b | 512 << 12);
        }
    };
    // Whole packets: the ratio is one in the long run.
    let [light, heavy] = shares(weighted(16, 48));
    assert!((9..=11).contains(&light), "{light} and {heavy} of 40, at 1 to 3");
    let [one, other] = shares(weighted(40, 40));
    assert!((19..=21).contains(&one), "{one} and {other} of 40, at 1 to 1");
    let strict = |board: &mut Board| {
        board.w(0x4900, 1 << 6 | 1);
        board.w(0x4910, 500 | 512 << 12);
        board.w(0x4914, 1 | 512 << 12 | 1 << 31);
    };
    assert_eq!(shares(strict), [0, 40], "strict priority");
    let [first, _] = shares(|_| {});
    assert!(first == 40, "without the arbiter, the queues take turns of 64 packets");
}

#[test]
fn pools_send_if_they_may_and_get_their_tag() {
    let mut board = Board::ready();
    board.w(0x51B0, 1);
    board.w(0x8120, 2 | 2 << 2);
    let (mut first, mut second) = (board.tx_ring(0, 16), board.tx_ring(2, 16));
    first.send(&mut board, &frame(MAC, 100), 0);
    second.send(&mut board, &frame(MAC, 100), 0);
    assert!(board.sent().is_empty(), "PFVFTE is 0");
    board.w(0x8004, 1 << 30 | 0x6009);
    board.w(0x8110, 0b10);
    board.run();
    let sent = board.sent();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0][12..16], [0x81, 0x00, 0x60, 0x09], "the pool's own tag");
    board.w(0x8110, 0b11);
    board.run();
    assert_eq!(board.sent(), [frame(MAC, 100)]);
}

#[test]
fn a_broadcast_is_copied_to_each_pool_that_wants_it() {
    let mut board = Board::ready();
    board.w(0x51B0, 1 | 1 << 30);
    board.w(0x5818, 8);
    board.w(0x51E0, 0b1011);
    [0, 1, 2, 3].into_iter().for_each(|pool| board.w(0xF000 + 4 * pool, 1 << 27 | 1 << 24));
    let mut rings = [0, 2, 4, 6].map(|queue| board.rx_ring(queue, 8));
    board.w(0x1028 + 0x40 * 2, 1 << 25 | 1 << 30);
    board.inject(&frame([0xFF; 6], 60));
    let got =
        rings.each_mut().map(|ring| ring.drain(&board).into_iter().map(|got| got.data).collect::<Vec<_>>());
    let one = vec![frame([0xFF; 6], 60)];
    assert_eq!(got, [one.clone(), one.clone(), vec![], one], "pool 2 may not receive");
    board.w(0x51B0, 1);
    board.inject(&frame([0xFF; 6], 60));
    assert_eq!(
        rings.each_mut().map(|ring| ring.drain(&board).len()),
        [1, 0, 0, 0],
        "without replication, the lowest"
    );
}

#[test]
fn a_mailbox_keeps_nothing_but_its_owner() {
    let mut board = Board::ready();
    board.w(0x4B00, 0x1F);
    assert_eq!(board.r(0x4B00), 1 << 3);
    board.w(0x13000, 0xDEAD_BEEF);
    assert_eq!(board.r(0x13000), 0xDEAD_BEEF);
}

#[test]
fn the_inner_of_two_tags_is_the_tag() {
    let mut board = Board::ready();
    board.w(0x5078, 0x88A8 << 16);
    let mut ring = board.rx_ring(0, 16);
    board.w(0x1028, 1 << 25 | 1 << 30);
    let mut double = Packet { vlan: Some(0x2005), ..Packet::udp() }.build();
    double.splice(12..12, [0x88, 0xA8, 0x00, 0x07]);
    board.inject(&double);
    let got = ring.poll(&board).unwrap();
    assert_eq!(
        (got.status() >> 9 & 1, got.vlan(), got.kind() >> 4 & 1),
        (0, 0, 0),
        "one tag is what there is by itself"
    );
    board.w(0x18, 1 << 26);
    board.inject(&double);
    let got = ring.poll(&board).unwrap();
    assert_eq!((got.status() >> 9 & 1, got.status() >> 3 & 1, got.vlan()), (1, 1, 0x2005));
    assert_eq!(got.data[12..18], [0x88, 0xA8, 0x00, 0x07, 0x08, 0x00], "the outer one stays");
    assert_eq!((got.kind() >> 4 & 1, got.status() >> 5 & 3), (1, 3), "IP behind both, checksums seen");

    let mut tx = board.tx_ring(0, 16);
    board.w(0x4A80, 0x8100_0001 | 1 << 3);
    tx.put(&board, [0x4321 << 16 | 14 << 9, cmd::CONTEXT]);
    let mut outer = frame(MAC, 100);
    outer.splice(12..12, [0x88, 0xA8, 0x00, 0x07]);
    tx.send(&mut board, &outer, cmd::VLE);
    assert_eq!(board.sent()[0][12..20], [0x88, 0xA8, 0x00, 0x07, 0x81, 0x00, 0x43, 0x21]);
    tx.send(&mut board, &frame(MAC, 100), cmd::VLE);
    assert_eq!(board.sent()[0][12..16], [0x81, 0x00, 0x43, 0x21]);
}
