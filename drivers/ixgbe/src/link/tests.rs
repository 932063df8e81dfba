use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;

use vfio_hal::pmd::{LinkStatus, PortError};
use vfio_hal::{Clock, DeviceError};

use super::{Events, LinkConfig, Speeds, disable_laser, flap_laser, setup, status, wait};
use crate::hw::Hw;
use crate::phy::peer::{Card, KX4, SFP, X540, X550, blank_module, check};
use crate::regs::{AUTOC, AUTOC2, EICR, ESDP, FWSM, GPIE, LINKS, MANC, MMNGC, STATUS};

const UP_10G: LinkStatus = LinkStatus { up: true, speed_mbps: 10_000, full_duplex: true, autoneg: false };
const UP_1G: LinkStatus = LinkStatus { up: true, speed_mbps: 1_000, full_duplex: true, autoneg: true };

/// Puts in a module with these compliance codes.
fn plug(card: &Card, codes: &[(usize, u8)]) {
    let mut page = blank_module();
    for (at, value) in codes {
        page[*at] = *value;
    }
    check(&mut page);
    card.state().module.id = Some(page);
}

/// SR and 1000BASE-SX in one.
const DUAL: [(usize, u8); 2] = [(3, 0x10), (6, 0x01)];

fn only(speeds: Speeds) -> LinkConfig {
    LinkConfig { speeds, ..LinkConfig::default() }
}

fn forced(speeds: Speeds) -> LinkConfig {
    LinkConfig { speeds, autoneg: false }
}

/// The link modes that AUTOC was given, in order.
fn modes(card: &Card) -> Vec<u32> {
    card.state().autoc.iter().map(|autoc| autoc.lms()).collect()
}

