//! The names of extended statistics, and that each has the right value.

use super::*;

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
