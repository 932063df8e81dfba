//! What lets a model work.
//!
//! - [`Stepper`]: step by step, for tests that stop time between two steps.
//! - [`ModelThread`]: on a thread of its own, idle as [`Idle`] says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use vfio_user_kit::{DeviceModel, Work};

use super::Core;
use super::lock::Lock;
use crate::device::DeviceError;

/// Lets the model of a [`LocalDevice`](super::LocalDevice) work. Clones work on the same model, one at a time.
pub struct Stepper<M> {
    core: Arc<Core<M>>,
}

impl<M> Clone for Stepper<M> {
    fn clone(&self) -> Self {
        Stepper { core: self.core.clone() }
    }
}

/// What [`Stepper::run_until_idle`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Steps that found work.
    pub steps: u32,
    /// There was nothing left to do; otherwise it stopped at the limit.
    pub idle: bool,
}

impl<M: DeviceModel + 'static> Stepper<M> {
    pub(super) fn new(core: Arc<Core<M>>) -> Stepper<M> {
        Stepper { core }
    }

    /// Lets the model do one step. A lost device is idle. Not to be called by what an interrupt fires: the model
    /// is in its step then.
    ///
    /// # Panics
    /// If the model panics. The device is lost then.
    pub fn step(&self) -> Work {
        self.core.step()
    }

    /// Lets the model work until it has nothing to do, but at most `max_steps` steps.
    ///
    /// # Panics
    /// If the model panics. The device is lost then.
    pub fn run_until_idle(&self, max_steps: u32) -> Ran {
        for steps in 0..max_steps {
            if self.step() == Work::Idle {
                return Ran { steps, idle: true };
            }
        }
        Ran { steps: max_steps, idle: false }
    }

    /// Lets the model work on a thread of its own, until that is stopped or dropped, or the device is lost.
    pub fn spawn(&self, idle: Idle) -> Result<ModelThread, DeviceError> {
        let (core, stop) = (self.core.clone(), Arc::new(AtomicBool::new(false)));
        let stopped = stop.clone();
        let handle = thread::Builder::new()
            .name("model".into())
            .spawn(move || work(&core, idle, &stopped))
            .map_err(|error| DeviceError::System {
            what: "start a thread for the model",
            errno: error.raw_os_error().unwrap_or(0),
        })?;
        Ok(ModelThread { handle: Some(handle), stop })
    }
}

/// What a model's thread does while there is no work: first it spins, then it yields, then it sleeps.
///
/// A register write wakes it, and so does the model's next timer, if it tells ([`DeviceModel::next_deadline`]). Packets
/// from outside do not, so a sleep is the delay they may meet.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    /// Idle steps with nothing but a processor pause in between.
    pub spins: u32,
    /// Idle steps after those that let other threads run in between.
    pub yields: u32,
    /// How long to sleep between idle steps after those. Zero never sleeps.
    pub sleep: Duration,
}

impl Default for Idle {
    /// Spins 16 times, yields 64 times, then sleeps for 50 µs: with few processors, whoever spins for longer
    /// takes the time that the other side needs to make work.
    fn default() -> Self {
        Idle { spins: 16, yields: 64, sleep: Duration::from_micros(50) }
    }
}

/// A model at work on a thread of its own. Dropping it stops the thread and waits for its end.
#[derive(Debug)]
pub struct ModelThread {
    handle: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

/// The model panicked; its message is on standard error. The device is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the device model panicked: the device is lost; this is a bug in the model")]
pub struct ModelPanicked;

impl ModelThread {
    /// Stops the thread after the step it is in.
    pub fn stop(mut self) -> Result<(), ModelPanicked> {
        self.join()
    }

    /// Returns whether the thread has ended by itself, because the device is lost.
    pub fn is_finished(&self) -> bool {
        self.handle.as_ref().is_none_or(JoinHandle::is_finished)
    }

    fn join(&mut self) -> Result<(), ModelPanicked> {
        let Some(handle) = self.handle.take() else { return Ok(()) };
        self.stop.store(true, Ordering::Release);
        handle.thread().unpark();
        handle.join().map_err(|_| ModelPanicked)
    }
}

impl Drop for ModelThread {
    fn drop(&mut self) {
        // The latch of the device tells of a panic.
        let _ = self.join();
    }
}

fn work<M: DeviceModel>(core: &Core<M>, idle: Idle, stop: &AtomicBool) {
    let mut idled: u32 = 0;
    while !stop.load(Ordering::Acquire) && !core.lost.is_lost() {
        if core.step() == Work::Done {
            idled = 0;
            continue;
        }
        idled = idled.saturating_add(1);
        if idled <= idle.spins {
            std::hint::spin_loop();
        } else if idled - idle.spins <= idle.yields || idle.sleep.is_zero() {
            thread::yield_now();
        } else {
            core.waker.sleep(core.pause(idle.sleep));
        }
    }
}

/// Wakes a model's thread that sleeps.
pub(super) struct Waker {
    sleeping: AtomicBool,
    thread: Lock<Option<Thread>>,
}

impl Waker {
    pub(super) fn new() -> Waker {
        Waker { sleeping: AtomicBool::new(false), thread: Lock::new(None) }
    }

    /// Costs one load when nobody sleeps. A thread that falls asleep at the same moment may miss it, and then
    /// wakes by its time.
    #[inline]
    pub(super) fn wake(&self) {
        if self.sleeping.load(Ordering::Relaxed) {
            self.unpark();
        }
    }

    #[cold]
    fn unpark(&self) {
        self.sleeping.store(false, Ordering::Relaxed);
        if let Some(thread) = self.thread.lock().as_ref() {
            thread.unpark();
        }
    }

    fn sleep(&self, time: Duration) {
        *self.thread.lock() = Some(thread::current());
        self.sleeping.store(true, Ordering::Relaxed);
        thread::park_timeout(time);
        self.sleeping.store(false, Ordering::Relaxed);
    }
}
