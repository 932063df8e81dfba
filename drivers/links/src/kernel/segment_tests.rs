//! Segments are compared, field by field, with what an independent parser (etherparse) reads and computes.

use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};

use super::*;

const TAG: Tag = [0x81, 0x00, 0x00, 0x64];

fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 251) as u8).collect()
}

fn header(gso_type: u8, gso_size: u16) -> VnetHeader {
    VnetHeader { gso_type, gso_size, ..VnetHeader::default() }
}

fn finished(frame: &[u8], header: VnetHeader, tag: Option<Tag>) -> Option<Vec<Vec<u8>>> {
    let mut queue = FrameQueue::default();
    finish_into(&mut queue, frame, header, tag)?;
    let mut frames = Vec::new();
    let mut frame = Vec::new();
    while queue.pop(&mut frame) {
        frames.push(std::mem::take(&mut frame));
    }
    Some(frames)
}

/// A TCP segment with FIN, PSH and CWR set and a wrong checksum everywhere, as the kernel hands it over.
fn tcp(v6: bool, len: usize) -> Vec<u8> {
    let ethernet = PacketBuilder::ethernet2([2; 6], [4; 6]);
    let ip =
        if v6 { ethernet.ipv6([1; 16], [2; 16], 9) } else { ethernet.ipv4([10, 0, 0, 1], [10, 0, 0, 2], 9) };
    let builder = ip.tcp(1000, 2000, u32::MAX - 999, 77).ack(5).psh().fin();
    let mut frame = Vec::new();
    builder.write(&mut frame, &payload(len)).unwrap();
    let l4 = if v6 { 54 } else { 34 };
    frame[l4 + 13] |= 0x80;
    frame[l4 + 16] ^= 0xff;
    frame
}

