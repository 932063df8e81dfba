//! The system calls of VFIO and iommufd, typed. The `unsafe` of this backend is here, a file for each kind of file.
//!
//! A function is one ioctl with its argument built and checked; it knows the ABI and nothing else. Structures are those
//! of `vfio-bindings` and `iommufd-bindings`, whose layouts are asserted at compile time; what has a variable length goes
//! through a [`Buffer`]. Numbers are from `linux/vfio.h` and `linux/iommufd.h`.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr::NonNull;

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use vfio_bindings::bindings::vfio as abi;

use crate::addr::Iova;
use crate::dma::{DmaAccess, Fence};

mod container;
mod device;
mod iommufd;

pub(super) use container::*;
pub(super) use device::*;
pub(super) use iommufd::*;

/// `_IO(';', number)`: neither VFIO nor iommufd encodes size and direction.
const fn io(number: u32) -> u64 {
    (abi::VFIO_TYPE as u64) << 8 | number as u64
}

const fn vfio(number: u32) -> u64 {
    io(abi::VFIO_BASE + number)
}

/// Memory for a structure of variable length, aligned as all of them need.
pub(super) struct Buffer(Vec<u64>);

impl Buffer {
    pub(super) fn new(len: usize) -> Buffer {
        Buffer(vec![0; len.div_ceil(8)])
    }

    /// Returns a buffer that starts with these 32-bit words.
    pub(super) fn with(len: usize, words: &[u32]) -> Buffer {
        let mut buffer = Buffer::new(len.max(words.len() * 4));
        for (place, word) in words.iter().enumerate() {
            buffer.put(place * 4, &word.to_ne_bytes());
        }
        buffer
    }

    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: the vector's elements are initialised, and any byte is a valid `u8`.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), self.0.len() * 8) }
    }

    /// Writes `data` at `offset`; what does not fit is left out.
    pub(super) fn put(&mut self, offset: usize, data: &[u8]) {
        // SAFETY: as for `bytes`, and any bytes are a valid `u64`.
        let bytes =
            unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast::<u8>(), self.0.len() * 8) };
        for (to, from) in bytes.iter_mut().skip(offset).zip(data) {
            *to = *from;
        }
    }

    /// Returns the 32-bit word at `offset`, 0 beyond the end.
    pub(super) fn word(&self, offset: usize) -> u32 {
        let at = self.bytes().get(offset..).and_then(|rest| rest.first_chunk());
        at.map_or(0, |bytes| u32::from_ne_bytes(*bytes))
    }

    fn as_mut_ptr(&mut self) -> *mut u64 {
        self.0.as_mut_ptr()
    }
}

/// Calls an ioctl whose argument is a pointer. Interrupted calls are made again.
///
/// # Safety
/// `argument` must be valid for all that the kernel reads and writes for this request.
unsafe fn call<T>(file: BorrowedFd<'_>, request: u64, argument: *mut T) -> Result<i32, Errno> {
    loop {
        // SAFETY: the caller's promise; `file` is open as long as it is borrowed.
        let result = unsafe { libc::ioctl(file.as_raw_fd(), request as _, argument) };
        if result >= 0 {
            return Ok(result);
        }
        match last_error() {
            Errno::INTR => {}
            error => return Err(error),
        }
    }
}

