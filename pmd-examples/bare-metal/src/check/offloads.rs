//! Checksums both ways, and segmentation.

use alloc::vec::Vec;

use pmd_igb::Config;
use vfio_hal::dma::pool::{HeaderLens, TxFlags, Verdict};

use super::frames::{self, Flow, L3, L4, SCTP, TCP, UDP};
use super::{Bench, Checked, Group, ensure};

pub(super) const GROUP: Group = Group {
    configs: || [Config::default(), Config::default()],
    checks: &[
        ("checksums_are_inserted", checksums_are_inserted),
        ("checksums_are_checked", checksums_are_checked),
        ("tcp_is_segmented", tcp_is_segmented),
        ("contexts_follow_the_packets", contexts_follow_the_packets),
        ("offloads_that_cannot_be_are_refused", offloads_that_cannot_be_are_refused),
    ],
};

pub(super) const FLOW: Flow = Flow { from: ([192, 0, 2, 1], 4000), to: ([192, 0, 2, 2], 5000) };

fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7) as u8).collect()
}

fn frame(bench: &Bench, protocol: u8, len: usize) -> Vec<u8> {
    frames::ipv4(bench.b.mac(), bench.a.mac(), FLOW, protocol, &payload(len))
}

fn lens(protocol: u8) -> HeaderLens {
    let l4 = if protocol == TCP { 20 } else { 8 };
    HeaderLens { l2: 14, l3: 20, l4, ..HeaderLens::default() }
}

fn flags(protocol: u8) -> TxFlags {
    let l4 = match protocol {
        TCP => TxFlags::TCP_CHECKSUM,
        UDP => TxFlags::UDP_CHECKSUM,
        _ => TxFlags::SCTP_CHECKSUM,
    };
    TxFlags::IPV4 | TxFlags::IP_CHECKSUM | l4
}

fn checksums_are_inserted(bench: &mut Bench) -> Checked {
    for protocol in [TCP, UDP, SCTP] {
        for len in [0, 1, 100, 1400] {
            let mut frame = frame(bench, protocol, len);
            if protocol == SCTP && frame.len() < 60 {
                // The model reckons what it pads into the CRC.
                continue;
            }
            frames::prepare(&mut frame, false);
            let mut buf = bench.buf(&frame)?;
            buf.set_header_lens(lens(protocol));
            buf.set_tx_flags(flags(protocol));
            let seen = bench.pass_buf(buf)?;
            // SCTP's is a CRC, which the receiver judges.
            let right = protocol == SCTP || frames::is_right(&seen.bytes);
            ensure!(right, "a checksum of protocol {protocol} with {len} bytes is wrong");
            let verdicts = (seen.ip, seen.l4);
            ensure!(verdicts == (Verdict::Good, Verdict::Good), "{protocol}, {len} bytes: {verdicts:?}");
            let payload = frame.len() - len..frame.len();
            ensure!(seen.bytes[payload.clone()] == frame[payload], "the payload changed");
        }
    }
    Ok(())
}

fn checksums_are_checked(bench: &mut Bench) -> Checked {
    for protocol in [TCP, UDP] {
        let mut right = frame(bench, protocol, 64);
        frames::finish(&mut right);
        let seen = bench.pass(&right)?;
        ensure!(
            (seen.ip, seen.l4) == (Verdict::Good, Verdict::Good),
            "right ones: {:?} {:?}",
            seen.ip,
            seen.l4
        );
        let mut wrong = right.clone();
        wrong[L4 + 30] ^= 1;
        let seen = bench.pass(&wrong)?;
        ensure!(
            (seen.ip, seen.l4) == (Verdict::Good, Verdict::Bad),
            "wrong payload: {:?} {:?}",
            seen.ip,
            seen.l4
        );
        let mut wrong = right.clone();
        // The time to live is not in the pseudo-header.
        wrong[L3 + 8] ^= 1;
        let seen = bench.pass(&wrong)?;
        ensure!(
            (seen.ip, seen.l4) == (Verdict::Bad, Verdict::Good),
            "wrong header: {:?} {:?}",
            seen.ip,
            seen.l4
        );
    }
    // UDP without a checksum is neither.
    let mut none = frame(bench, UDP, 64);
    frames::finish(&mut none);
    none[L4 + 6..L4 + 8].fill(0);
    let seen = bench.pass(&none)?;
    ensure!((seen.ip, seen.l4) == (Verdict::Good, Verdict::Unknown), "none: {:?} {:?}", seen.ip, seen.l4);
    // What is not IP is not judged.
    let plain = bench.frame(64, 0);
    let seen = bench.pass(&plain)?;
    ensure!((seen.ip, seen.l4) == (Verdict::Unknown, Verdict::Unknown), "no IP: {:?} {:?}", seen.ip, seen.l4);
    Ok(())
}

