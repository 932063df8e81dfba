//! SFP+ cages.

use super::*;

#[test]
fn an_empty_cage_is_a_link_that_is_down() {
    let (mut hw, card) = Card::new(SFP);
    card.state().module.id = None;
    setup(&mut hw, &LinkConfig::default()).unwrap();
    assert_eq!(up(&hw), LinkStatus::default());
    assert!(card.state().autoc.is_empty());
}

#[test]
fn an_unusable_module_is_an_error() {
    let (mut hw, card) = Card::new(SFP);
    plug(&card, &[]);
    assert!(matches!(setup(&mut hw, &LinkConfig::default()), Err(PortError::Module { .. })));
    assert!(card.state().autoc.is_empty());
    card.assert_all_given_back();
}

#[test]
fn a_10g_module_comes_up_through_a_pipeline_reset() {
    let (mut hw, card) = Card::new(SFP);
    card.file().set(0, ESDP::default().with_sdp3(true));
    setup(&mut hw, &LinkConfig::default()).unwrap();
    assert_eq!(modes(&card), [3 ^ 4, 3], "the mode is flipped and put back");
    assert!(card.state().autoc.iter().all(|autoc| autoc.restart_an()));
    assert!(!card.file().get::<ESDP>(0).sdp3(), "the laser is on");
    assert_eq!(up(&hw), UP_10G);
    card.assert_all_given_back();
}

#[test]
fn the_analog_core_is_told_what_the_eeprom_lists_for_the_module_and_the_port() {
    let sr: &[(usize, u8)] = &[(3, 0x10)];
    let cable: &[(usize, u8)] = &[(8, 0x04)];
    let sx: &[(usize, u8)] = &[(6, 0x01)];
    for (codes, values) in [(sr, &[0x0d24, 0x0e31][..]), (cable, &[0x0c10]), (sx, &[0x0d24, 0x0e31])] {
        for port in [0, 1] {
            let (mut hw, card) = Card::new(SFP);
            plug(&card, codes);
            card.file().set(0, STATUS::new(port << 2));
            setup(&mut hw, &LinkConfig::default()).unwrap();
            assert_eq!(card.state().corectl, values);
        }
    }
}

#[test]
fn a_kind_that_the_board_does_not_list_or_forbids_is_not_set_up() {
    for (word, value) in [(0xe5, 9), (0xe6, 0xffff), (0xe6, 0)] {
        let (mut hw, card) = Card::new(SFP);
        card.state().nvm[word] = value;
        let result = setup(&mut hw, &LinkConfig::default());
        assert!(matches!(result, Err(PortError::Module { .. })), "{result:?}");
        assert!(card.state().autoc.is_empty() && card.state().corectl.is_empty());
        card.assert_all_given_back();
    }
}

#[test]
fn a_board_without_a_list_needs_none() {
    for pointer in [0, 0xffff, 0x2000] {
        let (mut hw, card) = Card::new(SFP);
        card.state().nvm[0x2b] = pointer;
        setup(&mut hw, &LinkConfig::default()).unwrap();
        assert!(card.state().corectl.is_empty());
        assert_eq!(up(&hw), UP_10G);
    }
}

#[test]
fn lists_without_end_end_in_an_error() {
    // A list of other kinds up to the end of the EEPROM; values up to the end of it; a pointer at its last word.
    let fill = |nvm: &mut [u16], from: usize| nvm[from..].fill(0x0c10);
    for case in 0..4 {
        let (mut hw, card) = Card::new(SFP);
        {
            let nvm = &mut card.state().nvm;
            match case {
                0 => fill(nvm, 0xe1),
                1 => fill(nvm, 0xf4),
                2 => nvm[0x2b] = 0x0fff,
                _ => nvm[0xe6] = 0x0fff,
            }
        }
        let result = setup(&mut hw, &LinkConfig::default());
        assert!(matches!(result, Err(PortError::Invalid { .. })), "{case}: {result:?}");
        assert!(card.state().autoc.is_empty());
        assert!(card.state().corectl.len() <= 1024);
        card.assert_all_given_back();
    }
}

#[test]
fn a_pipeline_that_stays_in_reset_is_a_timeout_with_the_mode_put_back() {
    let (mut hw, card) = Card::new(SFP);
    card.state().pipeline_stuck = true;
    let result = setup(&mut hw, &LinkConfig::default());
    let timeout = matches!(result, Err(PortError::Device(DeviceError::Timeout { millis: 40, .. })));
    assert!(timeout, "{result:?}");
    assert_eq!(modes(&card), [7, 3]);
    card.assert_all_given_back();
}

