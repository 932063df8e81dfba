//! The server: reads requests, and does with each what the input says.

use std::io::{IoSlice, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use super::input::{Act, Fd, Input};

const REPLY: u32 = 1;
const ERROR: u32 = 1 << 5;

struct Request {
    id: u16,
    command: u16,
    flags: u32,
    body: Vec<u8>,
}

pub fn start(input: &Input) -> (JoinHandle<()>, OwnedFd) {
    let (mine, yours) = UnixStream::pair().expect("a pair of sockets");
    let (acts, twin) = (input.acts.clone(), input.twin);
    let thread = std::thread::spawn(move || {
        let mut server = Server { socket: mine, twin: None, offers_twin: twin };
        server.serve(acts);
    });
    (thread, yours.into())
}

struct Server {
    socket: UnixStream,
    twin: Option<UnixStream>,
    offers_twin: bool,
}

impl Server {
    fn serve(&mut self, acts: Vec<Act>) {
        let mut acts = acts.into_iter();
        while let Some(request) = self.take() {
            // An answer to what it asked.
            if request.flags & 0xf == REPLY {
                continue;
            }
            let act = acts.next().unwrap_or(Act::Honest);
            if self.act(&request, act).is_none() {
                return;
            }
        }
    }

    fn take(&mut self) -> Option<Request> {
        let mut header = [0; 16];
        self.socket.read_exact(&mut header).ok()?;
        let half = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
        let word = |at: usize| u32::from(half(at)) | u32::from(half(at + 2)) << 16;
        let mut body = vec![0; word(4) as usize - 16];
        self.socket.read_exact(&mut body).ok()?;
        Some(Request { id: half(0), command: half(2), flags: word(8), body })
    }

    /// Returns `None` at the end.
    fn act(&mut self, request: &Request, act: Act) -> Option<()> {
        let wanted = request.flags & 1 << 4 == 0;
        match act {
            Act::Honest => {}
            Act::Spoiled { changes, word, len, keep_size, fds } => {
                let (mut bytes, mut files) = self.honest(request);
                for (at, value) in changes {
                    if let Some(byte) = bytes.get_mut(usize::from(at)) {
                        *byte = value;
                    }
                }
                if let Some((at, number)) = word
                    && let Some(place) = bytes.get_mut(4 * usize::from(at)..4 * usize::from(at) + 4)
                {
                    place.copy_from_slice(&(number.get() as u32).to_ne_bytes());
                }
                if let Some(len) = len {
                    bytes.resize(len.into(), 0x5a);
                }
                if keep_size && bytes.len() >= 16 {
                    let size = bytes.len() as u32;
                    bytes[4..8].copy_from_slice(&size.to_ne_bytes());
                }
                files.extend(fds.iter().take(20).map(make));
                return self.send(false, &bytes, &files);
            }
            Act::Answer { errno, body, fds } => {
                let mut bytes = message(request.id, request.command, REPLY, &body);
                if let Some(errno) = errno {
                    bytes[8..12].copy_from_slice(&(REPLY | ERROR).to_ne_bytes());
                    bytes[12..14].copy_from_slice(&errno.to_ne_bytes());
                }
                let files: Vec<_> = fds.iter().take(20).map(make).collect();
                return self.send(false, &bytes, &files);
            }
            Act::Ask { twin, write, short, address, count, data, flags, fds } => {
                let mut body = address.get().to_ne_bytes().to_vec();
                let count = count.get();
                if short {
                    body.extend((count as u32).to_ne_bytes())
                } else {
                    body.extend(count.to_ne_bytes())
                }
                body.extend(data);
                let command = if write { 12 } else { 11 };
                let files: Vec<_> = fds.iter().take(20).map(make).collect();
                self.send(twin, &message(7, command, u32::from(flags) & !0xf, &body), &files)?;
            }
            Act::Message { twin, id, command, flags, body, fds } => {
                let files: Vec<_> = fds.iter().take(20).map(make).collect();
                self.send(twin, &message(id, command.into(), flags.into(), &body), &files)?;
            }
            Act::Bytes(bytes) => self.send(false, &bytes, &[])?,
            Act::Silence => return Some(()),
            Act::End(after) => {
                if let Some(after) = after {
                    let (mut bytes, files) = self.honest(request);
                    bytes.truncate(after.into());
                    self.send(false, &bytes, &files)?;
                }
                return None;
            }
        }
        if !wanted {
            return Some(());
        }
        let (bytes, files) = self.honest(request);
        self.send(false, &bytes, &files)
    }

    fn send(&self, twin: bool, mut bytes: &[u8], fds: &[OwnedFd]) -> Option<()> {
        let socket = self.twin.as_ref().filter(|_| twin).unwrap_or(&self.socket);
        let fds: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
        let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            ancillary.push(SendAncillaryMessage::ScmRights(&fds));
        }
        while !bytes.is_empty() {
            let sent = sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL).ok()?;
            ancillary.clear();
            bytes = &bytes[sent..];
        }
        Some(())
    }

    /// The answer that a device has with two BARs, one of them with areas in memory and a doorbell in shadow memory.
    fn honest(&mut self, request: &Request) -> (Vec<u8>, Vec<OwnedFd>) {
        let word = |at: usize| {
            let bytes = request.body.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
            bytes.map_or(0, u32::from_ne_bytes)
        };
        let front = |count: usize| request.body[..count.min(request.body.len())].to_vec();
        let mut fds = Vec::new();
        let body = match request.command {
            1 => {
                let mut text =
                    r#"{"capabilities":{"max_msg_fds":8,"write_multiple":true,"migration":{"pgsize":4096}"#
                        .to_owned();
                if self.offers_twin
                    && let Ok((mine, yours)) = UnixStream::pair()
                {
                    text += r#","twin_socket":{"supported":true,"fd_index":0}"#;
                    self.twin = Some(mine);
                    fds.push(yours.into());
                }
                [words(&[2 << 16]), text.into_bytes(), b"}}\0".to_vec()].concat()
            }
            4 => words(&[16, 3, 9, 5]),
            5 => {
                let (argsz, index) = (word(0), word(8));
                let size: u64 = if matches!(index, 0 | 2 | 7) { 0x4000 } else { 0 };
                let full = index == 2 && argsz >= 80;
                let need = if index == 2 { 80 } else { 32 };
                let flags = if index == 2 { 0xf } else { 3 };
                let mut body =
                    [words(&[need, flags, index, if full { 32 } else { 0 }]), longs(&[size, 0])].concat();
                if full {
                    body.extend(words(&[1 | 1 << 16, 0, 2, 0]));
                    body.extend(longs(&[0x1000, 0x1000, 0x3000, 0x1000]));
                    fds.push(make(&Fd::Memory { pages: 4, sealed: true }));
                }
                body
            }
            6 => {
                let full = word(0) >= 96;
                let mut body = words(&[96, 0, word(8), if full { 2 } else { 0 }]);
                if full {
                    body.extend([longs(&[0x28, 4]), words(&[0, 0, 1, 0]), longs(&[7])].concat());
                    body.extend([longs(&[0x100, 4]), words(&[u32::MAX, 2, 0, 1]), longs(&[8])].concat());
                    fds.extend([make(&Fd::Event), make(&Fd::Memory { pages: 1, sealed: true })]);
                }
                body
            }
            7 => words(&[16, 7, word(8), 4]),
            3 => front(24),
            9 => [front(16), vec![0x5a; (word(12) as usize).min(1 << 16)]].concat(),
            10 => front(16),
            15 => front(8),
            16 => request.body.clone(),
            17 => [
                words(&[8 + word(4).min(1 << 16), word(4).min(1 << 16)]),
                vec![1; (word(4) as usize).min(1 << 16)],
            ]
            .concat(),
            _ => Vec::new(),
        };
        (message(request.id, request.command, REPLY, &body), fds)
    }
}

fn make(fd: &Fd) -> OwnedFd {
    match fd {
        Fd::Memory { pages, sealed } => {
            let memory =
                memfd_create("fuzz", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).expect("a memory file");
            ftruncate(&memory, u64::from(*pages) * 4096).expect("its size");
            if *sealed {
                fcntl_add_seals(&memory, SealFlags::SHRINK | SealFlags::SEAL).expect("its seal");
            }
            memory
        }
        Fd::Event => eventfd(0, EventfdFlags::CLOEXEC).expect("an eventfd"),
        Fd::Socket => UnixStream::pair().expect("a pair of sockets").0.into(),
        Fd::ReadOnly => std::fs::File::open("/dev/zero").expect("a file").into(),
    }
}

fn message(id: u16, command: u16, flags: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = [id.to_ne_bytes(), command.to_ne_bytes()].concat();
    bytes.extend(words(&[16 + body.len() as u32, flags, 0]));
    bytes.extend(body);
    bytes
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn longs(longs: &[u64]) -> Vec<u8> {
    longs.iter().flat_map(|long| long.to_ne_bytes()).collect()
}
