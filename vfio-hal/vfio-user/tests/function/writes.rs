//! Writes of any kind: what is read-only stays, what resets asks for it, what is outside is refused.

use proptest::prelude::*;
use vfio_user_kit::config::{CONFIG_BYTES, ConfigError, cap};
use vfio_user_kit::{Config, Signal};

use super::*;

/// Everything that no write may change, read as bytes with a mask.
fn read_only(config: &Config) -> Vec<(u16, u8)> {
    let mut constant: Vec<u16> = (0x00..0x04).chain(0x08..0x0c).chain(0x0d..0x10).chain(0x28..0x3c).collect();
    constant.extend(0x3d..0x40);
    for (id, at) in capabilities(config) {
        constant.extend([at, at + 1]);
        match id {
            cap::PM => constant.extend([at + 2, at + 3]),
            cap::MSIX => constant.extend((at + 2..at + 3).chain(at + 4..at + 12)),
            cap::PCIE => {
                constant.extend((at + 2..at + 8).chain(at + 0xc..at + 0x10).chain(at + 0x12..at + 0x14))
            }
            _ => {}
        }
    }
    constant.extend(0x100..CONFIG_BYTES);
    constant.into_iter().map(|at| (at, read8(config, at))).collect()
}

#[test]
fn outside_is_refused_and_changes_nothing() {
    let mut config = Config::new(&spec()).unwrap();
    for (offset, len) in [(4095, 2), (4096, 1), (u16::MAX, 1), (0, 4097), (u16::MAX, 65536), (4097, 0)] {
        let error = ConfigError { offset, len };
        assert_eq!(config.write(offset, &vec![0xff; len]), Err(error));
        assert_eq!(config.read(offset, &mut vec![0; len]), Err(error));
    }
    assert_eq!(read16(&config, 0x04), 0);
    assert_eq!(config.read(4096, &mut []), Ok(()), "nothing, at the end");
    assert_eq!(config.write(4095, &[0xff]), Ok(Default::default()));
}

#[test]
fn the_reset_bit_asks_however_it_is_written_and_reads_zero() {
    let mut config = Config::new(&spec()).unwrap();
    let at = config.capability(cap::PCIE).unwrap() + 8;
    let before = read16(&config, at);
    assert!(write16(&mut config, at, before | 1 << 15).reset);
    assert!(write32(&mut config, at, u32::from(before) | 1 << 15).reset);
    assert!(config.write(at + 1, &[0x80 | (before >> 8) as u8]).unwrap().reset);
    assert_eq!(read16(&config, at), before);
    assert!(!write16(&mut config, at, before).reset);
    assert!(!config.write(at, &[0xff]).unwrap().reset, "the other byte");
    assert!(!config.write(at + 2, &[0xff, 0xff]).unwrap().reset, "the status register");
}

#[test]
fn error_bits_are_cleared_by_ones_and_never_set() {
    let mut config = Config::new(&spec()).unwrap();
    write16(&mut config, 0x06, u16::MAX);
    assert_eq!(read16(&config, 0x06), 1 << 4);
}

#[test]
fn reset_is_power_on() {
    let mut config = Config::new(&spec()).unwrap();
    config.write(0, &[0xff; 0x100]).unwrap();
    config.reset();
    let fresh = Config::new(&spec()).unwrap();
    for at in 0..CONFIG_BYTES {
        assert_eq!(read8(&config, at), read8(&fresh, at), "{at:#x}");
    }
}

proptest! {
    #[test]
    fn no_write_changes_what_is_read_only(
        writes in prop::collection::vec((0u16..300, prop::collection::vec(any::<u8>(), 0..9), any::<bool>()), 1..40)
    ) {
        let mut function = function();
        let before = read_only(function.config());
        for (offset, data, raise) in writes {
            let mut signals: Vec<Signal> = Vec::new();
            function.config_write(offset, &data, &mut signals).unwrap();
            if raise {
                function.raise(u32::from(offset) % 70);
                function.set_intx(offset % 2 == 0);
            }
        }
        for (at, value) in before {
            prop_assert_eq!(read8(function.config(), at), value, "offset {:#x}", at);
        }
    }

    #[test]
    fn a_wide_write_is_its_bytes_one_by_one(offset in 0u16..0x110, data in prop::collection::vec(any::<u8>(), 0..9)) {
        let mut whole = Config::new(&spec()).unwrap();
        let mut single = whole.clone();
        whole.write(offset, &data).unwrap();
        for (at, byte) in (offset..).zip(&data) {
            single.write(at, &[*byte]).unwrap();
        }
        for at in 0..0x120 {
            prop_assert_eq!(read8(&whole, at), read8(&single, at), "offset {:#x}", at);
        }
    }
}
