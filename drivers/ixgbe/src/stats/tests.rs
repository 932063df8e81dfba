//! Statistics from the device's side: counters that clear on read, come in halves, fill up, and count what they
//! should not.

extern crate std;

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

/// Counts as the device would, for one packet of `len` bytes with its check sequence into queue counter 0.
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

#[test]
fn each_queue_has_its_counter_as_long_as_16_suffice() {
    let (mut hw, device) = bench(SFP);
    let registers = device.registers().registers().clone();
    let counters = |rx: bool, queues: core::ops::Range<usize>| -> Vec<u32> {
        let map = |queue: usize| {
            let word = if rx {
                registers.get::<RQSMR>(queue / 4).bits()
            } else {
                registers.get::<TQSM>(queue / 4).bits()
            };
            word >> (8 * (queue % 4)) & 0xff
        };
        queues.map(map).collect()
    };
    let mut stats = Stats::new(hw.model.chip);
    stats.attach(&mut hw, vec![Arc::default(); 16], vec![Arc::default(); 17]).unwrap();
    assert_eq!(counters(true, 0..16), (0..16).collect::<Vec<u32>>());
    assert_eq!(counters(false, 0..15), (0..15).collect::<Vec<u32>>());
    assert!(counters(false, 15..128).iter().all(|counter| *counter == 15), "the others share the last");
}

#[test]
fn queues_that_share_a_counter_have_what_their_rings_counted() {
    let (mut hw, device) = bench(SFP);
    clear_on_read(&device);
    let registers = device.registers().registers();
    strip(registers, true);
    let mut stats = Stats::new(hw.model.chip);
    stats.attach(&mut hw, vec![Arc::default(); 20], vec![Arc::default(); 20]).unwrap();
    registers.set(14, QPRC::new(3));
    registers.set(15, QPRC::new(5));
    registers.set(15, QPTC::new(6));
    stats.update(&mut hw).unwrap();
    let all = xstats(&stats);
    assert_eq!(stats.basic().ipackets, 8, "the sum is complete");
    assert_eq!((all["rx_q14_packets"], all["rx_q15_packets"], all["tx_q15_packets"]), (3, 0, 0));
    assert!(all.contains_key("rx_q14_errors") && !all.contains_key("rx_q15_errors"));
    assert!(all.contains_key("tx_q19_bytes") && !all.contains_key("tx_q20_bytes"));
}

/// A ring's counters, as a test can set them.
#[derive(Default)]
struct Fake([std::sync::atomic::AtomicU64; 4]);

impl queues::Count for Fake {
    fn counts(&self) -> [u64; 4] {
        core::array::from_fn(|at| self.0[at].load(core::sync::atomic::Ordering::Relaxed))
    }
}

impl Fake {
    fn set(&self, counts: [u64; 4]) {
        for (counter, count) in self.0.iter().zip(counts) {
            counter.store(count, core::sync::atomic::Ordering::Relaxed);
        }
    }
}

#[test]
fn what_rings_counted_outlives_them() {
    let mut rings = Rings::<Fake>::new();
    let (first, second) = (Arc::new(Fake::default()), Arc::new(Fake::default()));
    rings.attach(vec![first.clone(), second.clone()]);
    first.set([10, 1000, 1, 0]);
    second.set([5, 500, 0, 2]);
    assert_eq!(rings.total(), [15, 1500, 1, 2]);

    // Started again, with fewer queues.
    let third = Arc::new(Fake::default());
    rings.attach(vec![third.clone()]);
    assert_eq!((rings.queues(), rings.total()), (1, [15, 1500, 1, 2]));
    third.set([1, 10, 0, 0]);
    first.set([99; 4]);
    assert_eq!((rings.of(0), rings.of(1), rings.of(2)), ([11, 1010, 1, 0], [5, 500, 0, 2], [0; 4]));

    rings.reset();
    assert_eq!(rings.total(), [0; 4]);
    third.set([4, 40, 0, 1]);
    assert_eq!(rings.total(), [3, 30, 0, 1]);
    // The same ring again is not counted twice.
    rings.attach(vec![third.clone()]);
    assert_eq!(rings.total(), [3, 30, 0, 1]);
}

