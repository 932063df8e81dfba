//! What a model is surrounded by: the parts that its calls reach back into.
//!
//! [`Core`] is everything of the server but the model. It is used by one thread, and calls of the model come
//! back into it, so its parts are cells. It implements the three buses of a [`Context`].

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bells::Bells;
use super::bus::Recent;
use super::dirty::Log;
use super::dma::{Bounds, Table};
use super::irq::Vectors;
use super::logger::{Logger, say};
use super::peer::Peer;
use super::{ServerError, ServerOptions};
use crate::config::{ConfigError, WriteError};
use crate::context::{ConfigBus, Context};
use crate::function::{Function, Signal};
use crate::model::SharedArea;
use crate::spec::Spec;

/// The server without its model.
pub(super) struct Core {
    pub(super) spec: Spec,
    pub(super) function: RefCell<Function>,
    pub(super) vectors: RefCell<Vectors>,
    /// What the model last said of its pin.
    pub(super) asserted: Cell<bool>,
    /// Interrupts by message are switched on.
    pub(super) armed: Cell<bool>,
    /// Bus mastering is on.
    pub(super) master: Cell<bool>,
    pub(super) bells: Bells,
    pub(super) table: Table,
    pub(super) recent: RefCell<[Option<Recent>; 2]>,
    pub(super) log: Arc<Log>,
    pub(super) logger: Logger,
    pub(super) peer: RefCell<Option<Peer>>,
    /// A write of the model's to its configuration space asked for a reset.
    pub(super) reset_due: Cell<bool>,
    start: Instant,
}

impl Core {
    pub(super) fn new(
        spec: Spec,
        shared: &[SharedArea],
        bounds: Bounds,
        options: &ServerOptions,
    ) -> Result<Core, ServerError> {
        let core = Core {
            function: RefCell::new(Function::new(&spec)?),
            vectors: RefCell::new(Vectors::new(&spec)),
            asserted: Cell::new(false),
            armed: Cell::new(false),
            master: Cell::new(false),
            bells: Bells::new(&spec, shared, options.mapped_doorbells)
                .map_err(|errno| ServerError::System { what: "map a page of shared registers", errno })?,
            table: Table::new(bounds, options.logger.clone()),
            logger: options.logger.clone(),
            recent: RefCell::default(),
            log: Arc::default(),
            peer: RefCell::default(),
            reset_due: Cell::new(false),
            start: Instant::now(),
            spec,
        };
        // A client is handed a function whose BARs answer, as the kernel's VFIO does it.
        core.change(|function, _| function.set_access(true));
        Ok(core)
    }

    /// Returns what a model is given with a call.
    pub(super) fn context(&self) -> Context<'_> {
        Context { dma: self, irq: self, doorbells: &self.bells, config: self, now: self.now() }
    }

    /// Returns the time that the model is told.
    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Changes the function, takes over what it switched on, and delivers what it sends.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut Function, &mut Vec<Signal>) -> R) -> R {
        let mut signals = Vec::new();
        let result = {
            let mut function = self.function.borrow_mut();
            let result = change(&mut function, &mut signals);
            self.master.set(function.config().bus_master());
            self.armed.set(function.messages_enabled());
            result
        };
        for signal in signals {
            self.deliver(signal);
        }
        result
    }

    /// Returns the number of the doorbell at a place, if there is one.
    pub(super) fn bell(&self, bar: u8, offset: u64, width: usize) -> Option<usize> {
        if width != 4 {
            return None;
        }
        self.spec.doorbells.binary_search(&(bar, offset)).ok()
    }

    /// Lets go of everything that is the client's.
    pub(super) fn forget_client(&self) {
        self.table.clear();
        if let Err(errno) = self.bells.forget_client() {
            say!(
                self.logger,
                Warning,
                "no memory for mapped doorbells ({errno}): they are written by message"
            );
        }
        *self.recent.borrow_mut() = [None, None];
        self.vectors.borrow_mut().disarm_all();
        self.log.set(None);
        *self.peer.borrow_mut() = None;
    }
}

impl ConfigBus for Core {
    fn read(&self, offset: u16, data: &mut [u8]) -> Result<(), ConfigError> {
        self.function.borrow().config_read(offset, data)
    }

    fn set(&self, offset: u16, data: &[u8]) -> Result<(), WriteError> {
        self.function.borrow_mut().config_set(offset, data)
    }

    fn write(&self, offset: u16, data: &[u8]) -> Result<(), WriteError> {
        let changed = self.change(|function, signals| function.config_write(offset, data, signals))?;
        if changed.reset {
            self.reset_due.set(true);
        }
        Ok(())
    }
}
