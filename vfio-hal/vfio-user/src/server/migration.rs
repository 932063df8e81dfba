//! Migration: the states of VFIO's protocol, and the stream in which a device travels.
//!
//! - A wish for another [state](State) is carried out arc by arc ([`next_state`]).
//! - [`Progress`] is the stream under way. It consists of records, each with a kind and a length: the PCI function
//!   and the doorbells, which the server keeps, and what the model saves of itself.

use rustix::io::Errno;

use super::Server;
use super::core::Core;
use super::logger::{Logger, say};
use crate::context::Doorbells;
use crate::model::{DeviceModel, MigrationError};
use crate::proto::feature::MigrationState as State;

/// Returns the next state on the way to `wish`: the shortest way, without a saving state inside.
fn next_state(from: State, wish: State) -> Option<State> {
    use State::{Error, PreCopy, Resuming, Running, Stop, StopCopy};
    match (from, wish) {
        (Error, _) | (_, Error) => None,
        (StopCopy, PreCopy) => None,
        (Running, PreCopy) | (PreCopy, Running | StopCopy) => Some(wish),
        (Stop, Running | StopCopy | Resuming) => Some(wish),
        (Stop, PreCopy) => Some(Running),
        (Running | StopCopy | Resuming, _) => Some(Stop),
        (PreCopy, _) => Some(Running),
        (Stop, Stop) => None,
    }
}

const HEAD: usize = 8;
/// The server's own record.
const FUNCTION: u32 = 1;
/// A piece of the model's.
const MODEL: u32 = 2;
/// The largest record of the server's: configuration space, 2,048 vectors and as many doorbells as fit.
const MAX_FUNCTION: usize = 1 << 20;
const PIECE: usize = 64 * 1024;

/// A migration under way.
#[derive(Debug, Default)]
pub(super) struct Progress {
    state: State,
    /// Saved, and not read by the client yet.
    saved: Vec<u8>,
    /// The server's own record is still to be written.
    function_due: bool,
    /// Received: the head of a record, or the server's own one, as far as it is there.
    received: Vec<u8>,
    /// It was no stream of ours: nothing of it is kept any more.
    broken: bool,
    /// Bytes of a record of the model that are still to come.
    model_left: usize,
    /// The server's own record came, and is taken over at the end.
    function: Option<Vec<u8>>,
}

impl Progress {
    pub(super) fn state(&self) -> State {
        self.state
    }

    /// Returns whether the device works.
    pub(super) fn works(&self) -> bool {
        matches!(self.state, State::Running | State::PreCopy)
    }
}

impl<M: DeviceModel> Server<M> {
    /// Brings the device to another state, or fails where it stands.
    pub(super) fn change_state(&mut self, wish: State) -> Result<(), Errno> {
        let can_pre_copy = self.model.migration().ok_or(Errno::NOTTY)?.pre_copy();
        if wish == State::Error || (wish == State::PreCopy && !can_pre_copy) {
            return Err(Errno::INVAL);
        }
        while self.migration.state != wish {
            let next = next_state(self.migration.state, wish).ok_or(Errno::INVAL)?;
            self.arc(next)?;
            self.migration.state = next;
        }
        Ok(())
    }

    fn arc(&mut self, next: State) -> Result<(), Errno> {
        let Server { model, core, migration: progress, .. } = self;
        let migration = model.migration().ok_or(Errno::NOTTY)?;
        match (progress.state, next) {
            (State::Running, State::PreCopy) => {
                migration.begin_save(true);
                progress.saved.clear();
            }
            (State::Stop, State::StopCopy) => {
                migration.begin_save(false);
                progress.saved.clear();
                progress.function_due = true;
            }
            (State::PreCopy, State::StopCopy) => {
                migration.stop_and_copy();
                progress.function_due = true;
            }
            (State::PreCopy | State::StopCopy, _) => {
                *progress = Progress { state: progress.state, ..Progress::default() };
            }
            (State::Stop, State::Resuming) => {
                *progress = Progress { state: progress.state, ..Progress::default() };
                migration.begin_restore();
            }
            (State::Resuming, State::Stop) => {
                let whole = !progress.broken && progress.received.is_empty() && progress.model_left == 0;
                let function = progress.function.take().filter(|_| whole);
                let result = function.ok_or(Errno::INVAL).and_then(|function| {
                    migration.end_restore().map_err(invalid(&core.logger))?;
                    core.restore_function(&function)
                });
                if let Err(error) = result {
                    *progress = Progress { state: State::Error, ..Progress::default() };
                    return Err(error);
                }
                core.rearm();
            }
            _ => {}
        }
        Ok(())
    }

