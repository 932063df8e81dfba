//! What can go wrong between a client and its server.

use rustix::io::Errno;

use crate::proto::{Command, VersionError};

/// Why a connection could not be made, or why a request failed.
///
/// [`ends_connection`](Self::ends_connection) tells whether the connection is over with it. Only a request that the
/// server refused, or that was never sent, leaves it in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens at the path, or it cannot be reached.
    #[error("no server answers at the path ({errno}): start it, or check the path and its permissions")]
    Connect {
        /// What the system said.
        errno: Errno,
    },
    /// The server hung up, or its process ended.
    #[error("the server closed the connection{}", if *.in_message { " in the middle of a message" } else { "" })]
    Closed {
        /// A message was begun and is not complete.
        in_message: bool,
    },
    /// The server took too long. The connection is given up, because what was asked may still happen.
    #[error("the server did not answer {command:?} within {millis} ms: the connection is given up")]
    Timeout {
        /// What was asked.
        command: Command,
        /// How long it had, in milliseconds.
        millis: u32,
    },
    /// The server answered with an error.
    #[error("the server refused {command:?}: {errno}")]
    Refused {
        /// What was asked.
        command: Command,
        /// What it said.
        errno: Errno,
    },
    /// A reply that does not belong to the request that waits: late, twice, or to something never asked.
    #[error(
        "the server answered request {got}, and {} waits: it breaks the protocol, or answers writes that were posted (switch them off)",
        WaitsFor(*.expected)
    )]
    WrongReply {
        /// The id that is waited for, if any.
        expected: Option<u16>,
        /// The id of the reply.
        got: u16,
    },
    /// A reply that cannot be right.
    #[error("the server's answer to {command:?} cannot be right: {what}")]
    BadReply {
        /// What was asked.
        command: Command,
        /// What is wrong with the answer.
        what: &'static str,
    },
    /// A reply on the socket that is for the server's commands, or more commands than anyone needs.
    #[error("the server breaks the protocol: {what}")]
    BadPeer {
        /// What it did.
        what: &'static str,
    },
    /// The server speaks another version of the protocol.
    #[error("the server speaks version {major}.{minor} of the protocol; this is 0.2")]
    Version {
        /// Its major version.
        major: u16,
        /// Its minor version.
        minor: u16,
    },
    /// The server's capabilities cannot be read.
    #[error("the server's capabilities cannot be used: {0}")]
    Capabilities(#[from] VersionError),
    /// Something that was not agreed on.
    #[error("the server does not offer {what}")]
    NotOffered {
        /// What it is.
        what: &'static str,
    },
    /// A request that makes no sense. It was not sent.
    #[error("{command:?} cannot be asked: {what}")]
    Invalid {
        /// What was to be asked.
        command: Command,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The operating system of this side refused.
    #[error("cannot {what}: {errno}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What it said.
        errno: Errno,
    },
}

impl ClientError {
    /// Returns whether the connection is over with this error.
    pub fn ends_connection(&self) -> bool {
        use ClientError::{Invalid, NotOffered, Refused};
        !matches!(self, Refused { .. } | Invalid { .. } | NotOffered { .. })
    }
}

struct WaitsFor(Option<u16>);

impl std::fmt::Display for WaitsFor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(id) => write!(f, "request {id}"),
            None => f.write_str("none"),
        }
    }
}
