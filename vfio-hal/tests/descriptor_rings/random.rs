//! Any order of what a driver, an application and a NIC may do: packets stay whole and in order, buffers are conserved.

use proptest::collection::vec;
use proptest::prelude::*;
use vfio_hal::dma::pool::{Buf, Burst, Pool, SharedBuf, TxFlags};

use crate::kit::*;

#[derive(Clone, Debug)]
enum Receive {
    /// Frames of these lengths arrive, one after the other.
    Frames(Vec<usize>),
    /// The application takes a burst of at most this many.
    Burst(usize),
    /// It lets go of as many packets, to its cache or to the pool.
    Free(usize, bool),
    /// It holds every buffer it can get, or none.
    Hog(bool),
    /// The cache is emptied.
    Flush,
}

fn receive() -> impl Strategy<Value = Receive> {
    prop_oneof![
        4 => vec(prop_oneof![3 => 1..=256usize, 1 => 257..3000usize], 0..20).prop_map(Receive::Frames),
        4 => (0..40usize).prop_map(Receive::Burst),
        3 => (0..40usize, any::<bool>()).prop_map(|(count, cached)| Receive::Free(count, cached)),
        1 => any::<bool>().prop_map(Receive::Hog),
        1 => Just(Receive::Flush),
    ]
}

#[derive(Clone, Debug)]
enum Kind {
    Plain(usize),
    Chain(Vec<usize>),
    Tagged(usize, u16),
    OtherPool(usize),
}

#[derive(Clone, Debug)]
enum Send {
    /// Packets are queued and given to the ring.
    Burst(Vec<Kind>),
    /// A packet is given to the ring as many clones.
    Clones(Kind, usize),
    /// The NIC sends as many descriptors.
    Nic(u32),
    Reap,
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        6 => (1..=256usize).prop_map(Kind::Plain),
        2 => vec(1..=256usize, 2..12).prop_map(Kind::Chain),
        1 => (1..=256usize, 0..3u16).prop_map(|(len, tci)| Kind::Tagged(len, tci)),
        1 => (1..=256usize).prop_map(Kind::OtherPool),
    ]
}

fn send() -> impl Strategy<Value = Send> {
    prop_oneof![
        4 => vec(kind(), 0..40).prop_map(Send::Burst),
        1 => (kind(), 1..6usize).prop_map(|(kind, clones)| Send::Clones(kind, clones)),
        4 => (0..80u32).prop_map(Send::Nic),
        1 => Just(Send::Reap),
    ]
}

