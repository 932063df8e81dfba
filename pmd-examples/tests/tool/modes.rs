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

/// Reads a whole packet back, with all checksums computed anew by another crate.
fn well_formed(frame: &[u8]) -> PacketHeaders<'_> {
    let headers = PacketHeaders::from_ethernet_slice(frame).unwrap();
    let payload = headers.payload.slice();
    match (&headers.net, &headers.transport) {
        (Some(etherparse::NetHeaders::Ipv4(ip, _)), transport) => {
            assert_eq!(ip.header_checksum, ip.calc_header_checksum(), "{frame:x?}");
            match transport {
                Some(TransportHeader::Udp(udp)) if udp.checksum != 0 => {
                    assert_eq!(udp.checksum, udp.calc_checksum_ipv4(ip, payload).unwrap(), "{frame:x?}");
                }
                Some(TransportHeader::Tcp(tcp)) => {
                    assert_eq!(tcp.checksum, tcp.calc_checksum_ipv4(ip, payload).unwrap(), "{frame:x?}");
                }
                _ => {}
            }
        }
        (Some(etherparse::NetHeaders::Ipv6(ip, _)), Some(TransportHeader::Tcp(tcp))) => {
            assert_eq!(tcp.checksum, tcp.calc_checksum_ipv6(ip, payload).unwrap(), "{frame:x?}");
        }
        (Some(etherparse::NetHeaders::Ipv6(ip, _)), Some(TransportHeader::Udp(udp))) => {
            assert_eq!(udp.checksum, udp.calc_checksum_ipv6(ip, payload).unwrap(), "{frame:x?}");
        }
        _ => {}
    }
    headers
}

/// UDP and TCP over IPv4 and IPv6, of odd and even lengths, with and without a VLAN tag.
fn transports() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for payload in [26, 27, 300, 1201] {
        for v6 in [false, true] {
            for tcp in [false, true] {
                let ethernet = PacketBuilder::ethernet2(PEER, OTHER);
                let ip = match v6 {
                    false => ethernet.ipv4([10, 0, 0, 1], [10, 9, 8, 7], 64),
                    true => ethernet.ipv6([0xfd; 16], [0x20; 16], 64),
                };
                let data: Vec<u8> = (0..payload).map(|byte| byte as u8).collect();
                let mut frame = Vec::new();
                match tcp {
                    false => ip.udp(1234, 80).write(&mut frame, &data).unwrap(),
                    true => ip.tcp(1234, 80, 77, 4000).write(&mut frame, &data).unwrap(),
                }
                frames.push(frame);
            }
        }
    }
    let tagged = tagged(&frames[0], 7);
    frames.push(tagged);
    frames
}

#[test]
fn five_tuples_are_swapped_and_checksums_still_right() {
    let mut frames = transports();
    frames.push(arp(1, [[0xff; 6], PEER], (PEER, [10, 0, 0, 1]), ([0; 6], [10, 0, 0, 2])));
    let files = Files::new(&frames);
    let report = forward(&format!("{} --forward-mode 5tswap", files.one_port()));
    assert_eq!(report["mode"], "5tswap");
    let out = files.out();
    assert_eq!(out.len(), frames.len());
    for (before, after) in frames.iter().zip(&out) {
        assert_eq!((&after[..6], &after[6..12]), (&before[6..12], &before[..6]));
        let (was, is) = (well_formed(before), well_formed(after));
        let ports = |headers: &PacketHeaders<'_>| match &headers.transport {
            Some(TransportHeader::Udp(udp)) => Some((udp.source_port, udp.destination_port)),
            Some(TransportHeader::Tcp(tcp)) => Some((tcp.source_port, tcp.destination_port)),
            _ => None,
        };
        assert_eq!(ports(&is), ports(&was).map(|(source, destination)| (destination, source)));
        match (was.net, is.net) {
            (Some(etherparse::NetHeaders::Ipv4(was, _)), Some(etherparse::NetHeaders::Ipv4(is, _))) => {
                assert_eq!((is.source, is.destination), (was.destination, was.source));
            }
            (Some(etherparse::NetHeaders::Ipv6(was, _)), Some(etherparse::NetHeaders::Ipv6(is, _))) => {
                assert_eq!((is.source, is.destination), (was.destination, was.source));
            }
            _ => assert_eq!(after[12..], before[12..]),
        }
    }
}

