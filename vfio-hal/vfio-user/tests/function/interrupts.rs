//! MSI, MSI-X, INTx: what goes out, what pends, what is lost.

use vfio_user_kit::config::cap;
use vfio_user_kit::{AccessError, Messages, Signal};

use super::*;

const MASTER: u16 = 1 << 2;

/// A function that may send messages.
fn master() -> Function {
    let mut function = function();
    function.set_bus_master(true);
    function
}

fn write_config(function: &mut Function, offset: u16, data: &[u8]) -> Vec<Signal> {
    let mut signals = Vec::new();
    function.config_write(offset, data, &mut signals).unwrap();
    signals
}

fn msix_control(function: &mut Function, value: u16) -> Vec<Signal> {
    let at = function.config().capability(cap::MSIX).unwrap();
    write_config(function, at + 2, &value.to_le_bytes())
}

fn unmask_entry(function: &mut Function, vector: u64) -> Option<Signal> {
    function.msix_write(vector * 16 + 12, &0u32.to_le_bytes()).unwrap()
}

fn pending(function: &Function) -> u64 {
    let mut data = [0; 8];
    function.msix_read(0x2000, &mut data).unwrap();
    u64::from_le_bytes(data)
}

#[test]
fn msix_vectors_are_masked_at_first_and_pend() {
    let mut function = master();
    assert_eq!(function.raise(3), None, "switched off: lost");
    assert_eq!(pending(&function), 0);
    assert_eq!(msix_control(&mut function, 1 << 15), []);
    assert_eq!(function.raise(3), None);
    assert_eq!(function.raise(63), None);
    assert_eq!(pending(&function), 1 << 63 | 1 << 3);
    assert_eq!(unmask_entry(&mut function, 3), Some(Signal::MsiX(3)), "it went out on unmask");
    assert_eq!(pending(&function), 1 << 63);
    assert_eq!(function.raise(3), Some(Signal::MsiX(3)));
    assert_eq!(unmask_entry(&mut function, 3), None, "once");
    assert_eq!(function.raise(64), None, "no such vector");
}

#[test]
fn the_function_mask_holds_all_vectors_back() {
    let mut function = master();
    msix_control(&mut function, 1 << 15 | 1 << 14);
    for vector in [5, 6, 9] {
        unmask_entry(&mut function, vector);
    }
    for vector in [5, 9, 10] {
        assert_eq!(function.raise(vector), None);
    }
    let due = msix_control(&mut function, 1 << 15);
    assert_eq!(due, [Signal::MsiX(5), Signal::MsiX(9)], "10 is masked by itself");
    assert_eq!(pending(&function), 1 << 10);
}

#[test]
fn no_message_leaves_without_bus_mastering() {
    let mut function = function();
    msix_control(&mut function, 1 << 15);
    unmask_entry(&mut function, 0);
    assert_eq!(function.raise(0), None);
    write_config(&mut function, 0x04, &MASTER.to_le_bytes());
    assert_eq!(function.raise(0), Some(Signal::MsiX(0)));
}

#[test]
fn the_msix_table_keeps_messages_and_reserved_bits_read_zero() {
    let mut function = master();
    function.msix_write(0x20, &0xfee0_1003_u64.to_le_bytes()).unwrap();
    function.msix_write(0x28, &u64::MAX.to_le_bytes()).unwrap();
    assert_eq!(function.msix().unwrap().message(2), Some((0xfee0_1000, u32::MAX)));
    let mut data = [0; 8];
    function.msix_read(0x28, &mut data).unwrap();
    assert_eq!(data, [0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0]);
    assert_eq!(function.msix().unwrap().message(64), None);
}

#[test]
fn the_msix_table_takes_aligned_words_only() {
    let mut function = master();
    for (offset, width) in [(0, 1), (0, 2), (2, 4), (4, 8), (12, 16), (0, 0)] {
        let error = AccessError::Width { offset, width };
        assert_eq!(function.msix_read(offset, &mut vec![0; width]), Err(error));
        assert_eq!(function.msix_write(offset, &vec![0; width]), Err(error));
    }
    // Behind the table, and behind the pending bits.
    for offset in [64 * 16, 0x1ff8, 0x2008, u64::MAX - 7] {
        assert!(!function.msix_covers(4, offset), "{offset:#x}");
        assert_eq!(function.msix_read(offset, &mut [0; 8]), Err(AccessError::OutOfRange { bar: 4, offset }));
    }
    assert!(function.msix_covers(4, 0) && function.msix_covers(4, 0x2000) && !function.msix_covers(0, 0));
}