/// Makes a packet; `None` if a pool is empty.
fn make(kind: &Kind, number: usize, pool: &Pool, other: &Pool) -> Option<Buf> {
    let fill = |pool: &Pool, number: usize, len: usize| {
        let mut buf = pool.alloc()?;
        assert!(buf.fill(&frame(number, len)));
        Some(buf)
    };
    match kind {
        Kind::Plain(len) => fill(pool, number, *len),
        Kind::OtherPool(len) => fill(other, number, *len),
        Kind::Tagged(len, tci) => {
            let mut buf = fill(pool, number, *len)?;
            buf.set_tx_flags(TxFlags::VLAN_INSERT);
            buf.set_tx_vlan(*tci);
            Some(buf)
        }
        Kind::Chain(lens) => {
            let mut first = fill(pool, number, lens[0])?;
            for (at, len) in lens.iter().enumerate().skip(1) {
                // Segments may be of both pools.
                first.chain(fill(if at % 3 == 0 { other } else { pool }, number + at, *len)?);
            }
            Some(first)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    #[test]
    fn whatever_arrived_is_received_once_and_in_order(steps in vec(receive(), 1..80)) {
        let mut host = Host::new();
        let pool = host.pool(64 + 50);
        let (mut ring, mut nic) = host.rx(64, &pool);
        ring.post_all();
        let mut cache = pool.cache();
        let (mut held, mut hogged) = (Vec::<Buf>::new(), Vec::<Buf>::new());
        let (mut accepted, mut received) = (vec![], vec![]);
        for step in steps {
            match step {
                Receive::Frames(lens) => for len in lens {
                    let frame = frame(accepted.len(), len);
                    if nic.receive(&frame) {
                        accepted.push(frame);
                    }
                },
                Receive::Burst(room) => {
                    let mut out = Burst::new(room);
                    let count = ring.burst(&mut cache, &mut out).unwrap();
                    prop_assert_eq!(count, out.len());
                    received.extend(out.iter().map(|buf| bytes(buf)));
                    held.extend(std::iter::from_fn(|| out.take()));
                }
                Receive::Free(count, cached) => for buf in held.drain(..count.min(held.len())) {
                    if cached { cache.free(buf) } else { drop(buf) }
                },
                Receive::Hog(true) => hogged.extend(std::iter::from_fn(|| pool.alloc())),
                Receive::Hog(false) => hogged.clear(),
                Receive::Flush => cache.flush(),
            }
            let segments: usize = held.iter().map(|buf| buf.segment_count()).sum();
            let known = pool.available() as usize + cache.len() + segments + hogged.len() + 64;
            // The rest is in a packet that is being put together: 12 segments make the longest.
            prop_assert!(known <= 114 && known + 11 >= 114, "{} of 114", known);
        }
        // Whatever the pool was short of, everything comes in the end.
        hogged.clear();
        let mut out = Burst::new(32);
        for _ in 0..100 {
            held.clear();
            ring.burst(&mut cache, &mut out).unwrap();
            received.extend(out.iter().map(|buf| bytes(buf)));
            cache.free_all(&mut out);
        }
        prop_assert!(received == accepted, "{} of {} received", received.len(), accepted.len());
        let total: usize = accepted.iter().map(Vec::len).sum();
        prop_assert_eq!((ring.stats().bytes(), ring.stats().malformed()), (total as u64, 0));
        ring.release(&host.stopped()).unwrap();
        prop_assert_eq!(pool.available() as usize + cache.len(), 114);
    }

    #[test]
    fn whatever_was_accepted_is_sent_once_and_in_order(
        size in prop_oneof![Just(64u32), Just(128)],
        foreign_cache in any::<bool>(),
        steps in vec(send(), 1..60),
    ) {
        let mut host = Host::new();
        let (pool, other) = (host.pool(300), host.pool(60));
        let (mut ring, mut nic) = host.tx(size, &pool);
        let mut cache = if foreign_cache { other.cache() } else { pool.cache() };
        let mut expected = vec![];
        let mut queue = Burst::new(64);
        let expect = |buf: &vfio_hal::dma::pool::Packet| (bytes(buf), buf.tx_vlan().map(u64::from));
        for step in steps {
            let doorbells = nic.tail.writes();
            prop_assert!(doorbells.is_empty());
            match step {
                Send::Burst(kinds) => {
                    for kind in kinds {
                        let Some(buf) = make(&kind, expected.len() + queue.len(), &pool, &other) else { break };
                        if queue.push(buf).is_err() {
                            break;
                        }
                    }
                    let all: Vec<_> = queue.iter().map(|buf| expect(buf)).collect();
                    let sent = ring.burst(&mut cache, &mut queue).unwrap();
                    prop_assert_eq!(sent + queue.len(), all.len());
                    expected.extend_from_slice(&all[..sent]);
                    prop_assert_eq!(nic.tail.writes().len(), usize::from(sent != 0));
                }
                Send::Clones(kind, count) => {
                    let Some(buf) = make(&kind, expected.len(), &pool, &other) else { continue };
                    let shared = buf.share();
                    let mut clones = Burst::<SharedBuf>::new(count);
                    for _ in 0..count {
                        clones.push(shared.clone()).unwrap();
                    }
                    let sent = ring.burst_shared(&mut cache, &mut clones).unwrap();
                    prop_assert_eq!(sent + clones.len(), count);
                    expected.extend((0..sent).map(|_| expect(&shared)));
                    prop_assert_eq!(nic.tail.writes().len(), usize::from(sent != 0));
                }
                Send::Nic(descriptors) => nic.send(descriptors),
                Send::Reap => {
                    ring.reap(&mut cache);
                }
            }
            prop_assert_eq!(nic.waiting() <= size - 1 - ring.free(), true);
        }
        // A NIC that goes on sending takes everything in the end.
        for _ in 0..20 {
            let all: Vec<_> = queue.iter().map(|buf| expect(buf)).collect();
            let sent = ring.burst(&mut cache, &mut queue).unwrap();
            expected.extend_from_slice(&all[..sent]);
            nic.send_all();
        }
        prop_assert!(queue.is_empty(), "{} packets never fit", queue.len());
        prop_assert_eq!(nic.sent.len(), expected.len());
        for (sent, (data, tci)) in nic.sent.iter().zip(&expected) {
            prop_assert_eq!(&sent.data, data);
            prop_assert!(tci.is_none() || sent.context == *tci);
        }
        prop_assert_eq!(ring.stats().packets(), expected.len() as u64);
        ring.release(&host.stopped()).unwrap();
        cache.flush();
        prop_assert_eq!((pool.available(), other.available()), (300, 60));
    }
}
