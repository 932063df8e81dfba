//! A server made of bytes: it answers as it should, and whatever the test makes of that.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use vfio_user_kit::client::{Client, ClientError, ClientOptions, Host, IrqAction, Write};
use vfio_user_kit::proto::feature::MigrationState;

use crate::common::*;

pub(crate) const REPLY: u32 = 1;
pub(crate) const ERROR: u32 = 1 << 5;

/// Bytes to send, with descriptors.
pub(crate) type Parcel = (Vec<u8>, Vec<OwnedFd>);

type Call = fn(&Client) -> Result<(), ClientError>;

/// Every command that a client sends after the first one, as a user calls it.
pub(crate) const CALLS: [(u16, Call); 17] = [
    (DMA_MAP, |client| client.dma_map(0x10000, 0x1000, (true, true), None)),
    (DMA_MAP, |client| {
        let file = memory(0x1000, true);
        client.dma_map(0x10000, 0x1000, (true, false), Some((file.as_fd(), 0)))
    }),
    (DMA_UNMAP, |client| client.dma_unmap(0x10000, 0x1000)),
    (DMA_UNMAP, |client| client.dma_unmap_all()),
    (GET_INFO, |client| client.device_info().map(drop)),
    (REGION_INFO, |client| client.region_info(2).map(drop)),
    (IO_FDS, |client| client.region_io_fds(0).map(drop)),
    (IRQ_INFO, |client| client.irq_info(2).map(drop)),
    (SET_IRQS, |client| {
        let event = event();
        client.irq_eventfds(2, 0, &[Some(event.as_fd())])
    }),
    (SET_IRQS, |client| client.irq_act_each(IrqAction::Mask, 2, 0, &[true, false])),
    (REGION_READ, |client| client.region_read(0, 0, &mut [0; 4])),
    (REGION_WRITE, |client| client.region_write(0, 0, &[0; 8])),
    (RESET, |client| client.reset()),
    (WRITE_MULTI, |client| client.region_write_multi(&[Write { region: 0, offset: 0, data: &[1, 2] }])),
    (FEATURE, |client| client.set_migration_state(MigrationState::Stop)),
    (MIG_READ, |client| client.migration_read(&mut [0; 64]).map(drop)),
    (MIG_WRITE, |client| client.migration_write(&[0; 64])),
];

pub(crate) fn options() -> ClientOptions {
    ClientOptions { timeout: Duration::from_secs(20), ..ClientOptions::default() }
}

/// A proposal with all that there is.
pub(crate) const ALL: &str =
    r#"{"max_msg_fds":16,"write_multiple":true,"pgsizes":4096,"migration":{"pgsize":4096}}"#;

/// The answer of a server that does as it should.
pub(crate) fn honest(request: &Reply) -> Parcel {
    let word = |at: usize| u32::from_ne_bytes(request.body[at..at + 4].try_into().unwrap());
    let mut fds = Vec::new();
    let body = match request.command {
        VERSION => version(ALL),
        GET_INFO => words(&[16, 3, 9, 5]),
        REGION_INFO => {
            let (argsz, index) = (word(0), word(8));
            let size: u64 = if matches!(index, 0 | 2 | 7) { 0x4000 } else { 0 };
            let areas = index == 2;
            let need = if areas { 32 + 16 + 32 } else { 32 };
            let full = areas && argsz >= need;
            let flags = if areas { 0xf } else { 3 };
            let head = words(&[need, flags, index, if full { 32 } else { 0 }]);
            let mut body = [head, longs(&[size, 0])].concat();
            if full {
                body.extend(words(&[1 | 1 << 16, 0, 2, 0]));
                body.extend(longs(&[0x1000, 0x1000, 0x3000, 0x1000]));
                fds.push(memory(0x4000, true));
            }
            body
        }
        IO_FDS => {
            let full = word(0) >= 56;
            let mut body = words(&[56, 0, word(8), u32::from(full)]);
            if full {
                body.extend(longs(&[0x28, 4]));
                body.extend(words(&[0, 0, 1, 0]));
                body.extend(longs(&[7]));
                fds.push(event());
            }
            body
        }
        IRQ_INFO => words(&[16, 7, word(8), 4]),
        DMA_UNMAP | REGION_WRITE => {
            request.body[..if request.command == DMA_UNMAP { 24 } else { 16 }].to_vec()
        }
        REGION_READ => [request.body.clone(), vec![0x5a; word(12) as usize]].concat(),
        WRITE_MULTI => request.body[..8].to_vec(),
        FEATURE => request.body.clone(),
        MIG_READ => [words(&[8 + word(4), word(4)]), vec![1; word(4) as usize]].concat(),
        _ => Vec::new(),
    };
    (message(request.id, request.command, REPLY, &body), fds)
}

