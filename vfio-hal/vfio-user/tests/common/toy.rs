//! A model that does what its registers say.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use vfio_user_kit::{
    AccessError, BarKind, BarSpec, Context, DeviceModel, DmaFault, DmaRange, DmaRight, FeatureError,
    FeatureRequest, Ids, IrqKind, Migration, MigrationError, NotifyArea, ResetKind, Segment, SegmentError,
    SharedArea, Spec, Work,
};

/// Registers of [`Toy`] in BAR 0. Writing `COMMAND` has it done in the next step.
pub mod reg {
    pub const ADDRESS: u64 = 0x00;
    pub const LENGTH: u64 = 0x08;
    pub const COMMAND: u64 = 0x0c;
    pub const STATUS: u64 = 0x10;
    pub const BELL: u64 = 0x20;
    pub const NOTIFY: u64 = 0x28;
    pub const MAX: u64 = 0x34;
    /// How `HOLD` ended: how many segments, or `NOT_MAPPED` and its neighbours.
    pub const SEGMENTS: u64 = 0x38;
    pub const NOT_MAPPED: u32 = 0x101;
    pub const PROTECTION: u32 = 0x102;
    pub const NOT_MASTER: u32 = 0x103;
    /// And how many there would be.
    pub const NEED_MORE: u32 = 0x200;
    /// Questions for memory that the toy holds.
    pub const WANTED: u64 = 0x3c;
    pub const NOTIFIED: u64 = 0x2c;
    /// The last vector that was masked (bit 0) or unmasked: its number << 8, its kind << 16.
    pub const MASKED: u64 = 0x30;
    /// Clients that came, and that left.
    pub const OPENED: u64 = 0x40;
    pub const RELEASED: u64 = 0x44;
    /// Reads and writes of configuration space that came to the model.
    pub const CONFIG_READS: u64 = 0x48;
    pub const CONFIG_WRITES: u64 = 0x4c;
    /// Configuration space as the model reads it, at `ADDRESS`.
    pub const CONFIG: u32 = 16;
    pub const SCRATCH: u64 = 0x800;

    pub const READ: u32 = 1;
    pub const WRITE: u32 = 2;
    pub const MSI: u32 = 3;
    pub const ASSERT: u32 = 4;
    pub const DEASSERT: u32 = 5;
    pub const LOAD: u32 = 6;
    pub const STORE: u32 = 7;
    /// What doorbell number `LENGTH` holds.
    pub const RING: u32 = 8;
    /// Holds `LENGTH` bytes at `ADDRESS` for writing, in at most `MAX` segments.
    pub const HOLD: u32 = 9;
    /// The same for reading.
    pub const HOLD_READ: u32 = 10;
    /// Lets go of all.
    pub const RELEASE: u32 = 11;
    /// Reads the front of each segment into the scratch area, `LENGTH` bytes each.
    pub const READ_HELD: u32 = 12;
    /// Writes the scratch area to the front of each segment.
    pub const WRITE_HELD: u32 = 13;
    /// Marks all segments as written.
    pub const MARK_HELD: u32 = 14;
    /// How many of the segments are in reach.
    pub const IS_DIRECT: u32 = 17;
    /// What the bus tells of the mapping at `ADDRESS`: its start, length, page and rights, in the scratch area.
    pub const INFO: u32 = 15;

    pub const DONE: u32 = 1;
    pub const FAULT: u32 = 2;
}

/// A device with 4 KiB of registers, 8 MSI-X vectors, MSI and a pin.
pub struct Toy {
    pub spec: Spec,
    pub registers: Vec<u8>,
    pub steps: Arc<AtomicU64>,
    pub shared: Vec<SharedArea>,
    /// Comes to rest after so many questions.
    pub unrest: u32,
    pub held: Vec<Segment>,
    pub deadline: Option<Duration>,
    /// Lets go of what it holds after so many questions.
    pub stubborn: u32,
    pub saved: usize,
    pub incoming: Vec<u8>,
}

