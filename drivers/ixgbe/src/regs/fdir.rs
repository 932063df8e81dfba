//! Flow director: filters by exact flow or by its hash (datasheet 8.2.3.17, 7.1.2.7).
//!
//! Addresses and ports are big endian here, as on the wire.

vfio_hal::registers! {
    in super::Ixgbe;

    /// Flow director control. Keys first, then this, then poll `init_done`.
    pub FDIRCTRL @ 0x0EE00 RW {
        /// Packet buffer given to filters: 1 64 KiB, 2 128 KiB, 3 256 KiB.
        pballoc: 1:0,
        init_done: 3,
        /// Exact filters; otherwise by hash.
        perfect_match: 4,
        /// Reports matches in the descriptor.
        report_status: 5,
        /// Reports in every descriptor.
        report_status_always: 7,
        drop_queue: 14:8,
        /// Where in the packet the two flexible bytes are, in units of 2.
        flex_offset: 20:16,
        max_length: 27:24,
        full_thresh: 31:28,
    }
    /// Bucket hash key.
    pub FDIRHKEY @ 0x0EE68 RW;
    /// Signature hash key.
    pub FDIRSKEY @ 0x0EE6C RW;
    /// Mask of the IPv4 destination; a 1 leaves the bit out, as in all masks here.
    pub FDIRDIP4M @ 0x0EE3C RW;
    /// Mask of the IPv4 source.
    pub FDIRSIP4M @ 0x0EE40 RW;
    /// Mask of the TCP ports.
    pub FDIRTCPM @ 0x0EE44 RW { sportm: 15:0, dportm: 31:16 }
    /// Mask of the UDP ports.
    pub FDIRUDPM @ 0x0EE48 RW { sportm: 15:0, dportm: 31:16 }
    /// Mask of the SCTP ports (X540, X550).
    pub FDIRSCTPM @ 0x0EE78 RW { sportm: 15:0, dportm: 31:16 }
    /// Mask of the IPv6 addresses, one bit a byte.
    pub FDIRIP6M @ 0x0EE74 RW { sipm: 15:0, dipm: 31:16 }
    /// Mask of everything else.
    pub FDIRM @ 0x0EE70 RW { vlanid: 0, vlanp: 1, pool: 2, l4p: 3, flex: 4, dipv6: 5, l3p: 6 }

    /// Free filters and collisions.
    pub FDIRFREE @ 0x0EE38 RW { free: 15:0, coll: 30:16 }
    /// Longest list of filters and its hash; clears on read.
    pub FDIRLEN @ 0x0EE4C RC { maxlen: 5:0, maxhash: 30:16 }
    /// Filters added and removed.
    pub FDIRUSTAT @ 0x0EE50 RC { add: 15:0, remove: 31:16 }
    /// Filters that could not be added or removed.
    pub FDIRFSTAT @ 0x0EE54 RC { fadd: 7:0, fremove: 15:8 }
    /// Packets that matched.
    pub FDIRMATCH @ 0x0EE58 RC;
    /// Packets that did not match.
    pub FDIRMISS @ 0x0EE5C RC;

    /// A filter: IPv6 source, words 0 to 2.
    pub FDIRSIPV6 @ 0x0EE0C + 4 * [3] RW;
    /// A filter: IPv4 source, or word 3 of the IPv6 source.
    pub FDIRIPSA @ 0x0EE18 RW;
    /// A filter: IPv4 destination.
    pub FDIRIPDA @ 0x0EE1C RW;
    /// A filter: ports.
    pub FDIRPORT @ 0x0EE20 RW { source: 15:0, destination: 31:16 }
    /// A filter: VLAN tag and flexible bytes.
    pub FDIRVLAN @ 0x0EE24 RW { vlan: 15:0, flex: 31:16 }
    /// A filter: hash, and the signature or software's index.
    pub FDIRHASH @ 0x0EE28 RW { hash: 14:0, bucket_valid: 15, signature_sw_index: 30:16 }
    /// What to do with a filter: writing sets it off, `cmd` reads 0 when done.
    pub FDIRCMD @ 0x0EE2C RW {
        /// 1 add, 2 remove, 3 query.
        cmd: 1:0,
        filter_valid: 2, filter_update: 3,
        ipv6_dmatch: 4,
        /// 1 UDP, 2 TCP, 3 SCTP.
        l4type: 6:5,
        ipv6: 7, clearht: 8, drop: 9, int: 10, last: 11, collision: 12,
        queue_en: 15, rx_queue: 22:16,
        pool: 29:24,
    }
}
