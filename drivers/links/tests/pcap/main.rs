//! Captures: written ones are read by an independent crate (pcap-file), files written by that crate are played, and no
//! file whatever makes the reader panic or hang.

mod bad;

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pcap_file::pcap::{PcapHeader, PcapPacket, PcapReader, PcapWriter};
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::pcapng::blocks::simple_packet::SimplePacketBlock;
use pcap_file::pcapng::{PcapNgBlock, PcapNgWriter};
use pcap_file::{DataLink, Endianness, TsResolution};
use pmd_links::{
    CaptureFormat, Epoch, Link, LinkError, LinkStatus, Loopback, PcapError, PcapSink, PcapSource, Replay,
    Sent, Tee, split,
};

use tempfile::TempDir;

const AS_FAST: Replay = Replay { looped: false, paced: false, cut: false };
const ZERO: CaptureFormat = CaptureFormat { microseconds: false, epoch: Epoch::Zero };

fn frames(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|i| (0..14 + i * 37 % 1_500).map(|byte| (byte + i) as u8).collect()).collect()
}

fn file(dir: &TempDir, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join("file.pcap");
    fs::write(&path, bytes).unwrap();
    path
}

fn write(path: &Path, format: CaptureFormat, frames: &[Vec<u8>], step: u64) {
    let mut sink = PcapSink::create(path, format).unwrap();
    for (i, frame) in frames.iter().enumerate() {
        assert_eq!(sink.transmit(frame, i as u64 * step).unwrap(), Sent::Accepted);
    }
    sink.flush().unwrap();
}

fn play(source: &mut PcapSource) -> Result<Vec<Vec<u8>>, LinkError> {
    let (mut all, mut frame) = (Vec::new(), vec![1]);
    while source.receive(&mut frame, 0)? {
        all.push(frame.clone());
    }
    assert!(frame.is_empty() && source.exhausted());
    Ok(all)
}

fn open_error(path: &Path) -> PcapError {
    PcapSource::open(path, AS_FAST).err().expect("the file is bad")
}

#[test]
fn what_is_written_another_reader_reads() {
    let dir = TempDir::new().unwrap();
    let frames = frames(50);
    for (microseconds, resolution) in [(true, TsResolution::MicroSecond), (false, TsResolution::NanoSecond)] {
        let path = dir.path().join("out.pcap");
        write(&path, CaptureFormat { microseconds, epoch: Epoch::Zero }, &frames, 1_234_567_891);
        let mut reader = PcapReader::new(fs::File::open(&path).unwrap()).unwrap();
        assert_eq!(reader.header().ts_resolution, resolution);
        assert_eq!(reader.header().datalink, DataLink::ETHERNET);
        for (i, frame) in frames.iter().enumerate() {
            let packet = reader.next_packet().unwrap().unwrap();
            assert_eq!(&*packet.data, &frame[..]);
            assert_eq!(packet.orig_len as usize, frame.len());
            let nanos = i as u64 * 1_234_567_891;
            let nanos = if microseconds { nanos / 1_000 * 1_000 } else { nanos };
            assert_eq!(packet.timestamp, Duration::from_nanos(nanos));
        }
        assert!(reader.next_packet().is_none());
    }
}

#[test]
fn wall_time_starts_now() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("out.pcap");
    let before = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let mut sink = PcapSink::create(&path, CaptureFormat::default()).unwrap();
    // The clock's own zero does not matter, its steps do.
    for now in [u64::MAX - 5_000_000_000, u64::MAX - 3_000_000_000] {
        assert_eq!(sink.transmit(b"frame", now).unwrap(), Sent::Accepted);
    }
    sink.flush().unwrap();
    let mut reader = PcapReader::new(fs::File::open(&path).unwrap()).unwrap();
    let first = reader.next_packet().unwrap().unwrap().timestamp;
    let second = reader.next_packet().unwrap().unwrap().timestamp;
    assert!(first >= before && first < before + Duration::from_secs(60), "{first:?}");
    assert_eq!(second - first, Duration::from_secs(2));
}

#[test]
fn both_byte_orders_and_resolutions_are_played() {
    let dir = TempDir::new().unwrap();
    let frames = frames(40);
    for endianness in [Endianness::Big, Endianness::Little] {
        for ts_resolution in [TsResolution::MicroSecond, TsResolution::NanoSecond] {
            let header = PcapHeader { endianness, ts_resolution, ..Default::default() };
            let mut writer = PcapWriter::with_header(Vec::new(), header).unwrap();
            for (i, frame) in frames.iter().enumerate() {
                let time = Duration::from_micros(1_700_000_000_000_000 + 10 * i as u64);
                writer.write_packet(&PcapPacket::new(time, frame.len() as u32, frame)).unwrap();
            }
            let path = file(&dir, &writer.into_writer());
            let mut source = PcapSource::open(&path, AS_FAST).unwrap();
            assert_eq!(source.frames(), 40);
            assert!(!source.exhausted());
            assert!(play(&mut source).unwrap() == frames);
            paced_every_ten_microseconds(&path, &frames);
        }
    }
}

