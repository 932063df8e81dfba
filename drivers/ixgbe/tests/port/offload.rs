//! What a port is asked to do to packets it sends: checksums, segmentation, VLAN tags, clones.

use pmd_ixgbe::{Config, Started};
use vfio_hal::dma::pool::{Buf, Burst, HeaderLens, TxFlags};
use vfio_hal::ring::TxError;

use crate::frames::{Frame, Ip, L4, V6, pattern, sum};
use crate::rig::{Rig, small};

/// The flag that asks for a layer-4 checksum.
fn flag(l4: L4) -> TxFlags {
    match l4 {
        L4::Tcp => TxFlags::TCP_CHECKSUM,
        L4::Udp | L4::UdpWithout => TxFlags::UDP_CHECKSUM,
        L4::Sctp => TxFlags::SCTP_CHECKSUM,
    }
}

/// Returns the frame as an application hands it over: the checksums left to the device.
fn unsummed(frame: &Frame) -> Vec<u8> {
    let mut bytes = frame.bytes();
    if let Ip::V4(..) = frame.ip {
        let at = frame.l2() + 10;
        bytes[at..at + 2].fill(0);
    }
    let at = frame.checksum_at();
    match frame.l4 {
        L4::Sctp => bytes[at..at + 4].fill(0),
        _ => {
            let pseudo = frame.pseudo_sum(frame.l4_len() + frame.payload.len());
            bytes[at..at + 2].copy_from_slice(&pseudo.to_be_bytes());
        }
    }
    bytes
}

fn lens(frame: &Frame) -> HeaderLens {
    HeaderLens {
        l2: frame.l2() as u8,
        l3: frame.l3() as u16,
        l4: frame.l4_len() as u8,
        ..HeaderLens::default()
    }
}

fn ip_flags(frame: &Frame) -> TxFlags {
    match frame.ip {
        Ip::V4(..) => TxFlags::IPV4 | TxFlags::IP_CHECKSUM,
        Ip::V6(..) => TxFlags::NONE,
    }
}

fn request(rig: &Rig, frame: &Frame) -> Buf {
    let mut buf = rig.buf(&unsummed(frame));
    buf.set_tx_flags(flag(frame.l4) | ip_flags(frame));
    buf.set_header_lens(lens(frame));
    buf
}

#[test]
fn checksums_are_inserted() {
    let mut rig = Rig::new();
    let mut started = rig.start(small());
    let mut frames = Vec::new();
    for ip in [Ip::V4([10, 1, 2, 3], [10, 3, 2, 1]), V6] {
        for l4 in [L4::Tcp, L4::Udp, L4::Sctp] {
            for vlan in [None, Some(0x2005)] {
                for len in [0, 1, 99, 1000] {
                    frames.push(Frame { ip, vlan, payload: pattern(len, 5), ..Frame::new(l4) });
                }
            }
        }
    }
    for frame in &frames {
        rig.send(&mut started.tx[0], [request(&rig, frame)]);
        let mut sent = rig.sent();
        let mut expected = frame.bytes();
        expected.resize(expected.len().max(60), 0);
        assert_eq!(sent.len(), 1);
        let got = sent.remove(0);
        assert!(got == expected, "{frame:?}\n{got:x?}\n{expected:x?}");
    }
    // One that wants nothing after one that wants everything is left alone.
    let plain = unsummed(&Frame::new(L4::Tcp));
    rig.send(&mut started.tx[0], [rig.buf(&plain)]);
    assert_eq!(rig.sent(), [plain]);
    rig.stop(started);
}

#[test]
fn tags_are_inserted_with_and_without_checksums() {
    let mut rig = Rig::new();
    let mut started = rig.start(small());
    for tci in [0x0001, 0xe123, 0x0fff] {
        let tagged = Frame { vlan: Some(tci), ..Frame::new(L4::Tcp) };
        let plain = Frame { vlan: None, ..tagged.clone() };
        let mut with_checksum = request(&rig, &plain);
        with_checksum.set_tx_flags(with_checksum.tx_flags() | TxFlags::VLAN_INSERT);
        with_checksum.set_tx_vlan(tci);
        let mut alone = rig.buf(&plain.bytes());
        alone.set_tx_flags(TxFlags::VLAN_INSERT);
        alone.set_tx_vlan(tci);
        rig.send(&mut started.tx[0], [with_checksum, alone]);
        assert_eq!(rig.sent(), [tagged.bytes(), tagged.bytes()]);
    }
    rig.stop(started);
}

