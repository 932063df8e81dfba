//! The names of the extended statistics, which are DPDK's: scripts and dashboards know them.
//!
//! First those of every driver (`rte_ethdev`): the basic ones and those of each queue. Then those of `net_ixgbe`: the
//! device's, then those of each traffic class ("priority"). Order and spelling are DPDK's; the LinkSec ones are left
//! out, for the driver does not use LinkSec. Some of the values need a word:
//!
//! - `rx_missed_errors` and `rx_total_missed_packets` differ: the former includes packets that were dropped because
//!   their queue had no descriptor, the latter counts a full packet buffer only.
//! - `rx_fcoe_bytes` and `tx_fcoe_bytes` are bytes; DPDK gives the device's double words out under that name.
//! - `rx_fcoe_no_direct_data_placement…` are 0 as in DPDK, which has no counter for them either, and
//!   `rx_priority…_mbuf_allocation_errors` are 0 as in DPDK: the 82598's counter.
//! - `tx_…` counters of sizes, multicast and good packets leave pause frames out, which the device counts in.

use pmd_intel::Name;

use super::counters::{CLASSES, Class, Counters, FCS};

type Value<T> = fn(&T) -> u64;

/// The device's own.
pub(super) const DEVICE: [(&str, Value<Counters>); 58] = [
    ("rx_crc_errors", |c| c.crcerrs),
    ("rx_illegal_byte_errors", |c| c.illerrc),
    ("rx_error_bytes", |c| c.errbc),
    ("mac_local_errors", |c| c.mlfc),
    ("mac_remote_errors", |c| c.mrfc),
    ("rx_length_errors", |c| c.rlec),
    ("tx_xon_packets", |c| c.lxontxc),
    ("rx_xon_packets", |c| c.lxonrxc),
    ("tx_xoff_packets", |c| c.lxofftxc),
    ("rx_xoff_packets", |c| c.lxoffrxc),
    ("rx_size_64_packets", |c| c.prc64),
    ("rx_size_65_to_127_packets", |c| c.prc127),
    ("rx_size_128_to_255_packets", |c| c.prc255),
    ("rx_size_256_to_511_packets", |c| c.prc511),
    ("rx_size_512_to_1023_packets", |c| c.prc1023),
    ("rx_size_1024_to_max_packets", |c| c.prc1522),
    ("rx_broadcast_packets", |c| c.bprc),
    ("rx_multicast_packets", |c| c.mprc),
    ("rx_fragment_errors", |c| c.rfc),
    ("rx_undersize_errors", |c| c.ruc),
    ("rx_oversize_errors", |c| c.roc),
    ("rx_jabber_errors", |c| c.rjc),
    ("rx_management_packets", |c| c.mngprc),
    ("rx_management_dropped", |c| c.mngpdc),
    ("tx_management_packets", |c| c.mngptc),
    ("rx_total_packets", |c| c.tpr),
    ("rx_total_bytes", |c| c.bytes.tor.saturating_sub(c.tpr.wrapping_mul(FCS))),
    ("tx_total_packets", |c| c.tpt),
    ("tx_size_64_packets", |c| c.ptc64.saturating_sub(c.pause_frames())),
    ("tx_size_65_to_127_packets", |c| c.ptc127),
    ("tx_size_128_to_255_packets", |c| c.ptc255),
    ("tx_size_256_to_511_packets", |c| c.ptc511),
    ("tx_size_512_to_1023_packets", |c| c.ptc1023),
    ("tx_size_1024_to_max_packets", |c| c.ptc1522),
    ("tx_multicast_packets", |c| c.mptc.saturating_sub(c.pause_frames())),
    ("tx_broadcast_packets", |c| c.bptc),
    ("rx_mac_short_packet_dropped", |c| c.mspdc),
    ("rx_l3_l4_xsum_error", |c| c.xec),
    ("flow_director_added_filters", |c| c.flow_director.added),
    ("flow_director_removed_filters", |c| c.flow_director.removed),
    ("flow_director_filter_add_errors", |c| c.flow_director.add_failed),
    ("flow_director_filter_remove_errors", |c| c.flow_director.remove_failed),
    ("flow_director_matched_filters", |c| c.flow_director.matched),
    ("flow_director_missed_filters", |c| c.flow_director.missed),
    ("rx_fcoe_crc_errors", |c| c.fccrc),
    ("rx_fcoe_dropped", |c| c.fcoerpdc),
    ("rx_fcoe_mbuf_allocation_errors", |c| c.fclast),
    ("rx_fcoe_packets", |c| c.fcoeprc),
    ("tx_fcoe_packets", |c| c.fcoeptc),
    ("rx_fcoe_bytes", |c| c.fcoedwrc.wrapping_mul(4)),
    ("tx_fcoe_bytes", |c| c.fcoedwtc.wrapping_mul(4)),
    ("rx_fcoe_no_direct_data_placement", |_| 0),
    ("rx_fcoe_no_direct_data_placement_ext_buff", |_| 0),
    ("tx_flow_control_xon_packets", |c| c.lxontxc),
    ("rx_flow_control_xon_packets", |c| c.lxonrxc),
    ("tx_flow_control_xoff_packets", |c| c.lxofftxc),
    ("rx_flow_control_xoff_packets", |c| c.lxoffrxc),
    ("rx_total_missed_packets", |c| c.missed()),
];

/// Those of each class: direction, and what comes after the class's number.
const CLASS: [(&str, &str, Value<Class>); 7] = [
    ("rx", "mbuf_allocation_errors", |_| 0),
    ("rx", "dropped", |c| c.mpc),
    ("rx", "xon_packets", |c| c.pxonrxc),
    ("rx", "xoff_packets", |c| c.pxoffrxc),
    ("tx", "xon_packets", |c| c.pxontxc),
    ("tx", "xoff_packets", |c| c.pxofftxc),
    ("tx", "xon_to_xoff_packets", |c| c.pxon2offc),
];

impl Counters {
    /// Returns the pause frames sent, which the device counts as packets too.
    pub(super) fn pause_frames(&self) -> u64 {
        self.lxontxc.wrapping_add(self.lxofftxc)
    }

    /// Returns the packets that found no room in a packet buffer.
    pub(super) fn missed(&self) -> u64 {
        self.classes.iter().fold(0, |sum, class| sum.wrapping_add(class.mpc))
    }

    /// Calls `each` with the device's statistics and those of its classes.
    pub(super) fn each(&self, each: &mut dyn FnMut(&str, u64)) {
        DEVICE.iter().for_each(|(name, value)| each(name, value(self)));
        let mut name = Name::new();
        for (direction, what, value) in &CLASS {
            for class in 0..CLASSES {
                each(
                    name.set(format_args!("{direction}_priority{class}_{what}")),
                    value(&self.classes[class]),
                );
            }
        }
    }
}
