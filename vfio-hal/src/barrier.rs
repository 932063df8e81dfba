//! Memory barriers between the processor and a device, under the names that Linux gives them.
//!
//! On x86 ordinary memory is ordered enough for coherent DMA, so these only stop the compiler; on Arm they are
//! the outer-shareable barriers. Descriptor words are atomics with Acquire and Release, so most code never
//! calls these: the ring does, in one place.

/// Orders earlier reads of DMA memory before later ones.
#[inline]
pub fn dma_rmb() {
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a barrier has no operands and changes no memory.
    unsafe {
        core::arch::asm!("dmb oshld", options(nostack, preserves_flags));
    }
    #[cfg(target_arch = "x86_64")]
    core::sync::atomic::compiler_fence(core::sync::atomic::Ordering::Acquire);
    #[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
    core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
}

/// Orders earlier writes of DMA memory before later ones.
#[inline]
pub fn dma_wmb() {
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a barrier has no operands and changes no memory.
    unsafe {
        core::arch::asm!("dmb oshst", options(nostack, preserves_flags));
    }
    #[cfg(target_arch = "x86_64")]
    core::sync::atomic::compiler_fence(core::sync::atomic::Ordering::Release);
    #[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
    core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
}

/// Orders earlier writes of DMA memory before a later write of a device register.
#[inline]
pub fn mmio_wmb() {
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a barrier has no operands and changes no memory.
    unsafe {
        core::arch::asm!("dmb oshst", options(nostack, preserves_flags));
    }
    #[cfg(target_arch = "x86_64")]
    core::sync::atomic::compiler_fence(core::sync::atomic::Ordering::Release);
    #[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
    core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
}
