//! Servers that end, hang, or answer wrongly, at every command.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use rustix::io::Errno;
use vfio_user_kit::client::{Client, ClientError, ClientOptions};

use crate::common::*;
use crate::fake::*;

/// Calls each command of a server that `spoil`s the answer to it, and gives `judge` what came of it.
fn spoiled(
    options: &ClientOptions,
    spoil: impl Fn(&Reply, Parcel) -> Option<Vec<Parcel>> + Clone + Send + 'static,
    judge: impl Fn(&Client, u16, Result<(), ClientError>),
) {
    for (command, call) in CALLS {
        let spoil = spoil.clone();
        let (client, fake) = Fake::serve(options, Arc::new(()), move |_, request| {
            let answer = honest(request);
            if request.command == command { spoil(request, answer) } else { Some(vec![answer]) }
        });
        let result = call(&client);
        judge(&client, command, result);
        drop(client);
        fake.end();
    }
}

/// The connection is over, and every later request fails at once with what ended it.
fn is_over(client: &Client, error: ClientError) {
    assert!(error.ends_connection(), "{error:?}");
    assert_eq!(client.fault(), Some(error));
    let start = Instant::now();
    assert_eq!(client.reset(), Err(error));
    assert_eq!(client.region_post(0, 0, &[1]), Err(error));
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn an_honest_server_is_believed() {
    spoiled(
        &options(),
        |_, answer| Some(vec![answer]),
        |client, command, result| {
            assert_eq!((result, client.fault()), (Ok(()), None), "command {command}");
            assert_eq!(client.region_read(0, 0, &mut [0; 16]), Ok(()));
        },
    );
}

#[test]
fn a_server_that_ends_instead_of_answering() {
    spoiled(
        &options(),
        |_, _| None,
        |client, _, result| {
            let error = ClientError::Closed { in_message: false };
            assert_eq!(result, Err(error));
            is_over(client, error);
        },
    );
}

#[test]
fn a_server_that_ends_in_the_middle_of_an_answer() {
    let cut = |at: usize| {
        move |_: &Reply, (mut bytes, fds): Parcel| {
            bytes.truncate(at);
            let whole = at >= 16 && bytes.len() < at;
            Some(if bytes.is_empty() { vec![] } else { vec![(bytes, fds)] }).filter(|_| !whole)
        }
    };
    for at in 1..60 {
        let stop = cut(at);
        for (command, call) in CALLS {
            let mut asked = false;
            let (client, fake) = Fake::serve(&options(), Arc::new(()), move |socket, request| {
                let (bytes, fds) = honest(request);
                if request.command != command || asked || bytes.len() <= at {
                    return Some(vec![(bytes, fds)]);
                }
                asked = true;
                for (part, fds) in stop(request, (bytes, fds)).unwrap_or_default() {
                    send(socket.as_fd(), &part, &fds.iter().map(|fd| fd.as_fd()).collect::<Vec<_>>());
                }
                None
            });
            match call(&client) {
                Ok(()) => assert_eq!(client.fault(), None),
                Err(error) => {
                    assert_eq!(
                        error,
                        ClientError::Closed { in_message: true },
                        "command {command}, byte {at}"
                    );
                    is_over(&client, error);
                }
            }
            drop(client);
            fake.end();
        }
    }
}

#[test]
fn a_server_that_never_answers() {
    let options = ClientOptions { timeout: Duration::from_millis(20), ..options() };
    let start = Instant::now();
    spoiled(
        &options,
        |_, _| Some(vec![]),
        |client, command, result| {
            let Err(error @ ClientError::Timeout { command: asked, millis: 20 }) = result else {
                panic!("{result:?}")
            };
            assert_eq!(asked as u16, command);
            is_over(client, error);
        },
    );
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_server_that_stops_in_the_middle_of_an_answer() {
    let options = ClientOptions { timeout: Duration::from_millis(20), ..options() };
    let half = |_: &Reply, (bytes, fds): Parcel| Some(vec![(bytes[..bytes.len() - 1].to_vec(), fds)]);
    spoiled(&options, half, |client, _, result| {
        let Err(error @ ClientError::Timeout { .. }) = result else { panic!("{result:?}") };
        is_over(client, error);
    });
}

#[test]
fn a_reply_to_something_else() {
    let other_id = |request: &Reply, (mut bytes, fds): Parcel| {
        bytes[..2].copy_from_slice(&request.id.wrapping_sub(1).to_ne_bytes());
        Some(vec![(bytes, fds)])
    };
    spoiled(&options(), other_id, |client, _, result| {
        let Err(error @ ClientError::WrongReply { expected: Some(expected), got }) = result else {
            panic!("{result:?}")
        };
        assert_eq!(expected.wrapping_sub(1), got);
        is_over(client, error);
    });
    let other_command = |_: &Reply, (mut bytes, fds): Parcel| {
        bytes[2] ^= 0x40;
        Some(vec![(bytes, fds)])
    };
    spoiled(&options(), other_command, |client, _, result| {
        let Err(error @ ClientError::BadReply { .. }) = result else { panic!("{result:?}") };
        is_over(client, error);
    });
}

#[test]
fn a_reply_that_comes_twice_is_found_out() {
    let twice = |_: &Reply, (bytes, fds): Parcel| Some(vec![(bytes.clone(), fds), (bytes, vec![])]);
    spoiled(&options(), twice, |client, _, result| {
        assert!(matches!(result, Ok(()) | Err(ClientError::WrongReply { .. })), "{result:?}");
        // Who listens without a twin socket sees it at once.
        let start = Instant::now();
        while client.fault().is_none() {
            assert!(start.elapsed() < Duration::from_secs(20));
            std::thread::yield_now();
        }
        is_over(client, client.fault().unwrap());
    });
}

#[test]
fn a_reply_that_is_too_short_or_too_long() {
    let resized = |delta: i32| {
        move |_: &Reply, (mut bytes, fds): Parcel| {
            let size = bytes.len() as i32 + delta;
            bytes.resize(size.max(16) as usize, 0);
            let size = bytes.len() as u32;
            bytes[4..8].copy_from_slice(&size.to_ne_bytes());
            Some(vec![(bytes, fds)])
        }
    };
    for delta in [-1, 1, 100] {
        spoiled(&options(), resized(delta), |client, command, result| {
            let empty = matches!(command, DMA_MAP | SET_IRQS | RESET | MIG_WRITE);
            if (delta < 0 && empty) || command == REGION_INFO || (command == FEATURE && delta < 0) {
                // Nothing to take away; or bytes that mean nothing.
                return;
            }
            let Err(error @ ClientError::BadReply { .. }) = result else {
                panic!("{command} {delta}: {result:?}")
            };
            is_over(client, error);
        });
    }
}

#[test]
fn descriptors_that_nobody_asked_for() {
    let with = |_: &Reply, (bytes, _): Parcel| Some(vec![(bytes, vec![event(), event(), event()])]);
    spoiled(&options(), with, |client, command, result| {
        if command == IO_FDS {
            return;
        }
        let Err(error @ ClientError::BadReply { .. }) = result else { panic!("{command}: {result:?}") };
        is_over(client, error);
    });
}

#[test]
fn an_oversized_reply_is_not_taken_in() {
    let large = |request: &Reply, _: Parcel| {
        let mut bytes = message(request.id, request.command, REPLY, &[]);
        bytes[4..8].copy_from_slice(&u32::MAX.to_ne_bytes());
        bytes.extend(vec![0; 1 << 16]);
        Some(vec![(bytes, vec![])])
    };
    let options = ClientOptions { timeout: Duration::from_millis(30), ..options() };
    spoiled(&options, large, |client, _, result| {
        let Err(error) = result else { panic!("{result:?}") };
        is_over(client, error);
    });
}

#[test]
fn an_errno_leaves_the_connection_in_order() {
    for (raw, expected) in [(22, Errno::INVAL), (95, Errno::NOTSUP), (0, Errno::IO), (u32::MAX, Errno::IO)] {
        let refuse = move |request: &Reply, _: Parcel| {
            let mut bytes = message(request.id, request.command, REPLY | ERROR, &[]);
            bytes[12..16].copy_from_slice(&raw.to_ne_bytes());
            Some(vec![(bytes, vec![])])
        };
        spoiled(&options(), refuse, |client, command, result| {
            let Err(ClientError::Refused { command: asked, errno }) = result else { panic!("{result:?}") };
            assert_eq!((asked as u16, errno), (command, expected));
            assert_eq!(client.fault(), None);
            if command != REGION_READ {
                assert_eq!(client.region_read(0, 0, &mut [0; 2]), Ok(()));
            }
        });
    }
}

/// A server that does not read fills the socket: who posts writes then is not kept for ever.
#[test]
fn a_server_that_stops_reading() {
    let options = ClientOptions { timeout: Duration::from_millis(50), ..options() };
    let (mine, yours) = std::os::unix::net::UnixStream::pair().unwrap();
    let thread = std::thread::spawn(move || {
        let request = receive(mine.as_fd()).unwrap();
        send(mine.as_fd(), &honest(&request).0, &[]);
        mine
    });
    let patient = ClientOptions { timeout: Duration::from_secs(60), ..options.clone() };
    let client = Client::from_socket(yours.into(), &patient, Arc::new(())).unwrap();
    client.set_timeout(options.timeout);
    let _mine = thread.join().unwrap();
    let start = Instant::now();
    let error = (0..1_000_000).find_map(|_| client.region_post(0, 0, &[0; 4096]).err()).unwrap();
    assert!(matches!(error, ClientError::Timeout { .. }), "{error}");
    assert!(start.elapsed() < Duration::from_secs(20));
    is_over(&client, error);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Bytes of an answer change, go, or come; parts of it come again. Whatever it is, the call comes to an end, and the
    /// client is either in order or over.
    #[test]
    fn a_server_that_lies_anywhere(
        at in 0..CALLS.len(),
        changes in proptest::collection::vec((0usize..120, any::<u8>()), 0..6),
        word in proptest::option::of((0usize..24, prop_oneof![Just(0), Just(u32::MAX), 0u32..70_000, any::<u32>()])),
        len in proptest::option::of(0usize..200),
        honest_size in any::<bool>(),
        fds in 0usize..4,
    ) {
        let (command, call) = CALLS[at];
        let options = ClientOptions { timeout: Duration::from_millis(25), ..options() };
        let (client, fake) = Fake::serve(&options, Arc::new(()), move |_, request| {
            let (mut bytes, mut files) = honest(request);
            if request.command == command {
                for &(at, value) in &changes {
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte = value;
                    }
                }
                if let Some((at, value)) = word && bytes.len() >= 4 * at + 4 {
                    bytes[4 * at..4 * at + 4].copy_from_slice(&value.to_ne_bytes());
                }
                if let Some(len) = len {
                    bytes.resize(len, 0xa5);
                }
                if honest_size && bytes.len() >= 16 {
                    let size = bytes.len() as u32;
                    bytes[4..8].copy_from_slice(&size.to_ne_bytes());
                    bytes[0..2].copy_from_slice(&request.id.to_ne_bytes());
                    bytes[8..12].copy_from_slice(&REPLY.to_ne_bytes());
                }
                files.truncate(fds);
                files.extend((files.len()..fds).map(|_| event()));
            }
            Some(if bytes.is_empty() { vec![] } else { vec![(bytes, files)] })
        });
        let start = Instant::now();
        let result = call(&client);
        prop_assert!(start.elapsed() < Duration::from_secs(10));
        if let Err(error) = result {
            prop_assert_eq!(error.ends_connection(), client.fault() == Some(error));
        }
        drop(client);
        fake.end();
    }
}
