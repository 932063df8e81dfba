//! Doorbell registers: where a client's writes to them are kept until the model looks.
//!
//! Each is a cell of the server's, written by message; or a word of a page that the model shares; or, with
//! [`mapped_doorbells`](super::ServerOptions::mapped_doorbells), a word of *shadow memory*: a file with 8 bytes for each
//! doorbell, of which the client learns with the descriptors of its region. A client that maps it writes doorbells without a
//! message, and all other registers of the same page, such as counters that clear when they are read, keep their meaning.
//!
//! Key type: [`Bells`]. Each client gets a shadow of its own, so that one that left cannot ring for the next.

use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::io::Errno;

use super::dma::PAGE;
use crate::context::Doorbells;
use crate::model::SharedArea;
use crate::shared::{SharedError, SharedRegisters, SharedWord};
use crate::spec::Spec;

/// Bytes of shadow memory that a doorbell takes: a client's window has whole words of 64 bits.
const STRIDE: u64 = 8;

/// Doorbell registers.
pub(super) struct Bells {
    bells: Box<[Bell]>,
    /// Stands for all of `Bell::Own`.
    shadow: RefCell<Option<SharedRegisters>>,
}

enum Bell {
    /// Written by message, or in the shadow.
    Own(Cell<u32>),
    /// In a page that the client may map.
    Shared(SharedWord),
}

impl Bells {
    pub(super) fn new(spec: &Spec, shared: &[SharedArea], mapped: bool) -> Result<Bells, Errno> {
        let bell = |&(bar, offset): &(u8, u64)| {
            let word = SharedWord::find(shared, bar, offset)?;
            Ok(word.map_or(Bell::Own(Cell::new(0)), Bell::Shared))
        };
        let bells: Box<[Bell]> = spec.doorbells.iter().map(bell).collect::<Result<_, Errno>>()?;
        let shadow = match mapped && bells.iter().any(|bell| matches!(bell, Bell::Own(_))) {
            true => Some(shadow_of(bells.len())?),
            false => None,
        };
        Ok(Bells { bells, shadow: RefCell::new(shadow) })
    }

    /// Returns the shadow's file.
    pub(super) fn shadow(&self) -> Option<Arc<OwnedFd>> {
        self.shadow.borrow().as_ref().map(|shadow| shadow.area().file)
    }

    /// Returns where in the shadow a doorbell is, if it is there.
    pub(super) fn shadow_place(&self, index: usize) -> Option<u64> {
        let own = matches!(self.bells.get(index), Some(Bell::Own(_)));
        (own && self.shadow.borrow().is_some()).then_some(STRIDE * index as u64)
    }

    /// The client is gone: what it may still have mapped is no longer looked at. Without memory for another shadow the next
    /// client writes by message.
    pub(super) fn forget_client(&self) -> Result<(), Errno> {
        let mut shadow = self.shadow.borrow_mut();
        let Some(before) = shadow.take() else { return Ok(()) };
        let next = shadow_of(self.bells.len());
        for (index, bell) in self.bells.iter().enumerate() {
            let value = before.load32(STRIDE * index as u64).unwrap_or(0);
            if let Bell::Own(own) = bell {
                own.set(value);
            }
            if let Ok(next) = &next {
                next.store32(STRIDE * index as u64, value);
            }
        }
        *shadow = Some(next?);
        Ok(())
    }
}

fn shadow_of(doorbells: usize) -> Result<SharedRegisters, Errno> {
    let len = (STRIDE * doorbells as u64).next_multiple_of(PAGE);
    SharedRegisters::new(0, 0, len).map_err(|error| match error {
        SharedError::System(errno) => errno,
        SharedError::Pages { .. } => Errno::INVAL,
    })
}

impl Doorbells for Bells {
    fn load(&self, index: usize) -> u32 {
        match self.bells.get(index) {
            Some(Bell::Own(own)) => match &*self.shadow.borrow() {
                Some(shadow) => shadow.load32(STRIDE * index as u64).unwrap_or(0),
                None => own.get(),
            },
            Some(Bell::Shared(word)) => word.load(),
            None => 0,
        }
    }

    fn store(&self, index: usize, value: u32) {
        match self.bells.get(index) {
            Some(Bell::Own(own)) => match &*self.shadow.borrow() {
                Some(shadow) => {
                    shadow.store32(STRIDE * index as u64, value);
                }
                None => own.set(value),
            },
            Some(Bell::Shared(word)) => word.store(value),
            None => {}
        }
    }
}
