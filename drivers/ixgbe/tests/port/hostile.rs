//! A device that lies about status, length and heads for a million packets.
//!
//! Its lies make packets of any length and any content look received, or sent; what may not happen is a panic, an
//! access outside of a buffer, or a buffer that is lost or used twice.

use std::collections::HashSet;

use pmd_ixgbe::inplace;
use pmd_ixgbe::rss::RssConfig;
use pmd_ixgbe::{Config, Started};
use pmd_ixgbe_model::Model82599;
use pmd_ixgbe_model::hostile::{Hostile, Switch};
use vfio_hal::Clock;
use vfio_hal::dma::IovaSpace;
use vfio_hal::dma::memory::HeapMemory;
use vfio_hal::dma::pool::{Buf, Burst, Pool};
use vfio_hal::dma::{DmaAccess, Region};
use vfio_hal::ring::Outputs;

use crate::frames::Frame;
use crate::rig::{Rig, model_config, queues, small};

/// Packets that the driver is to receive; a million takes minutes without optimization.
const PACKETS: u64 = if cfg!(debug_assertions) { 40_000 } else { 1_000_000 };

/// Packets that arrive between two polls.
const AT_ONCE: u32 = 20;

/// Polls without a packet after which a queue is taken for stalled.
const STALLED: u32 = 2;

/// What is written into memory that no device has.
const FENCE: u8 = 0xa7;

/// A device that lies in `of_1024` of 1,024 cases, once it is told to, and memory before and behind its buffers.
fn hostile(seed: u64) -> (Rig<Hostile>, Switch, [Region; 2]) {
    let space = IovaSpace::new();
    let fence = || {
        let memory = HeapMemory::new(1 << 16).unwrap();
        let region = Region::alloc(&space, memory, DmaAccess::ReadWrite).unwrap();
        region.copy_in(0, &[FENCE; 1 << 16]).unwrap();
        region
    };
    let before = fence();
    let pool = crate::rig::pool(&space, 2048);
    let behind = fence();
    let mut switch = None;
    let rig = Rig::in_space(
        |wire| {
            let hostile = Hostile::new(Model82599::new(model_config(), wire), seed);
            switch = Some(hostile.switch());
            hostile
        },
        space,
        pool,
    );
    (rig, switch.unwrap(), [before, behind])
}

fn assert_untouched(fences: &[Region]) {
    for fence in fences {
        let mut bytes = vec![0; fence.len()];
        fence.copy_out(0, &mut bytes).unwrap();
        assert!(bytes.iter().all(|byte| *byte == FENCE));
    }
}

/// All buffers of a pool, told apart by their address.
fn addresses(pool: &Pool) -> HashSet<u64> {
    let bufs: Vec<Buf> = core::iter::from_fn(|| pool.alloc()).collect();
    bufs.iter().map(|buf| buf.data_iova().0).collect()
}

/// Looks at a packet as an application would, byte by byte.
fn examine(packet: &Buf, own: &HashSet<u64>) -> u64 {
    let mut bytes = 0;
    for segment in packet.segments() {
        assert!(segment.len() <= 2048, "a segment of {} bytes in a buffer of 2,048", segment.len());
        assert!(own.contains(&segment.data_iova().0), "a buffer that is none of the pool's");
        bytes += segment.data().iter().map(|byte| u64::from(*byte)).sum::<u64>();
    }
    assert!(packet.segment_count() <= 32);
    let _ = (packet.hash(), packet.mark(), packet.vlan(), packet.packet_type(), packet.timestamp());
    let _ = (packet.ip_checksum(), packet.l4_checksum(), packet.ip_checksum());
    bytes
}

/// Forwards `packets` through the burst path while the device lies in `rate` of 1,024 cases; every now and then the port
/// is asked something or restarted.
fn torture(rate: u32, config: Config, packets: u64) {
    let (mut rig, switch, fences) = hostile(rate.into());
    let own = addresses(&rig.pool);
    assert_eq!(own.len(), 2048);
    let mut started = rig.start(config);
    let frames: Vec<_> = (0..64).map(|number| Frame::numbered(60 + number as usize * 23, number)).collect();
    let mut cache = rig.pool.cache();
    let mut burst = Burst::new(32);
    let (mut kept, mut sum, mut seen) = (Vec::new(), 0u64, 0u64);
    switch.set_rate(rate);
    let mut frame = Vec::new();
    let (mut quiet, mut before) = (0, 0);
    for round in 0u32.. {
        if seen >= packets {
            break;
        }
        assert!(u64::from(round) < 10_000 + 100 * packets, "{rate}: {seen} packets, and no more come");
        for number in 0..AT_ONCE {
            // A wire that is full because the device stopped taking packets loses them.
            let _ = pmd_links::Link::transmit(&mut rig.wire, &frames[(round + number * 7) as usize % 64], 0);
        }
        rig.stepper.run_until_idle(8);
        while pmd_links::Link::receive(&mut rig.wire, &mut frame, 0).unwrap() {}
        let queues = started.tx.len();
        for (number, rx) in started.rx.iter_mut().enumerate() {
            rx.rx_burst(&mut cache, &mut burst).unwrap();
            seen += burst.len() as u64;
            sum = burst.iter().fold(sum, |sum, packet| sum.wrapping_add(examine(packet, &own)));
            // Some are kept for a while: nobody else may write to them meanwhile.
            if kept.len() < 50
                && let Some(packet) = burst.take()
            {
                let copy = crate::rig::bytes(&packet);
                kept.push((packet, copy));
            }
            // A packet may be one that cannot be sent, such as one without bytes.
            while let Err(error) = started.tx[number % queues].tx_burst(&mut cache, &mut burst) {
                let _ = error.to_string();
                drop(burst.take());
            }
            cache.free_all(&mut burst);
        }
        // A descriptor that is said not to be done is waited for. What helps is a new start of the queues.
        quiet = if seen == before { quiet + 1 } else { 0 };
        before = seen;
        if quiet == STALLED {
            quiet = 0;
            restart_queues(&mut started);
        }
        if round % 64 == 63 {
            for (packet, copy) in kept.drain(..) {
                assert!(crate::rig::bytes(&packet) == copy, "somebody wrote to a packet that is in use");
            }
        }
        if round % 997 == 996 {
            control(&mut started);
        }
        if round % 2503 == 2502 {
            kept.clear();
            cache.flush();
            // What the device says of its heads does not matter to a stop.
            let configured = rig.stop(started);
            started = configured.start().unwrap();
            switch.set_rate(0);
            assert!(started.port.wait_for_link(core::time::Duration::from_secs(3)).unwrap().up);
            switch.set_rate(rate);
        }
    }
    kept.clear();
    drop((cache, burst));
    assert!(switch.lies() > 0);
    core::hint::black_box(sum);
    let configured = rig.stop(started);
    assert_eq!(addresses(&rig.pool), own, "each buffer is home once");
    assert_untouched(&fences);
    // An honest device is driven as if nothing had been.
    switch.set_rate(0);
    rig.sent();
    let mut started = rig.up(configured);
    for number in 0..200 {
        let frame = Frame::numbered(500, number);
        rig.inject(&frame);
        let packets: Vec<Buf> = started.rx.iter_mut().flat_map(|rx| rig.received(rx)).collect();
        assert_eq!(packets.iter().map(crate::rig::bytes).collect::<Vec<_>>(), [&frame[..]]);
        rig.send(&mut started.tx[0], packets);
        assert_eq!(rig.sent(), [frame]);
    }
    rig.stop(started);
}

