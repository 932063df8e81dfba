//! Registers, configuration space, memory, reset.

use std::path::Path;

use rustix::io::Errno;
use vfio_hal::Device;
use vfio_hal::addr::Iova;
use vfio_hal::backend::user::{UserDevice, UserError};
use vfio_hal::bar::Width;
use vfio_hal::device::DeviceError;
use vfio_hal::dma::memory::HeapMemory;
use vfio_hal::dma::{DmaAccess, DmaError, Region};
use vfio_user_kit::client::{ClientError, Write};
use vfio_user_kit::server::ServerOptions;

use crate::common::{self, Served, reg};
use crate::kit::{Toy, options};

#[test]
fn registers_of_all_widths() {
    let served = Served::start();
    for posted in [true, false] {
        let toy = Toy::open(&served.path, &options().posted_writes(posted));
        let at = reg::SCRATCH;
        toy.bar.write(at, Width::W64, 0x0102_0304_0506_0708).unwrap();
        assert_eq!(toy.bar.read(at, Width::W64), Ok(0x0102_0304_0506_0708));
        assert_eq!(toy.bar.read(at + 4, Width::W32), Ok(0x0102_0304));
        assert_eq!(toy.bar.read(at + 2, Width::W16), Ok(0x0506));
        assert_eq!(toy.bar.read(at + 7, Width::W8), Ok(0x01));
        toy.bar.write(at + 7, Width::W8, 0xff).unwrap();
        assert_eq!(toy.read(at + 4), 0xff02_0304);
        toy.bar.doorbell(reg::BELL).unwrap().ring(77);
        assert_eq!(toy.read(reg::BELL), 77);
    }
}

#[test]
fn several_writes_in_one_message() {
    let served = Served::start();
    let toy = Toy::open(&served.path, &options());
    let write = |offset, data| Write { region: 0, offset, data };
    toy.device.write_many(&[write(reg::SCRATCH, &[1, 2, 3, 4]), write(reg::SCRATCH + 1, &[9])]).unwrap();
    assert_eq!(toy.read(reg::SCRATCH), 0x0403_0901);
    let nine = [0; 9];
    let error = toy.device.write_many(&[write(reg::SCRATCH, &nine)]).unwrap_err();
    assert!(matches!(error, UserError::Client(ClientError::Invalid { .. })), "{error}");
    // One that is not in the region keeps all of them from being done.
    let error = toy.device.write_many(&[write(reg::SCRATCH, &[7]), write(4096, &[7])]).unwrap_err();
    assert!(matches!(error, UserError::Client(ClientError::Refused { errno: Errno::INVAL, .. })), "{error}");
    assert_eq!(toy.read(reg::SCRATCH), 0x0403_0901);
}

#[test]
fn a_refused_register_reads_all_ones_and_the_device_stays() {
    let served = Served::start();
    let toy = Toy::open(&served.path, &options());
    let second = toy.device.bar(2).unwrap();
    // The toy's second BAR has no registers.
    assert_eq!(second.read(0x100, Width::W16), Ok(0xffff));
    second.write(0x100, Width::W32, 1).unwrap();
    assert!(!toy.device.lost().is_lost());
    toy.write(reg::SCRATCH, 5);
    assert_eq!(toy.read(reg::SCRATCH), 5);
}

#[test]
fn bars_and_regions_are_what_the_server_says() {
    let served = Served::start();
    let toy = Toy::open(&served.path, &options());
    let sizes: Vec<u64> = toy.device.regions().iter().map(|region| region.size).collect();
    assert_eq!(sizes[..8], [4096, 0, 1 << 16, 0, 4096, 64, 0, 4096]);
    assert_eq!(toy.device.bar(2).unwrap().len(), 1 << 16);
    for index in [1, 3, 6, 7, 255] {
        assert_eq!(toy.device.bar(index).unwrap_err(), DeviceError::NoBar { index });
    }
    assert_eq!(toy.device.name(), served.path.display().to_string());
    assert_eq!(toy.device.capabilities().unwrap().max_msg_fds, 16);
}

#[test]
fn configuration_space_is_bounded() {
    let served = Served::start();
    let toy = Toy::open(&served.path, &options());
    let mut ids = [0; 4];
    toy.device.config_read(0, &mut ids).unwrap();
    assert_eq!(ids, [0x34, 0x12, 0x78, 0x56]);
    let mut last = [0; 8];
    toy.device.config_read(4088, &mut last).unwrap();
    let range = |offset, len| Err(DeviceError::ConfigRange { offset, len });
    assert_eq!(toy.device.config_read(4092, &mut last), range(4092, 8));
    assert_eq!(toy.device.config_write(u16::MAX, &[0, 0]), range(u16::MAX, 2));
}

