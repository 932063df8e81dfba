//! Memory of this side that the device may reach: DMA_MAP, DMA_UNMAP.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use zerocopy::{FromBytes, IntoBytes};

use super::{Client, ClientError};
use crate::proto::Command;
use crate::proto::wire::{DMA_READ, DMA_WRITE, DmaMap, DmaUnmap, UNMAP_ALL};

impl Client {
    /// Lets the device read or write (`rights`) `len` bytes from `iova` on. With a file, the server may map it, from
    /// `offset` on; without, and for as long as it likes, it asks the [`Host`](super::Host).
    ///
    /// # Errors
    /// When the server refuses: `EEXIST` or `EINVAL` for a range that overlaps another.
    pub fn dma_map(
        &self,
        iova: u64,
        len: u64,
        rights: (bool, bool),
        file: Option<(BorrowedFd<'_>, u64)>,
    ) -> Result<(), ClientError> {
        let flags = if rights.0 { DMA_READ } else { 0 } | if rights.1 { DMA_WRITE } else { 0 };
        let offset = file.map_or(0, |(_, offset)| offset);
        let argsz = size_of::<DmaMap>() as u32;
        let map = DmaMap { argsz, flags, offset, address: iova, size: len };
        let fds = match file {
            Some((fd, _)) => {
                let fd = rustix::io::fcntl_dupfd_cloexec(fd.as_fd(), 0).map_err(|errno| {
                    ClientError::System { what: "duplicate the memory's descriptor", errno }
                })?;
                vec![Arc::new(fd)]
            }
            None => Vec::new(),
        };
        self.expect_empty(Command::DmaMap, map.as_bytes(), fds)
    }

    /// Takes back exactly what one [`dma_map`](Self::dma_map) gave. The device has let go of it when this returns.
    ///
    /// # Errors
    /// When the server refuses, `ENOENT` or `EINVAL` for what is not mapped.
    pub fn dma_unmap(&self, iova: u64, len: u64) -> Result<(), ClientError> {
        self.unmap(0, iova, len)
    }

    /// Takes back everything.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn dma_unmap_all(&self) -> Result<(), ClientError> {
        self.unmap(UNMAP_ALL, 0, 0)
    }

    fn unmap(&self, flags: u32, address: u64, size: u64) -> Result<(), ClientError> {
        let request = DmaUnmap { argsz: size_of::<DmaUnmap>() as u32, flags, address, size };
        let reply = self.link.request(Command::DmaUnmap, request.as_bytes(), Vec::new())?;
        match DmaUnmap::read_from_bytes(&reply.body) {
            Ok(echo) if (echo.address, echo.size) == (address, size) => Ok(()),
            _ => Err(self.link.bad(Command::DmaUnmap, "it is about another range")),
        }
    }
}
