//! Read-only clones.

use crate::kit::*;

#[test]
fn the_last_clone_brings_the_packet_home() {
    let host = Host::new();
    let pool = host.pool(4);
    let shared = chain(&pool, &[b"multi", b"cast"]).share();
    let clones: Vec<_> = (0..10).map(|_| shared.clone()).collect();
    assert!(clones.iter().all(|clone| bytes(clone) == b"multicast"));
    drop(shared);
    for (left, clone) in clones.into_iter().enumerate().rev() {
        assert_eq!(pool.available(), 2);
        assert_eq!((clone.packet_len(), clone.segment_count()), (9, 2));
        drop(clone);
        assert_eq!(pool.available(), if left == 0 { 4 } else { 2 });
    }
}

#[test]
fn only_the_one_owner_gets_to_write_again() {
    let host = Host::new();
    let pool = host.pool(2);
    let shared = chain(&pool, &[b"a", b"b"]).share();
    let clone = shared.clone();
    let shared = shared.try_unshare().unwrap_err();
    assert_eq!(pool.available(), 0);
    drop(clone);
    let mut own = shared.try_unshare().unwrap();
    own.data_mut()[0] = b'z';
    assert_eq!(bytes(&own), b"zb");
    // It can be shared again, and unshared at once.
    let mut own = own.share().try_unshare().unwrap();
    drop(own.unchain());
    assert_eq!(pool.available(), 1);
    drop(own);
    assert_eq!(pool.available(), 2);
}

#[test]
fn a_buffer_that_was_shared_is_an_ordinary_one_afterwards() {
    let host = Host::new();
    let pool = host.pool(1);
    for round in 0..10u8 {
        let shared = packet(&pool, &[round]).share();
        let clone = shared.clone();
        drop(shared);
        assert_eq!(clone.data(), [round]);
        drop(clone);
        let mut cache = pool.cache();
        let buf = cache.alloc().unwrap();
        assert_eq!((buf.len(), buf.segment_count()), (0, 1));
        cache.free(buf);
    }
    assert_eq!(pool.available(), 1);
}
