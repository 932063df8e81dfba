//! Packets through a card that hears itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pmd_ixgbe::{Config, Probed, Started};
use vfio_hal::Device;
use vfio_hal::backend::local::{Idle, LocalDevice, LocalOptions};
use vfio_hal::backend::user::{Options, UserDevice};
use vfio_hal::clock::{Clock, MonotonicClock};
use vfio_hal::dma::memory::{Memory, MemorySource, Pages, Request};
use vfio_hal::dma::pool::{Burst, Pool};
use vfio_hal::dma::{DmaAccess, IovaSpace, Region};

use crate::Result;
use crate::serve::{Served, card};

const BATCH: usize = 32;
const TIME: Duration = Duration::from_millis(1500);

pub(crate) fn here() -> Result<f64> {
    let device = LocalDevice::new("here", card(), LocalOptions::default())?;
    let _model = device.stepper().spawn(Idle::default())?;
    rate(device, true)
}

pub(crate) fn on(served: &Served, file: bool) -> Result<f64> {
    rate(UserDevice::connect(&served.path, &Options::default())?, file)
}

/// Returns packets that came back, a second.
fn rate(device: Arc<dyn Device>, file: bool) -> Result<f64> {
    let space = IovaSpace::new();
    space.attach(&device)?;
    let memory = MemorySource::new(|len| {
        Ok(Box::new(Request::new(len as u64).pages(Pages::Size4K).alloc()?) as Box<dyn Memory>)
    });
    let memory = if file { memory } else { MemorySource::default() };
    let config = Config { promiscuous: true, drop_enable: Some(false), memory, ..Config::default() };
    let (buffers, room) = (2 * config.buffers(), 2048);
    let memory = Request::new(Pool::stride(room) as u64 * u64::from(buffers)).alloc()?;
    let pool = Pool::new(Region::alloc(&space, memory, DmaAccess::ReadWrite)?, buffers, room)?;
    let clock: Arc<dyn Clock> = Arc::new(MonotonicClock::new());
    let mut started = Probed::new(device, clock)?.configure(&space, &pool, config)?.start()?;
    started.port.wait_for_link(Duration::from_secs(9))?;
    let rates = (0..3).map(|_| run(&mut started, &pool)).collect::<Result<Vec<f64>>>()?;
    let Started { port, rx, tx } = started;
    port.stop(rx, tx)?;
    Ok(rates.into_iter().fold(0.0, f64::max))
}

fn run(port: &mut Started, pool: &Pool) -> Result<f64> {
    let (mut cache, mut burst) = (pool.cache(), Burst::new(BATCH));
    let (rx, tx) = (&mut port.rx[0], &mut port.tx[0]);
    let (start, mut sent, mut back) = (Instant::now(), 0u64, 0u64);
    while start.elapsed() < TIME || back < sent {
        // No more under way than the card has descriptors for.
        if start.elapsed() < TIME && sent - back < 256 && tx.free() as usize >= BATCH {
            while burst.room() != 0 {
                let mut buf = cache.alloc().ok_or("the pool is empty")?;
                if !buf.fill(&[0x02; 60]) {
                    return Err("a buffer without room".into());
                }
                burst.push(buf).map_err(|_| "a burst without room")?;
            }
            sent += tx.tx_burst(&mut cache, &mut burst)? as u64;
            cache.free_all(&mut burst);
        }
        let received = rx.rx_burst(&mut cache, &mut burst)? as u64;
        back += received;
        cache.free_all(&mut burst);
        if received == 0 {
            tx.reap(&mut cache);
            std::thread::yield_now();
        }
        if start.elapsed() > 10 * TIME {
            return Err("packets are lost".into());
        }
    }
    Ok(back as f64 / start.elapsed().as_secs_f64())
}
