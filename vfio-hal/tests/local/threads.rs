//! The model on a thread of its own. ThreadSanitizer runs these.
//!
//! Threads are spawned and joined, not scoped: a scope's end synchronises by a fence inside the standard library,
//! which ThreadSanitizer does not see.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use vfio_hal::backend::local::{Idle, LocalDevice, LocalOptions, ModelPanicked, Stepper};
use vfio_hal::bar::Width;
use vfio_hal::device::Device;
use vfio_hal::dma::memory::HeapMemory;
use vfio_hal::dma::{DmaAccess, IovaSpace, Region};
use vfio_hal::irq::{IrqKind, IrqSink};
use vfio_user_kit::*;

use crate::model::*;

/// No step takes this long, even under a sanitizer on a busy machine.
const FOREVER: Duration = Duration::from_secs(60);

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < FOREVER, "waited for ever until {what}");
        std::thread::yield_now();
    }
}

/// Echoes words: for each new value of the doorbell it reads a block and writes it back, then says so in a
/// word, like a descriptor ring with one entry.
struct Echo {
    spec: Spec,
    rung: u32,
    base: u64,
}

const BLOCK: usize = 1500;

impl Echo {
    fn new() -> Echo {
        let bars = vec![BarSpec { index: 0, size: 0x1000, kind: BarKind::Memory32 }];
        let spec = Spec { bars, doorbells: vec![(0, 0)], msi_vectors: 1, ..Spec::default() };
        Echo { spec, rung: 0, base: 0 }
    }
}

