//! Real traffic of the kernel's stack (`data/make-traffic`) through the tool, byte by byte.

use std::path::{Path, PathBuf};

use super::pcap::{self, Files, padded};
use super::support::{forward, number};

fn traffic() -> Vec<Vec<u8>> {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/traffic.pcap");
    pcap::read(&path)
}

fn is_tagged(frame: &[u8]) -> bool {
    frame[12..14] == [0x81, 0x00]
}

#[test]
fn the_capture_has_what_it_must() {
    let frames = traffic();
    let has =
        |what: &str, found: fn(&[u8]) -> bool| assert!(frames.iter().any(|frame| found(frame)), "no {what}");
    has("ARP", |frame| frame[12..14] == [8, 6]);
    has("ping", |frame| frame[12..14] == [8, 0] && frame[23] == 1);
    has("TCP", |frame| frame[12..14] == [8, 0] && frame[23] == 6);
    has("UDP", |frame| frame[12..14] == [8, 0] && frame[23] == 17);
    has("IP fragments", |frame| frame[12..14] == [8, 0] && frame[20] & 0x20 != 0);
    has("TCP over IPv6", |frame| frame[12..14] == [0x86, 0xdd] && frame[20] == 6);
    has("ping over IPv6", |frame| frame[12..14] == [0x86, 0xdd] && frame[20] == 58);
    has("VLAN", is_tagged);
    has("jumbo frames", |frame| frame.len() > 8_900);
    has("short frames", |frame| frame.len() < 60);
}

#[test]
fn it_comes_out_complete_in_order_and_unchanged() {
    let frames: Vec<_> = traffic().iter().map(|frame| padded(frame)).collect();
    for more in
        ["", "--models threads", "--burst 1 --rxd 64 --txd 64", "--mbuf-size 1024", "--mbuf-size 16384"]
    {
        let files = Files::new(&traffic());
        let report = forward(&format!("{} --max-pkt-len 9018 {more}", files.one_port()));
        assert_eq!(number(&report, "/total/tx_packets"), frames.len() as u64);
        assert!(files.out() == frames, "{more}: not what went in");
    }
}

#[test]
fn modes_change_the_addresses_only() {
    let files = Files::new(&traffic());
    forward(&format!("{} --max-pkt-len 9018 --forward-mode macswap", files.one_port()));
    let swapped = |frame: &Vec<u8>| padded(&[&frame[6..12], &frame[..6], &frame[12..]].concat());
    assert!(files.out() == traffic().iter().map(swapped).collect::<Vec<_>>());
}

#[test]
fn vlan_strip_takes_the_tags_only() {
    let frames = traffic();
    assert!(frames.iter().any(|frame| is_tagged(frame)));
    let files = Files::new(&frames);
    forward(&format!("{} --max-pkt-len 9018 --enable-hw-vlan-strip", files.one_port()));
    let stripped = |frame: &Vec<u8>| match is_tagged(frame) {
        true => padded(&[&frame[..12], &frame[16..]].concat()),
        false => padded(frame),
    };
    let expected: Vec<_> = frames.iter().map(stripped).collect();
    assert!(files.out() == expected);
}

#[test]
fn frames_beyond_the_longest_are_dropped_and_counted() {
    let frames = traffic();
    let fits = |frame: &&Vec<u8>| frame.len() <= 1514 + if is_tagged(frame) { 4 } else { 0 };
    let kept: Vec<_> = frames.iter().filter(fits).map(|frame| padded(frame)).collect();
    assert!(kept.len() < frames.len());
    let files = Files::new(&frames);
    let report = forward(&files.one_port());
    assert!(files.out() == kept);
    assert_eq!(number(&report, "/ports/0/stats/ierrors"), (frames.len() - kept.len()) as u64);
}
