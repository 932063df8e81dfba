//! A model that uses every part of the server, and does what its registers say.

use std::sync::Arc;
use std::time::Duration;

use vfio_user_kit::{
    AccessError, BarKind, BarSpec, CapabilitySpec, ConfigCallback, Context, DeviceModel, DmaRange, DmaRight,
    FeatureError, FeatureRequest, Ids, Migration, MigrationError, NotifyArea, OneWay, PciType, ResetKind,
    Segment, SharedArea, SharedRegisters, Spec, Work,
};

/// Where the registers are that a run sets.
pub(crate) const ADDRESS: u64 = 0;
pub(crate) const LENGTH: u64 = 8;
pub(crate) const COMMAND: u64 = 12;

const REGISTERS: usize = 4096;

/// The model.
pub(crate) struct Everything {
    spec: Spec,
    registers: Vec<u8>,
    shared: Option<SharedRegisters>,
    held: Vec<Segment>,
    /// One that was held when its client went.
    stale: Option<Segment>,
    unrest: u8,
    stubborn: u8,
    pre_copy: bool,
    saved: usize,
    incoming: Vec<u8>,
}

impl Everything {
    pub(crate) fn new(device: u16, unrest: u8, stubborn: u8) -> Everything {
        let on = |bit: u16| device & 1 << bit != 0;
        let mut bars = vec![
            BarSpec { index: 0, size: 4096, kind: BarKind::Memory64 },
            BarSpec { index: 2, size: 1 << 16, kind: BarKind::Memory64Prefetchable },
            BarSpec { index: 4, size: 4096, kind: BarKind::Memory32 },
        ];
        if on(0) {
            bars.push(BarSpec { index: 5, size: 64, kind: BarKind::Io });
        }
        let conventional = on(1);
        let mut capabilities =
            vec![CapabilitySpec::vendor(&[1, 2, 3]), CapabilitySpec::standard(0x55, &[0; 6]).by_model()];
        if !conventional {
            capabilities.push(CapabilitySpec::vsec(0x43, 0, &[0; 12]).read_only());
            capabilities.push(CapabilitySpec::vsec(0x44, 0, &[0; 12]).by_model().at(0x200));
        }
        let spec = Spec {
            ids: Ids { vendor: 0x1234, device: 0x5678, ..Ids::default() },
            pci_type: if conventional { PciType::Conventional } else { PciType::Express },
            bars,
            rom: if on(2) { 4096 } else { 0 },
            vga: on(3),
            one_way: if on(4) { vec![(2, OneWay::ReadOnly)] } else { Vec::new() },
            msix_vectors: if on(5) { 8 } else { 0 },
            msix_bar: 4,
            msi_vectors: if on(6) { 4 } else { 0 },
            intx: on(7),
            request_irqs: on(8).then_some(3),
            doorbells: vec![(0, 0x20), (2, 0x3010)],
            serial: (on(9) && !conventional).then_some(7),
            capabilities,
            config_callback: match device >> 10 & 3 {
                0 => ConfigCallback::Never,
                1 => ConfigCallback::Unclaimed,
                _ => ConfigCallback::Always,
            },
            ..Spec::default()
        };
        let shared = if on(12) { SharedRegisters::new(2, 0x3000, 0x1000).ok() } else { None };
        Everything {
            spec,
            registers: vec![0; REGISTERS],
            shared,
            held: Vec::new(),
            stale: None,
            unrest: unrest % 4,
            stubborn: stubborn % 4,
            pre_copy: on(13),
            saved: 0,
            incoming: Vec::new(),
        }
    }

    fn u32(&self, at: u64) -> u32 {
        let at = at as usize;
        self.registers[at..at + 4].try_into().map_or(0, u32::from_le_bytes)
    }

    fn act(&mut self, cx: &mut Context<'_>, command: u32) {
        let address = u64::from(self.u32(ADDRESS)) | u64::from(self.u32(ADDRESS + 4)) << 32;
        let len = self.u32(LENGTH) as usize & 0x1_ffff;
        let mut data = vec![0x5a; len];
        match command % 16 {
            1 => drop(cx.dma.read(address, &mut data)),
            2 => drop(cx.dma.write(address, &data)),
            3 => cx.irq.msi(len as u32),
            4 | 5 => cx.irq.intx(command % 16 == 4),
            6 => drop(cx.dma.load(address)),
            7 => drop(cx.dma.store(address, 1).and(cx.dma.store32(address, 2))),
            8 => {
                cx.doorbells.store(1, cx.doorbells.load(0));
                let _ = self.shared.as_ref().map(|shared| (shared.load32(0x3010), shared.store64(0x3ff8, 1)));
            }
            9 | 10 if self.held.len() < 64 => {
                let right = if command % 16 == 9 { DmaRight::Write } else { DmaRight::Read };
                self.held.extend(cx.dma.segments(address, len, right, 8).unwrap_or_default());
            }
            11 => self.held.clear(),
            12 => {
                // It stays with the client that is gone, whatever is mapped there now.
                let stale = self.stale.as_ref().filter(|stale| stale.is_direct());
                assert!(stale.is_none_or(|stale| stale.read(cx.dma, 0, &mut [0]).is_err()));
                for segment in &self.held {
                    let part = segment.len().min(64);
                    let _ = segment.read(cx.dma, segment.len() - part, &mut [0; 64][..part]);
                    let _ = segment.write(cx.dma, 0, &[1; 64][..part]);
                    segment.mark_dirty();
                }
            }
            13 => drop(cx.config.set(len as u16, &[1, 2, 3])),
            14 => drop(cx.config.write(len as u16, &[0xff; 4])),
            15 => drop(cx.dma.info(address).map(|range| assert!(range.len > 0))),
            _ => {}
        }
    }
}