#[test]
fn memory_with_a_file_and_without() {
    let served = Served::start();
    for twin in [true, false] {
        let toy = Toy::open(&served.path, &options().twin_socket(twin));
        let (shared, private) = (toy.shared(8192), toy.private(8192));
        toy.check_dma(&shared, 3);
        toy.check_dma(&private, 5);
        drop((shared, private));
        let stats = toy.space.stats();
        assert_eq!((stats.regions, stats.leaked_regions), (0, 0));
    }
}

#[test]
fn large_transfers_by_message_come_in_pieces() {
    let served = Served::start();
    for twin in [true, false] {
        let toy = Toy::open(&served.path, &options().twin_socket(twin).max_transfer(1000));
        let region = toy.private(64 << 10);
        for at in 0..2048 / 8 {
            toy.bar.write(reg::SCRATCH + 8 * at, Width::W64, at * 0x0101).unwrap();
        }
        assert_eq!(toy.act(reg::WRITE, region.iova().0 + 3, 60_000), reg::DONE);
        let mut got = vec![0; 60_000];
        region.copy_out(3, &mut got).unwrap();
        for (at, byte) in got.iter().enumerate() {
            let word = (at % 2048 / 8) as u64 * 0x0101;
            assert_eq!(*byte, word.to_le_bytes()[at % 8], "byte {at}");
        }
    }
}

#[test]
fn rights_hold_by_message() {
    let served = Served::start();
    let toy = Toy::open(&served.path, &options());
    let region = |access| Region::alloc(&toy.space, HeapMemory::new(4096).unwrap(), access).unwrap();
    let (read, write) = (region(DmaAccess::Read), region(DmaAccess::Write));
    assert_eq!(toy.act(reg::READ, read.iova().0, 64), reg::DONE);
    assert_eq!(toy.act(reg::WRITE, read.iova().0, 64), reg::FAULT);
    assert_eq!(toy.act(reg::WRITE, write.iova().0, 64), reg::DONE);
    assert_eq!(toy.act(reg::READ, write.iova().0, 64), reg::FAULT);
    let gone = read.iova().0;
    drop(read);
    assert_eq!(toy.act(reg::READ, gone, 64), reg::FAULT);
    // Two regions side by side are one range for the device.
    let first =
        Region::alloc_at(&toy.space, HeapMemory::new(4096).unwrap(), DmaAccess::ReadWrite, Iova(0x10000))
            .unwrap();
    let second =
        Region::alloc_at(&toy.space, HeapMemory::new(4096).unwrap(), DmaAccess::ReadWrite, Iova(0x11000))
            .unwrap();
    toy.bar.write(reg::SCRATCH, Width::W64, u64::MAX).unwrap();
    assert_eq!(toy.act(reg::WRITE, 0x10ffc, 8), reg::DONE);
    assert_eq!((first.read_u32(0xffc), second.read_u32(0)), (Ok(u32::MAX), Ok(u32::MAX)));
}

#[test]
fn the_servers_limit_of_mappings_is_the_devices() {
    let served =
        Served::with(common::Toy::default(), ServerOptions { max_dma_maps: 2, ..ServerOptions::default() });
    let toy = Toy::open(&served.path, &options());
    let _held = (toy.shared(4096), toy.private(4096));
    let third = Region::alloc(&toy.space, HeapMemory::new(4096).unwrap(), DmaAccess::Read).unwrap_err();
    assert_eq!(third, DmaError::EntryLimit { limit: 2 });
}

#[test]
fn reset_puts_registers_back() {
    let served = Served::start();
    let toy = Toy::open(&served.path, &options());
    toy.write(reg::SCRATCH, 1);
    toy.device.reset().unwrap();
    assert_eq!(toy.read(reg::SCRATCH), 0);
}

#[test]
fn nobody_at_the_path_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let connect = |path: &Path| UserDevice::connect(path, &options()).unwrap_err();
    let error = connect(&folder.path().join("none"));
    assert_eq!(error, UserError::Client(ClientError::Connect { errno: Errno::NOENT }));
    assert!(error.to_string().contains("start it"), "{error}");
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert_eq!(connect(&file), UserError::Client(ClientError::Connect { errno: Errno::CONNREFUSED }));
    let long = folder.path().join("x".repeat(200));
    assert_eq!(connect(&long), UserError::Client(ClientError::Connect { errno: Errno::NAMETOOLONG }));
}