/// The gaps of the capture are kept, from the first call on.
fn paced_every_ten_microseconds(path: &Path, frames: &[Vec<u8>]) {
    let mut source = PcapSource::open(path, Replay { paced: true, ..AS_FAST }).unwrap();
    let mut frame = Vec::new();
    let start = 77;
    for (i, expected) in frames.iter().enumerate() {
        if i > 0 {
            assert!(
                !source.receive(&mut frame, start + 10_000 * i as u64 - 1).unwrap(),
                "frame {i} is early"
            );
            assert!(frame.is_empty() && !source.exhausted());
        }
        assert!(source.receive(&mut frame, start + 10_000 * i as u64).unwrap(), "frame {i} is late");
        assert_eq!(&frame, expected);
    }
    assert!(source.exhausted());
}

fn interface(link: DataLink, resolution: Option<u8>) -> InterfaceDescriptionBlock<'static> {
    let options = resolution.map(InterfaceDescriptionOption::IfTsResol).into_iter().collect();
    InterfaceDescriptionBlock { linktype: link, snaplen: 0, options }
}

fn enhanced(interface_id: u32, units: u64, data: &[u8]) -> EnhancedPacketBlock<'_> {
    EnhancedPacketBlock {
        interface_id,
        // That crate writes nanoseconds into the field for units.
        timestamp: Duration::from_nanos(units),
        original_len: data.len() as u32,
        data: Cow::Borrowed(data),
        options: vec![],
    }
}

fn pcapng(endianness: Endianness, fill: impl FnOnce(&mut PcapNgWriter<Vec<u8>>)) -> Vec<u8> {
    let mut writer = PcapNgWriter::with_endianness(Vec::new(), endianness).unwrap();
    fill(&mut writer);
    writer.into_inner()
}

#[test]
fn pcapng_is_played_with_every_kind_of_packet_and_clock() {
    let dir = TempDir::new().unwrap();
    let frames = frames(40);
    for endianness in [Endianness::Big, Endianness::Little] {
        let bytes = pcapng(endianness, |writer| {
            writer.write_block(&interface(DataLink::ETHERNET, None).into_block()).unwrap();
            writer.write_block(&interface(DataLink::ETHERNET, Some(9)).into_block()).unwrap();
            for (i, frame) in frames.iter().enumerate() {
                // Microseconds on the first interface, which is the default, nanoseconds on the second.
                let (id, scale) = if i % 2 == 0 { (0, 1) } else { (1, 1_000) };
                let units = (1_700_000_000_000_000 + 10 * i as u64) * scale;
                writer.write_block(&enhanced(id, units, frame).into_block()).unwrap();
            }
        });
        let path = file(&dir, &bytes);
        assert!(play(&mut PcapSource::open(&path, AS_FAST).unwrap()).unwrap() == frames);
        paced_every_ten_microseconds(&path, &frames);

        let bytes = pcapng(endianness, |writer| {
            writer.write_block(&interface(DataLink::ETHERNET, None).into_block()).unwrap();
            for frame in &frames {
                let block =
                    SimplePacketBlock { original_len: frame.len() as u32, data: Cow::Borrowed(frame) };
                writer.write_block(&block.into_block()).unwrap();
            }
        });
        // Two sections of different byte orders, one behind the other.
        let mut both = bytes;
        let other = if endianness == Endianness::Big { Endianness::Little } else { Endianness::Big };
        both.extend(pcapng(other, |writer| {
            writer.write_block(&interface(DataLink::ETHERNET, Some(6)).into_block()).unwrap();
            writer.write_block(&enhanced(0, 5, b"the last frame").into_block()).unwrap();
        }));
        let mut expected = frames.clone();
        expected.push(b"the last frame".to_vec());
        assert!(play(&mut PcapSource::open(&file(&dir, &both), AS_FAST).unwrap()).unwrap() == expected);
    }
}

#[test]
fn interfaces_of_a_capture_may_have_clocks_that_start_apart() {
    let dir = TempDir::new().unwrap();
    for endianness in [Endianness::Big, Endianness::Little] {
        let bytes = pcapng(endianness, |writer| {
            writer.write_block(&interface(DataLink::ETHERNET, Some(9)).into_block()).unwrap();
            let mut later = interface(DataLink::ETHERNET, Some(9));
            later.options.push(InterfaceDescriptionOption::IfTsOffset(3));
            writer.write_block(&later.into_block()).unwrap();
            writer.write_block(&enhanced(0, 500, b"first").into_block()).unwrap();
            writer.write_block(&enhanced(1, 500, b"three seconds later").into_block()).unwrap();
        });
        let path = file(&dir, &bytes);
        let mut source = PcapSource::open(&path, Replay { paced: true, ..AS_FAST }).unwrap();
        let mut frame = Vec::new();
        assert!(source.receive(&mut frame, 0).unwrap());
        assert!(!source.receive(&mut frame, 2_999_999_999).unwrap(), "{endianness:?}");
        assert!(source.receive(&mut frame, 3_000_000_000).unwrap(), "{endianness:?}");
    }
}