    /// Returns up to `size` bytes of the stream, fewer at its end for now.
    pub(super) fn save(&mut self, size: usize) -> Result<Vec<u8>, Errno> {
        let Server { model, core, migration: progress, .. } = self;
        if !matches!(progress.state, State::PreCopy | State::StopCopy) {
            return Err(Errno::INVAL);
        }
        let migration = model.migration().ok_or(Errno::NOTTY)?;
        if std::mem::take(&mut progress.function_due) {
            let record = core.save_function();
            progress.saved.extend_from_slice(&head(FUNCTION, record.len()));
            progress.saved.extend_from_slice(&record);
        }
        let mut piece = vec![0; PIECE];
        while progress.saved.len() < size {
            // A model that claims more than there is room for gets no further than the room.
            let count = migration.save(&mut piece).map_err(invalid(&core.logger))?.min(PIECE);
            if count > 0 {
                progress.saved.extend_from_slice(&head(MODEL, count));
                progress.saved.extend_from_slice(&piece[..count]);
            }
            if count < PIECE {
                break;
            }
        }
        let rest = progress.saved.split_off(size.min(progress.saved.len()));
        Ok(std::mem::replace(&mut progress.saved, rest))
    }

    /// Takes the next bytes of the stream.
    pub(super) fn restore(&mut self, mut data: &[u8]) -> Result<(), Errno> {
        let Server { model, core, migration: progress, .. } = self;
        if progress.state != State::Resuming || progress.broken {
            return Err(Errno::INVAL);
        }
        let migration = model.migration().ok_or(Errno::NOTTY)?;
        while !data.is_empty() {
            if progress.model_left > 0 {
                let (part, more) = data.split_at(progress.model_left.min(data.len()));
                if let Err(error) = migration.restore(part) {
                    progress.broken = true;
                    return Err(invalid(&core.logger)(error));
                }
                progress.model_left -= part.len();
                data = more;
                continue;
            }
            let want = match progress.received.first_chunk::<HEAD>() {
                None => HEAD,
                Some(head) => {
                    let (_, len) = parse(head);
                    HEAD + len
                }
            };
            let (part, more) = data.split_at((want - progress.received.len()).min(data.len()));
            progress.received.extend_from_slice(part);
            data = more;
            let Some(head) = progress.received.first_chunk::<HEAD>() else { continue };
            match parse(head) {
                (MODEL, len) => {
                    progress.model_left = len;
                    progress.received.clear();
                }
                (FUNCTION, len) if len > 0 && len <= MAX_FUNCTION => {
                    if progress.received.len() == HEAD + len {
                        progress.function = Some(progress.received.split_off(HEAD));
                        progress.received.clear();
                    }
                }
                _ => {
                    progress.received = Vec::new();
                    progress.broken = true;
                    return Err(Errno::INVAL);
                }
            }
        }
        Ok(())
    }
}

impl Core {
    fn save_function(&self) -> Vec<u8> {
        let mut record = self.function.borrow().save();
        let bells = 0..self.spec.doorbells.len();
        record.extend(bells.flat_map(|bell| self.bells.load(bell).to_le_bytes()));
        record
    }

    fn restore_function(&self, record: &[u8]) -> Result<(), Errno> {
        let bells = 4 * self.spec.doorbells.len();
        let at = record.len().checked_sub(bells).ok_or(Errno::INVAL)?;
        let (function, bells) = record.split_at(at);
        self.change(|target, _| target.restore(function)).map_err(|_| Errno::INVAL)?;
        let (words, _) = bells.as_chunks::<4>();
        for (bell, word) in words.iter().enumerate() {
            self.bells.store(bell, u32::from_le_bytes(*word));
        }
        Ok(())
    }
}

fn head(kind: u32, len: usize) -> [u8; HEAD] {
    let mut bytes = [0; HEAD];
    bytes[..4].copy_from_slice(&kind.to_le_bytes());
    bytes[4..].copy_from_slice(&(len as u32).to_le_bytes());
    bytes
}

fn parse(head: &[u8; HEAD]) -> (u32, usize) {
    let [a, b, c, d, e, f, g, h] = *head;
    (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]) as usize)
}

/// Returns what the client is told of a model's error, and logs the rest.
fn invalid(logger: &Logger) -> impl Fn(MigrationError) -> Errno {
    move |error| {
        say!(logger, Warning, "{error}");
        Errno::INVAL
    }
}