#[test]
fn pending_bits_are_read_only() {
    let mut function = master();
    msix_control(&mut function, 1 << 15);
    function.raise(1);
    assert_eq!(function.msix_write(0x2000, &[0; 8]), Ok(None));
    assert_eq!(pending(&function), 0b10);
}

#[test]
fn msi_sends_as_many_vectors_as_the_driver_allows() {
    let mut function = master();
    let at = function.config().capability(cap::MSI).unwrap();
    assert_eq!(read16(function.config(), at + 2), 0x0184, "4 vectors, 64 bits, masks");
    write_config(&mut function, at + 2, &1u16.to_le_bytes());
    assert_eq!(function.raise(0), Some(Signal::Msi(0)));
    assert_eq!(function.raise(1), None, "only one was allowed");
    write_config(&mut function, at + 2, &(2 << 4 | 1u16).to_le_bytes());
    assert_eq!(function.raise(3), Some(Signal::Msi(3)));
    assert_eq!(function.raise(4), None);
    assert_eq!(function.raise(u32::MAX), None);
}

#[test]
fn a_masked_msi_vector_pends() {
    let mut function = master();
    let at = function.config().capability(cap::MSI).unwrap();
    function.set_messages(Messages::Msi, true, &mut Vec::new());
    write_config(&mut function, at + 0x10, &0b1010u32.to_le_bytes());
    assert_eq!(function.raise(1), None);
    assert_eq!(function.raise(3), None);
    assert_eq!(function.raise(0), Some(Signal::Msi(0)));
    assert_eq!(read32(function.config(), at + 0x14), 0b1010);
    assert_eq!(write_config(&mut function, at + 0x10, &0b1000u32.to_le_bytes()), [Signal::Msi(1)]);
    assert_eq!(function.mask(Messages::Msi, 3, false), Some(Signal::Msi(3)));
    assert_eq!(read32(function.config(), at + 0x14), 0);
    assert_eq!(function.mask(Messages::Msi, 32, false), None);
}

#[test]
fn the_msi_message_carries_the_vector_in_its_low_bits() {
    let mut function = master();
    let at = function.config().capability(cap::MSI).unwrap();
    write_config(&mut function, at + 4, &0xfee0_0007_u32.to_le_bytes());
    write_config(&mut function, at + 8, &1u32.to_le_bytes());
    write_config(&mut function, at + 0xc, &0x4044u16.to_le_bytes());
    function.set_messages(Messages::Msi, true, &mut Vec::new());
    assert_eq!(function.config().msi_message(2), Some((0x1_fee0_0004, 0x4046)));
}

#[test]
fn the_pin_follows_status_and_the_disable_bit() {
    let mut function = master();
    assert_eq!(function.set_intx(true), Some(Signal::IntX(true)));
    assert_eq!(function.set_intx(true), None, "no edge");
    assert_ne!(read16(function.config(), 0x06) & (1 << 3), 0);
    let disable = (MASTER | 1 << 10).to_le_bytes();
    assert_eq!(write_config(&mut function, 0x04, &disable), [Signal::IntX(false)]);
    assert_ne!(read16(function.config(), 0x06) & (1 << 3), 0, "the state shows all the same");
    assert_eq!(write_config(&mut function, 0x04, &MASTER.to_le_bytes()), [Signal::IntX(true)]);
    assert_eq!(function.set_intx(false), Some(Signal::IntX(false)));
}

#[test]
fn a_function_that_sends_messages_leaves_its_pin() {
    let mut function = master();
    function.set_intx(true);
    assert_eq!(msix_control(&mut function, 1 << 15), [Signal::IntX(false)]);
    assert_eq!(msix_control(&mut function, 0), [Signal::IntX(true)]);
    let mut signals = Vec::new();
    function.set_messages(Messages::Msi, true, &mut signals);
    assert_eq!(signals, [Signal::IntX(false)]);
}

#[test]
fn reset_forgets_everything() {
    let mut function = master();
    let at = function.config().capability(cap::MSIX).unwrap();
    msix_control(&mut function, 1 << 15);
    function.msix_write(0, &u64::MAX.to_le_bytes()).unwrap();
    unmask_entry(&mut function, 0);
    function.raise(1);
    function.reset();
    assert_eq!(pending(&function), 0);
    assert_eq!(read16(function.config(), at + 2), 63);
    assert_eq!(function.msix().unwrap().message(0), Some((0, 0)));
    assert!(function.msix().unwrap().is_masked(0));
    assert!(!function.config().bus_master());
}
