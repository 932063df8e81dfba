//! Any sequence of what can be done with buffers: none is lost, none has two owners, contents stay.

use proptest::collection::vec;
use proptest::prelude::*;
use vfio_hal::dma::pool::{Buf, Cache, Commitment, Packet, Pool, SharedBuf};

use crate::kit::*;

/// One of the things to do; numbers choose among what there is.
#[derive(Clone, Debug)]
enum Step {
    Alloc,
    CacheAlloc(usize),
    CacheFree(usize, usize),
    Drop(usize),
    Chain(usize, usize),
    Unchain(usize),
    Share(usize),
    Clone(usize),
    Unshare(usize),
    DropShared(usize),
    Flush(usize),
    /// A cache ends and another begins.
    Renew(usize),
    Commit(u32),
    Uncommit(usize),
    Move(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let any = || any::<usize>();
    prop_oneof![
        3 => Just(Step::Alloc),
        5 => any().prop_map(Step::CacheAlloc),
        3 => (any(), any()).prop_map(|(cache, buf)| Step::CacheFree(cache, buf)),
        2 => any().prop_map(Step::Drop),
        2 => (any(), any()).prop_map(|(first, tail)| Step::Chain(first, tail)),
        1 => any().prop_map(Step::Unchain),
        2 => any().prop_map(Step::Share),
        2 => any().prop_map(Step::Clone),
        1 => any().prop_map(Step::Unshare),
        2 => any().prop_map(Step::DropShared),
        1 => any().prop_map(Step::Flush),
        1 => any().prop_map(Step::Renew),
        1 => (0..100u32).prop_map(Step::Commit),
        1 => any().prop_map(Step::Uncommit),
        3 => (any(), any()).prop_map(|(buf, bytes)| Step::Move(buf, bytes)),
    ]
}

/// Everything a test holds, and what it ought to be.
struct World {
    pools: [Pool; 2],
    caches: Vec<Cache>,
    bufs: Vec<(Buf, Vec<u8>)>,
    shared: Vec<(SharedBuf, Vec<u8>, usize)>,
    committed: Vec<(Commitment, u32)>,
    stamp: u32,
}

/// Takes one of `from`, if there is one.
fn pick<T>(from: &mut Vec<T>, number: usize) -> Option<T> {
    if from.is_empty() { None } else { Some(from.swap_remove(number % from.len())) }
}

impl World {
    fn new(host: &Host) -> World {
        let pools = [host.pool(70), host.pool_of(9, 64)];
        let caches = vec![pools[0].cache(), pools[0].cache(), pools[1].cache()];
        World { pools, caches, bufs: vec![], shared: vec![], committed: vec![], stamp: 0 }
    }