#[test]
fn checksums_are_made_by_the_lcore_or_by_the_nic() {
    let right = transports();
    // Spoiled: the IPv4 header's sum, and that of layer 4.
    let mut wrong = right.clone();
    for frame in &mut wrong {
        let tag = if frame[12..14] == [0x81, 0] { 4 } else { 0 };
        let (v6, l4) = if frame[12 + tag] == 0x86 { (true, 54) } else { (false, 34) };
        let tcp = frame[14 + tag + if v6 { 6 } else { 9 }] == 6;
        if !v6 {
            frame[24 + tag] ^= 0xff;
        }
        frame[l4 + tag + if tcp { 16 } else { 6 }] ^= 0x5a;
    }
    // A datagram without a checksum stays one (RFC 768).
    let mut without = right[0].clone();
    without[40..42].fill(0);
    wrong.push(without.clone());
    for args in ["", "--csum sw", "--csum hw", "--mbuf-size 1024", "--mbuf-size 1024 --csum hw"] {
        let files = Files::new(&wrong);
        let report = forward(&format!("{} --forward-mode csum {args}", files.one_port()));
        let out = files.out();
        assert_eq!(out.len(), wrong.len(), "{args}");
        for (frame, right) in out.iter().zip(right.iter().chain([&without])) {
            well_formed(frame);
            assert_eq!(frame[12..], right[12..], "{args}");
            assert_eq!(frame[..12], with_addresses(right, [2, 0, 0, 0, 0, 0], PORT0)[..12]);
        }
        // The NIC said so, too: of the frames over IPv4, which it looks at first.
        let bad = number(&report, "/total/rx_bad_ip_csum") + number(&report, "/total/rx_bad_l4_csum");
        assert!(bad >= right.len() as u64, "{report:#}");
    }
}

#[test]
fn flowgen_sends_as_many_flows_as_asked_for() {
    let files = Files::new(&many(50));
    let args = "--forward-mode flowgen --flowgen-flows 5 --flowgen-clones 3 --txpkts 100 --duration 100ms";
    let report = forward(&format!("{} {args}", files.one_port()));
    assert_eq!(number(&report, "/total/rx_packets"), number(&report, "/total/mode_dropped"));
    let out = files.out();
    assert!(out.len() > 100, "{}", out.len());
    for (number, frame) in out.iter().enumerate() {
        assert_eq!(frame.len(), 100);
        well_formed(frame);
        assert_eq!(frame[30..34], [198, 19, 0, (number / 3 % 5) as u8], "{number}");
    }
}

#[test]
fn noisy_holds_packets_back_and_loses_none() {
    let frames = many(700);
    for args in [
        "",
        "--noisy-lkup-memory 1 --noisy-lkup-num-reads 3 --noisy-lkup-num-writes 2 --noisy-lkup-num-reads-writes 1",
        "--noisy-tx-sw-buffer-size 1",
        "--noisy-tx-sw-buffer-size 100 --noisy-tx-sw-buffer-flushtime 20",
        "--noisy-tx-sw-buffer-size 5000 --noisy-tx-sw-buffer-flushtime 100000",
    ] {
        let files = Files::new(&frames);
        let report = forward(&format!("{} --forward-mode noisy {args}", files.one_port()));
        assert_eq!(number(&report, "/total/mode_dropped"), 0, "{args}");
        assert_eq!(files.out(), frames, "{args}");
    }
}
