//! The link against a card that behaves, or misbehaves as a test says.

mod fibre;
mod status;

use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;

use vfio_hal::pmd::{LinkStatus, PortError};
use vfio_hal::{Clock, DeviceError};

use super::{Events, LinkConfig, Speeds, disable_laser, flap_laser, service, setup, status, wait};
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
