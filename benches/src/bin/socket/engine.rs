//! A device that does DMA when it is told to, and says how long it took.

use std::time::Instant;

use vfio_user_kit::{AccessError, BarKind, BarSpec, Context, DeviceModel, Ids, ResetKind, Spec, Work};

/// Registers of 64 bits in BAR 0.
pub(crate) const ADDRESS: u64 = 0x00;
pub(crate) const BYTES: u64 = 0x08;
/// How often; a write starts.
pub(crate) const COUNT: u64 = 0x10;
/// How long it took, in nanoseconds; 0 until it is done, all ones if memory could not be reached.
pub(crate) const TIME: u64 = 0x18;
/// Nothing happens.
pub(crate) const SCRATCH: u64 = 0x20;
pub(crate) const BELL: u64 = 0x40;

#[derive(Default)]
pub(crate) struct Engine {
    registers: [u64; 8],
}

impl Engine {
    fn register(&mut self, offset: u64, width: usize) -> Result<&mut u64, AccessError> {
        let index = usize::try_from(offset / 8).unwrap_or(usize::MAX);
        let out = AccessError::OutOfRange { bar: 0, offset };
        if width != 8 || !offset.is_multiple_of(8) {
            return Err(AccessError::Width { offset, width });
        }
        self.registers.get_mut(index).ok_or(out)
    }
}

impl DeviceModel for Engine {
    fn spec(&self) -> Spec {
        Spec {
            ids: Ids { vendor: 0x1234, device: 0xbe2c, ..Ids::default() },
            bars: vec![BarSpec { index: 0, size: 4096, kind: BarKind::Memory64 }],
            doorbells: vec![(0, BELL)],
            ..Spec::default()
        }
    }

    fn bar_read(
        &mut self,
        _: &mut Context<'_>,
        _: u8,
        offset: u64,
        data: &mut [u8],
    ) -> Result<(), AccessError> {
        let value = *self.register(offset, data.len())?;
        data.copy_from_slice(&value.to_le_bytes());
        Ok(())
    }

    fn bar_write(&mut self, _: &mut Context<'_>, _: u8, offset: u64, data: &[u8]) -> Result<(), AccessError> {
        let register = self.register(offset, data.len())?;
        *register = data.try_into().map_or(0, u64::from_le_bytes);
        Ok(())
    }

    fn step(&mut self, cx: &mut Context<'_>) -> Work {
        let [address, bytes, count, ..] = self.registers;
        if count == 0 {
            return Work::Idle;
        }
        let data = vec![0x5a; usize::try_from(bytes).unwrap_or(0).min(1 << 20)];
        let start = Instant::now();
        let done = (0..count).all(|_| cx.dma.write(address, &data).is_ok());
        let time = start.elapsed().as_nanos().clamp(1, u64::MAX.into()) as u64;
        self.registers[(COUNT / 8) as usize] = 0;
        self.registers[(TIME / 8) as usize] = if done { time } else { u64::MAX };
        Work::Done
    }

    fn reset(&mut self, _: &mut Context<'_>, _: ResetKind) {
        self.registers = [0; 8];
    }
}
