//! Registers whose every access is a call that a test sees.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use spin::Mutex;

use super::registers::RegisterFile;
use crate::bar::{Bar, Trap, Width};
use crate::device::{DeviceError, Lost};
use crate::regs::Register;

/// One access that a driver made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It read.
    Read {
        /// In bytes from the start of the BAR.
        offset: u64,
        /// How wide.
        width: Width,
        /// What it got.
        value: u64,
    },
    /// It wrote.
    Write {
        /// In bytes from the start of the BAR.
        offset: u64,
        /// How wide.
        width: Width,
        /// What it gave.
        value: u64,
    },
}

/// A trapped BAR with a log, scripted answers and a limited life. Clones share it.
#[derive(Clone)]
pub struct FakeBar(Arc<Inner>);

struct Inner {
    file: RegisterFile,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    log: Vec<Access>,
    answers: BTreeMap<u64, VecDeque<u64>>,
    reaction: Option<Reaction>,
    /// How many accesses the device still answers.
    life: Option<u64>,
}

type Reaction = Arc<dyn Fn(Access, &RegisterFile) + Send + Sync>;

impl FakeBar {
    /// Returns a BAR of `len` bytes, where a register reads what was written last.
    pub fn new(len: u64) -> FakeBar {
        FakeBar(Arc::new(Inner { file: RegisterFile::new(len), state: Mutex::default() }))
    }

    /// Returns the registers, as the device sees them.
    pub fn registers(&self) -> &RegisterFile {
        &self.0.file
    }

    /// Answers the next reads of entry `index` of a register with `values`, one each, instead of what it holds.
    ///
    /// # Panics
    /// If there is no such entry: the test is wrong.
    #[track_caller]
    pub fn answer<R: Register>(&self, index: usize, values: impl IntoIterator<Item = R>) {
        let Some(offset) = R::INFO.offset(index) else {
            panic!("{} has {} entries, there is no number {index}", R::NAME, R::COUNT)
        };
        self.answer_at(offset, values.into_iter().map(R::to_raw));
    }

    /// Answers the next reads at `offset` with `values`, one each.
    pub fn answer_at(&self, offset: u64, values: impl IntoIterator<Item = u64>) {
        self.0.state.lock().answers.entry(offset).or_default().extend(values);
    }

    /// Calls `reaction` after each access, to behave like a device: clear a bit, raise another.
    pub fn react(&self, reaction: impl Fn(Access, &RegisterFile) + Send + Sync + 'static) {
        self.0.state.lock().reaction = Some(Arc::new(reaction));
    }

    /// Dies after `accesses` more: later reads and writes fail.
    pub fn die_after(&self, accesses: u64) {
        self.0.state.lock().life = Some(accesses);
    }

    /// Returns all accesses so far.
    pub fn log(&self) -> Vec<Access> {
        self.0.state.lock().log.clone()
    }

    /// Returns all accesses since the last call.
    pub fn take_log(&self) -> Vec<Access> {
        core::mem::take(&mut self.0.state.lock().log)
    }

    /// Returns the driver's view: one trapped window.
    pub fn open(&self, index: u8, lost: &Lost) -> Result<Bar, DeviceError> {
        let len = self.0.file.len();
        Bar::builder(index, len, lost.clone()).trapped(0, len, Arc::new(self.clone())).build()
    }

    /// Counts an access; `None` if the device is dead by now.
    fn alive(state: &mut State) -> Option<()> {
        if let Some(life) = &mut state.life {
            *life = life.checked_sub(1)?;
        }
        Some(())
    }

    fn done(&self, access: Access) {
        let reaction = {
            let mut state = self.0.state.lock();
            state.log.push(access);
            state.reaction.clone()
        };
        // Not under the lock: it may script further answers.
        if let Some(reaction) = reaction {
            reaction(access, &self.0.file);
        }
    }
}

impl Trap for FakeBar {
    fn read(&self, offset: u64, width: Width) -> Option<u64> {
        let value = {
            let mut state = self.0.state.lock();
            FakeBar::alive(&mut state)?;
            state.answers.get_mut(&offset).and_then(VecDeque::pop_front)
        };
        let value = value.unwrap_or_else(|| self.0.file.read(offset, width)) & width.all_ones();
        self.done(Access::Read { offset, width, value });
        Some(value)
    }

    fn write(&self, offset: u64, width: Width, value: u64) -> Option<()> {
        FakeBar::alive(&mut self.0.state.lock())?;
        self.0.file.write(offset, width, value);
        self.done(Access::Write { offset, width, value });
        Some(())
    }
}

impl fmt::Debug for FakeBar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeBar").field("registers", &self.0.file).finish_non_exhaustive()
    }
}
