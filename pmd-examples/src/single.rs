//! The loop of commands that need one lcore only: everything happens on one pinned thread.

use std::thread;
use std::time::{Duration, Instant};

use vfio_hal::dma::pool::{Burst, Cache};
use vfio_hal::pmd::{PortStats, RxQueue, TxQueue};

use crate::cli::{EnvArgs, RunArgs};
use crate::fault::Fault;
use crate::lcore;
use crate::port::Ports;
use crate::report::Rates;
use crate::signal::Stop;

/// What a command does with its ports, again and again.
pub(crate) trait Work: Send {
    /// Does one round with all queues; returns whether there was something to do.
    fn round(&mut self, queues: &mut Queues<'_>) -> Result<bool, Fault>;

    /// Returns whether the command is done by itself.
    fn done(&self) -> bool;

    /// Makes nothing more, so that what is under way can be drained.
    fn stop(&mut self) {}
}

/// All queues, and what bursts need.
pub(crate) struct Queues<'a> {
    pub(crate) rx: &'a mut [Vec<Box<dyn RxQueue>>],
    pub(crate) tx: &'a mut [Vec<Box<dyn TxQueue>>],
    pub(crate) cache: Cache,
    pub(crate) burst: Burst,
}

/// How long packets that are under way when a run ends may take.
const DRAIN: Duration = Duration::from_millis(200);

/// Runs `work` until it is done, the time is over, or Ctrl-C; then until nothing is under way.
pub(crate) fn run(
    env: &EnvArgs,
    run: &RunArgs,
    burst: u16,
    ports: &mut Ports,
    work: &mut dyn Work,
    default: Option<Duration>,
) -> Result<Duration, Fault> {
    let cores = lcore::choose(env.lcores.as_ref())?;
    let [core] = cores[..] else {
        return Err(Fault::Usage(format!("this command uses one lcore: give -l one core, not {}", cores.len())));
    };
    let stop = Stop::on_signal()?;
    let limit = run.duration.map_or(default, |time| Some(time).filter(|time| !time.is_zero()));
    ports.open_valves();
    let Ports { open, rx, tx, pool, steps, .. } = ports;
    let (rx, tx, pool, steps) = (&mut rx[..], &mut tx[..], &*pool, &steps[..]);
    let start = Instant::now();
    thread::scope(|scope| {
        let (stop, quit) = (&stop, Stop::default());
        let ended = quit.clone();
        let worker = lcore::spawn(scope, core, move || -> Result<(), Fault> {
            let mut queues = Queues { rx, tx, cache: pool.cache(), burst: Burst::new(burst.into()) };
            let mut last_busy = Instant::now();
            loop {
                let mut busy = work.round(&mut queues)?;
                for step in steps {
                    busy |= step();
                }
                if ended.is_set() {
                    work.stop();
                }
                let now = Instant::now();
                if busy {
                    last_busy = now;
                } else {
                    thread::yield_now();
                }
                if (ended.is_set() || work.done()) && now - last_busy > DRAIN {
                    return Ok(());
                }
            }
        })?;
        let mut rates = Rates::default();
        let mut shown = start;
        let mut result = Ok(());
        while !worker.is_finished() && !stop.is_set() && limit.is_none_or(|limit| start.elapsed() < limit) {
            thread::sleep(Duration::from_millis(10));
            let over = shown.elapsed();
            if !run.stats_period.is_zero() && over >= run.stats_period {
                shown = Instant::now();
                let now: Result<Vec<PortStats>, _> = open.iter_mut().map(|one| one.port.stats()).collect();
                match now {
                    Ok(now) => rates.lines(&now, over).iter().for_each(|line| eprintln!("{line}")),
                    Err(error) => {
                        result = Err(error.into());
                        break;
                    }
                }
            }
        }
        for one in open.iter() {
            one.plugged.valve.set(false);
        }
        quit.set();
        worker.join().map_err(|_| Fault::Run("an lcore panicked: this is a bug".into()))??;
        result.map(|()| start.elapsed())
    })
}
