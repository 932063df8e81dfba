//! What a program needs that nobody gives it: a start, memory to allocate from, and the functions that a compiler calls.
//!
//! `boot.S` comes from the loader to [`rust_start`], which sets up the heap and calls the program. Together with `machine`
//! this is all of the unsafe code there is.

use core::arch::{asm, global_asm};
use core::ffi::CStr;
use core::panic::PanicInfo;

use linked_list_allocator::LockedHeap;

use crate::machine;

global_asm!(include_str!("boot.S"), options(att_syntax));

/// Bytes to allocate from: pools and rings of the largest check, and room.
const HEAP: usize = 96 << 20;

#[repr(align(4096))]
struct Heap(core::cell::UnsafeCell<[u8; HEAP]>);

// SAFETY: nobody but the allocator uses it, which locks.
unsafe impl Sync for Heap {}

static MEMORY: Heap = Heap(core::cell::UnsafeCell::new([0; HEAP]));

#[global_allocator]
static ALLOCATOR: LockedHeap = LockedHeap::empty();

/// The start in Rust; `info` is what the loader says.
#[unsafe(no_mangle)]
extern "C" fn rust_start(info: &Info) -> ! {
    // SAFETY: `MEMORY` is used for this and nothing else, and this function is called once.
    unsafe { ALLOCATOR.lock().init(MEMORY.0.get().cast(), HEAP) };
    let text = match info.command_line {
        0 => c"",
        // SAFETY: PVH says that a string that ends in 0 lies there; all of memory is mapped, and nothing writes to it: the
        // loader keeps what it says out of the program's way.
        at => unsafe { CStr::from_ptr(at as *const _) },
    };
    crate::run(text.to_str().unwrap_or(""));
}

/// The start of PVH's hvm_start_info.
#[repr(C)]
struct Info {
    magic: u32,
    version: u32,
    flags: u32,
    modules: u32,
    module_list: u64,
    command_line: u64,
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    crate::say!("not ok panic: {info}");
    machine::exit(machine::FAILED)
}

/// The standard library's code was compiled for programs that unwind, and names this. This one aborts, so nothing calls it.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    machine::exit(machine::FAILED)
}

// What the compiler calls where a C library would have it (the System V ABI has the direction flag clear).

#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    // SAFETY: the caller has `len` bytes at both.
    unsafe {
        asm!("rep movsb", inout("rcx") len => _, inout("rdi") to => _, inout("rsi") from => _, options(nostack, preserves_flags))
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    if (to as usize).wrapping_sub(from as usize) >= len {
        // SAFETY: forwards, nothing is read after it was written over; the caller has `len` bytes at both.
        return unsafe { memcpy(to, from, len) };
    }
    // SAFETY: backwards from the last byte; there is one, since `to - from < len`.
    unsafe {
        asm!("std", "rep movsb", "cld", inout("rcx") len => _, inout("rdi") to.add(len - 1) => _,
             inout("rsi") from.add(len - 1) => _, options(nostack))
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, value: i32, len: usize) -> *mut u8 {
    // SAFETY: the caller has `len` bytes.
    unsafe {
        asm!("rep stosb", inout("rcx") len => _, inout("rdi") to => _, in("al") value as u8, options(nostack, preserves_flags))
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(one: *const u8, other: *const u8, len: usize) -> i32 {
    for index in 0..len {
        // SAFETY: the caller has `len` bytes at both. Volatile, or the compiler makes this loop a call of itself.
        let (a, b) = unsafe { (one.add(index).read_volatile(), other.add(index).read_volatile()) };
        if a != b {
            return i32::from(a) - i32::from(b);
        }
    }
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(one: *const u8, other: *const u8, len: usize) -> i32 {
    // SAFETY: the same contract.
    unsafe { memcmp(one, other, len) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut len = 0;
    // SAFETY: the caller's text ends in 0.
    while unsafe { text.add(len).read_volatile() } != 0 {
        len += 1;
    }
    len
}
