//! Nothing stays of devices that were connected and dropped: no descriptor, no thread, no mapping. A program of its own,
//! because it counts all of them.

#[path = "../../vfio-user/tests/common/mod.rs"]
mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{Served, reg};
use vfio_hal::Device;
use vfio_hal::backend::user::{Options, UserDevice};
use vfio_hal::bar::Width;
use vfio_hal::dma::memory::{HeapMemory, Kind, Pages, Request};
use vfio_hal::dma::{DmaAccess, IovaSpace, Region};
use vfio_hal::irq::{EventFd, IrqKind, IrqSink};
use vfio_user_kit::SharedRegisters;
use vfio_user_kit::server::{IdlePolicy, Server, ServerOptions};

fn count(folder: &str) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

fn mappings() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    // The client's memory, and the server's registers in the client.
    maps.lines().filter(|line| line.contains("memfd:dma") || line.contains("memfd:registers")).count()
}

/// Descriptors, threads, mappings.
fn resources() -> [usize; 3] {
    [count("/proc/self/fd"), count("/proc/self/task"), mappings()]
}

fn use_it(device: &Arc<UserDevice>) -> IovaSpace {
    let erased: Arc<dyn Device> = device.clone();
    let space = IovaSpace::new();
    space.attach(&erased).unwrap();
    let bar = device.bar(0).unwrap();
    let mapped = device.bar(2).unwrap();
    mapped.write(0x1000, Width::W32, 1).unwrap();
    bar.write(reg::SCRATCH, Width::W32, 1).unwrap();
    assert_eq!(bar.read(reg::SCRATCH, Width::W32), Ok(1));
    let memory = Request::new(8192).pages(Pages::Size4K).only(Kind::Memfd).alloc().unwrap();
    let file = Region::alloc(&space, memory, DmaAccess::ReadWrite).unwrap();
    let heap = Region::alloc(&space, HeapMemory::new(4096).unwrap(), DmaAccess::ReadWrite).unwrap();
    let sink: Arc<dyn IrqSink> = Arc::new(EventFd::new().unwrap());
    device.irqs().unwrap().enable(IrqKind::MsiX, 0, &[Some(sink.clone()), Some(sink)]).unwrap();
    drop((file, heap));
    assert_eq!(space.stats().leaked_regions, 0);
    space
}

#[test]
fn a_thousand_devices_leave_nothing() {
    let shared = SharedRegisters::new(2, 0x1000, 0x1000).unwrap();
    let toy = || common::Toy { shared: vec![shared.area()], ..common::Toy::default() };
    let served = Served::with(toy(), ServerOptions::default());
    let cycle = |round: u32| {
        let options =
            Options::default().timeout(Duration::from_secs(20)).twin_socket(!round.is_multiple_of(3));
        // Some can connect again, and have a thread for it.
        let limit = Duration::from_secs(20);
        let options = if round.is_multiple_of(2) { options.reconnect(limit) } else { options };
        if !round.is_multiple_of(5) {
            let device = UserDevice::connect(&served.path, &options).unwrap();
            drop(use_it(&device));
            return;
        }
        // A server of its own, that ends before its client.
        let (mine, yours) = std::os::unix::net::UnixStream::pair().unwrap();
        let server = Server::from_connection(mine.into(), toy(), ServerOptions::default()).unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let told = &stop;
            // It goes with its thread.
            scope.spawn(move || {
                let mut server = server;
                server.serve(told, IdlePolicy::default()).unwrap();
            });
            let device = UserDevice::from_socket("toy", yours.into(), &options).unwrap();
            let space = use_it(&device);
            let heap = HeapMemory::new(4096).unwrap();
            let held = Region::alloc(&space, heap, DmaAccess::ReadWrite).unwrap();
            stop.store(true, Ordering::Release);
            while device.fault().is_none() {
                std::thread::yield_now();
            }
            drop(held);
            assert_eq!(space.stats().leaked_regions, 0);
        });
    };
    (0..10).for_each(cycle);
    let settled = |expected: Option<[usize; 3]>| {
        for _ in 0..500 {
            // The server lets go of a client a moment later.
            if expected == Some(resources()) {
                break;
            }
            std::thread::sleep(Duration::from_millis(4));
        }
        resources()
    };
    std::thread::sleep(Duration::from_millis(100));
    let before = resources();
    (0..1000).for_each(cycle);
    assert_eq!(settled(Some(before)), before, "descriptors, threads, mappings");
}
