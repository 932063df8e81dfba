//! A packet generator in one page: it makes packets, sends them as fast as the card takes them, and checks what arrives.
//!
//!     cargo run --release --example generate
//!
//! Read it from top to bottom. The card is a model of Intel's 82599 in this process; the far end of its cable is in this
//! program's hand, so that it can look at every frame that was sent.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pmd_ixgbe::{Config, Probed, Started};
use pmd_ixgbe_model::{Config as Card, Model82599};
use pmd_links::{Link, PairEnd, pair};
use vfio_hal::Device;
use vfio_hal::backend::local::{Idle, LocalDevice, LocalOptions};
use vfio_hal::clock::{Clock, MonotonicClock};
use vfio_hal::dma::memory::Request;
use vfio_hal::dma::pool::{Burst, Pool};
use vfio_hal::dma::{DmaAccess, IovaSpace, Region};

/// How many packets are sent.
const PACKETS: u32 = 1_000_000;

/// The length of each, without check sequence.
const LEN: usize = 60;

fn main() -> Result<(), Box<dyn Error>> {
    // A card, a thread that plays it, and the other end of its cable, with which another thread counts.
    let clock: Arc<dyn Clock> = Arc::new(MonotonicClock::new());
    let (cable, far_end) = pair(256);
    let model = Model82599::new(Card::new([2, 0, 0, 0, 0, 1]), Box::new(cable));
    let device = LocalDevice::new("card", model, LocalOptions::default().clock(clock.clone()))?;
    let _model = device.stepper().spawn(Idle::default())?;
    let device: Arc<dyn Device> = device;

    // Memory that the card may reach, and a pool of packets in it.
    let space = IovaSpace::new();
    space.attach(&device)?;
    let config = Config::default();
    let memory = Request::new(Pool::stride(2048) as u64 * u64::from(config.buffers())).alloc()?;
    let pool = Pool::new(Region::alloc(&space, memory, DmaAccess::ReadWrite)?, config.buffers(), 2048)?;

    // The driver: identified and reset, then given rings and buffers, then started.
    let started = Probed::new(device, clock)?.configure(&space, &pool, config)?.start()?;
    let Started { mut port, rx, mut tx } = started;
    println!("link {}", port.wait_for_link(Duration::from_secs(9))?);
    let judge = std::thread::spawn(move || judge(far_end));

    // A packet is a buffer from the pool that is filled and handed to the queue. What does not fit on the ring stays in the
    // burst and is sent first the next time, so nothing is lost.
    let (mut cache, mut burst) = (pool.cache(), Burst::new(32));
    let mut frame = template();
    let mut number = 0;
    let start = Instant::now();
    while number < PACKETS || !burst.is_empty() {
        while number < PACKETS && burst.room() != 0 {
            let Some(mut buf) = cache.alloc() else { break };
            frame[42..46].copy_from_slice(&number.to_be_bytes());
            assert!(buf.fill(&frame), "the buffers are larger than the frame");
            burst.push(buf).map_err(|_| "there was room")?;
            number += 1;
        }
        if tx[0].tx_burst(&mut cache, &mut burst)? == 0 {
            // The ring is full: let the card work.
            std::thread::yield_now();
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{number} packets sent, {:.2} million a second", f64::from(number) / seconds / 1e6);

    let in_order = judge.join().map_err(|_| "the judge panicked")?;
    println!("{in_order} arrived, whole and in order; the card counts {}", port.stats()?.opackets);
    drop(cache);
    port.stop(rx, tx)?;
    println!("{} of {} buffers are back in the pool", pool.available(), pool.capacity());
    Ok(())
}

/// Returns an Ethernet frame with an IPv4 header and a UDP header: 10.0.0.1:9 to 10.0.0.2:9, room for a number behind.
fn template() -> [u8; LEN] {
    let mut frame = [0; LEN];
    frame[..14].copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x00]);
    frame[14..34].copy_from_slice(&[0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    frame[34..42].copy_from_slice(&[0, 9, 0, 9, 0, 26, 0, 0]);
    let words = frame[14..34].chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1]));
    let sum: u32 = words.sum();
    let checksum = !((sum & 0xffff) + (sum >> 16)) as u16;
    frame[24..26].copy_from_slice(&checksum.to_be_bytes());
    frame
}

/// Takes frames off the cable until all have come or none comes for a second; returns how many were as they were made.
fn judge(mut cable: PairEnd) -> u32 {
    let (mut frame, mut expected) = (Vec::new(), template());
    let (mut good, mut last) = (0, Instant::now());
    while good < PACKETS && last.elapsed() < Duration::from_secs(1) {
        if !matches!(cable.receive(&mut frame, 0), Ok(true)) {
            std::thread::yield_now();
            continue;
        }
        last = Instant::now();
        expected[42..46].copy_from_slice(&good.to_be_bytes());
        good += u32::from(frame == expected);
    }
    good
}
