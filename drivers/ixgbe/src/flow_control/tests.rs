//! Flow control at the level of registers, and the arithmetic behind it.

extern crate std;

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use std::sync::Mutex;

use vfio_hal::DeviceError;
use vfio_hal::regs::Register;
use vfio_hal::testing::{Access, FakeDevice, RegisterFile};

use super::*;
use crate::hw::Chip;
use crate::regs::{ANLP1, AUTOC, LINKS, LINKS2, MSCA, MSRWD, PCS1GANA, PCS1GANLP, PCS1GLSTA};
use crate::testing::{SFP, X540, bench, written};
use pmd_intel::pause::Offer;

const BACKPLANE: u16 = 0x10f7;
const MODES: [FlowControl; 4] = [FlowControl::Off, FlowControl::Rx, FlowControl::Tx, FlowControl::Full];

fn packet_buffer(registers: &RegisterFile, kib: u32) {
    registers.set(0, RXPBSIZE::default().with_size(kib));
}

/// Returns what the device does with pause frames: sends them, obeys them.
fn in_force(registers: &RegisterFile) -> (bool, bool) {
    (registers.get::<FCCFG>(0).tfce() == 1, registers.get::<MFLCN>(0).rfce())
}

#[test]
fn each_mode_sends_and_obeys_what_it_says() {
    for (mode, expected) in
        MODES.into_iter().zip([(false, false), (false, true), (true, false), (true, true)])
    {
        let (mut hw, device) = bench(SFP);
        let registers = device.registers().registers();
        packet_buffer(registers, 512);
        // As priority flow control would leave it.
        registers.set(0, MFLCN::default().with_rpfce(true).with_pmcf(true));
        registers.set(0, FCCFG::default().with_tfce(2));
        assert_eq!(apply(&mut hw, mode, 1500), Ok(mode));
        assert_eq!(in_force(registers), expected, "{mode:?}");
        let mflcn = registers.get::<MFLCN>(0);
        assert!(mflcn.dpf() && !mflcn.rpfce() && !mflcn.pmcf());
        let (low, high) = (registers.get::<FCRTL>(0), registers.get::<FCRTH>(0));
        assert_eq!((low.xone(), high.fcen()), (expected.0, expected.0));
        // In bytes, bits 18:5.
        let levels = if expected.0 { (10 << 10, 497 << 10) } else { (0, 488 << 10) };
        assert_eq!((low.rtl() << 5, high.rth() << 5), levels);
        for class in 1..8 {
            assert_eq!((registers.get::<FCRTL>(class).bits(), registers.get::<FCRTH>(class).bits()), (0, 0));
        }
        assert!((0..4).all(|pair| registers.get::<FCTTV>(pair).bits() == 0x0680_0680));
        assert_eq!(registers.get::<FCRTV>(0).refresh(), 0x340);
    }
}

#[test]
fn levels_leave_room_for_what_is_under_way() {
    // What the macros of Linux and DPDK come to.
    let levels = |chip, size, mtu| Levels::new(chip, size, mtu).unwrap();
    assert_eq!(levels(Chip::I82599, 512, 1500), Levels { high: 497, low: 10 });
    assert_eq!(levels(Chip::I82599, 512, 9000), Levels { high: 471, low: 39 });
    assert_eq!(levels(Chip::I82599, 512, 15_854), Levels { high: 448, low: 66 });
    assert_eq!(levels(Chip::X540, 384, 1500), Levels { high: 362, low: 5 });
    let mut last = u32::MAX;
    for mtu in (68..=15_854).step_by(997) {
        let Levels { high, low } = levels(Chip::I82599, 512, mtu);
        assert!(high > low && low > 0 && high <= last, "MTU {mtu}");
        last = high;
    }
}

#[test]
fn a_packet_buffer_that_is_too_small_changes_nothing() {
    let (mut hw, device) = bench(SFP);
    let registers = device.registers().registers();
    packet_buffer(registers, 64);
    apply(&mut hw, FlowControl::Full, 1500).unwrap();
    let before = in_force(registers);
    device.registers().take_log();
    assert!(matches!(apply(&mut hw, FlowControl::Tx, 9000), Err(PortError::Invalid { .. })));
    assert_eq!(in_force(registers), before);
    assert!(written::<FCRTH>(&device.registers().take_log()).is_empty());
    assert_eq!(apply(&mut hw, FlowControl::Rx, 9000), Ok(FlowControl::Rx), "obeying needs no room");
    assert_eq!(registers.get::<FCRTH>(0).bits(), 40 << 10);
}

