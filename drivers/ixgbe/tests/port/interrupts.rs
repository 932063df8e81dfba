//! Interrupts: one for each time a queue is armed, and those of the link.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pmd_ixgbe_model::Module;
use vfio_hal::irq::IrqSink;
use vfio_hal::pmd::PortError;

use crate::frames::Frame;
use crate::rig::{Rig, model_config, queues, small};

#[derive(Default)]
struct Counter(AtomicU32);

impl IrqSink for Counter {
    fn fire(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Counter {
    fn new() -> Arc<Counter> {
        Arc::default()
    }

    /// Returns how often it fired since this was last called.
    fn take(&self) -> u32 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

#[test]
fn an_armed_queue_fires_once() {
    let mut rig = Rig::new();
    let mut started = rig.start(small());
    let counter = Counter::new();
    started.port.set_rx_interrupt(0, Some(counter.clone())).unwrap();
    let packet = |rig: &mut Rig, rx: &mut pmd_ixgbe::RxQueue| {
        rig.inject(&Frame::numbered(64, 1));
        rig.wait(Duration::from_micros(100));
        assert_eq!(rig.received(rx).len(), 1);
        counter.take()
    };
    assert_eq!(packet(&mut rig, &mut started.rx[0]), 0, "not armed");
    for _ in 0..5 {
        started.rx[0].arm().unwrap();
        assert_eq!(packet(&mut rig, &mut started.rx[0]), 1);
        assert_eq!(packet(&mut rig, &mut started.rx[0]), 0, "it was armed once");
        assert_eq!(packet(&mut rig, &mut started.rx[0]), 0);
    }
    started.rx[0].arm().unwrap();
    started.rx[0].disarm().unwrap();
    assert_eq!(packet(&mut rig, &mut started.rx[0]), 0, "disarmed");
    started.rx[0].arm().unwrap();
    started.port.set_rx_interrupt(0, None).unwrap();
    assert_eq!(packet(&mut rig, &mut started.rx[0]), 0, "nobody listens");
    rig.stop(started);
}

#[test]
fn each_queue_fires_its_own() {
    let mut rig = Rig::with(model_config(), 24_000);
    let mut started = rig.start(queues(63, 1));
    let counters: Vec<_> = (0..63).map(|_| Counter::new()).collect();
    for (queue, counter) in counters.iter().enumerate() {
        started.port.set_rx_interrupt(queue as u16, Some(counter.clone())).unwrap();
        started.rx[queue].arm().unwrap();
    }
    rig.inject(&Frame::numbered(64, 1));
    rig.wait(Duration::from_micros(100));
    let fired: Vec<_> = counters.iter().map(|counter| counter.take()).collect();
    assert_eq!((fired[0], fired[1..].iter().sum::<u32>()), (1, 0));
    let error = started.port.set_rx_interrupt(63, None).unwrap_err();
    assert!(matches!(error, PortError::OutOfRange { value: 63, max: 62, .. }), "{error}");
    rig.stop(started);
    // Nobody calls them any more, so nobody keeps them.
    assert!(counters.iter().all(|counter| Arc::strong_count(counter) == 1));
}

#[test]
fn queues_of_rss_fire_for_their_flows() {
    use crate::frames::{Ip, L4};
    let mut rig = Rig::new();
    let rss = Some(pmd_ixgbe::rss::RssConfig::default());
    let mut started = rig.start(pmd_ixgbe::Config { rss, ..queues(4, 1) });
    let counters: [_; 4] = core::array::from_fn(|_| Counter::new());
    for (queue, counter) in counters.iter().enumerate() {
        started.port.set_rx_interrupt(queue as u16, Some(counter.clone())).unwrap();
    }
    for flow in 0..50 {
        started.rx.iter_mut().for_each(|rx| rx.arm().unwrap());
        rig.inject(&Frame { ip: Ip::V4([10, 0, 0, flow], [10, 0, 1, 1]), ..Frame::new(L4::Tcp) }.bytes());
        rig.wait(Duration::from_micros(100));
        for (rx, counter) in started.rx.iter_mut().zip(&counters) {
            assert_eq!(rig.received(rx).len() as u32, counter.take());
        }
    }
    rig.stop(started);
}

#[test]
fn a_change_of_the_link_fires() {
    let mut rig = Rig::new();
    let mut started = rig.start(small());
    let counter = Counter::new();
    started.port.set_link_interrupt(Some(counter.clone())).unwrap();
    rig.wait(Duration::from_millis(1));
    assert!(started.port.service_link().unwrap().up);
    counter.take();
    // Somebody pulls the cable: the other end is gone for good, so another is plugged in later.
    let (wire, end) = pmd_links::pair(4096);
    let (silent, gone) = pmd_links::pair(1);
    drop(silent);
    rig.model.with_model(|model| drop(model.plug(Box::new(gone)))).unwrap();
    rig.wait(Duration::from_millis(10));
    assert!(counter.take() > 0);
    assert!(!started.port.service_link().unwrap().up);
    rig.model.with_model(|model| drop(model.plug(Box::new(end)))).unwrap();
    rig.wire = wire;
    for _ in 0..20 {
        rig.wait(Duration::from_millis(1));
    }
    assert!(counter.take() > 0);
    assert!(started.port.wait_for_link(Duration::from_secs(1)).unwrap().up);
    rig.inject(&Frame::numbered(64, 1));
    assert_eq!(rig.received(&mut started.rx[0]).len(), 1);
    started.port.service_link().unwrap();
    counter.take();
    // Not after a stop, and not for who asks no more.
    started.port.set_link_interrupt(None).unwrap();
    rig.model.with_model(|model| model.swap_module(Module::Absent)).unwrap();
    rig.wait(Duration::from_millis(10));
    assert_eq!(counter.take(), 0);
    assert_eq!(Arc::strong_count(&counter), 1);
    rig.stop(started);
}

#[test]
fn a_module_that_is_put_in_brings_the_link_up() {
    let mut config = model_config();
    config.module = Module::Absent;
    let rig = Rig::with(config, 2048);
    let mut started = rig.configure(small()).start().unwrap();
    let counter = Counter::new();
    started.port.set_link_interrupt(Some(counter.clone())).unwrap();
    assert!(!started.port.service_link().unwrap().up);
    counter.take();
    rig.model.with_model(|model| model.swap_module(Module::Lr)).unwrap();
    rig.wait(Duration::from_millis(1));
    assert!(counter.take() > 0);
    started.port.service_link().unwrap();
    assert!(started.port.wait_for_link(Duration::from_secs(3)).unwrap().up);
    rig.stop(started);
}
