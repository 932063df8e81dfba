//! What is changed on a port that runs, register by register: what QEMU's model does not look at.

use pmd_igb::regs::{
    CTRL, DVMOLR, EERD, FCAH, FCAL, FCRTH, FCRTL, FCT, FCTTV, RCTL, RLPML, RQDPC, RXPBS, SRRCTL, STATUS, VET,
};
use pmd_igb::{Config, LinkConfig, Speeds};
use vfio_hal::pmd::{FlowControl, LinkStatus, PortError};
use vfio_hal::regs::Register;

use crate::board::{Board, I350, queues, small};

/// PHY registers: control, status, advertisement, the partner's, and 1000BASE-T's.
const CONTROL: usize = 0;
const PHY_STATUS: usize = 1;
const ADVERTISEMENT: usize = 4;
const PARTNER: usize = 5;
const CONTROL_1000: usize = 9;

fn phy(board: &Board, register: usize) -> u16 {
    board.outside.lock().unwrap().phy[register]
}

#[test]
fn speeds_are_advertised_or_forced() {
    let link = |speeds, autoneg| Config { link: LinkConfig { speeds, autoneg }, ..small() };
    for (speeds, page, gigabit) in [
        (Speeds::ALL, 0x0141, 0x200),
        (Speeds::GB1, 0x0001, 0x200),
        (Speeds::MB100, 0x0101, 0),
        (Speeds::MB10 | Speeds::MB100, 0x0141, 0),
    ] {
        let board = Board::new();
        let started = board.start(link(speeds, true));
        assert_eq!((phy(&board, ADVERTISEMENT), phy(&board, CONTROL_1000)), (page, gigabit), "{speeds}");
        assert_eq!(phy(&board, CONTROL), 0x1340, "negotiation is restarted");
        assert!(!board.get::<CTRL>(0).frcspd() && board.get::<CTRL>(0).slu());
        board.stop(started);
    }
    for (speeds, control, speed) in [(Speeds::MB10, 0x0100, 0), (Speeds::MB100, 0x2100, 1)] {
        let board = Board::new();
        let mut started = board.start(link(speeds, false));
        assert_eq!(phy(&board, CONTROL), control);
        let ctrl: CTRL = board.get(0);
        assert!(ctrl.frcspd() && ctrl.frcdplx() && ctrl.fd() && ctrl.speed() == speed);
        board.link_up();
        assert!(!started.port.link().unwrap().autoneg);
        board.stop(started);
    }
}

#[test]
fn the_link_s_state_is_the_mac_s() {
    let board = Board::new();
    let mut started = board.start(small());
    assert_eq!(started.port.link().unwrap(), LinkStatus::default());
    for (bits, speed_mbps) in [(0, 10), (1, 100), (2, 1000), (3, 1000)] {
        board.registers().set(0, board.get::<STATUS>(0).with_lu(true).with_fd(bits != 0).with_speed(bits));
        let expected = LinkStatus { up: true, speed_mbps, full_duplex: bits != 0, autoneg: true };
        assert_eq!(started.port.link().unwrap(), expected);
    }
    board.stop(started);
}

