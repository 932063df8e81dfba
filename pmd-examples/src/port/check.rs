//! What can be known to be wrong before anything is opened, said in the words of the command line.

use pmd_ixgbe::Config;

use crate::cli::PortArgs;
use crate::fault::Fault;

/// Receive queues that RSS spreads over: the table of the 82599 has entries of 4 bits (82599 datasheet 8.2.3.7.12), and the
/// 82576 has no more queues.
const MAX_RSS_QUEUES: u16 = 16;

/// Who holds buffers, besides rings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holders {
    /// Lcores, each with a burst in hand.
    pub(crate) lcores: usize,
    /// Packets that each stream of packets holds back.
    pub(crate) each_stream: u32,
}

impl Holders {
    /// Lcores, and nobody who holds packets back.
    pub(crate) fn lcores(lcores: usize) -> Holders {
        Holders { lcores, each_stream: 0 }
    }
}

/// Returns how many buffers the pool of `ports` ports gets, or why there can be no such ports.
pub(super) fn buffers(args: &PortArgs, ports: usize, holders: Holders) -> Result<u32, Fault> {
    if args.rxq > MAX_RSS_QUEUES && !args.disable_rss {
        return Err(Fault::Usage(format!(
            "--rxq {}: RSS spreads over at most {MAX_RSS_QUEUES} queues: use fewer, or --disable-rss",
            args.rxq
        )));
    }
    // A packet of the largest size takes this many buffers, whole KiB of them.
    let room = args.mbuf_size & !1023;
    let frame = u32::from(args.max_pkt_len);
    let segments = frame.div_ceil(room);
    if segments > args.rxd / 2 {
        return Err(Fault::Usage(format!(
            "a packet of --max-pkt-len {frame} takes {segments} buffers of --mbuf-size {}, more than half of --rxd {}: \
             raise --mbuf-size or --rxd",
            args.mbuf_size, args.rxd
        )));
    }
    // An lcore has a burst in hand, and each of its streams may hold one that did not fit on a ring.
    let streams = ports as u32 * u32::from(args.rxq);
    let bursts = (holders.lcores as u32 + streams) * u32::from(args.burst) * segments;
    let held = streams.saturating_mul(holders.each_stream).saturating_mul(segments);
    // Rings and lcores take the same of all drivers.
    let config = Config {
        rx_queues: args.rxq,
        tx_queues: args.txq,
        rx_ring: args.rxd,
        tx_ring: args.txd,
        ..Config::default()
    };
    let need = config.buffers().saturating_mul(ports as u32).saturating_add(bursts).saturating_add(held);
    match args.total_num_mbufs {
        None => Ok(need),
        Some(count) if count >= need => Ok(count),
        Some(count) => Err(Fault::Usage(format!(
            "--total-num-mbufs {count}: the rings, caches and bursts of {ports} ports need {need}: give at least that, or \
             leave it out"
        ))),
    }
}