/// Puts `bytes` into a chain of buffers with at most `room` bytes each.
fn chain(rig: &Rig, bytes: &[u8], room: usize) -> Buf {
    let mut parts = bytes.chunks(room).map(|part| rig.buf(part));
    let mut first = parts.next().unwrap();
    parts.for_each(|part| first.chain(part));
    first
}

#[test]
fn a_long_tcp_packet_is_cut_into_segments() {
    let mut rig = Rig::new();
    let mut started = rig.start(small());
    for ip in [Ip::V4([10, 1, 2, 3], [10, 3, 2, 1]), V6] {
        let whole = Frame { ip, payload: pattern(20_000, 9), ..Frame::new(L4::Tcp) };
        let mut bytes = whole.bytes();
        // With segmentation the pseudo-header's sum is over no length (82599 datasheet 7.2.4.1).
        let at = whole.checksum_at();
        bytes[at..at + 2].copy_from_slice(&whole.pseudo_sum(0).to_be_bytes());
        if let Ip::V4(..) = ip {
            bytes[16..18].fill(0);
            bytes[24..26].fill(0);
        }
        let mut buf = chain(&rig, &bytes, 2000);
        buf.set_tx_flags(TxFlags::TCP_SEGMENT | flag(L4::Tcp) | ip_flags(&whole));
        buf.set_header_lens(lens(&whole));
        buf.set_mss(1400);
        rig.send(&mut started.tx[0], [buf]);
        let sent = rig.sent();
        assert_eq!(sent.len(), 20_000usize.div_ceil(1400));
        let headers = whole.l2() + whole.l3() + whole.l4_len();
        let mut payload = Vec::new();
        for (number, segment) in sent.iter().enumerate() {
            assert!(segment.len() <= headers + 1400);
            let tcp = whole.l2() + whole.l3();
            let sequence = u32::from_be_bytes(segment[tcp + 4..tcp + 8].try_into().unwrap());
            assert_eq!(sequence as usize, 1 + payload.len(), "segment {number}");
            let part = Frame { payload: segment[headers..].to_vec(), ..whole.clone() };
            let sum = sum(&segment[tcp..], part.pseudo_sum(segment.len() - tcp).into());
            assert_eq!(sum, 0xffff, "the checksum of segment {number}");
            if let Ip::V4(..) = ip {
                assert_eq!(crate::frames::sum(&segment[14..34], 0), 0xffff, "IP header of segment {number}");
                assert_eq!(segment[16..18], (segment.len() as u16 - 14).to_be_bytes());
            }
            // Push only at the end.
            assert_eq!(segment[tcp + 13] & 0x08 != 0, number + 1 == sent.len());
            payload.extend_from_slice(&segment[headers..]);
        }
        assert_eq!(payload, whole.payload);
    }
    rig.stop(started);
}

#[test]
fn a_packet_of_many_buffers_goes_out_whole() {
    let mut rig = Rig::new();
    let mut started = rig.start(Config { tx_ring: 128, ..small() });
    for parts in [1, 2, 3, 20, 40, 31, 32, 33] {
        let bytes = pattern(60 * parts, parts as u32);
        rig.send(&mut started.tx[0], [chain(&rig, &bytes, 60)]);
        assert_eq!(rig.sent(), [bytes]);
    }
    rig.stop(started);
}

