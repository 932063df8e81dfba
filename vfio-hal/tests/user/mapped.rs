//! Registers that are memory of the server.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use vfio_hal::Device;
use vfio_hal::bar::Width;
use vfio_user_kit::server::ServerOptions;
use vfio_user_kit::{SharedArea, SharedRegisters};

use crate::common::{self, Served, memory, peek, poke, reg, signals};
use crate::kit::{Toy, options, wait_until};

fn area(offset: u64, len: u64, file: &Arc<OwnedFd>) -> SharedArea {
    SharedArea { bar: 2, offset, len, file: file.clone(), file_offset: offset }
}

fn serve(shared: Vec<SharedArea>) -> Served {
    Served::with(common::Toy { shared, ..common::Toy::default() }, ServerOptions::default())
}

#[test]
fn areas_with_a_file_each_are_mapped_and_the_rest_is_not() {
    let first = SharedRegisters::new(2, 0x1000, 0x1000).unwrap();
    let second = SharedRegisters::new(2, 0x4000, 0x2000).unwrap();
    let served = serve(vec![first.area(), second.area()]);
    let toy = Toy::open(&served.path, &options());
    let bar = toy.device.bar(2).unwrap();
    let windows: Vec<_> = bar.windows().collect();
    let expected = [
        (0, 0x1000, false),
        (0x1000, 0x1000, true),
        (0x2000, 0x2000, false),
        (0x4000, 0x2000, true),
        (0x6000, 0xa000, false),
    ];
    assert_eq!(windows, expected);
    bar.write(0x1008, Width::W32, 0x1234_5678).unwrap();
    bar.doorbell(0x5ffc).unwrap().ring(99);
    assert_eq!((first.load32(0x1008), second.load32(0x5ffc)), (Some(0x1234_5678), Some(99)));
    assert!(second.store32(0x4000, 7));
    assert_eq!(bar.read(0x4000, Width::W32), Ok(7));
    // All ones may be a value.
    assert!(second.store32(0x4000, u32::MAX));
    assert_eq!(bar.read(0x4000, Width::W32), Ok(0xffff_ffff));
    assert!(!toy.device.lost().is_lost());
    drop(served);
    wait_until("the loss", || toy.device.fault().is_some());
    assert_eq!(bar.read(0x4000, Width::W32), Ok(0xffff_ffff));
    assert!(toy.device.lost().is_lost());
}

#[test]
fn several_areas_of_one_file() {
    let file = Arc::new(memory(1 << 16, true));
    let served = serve(vec![area(0, 0x1000, &file), area(0x3000, 0x1000, &file)]);
    let toy = Toy::open(&served.path, &options());
    let bar = toy.device.bar(2).unwrap();
    bar.write(0x3010, Width::W64, 0x55).unwrap();
    bar.write(0x10, Width::W8, 0x66).unwrap();
    assert_eq!((peek(&file, 0x3010, 1), peek(&file, 0x10, 1)), (vec![0x55], vec![0x66]));
    let off = Toy::of(toy.device.clone()).device.bar(2).unwrap();
    poke(&file, 0x3020, &[1, 2, 3, 4]);
    assert_eq!(off.read(0x3020, Width::W32), Ok(0x0403_0201));
}

#[test]
fn a_file_that_could_shrink_is_reached_by_message() {
    let file = Arc::new(memory(1 << 16, false));
    let served = serve(vec![area(0x1000, 0x1000, &file)]);
    {
        let toy = Toy::open(&served.path, &options());
        assert_eq!(toy.device.bar(2).unwrap().windows().collect::<Vec<_>>(), [(0, 1 << 16, false)]);
        assert_eq!(toy.device.regions()[2].areas.len(), 1);
    }
    {
        let toy = Toy::open(&served.path, &options().map_bars(false).trust_files(true));
        assert_eq!(toy.device.bar(2).unwrap().windows().count(), 1);
    }
    let toy = Toy::open(&served.path, &options().trust_files(true));
    let bar = toy.device.bar(2).unwrap();
    bar.write(0x1000, Width::W32, 3).unwrap();
    assert_eq!(peek(&file, 0x1000, 4), [3, 0, 0, 0]);
}

#[test]
fn a_file_that_is_too_short_or_only_for_reading_is_reached_by_message() {
    let short = Arc::new(memory(0x1800, true));
    let readable = memory(1 << 16, true);
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&readable));
    let readable = Arc::new(OwnedFd::from(std::fs::File::open(path).unwrap()));
    for file in [short, readable] {
        let served = serve(vec![area(0x1000, 0x1000, &file)]);
        let toy = Toy::open(&served.path, &options());
        assert_eq!(toy.device.bar(2).unwrap().windows().collect::<Vec<_>>(), [(0, 1 << 16, false)]);
    }
}

#[test]
fn a_write_can_be_a_signal() {
    let served = Served::start();
    let toy = Toy::open(&served.path, &options());
    let events = toy.device.io_events(0).unwrap();
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!((event.offset, event.size, event.datamatch), (reg::NOTIFY, 4, Some(7)));
    rustix::io::write(&event.fd, &1u64.to_ne_bytes()).unwrap();
    for _ in 0..1000 {
        if toy.read(reg::NOTIFIED) == 1 {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    panic!("the model was not told, {} signals are left", signals(&event.fd));
}
