//! `pmd gen`: send generated packets through a port and judge what comes back.

use std::time::{Duration, Instant};

use clap::Args;
use pmd_links::{Checker, Generator, Kind, Link, Spec, Verdict};
use vfio_hal::dma::pool::Packet;

use crate::cli::{Common, devices};
use crate::fault::Fault;
use crate::port::{self, Holders, Sources};
use crate::report::grouped;
use crate::signal::Stop;
use crate::single::{self, Queues, Work};
use crate::{out, output};

/// Send generated packets and count what comes back.
#[derive(Args)]
#[command(after_long_help = devices())]
pub(crate) struct GenArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// What to send: size=64..9018|imix,flows=N,rate=FRAMES/S,count=FRAMES,vlan=ID,dst=MAC,src=MAC
    #[arg(long, default_value = "size=64", value_name = "SPEC")]
    pub(crate) traffic: String,
}

/// The port of `pmd gen` when none is given: what it sends comes back.
const DEFAULT_VDEV: &str = "net_ixgbe0,link=loop";

struct Generate {
    generator: Generator,
    checker: Checker,
    start: Instant,
    frame: Vec<u8>,
    sent: u64,
    dropped: u64,
    received: u64,
    stopped: bool,
    room: usize,
}

impl Generate {
    fn send(&mut self, queues: &mut Queues<'_>) -> Result<bool, Fault> {
        let Some(queue) = queues.tx.first_mut().and_then(|port| port.first_mut()) else { return Ok(false) };
        let now = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        // Nothing is generated that the ring has no room for, so nothing is lost here.
        let room = queues.burst.room().min(queue.free() as usize);
        queue.reap(&mut queues.cache);
        for _ in 0..room {
            let Some(mut buf) = queues.cache.alloc() else { break };
            if !self.generator.receive(&mut self.frame, now)? {
                queues.cache.free(buf);
                break;
            }
            if !buf.fill(&self.frame) {
                let (len, room) = (self.frame.len(), self.room);
                return Err(Fault::Usage(format!(
                    "frames of {len} bytes do not fit into buffers of {room}: raise --mbuf-size"
                )));
            }
            if queues.burst.push(buf).is_err() {
                break;
            }
        }
        let made = queues.burst.len();
        let sent = queue
            .tx_burst(&mut queues.cache, &mut queues.burst)
            .map_err(|error| Fault::Run(error.to_string()))?;
        self.sent += sent as u64;
        self.dropped += (made - sent) as u64;
        queues.cache.free_all(&mut queues.burst);
        Ok(made != 0)
    }

    fn check(&mut self, packet: &Packet) {
        self.received += 1;
        self.frame.clear();
        packet.segments().for_each(|segment| self.frame.extend_from_slice(segment.data()));
        self.checker.check(&self.frame);
    }
}

impl Work for Generate {
    fn round(&mut self, queues: &mut Queues<'_>) -> Result<bool, Fault> {
        let mut busy = !self.done() && self.send(queues)?;
        for queue in queues.rx.iter_mut().flatten() {
            let received = queue.rx_burst(&mut queues.cache, &mut queues.burst);
            busy |= received.map_err(|error| Fault::Run(error.to_string()))? != 0;
            for buf in queues.burst.iter() {
                self.check(buf);
            }
            queues.cache.free_all(&mut queues.burst);
        }
        Ok(busy)
    }

    fn done(&self) -> bool {
        self.stopped || self.generator.exhausted()
    }

    fn stop(&mut self) {
        self.stopped = true;
    }

    fn expects_back(&self) -> bool {
        true
    }
}

/// Runs the command.
pub(crate) fn run(args: &GenArgs) -> Result<(), Fault> {
    let common = &args.common;
    let spec: Spec = format!("gen,{}", args.traffic).parse()?;
    let Kind::Generate { config, .. } = &spec.kind else {
        return Err(Fault::Usage("--traffic describes a generator, such as size=64,flows=16".into()));
    };
    let generator = Generator::new(config).map_err(|error| Fault::Usage(error.to_string()))?;
    let finite = config.count.is_some();
    let core = single::core(&common.env)?;
    let stop = Stop::on_signal()?;
    let sources = Sources::read(&common.env, &[DEFAULT_VDEV])?;
    let mut ports = port::open(&common.env, &common.ports, sources, Holders::lcores(1), &stop)?;
    let mut work = Generate {
        generator,
        checker: Checker::new(),
        start: Instant::now(),
        frame: Vec::new(),
        sent: 0,
        dropped: 0,
        received: 0,
        stopped: false,
        room: common.ports.mbuf_size as usize,
    };
    let default = (!finite).then_some(Duration::from_secs(5));
    let ended = single::run(core, common, &mut ports, &mut work, default, &stop);
    let result = ended.result.and(ports.stop());
    let Verdict { good, lost, reordered, duplicated, corrupt, foreign, .. } = work.checker.verdict();
    let Generate { sent, dropped, received, .. } = work;
    if common.run.json {
        let (seconds, error) = (ended.elapsed.as_secs_f64(), result.as_ref().err().map(Fault::to_string));
        output::json(&serde_json::json!({
            "seconds": seconds, "sent": sent, "tx_dropped": dropped, "received": received, "good": good,
            "lost": lost, "reordered": reordered, "duplicated": duplicated, "corrupt": corrupt, "foreign": foreign,
            "error": error,
        }))?;
    } else {
        out!("sent {}, not sent {}, received {}", grouped(sent), grouped(dropped), grouped(received));
        out!(
            "  good {good}, lost {lost}, reordered {reordered}, duplicated {duplicated}, corrupt {corrupt}, foreign {foreign}"
        );
    }
    result
}
