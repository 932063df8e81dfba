//! A client made of bytes, and a model that does what its registers say ([`Toy`]).

// Each program uses a part of it.
#![allow(dead_code, unreachable_pub)]

mod toy;

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use vfio_user_kit::server::{IdlePolicy, Server, ServerOptions, ServerStats};

pub use toy::*;

pub const VERSION: u16 = 1;
pub const DMA_MAP: u16 = 2;
pub const DMA_UNMAP: u16 = 3;
pub const GET_INFO: u16 = 4;
pub const REGION_INFO: u16 = 5;
pub const IO_FDS: u16 = 6;
pub const IRQ_INFO: u16 = 7;
pub const SET_IRQS: u16 = 8;
pub const REGION_READ: u16 = 9;
pub const REGION_WRITE: u16 = 10;
pub const DMA_READ: u16 = 11;
pub const DMA_WRITE: u16 = 12;
pub const RESET: u16 = 13;
pub const WRITE_MULTI: u16 = 15;
pub const FEATURE: u16 = 16;
pub const MIG_READ: u16 = 17;
pub const MIG_WRITE: u16 = 18;

pub const EBUSY: u32 = 16;
pub const EEXIST: u32 = 17;
pub const EINVAL: u32 = 22;
pub const ENOENT: u32 = 2;
pub const ENOTTY: u32 = 25;
pub const ENOSYS: u32 = 38;
pub const EMSGSIZE: u32 = 90;
pub const ENOTSUP: u32 = 95;

/// A server at work on a thread.
pub struct Served {
    pub path: PathBuf,
    pub steps: Arc<AtomicU64>,
    folder: tempfile::TempDir,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<ServerStats>>,
}

impl Served {
    pub fn start() -> Served {
        Served::with(Toy::default(), ServerOptions::default())
    }

