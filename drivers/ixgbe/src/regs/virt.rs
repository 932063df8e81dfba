//! Pools and virtual functions, as the physical function sees them (datasheet 8.2.3.27, 7.10).

vfio_hal::registers! {
    in super::Ixgbe;

    /// Virtualization control (8.2.3.27.1; Linux and DPDK: VT_CTL).
    pub PFVTCTL @ 0x051B0 RW {
        vt_ena: 0,
        /// The pool of what matches no other.
        def_pl: 12:7,
        dis_def_pool: 29,
        /// Copies multicast and broadcast to every pool that wants it.
        rpl_en: 30,
    }
    /// Mailbox of a virtual function (8.2.3.27.2).
    pub PFMAILBOX @ 0x04B00 + 4 * [64] RW {
        /// A message is in the mailbox; interrupts the VF.
        sts: 0,
        /// The PF has read the VF's message.
        ack: 1,
        vfu: 2, pfu: 3,
        /// Takes the mailbox away from the VF.
        rvfu: 4,
    }
    /// Mailbox memory: 16 words for each of 64 virtual functions.
    pub PFMBMEM @ 0x13000 + 4 * [1024] RW;
    /// Which VF sent a message or an acknowledge, 16 each (8.2.3.27.3).
    pub PFMBICR @ 0x00710 + 4 * [4] W1C { vfreq: 15:0, vfack: 31:16 }
    /// Which VF's mailbox interrupts (8.2.3.27.4).
    pub PFMBIMR @ 0x00720 + 4 * [2] RW;
    /// Which VF was reset by FLR (8.2.3.27.5).
    pub PFVFLRE @ 0x00600 + 4 * [1], 0x001C0 + 4 * [1] RO;
    /// Clears PFVFLRE (8.2.3.27.6).
    pub PFVFLREC @ 0x00700 + 4 * [2] W1C;
    /// Which VF may receive (8.2.3.27.7; Linux and DPDK: VFRE).
    pub PFVFRE @ 0x051E0 + 4 * [2] RW;
    /// Which VF may send (8.2.3.27.8; Linux and DPDK: VFTE).
    pub PFVFTE @ 0x08110 + 4 * [2] RW;
    /// Which pools' packets go out although they match locally.
    pub PFVMTXSW @ 0x05180 + 4 * [2] RW;
    /// Which queue did what it must not, receive (8.2.3.27).
    pub WQBR_RX @ 0x02FB0 + 4 * [4] W1C;
    /// Which queue did what it must not, transmit (8.2.3.27).
    pub WQBR_TX @ 0x08130 + 4 * [4] W1C;
    /// The last receive misbehaviour's cause.
    pub LVMMC_RX @ 0x02FA8 RC;
    /// The last transmit misbehaviour's cause.
    pub LVMMC_TX @ 0x08108 RC;
    /// What a pool accepts (8.2.3.27.14; Linux and DPDK: VMOLR).
    pub PFVML2FLT @ 0x0F000 + 4 * [64] RW {
        /// X540 and X550: all unicast.
        upe: 22,
        /// X540 and X550: any VLAN.
        vpe: 23,
        /// Untagged packets.
        aupe: 24,
        /// What the multicast table holds.
        rompe: 25,
        /// What the unicast table holds.
        rope: 26,
        /// Broadcast.
        bam: 27,
        /// All multicast.
        mpe: 28,
    }
    /// VLAN of pools: the tag (8.2.3.27.15; Linux and DPDK: VLVF).
    pub PFVLVF @ 0x0F100 + 4 * [64] RW { vlan_id: 11:0, vi_en: 31 }
    /// VLAN of pools: the pools, two words each (8.2.3.27.16; Linux and DPDK: VLVFB).
    pub PFVLVFB @ 0x0F200 + 4 * [128] RW;
    /// Unicast table, 4,096 bits (8.2.3.27.17; Linux and DPDK: UTA).
    pub PFUTA @ 0x0F400 + 4 * [128] RW;
    /// Mirror rules (8.2.3.27).
    pub PFMRCTL @ 0x0F600 + 4 * [4] RW { vpme: 0, upme: 1, dpme: 2, vlme: 3, mp: 13:8 }
    /// VLANs of mirror rules (8.2.3.27).
    pub PFMRVLAN @ 0x0F610 + 4 * [8] RW;
    /// Pools of mirror rules (8.2.3.27).
    pub PFMRVM @ 0x0F630 + 4 * [8] RW;
    /// The VLAN tag a pool's packets get (8.2.3.27; Linux and DPDK: VMVIR).
    pub PFVMVIR @ 0x08000 + 4 * [64] RW {
        port_vlan_id: 15:0,
        /// 0 by the descriptor, 1 always this tag, 2 never.
        vlana: 31:30,
    }
    /// Anti-spoofing, 8 pools each (8.2.3.27).
    pub PFVFSPOOF @ 0x08200 + 4 * [8] RW { macas: 7:0, vlanas: 15:8 }
    /// Local switching between pools (8.2.3.27).
    pub PFDTXGSWC @ 0x08220 RW { lbe: 0 }
}
