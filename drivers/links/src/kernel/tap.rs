//! A TAP interface as a wire: the kernel's stack is at the other end.
//!
//! Key types: [`Tap`], [`TapConfig`].
//! Neighbours: one of the links behind [`Link`]; a [`PacketSocket`](crate::PacketSocket) joins an interface that exists
//! without the model.

use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use super::backoff::{Backoff, StatusCache};
use super::{LARGEST_FRAME, check_name};
use crate::counters::{Live, add};
use crate::text::Word;
use crate::{Errno, KernelDrops, Link, LinkError, LinkStatus, Nanos, Sent, Watch};

/// Which TAP interface, and what to do to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TapConfig {
    /// Its name: 1 to 15 bytes. One that exists is joined, otherwise it is made, and goes with the link.
    pub name: String,
    /// Bring it up ("ip link set NAME up"); otherwise somebody else does.
    pub up: bool,
    /// Its MTU in bytes, if it shall be another than it is (1,500 for a new one).
    pub mtu: Option<u16>,
}

/// A TAP interface in the network namespace of the thread that opened it, without packet information (`IFF_NO_PI`)
/// and without offloads: the kernel finishes checksums and cuts segments before a frame comes here.
///
/// A poll that finds nothing makes some later ones skip the system call, for 20 µs at most. The status is looked up by
/// name in the network namespace of the thread that asks; while the name is not found there, it stays what it was, so
/// that a MAC goes on asking for frames and learns whether the interface was moved or removed.
pub struct Tap {
    device: SyncDevice,
    name: Word,
    buffer: Box<[u8]>,
    idle: Backoff,
    blocked: Backoff,
    status: StatusCache,
    /// The interface was removed, and that was told.
    gone: bool,
    now: Nanos,
    drops: Live<KernelDrops>,
}

impl Tap {
    /// Makes or joins the interface.
    ///
    /// # Errors
    /// No permission, no TUN driver, a name that is taken, or what else the kernel answers.
    pub fn open(config: &TapConfig) -> Result<Tap, LinkError> {
        let name = check_name(&config.name)?;
        let builder = DeviceBuilder::new().name(&config.name).layer(Layer::L2).inherit_enable_state();
        let device = builder.build_sync().map_err(|error| match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => LinkError::TapNotPermitted { name },
            Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => LinkError::NoTunDriver,
            Some(libc::EBUSY) => LinkError::TapInUse { name },
            Some(libc::EINVAL) => LinkError::NotTap { name },
            _ => LinkError::Os { call: "opening a TAP", name, errno: (&error).into() },
        })?;
        let os = |call| {
            move |error: std::io::Error| match error.raw_os_error() {
                Some(libc::EPERM | libc::EACCES) => LinkError::TapNotPermitted { name },
                _ => LinkError::Os { call, name, errno: (&error).into() },
            }
        };
        device.set_nonblocking(true).map_err(os("O_NONBLOCK"))?;
        if let Some(mtu) = config.mtu {
            device.set_mtu(mtu).map_err(os("setting the MTU"))?;
        }
        // Asked first: its owner may use a TAP that root has brought up, but may not bring it up.
        if config.up && !device.is_running().map_err(os("SIOCGIFFLAGS"))? {
            device.enabled(true).map_err(os("bringing up"))?;
        }
        Ok(Tap {
            device,
            name,
            buffer: vec![0; LARGEST_FRAME].into(),
            idle: Backoff::default(),
            blocked: Backoff::default(),
            status: StatusCache::default(),
            gone: false,
            now: 0,
            drops: Live::new(),
        })
    }

    /// Frames that could not be passed on.
    pub fn drops(&self) -> Watch<KernelDrops> {
        self.drops.watch()
    }

    fn error(&mut self, call: &'static str, error: &std::io::Error) -> LinkError {
        match error.raw_os_error() {
            // Both mean that the file is no longer attached to an interface.
            Some(libc::EBADFD | libc::EFAULT) => {
                self.gone = true;
                LinkError::InterfaceGone { name: self.name }
            }
            _ => LinkError::Os { call, name: self.name, errno: Errno::from(error) },
        }
    }
}

impl Link for Tap {
    /// Busy while the interface is down. A frame that the interface refuses (shorter than its header) is dropped and
    /// counted, as the receiver at the end of a wire would.
    fn transmit(&mut self, frame: &[u8], now: Nanos) -> Result<Sent, LinkError> {
        self.now = now;
        if self.blocked.skips(now) {
            return Ok(Sent::Busy);
        }
        let Err(error) = self.device.send(frame) else {
            self.blocked.something();
            return Ok(Sent::Accepted);
        };
        match error.raw_os_error() {
            Some(code @ (libc::EAGAIN | libc::ENOBUFS | libc::EINTR | libc::EIO)) => {
                if code == libc::EIO {
                    self.status.forget();
                }
                self.blocked.nothing(now);
                Ok(Sent::Busy)
            }
            Some(libc::EINVAL) => {
                add(&self.drops.tx_refused, 1);
                Ok(Sent::Accepted)
            }
            _ => Err(self.error("writing to a TAP", &error)),
        }
    }

    fn receive(&mut self, frame: &mut Vec<u8>, now: Nanos) -> Result<bool, LinkError> {
        self.now = now;
        frame.clear();
        if self.idle.skips(now) {
            return Ok(false);
        }
        match self.device.recv(&mut self.buffer) {
            Ok(len) => {
                self.idle.something();
                frame.extend_from_slice(&self.buffer[..len]);
                Ok(true)
            }
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR)) => {
                self.idle.nothing(now);
                Ok(false)
            }
            Err(error) => Err(self.error("reading from a TAP", &error)),
        }
    }

    fn status(&mut self) -> LinkStatus {
        // While it is down nobody sends or receives, so `now` stands still, and it is asked each time.
        if (self.status.is_old(self.now) || !self.status.up)
            && let Ok(up) = self.device.is_running()
        {
            self.status.up = up;
        }
        LinkStatus::carrier(self.status.up && !self.gone)
    }
}