#[test]
fn a_loop_begins_again_and_an_empty_capture_does_not_hang() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("in.pcap");
    write(&path, ZERO, &frames(3), 100);
    let mut source = PcapSource::open(&path, Replay { looped: true, ..AS_FAST }).unwrap();
    let mut frame = Vec::new();
    for i in 0..10 {
        assert!(source.receive(&mut frame, 0).unwrap() && !source.exhausted());
        assert_eq!(frame, frames(3)[i % 3]);
    }
    // Paced, every round begins when its first frame is asked for.
    let mut source = PcapSource::open(&path, Replay { looped: true, paced: true, ..AS_FAST }).unwrap();
    let times: Vec<u64> =
        (0..2_000).filter(|&now| source.receive(&mut frame, now).unwrap()).take(7).collect();
    assert_eq!(times, [0, 100, 200, 201, 301, 401, 402]);

    write(&path, ZERO, &[], 0);
    for looped in [false, true] {
        let mut source = PcapSource::open(&path, Replay { looped, ..AS_FAST }).unwrap();
        assert!(source.exhausted());
        assert!(!source.receive(&mut frame, 0).unwrap());
    }
}

#[test]
fn a_kept_fcs_is_no_part_of_the_frame() {
    let dir = TempDir::new().unwrap();
    // Four bytes of FCS (2 x 16 bits) and the flag that says so, above link type 1.
    let header = PcapHeader { datalink: DataLink::from(0x2400_0001), ..Default::default() };
    let mut writer = PcapWriter::with_header(Vec::new(), header).unwrap();
    writer.write_packet(&PcapPacket::new(Duration::ZERO, 18, b"a whole frame!FCS.")).unwrap();
    let mut source = PcapSource::open(&file(&dir, &writer.into_writer()), AS_FAST).unwrap();
    assert_eq!(play(&mut source).unwrap(), [b"a whole frame!".to_vec()]);
}

#[test]
fn a_record_larger_than_the_buffer_is_read() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("large.pcap");
    let frames = [vec![1; 100], vec![2; 300_000], vec![3; 100]];
    write(&path, ZERO, &frames, 1);
    assert!(play(&mut PcapSource::open(&path, AS_FAST).unwrap()).unwrap() == frames);
}

#[test]
fn a_tee_writes_what_passed_and_nothing_else() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("tee.pcap");
    let mut tee = Tee::create(Loopback::new(2), &path, ZERO).unwrap();
    let mut frame = Vec::new();
    assert_eq!(tee.transmit(b"first", 10).unwrap(), Sent::Accepted);
    assert_eq!(tee.transmit(b"second", 20).unwrap(), Sent::Accepted);
    assert_eq!(tee.transmit(b"refused", 30).unwrap(), Sent::Busy);
    assert!(tee.receive(&mut frame, 40).unwrap());
    assert!(tee.receive(&mut frame, 50).unwrap());
    assert!(!tee.receive(&mut frame, 60).unwrap());
    assert_eq!((tee.status(), tee.exhausted()), (LinkStatus::UP_10G, false));
    tee.flush().unwrap();
    let mut reader = PcapReader::new(fs::File::open(&path).unwrap()).unwrap();
    let mut seen = Vec::new();
    while let Some(packet) = reader.next_packet() {
        let packet = packet.unwrap();
        seen.push((packet.timestamp.as_nanos(), packet.data.into_owned()));
    }
    let expected = [(10, "first"), (20, "second"), (40, "first"), (50, "second")]
        .map(|(at, text)| (at, text.as_bytes().to_vec()));
    assert_eq!(seen, expected);
}

#[test]
fn both_halves_of_a_split_are_flushed() {
    let dir = TempDir::new().unwrap();
    let [rx, tx] = ["rx.pcap", "tx.pcap"].map(|name| dir.path().join(name));
    let mut feed = Loopback::new(1);
    assert_eq!(feed.transmit(b"in", 0).unwrap(), Sent::Accepted);
    let mut link = split(Tee::create(feed, &rx, ZERO).unwrap(), PcapSink::create(&tx, ZERO).unwrap());
    let mut frame = Vec::new();
    assert!(link.receive(&mut frame, 0).unwrap());
    assert_eq!(link.transmit(b"out", 0).unwrap(), Sent::Accepted);
    link.flush().unwrap();
    assert_eq!(fs::read(&rx).unwrap().len(), 24 + 16 + 2);
    assert_eq!(fs::read(&tx).unwrap().len(), 24 + 16 + 3);
}
