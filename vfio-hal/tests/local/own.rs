//! What a model has of its own: a timer that wakes its thread, and parts of configuration space.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use vfio_hal::backend::local::{Idle, LocalDevice, LocalOptions};
use vfio_hal::bar::Width;
use vfio_hal::dma::memory::HeapMemory;
use vfio_hal::dma::{DmaAccess, IovaSpace, Region};
use vfio_hal::{Device, DeviceError, Iova};
use vfio_user_kit::*;

/// Ticks every 5 ms, and answers for a capability with what was written, complemented.
#[derive(Clone, Default)]
struct Clockwork {
    ticks: Arc<AtomicU32>,
    resets: Arc<AtomicU32>,
    due: Duration,
}

const TICK: Duration = Duration::from_millis(5);

impl DeviceModel for Clockwork {
    fn spec(&self) -> Spec {
        Spec {
            bars: vec![BarSpec { index: 0, size: 4096, kind: BarKind::Memory32 }],
            capabilities: vec![
                CapabilitySpec::vendor(&[0; 5]).at(0x80).by_model(),
                CapabilitySpec::vsec(0x43, 0, &[1, 2, 3, 4]).read_only(),
            ],
            ..Spec::default()
        }
    }
    fn bar_read(
        &mut self,
        cx: &mut Context<'_>,
        _: u8,
        offset: u64,
        data: &mut [u8],
    ) -> Result<(), AccessError> {
        if offset == 0x800 {
            // What the bus tells of the mapping at 1 MiB: pages, and rights in the low bits.
            let told = |range: DmaRange| {
                assert_eq!((range.iova, range.page, range.file), (0x10_0000, 4096, false));
                range.len | u64::from(range.readable) | u64::from(range.writable) << 1
            };
            let word = cx.dma.info(0x10_1234).map_or(0, told) | u64::from(cx.dma.is_master()) << 2;
            data.copy_from_slice(&word.to_le_bytes()[..data.len()]);
            return Ok(());
        }
        cx.config.read(offset as u16, data).map_err(|_| AccessError::OutOfRange { bar: 0, offset })
    }
    fn bar_write(
        &mut self,
        cx: &mut Context<'_>,
        _: u8,
        offset: u64,
        data: &[u8],
    ) -> Result<(), AccessError> {
        cx.config.write(offset as u16, data).map_err(|_| AccessError::OutOfRange { bar: 0, offset })
    }
    fn config_write(&mut self, cx: &mut Context<'_>, offset: u16, data: &[u8]) -> Result<(), AccessError> {
        let complement: Vec<u8> = data.iter().map(|byte| !byte).collect();
        cx.config
            .set(offset, &complement)
            .map_err(|_| AccessError::Width { offset: offset.into(), width: data.len() })
    }
    fn step(&mut self, cx: &mut Context<'_>) -> Work {
        if cx.now < self.due {
            return Work::Idle;
        }
        self.due = cx.now + TICK;
        self.ticks.fetch_add(1, Ordering::SeqCst);
        Work::Done
    }
    fn next_deadline(&self) -> Option<Duration> {
        Some(self.due)
    }
    fn reset(&mut self, _: &mut Context<'_>, _: ResetKind) {
        self.resets.fetch_add(1, Ordering::SeqCst);
    }
}

fn device() -> (Clockwork, Arc<LocalDevice<Clockwork>>) {
    let model = Clockwork::default();
    (model.clone(), LocalDevice::new("clockwork", model, LocalOptions::default()).unwrap())
}

#[test]
fn a_models_timer_ends_its_threads_sleep() {
    let (model, device) = device();
    let idle = Idle { spins: 0, yields: 0, sleep: Duration::from_secs(1000) };
    let thread = device.stepper().spawn(idle).unwrap();
    let start = Instant::now();
    while model.ticks.load(Ordering::SeqCst) < 5 {
        assert!(start.elapsed() < Duration::from_secs(60), "the thread sleeps over its timer");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(start.elapsed() >= 3 * TICK, "it does not sleep at all");
    thread.stop().unwrap();
}

#[test]
fn parts_of_configuration_space_are_the_models() {
    let (_, device) = device();
    device.config_write(0x84, &[0x0f]).unwrap();
    let mut bytes = [0; 8];
    device.config_read(0x80, &mut bytes).unwrap();
    assert_eq!(
        bytes,
        [9, 0, 8, 0, 0xf0, 0, 0, 0],
        "number, link and length; what the model made of the write"
    );
    device.config_write(0x80, &[0xff; 2]).unwrap();
    // A bus drops what nothing takes.
    device.config_write(0x104, &[0xff; 4]).unwrap();
    device.config_write(0xe0, &[0xff; 4]).unwrap();
    device.config_read(0x80, &mut bytes[..2]).unwrap();
    assert_eq!(bytes[..2], [9, 0]);
    device.config_read(0x108, &mut bytes[..4]).unwrap();
    assert_eq!(bytes[..4], [1, 2, 3, 4], "the read-only one behind its own header");
    let outside = DeviceError::ConfigRange { offset: 4095, len: 2 };
    assert_eq!(device.config_read(4095, &mut [0; 2]), Err(outside));
}

#[test]
fn a_model_is_told_of_a_mapping() {
    let (_, device) = device();
    let bar = device.bar(0).unwrap();
    assert_eq!(bar.read(0x800, Width::W32), Ok(0), "nothing is mapped, bus mastering is off");
    let space = IovaSpace::new();
    let any: Arc<dyn Device> = device.clone();
    space.attach(&any).unwrap();
    let memory = HeapMemory::new(0x2000).unwrap();
    let region = Region::alloc_at(&space, memory, DmaAccess::Write, Iova(0x10_0000)).unwrap();
    device.config_write(0x04, &[6, 0]).unwrap();
    assert_eq!(bar.read(0x800, Width::W32), Ok(0x2000 | 0b110));
    drop(region);
    assert_eq!(bar.read(0x800, Width::W32), Ok(0b100));
}

#[test]
fn a_model_reads_and_writes_its_own_configuration() {
    let (model, device) = device();
    let bar = device.bar(0).unwrap();
    assert_eq!(bar.read(0x84, Width::W32), Ok(0));
    // Bus mastering, by a register of the device's own; then the bit that resets the function.
    bar.write(0x04, Width::W16, 0b110).unwrap();
    let mut command = [0; 2];
    device.config_read(0x04, &mut command).unwrap();
    assert_eq!(command, [6, 0]);
    bar.write(0xa8, Width::W16, 0x8000).unwrap();
    assert_eq!(model.resets.load(Ordering::SeqCst), 1);
    device.config_read(0x04, &mut command).unwrap();
    assert_eq!(command, [2, 0], "a reset switches bus mastering off");
}
