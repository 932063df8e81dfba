//! What a server asks of its client: memory by message.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use vfio_user_kit::client::{Client, ClientError, ClientOptions, Host};

use crate::common::*;
use crate::fake::{ERROR, Fake, REPLY, honest, options};

const NO_REPLY: u32 = 1 << 4;
const EACCES: u32 = 13;
const EFAULT: u32 = 14;
const BASE: u64 = 0x1000;

/// 4 KiB of memory at bus address 1000h, and what ended the connection.
#[derive(Default)]
struct Memory {
    bytes: Mutex<Vec<u8>>,
    lost: Mutex<Vec<ClientError>>,
}

impl Memory {
    fn new() -> Arc<Memory> {
        let bytes = (0..4096u32).map(|at| at as u8).collect();
        Arc::new(Memory { bytes: Mutex::new(bytes), lost: Mutex::default() })
    }

    fn range(iova: u64, len: usize) -> Result<std::ops::Range<usize>, Errno> {
        let at = iova.checked_sub(BASE).and_then(|at| usize::try_from(at).ok()).ok_or(Errno::FAULT)?;
        at.checked_add(len).filter(|&end| end <= 4096).map(|end| at..end).ok_or(Errno::FAULT)
    }
}

impl Host for Memory {
    fn dma_read(&self, iova: u64, data: &mut [u8]) -> Result<(), Errno> {
        data.copy_from_slice(&self.bytes.lock().unwrap()[Memory::range(iova, data.len())?]);
        Ok(())
    }

    fn dma_write(&self, iova: u64, data: &[u8]) -> Result<(), Errno> {
        let range = Memory::range(iova, data.len())?;
        if range.start < 16 {
            return Err(Errno::ACCESS);
        }
        self.bytes.lock().unwrap()[range].copy_from_slice(data);
        Ok(())
    }

    fn lost(&self, error: ClientError) {
        self.lost.lock().unwrap().push(error);
    }
}

/// The layouts of the document and of libvfio-user (16 bytes), and of QEMU (12).
fn head(short: bool, address: u64, count: u64) -> Vec<u8> {
    let mut bytes = longs(&[address]);
    if short {
        bytes.extend((count as u32).to_ne_bytes())
    } else {
        bytes.extend(count.to_ne_bytes())
    }
    bytes
}

/// Asks a client over `socket`, and returns its answer.
fn ask(socket: &impl AsFd, command: u16, body: &[u8]) -> Reply {
    send(socket.as_fd(), &message(0x4242, command, 0, body), &[]);
    let reply = receive(socket.as_fd()).unwrap();
    assert_eq!((reply.id, reply.command), (0x4242, command));
    reply
}

/// Everything that a server may ask, right and wrong.
fn interview(socket: &impl AsFd) {
    for short in [false, true] {
        let read = ask(socket, DMA_READ, &head(short, BASE + 5, 20)).ok();
        let data: Vec<u8> = (5..25).collect();
        assert_eq!(read.body, [head(short, BASE + 5, 20), data].concat());
        for len in [1, 4, 8, 100] {
            let data = vec![len as u8 ^ 0x77; len];
            let wrote =
                ask(socket, DMA_WRITE, &[head(short, BASE + 64, len as u64), data.clone()].concat()).ok();
            assert_eq!(wrote.body, head(short, BASE + 64, len as u64));
            let read = ask(socket, DMA_READ, &head(short, BASE + 64, len as u64)).ok();
            assert_eq!(read.body[head(short, 0, 0).len()..], data);
        }
        assert_eq!(ask(socket, DMA_READ, &head(short, BASE + 4090, 10)).error(), EFAULT);
        assert_eq!(ask(socket, DMA_READ, &head(short, 0, 1)).error(), EFAULT);
        assert_eq!(ask(socket, DMA_READ, &head(short, u64::MAX, 8)).error(), EFAULT);
        assert_eq!(ask(socket, DMA_WRITE, &[head(short, BASE, 1), vec![1]].concat()).error(), EACCES);
        // More than was agreed on.
        assert_eq!(ask(socket, DMA_READ, &head(short, BASE, 70_000)).error(), EINVAL);
        // A count that is not that of the data.
        assert_eq!(ask(socket, DMA_WRITE, &[head(short, BASE + 64, 9), vec![0; 8]].concat()).error(), EINVAL);
    }
    assert_eq!(ask(socket, DMA_READ, &head(false, BASE, u64::MAX)).error(), EINVAL);
    for len in [0, 7, 11, 13, 15] {
        assert_eq!(ask(socket, DMA_READ, &vec![0; len]).error(), EINVAL, "{len} bytes");
    }
    for command in [VERSION, DMA_MAP, REGION_READ, RESET] {
        assert_eq!(ask(socket, command, &[0; 16]).error(), EINVAL);
    }
    for command in [0, 14, 19, u16::MAX] {
        assert_eq!(ask(socket, command, &[0; 40]).error(), ENOSYS);
    }
    // A message larger than any is thrown away, and the stream is in step.
    let mut large = message(0x4242, DMA_WRITE, 0, &[]);
    large[4..8].copy_from_slice(&(1u32 << 20).to_ne_bytes());
    large.resize(1 << 20, 0);
    send(socket.as_fd(), &large, &[]);
    assert_eq!(receive(socket.as_fd()).unwrap().error(), EMSGSIZE);
    // Descriptors have no business here.
    let event = event();
    send(socket.as_fd(), &message(7, DMA_READ, 0, &head(false, BASE, 1)), &[event.as_fd()]);
    assert_eq!(receive(socket.as_fd()).unwrap().error(), EINVAL);
    // No answer where none is wanted, not even for what fails.
    for address in [BASE + 128, 0] {
        let body = [head(false, address, 1), vec![0xee]].concat();
        send(socket.as_fd(), &message(8, DMA_WRITE, NO_REPLY, &body), &[]);
    }
    assert_eq!(ask(socket, DMA_READ, &head(false, BASE + 128, 1)).ok().body[16..], [0xee]);
}

