//! Packets longer than a buffer, and many queues.

use pmd_ixgbe::Config;
use pmd_ixgbe::rss::RssConfig;
use vfio_hal::dma::pool::Burst;
use vfio_hal::pmd::PortError;

use crate::frames::{Frame, Ip, L4, number_of, pattern};
use crate::rig::{Rig, bytes, model_config, queues, small};

#[test]
fn jumbo_frames_come_as_chains_and_go_as_chains() {
    let mut rig = Rig::new();
    let mut started = rig.start(Config { mtu: 9000, ..small() });
    // Around every multiple of a buffer, and the longest.
    let lens = [1518, 2047, 2048, 2049, 4095, 4096, 4097, 6144, 6145, 8192, 8193, 9014];
    for (number, len) in lens.into_iter().enumerate() {
        let frame = Frame::numbered(len, number as u32);
        let mut packets = rig.deliver(&mut started.rx[0], &frame);
        assert_eq!(packets.len(), 1, "{len}");
        let packet = packets.remove(0);
        assert_eq!((packet.segment_count(), packet.packet_len()), (len.div_ceil(2048), len));
        assert_eq!(bytes(&packet), frame);
        assert_eq!(packet.l4_checksum(), vfio_hal::dma::pool::Verdict::Good);
        rig.send(&mut started.tx[0], [packet]);
        assert_eq!(rig.sent(), [frame]);
    }
    rig.stop(started);
}

#[test]
fn the_mtu_changes_while_packets_flow() {
    let mut rig = Rig::new();
    let mut started = rig.start(small());
    let mut accepted = 0;
    for (mtu, longest) in
        [(1500u16, 1514), (9000, 9014), (1000, 1514), (9710, 9724), (1500, 1514), (4000, 4014)]
    {
        started.port.set_mtu(mtu).unwrap();
        assert_eq!(started.port.info().mtu, mtu);
        for len in [64, longest - 1, longest] {
            let frame = Frame::numbered(len, len as u32);
            let packets = rig.deliver(&mut started.rx[0], &frame);
            assert_eq!(packets.iter().map(bytes).collect::<Vec<_>>(), [frame], "MTU {mtu}, {len} bytes");
            accepted += 1;
        }
        let packets = rig.deliver(&mut started.rx[0], &Frame::numbered(longest + 1, 0));
        assert!(packets.is_empty(), "MTU {mtu}");
    }
    for mtu in [0, 67, 15_855, u16::MAX] {
        let error = started.port.set_mtu(mtu).unwrap_err();
        assert!(matches!(error, PortError::OutOfRange { .. }), "{error}");
    }
    assert_eq!(started.port.info().mtu, 4000);
    let stats = started.port.stats().unwrap();
    assert_eq!((stats.ipackets, stats.ierrors), (accepted, 6));
    rig.stop(started);
}

#[test]
fn a_chain_that_the_ring_has_no_room_for_waits() {
    // 64 descriptors are 12 packets of 5 buffers and a bit.
    let mut rig = Rig::new();
    let mut started = rig.start(Config { mtu: 9000, drop_enable: Some(false), ..small() });
    // All of them fit into the device's packet buffer of 512 KiB.
    for number in 0..58 {
        rig.inject(&Frame::numbered(9014, number));
    }
    let packets = rig.received(&mut started.rx[0]);
    let numbers: Vec<_> = packets.iter().map(|packet| number_of(&bytes(packet))).collect();
    assert_eq!(numbers, Vec::from_iter(0..58));
    drop(packets);
    assert_eq!(started.port.stats().unwrap().imissed, 0);
    rig.stop(started);
}

#[test]
fn up_to_64_queues_send_and_16_receive() {
    for count in [1, 2, 3, 16, 17, 33, 64] {
        let mut rig = Rig::with(model_config(), 24_000);
        let rss = (count <= 16).then(RssConfig::default);
        let mut started = rig.start(Config { rss, ..queues(count, count) });
        assert_eq!((started.rx.len(), started.tx.len()), (count.into(), count.into()));
        let mut frames = Vec::new();
        for (number, tx) in started.tx.iter_mut().enumerate() {
            assert_eq!(tx.id() as usize, number);
            let frame = Frame::numbered(100, number as u32);
            rig.send(tx, [rig.buf(&frame), rig.buf(&frame)]);
            frames.extend([frame.clone(), frame]);
        }
        let mut sent = rig.sent();
        sent.sort_by_key(|frame| number_of(frame));
        assert_eq!(sent, frames);
        // Flows keep their queue, and every queue has some.
        let flow = |flow: u16| {
            let ip = Ip::V4([10, 0, (flow >> 8) as u8, flow as u8], [10, 9, 9, 9]);
            Frame { ip, ports: (flow, 80), payload: pattern(40, flow.into()), ..Frame::new(L4::Tcp) }.bytes()
        };
        let mut places = vec![None; 300];
        for round in 0..3 {
            for number in 0..300 {
                rig.inject(&flow(number));
                if number % 30 == 29 {
                    for queue in &mut started.rx {
                        for packet in rig.received(queue) {
                            let data = packet.data();
                            let number = u16::from_be_bytes([data[34], data[35]]);
                            assert_eq!(data, flow(number));
                            let place = &mut places[number as usize];
                            assert_eq!(*place.get_or_insert(queue.id()), queue.id(), "round {round}");
                        }
                    }
                }
            }
        }
        let mut used: Vec<u16> = places.into_iter().map(|place| place.expect("a packet is lost")).collect();
        used.sort();
        used.dedup();
        let expected = if count <= 16 { count } else { 1 };
        assert_eq!(used, Vec::from_iter(0..expected));
        let stats = started.port.stats().unwrap();
        assert_eq!((stats.ipackets, stats.opackets), (900, 2 * u64::from(count)));
        assert_eq!((stats.imissed, stats.ierrors, stats.rx_nombuf, stats.oerrors), (0, 0, 0, 0));
        rig.stop(started);
    }
}

#[test]
fn what_waits_can_be_counted() {
    let mut rig = Rig::new();
    let mut started = rig.start(small());
    assert_eq!(started.rx[0].pending(64), 0);
    for number in 0..20 {
        rig.inject(&Frame::numbered(64, number));
    }
    rig.run();
    assert_eq!(
        (started.rx[0].pending(10), started.rx[0].pending(64), started.rx[0].pending(u32::MAX)),
        (10, 20, 20)
    );
    let mut cache = rig.pool.cache();
    let mut burst = Burst::new(8);
    assert_eq!(started.rx[0].rx_burst(&mut cache, &mut burst), Ok(8));
    assert_eq!(started.rx[0].pending(64), 12);
    // What was sent is seen when it is reaped.
    let free = started.tx[0].free();
    assert_eq!(started.tx[0].tx_burst(&mut cache, &mut burst), Ok(8));
    assert_eq!(started.tx[0].free(), free - 8);
    drop((cache, burst));
    rig.stop(started);
}
