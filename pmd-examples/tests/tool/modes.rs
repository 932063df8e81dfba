//! What each mode does to packets.

use etherparse::{Icmpv4Type, Icmpv6Type, PacketBuilder, PacketHeaders, TransportHeader};

use super::frames::{OTHER, PEER, PORT0, many, tagged, udp};
use super::pcap::{Files, padded};
use super::support::{forward, number};

fn with_addresses(frame: &[u8], to: [u8; 6], from: [u8; 6]) -> Vec<u8> {
    [&to[..], &from[..], &frame[12..]].concat()
}

#[test]
fn io_changes_nothing() {
    let frames = many(500);
    let files = Files::new(&frames);
    let report = forward(&files.one_port());
    assert_eq!(number(&report, "/total/tx_packets"), 500);
    assert_eq!(report["mode"], "io");
    assert_eq!(files.out(), frames);
}

#[test]
fn io_crosses_two_ports() {
    let (first, second) = (many(300), many(200));
    let (a, b) = (Files::new(&first), Files::new(&second));
    let ports = format!("{} {}", a.one_port(), b.one_port().replace("net_pcap0", "net_pcap1"));
    let report = forward(&ports);
    assert_eq!((a.out(), b.out()), (second, first));
    assert_eq!(number(&report, "/ports/0/forwarded/rx_packets"), 300);
    assert_eq!(number(&report, "/ports/0/forwarded/tx_packets"), 200);
}

#[test]
fn the_last_of_three_ports_sends_to_itself() {
    let files = [many(10), many(20), many(30)].map(|frames| Files::new(&frames));
    let name = |(number, files): (usize, &Files)| files.one_port().replace("pcap0", &format!("pcap{number}"));
    forward(&files.iter().enumerate().map(name).collect::<Vec<_>>().join(" "));
    assert_eq!([0, 1, 2].map(|port: usize| files[port].out().len()), [20, 10, 30]);
}

#[test]
fn mac_writes_the_ports_address_and_its_peers() {
    let frames = many(40);
    let files = Files::new(&frames);
    forward(&format!("{} --forward-mode mac", files.one_port()));
    let default: Vec<_> =
        frames.iter().map(|frame| with_addresses(frame, [2, 0, 0, 0, 0, 0], PORT0)).collect();
    assert_eq!(files.out(), default);

    let mac = files.one_port().replace("net_pcap0,", "net_pcap0,mac=02:aa:bb:cc:dd:ee,");
    forward(&format!("{mac} --forward-mode mac --eth-peer 0,02:12:34:56:78:9a"));
    let (to, from) = ([0x02, 0x12, 0x34, 0x56, 0x78, 0x9a], [0x02, 0xaa, 0xbb, 0xcc, 0xdd, 0xee]);
    let given: Vec<_> = frames.iter().map(|frame| with_addresses(frame, to, from)).collect();
    assert_eq!(files.out(), given);
}

#[test]
fn macswap_swaps() {
    let frames = many(40);
    let files = Files::new(&frames);
    forward(&format!("{} --forward-mode macswap", files.one_port()));
    let swapped: Vec<_> = frames.iter().map(|frame| with_addresses(frame, PEER, OTHER)).collect();
    assert_eq!(files.out(), swapped);
}

#[test]
fn rxonly_counts_and_drops() {
    let files = Files::new(&many(123));
    let report = forward(&format!("{} --forward-mode rxonly", files.one_port()));
    assert_eq!(number(&report, "/total/rx_packets"), 123);
    assert_eq!(number(&report, "/total/mode_dropped"), 123);
    assert_eq!(files.out(), Vec::<Vec<u8>>::new());
}

#[test]
fn txonly_sends_datagrams_of_the_length_asked_for() {
    for len in [60, 1000] {
        let files = Files::new(&many(5));
        let args = format!("{} --forward-mode txonly --txpkts {len} --duration 100ms", files.one_port());
        let report = forward(&args);
        assert_eq!(number(&report, "/total/rx_packets"), 0);
        let out = files.out();
        assert!(!out.is_empty());
        assert_eq!(out.len() as u64, number(&report, "/total/tx_packets"));
        for frame in &out {
            assert_eq!(frame.len(), len);
            let headers = PacketHeaders::from_ethernet_slice(frame).unwrap();
            let Some(etherparse::NetHeaders::Ipv4(ip, _)) = headers.net else {
                panic!("not IPv4: {frame:x?}")
            };
            assert_eq!(ip.header_checksum, ip.calc_header_checksum());
            assert_eq!(usize::from(ip.total_len), len - 14);
            let Some(TransportHeader::Udp(udp)) = headers.transport else { panic!("not UDP: {frame:x?}") };
            assert_eq!(usize::from(udp.length), len - 34);
        }
    }
}