    pub fn with(toy: Toy, options: ServerOptions) -> Served {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let steps = toy.steps.clone();
        let mut server = Server::bind(&path, toy, options).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            server.serve(&stopped, IdlePolicy::default()).unwrap();
            server.stats()
        });
        Served { path, steps, folder, stop, thread: Some(thread) }
    }

    pub fn stop(mut self) -> ServerStats {
        self.stop.store(true, Ordering::Release);
        self.thread.take().unwrap().join().unwrap()
    }

    /// Fails if the model does not get its turn.
    pub fn check_alive(&self) {
        let before = self.steps.load(Ordering::Relaxed);
        for _ in 0..500 {
            if self.steps.load(Ordering::Relaxed) > before {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the model does not step any more");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub id: u16,
    pub command: u16,
    pub flags: u32,
    pub errno: u32,
    pub body: Vec<u8>,
    pub fds: Vec<OwnedFd>,
}

impl Reply {
    /// Returns the errno, `0` for a success.
    pub fn error(&self) -> u32 {
        assert_eq!(self.flags & 0xf, 1, "a reply: {self:?}");
        if self.flags & 0x20 != 0 {
            assert!(self.body.is_empty(), "an error is the header alone: {self:?}");
            assert_ne!(self.errno, 0);
            self.errno
        } else {
            0
        }
    }

    pub fn ok(self) -> Reply {
        assert_eq!(self.error(), 0, "{self:?}");
        self
    }
}

/// A client that writes and reads bytes.
pub struct Client {
    pub socket: UnixStream,
    next: u16,
}

impl Client {
    /// Connects without a word.
    pub fn connect(path: &Path) -> Client {
        Client::on(UnixStream::connect(path).unwrap())
    }

    /// Talks on a socket that is connected already.
    pub fn on(socket: UnixStream) -> Client {
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Client { socket, next: 0 }
    }

    /// Connects and agrees on a version.
    pub fn open(path: &Path) -> Client {
        let mut client = Client::connect(path);
        client.call(VERSION, &version("{}"), &[]).ok();
        client
    }

    pub fn raw(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) {
        send(self.socket.as_fd(), bytes, fds);
    }

    pub fn send(&mut self, command: u16, flags: u32, body: &[u8], fds: &[BorrowedFd<'_>]) -> u16 {
        self.next = self.next.wrapping_add(1);
        self.raw(&message(self.next, command, flags, body), fds);
        self.next
    }

    pub fn receive(&mut self) -> Reply {
        receive(self.socket.as_fd()).expect("an answer")
    }

    pub fn call(&mut self, command: u16, body: &[u8], fds: &[BorrowedFd<'_>]) -> Reply {
        let id = self.send(command, 0, body, fds);
        let reply = self.receive();
        assert_eq!((reply.id, reply.command), (id, command), "the stream is in step: {reply:?}");
        reply
    }

    /// Fails if the stream is out of step or the server does not answer.
    pub fn check(&mut self) {
        let reply = self.call(GET_INFO, &words(&[16, 0, 0, 0]), &[]).ok();
        assert_eq!(reply.body, words(&[16, 3, 9, 5]));
    }

    pub fn write(&mut self, region: u32, offset: u64, data: &[u8]) {
        let mut body = access(offset, region, data.len() as u32);
        body.extend_from_slice(data);
        self.call(REGION_WRITE, &body, &[]).ok();
    }

    pub fn read(&mut self, region: u32, offset: u64, count: usize) -> Vec<u8> {
        let reply = self.call(REGION_READ, &access(offset, region, count as u32), &[]).ok();
        assert_eq!(reply.body[..16], access(offset, region, count as u32));
        assert_eq!(reply.body.len(), 16 + count);
        reply.body[16..].to_vec()
    }

    pub fn write32(&mut self, offset: u64, value: u32) {
        self.write(0, offset, &value.to_le_bytes());
    }

    pub fn read32(&mut self, offset: u64) -> u32 {
        u32::from_le_bytes(self.read(0, offset, 4).try_into().unwrap())
    }

    pub fn bus_master(&mut self) {
        self.write(7, 4, &[6, 0]);
    }

    pub fn map(&mut self, address: u64, size: u64, flags: u32, file: Option<(BorrowedFd<'_>, u64)>) -> u32 {
        let offset = file.map_or(0, |file| file.1);
        let fds: Vec<_> = file.iter().map(|file| file.0).collect();
        self.call(DMA_MAP, &dma_map(flags, offset, address, size), &fds).error()
    }

    /// Has the toy do something; does not wait.
    pub fn start(&mut self, command: u32, address: u64, len: u32) {
        self.write(0, reg::ADDRESS, &address.to_le_bytes());
        self.write32(reg::LENGTH, len);
        self.write32(reg::STATUS, 0);
        self.write32(reg::COMMAND, command);
    }

    /// Waits until the toy is done, and returns its status.
    pub fn finish(&mut self) -> u32 {
        for _ in 0..2000 {
            let status = self.read32(reg::STATUS);
            if status != 0 {
                return status;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("the toy does not come to an end");
    }

    pub fn act(&mut self, command: u32, address: u64, len: u32) -> u32 {
        self.start(command, address, len);
        self.finish()
    }
}

pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) {
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(fds)));
    }
    let mut sent = 0;
    while sent < bytes.len() {
        let part = &bytes[sent..];
        sent += sendmsg(socket, &[IoSlice::new(part)], &mut ancillary, SendFlags::NOSIGNAL).unwrap();
        ancillary.clear();
    }
}

/// Returns a message, `None` when the other side hung up.
pub fn receive(socket: BorrowedFd<'_>) -> Option<Reply> {
    let mut fds = Vec::new();
    let header = exactly(socket, 16, &mut fds)?;
    let size = u32::from_ne_bytes(header[4..8].try_into().unwrap()) as usize;
    assert!((16..=(1 << 20) + 64).contains(&size), "a size of {size}");
    let body = exactly(socket, size - 16, &mut fds)?;
    Some(Reply {
        id: u16::from_ne_bytes(header[0..2].try_into().unwrap()),
        command: u16::from_ne_bytes(header[2..4].try_into().unwrap()),
        flags: u32::from_ne_bytes(header[8..12].try_into().unwrap()),
        errno: u32::from_ne_bytes(header[12..16].try_into().unwrap()),
        body,
        fds,
    })
}

fn exactly(socket: BorrowedFd<'_>, count: usize, fds: &mut Vec<OwnedFd>) -> Option<Vec<u8>> {
    let mut bytes = vec![0; count];
    let mut have = 0;
    while have < count {
        let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let got = recvmsg(
            socket,
            &mut [IoSliceMut::new(&mut bytes[have..])],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        );
        let got = got.expect("an answer in time");
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                fds.extend(rights);
            }
        }
        if got.bytes == 0 {
            return None;
        }
        have += got.bytes;
    }
    Some(bytes)
}

pub fn message(id: u16, command: u16, flags: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(id.to_ne_bytes());
    bytes.extend(command.to_ne_bytes());
    bytes.extend((16 + body.len() as u32).to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(body);
    bytes
}

pub fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

pub fn longs(longs: &[u64]) -> Vec<u8> {
    longs.iter().flat_map(|long| long.to_ne_bytes()).collect()
}

pub fn version(capabilities: &str) -> Vec<u8> {
    let mut body = vec![0, 0, 1, 0];
    body.extend(format!("{{\"capabilities\":{capabilities}}}").as_bytes());
    body.push(0);
    body
}

pub fn access(offset: u64, region: u32, count: u32) -> Vec<u8> {
    [longs(&[offset]), words(&[region, count])].concat()
}

pub fn dma_map(flags: u32, offset: u64, address: u64, size: u64) -> Vec<u8> {
    [words(&[32, flags]), longs(&[offset, address, size])].concat()
}

pub fn dma_unmap(flags: u32, address: u64, size: u64) -> Vec<u8> {
    [words(&[24, flags]), longs(&[address, size])].concat()
}

pub fn set_irqs(flags: u32, index: u32, start: u32, count: u32) -> Vec<u8> {
    words(&[20, flags, index, start, count])
}

pub fn event() -> OwnedFd {
    eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap()
}

/// Returns how often an eventfd was signalled.
pub fn signals(fd: &OwnedFd) -> u64 {
    let mut bytes = [0; 8];
    rustix::io::read(fd, &mut bytes).map_or(0, |_| u64::from_ne_bytes(bytes))
}

/// A memory file; sealed as QEMU seals its memory, or not.
pub fn memory(size: u64, sealed: bool) -> OwnedFd {
    let fd = memfd_create("memory", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    ftruncate(&fd, size).unwrap();
    if sealed {
        fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL).unwrap();
    }
    fd
}

pub fn peek(fd: &OwnedFd, at: u64, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    assert_eq!(rustix::io::pread(fd, &mut bytes, at).unwrap(), count);
    bytes
}

pub fn poke(fd: &OwnedFd, at: u64, bytes: &[u8]) {
    assert_eq!(rustix::io::pwrite(fd, bytes, at).unwrap(), bytes.len());
}
