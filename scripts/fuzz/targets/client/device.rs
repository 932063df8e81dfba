//! The user of the device: does what the input says, and looks what holds in the end.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use vfio_hal::addr::Iova;
use vfio_hal::backend::user::{Options, UserDevice};
use vfio_hal::bar::Width;
use vfio_hal::dma::memory::{HeapMemory, Kind, Pages, Request};
use vfio_hal::dma::{DmaAccess, IovaSpace, Region, RegionOptions};
use vfio_hal::irq::{EventFd, IrqKind, IrqSink};
use vfio_hal::{Bar, Device};
use vfio_user_kit::client::Write;
use vfio_user_kit::proto::feature::MigrationState;

use super::input::{Call, Input};

/// Where memory is mapped.
pub const BASE: u64 = 0x10_0000;
const MARK: u64 = 0x1122_3344_5566_7788;

pub fn use_it(socket: OwnedFd, input: &Input) {
    let options = Options::default()
        .timeout(Duration::from_millis(4))
        .twin_socket(input.twin)
        .posted_writes(input.posted)
        // The server would be right to end this process otherwise.
        .trust_files(false)
        .max_transfer(1 << 16);
    let Ok(device) = UserDevice::from_socket("fuzz", socket, &options) else { return };
    let erased: Arc<dyn Device> = device.clone();
    let space = IovaSpace::new();
    if space.attach(&erased).is_err() {
        return;
    }
    // What the device must not write, right behind what it may.
    let only_read = |iova| {
        let memory = HeapMemory::new(4096).expect("memory");
        let region = RegionOptions::new(DmaAccess::Read).at(Iova(iova)).alloc(&space, memory).ok()?;
        region.fill(0, 4096, 0xa5).expect("inside");
        Some(region)
    };
    let guard = only_read(BASE + 0x10000);
    let mut user = User { device, space: space.clone(), bars: Vec::new(), regions: Vec::new() };
    for call in input.calls.iter().take(40) {
        user.call(call);
    }
    if let Some(guard) = &guard {
        let mut bytes = [0; 4096];
        guard.copy_out(0, &mut bytes).expect("inside");
        assert!(bytes.iter().all(|byte| *byte == 0xa5), "memory was written that is only to be read");
    }
    user.finish();
    drop((guard, user));
}

struct User {
    device: Arc<UserDevice>,
    space: IovaSpace,
    bars: Vec<Bar>,
    regions: Vec<Region>,
}

impl User {
    fn call(&mut self, call: &Call) {
        let device = &self.device;
        let irqs = device.irqs().expect("interrupts");
        // What it answers is the server's business: it must only come to an end.
        match call {
            Call::Bar { index, offset, width, write } => {
                let Ok(bar) = device.bar(index % 7) else { return };
                let width = [Width::W8, Width::W16, Width::W32, Width::W64][usize::from(width % 4)];
                let _ = match write {
                    Some(value) => bar.write(offset.get(), width, *value),
                    None => bar.read(offset.get(), width).map(drop),
                };
                self.bars.push(bar);
            }
            Call::Config { offset, len, write } => {
                let mut data = vec![0; usize::from(*len)];
                let _ = match write {
                    true => device.config_write(*offset, &data),
                    false => device.config_read(*offset, &mut data),
                };
            }
            Call::Map { file, pages } => {
                let len = usize::from(pages % 8 + 1) * 4096;
                let options = RegionOptions::new(DmaAccess::ReadWrite);
                let at = BASE + 0x8000 * self.regions.len() as u64;
                let options = if self.regions.len() < 2 { options.at(Iova(at)) } else { options };
                let region = match file {
                    true => {
                        let request = Request::new(len as u64).pages(Pages::Size4K).only(Kind::Memfd);
                        options.alloc(&self.space, request.alloc().expect("memory"))
                    }
                    false => options.alloc(&self.space, HeapMemory::new(len).expect("memory")),
                };
                if let Ok(region) = region {
                    region.write_u64(0, MARK).expect("inside");
                    self.regions.push(region);
                }
            }
            Call::Unmap => drop(self.regions.pop()),
            Call::Enable { kind, first, count, holes } => {
                let sink = EventFd::new().ok().map(|fd| Arc::new(fd) as Arc<dyn IrqSink>);
                let sinks: Vec<_> =
                    (0..count % 20).map(|at| sink.clone().filter(|_| holes >> (at % 8) & 1 == 0)).collect();
                let _ = irqs.enable(kind_of(*kind), (*first).into(), &sinks);
            }
            Call::Mask { kind, vector, masked } => {
                let (kind, vector) = (kind_of(*kind), (*vector).into());
                let _ = if *masked { irqs.mask(kind, vector) } else { irqs.unmask(kind, vector) };
            }
            Call::Trigger { kind, vector } => {
                let _ = irqs.trigger(kind_of(*kind), (*vector).into());
            }
            Call::Disable { kind } => {
                let _ = irqs.disable(kind_of(*kind));
            }
            Call::Reset => {
                let _ = device.reset();
            }
            Call::State(state) => {
                let state = MigrationState::try_from(u32::from(state % 8)).unwrap_or_default();
                let _ = device.set_migration_state(state);
                let _ = (device.migration_state(), device.migration_support());
            }
            Call::Migrate { write, len } => {
                let mut data = vec![0; usize::from(*len)];
                let _ = match write {
                    true => device.migration_write(&data),
                    false => device.migration_read(&mut data).map(drop),
                };
            }
            Call::Log { page, ranges } => {
                let ranges: Vec<_> = ranges.iter().map(|(iova, len)| (iova.get(), len.get())).collect();
                let _ = device.start_dirty_log(page.get(), &ranges);
            }
            Call::Dirty { iova, len, page } => {
                if let Ok(bitmap) = device.dirty_pages(iova.get(), len.get() % (1 << 30), page.get()) {
                    bitmap.pages().take(1000).for_each(drop);
                }
            }
            Call::EndLog => {
                let _ = device.stop_dirty_log();
            }
            Call::IoEvents(bar) => {
                let _ = device.io_events(*bar);
            }
            Call::WriteMany(writes) => {
                let data = [0x77; 255];
                let all: Vec<_> = writes
                    .iter()
                    .map(|(region, offset, len)| Write {
                        region: *region,
                        offset: (*offset).into(),
                        data: &data[..usize::from(*len)],
                    })
                    .collect();
                let _ = device.write_many(&all);
            }
            Call::Feature { index, set, len } => {
                let data = vec![0; usize::from(*len)];
                let _ = match set {
                    true => device.feature_set(*index, &data),
                    false => device.feature_get(*index, &data, usize::from(*len) * 8),
                };
            }
        }
    }

    /// A device that is lost says so everywhere.
    fn finish(&self) {
        if self.device.fault().is_none() {
            return;
        }
        assert!(self.device.lost().is_lost());
        assert!(self.device.config_read(0, &mut [0; 2]).is_err());
        assert!(self.device.io_events(0).is_err());
        for bar in &self.bars {
            let trapped = bar.windows().find(|window| !window.2 && window.1 >= 8);
            if let Some((offset, ..)) = trapped {
                assert_eq!(bar.read(offset, Width::W32), Ok(0xffff_ffff));
            }
        }
    }
}

fn kind_of(number: u8) -> IrqKind {
    [IrqKind::IntX, IrqKind::Msi, IrqKind::MsiX, IrqKind::Error, IrqKind::Request][usize::from(number % 5)]
}
