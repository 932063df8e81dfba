//! A port's life, and a look at the card.

use alloc::vec::Vec;

use pmd_igb::{Config, Failed, LinkConfig, Probed, Speeds, Started};
use vfio_hal::pmd::PortError;

use super::{Bench, Checked, Side, Wrong, ensure};
use crate::say;

/// A check that takes ports apart: if it fails there is nothing to go on with.
type Life = fn(Bench) -> Result<Bench, Wrong>;

pub(super) fn configs() -> [Config; 2] {
    [Config { rx_queues: 2, tx_queues: 2, ..Config::default() }, Config::default()]
}

pub(super) const CHECKS: [(&str, Life); 4] = [
    ("registers_are_dumped", registers_are_dumped),
    ("a_port_restarts", a_port_restarts),
    ("queues_of_another_port_do_not_stop_it", queues_of_another_port_do_not_stop_it),
    ("a_link_that_cannot_be_is_refused", a_link_that_cannot_be_is_refused),
];

/// What the card says of itself.
pub(super) fn inspect(probed: &mut Probed) -> Checked {
    let mac = probed.mac();
    let look = probed.inspect();
    let words = look.nvm()?;
    let sum = words[..64].iter().fold(0u16, |sum, word| sum.wrapping_add(*word));
    ensure!(sum == 0xbaba, "the first words add up to {sum:x}");
    let address: Vec<u8> = words[..3].iter().flat_map(|word| word.to_le_bytes()).collect();
    ensure!(address == mac.0, "the address is {mac}, the NVM has {address:x?}");
    let (version, part) = (look.nvm_version()?, look.part_number()?);
    say!("ok inspect: {} words, version {version}, part {part:?}, {:?}", words.len(), look.negotiation()?);
    Ok(())
}

fn a_port_restarts(mut bench: Bench) -> Result<Bench, Wrong> {
    for round in 0..8 {
        let frame = bench.frame(100 + round, round);
        // Something is on the rings, in both.
        bench.send(&frame)?;
        bench = with_b(bench, |side| {
            let Started { port, rx, tx } =
                side.port.restart(side.rx, side.tx).map_err(|Failed { error, .. }| error)?;
            Ok(Side { port, rx, tx })
        })?;
        bench.wait_for_links()?;
        let seen = bench.pass(&frame)?;
        ensure!(seen.bytes == frame, "round {round}: the port does not go on");
    }
    Ok(bench)
}

fn queues_of_another_port_do_not_stop_it(mut bench: Bench) -> Result<Bench, Wrong> {
    let other = bench.a.rx.pop();
    let before = bench.b.rx.len();
    bench.b.rx.extend(other);
    let mut refused = None;
    bench = with_b(bench, |side| match side.port.stop(side.rx, side.tx) {
        Ok(stopped) => Side::start(stopped),
        Err(Failed { error, back: pmd_igb::StopFailed::Running(started) }) => {
            refused = Some(error);
            let Started { port, rx, tx } = *started;
            Ok(Side { port, rx, tx })
        }
        Err(Failed { error, .. }) => Err(error),
    })?;
    ensure!(matches!(refused, Some(PortError::Invalid { .. })), "it was stopped: {refused:?}");
    let back = bench.b.rx.drain(before..);
    bench.a.rx.extend(back);
    let frame = bench.frame(100, 0);
    bench.pass(&frame)?;
    Ok(bench)
}

fn registers_are_dumped(mut bench: Bench) -> Result<Bench, Wrong> {
    let (mut count, mut enabled) = (0, 0);
    bench.b.port.dump_registers(&mut |info, _, value| {
        count += 1;
        if info.name == "RXDCTL" && value >> 25 & 1 == 1 {
            enabled += 1;
        }
    })?;
    ensure!(count > 700 && enabled == 1, "{count} registers, {enabled} receive queues are enabled");
    Ok(bench)
}

fn a_link_that_cannot_be_is_refused(mut bench: Bench) -> Result<Bench, Wrong> {
    let link = |speeds, autoneg| Config { link: LinkConfig { speeds, autoneg }, ..Config::default() };
    let wrong = [link(Speeds::GB10, true), link(Speeds::GB1, false), link(Speeds::ALL, false)];
    for config in wrong {
        let (space, pool) = (bench.space.clone(), bench.pool.clone());
        bench = with_b(bench, |side| {
            let probed = side.stop()?;
            let configured = probed.configure(&space, &pool, config).map_err(|Failed { error, .. }| error)?;
            match configured.start() {
                Ok(_) => Err(PortError::Invalid { what: "a link that cannot be was taken" }),
                Err(Failed { back, .. }) => {
                    let config = Config::default();
                    let probed = back.unconfigure();
                    Side::start(
                        probed.configure(&space, &pool, config).map_err(|Failed { error, .. }| error)?,
                    )
                }
            }
        })?;
    }
    bench.wait_for_links()?;
    let frame = bench.frame(100, 0);
    bench.pass(&frame)?;
    Ok(bench)
}

/// Does something with `b` that takes it and gives it back.
fn with_b(bench: Bench, act: impl FnOnce(Side) -> Result<Side, PortError>) -> Result<Bench, Wrong> {
    let Bench { a, b, space, pool, cache, clock } = bench;
    Ok(Bench { a, b: act(b)?, space, pool, cache, clock })
}