/// DPDK's names, in DPDK's order, for one queue each way (`rte_eth_xstats_get_names` of `net_ixgbe`, without LinkSec).
const NAMES: &str = "
    rx_good_packets tx_good_packets rx_good_bytes tx_good_bytes rx_missed_errors rx_errors tx_errors
    rx_mbuf_allocation_errors rx_q0_packets rx_q0_bytes rx_q0_errors tx_q0_packets tx_q0_bytes
    rx_crc_errors rx_illegal_byte_errors rx_error_bytes mac_local_errors mac_remote_errors rx_length_errors
    tx_xon_packets rx_xon_packets tx_xoff_packets rx_xoff_packets rx_size_64_packets rx_size_65_to_127_packets
    rx_size_128_to_255_packets rx_size_256_to_511_packets rx_size_512_to_1023_packets rx_size_1024_to_max_packets
    rx_broadcast_packets rx_multicast_packets rx_fragment_errors rx_undersize_errors rx_oversize_errors
    rx_jabber_errors rx_management_packets rx_management_dropped tx_management_packets rx_total_packets
    rx_total_bytes tx_total_packets tx_size_64_packets tx_size_65_to_127_packets tx_size_128_to_255_packets
    tx_size_256_to_511_packets tx_size_512_to_1023_packets tx_size_1024_to_max_packets tx_multicast_packets
    tx_broadcast_packets rx_mac_short_packet_dropped rx_l3_l4_xsum_error flow_director_added_filters
    flow_director_removed_filters flow_director_filter_add_errors flow_director_filter_remove_errors
    flow_director_matched_filters flow_director_missed_filters rx_fcoe_crc_errors rx_fcoe_dropped
    rx_fcoe_mbuf_allocation_errors rx_fcoe_packets tx_fcoe_packets rx_fcoe_bytes tx_fcoe_bytes
    rx_fcoe_no_direct_data_placement rx_fcoe_no_direct_data_placement_ext_buff tx_flow_control_xon_packets
    rx_flow_control_xon_packets tx_flow_control_xoff_packets rx_flow_control_xoff_packets rx_total_missed_packets
    rx_priority0_mbuf_allocation_errors rx_priority1_mbuf_allocation_errors rx_priority2_mbuf_allocation_errors
    rx_priority3_mbuf_allocation_errors rx_priority4_mbuf_allocation_errors rx_priority5_mbuf_allocation_errors
    rx_priority6_mbuf_allocation_errors rx_priority7_mbuf_allocation_errors rx_priority0_dropped
    rx_priority1_dropped rx_priority2_dropped rx_priority3_dropped rx_priority4_dropped rx_priority5_dropped
    rx_priority6_dropped rx_priority7_dropped rx_priority0_xon_packets rx_priority1_xon_packets
    rx_priority2_xon_packets rx_priority3_xon_packets rx_priority4_xon_packets rx_priority5_xon_packets
    rx_priority6_xon_packets rx_priority7_xon_packets rx_priority0_xoff_packets rx_priority1_xoff_packets
    rx_priority2_xoff_packets rx_priority3_xoff_packets rx_priority4_xoff_packets rx_priority5_xoff_packets
    rx_priority6_xoff_packets rx_priority7_xoff_packets tx_priority0_xon_packets tx_priority1_xon_packets
    tx_priority2_xon_packets tx_priority3_xon_packets tx_priority4_xon_packets tx_priority5_xon_packets
    tx_priority6_xon_packets tx_priority7_xon_packets tx_priority0_xoff_packets tx_priority1_xoff_packets
    tx_priority2_xoff_packets tx_priority3_xoff_packets tx_priority4_xoff_packets tx_priority5_xoff_packets
    tx_priority6_xoff_packets tx_priority7_xoff_packets tx_priority0_xon_to_xoff_packets
    tx_priority1_xon_to_xoff_packets tx_priority2_xon_to_xoff_packets tx_priority3_xon_to_xoff_packets
    tx_priority4_xon_to_xoff_packets tx_priority5_xon_to_xoff_packets tx_priority6_xon_to_xoff_packets
    tx_priority7_xon_to_xoff_packets";

#[test]
fn names_and_their_order_are_dpdk_s() {
    let (mut hw, _) = bench(SFP);
    let mut stats = Stats::new(hw.model.chip);
    stats.attach(&mut hw, vec![Arc::default()], vec![Arc::default()]).unwrap();
    let mut names = Vec::new();
    stats.each_xstat(&mut |name, _| names.push(String::from(name)));
    assert_eq!(names, NAMES.split_whitespace().collect::<Vec<_>>());
}

#[test]
fn every_counter_comes_out_under_one_name_and_is_cleared() {
    let (mut hw, device) = bench(SFP);
    clear_on_read(&device);
    let registers = device.registers().registers();
    // All different, so that a mix-up of two shows.
    let single: [(u64, &str); 18] = [
        (CRCERRS::OFFSET, "rx_crc_errors"),
        (MLFC::OFFSET, "mac_local_errors"),
        (MRFC::OFFSET, "mac_remote_errors"),
        (PRC64::OFFSET, "rx_size_64_packets"),
        (PRC127::OFFSET, "rx_size_65_to_127_packets"),
        (PRC255::OFFSET, "rx_size_128_to_255_packets"),
        (PRC511::OFFSET, "rx_size_256_to_511_packets"),
        (PRC1023::OFFSET, "rx_size_512_to_1023_packets"),
        (PRC1522::OFFSET, "rx_size_1024_to_max_packets"),
        (BPRC::OFFSET, "rx_broadcast_packets"),
        (MPRC::OFFSET, "rx_multicast_packets"),
        (PTC1522::OFFSET, "tx_size_1024_to_max_packets"),
        (LXONRXCNT::OFFSET, "rx_xon_packets"),
        (LXOFFRXCNT::OFFSET, "rx_xoff_packets"),
        (RJC::OFFSET, "rx_jabber_errors"),
        (MNGPRC::OFFSET, "rx_management_packets"),
        (MNGPDC::OFFSET, "rx_management_dropped"),
        (MNGPTC::OFFSET, "tx_management_packets"),
    ];
    for (number, (offset, _)) in (1..).zip(single) {
        registers.write32(offset, number);
    }
    registers.set(6, PXON2OFFCNT::new(77));
    let mut stats = Stats::new(hw.model.chip);
    stats.update(&mut hw).unwrap();
    let all = xstats(&stats);
    for (number, (offset, name)) in (1..).zip(single) {
        assert_eq!((all[name], registers.read32(offset)), (number, 0), "{name}");
    }
    assert_eq!(all["tx_priority6_xon_to_xoff_packets"], 77);
}
