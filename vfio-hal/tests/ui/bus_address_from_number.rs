use vfio_hal::registers;
use vfio_hal::regs::View;

registers! {
    /// Registers.
    pub block Map[0x100];
    /// Read only.
    pub STATUS @ 0x00 RO { up: 0 }
    /// Write only.
    pub COMMAND @ 0x04 WO { go: 0 }
    /// Read and write.
    pub CTRL @ 0x08 RW { rst: 26 }
    /// A 1 clears.
    pub CAUSE @ 0x0c W1C { rx: 0 }
    /// Clears when read.
    pub COUNT @ 0x10 RC;
    /// A bus address.
    pub BASE @ 0x18 BUS<u32x2, align 128>;
    /// An array.
    pub TAIL @ 0x20 + 4 * [4] RW;
}

fn main() {}

fn misuse(regs: &View<Map>) {
    regs.write(BASE::new(0xdead_0000));
}

fn misuse_through_token(regs: &View<Map>) -> Result<(), vfio_hal::DeviceError> {
    regs.write_bus::<BASE>(0, 0xdead_0000)
}

fn misuse_of_number(regs: &View<Map>, address: vfio_hal::BusAddr) -> Result<(), vfio_hal::DeviceError> {
    regs.write_bus::<CTRL>(0, address)
}
