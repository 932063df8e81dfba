//! Memory barriers between the processor and a device, under the names that Linux gives them.
//!
//! On x86 ordinary memory is ordered enough for coherent DMA, so these only stop the compiler; on Arm they are
//! the outer-shareable barriers. Descriptor words are atomics with Acquire and Release, so most code never
//! calls these: the ring does, in one place.

/// One barrier: the instruction on Arm, what the compiler must not move on x86, everything elsewhere.
macro_rules! barrier {
    ($instruction:literal, $order:ident) => {{
        #[cfg(target_arch = "aarch64")]
        // SAFETY: a barrier has no operands and changes no memory.
        unsafe {
            core::arch::asm!($instruction, options(nostack, preserves_flags));
        }
        #[cfg(target_arch = "x86_64")]
        core::sync::atomic::compiler_fence(core::sync::atomic::Ordering::$order);
        #[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
        core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
    }};
}

/// Orders earlier reads of DMA memory before later ones.
#[inline]
pub fn dma_rmb() {
    barrier!("dmb oshld", Acquire);
}

/// Orders earlier writes of DMA memory before later ones.
#[inline]
pub fn dma_wmb() {
    barrier!("dmb oshst", Release);
}

/// Orders earlier writes of DMA memory before a later write of a device register.
#[inline]
pub fn mmio_wmb() {
    // The same instruction on Arm: device memory is outer shareable there.
    dma_wmb();
}
