//! Reading the X550's flash by a command to its firmware (X550 datasheet, host interface; DPDK: shadow RAM read).
//!
//! A command is written to the buffer FLEX_MNG and started by HICR; firmware answers in the same buffer. The caller
//! holds the [host interface](crate::semaphore::Resource::HostInterface).

use vfio_hal::DeviceError;

use crate::hw::Hw;
use crate::regs::{FLEX_MNG, FWSTS, HICR};

/// The most words that one command reads.
pub(super) const MOST_WORDS: usize = 512;

/// Fills `words`, at most [`MOST_WORDS`], from word `first` on.
pub(super) fn read_shadow_ram(hw: &Hw, first: u32, words: &mut [u16]) -> Result<(), DeviceError> {
    /// Where data is in the answer, in registers.
    const DATA: usize = 3;
    // Little-endian registers: command 31h, 6 bytes of arguments, no check sum (FFh); then address and length in
    // bytes, both big-endian.
    let bytes = (2 * words.len()) as u16;
    let command = [0xff06_0031, (2 * first).swap_bytes(), u32::from(bytes.swap_bytes()), 0];
    // A firmware reset since the last command is not ours to mind.
    hw.regs.write(hw.regs.read::<FWSTS>().with_fwri(true));
    let control = hw.regs.read::<HICR>();
    hw.check()?;
    if !control.en() {
        return Err(DeviceError::Unsupported {
            what: "running firmware to read its flash with (HICR.EN is 0)",
        });
    }
    for (index, value) in command.into_iter().enumerate() {
        hw.regs.at::<FLEX_MNG>(index)?.write(FLEX_MNG::new(value));
    }
    hw.regs.write(control.with_c(true));
    let what = "a flash read by firmware (HICR.C)";
    let done = hw.poll(what, 500).register(hw.regs.single(), |control: HICR| !control.c())?;
    if !done.sv() {
        // It has given up without a status.
        return Err(DeviceError::Timeout { what, millis: 500 });
    }
    for (index, pair) in words.chunks_mut(2).enumerate() {
        let value = hw.regs.at::<FLEX_MNG>(DATA + index)?.read().bits();
        for (word, half) in pair.iter_mut().zip([value, value >> 16]) {
            *word = half as u16;
        }
    }
    hw.check()
}
