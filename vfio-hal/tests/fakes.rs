//! Polls, the public fakes and the wrappers, as a driver's test meets them.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use vfio_hal::bar::Width;
use vfio_hal::dma::memory::HeapMemory;
use vfio_hal::dma::{DmaAccess, DmaError, IovaSpace, Region};
use vfio_hal::irq::{IrqKind, IrqSink};
use vfio_hal::poll::{self, Poll, Quiesce};
use vfio_hal::regs::Block;
use vfio_hal::testing::{Access, FakeDevice, FakeDma, FakeIrqs, RamDevice, VirtualClock};
use vfio_hal::wrap::{FaultInjector, Faults, TraceEvent, Tracer};
use vfio_hal::{Clock, Device, DeviceError, Iova, IovaRange, Lost, registers};

registers! {
    /// A queue's registers.
    pub block Map[0x100];
    /// Control.
    pub CTRL @ 0x00 RW { rst: 26 }
    /// Queue control.
    pub QCTL @ 0x28 + 0x40 * [2] RW { enable: 25, vme: 30 }
    /// Queue base.
    pub BASE @ 0x10 + 0x40 * [2] BUS<u32x2, align 16>;
}

impl Quiesce for QCTL {
    const WHAT: &'static str = "queue disable";
    const SETTLE: Duration = Duration::from_micros(100);

    fn is_quiet(self) -> bool {
        !self.enable()
    }
}

const MS: Duration = Duration::from_millis(1);

fn fake() -> (Arc<FakeDevice>, Block<Map>) {
    let device = Arc::new(FakeDevice::new(0x100));
    let regs = Block::new(device.bar(0).unwrap()).unwrap();
    (device, regs)
}

#[test]
fn a_poll_looks_until_the_deadline_and_says_what_it_waited_for() {
    let (device, regs) = fake();
    let clock = VirtualClock::new();
    regs.write(CTRL::default().with_rst(true));
    device.registers().take_log();
    let poll = Poll::new(&clock, "device reset", 2 * MS).every(MS);
    let error = poll.register(regs.single(), |ctrl: CTRL| !ctrl.rst()).unwrap_err();
    assert_eq!(error, DeviceError::Timeout { what: "device reset", millis: 2 });
    assert!(error.to_string().contains("'device reset' within 2 ms"), "{error}");
    assert_eq!(device.registers().log().len(), 3, "at 0, 1 and 2 ms");
}

#[test]
fn a_poll_returns_the_value_that_was_right() {
    let (device, regs) = fake();
    device.registers().answer(0, [1, 2, 3].map(CTRL::new));
    let clock = VirtualClock::new();
    let value = Poll::new(&clock, "x", MS).register(regs.single(), |ctrl: CTRL| ctrl.bits() == 3).unwrap();
    assert_eq!((value.bits(), clock.now()), (3, Duration::from_micros(20)));
}

#[test]
fn a_poll_that_was_not_scheduled_looks_once_more() {
    let clock = VirtualClock::new();
    let mut looks = 0;
    // The time for one look is longer than the limit.
    clock.tick(10 * MS);
    Poll::new(&clock, "x", MS)
        .until(&Lost::new(), || {
            looks += 1;
            true
        })
        .unwrap();
    assert_eq!(looks, 1);
}

#[test]
fn a_poll_without_a_limit_looks_once() {
    let clock = VirtualClock::new();
    let poll = Poll::new(&clock, "now", Duration::ZERO);
    assert_eq!(poll.until(&Lost::new(), || true), Ok(()));
    assert_eq!(poll.until(&Lost::new(), || false), Err(DeviceError::Timeout { what: "now", millis: 0 }));
}

#[test]
fn all_ones_of_a_device_that_is_gone_is_never_what_one_waits_for() {
    let (device, regs) = fake();
    let clock = VirtualClock::new();
    device.registers().die_after(2);
    let enabled = Poll::new(&clock, "queue enable", MS).register(regs.at::<QCTL>(0).unwrap(), QCTL::enable);
    assert_eq!(enabled.unwrap_err(), DeviceError::Lost);
    assert_eq!(clock.now(), Duration::from_micros(20), "at the third look, not at the deadline");
}