#[test]
fn nothing_is_sent_while_levels_change() {
    let (mut hw, device) = bench(SFP);
    let registers = device.registers().registers();
    packet_buffer(registers, 512);
    apply(&mut hw, FlowControl::Full, 1500).unwrap();
    device.registers().take_log();
    apply(&mut hw, FlowControl::Full, 9000).unwrap();
    let log = device.registers().take_log();
    let sends: Vec<_> = written::<FCCFG>(&log).into_iter().map(|(_, fccfg)| fccfg.tfce()).collect();
    assert_eq!(sends, [0, 1]);
    let at = |offset: u64| {
        let write = |access: &vfio_hal::testing::Access| matches!(access, vfio_hal::testing::Access::Write { offset: other, .. } if *other == offset);
        (log.iter().position(write), log.iter().rposition(write))
    };
    let (fccfg, levels) = (at(0x3d00), at(0x3260));
    assert!(fccfg.0 < levels.0 && levels.1 < fccfg.1);
}

#[test]
fn offers_resolve_as_the_standard_s_table_says() {
    let none = Offer::default();
    let tx = Offer { symmetric: false, asymmetric: true };
    let sym = Offer { symmetric: true, asymmetric: false };
    let both = Offer { symmetric: true, asymmetric: true };
    use FlowControl::{Full, Off, Rx, Tx};
    for (own, partner, full) in [
        (none, none, Off),
        (none, both, Off),
        (tx, none, Off),
        (tx, tx, Off),
        (tx, sym, Off),
        (tx, both, Tx),
        (sym, none, Off),
        (sym, tx, Off),
        (sym, sym, Full),
        (sym, both, Full),
        (both, none, Off),
        (both, tx, Rx),
        (both, sym, Full),
        (both, both, Full),
    ] {
        assert_eq!(resolve(Full, own, partner), full, "{own:?} {partner:?}");
        assert_eq!(resolve(Off, own, partner), Off);
        let less =
            |wanted, result| assert!(result == wanted || result == Off, "{wanted:?} became {result:?}");
        less(Rx, resolve(Rx, own, partner));
        less(Tx, resolve(Tx, own, partner));
    }
    assert_eq!(resolve(Rx, both, both), Rx, "obeying alone is offered as both");
}

#[test]
fn sfp_ports_negotiate_at_1_gb_only() {
    let (mut hw, device) = bench(SFP);
    let registers = device.registers().registers();
    packet_buffer(registers, 512);
    advertise(&mut hw, FlowControl::Full).unwrap();
    let page = registers.get::<PCS1GANA>(0);
    assert!(page.sym_pause() && page.asm_pause());
    registers.set(0, PCS1GANLP::default().with_lp_asm_pause(true));
    let done = PCS1GLSTA::default().with_an_complete(true);
    registers.set(0, done);
    for (links, status, expected) in [
        (LINKS::default().with_link_speed(2), done, FlowControl::Full),
        (LINKS::default().with_link_up(true).with_link_speed(3), done, FlowControl::Full),
        (LINKS::default().with_link_up(true).with_link_speed(2), PCS1GLSTA::default(), FlowControl::Full),
        (
            LINKS::default().with_link_up(true).with_link_speed(2),
            done.with_an_timed_out(true),
            FlowControl::Full,
        ),
        (LINKS::default().with_link_up(true).with_link_speed(2), done, FlowControl::Rx),
    ] {
        registers.set(0, links);
        registers.set(0, status);
        assert_eq!(apply(&mut hw, FlowControl::Full, 1500), Ok(expected), "{links:?} {status:?}");
    }
    assert_eq!(in_force(registers), (false, true));
}

