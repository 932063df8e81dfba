use vfio_hal::registers;

registers! {
    /// Registers.
    pub block Map[0x100];
    /// One past the end.
    pub LATE @ 0x100 RW;
    /// The last entry is past the end.
    pub ARRAY @ 0xc0 + 0x10 * [5] RW;
    /// Not aligned to its width.
    pub CROOKED @ 0x06 RW;
    /// Entries on top of each other.
    pub DENSE @ 0x10 + 4 * [4] RW<u64>;
    /// A bit that a 32-bit register does not have.
    pub WIDE @ 0x40 RW { bit: 32 }
    /// A flag in the middle of an address.
    pub BASE @ 0x48 BUS<u64, align 16> { enable: 4 }
}

fn main() {}
