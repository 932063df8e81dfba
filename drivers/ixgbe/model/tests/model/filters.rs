//! Which queue a packet goes to: EtherType, SYN, 5-tuple, flow director, classes; header split.

use crate::board::{Board, MAC, RxRing, frame};
use crate::packets::Packet;

fn rings(board: &mut Board, queues: &[usize]) -> Vec<RxRing> {
    queues.iter().map(|queue| board.rx_ring(*queue, 16)).collect()
}

/// The queue (by its place in `rings`) that gets the frame.
fn queue_of(board: &mut Board, rings: &mut [RxRing], frame: &[u8]) -> Option<usize> {
    board.inject(frame);
    let board = &*board;
    rings.iter_mut().position(|ring| ring.poll(board).is_some())
}

#[test]
fn an_ethertype_goes_to_its_queue_and_the_descriptor_says_which_filter() {
    let mut board = Board::ready();
    let mut rings = rings(&mut board, &[0, 9, 70]);
    board.w(0x5128 + 4 * 3, 1 << 31 | 0x88B5);
    board.w(0xEC00 + 4 * 3, 1 << 31 | 70 << 16);
    board.inject(&frame(MAC, 60));
    let got = rings[2].poll(&board).expect("queue 70");
    assert_eq!(got.kind() & 0xFFFF, 0x8000 | 3 << 4);
    board.w(0xEC00 + 4 * 3, 9 << 16); // no queue
    board.inject(&frame(MAC, 60));
    assert_eq!(rings[0].poll(&board).expect("queue 0").kind() & 0xFFFF, 0x8030);
    board.w(0x5128 + 4 * 3, 1 << 31 | 1 << 19 | 5 << 16 | 0x88B5); // priority 5
    board.w(0xEC00 + 4 * 3, 1 << 31 | 9 << 16);
    assert_eq!(queue_of(&mut board, &mut rings, &frame(MAC, 60)), Some(0), "no tag, no priority");
    let mut tagged = frame(MAC, 60)[..12].to_vec();
    tagged.extend_from_slice(&[0x81, 0x00, 0xA0, 0x01]);
    tagged.extend_from_slice(&frame(MAC, 60)[12..]);
    assert_eq!(queue_of(&mut board, &mut rings, &tagged), Some(1));
}

#[test]
fn syn_goes_to_its_queue_before_or_after_the_5_tuples() {
    let mut board = Board::ready();
    let mut rings = rings(&mut board, &[0, 5, 6]);
    let syn = Packet { tcp_flags: 0x02, ..Packet::tcp() }.build();
    board.w(0xEC30, 1 | 5 << 1);
    assert_eq!(queue_of(&mut board, &mut rings, &syn), Some(1));
    assert_eq!(queue_of(&mut board, &mut rings, &Packet::tcp().build()), Some(0));
    // A 5-tuple filter for all TCP.
    board.w(0xE800, 1 << 12 | 6 << 21);
    board.w(0xE600, 1 << 31 | 1 << 30 | 0b01111 << 25);
    assert_eq!(queue_of(&mut board, &mut rings, &syn), Some(2));
    board.w(0xEC30, 1 << 31 | 1 | 5 << 1);
    assert_eq!(queue_of(&mut board, &mut rings, &syn), Some(1));
}