#[test]
fn quiescence_is_proven_by_the_register_and_the_time_it_needs_to_settle() {
    let (device, regs) = fake();
    let clock = VirtualClock::new();
    let stop = |value| {
        device.registers().registers().set(1, QCTL::default().with_enable(value));
        poll::quiesced(&clock, MS, regs.at::<QCTL>(1).unwrap())
    };
    assert!(stop(false).is_ok());
    assert_eq!(clock.now(), QCTL::SETTLE);
    assert_eq!(stop(true).unwrap_err(), DeviceError::Timeout { what: "queue disable", millis: 1 });
    device.registers().die_after(0);
    assert_eq!(stop(false).unwrap_err(), DeviceError::Lost);
}

#[test]
fn a_reset_is_a_proof_only_if_it_happened() {
    let (device, _) = fake();
    assert!(poll::reset(&*device).is_ok());
    assert_eq!(device.resets(), 1);
    let broken =
        FaultInjector::new(device.clone(), Faults::new().fail_reset(DeviceError::Unsupported { what: "x" }));
    assert!(poll::reset(&broken).is_err());
    device.lost().latch();
    assert_eq!(poll::reset(&*device).unwrap_err(), DeviceError::Lost);
}

#[test]
fn the_hook_plays_the_device_between_two_looks() {
    let device = Arc::new(RamDevice::new(0x100));
    device.on_step({
        let mut steps = 0;
        move |registers, _| {
            steps += 1;
            registers.set(0, CTRL::new(steps));
        }
    });
    let clock = VirtualClock::new();
    clock.hook({
        let (clock, device) = (clock.clone(), device.clone());
        // Asking for the time from the hook does not call it again.
        move |now| {
            assert_eq!(clock.now(), now);
            device.step();
        }
    });
    clock.wait(MS);
    clock.wait(MS);
    assert_eq!(device.registers().get::<CTRL>(0).bits(), 2);
    clock.advance(MS);
    assert_eq!(device.registers().get::<CTRL>(0).bits(), 2);
    assert_eq!(clock.now(), 3 * MS);
}

#[test]
fn a_device_reacts_to_a_write() {
    let (device, regs) = fake();
    device.registers().react(|access, registers| {
        if let Access::Write { offset: 0, value, .. } = access {
            registers.set(1, QCTL::new(value as u32));
        }
    });
    regs.write(CTRL::new(0x55));
    assert_eq!(regs.at::<QCTL>(1).unwrap().read().bits(), 0x55);
}

/// A space with one device, and a region in it.
fn mapped(memory: FakeDma, access: DmaAccess) -> (Arc<dyn Device>, Region) {
    let device: Arc<dyn Device> = Arc::new(RamDevice::with_memory(0x100, memory));
    let space = IovaSpace::new();
    space.attach(&device).unwrap();
    let region = Region::alloc(&space, HeapMemory::new(0x2000).unwrap(), access).unwrap();
    (device, region)
}

#[test]
fn the_device_sees_only_what_is_mapped_and_as_it_is_mapped() {
    let memory = FakeDma::new();
    let (_device, region) = mapped(memory.clone(), DmaAccess::Read);
    let iova = region.iova();
    region.copy_in(0x10, b"hello").unwrap();
    let mut data = [0; 5];
    memory.read(Iova(iova.0 + 0x10), &mut data).unwrap();
    assert_eq!(&data, b"hello");
    region.write_u64(0x20, 0x1122_3344_5566_7788).unwrap();
    assert_eq!(memory.load(Iova(iova.0 + 0x20)), Ok(0x1122_3344_5566_7788));

    let refused = |len| Err(DmaError::NotMapped { iova, len });
    assert_eq!(memory.write(iova, &[1]), refused(1));
    assert_eq!(memory.store(iova, 1), refused(8));
    assert_eq!(memory.store32(iova, 1), refused(4));
    assert!(memory.read(Iova(iova.0 + 0x1ffc), &mut data).is_err(), "one byte too far");
    assert!(memory.read(Iova(iova.0 - 1), &mut data).is_err());
    assert!(memory.read(Iova(u64::MAX), &mut data).is_err());
    assert!(matches!(memory.load(Iova(iova.0 + 4)), Err(DmaError::Unaligned { .. })));
    drop(region);
    assert_eq!((memory.mappings(), memory.read(iova, &mut data)), (0, refused(5)));
}

