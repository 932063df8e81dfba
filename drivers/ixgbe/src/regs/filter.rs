//! Receive filters: addresses, VLAN, 5-tuple, EtherType (datasheet 8.2.3.7, 7.1.2).

vfio_hal::registers! {
    in super::Ixgbe;

    /// Filter control (8.2.3.7.1). Only to be changed while RXCTRL.rxen is 0.
    pub FCTRL @ 0x05080 RW {
        /// Stores bad packets.
        sbp: 1,
        /// Accepts all multicast.
        mpe: 8,
        /// Accepts all unicast.
        upe: 9,
        /// Accepts broadcast.
        bam: 10,
    }
    /// VLAN control (8.2.3.7.2).
    pub VLNCTRL @ 0x05088 RW {
        /// The EtherType of a VLAN tag.
        vet: 15:0,
        /// The CFI bit that is accepted, if `cfien`.
        cfi: 28, cfien: 29,
        /// The VLAN filter is in force.
        vfe: 30,
        /// Strips tags; 82598 only, RXDCTL.vme here.
        vme: 31,
    }
    /// Multicast control (8.2.3.7.2).
    pub MCSTCTRL @ 0x05090 RW {
        /// Which 12 bits of an address index the table: 0 47:36, 1 46:35, 2 45:34, 3 43:32.
        mo: 1:0,
        mfe: 2,
    }
    /// Multicast table, 4,096 bits (8.2.3.7.7).
    pub MTA @ 0x05200 + 4 * [128] RW;
    /// Receive address, bytes 0 to 3 (8.2.3.7.8).
    pub RAL @ 0x0A200 + 8 * [128] = 0x05400 + 8 * [16] RW;
    /// Receive address, bytes 4 and 5 (8.2.3.7.9).
    pub RAH @ 0x0A204 + 8 * [128] = 0x05404 + 8 * [16] RW {
        rah: 15:0,
        /// The address is valid. Writing `rah` without it disables the address.
        av: 31,
    }
    /// Pools of a receive address, two words each (8.2.3.7.10).
    pub MPSAR @ 0x0A600 + 4 * [256] RW;
    /// VLAN filter table, 4,096 bits (8.2.3.7.11).
    pub VFTA @ 0x0A000 + 4 * [128] RW;
    /// 5-tuple filter: source address, as on the wire (8.2.3.7.16).
    pub SAQF @ 0x0E000 + 4 * [128] RW;
    /// 5-tuple filter: destination address, as on the wire (8.2.3.7.17).
    pub DAQF @ 0x0E200 + 4 * [128] RW;
    /// 5-tuple filter: ports, as on the wire (8.2.3.7.18).
    pub SDPQF @ 0x0E400 + 4 * [128] RW { source_port: 15:0, destination_port: 31:16 }
    /// 5-tuple filter: the rest (8.2.3.7.19).
    pub FTQF @ 0x0E600 + 4 * [128] RW {
        /// 0 TCP, 1 UDP, 2 SCTP, 3 other.
        protocol: 1:0,
        /// 7 is the highest.
        priority: 4:2,
        pool: 13:8,
        /// A 1 leaves a field out: 25 source address, 26 destination address, 27 source port, 28 destination
        /// port, 29 protocol.
        mask: 29:25,
        /// Leaves the pool out.
        pool_mask: 30,
        queue_enable: 31,
    }
    /// 5-tuple filter: where to (8.2.3.7).
    pub L34TIMIR @ 0x0E800 + 4 * [128] RW {
        size_thresh: 11:0,
        /// Leaves the packet size out; must be 1.
        size_bp: 12,
        lli: 20,
        rx_queue: 27:21,
    }
    /// TCP SYN filter (8.2.3.7.20).
    pub SYNQF @ 0x0EC30 RW {
        queue_enable: 0,
        rx_queue: 7:1,
        /// Goes before the 5-tuple filters.
        synqfp: 31,
    }
    /// EtherType filter (8.2.3.7.21).
    pub ETQF @ 0x05128 + 4 * [8] RW {
        etype: 15:0,
        up: 18:16, up_en: 19,
        pool: 25:20, pool_en: 26,
        fcoe: 27,
        /// X540 and X550.
        tx_antispoof: 29,
        /// IEEE 1588 packets are recognised by it.
        ieee1588: 30,
        filter_en: 31,
    }
    /// EtherType filter: where to (8.2.3.7.22).
    pub ETQS @ 0x0EC00 + 4 * [8] RW { rx_queue: 22:16, lli: 29, queue_en: 31 }
}