/// Offers a packet that cannot be sent: it is refused, stays at the front, and does not hold up others.
fn refused(rig: &mut Rig, started: &mut Started, buf: Buf) -> TxError {
    let mut cache = rig.pool.cache();
    let mut burst = Burst::new(4);
    burst.push(rig.buf(&[1; 60])).unwrap();
    burst.push(buf).unwrap();
    assert_eq!(started.tx[0].tx_burst(&mut cache, &mut burst), Ok(1));
    let error = started.tx[0].tx_burst(&mut cache, &mut burst).unwrap_err();
    assert_eq!(burst.len(), 1);
    drop(burst.take());
    assert_eq!(rig.sent(), [[1; 60]]);
    error
}

#[test]
fn what_cannot_be_sent_is_refused_and_stays_the_callers() {
    let mut rig = Rig::new();
    let mut started = rig.start(Config { tx_ring: 128, ..small() });
    let whole = request(&rig, &Frame::new(L4::Tcp));
    let flags = whole.tx_flags();
    let mut wrong = Vec::new();
    let mut with = |flags, lens, mss| {
        let mut buf = rig.buf(&unsummed(&Frame::new(L4::Tcp)));
        buf.set_tx_flags(flags);
        buf.set_header_lens(lens);
        buf.set_mss(mss);
        wrong.push(buf);
    };
    let good = HeaderLens { l2: 14, l3: 20, l4: 20, ..HeaderLens::default() };
    with(flags, HeaderLens::default(), 0);
    with(flags, HeaderLens { l2: 200, ..good }, 0);
    with(flags, HeaderLens { l3: 500, ..good }, 0);
    with(flags, HeaderLens { outer_l2: 14, outer_l3: 20, ..good }, 0);
    with(flags | TxFlags::UDP_CHECKSUM, good, 0);
    with(TxFlags::IP_CHECKSUM, good, 0);
    with(flags | TxFlags::TCP_SEGMENT, good, 0);
    with(flags | TxFlags::TCP_SEGMENT, HeaderLens { l4: 0, ..good }, 100);
    with(flags | TxFlags::TCP_SEGMENT, HeaderLens { l4: 255, ..good }, 100);
    with(flags | TxFlags::TCP_SEGMENT, good, u16::MAX);
    for (number, buf) in wrong.into_iter().enumerate() {
        let error = refused(&mut rig, &mut started, buf);
        assert!(matches!(error, TxError::Offload { .. }), "{number}: {error}");
    }
    let buf = rig.buf(&[]);
    assert_eq!(refused(&mut rig, &mut started, buf), TxError::Empty);
    let buf = chain(&rig, &pattern(41 * 60, 1), 60);
    assert_eq!(refused(&mut rig, &mut started, buf), TxError::TooManySegments { need: 41, max: 40 });
    let buf = chain(&rig, &pattern(15_873, 1), 2000);
    assert!(matches!(refused(&mut rig, &mut started, buf), TxError::TooLong { len: 15_873, .. }));
    let strange = Rig::new();
    let buf = strange.buf(&[1; 60]);
    assert_eq!(refused(&mut rig, &mut started, buf), TxError::ForeignSpace);
    strange.assert_home();
    assert_eq!(started.tx[0].stats().refused(), 14);
    assert_eq!(started.port.stats().unwrap().oerrors, 14);
    assert_eq!(rig.inspect(|model| model.counters().tx_malformed), 0);
    rig.send(&mut started.tx[0], [whole]);
    assert_eq!(rig.sent(), [Frame::new(L4::Tcp).bytes()]);
    rig.stop(started);
}

#[test]
fn clones_of_one_packet_go_out_of_many_queues() {
    let mut rig = Rig::new();
    let mut started = rig.start(crate::rig::queues(1, 4));
    let data = pattern(500, 77);
    let mut cache = rig.pool.cache();
    for _ in 0..100 {
        let shared = chain(&rig, &data, 200).share();
        for tx in &mut started.tx {
            let mut burst = Burst::new(3);
            for _ in 0..3 {
                burst.push(shared.clone()).unwrap();
            }
            assert_eq!(tx.tx_burst_shared(&mut cache, &mut burst), Ok(3));
        }
        drop(shared);
        assert_eq!(rig.sent(), vec![data.clone(); 12]);
    }
    drop(cache);
    rig.stop(started);
}
