//! Which frames come in.

use pmd_igb::Config;
use vfio_hal::pmd::{MacAddr, PortError};

use super::{Bench, Checked, Group, Wrong, ensure, frames};

pub(super) const GROUP: Group = Group {
    configs: || [Config::default(), Config::default()],
    checks: &[
        ("frames_of_all_sizes_pass", frames_of_all_sizes_pass),
        ("unicast_filter", unicast_filter),
        ("multicast_filter", multicast_filter),
        ("promiscuous", promiscuous),
        ("own_address", own_address),
        ("vlan_filter", vlan_filter),
        ("vlan_strip_and_insert", vlan_strip_and_insert),
        ("mtu_and_scattered_frames", mtu_and_scattered_frames),
    ],
};

const STRANGER: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x77]);

fn frames_of_all_sizes_pass(bench: &mut Bench) -> Checked {
    for len in 60..=1514 {
        let frame = bench.frame(len, len);
        let seen = bench.pass(&frame)?;
        ensure!(seen.bytes == frame && seen.segments == 1, "a frame of {len} bytes changed on its way");
    }
    Ok(())
}

fn unicast_filter(bench: &mut Bench) -> Checked {
    let frame = frames::plain(STRANGER, bench.a.mac(), 100, 1);
    bench.lose(&frame)?;
    bench.b.port.add_mac(STRANGER)?;
    bench.pass(&frame)?;
    bench.b.port.remove_mac(STRANGER)?;
    bench.lose(&frame)?;
    // The device has 24 entries; the first is the port's own.
    let other = |number: u8| MacAddr([2, 0, 0, 0, 1, number]);
    for number in 0..23 {
        bench.b.port.add_mac(other(number))?;
    }
    let full = bench.b.port.add_mac(other(23));
    ensure!(
        matches!(full, Err(PortError::TableFull { capacity: 24, .. })),
        "the table is not full: {full:?}"
    );
    for number in 0..23 {
        bench.pass(&frames::plain(other(number), bench.a.mac(), 60, 0))?;
        bench.b.port.remove_mac(other(number))?;
        bench.lose(&frames::plain(other(number), bench.a.mac(), 60, 0))?;
    }
    ensure!(bench.b.port.remove_mac(STRANGER).is_err(), "an address that is not there was removed");
    ensure!(bench.b.port.add_mac(MacAddr::BROADCAST).is_err(), "broadcast was taken for a station");
    Ok(())
}

fn multicast_filter(bench: &mut Bench) -> Checked {
    let (one, other) = (MacAddr([1, 0, 0x5e, 0, 0, 1]), MacAddr([0x33, 0x33, 0, 0, 0xab, 0xcd]));
    let to = |bench: &Bench, group| frames::plain(group, bench.a.mac(), 80, 3);
    let (to_one, to_other) = (to(bench, one), to(bench, other));
    bench.pass(&to(bench, MacAddr::BROADCAST))?;
    bench.lose(&to_one)?;
    bench.b.port.set_multicast(&[one])?;
    bench.pass(&to_one)?;
    bench.lose(&to_other)?;
    bench.b.port.set_multicast(&[other])?;
    bench.lose(&to_one)?;
    bench.pass(&to_other)?;
    bench.b.port.set_all_multicast(true)?;
    bench.pass(&to_one)?;
    bench.b.port.set_all_multicast(false)?;
    bench.b.port.set_multicast(&[])?;
    bench.lose(&to_other)?;
    ensure!(bench.b.port.set_multicast(&[STRANGER]).is_err(), "a station was taken for a group");
    Ok(())
}

fn promiscuous(bench: &mut Bench) -> Checked {
    let frame = frames::plain(STRANGER, bench.a.mac(), 100, 1);
    bench.b.port.set_promiscuous(true)?;
    bench.pass(&frame)?;
    bench.pass(&frames::plain(MacAddr([1, 2, 3, 4, 5, 6]), bench.a.mac(), 100, 1))?;
    bench.b.port.set_promiscuous(false)?;
    bench.lose(&frame)
}

