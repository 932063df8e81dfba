//! `pmd dump`: write received packets to a capture file.

use std::time::Duration;

use pmd_links::{CaptureFormat, Link, PcapSink};
use vfio_hal::dma::pool::Packet;

use crate::cli::DumpArgs;
use crate::fault::Fault;
use crate::port;
use crate::report::grouped;
use crate::single::{self, Queues, Work};

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
    let mut ports = port::open(&args.env, &args.ports, &port::default_vdevs()[..1])?;
    let finite = ports.open.iter().all(|one| !one.plugged.endless);
    let file = PcapSink::create(&args.write, CaptureFormat::default())
        .map_err(|error| Fault::Run(error.to_string()))?;
    let mut dump =
        Dump { file, start: std::time::Instant::now(), frame: Vec::new(), written: 0, limit: args.count };
    // What generates without end would fill the disk.
    let default = (!finite && args.count.is_none() && args.env.vdevs.is_empty()).then_some(Duration::from_secs(1));
    single::run(&args.env, &args.run, args.ports.burst, &mut ports, &mut dump, default)?;
    let written = dump.written;
    drop(dump);
    ports.stop()?;
    let path = args.write.display();
    match args.run.json {
        true => println!("{}", serde_json::json!({ "file": args.write, "packets": written })),
        false => println!("{} packets written to {path}", grouped(written)),
    }
    Ok(())
}
