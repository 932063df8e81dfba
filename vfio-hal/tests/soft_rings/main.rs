//! The software rings from the outside: against `crossbeam-queue` as the oracle, with panicking closures, with every
//! value's drop counted, and under load from several threads.
//!
//! They are clean under ThreadSanitizer, also without a rebuilt standard library:
//!
//! ```text
//! TSAN_OPTIONS="suppressions=$PWD/vfio-hal/tests/tsan-suppressions.txt" \
//! RUSTFLAGS="-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer" \
//!     cargo +nightly test -p vfio-hal --target x86_64-unknown-linux-gnu --test soft_rings -- --test-threads=1
//! ```
#![cfg(not(loom))]

mod edges;
mod kit;
mod oracle;
mod panics;
mod threads;