/// What [`Toy`] is unless a test changes it.
pub fn toy_spec() -> Spec {
    Spec {
        ids: Ids { vendor: 0x1234, device: 0x5678, ..Ids::default() },
        bars: vec![
            BarSpec { index: 0, size: 4096, kind: BarKind::Memory64 },
            BarSpec { index: 2, size: 1 << 16, kind: BarKind::Memory64Prefetchable },
            BarSpec { index: 4, size: 4096, kind: BarKind::Memory32 },
            BarSpec { index: 5, size: 64, kind: BarKind::Io },
        ],
        msix_vectors: 8,
        msix_bar: 4,
        msi_vectors: 4,
        intx: true,
        doorbells: vec![(0, reg::BELL)],
        ..Spec::default()
    }
}

impl Default for Toy {
    fn default() -> Toy {
        Toy {
            spec: toy_spec(),
            registers: vec![0; 4096],
            steps: Arc::default(),
            shared: Vec::new(),
            unrest: 0,
            held: Vec::new(),
            deadline: None,
            stubborn: 0,
            saved: 0,
            incoming: Vec::new(),
        }
    }
}

impl Toy {
    fn u32(&self, at: u64) -> u32 {
        let at = at as usize;
        u32::from_le_bytes(self.registers[at..at + 4].try_into().unwrap())
    }

    fn set(&mut self, at: u64, value: u32) {
        self.registers[at as usize..at as usize + 4].copy_from_slice(&value.to_le_bytes());
    }

    fn act(&mut self, cx: &Context<'_>, command: u32) -> bool {
        let address = u64::from(self.u32(0)) | u64::from(self.u32(4)) << 32;
        let len = self.u32(reg::LENGTH) as usize;
        let scratch = reg::SCRATCH as usize;
        // Long transfers repeat the scratch area.
        match command {
            reg::READ => {
                let mut data = vec![0; len];
                let result = cx.dma.read(address, &mut data);
                let kept = len.min(2048);
                self.registers[scratch..scratch + kept].copy_from_slice(&data[..kept]);
                result.is_ok()
            }
            reg::WRITE => {
                let data: Vec<u8> = self.registers[scratch..].iter().copied().cycle().take(len).collect();
                cx.dma.write(address, &data).is_ok()
            }
            reg::MSI => {
                cx.irq.msi(len as u32);
                true
            }
            reg::ASSERT | reg::DEASSERT => {
                cx.irq.intx(command == reg::ASSERT);
                true
            }
            reg::LOAD => cx.dma.load(address).is_ok_and(|word| {
                self.registers[scratch..scratch + 8].copy_from_slice(&word.to_le_bytes());
                true
            }),
            reg::STORE => {
                let word = self.registers[scratch..scratch + 8].try_into().unwrap();
                cx.dma.store(address, u64::from_le_bytes(word)).is_ok()
            }
            reg::CONFIG => {
                let mut data = [0; 4];
                let result = cx.config.read(address as u16, &mut data);
                self.registers[scratch..scratch + 4].copy_from_slice(&data);
                result.is_ok()
            }
            reg::RING => {
                self.set(reg::SCRATCH, cx.doorbells.load(len));
                true
            }
            reg::HOLD | reg::HOLD_READ => {
                let right = if command == reg::HOLD { DmaRight::Write } else { DmaRight::Read };
                let result = cx.dma.segments(address, len, right, self.u32(reg::MAX) as usize);
                let (code, held) = match result {
                    Ok(held) => (held.len() as u32, held),
                    Err(SegmentError::NeedMore { need }) => (reg::NEED_MORE + need as u32, Vec::new()),
                    Err(SegmentError::Fault(DmaFault::NotMapped { .. })) => (reg::NOT_MAPPED, Vec::new()),
                    Err(SegmentError::Fault(DmaFault::Protection { .. })) => (reg::PROTECTION, Vec::new()),
                    Err(SegmentError::Fault(DmaFault::NotBusMaster { .. })) => (reg::NOT_MASTER, Vec::new()),
                    Err(other) => panic!("{other}"),
                };
                self.set(reg::SEGMENTS, code);
                self.held.extend(held);
                true
            }
            reg::RELEASE => {
                self.held.clear();
                true
            }
            reg::READ_HELD => self.held.iter().enumerate().all(|(number, segment)| {
                let at = scratch + number * len;
                segment.read(cx.dma, 0, &mut self.registers[at..at + len]).is_ok()
            }),
            reg::WRITE_HELD => self.held.iter().enumerate().all(|(number, segment)| {
                let at = scratch + number * len;
                segment.write(cx.dma, 0, &self.registers[at..at + len]).is_ok()
            }),
            reg::IS_DIRECT => {
                let direct = self.held.iter().filter(|segment| segment.is_direct()).count();
                self.set(reg::SCRATCH, direct as u32);
                true
            }
            reg::MARK_HELD => {
                self.held.iter().for_each(Segment::mark_dirty);
                true
            }
            reg::INFO => cx.dma.info(address).is_some_and(|range| {
                let rights = u64::from(range.readable) | u64::from(range.writable) << 1;
                for (number, long) in [range.iova, range.len, range.page, rights].into_iter().enumerate() {
                    self.registers[scratch + 8 * number..][..8].copy_from_slice(&long.to_le_bytes());
                }
                true
            }),
            _ => false,
        }
    }
}

