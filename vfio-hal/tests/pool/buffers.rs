//! One buffer: where its data starts and ends, and that it is like new each time.

use vfio_hal::dma::pool::{HeaderLens, Pool, TxFlags};

use crate::kit::*;

/// Headroom, length and tailroom always make up the buffer.
fn shape(buf: &vfio_hal::dma::pool::Buf) -> (usize, usize, usize) {
    assert_eq!((buf.data().len(), buf.packet_len()), (buf.len(), buf.len()));
    (buf.headroom(), buf.len(), buf.tailroom())
}

#[test]
fn data_grows_and_shrinks_at_both_ends_up_to_the_buffers() {
    let host = Host::new();
    for room in [64, 256, 0xf000u32] {
        let all = room as usize;
        let pool = host.pool_of(1, room);
        let mut buf = pool.alloc().unwrap();
        assert_eq!(shape(&buf), (128, 0, all));
        assert!(buf.append(all + 1).is_none() && buf.prepend(129).is_none());
        assert!(buf.append(usize::MAX).is_none() && buf.prepend(usize::MAX).is_none());
        assert!(!buf.trim_front(1) && !buf.truncate(1) && !buf.trim_front(usize::MAX));
        assert_eq!(shape(&buf), (128, 0, all));
        assert_eq!(buf.append(all).unwrap().len(), all);
        assert_eq!(shape(&buf), (128, all, 0));
        assert!(buf.append(1).is_none());
        assert!(buf.append(0).is_some_and(|new| new.is_empty()));
        assert_eq!(buf.prepend(128).unwrap().len(), 128);
        assert_eq!(shape(&buf), (0, 128 + all, 0));
        assert!(buf.prepend(1).is_none());
        // The largest offset there is.
        assert!(buf.trim_front(128 + all));
        assert_eq!(shape(&buf), (128 + all, 0, 0));
        assert!(buf.append(1).is_none());
        assert!(buf.prepend(128 + all).is_some() && buf.truncate(1));
        assert_eq!(shape(&buf), (0, 1, 127 + all));
        assert!(!buf.truncate(2) && buf.truncate(1) && buf.truncate(0));
    }
}

#[test]
fn bytes_stay_where_they_are() {
    let host = Host::new();
    let pool = host.pool(1);
    let mut buf = packet(&pool, b"payload");
    buf.prepend(4).unwrap().copy_from_slice(b"head");
    buf.append(4).unwrap().copy_from_slice(b"tail");
    assert_eq!(buf.data(), b"headpayloadtail");
    assert!(buf.trim_front(2) && buf.truncate(11));
    assert_eq!(buf.data(), b"adpayloadta");
    buf.data_mut().reverse();
    assert_eq!(buf.data(), b"atdaolyapda");
    let at = buf.data_iova();
    let mut seen = [0; 11];
    host.memory.read(at, &mut seen).unwrap();
    assert_eq!(&seen, b"atdaolyapda");
}

#[test]
fn fill_replaces_all_or_nothing() {
    let host = Host::new();
    let pool = host.pool_of(1, 64);
    let mut buf = packet(&pool, &[1; 64]);
    assert!(buf.trim_front(60));
    assert!(!buf.fill(&[2; 65]));
    assert_eq!((buf.data(), buf.headroom()), ([1; 4].as_slice(), 188));
    assert!(buf.fill(&[2; 64]));
    assert_eq!((buf.data(), buf.headroom()), ([2; 64].as_slice(), 128));
    assert!(buf.fill(&[]));
    assert_eq!(shape(&buf), (128, 0, 64));
}

