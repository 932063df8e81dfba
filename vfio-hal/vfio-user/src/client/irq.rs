//! Interrupts: GET_IRQ_INFO, SET_IRQS.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use zerocopy::{FromBytes, IntoBytes};

use super::{Client, ClientError};
use crate::proto::Command;
use crate::proto::wire::{
    IRQ_ACTION_MASK, IRQ_ACTION_TRIGGER, IRQ_ACTION_UNMASK, IRQ_DATA_BOOL, IRQ_DATA_EVENTFD, IRQ_DATA_NONE,
    IrqInfo, IrqSet,
};

/// More vectors than any kind can have: MSI-X has up to 2,048.
const MAX_VECTORS: u32 = 2048;

/// What to do with vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IrqAction {
    /// Keep them from firing.
    Mask,
    /// Let them fire again.
    Unmask,
    /// Fire them.
    Trigger,
}

impl IrqAction {
    fn flag(self) -> u32 {
        match self {
            IrqAction::Mask => IRQ_ACTION_MASK,
            IrqAction::Unmask => IRQ_ACTION_UNMASK,
            IrqAction::Trigger => IRQ_ACTION_TRIGGER,
        }
    }
}

impl Client {
    /// Returns what an interrupt kind can do; flags are those of [`wire`](crate::proto::wire).
    ///
    /// # Errors
    /// When the server refuses, or claims more vectors than there can be.
    pub fn irq_info(&self, index: u32) -> Result<IrqInfo, ClientError> {
        let request = IrqInfo { argsz: size_of::<IrqInfo>() as u32, flags: 0, index, count: 0 };
        let reply = self.link.request(Command::DeviceGetIrqInfo, request.as_bytes(), Vec::new())?;
        let bad = |what| Err(self.link.bad(Command::DeviceGetIrqInfo, what));
        match IrqInfo::read_from_bytes(&reply.body) {
            Ok(info) if info.index != index => bad("it is about another kind of interrupt"),
            Ok(info) if info.count > MAX_VECTORS => bad("there cannot be so many vectors"),
            Ok(info) => Ok(info),
            Err(_) => bad("it has another length than it must"),
        }
    }

    /// Delivers vector `first` to `sinks[0]`, an eventfd, the next to `sinks[1]` and so on; `None` stops a vector.
    ///
    /// # Errors
    /// When the server refuses. Some vectors may have changed then.
    pub fn irq_eventfds(
        &self,
        index: u32,
        first: u32,
        sinks: &[Option<BorrowedFd<'_>>],
    ) -> Result<(), ClientError> {
        let limit = self.agreed.max_msg_fds as usize;
        if limit == 0 && sinks.iter().any(Option::is_some) {
            return Err(ClientError::NotOffered { what: "interrupts: it takes no descriptors" });
        }
        let mut start = first;
        // A message is for vectors that all have a descriptor, or have none.
        for run in sinks.chunk_by(|one, next| one.is_some() == next.is_some()) {
            for part in run.chunks(limit.max(1)) {
                let fds = part.iter().flatten().map(duplicate).collect::<Result<Vec<_>, _>>()?;
                let count = u32::try_from(part.len()).unwrap_or(u32::MAX);
                self.set_irqs(IRQ_DATA_EVENTFD | IRQ_ACTION_TRIGGER, index, start, count, &[], fds)?;
                start = start.saturating_add(count);
            }
        }
        Ok(())
    }

    /// Stops all vectors of a kind.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn irq_disable(&self, index: u32) -> Result<(), ClientError> {
        self.set_irqs(IRQ_DATA_NONE | IRQ_ACTION_TRIGGER, index, 0, 0, &[], Vec::new())
    }

    /// Does something with `count` vectors from `first` on.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn irq_act(&self, action: IrqAction, index: u32, first: u32, count: u32) -> Result<(), ClientError> {
        if count == 0 {
            // Without vectors it would stop all of them.
            return Err(ClientError::Invalid { command: Command::DeviceSetIrqs, what: "no vector is named" });
        }
        self.set_irqs(IRQ_DATA_NONE | action.flag(), index, first, count, &[], Vec::new())
    }

    /// Does something with those vectors from `first` on whose place in `which` is set.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn irq_act_each(
        &self,
        action: IrqAction,
        index: u32,
        first: u32,
        which: &[bool],
    ) -> Result<(), ClientError> {
        let count = u32::try_from(which.len()).ok().filter(|&count| count > 0 && count <= MAX_VECTORS);
        let Some(count) = count else {
            return Err(ClientError::Invalid {
                command: Command::DeviceSetIrqs,
                what: "no vector, or too many, are named",
            });
        };
        let flags: Vec<u8> = which.iter().map(|&one| one.into()).collect();
        self.set_irqs(IRQ_DATA_BOOL | action.flag(), index, first, count, &flags, Vec::new())
    }

    fn set_irqs(
        &self,
        flags: u32,
        index: u32,
        start: u32,
        count: u32,
        data: &[u8],
        fds: Vec<Arc<OwnedFd>>,
    ) -> Result<(), ClientError> {
        let argsz = (size_of::<IrqSet>() + data.len()) as u32;
        let mut body = IrqSet { argsz, flags, index, start, count }.as_bytes().to_vec();
        body.extend_from_slice(data);
        self.expect_empty(Command::DeviceSetIrqs, &body, fds)
    }
}

fn duplicate(fd: &BorrowedFd<'_>) -> Result<Arc<OwnedFd>, ClientError> {
    rustix::io::fcntl_dupfd_cloexec(fd, 0)
        .map(Arc::new)
        .map_err(|errno| ClientError::System { what: "duplicate an eventfd", errno })
}
