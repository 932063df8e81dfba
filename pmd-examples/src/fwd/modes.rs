//! What happens to a burst of packets.

use std::sync::Arc;

use vfio_hal::dma::pool::{Burst, Cache};
use vfio_hal::pmd::MacAddr;

use super::icmpecho;
use super::options::{FwdArgs, Mode};
use crate::port::Ports;

/// A mode with all that it needs. Clones share it.
#[derive(Clone)]
pub(crate) struct Action(Arc<Inner>);

struct Inner {
    mode: Mode,
    /// Each port's own address, and the one that packets sent by it go to.
    addresses: Vec<(MacAddr, MacAddr)>,
    /// The frame that mode txonly sends.
    template: Vec<u8>,
}

impl Action {
    pub(crate) fn new(args: &FwdArgs, ports: &Ports) -> Action {
        let address = |(number, one): (usize, &crate::port::Open)| {
            let given = args.eth_peer.iter().rev().find(|(port, _)| *port == number).map(|(_, mac)| *mac);
            (one.port.info().mac, given.unwrap_or(MacAddr([0x02, 0, 0, 0, 0, number as u8])))
        };
        let addresses = ports.open.iter().enumerate().map(address).collect();
        let template = udp_frame(args.txpkts.into());
        Action(Arc::new(Inner { mode: args.forward_mode, addresses, template }))
    }

    /// Returns where packets of `port` go whose peer is `peer`: answers go back where they came from.
    pub(crate) fn sends_to(&self, port: usize, peer: usize) -> usize {
        if self.0.mode == Mode::Icmpecho { port } else { peer }
    }

    /// Returns whether packets come from receive queues.
    pub(crate) fn receives(&self) -> bool {
        self.0.mode != Mode::Txonly
    }

    /// Returns whether packets go out.
    pub(crate) fn sends(&self) -> bool {
        self.0.mode != Mode::Rxonly
    }

    /// Fills `burst` with packets to send; returns how many.
    pub(crate) fn generate(&self, cache: &mut Cache, burst: &mut Burst) -> usize {
        let mut made = 0;
        while burst.room() != 0 {
            let Some(mut buf) = cache.alloc() else { break };
            // The template was made to fit.
            if !buf.fill(&self.0.template) || burst.push(buf).is_err() {
                break;
            }
            made += 1;
        }
        made
    }

    /// Does to the packets that go out on port `to` what the mode says. What it drops leaves the burst.
    pub(crate) fn apply(&self, to: usize, burst: &mut Burst, cache: &mut Cache) {
        let (own, peer) = self.0.addresses.get(to).copied().unwrap_or_default();
        match self.0.mode {
            Mode::Io | Mode::Txonly => {}
            Mode::Mac => {
                for buf in burst.iter_mut() {
                    if let Some(header) = buf.data_mut().first_chunk_mut::<12>() {
                        header[..6].copy_from_slice(&peer.0);
                        header[6..].copy_from_slice(&own.0);
                    }
                }
            }
            Mode::Macswap => {
                for buf in burst.iter_mut() {
                    if let Some(header) = buf.data_mut().first_chunk_mut::<12>() {
                        header.rotate_left(6);
                    }
                }
            }
            Mode::Rxonly => cache.free_all(burst),
            Mode::Icmpecho => {
                // Each packet once round the burst: an answer goes to the end, the rest to the pool.
                for _ in 0..burst.len() {
                    let Some(mut buf) = burst.take() else { break };
                    if buf.next().is_none() && icmpecho::answer(buf.data_mut(), own) {
                        // There is room for what was just taken out, once that is made use of.
                        burst.room();
                        let _ = burst.push(buf);
                    } else {
                        cache.free(buf);
                    }
                }
            }
        }
    }
}

/// Returns a UDP datagram of `len` bytes without check sequence, with testpmd's addresses: 198.18.0.1:9 to 198.18.0.2:9.
fn udp_frame(len: usize) -> Vec<u8> {
    const ETHERNET: usize = 14;
    const IPV4: usize = 20;
    let mut frame = vec![0; len];
    let ip_len = (len - ETHERNET) as u16;
    frame[..12].copy_from_slice(&[2, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0xff]);
    frame[12..14].copy_from_slice(&[0x08, 0x00]);
    let mut ip = [0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 198, 18, 0, 1, 198, 18, 0, 2];
    ip[2..4].copy_from_slice(&ip_len.to_be_bytes());
    let sum = icmpecho::checksum(&ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    frame[ETHERNET..ETHERNET + IPV4].copy_from_slice(&ip);
    let udp = [0, 9, 0, 9, 0, 0, 0, 0];
    frame[ETHERNET + IPV4..ETHERNET + IPV4 + 8].copy_from_slice(&udp);
    frame[ETHERNET + IPV4 + 4..ETHERNET + IPV4 + 6].copy_from_slice(&(ip_len - IPV4 as u16).to_be_bytes());
    frame
}