impl DeviceModel for Everything {
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
        assert!(matches!(data.len(), 1 | 2 | 4 | 8) && offset.is_multiple_of(data.len() as u64));
        match self.registers.get(offset as usize..offset as usize + data.len()) {
            Some(registers) if bar == 0 => data.copy_from_slice(registers),
            _ if bar == 5 || bar == Spec::ROM || bar == Spec::VGA => data.fill(bar),
            _ => return Err(AccessError::OutOfRange { bar, offset }),
        }
        Ok(())
    }

    fn bar_write(
        &mut self,
        _: &mut Context<'_>,
        bar: u8,
        offset: u64,
        data: &[u8],
    ) -> Result<(), AccessError> {
        assert!(matches!(data.len(), 1 | 2 | 4 | 8) && offset.is_multiple_of(data.len() as u64));
        assert!(bar != Spec::ROM && self.spec.one_way(bar) != Some(OneWay::ReadOnly));
        match self.registers.get_mut(offset as usize..offset as usize + data.len()) {
            Some(registers) if bar == 0 => registers.copy_from_slice(data),
            _ => return Err(AccessError::Width { offset, width: data.len() }),
        }
        Ok(())
    }

    fn step(&mut self, cx: &mut Context<'_>) -> Work {
        let command = self.u32(COMMAND);
        if command == 0 {
            return Work::Idle;
        }
        self.registers[COMMAND as usize..COMMAND as usize + 4].fill(0);
        self.act(cx, command);
        Work::Done
    }

    fn next_deadline(&self) -> Option<Duration> {
        (self.registers[16] != 0).then(|| Duration::from_millis(self.registers[16].into()))
    }

    fn reset(&mut self, _: &mut Context<'_>, _: ResetKind) {
        self.registers.fill(0);
        self.held.clear();
    }

    fn shared_areas(&self) -> Vec<SharedArea> {
        let file = rustix::fs::memfd_create("area", rustix::fs::MemfdFlags::CLOEXEC).map(Arc::new);
        let own = file.ok().map(|file| SharedArea {
            bar: 2,
            offset: 0x8000,
            len: 0x2000,
            file,
            file_offset: 0x8000,
        });
        self.shared.iter().map(SharedRegisters::area).chain(own).collect()
    }

    fn notify_areas(&self) -> Vec<NotifyArea> {
        vec![
            NotifyArea { bar: 0, offset: 0x28, len: 4, datamatch: Some(7) },
            NotifyArea { bar: 2, offset: 0x100, len: 8, datamatch: None },
        ]
    }

    fn notified(&mut self, _: &mut Context<'_>, area: usize) {
        assert!(area < 2);
    }

    fn dma_mapped(&mut self, cx: &mut Context<'_>, range: DmaRange) {
        assert_eq!(cx.dma.info(range.iova), Some(range));
    }

    fn dma_unmapped(&mut self, cx: &mut Context<'_>, range: DmaRange) {
        assert_eq!(cx.dma.info(range.iova), Some(range));
        // Nothing that is held is taken away.
        let last = range.iova + (range.len - 1);
        assert!(self.held.iter().all(|held| held.iova() > last || held.iova() < range.iova));
    }

    fn dma_wanted(&mut self, _: &mut Context<'_>, _: DmaRange) {
        match self.stubborn {
            0 => self.held.clear(),
            _ => self.stubborn -= 1,
        }
    }

    fn released(&mut self, _: &mut Context<'_>) {
        self.stale = self.held.pop();
        self.held.clear();
    }

    fn quiesce(&mut self, _: &mut Context<'_>) -> bool {
        self.unrest = self.unrest.saturating_sub(1);
        self.unrest == 0
    }

    fn migration(&mut self) -> Option<&mut dyn Migration> {
        Some(self)
    }

    fn feature(
        &mut self,
        _: &mut Context<'_>,
        request: FeatureRequest,
        data: &[u8],
    ) -> Result<Vec<u8>, FeatureError> {
        match request.index {
            100 => Ok(data.to_vec()),
            101 => Err(FeatureError::Invalid),
            102 => Ok(vec![0; 1 << 17]),
            _ => Err(FeatureError::Unknown),
        }
    }
}

impl Migration for Everything {
    fn pre_copy(&self) -> bool {
        self.pre_copy
    }

    fn begin_save(&mut self, _: bool) {
        self.saved = 0;
    }

    fn stop_and_copy(&mut self) {
        self.saved = 0;
    }

    fn save(&mut self, data: &mut [u8]) -> Result<usize, MigrationError> {
        let rest = &self.registers[self.saved.min(REGISTERS)..];
        let count = rest.len().min(data.len());
        data[..count].copy_from_slice(&rest[..count]);
        self.saved += count;
        Ok(count)
    }

    fn begin_restore(&mut self) {
        self.incoming.clear();
    }

    fn restore(&mut self, data: &[u8]) -> Result<(), MigrationError> {
        if self.incoming.len() + data.len() > 4 * REGISTERS {
            return Err(MigrationError { reason: "too long" });
        }
        self.incoming.extend_from_slice(data);
        Ok(())
    }

    fn end_restore(&mut self) -> Result<(), MigrationError> {
        let at = self.incoming.len().checked_sub(REGISTERS).ok_or(MigrationError { reason: "too short" })?;
        self.registers.copy_from_slice(&self.incoming[at..]);
        Ok(())
    }
}
