//! What the kernel tells of a device unasked: errors, and that somebody wants it back.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::io::Errno;

use super::core::Core;
use super::device::VfioDevice;
use crate::device::DeviceError;
use crate::irq::{EventFd, IrqKind, IrqSink, Irqs};

/// Something that happened to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceEvent {
    /// An uncorrectable PCIe error was reported. Stop, and reset the device.
    Error,
    /// Somebody wants the device back: an administrator unbinds it, or its slot is to be emptied. Until it is closed,
    /// that somebody waits.
    ReleaseRequested,
    /// The device no longer answers. Its [`Lost`](crate::Lost) latch is closed.
    Removed,
}

/// The events of one device. As a file it is readable when there are some.
pub struct DeviceEvents {
    core: Arc<Core>,
    error: Option<Arc<EventFd>>,
    request: Option<Arc<EventFd>>,
    both: OwnedFd,
}

impl VfioDevice {
    /// Asks the kernel for the device's events. What the device does not have, is never delivered; asking again takes
    /// the events over.
    pub fn events(&self) -> Result<DeviceEvents, DeviceError> {
        let system = |what| move |error: Errno| DeviceError::System { what, errno: error.raw_os_error() };
        let both = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(system("epoll_create"))?;
        let arm = |kind| -> Result<Option<Arc<EventFd>>, DeviceError> {
            let irqs = self.interrupts();
            if irqs.info(kind).count == 0 {
                return Ok(None);
            }
            let event = Arc::new(EventFd::new()?);
            let sink: Arc<dyn IrqSink> = event.clone();
            irqs.enable(kind, 0, &[Some(sink)])?;
            epoll::add(&both, event.as_fd(), epoll::EventData::new_u64(0), epoll::EventFlags::IN)
                .map_err(system("epoll_ctl"))?;
            Ok(Some(event))
        };
        let (error, request) = (arm(IrqKind::Error)?, arm(IrqKind::Request)?);
        Ok(DeviceEvents { core: self.core().clone(), error, request, both })
    }
}

impl DeviceEvents {
    /// Returns the next event that has happened.
    pub fn take(&self) -> Option<DeviceEvent> {
        let happened = |event: &Option<Arc<EventFd>>| event.as_ref().is_some_and(|event| event.take() > 0);
        let event = if happened(&self.request) {
            DeviceEvent::ReleaseRequested
        } else if happened(&self.error) {
            DeviceEvent::Error
        } else {
            return None;
        };
        Some(if self.core.is_present() { event } else { DeviceEvent::Removed })
    }

    /// Waits for the next event until `timeout` is over.
    pub fn wait(&self, timeout: Duration) -> Result<Option<DeviceEvent>, DeviceError> {
        let limit = Timespec {
            tv_sec: timeout.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        match poll(&mut [PollFd::new(&self.both, PollFlags::IN)], Some(&limit)) {
            // A signal is a wake-up without an event: the caller comes again.
            Ok(_) | Err(Errno::INTR) => Ok(self.take()),
            Err(error) => Err(DeviceError::System { what: "poll", errno: error.raw_os_error() }),
        }
    }
}

impl AsFd for DeviceEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.both.as_fd()
    }
}
