//! What happens to a burst of packets.

use std::sync::Arc;

use vfio_hal::dma::pool::{Burst, Cache};
use vfio_hal::pmd::MacAddr;

use super::csum::{self, Bad};
use super::noisy::Noisy;
use super::options::{FwdArgs, Mode, NoisyArgs, Offload};
use super::{icmpecho, swap};
use crate::fault::Fault;
use crate::port::Ports;

/// A mode with all that it needs. Clones share it.
#[derive(Clone)]
pub(crate) struct Action(Arc<Inner>);

struct Inner {
    mode: Mode,
    /// Each port's own address, and the one that packets sent by it go to.
    addresses: Vec<(MacAddr, MacAddr)>,
    /// The frame that modes txonly and flowgen send.
    template: Vec<u8>,
    /// Flows of mode flowgen, and packets in a row of one.
    flows: (u32, u32),
    offload: Offload,
    noisy: NoisyArgs,
}

/// What a stream keeps from burst to burst.
#[derive(Default)]
pub(crate) struct State {
    /// Packets made in mode flowgen.
    made: u64,
    /// Wrong checksums found in mode csum.
    pub(crate) bad: Bad,
    noisy: Option<Noisy>,
}

impl State {
    /// Returns how many packets it holds back.
    pub(crate) fn waiting(&self) -> usize {
        self.noisy.as_ref().map_or(0, Noisy::waiting)
    }
}

impl Action {
    pub(crate) fn new(args: &FwdArgs, ports: &Ports) -> Action {
        let address = |(number, one): (usize, &crate::port::Open)| {
            let given = args.eth_peer.iter().rev().find(|(port, _)| *port == number).map(|(_, mac)| *mac);
            (one.port.info().mac, given.unwrap_or(MacAddr([0x02, 0, 0, 0, 0, number as u8])))
        };
        let addresses = ports.open.iter().enumerate().map(address).collect();
        let template = udp_frame(args.txpkts.into());
        let flows = (args.flowgen_flows, args.flowgen_clones);
        let mode = args.forward_mode;
        Action(Arc::new(Inner { mode, addresses, template, flows, offload: args.csum, noisy: args.noisy }))
    }

    /// Returns what a new stream keeps.
    pub(crate) fn state(&self) -> Result<State, Fault> {
        let noisy = match self.0.mode {
            Mode::Noisy => Some(Noisy::new(&self.0.noisy)?),
            _ => None,
        };
        Ok(State { noisy, ..State::default() })
    }

    /// Returns where packets of `port` go whose peer is `peer`: answers go back where they came from.
    pub(crate) fn sends_to(&self, port: usize, peer: usize) -> usize {
        if self.0.mode == Mode::Icmpecho { port } else { peer }
    }

    /// Returns whether packets come from receive queues.
    pub(crate) fn receives(&self) -> bool {
        self.0.mode != Mode::Txonly
    }

    /// Returns whether packets are made here.
    pub(crate) fn generates(&self) -> bool {
        matches!(self.0.mode, Mode::Txonly | Mode::Flowgen)
    }

    /// Returns whether packets go out.
    pub(crate) fn sends(&self) -> bool {
        self.0.mode != Mode::Rxonly
    }

    /// Fills `burst` with packets to send; returns how many.
    pub(crate) fn generate(&self, state: &mut State, cache: &mut Cache, burst: &mut Burst) -> usize {
        let mut made = 0;
        while burst.room() != 0 {
            let Some(mut buf) = cache.alloc() else { break };
            // The template was made to fit.
            if !buf.fill(&self.0.template) {
                break;
            }
            if self.0.mode == Mode::Flowgen {
                let (flows, clones) = self.0.flows;
                set_flow(buf.data_mut(), (state.made / u64::from(clones) % u64::from(flows)) as u32);
                state.made += 1;
            }
            if burst.push(buf).is_err() {
                break;
            }
            made += 1;
        }
        made
    }

    /// Lets packets that were held back go, when it is time or `all` must.
    pub(crate) fn release(&self, state: &mut State, burst: &mut Burst, all: bool) {
        if let Some(noisy) = &mut state.noisy {
            noisy.pass(burst, all);
        }
    }

    /// Does to the packets that go out on port `to` what the mode says. What it drops leaves the burst.
    pub(crate) fn apply(&self, state: &mut State, to: usize, burst: &mut Burst, cache: &mut Cache) {
        let (own, peer) = self.0.addresses.get(to).copied().unwrap_or_default();
        match self.0.mode {
            Mode::Io | Mode::Txonly => {}
            Mode::Mac => burst.iter_mut().for_each(|buf| set_addresses(buf.data_mut(), own, peer)),
            Mode::Csum => {
                for buf in burst.iter_mut() {
                    state.bad.count(buf);
                    set_addresses(buf.data_mut(), own, peer);
                    csum::renew(buf, self.0.offload);
                }
            }
            Mode::FiveTupleSwap => burst.iter_mut().for_each(|buf| swap::turn(buf.data_mut())),
            Mode::Noisy => self.release(state, burst, false),
            Mode::Macswap => {
                for buf in burst.iter_mut() {
                    if let Some(header) = buf.data_mut().first_chunk_mut::<12>() {
                        header.rotate_left(6);
                    }
                }
            }
            Mode::Rxonly | Mode::Flowgen => cache.free_all(burst),
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

fn set_addresses(frame: &mut [u8], own: MacAddr, peer: MacAddr) {
    if let Some(header) = frame.first_chunk_mut::<12>() {
        header[..6].copy_from_slice(&peer.0);
        header[6..].copy_from_slice(&own.0);
    }
}

/// Where the IPv4 header of a generated frame starts.
const IP: usize = 14;

/// Sends a generated frame to the address 198.19.0.0 + `flow`, so that receivers and switches see another flow.
fn set_flow(frame: &mut [u8], flow: u32) {
    let Some(ip) = frame.get_mut(IP..IP + 20) else { return };
    let [high, low] = (flow as u16).to_be_bytes();
    ip[16..].copy_from_slice(&[198, 19, high, low]);
    ip[10..12].fill(0);
    let sum = icmpecho::checksum(ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// Returns a UDP datagram of `len` bytes without check sequence, with testpmd's addresses: 198.18.0.1:9 to 198.18.0.2:9.
fn udp_frame(len: usize) -> Vec<u8> {
    const IPV4: usize = 20;
    let mut frame = vec![0; len];
    let ip_len = (len - IP) as u16;
    frame[..12].copy_from_slice(&[2, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0xff]);
    frame[12..14].copy_from_slice(&[0x08, 0x00]);
    let mut ip = [0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 198, 18, 0, 1, 198, 18, 0, 2];
    ip[2..4].copy_from_slice(&ip_len.to_be_bytes());
    let sum = icmpecho::checksum(&ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    frame[IP..IP + IPV4].copy_from_slice(&ip);
    let udp = [0, 9, 0, 9, 0, 0, 0, 0];
    frame[IP + IPV4..IP + IPV4 + 8].copy_from_slice(&udp);
    frame[IP + IPV4 + 4..IP + IPV4 + 6].copy_from_slice(&(ip_len - IPV4 as u16).to_be_bytes());
    frame
}
