//! The client that an input plays, and what it may expect.

use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create, open};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, bind, connect, getsockname,
    listen, recvmsg, sendmsg, socket_with,
};
use vfio_user_kit::server::{LostClient, Server, ServerOptions};

use crate::input::{Body, Fd, Flags, Input, Step};
use crate::model::{ADDRESS, COMMAND, Everything, LENGTH};

/// Bytes of data in a message: little, so that inputs can be larger.
const TRANSFER: u32 = 64 << 10;
const PAGE: u64 = 4096;

/// A server, and a client of it.
pub(crate) struct Bench {
    server: Server<Everything>,
    /// Where clients knock.
    address: SocketAddrUnix,
    socket: OwnedFd,
    twin: Option<OwnedFd>,
    /// The framing was kept so far, so answers can be told.
    in_step: bool,
    /// What must be answered, in order.
    expected: VecDeque<(u16, u16)>,
    received: Vec<u8>,
    next: u16,
    /// Descriptors that were handed over, or came.
    events: Vec<OwnedFd>,
    files: Vec<OwnedFd>,
    saved: Vec<u8>,
}

fn unix() -> OwnedFd {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).expect("a socket")
}

impl Bench {
    pub(crate) fn new(input: &Input) -> Bench {
        let listener = unix();
        // Without a name the kernel finds one, which is no file.
        bind(&listener, &SocketAddrUnix::new_unnamed()).expect("a name");
        listen(&listener, 4).expect("a listening socket");
        let address = getsockname(&listener).expect("its name").try_into().expect("a socket's name");
        let options = ServerOptions {
            max_data_xfer_size: TRANSFER,
            max_dma_maps: 16,
            max_views: 4,
            patience: Duration::ZERO,
            quiesce_limit: if input.patient { Duration::from_millis(5) } else { Duration::ZERO },
            lost_client: if input.device & 1 << 14 != 0 { LostClient::Reset } else { LostClient::Keep },
            ..ServerOptions::default()
        };
        let model = Everything::new(input.device, input.unrest, input.stubborn);
        let server = Server::from_listener(listener, model, options).expect("a function that can be");
        let mut bench = Bench {
            server,
            address,
            socket: unix(),
            twin: None,
            in_step: true,
            expected: VecDeque::new(),
            received: Vec::new(),
            next: 0,
            events: Vec::new(),
            files: Vec::new(),
            saved: Vec::new(),
        };
        connect(&bench.socket, &bench.address).expect("a place in the queue");
        bench.run();
        bench
    }

    /// Has the server handle what there is; returns whether it did anything.
    fn run(&mut self) -> bool {
        let _ = self.server.attach();
        self.server.run().is_ok_and(|count| count > 0)
    }

