//! What can go wrong with a device on a socket.

use vfio_user_kit::client::ClientError;
use vfio_user_kit::proto::Command;

use crate::device::DeviceError;

/// Why a device on a socket cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// The connection, or the server behind it.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The server has something that is not a PCI function.
    #[error("the server's device is no PCI function: this kit drives none else")]
    NotPci,
    /// What the server says of its device cannot be.
    #[error("the server's device cannot be: {what}")]
    BadDevice {
        /// What is wrong with it.
        what: &'static str,
    },
    /// After a new connection, another device was there.
    #[error("another device answers at the path now: {what} changed")]
    OtherDevice {
        /// What tells them apart.
        what: &'static str,
    },
    /// After a new connection, the device was there but in its power-on state.
    #[error("the device lost its state, its server was started anew: set the driver up again")]
    StateLost,
    /// Nobody answered at the path for too long.
    #[error("the server did not come back within {millis} ms")]
    NotBack {
        /// How long was waited, in milliseconds.
        millis: u32,
    },
    /// The device was made from a socket, so there is no path to connect to again.
    #[error("the device was opened from a descriptor: there is no path to connect to again")]
    NoPath,
    /// The operating system refused.
    #[error("the system refused '{what}' (errno {errno})")]
    System {
        /// What was tried.
        what: &'static str,
        /// The error number.
        errno: i32,
    },
}

impl From<UserError> for DeviceError {
    fn from(error: UserError) -> DeviceError {
        match error {
            UserError::Client(error) => of_client(error),
            UserError::NotPci => DeviceError::Unsupported { what: "PCI function" },
            UserError::System { what, errno } => DeviceError::System { what, errno },
            _ => DeviceError::Lost,
        }
    }
}

fn of_client(error: ClientError) -> DeviceError {
    match error {
        ClientError::Refused { command, errno } => {
            DeviceError::System { what: name(command), errno: errno.raw_os_error() }
        }
        ClientError::Timeout { command, millis } => DeviceError::Timeout { what: name(command), millis },
        ClientError::NotOffered { what } => DeviceError::Unsupported { what },
        ClientError::Invalid { command, .. } => {
            DeviceError::System { what: name(command), errno: libc::EINVAL }
        }
        _ => DeviceError::Lost,
    }
}

/// Returns what a command does, in a sentence's middle.
fn name(command: Command) -> &'static str {
    match command {
        Command::Version => "agree on a version",
        Command::DmaMap => "let the device reach memory",
        Command::DmaUnmap => "take memory back from the device",
        Command::DeviceGetInfo => "describe the device",
        Command::DeviceGetRegionInfo => "describe a region",
        Command::DeviceGetRegionIoFds => "describe a region's eventfds",
        Command::DeviceGetIrqInfo => "describe an interrupt",
        Command::DeviceSetIrqs => "set interrupts up",
        Command::RegionRead => "read a register",
        Command::RegionWrite | Command::RegionWriteMulti => "write a register",
        Command::DmaRead | Command::DmaWrite => "reach memory by message",
        Command::DeviceReset => "reset the device",
        Command::DeviceFeature => "use a feature of the device",
        Command::MigDataRead => "read the device's state",
        Command::MigDataWrite => "write the device's state",
    }
}
