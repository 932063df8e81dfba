//! Files that are cut off, foreign, damaged, changing or full, and files of noise.

use super::*;
use proptest::prelude::*;

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