#[test]
fn a_5_tuple_compares_what_it_is_told_to_by_priority() {
    let mut board = Board::ready();
    let mut rings = rings(&mut board, &[0, 1, 2, 3]);
    let packet = Packet::tcp();
    let [source, destination] =
        [&packet.source, &packet.destination].map(|ip| u32::from_le_bytes(ip[..4].try_into().unwrap()));
    let ports = u32::from(packet.ports.0.swap_bytes()) | u32::from(packet.ports.1.swap_bytes()) << 16;
    let filter = |board: &mut Board, n: u64, mask: u32, priority: u32, protocol: u32, queue: u32| {
        board.w(0xE000 + 4 * n, source);
        board.w(0xE200 + 4 * n, destination);
        board.w(0xE400 + 4 * n, ports);
        board.w(0xE800 + 4 * n, 1 << 12 | queue << 21);
        board.w(0xE600 + 4 * n, 1 << 31 | 1 << 30 | mask << 25 | priority << 2 | protocol);
    };
    filter(&mut board, 4, 0, 1, 0, 1);
    assert_eq!(queue_of(&mut board, &mut rings, &packet.build()), Some(1));
    for other in [
        Packet { ports: (1, 1766), ..packet.clone() },
        Packet { ports: (2794, 1), ..packet.clone() },
        Packet { source: crate::packets::ip(1, 2, 3, 4), ..packet.clone() },
        Packet { destination: crate::packets::ip(1, 2, 3, 4), ..packet.clone() },
        Packet::udp(),
        Packet::tcp().v6(),
    ] {
        assert_eq!(queue_of(&mut board, &mut rings, &other.build()), Some(0));
    }
    // Only the destination port, higher priority.
    filter(&mut board, 9, 0b10111, 5, 0, 2);
    assert_eq!(queue_of(&mut board, &mut rings, &packet.build()), Some(2));
    assert_eq!(queue_of(&mut board, &mut rings, &Packet::udp().build()), Some(2), "any protocol");
    filter(&mut board, 100, 0b01111, 7, 1, 3);
    assert_eq!(queue_of(&mut board, &mut rings, &Packet::udp().build()), Some(3));
    board.w(0xE600 + 400, 0);
    assert_eq!(queue_of(&mut board, &mut rings, &Packet::udp().build()), Some(2), "off again");
}

/// The flow director's hash as driver software computes it: folded stream, key bit by key bit.
fn software_hash(key: u32, flow: u32, common: u32) -> u32 {
    let high = common ^ flow ^ flow >> 16;
    let swapped = common.rotate_left(16);
    let mut hash = if key & 1 != 0 { swapped } else { 0 } ^ if key & 1 << 16 != 0 { high } else { 0 };
    let low = swapped ^ flow ^ flow << 16;
    for i in 1..16 {
        if key & 1 << i != 0 {
            hash ^= low >> i;
        }
        if key & 1 << (i + 16) != 0 {
            hash ^= high >> i;
        }
    }
    hash & 0xFFFF
}

const BUCKET_KEY: u32 = 0x3DAD_14E2;
const SIGNATURE_KEY: u32 = 0x174D_3614;

fn start_flow_director(board: &mut Board, control: u32) {
    board.w(0xEE68, BUCKET_KEY);
    board.w(0xEE6C, SIGNATURE_KEY);
    board.w(0xEE00, control);
    assert_eq!(board.r(0xEE00) & 8, 0);
    board.wait_us(100);
    assert_eq!(board.r(0xEE00) & 8, 8);
}

fn common(packet: &Packet, flex: u16) -> u32 {
    let word = |ip: &[u8; 16]| u32::from_be_bytes(ip[..4].try_into().unwrap());
    word(&packet.source)
        ^ word(&packet.destination)
        ^ (u32::from(packet.ports.0) << 16 | u32::from(packet.ports.1))
        ^ u32::from(flex) << 16
}

#[test]
fn a_signature_filter_leads_its_flow_to_the_queue() {
    let mut board = Board::ready();
    let mut rings = rings(&mut board, &[0, 7]);
    // 64 KB, flexible bytes at 12: the EtherType.
    start_flow_director(&mut board, 1 | 6 << 16 | 0xA << 24 | 4 << 28);
    assert_eq!(board.r(0xEE38) & 0xFFFF, 8190);
    let packet = Packet::tcp();
    let flow = 2 << 16;
    let bucket = software_hash(BUCKET_KEY, flow, common(&packet, 0x0800)) & 0x7FFF;
    let signature = software_hash(SIGNATURE_KEY, flow, common(&packet, 0x0800)) & 0x7FFF;
    // One 64-bit write, as Linux does.
    let command: u64 = 1 | 8 | 1 << 11 | 1 << 15 | 2 << 5 | 7 << 16;
    let both = command << 32 | u64::from(signature << 16 | bucket);
    board.access(|model, cx| {
        vfio_user_kit::DeviceModel::bar_write(model, cx, 0, 0xEE28, &both.to_le_bytes()).unwrap();
    });
    assert_eq!(board.r(0xEE2C) & 3, 0, "done");
    assert_eq!(board.r(0xEE38) & 0xFFFF, 8189);
    assert_eq!(queue_of(&mut board, &mut rings, &packet.build()), Some(1));
    let other = Packet { ports: (2795, 1766), ..packet.clone() };
    assert_eq!(queue_of(&mut board, &mut rings, &other.build()), Some(0));
    assert_eq!((board.r(0xEE58), board.r(0xEE5C)), (1, 1), "match and miss");
    assert_eq!(board.r(0xEE50), 1, "added");
    // Remove it.
    board.w(0xEE28, signature << 16 | bucket);
    board.w(0xEE2C, 2);
    assert_eq!(queue_of(&mut board, &mut rings, &packet.build()), Some(0));
    board.w(0xEE28, signature << 16 | bucket);
    board.w(0xEE2C, 2);
    assert_eq!(board.r(0xEE54) >> 8 & 0xFF, 1, "it was not there");
}

