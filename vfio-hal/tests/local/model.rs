//! A copy engine: the driver gives it a source, a destination and a length, and rings.

use std::sync::Arc;
use std::time::Duration;

use vfio_hal::Bar;
use vfio_hal::backend::local::{LocalDevice, LocalOptions, Stepper};
use vfio_hal::bar::Width;
use vfio_hal::device::Device;
use vfio_hal::dma::memory::HeapMemory;
use vfio_hal::dma::{DmaAccess, IovaSpace, Region};
use vfio_user_kit::{
    AccessError, BarKind, BarSpec, Context, DeviceModel, DmaFault, Ids, ResetKind, Spec, Work,
};

/// Registers of BAR 0.
pub(crate) const SRC: u64 = 0x00;
pub(crate) const DST: u64 = 0x08;
pub(crate) const LEN: u64 = 0x10;
/// A doorbell: each new value starts a copy.
pub(crate) const GO: u64 = 0x20;
/// A doorbell that only the driver and the test look at.
pub(crate) const SECOND_BELL: u64 = 0x100;
/// A register that panics when it is read.
pub(crate) const TRAPDOOR: u64 = 0x200;

#[derive(Default)]
pub(crate) struct Copier {
    pub(crate) registers: [u64; 8],
    pub(crate) rung: u32,
    pub(crate) steps: u32,
    pub(crate) copies: u32,
    pub(crate) last: Option<Result<(), DmaFault>>,
    pub(crate) resets: u32,
    pub(crate) seen: Duration,
    /// Widths of the accesses that reached the model.
    pub(crate) accesses: Vec<usize>,
    pub(crate) panic_in_step: bool,
}

impl DeviceModel for Copier {
    fn spec(&self) -> Spec {
        Spec {
            ids: Ids { vendor: 0x1234, device: 0x11e9, ..Ids::default() },
            bars: vec![
                BarSpec { index: 0, size: 0x1000, kind: BarKind::Memory64 },
                BarSpec { index: 2, size: 64, kind: BarKind::Io },
                BarSpec { index: 4, size: 0x1000, kind: BarKind::Memory32 },
            ],
            msix_vectors: 4,
            msix_bar: 4,
            msi_vectors: 2,
            intx: true,
            doorbells: vec![(0, GO), (0, SECOND_BELL)],
            ..Spec::default()
        }
    }

    fn bar_read(
        &mut self,
        cx: &mut Context<'_>,
        bar: u8,
        offset: u64,
        data: &mut [u8],
    ) -> Result<(), AccessError> {
        self.seen = cx.now;
        self.accesses.push(data.len());
        if (bar, offset) == (0, TRAPDOOR) {
            panic!("the model's trapdoor");
        }
        let word =
            self.registers.get((offset / 8) as usize).ok_or(AccessError::OutOfRange { bar, offset })?;
        let bytes = word.to_le_bytes();
        let at = (offset % 8) as usize;
        data.copy_from_slice(&bytes[at..at + data.len()]);
        Ok(())
    }

    fn bar_write(
        &mut self,
        _: &mut Context<'_>,
        bar: u8,
        offset: u64,
        data: &[u8],
    ) -> Result<(), AccessError> {
        self.accesses.push(data.len());
        let word =
            self.registers.get_mut((offset / 8) as usize).ok_or(AccessError::OutOfRange { bar, offset })?;
        let mut bytes = word.to_le_bytes();
        let at = (offset % 8) as usize;
        bytes[at..at + data.len()].copy_from_slice(data);
        *word = u64::from_le_bytes(bytes);
        Ok(())
    }

    fn step(&mut self, cx: &mut Context<'_>) -> Work {
        assert!(!self.panic_in_step, "the model was told to panic");
        self.seen = cx.now;
        self.steps += 1;
        let go = cx.doorbells.load(0);
        if go == self.rung {
            return Work::Idle;
        }
        self.rung = go;
        let [src, dst, len] = [SRC, DST, LEN].map(|at| self.registers[at as usize / 8]);
        let mut data = vec![0; len as usize];
        let result = cx.dma.read(src, &mut data).and_then(|()| cx.dma.write(dst, &data));
        self.last = Some(result);
        self.copies += 1;
        cx.irq.msi(0);
        cx.irq.intx(true);
        Work::Done
    }

    fn reset(&mut self, cx: &mut Context<'_>, _: ResetKind) {
        self.registers = [0; 8];
        self.rung = 0;
        self.resets += 1;
        cx.doorbells.store(0, 0);
        cx.irq.intx(false);
    }
}

/// A copier with its space, its registers and two regions.
pub(crate) struct Rig {
    pub(crate) device: Arc<LocalDevice<Copier>>,
    pub(crate) stepper: Stepper<Copier>,
    pub(crate) space: IovaSpace,
    pub(crate) bar: Bar,
    pub(crate) src: Region,
    pub(crate) dst: Region,
}

impl Rig {
    pub(crate) fn new() -> Rig {
        Rig::with(LocalOptions::default())
    }

    pub(crate) fn with(options: LocalOptions) -> Rig {
        let device = LocalDevice::new("copier", Copier::default(), options).unwrap();
        let space = IovaSpace::new();
        let any: Arc<dyn Device> = device.clone();
        space.attach(&any).unwrap();
        let region = |access| Region::alloc(&space, HeapMemory::new(0x4000).unwrap(), access).unwrap();
        let (src, dst) = (region(DmaAccess::Read), region(DmaAccess::Write));
        let rig = Rig { stepper: device.stepper(), bar: device.bar(0).unwrap(), device, space, src, dst };
        rig.set_master(true);
        rig
    }

    pub(crate) fn set_master(&self, on: bool) {
        let command = 0b011 | u16::from(on) << 2;
        self.device.config_write(0x04, &command.to_le_bytes()).unwrap();
    }

    /// Latches a copy without ringing.
    pub(crate) fn prepare(&self, src: u64, dst: u64, len: u64) {
        for (register, value) in [(SRC, src), (DST, dst), (LEN, len)] {
            self.bar.write(register, Width::W64, value).unwrap();
        }
    }

    pub(crate) fn ring(&self, value: u32) {
        self.bar.write(GO, Width::W32, value.into()).unwrap();
    }

    /// Copies, in one step of the model.
    pub(crate) fn copy(&self, src: u64, dst: u64, len: u64) -> Result<(), DmaFault> {
        self.prepare(src, dst, len);
        let before = self.copies();
        self.ring(self.device.with_model(|model| model.rung).unwrap().wrapping_add(1));
        assert_eq!(self.stepper.step(), Work::Done);
        assert_eq!(self.copies(), before + 1);
        self.device.with_model(|model| model.last.unwrap()).unwrap()
    }

    pub(crate) fn copies(&self) -> u32 {
        self.device.with_model(|model| model.copies).unwrap()
    }
}