    pub(crate) fn step(&mut self, step: &Step) {
        match step {
            Step::Version { twin, multi, fds, transfer, master } => {
                let json = format!(
                    r#"{{"capabilities":{{"max_msg_fds":{fds},"max_data_xfer_size":{transfer},"write_multiple":{multi},"twin_socket":{{"supported":{twin}}},"migration":{{"pgsize":4096}}}}}}"#
                );
                let body = [&[0, 0, 1, 0], json.as_bytes(), &[0]].concat();
                self.command(1, 0, &body, &[]);
                if *master {
                    let head = [
                        4u64.to_ne_bytes(),
                        [7u32, 2].map(u32::to_ne_bytes).concat().try_into().expect("8 bytes"),
                    ];
                    self.command(10, 0, &[&head.concat()[..], &[6, 0]].concat(), &[]);
                }
            }
            Step::Command { body, flags, fds } => {
                let (command, bytes, mut own) = body.message(&self.saved);
                let flags = match flags {
                    Flags::None => 0,
                    Flags::NoReply => 16,
                    Flags::Any(flags) => u32::from(*flags),
                };
                own.extend(fds.iter().take(4));
                self.command(command, flags, &bytes, &own);
            }
            Step::Register { register, value } => self.write32(u64::from(*register % 16) * 4, *value),
            Step::Act { command, page, offset, len } => {
                let address = u64::from(*page % 8) * PAGE + u64::from(*offset % 4096);
                self.write32(ADDRESS, address as u32);
                self.write32(ADDRESS + 4, 0);
                self.write32(LENGTH, (*len).into());
                self.write32(COMMAND, (*command).into());
                self.run();
                self.server.step();
            }
            Step::Hold { page, pages, file, all } => {
                let map = Body::DmaMap { flags: 3, offset: 0, page: *page, pages: *pages, file: *file };
                let unmap = Body::DmaUnmap { all: *all, page: *page, pages: *pages };
                let hold = Step::Act { command: 9, page: *page, offset: 8, len: 4096 };
                for (body, then) in [(map, Some(hold)), (unmap, None)] {
                    let (command, bytes, fds) = body.message(&[]);
                    self.command(command, 0, &bytes, &fds);
                    if let Some(step) = then {
                        self.step(&step);
                    }
                }
            }
            Step::Arm { action, index, start, count } => {
                let count = count % 8 + 1;
                let (data, fds) = (2, vec![Fd::Event; count.into()]);
                let (action, index, start) = (*action, *index, *start);
                let body = Body::SetIrqs { data, action, index, start, count, bools: Vec::new(), fds };
                let (command, bytes, fds) = body.message(&[]);
                self.command(command, 0, &bytes, &fds);
            }
            Step::Cross { page, read, bodies } => {
                let map = Body::DmaMap { flags: 3, offset: 0, page: *page, pages: 1, file: None };
                let (command, bytes, _) = map.message(&[]);
                self.command(command, 0, &bytes, &[]);
                self.write32(ADDRESS, u32::from(*page % 8) * PAGE as u32);
                self.write32(ADDRESS + 4, 0);
                self.write32(LENGTH, 64);
                self.write32(COMMAND, if *read { 1 } else { 2 });
                for body in bodies.iter().take(8) {
                    let (command, bytes, fds) = body.message(&self.saved);
                    let bytes = self.message(command, 0, &bytes);
                    self.expect(command, 0);
                    self.put(&bytes, &fds);
                }
                self.server.step();
                self.run();
            }
            Step::Any { command, flags, body, fds } => {
                self.command(*command, *flags, body, &fds[..fds.len().min(20)]);
            }
            Step::Large { command, len } => {
                self.command((*command).into(), 0, &vec![0; *len as usize % (3 * TRANSFER as usize)], &[]);
            }
            Step::Lie { command, size, body } => {
                self.in_step = false;
                let mut bytes = self.message((*command).into(), 0, body);
                bytes[4..8].copy_from_slice(&size.to_ne_bytes());
                self.send(&bytes, &[]);
            }
            Step::Halves { body, at, fd } => {
                let (command, bytes, fds) = body.message(&self.saved);
                let bytes = self.message(command, 0, &bytes);
                let at = usize::from(*at).clamp(1, bytes.len() - 1);
                self.expect(command, 0);
                self.send(&bytes[..at], &fds);
                self.run();
                self.server.step();
                self.send(&bytes[at..], &fd.iter().copied().collect::<Vec<_>>());
            }
            Step::Raw(bytes) => {
                self.in_step = false;
                self.send(bytes, &[]);
            }
            Step::Answer { twin, command, id, flags, address, count, data } => {
                let command = 11 + u16::from(*command & 1);
                let head = [u64::from(*address) * 64, u64::from(*count)].map(u64::to_ne_bytes).concat();
                let body = [&head[..], data].concat();
                let mut bytes = header((*id).into(), command, body.len(), 1 | u32::from(*flags & 1) << 5);
                bytes.extend(body);
                match &self.twin {
                    Some(socket) if *twin => drop(rustix::io::write(socket, &bytes)),
                    _ => self.send(&bytes, &[]),
                }
            }
            Step::Signal { which, count } => {
                if let Some(fd) = pick(&self.events, *which) {
                    let _ = rustix::io::write(fd, &u64::from(*count).to_ne_bytes());
                }
            }
            Step::Shrink { which } => {
                if let Some(fd) = pick(&self.files, *which) {
                    let _ = ftruncate(fd, 0);
                }
            }
            Step::Run => drop(self.run()),
            Step::Work => {
                self.server.step();
                let _ = self.server.pause(Duration::from_secs(1));
            }
            Step::Read => self.read(),
            Step::Reconnect => self.reconnect(),
        }
    }