/// Checks a frame's checksums by etherparse's own arithmetic and gives (transport sequence or 0, payload).
fn examine(frame: &[u8]) -> (u32, Vec<u8>, SlicedPacket<'_>) {
    let packet = SlicedPacket::from_ethernet(frame).unwrap();
    let transport = packet.transport.clone().unwrap();
    let (number, payload, found, computed) = match (&packet.net, transport) {
        (Some(NetSlice::Ipv4(ip)), TransportSlice::Tcp(tcp)) => {
            assert_eq!(ip.header().to_header().calc_header_checksum(), ip.header().header_checksum());
            let computed =
                tcp.to_header().calc_checksum_ipv4(&ip.header().to_header(), tcp.payload()).unwrap();
            (tcp.sequence_number(), tcp.payload().to_vec(), tcp.checksum(), computed)
        }
        (Some(NetSlice::Ipv6(ip)), TransportSlice::Tcp(tcp)) => {
            let computed =
                tcp.to_header().calc_checksum_ipv6(&ip.header().to_header(), tcp.payload()).unwrap();
            (tcp.sequence_number(), tcp.payload().to_vec(), tcp.checksum(), computed)
        }
        (Some(NetSlice::Ipv4(ip)), TransportSlice::Udp(udp)) => {
            assert_eq!(ip.header().to_header().calc_header_checksum(), ip.header().header_checksum());
            let computed =
                udp.to_header().calc_checksum_ipv4(&ip.header().to_header(), udp.payload()).unwrap();
            (0, udp.payload().to_vec(), udp.checksum(), computed)
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(found, computed, "transport checksum");
    (number, payload, packet)
}

#[test]
fn tcp_is_cut_into_whole_frames() {
    for (v6, tag, len) in [
        (false, None, 4_000),
        (false, Some(TAG), 4_000),
        (true, None, 4_000),
        (true, Some(TAG), 4_344),
        (false, None, 1),
    ] {
        let gso_type = if v6 { VnetHeader::GSO_TCPV6 } else { VnetHeader::GSO_TCPV4 } | VnetHeader::GSO_ECN;
        let frames = finished(&tcp(v6, len), header(gso_type, 1_448), tag).unwrap();
        assert_eq!(frames.len(), len.div_ceil(1_448));
        let mut joined = Vec::new();
        for (i, frame) in frames.iter().enumerate() {
            let (number, payload, packet) = examine(frame);
            assert_eq!(number, (u32::MAX - 999).wrapping_add(joined.len() as u32));
            joined.extend(payload);
            assert_eq!(packet.link_exts.len(), usize::from(tag.is_some()));
            let Some(TransportSlice::Tcp(tcp)) = packet.transport else { panic!() };
            let last = i == frames.len() - 1;
            assert_eq!(
                (tcp.fin(), tcp.psh(), tcp.cwr(), tcp.ack()),
                (last, last, i == 0, true),
                "segment {i}"
            );
            if let Some(NetSlice::Ipv4(ip)) = packet.net {
                assert_eq!(ip.header().identification(), i as u16);
            }
        }
        assert!(joined == payload(len), "the payload is all there, in order");
    }
}

#[test]
fn udp_is_cut_into_whole_frames() {
    let mut frame = Vec::new();
    let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 9).udp(1, 2);
    builder.write(&mut frame, &payload(2_500)).unwrap();
    let frames = finished(&frame, header(VnetHeader::GSO_UDP_L4, 1_000), None).unwrap();
    let pieces: Vec<usize> = frames.iter().map(|frame| examine(frame).1.len()).collect();
    assert_eq!(pieces, [1_000, 1_000, 500]);
}

#[test]
fn a_missing_checksum_is_computed() {
    for tag in [None, Some(TAG)] {
        let mut frame = tcp(false, 100);
        // The kernel leaves the pseudo header's sum in the field.
        let pseudo = sum(&frame[26..34]) + 6 + 120;
        let pseudo = crate::traffic::checksum::fold(pseudo);
        frame[50..52].copy_from_slice(&pseudo.to_be_bytes());
        let header = VnetHeader {
            flags: VnetHeader::NEEDS_CHECKSUM,
            checksum_start: 34,
            checksum_offset: 16,
            ..VnetHeader::default()
        };
        let frames = finished(&frame, header, tag).unwrap();
        assert_eq!(frames.len(), 1);
        examine(&frames[0]);
    }
}

#[test]
fn a_whole_frame_passes_as_it_is_but_for_its_tag() {
    let frame = tcp(true, 5);
    assert_eq!(finished(&frame, VnetHeader::default(), None).unwrap(), std::slice::from_ref(&frame));
    let mut tagged = frame.clone();
    tagged.splice(12..12, TAG);
    assert_eq!(finished(&frame, VnetHeader::default(), Some(TAG)).unwrap(), [tagged]);
    assert_eq!(finished(&[1, 2, 3], VnetHeader::default(), None).unwrap(), [vec![1, 2, 3]]);
    assert_eq!(finished(&[1, 2, 3], VnetHeader::default(), Some(TAG)), None);
}

#[test]
fn contradictions_are_refused() {
    let good = tcp(false, 3_000);
    let v4 = VnetHeader::GSO_TCPV4;
    assert!(finished(&good, header(v4, 1_000), None).is_some());
    for (why, frame, header) in [
        ("no segment size", good.clone(), header(v4, 0)),
        ("the other IP version", good.clone(), header(VnetHeader::GSO_TCPV6, 1_000)),
        ("the other transport", good.clone(), header(VnetHeader::GSO_UDP_L4, 1_000)),
        ("UFO, which is no more", good.clone(), header(3, 1_000)),
        ("no payload", good[..54].to_vec(), header(v4, 1_000)),
        ("cut in the TCP header", good[..50].to_vec(), header(v4, 1_000)),
        ("cut in the IP header", good[..20].to_vec(), header(v4, 1_000)),
        ("no EtherType", good[..12].to_vec(), header(v4, 1_000)),
        (
            "a checksum outside",
            good.clone(),
            VnetHeader {
                flags: VnetHeader::NEEDS_CHECKSUM,
                checksum_start: 4_000,
                checksum_offset: 16,
                ..VnetHeader::default()
            },
        ),
    ] {
        assert_eq!(finished(&frame, header, None), None, "{why}");
    }
}

proptest::proptest! {
    /// The kernel is trusted, but a surprise of its is to be a counted drop.
    #[test]
    fn no_input_panics(
        mut frame in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
        raw in proptest::array::uniform10(proptest::num::u8::ANY),
        gso in 0u8..6,
        like_tcp in proptest::bool::ANY,
        tagged in proptest::bool::ANY,
    ) {
        if like_tcp {
            let template = tcp(gso == VnetHeader::GSO_TCPV6, 30);
            let len = frame.len().min(40);
            frame.splice(..len, template.into_iter().take(60));
        }
        let mut header = VnetHeader::read(&raw);
        header.gso_type = gso;
        let tag = tagged.then_some(TAG);
        let _ = finished(&frame, header, tag);
    }
}