#[test]
fn the_device_writes_words_and_bytes() {
    let memory = FakeDma::new();
    let (_device, region) = mapped(memory.clone(), DmaAccess::Write);
    let iova = region.iova();
    memory.write(Iova(iova.0 + 1), &[1, 2, 3]).unwrap();
    memory.store(Iova(iova.0 + 8), 0x0807_0605_0403_0201).unwrap();
    memory.store32(Iova(iova.0 + 20), 0xaabb_ccdd).unwrap();
    let mut data = [0; 24];
    region.copy_out(0, &mut data).unwrap();
    assert_eq!(data, [0, 1, 2, 3, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0xdd, 0xcc, 0xbb, 0xaa]);
    assert!(memory.read(iova, &mut data).is_err(), "mapped for writing only");
}

#[test]
fn a_physical_device_sees_the_pointer_plus_the_offset_and_unmapping_promises_nothing() {
    let memory = FakeDma::physical(0x10_0000_0000);
    let (device, region) = mapped(memory.clone(), DmaAccess::ReadWrite);
    let address = region.space().region_at(region.iova()).unwrap().address as u64;
    assert_eq!(region.iova().0, address + 0x10_0000_0000);
    let space = region.space().clone();
    let _known = region.bus(0).unwrap();
    drop(region);
    assert_eq!(space.stats().leaked_bytes, 0x2000);
    space.detach(&device).unwrap();
}

#[test]
fn a_bouncing_mapper_shows_each_missing_sync() {
    let memory = FakeDma::bouncing();
    let (device, region) = mapped(memory.clone(), DmaAccess::ReadWrite);
    let (iova, dma) = (region.iova(), device.dma());
    let seen_by_device = |at: u64| {
        let mut data = [0; 4];
        memory.read(Iova(iova.0 + at), &mut data).unwrap();
        data
    };
    let seen_by_driver = |at: usize| {
        let mut data = [0; 4];
        region.copy_out(at, &mut data).unwrap();
        data
    };

    region.copy_in(0, b"sentmore").unwrap();
    assert_ne!(&seen_by_device(0), b"sent", "no sync_for_device yet");
    dma.sync_for_device(iova, 4);
    assert_eq!(&seen_by_device(0), b"sent");
    assert_ne!(&seen_by_device(4), b"more", "only what was asked for");

    memory.write(Iova(iova.0 + 0x100), b"gotalso!").unwrap();
    assert_eq!(seen_by_driver(0x100), [0; 4], "no sync_for_cpu yet");
    dma.sync_for_cpu(Iova(iova.0 + 0x100), 4);
    assert_eq!(&seen_by_driver(0x100), b"gota");
    assert_eq!(seen_by_driver(0x104), [0; 4]);
    // A range that is not mapped is no reason to touch anything.
    dma.sync_for_cpu(Iova(iova.0 + 0x1ffe), 4);
    dma.sync_for_device(Iova(0), u64::MAX);
    assert!(!dma.caps().coherent);
}

#[test]
fn rings_stay_coherent_on_a_bouncing_mapper() {
    let memory = FakeDma::bouncing();
    memory.share(IovaRange::new(Iova(1 << 32), 0x10_0000).unwrap());
    let (_device, ring) = mapped(memory.clone(), DmaAccess::ReadWrite);
    ring.write_u64(0, 7).unwrap();
    assert_eq!(memory.load(ring.iova()), Ok(7));
    memory.store(ring.iova(), 8).unwrap();
    assert_eq!(ring.read_u64(0), Ok(8));
}

#[derive(Default)]
struct Count(AtomicU32);

