//! Partial reconfiguration (feature 5; Linux, `dfl-fme-mgr.c`).

vfio_hal::registers! {
    /// The partial reconfiguration block.
    pub block Pr[0xb8];

    /// The feature's header.
    pub DFH @ 0x00 RO<u64> { id: 11:0, revision: 15:12, next: 39:16, eol: 40, version: 59:52, kind: 63:60 }
    /// Control.
    pub PR_CTRL @ 0x08 RW<u64> {
        /// Resets the engine.
        reset: 0,
        /// The engine is reset.
        reset_ack: 4,
        /// The port to reconfigure.
        region: 9:7,
        /// Starts; reads 0 again when the engine is done.
        start: 12,
        /// All data were written.
        complete: 13,
    }
    /// Status.
    pub PR_STS @ 0x10 RO<u64> {
        /// Words that may be written; wait while it is 0 or 1.
        credit: 8:0,
        /// Busy; after the end: failed.
        busy: 16,
        controller: 22:20,
        host: 27:24,
    }
    /// Data, 32 bits a write.
    pub PR_DATA @ 0x18 WO<u64> { data: 31:0 }
    /// Errors; valid while `busy` is set after the end.
    pub PR_ERR @ 0x20 W1C<u64> { operation: 0, crc: 1, incompatible: 2, protocol: 3, fifo_overflow: 4 }
    /// Low half of the interface id.
    pub PR_INTFC_ID_L @ 0xa8 RO<u64>;
    /// High half of the interface id.
    pub PR_INTFC_ID_H @ 0xb0 RO<u64>;
}
