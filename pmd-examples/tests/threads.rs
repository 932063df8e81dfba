//! Models on threads of their own, the driver's bursts on others, a cable between: for ThreadSanitizer, and as a proof that
//! nothing is lost or made up between threads. Driver and model are linked in, the tool is not needed.
//!
//! Threads are joined by handles of `std::thread::spawn`: what the standard library does inside of scopes is not compiled
//! with ThreadSanitizer, which would see races there.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use pmd_ixgbe::rss::RssConfig;
use pmd_ixgbe::{Config, Probed, RxQueue, Started, TxQueue};
use pmd_ixgbe_model::{Config as Card, Model82599, Overrun};
use pmd_links::{Link, pair};
use vfio_hal::Device;
use vfio_hal::backend::local::{Idle, LocalDevice, LocalOptions, ModelThread};
use vfio_hal::clock::{Clock, MonotonicClock};
use vfio_hal::dma::memory::{Pages, Request};
use vfio_hal::dma::pool::{Burst, Pool};
use vfio_hal::dma::{DmaAccess, IovaSpace, Region};

/// Packets that each of the sending queues sends.
const PACKETS: u32 = 1_500;

/// After this the packets are not late but lost.
const LIMIT: Duration = Duration::from_secs(120);

/// A port, the thread that its model works on, and their memory.
struct Bench {
    started: Started,
    model: ModelThread,
    pool: Pool,
}

fn bench(name: &str, link: impl Link + 'static, queues: u16) -> Bench {
    let clock: Arc<dyn Clock> = Arc::new(MonotonicClock::new());
    // Frames wait for room, as the test counts all of them.
    let card = Card { overrun: Overrun::Wait, ..Card::new([2, 0, 0, 0, 0, name.len() as u8]) };
    let model = Model82599::new(card, Box::new(link));
    let device = LocalDevice::new(name, model, LocalOptions::default().clock(clock.clone())).unwrap();
    let model = device.stepper().spawn(Idle::default()).unwrap();
    let device: Arc<dyn Device> = device;
    let config = Config {
        rx_queues: queues,
        tx_queues: queues,
        rx_ring: 64,
        tx_ring: 64,
        rss: (queues > 1).then(RssConfig::default),
        drop_enable: Some(false),
        promiscuous: true,
        ..Config::default()
    };
    let space = IovaSpace::new();
    space.attach(&device).unwrap();
    let count = config.buffers() + 256;
    let memory =
        Request::new(Pool::stride(2048) as u64 * u64::from(count)).pages(Pages::Size4K).alloc().unwrap();
    let pool = Pool::new(Region::alloc(&space, memory, DmaAccess::ReadWrite).unwrap(), count, 2048).unwrap();
    let probed = Probed::new(device, clock).unwrap();
    let started = probed.configure(&space, &pool, config).unwrap().start().unwrap();
    Bench { started, model, pool }
}

impl Bench {
    fn wait_for_link(&mut self) {
        assert!(self.started.port.wait_for_link(LIMIT).unwrap().up);
    }

    /// Stops the port with its queues; every buffer must be back then.
    fn stop(self, rx: Vec<RxQueue>, tx: Vec<TxQueue>) {
        let configured = self.started.port.stop(rx, tx).unwrap();
        self.model.stop().unwrap();
        drop(configured);
        assert_eq!((self.pool.available(), self.pool.leaked()), (self.pool.capacity(), 0));
    }
}

/// A UDP datagram of flow `flow`, without checksums, which nobody asks for here.
fn frame(flow: u8, number: u32) -> Vec<u8> {
    let mut frame = vec![0; 64];
    frame[..14].copy_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]);
    frame[14..34].copy_from_slice(&[0x45, 0, 0, 50, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, flow, 10, 0, 1, 1]);
    frame[50..54].copy_from_slice(&number.to_be_bytes());
    frame
}

/// Sends every packet of `flow` on a thread of its own; returns the queue.
fn send(mut queue: TxQueue, pool: Pool, flow: u8) -> thread::JoinHandle<TxQueue> {
    thread::spawn(move || {
        let (mut cache, mut burst) = (pool.cache(), Burst::new(16));
        let (start, mut number) = (Instant::now(), 0);
        while number < PACKETS || !burst.is_empty() {
            assert!(start.elapsed() < LIMIT, "the device does not take packets any more");
            while number < PACKETS && burst.room() != 0 {
                let Some(mut buf) = cache.alloc() else { break };
                assert!(buf.fill(&frame(flow, number)));
                burst.push(buf).unwrap();
                number += 1;
            }
            if queue.tx_burst(&mut cache, &mut burst).unwrap() == 0 {
                thread::yield_now();
            }
        }
        queue
    })
}