#[test]
fn perfect_filters_compare_under_masks_report_their_index_and_can_drop() {
    let mut board = Board::ready();
    let mut rings = rings(&mut board, &[0, 7]);
    // Leave out VLAN, pool, flexible bytes, IPv6; source port and the source's last byte.
    board.w(0xEE70, 0b110111);
    board.w(0xEE44, 0x0000_FFFF);
    board.w(0xEE40, 0xFF00_0000);
    start_flow_director(&mut board, 1 | 1 << 4 | 1 << 5 | 127 << 8 | 6 << 16 | 4 << 28);
    assert_eq!(board.r(0xEE38) & 0xFFFF, 2046);
    let packet = Packet::tcp();
    let masked = Packet { ports: (0, 1766), source: crate::packets::ip(66, 9, 149, 0), ..packet.clone() };
    let bucket = software_hash(BUCKET_KEY, 2 << 16, common(&masked, 0)) & 0x1FFF;
    let program = |board: &mut Board, command: u32| {
        let le = |ip: &[u8; 16]| u32::from_le_bytes(ip[..4].try_into().unwrap());
        board.w(0xEE18, le(&packet.source));
        board.w(0xEE1C, le(&packet.destination));
        board.w(0xEE20, u32::from(packet.ports.0) | u32::from(packet.ports.1) << 16);
        board.w(0xEE24, 0);
        board.w(0xEE28, 0x123 << 16 | bucket);
        board.w(0xEE2C, command);
    };
    let add = 1 | 8 | 1 << 11 | 2 << 5;
    program(&mut board, add | 1 << 15 | 7 << 16);
    board.inject(&packet.build());
    let got = rings[1].poll(&board).expect("queue 7");
    assert_eq!(got.status() & 4, 4, "FLM");
    assert_eq!((got.kind() & 0xF, got.hash() & 0xFFFF), (0xF, 0x123));
    let near = Packet { ports: (9, 1766), source: crate::packets::ip(66, 9, 149, 9), ..packet.clone() };
    assert_eq!(queue_of(&mut board, &mut rings, &near.build()), Some(1), "what is masked does not matter");
    let far = Packet { ports: (9, 1767), ..near };
    assert_eq!(queue_of(&mut board, &mut rings, &far.build()), Some(0));
    // Query, then the same filter drops.
    board.w(0xEE28, 0x123 << 16 | bucket);
    board.w(0xEE2C, 3);
    assert_eq!(board.r(0xEE2C) & 4, 4, "it is there");
    program(&mut board, add | 1 << 9);
    assert_eq!(queue_of(&mut board, &mut rings, &packet.build()), None);
    assert_eq!(board.model.inspect().counters().rx_filter_drop, 1);
}

#[test]
fn classes_choose_by_priority() {
    let mut board = Board::ready();
    let mut rings = rings(&mut board, &[0, 48, 96]);
    board.w(0x5818, 2); // eight classes of 16 queues
    board.w(0x3020, 3 << 9 | 6 << 21); // priority 3 to class 3, 7 to class 6
    for (priority, queue) in [(0u16, 0), (3, 1), (7, 2)] {
        let packet = Packet { vlan: Some(priority << 13 | 1), ..Packet::tcp() };
        assert_eq!(queue_of(&mut board, &mut rings, &packet.build()), Some(queue));
    }
}

