//! Statistics from the device's side: counters that clear on read, come in halves, fill up, and count what they
//! should not.

mod names;
mod queues;

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec;

use vfio_hal::DeviceError;
use vfio_hal::regs::Register;
use vfio_hal::testing::{Access, RegisterFile};

use super::*;
use crate::regs::*;
use crate::testing::{SFP, X540, bench, clear_on_read};

fn xstats(stats: &Stats) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    stats.each_xstat(&mut |name, value| {
        assert_eq!(all.insert(name.into(), value), None, "{name} comes twice");
    });
    all
}

/// Lets the device take check sequences out of received packets, or leave them in.
fn strip(registers: &RegisterFile, on: bool) {
    registers.set(0, HLREG0::default().with_rxcrcstrp(on));
}

#[test]
fn what_was_read_adds_up() {
    let (mut hw, device) = bench(SFP);
    clear_on_read(&device);
    let registers = device.registers().registers();
    strip(registers, true);
    let mut stats = Stats::new(hw.model.chip);
    for round in 1..=3 {
        registers.set(0, QPRC::new(10));
        registers.set(0, QBRC::new(600));
        registers.set(15, QPRC::new(1));
        registers.set(15, QBRC::new(60));
        registers.set(0, GPTC::new(5));
        registers.set(0, GOTC::new(320));
        stats.update(&mut hw).unwrap();
        let expected = PortStats {
            ipackets: round * 11,
            ibytes: round * 660,
            opackets: round * 5,
            obytes: round * 300,
            ..PortStats::default()
        };
        assert_eq!(stats.basic(), expected);
    }
    stats.update(&mut hw).unwrap();
    assert_eq!(stats.basic().ipackets, 33, "nothing came meanwhile");
    stats.reset(&mut hw).unwrap();
    assert_eq!(stats.basic(), PortStats::default());
    assert!(xstats(&stats).values().all(|value| *value == 0));
}

#[test]
fn no_counter_is_read_twice() {
    let (mut hw, device) = bench(SFP);
    device.registers().take_log();
    clear(&mut hw).unwrap();
    let mut reads: BTreeMap<u64, u32> = BTreeMap::new();
    for access in device.registers().take_log() {
        let Access::Read { offset, .. } = access else { panic!("wrote: {access:?}") };
        *reads.entry(offset).or_default() += 1;
    }
    assert!(reads.values().all(|times| *times == 1), "{reads:x?}");
    // Low halves before high ones would show in a value; here: both are read.
    for wide in [QBRC::INFO.offset(7), QBTC::INFO.offset(7), GORC::INFO.offset(0), GOTC::INFO.offset(0)] {
        let low = wide.unwrap();
        assert!(reads.contains_key(&low) && reads.contains_key(&(low + 4)));
    }
}

#[test]
fn byte_counts_have_36_bits() {
    let (mut hw, device) = bench(SFP);
    clear_on_read(&device);
    let registers = device.registers().registers();
    strip(registers, true);
    registers.set(3, QBRC::new(0xffff_ffff_0000_0000 | 5));
    let mut stats = Stats::new(hw.model.chip);
    stats.update(&mut hw).unwrap();
    // 36 bits, and what is above means nothing.
    assert_eq!(stats.basic().ibytes, 0xf_0000_0005);
}

#[test]
fn check_sequences_are_left_out_also_where_they_are_kept() {
    let (mut hw, device) = bench(SFP);
    clear_on_read(&device);
    let registers = device.registers().registers();
    let mut stats = Stats::new(hw.model.chip);
    stats.attach(&mut hw, vec![Arc::default(); 2], vec![Arc::default()]).unwrap();
    strip(registers, true);
    registers.set(1, QPRC::new(2));
    registers.set(1, QBRC::new(120));
    stats.update(&mut hw).unwrap();
    strip(registers, false);
    registers.set(1, QPRC::new(2));
    registers.set(1, QBRC::new(128));
    registers.set(0, TPR::new(3));
    registers.set(0, TOR::new(192));
    stats.update(&mut hw).unwrap();
    assert_eq!(stats.basic().ibytes, 240);
    let all = xstats(&stats);
    assert_eq!((all["rx_q1_packets"], all["rx_q1_bytes"]), (4, 240));
    assert_eq!(all["rx_total_bytes"], 180);
}

#[test]
fn pause_frames_are_no_packets_sent() {
    let (mut hw, device) = bench(SFP);
    clear_on_read(&device);
    let registers = device.registers().registers();
    let mut stats = Stats::new(hw.model.chip);
    // Two packets of 100 bytes, one XOFF and one XON: the device counts four good packets.
    registers.set(0, GPTC::new(4));
    registers.set(0, GOTC::new(2 * 100 + 2 * 64));
    registers.set(0, PTC64::new(2));
    registers.set(0, PTC127::new(2));
    registers.set(0, MPTC::new(2));
    registers.set(0, LXONTXC::new(1));
    registers.set(0, LXOFFTXC::new(1));
    registers.set(0, TPT::new(4));
    stats.update(&mut hw).unwrap();
    assert_eq!((stats.basic().opackets, stats.basic().obytes), (2, 192));
    let all = xstats(&stats);
    assert_eq!((all["tx_size_64_packets"], all["tx_multicast_packets"]), (0, 0));
    assert_eq!((all["tx_size_65_to_127_packets"], all["tx_total_packets"]), (2, 4));
    assert_eq!((all["tx_xon_packets"], all["tx_flow_control_xoff_packets"]), (1, 1));
}