    /// A good client comes and is served, whatever was before.
    pub(crate) fn finish(&mut self) {
        // A command may wait for the model; that takes as long as the model may take.
        for _ in 0..1000 {
            self.server.step();
            if !self.run() && self.server.run() != Err(vfio_user_kit::server::RunError::Busy) {
                break;
            }
            self.read();
            std::thread::sleep(Duration::from_micros(20));
        }
        self.read();
        assert!(!self.in_step || self.expected.is_empty(), "no answer to {:?}", self.expected);
        self.reconnect();
        self.step(&Step::Version { twin: false, multi: false, fds: 1, transfer: 4096, master: true });
        self.command(4, 0, &[16u32, 0, 0, 0].map(u32::to_ne_bytes).concat(), &[]);
        self.run();
        self.read();
        assert!(self.in_step && self.expected.is_empty(), "a good client is not served");
    }

    fn reconnect(&mut self) {
        self.socket = unix();
        self.twin = None;
        self.in_step = true;
        self.expected.clear();
        self.received.clear();
        connect(&self.socket, &self.address).expect("a place in the queue");
        // The old one is noticed, then the new one taken.
        for _ in 0..20 {
            self.run();
        }
    }

    fn write32(&mut self, offset: u64, value: u32) {
        let head =
            [offset.to_ne_bytes(), [0u32, 4].map(u32::to_ne_bytes).concat().try_into().expect("8 bytes")]
                .concat();
        self.command(10, 16, &[&head[..], &value.to_ne_bytes()].concat(), &[]);
    }

    fn message(&mut self, command: u16, flags: u32, body: &[u8]) -> Vec<u8> {
        self.next = self.next.wrapping_add(1);
        let mut bytes = header(self.next, command, body.len(), flags);
        bytes.extend(body);
        bytes
    }

    fn expect(&mut self, command: u16, flags: u32) {
        // A reply that nobody waits for is not answered either.
        if flags & 16 == 0 && flags & 15 != 1 {
            self.expected.push_back((self.next, command));
        }
    }

    fn command(&mut self, command: u16, flags: u32, body: &[u8], fds: &[Fd]) {
        let bytes = self.message(command, flags, body);
        self.expect(command, flags);
        self.send(&bytes, fds);
    }

    /// Sends bytes, and has the server handle them.
    fn send(&mut self, bytes: &[u8], fds: &[Fd]) {
        self.put(bytes, fds);
        self.run();
    }

