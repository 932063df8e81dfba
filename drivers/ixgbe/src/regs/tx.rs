//! Transmit: queues, DMA, packet buffers (datasheet 8.2.3.9).

use core::time::Duration;

use vfio_hal::poll::Quiesce;

vfio_hal::registers! {
    in super::Ixgbe;

    /// How many bytes may be requested and not yet here (8.2.3.9.1), in units of 256; 12 bits.
    pub DTXMXSZRQ @ 0x08100 RW { max_bytes_num_req: 11:0 }
    /// Transmit DMA control (8.2.3.9.2).
    pub DMATXCTL @ 0x04A80 RW {
        te: 0,
        /// Double VLAN.
        gdv: 3,
        /// The EtherType of an inserted tag: VLNCTRL.vet again.
        vt: 31:16,
    }
    /// TCP flags that a segment keeps, first and middle ones (8.2.3.9.3).
    pub DTXTCPFLGL @ 0x04A88 RW { first_seg: 11:0, mid_seg: 27:16 }
    /// TCP flags that a segment keeps, the last one (8.2.3.9.4).
    pub DTXTCPFLGH @ 0x04A8C RW { last_seg: 11:0 }
    /// Base of a descriptor ring (8.2.3.9.5, 8.2.3.9.6).
    pub TDBA @ 0x06000 + 0x40 * [128] BUS<u32x2, align 128>;
    /// Length of a descriptor ring in bytes, a multiple of 128 (8.2.3.9.7).
    pub TDLEN @ 0x06008 + 0x40 * [128] RW { len: 19:0 }
    /// The descriptor that the device uses next (8.2.3.9.8).
    pub TDH @ 0x06010 + 0x40 * [128] RW { tdh: 15:0 }
    /// One past the last descriptor the device may use (8.2.3.9.9).
    pub TDT @ 0x06018 + 0x40 * [128] RW { tdt: 15:0 }
    /// Transmit descriptor control (8.2.3.9.10).
    pub TXDCTL @ 0x06028 + 0x40 * [128] RW {
        /// Fetches when fewer than this many descriptors are on chip.
        pthresh: 6:0,
        /// Fetches only if the host has this many; not 0 with `pthresh`.
        hthresh: 14:8,
        /// Writes back in batches of this many; must be 0 with RS in descriptors or with head write-back.
        wthresh: 22:16,
        /// Reads what the queue is, not what was written.
        enable: 25,
        swflsh: 26,
    }
    /// Where the device writes the head to (8.2.3.9.11, 8.2.3.9.12).
    pub TDWBA @ 0x06038 + 0x40 * [128] BUS<u32x2, align 16> { head_wb_en: 0 }
    /// Packet buffer of a traffic class (8.2.3.9.13), in KiB.
    pub TXPBSIZE @ 0x0CC00 + 4 * [8] RW { size: 19:10 }
    /// Which class management packets use (8.2.3.9.14).
    pub MNGTXMAP @ 0x0CD10 RW { map: 2:0 }
    /// How transmit queues are grouped (8.2.3.9.15). Only to be changed while RTTDCS.arbdis is 1.
    pub MTQC @ 0x08120 RW { rt_ena: 0, vt_ena: 1, num_tc_or_q: 3:2 }
    /// Free space at which a class fetches the next packet (8.2.3.9.16), in KiB.
    pub TXPBTHRESH @ 0x04950 + 4 * [8] RW { thresh: 9:0 }
}

impl Quiesce for TXDCTL {
    const WHAT: &'static str = "transmit queue disable (TXDCTL.ENABLE)";
    // 4.6.8.1: the queue is empty or flushed by then; the last write-back needs its way to memory.
    const SETTLE: Duration = Duration::from_micros(100);

    fn is_quiet(self) -> bool {
        !self.enable()
    }
}