#[test]
fn headers_go_to_their_buffer_where_psrtype_says() {
    let mut board = Board::ready();
    let mut ring = board.rx_ring_with(0, 16, 2 << 25 | 2 << 8 | 2);
    let packet = Packet { payload: (0..200).collect(), ..Packet::tcp() };
    board.w(0xEA00, 1 << 4);
    board.inject(&packet.build());
    let got = ring.poll(&board).unwrap();
    let header_len = (got.words[0] >> 21 & 0x3FF) as usize;
    assert_eq!((got.words[0] >> 31 & 1, header_len), (1, 54), "SPH, HDR_LEN");
    assert_eq!(got.data, packet.payload);
    assert_eq!(board.memory.get(ring.headers[0], 54), packet.build()[..54]);
    board.inject(&Packet { payload: (0..200).collect(), ..Packet::udp() }.build());
    let got = ring.poll(&board).unwrap();
    assert_eq!((got.words[0] >> 31 & 1, got.data.len()), (0, 242), "UDP is not to be split");
    board.w(0x5480, 1 << 4 | 1 << 8); // the alias: IPv4 too
    board.inject(&Packet { payload: (0..200).collect(), ..Packet::udp() }.build());
    let got = ring.poll(&board).unwrap();
    assert_eq!((got.words[0] >> 21 & 0x3FF, got.data.len()), (34, 208));
}

#[test]
fn split_always_fills_the_header_buffer_first() {
    let mut board = Board::ready();
    let mut ring = board.rx_ring_with(0, 16, 5 << 25 | 2 << 8 | 2);
    let sent = frame(MAC, 300);
    board.inject(&sent);
    let got = ring.poll(&board).unwrap();
    assert_eq!((got.words[0] >> 31 & 1, got.words[0] >> 21 & 0x3FF), (0, 128));
    assert_eq!(board.memory.get(ring.headers[0], 128), sent[..128]);
    assert_eq!(got.data, sent[128..]);
    board.inject(&frame(MAC, 100));
    let got = ring.poll(&board).unwrap();
    assert_eq!((got.data.len(), got.words[0] >> 21 & 0x3FF), (0, 100), "all of it in the header buffer");
}

#[test]
fn pools_choose_by_address_vlan_and_default() {
    let mut board = Board::ready();
    let mut rings = rings(&mut board, &[0, 8, 12, 20]);
    board.w(0x5080, 1 << 10);
    board.w(0x51B0, 1 | 5 << 7); // pools, 5 by default
    board.w(0x5818, 10); // 32 pools of 4 queues with RSS
    board.w(0x51E0, 0b101100); // pools 2, 3 and 5 may receive
    let second = [2, 0x99, 0, 0, 0, 1];
    board.w(0x5408, u32::from_le_bytes([2, 0x99, 0, 0]));
    board.w(0x540C, 1 << 31 | 0x0100);
    // Address 0 to pool 2, address 1 to pools 2 and 3; both take untagged packets.
    board.w(0xA600, 1 << 2);
    board.w(0xA608, 0b1100);
    board.w(0xF008, 1 << 24);
    board.w(0xF00C, 1 << 24);
    assert_eq!(queue_of(&mut board, &mut rings, &frame(MAC, 60)), Some(1));
    assert_eq!(queue_of(&mut board, &mut rings, &frame(second, 60)), Some(1), "the lowest");
    // VLAN 7 is pool 3's.
    board.w(0xF100, 1 << 31 | 7);
    board.w(0xF200, 1 << 3);
    let tagged = |tag: u8| {
        let plain = frame(second, 60);
        [&plain[..12], &[0x81, 0, 0, tag], &plain[12..]].concat()
    };
    assert_eq!(queue_of(&mut board, &mut rings, &tagged(7)), Some(2));
    assert_eq!(queue_of(&mut board, &mut rings, &tagged(8)), Some(3), "nobody's VLAN: the default pool");
    board.w(0x51B0, 1 | 5 << 7 | 1 << 29);
    assert_eq!(queue_of(&mut board, &mut rings, &tagged(8)), None, "no default pool");
    board.w(0xF014, 1 << 27 | 1 << 24); // pool 5 takes broadcasts
    assert_eq!(queue_of(&mut board, &mut rings, &frame([0xFF; 6], 60)), Some(3));
}