/// The server. It ends with its client.
pub(crate) struct Fake {
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    /// Starts a server that sends what `script` says, `None` to hang up, and connects a client to it. The first message
    /// is answered as it should.
    pub(crate) fn serve(
        options: &ClientOptions,
        host: Arc<dyn Host>,
        mut script: impl FnMut(&UnixStream, &Reply) -> Option<Vec<Parcel>> + Send + 'static,
    ) -> (Client, Fake) {
        // What is agreed on first has all the time there is.
        let patient = ClientOptions { timeout: Duration::from_secs(60), ..options.clone() };
        let (client, fake) = Fake::begin(&patient, host, move |socket, request| match request.command {
            VERSION => Some(vec![honest(request)]),
            _ => script(socket, request),
        });
        let client = client.unwrap();
        client.set_timeout(options.timeout);
        (client, fake)
    }

    /// The same, with the first message left to the script.
    pub(crate) fn begin(
        options: &ClientOptions,
        host: Arc<dyn Host>,
        mut script: impl FnMut(&UnixStream, &Reply) -> Option<Vec<Parcel>> + Send + 'static,
    ) -> (Result<Client, ClientError>, Fake) {
        let (mine, yours) = UnixStream::pair().unwrap();
        let thread = std::thread::spawn(move || {
            while let Some(request) = take(&mine) {
                // A lie may have looked like a question.
                if request.flags & 0xf == REPLY {
                    continue;
                }
                let Some(parcels) = script(&mine, &request) else { return };
                for (bytes, fds) in parcels {
                    let fds: Vec<_> = fds.iter().map(|fd| fd.as_fd()).collect();
                    if !try_send(&mine, &bytes, &fds) {
                        return;
                    }
                }
            }
        });
        let client = Client::from_socket(yours.into(), options, host);
        (client, Fake { thread: Some(thread) })
    }

    /// Waits for its end. The client is to be dropped before.
    pub(crate) fn end(mut self) {
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Reads a request, without its descriptors. `None` if the client is gone.
fn take(mut socket: &UnixStream) -> Option<Reply> {
    let mut header = [0; 16];
    socket.read_exact(&mut header).ok()?;
    let half = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
    let word = |at: usize| u32::from(half(at)) | u32::from(half(at + 2)) << 16;
    let mut body = vec![0; word(4) as usize - 16];
    socket.read_exact(&mut body).ok()?;
    Some(Reply { id: half(0), command: half(2), flags: word(8), errno: word(12), body, fds: Vec::new() })
}

/// Sends all of it; `false` if the client is gone.
fn try_send(socket: &UnixStream, bytes: &[u8], fds: &[std::os::fd::BorrowedFd<'_>]) -> bool {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    let mut space = vec![std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    assert!(fds.is_empty() || ancillary.push(SendAncillaryMessage::ScmRights(fds)));
    let mut rest = bytes;
    while !rest.is_empty() {
        match sendmsg(socket, &[std::io::IoSlice::new(rest)], &mut ancillary, SendFlags::NOSIGNAL) {
            Ok(sent) => rest = &rest[sent..],
            Err(_) => return false,
        }
        ancillary.clear();
    }
    true
}
