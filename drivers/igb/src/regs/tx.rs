//! Transmit: queues (section 8.12).

use core::time::Duration;

use vfio_hal::poll::Quiesce;

vfio_hal::registers! {
    in super::Igb;

    /// Transmit control (8.12.1).
    pub TCTL @ 0x00400 RW {
        /// Packets are sent.
        en: 1,
        /// Pads short packets.
        psp: 3,
        /// Attempts in half duplex.
        ct: 11:4,
        bst: 21:12,
        swxoff: 22,
        /// Sends again after a late collision.
        rtlc: 24,
    }
    /// Base of a descriptor ring (8.12).
    pub TDBA @ 0x0E000 + 0x40 * [16] BUS<u32x2, align 128>;
    /// Length of a descriptor ring in bytes, a multiple of 128 (8.12).
    pub TDLEN @ 0x0E008 + 0x40 * [16] RW { len: 19:0 }
    /// The descriptor that the device uses next (8.12).
    pub TDH @ 0x0E010 + 0x40 * [16] RW { tdh: 15:0 }
    /// How transmit accesses memory (8.13; Linux and DPDK: DCA_TXCTRL).
    pub TXCTL @ 0x0E014 + 0x40 * [16] RW {
        tx_desc_dca_en: 5,
        /// Descriptors are read with relaxed ordering.
        tx_desc_read_ro_en: 9,
        /// Descriptors and heads are written back with relaxed ordering.
        tx_desc_write_ro_en: 11,
        /// Data is read with relaxed ordering.
        tx_data_read_ro_en: 13,
        cpuid: 31:24,
    }
    /// One past the last descriptor the device may use (8.12).
    pub TDT @ 0x0E018 + 0x40 * [16] RW { tdt: 15:0 }
    /// Transmit descriptor control (8.12).
    pub TXDCTL @ 0x0E028 + 0x40 * [16] RW {
        /// Fetches when fewer than this many descriptors are on chip.
        pthresh: 4:0,
        /// Fetches only if the host has this many.
        hthresh: 12:8,
        /// Writes back in batches of this many; must be 0 with head write-back.
        wthresh: 20:16,
        /// Reads what the queue is, not what was written.
        enable: 25,
        swflsh: 26,
        priority: 27,
    }
    /// Where the device writes the head to (8.12).
    pub TDWBA @ 0x0E038 + 0x40 * [16] BUS<u32x2, align 16> { head_wb_en: 0 }
}

impl Quiesce for TXDCTL {
    const WHAT: &'static str = "transmit queue disable (TXDCTL.ENABLE)";
    // 4.5.10: the queue is empty or flushed by then; the last write-back needs its way to memory.
    const SETTLE: Duration = Duration::from_micros(100);

    fn is_quiet(self) -> bool {
        !self.enable()
    }
}
