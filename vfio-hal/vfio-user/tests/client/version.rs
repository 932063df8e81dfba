//! What is agreed on first, and what a server may get wrong there.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use vfio_user_kit::client::{Client, ClientError, ClientOptions};
use vfio_user_kit::proto::{Command, VersionError};

use crate::common::*;
use crate::fake::{Fake, REPLY, options};

/// Connects to a server that answers the first message with `body` and `fds`.
fn agree(options: &ClientOptions, body: Vec<u8>, fds: Vec<OwnedFd>) -> Result<Client, ClientError> {
    let mut fds = Some(fds);
    let (client, fake) = Fake::begin(options, Arc::new(()), move |_, request| {
        Some(vec![(message(request.id, request.command, REPLY, &body), fds.take().unwrap_or_default())])
    });
    match client {
        Ok(client) => {
            // It lives as long as its client.
            drop(fake);
            Ok(client)
        }
        Err(error) => {
            fake.end();
            Err(error)
        }
    }
}

fn versions(major: u16, minor: u16) -> Vec<u8> {
    [major.to_ne_bytes(), minor.to_ne_bytes()].concat()
}

#[test]
fn everything_that_there_is_is_proposed() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = seen.clone();
    let options = ClientOptions { max_msg_fds: 9, max_data_xfer_size: 4097, max_dma_maps: 77, ..options() };
    let (client, fake) = Fake::begin(&options, Arc::new(()), move |_, request| {
        *told.lock().unwrap() = request.body.clone();
        Some(vec![(message(request.id, request.command, REPLY, &version("{}")), vec![])])
    });
    drop(client.unwrap());
    fake.end();
    let body = seen.lock().unwrap().clone();
    assert_eq!(body[..4], versions(0, 2));
    assert_eq!(body.last(), Some(&0));
    let json: serde_json::Value = serde_json::from_slice(&body[4..body.len() - 1]).unwrap();
    let capabilities = &json["capabilities"];
    assert_eq!(capabilities["max_msg_fds"], 9);
    assert_eq!(capabilities["max_data_xfer_size"], 4097);
    assert_eq!(capabilities["max_dma_maps"], 77);
    assert_eq!(capabilities["pgsizes"], 0x4020_1000);
    assert_eq!(capabilities["twin_socket"]["supported"], true);
    assert_eq!(capabilities["write_multiple"], true);
    assert_eq!(capabilities["migration"]["pgsize"], 4096);
}

#[test]
fn the_smaller_of_both_is_agreed() {
    // Without a word, a server is as the protocol assumes.
    let silent = agree(&options(), versions(0, 0), vec![]).unwrap();
    let agreed = silent.capabilities();
    assert_eq!((agreed.max_msg_fds, agreed.max_dma_maps, agreed.pgsizes), (1, 65535, 4096));
    assert!(!agreed.write_multiple && !agreed.twin_socket.supported && agreed.migration_pgsize.is_none());
    assert_eq!(silent.minor_version(), 0);
    assert!(matches!(silent.region_write_multi(&[]), Err(ClientError::NotOffered { .. })));
    let most = r#"{"max_msg_fds":99999,"max_data_xfer_size":99999999999,"max_dma_maps":12,"pgsizes":18446744073709551615,
        "write_multiple":true,"migration":{"pgsize":65536},"unknown":[1,{"a":2}]}"#;
    let client = agree(&options(), version(most), vec![]).unwrap();
    let agreed = client.capabilities();
    assert_eq!((agreed.max_msg_fds, agreed.max_data_xfer_size, agreed.max_dma_maps), (253, 1 << 20, 12));
    assert_eq!((agreed.pgsizes, agreed.migration_pgsize), (u64::MAX << 12, Some(65536)));
    // What was not asked for is not used.
    let options = ClientOptions { write_multiple: false, migration_pgsize: None, ..options() };
    let client = agree(&options, version(most), vec![]).unwrap();
    assert!(!client.capabilities().write_multiple);
    assert_eq!(client.migration_support(), Ok(None));
}

#[test]
fn versions_that_are_not_spoken() {
    for (major, minor) in [(1, 0), (0, 3), (u16::MAX, u16::MAX)] {
        let error = agree(&options(), versions(major, minor), vec![]).unwrap_err();
        assert_eq!(error, ClientError::Version { major, minor });
    }
}

#[test]
fn capabilities_that_cannot_be() {
    let json = |text: &str| [versions(0, 2), text.as_bytes().to_vec()].concat();
    let cases = [
        (json("{}"), VersionError::NoNul),
        (json("{\0"), VersionError::NotJson),
        (json(&format!("{}\0", "[".repeat(10_000))), VersionError::NotJson),
        (json(&format!("{}\0", " ".repeat(20_000))), VersionError::TooLong),
        (version(r#"{"max_msg_fds":-1}"#), VersionError::Value { key: "max_msg_fds" }),
        (version(r#"{"migration":{"pgsize":3}}"#), VersionError::Value { key: "pgsize" }),
    ];
    for (body, expected) in cases {
        assert_eq!(agree(&options(), body, vec![]).unwrap_err(), ClientError::Capabilities(expected));
    }
    for body in [vec![], vec![0; 3], version(r#"{"pgsizes":2048}"#), version(r#"{"max_data_xfer_size":0}"#)] {
        let error = agree(&options(), body, vec![]).unwrap_err();
        assert!(matches!(error, ClientError::BadReply { command: Command::Version, .. }), "{error}");
    }
}

#[test]
fn twin_sockets_that_are_none() {
    let twin = |index: &str| version(&format!(r#"{{"twin_socket":{{"supported":true{index}}}}}"#));
    let socket = || OwnedFd::from(UnixStream::pair().unwrap().0);
    let cases = [
        (twin(""), vec![socket()]),
        (twin(r#","fd_index":0"#), vec![]),
        (twin(r#","fd_index":1"#), vec![socket()]),
        (twin(r#","fd_index":0"#), vec![event()]),
        (twin(r#","fd_index":0"#), vec![socket(), event()]),
        (version("{}"), vec![socket()]),
    ];
    for (body, fds) in cases {
        let error = agree(&options(), body, fds).unwrap_err();
        assert!(matches!(error, ClientError::BadReply { command: Command::Version, .. }), "{error}");
    }
    let none = ClientOptions { twin_socket: false, ..options() };
    assert!(agree(&none, twin(r#","fd_index":0"#), vec![socket()]).is_err());
}

#[test]
fn a_server_that_refuses_or_says_nothing() {
    let (client, fake) = Fake::begin(&options(), Arc::new(()), |_, request| {
        let mut bytes = message(request.id, request.command, REPLY | 1 << 5, &[]);
        bytes[12] = 95;
        Some(vec![(bytes, vec![])])
    });
    assert!(matches!(client, Err(ClientError::Refused { command: Command::Version, .. })));
    fake.end();
    let short = ClientOptions { timeout: Duration::from_millis(30), ..options() };
    let (client, fake) = Fake::begin(&short, Arc::new(()), |_, _| Some(vec![]));
    assert!(matches!(client, Err(ClientError::Timeout { command: Command::Version, millis: 30 })));
    fake.end();
    let (client, fake) = Fake::begin(&options(), Arc::new(()), |_, _| None);
    assert!(matches!(client, Err(ClientError::Closed { .. })));
    fake.end();
}

#[test]
fn what_is_no_socket_is_no_server() {
    let file = memory(4096, false);
    assert!(matches!(Client::from_socket(file, &options(), Arc::new(())), Err(ClientError::System { .. })));
}
