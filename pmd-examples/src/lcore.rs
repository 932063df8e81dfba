//! Logical cores: worker threads, pinned one to a core.

use std::str::FromStr;
use std::thread;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::fault::Fault;
use crate::note;

/// Cores as a user lists them: `1-2,5`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CoreList(Vec<usize>);

impl FromStr for CoreList {
    type Err = String;

    fn from_str(text: &str) -> Result<CoreList, String> {
        let number = |text: &str| -> Result<usize, String> {
            let parsed = text.trim().parse().ok().filter(|&core| core < CpuSet::MAX_CPU);
            parsed.ok_or_else(|| format!("'{text}' is not a core number: write cores like 1-2 or 0,3"))
        };
        let mut cores = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(format!("{first}-{last} runs backwards: write {last}-{first}"));
            }
            cores.extend(first..=last);
        }
        cores.sort_unstable();
        match cores.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(format!("core {} is listed twice: one lcore runs on a core", pair[0])),
            None => Ok(CoreList(cores)),
        }
    }
}

/// Returns the cores that lcores shall run on: those asked for, all of them usable, or the last usable one.
pub(crate) fn choose(asked: Option<&CoreList>) -> Result<Vec<usize>, Fault> {
    let set = sched_getaffinity(None)
        .map_err(|error| Fault::Run(format!("cannot read the CPU affinity: {error}")))?;
    let usable: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect();
    let Some(CoreList(cores)) = asked else {
        return Ok(usable.last().copied().into_iter().collect());
    };
    match cores.iter().find(|core| !usable.contains(core)) {
        None => Ok(cores.clone()),
        Some(core) => {
            let list: Vec<String> = usable.iter().map(usize::to_string).collect();
            let list = list.join(",");
            Err(Fault::Usage(format!(
                "core {core} is not among those this process may use ({list}): choose with -l"
            )))
        }
    }
}

/// Runs `work` on a thread pinned to `core`.
pub(crate) fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    core: usize,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<thread::ScopedJoinHandle<'scope, T>, Fault> {
    let pinned = move || {
        let mut set = CpuSet::new();
        set.set(core);
        // It was usable a moment ago. If it is gone by now, the work still gets done, elsewhere.
        if let Err(error) = sched_setaffinity(None, &set) {
            note!("lcore {core} runs unpinned: {error}");
        }
        work()
    };
    thread::Builder::new()
        .name(format!("lcore-{core}"))
        .spawn_scoped(scope, pinned)
        .map_err(|error| Fault::Run(format!("cannot start a thread for lcore {core}: {error}")))
}
