//! A toy device behind a socket, and how to drive it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use vfio_hal::backend::user::{Options, UserDevice};
use vfio_hal::bar::Width;
use vfio_hal::dma::memory::{HeapMemory, Kind, Pages, Request};
use vfio_hal::dma::{DmaAccess, IovaSpace, Region};
use vfio_hal::{Bar, Device};
use vfio_user_kit::server::{IdlePolicy, Server, ServerOptions};
use vfio_user_kit::{AccessError, Context, DeviceModel, ResetKind, Spec, Work};

use crate::common::reg;

/// A connected device with one space, and its registers.
pub(crate) struct Toy {
    pub(crate) device: Arc<UserDevice>,
    pub(crate) erased: Arc<dyn Device>,
    pub(crate) space: IovaSpace,
    pub(crate) bar: Bar,
}

pub(crate) fn options() -> Options {
    Options::default().timeout(Duration::from_secs(20))
}

impl Toy {
    pub(crate) fn open(path: &Path, options: &Options) -> Toy {
        let device = UserDevice::connect(path, options).unwrap();
        Toy::of(device)
    }

    pub(crate) fn of(device: Arc<UserDevice>) -> Toy {
        let erased: Arc<dyn Device> = device.clone();
        let space = IovaSpace::new();
        space.attach(&erased).unwrap();
        let bar = device.bar(0).unwrap();
        device.config_write(4, &[6, 0]).unwrap();
        Toy { device, erased, space, bar }
    }

    /// Returns the same device in its next life.
    pub(crate) fn again(before: &Toy) -> Toy {
        let bar = before.device.bar(0).unwrap();
        before.device.config_write(4, &[6, 0]).unwrap();
        let (device, erased, space) = (before.device.clone(), before.erased.clone(), before.space.clone());
        Toy { device, erased, space, bar }
    }

    pub(crate) fn read(&self, at: u64) -> u32 {
        self.bar.read(at, Width::W32).unwrap() as u32
    }

    pub(crate) fn write(&self, at: u64, value: u32) {
        self.bar.write(at, Width::W32, value.into()).unwrap();
    }

    /// Has the toy do something, and returns its status.
    pub(crate) fn act(&self, command: u32, address: u64, len: u32) -> u32 {
        self.bar.write(reg::ADDRESS, Width::W64, address).unwrap();
        self.write(reg::LENGTH, len);
        self.write(reg::STATUS, 0);
        self.write(reg::COMMAND, command);
        for _ in 0..5000 {
            let status = self.read(reg::STATUS);
            if status != 0 {
                return status;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("the toy does not come to an end");
    }

    /// Memory with a file.
    pub(crate) fn shared(&self, len: usize) -> Region {
        let memory = Request::new(len as u64).pages(Pages::Size4K).only(Kind::Memfd).alloc().unwrap();
        Region::alloc(&self.space, memory, DmaAccess::ReadWrite).unwrap()
    }

    /// Memory without one, which the server reaches by message.
    pub(crate) fn private(&self, len: usize) -> Region {
        Region::alloc(&self.space, HeapMemory::new(len).unwrap(), DmaAccess::ReadWrite).unwrap()
    }

    /// Lets the toy write to `region` and read it back.
    pub(crate) fn check_dma(&self, region: &Region, seed: u8) {
        let data: Vec<u8> = (0..64).map(|at: u8| at.wrapping_mul(7).wrapping_add(seed)).collect();
        for (at, word) in data.as_chunks::<8>().0.iter().enumerate() {
            self.bar.write(reg::SCRATCH + 8 * at as u64, Width::W64, u64::from_le_bytes(*word)).unwrap();
        }
        let iova = region.iova().0;
        assert_eq!(self.act(reg::WRITE, iova + 128, 64), reg::DONE);
        let mut got = [0; 64];
        region.copy_out(128, &mut got).unwrap();
        assert_eq!(got[..], data);
        region.write_u64(8, 0x1122_3344_5566_7788 + u64::from(seed)).unwrap();
        assert_eq!(self.act(reg::LOAD, iova + 8, 0), reg::DONE);
        let read = self.bar.read(reg::SCRATCH, Width::W64).unwrap();
        assert_eq!(read, 0x1122_3344_5566_7788 + u64::from(seed));
    }
}

/// A server at a path that the test chooses.
pub(crate) struct At {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl At {
    pub(crate) fn serve(path: &Path, model: impl DeviceModel + 'static) -> At {
        let mut server = Server::bind(path, model, ServerOptions::default()).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = std::thread::spawn(move || server.serve(&told, IdlePolicy::default()).unwrap());
        At { stop, thread: Some(thread) }
    }
}

impl Drop for At {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        let _ = self.thread.take().unwrap().join();
    }
}

/// Waits for something that is about to happen.
pub(crate) fn wait_until(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what} does not happen");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A toy that says it is something else.
pub(crate) struct Looks(pub(crate) crate::common::Toy, pub(crate) Spec);

impl DeviceModel for Looks {
    fn spec(&self) -> Spec {
        self.1.clone()
    }

    fn bar_read(
        &mut self,
        cx: &mut Context<'_>,
        bar: u8,
        at: u64,
        data: &mut [u8],
    ) -> Result<(), AccessError> {
        self.0.bar_read(cx, bar, at, data)
    }

    fn bar_write(&mut self, cx: &mut Context<'_>, bar: u8, at: u64, data: &[u8]) -> Result<(), AccessError> {
        self.0.bar_write(cx, bar, at, data)
    }

    fn step(&mut self, cx: &mut Context<'_>) -> Work {
        self.0.step(cx)
    }

    fn reset(&mut self, cx: &mut Context<'_>, kind: ResetKind) {
        self.0.reset(cx, kind);
    }
}