fn up(hw: &Hw) -> LinkStatus {
    wait(hw, Duration::from_millis(100)).unwrap()
}

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
fn management_that_vetoes_keeps_the_link() {
    for id in [SFP, KX4, X540] {
        let (mut hw, card) = Card::new(id);
        card.file().set(0, MMNGC::default().with_mng_veto(true));
        setup(&mut hw, &LinkConfig::default()).unwrap();
        assert!(card.state().autoc.is_empty());
        disable_laser(&mut hw).unwrap();
        assert!(!card.file().get::<ESDP>(0).sdp3());
    }
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
fn speeds_that_cannot_be_are_errors_before_anything_is_written() {
    let cases: [(u16, LinkConfig); 6] = [
        (SFP, only(Speeds::GB1)),
        (SFP, only(Speeds::NONE)),
        (SFP, forced(Speeds::GB10 | Speeds::GB1)),
        (SFP, forced(Speeds::NONE)),
        (KX4, only(Speeds::MB100)),
        (KX4, forced(Speeds::ALL)),
    ];
    for (id, config) in cases {
        let (mut hw, card) = Card::new(id);
        let result = setup(&mut hw, &config);
        assert!(
            matches!(result, Err(PortError::Unsupported { .. } | PortError::Invalid { .. })),
            "{config:?}"
        );
        assert!(card.state().autoc.is_empty());
    }
}

#[test]
fn a_backplane_advertises_what_board_and_user_agree_on() {
    let kx4_kx_kr = AUTOC::new(0xc09c_8284).with_kr_support(true);
    for (speeds, kx4, kx, kr) in [
        (Speeds::ALL, true, true, true),
        (Speeds::GB10, true, false, true),
        (Speeds::GB1, false, true, false),
    ] {
        let (mut hw, card) = Card::new(KX4);
        card.file().set(0, kx4_kx_kr);
        card.state().partner = [4].into();
        setup(&mut hw, &only(speeds)).unwrap();
        let autoc = card.file().get::<AUTOC>(0);
        assert_eq!((autoc.kx4_support(), autoc.kx_support(), autoc.kr_support()), (kx4, kx, kr));
        assert_eq!(modes(&card), [0, 4]);
        assert!(up(&hw).autoneg);
    }
    // What the board does not have is not advertised either.
    let (mut hw, card) = Card::new(KX4);
    card.file().set(0, kx4_kx_kr.with_kr_support(false).with_kx_support(false));
    setup(&mut hw, &LinkConfig::default()).unwrap();
    let autoc = card.file().get::<AUTOC>(0);
    assert!(autoc.kx4_support() && !autoc.kx_support() && !autoc.kr_support());
}

#[test]
fn a_backplane_can_be_forced_to_what_it_is_wired_for() {
    let kx4 = AUTOC::new(0xc09c_8284);
    let kr = kx4.with_kx4_support(false).with_kr_support(true);
    for (autoc, config, lms) in
        [(kx4, forced(Speeds::GB10), 1), (kx4, forced(Speeds::GB1), 0), (kr, forced(Speeds::GB10), 3)]
    {
        let (mut hw, card) = Card::new(KX4);
        card.file().set(0, autoc);
        card.state().partner = [lms].into();
        setup(&mut hw, &config).unwrap();
        assert_eq!(card.file().get::<AUTOC>(0).lms(), lms);
        assert!(lms != 0 || card.file().get::<AUTOC>(0).pma_pmd_1g(), "1 Gb/s is KX");
        assert!(up(&hw).up && !up(&hw).autoneg);
    }
    // SFI behind a backplane is not KR.
    let (mut hw, card) = Card::new(KX4);
    card.file().set(0, kr);
    card.file().set(0, AUTOC2::default().with_pma_pmd_10g_serial(2));
    assert!(matches!(setup(&mut hw, &forced(Speeds::GB10)), Err(PortError::Unsupported { .. })));
}

#[test]
fn copper_negotiates_through_its_phy() {
    let (mut hw, card) = Card::new(X540);
    card.state().phy = Some(0);
    card.state().mdio.insert((1, 2), 0x0154);
    card.state().mdio.insert((1, 4), 1 << 0 | 1 << 4);
    setup(&mut hw, &only(Speeds::GB10)).unwrap();
    assert_eq!(card.state().mdio[&(7, 0x20)], 1 << 12);
    assert_eq!(card.state().mdio[&(7, 0xc400)], 0);
    assert!(matches!(setup(&mut hw, &forced(Speeds::GB10)), Err(PortError::Unsupported { .. })));
    assert!(matches!(setup(&mut hw, &only(Speeds::MB100)), Err(PortError::Unsupported { .. })));
}

#[test]
fn status_is_of_now_not_of_the_past() {
    let (hw, card) = Card::new(SFP);
    let link = LINKS::default().with_link_up(true).with_link_speed(3);
    card.file().set(0, link);
    // The link was lost and is back: the first read still tells of the loss.
    card.device.registers().answer(0, [LINKS::default()]);
    assert!(status(&hw).unwrap().up);
    // And the other way round.
    card.file().set(0, LINKS::default());
    card.device.registers().answer(0, [link]);
    assert!(!status(&hw).unwrap().up);
}

#[test]
fn speeds_are_decoded_for_the_chip() {
    const OTHER: u32 = 1 << 27;
    for (id, speed, other, mbps) in [
        (SFP, 3, 0, 10_000),
        (SFP, 2, 0, 1_000),
        (SFP, 1, 0, 100),
        (SFP, 3, OTHER, 10_000),
        (X550, 3, OTHER, 2_500),
        (X550, 1, OTHER, 5_000),
        (X550, 1, 0, 100),
    ] {
        let (hw, card) = Card::new(id);
        card.file().set(0, LINKS::new(1 << 30 | speed << 28 | other));
        let found = status(&hw).unwrap();
        assert_eq!((found.up, found.speed_mbps), (true, mbps), "{id:x} {speed} {other:x}");
    }
    let (hw, card) = Card::new(SFP);
    card.file().set(0, LINKS::default().with_link_up(true));
    assert_eq!(status(&hw), Ok(LinkStatus::default()), "without a speed it is not up");
}

#[test]
fn a_link_that_an_empty_cage_picks_up_by_crosstalk_is_none() {
    let (hw, card) = Card::new(SFP);
    card.state().nvm[0x2c] = 0;
    card.file().set(0, LINKS::default().with_link_up(true).with_link_speed(3));
    assert_eq!(status(&hw), Ok(LinkStatus::default()), "SDP2 says that the cage is empty");
    card.file().set(0, ESDP::default().with_sdp2(true));
    assert!(status(&hw).unwrap().up);
    // A spurious link is gone at the second look.
    let flash = LINKS::default().with_link_up(true).with_link_speed(3);
    card.file().set(0, LINKS::default());
    card.device.registers().answer(0, [flash, flash]);
    assert_eq!(status(&hw), Ok(LinkStatus::default()));
}

#[test]
fn waiting_ends_with_the_link_or_the_limit() {
    let (hw, card) = Card::new(SFP);
    let file = card.file().clone();
    card.clock.hook(move |now| {
        if now >= Duration::from_millis(333) {
            file.set(0, LINKS::default().with_link_up(true).with_link_speed(3));
        }
    });
    assert!(!wait(&hw, Duration::ZERO).unwrap().up);
    assert!(!wait(&hw, Duration::from_millis(100)).unwrap().up);
    assert_eq!(card.clock.now(), Duration::from_millis(100));
    assert!(wait(&hw, Duration::from_secs(9)).unwrap().up);
    assert!(card.clock.now() < Duration::from_millis(350), "{:?}", card.clock.now());
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

#[test]
fn events_are_told_apart_and_pins_mean_something_with_a_cage_only() {
    let (sfp, _) = Card::new(SFP);
    let (copper, _) = Card::new(X540);
    let all = EICR::default().with_lsc(true).with_gpi_sdp1(true).with_gpi_sdp2(true);
    assert_eq!(Events::of(sfp.model, all), Events { link: true, module: true, signal: true });
    assert_eq!(Events::of(copper.model, all), Events { link: true, ..Events::default() });
    let module = EICR::default().with_gpi_sdp2(true);
    assert_eq!(Events::of(sfp.model, module), Events { module: true, ..Events::default() });
    assert_eq!(Events::of(sfp.model, EICR::default()), Events::default());
    for hw in [&sfp, &copper] {
        let unmasked = Events::causes(hw.model);
        assert_eq!(Events::of(hw.model, all), Events::of(hw.model, EICR::new(unmasked.bits())));
        let pins = Events::pins(hw.model, GPIE::default().with_eiame(true));
        assert!(pins.eiame());
        assert_eq!(pins.sdp2_gpien(), unmasked.gpi_sdp2());
        assert_eq!(pins.sdp1_gpien(), unmasked.gpi_sdp1());
    }
}

#[test]
fn a_device_that_goes_in_the_middle_is_lost() {
    let run = |id, codes: &[(usize, u8)], accesses: u64| {
        let (mut hw, card) = Card::new(id);
        if id == SFP {
            plug(&card, codes);
        }
        card.device.registers().die_after(accesses);
        let result = setup(&mut hw, &LinkConfig::default());
        (result, card.device.registers().log().len() as u64)
    };
    for (id, codes) in [(SFP, &DUAL[..]), (SFP, &[(8, 0x04)]), (KX4, &[])] {
        let (whole, accesses) = run(id, codes, u64::MAX);
        assert_eq!(whole, Ok(()));
        // The last few are flushes, behind which nothing is decided any more.
        let tail = accesses.saturating_sub(400);
        for accesses in (0..tail).step_by(997).chain((tail..accesses - 4).step_by(7)) {
            let (result, _) = run(id, codes, accesses);
            assert_eq!(result, Err(PortError::Device(DeviceError::Lost)), "{id:x} after {accesses}");
        }
    }
    let (hw, card) = Card::new(SFP);
    card.device.registers().die_after(2);
    assert_eq!(status(&hw), Err(PortError::Device(DeviceError::Lost)));
}

#[test]
fn speeds_read_well() {
    assert_eq!(Speeds::ALL.to_string(), "10G, 5G, 2.5G, 1G, 100M");
    assert_eq!((Speeds::GB10 | Speeds::GB1).to_string(), "10G, 1G");
    assert_eq!(Speeds::NONE.to_string(), "none");
    assert_eq!(Speeds::ALL & Speeds::GB1, Speeds::GB1);
    assert!(Speeds::ALL.contains(Speeds::NONE) && !Speeds::NONE.contains(Speeds::GB1));
    assert_eq!((Speeds::GB1 | Speeds::MB100).count(), 2);
}

#[test]
fn a_module_that_is_changed_is_set_up_by_the_interrupt() {
    use crate::regs::EICR;
    let (mut hw, card) = Card::new(SFP);
    let config = LinkConfig::default();
    card.state().module.id = None;
    setup(&mut hw, &config).unwrap();
    let module = EICR::default().with_gpi_sdp2(true);
    // Nothing happened, then something that is not about the link.
    assert_eq!(super::service(&mut hw, &config), Ok(LinkStatus::default()));
    card.file().set(0, EICR::default().with_rtx_queue(1).with_mailbox(true));
    assert_eq!(super::service(&mut hw, &config), Ok(LinkStatus::default()));
    assert!(card.state().autoc.is_empty());
    plug(&card, &[(3, 0x10)]);
    card.file().set(0, module);
    super::service(&mut hw, &config).unwrap();
    assert_eq!(up(&hw), UP_10G);
    // One that cannot be used is reported.
    plug(&card, &[]);
    assert!(matches!(super::service(&mut hw, &config), Err(PortError::Module { .. })));
}

#[test]
fn a_lost_signal_tries_the_speeds_again_only_while_the_link_is_down() {
    use crate::regs::EICR;
    let (mut hw, card) = Card::new(SFP);
    plug(&card, &DUAL);
    setup(&mut hw, &LinkConfig::default()).unwrap();
    card.file().set(0, EICR::default().with_gpi_sdp1(true));
    assert_eq!(super::service(&mut hw, &LinkConfig::default()), Ok(UP_10G));
    assert_eq!(modes(&card), [7, 3]);
    card.file().set(0, LINKS::default());
    card.state().partner = [2].into();
    assert_eq!(super::service(&mut hw, &LinkConfig::default()), Ok(UP_1G));
}
