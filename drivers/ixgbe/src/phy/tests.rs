use alloc::string::ToString;
use core::time::Duration;

use vfio_hal::pmd::PortError;
use vfio_hal::testing::Access;
use vfio_hal::{Clock, DeviceError};

use super::mdio::{Negotiation, Phy};
use super::peer::{Card, KX4, SFP, X540, X550, blank_module, check, sr};
use super::{ModuleKind, identify, module_eeprom};
use crate::link::Speeds;
use crate::regs::I2CCTL;

fn reason(result: Result<impl core::fmt::Debug, PortError>) -> &'static str {
    match result {
        Err(PortError::Module { reason }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_empty_cage_is_absent_after_the_time_a_module_may_take() {
    let (mut hw, card) = Card::new(SFP);
    card.state().module.id = None;
    let module = identify(&mut hw).unwrap();
    assert_eq!((module.kind(), module.identification()), (ModuleKind::Absent, None));
    assert!(card.clock.now() >= Duration::from_millis(400) && card.clock.now() < Duration::from_millis(500));
    assert_eq!(reason(module_eeprom(&mut hw)), "the cage is empty");
    card.assert_all_given_back();
}

#[test]
fn a_clock_line_that_is_held_down_is_named_and_ends() {
    let (mut hw, card) = Card::new(SFP);
    card.state().module.clock_stuck = true;
    assert!(reason(identify(&mut hw)).contains("clock line"));
    assert!(card.clock.now() < Duration::from_secs(1), "{:?}", card.clock.now());
    card.assert_all_given_back();
}

#[test]
fn a_data_line_that_is_held_down_is_named_and_ends() {
    let (mut hw, card) = Card::new(SFP);
    card.state().module.data_stuck = true;
    assert!(reason(identify(&mut hw)).contains("data line"));
    assert!(card.clock.now() < Duration::from_secs(1), "{:?}", card.clock.now());
    card.assert_all_given_back();
}

#[test]
fn a_module_that_is_pulled_out_while_it_is_read_is_named() {
    for answers in [4, 5, 6, 9, 14] {
        let (mut hw, card) = Card::new(SFP);
        card.state().module.answers = answers;
        assert!(reason(identify(&mut hw)).contains("stopped answering"), "after {answers}");
        card.assert_all_given_back();
    }
}

#[test]
fn a_bus_left_in_the_middle_of_a_byte_is_cleared() {
    let (mut hw, card) = Card::new(SFP);
    card.state().module.abandon();
    card.file().set(0, I2CCTL::new(0xf).with_data_in(false));
    assert_eq!(identify(&mut hw).unwrap().kind(), ModuleKind::Sr);
}

#[test]
fn a_module_that_stretches_the_clock_is_waited_for() {
    let (mut hw, card) = Card::new(SFP);
    card.state().module.stretch = Duration::from_micros(500);
    assert_eq!(identify(&mut hw).unwrap().kind(), ModuleKind::Sr);
}

#[test]
fn a_module_that_stretches_the_clock_for_ever_is_not() {
    let (mut hw, card) = Card::new(SFP);
    card.state().module.stretch = Duration::from_secs(10);
    assert!(reason(identify(&mut hw)).contains("clock line"));
    card.assert_all_given_back();
}

#[test]
fn a_module_that_boots_is_waited_for() {
    let (mut hw, card) = Card::new(SFP);
    card.state().module.ready_at = Duration::from_millis(300);
    assert_eq!(identify(&mut hw).unwrap().kind(), ModuleKind::Sr);
}

#[test]
fn what_answers_and_is_no_sfp_is_refused() {
    for identifier in [0x00, 0x0d, 0xff] {
        let (mut hw, card) = Card::new(SFP);
        let mut page = sr();
        page[0] = identifier;
        check(&mut page);
        card.state().module.id = Some(page);
        assert!(reason(identify(&mut hw)).contains("identifier"));
    }
}

#[test]
fn an_identification_with_a_wrong_check_code_is_refused() {
    let (mut hw, card) = Card::new(SFP);
    let mut page = sr();
    page[25] ^= 1;
    card.state().module.id = Some(page);
    assert!(reason(identify(&mut hw)).contains("CC_BASE"));
    assert!(reason(module_eeprom(&mut hw)).contains("CC_BASE"));
    card.assert_all_given_back();
}

#[test]
fn a_wrong_check_code_of_the_rest_costs_the_diagnostics_only() {
    let (mut hw, card) = Card::new(SFP);
    let mut page = sr();
    page[70] ^= 1;
    card.state().module.id = Some(page);
    let module = identify(&mut hw).unwrap();
    let identification = module.identification().unwrap();
    assert!(identification.base_valid() && !identification.extended_valid());
    assert!(!identification.has_diagnostics());
    assert_eq!(module_eeprom(&mut hw).unwrap().len(), 256);
}

#[test]
fn a_module_that_answers_only_single_bytes_right_is_read_byte_by_byte() {
    let (mut hw, card) = Card::new(SFP);
    card.state().module.single = true;
    assert_eq!(identify(&mut hw).unwrap().kind(), ModuleKind::Sr);
}

#[test]
fn kinds_follow_the_compliance_codes_and_cables_come_first() {
    use ModuleKind::*;
    type Case = (&'static [(usize, u8)], Option<ModuleKind>, Speeds);
    let cases: [Case; 13] = [
        (&[(3, 0x10)], Some(Sr), Speeds::GB10),
        (&[(3, 0x20)], Some(Lr), Speeds::GB10),
        (&[(3, 0x10), (6, 0x01)], Some(Sr), Speeds::GB10 | Speeds::GB1),
        (&[(3, 0x20), (6, 0x02)], Some(Lr), Speeds::GB10 | Speeds::GB1),
        // SR with 1000BASE-LX is not a combination there is a rate select for.
        (&[(3, 0x10), (6, 0x02)], Some(Sr), Speeds::GB10),
        (&[(8, 0x04)], Some(PassiveCable), Speeds::GB10),
        (&[(8, 0x08), (60, 0x04)], Some(ActiveCable), Speeds::GB10),
        (&[(8, 0x04), (3, 0x10), (6, 0x01)], Some(PassiveCable), Speeds::GB10),
        (&[(6, 0x01)], Some(Sx), Speeds::GB1),
        (&[(6, 0x02)], Some(Lx), Speeds::GB1),
        (&[(6, 0x08)], Some(T), Speeds::GB1),
        (&[(8, 0x08), (60, 0x01)], None, Speeds::NONE),
        (&[(3, 0x80)], None, Speeds::NONE),
    ];
    for (codes, kind, speeds) in cases {
        let (mut hw, card) = Card::new(SFP);
        let mut page = blank_module();
        for (at, value) in codes {
            page[*at] = *value;
        }
        check(&mut page);
        card.state().module.id = Some(page);
        let result = identify(&mut hw);
        match kind {
            Some(kind) => {
                let module = result.unwrap();
                assert_eq!((module.kind(), module.speeds()), (kind, speeds), "{codes:?}");
            }
            None => assert!(reason(result).contains("none of"), "{codes:?}"),
        }
    }
}

#[test]
fn names_are_shown_without_padding_and_garbage() {
    let (mut hw, _card) = Card::new(SFP);
    let module = identify(&mut hw).unwrap();
    let it = module.identification().unwrap();
    assert_eq!(it.vendor().to_string(), "Maker");
    assert_eq!(it.part().to_string(), "PART-1");
    assert_eq!(it.serial().to_string(), "SER14L?");
    assert_eq!(it.revision().to_string(), "", "padded with zeros");
    assert_eq!(it.oui(), [0x00, 0x1b, 0x21]);
}

#[test]
fn a_dump_has_both_pages_where_there_are_two() {
    let (mut hw, card) = Card::new(SFP);
    let memory = module_eeprom(&mut hw).unwrap();
    assert_eq!(memory[..256], sr());
    assert!(memory[256..].iter().zip(0..=255).all(|(byte, at)| *byte == at), "{memory:x?}");
    // Without diagnostics by its own word, and with an address change that would be needed.
    for (at, value) in [(94, 0), (92, 0x6c)] {
        let mut page = sr();
        page[at] = value;
        check(&mut page);
        card.state().module.id = Some(page);
        assert_eq!(module_eeprom(&mut hw).unwrap(), page);
    }
}

#[test]
fn a_dump_fails_when_the_second_page_does_not_answer() {
    let (mut hw, card) = Card::new(SFP);
    card.state().module.diagnostics = None;
    assert!(reason(module_eeprom(&mut hw)).contains("stopped answering"));
}

#[test]
fn pulses_are_as_long_as_the_bus_wants() {
    let (mut hw, card) = Card::new(SFP);
    identify(&mut hw).unwrap();
    let [low, high] = {
        // The clock rose after it was low, and fell after it was high.
        let [fell, rose] = card.state().module.shortest;
        [rose, fell]
    };
    assert!(low >= Duration::from_nanos(4_700), "{low:?}");
    assert!(high >= Duration::from_micros(4), "{high:?}");
    assert!(card.state().module.stops >= 7, "every transfer ends");
    // Specification update, software clarification 3: each write is read back before its time is waited for.
    let pins = |access: &Access| match access {
        Access::Read { offset, .. } | Access::Write { offset, .. } => *offset == 0x28,
    };
    let log = card.device.registers().log();
    let mut log = log.iter().filter(|access| pins(access)).peekable();
    while let Some(access) = log.next() {
        if matches!(access, Access::Write { .. }) {
            assert!(matches!(log.peek(), Some(Access::Read { .. })));
        }
    }
}

#[test]
fn ports_without_a_cage_have_a_fixed_medium() {
    for id in [KX4, X540, X550] {
        let (mut hw, card) = Card::new(id);
        assert_eq!(identify(&mut hw).unwrap().kind(), ModuleKind::Fixed);
        assert!(matches!(module_eeprom(&mut hw), Err(PortError::Unsupported { .. })));
        assert!(card.device.registers().log().is_empty());
    }
}

#[test]
fn a_device_that_goes_in_the_middle_is_lost() {
    let accesses = {
        let (mut hw, card) = Card::new(SFP);
        identify(&mut hw).unwrap();
        card.device.registers().log().len() as u64
    };
    // The last eight give the semaphore back, behind which nothing is decided any more.
    for accesses in (0..accesses - 8).step_by(307).chain(accesses - 30..accesses - 8) {
        let (mut hw, card) = Card::new(SFP);
        card.device.registers().die_after(accesses);
        let result = identify(&mut hw);
        assert_eq!(result, Err(PortError::Device(DeviceError::Lost)), "after {accesses}");
    }
}

#[test]
fn a_device_of_all_ones_is_an_empty_cage_at_worst() {
    let (mut hw, card) = Card::new(SFP);
    card.device.registers().react(|_, file| {
        for offset in [0x28, 0x10140, 0x10160] {
            file.write32(offset, u32::MAX);
        }
    });
    for offset in [0x28, 0x10140, 0x10160] {
        card.file().write32(offset, u32::MAX);
    }
    let result = identify(&mut hw);
    assert!(matches!(result, Err(PortError::Device(DeviceError::Timeout { .. }))), "{result:?}");
}

#[test]
fn a_copper_phy_is_found_and_negotiates() {
    for (id, address) in [(X540, 0), (X550, 31)] {
        let (hw, card) = Card::new(id);
        card.state().phy = Some(address);
        card.state().mdio.insert((1, 2), 0x0154);
        card.state().mdio.insert((1, 4), 1 << 0 | 1 << 4 | 1 << 5);
        card.state().mdio.insert((7, 0x10), 0xffff);
        let phy = Phy::find(&hw).unwrap();
        let three = Speeds::GB10 | Speeds::GB1 | Speeds::MB100;
        let possible = if id == X550 { three | Speeds::GB5 | Speeds::GB2_5 } else { three };
        assert_eq!(phy.speeds(), Ok(possible));
        phy.negotiate(Speeds::GB1 | Speeds::GB5).unwrap();
        let register = |at| card.state().mdio[&(7, at)];
        assert_eq!(register(0x20) & 1 << 12, 0);
        assert_eq!(register(0xc400), if id == X550 { 1 << 15 | 1 << 11 } else { 1 << 15 });
        assert_eq!(register(0x10), !(1 << 8 | 1 << 7), "nothing else is touched");
        assert_eq!(register(0), 1 << 9, "negotiation starts");
        card.assert_all_given_back();
    }
}

#[test]
fn what_negotiation_came_to_is_read() {
    let (hw, card) = Card::new(X540);
    card.state().phy = Some(0);
    card.state().mdio.insert((1, 2), 0x0154);
    let phy = Phy::find(&hw).unwrap();
    for (status, result, complete, speed_mbps, full_duplex) in [
        (0, 7, false, 0, false),
        (1 << 5 | 1 << 2, 7, true, 10_000, true),
        (1 << 5 | 1 << 2, 5, true, 1_000, true),
        (1 << 2, 2, false, 100, false),
    ] {
        card.state().mdio.insert((7, 1), status);
        card.state().mdio.insert((7, 0xc800), result);
        let link = status & 1 << 2 != 0;
        assert_eq!(phy.negotiation(), Ok(Negotiation { complete, link, speed_mbps, full_duplex }));
    }
}

#[test]
fn an_mdio_bus_without_a_phy_or_without_end_is_an_error() {
    let (hw, card) = Card::new(X540);
    assert!(matches!(Phy::find(&hw).err(), Some(PortError::Device(DeviceError::Unsupported { .. }))));
    card.state().mdio_hangs = true;
    let what = "MDIO command (MSCA.MDICMD)";
    let timeout = PortError::Device(DeviceError::Timeout { what, millis: 10 });
    assert_eq!(Phy::find(&hw).err(), Some(timeout));
    card.assert_all_given_back();
}
