//! The memory lives as long as anything of the pool, in whatever order that goes, and no longer.

use vfio_hal::dma::pool::{Burst, Pool};

use crate::kit::*;

/// Calls `f` with every order of `count` things.
fn orders(count: usize, f: &mut impl FnMut(&[usize])) {
    fn permute(order: &mut Vec<usize>, from: usize, f: &mut impl FnMut(&[usize])) {
        if from == order.len() {
            return f(order);
        }
        for at in from..order.len() {
            order.swap(from, at);
            permute(order, from + 1, f);
            order.swap(from, at);
        }
    }
    permute(&mut (0..count).collect(), 0, f);
}

/// Something of a pool, and how many buffers it holds.
type Part = Box<dyn std::any::Any + Send>;

fn parts(pool: Pool) -> Vec<Part> {
    let mut used = pool.cache();
    used.free(pool.alloc().unwrap());
    let mut burst = Burst::new(4);
    burst.push(packet(&pool, b"in a burst")).unwrap();
    burst.push(chain(&pool, &[b"in a", b"chain"])).unwrap();
    let shared = chain(&pool, &[b"shared", b"chain"]).share();
    vec![
        Box::new(packet(&pool, b"a buffer")),
        Box::new(used),
        Box::new(burst),
        Box::new(shared.clone()),
        Box::new(shared),
        Box::new(pool.commit(3).unwrap()),
        Box::new(pool),
    ]
}

#[test]
fn in_every_order_the_last_part_frees_the_memory() {
    let host = Host::new();
    orders(7, &mut |order| {
        let mut parts: Vec<_> = parts(host.pool(64)).into_iter().map(Some).collect();
        for (gone, &part) in order.iter().enumerate() {
            assert_eq!(host.memory.mappings(), 1, "after {gone} of {order:?}");
            drop(parts[part].take());
        }
        assert_eq!(host.memory.mappings(), 0, "{order:?}");
        assert_eq!(host.space.stats().leaked_bytes, 0);
    });
}

#[test]
fn on_other_threads_as_well() {
    let host = Host::new();
    for _ in 0..50 {
        let threads: Vec<_> =
            parts(host.pool(64)).into_iter().map(|part| std::thread::spawn(move || drop(part))).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(host.memory.mappings(), 0);
    }
}

#[test]
fn a_chain_keeps_the_pools_of_all_its_segments() {
    let host = Host::new();
    let (one, two) = (host.pool(4), host.pool(4));
    let mut buf = packet(&one, b"first");
    buf.chain(packet(&two, b"second"));
    let shared = buf.share();
    drop((one, two));
    assert_eq!((host.memory.mappings(), bytes(&shared)), (2, b"firstsecond".to_vec()));
    let mut buf = shared.try_unshare().unwrap();
    let rest = buf.unchain().unwrap();
    drop(buf);
    assert_eq!((host.memory.mappings(), rest.data()), (1, b"second".as_slice()));
    drop(rest);
    assert_eq!(host.memory.mappings(), 0);
}

#[test]
fn a_cache_that_was_never_used_keeps_the_pool_too() {
    let host = Host::new();
    let cache = host.pool(4).cache();
    assert_eq!((host.memory.mappings(), cache.pool().available()), (1, 4));
    drop(cache);
    assert_eq!(host.memory.mappings(), 0);
}

#[test]
fn what_is_forgotten_stays_mapped_for_ever() {
    let host = Host::new();
    let pool = host.pool(4);
    std::mem::forget(pool.alloc());
    assert_eq!(pool.available(), 3);
    drop(pool);
    assert_eq!(host.memory.mappings(), 1);
}