    /// Sends bytes, and lets the server work when it must before it takes more.
    fn put(&mut self, bytes: &[u8], fds: &[Fd]) {
        let made: Vec<OwnedFd> = fds.iter().map(|fd| self.make(*fd)).collect();
        let borrowed: Vec<BorrowedFd<'_>> = made.iter().map(AsFd::as_fd).collect();
        let mut sent = 0;
        let mut stuck = 0;
        while sent < bytes.len() && stuck < 50 {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(32))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            if sent == 0 && !borrowed.is_empty() {
                assert!(ancillary.push(SendAncillaryMessage::ScmRights(&borrowed)));
            }
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match sendmsg(&self.socket, &[IoSlice::new(&bytes[sent..])], &mut ancillary, flags) {
                Ok(count) => (sent, stuck) = (sent + count, 0),
                Err(_) => {
                    stuck += 1;
                    self.run();
                    self.server.step();
                    self.read();
                }
            }
        }
        if sent < bytes.len() {
            self.in_step = false;
        }
    }

    /// Reads what there is, and checks that it is the answers to what was asked.
    fn read(&mut self) {
        let mut buffer = [0; 4096];
        loop {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(32))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
            let got = recvmsg(&self.socket, &mut [IoSliceMut::new(&mut buffer)], &mut ancillary, flags);
            for message in ancillary.drain() {
                if let RecvAncillaryMessage::ScmRights(fds) = message {
                    for fd in fds {
                        match rustix::net::sockopt::socket_type(&fd) {
                            Ok(_) => self.twin = Some(fd),
                            Err(_) => self.events.push(fd),
                        }
                    }
                }
            }
            match got {
                Ok(got) if got.bytes > 0 => self.received.extend(&buffer[..got.bytes]),
                _ => break,
            }
            // The server may have more that waits for room.
            self.run();
        }
        let mut at = 0;
        while let Some(head) = self.received[at..].first_chunk::<16>() {
            let word = |at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
            let (id, command) = (word(0) as u16, (word(0) >> 16) as u16);
            let (size, flags, errno) = (word(4) as usize, word(8), word(12));
            assert!((16..=TRANSFER as usize + 64).contains(&size), "an answer of {size} bytes");
            if self.received.len() - at < size {
                break;
            }
            if flags & 15 == 1 {
                assert!(
                    flags & 32 == 0 || (size == 16 && errno != 0),
                    "an error with {size} bytes, errno {errno}"
                );
                if command == 17 && flags & 32 == 0 {
                    self.saved = self.received[at + 24..at + size].to_vec();
                }
                if self.in_step {
                    assert_eq!(self.expected.pop_front(), Some((id, command)), "an answer out of order");
                }
            } else {
                assert!(
                    matches!(command, 11 | 12) && flags & 15 == 0,
                    "a question {command} with flags {flags:#x}"
                );
            }
            at += size;
        }
        self.received.drain(..at);
    }

    fn make(&mut self, fd: Fd) -> OwnedFd {
        let file = |pages: u8| {
            let file = memfd_create("client", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
                .expect("a memory file");
            ftruncate(&file, u64::from(8 + pages % 8) * PAGE).expect("its size");
            file
        };
        let keep = |list: &mut Vec<OwnedFd>, fd: OwnedFd| {
            if list.len() < 32 {
                list.push(fd.try_clone().expect("a duplicate"));
            }
            fd
        };
        match fd {
            Fd::Event => {
                let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).expect("an eventfd");
                keep(&mut self.events, fd)
            }
            Fd::Sealed(pages) => {
                let file = file(pages);
                fcntl_add_seals(&file, SealFlags::SHRINK).expect("a seal");
                file
            }
            Fd::Memory(pages) => keep(&mut self.files, file(pages)),
            Fd::ReadOnly(pages) => {
                use std::os::fd::AsRawFd;
                let path = format!("/proc/self/fd/{}", file(pages).as_raw_fd());
                let null =
                    || open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).expect("a file");
                open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap_or_else(|_| null())
            }
            Fd::Pipe => rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("a pipe").1,
            Fd::Socket => UnixStream::pair().expect("sockets").0.into(),
            Fd::Null => open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).expect("a file"),
        }
    }
}

fn pick(list: &[OwnedFd], which: u8) -> Option<&OwnedFd> {
    list.get(usize::from(which) % list.len().max(1))
}

fn header(id: u16, command: u16, body: usize, flags: u32) -> Vec<u8> {
    let ids = [id.to_ne_bytes(), command.to_ne_bytes()].concat();
    let words = [16 + body as u32, flags, 0].map(u32::to_ne_bytes).concat();
    [ids, words].concat()
}
