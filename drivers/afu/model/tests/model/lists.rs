//! Feature lists: what a walk finds, in both ways of discovery and with both kinds of header.

use pmd_afu::{guid, ids};
use pmd_afu_model::{AfuKind, Config, Counters, Discovery, Headers};
use vfio_user_kit::DeviceModel;

use crate::board::Board;

/// A feature as a walk sees it.
#[derive(Clone, Debug, PartialEq)]
struct Found {
    at: u64,
    kind: u64,
    id: u64,
    version: u64,
}

fn walk(board: &mut Board, bar: u8, start: u64) -> Vec<Found> {
    let (mut at, mut found) = (start, Vec::new());
    for _ in 0..100 {
        let header = board.r(bar, at);
        found.push(Found { at, kind: header >> 60, id: header & 0xFFF, version: header >> 52 & 0xFF });
        let next = header >> 16 & 0xFF_FFFF;
        assert!(next > 0 && next.is_multiple_of(8), "at {at:#x}: next {next:#x}");
        if header >> 40 & 1 == 1 {
            return found;
        }
        at += next;
    }
    panic!("the list does not end");
}

fn ids(found: &[Found]) -> Vec<(u64, u64)> {
    found.iter().map(|one| (one.kind, one.id)).collect()
}

const FME_LIST: [(u64, u64); 6] = [(4, 0), (3, 1), (3, 2), (3, 7), (3, 4), (3, 5)];
const PORT_LIST: [(u64, u64); 4] = [(4, 1), (3, 0x10), (3, 0x12), (3, 0x13)];

#[test]
fn port_offsets_lead_to_a_list_for_each_port() {
    let mut board = Board::new(Config::with_ports(&[AfuKind::Nlb0, AfuKind::HeMem]));
    let spec = board.model.spec();
    assert_eq!((spec.ids.vendor, spec.ids.device), (0x8086, 0x09C4));
    assert!(spec.capabilities.is_empty());
    let fme = walk(&mut board, 0, 0);
    assert_eq!(ids(&fme), FME_LIST);
    assert_eq!(board.r(0, 0x30) >> 17 & 7, 2, "ports");
    for (port, kind) in [(0, AfuKind::Nlb0), (1, AfuKind::HeMem)] {
        let offset = board.r(0, 0x38 + 8 * port);
        assert_eq!((offset >> 60 & 1, offset >> 32 & 7), (1, 2));
        let list = offset & 0xFF_FFFF;
        assert_eq!(ids(&walk(&mut board, 2, list)), PORT_LIST);
        assert_eq!(board.r(2, list + 0x30) & 3, port);
        // The accelerator has a header and an identifier of its own, once it is out of reset.
        let afu = list + (board.r(2, list + 0x18) & 0xFF_FFFF);
        board.release(list);
        assert_eq!(board.r(2, afu) >> 60, u64::from(ids::TYPE_AFU));
        let (low, high) = guid::words(kind.guid());
        assert_eq!((board.r(2, afu + 8), board.r(2, afu + 16)), (low, high));
    }
    assert_eq!(board.r(0, 0x48) >> 60 & 1, 0, "the third port is not there");
}

#[test]
fn a_vsec_names_a_list_a_bar_and_ports_are_not_found_twice() {
    let kinds = [AfuKind::Nlb0, AfuKind::HeLpbk, AfuKind::Dummy, AfuKind::Stream];
    let mut board = Board::new(Config { discovery: Discovery::Vsec, ..Config::with_ports(&kinds) });
    let spec = board.model.spec();
    assert_eq!((spec.ids.device, spec.msix_bar), (0xBCCE, 5));
    let config = vfio_user_kit::Config::new(&spec).unwrap();
    let at = config.extended_capability(0xB).expect("a vendor-specific capability");
    let word = |offset: u16| {
        let mut bytes = [0; 4];
        config.read(at + offset, &mut bytes).unwrap();
        u32::from_le_bytes(bytes)
    };
    assert_eq!(word(4) & 0xFFFF, 0x43);
    assert_eq!((0..6).map(|n| word(8 + 4 * n)).collect::<Vec<_>>(), [5, 0, 1, 2, 3, 4]);
    assert_eq!(ids(&walk(&mut board, 0, 0)), FME_LIST);
    for (port, kind) in (0u8..).zip(kinds) {
        assert_eq!(ids(&walk(&mut board, port + 1, 0)), PORT_LIST);
        let offset = board.r(0, 0x38 + 8 * u64::from(port));
        assert_eq!((offset >> 60 & 1, offset >> 32 & 7), (1, 7), "BAR 7: do not follow");
        board.w(port + 1, 0x38, 0);
        board.wait_us(10);
        let afu = board.r(port + 1, 0x18);
        let (low, high) = guid::words(kind.guid());
        assert_eq!((board.r(port + 1, afu + 8), board.r(port + 1, afu + 16)), (low, high));
    }
}