impl DeviceModel for Echo {
    fn spec(&self) -> Spec {
        self.spec.clone()
    }
    fn bar_read(&mut self, _: &mut Context<'_>, _: u8, _: u64, data: &mut [u8]) -> Result<(), AccessError> {
        data.fill(0);
        Ok(())
    }
    fn bar_write(&mut self, _: &mut Context<'_>, _: u8, _: u64, data: &[u8]) -> Result<(), AccessError> {
        let mut bytes = [0; 8];
        bytes[..data.len()].copy_from_slice(data);
        self.base = u64::from_le_bytes(bytes);
        Ok(())
    }
    fn step(&mut self, cx: &mut Context<'_>) -> Work {
        let bell = cx.doorbells.load(0);
        if bell == self.rung {
            return Work::Idle;
        }
        self.rung = bell;
        let mut block = [0; BLOCK];
        let mut echo = || {
            cx.dma.read(self.base + 0x1000, &mut block)?;
            block.reverse();
            cx.dma.write(self.base + 0x2003, &block)?;
            cx.dma.store(self.base, bell.into())
        };
        // The driver may have unmapped it, and asks for nothing then.
        if echo().is_ok() {
            cx.irq.msi(0);
        }
        Work::Done
    }
    fn reset(&mut self, _: &mut Context<'_>, _: ResetKind) {}
}

#[derive(Default)]
struct Count(AtomicU32);

impl IrqSink for Count {
    fn fire(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_driver_and_a_model_on_two_threads_agree() {
    let device = LocalDevice::new("echo", Echo::new(), LocalOptions::default()).unwrap();
    let any: Arc<dyn Device> = device.clone();
    let space = IovaSpace::new();
    space.attach(&any).unwrap();
    device.config_write(0x04, &0b110u16.to_le_bytes()).unwrap();
    let region = Region::alloc(&space, HeapMemory::new(0x3000).unwrap(), DmaAccess::ReadWrite).unwrap();
    let bar = device.bar(0).unwrap();
    bar.write(8, Width::W64, region.bus(0).unwrap().iova().0).unwrap();
    let bell = bar.doorbell(0).unwrap();
    let fired = Arc::new(Count::default());
    device.irqs().unwrap().enable(IrqKind::Msi, 0, &[Some(fired.clone())]).unwrap();
    let thread = device.stepper().spawn(Idle::default()).unwrap();
    const ROUNDS: u32 = 300;
    for round in 1..=ROUNDS {
        let block: Vec<u8> = (0..BLOCK as u32).map(|at| (at * 7 + round) as u8).collect();
        region.copy_in(0x1000, &block).unwrap();
        bell.ring(round);
        wait_until("the word is there", || region.read_u64(0) == Ok(round.into()));
        let mut back = vec![0; BLOCK];
        region.copy_out(0x2003, &mut back).unwrap();
        back.reverse();
        assert!(back == block, "round {round}");
    }
    assert_eq!(thread.stop(), Ok(()));
    assert_eq!(fired.0.load(Ordering::Relaxed), ROUNDS);
}

#[test]
fn unmapping_waits_for_the_step_and_memory_is_free_after_it() {
    let device = LocalDevice::new("echo", Echo::new(), LocalOptions::default()).unwrap();
    let any: Arc<dyn Device> = device.clone();
    let space = IovaSpace::new();
    space.attach(&any).unwrap();
    device.config_write(0x04, &0b110u16.to_le_bytes()).unwrap();
    let bar = device.bar(0).unwrap();
    let bell = bar.doorbell(0).unwrap();
    let thread = device.stepper().spawn(Idle { spins: u32::MAX, ..Idle::default() }).unwrap();
    for round in 1..200 {
        let region = Region::alloc(&space, HeapMemory::new(0x3000).unwrap(), DmaAccess::ReadWrite).unwrap();
        let base = region.bus(0).unwrap().iova().0;
        bar.write(8, Width::W64, base).unwrap();
        bell.ring(round);
        // The model may be anywhere in its step now. What follows is a race with the allocator, which a
        // sanitizer sees if the memory goes back too early.
        drop(region);
    }
    assert_eq!(thread.stop(), Ok(()));
    assert_eq!(space.stats().leaked_bytes, 0);
}

/// Holds its step until it is told to go on.
struct Slow {
    inside: Arc<AtomicBool>,
    go_on: Arc<AtomicBool>,
    outcome: Arc<Mutex<Vec<Result<(), DmaFault>>>>,
    base: u64,
}

impl DeviceModel for Slow {
    fn spec(&self) -> Spec {
        Spec::default()
    }
    fn bar_read(&mut self, _: &mut Context<'_>, _: u8, _: u64, _: &mut [u8]) -> Result<(), AccessError> {
        Ok(())
    }
    fn bar_write(&mut self, _: &mut Context<'_>, _: u8, _: u64, _: &[u8]) -> Result<(), AccessError> {
        Ok(())
    }
    fn step(&mut self, cx: &mut Context<'_>) -> Work {
        if !self.inside.swap(true, Ordering::SeqCst) {
            wait_until("the test lets go", || self.go_on.load(Ordering::SeqCst));
        }
        self.outcome.lock().unwrap().push(cx.dma.write(self.base, &[1; 8]));
        Work::Idle
    }
    fn reset(&mut self, _: &mut Context<'_>, _: ResetKind) {}
}

/// A device whose model holds its first step, until it is told to go on.
struct Held {
    device: Arc<LocalDevice<Slow>>,
    space: IovaSpace,
    region: Region,
    inside: Arc<AtomicBool>,
    go_on: Arc<AtomicBool>,
    outcome: Arc<Mutex<Vec<Result<(), DmaFault>>>>,
}

fn hold() -> Held {
    let [inside, go_on] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
    let outcome = Arc::new(Mutex::new(Vec::new()));
    let model =
        Slow { inside: inside.clone(), go_on: go_on.clone(), outcome: outcome.clone(), base: 0x10_0000 };
    let device = LocalDevice::new("slow", model, LocalOptions::default()).unwrap();
    let any: Arc<dyn Device> = device.clone();
    let space = IovaSpace::new();
    space.attach(&any).unwrap();
    device.config_write(0x04, &0b110u16.to_le_bytes()).unwrap();
    let at = vfio_hal::Iova(0x10_0000);
    let region = Region::alloc_at(&space, HeapMemory::new(1).unwrap(), DmaAccess::Write, at).unwrap();
    Held { device, space, region, inside, go_on, outcome }
}

/// Calls `act` while the model is in its step, and checks that it returns only after that.
fn acts_after_the_step(
    stepper: Stepper<Slow>,
    inside: &AtomicBool,
    go_on: &AtomicBool,
    act: impl FnOnce() + Send + 'static,
) {
    let worker = std::thread::spawn(move || stepper.step());
    wait_until("the model is in its step", || inside.load(Ordering::SeqCst));
    let done = Arc::new(AtomicBool::new(false));
    let told = done.clone();
    let driver = std::thread::spawn(move || {
        act();
        told.store(true, Ordering::SeqCst);
    });
    std::thread::sleep(Duration::from_millis(50));
    assert!(!done.load(Ordering::SeqCst), "it did not wait");
    go_on.store(true, Ordering::SeqCst);
    worker.join().unwrap();
    driver.join().unwrap();
}

#[test]
fn a_step_keeps_the_mappings_it_began_with() {
    let Held { device, space, region, inside, go_on, outcome } = hold();
    acts_after_the_step(device.stepper(), &inside, &go_on, || drop(region));
    device.stepper().step();
    let fault = DmaFault::NotMapped { iova: 0x10_0000, len: 8 };
    assert_eq!(*outcome.lock().unwrap(), [Ok(()), Err(fault)]);
    assert_eq!(space.stats().leaked_bytes, 0);
}

#[test]
fn when_bus_mastering_is_off_nothing_is_under_way() {
    let held = hold();
    let Held { device, inside, go_on, outcome, .. } = &held;
    let driver = device.clone();
    acts_after_the_step(device.stepper(), inside, go_on, move || {
        driver.config_write(0x04, &0b010u16.to_le_bytes()).unwrap();
    });
    device.stepper().step();
    let fault = Err(DmaFault::NotBusMaster { iova: 0x10_0000 });
    assert_eq!(*outcome.lock().unwrap(), [fault, fault], "it was off from the first moment");
}

#[test]
fn a_sleeping_model_is_woken_by_a_doorbell() {
    let rig = Rig::new();
    // It would sleep for longer than the test waits.
    let idle = Idle { spins: 0, yields: 0, sleep: 2 * FOREVER };
    let thread = rig.stepper.spawn(idle).unwrap();
    rig.prepare(rig.src.iova().0, rig.dst.iova().0, 8);
    wait_until("the model found nothing to do", || rig.device.with_model(|model| model.steps > 0).unwrap());
    std::thread::sleep(Duration::from_millis(20));
    let mut bell = 0;
    wait_until("the model wakes up", || {
        // One that comes while it is about to fall asleep may be missed.
        bell += 1;
        rig.ring(bell);
        std::thread::sleep(Duration::from_millis(1));
        rig.copies() > 0
    });
    thread.stop().unwrap();
}

#[test]
fn dropping_the_thread_stops_the_model() {
    let rig = Rig::new();
    drop(rig.stepper.spawn(Idle { sleep: Duration::ZERO, ..Idle::default() }).unwrap());
    rig.ring(1);
    std::thread::sleep(Duration::from_millis(5));
    assert_eq!(rig.copies(), 0);
}

#[test]
fn a_killed_device_ends_its_thread() {
    let rig = Rig::new();
    let thread = rig.stepper.spawn(Idle::default()).unwrap();
    rig.device.kill();
    wait_until("the thread ends", || thread.is_finished());
    assert_eq!(thread.stop(), Ok(()));
}

#[test]
fn a_model_that_panics_ends_its_thread_and_loses_the_device() {
    let rig = Rig::new();
    rig.device.with_model(|model| model.panic_in_step = true);
    let thread = rig.stepper.spawn(Idle::default()).unwrap();
    wait_until("the device is lost", || rig.device.lost().is_lost());
    assert_eq!(thread.stop(), Err(ModelPanicked));
}

#[test]
fn registers_and_configuration_from_many_threads() {
    let rig = Arc::new(Rig::new());
    let model = rig.stepper.spawn(Idle::default()).unwrap();
    let drivers: Vec<_> = (0..3)
        .map(|number| {
            let rig = rig.clone();
            std::thread::spawn(move || drive(&rig, number))
        })
        .collect();
    for driver in drivers {
        driver.join().unwrap();
    }
    model.stop().unwrap();
    assert!(!rig.device.lost().is_lost());
    assert_eq!(rig.space.stats().regions, 2);
}

/// Does a little of everything, with a register and a vector of its own.
fn drive(rig: &Rig, number: u32) {
    let irqs = rig.device.irqs().unwrap();
    let register = SRC + 8 * u64::from(number);
    for round in 0..200 {
        rig.bar.write(register, Width::W64, round).unwrap();
        assert_eq!(rig.bar.read(register, Width::W64), Ok(round));
        rig.set_master(round % 2 == 0);
        irqs.enable(IrqKind::MsiX, number, &[Some(Arc::new(Count::default()))]).unwrap();
        rig.ring(round as u32 * 3 + number);
        irqs.mask(IrqKind::MsiX, number).unwrap();
        drop(Region::alloc(&rig.space, HeapMemory::new(1).unwrap(), DmaAccess::Read).unwrap());
    }
}