impl DeviceModel for Toy {
    fn spec(&self) -> Spec {
        self.spec.clone()
    }

    fn bar_read(
        &mut self,
        _: &mut Context<'_>,
        bar: u8,
        offset: u64,
        data: &mut [u8],
    ) -> Result<(), AccessError> {
        match bar {
            0 => {}
            // The ROM, VGA and the one-way BAR: their offsets, byte by byte.
            3 | Spec::ROM | Spec::VGA => {
                data.iter_mut().zip(offset..).for_each(|(byte, at)| *byte = at as u8);
                return Ok(());
            }
            _ => return Err(AccessError::OutOfRange { bar, offset }),
        }
        let at = offset as usize;
        data.copy_from_slice(&self.registers[at..at + data.len()]);
        Ok(())
    }

    fn bar_write(
        &mut self,
        _: &mut Context<'_>,
        bar: u8,
        offset: u64,
        data: &[u8],
    ) -> Result<(), AccessError> {
        match bar {
            0 => {}
            // What was written last is in the scratch area: where, and what.
            1 | 3 | Spec::VGA => {
                self.set(reg::SCRATCH, offset as u32);
                self.registers[reg::SCRATCH as usize + 4..][..data.len()].copy_from_slice(data);
                return Ok(());
            }
            _ => return Err(AccessError::OutOfRange { bar, offset }),
        }
        let at = offset as usize;
        self.registers[at..at + data.len()].copy_from_slice(data);
        Ok(())
    }

    fn step(&mut self, cx: &mut Context<'_>) -> Work {
        self.steps.fetch_add(1, Ordering::Relaxed);
        let command = self.u32(reg::COMMAND);
        if command == 0 {
            return Work::Idle;
        }
        let done = self.act(cx, command);
        self.set(reg::COMMAND, 0);
        self.set(reg::STATUS, if done { reg::DONE } else { reg::FAULT });
        Work::Done
    }

    fn reset(&mut self, _: &mut Context<'_>, _: ResetKind) {
        self.registers.fill(0);
    }

    fn shared_areas(&self) -> Vec<SharedArea> {
        self.shared.clone()
    }

    fn notify_areas(&self) -> Vec<NotifyArea> {
        vec![NotifyArea { bar: 0, offset: reg::NOTIFY, len: 4, datamatch: Some(7) }]
    }

    fn notified(&mut self, _: &mut Context<'_>, area: usize) {
        self.set(reg::NOTIFIED, area as u32 + 1);
    }