#[test]
fn guids_and_identity_are_those_of_the_documents() {
    let mut board = Board::new(Config::default());
    for (bar, guid) in [(0, guid::FME), (2, guid::PORT)] {
        let (low, high) = guid::words(guid);
        assert_eq!((board.r(bar, 8), board.r(bar, 16)), (low, high));
    }
    let config = Config::default();
    assert_eq!(board.r(0, 0x60), config.bitstream_id);
    assert_eq!(board.r(0, 0x68), config.bitstream_metadata);
    assert_eq!(board.r(0, 0x18), 0, "the FME has no accelerator");
    assert_eq!(board.r(2, 0x30) >> 8 & 0xFFFF, 256, "KiB of the accelerator's registers");
}

#[test]
fn version_1_headers_say_where_registers_and_vectors_are() {
    let mut board = Board::new(Config { headers: Headers::V1, ..Config::default() });
    for (bar, list) in [(0, walk(&mut board, 0, 0)), (2, walk(&mut board, 2, 0))] {
        for feature in list {
            assert_eq!(feature.version, u64::from(feature.kind == 3), "FIUs stay with version 0");
            if feature.version == 0 {
                continue;
            }
            let address = board.r(bar, feature.at + 0x18);
            assert_eq!(address & 1, 0, "relative");
            let registers = feature.at + (address >> 1);
            assert_eq!(board.r(bar, registers), board.r(bar, feature.at), "the header again");
            let group = board.r(bar, feature.at + 0x20);
            assert_eq!(group >> 32, 0x800);
            let has_vectors = matches!((bar, feature.id), (0, 4) | (2, 0x10 | 0x12));
            assert_eq!(group >> 31 & 1, u64::from(has_vectors), "{feature:x?}");
            if has_vectors {
                let parameter = board.r(bar, feature.at + 0x28);
                assert_eq!((parameter & 0xFFFF, parameter >> 32 & 1, parameter >> 35), (1, 1, 2));
                let vectors = board.r(bar, feature.at + 0x30);
                let expected = match feature.id {
                    0x12 => (0, 4),
                    0x10 => (4, 1),
                    _ => (5, 1),
                };
                assert_eq!((vectors & 0xFFFF_FFFF, vectors >> 32), expected);
            }
        }
    }
    // Registers are where the header says: the temperature is 42 °C.
    assert_eq!(board.r(0, 0x1000 + 0x800 + 0x10) & 0x7F, 42);
    assert_eq!(board.r(0, 0x1000 + 0x10), 0);
}

#[test]
fn version_0_features_tell_their_vectors_in_registers() {
    let mut board = Board::new(Config::with_ports(&[AfuKind::Nlb0, AfuKind::Dummy]));
    assert_eq!(board.model.spec().msix_vectors, 11);
    for port in [0u64, 1] {
        let base = port * 0x1_0000;
        let users = board.r(2, base + 0x2008);
        assert_eq!((users & 0xFFF, users >> 12 & 0xFFF), (4, 4 * port));
        let errors = board.r(2, base + 0x1038);
        assert_eq!((errors & 1, errors >> 1 & 0xFFF), (1, 8 + port));
    }
    let fme = board.r(0, 0x4070);
    assert_eq!((fme & 1, fme >> 1 & 0xFFF), (1, 10));
}

#[test]
fn integrated_cards_have_the_other_counters() {
    let mut board = Board::new(Config { counters: Counters::Integrated, ..Config::default() });
    assert_eq!(ids(&walk(&mut board, 0, 0))[3], (3, 3));
}

#[test]
fn what_is_nowhere_reads_zero_and_takes_nothing() {
    let mut board = Board::new(Config::default());
    for (bar, offset) in [(0, 0x6000), (0, 0x7FFF8), (2, 0x4000), (2, 0x1_0000)] {
        board.w(bar, offset, u64::MAX);
        assert_eq!(board.r(bar, offset), 0, "BAR {bar} {offset:#x}");
    }
    let mut data = [0; 8];
    for (bar, offset) in [(0, 0x8_0000), (2, 0x8_0000), (1, 0), (4, 0), (9, 0), (0, u64::MAX - 7)] {
        assert!(board.context(|model, cx| model.bar_read(cx, bar, offset, &mut data)).is_err());
        assert!(board.context(|model, cx| model.bar_write(cx, bar, offset, &data)).is_err());
    }
}