#[test]
fn firmware_with_its_own_link_state_machine_is_kept_out() {
    let (mut hw, card) = Card::new(SFP);
    {
        let nvm = &mut card.state().nvm;
        nvm[0xb2] = 0x300;
        nvm[0x301] = 0x8000;
    }
    // With firmware that never lets it go, the claim shows as the time it takes to take it over.
    setup(&mut hw, &LinkConfig::default()).unwrap();
    let free = card.clock.now();
    card.state().autoc.clear();
    card.file().set(0, crate::regs::SW_FW_SYNC::default().with_fw_mac_csr(true));
    let before = card.clock.now();
    setup(&mut hw, &LinkConfig::default()).unwrap();
    // Once for the analog core, once for AUTOC.
    assert!(card.clock.now() - before >= free + Duration::from_secs(2));
    card.assert_all_given_back();
}

#[test]
fn a_disabled_link_is_enabled() {
    let (mut hw, card) = Card::new(SFP);
    card.file().set(0, AUTOC2::default().with_pma_pmd_10g_serial(2).with_link_disable(7));
    setup(&mut hw, &LinkConfig::default()).unwrap();
    assert_eq!(card.file().get::<AUTOC2>(0).link_disable(), 0);
}

#[test]
fn a_board_that_is_not_wired_for_sfi_is_an_error() {
    let (mut hw, card) = Card::new(SFP);
    card.file().set(0, AUTOC2::default());
    assert!(matches!(setup(&mut hw, &LinkConfig::default()), Err(PortError::Unsupported { .. })));
    card.assert_all_given_back();
}

#[test]
fn two_speeds_are_tried_the_higher_first() {
    let (mut hw, card) = Card::new(SFP);
    plug(&card, &DUAL);
    setup(&mut hw, &LinkConfig::default()).unwrap();
    assert_eq!(modes(&card), [7, 3]);
    let esdp = card.file().get::<ESDP>(0);
    assert!(esdp.sdp5() && esdp.iodir() & 1 << 5 != 0 && !esdp.sdp3());
    assert_eq!(status(&hw), Ok(UP_10G));
}

#[test]
fn a_partner_of_the_lower_speed_is_found() {
    for partner in [0, 2] {
        let (mut hw, card) = Card::new(SFP);
        plug(&card, &DUAL);
        card.state().partner = [partner].into();
        let config = if partner == 0 { forced(Speeds::GB1) } else { LinkConfig::default() };
        setup(&mut hw, &config).unwrap();
        assert_eq!(card.file().get::<AUTOC>(0).lms(), partner);
        let esdp = card.file().get::<ESDP>(0);
        assert!(!esdp.sdp5() && esdp.iodir() & 1 << 5 != 0);
        assert_eq!(status(&hw), Ok(LinkStatus { autoneg: partner == 2, ..UP_1G }));
    }
}

#[test]
fn without_a_partner_two_speeds_end_at_the_higher_in_time() {
    let (mut hw, card) = Card::new(SFP);
    plug(&card, &DUAL);
    card.state().partner.clear();
    setup(&mut hw, &LinkConfig::default()).unwrap();
    assert_eq!(modes(&card), [7, 3, 2 ^ 4, 2, 7, 3]);
    assert!(card.file().get::<ESDP>(0).sdp5());
    assert_eq!(status(&hw), Ok(LinkStatus::default()));
    assert!(card.clock.now() < Duration::from_secs(2), "{:?}", card.clock.now());
}

#[test]
fn one_speed_of_two_is_one_attempt() {
    let (mut hw, card) = Card::new(SFP);
    plug(&card, &DUAL);
    card.state().partner.clear();
    setup(&mut hw, &only(Speeds::GB1)).unwrap();
    assert_eq!(modes(&card), [6, 2]);
    assert!(card.clock.now() < Duration::from_millis(500), "nobody waits for it");
}

#[test]
fn the_laser_goes_off_and_on_and_is_not_ours_with_management() {
    let (mut hw, card) = Card::new(SFP);
    disable_laser(&mut hw).unwrap();
    assert!(card.file().get::<ESDP>(0).sdp3());
    assert!(card.clock.now() >= Duration::from_micros(100));
    flap_laser(&mut hw).unwrap();
    assert!(!card.file().get::<ESDP>(0).sdp3());
    assert!(card.clock.now() >= Duration::from_millis(100));
    card.file().set(0, FWSM::new(2 << 1));
    card.file().set(0, MANC::default().with_rcv_tco_en(true));
    disable_laser(&mut hw).unwrap();
    assert!(!card.file().get::<ESDP>(0).sdp3());
    let (mut hw, card) = Card::new(KX4);
    flap_laser(&mut hw).unwrap();
    assert!(!card.file().get::<ESDP>(0).sdp3() && card.clock.now() == Duration::ZERO);
}
