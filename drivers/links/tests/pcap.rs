//! Captures: written ones are read by an independent crate (pcap-file), files written by that crate are played, and no
//! file whatever makes the reader panic or hang.

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
use proptest::prelude::*;
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
fn every_way_to_cut_a_file_off_is_said() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("whole.pcap");
    write(&path, ZERO, &[vec![7; 20], vec![8; 33]], 1);
    let whole = fs::read(&path).unwrap();
    assert_eq!(whole.len(), 24 + 16 + 20 + 16 + 33);
    for len in 0..=whole.len() {
        let path = file(&dir, &whole[..len]);
        match (len, PcapSource::open(&path, AS_FAST)) {
            (0..24, Err(PcapError::NotACapture { .. })) => {}
            (24 | 60 | 109, Ok(source)) => {
                assert_eq!(source.frames(), [24, 60, 109].iter().position(|&l| l == len).unwrap() as u64)
            }
            (25..60, Err(PcapError::Truncated { frames: 0, offset: 24, .. })) => {}
            (61..109, Err(PcapError::Truncated { frames: 1, offset: 60, .. })) => {}
            (_, other) => panic!("cut to {len} bytes: {:?}", other.err()),
        }
    }
    let bytes = pcapng(Endianness::Little, |writer| {
        writer.write_block(&interface(DataLink::ETHERNET, None).into_block()).unwrap();
        writer.write_block(&enhanced(0, 5, b"a whole frame").into_block()).unwrap();
        writer.write_block(&enhanced(0, 6, b"one that is cut").into_block()).unwrap();
    });
    let error = open_error(&file(&dir, &bytes[..bytes.len() - 10]));
    assert!(matches!(error, PcapError::Truncated { frames: 1, .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("file.pcap is cut off behind frame 1") && text.contains("editcap"), "{text}");
}

#[test]
fn foreign_and_missing_files_are_said() {
    let dir = TempDir::new().unwrap();
    let missing = open_error(&dir.path().join("nothing.pcap"));
    assert!(missing.to_string().contains("nothing.pcap: No such file"), "{missing}");
    assert!(matches!(open_error(dir.path()), PcapError::NotAFile { .. }));
    assert!(matches!(open_error(Path::new("/dev/null")), PcapError::NotAFile { .. }));
    for foreign in
        [&b""[..], b"#!/bin/sh\necho this is no capture at all\n", &[0x1f, 0x8b, 8, 0, 0, 0], &[0; 100]]
    {
        assert!(matches!(open_error(&file(&dir, foreign)), PcapError::NotACapture { .. }));
    }

    let header = PcapHeader { datalink: DataLink::LINUX_SLL, ..Default::default() };
    let mut writer = PcapWriter::with_header(Vec::new(), header).unwrap();
    writer.write_packet(&PcapPacket::new(Duration::ZERO, 4, b"sll!")).unwrap();
    let error = open_error(&file(&dir, &writer.into_writer()));
    assert!(matches!(error, PcapError::NotEthernet { link_type: 113, .. }), "{error}");

    let bytes = pcapng(Endianness::Big, |writer| {
        writer.write_block(&interface(DataLink::IEEE802_11, None).into_block()).unwrap();
        writer.write_block(&enhanced(0, 5, b"radio").into_block()).unwrap();
    });
    assert!(matches!(open_error(&file(&dir, &bytes)), PcapError::NotEthernet { link_type: 105, .. }));
}

#[test]
fn frames_that_the_capture_cut_need_leave() {
    let dir = TempDir::new().unwrap();
    let mut writer = PcapWriter::new(Vec::new()).unwrap();
    writer.write_packet(&PcapPacket::new(Duration::ZERO, 14, b"a whole frame!")).unwrap();
    writer.write_packet(&PcapPacket::new(Duration::ZERO, 1_500, b"the start of it")).unwrap();
    let path = file(&dir, &writer.into_writer());
    let error = open_error(&path);
    assert!(matches!(error, PcapError::Cut { frame: 2, kept: 15, length: 1_500, .. }), "{error}");
    let mut source = PcapSource::open(&path, Replay { cut: true, ..AS_FAST }).unwrap();
    assert_eq!(play(&mut source).unwrap(), [b"a whole frame!".to_vec(), b"the start of it".to_vec()]);
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
fn damaged_records_are_said() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("whole.pcap");
    write(&path, ZERO, &[vec![7; 20], vec![8; 33]], 1);
    let mut bytes = fs::read(&path).unwrap();
    bytes[24 + 36 + 8..][..4].copy_from_slice(&0xfff0_0000u32.to_le_bytes());
    let error = open_error(&file(&dir, &bytes));
    assert!(matches!(error, PcapError::Damaged { frames: 1, offset: 60, .. }), "{error}");

    let bytes = pcapng(Endianness::Little, |writer| {
        writer.write_block(&interface(DataLink::ETHERNET, None).into_block()).unwrap();
    });
    let mut stray = bytes.clone();
    // A packet of an interface that was never described.
    let with_two = pcapng(Endianness::Little, |writer| {
        writer.write_block(&interface(DataLink::ETHERNET, None).into_block()).unwrap();
        writer.write_block(&interface(DataLink::ETHERNET, None).into_block()).unwrap();
        writer.write_block(&enhanced(1, 5, b"stray frame!").into_block()).unwrap();
    });
    let interface_len = 20;
    stray.extend(&with_two[bytes.len() + interface_len..]);
    assert!(matches!(open_error(&file(&dir, &stray)), PcapError::Damaged { frames: 0, .. }));
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
fn a_file_that_changes_under_the_player_is_noticed_or_ignored() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("in.pcap");
    // Larger than the reader's buffer.
    let frames: Vec<Vec<u8>> = (0..1_000).map(|i| vec![i as u8; 1_000]).collect();
    write(&path, ZERO, &frames, 1);
    let whole = fs::read(&path).unwrap();

    let mut source = PcapSource::open(&path, AS_FAST).unwrap();
    let mut longer = whole.clone();
    longer.extend(&whole[24..]);
    fs::write(&path, &longer).unwrap();
    assert_eq!(play(&mut source).unwrap().len(), 1_000, "what was checked is played, no more");

    fs::write(&path, &whole).unwrap();
    let mut source = PcapSource::open(&path, AS_FAST).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(matches!(play(&mut source), Err(LinkError::Pcap(PcapError::Truncated { .. }))));
}

#[test]
fn a_full_disk_is_an_error_and_stays_one() {
    let full = Path::new("/dev/full");
    let error = PcapSink::create(full, ZERO).err().expect("nothing fits on /dev/full");
    assert!(error.to_string().contains("cannot write capture /dev/full: No space left"), "{error}");
    assert!(Tee::create(Loopback::new(1), full, ZERO).is_err());
    let error = PcapSink::create(Path::new("/no/such/dir/x.pcap"), ZERO).err().unwrap();
    assert!(error.to_string().contains("cannot create capture /no/such/dir/x.pcap"), "{error}");
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

fn any_capture() -> impl Strategy<Value = Vec<u8>> {
    (0usize..5, any::<bool>(), any::<bool>()).prop_map(|(kind, big, nanos)| {
        let endianness = if big { Endianness::Big } else { Endianness::Little };
        let frames = frames(4);
        if kind < 2 {
            let ts_resolution = if nanos { TsResolution::NanoSecond } else { TsResolution::MicroSecond };
            let header = PcapHeader { endianness, ts_resolution, ..Default::default() };
            let mut writer = PcapWriter::with_header(Vec::new(), header).unwrap();
            for frame in &frames {
                writer.write_packet(&PcapPacket::new(Duration::ZERO, frame.len() as u32, frame)).unwrap();
            }
            return writer.into_writer();
        }
        pcapng(endianness, |writer| {
            writer.write_block(&interface(DataLink::ETHERNET, nanos.then_some(9)).into_block()).unwrap();
            for frame in &frames {
                if kind == 2 {
                    let block =
                        SimplePacketBlock { original_len: frame.len() as u32, data: Cow::Borrowed(frame) };
                    writer.write_block(&block.into_block()).unwrap();
                } else {
                    writer.write_block(&enhanced(0, 5, frame).into_block()).unwrap();
                }
            }
        })
    })
}

/// So many cases, unless PROPTEST_CASES says how many.
fn cases(number: u32) -> ProptestConfig {
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => ProptestConfig::default(),
        None => ProptestConfig::with_cases(number),
    }
}

proptest! {
    #![proptest_config(cases(512))]

    /// Damaged captures end in frames or in a sentence, in finite time.
    #[test]
    fn no_file_makes_the_reader_panic_or_hang(
        mut bytes in any_capture(),
        noise in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        edge in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(vec![0u32, 1, 3, 12, 0x7fff_ffff, 0xffff_fff0, u32::MAX])), 0..3),
        cut in prop::option::of(any::<prop::sample::Index>()),
        paced in any::<bool>(),
    ) {
        for (at, byte) in noise {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        // Lengths and types stand at multiples of four.
        for (at, word) in edge {
            let at = at.index(bytes.len() / 4) * 4;
            bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let dir = TempDir::new().unwrap();
        let path = file(&dir, &bytes);
        match PcapSource::open(&path, Replay { cut: true, paced, looped: false }) {
            Ok(mut source) => {
                let mut frame = Vec::new();
                let mut count = 0;
                while !source.exhausted() {
                    prop_assert!(source.receive(&mut frame, u64::MAX).unwrap());
                    // Paced from "the end of time" on, only steps back in time are due.
                    count += 1;
                    if paced {
                        break;
                    }
                }
                prop_assert!(paced || count == source.frames());
            }
            Err(error) => prop_assert!(!error.to_string().contains('\n')),
        }
    }
}