fn own_address(bench: &mut Bench) -> Checked {
    let old = bench.b.mac();
    let (to_old, to_new) = (bench.frame(64, 0), frames::plain(STRANGER, bench.a.mac(), 64, 0));
    bench.b.port.set_mac(STRANGER)?;
    bench.pass(&to_new)?;
    bench.lose(&to_old)?;
    bench.b.port.set_mac(old)?;
    bench.pass(&to_old)?;
    bench.lose(&to_new)
}

fn vlan_filter(bench: &mut Bench) -> Checked {
    let plain = bench.frame(64, 0);
    let (in_100, in_4095) = (frames::tagged(&plain, 0xa064), frames::tagged(&plain, 0x0fff));
    bench.pass(&in_100)?;
    bench.b.port.set_vlan_filter(true)?;
    bench.lose(&in_100)?;
    bench.pass(&plain)?;
    bench.b.port.set_vlan(100, true)?;
    bench.b.port.set_vlan(4095, true)?;
    bench.pass(&in_100)?;
    bench.pass(&in_4095)?;
    bench.b.port.set_vlan(100, false)?;
    bench.lose(&in_100)?;
    // Who wants all gets all.
    bench.b.port.set_promiscuous(true)?;
    bench.pass(&in_100)?;
    bench.b.port.set_promiscuous(false)?;
    bench.lose(&in_100)?;
    bench.b.port.set_vlan_filter(false)?;
    bench.pass(&in_100)?;
    ensure!(bench.b.port.set_vlan(4096, true).is_err(), "there is no VLAN 4096");
    Ok(())
}

fn vlan_strip_and_insert(bench: &mut Bench) -> Checked {
    use vfio_hal::dma::pool::TxFlags;
    let plain = bench.frame(64, 9);
    let tagged = frames::tagged(&plain, 0xa064);
    let seen = bench.pass(&tagged)?;
    ensure!(
        seen.bytes == tagged && seen.vlan.is_none(),
        "a tag was taken out that must stay: {:?}",
        seen.vlan
    );
    bench.b.port.set_vlan_strip(true)?;
    let seen = bench.pass(&tagged)?;
    ensure!(seen.bytes == plain && seen.vlan == Some(0xa064), "the tag is {:?}", seen.vlan);
    let queue = bench.b.rx[0].set_vlan_strip(false);
    ensure!(matches!(queue, Err(PortError::Unsupported { .. })), "one queue alone: {queue:?}");
    bench.b.rx[0].set_vlan_strip(true)?;
    bench.b.port.set_vlan_strip(false)?;
    let mut buf = bench.buf(&plain)?;
    buf.set_tx_vlan(0x6123);
    buf.set_tx_flags(TxFlags::VLAN_INSERT);
    let seen = bench.pass_buf(buf)?;
    ensure!(seen.bytes == frames::tagged(&plain, 0x6123), "no tag was put in");
    Ok(())
}

fn mtu_and_scattered_frames(bench: &mut Bench) -> Checked {
    // The model lets whole frames of 1,500 bytes pass, with a tag or without.
    let longest = bench.frame(1514, 1);
    bench.pass(&frames::tagged(&longest, 5))?;
    bench.lose(&bench.frame(1519, 1))?;
    for mtu in [2000, 4000, 9000, 9706] {
        bench.a.port.set_mtu(mtu)?;
        bench.b.port.set_mtu(mtu)?;
        ensure!(bench.b.port.info().mtu == mtu, "the MTU is {}", bench.b.port.info().mtu);
        // Sent from one buffer where it fits, and from many.
        for most in [2048, 300] {
            let frame = bench.frame(usize::from(mtu) + 14, 7);
            let buf = bench.chain(&frame, most)?;
            let seen = bench.pass_buf(buf)?;
            ensure!(seen.bytes == frame, "a frame of MTU {mtu} changed on its way");
            ensure!(seen.segments == frame.len().div_ceil(2048), "it came in {} pieces", seen.segments);
        }
        if mtu < 9000 {
            bench.lose(&bench.frame(usize::from(mtu) + 14 + 9, 7))?;
        }
    }
    let refused: Result<(), Wrong> = bench.b.port.set_mtu(9707).map_err(Wrong::from);
    ensure!(refused.is_err(), "an MTU of 9,707 was taken");
    bench.a.port.set_mtu(1500)?;
    bench.b.port.set_mtu(1500)?;
    bench.lose(&bench.frame(1519, 1))?;
    bench.pass(&longest)?;
    Ok(())
}