/// RFC 826.
fn arp(
    operation: u8,
    [to, from]: [[u8; 6]; 2],
    sender: ([u8; 6], [u8; 4]),
    target: ([u8; 6], [u8; 4]),
) -> Vec<u8> {
    let head = [0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, operation];
    let parts: [&[u8]; 7] = [&to, &from, &head, &sender.0, &sender.1, &target.0, &target.1];
    padded(&parts.concat())
}

fn ping4(to: [u8; 6], from: [u8; 6], [src, dst]: [[u8; 4]; 2], request: bool) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(from, to).ipv4(src, dst, 64);
    let builder = if request { builder.icmpv4_echo_request(7, 9) } else { builder.icmpv4_echo_reply(7, 9) };
    let mut frame = Vec::new();
    builder.write(&mut frame, &[0x5a; 57]).unwrap();
    frame
}

fn ping6(to: [u8; 6], from: [u8; 6], [src, dst]: [[u8; 16]; 2], request: bool) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(from, to).ipv6(src, dst, 64);
    let builder = if request { builder.icmpv6_echo_request(7, 9) } else { builder.icmpv6_echo_reply(7, 9) };
    let mut frame = Vec::new();
    builder.write(&mut frame, &[0xa5; 33]).unwrap();
    frame
}

#[test]
fn icmpecho_answers_what_asks_and_drops_the_rest() {
    const A: [u8; 4] = [10, 0, 0, 1];
    const B: [u8; 4] = [10, 0, 0, 2];
    let [a6, b6] = [1, 2].map(|last| [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    let requests = vec![
        arp(1, [[0xff; 6], PEER], (PEER, A), ([0; 6], B)),
        udp(1, 1, 30),
        ping4(PORT0, PEER, [A, B], true),
        ping4(PORT0, PEER, [A, B], false),
        ping6(PORT0, PEER, [a6, b6], true),
        tagged(&ping4(PORT0, PEER, [A, B], true), 5),
        arp(2, [PORT0, PEER], (PEER, A), (PORT0, B)),
    ];
    let answers = [
        arp(2, [PEER, PORT0], (PORT0, B), (PEER, A)),
        ping4(PEER, PORT0, [B, A], false),
        ping6(PEER, PORT0, [b6, a6], false),
        tagged(&ping4(PEER, PORT0, [B, A], false), 5),
    ];
    let files = Files::new(&requests);
    let report = forward(&format!("{} --forward-mode icmpecho", files.one_port()));
    // What the frames were padded with belongs to no packet, so an answer has it too.
    assert_eq!(files.out(), answers.iter().map(|frame| padded(frame)).collect::<Vec<_>>());
    assert_eq!(number(&report, "/total/mode_dropped"), 3);
    for answer in &files.out()[1..3] {
        let headers = PacketHeaders::from_ethernet_slice(answer).unwrap();
        let reply = match headers.transport {
            Some(TransportHeader::Icmpv4(icmp)) => matches!(icmp.icmp_type, Icmpv4Type::EchoReply(_)),
            Some(TransportHeader::Icmpv6(icmp)) => matches!(icmp.icmp_type, Icmpv6Type::EchoReply(_)),
            _ => false,
        };
        assert!(reply, "{answer:x?}");
    }
}

#[test]
fn icmpecho_survives_every_truncation_of_a_request() {
    let whole = [
        arp(1, [[0xff; 6], PEER], (PEER, [10, 0, 0, 1]), ([0; 6], [10, 0, 0, 2])),
        ping4(PORT0, PEER, [[10, 0, 0, 1], [10, 0, 0, 2]], true),
        ping6(PORT0, PEER, [[0xfd; 16], [0xfe; 16]], true),
    ];
    let frames: Vec<_> =
        whole.iter().flat_map(|frame| (14..=frame.len()).map(|len| frame[..len].to_vec())).collect();
    let files = Files::new(&frames);
    let report = forward(&format!("{} --forward-mode icmpecho", files.one_port()));
    assert_eq!(number(&report, "/total/rx_packets"), frames.len() as u64);
    assert!(files.out().len() >= 3);
}