fn restart_queues(started: &mut Started) {
    for rx in &mut started.rx {
        rx.stop().unwrap();
        rx.start().unwrap();
    }
    for tx in &mut started.tx {
        tx.stop().unwrap();
        tx.start().unwrap();
    }
}

/// Every answer is as good as another, and none may take long or panic.
fn control(started: &mut Started) {
    let _ = started.port.link();
    started.port.stats().unwrap();
    started.port.xstats(&mut |_, _| ()).unwrap();
    let _ = started.rx[0].pending(u32::MAX);
    restart_queues(started);
}

#[test]
fn a_million_packets_through_lies_of_a_device() {
    // From a lie in a thousand to nothing but lies, where a queue lasts for a few packets only.
    for (rate, packets) in
        [(1, PACKETS / 2), (20, PACKETS * 4 / 10), (200, PACKETS / 10), (1024, PACKETS / 200)]
    {
        torture(rate, small(), packets);
    }
}

#[test]
fn lies_on_several_queues_and_chains() {
    let rss = Some(RssConfig::default());
    torture(100, Config { rss, mtu: 9000, ..queues(4, 3) }, PACKETS / 20);
}

#[test]
fn lies_to_the_in_place_forwarder() {
    for (rate, packets) in [(1, PACKETS / 2), (50, PACKETS / 4), (1024, PACKETS / 200)] {
        let (mut rig, switch, fences) = hostile(u64::from(rate) + 99);
        let begin = |rig: &Rig<Hostile>, ports| {
            switch.set_rate(0);
            let started = inplace::start(&rig.space, ports, 0, &[0], 256).unwrap();
            for _ in 0..20 {
                rig.clock.wait(core::time::Duration::from_millis(1));
            }
            switch.set_rate(rate);
            started
        };
        let mut started = begin(&rig, vec![rig.configure(Config { promiscuous: true, ..small() })]);
        let frame = Frame::numbered(500, 1);
        let (mut out, mut sum, mut seen) = (Vec::new(), 0u64, 0);
        let (mut quiet, mut before, mut rounds) = (0, 0, 0);
        while seen < packets {
            rounds += 1;
            assert!(rounds < 10_000 + 100 * packets, "{rate}: {seen} packets, and no more come");
            for _ in 0..AT_ONCE {
                let _ = pmd_links::Link::transmit(&mut rig.wire, &frame, 0);
            }
            rig.stepper.run_until_idle(8);
            while pmd_links::Link::receive(&mut rig.wire, &mut out, 0).unwrap() {}
            for _ in 0..4 {
                let taken = started
                    .forwarder
                    .forward(|data| {
                        assert!(data.len() <= 2048);
                        sum = data.iter().fold(sum, |sum, byte| sum.wrapping_add((*byte).into()));
                        data.fill(0x11);
                        if sum & 7 == 0 { Outputs::DROP } else { Outputs::FIRST }
                    })
                    .unwrap();
                seen += taken as u64;
            }
            quiet = if seen == before { quiet + 1 } else { 0 };
            before = seen;
            if quiet == STALLED {
                quiet = 0;
                started = begin(&rig, started.stop().unwrap());
            }
        }
        assert!(switch.lies() > 0);
        // Nothing that the device writes makes it lose memory.
        assert_eq!(started.stop().unwrap().len(), 1);
        assert_eq!(rig.space.stats().regions, 3);
        rig.assert_home();
        assert_untouched(&fences);
    }
}

#[test]
fn every_word_of_a_descriptor_can_be_a_lie_about_its_packet() {
    // The driver's own view, without a ring: no word makes a length beyond its 16 bits or a verdict out of nothing.
    use pmd_ixgbe::desc::Advanced;
    use vfio_hal::ring::RxFormat;
    let mut state = 1u64;
    for _ in 0..PACKETS {
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let words = [random(), random()];
        assert!(Advanced::len(words) <= 0xffff);
        let mut info = Advanced::info(words);
        let _ = Advanced::rarity(words, &mut info);
    }
}
