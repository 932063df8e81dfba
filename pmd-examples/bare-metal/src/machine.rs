//! The PC: port I/O, a serial port to speak on, a clock, PCI, and the way out.
//!
//! [`Nic`] is the kit's [`Device`] over them: a pointer to a BAR, configuration space through ports, memory whose
//! addresses are the device's. Everything that a driver needs of a platform is in here.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::arch::asm;
use core::fmt::{self, Write};
use core::ptr::NonNull;
use core::time::Duration;

use vfio_hal::bar::Bar;
use vfio_hal::dma::{Addressing, Dma, DmaCaps, DmaError, DmaMapping, Unmapped};
use vfio_hal::{Clock, Device, DeviceError, Iova, Lost, pci};

macro_rules! port {
    ($write:ident, $read:ident, $int:ident, $register:tt) => {
        fn $write(port: u16, value: $int) {
            // SAFETY: the ports used in here are the serial port's, PCI's and the debug exit's: none of them changes memory.
            unsafe {
                asm!(concat!("out dx, ", $register), in("dx") port, in($register) value, options(nomem, nostack, preserves_flags))
            }
        }

        fn $read(port: u16) -> $int {
            let value: $int;
            // SAFETY: as for writes.
            unsafe {
                asm!(concat!("in ", $register, ", dx"), in("dx") port, out($register) value, options(nomem, nostack, preserves_flags))
            }
            value
        }
    };
}

port!(out8, in8, u8, "al");
port!(out16, in16, u16, "ax");
port!(out32, in32, u32, "eax");

/// The first serial port, a 16550.
pub(crate) struct Serial;

impl Serial {
    const PORT: u16 = 0x3f8;

    /// 115,200 baud, 8 bits, no parity, FIFO on.
    pub(crate) fn open() {
        for (register, value) in [(1, 0), (3, 0x80), (0, 1), (1, 0), (3, 3), (2, 0xc7), (4, 3)] {
            out8(Serial::PORT + register, value);
        }
    }
}

impl Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            while in8(Serial::PORT + 5) & 0x20 == 0 {
                core::hint::spin_loop();
            }
            out8(Serial::PORT, byte);
        }
        Ok(())
    }
}

impl log::Log for Serial {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Debug
    }

    fn log(&self, record: &log::Record<'_>) {
        crate::say!("# {}: {}", record.target(), record.args());
    }

    fn flush(&self) {}
}

/// Writes a line on the serial port.
#[macro_export]
macro_rules! say {
    ($($what:tt)*) => {{
        // The serial port takes everything.
        let _ = core::fmt::Write::write_fmt(&mut $crate::machine::Serial, format_args!("{}\n", format_args!($($what)*)));
    }};
}

/// Ends: QEMU's isa-debug-exit makes 2n + 1 of it.
pub(crate) const PASSED: u32 = 16;
/// Ends with the sign that something went wrong.
pub(crate) const FAILED: u32 = 17;

/// Ends the machine.
pub(crate) fn exit(code: u32) -> ! {
    out32(0xf4, code);
    loop {
        // SAFETY: interrupts are off, so this is for ever.
        unsafe { asm!("hlt", options(nomem, nostack)) }
    }
}

/// The HPET, whose counter runs from the first [`Hpet::start`] on.
pub(crate) struct Hpet {
    registers: Bar,
    femtoseconds: u64,
}

impl Hpet {
    /// Where PCs have it (IA-PC HPET specification 2.1).
    const AT: usize = 0xfed0_0000;

    /// Starts the clock.
    pub(crate) fn start() -> Result<Hpet, DeviceError> {
        let registers = mapped(0, Hpet::AT, 0x400, Lost::new())?;
        let femtoseconds = registers.read(0x00, vfio_hal::bar::Width::W64)? >> 32;
        registers.write(0x10, vfio_hal::bar::Width::W64, 1)?;
        if femtoseconds == 0 {
            return Err(DeviceError::Unsupported { what: "HPET" });
        }
        Ok(Hpet { registers, femtoseconds })
    }
}

impl Clock for Hpet {
    fn now(&self) -> Duration {
        let ticks = self.registers.read(0xf0, vfio_hal::bar::Width::W64).unwrap_or(0);
        Duration::from_nanos((u128::from(ticks) * u128::from(self.femtoseconds) / 1_000_000) as u64)
    }

    fn wait(&self, time: Duration) {
        let end = self.now() + time;
        while self.now() < end {
            core::hint::spin_loop();
        }
    }
}

/// Returns registers of the machine as a BAR.
fn mapped(index: u8, at: usize, len: u64, lost: Lost) -> Result<Bar, DeviceError> {
    let none = DeviceError::NoBar { index };
    let base = NonNull::new(core::ptr::with_exposed_provenance_mut(at)).ok_or(none)?;
    if at as u64 + len > 1 << 32 {
        // Beyond what boot.S maps.
        return Err(none);
    }
    // SAFETY: 1. device registers, mapped one to one for ever by `boot.S`; 2. no memory of the program is there: it lies at
    // 1 MiB, and the firmware puts registers behind all of memory.
    unsafe { Bar::builder(index, len, lost).mapped(0, base, len) }.build()
}

