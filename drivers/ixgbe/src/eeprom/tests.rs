use alloc::string::{String, ToString};
use core::time::Duration;

use vfio_hal::pmd::{MacAddr, PortError};
use vfio_hal::{Clock, DeviceError};

use super::{
    Nvm, NvmVersion, OptionRom, dump, part_number, permanent_mac, suffers_crosstalk, verify_checksum, version,
};
use crate::phy::peer::{Card, SFP, X540, X550, seal};
use crate::regs::{EEC, HICR, RAH, RAL, STATUS};

fn timeout(error: Result<(), PortError>) -> &'static str {
    match error {
        Err(PortError::Device(DeviceError::Timeout { what, .. })) => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_read_that_is_never_done_is_a_timeout() {
    for id in [SFP, X540] {
        let (hw, card) = Card::new(id);
        card.state().nvm_hangs = true;
        assert_eq!(timeout(verify_checksum(&hw)), "EEPROM read (EERD.DONE)");
        card.assert_all_given_back();
        assert!(card.clock.now() < Duration::from_secs(1), "one time-out, not one a word");
    }
}

#[test]
fn firmware_that_does_not_answer_is_a_timeout() {
    let (hw, card) = Card::new(X550);
    card.state().commands_hang = true;
    assert_eq!(timeout(verify_checksum(&hw)), "a flash read by firmware (HICR.C)");
    card.assert_all_given_back();
    let (hw, card) = Card::new(X550);
    card.file().set(0, HICR::default());
    assert!(matches!(verify_checksum(&hw), Err(PortError::Device(DeviceError::Unsupported { .. }))));
    card.assert_all_given_back();
}

#[test]
fn an_auto_read_that_never_ends_is_a_timeout() {
    let (hw, card) = Card::new(SFP);
    card.file().set(0, EEC::default().with_pres(true));
    assert_eq!(timeout(verify_checksum(&hw)), "EEPROM auto-read (EEC.ARD)");
}

#[test]
fn a_board_without_an_eeprom_says_so_and_later_chips_have_none_to_ask_for() {
    let (hw, card) = Card::new(SFP);
    card.file().set(0, card.file().get::<EEC>(0).with_pres(false));
    let error = verify_checksum(&hw).unwrap_err();
    assert!(matches!(error, PortError::Unsupported { .. }));
    assert!(error.to_string().contains("EEC.PRES"), "{error}");
    let (hw, card) = Card::new(X540);
    card.file().set(0, card.file().get::<EEC>(0).with_pres(false));
    assert_eq!(verify_checksum(&hw), Ok(()));
}

#[test]
fn the_checksum_is_over_fixed_words_and_sections() {
    for id in [SFP, X540] {
        let (hw, card) = Card::new(id);
        assert_eq!(verify_checksum(&hw), Ok(()));
        // 91h is in the first port's core section.
        for word in [0x00, 0x2c, 0x3e, 0x3f, 0x81, 0x82, 0x91, 0xa4] {
            card.state().nvm[word] ^= 0x0100;
            assert!(matches!(verify_checksum(&hw), Err(PortError::EepromChecksum { .. })), "word {word:#x}");
            card.state().nvm[word] ^= 0x0100;
        }
        // Neither firmware's module nor what no pointer names is part of it.
        for word in [0xb1, 0x40, 0x300] {
            card.state().nvm[word] ^= 0x0100;
            assert_eq!(verify_checksum(&hw), Ok(()), "word {word:#x}");
        }
        card.assert_all_given_back();
    }
}

#[test]
fn the_sum_that_was_found_is_named() {
    let (hw, card) = Card::new(SFP);
    card.state().nvm[0x3f] += 1;
    let error = verify_checksum(&hw).unwrap_err();
    assert_eq!(error, PortError::EepromChecksum { found: 0xbabb });
    assert!(error.to_string().contains("0xbabb"));
}

#[test]
fn the_phy_and_option_rom_sections_count_on_the_82599_only() {
    let (hw, card) = Card::new(SFP);
    {
        let nvm = &mut card.state().nvm;
        nvm[0x04] = 0x200;
        nvm[0x200..0x203].copy_from_slice(&[2, 0x1234, 0x4321]);
        seal(nvm);
    }
    assert_eq!(verify_checksum(&hw), Ok(()));
    let nvm = card.state().nvm.clone();
    let (hw, card) = Card::new(X540);
    card.state().nvm = nvm;
    assert!(matches!(verify_checksum(&hw), Err(PortError::EepromChecksum { .. })));
}

#[test]
fn the_x550_counts_two_more_words_and_sections_without_length() {
    let (hw, card) = Card::new(X550);
    {
        let nvm = &mut card.state().nvm;
        nvm[0x40..0x42].copy_from_slice(&[0x1111, 0x2222]);
        nvm[0x06] = 0x200;
        nvm[0x200..0x224].fill(0x0101);
        nvm[0x07] = 0x240;
        nvm[0x240..0x248].fill(0x0707);
        seal(nvm);
        // Seal takes the first word of a section for its length; put the X550's sum right by hand.
        nvm[0x3f] = 0;
        let fixed = nvm[..0x42].iter().fold(0u16, |sum, word| sum.wrapping_add(*word));
        let sections = [0x81..0x83, 0x91..0x95, 0xa1..0xa5, 0x200..0x224, 0x240..0x248];
        let words = sections.into_iter().flat_map(|range| nvm[range].iter());
        nvm[0x3f] = 0xbabau16.wrapping_sub(words.fold(fixed, |sum, word| sum.wrapping_add(*word)));
    }
    assert_eq!(verify_checksum(&hw), Ok(()));
    card.state().nvm[0x41] += 1;
    assert!(matches!(verify_checksum(&hw), Err(PortError::EepromChecksum { .. })));
    card.assert_all_given_back();
}

#[test]
fn hostile_pointers_and_lengths_end_in_an_error_and_in_time() {
    for id in [SFP, X540, X550] {
        for (pointer, length) in [
            (0xfff0, 2),      // outside
            (0x0fff, 2),      // the section's words are outside
            (0x0080, 0xfffe), // longer than everything
            (0x0080, 0x0f7f), // each one fits, all of them overlap
            (0x0fff, 0xffff),
        ] {
            let (hw, card) = Card::new(id);
            {
                let nvm = &mut card.state().nvm;
                nvm[0x02..0x0f].fill(pointer);
                if let Some(word) = nvm.get_mut(usize::from(pointer)) {
                    *word = length;
                }
            }
            let result = verify_checksum(&hw);
            let wrong = matches!(result, Err(PortError::EepromChecksum { .. } | PortError::Invalid { .. }));
            assert!(wrong, "{id:x} {pointer:#x} {length:#x}: {result:?}");
            assert!(card.clock.now() < Duration::from_secs(11), "{:?}", card.clock.now());
            card.assert_all_given_back();
        }
    }
}

#[test]
fn an_eeprom_that_is_slow_without_end_is_given_up() {
    let (hw, card) = Card::new(SFP);
    // Each read is done at once, but the clock says that half a second went by.
    card.clock.tick(Duration::from_millis(400));
    assert_eq!(timeout(dump(&hw).map(|_| ())), "reading the EEPROM");
}

#[test]
fn all_ones_and_all_zeros_are_no_valid_eeprom() {
    for word in [0, 0xffff] {
        let (hw, card) = Card::new(SFP);
        card.state().nvm.fill(word);
        assert!(matches!(verify_checksum(&hw), Err(PortError::EepromChecksum { .. })));
        assert_eq!(part_number(&hw), Ok(None));
        let version = version(&hw).unwrap();
        assert_eq!((version.firmware, version.option_rom), (None, None));
    }
}

#[test]
fn words_beyond_the_end_are_refused() {
    let (hw, _card) = Card::new(SFP);
    let nvm = Nvm::open(&hw).unwrap();
    assert_eq!(nvm.len(), 4096);
    assert!(nvm.word(4095).is_ok());
    let error = PortError::OutOfRange { what: "the EEPROM word to read", value: 4096, min: 0, max: 4095 };
    assert_eq!(nvm.word(4096), Err(error));
    assert!(matches!(nvm.read(u32::MAX, &mut [0; 2]), Err(PortError::OutOfRange { .. })));
}

#[test]
fn an_eeprom_larger_than_its_register_reaches_ends_there() {
    for (id, len) in [(SFP, 1 << 14), (X550, 1 << 16)] {
        let (hw, card) = Card::new(id);
        card.file().set(0, card.file().get::<EEC>(0).with_size(15));
        assert_eq!(Nvm::open(&hw).unwrap().len(), len);
    }
}

#[test]
fn a_dump_is_every_word() {
    for id in [SFP, X540, X550] {
        let (hw, card) = Card::new(id);
        assert_eq!(dump(&hw).unwrap(), card.state().nvm, "{id:x}");
        card.assert_all_given_back();
    }
}

#[test]
fn the_address_is_what_the_device_loaded() {
    let (hw, _card) = Card::new(SFP);
    assert_eq!(permanent_mac(&hw), Ok(MacAddr([0x02, 0x11, 0x22, 0x33, 0x44, 0x55])));
}

#[test]
fn an_address_that_no_station_can_have_is_refused() {
    for bytes in [[0; 6], [0xff; 6], [0x01, 0, 0x5e, 0, 0, 1]] {
        let (hw, card) = Card::new(SFP);
        let [a, b, c, d, e, f] = bytes;
        card.file().set(0, RAL::new(u32::from_le_bytes([a, b, c, d])));
        card.file().set(0, RAH::new(u32::from(u16::from_le_bytes([e, f]))));
        assert_eq!(permanent_mac(&hw), Err(PortError::BadMac { mac: MacAddr(bytes) }));
    }
}

#[test]
fn an_alternate_address_and_a_blank_core_section_are_no_errors() {
    let (hw, card) = Card::new(SFP);
    // The second port: its own section differs.
    card.file().set(0, STATUS::new(1 << 2));
    let mac = MacAddr([0x02, 0x11, 0x22, 0x33, 0x44, 0x55]);
    assert_eq!(permanent_mac(&hw), Ok(mac));
    for pointer in [0, 0xffff, 0x0ffe, 0x5000] {
        card.state().nvm[0x0a] = pointer;
        assert_eq!(permanent_mac(&hw), Ok(mac), "{pointer:#x}");
    }
}

#[test]
fn the_part_number_is_text_or_digits() {
    let (hw, card) = Card::new(SFP);
    let number = |hw| part_number(hw).unwrap();
    assert_eq!(number(&hw).as_deref(), Some("E66560-002"));
    card.state().nvm[0x15] = 0xe665;
    card.state().nvm[0x16] = 0x6002;
    assert_eq!(number(&hw), Some(String::from("E66560-002")));
}

#[test]
fn a_part_number_that_is_none_is_not_shown() {
    for (block, len) in [(0xd0, 0), (0xd0, 1), (0xd0, 0xffff), (0xd0, 33), (0xffe, 6), (0x9000, 6), (0, 6)] {
        let (hw, card) = Card::new(SFP);
        card.state().nvm[0x16] = block;
        if let Some(word) = card.state().nvm.get_mut(usize::from(block)) {
            *word = len;
        }
        assert_eq!(part_number(&hw), Ok(None), "{block:#x} {len:#x}");
    }
    let (hw, card) = Card::new(SFP);
    card.state().nvm[0xd2] = 0x07ff;
    assert_eq!(part_number(&hw), Ok(None), "not printable");
}

#[test]
fn versions_are_read_and_shown() {
    let (hw, card) = Card::new(SFP);
    let found = version(&hw).unwrap();
    let option_rom = Some(OptionRom { major: 1, build: 0x0342, patch: 5 });
    assert_eq!(found, NvmVersion { track_id: 0x8000_0578, firmware: Some(7), option_rom });
    assert_eq!(found.to_string(), "0x80000578, 1.834.5");
    // Without the top bit the halves are the other way round.
    card.state().nvm[0x2e] = 0x0001;
    card.state().nvm[0x17] = 0x0fff;
    card.state().nvm[0xb4] = 0x0ffb;
    let found = version(&hw).unwrap();
    assert_eq!(found, NvmVersion { track_id: 0x0578_0001, firmware: None, option_rom: None });
    assert_eq!(found.to_string(), "0x05780001");
}

#[test]
fn a_board_says_whether_its_cage_picks_itself_up() {
    let (hw, card) = Card::new(SFP);
    assert_eq!(suffers_crosstalk(&hw), Ok(false));
    card.state().nvm[0x2c] = 0;
    assert_eq!(suffers_crosstalk(&hw), Ok(true));
}

#[test]
fn a_device_that_goes_in_the_middle_is_lost() {
    let lost = Err(PortError::Device(DeviceError::Lost));
    let run = |id, accesses| {
        let (hw, card) = Card::new(id);
        card.device.registers().die_after(accesses);
        (verify_checksum(&hw), card.device.registers().log().len() as u64)
    };
    // From the X540 on the last accesses give the semaphore back, behind which nothing is decided any more.
    for (id, tail) in [(SFP, 0), (X540, 8), (X550, 8)] {
        let (whole, accesses) = run(id, u64::MAX);
        assert_eq!(whole, Ok(()));
        let last = accesses - tail;
        for accesses in (0..last).step_by(7).chain(last - 12..last) {
            assert_eq!(run(id, accesses).0, lost, "{id:x} after {accesses}");
        }
    }
    let (hw, card) = Card::new(SFP);
    card.device.registers().die_after(1000);
    assert_eq!(dump(&hw).map(|_| ()), lost);
}
