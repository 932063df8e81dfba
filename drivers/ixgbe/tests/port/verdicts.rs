//! What a port says of packets it received: checksums, packet type, VLAN tag, queue, number of the port.

use pmd_ixgbe::{Config, Started};
use vfio_hal::dma::pool::{Buf, Verdict};

use crate::frames::{Frame, Ip, L4, V6};
use crate::rig::{Rig, bytes, small};

fn one(rig: &mut Rig, started: &mut Started, frame: &[u8]) -> Buf {
    let mut packets = rig.deliver(&mut started.rx[0], frame);
    assert_eq!(packets.len(), 1);
    packets.remove(0)
}

#[test]
fn right_and_wrong_checksums_are_told_apart() {
    let mut rig = Rig::new();
    let mut started = rig.start(small());
    for ip in [Ip::V4([10, 0, 0, 1], [10, 0, 0, 2]), V6] {
        for l4 in [L4::Tcp, L4::Udp, L4::Sctp] {
            let frame = Frame { ip, ..Frame::new(l4) };
            let v4 = ip != V6;
            let header = if v4 { Verdict::Good } else { Verdict::Unknown };
            let packet = one(&mut rig, &mut started, &frame.bytes());
            assert_eq!((packet.ip_checksum(), packet.l4_checksum()), (header, Verdict::Good), "{frame:?}");
            assert_eq!(bytes(&packet), frame.bytes());
            let kind = packet.packet_type();
            assert_eq!((kind.is_ipv4(), kind.is_ipv6()), (v4, !v4));
            let l4s = [(L4::Tcp, kind.is_tcp()), (L4::Udp, kind.is_udp()), (L4::Sctp, kind.is_sctp())];
            assert!(l4s.iter().all(|(other, is)| *is == (*other == l4)), "{frame:?}: {kind:?}");
            assert!(!kind.has_hash() && packet.hash().is_none());

            let mut broken = frame.bytes();
            *broken.last_mut().unwrap() ^= 1;
            let packet = one(&mut rig, &mut started, &broken);
            // Erratum 44: of a bad UDP checksum and of none the device says the same, so nobody knows.
            let bad = if l4 == L4::Udp { Verdict::Unknown } else { Verdict::Bad };
            assert_eq!((packet.ip_checksum(), packet.l4_checksum()), (header, bad), "{frame:?}");

            if v4 {
                let mut broken = frame.bytes();
                // The time to live.
                broken[22] ^= 1;
                let packet = one(&mut rig, &mut started, &broken);
                assert_eq!((packet.ip_checksum(), packet.l4_checksum()), (Verdict::Bad, Verdict::Good));
            }
        }
    }
    rig.stop(started);
}

#[test]
fn udp_without_a_checksum_is_not_called_bad() {
    for udp_zero_checksum_erratum in [true, false] {
        let config = pmd_ixgbe_model::Config { udp_zero_checksum_erratum, ..crate::rig::model_config() };
        let mut rig = Rig::with(config, 2048);
        let mut started = rig.start(small());
        let packet = one(&mut rig, &mut started, &Frame::new(L4::UdpWithout).bytes());
        assert_eq!((packet.ip_checksum(), packet.l4_checksum()), (Verdict::Good, Verdict::Unknown));
        drop(packet);
        rig.stop(started);
    }
}

#[test]
fn what_is_no_ip_has_no_verdict() {
    let mut rig = Rig::new();
    let mut started = rig.start(small());
    let mut frame = Frame::numbered(80, 1);
    frame[12..14].copy_from_slice(&[0x88, 0xb5]);
    let packet = one(&mut rig, &mut started, &frame);
    assert_eq!((packet.ip_checksum(), packet.l4_checksum()), (Verdict::Unknown, Verdict::Unknown));
    let kind = packet.packet_type();
    assert!(!kind.is_ipv4() && !kind.is_ipv6() && !kind.is_tcp() && !kind.is_udp());
    drop(packet);
    // A fragment has a checked header and no layer 4.
    let mut fragment = Frame::new(L4::Udp).bytes();
    fragment[20..22].copy_from_slice(&[0x20, 0]);
    fragment[24..26].copy_from_slice(&[0, 0]);
    let checksum = !crate::frames::sum(&fragment[14..34], 0);
    fragment[24..26].copy_from_slice(&checksum.to_be_bytes());
    let packet = one(&mut rig, &mut started, &fragment);
    assert_eq!((packet.ip_checksum(), packet.l4_checksum()), (Verdict::Good, Verdict::Unknown));
    drop(packet);
    rig.stop(started);
}

#[test]
fn tags_are_taken_out_where_that_was_asked_for() {
    let mut rig = Rig::new();
    let mut started = rig.start(Config { vlan_strip: true, port: 3, ..small() });
    let tagged = Frame { vlan: Some(0x6123), ..Frame::new(L4::Udp) };
    let plain = Frame { vlan: None, ..tagged.clone() };
    let mut look = |started: &mut Started, frame: &Frame| {
        let packet = one(&mut rig, started, &frame.bytes());
        assert_eq!((packet.l4_checksum(), packet.port()), (Verdict::Good, 3));
        (packet.vlan(), bytes(&packet))
    };
    assert_eq!(look(&mut started, &tagged), (Some(0x6123), plain.bytes()));
    assert_eq!(look(&mut started, &plain), (None, plain.bytes()));
    // And no more.
    started.rx[0].set_vlan_strip(false).unwrap();
    assert_eq!(look(&mut started, &tagged), (None, tagged.bytes()));
    // What a queue was told last holds when it is started again.
    started.rx[0].set_vlan_strip(true).unwrap();
    started.rx[0].stop().unwrap();
    started.rx[0].start().unwrap();
    assert_eq!(look(&mut started, &tagged), (Some(0x6123), plain.bytes()));
    rig.stop(started);
}

#[test]
fn hash_and_kind_come_with_the_packet() {
    use pmd_ixgbe::rss::RssConfig;
    let mut rig = Rig::new();
    let config = Config { rss: Some(RssConfig::default()), ..crate::rig::queues(4, 1) };
    let mut started = rig.start(config);
    // Microsoft's verification suite: addresses and ports, hash of both, hash of the addresses alone.
    let cases = [
        (([66, 9, 149, 187], 2794), ([161, 142, 100, 80], 1766), 0x51cc_c178, 0x323e_8fc2),
        (([199, 92, 111, 2], 14230), ([65, 69, 140, 83], 4739), 0xc626_b0ea, 0xd718_262a),
        (([24, 19, 198, 95], 12898), ([12, 22, 207, 184], 38024), 0x5c2b_394a, 0xd2d0_a5deu32),
    ];
    for ((from, source), (to, destination), with_ports, alone) in cases {
        for (l4, hash) in [(L4::Tcp, with_ports), (L4::Udp, alone), (L4::Sctp, alone)] {
            let frame =
                Frame { ip: Ip::V4(from, to), ports: (source, destination), ..Frame::new(l4) }.bytes();
            let queue = (hash & 0x7f) as usize % 4;
            for _ in 0..3 {
                rig.inject(&frame);
            }
            rig.run();
            for number in 0..4 {
                let packets = rig.received(&mut started.rx[number]);
                assert_eq!(packets.len(), if number == queue { 3 } else { 0 }, "{l4:?}");
                for packet in packets {
                    assert_eq!(packet.hash(), Some(hash), "{l4:?}");
                    assert_eq!(packet.packet_type().is_tcp(), l4 == L4::Tcp);
                    assert_eq!(packet.l4_checksum(), Verdict::Good);
                }
            }
        }
    }
    rig.stop(started);
}