    /// Gives a fresh buffer a content of its own.
    fn take(&mut self, buf: Option<Buf>) {
        let Some(mut buf) = buf else { return };
        assert_eq!((buf.len(), buf.packet_len(), buf.segment_count()), (0, 0, 1));
        self.stamp += 1;
        let content = self.stamp.to_le_bytes().repeat(1 + self.stamp as usize % 16);
        assert!(buf.fill(&content));
        self.bufs.push((buf, content));
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Alloc => {
                let buf = self.pools[self.stamp as usize % 2].alloc();
                self.take(buf);
            }
            Step::CacheAlloc(cache) => {
                let buf = self.caches[cache % 3].alloc();
                self.take(buf);
            }
            Step::CacheFree(cache, buf) => {
                if let Some((buf, _)) = pick(&mut self.bufs, buf) {
                    self.caches[cache % 3].free(buf);
                }
            }
            Step::Drop(buf) => drop(pick(&mut self.bufs, buf)),
            Step::Chain(first, tail) => {
                if let Some((tail, end)) = pick(&mut self.bufs, tail) {
                    match pick(&mut self.bufs, first) {
                        Some((mut first, mut content)) => {
                            first.chain(tail);
                            content.extend(end);
                            self.bufs.push((first, content));
                        }
                        None => self.bufs.push((tail, end)),
                    }
                }
            }
            Step::Unchain(buf) => {
                if let Some((mut buf, mut content)) = pick(&mut self.bufs, buf) {
                    if let Some(rest) = buf.unchain() {
                        let end = content.split_off(buf.len());
                        self.bufs.push((rest, end));
                    }
                    self.bufs.push((buf, content));
                }
            }
            Step::Share(buf) => {
                if let Some((buf, content)) = pick(&mut self.bufs, buf) {
                    self.stamp += 1;
                    self.shared.push((buf.share(), content, self.stamp as usize));
                }
            }
            Step::Clone(shared) => {
                if !self.shared.is_empty() {
                    let (shared, content, group) = &self.shared[shared % self.shared.len()];
                    let clone = (shared.clone(), content.clone(), *group);
                    self.shared.push(clone);
                }
            }
            Step::Unshare(shared) => {
                if let Some((shared, content, group)) = pick(&mut self.shared, shared) {
                    let alone = self.shared.iter().all(|(_, _, other)| *other != group);
                    match shared.try_unshare() {
                        Ok(buf) => {
                            assert!(alone, "unshared with other owners about");
                            self.bufs.push((buf, content));
                        }
                        Err(shared) => {
                            assert!(!alone, "the only owner could not unshare");
                            self.shared.push((shared, content, group));
                        }
                    }
                }
            }
            Step::DropShared(shared) => drop(pick(&mut self.shared, shared)),
            Step::Flush(cache) => self.caches[cache % 3].flush(),
            Step::Renew(cache) => {
                let cache = &mut self.caches[cache % 3];
                *cache = cache.pool().cache();
            }
            Step::Commit(buffers) => {
                let sum: u32 = self.committed.iter().map(|(_, buffers)| buffers).sum();
                match self.pools[0].commit(buffers) {
                    Ok(commitment) => {
                        assert!(sum + buffers <= 70);
                        self.committed.push((commitment, buffers));
                    }
                    Err(_) => assert!(sum + buffers > 70),
                }
            }
            Step::Uncommit(commitment) => drop(pick(&mut self.committed, commitment)),
            Step::Move(buf, bytes) => {
                if let Some((mut buf, mut content)) = pick(&mut self.bufs, buf) {
                    let bytes = bytes % 200;
                    if bytes % 2 == 0 {
                        if buf.trim_front(bytes) {
                            content.drain(..bytes);
                        }
                    } else if let Some(new) = buf.prepend(bytes) {
                        new.fill(bytes as u8);
                        content.splice(..0, vec![bytes as u8; bytes]);
                    }
                    self.bufs.push((buf, content));
                }
            }
        }
    }

    /// Checks every invariant.
    fn check(&self) {
        let mut places = vec![];
        let mut held = [0, 0];
        let mut note = |packet: &Packet, content: &[u8]| {
            assert!(bytes(packet) == content, "a packet's content changed");
            assert_eq!(packet.packet_len(), content.len());
            places.extend(packet.segments().map(|segment| segment.data_iova().0 - segment.headroom() as u64));
            for segment in packet.segments() {
                let room = segment.headroom() + segment.len() + segment.tailroom();
                held[usize::from(room == 64 + 128)] += 1;
            }
        };
        for (buf, content) in &self.bufs {
            note(buf, content);
        }
        let mut groups = vec![];
        for (shared, content, group) in &self.shared {
            assert!(bytes(shared) == *content, "a shared packet's content changed");
            if !groups.contains(group) {
                groups.push(*group);
                note(shared, content);
            }
        }
        let all = places.len();
        places.sort();
        places.dedup();
        assert_eq!(places.len(), all, "a buffer has two owners");
        let cached = [self.caches[0].len() + self.caches[1].len(), self.caches[2].len()];
        for (pool, (held, cached)) in self.pools.iter().zip(held.into_iter().zip(cached)) {
            assert_eq!(pool.available() as usize + cached + held, pool.capacity() as usize);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..Default::default() })]

    #[test]
    fn buffers_are_conserved_and_theirs_alone(steps in vec(step(), 1..300), order in any::<u8>()) {
        let host = Host::new();
        let mut world = World::new(&host);
        for step in steps {
            world.run(step);
            world.check();
        }
        // The end, in some order.
        let World { pools, caches, bufs, shared, committed, .. } = world;
        let mut parts: Vec<Box<dyn std::any::Any>> =
            vec![Box::new(pools), Box::new(caches), Box::new(bufs), Box::new(shared), Box::new(committed)];
        let turn = usize::from(order) % parts.len();
        parts.rotate_left(turn);
        drop(parts);
        prop_assert_eq!(host.memory.mappings(), 0);
        prop_assert_eq!(host.space.stats().leaked_bytes, 0);
    }
}
