//! Prints a model's register accesses, decoded by the register map, as they come from the client.

use pmd_ixgbe::regs::Ixgbe;
use pmd_ixgbe_model::Model82599;
use vfio_hal::regs::{Decoder, Value};
use vfio_user_kit::{AccessError, Context, DeviceModel, DmaRange, IrqKind, Migration, ResetKind, Spec, Work};

use crate::note;

/// A model whose accesses may be watched.
pub(super) struct Watched {
    model: Model82599,
    decoder: Option<Decoder>,
}

impl Watched {
    pub(super) fn new(model: Model82599, trace: bool) -> Watched {
        Watched { model, decoder: trace.then(Decoder::of::<Ixgbe>) }
    }

    fn print(&self, cx: &Context<'_>, what: &str, bar: u8, offset: u64, data: &[u8]) {
        let Some(decoder) = &self.decoder else { return };
        let mut bytes = [0; 8];
        bytes.iter_mut().zip(data).for_each(|(to, from)| *to = *from);
        let raw = u64::from_le_bytes(bytes);
        let time = cx.now.as_secs_f64();
        match decoder.find(offset).filter(|_| bar == 0) {
            Some(at) => note!("{time:.6} {what} {at} {}", Value::access(&at, data.len() as u64, raw)),
            None => note!("{time:.6} {what} BAR {bar} {offset:#x} {raw:#x}"),
        }
    }
}

impl DeviceModel for Watched {
    fn spec(&self) -> Spec {
        self.model.spec()
    }

    fn bar_read(
        &mut self,
        cx: &mut Context<'_>,
        bar: u8,
        offset: u64,
        data: &mut [u8],
    ) -> Result<(), AccessError> {
        let result = self.model.bar_read(cx, bar, offset, data);
        self.print(cx, if result.is_ok() { "read" } else { "read refused" }, bar, offset, data);
        result
    }

    fn bar_write(
        &mut self,
        cx: &mut Context<'_>,
        bar: u8,
        offset: u64,
        data: &[u8],
    ) -> Result<(), AccessError> {
        let result = self.model.bar_write(cx, bar, offset, data);
        self.print(cx, if result.is_ok() { "write" } else { "write refused" }, bar, offset, data);
        result
    }

    fn step(&mut self, cx: &mut Context<'_>) -> Work {
        self.model.step(cx)
    }

    fn reset(&mut self, cx: &mut Context<'_>, kind: ResetKind) {
        if self.decoder.is_some() {
            note!("{:.6} reset ({kind:?})", cx.now.as_secs_f64());
        }
        self.model.reset(cx, kind);
    }

    fn opened(&mut self, cx: &mut Context<'_>) {
        self.model.opened(cx);
    }

    fn released(&mut self, cx: &mut Context<'_>) {
        self.model.released(cx);
    }

    fn dma_mapped(&mut self, cx: &mut Context<'_>, range: DmaRange) {
        if self.decoder.is_some() {
            note!("{:.6} map {:#x}, {:#x} bytes", cx.now.as_secs_f64(), range.iova, range.len);
        }
        self.model.dma_mapped(cx, range);
    }

    fn dma_unmapped(&mut self, cx: &mut Context<'_>, range: DmaRange) {
        if self.decoder.is_some() {
            note!("{:.6} unmap {:#x}, {:#x} bytes", cx.now.as_secs_f64(), range.iova, range.len);
        }
        self.model.dma_unmapped(cx, range);
    }

    fn irq_masked(&mut self, cx: &mut Context<'_>, kind: IrqKind, vector: u32, masked: bool) {
        self.model.irq_masked(cx, kind, vector, masked);
    }

    fn quiesce(&mut self, cx: &mut Context<'_>) -> bool {
        self.model.quiesce(cx)
    }

    fn resume(&mut self, cx: &mut Context<'_>) {
        self.model.resume(cx);
    }

    fn migration(&mut self) -> Option<&mut dyn Migration> {
        self.model.migration()
    }
}
