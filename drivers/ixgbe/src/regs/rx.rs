//! Receive: queues, DMA, RSS (datasheet 8.2.3.8, 8.2.3.7).
//!
//! Queue registers lie at 1000h + 40h·n for queues 0 to 63 and at D000h + 40h·(n - 64) above.

use core::time::Duration;

use vfio_hal::poll::Quiesce;

vfio_hal::registers! {
    in super::Ixgbe;

    /// Base of a descriptor ring (8.2.3.8.1, 8.2.3.8.2).
    pub RDBA @ 0x01000 + 0x40 * [64], 0x0D000 + 0x40 * [64] BUS<u32x2, align 128>;
    /// Length of a descriptor ring in bytes, a multiple of 128 (8.2.3.8.3).
    pub RDLEN @ 0x01008 + 0x40 * [64], 0x0D008 + 0x40 * [64] RW { len: 19:0 }
    /// The descriptor that the device uses next (8.2.3.8.4).
    pub RDH @ 0x01010 + 0x40 * [64], 0x0D010 + 0x40 * [64] RW { rdh: 15:0 }
    /// One past the last descriptor the device may use (8.2.3.8.5).
    pub RDT @ 0x01018 + 0x40 * [64], 0x0D018 + 0x40 * [64] RW { rdt: 15:0 }
    /// Receive descriptor control (8.2.3.8.6).
    pub RXDCTL @ 0x01028 + 0x40 * [64], 0x0D028 + 0x40 * [64] RW {
        /// X540 and X550: the longest packet, in bytes, if `rlpml_en`.
        rlpml: 13:0, rlpml_en: 15,
        /// Reads what the queue is, not what was written.
        enable: 25,
        swflsh: 26,
        /// Strips the VLAN tag.
        vme: 30,
    }
    /// Buffers of a receive queue (8.2.3.8.7).
    pub SRRCTL @ 0x01014 + 0x40 * [64], 0x0D014 + 0x40 * [64] = 0x02100 + 4 * [16] RW {
        /// Buffer size in KiB.
        bsizepacket: 6:0,
        /// Header buffer size in units of 64 bytes.
        bsizeheader: 13:8,
        /// Low-latency interrupt below this many free descriptors, in units of 64.
        rdmts: 24:22,
        /// 0 legacy, 1 advanced with one buffer, 2 header split, 5 header split always.
        desctype: 27:25,
        /// Drops when there is no descriptor, instead of holding back all other queues.
        drop_en: 28,
    }
    /// Receive DMA control (8.2.3.8.8).
    pub RDRXCTL @ 0x02F00 RW {
        /// Must agree with HLREG0.rxcrcstrp.
        crcstrip: 1,
        /// X540 and X550: pads short packets.
        psp: 2,
        /// DMA is initialised after a reset.
        dmaidone: 3,
        aggdis: 16,
        /// Must be written 0.
        rscfrstsize: 21:17,
        rsclldis: 23,
        /// Must be written 1 with RSC.
        rscackc: 25,
        /// Must be written 1 with RSC.
        fcoe_wrfix: 26,
    }
    /// Packet buffer of a traffic class (8.2.3.8.9), in KiB.
    pub RXPBSIZE @ 0x03C00 + 4 * [8] RW { size: 19:10 }
    /// Receive control (8.2.3.8.10).
    pub RXCTRL @ 0x03000 RW { rxen: 0 }
    /// How full the packet buffers are (8.2.3.8.11).
    pub RXMEMWRAP @ 0x03190 RO {
        tc0_wrap: 2:0, tc0_empty: 3, tc1_wrap: 6:4, tc1_empty: 7, tc2_wrap: 10:8, tc2_empty: 11, tc3_wrap: 14:12,
        tc3_empty: 15, tc4_wrap: 18:16, tc4_empty: 19, tc5_wrap: 22:20, tc5_empty: 23, tc6_wrap: 26:24,
        tc6_empty: 27, tc7_wrap: 30:28, tc7_empty: 31,
    }
    /// Coalescing, whole device (8.2.3.8.12).
    pub RSCDBU @ 0x03028 RW { rscsmaldis: 6:0, rscackdis: 7 }
    /// Coalescing of a queue (8.2.3.8.13).
    pub RSCCTL @ 0x0102C + 0x40 * [64], 0x0D02C + 0x40 * [64] RW {
        rscen: 0,
        /// Most descriptors of a coalesced packet: 0 1, 1 4, 2 8, 3 16.
        maxdesc: 3:2,
    }
    /// Drop of a queue without descriptors, over SRRCTL (8.2.3.27.9; Linux and DPDK: QDE).
    pub PFQDE @ 0x02F04 RW { enable: 0, hide_vlan: 1, queue_index: 14:8, we: 16, re: 17 }

    /// Receive checksum (8.2.3.7.5).
    pub RXCSUM @ 0x05000 RW {
        /// The fragment checksum is enabled.
        ippcse: 12,
        /// The descriptor has the RSS hash instead of the fragment checksum.
        pcsd: 13,
    }
    /// Receive filter control (8.2.3.7.6).
    pub RFCTL @ 0x05008 RW { rsc_dis: 5, nfsw_dis: 6, nfsr_dis: 7, nfs_ver: 9:8, ipv6_dis: 10, ipfrsp_dis: 14 }
    /// Which headers are split, and how many queues of a pool RSS uses (8.2.3.7.4).
    pub PSRTYPE @ 0x0EA00 + 4 * [64] = 0x05480 + 4 * [16] RW {
        psr_type1: 1, tcp: 4, udp: 5, ipv4: 8, ipv6: 9, l2: 12, rqpl: 31:29,
    }
    /// How receive queues are chosen (8.2.3.7.12).
    pub MRQC @ 0x0EC80 = 0x05818 + 4 * [1] RW {
        /// 0 none, 1 RSS, 2 and 3 DCB with 8 and 4 classes, 4 and 5 the same with RSS, 8 64 pools, 10 32 pools
        /// with RSS, 11 64 pools with RSS, 12 16 pools of 8 classes, 13 32 pools of 4 classes.
        mrqe: 3:0,
        rss_tcp_ipv4: 16, rss_ipv4: 17, rss_tcp_ipv6_ex: 18, rss_ipv6_ex: 19, rss_ipv6: 20, rss_tcp_ipv6: 21,
        rss_udp_ipv4: 22, rss_udp_ipv6: 23, rss_udp_ipv6_ex: 24,
    }
    /// How many bits of the RSS index each traffic class uses (8.2.3.7.13).
    pub RQTC @ 0x0EC70 RW {
        rqtc0: 2:0, rqtc1: 6:4, rqtc2: 10:8, rqtc3: 14:12, rqtc4: 18:16, rqtc5: 22:20, rqtc6: 26:24, rqtc7: 30:28,
    }
    /// RSS key, 40 bytes (8.2.3.7.14), the first byte lowest.
    pub RSSRK @ 0x05C80 + 4 * [10] = 0x0EB80 + 4 * [10] RW;
    /// RSS redirection table, 4 of 128 entries each (8.2.3.7.15).
    pub RETA @ 0x05C00 + 4 * [32] = 0x0EB00 + 4 * [32] RW {
        entry0: 3:0, entry1: 11:8, entry2: 19:16, entry3: 27:24,
    }
    /// X550: the entries 128 to 511 of the redirection table.
    pub ERETA @ 0x0EE80 + 4 * [96] RW { entry0: 5:0, entry1: 13:8, entry2: 21:16, entry3: 29:24 }
}

impl Quiesce for RXDCTL {
    const WHAT: &'static str = "receive queue disable (RXDCTL.ENABLE)";
    // 4.6.7.1.2: memory may be released 100 µs after ENABLE reads 0.
    const SETTLE: Duration = Duration::from_micros(100);

    fn is_quiet(self) -> bool {
        !self.enable()
    }
}