/// Receives `count` packets on a thread of its own; returns the queue, and flow and number of each.
fn receive(
    mut queue: RxQueue,
    pool: Pool,
    until: Arc<Counter>,
) -> thread::JoinHandle<(RxQueue, Vec<(u8, u32)>)> {
    thread::spawn(move || {
        let (mut cache, mut burst) = (pool.cache(), Burst::new(32));
        let (start, mut seen) = (Instant::now(), Vec::new());
        while !until.reached() {
            assert!(start.elapsed() < LIMIT, "{} packets have not come", until.missing());
            let received = queue.rx_burst(&mut cache, &mut burst).unwrap();
            for packet in burst.iter() {
                let data = packet.data();
                assert_eq!(data.len(), 64);
                seen.push((data[29], u32::from_be_bytes(data[50..54].try_into().unwrap())));
            }
            cache.free_all(&mut burst);
            until.add(received as u32);
            if received == 0 {
                thread::yield_now();
            }
        }
        (queue, seen)
    })
}

/// How many packets all receiving threads have seen together.
struct Counter {
    seen: std::sync::atomic::AtomicU32,
    all: u32,
}

impl Counter {
    fn new(all: u32) -> Arc<Counter> {
        Arc::new(Counter { seen: 0.into(), all })
    }

    fn add(&self, packets: u32) {
        self.seen.fetch_add(packets, std::sync::atomic::Ordering::Relaxed);
    }

    fn missing(&self) -> u32 {
        self.all - self.seen.load(std::sync::atomic::Ordering::Relaxed)
    }

    fn reached(&self) -> bool {
        self.missing() == 0
    }
}

/// One port on each end of the cable, both sending and receiving: two models, four lcores.
#[test]
fn two_ports_exchange_packets_over_a_cable() {
    let (left, right) = pair(32);
    let (mut left, mut right) = (bench("left", left, 1), bench("right0", right, 1));
    left.wait_for_link();
    right.wait_for_link();
    let mut lcores = Vec::new();
    for (flow, bench) in [(1, &mut left), (2, &mut right)] {
        let (tx, rx) = (bench.started.tx.pop().unwrap(), bench.started.rx.pop().unwrap());
        let sender = send(tx, bench.pool.clone(), flow);
        lcores.push((sender, receive(rx, bench.pool.clone(), Counter::new(PACKETS))));
    }
    let mut bench_of = vec![right, left];
    for (flow, (sender, receiver)) in [2, 1].into_iter().zip(lcores) {
        let (tx, (rx, seen)) = (sender.join().unwrap(), receiver.join().unwrap());
        assert!(
            seen.iter().copied().eq((0..PACKETS).map(|number| (flow, number))),
            "in order, from the other port"
        );
        bench_of.pop().unwrap().stop(vec![rx], vec![tx]);
    }
}

/// Two lcores send to a port with two queues, which two others poll, while statistics are read.
#[test]
fn rss_queues_are_polled_by_threads_of_their_own() {
    let (left, right) = pair(32);
    let (mut left, mut right) = (bench("left", left, 2), bench("right0", right, 2));
    left.wait_for_link();
    right.wait_for_link();
    let senders: Vec<_> = left
        .started
        .tx
        .drain(..)
        .zip([10, 11])
        .map(|(queue, flow)| send(queue, left.pool.clone(), flow))
        .collect();
    let counter = Counter::new(2 * PACKETS);
    let receivers: Vec<_> =
        right.started.rx.drain(..).map(|queue| receive(queue, right.pool.clone(), counter.clone())).collect();
    while !counter.reached() && receivers.iter().all(|receiver| !receiver.is_finished()) {
        assert!(right.started.port.stats().unwrap().ipackets <= u64::from(2 * PACKETS));
        thread::sleep(Duration::from_millis(1));
    }
    let sent: Vec<_> = senders.into_iter().map(|sender| sender.join().unwrap()).collect();
    let (queues, seen): (Vec<_>, Vec<_>) =
        receivers.into_iter().map(|receiver| receiver.join().unwrap()).unzip();
    for flow in [10, 11] {
        let of_flow = |packets: &&Vec<(u8, u32)>| packets.iter().any(|(from, _)| *from == flow);
        let [packets] = seen.iter().filter(of_flow).collect::<Vec<_>>()[..] else {
            panic!("a flow on two queues")
        };
        let numbers = packets.iter().filter(|(from, _)| *from == flow).map(|(_, number)| *number);
        assert!(numbers.eq(0..PACKETS), "flow {flow} is not complete and in order");
    }
    let stats = right.started.port.stats().unwrap();
    assert_eq!((stats.ipackets, stats.imissed, stats.rx_nombuf), (u64::from(2 * PACKETS), 0, 0));
    let (left_rx, right_tx) = (left.started.rx.drain(..).collect(), right.started.tx.drain(..).collect());
    left.stop(left_rx, sent);
    right.stop(queues, right_tx);
}
