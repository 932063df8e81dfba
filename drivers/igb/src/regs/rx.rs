//! Receive: queues, checksums, RSS (section 8.10).

use core::time::Duration;

use vfio_hal::poll::Quiesce;

vfio_hal::registers! {
    in super::Igb;

    /// Receive control (8.10.1).
    pub RCTL @ 0x00100 RW {
        /// Packets are received.
        rxen: 1,
        /// Stores bad packets.
        sbp: 2,
        /// Accepts all unicast.
        upe: 3,
        /// Accepts all multicast.
        mpe: 4,
        /// Accepts packets of up to RLPML bytes.
        lpe: 5,
        /// Loopback: 0 none.
        lbm: 7:6,
        /// Which 12 bits of an address index the multicast table: 0 47:36, 1 46:35, 2 45:34, 3 43:32.
        mo: 13:12,
        /// Accepts broadcast.
        bam: 15,
        /// The VLAN filter is in force.
        vfe: 18,
        cfien: 19,
        cfi: 20,
        /// Pads short packets that are received.
        psp: 21,
        /// Discards pause frames.
        dpf: 22,
        /// Passes other MAC control frames.
        pmcf: 23,
        /// Strips the frame check sequence.
        secrc: 26,
    }
    /// The longest packet in bytes, VLAN tag and check sequence included, if RCTL.lpe (8.10).
    pub RLPML @ 0x05004 RW { rlpml: 13:0 }
    /// Base of a descriptor ring (8.10).
    pub RDBA @ 0x0C000 + 0x40 * [16] BUS<u32x2, align 128>;
    /// Length of a descriptor ring in bytes, a multiple of 128 (8.10).
    pub RDLEN @ 0x0C008 + 0x40 * [16] RW { len: 19:0 }
    /// Buffers of a receive queue (8.10.2).
    pub SRRCTL @ 0x0C00C + 0x40 * [16] RW {
        /// Buffer size in KiB.
        bsizepacket: 6:0,
        /// Header buffer size in units of 64 bytes.
        bsizeheader: 13:8,
        /// Low-latency interrupt below this many free descriptors, in units of 16.
        rdmts: 24:20,
        /// 0 legacy, 1 advanced with one buffer, 2 header split, 5 header split always.
        desctype: 27:25,
        /// I350: time stamps are in front of the packet.
        timestamp: 30,
        /// Drops when there is no descriptor, instead of holding back all other queues.
        drop_en: 31,
    }
    /// The descriptor that the device uses next (8.10).
    pub RDH @ 0x0C010 + 0x40 * [16] RW { rdh: 15:0 }
    /// One past the last descriptor the device may use (8.10).
    pub RDT @ 0x0C018 + 0x40 * [16] RW { rdt: 15:0 }
    /// Receive descriptor control (8.10).
    pub RXDCTL @ 0x0C028 + 0x40 * [16] RW {
        /// Fetches when fewer than this many descriptors are on chip.
        pthresh: 4:0,
        /// Fetches only if the host has this many.
        hthresh: 12:8,
        /// Writes back in batches of this many.
        wthresh: 20:16,
        /// Reads what the queue is, not what was written.
        enable: 25,
        swflush: 26,
    }
    /// Packets dropped for want of a descriptor, per queue (8.10).
    pub RQDPC @ 0x0C030 + 0x40 * [16] RC;
    /// I350: what is taken out of the packets of a queue (I350 datasheet 8.14; DPDK's and Linux's name).
    pub DVMOLR @ 0x0C038 + 0x40 * [8] RW {
        hidevlan: 29,
        /// The VLAN tag; goes with CTRL.vme.
        strvlan: 30,
        /// The frame check sequence; must agree with RCTL.secrc.
        strcrc: 31,
    }
    /// Receive checksum (8.10).
    pub RXCSUM @ 0x05000 RW {
        pcss: 7:0,
        /// IPv4 header checksums are checked.
        ipofl: 8,
        /// TCP and UDP checksums are checked.
        tuofl: 9,
        /// SCTP checksums are checked.
        crcofl: 11,
        ippcse: 12,
        /// The descriptor has the RSS hash instead of the fragment checksum.
        pcsd: 13,
    }
    /// Receive filter control (8.10).
    pub RFCTL @ 0x05008 RW { nfsw_dis: 6, nfsr_dis: 7, ipv6_dis: 10, ipfrsp_dis: 14, lef: 18, synqfp: 19 }
    /// How receive queues are chosen (8.10).
    pub MRQC @ 0x05818 RW {
        /// 0 none, 2 RSS, 3 pools, 5 pools with RSS.
        mrqe: 2:0,
        /// The queue of packets that nothing sends elsewhere.
        def_q: 5:3,
        rss_tcp_ipv4: 16, rss_ipv4: 17, rss_tcp_ipv6_ex: 18, rss_ipv6_ex: 19, rss_ipv6: 20, rss_tcp_ipv6: 21,
        rss_udp_ipv4: 22, rss_udp_ipv6: 23, rss_udp_ipv6_ex: 24,
    }
    /// RSS redirection table, 4 of 128 entries each (8.10).
    pub RETA @ 0x05C00 + 4 * [32] RW { entry0: 3:0, entry1: 11:8, entry2: 19:16, entry3: 27:24 }
    /// RSS key, 40 bytes (8.10), the first byte lowest.
    pub RSSRK @ 0x05C80 + 4 * [10] RW;
}

impl Quiesce for RXDCTL {
    const WHAT: &'static str = "receive queue disable (RXDCTL.ENABLE)";
    // 4.5.9: ENABLE reads 0 only after all accesses to ring and buffers. The margin is the 82599's.
    const SETTLE: Duration = Duration::from_micros(100);

    fn is_quiet(self) -> bool {
        !self.enable()
    }
}
