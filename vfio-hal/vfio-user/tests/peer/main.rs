//! Our server with the published `vfio_user` crate's client, and our client with that crate's server.
//!
//! Both sides of that crate are as far as it goes: no DMA by message, no migration, one descriptor for all areas.

#[path = "../common/mod.rs"]
mod common;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use common::*;
use rustix::io::Errno;
use vfio_bindings::bindings::vfio::{
    VFIO_IRQ_INFO_EVENTFD, VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_IRQ_SET_DATA_EVENTFD,
    VFIO_REGION_INFO_FLAG_MMAP, VFIO_REGION_INFO_FLAG_READ, VFIO_REGION_INFO_FLAG_WRITE, vfio_region_info,
    vfio_region_sparse_mmap_area,
};
use vfio_user::{DmaMapFlags, DmaUnmapFlags, IrqInfo, ServerBackend, ServerRegion, SparseArea};
use vfio_user_kit::client::{Client as OurClient, ClientError, ClientOptions};
use vfio_user_kit::server::ServerOptions;
use vfio_user_kit::{SharedRegisters, proto::wire};

#[test]
fn their_client_uses_our_server() {
    let shared = SharedRegisters::new(2, 0x1000, 0x1000).unwrap();
    let toy = Toy { shared: vec![shared.area()], ..Toy::default() };
    let served = Served::with(toy, ServerOptions::default());
    let mut client = vfio_user::Client::new(&served.path).unwrap();
    let region = client.region(2).unwrap();
    assert_eq!((region.size, region.sparse_areas.len()), (1 << 16, 1));
    assert_eq!((region.sparse_areas[0].offset, region.sparse_areas[0].size), (0x1000, 0x1000));
    let mapped = region.file_offset.as_ref().unwrap();
    assert!(shared.store32(0x1010, 0x5566_7788));
    let mut word = [0; 4];
    mapped.file().read_exact_at(&mut word, mapped.start().wrapping_add(0x1010)).unwrap();
    assert_eq!(word, [0x88, 0x77, 0x66, 0x55]);

    client.region_write(7, 4, &[6, 0]).unwrap();
    let file = memory(0x4000, true);
    poke(&file, 0x2000, b"from a peer");
    client.dma_map(0x1000, 0x10_0000, 0x3000, file.as_raw_fd()).unwrap();
    let act = |client: &mut vfio_user::Client, command: u32, address: u64, len: u32| {
        client.region_write(0, reg::ADDRESS, &address.to_le_bytes()).unwrap();
        client.region_write(0, reg::LENGTH, &len.to_le_bytes()).unwrap();
        client.region_write(0, reg::STATUS, &[0; 4]).unwrap();
        client.region_write(0, reg::COMMAND, &command.to_le_bytes()).unwrap();
        let mut status = [0; 4];
        for _ in 0..2000 {
            client.region_read(0, reg::STATUS, &mut status).unwrap();
            if status != [0; 4] {
                return u32::from_le_bytes(status);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("the toy does not come to an end");
    };
    assert_eq!(act(&mut client, reg::READ, 0x10_1000, 11), reg::DONE);
    let mut data = [0; 11];
    client.region_read(0, reg::SCRATCH, &mut data).unwrap();
    assert_eq!(&data, b"from a peer");
    assert_eq!(act(&mut client, reg::WRITE, 0x10_0000, 11), reg::DONE);
    assert_eq!(peek(&file, 0x1000, 11), b"from a peer");

    let irq = client.get_irq_info(2).unwrap();
    assert_eq!((irq.index, irq.count), (2, 8));
    let event = event();
    let flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
    client.set_irqs(2, flags, 3, 1, &[event.as_raw_fd()]).unwrap();
    assert_eq!(act(&mut client, reg::MSI, 0, 3), reg::DONE);
    assert_eq!(signals(&event), 1);

    client.dma_unmap(0x10_0000, 0x3000).unwrap();
    assert_eq!(act(&mut client, reg::READ, 0x10_1000, 11), reg::FAULT);
    client.reset().unwrap();
    client.region_read(0, reg::SCRATCH, &mut data).unwrap();
    assert_eq!(data, [0; 11]);
    client.shutdown().unwrap();
}

/// What a device of that crate was asked, and what it is made of.
struct Device {
    registers: Vec<u8>,
    memory: Vec<(u64, u64, u64, File)>,
    events: Vec<File>,
    heard: Sender<String>,
}

impl ServerBackend for Device {
    fn region_read(&mut self, region: u32, offset: u64, data: &mut [u8]) -> io::Result<()> {
        let at = offset as usize;
        let source = self.registers.get(at..at + data.len()).filter(|_| region == 0);
        data.copy_from_slice(source.ok_or(io::ErrorKind::InvalidInput)?);
        Ok(())
    }

    /// A write to the last register copies what was mapped at 10000h to 10800h, and fires.
    fn region_write(&mut self, region: u32, offset: u64, data: &[u8]) -> io::Result<()> {
        let at = offset as usize;
        let target = self.registers.get_mut(at..at + data.len()).filter(|_| region == 0);
        target.ok_or(io::ErrorKind::InvalidInput)?.copy_from_slice(data);
        if at == 0xffc {
            let (_, offset, _, file) =
                self.memory.iter().find(|one| one.0 == 0x10000).ok_or(io::ErrorKind::NotFound)?;
            let mut copied = [0; 64];
            file.read_exact_at(&mut copied, *offset)?;
            file.write_all_at(&copied, *offset + 0x800)?;
            self.events
                .iter()
                .try_for_each(|event| rustix::io::write(event, &1u64.to_ne_bytes()).map(drop))?;
        }
        Ok(())
    }

    fn dma_map(
        &mut self,
        flags: DmaMapFlags,
        offset: u64,
        address: u64,
        size: u64,
        fd: Option<File>,
    ) -> io::Result<()> {
        let _ = self.heard.send(format!("map {address:#x} {size:#x} {:#x} {}", flags.bits(), fd.is_some()));
        self.memory.push((address, offset, size, fd.ok_or(io::ErrorKind::Unsupported)?));
        Ok(())
    }

    fn dma_unmap(&mut self, _: DmaUnmapFlags, address: u64, size: u64) -> io::Result<()> {
        self.memory.retain(|one| (one.0, one.2) != (address, size));
        let _ = self.heard.send(format!("unmap {address:#x} {size:#x}"));
        Ok(())
    }

    fn reset(&mut self) -> io::Result<()> {
        self.registers.fill(0);
        Ok(())
    }

    fn set_irqs(&mut self, index: u32, flags: u32, start: u32, count: u32, fds: Vec<File>) -> io::Result<()> {
        let _ = self.heard.send(format!("irqs {index} {flags:#x} {start} {count} {}", fds.len()));
        self.events = fds;
        Ok(())
    }
}

fn their_server(path: &Path, file: &OwnedFd) -> (JoinHandle<()>, Receiver<String>) {
    let rights = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
    let regions = (0..9u32).map(|index| {
        let size = match index {
            0 => 0x1000,
            2 => 0x4000,
            7 => 0x1000,
            _ => 0,
        };
        let mapped = index == 2;
        let flags = if mapped { rights | VFIO_REGION_INFO_FLAG_MMAP } else { rights };
        let area = vfio_region_sparse_mmap_area { offset: 0x2000, size: 0x1000 };
        ServerRegion {
            region_info: vfio_region_info { argsz: 32, flags, index, cap_offset: 0, size, offset: 0 },
            sparse_areas: if mapped { vec![SparseArea { area }] } else { vec![] },
            mmap_fd: mapped.then(|| file.as_raw_fd()),
        }
    });
    let irqs = (0..5).map(|index| IrqInfo {
        index,
        flags: VFIO_IRQ_INFO_EVENTFD,
        count: if index == 2 { 4 } else { 0 },
    });
    let server = vfio_user::Server::new(path, true, irqs.collect(), regions.collect()).unwrap();
    let (heard, told) = channel();
    let thread = std::thread::spawn(move || {
        let mut device = Device { registers: vec![0; 0x1000], memory: Vec::new(), events: Vec::new(), heard };
        server.run(&mut device).unwrap();
    });
    (thread, told)
}

#[test]
fn our_client_uses_their_server() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let area = memory(0x4000, true);
    let (thread, told) = their_server(&path, &area);
    let options = ClientOptions { timeout: Duration::from_secs(20), ..ClientOptions::default() };
    let client = OurClient::connect(&path, &options, Arc::new(())).unwrap();
    assert_eq!(client.minor_version(), 0);
    assert!(!client.capabilities().write_multiple);
    // It means the migration that went before today's.
    assert_eq!(client.migration_support(), Ok(None));

    let info = client.device_info().unwrap();
    assert_eq!((info.regions, info.irqs), (9, 5));
    assert_eq!(info.flags, wire::DEVICE_PCI | wire::DEVICE_RESET);
    let region = client.region_info(2).unwrap();
    let [only] = &region.areas[..] else { panic!("{region:?}") };
    assert_eq!((only.offset, only.size), (0x2000, 0x1000));
    let (file, at) = only.file.as_ref().unwrap();
    poke(&area, 0x2004, &[1, 2, 3]);
    assert_eq!((peek(file, *at + 4, 3), *at), (vec![1, 2, 3], 0x2000));
    assert_eq!(client.region_info(0).unwrap().areas.len(), 0);
    let beyond = client.region_info(9).unwrap_err();
    assert!(matches!(beyond, ClientError::Refused { errno: Errno::INVAL, .. }), "{beyond}");

    client.region_write(0, 0x10, &[1, 2, 3, 4]).unwrap();
    client.region_post(0, 0x14, &[5, 6]).unwrap();
    let mut data = [0; 6];
    client.region_read(0, 0x10, &mut data).unwrap();
    assert_eq!(data, [1, 2, 3, 4, 5, 6]);
    // It answers without an errno.
    let refused = client.region_read(0, 0x2000, &mut data).unwrap_err();
    assert!(matches!(refused, ClientError::Refused { errno: Errno::IO, .. }), "{refused}");

    let buffer = memory(0x2000, true);
    poke(&buffer, 0x1000, &[0xab; 64]);
    client.dma_map(0x10000, 0x1000, (true, true), Some((buffer.as_fd(), 0x1000))).unwrap();
    assert_eq!(told.recv().unwrap(), "map 0x10000 0x1000 0x3 true");
    assert!(client.dma_map(0x20000, 0x1000, (true, false), None).is_err(), "it needs a file");
    assert_eq!(told.recv().unwrap(), "map 0x20000 0x1000 0x1 false");
    assert_eq!(client.irq_info(2).unwrap().count, 4);
    let event = event();
    client.irq_eventfds(2, 1, &[Some(event.as_fd())]).unwrap();
    assert_eq!(told.recv().unwrap(), "irqs 2 0x24 1 1 1");
    client.region_write(0, 0xffc, &[1, 0, 0, 0]).unwrap();
    assert_eq!(peek(&buffer, 0x1800, 64), [0xab; 64]);
    assert_eq!(signals(&event), 1);
    client.dma_unmap(0x10000, 0x1000).unwrap();
    assert_eq!(told.recv().unwrap(), "unmap 0x10000 0x1000");
    client.reset().unwrap();
    client.region_read(0, 0x10, &mut data).unwrap();
    assert_eq!(data, [0; 6]);
    assert_eq!(client.fault(), None);
    drop(client);
    thread.join().unwrap();
}