#[test]
fn pause_frames_are_what_both_sides_offer() {
    let offer = |mode| match mode {
        FlowControl::Off => 0,
        FlowControl::Tx => 0x800,
        FlowControl::Rx | FlowControl::Full => 0xc00,
    };
    for (wanted, partner, send, obey) in [
        (FlowControl::Off, 0x0c00, false, false),
        (FlowControl::Full, 0x0000, false, false),
        (FlowControl::Full, 0x0400, true, true),
        (FlowControl::Rx, 0x0c00, false, true),
        (FlowControl::Tx, 0x0c00, true, false),
        (FlowControl::Tx, 0x0400, false, false),
        (FlowControl::Full, 0x0800, false, true),
    ] {
        let board = Board::new();
        let mut started = board.start(Config { flow_control: wanted, ..small() });
        assert_eq!(phy(&board, ADVERTISEMENT) & 0xc00, offer(wanted));
        board.outside.lock().unwrap().phy[PARTNER] = partner;
        // Complete, and up.
        board.outside.lock().unwrap().phy[PHY_STATUS] = 0x24;
        board.link_up();
        started.port.link().unwrap();
        let ctrl: CTRL = board.get(0);
        assert_eq!((ctrl.tfce(), ctrl.rfce()), (send, obey), "{wanted:?} {partner:x}");
        let (low, high) = (board.get::<FCRTL>(0), board.get::<FCRTH>(0));
        assert_eq!((low.xone(), high.rth() != 0, low.rtl() < high.rth()), (send, send, send));
        board.stop(started);
    }
}

#[test]
fn the_levels_leave_room_for_what_is_on_its_way() {
    let board = Board::new();
    let mut started = board.start(small());
    started.port.set_flow_control(FlowControl::Full).unwrap();
    assert_eq!(board.get::<FCRTH>(0).rth() * 16, (64 * 1024 * 9 / 10) & !15);
    let pause = (board.get::<FCAL>(0).bits(), board.get::<FCAH>(0).fcah(), board.get::<FCT>(0).fct());
    assert_eq!(pause, (0x00c2_8001, 0x0100, 0x8808));
    assert_eq!(board.get::<FCTTV>(0).ttv(), 0x680);
    started.port.set_mtu(9000).unwrap();
    assert_eq!(board.get::<FCRTH>(0).rth() * 16, (64 * 1024 - 2 * 9022) & !15);
    board.registers().set(0, RXPBS::default().with_size(8));
    let error = started.port.set_mtu(9000).unwrap_err();
    assert!(matches!(error, PortError::Invalid { what } if what.contains("packet buffer")), "{error}");
    board.stop(started);

    // Its sizes are a list: 10 is 140 KiB.
    let board = Board::of(I350);
    let mut started = board.start(small());
    board.registers().set(0, RXPBS::default().with_size(1));
    started.port.set_flow_control(FlowControl::Tx).unwrap();
    assert_eq!(board.get::<FCRTH>(0).rth() * 16, ((72 * 1024 * 9 / 10) & !15) & 0xffff);
    board.stop(started);
}

#[test]
fn the_longest_frame_has_room_for_tags() {
    let board = Board::new();
    let mut started = board.start(small());
    assert!(!board.get::<RCTL>(0).lpe());
    for (mtu, long) in [(1501, true), (9706, true), (1500, false), (68, false)] {
        started.port.set_mtu(mtu).unwrap();
        assert_eq!(board.get::<RLPML>(0).rlpml(), u32::from(mtu) + 14 + 4 + 4 + 4);
        assert_eq!(board.get::<RCTL>(0).lpe(), long, "{mtu}");
    }
    for mtu in [0, 67, 9707, u16::MAX] {
        let what = "the MTU";
        let expected = PortError::OutOfRange { what, value: mtu.into(), min: 68, max: 9706 };
        assert_eq!(started.port.set_mtu(mtu), Err(expected));
    }
    board.stop(started);
}

#[test]
fn an_outer_tag_is_told_before_the_start() {
    let board = Board::new();
    let mut configured = board.configure(small());
    assert!(configured.set_outer_tag(Some(0x5ff)).is_err());
    configured.set_outer_tag(Some(0x88a8)).unwrap();
    let started = configured.start().unwrap();
    assert_eq!((board.get::<VET>(0).vet(), board.get::<VET>(0).vet_ext()), (0x8100, 0x88a8));
    let ctrl_ext: pmd_igb::regs::CTRL_EXT = board.get(0);
    assert!(ctrl_ext.ext_vlan());
    board.stop(started);
}

