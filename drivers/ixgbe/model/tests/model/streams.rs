//! The stream that the state travels in: what is sent when, and what is refused.

use std::time::Duration;

use pmd_ixgbe_model::{Config, Model82599, Part, StateError};
use pmd_links::{Link, Loopback};
use proptest::prelude::*;
use vfio_user_kit::{DeviceModel, Migration};

use crate::board::{Board, MAC, frame};
use crate::state::Life;

fn model(part: Part) -> Model82599 {
    Model82599::new(Config { part, ..Config::new(MAC) }, Box::new(Loopback::new(4)))
}

fn busy() -> Board {
    Life::busy().board
}

/// Gives the pieces of a stream as a server does.
fn restore(model: &mut Model82599, stream: &[u8], piece: usize) -> Result<(), &'static str> {
    model.begin_restore();
    for part in stream.chunks(piece) {
        model.restore(part).map_err(|error| error.reason)?;
    }
    model.end_restore().map_err(|error| error.reason)
}

fn drain(model: &mut Model82599, piece: usize) -> Vec<u8> {
    let mut all = Vec::new();
    let mut data = vec![0; piece];
    loop {
        let len = model.save(&mut data).unwrap();
        all.extend_from_slice(&data[..len]);
        if len < piece {
            return all;
        }
    }
}

#[test]
fn pre_copy_sends_again_only_what_changed() {
    let mut board = busy();
    assert!(board.model.pre_copy());
    board.model.begin_save(true);
    let first = drain(&mut board.model, 4096);
    assert!(drain(&mut board.model, 4096).is_empty(), "no more for now");
    board.w(0x5200, 0x1234_5678);
    board.model.stop_and_copy();
    let rest = drain(&mut board.model, 777);
    let without_eeprom = first.len() - 16_000;
    assert!(rest.len() < without_eeprom, "{} bytes, then {}: the EEPROM went once", first.len(), rest.len());
    let mut target = model(Part::Sfp);
    restore(&mut target, &[first.clone(), rest].concat(), 1000).unwrap();
    assert_eq!(target.save_state(), board.model.save_state());
    assert_eq!(restore(&mut target, &first, 1000), Err("not complete"), "the end is missing");

    board.model.begin_save(false);
    let whole = drain(&mut board.model, 1 << 20);
    assert_eq!(whole, board.model.save_state().unwrap());
    assert!(drain(&mut board.model, 16).is_empty());
}

#[test]
fn equal_devices_are_equal_bytes() {
    assert_eq!(busy().model.save_state(), busy().model.save_state());
}

#[test]
fn what_is_not_a_state_is_refused_and_changes_nothing() {
    let stream = busy().model.save_state().unwrap();
    let mut target = model(Part::Sfp);
    let before = target.save_state();
    for len in (0..stream.len()).step_by(97).chain(stream.len() - 40..stream.len()) {
        let error = target.load_state(&stream[..len]).unwrap_err();
        assert_eq!(error, StateError::Truncated, "{len} of {} bytes", stream.len());
    }
    for at in (0..stream.len()).step_by(61) {
        let mut bad = stream.clone();
        bad[at] ^= 1 << (at % 8);
        assert!(target.load_state(&bad).is_err(), "a bit of byte {at} turned");
    }
    let mut longer = stream.clone();
    longer.push(0);
    assert_eq!(target.load_state(&longer), Err(StateError::Trailing));
    assert_eq!(target.load_state(b"QEVM\0\0\0\0 and more of it"), Err(StateError::Foreign));
    let mut version = stream.clone();
    version[8] = 9;
    assert_eq!(target.load_state(&version), Err(StateError::Version { found: 9, known: 1 }));
    let mut section = stream.clone();
    section[20..24].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(target.load_state(&section), Err(StateError::Section { kind: 1, len: u32::MAX }));
    assert_eq!(
        model(Part::BackplaneKx4).load_state(&stream),
        Err(StateError::Part { found: 0x10FB, own: 0x10F7 })
    );
    assert_eq!(target.save_state(), before);
    assert_eq!(target.load_state(&stream), Ok(()));
}

#[test]
fn the_model_offers_migration_to_a_server() {
    let mut model = model(Part::Sfp);
    let device: &mut dyn DeviceModel = &mut model;
    assert!(device.migration().is_some());
}

/// The sections of a stream: where their heads begin.
fn heads(stream: &[u8]) -> Vec<usize> {
    let mut at = 16;
    let mut heads = Vec::new();
    while at < stream.len() {
        heads.push(at);
        at += 16 + u32::from_le_bytes(stream[at + 4..at + 8].try_into().unwrap()) as usize;
    }
    heads
}

/// Makes all checksums right again.
fn seal(stream: &mut [u8]) {
    let heads = heads(stream);
    let mut sums = Vec::new();
    for head in heads {
        let len = u32::from_le_bytes(stream[head + 4..head + 8].try_into().unwrap()) as usize;
        if stream[head..head + 4] == [0; 4] {
            stream[head + 16..].copy_from_slice(&sums);
        }
        let sum = crc32c(&stream[head + 16..head + 16 + len]).to_le_bytes();
        stream[head + 8..head + 12].copy_from_slice(&sum);
        sums.extend_from_slice(&sum);
    }
}

fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0x82F6_3B78 } else { 0 })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Somebody who knows the format lies in it: the model refuses, or works with what it was told; it does not panic.
    #[test]
    fn lies_with_right_checksums_do_no_harm(
        lies in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..5), 1..12),
    ) {
        let mut board = busy();
        let mut stream = board.model.save_state().unwrap();
        let heads = heads(&stream);
        for (place, value, section) in lies {
            let head = heads[usize::from(section)];
            let len = u32::from_le_bytes(stream[head + 4..head + 8].try_into().unwrap()) as usize;
            stream[head + 16 + place.index(len)] = value;
        }
        seal(&mut stream);
        if board.model.load_state(&stream).is_ok() {
            for i in 0..4 {
                let _ = board.wire.transmit(&frame(MAC, 64 + i), 0);
                (0..50).for_each(|_| { board.step(); });
                board.sent();
                board.now += Duration::from_millis(3);
            }
            for offset in (0..0x1_6000).step_by(4) {
                board.r(offset);
            }
        }
    }
}
