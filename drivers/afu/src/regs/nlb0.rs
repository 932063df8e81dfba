//! Native loopback (OPAE, `hello_fpga` and the NLB documentation). Registers and the status block in memory (DSM).

vfio_hal::registers! {
    /// The registers.
    pub block Nlb0[0x178];

    /// The header.
    pub DFH @ 0x00 RO<u64> { id: 11:0, next: 39:16, eol: 40, version: 59:52, kind: 63:60 }
    /// Low half of the GUID.
    pub GUID_L @ 0x08 RO<u64>;
    /// High half of the GUID.
    pub GUID_H @ 0x10 RO<u64>;
    /// Holds what is written to it.
    pub SCRATCHPAD0 @ 0x100 RW<u64>;
    /// Holds what is written to it.
    pub SCRATCHPAD1 @ 0x108 RW<u64>;
    /// Where the status block is: the address itself.
    pub DSM_BASE @ 0x110 BUS<u64, align 64>;
    /// Where to read, in cache lines.
    pub SRC_ADDR @ 0x120 BUS<u64, align 64, shift 6>;
    /// Where to write, in cache lines.
    pub DST_ADDR @ 0x128 BUS<u64, align 64, shift 6>;
    /// How many cache lines.
    pub NUM_LINES @ 0x130 RW;
    /// Control: 0 resets, 1 releases, 3 starts, 7 stops.
    pub CTL @ 0x138 RW {
        /// 0 resets.
        reset_n: 0,
        start: 1,
        /// Ends a test.
        force_completion: 2,
    }
    /// What the test is.
    pub CFG @ 0x140 RW {
        write_through: 0,
        /// Starts over at the end, until it is told to stop.
        continuous: 1,
        /// 0 loopback, 1 read, 2 write, 3 throughput.
        mode: 4:2,
        /// Cache lines a request: 0 one, 1 two, 3 four.
        lines: 6:5,
        /// Read hint: 1 reads what is not cached afterwards (RDI).
        read_hint: 10:9,
        /// 0 automatic, 1 VL0, 2 VH0, 3 VH1, 4 random.
        read_channel: 14:12,
        /// As for reads.
        write_channel: 19:17,
        /// Interrupts when an error ends the test.
        interrupt_on_error: 28,
        /// Interrupts at the end.
        interrupt_test: 29,
    }
    /// After how many idle clocks a test is given up.
    pub INACT_THRESH @ 0x148 RW;
    /// Which interrupt.
    pub INTERRUPT0 @ 0x150 RW { apic: 15:0, vector: 31:16 }
    /// Counters.
    pub STATUS0 @ 0x160 RO<u64> { writes: 31:0, reads: 63:32 }
    /// Requests on their way; 0 when all is drained.
    pub STATUS1 @ 0x168 RO<u64> { pending_reads: 31:0, pending_writes: 63:32 }
    /// Further status.
    pub STATUS2 @ 0x170 RO<u64> {
        /// Clock of the accelerator; 0 where it is not told.
        mhz: 47:32,
    }
}

/// The status block, in memory.
pub mod dsm {
    /// Bytes set apart for it.
    pub const BYTES: usize = 4096;
    /// Bit 0: the test has ended (32 bits).
    pub const COMPLETE: usize = 0x40;
    /// Errors (32 bits).
    pub const ERROR: usize = 0x44;
    /// Clocks (64 bits).
    pub const CLOCKS: usize = 0x48;
    /// Cache lines read (32 bits).
    pub const READS: usize = 0x50;
    /// Cache lines written (32 bits).
    pub const WRITES: usize = 0x54;
    /// Clocks of overhead at the start (32 bits).
    pub const START_OVERHEAD: usize = 0x58;
    /// Clocks of overhead at the end (32 bits).
    pub const END_OVERHEAD: usize = 0x5c;
}