impl IrqSink for Count {
    fn fire(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn interrupts_are_delivered_masked_and_kept_pending() {
    let irqs = FakeIrqs::new(IrqKind::MsiX, 4);
    let device = FakeDevice::new(0x100).with_irqs(irqs.clone());
    let api = device.irqs().unwrap();
    let count = Arc::new(Count::default());
    api.enable(IrqKind::MsiX, 1, &[Some(count.clone()), None, Some(count.clone())]).unwrap();
    assert_eq!(irqs.enabled(), 2);
    assert!(irqs.fire(1) && irqs.fire(3));
    assert!(!irqs.fire(0) && !irqs.fire(2) && !irqs.fire(99));
    api.mask(IrqKind::MsiX, 1).unwrap();
    assert!(!irqs.fire(1) && !irqs.fire(1));
    assert_eq!(count.0.load(Ordering::Relaxed), 2);
    api.unmask(IrqKind::MsiX, 1).unwrap();
    assert_eq!(count.0.load(Ordering::Relaxed), 3, "what was pending fires once");
    api.trigger(IrqKind::MsiX, 3).unwrap();
    assert_eq!(count.0.load(Ordering::Relaxed), 4);
    assert!(api.enable(IrqKind::MsiX, 3, &[None, None]).is_err());
    assert!(api.enable(IrqKind::Msi, 0, &[None]).is_err());
    assert!(api.trigger(IrqKind::MsiX, 4).is_err());
    assert_eq!((api.info(IrqKind::MsiX).count, api.info(IrqKind::IntX).count), (4, 0));
    api.disable(IrqKind::MsiX).unwrap();
    assert!(!irqs.fire(1));
}

#[test]
fn configuration_space_is_bytes_with_an_end() {
    let device = FakeDevice::new(0x100).with_config(vec![7; 64]);
    let mut data = [0; 4];
    device.config_read(60, &mut data).unwrap();
    assert_eq!(data, [7; 4]);
    assert_eq!(device.config_read(61, &mut data), Err(DeviceError::ConfigRange { offset: 61, len: 4 }));
    assert_eq!(
        device.config_write(u16::MAX, &data),
        Err(DeviceError::ConfigRange { offset: u16::MAX, len: 4 })
    );
    device.config_write(0, &[1, 2]).unwrap();
    assert_eq!(device.config()[..3], [1, 2, 7]);
    assert!(device.bar(1).is_err());
}

/// The lines that a tracer around `device` writes while `drive` drives it.
fn traced(device: Arc<dyn Device>, drive: impl FnOnce(&dyn Device)) -> Vec<String> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let clock = VirtualClock::new();
    clock.tick(Duration::from_micros(1));
    let sink = {
        let lines = lines.clone();
        move |event: &TraceEvent<'_>| lines.lock().unwrap().push(event.to_string())
    };
    drive(&Tracer::new(device, Arc::new(clock), sink).decode::<Map>(0));
    let lines = lines.lock().unwrap();
    lines.clone()
}

#[test]
fn a_trace_names_registers_fields_halves_and_what_no_map_knows() {
    let space = IovaSpace::new();
    let device: Arc<dyn Device> = Arc::new(RamDevice::new(0x100));
    space.attach(&device).unwrap();
    let region = Region::alloc(&space, HeapMemory::new(0x1000).unwrap(), DmaAccess::ReadWrite).unwrap();
    let lines = traced(device, |device| {
        let bar = device.bar(0).unwrap();
        assert!(bar.windows().all(|(_, _, mapped)| !mapped));
        let mut regs = Block::<Map>::new(bar.clone()).unwrap();
        regs.bind(space.id()).unwrap();
        regs.at_mut::<QCTL>(1).unwrap().modify(|queue| queue.with_enable(true).with_vme(true));
        regs.write_bus::<BASE>(1, region.bus(0x20).unwrap()).unwrap();
        regs.doorbell::<CTRL>(0).unwrap().ring(1);
        bar.read(0xf2, Width::W16).unwrap();
    });
    assert_eq!(
        lines,
        [
            "0.000001 ram R QCTL[1] 0x0",
            "0.000002 ram W QCTL[1] 0x42000000 enable=0x1 vme=0x1",
            "0.000003 ram W BASE.lo[1] 0x20",
            "0.000004 ram W BASE.hi[1] 0x1",
            "0.000005 ram W CTRL 0x1",
            "0.000006 ram R bar0+0x000f2/16 0x0",
        ]
    );
}

#[test]
fn wrappers_compose_in_any_order() {
    let faults = || Faults::new().die_after(1);
    let outside = traced(Arc::new(FaultInjector::new(Arc::new(RamDevice::new(0x100)), faults())), |device| {
        let regs = Block::<Map>::new(device.bar(0).unwrap()).unwrap();
        regs.write(CTRL::new(1));
        regs.read::<CTRL>();
        assert!(device.lost().is_lost());
        regs.read::<CTRL>();
    });
    // The tracer sees the access that failed, and none once the device is known to be gone.
    assert_eq!(outside, ["0.000001 ram W CTRL 0x1", "0.000002 ram R CTRL 0xffffffff rst=0x1 lost"]);

    let lines = traced(Arc::new(RamDevice::new(0x100)), |tracer| {
        assert_eq!(tracer.name(), "ram");
        assert!(
            tracer.bar(1).is_err() && tracer.irqs().is_none() && tracer.config_read(0, &mut [0]).is_err()
        );
        tracer.reset().unwrap();
    });
    assert!(lines.is_empty());
}

#[test]
fn stuck_and_delayed_bits() {
    let inner = Arc::new(RamDevice::new(0x100));
    let enable = 1 << 25;
    let faults = Faults::new().stuck(0, 0, 0xff, 0x5a).stuck(0, 0, 0x0f, 0x03).delayed(0, 0x28, enable, 2);
    let device = FaultInjector::new(inner.clone(), faults);
    let regs = Block::<Map>::new(device.bar(0).unwrap()).unwrap();
    regs.write(CTRL::new(0xffff_ff00));
    assert_eq!(regs.read::<CTRL>().bits(), 0xffff_ff53);

    let queue = regs.at::<QCTL>(0).unwrap();
    queue.write(QCTL::default().with_enable(true).with_vme(true));
    let reads: Vec<_> = (0..4).map(|_| queue.read()).map(|queue| (queue.enable(), queue.vme())).collect();
    assert_eq!(reads, [(false, true), (false, true), (true, true), (true, true)]);
    queue.write(QCTL::default());
    let reads: Vec<_> = (0..3).map(|_| queue.read()).map(|queue| (queue.enable(), queue.vme())).collect();
    assert_eq!(reads, [(true, false), (true, false), (false, false)]);
    assert!(!regs.at::<QCTL>(1).unwrap().read().enable());
}

#[test]
fn the_same_faults_come_at_the_same_access() {
    let run = || {
        let device = FaultInjector::new(Arc::new(RamDevice::new(0x100)), Faults::new().die_after(5));
        let regs = Block::<Map>::new(device.bar(0).unwrap()).unwrap();
        let clock = VirtualClock::new();
        regs.write(CTRL::default().with_rst(true));
        let result = Poll::new(&clock, "reset", MS).register(regs.single(), |ctrl: CTRL| !ctrl.rst());
        (result.unwrap_err(), clock.now())
    };
    assert_eq!(run(), run());
    assert_eq!(run(), (DeviceError::Lost, Duration::from_micros(40)));
}

#[test]
fn mapping_unmapping_and_configuration_fail_as_told() {
    let inner = Arc::new(FakeDevice::new(0x100));
    let limit = DmaError::EntryLimit { limit: 2 };
    let injector = Arc::new(FaultInjector::new(inner.clone(), Faults::new().fail_map(2, limit)));
    let device: Arc<dyn Device> = injector.clone();
    let space = IovaSpace::new();
    space.attach(&device).unwrap();
    let region = || Region::alloc(&space, HeapMemory::new(0x1000).unwrap(), DmaAccess::ReadWrite);
    let (first, second) = (region().unwrap(), region().unwrap());
    assert_eq!(region().unwrap_err(), limit);
    assert_eq!(inner.memory().mappings(), 2);
    drop(first);
    injector.set(Faults::new().fail_unmap(DmaError::Device(DeviceError::Lost)));
    second.bus(0).unwrap();
    drop(second);
    assert_eq!(space.stats().leaked_bytes, 0x1000, "not freed under a device that kept it");

    injector.set(Faults::new().fail_config(DeviceError::Lost));
    assert_eq!(device.config_read(0, &mut [0]), Err(DeviceError::Lost));
    assert_eq!(device.config_write(0, &[0]), Err(DeviceError::Lost));
    injector.set(Faults::new());
    assert_eq!(device.config_write(0, &[9]), Ok(()));
    assert_eq!(device.reset(), Ok(()));
    assert!(device.irqs().is_some());
}
