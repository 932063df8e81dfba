//! `pmd dump`: write received packets to a capture file.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use pmd_links::{CaptureFormat, Link, LinkError, PcapSink};
use vfio_hal::dma::pool::Packet;

use crate::cli::{Common, devices};
use crate::fault::Fault;
use crate::port::{self, Holders, Sources};
use crate::report::grouped;
use crate::signal::Stop;
use crate::single::{self, Queues, Work};
use crate::{out, output};

/// Write received packets to a capture file.
#[derive(Args)]
#[command(after_long_help = devices())]
pub(crate) struct DumpArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The file to write
    #[arg(short = 'w', long = "write", value_name = "FILE")]
    pub(crate) write: PathBuf,
    /// End after this many packets
    #[arg(short = 'c', long, value_name = "N")]
    pub(crate) count: Option<u64>,
}

struct Dump {
    file: PcapSink,
    start: std::time::Instant,
    frame: Vec<u8>,
    written: u64,
    limit: Option<u64>,
}

impl Dump {
    fn write(&mut self, packet: &Packet) -> Result<(), Fault> {
        let now = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.frame.clear();
        packet.segments().for_each(|segment| self.frame.extend_from_slice(segment.data()));
        // A file is never busy.
        let _ = self.file.transmit(&self.frame, now)?;
        self.written += 1;
        Ok(())
    }
}

impl Work for Dump {
    fn round(&mut self, queues: &mut Queues<'_>) -> Result<bool, Fault> {
        let mut busy = false;
        for queue in queues.rx.iter_mut().flatten() {
            let received = queue.rx_burst(&mut queues.cache, &mut queues.burst);
            busy |= received.map_err(|error| Fault::Run(error.to_string()))? != 0;
            for buf in queues.burst.iter() {
                if !self.done() {
                    self.write(buf)?;
                }
            }
            queues.cache.free_all(&mut queues.burst);
        }
        Ok(busy && !self.done())
    }

    fn done(&self) -> bool {
        self.limit.is_some_and(|limit| self.written >= limit)
    }
}

/// Runs the command.
pub(crate) fn run(args: &DumpArgs) -> Result<(), Fault> {
    let common = &args.common;
    let core = single::core(&common.env)?;
    let stop = Stop::on_signal()?;
    let sources = Sources::read(&common.env, &port::default_vdevs()[..1])?;
    let mut ports = port::open(&common.env, &common.ports, sources, Holders::lcores(1), &stop)?;
    let file = PcapSink::create(&args.write, CaptureFormat::default()).map_err(LinkError::from)?;
    let start = std::time::Instant::now();
    let mut dump = Dump { file, start, frame: Vec::new(), written: 0, limit: args.count };
    // What generates without end would fill the disk.
    let default = (args.count.is_none() && !common.env.names_ports()).then_some(Duration::from_secs(1));
    let ended = single::run(core, common, &mut ports, &mut dump, default, &stop);
    let flushed = dump.file.flush().map_err(Fault::from);
    let result = ended.result.and(flushed).and(ports.stop());
    let written = dump.written;
    if common.run.json {
        let (seconds, error) = (ended.elapsed.as_secs_f64(), result.as_ref().err().map(Fault::to_string));
        output::json(
            &serde_json::json!({ "file": args.write, "packets": written, "seconds": seconds, "error": error }),
        )?;
    } else {
        out!("{} packets written to {}", grouped(written), args.write.display());
    }
    result
}