fn small() -> ClientOptions {
    ClientOptions { max_data_xfer_size: 65536, ..options() }
}

#[test]
fn between_requests() {
    let (mine, yours) = UnixStream::pair().unwrap();
    let server = std::thread::spawn(move || {
        let request = receive(mine.as_fd()).unwrap();
        send(mine.as_fd(), &honest(&request).0, &[]);
        interview(&mine);
    });
    let memory = Memory::new();
    let client = Client::from_socket(yours.into(), &small(), memory.clone()).unwrap();
    server.join().unwrap();
    drop(client);
    assert!(memory.lost.lock().unwrap().len() <= 1);
}

/// Without a twin socket, in the middle of a request.
#[test]
fn while_a_reply_is_awaited() {
    let memory = Memory::new();
    let (client, fake) = Fake::serve(&small(), memory.clone(), |socket, request| {
        if request.command == REGION_READ {
            interview(socket);
        }
        Some(vec![honest(request)])
    });
    let mut data = [0; 4];
    assert_eq!(client.region_read(0, 0, &mut data), Ok(()));
    assert_eq!(data, [0x5a; 4]);
    drop(client);
    fake.end();
    assert!(memory.lost.lock().unwrap().is_empty(), "its own end is no fault of the server's");
}

fn twin_server() -> (Client, UnixStream, Fake, Arc<Memory>) {
    let (mine, yours) = UnixStream::pair().unwrap();
    let memory = Memory::new();
    let mut yours = Some(OwnedFd::from(yours));
    let (client, fake) = Fake::begin(&small(), memory.clone(), move |_, request| {
        if request.command != VERSION {
            return Some(vec![honest(request)]);
        }
        let body = version(r#"{"twin_socket":{"supported":true,"fd_index":0}}"#);
        Some(vec![(message(request.id, VERSION, REPLY, &body), yours.take().into_iter().collect())])
    });
    (client.unwrap(), mine, fake, memory)
}

#[test]
fn on_the_twin_socket() {
    let (client, twin, fake, _) = twin_server();
    interview(&twin);
    assert_eq!(client.region_read(0, 0, &mut [0; 4]), Ok(()));
    drop(client);
    fake.end();
    assert!(receive(twin.as_fd()).is_none(), "the client has closed it");
}

#[test]
fn a_reply_on_the_twin_socket_ends_the_connection() {
    for bytes in [message(1, DMA_READ, REPLY, &[]), message(1, DMA_READ, REPLY | ERROR, &[])] {
        let (client, twin, fake, memory) = twin_server();
        send(twin.as_fd(), &bytes, &[]);
        let start = Instant::now();
        while memory.lost.lock().unwrap().is_empty() {
            assert!(start.elapsed() < Duration::from_secs(20));
            std::thread::yield_now();
        }
        assert!(matches!(client.fault(), Some(ClientError::BadPeer { .. })));
        assert!(matches!(memory.lost.lock().unwrap()[..], [ClientError::BadPeer { .. }]));
        drop(client);
        fake.end();
    }
}

#[test]
fn the_end_of_the_twin_socket_is_the_end() {
    let (client, twin, fake, memory) = twin_server();
    drop(twin);
    let start = Instant::now();
    while memory.lost.lock().unwrap().is_empty() {
        assert!(start.elapsed() < Duration::from_secs(20));
        std::thread::yield_now();
    }
    assert_eq!(client.reset(), Err(ClientError::Closed { in_message: false }));
    drop(client);
    fake.end();
}

/// A server that asks without end, and never reads an answer or gives one: the client keeps its time, and ends.
#[test]
fn a_server_that_only_asks() {
    let options = ClientOptions { timeout: Duration::from_millis(100), ..small() };
    let (client, fake) = Fake::serve(&options, Memory::new(), |socket, _| {
        let request = message(1, DMA_READ, 0, &head(false, BASE, 4096));
        // Until the client hangs up.
        while rustix::net::send(socket, &request, rustix::net::SendFlags::NOSIGNAL).is_ok() {}
        None
    });
    let start = Instant::now();
    let error = client.reset().unwrap_err();
    assert!(matches!(error, ClientError::Timeout { .. }), "{error}");
    assert!(start.elapsed() < Duration::from_secs(10));
    drop(client);
    fake.end();
}
