//! A wire between two links, pumped by a thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pmd_links::{Link, Sent};

/// Carries frames both ways until it is dropped.
pub(crate) struct Wire {
    stop: Arc<AtomicBool>,
    largest: Arc<AtomicUsize>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Wire {
    pub(crate) fn new(a: impl Link + 'static, b: impl Link + 'static) -> Wire {
        let (stop, largest) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stopped, seen) = (Arc::clone(&stop), Arc::clone(&largest));
        let thread = std::thread::spawn(move || {
            let start = Instant::now();
            let mut links: [Box<dyn Link>; 2] = [Box::new(a), Box::new(b)];
            let mut frames = [Vec::new(), Vec::new()];
            let mut waiting = [false; 2];
            while !stopped.load(Ordering::Relaxed) {
                let mut idle = true;
                let now = start.elapsed().as_nanos() as u64;
                for from in 0..2 {
                    if !waiting[from] {
                        waiting[from] = links[from].receive(&mut frames[from], now).unwrap();
                        seen.fetch_max(frames[from].len(), Ordering::Relaxed);
                    }
                    if waiting[from] {
                        waiting[from] = links[1 - from].transmit(&frames[from], now).unwrap() == Sent::Busy;
                        idle = false;
                    }
                }
                if idle {
                    std::thread::sleep(Duration::from_micros(20));
                }
            }
        });
        Wire { stop, largest, thread: Some(thread) }
    }

    /// The largest frame carried, in bytes.
    pub(crate) fn largest(&self) -> usize {
        self.largest.load(Ordering::Relaxed)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let result = self.thread.take().map(|thread| thread.join());
        if !std::thread::panicking() {
            result.unwrap().expect("the wire carried all");
        }
    }
}
