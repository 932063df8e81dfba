//! Many users at a time, and a server that ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use vfio_hal::Device;
use vfio_hal::bar::Width;
use vfio_hal::device::DeviceError;
use vfio_hal::dma::memory::HeapMemory;
use vfio_hal::dma::{DmaAccess, DmaError, Region};
use vfio_hal::irq::IrqKind;
use vfio_user_kit::client::ClientError;

use crate::common::{Served, reg};
use crate::kit::{Toy, options, wait_until};

/// The model reaches memory by message while others wait for registers: on the same socket, that is in the middle of
/// their requests.
#[test]
fn register_accesses_and_dma_by_message_do_not_wait_for_each_other() {
    let served = Served::start();
    for twin in [true, false] {
        let toy = Toy::open(&served.path, &options().twin_socket(twin));
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let (toy, stop) = (&toy, &stop);
                scope.spawn(move || {
                    let at = reg::SCRATCH + 0x400 + 8 * thread;
                    let mut value = 1;
                    while !stop.load(Ordering::Relaxed) {
                        toy.bar.write(at, Width::W64, value).unwrap();
                        assert_eq!(toy.bar.read(at, Width::W64), Ok(value));
                        value += 1;
                    }
                });
            }
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    // Mapped and unmapped meanwhile.
                    let regions = (toy.private(4096), toy.shared(8192));
                    drop(regions);
                }
            });
            let region = toy.private(16 << 10);
            for seed in 0..40 {
                toy.check_dma(&region, seed);
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert_eq!(toy.space.stats().leaked_regions, 0);
    }
}

#[test]
fn a_server_that_ends_is_a_lost_device_at_once() {
    let served = Served::start();
    let toy = Toy::open(&served.path, &options());
    let (shared, private) = (toy.shared(4096), toy.private(4096));
    let bell = toy.bar.doorbell(reg::BELL).unwrap();
    drop(served);
    let start = Instant::now();
    wait_until("the loss", || toy.device.lost().is_lost());
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    let fault = toy.device.fault().unwrap();
    assert_eq!(fault, ClientError::Closed { in_message: false }.into());
    // Nothing waits for its time-out.
    assert_eq!(toy.read(reg::SCRATCH), u32::MAX);
    toy.write(reg::SCRATCH, 1);
    bell.ring(1);
    assert_eq!(toy.device.reset(), Err(DeviceError::Lost));
    assert_eq!(toy.device.config_read(0, &mut [0; 4]), Err(DeviceError::Lost));
    assert_eq!(toy.device.irqs().unwrap().disable(IrqKind::MsiX), Err(DeviceError::Lost));
    let more = Region::alloc(&toy.space, HeapMemory::new(4096).unwrap(), DmaAccess::Read).unwrap_err();
    assert_eq!(more, DmaError::Device(DeviceError::Lost));
    assert!(start.elapsed() < Duration::from_secs(10));
    // What the server only reached by message, it reaches no more. What it has the file of, it may, if it was told
    // where: that is kept from being used again.
    let _ = (shared.bus(0).unwrap(), private.bus(0).unwrap());
    drop(private);
    assert_eq!(toy.space.stats().leaked_regions, 0);
    drop(shared);
    assert_eq!(toy.space.stats().leaked_regions, 1);
}

#[test]
fn an_unmap_is_exact() {
    let served = Served::start();
    let toy = Toy::open(&served.path, &options());
    let region = toy.private(8192);
    let dma = toy.device.dma();
    let unknown = |iova, len| dma.unmap(iova, len).unwrap_err();
    assert_eq!(unknown(region.iova(), 4096), DmaError::NotMapped { iova: region.iova(), len: 4096 });
    toy.check_dma(&region, 1);
}

/// A time-out ends the connection: what was asked may still happen, so nothing can be said of what comes next.
#[test]
fn a_server_that_does_not_answer_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("silent");
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let start = Instant::now();
    let options = options().timeout(Duration::from_millis(100));
    let error = vfio_hal::backend::user::UserDevice::connect(&path, &options).unwrap_err();
    let vfio_hal::backend::user::UserError::Client(ClientError::Timeout { millis: 100, .. }) = error else {
        panic!("{error}")
    };
    assert!((100..5000).contains(&start.elapsed().as_millis()));
}
