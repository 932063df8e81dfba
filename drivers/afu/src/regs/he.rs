//! The host exercisers HE-LBK and HE-MEM (OPAE, `host_exerciser.h`). Registers and the status block in memory (DSM).
//!
//! Addresses are in units of the host bus's width, which [`INFO0`] tells (64 bytes before API version 3): each address
//! register is declared once per width, and they share their place.

vfio_hal::registers! {
    /// The registers.
    pub block HostExerciser[0x188];

    /// The header.
    pub DFH @ 0x00 RO<u64> { id: 11:0, next: 39:16, eol: 40, version: 59:52, kind: 63:60 }
    /// Low half of the GUID.
    pub GUID_L @ 0x08 RO<u64>;
    /// High half of the GUID.
    pub GUID_H @ 0x10 RO<u64>;
    /// Holds what is written to it.
    pub SCRATCHPAD0 @ 0x100 RW;
    /// Holds what is written to it.
    pub SCRATCHPAD1 @ 0x104 RW;
    /// Holds what is written to it.
    pub SCRATCHPAD2 @ 0x108 RW<u64>;
    /// Where the status block is, on a 64-byte bus.
    pub DSM_BASE @ 0x110 BUS<u32x2, align 64, shift 6>;
    /// Where the status block is, on a 32-byte bus.
    pub DSM_BASE_32 @ 0x110 BUS<u32x2, align 32, shift 5>;
    /// Where the status block is, on a 128-byte bus.
    pub DSM_BASE_128 @ 0x110 BUS<u32x2, align 128, shift 7>;
    /// Where the status block is, on a 256-byte bus.
    pub DSM_BASE_256 @ 0x110 BUS<u32x2, align 256, shift 8>;
    /// Where to read, on a 64-byte bus.
    pub SRC_ADDR @ 0x120 BUS<u64, align 64, shift 6>;
    /// Where to read, on a 32-byte bus.
    pub SRC_ADDR_32 @ 0x120 BUS<u64, align 32, shift 5>;
    /// Where to read, on a 128-byte bus.
    pub SRC_ADDR_128 @ 0x120 BUS<u64, align 128, shift 7>;
    /// Where to read, on a 256-byte bus.
    pub SRC_ADDR_256 @ 0x120 BUS<u64, align 256, shift 8>;
    /// Where to write, on a 64-byte bus.
    pub DST_ADDR @ 0x128 BUS<u64, align 64, shift 6>;
    /// Where to write, on a 32-byte bus.
    pub DST_ADDR_32 @ 0x128 BUS<u64, align 32, shift 5>;
    /// Where to write, on a 128-byte bus.
    pub DST_ADDR_128 @ 0x128 BUS<u64, align 128, shift 7>;
    /// Where to write, on a 256-byte bus.
    pub DST_ADDR_256 @ 0x128 BUS<u64, align 256, shift 8>;
    /// How many lines of the bus's width, less 1.
    pub NUM_LINES @ 0x130 RW<u64> { last: 31:0 }
    /// Control.
    pub CTL @ 0x138 RW {
        /// 0 resets.
        reset_n: 0,
        start: 1,
        /// Ends a test.
        force_completion: 2,
    }
    /// What the test is.
    pub CFG @ 0x140 RW<u64> {
        /// Random delays between requests.
        delay: 0,
        /// Starts over at the end, until it is told to stop.
        continuous: 1,
        /// 0 loopback, 1 read, 2 write, 3 throughput.
        mode: 4:2,
        /// log2 of the lines a request, low bits.
        length: 6:5,
        /// Bit 0 on, bit 1 for 8 bytes instead of 4, bits 3:2: 0 fetch-add, 1 swap, 2 compare-and-swap.
        atomic: 11:7,
        /// 0 default, 1 data mover, 2 power user, 3 random.
        encoding: 13:12,
        /// In throughput mode: 0 one read, one write; 1 two and two; 2 four and four.
        interleave: 22:20,
        interrupt_on_error: 28,
        /// Interrupts at the end.
        interrupt_test: 29,
        /// log2 of the lines a request, high bits.
        length_high: 31:30,
    }
    /// After how many idle clocks a test is given up.
    pub INACT_THRESH @ 0x148 RW;
    /// Which interrupt.
    pub INTERRUPT0 @ 0x150 RW { apic: 15:0, vector: 31:16 }
    /// What the test found: not 0 for a failure.
    pub SWTEST_MSG @ 0x158 RO<u64>;
    /// Counters.
    pub STATUS0 @ 0x160 RO<u64> { writes: 31:0, reads: 63:32 }
    /// Requests on their way.
    pub STATUS1 @ 0x168 RO<u64> {
        pending_writes: 15:0, pending_reads: 31:16, pending_memory_writes: 47:32, pending_memory_reads: 63:48,
    }
    /// Errors.
    pub ERROR @ 0x170 RO<u64> { error: 31:0 }
    /// From one line to the next, in lines.
    pub STRIDE @ 0x178 RW;
    /// What the accelerator is.
    pub INFO0 @ 0x180 RO<u64> {
        /// 0: not known.
        mhz: 15:0,
        api: 23:16,
        no_atomics: 24,
        /// log2 of the host bus's bytes, less 5; from API 3 on.
        bus: 26:25,
        /// log2 of the local memory bus's bytes, less 2; from API 4 on.
        local_bus: 31:27,
    }
}

/// The status block, in memory.
pub mod dsm {
    /// Bytes set apart for it.
    pub const BYTES: usize = 4096;
    /// Bit 0 of the first byte: the test has ended; 15:1 the block's number; 63:32 errors (64 bits).
    pub const STATE: usize = 0x00;
    /// Ticks 39:0, high bits of reads 55:48 and writes 63:56 (64 bits).
    pub const TICKS: usize = 0x08;
    /// Lines read, low bits (32 bits).
    pub const READS: usize = 0x10;
    /// Lines written, low bits (32 bits).
    pub const WRITES: usize = 0x14;
    /// Ticks until the first response (15:0; 32 bits).
    pub const PENALTY_START: usize = 0x18;
    /// Ticks after the last one (7:0; 32 bits).
    pub const PENALTY_END: usize = 0x1c;
    /// More of what went wrong (32 bits).
    pub const ERROR_INFO: usize = 0x20;
}
