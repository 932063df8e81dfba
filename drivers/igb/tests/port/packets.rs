//! What the driver makes of descriptors, and descriptors of packets, as far as the 82576 has ways of its own.

use vfio_hal::dma::pool::{HeaderLens, RxFlags, TxFlags, Verdict};
use vfio_hal::ring::TxError;

use pmd_igb::desc::{rx, tx};

use crate::board::{Board, burst_of, small, take};

/// Bits of word 1 that the 82576 has elsewhere than the 82599 (7.1.5.2).
const L4E: u64 = 1 << 29;
const IPE: u64 = 1 << 30;
const RXE: u64 = 1 << 31;

#[test]
fn checksum_errors_are_where_this_device_has_them() {
    use Verdict::{Bad, Good, Unknown};
    let board = Board::new();
    let mut started = board.start(small());
    let mut cache = board.pool.cache();
    let checked = rx::L4CS | rx::IPCS;
    for (word, ip, l4) in [
        (0, Unknown, Unknown),
        (checked, Good, Good),
        (checked | L4E, Good, Bad),
        (checked | IPE, Bad, Good),
        (checked | L4E | IPE, Bad, Bad),
        (checked | RXE, Good, Good),
        (rx::IPCS | RXE | L4E, Good, Unknown),
    ] {
        assert!(board.receive(0, &[1; 60], 2048, [0, word]));
        let packet = take(&mut started.rx[0], &mut cache).pop().unwrap();
        assert_eq!((packet.ip_checksum(), packet.l4_checksum()), (ip, l4), "{word:#x}");
    }
    drop(cache);
    board.stop(started);
    board.assert_home();
}

#[test]
fn bits_that_mean_nothing_here_are_no_flags() {
    let board = Board::new();
    let mut started = board.start(small());
    let mut cache = board.pool.cache();
    // A flow's match, a time stamp, coalescing: on other devices.
    let word = rx::FLM | rx::TS | 1 << 19 | rx::VP | 0xa064 << rx::VLAN_SHIFT;
    assert!(board.receive(0, &[1; 60], 2048, [0x1234_5678 << 32 | 1, word]));
    let packet = take(&mut started.rx[0], &mut cache).pop().unwrap();
    assert_eq!(packet.rx_flags(), RxFlags::VLAN_STRIPPED);
    assert_eq!((packet.vlan(), packet.hash(), packet.mark()), (Some(0xa064), Some(0x1234_5678), None));
    assert_eq!(packet.timestamp(), None);
    drop((packet, cache));
    board.stop(started);
    board.assert_home();
}

#[test]
fn a_packet_over_several_buffers_is_one_chain() {
    let board = Board::new();
    let mut started = board.start(small());
    let mut cache = board.pool.cache();
    let bytes: Vec<u8> = (0..9018).map(|at| at as u8).collect();
    assert!(board.receive(0, &bytes, 2048, [0, 0]));
    let packet = take(&mut started.rx[0], &mut cache).pop().unwrap();
    assert_eq!((packet.segment_count(), packet.packet_len()), (5, 9018));
    let got: Vec<u8> = packet.segments().flat_map(|segment| segment.data().to_vec()).collect();
    assert_eq!(got, bytes);
    drop((packet, cache));
    board.stop(started);
    board.assert_home();
}

#[test]
fn offloads_become_a_context_and_data() {
    let board = Board::new();
    let mut started = board.start(small());
    let mut cache = board.pool.cache();
    let mut buf = board.buf(&[0; 1000]);
    buf.set_header_lens(HeaderLens { l2: 14, l3: 20, l4: 20, ..HeaderLens::default() });
    buf.set_mss(300);
    buf.set_tx_flags(TxFlags::TCP_SEGMENT | TxFlags::IPV4);
    let mut burst = burst_of([buf, board.buf(&[7; 60])]);
    assert_eq!(started.tx[0].tx_burst(&mut cache, &mut burst).unwrap(), 2);
    let sent = board.transmit(0);
    let (_, first, context) = &sent[0];
    let [lengths, command] = context.unwrap();
    assert_eq!(lengths, 14 << tx::MACLEN_SHIFT | 20);
    let tucmd = tx::TUCMD_IPV4 | tx::TUCMD_TCP | tx::DTYP_CONTEXT | tx::DEXT;
    assert_eq!(command, tucmd | 20 << tx::L4LEN_SHIFT | 300 << tx::MSS_SHIFT);
    let payload = 1000 - 54;
    let bits = tx::TSE | tx::IXSM | tx::TXSM | tx::IFCS | tx::DEXT | tx::DTYP_DATA | tx::EOP;
    assert_eq!(first & !tx::RS, bits | payload << tx::PAYLEN_SHIFT | 1000);
    assert_eq!(sent[1].0, [7; 60]);
    drop(cache);
    board.stop(started);
    board.assert_home();
}

#[test]
fn a_packet_over_9728_bytes_is_refused_and_kept() {
    let board = Board::new();
    let mut started = board.start(small());
    let mut cache = board.pool.cache();
    let chain = |len: usize| {
        let mut parts = vec![0; len].chunks(2000).map(|part| board.buf(part)).collect::<Vec<_>>().into_iter();
        let mut head = parts.next().unwrap();
        parts.for_each(|part| head.chain(part));
        head
    };
    let mut burst = burst_of([chain(9729)]);
    let error = started.tx[0].tx_burst(&mut cache, &mut burst).unwrap_err();
    assert_eq!(error, TxError::TooLong { len: 9729, max: 9728 });
    assert_eq!(burst.len(), 1);
    burst.clear();
    let mut burst = burst_of([chain(9728)]);
    assert_eq!(started.tx[0].tx_burst(&mut cache, &mut burst).unwrap(), 1);
    assert_eq!(board.transmit(0)[0].0.len(), 9728);
    drop(cache);
    board.stop(started);
    board.assert_home();
}
