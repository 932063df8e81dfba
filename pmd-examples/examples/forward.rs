//! A forwarder in one page: two ports, packets from each go out on the other.
//!
//!     cargo run --release --example forward
//!
//! Read it from top to bottom. `main` makes two network cards, starts the driver on each, and forwards for three seconds.
//! The cards are models of Intel's 82599 in this process, each with a traffic generator on its cable; the driver does not
//! know that, and with a real card only `card` would be another.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pmd_ixgbe::{Config, Probed, RxQueue, Started, TxQueue};
use pmd_ixgbe_model::{Config as Card, Model82599, Overrun};
use pmd_links::{Generator, GeneratorConfig, Sink, split};
use vfio_hal::Device;
use vfio_hal::backend::local::{Idle, LocalDevice, LocalOptions, ModelThread};
use vfio_hal::clock::{Clock, MonotonicClock};
use vfio_hal::dma::memory::Request;
use vfio_hal::dma::pool::{Burst, Cache, Pool};
use vfio_hal::dma::{DmaAccess, IovaSpace, Region};

/// Packets taken at a time: enough to share the cost of a burst, few enough to stay in the processor's cache.
const BATCH: usize = 32;

fn main() -> Result<(), Box<dyn Error>> {
    // Two cards. Their models work on threads of their own, as cards work by themselves.
    let clock: Arc<dyn Clock> = Arc::new(MonotonicClock::new());
    let (left, _left_model) = card("left", 1, &clock)?;
    let (right, _right_model) = card("right", 2, &clock)?;

    // Memory that both may reach, at the same addresses: hugepages where there are any. Packets live in a pool of it.
    let space = IovaSpace::new();
    space.attach(&left)?;
    space.attach(&right)?;
    let config = Config { promiscuous: true, ..Config::default() };
    let (buffers, room) = (2 * config.buffers(), 2048);
    let memory = Request::new(Pool::stride(room) as u64 * u64::from(buffers)).alloc()?;
    println!("packets live in {}", memory.info());
    let pool = Pool::new(Region::alloc(&space, memory, DmaAccess::ReadWrite)?, buffers, room)?;

    // The driver: identified and reset, then given rings and buffers, then started. Each step is another type.
    let mut left = Probed::new(left, clock.clone())?.configure(&space, &pool, config.clone())?.start()?;
    let mut right = Probed::new(right, clock)?.configure(&space, &pool, config)?.start()?;
    for (name, started) in [("left", &mut left), ("right", &mut right)] {
        let link = started.port.wait_for_link(Duration::from_secs(9))?;
        println!("{name}: {}, link {link}", started.port.info().mac);
    }

    // Queues are values of their own, so that each may move to a thread of its own. Here one thread has all four.
    let (mut forwarded, mut dropped) = (0, 0);
    let (mut cache, mut burst) = (pool.cache(), Burst::new(BATCH));
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(3) {
        for (from, to) in [(&mut left.rx[0], &mut right.tx[0]), (&mut right.rx[0], &mut left.tx[0])] {
            let (sent, lost) = forward(from, to, &mut cache, &mut burst)?;
            forwarded += sent;
            dropped += lost;
        }
    }
    let rate = forwarded as f64 / start.elapsed().as_secs_f64() / 1e6;
    println!("{forwarded} packets forwarded, {rate:.2} million a second; {dropped} dropped");
    drop(cache);

    // Stopping takes all queues back, and with them every buffer.
    for Started { mut port, rx, tx } in [left, right] {
        let stats = port.stats()?;
        println!(
            "{}: {} received, {} sent, {} missed",
            port.info().device,
            stats.ipackets,
            stats.opackets,
            stats.imissed
        );
        port.stop(rx, tx)?;
    }
    println!("{} of {} buffers are back in the pool", pool.available(), pool.capacity());
    Ok(())
}

/// Takes a burst from one queue to the other. Returns how many packets were sent, and how many had no room there.
fn forward(
    from: &mut RxQueue,
    to: &mut TxQueue,
    cache: &mut Cache,
    burst: &mut Burst,
) -> Result<(usize, usize), Box<dyn Error>> {
    // Take only what can be sent: the rest waits in the card, which counts what it must drop.
    to.reap(cache);
    if (to.free() as usize) < BATCH || from.rx_burst(cache, burst)? == 0 {
        // With few processors, whoever spins takes the time that the cards' models need.
        std::thread::yield_now();
        return Ok((0, 0));
    }
    // Here is what a packet is: bytes that belong to us alone until they are sent. Swap the addresses as an example.
    for packet in burst.iter_mut() {
        if let Some(addresses) = packet.data_mut().first_chunk_mut::<12>() {
            addresses.rotate_left(6);
        }
    }
    let sent = to.tx_burst(cache, burst)?;
    let dropped = burst.len();
    cache.free_all(burst);
    Ok((sent, dropped))
}

/// Makes a card with a traffic generator on its cable, and a thread that plays it.
fn card(
    name: &str,
    number: u8,
    clock: &Arc<dyn Clock>,
) -> Result<(Arc<dyn Device>, ModelThread), Box<dyn Error>> {
    let generator = Generator::new(&GeneratorConfig { flows: 16, ..GeneratorConfig::default() })?;
    let cable = split(generator, Sink::counting());
    // The generator waits while the card has no room: the forwarder decides how fast it goes.
    let card = Card { overrun: Overrun::Wait, ..Card::new([2, 0, 0, 0, 0, number]) };
    let options = LocalOptions::default().clock(clock.clone());
    let device = LocalDevice::new(name, Model82599::new(card, Box::new(cable)), options)?;
    let model = device.stepper().spawn(Idle::default())?;
    Ok((device, model))
}