#[test]
fn registers_read_one_after_the_other_never_make_a_number_negative() {
    let (mut hw, device) = bench(SFP);
    clear_on_read(&device);
    let registers = device.registers().registers();
    let mut stats = Stats::new(hw.model.chip);
    // The pause frame was counted between the readings of GPTC and of LXOFFTXC.
    registers.set(0, LXOFFTXC::new(1));
    stats.update(&mut hw).unwrap();
    assert_eq!((stats.basic().opackets, stats.basic().obytes), (0, 0));
    assert_eq!(xstats(&stats)["tx_size_64_packets"], 0);
    registers.set(0, GPTC::new(2));
    registers.set(0, GOTC::new(128));
    stats.update(&mut hw).unwrap();
    assert_eq!((stats.basic().opackets, stats.basic().obytes), (1, 60), "and nothing is forgotten");
}

#[test]
fn drops_are_missed_whether_for_want_of_buffer_or_descriptor() {
    let (mut hw, device) = bench(SFP);
    clear_on_read(&device);
    let registers = device.registers().registers();
    let mut stats = Stats::new(hw.model.chip);
    stats.attach(&mut hw, vec![Arc::default(); 3], vec![]).unwrap();
    registers.set(0, MPC::new(7));
    registers.set(5, MPC::new(1));
    registers.set(2, QPRDC::new(20));
    stats.update(&mut hw).unwrap();
    assert_eq!(stats.basic().imissed, 28);
    let all = xstats(&stats);
    assert_eq!((all["rx_missed_errors"], all["rx_total_missed_packets"], all["rx_q2_errors"]), (28, 8, 20));
    assert_eq!((all["rx_priority0_dropped"], all["rx_priority5_dropped"]), (7, 1));
}

#[test]
fn errors_are_dpdk_s_sum_and_the_82599_s_checksum_errors_are_not_in_it() {
    for (id, errors) in [(SFP, 10), (X540, 11)] {
        let (mut hw, device) = bench(id);
        clear_on_read(&device);
        let registers = device.registers().registers();
        registers.set(0, CRCERRS::new(1));
        registers.set(0, MSPDC::new(1));
        registers.set(0, RLEC::new(1));
        registers.set(0, RUC::new(1));
        registers.set(0, ROC::new(1));
        registers.set(0, ILLERRC::new(1));
        registers.set(0, ERRBC::new(1));
        registers.set(0, RFC::new(1));
        registers.set(0, FCCRC::new(1));
        registers.set(0, FCLAST::new(1));
        registers.set(0, XEC::new(1));
        let mut stats = Stats::new(hw.model.chip);
        stats.update(&mut hw).unwrap();
        assert_eq!(stats.basic().ierrors, errors);
        assert_eq!(xstats(&stats)["rx_l3_l4_xsum_error"], 1);
    }
}

#[test]
fn two_counts_in_one_register_are_read_once() {
    let (mut hw, device) = bench(SFP);
    clear_on_read(&device);
    let registers = device.registers().registers();
    registers.set(0, FDIRUSTAT::default().with_add(3).with_remove(2));
    registers.set(0, FDIRFSTAT::default().with_fadd(5).with_fremove(4));
    registers.set(0, FDIRMATCH::new(9));
    registers.set(0, FDIRMISS::new(8));
    let mut stats = Stats::new(hw.model.chip);
    stats.update(&mut hw).unwrap();
    let all = xstats(&stats);
    assert_eq!((all["flow_director_added_filters"], all["flow_director_removed_filters"]), (3, 2));
    assert_eq!((all["flow_director_filter_add_errors"], all["flow_director_filter_remove_errors"]), (5, 4));
    assert_eq!((all["flow_director_matched_filters"], all["flow_director_missed_filters"]), (9, 8));
}

#[test]
fn a_full_counter_is_told() {
    let (mut hw, device) = bench(SFP);
    clear_on_read(&device);
    let registers = device.registers().registers();
    let mut stats = Stats::new(hw.model.chip);
    registers.set(0, TPR::new(u32::MAX - 1));
    registers.set(0, QBRC::new((1 << 36) - 2));
    stats.update(&mut hw).unwrap();
    assert_eq!(stats.stuck(), 0);
    registers.set(0, TPR::new(u32::MAX));
    registers.set(0, QBRC::new((1 << 36) - 1));
    registers.set(3, MPC::new(u32::MAX));
    stats.update(&mut hw).unwrap();
    assert_eq!(stats.stuck(), 3);
}

#[test]
fn a_device_that_goes_leaves_the_sums_as_they_were() {
    for after in [0, 1, 30, 100, 150] {
        let (mut hw, device) = bench(SFP);
        clear_on_read(&device);
        let registers = device.registers().registers();
        strip(registers, true);
        registers.set(0, QPRC::new(10));
        let mut stats = Stats::new(hw.model.chip);
        stats.update(&mut hw).unwrap();
        let before = stats.basic();
        device.registers().die_after(after);
        assert_eq!(stats.update(&mut hw), Err(DeviceError::Lost.into()));
        assert_eq!((stats.basic(), stats.stuck()), (before, 0), "all ones are no counts");
        assert_eq!(stats.reset(&mut hw), Err(DeviceError::Lost.into()));
    }
}
