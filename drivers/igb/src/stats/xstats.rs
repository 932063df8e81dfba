//! The names of the extended statistics, which are DPDK's: scripts and dashboards know them.
//!
//! Those of every driver (`rte_ethdev`) come first and are given out beside; here are those of `net_e1000_igb`, in DPDK's
//! order and spelling. Some of the values need a word:
//!
//! - `rx_missed_errors` and `rx_missed_packets` differ: the former includes packets that were dropped because their queue
//!   had no descriptor, the latter counts a full packet buffer only.
//! - `rx_carrier_ext_errors` and `tx_tso_errors` are 0: these counters are the 82575's, and what lies at their addresses in
//!   its successors counts something else.
//! - `tx_size_1023_to_max_packets` counts from 1,024 bytes on; the name is DPDK's.

use super::FCS;
use super::counters::Counters;

type Value = fn(&Counters) -> u64;

/// The device's own.
pub(super) const DEVICE: [(&str, Value); 51] = [
    ("rx_crc_errors", |c| c.crcerrs),
    ("rx_align_errors", |c| c.algnerrc),
    ("rx_symbol_errors", |c| c.symerrs),
    ("rx_missed_packets", |c| c.mpc),
    ("tx_single_collision_packets", |c| c.scc),
    ("tx_multiple_collision_packets", |c| c.mcc),
    ("tx_excessive_collision_packets", |c| c.ecol),
    ("tx_late_collisions", |c| c.latecol),
    ("tx_total_collisions", |c| c.colc),
    ("tx_deferred_packets", |c| c.dc),
    ("tx_no_carrier_sense_packets", |c| c.tncrs),
    ("rx_carrier_ext_errors", |_| 0),
    ("rx_length_errors", |c| c.rlec),
    ("rx_xon_packets", |c| c.xonrxc),
    ("tx_xon_packets", |c| c.xontxc),
    ("rx_xoff_packets", |c| c.xoffrxc),
    ("tx_xoff_packets", |c| c.xofftxc),
    ("rx_flow_control_unsupported_packets", |c| c.fcruc),
    ("rx_size_64_packets", |c| c.prc64),
    ("rx_size_65_to_127_packets", |c| c.prc127),
    ("rx_size_128_to_255_packets", |c| c.prc255),
    ("rx_size_256_to_511_packets", |c| c.prc511),
    ("rx_size_512_to_1023_packets", |c| c.prc1023),
    ("rx_size_1024_to_max_packets", |c| c.prc1522),
    ("rx_broadcast_packets", |c| c.bprc),
    ("rx_multicast_packets", |c| c.mprc),
    ("rx_undersize_errors", |c| c.ruc),
    ("rx_fragment_errors", |c| c.rfc),
    ("rx_oversize_errors", |c| c.roc),
    ("rx_jabber_errors", |c| c.rjc),
    ("rx_management_packets", |c| c.mngprc),
    ("rx_management_dropped", |c| c.mpdc),
    ("tx_management_packets", |c| c.mngptc),
    ("rx_total_packets", |c| c.tpr),
    ("tx_total_packets", |c| c.tpt),
    ("rx_total_bytes", |c| c.tor.saturating_sub(c.tpr.wrapping_mul(FCS))),
    ("tx_total_bytes", |c| c.tot.saturating_sub(c.tpt.wrapping_mul(FCS))),
    ("tx_size_64_packets", |c| c.ptc64),
    ("tx_size_65_to_127_packets", |c| c.ptc127),
    ("tx_size_128_to_255_packets", |c| c.ptc255),
    ("tx_size_256_to_511_packets", |c| c.ptc511),
    ("tx_size_512_to_1023_packets", |c| c.ptc1023),
    ("tx_size_1023_to_max_packets", |c| c.ptc1522),
    ("tx_multicast_packets", |c| c.mptc),
    ("tx_broadcast_packets", |c| c.bptc),
    ("tx_tso_packets", |c| c.tsctc),
    ("tx_tso_errors", |_| 0),
    ("rx_sent_to_host_packets", |c| c.rpthc),
    ("tx_sent_by_host_packets", |c| c.hgptc),
    ("rx_code_violation_packets", |c| c.scvpc),
    ("interrupt_assert_count", |c| c.iac),
];
