//! The loop of commands that need one lcore only: everything happens on one pinned thread.

use std::thread;
use std::time::{Duration, Instant};

use vfio_hal::dma::pool::{Burst, Cache};
use vfio_hal::pmd::{PortStats, RxQueue, TxQueue};

use crate::cli::{Common, EnvArgs};
use crate::fault::Fault;
use crate::lcore;
use crate::monitor::Monitor;
use crate::port::{Open, Ports};
use crate::report::Rates;
use crate::signal::Stop;
use crate::{note, output};

/// What a command does with its ports, again and again.
pub(crate) trait Work: Send {
    /// Does one round with all queues; returns whether there was something to do.
    fn round(&mut self, queues: &mut Queues<'_>) -> Result<bool, Fault>;

    /// Returns whether the command is done by itself.
    fn done(&self) -> bool;

    /// Makes nothing more, so that what is under way can be drained.
    fn stop(&mut self) {}

    /// Returns whether what was sent may come back, so that ports go on receiving while the run drains.
    fn expects_back(&self) -> bool {
        false
    }
}

/// All queues, and what bursts need.
pub(crate) struct Queues<'a> {
    pub(crate) rx: &'a mut [Vec<Box<dyn RxQueue>>],
    pub(crate) tx: &'a mut [Vec<Box<dyn TxQueue>>],
    pub(crate) cache: Cache,
    pub(crate) burst: Burst,
}

/// How often it is looked whether a run shall end.
const TICK: Duration = Duration::from_millis(10);

/// For how long nothing must come to say that nothing is under way any more.
const DRAIN: Duration = Duration::from_millis(200);

/// How long packets that are under way when a run ends may take, where more of them come without end.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);

/// A run that ended, well or not: what was counted is shown either way.
pub(crate) struct Ended {
    pub(crate) elapsed: Duration,
    pub(crate) result: Result<(), Fault>,
}

/// Returns the one core that such a command runs on.
pub(crate) fn core(env: &EnvArgs) -> Result<usize, Fault> {
    match lcore::choose(env.lcores.as_ref())?[..] {
        [core] => Ok(core),
        ref cores => {
            Err(Fault::Usage(format!("this command uses one lcore: give -l one core, not {}", cores.len())))
        }
    }
}

/// Runs `work` on `core` until it is done, the time is over, or Ctrl-C; then until nothing is under way.
pub(crate) fn run(
    core: usize,
    common: &Common,
    ports: &mut Ports,
    work: &mut dyn Work,
    default: Option<Duration>,
    stop: &Stop,
) -> Ended {
    let limit = common.run.duration.map_or(default, |time| Some(time).filter(|time| !time.is_zero()));
    ports.open_valves();
    let start = Instant::now();
    let result = on_lcore(core, common, ports, work, limit, stop);
    Ended { elapsed: start.elapsed(), result }
}

fn on_lcore(
    core: usize,
    common: &Common,
    ports: &mut Ports,
    work: &mut dyn Work,
    limit: Option<Duration>,
    stop: &Stop,
) -> Result<(), Fault> {
    let monitor = Monitor::start(&common.monitor)?;
    let (run, burst) = (&common.run, common.ports.burst);
    let Ports { rx, tx, pool, steps, open, .. } = ports;
    let (rx, tx, pool, steps) = (&mut rx[..], &mut tx[..], &*pool, &steps[..]);
    let expects_back = work.expects_back();
    let quit = Stop::default();
    let ended = quit.clone();
    let looped = move || -> Result<(), Fault> {
        let mut queues = Queues { rx, tx, cache: pool.cache(), burst: Burst::new(burst.into()) };
        let mut last_busy = Instant::now();
        let mut stopped = None;
        loop {
            let mut busy = work.round(&mut queues)?;
            for step in steps {
                busy |= step();
            }
            let now = Instant::now();
            if ended.is_set() && stopped.is_none() {
                work.stop();
                stopped = Some(now);
            }
            if busy {
                last_busy = now;
            } else {
                thread::yield_now();
            }
            let late = stopped.is_some_and(|stopped| now - stopped > DRAIN_LIMIT);
            if late || (stopped.is_some() || work.done()) && now - last_busy > DRAIN {
                return Ok(());
            }
        }
    };
    thread::scope(|scope| {
        let worker = lcore::spawn(scope, core, looped)?;
        let start = Instant::now();
        let mut rates = Rates::default();
        let mut shown = start;
        let mut result = Ok(());
        let over =
            || stop.is_set() || output::reader_left() || limit.is_some_and(|limit| start.elapsed() >= limit);
        while !worker.is_finished() && !over() && result.is_ok() {
            thread::sleep(TICK);
            monitor.answer(open, pool);
            let over = shown.elapsed();
            if !run.stats_period.is_zero() && over >= run.stats_period {
                shown = Instant::now();
                let now: Result<Vec<PortStats>, _> = open.iter_mut().map(|one| one.stats()).collect();
                match now {
                    Ok(now) => rates.lines(&now, over).iter().for_each(|line| note!("{line}")),
                    Err(error) => result = Err(error.into()),
                }
            }
            let broken = open.iter().find_map(Open::broken);
            result = result.and(broken.map_or(Ok(()), Err));
        }
        if !expects_back {
            open.iter().filter_map(Open::wire).for_each(|wire| wire.valve.set(false));
        }
        quit.set();
        let worked = worker.join().map_err(|_| Fault::Run("an lcore panicked: this is a bug".into()));
        result.and(worked.and_then(|worked| worked))
    })
}
