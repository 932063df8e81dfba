//! `stream`: work for the stream accelerator, checked when it comes back.

use std::time::{Duration, Instant};

use clap::Args;
use pmd_afu::accel::Accelerator;
use pmd_afu::accel::stream::{Command, Queue, Stream, outcome};
use pmd_afu::regs::stream::Operation;
use pmd_afu::{Filter, Sharing};
use serde_json::json;
use vfio_hal::dma::pool::{Burst, Pool};
use vfio_hal::dma::{DmaAccess, RegionOptions};
use vfio_hal::ring::{Completed, Work, WorkError};

use super::session::Session;
use crate::fault::Fault;
use crate::output;

/// Work given and taken at a time.
const BURST: usize = 32;
/// How long nothing may come back.
const PATIENCE: Duration = Duration::from_secs(5);

/// Options of `stream`.
#[derive(Args)]
pub(crate) struct StreamArgs {
    /// The accelerator of this port [default: the first that fits]
    #[arg(long, value_name = "PORT")]
    port: Option<u8>,
    /// Pieces of work
    #[arg(short = 'n', long, default_value_t = 10_000, value_name = "COUNT")]
    count: u64,
    /// Bytes of a piece
    #[arg(long, default_value_t = 4096, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..=65536))]
    size: u32,
    /// Work descriptors of the queue
    #[arg(long, default_value_t = 256, value_name = "COUNT", value_parser = crate::cli::parse::ring_size)]
    ring: u32,
}

/// What came of the work.
#[derive(Default)]
struct Done {
    work: u64,
    bytes: u64,
    wrong: u64,
    first: Option<String>,
}

impl Done {
    fn check(&mut self, completed: &Completed<Command>) {
        let Work { command, source, destination } = &completed.work;
        let right = match (command.operation, outcome(completed)) {
            (_, Err(error)) => Err(error.to_string()),
            (Operation::Copy, Ok(_)) => Ok(()),
            (_, Ok(crc)) => match crc32c::crc32c(source.data()) {
                wanted if wanted == crc => Ok(()),
                wanted => Err(format!("CRC-32C {crc:#010x} instead of {wanted:#010x}")),
            },
        };
        let copied = destination.as_ref().is_none_or(|copy| copy.data() == source.data());
        let result = right.and_then(|()| if copied { Ok(()) } else { Err("the copy differs".to_owned()) });
        if let Err(reason) = result {
            self.wrong += 1;
            let number = self.work;
            self.first.get_or_insert_with(|| format!("work {number}, {:?}: {reason}", command.operation));
        }
        self.work += 1;
        self.bytes += source.len() as u64;
    }
}

/// Gives work to the accelerator until all is done, or somebody stops it.
pub(super) fn run(session: &Session, args: &StreamArgs) -> Result<(), Fault> {
    let filter = args.port.map_or(Filter::new(), |port| Filter::new().port(port));
    let mut stream = Stream::open_matching(&session.card, &filter, Sharing::Exclusive, &session.memory)?;
    let buffers = 2 * args.ring + 2 * BURST as u32;
    let memory = session.memory.source.memory(Pool::stride(args.size).saturating_mul(buffers as usize))?;
    let region = RegionOptions::new(DmaAccess::ReadWrite)
        .name("stream buffers")
        .alloc(&session.memory.space, memory)?;
    let pool = Pool::new(region, buffers, args.size)?;
    let mut queue = stream.start_queue(args.ring, &pool, None)?;
    let (mut done, start) = (Done::default(), Instant::now());
    let result = pump(session, args, &pool, &mut queue, &mut done);
    let seconds = start.elapsed().as_secs_f64();
    let fault = stream.fault(&queue);
    stream.stop_queue(queue)?;
    result?;
    if let Some(fault) = fault? {
        return Err(Fault::Run(format!("the queue stopped by itself: {fault}")));
    }
    let rate = done.bytes as f64 / seconds / 1e9;
    let pass = done.wrong == 0 && done.work != 0;
    if session.json() {
        output::json(&json!({
            "work": done.work, "bytes": done.bytes, "wrong": done.wrong, "first_wrong": done.first, "seconds": seconds,
            "gigabytes_per_second": rate, "pass": pass, "interrupted": session.stop.is_set(),
        }))?;
    } else {
        crate::out!("{} pieces of work, {} bytes, {seconds:.3} s, {rate:.3} GB/s", done.work, done.bytes);
        done.first.iter().for_each(|first| crate::out!("{first}"));
        crate::out!("{}", if pass { "PASS" } else { "FAIL" });
    }
    match (pass, done.work) {
        (true, _) => Ok(()),
        (false, 0) => Err(Fault::Run("no work was done".into())),
        (false, all) => Err(Fault::Run(format!("{} of {all} pieces of work came back wrong", done.wrong))),
    }
}

fn pump(
    session: &Session,
    args: &StreamArgs,
    pool: &Pool,
    queue: &mut Queue,
    done: &mut Done,
) -> Result<(), Fault> {
    let (mut given, mut work, mut back) = (0, Burst::new(BURST), Burst::new(BURST));
    let mut last = Instant::now();
    loop {
        let more = given < args.count && !session.stop.is_set();
        while more && given < args.count && work.len() < BURST {
            let Some(item) = piece(pool, args.size, given) else { break };
            if work.push(item).is_err() {
                break;
            }
            given += 1;
        }
        let (sent, came) =
            (queue.submit(&mut work).map_err(failed)?, queue.complete(&mut back).map_err(failed)?);
        while let Some(completed) = back.take() {
            done.check(&completed);
        }
        if !more && work.is_empty() && queue.in_flight() == 0 {
            return Ok(());
        }
        if sent + came != 0 {
            last = Instant::now();
        } else if last.elapsed() > PATIENCE {
            return Err(Fault::Run(format!("no work came back for {} s", PATIENCE.as_secs())));
        } else {
            // The model works on a thread of its own.
            std::thread::yield_now();
        }
    }
}

fn failed(error: WorkError) -> Fault {
    Fault::Run(error.to_string())
}

/// Makes a piece of work, if there are buffers for it.
fn piece(pool: &Pool, size: u32, number: u64) -> Option<Work<Command>> {
    let operation = Operation::ALL.into_iter().cycle().nth((number % 3) as usize)?;
    let mut source = pool.alloc()?;
    let mut word = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for chunk in source.append(size as usize)?.chunks_mut(8) {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        chunk.iter_mut().zip(word.to_le_bytes()).for_each(|(byte, new)| *byte = new);
    }
    let destination = match operation.has_destination() {
        true => {
            let mut buf = pool.alloc()?;
            buf.append(size as usize)?.fill(0xbe);
            Some(buf)
        }
        false => None,
    };
    Some(Work { command: operation.into(), source, destination })
}