#[test]
fn an_i350_strips_by_queue_too() {
    let strips =
        |board: &Board| (0..8).map(|queue| board.get::<DVMOLR>(queue).bits() >> 30).collect::<Vec<_>>();
    let board = Board::of(I350);
    let mut started = board.start(queues(2, 1));
    assert_eq!(strips(&board), [2; 8], "check sequences");
    started.port.set_vlan_strip(true).unwrap();
    assert!(board.get::<CTRL>(0).vme());
    assert_eq!(strips(&board), [3; 8], "and tags");
    board.stop(started);

    let board = Board::new();
    let started = board.start(Config { vlan_strip: true, ..small() });
    assert_eq!(strips(&board), [0; 8], "the 82576 has nothing there");
    assert!(board.get::<CTRL>(0).vme() && board.get::<RCTL>(0).secrc());
    board.stop(started);
}

#[test]
fn queues_drop_or_hold_back() {
    let drops = |board: &Board, queue| board.get::<SRRCTL>(queue).drop_en();
    let board = Board::new();
    let mut started = board.start(queues(2, 1));
    assert!(drops(&board, 0) && drops(&board, 1));
    started.port.set_flow_control(FlowControl::Full).unwrap();
    assert!(!drops(&board, 0) && !drops(&board, 1));
    started.port.set_drop_enable(Some(true)).unwrap();
    assert!(drops(&board, 0) && drops(&board, 1));
    board.stop(started);
}

#[test]
fn counters_are_added_up_and_named_as_dpdk_does() {
    let board = Board::new();
    let mut started = board.start(queues(2, 1));
    let set = |offset: u64, value: u32| board.registers().write32(offset, value);
    for _ in 0..2 {
        set(0x4074, 10); // GPRC
        set(0x4088, 1000); // GORCL
        set(0x408c, 1); // GORCH
        set(0x4080, 20); // GPTC
        set(0x4090, 2000); // GOTCL
        set(0x4010, 3); // MPC
        set(0x4000, 5); // CRCERRS
        set(RQDPC::INFO.offset(1).unwrap(), 7);
        started.port.stats().unwrap();
    }
    let stats = started.port.stats().unwrap();
    assert_eq!((stats.ipackets, stats.ibytes), (20, 2 * (1 << 32 | 1000) - 80));
    assert_eq!((stats.opackets, stats.obytes), (40, 4000 - 160));
    assert_eq!((stats.imissed, stats.ierrors), (2 * (3 + 7), 10));
    let mut all = std::collections::BTreeMap::new();
    started
        .port
        .xstats(&mut |name, value| assert!(all.insert(name.to_owned(), value).is_none(), "{name}"))
        .unwrap();
    for (name, value) in [
        ("rx_good_packets", 20),
        ("rx_crc_errors", 10),
        ("rx_missed_packets", 6),
        ("rx_q1_errors", 14),
        ("rx_q0_errors", 0),
        ("tx_size_1023_to_max_packets", 0),
        ("interrupt_assert_count", 0),
    ] {
        assert_eq!(all.get(name), Some(&value), "{name}");
    }
    started.port.reset_stats().unwrap();
    assert_eq!(started.port.stats().unwrap(), vfio_hal::pmd::PortStats::default());
    board.stop(started);
}

#[test]
fn nothing_that_a_dump_reads_is_changed_by_it() {
    let board = Board::new();
    let mut started = board.start(small());
    board.chip.registers().take_log();
    board.registers().write32(0x4074, 5);
    let mut names = std::collections::BTreeSet::new();
    started
        .port
        .dump_registers(&mut |info, _, _| assert!(names.insert(info.name) || info.count() > 1))
        .unwrap();
    assert!(names.contains("CTRL") && names.contains("RETA") && names.contains(EERD::NAME));
    assert!(!names.contains("SWSM") && !names.contains("GPRC") && !names.contains("ICR"));
    assert_eq!(started.port.stats().unwrap().ipackets, 5);
    board.stop(started);
}