/// A PCI device: its place, and its parts.
pub(crate) struct Nic {
    name: String,
    /// Bus, device and function, as configuration addresses have them.
    place: u32,
    lost: Lost,
    memory: Identity,
}

impl Nic {
    /// Returns every device on PCI.
    pub(crate) fn all() -> Vec<Arc<Nic>> {
        let there = |place: u32| {
            select(place, 0);
            in16(DATA) != 0xffff
        };
        // Where there is no first function there is no other.
        let places =
            (0..0x1_0000).map(|place| place << 8).filter(|place| there(place & !0x700) && there(*place));
        places.map(Nic::at).map(Arc::new).collect()
    }

    fn at(place: u32) -> Nic {
        let (bus, device, function) = (place >> 16, place >> 11 & 31, place >> 8 & 7);
        let name = format!("0000:{bus:02x}:{device:02x}.{function}");
        Nic { name, place, lost: Lost::new(), memory: Identity }
    }
}

/// Chooses the four bytes of a device's configuration space that `offset` is in (PCI 3.0, 3.2.2.3.2).
fn select(place: u32, offset: u16) {
    out32(ADDRESS, 1 << 31 | place | u32::from(offset & 0xfc));
}

const ADDRESS: u16 = 0xcf8;
const DATA: u16 = 0xcfc;

/// Splits an access into the widest that PCI allows, and says what is outside of the 256 bytes.
fn pieces(offset: u16, len: usize) -> Result<impl Iterator<Item = (u16, usize)>, DeviceError> {
    let end = usize::from(offset) + len;
    if end > 256 {
        return Err(DeviceError::ConfigRange { offset, len: len as u16 });
    }
    let mut at = usize::from(offset);
    Ok(core::iter::from_fn(move || {
        let width = [4, 2, 1].into_iter().find(|width| at % width == 0 && at + width <= end)?;
        at += width;
        Some(((at - width) as u16, width))
    }))
}

impl Device for Nic {
    fn name(&self) -> &str {
        &self.name
    }

    fn lost(&self) -> &Lost {
        &self.lost
    }

    fn bar(&self, index: u8) -> Result<Bar, DeviceError> {
        let none = DeviceError::NoBar { index };
        let mut config = pci::Config::new(Arc::new(Nic { lost: self.lost.clone(), ..Nic::at(self.place) }));
        let bars = config.bars().map_err(|_| none)?;
        let info = bars.get(usize::from(index)).copied().flatten().ok_or(none)?;
        let len = config.bar_size(index).map_err(|_| none)?;
        mapped(index, info.address as usize, len, self.lost.clone())
    }

    fn dma(&self) -> &dyn Dma {
        &self.memory
    }

    fn config_read(&self, offset: u16, data: &mut [u8]) -> Result<(), DeviceError> {
        for (at, width) in pieces(offset, data.len())? {
            select(self.place, at);
            let value = match width {
                4 => in32(DATA),
                2 => in16(DATA + (at & 2)).into(),
                _ => in8(DATA + (at & 3)).into(),
            };
            let start = usize::from(at - offset);
            data[start..start + width].copy_from_slice(&value.to_le_bytes()[..width]);
        }
        Ok(())
    }

    fn config_write(&self, offset: u16, data: &[u8]) -> Result<(), DeviceError> {
        for (at, width) in pieces(offset, data.len())? {
            select(self.place, at);
            match data[usize::from(at - offset)..][..width] {
                [a, b, c, d] => out32(DATA, u32::from_le_bytes([a, b, c, d])),
                [a, b] => out16(DATA + (at & 2), u16::from_le_bytes([a, b])),
                [a] => out8(DATA + (at & 3), a),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Memory as the device sees it: at the same addresses, all of it, and through the processor's caches.
#[derive(Clone, Copy)]
struct Identity;

impl Dma for Identity {
    fn caps(&self) -> DmaCaps {
        DmaCaps { addressing: Addressing::Physical, page_sizes: !0xfff, max_mappings: None, coherent: true }
    }

    fn map(&self, _: &DmaMapping<'_>) -> Result<(), DmaError> {
        Ok(())
    }

    fn unmap(&self, _: Iova, _: u64) -> Result<Unmapped, DmaError> {
        Ok(Unmapped::Unfenced)
    }

    fn physical(&self, ptr: NonNull<u8>, _: u64) -> Option<Iova> {
        // `boot.S` maps each address to itself.
        Some(Iova(ptr.as_ptr().expose_provenance() as u64))
    }
}