fn tcp_is_segmented(bench: &mut Bench) -> Checked {
    for (len, mss) in [(8000, 1000), (1461, 1460), (40_000, 1400)] {
        let mut whole = frame(bench, TCP, len);
        frames::prepare(&mut whole, true);
        let mut buf = bench.buf(&whole)?;
        buf.set_header_lens(lens(TCP));
        buf.set_mss(mss);
        buf.set_tx_flags(TxFlags::IPV4 | TxFlags::TCP_SEGMENT);
        bench.send_on(0, buf)?;
        let count = len.div_ceil(mss.into());
        let seen = bench.receive(count)?;
        ensure!(seen.len() == count, "{} segments of {count} came", seen.len());
        let mut at = 0;
        for (number, segment) in seen.iter().enumerate() {
            ensure!(frames::is_right(&segment.bytes), "a checksum of segment {number} is wrong");
            let total = usize::from(u16::from_be_bytes([segment.bytes[L3 + 2], segment.bytes[L3 + 3]]));
            let data = &segment.bytes[L4 + 20..L3 + total];
            let sequence = u32::from_be_bytes([
                segment.bytes[L4 + 4],
                segment.bytes[L4 + 5],
                segment.bytes[L4 + 6],
                segment.bytes[L4 + 7],
            ]);
            ensure!(sequence as usize == 0x1000 + at, "segment {number} starts at {sequence}");
            ensure!(data == &whole[L4 + 20 + at..][..data.len()], "segment {number} has other data");
            at += data.len();
        }
        ensure!(at == len, "{at} bytes of {len} came");
    }
    Ok(())
}

fn contexts_follow_the_packets(bench: &mut Bench) -> Checked {
    // Each kind needs another context than the one before; plain ones need none.
    for round in 0..300usize {
        match round % 3 {
            0 => {
                let plain = bench.frame(60 + round, round);
                let seen = bench.pass(&plain)?;
                ensure!(seen.bytes == plain, "round {round}: a plain frame changed");
            }
            kind => {
                let protocol = if kind == 1 { TCP } else { UDP };
                let mut frame = frame(bench, protocol, 40 + round);
                frames::prepare(&mut frame, false);
                let mut buf = bench.chain(&frame, 1 + round % 90)?;
                buf.set_header_lens(lens(protocol));
                buf.set_tx_flags(flags(protocol));
                let seen = bench.pass_buf(buf);
                // More than 40 descriptors are refused, which is for the next check to look at.
                if frame.len().div_ceil(1 + round % 90) < 39 {
                    ensure!(frames::is_right(&seen?.bytes), "round {round}: a checksum is wrong");
                }
            }
        }
    }
    Ok(())
}

fn offloads_that_cannot_be_are_refused(bench: &mut Bench) -> Checked {
    let frame = frame(bench, UDP, 100);
    let mut no_lengths = bench.buf(&frame)?;
    no_lengths.set_tx_flags(flags(UDP));
    ensure!(bench.send_on(0, no_lengths).is_err(), "checksums without header lengths");
    let mut no_mss = bench.buf(&frame)?;
    no_mss.set_header_lens(lens(TCP));
    no_mss.set_tx_flags(TxFlags::IPV4 | TxFlags::TCP_SEGMENT);
    ensure!(bench.send_on(0, no_mss).is_err(), "segmentation without an MSS");
    let many = bench.frame(1500, 0);
    let many = bench.chain(&many, 30)?;
    ensure!(bench.send_on(0, many).is_err(), "a packet in 50 pieces");
    let long = bench.frame(9729, 0);
    let long = bench.buf(&long)?;
    ensure!(bench.send_on(0, long).is_err(), "a packet of 9,729 bytes");
    // The queue goes on.
    let plain = bench.frame(100, 0);
    bench.pass(&plain)?;
    Ok(())
}
