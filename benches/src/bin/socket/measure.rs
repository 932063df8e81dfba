//! Registers and DMA.

use std::sync::Arc;
use std::time::{Duration, Instant};

use vfio_hal::Device;
use vfio_hal::backend::local::{Idle, LocalDevice, LocalOptions};
use vfio_hal::backend::user::{Options, UserDevice};
use vfio_hal::bar::Width;
use vfio_hal::dma::memory::{HeapMemory, Pages, Request};
use vfio_hal::dma::{DmaAccess, IovaSpace, Region};

use crate::Result;
use crate::engine::{ADDRESS, BELL, BYTES, COUNT, Engine, SCRATCH, TIME};
use crate::serve::Served;

/// Times in nanoseconds.
pub(crate) struct Times {
    pub(crate) read: f64,
    pub(crate) write: f64,
    pub(crate) bell: f64,
    /// Bytes, by mapping, by message.
    pub(crate) dma: Vec<(u64, f64, f64)>,
}

pub(crate) fn here() -> Result<Times> {
    let device = LocalDevice::new("here", Engine::default(), LocalOptions::default())?;
    let _model = device.stepper().spawn(Idle::default())?;
    measure(device)
}

pub(crate) fn on(served: &Served) -> Result<Times> {
    measure(UserDevice::connect(&served.path, &Options::default())?)
}

fn measure(device: Arc<dyn Device>) -> Result<Times> {
    let space = IovaSpace::new();
    space.attach(&device)?;
    device.config_write(4, &[6, 0])?;
    let bar = device.bar(0)?;
    let bell = bar.doorbell(BELL)?;
    let read = best(2_000, || bar.read(SCRATCH, Width::W64).map(drop))?;
    // Writes that are posted count when the device has done them: the read at the end waits for that.
    let write = batches(|count| {
        (0..count).try_for_each(|value| bar.write(SCRATCH, Width::W64, value))?;
        bar.read(SCRATCH, Width::W64).map(drop)
    })?;
    let ring = batches(|count| {
        (0..count).for_each(|value| bell.ring(value as u32));
        bar.read(SCRATCH, Width::W64).map(drop)
    })?;
    let file =
        Region::alloc(&space, Request::new(1 << 20).pages(Pages::Size4K).alloc()?, DmaAccess::ReadWrite)?;
    let heap = Region::alloc(&space, HeapMemory::new(1 << 20)?, DmaAccess::ReadWrite)?;
    let mut dma = Vec::new();
    for bytes in [16, 64, 1500, 65_536] {
        let time = |region: &Region, count: u64| -> Result<f64> {
            let mut best = f64::MAX;
            for _ in 0..5 {
                bar.write(TIME, Width::W64, 0)?;
                bar.write(ADDRESS, Width::W64, region.bus(0)?.iova().0)?;
                bar.write(BYTES, Width::W64, bytes)?;
                bar.write(COUNT, Width::W64, count)?;
                let time = loop {
                    match bar.read(TIME, Width::W64)? {
                        0 => std::thread::sleep(Duration::from_millis(1)),
                        u64::MAX => return Err("the device cannot reach the memory".into()),
                        time => break time,
                    }
                };
                best = best.min(time as f64 / count as f64);
            }
            Ok(best)
        };
        dma.push((bytes, time(&file, 20_000)?, time(&heap, 300)?));
    }
    Ok(Times { read, write, bell: ring, dma })
}

/// Returns the time of the fastest tenth of `count` calls, in nanoseconds: what is slower waited for other programs.
fn best<E: std::error::Error + 'static>(count: usize, mut call: impl FnMut() -> Result2<E>) -> Result<f64> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        call()?;
        times.push(start.elapsed().as_nanos() as f64);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[count / 10])
}

type Result2<E> = std::result::Result<(), E>;

/// Returns the time of one access in the fastest of several batches, in nanoseconds.
fn batches<E: std::error::Error + 'static>(mut batch: impl FnMut(u64) -> Result2<E>) -> Result<f64> {
    // The read at the end does not count among so many.
    const COUNT: u64 = 20_000;
    let mut best = f64::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        batch(COUNT)?;
        best = best.min(start.elapsed().as_nanos() as f64);
    }
    Ok(best / COUNT as f64)
}