#[test]
fn backplanes_negotiate_at_every_speed() {
    let (mut hw, device) = bench(BACKPLANE);
    let registers = device.registers().registers();
    packet_buffer(registers, 512);
    registers.set(0, AUTOC::default().with_lms(4).with_sym_pause(true));
    advertise(&mut hw, FlowControl::Tx).unwrap();
    let autoc = registers.get::<AUTOC>(0);
    assert_eq!(
        (autoc.lms(), autoc.sym_pause(), autoc.asm_pause(), autoc.restart_an()),
        (4, false, true, false)
    );
    registers.set(0, LINKS::default().with_link_up(true).with_link_speed(3).with_kx_an_completed(true));
    registers.set(0, ANLP1::default().with_anlp1d(0xc00));
    assert_eq!(apply(&mut hw, FlowControl::Tx, 1500), Ok(FlowControl::Tx), "the partner does not negotiate");
    registers.set(0, LINKS2::default().with_lp_an_able(true));
    assert_eq!(apply(&mut hw, FlowControl::Tx, 1500), Ok(FlowControl::Tx));
    registers.set(0, ANLP1::default().with_anlp1d(0x400));
    assert_eq!(apply(&mut hw, FlowControl::Tx, 1500), Ok(FlowControl::Off));
}

/// Puts a PHY on the MDIO bus, at address 0, with these registers of its negotiation MMD.
fn copper_phy(device: &FakeDevice, pages: &[(u32, u16)]) -> Arc<Mutex<BTreeMap<(u32, u32), u16>>> {
    let mut phy: BTreeMap<(u32, u32), u16> = pages.iter().map(|(at, value)| ((7, *at), *value)).collect();
    phy.insert((1, 2), 0x0154);
    let phy = Arc::new(Mutex::new(phy));
    let (registers, msca) = (phy.clone(), MSCA::INFO.offset(0));
    let address = Mutex::new(0);
    device.registers().react(move |access, bar| {
        if !matches!(access, Access::Write { offset, .. } if Some(offset) == msca) {
            return;
        }
        let command = bar.get::<MSCA>(0);
        let place = (command.devadd(), *address.lock().unwrap());
        match command.opcode() {
            0 => *address.lock().unwrap() = command.mdiadd(),
            1 => _ = registers.lock().unwrap().insert(place, bar.get::<MSRWD>(0).mdiwrdata() as u16),
            _ => {
                let value = registers.lock().unwrap().get(&place).copied().unwrap_or_default();
                let answer = if command.phyadd() == 0 { value } else { 0xffff };
                bar.set(0, MSRWD::default().with_mdirddata(answer.into()));
            }
        }
        bar.set(0, command.with_mdicmd(false));
    });
    phy
}

#[test]
fn copper_negotiates_through_its_phy() {
    let (mut hw, device) = bench(X540);
    let registers = device.registers().registers();
    packet_buffer(registers, 384);
    // What else is in the page stays: 100 Mb/s, and the selector.
    let phy = copper_phy(&device, &[(0x10, 0x0501)]);
    advertise(&mut hw, FlowControl::Tx).unwrap();
    assert_eq!(phy.lock().unwrap()[&(7, 0x10)], 0x0901);
    advertise(&mut hw, FlowControl::Full).unwrap();
    assert_eq!(phy.lock().unwrap()[&(7, 0x10)], 0x0d01);
    registers.set(0, LINKS::default().with_link_up(true).with_link_speed(3));
    assert_eq!(apply(&mut hw, FlowControl::Full, 1500), Ok(FlowControl::Full), "not done yet");
    for (page, expected) in [
        (0, FlowControl::Off),
        (0x400, FlowControl::Full),
        (0x800, FlowControl::Rx),
        (0xc00, FlowControl::Full),
    ] {
        phy.lock().unwrap().extend([((7, 1), 1 << 5), ((7, 0x13), page)]);
        assert_eq!(apply(&mut hw, FlowControl::Full, 1500), Ok(expected), "{page:x}");
    }
}

#[test]
fn a_copper_port_without_a_link_does_what_it_was_told() {
    let (mut hw, device) = bench(X540);
    packet_buffer(device.registers().registers(), 384);
    assert_eq!(apply(&mut hw, FlowControl::Full, 1500), Ok(FlowControl::Full));
    assert_eq!(in_force(device.registers().registers()), (true, true));
}

#[test]
fn a_device_that_goes_is_an_error() {
    for after in [0, 1, 5, 12, 30] {
        let (mut hw, device) = bench(SFP);
        packet_buffer(device.registers().registers(), 512);
        device.registers().die_after(after);
        assert_eq!(apply(&mut hw, FlowControl::Full, 1500), Err(DeviceError::Lost.into()), "after {after}");
    }
}