#[test]
fn a_buffer_from_the_pool_or_a_cache_is_like_new() {
    let host = Host::new();
    let pool = host.pool(1);
    let mut cache = pool.cache();
    let spoil = |mut buf: vfio_hal::dma::pool::Buf| {
        assert!(buf.fill(&[7; 100]) && buf.trim_front(50));
        buf.set_port(9);
        buf.set_user(u64::MAX);
        buf.set_tx_flags(TxFlags(u32::MAX));
        buf.set_header_lens(HeaderLens { l2: 14, l3: 20, l4: 20, outer_l2: 1, outer_l3: 1 });
        buf.set_mss(1460);
        buf.set_tx_vlan(5);
        buf.set_vlan_outer(6);
        assert_eq!((buf.tx_vlan(), buf.vlan_outer(), buf.mss(), buf.port()), (Some(5), 6, 1460, 9));
        buf
    };
    let check = |buf: &vfio_hal::dma::pool::Buf| {
        assert_eq!(shape(buf), (128, 0, ROOM as usize));
        assert_eq!((buf.port(), buf.user(), buf.tx_flags()), (0, 0, TxFlags::NONE));
        assert_eq!((buf.header_lens(), buf.mss(), buf.tx_vlan()), (HeaderLens::default(), 0, None));
        assert_eq!((buf.vlan_outer(), buf.mark(), buf.vlan(), buf.hash()), (0, None, None, None));
        assert_eq!((buf.timestamp(), buf.segment_count()), (None, 1));
    };
    drop(spoil(pool.alloc().unwrap()));
    let buf = cache.alloc().unwrap();
    check(&buf);
    cache.free(spoil(buf));
    let buf = cache.alloc().unwrap();
    check(&buf);
    cache.free(spoil(buf));
    cache.flush();
    check(&pool.alloc().unwrap());
}

#[test]
fn no_flag_makes_a_packet_look_segmented() {
    let host = Host::new();
    let pool = host.pool(2);
    let mut buf = packet(&pool, b"one");
    buf.set_tx_flags(TxFlags(u32::MAX));
    assert_eq!((buf.tx_flags(), buf.packet_len()), (TxFlags(u32::MAX >> 1), 3));
    buf.chain(packet(&pool, b"two"));
    buf.set_tx_flags(TxFlags::NONE);
    assert_eq!((buf.tx_flags(), buf.packet_len(), buf.segment_count()), (TxFlags::NONE, 6, 2));
}

#[test]
fn a_cache_takes_magazines_and_gives_back_what_is_too_much() {
    let host = Host::new();
    let pool = host.pool(300);
    let mut cache = pool.cache();
    assert_eq!((cache.len(), cache.is_empty(), pool.available()), (0, true, 300));
    let first = cache.alloc().unwrap();
    assert_eq!((cache.len(), pool.available()), (31, 300 - 32));
    cache.free(first);
    let mut bufs: Vec<_> = std::iter::from_fn(|| pool.alloc()).collect();
    assert_eq!(bufs.len(), 268);
    // 128 is full; then half of it goes at once.
    while cache.len() < 128 {
        cache.free(bufs.pop().unwrap());
    }
    assert_eq!(pool.available(), 0);
    cache.free(bufs.pop().unwrap());
    assert_eq!((cache.len(), pool.available()), (65, 64));
    cache.flush();
    assert_eq!((cache.len(), pool.available()), (0, 129));
    drop((cache, bufs));
    assert_eq!(pool.available(), 300);
}

#[test]
fn an_empty_pool_has_nothing_to_give_until_something_comes_back() {
    let host = Host::new();
    let pool = host.pool(3);
    let (mut one, mut two) = (pool.cache(), pool.cache());
    let buf = one.alloc().unwrap();
    assert_eq!((one.len(), two.alloc().is_none(), pool.alloc().is_none()), (2, true, true));
    one.flush();
    assert!(two.alloc().is_some());
    drop(buf);
    assert_eq!(pool.available() as usize + two.len(), 3);
}

#[test]
fn a_cache_gives_strangers_and_chains_to_their_own_pools() {
    let host = Host::new();
    let (mine, other) = (host.pool(8), host.pool(8));
    let mut cache = mine.cache();
    cache.free(other.alloc().unwrap());
    assert_eq!((cache.len(), other.available()), (0, 8));
    let mut mixed = packet(&mine, b"a");
    mixed.chain(packet(&other, b"b"));
    mixed.chain(packet(&mine, b"c"));
    cache.free(mixed);
    assert_eq!((cache.len(), mine.available(), other.available()), (0, 8, 8));
    assert!(Pool::owns(cache.pool(), &mine.alloc().unwrap()));
}