/// Calls an ioctl whose argument is a number, which the kernel takes for no pointer.
fn call_number(file: BorrowedFd<'_>, request: u64, argument: u64) -> Result<i32, Errno> {
    // SAFETY: only the requests of this file that take a number, or nothing, come here.
    unsafe { call(file, request, argument as usize as *mut u8) }
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// Reads a structure whose first word says how long it wants to be, with its capability chain.
fn read_grown(file: BorrowedFd<'_>, request: u64, head: &[u32], len: usize) -> Result<Buffer, Errno> {
    // No chain of the kernel's comes near it.
    const LARGEST: usize = 1 << 20;
    let mut len = len;
    loop {
        let mut buffer = Buffer::with(len, head);
        buffer.put(0, &(len as u32).to_ne_bytes());
        // SAFETY: the buffer has as many bytes as its first word says; the kernel writes no more.
        let result = unsafe { call(file, request, buffer.as_mut_ptr()) };
        let wants = buffer.word(0) as usize;
        match result {
            Ok(_) | Err(Errno::NOSPC) if wants > len && wants <= LARGEST => len = wants,
            Ok(_) => return Ok(buffer),
            Err(error) => return Err(error),
        }
    }
}

fn rights(access: DmaAccess, read: u32, write: u32) -> u32 {
    (if access.reads() { read } else { 0 }) | (if access.writes() { write } else { 0 })
}

/// The proof that a range is out of reach.
///
/// # Safety
/// The kernel must have unmapped the range, all of it, from every IOMMU that the device is behind: VFIO and iommufd
/// flush the IOMMU's caches before they say so, and with that no access is in flight.
pub(super) unsafe fn fence(_iova: Iova) -> Fence {
    // SAFETY: the caller's promise.
    unsafe { Fence::new() }
}

/// A part of a region of a device, mapped.
pub(super) struct Window {
    ptr: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to no thread.
unsafe impl Send for Window {}
// SAFETY: as for Send: `&self` gives out nothing but the address.
unsafe impl Sync for Window {}

impl Window {
    /// Maps `len` bytes at `offset` of the device's file.
    pub(super) fn new(
        device: BorrowedFd<'_>,
        offset: u64,
        len: u64,
        read: bool,
        write: bool,
    ) -> Result<Window, Errno> {
        let mut rights = ProtFlags::empty();
        rights.set(ProtFlags::READ, read);
        rights.set(ProtFlags::WRITE, write);
        let len = usize::try_from(len).map_err(|_| Errno::NOMEM)?;
        // SAFETY: the kernel chooses a free place, so nothing else is mapped over.
        let ptr =
            unsafe { mmap(std::ptr::null_mut(), len, rights, MapFlags::SHARED, device.as_fd(), offset) }?;
        let ptr = NonNull::new(ptr.cast()).ok_or(Errno::NOMEM)?;
        Ok(Window { ptr, len })
    }

    /// Returns the first byte. It stays mapped as long as the window lives.
    pub(super) fn ptr(&self) -> NonNull<u8> {
        self.ptr
    }

    pub(super) fn len(&self) -> u64 {
        self.len as u64
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        // SAFETY: the range is this mapping, and nobody uses it any more.
        let _ = unsafe { munmap(self.ptr.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use iommufd_bindings::iommufd as fd;

    use super::*;

    #[test]
    fn numbers_are_the_kernels() {
        // From the comments of `linux/vfio.h` and `linux/iommufd.h`: type ';', base 100 and 128, no size encoded.
        assert_eq!(vfio(0), 0x3b64);
        assert_eq!(vfio(6), 0x3b6a);
        assert_eq!(vfio(10), 0x3b6e);
        assert_eq!(vfio(17), 0x3b75);
        assert_eq!(vfio(18), 0x3b76);
        assert_eq!(vfio(13), 0x3b71);
        assert_eq!(io(fd::IOMMUFD_CMD_IOAS_MAP), 0x3b85);
        assert_eq!(io(fd::IOMMUFD_CMD_IOAS_MAP_FILE), 0x3b8f);
    }

    #[test]
    fn structures_have_the_kernels_layout() {
        assert_eq!(size_of::<abi::vfio_device_bind_iommufd>(), 24);
        assert_eq!(std::mem::offset_of!(abi::vfio_device_bind_iommufd, token_uuid_ptr), 16);
        assert_eq!(size_of::<abi::vfio_iommu_type1_dma_map>(), 32);
        assert_eq!(size_of::<abi::vfio_iommu_type1_dma_unmap>(), 24);
        assert_eq!(size_of::<abi::vfio_region_info>(), 32);
        assert_eq!(size_of::<abi::vfio_device_feature>(), 8);
        assert_eq!(size_of::<abi::vfio_device_feature_dma_logging_control>(), 24);
        assert_eq!(size_of::<abi::vfio_device_feature_dma_logging_report>(), 32);
        assert_eq!(size_of::<fd::iommu_ioas_map_file>(), 40);
        assert_eq!(std::mem::offset_of!(fd::iommu_ioas_map_file, fd), 12);
        assert_eq!(std::mem::offset_of!(fd::iommu_ioas_map_file, start), 16);
    }

    #[test]
    fn buffers_keep_to_their_length() {
        let mut buffer = Buffer::with(12, &[1, 2, 3]);
        assert_eq!(buffer.bytes().len(), 16);
        buffer.put(14, &[9, 9, 9, 9]);
        assert_eq!(&buffer.bytes()[12..], [0, 0, 9, 9]);
        assert_eq!((buffer.word(8), buffer.word(13), buffer.word(1000)), (3, 0, 0));
    }

    #[test]
    fn a_file_that_is_no_device_says_so() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(api_version(file.as_fd()), Err(Errno::NOTTY));
        assert!(!has_extension(file.as_fd(), abi::VFIO_TYPE1v2_IOMMU));
        assert_eq!(device_info(file.as_fd()).map(drop), Err(Errno::NOTTY));
        assert_eq!(hot_reset_info(file.as_fd()).map(drop), Err(Errno::NOTTY));
        assert_eq!(ioas_ranges(file.as_fd(), 1).map(drop), Err(Errno::NOTTY));
        assert_eq!(report_logging(file.as_fd(), 0, 1 << 20, 4096, &mut [0; 3]), Err(Errno::INVAL));
    }
}
