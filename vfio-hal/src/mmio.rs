//! The one place that touches device registers: `volatile-register`'s cells over raw pointers.
//!
//! No reference leaves this file, and a register is little endian whatever the processor is.

use core::ptr::NonNull;

use volatile_register::RW;

use crate::bar::Width;

/// Reads a register.
///
/// # Safety
/// `at` must be valid for a volatile read of `width` and aligned to it.
pub(crate) unsafe fn read(at: NonNull<u8>, width: Width) -> u64 {
    // SAFETY: the caller's promise, for the matching type; the cell's reference ends within the expression.
    unsafe {
        match width {
            Width::W8 => at.cast::<RW<u8>>().as_ref().read().into(),
            Width::W16 => u16::from_le(at.cast::<RW<u16>>().as_ref().read()).into(),
            Width::W32 => u32::from_le(at.cast::<RW<u32>>().as_ref().read()).into(),
            Width::W64 => u64::from_le(at.cast::<RW<u64>>().as_ref().read()),
        }
    }
}

/// Writes a register; `value` is cut to the width.
///
/// # Safety
/// `at` must be valid for a volatile write of `width` and aligned to it.
pub(crate) unsafe fn write(at: NonNull<u8>, width: Width, value: u64) {
    // SAFETY: the caller's promise, for the matching type; the cell's reference ends within the expression.
    unsafe {
        match width {
            Width::W8 => at.cast::<RW<u8>>().as_ref().write(value as u8),
            Width::W16 => at.cast::<RW<u16>>().as_ref().write((value as u16).to_le()),
            Width::W32 => write32(at, value as u32),
            Width::W64 => at.cast::<RW<u64>>().as_ref().write(value.to_le()),
        }
    }
}

/// Writes a 32-bit register.
///
/// # Safety
/// `at` must be valid for a volatile write of 32 bits and aligned to it.
#[inline]
pub(crate) unsafe fn write32(at: NonNull<u8>, value: u32) {
    // SAFETY: the caller's promise; the cell's reference ends within the expression.
    unsafe { at.cast::<RW<u32>>().as_ref().write(value.to_le()) }
}