    fn next_deadline(&self) -> Option<Duration> {
        self.deadline
    }

    fn opened(&mut self, _: &mut Context<'_>) {
        self.set(reg::OPENED, self.u32(reg::OPENED) + 1);
    }

    fn released(&mut self, _: &mut Context<'_>) {
        self.set(reg::RELEASED, self.u32(reg::RELEASED) + 1);
    }

    fn config_read(&mut self, cx: &mut Context<'_>, offset: u16, data: &mut [u8]) -> Result<(), AccessError> {
        self.set(reg::CONFIG_READS, self.u32(reg::CONFIG_READS) + 1);
        if offset == 0xe0 {
            return Err(AccessError::OutOfRange { bar: Spec::CONFIG, offset: offset.into() });
        }
        cx.config.read(offset, data).unwrap();
        Ok(())
    }

    fn config_write(&mut self, cx: &mut Context<'_>, offset: u16, data: &[u8]) -> Result<(), AccessError> {
        self.set(reg::CONFIG_WRITES, self.u32(reg::CONFIG_WRITES) + 1);
        if offset == 0xe0 {
            return Err(AccessError::OutOfRange { bar: Spec::CONFIG, offset: offset.into() });
        }
        // As software does where that has consequences; otherwise the complement, to tell it from memory.
        let complement: Vec<u8> = data.iter().map(|byte| !byte).collect();
        if cx.config.set(offset, &complement).is_err() {
            cx.config.write(offset, data).unwrap();
        }
        Ok(())
    }

    fn feature(
        &mut self,
        _: &mut Context<'_>,
        request: FeatureRequest,
        data: &[u8],
    ) -> Result<Vec<u8>, FeatureError> {
        match request.index {
            100 if request.probe && request.set => Err(FeatureError::Unknown),
            100 => Ok([data, b"!"].concat()),
            101 => Err(FeatureError::Invalid),
            102 => Ok(vec![0; (1 << 20) + 1]),
            _ => Err(FeatureError::Unknown),
        }
    }

    fn dma_wanted(&mut self, _: &mut Context<'_>, _: DmaRange) {
        self.set(reg::WANTED, self.u32(reg::WANTED) + 1);
        if self.u32(reg::WANTED) > self.stubborn {
            self.held.clear();
        }
    }

    fn irq_masked(&mut self, _: &mut Context<'_>, kind: IrqKind, vector: u32, masked: bool) {
        self.set(reg::MASKED, (kind as u32) << 16 | vector << 8 | u32::from(masked));
    }

    fn quiesce(&mut self, _: &mut Context<'_>) -> bool {
        self.unrest = self.unrest.saturating_sub(1);
        self.unrest == 0
    }

    fn migration(&mut self) -> Option<&mut dyn Migration> {
        Some(self)
    }
}

impl Migration for Toy {
    fn pre_copy(&self) -> bool {
        true
    }

    fn begin_save(&mut self, _: bool) {
        self.saved = 0;
    }

    fn stop_and_copy(&mut self) {
        self.saved = 0;
    }

    fn save(&mut self, data: &mut [u8]) -> Result<usize, MigrationError> {
        let rest = &self.registers[self.saved..];
        let count = rest.len().min(data.len());
        data[..count].copy_from_slice(&rest[..count]);
        self.saved += count;
        Ok(count)
    }

    fn begin_restore(&mut self) {
        self.incoming.clear();
    }

    fn restore(&mut self, data: &[u8]) -> Result<(), MigrationError> {
        if self.incoming.len() + data.len() > 64 * 4096 {
            return Err(MigrationError { reason: "too long" });
        }
        self.incoming.extend_from_slice(data);
        Ok(())
    }

    fn end_restore(&mut self) -> Result<(), MigrationError> {
        // A pre-copy comes before what counts.
        let at = self.incoming.len().checked_sub(4096).ok_or(MigrationError { reason: "too short" })?;
        self.registers.copy_from_slice(&self.incoming[at..]);
        Ok(())
    }
}
