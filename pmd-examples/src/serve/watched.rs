//! A model as `pmd serve` holds it: its register accesses can be printed, decoded by its register map, and it can be told to
//! stand still until a state has come in.

use std::time::Duration;

use vfio_hal::regs::{Decoder, Value};
use vfio_user_kit::{
    AccessError, Context, DeviceModel, DmaRange, FeatureError, FeatureRequest, IrqKind, Migration,
    MigrationError, NotifyArea, ResetKind, SharedArea, Spec, Work,
};

use super::device::Played;
use crate::fault::Fault;
use crate::note;

/// A model that may be watched, and may have to wait.
pub(super) struct Watched {
    model: Box<dyn Played>,
    decoder: Option<Decoder>,
    /// It stands still until a state was restored.
    waits: bool,
}

impl Watched {
    pub(super) fn new(model: Box<dyn Played>, decoder: Option<Decoder>, waits: bool) -> Watched {
        Watched { model, decoder, waits }
    }

    /// Returns what the model counted.
    pub(super) fn counts(&self) -> Vec<(&'static str, u64)> {
        self.model.counts()
    }

    /// Makes what is buffered for files reach them.
    pub(super) fn flush(&mut self) -> Result<(), Fault> {
        self.model.flush()
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

    fn tell(&self, cx: &Context<'_>, what: std::fmt::Arguments<'_>) {
        if self.decoder.is_some() {
            note!("{:.6} {what}", cx.now.as_secs_f64());
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
        if self.waits { Work::Idle } else { self.model.step(cx) }
    }

    fn next_deadline(&self) -> Option<Duration> {
        if self.waits { None } else { self.model.next_deadline() }
    }

    fn reset(&mut self, cx: &mut Context<'_>, kind: ResetKind) {
        self.tell(cx, format_args!("reset ({kind:?})"));
        self.model.reset(cx, kind);
    }

    fn config_read(&mut self, cx: &mut Context<'_>, offset: u16, data: &mut [u8]) -> Result<(), AccessError> {
        self.model.config_read(cx, offset, data)
    }

    fn config_write(&mut self, cx: &mut Context<'_>, offset: u16, data: &[u8]) -> Result<(), AccessError> {
        self.model.config_write(cx, offset, data)
    }

    fn shared_areas(&self) -> Vec<SharedArea> {
        self.model.shared_areas()
    }

    fn notify_areas(&self) -> Vec<NotifyArea> {
        self.model.notify_areas()
    }

    fn notified(&mut self, cx: &mut Context<'_>, area: usize) {
        self.model.notified(cx, area);
    }

    fn opened(&mut self, cx: &mut Context<'_>) {
        self.model.opened(cx);
    }

    fn released(&mut self, cx: &mut Context<'_>) {
        self.model.released(cx);
    }

    fn dma_mapped(&mut self, cx: &mut Context<'_>, range: DmaRange) {
        self.tell(cx, format_args!("map {:#x}, {:#x} bytes", range.iova, range.len));
        self.model.dma_mapped(cx, range);
    }

    fn dma_unmapped(&mut self, cx: &mut Context<'_>, range: DmaRange) {
        self.tell(cx, format_args!("unmap {:#x}, {:#x} bytes", range.iova, range.len));
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
        self.model.migration().is_some().then_some(self)
    }

    fn feature(
        &mut self,
        cx: &mut Context<'_>,
        request: FeatureRequest,
        data: &[u8],
    ) -> Result<Vec<u8>, FeatureError> {
        self.model.feature(cx, request, data)
    }
}

impl Watched {
    fn moving(&mut self) -> Result<&mut dyn Migration, MigrationError> {
        self.model.migration().ok_or(MigrationError { reason: "this model has no state to move" })
    }
}

/// The model's own, and a state that came in ends the wait.
impl Migration for Watched {
    fn pre_copy(&self) -> bool {
        self.model.pre_copies()
    }

    fn begin_save(&mut self, running: bool) {
        if let Ok(migration) = self.moving() {
            migration.begin_save(running);
        }
    }

    fn stop_and_copy(&mut self) {
        if let Ok(migration) = self.moving() {
            migration.stop_and_copy();
        }
    }

    fn save(&mut self, data: &mut [u8]) -> Result<usize, MigrationError> {
        self.moving()?.save(data)
    }

    fn begin_restore(&mut self) {
        if let Ok(migration) = self.moving() {
            migration.begin_restore();
        }
    }

    fn restore(&mut self, data: &[u8]) -> Result<(), MigrationError> {
        self.moving()?.restore(data)
    }

    fn end_restore(&mut self) -> Result<(), MigrationError> {
        self.moving()?.end_restore()?;
        self.waits = false;
        Ok(())
    }
}
