//! The user's hand on a card: the environment it is in, and what goes wrong with it.
//!
//! Key types: [`Control`], which works while a backend holds the model, from any thread; [`Faults`], what is wrong
//! with one port. Neighbours: [`AfuModel::control`](crate::AfuModel::control) gives it out; the model looks at it
//! before each access and step.

pub mod command;

use std::sync::{Arc, Mutex, MutexGuard};

use crate::config::{AfuKind, MAX_PORTS};

/// What is wrong with a port. The default: nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The accelerator accepts work and does none: its tests never end.
    pub stalled: bool,
    /// A reset of the port is not acknowledged, nor is its end.
    pub reset_stuck: bool,
    /// Flips a bit of this line (counted from 0) of every test that writes to host memory.
    pub corrupt_line: Option<u64>,
    /// Every access to host memory fails after this many more lines.
    pub dma_fails_after: Option<u64>,
}

/// An error register of the FME.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorRegister {
    /// FME_ERROR.
    Fme,
    /// PCIE0_ERROR.
    Pcie0,
    /// PCIE1_ERROR.
    Pcie1,
    /// RAS_NONFAT_ERROR.
    NonFatal,
    /// RAS_CATFAT_ERROR.
    Catastrophic,
}

/// What happened to the card since the model last looked.
#[derive(Default)]
pub(crate) struct Orders {
    pub(crate) fme_errors: Vec<(ErrorRegister, u64)>,
    pub(crate) port_errors: Vec<(usize, u64)>,
    pub(crate) user_interrupts: Vec<(usize, u8)>,
    pub(crate) load: Vec<(usize, AfuKind)>,
}

/// Orders that wait are bounded: whoever gives more before the model looks has the rest ignored.
const MOST_ORDERS: usize = 256;

struct State {
    temperature: u8,
    power: u32,
    faults: [Faults; MAX_PORTS],
    orders: Option<Orders>,
}

/// What the model sees of its environment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Environment {
    pub(crate) temperature: u8,
    pub(crate) power: u32,
    pub(crate) faults: [Faults; MAX_PORTS],
}

/// Changes a card's environment and breaks it, while a backend holds the model. Clones work on the same card.
#[derive(Clone)]
pub struct Control(Arc<Mutex<State>>);

impl Control {
    pub(crate) fn new(temperature: u8, power: u32) -> Control {
        let state = State { temperature, power, faults: [Faults::default(); MAX_PORTS], orders: None };
        Control(Arc::new(Mutex::new(state)))
    }

    /// Sets the temperature in °C, 0 to 127.
    pub fn set_temperature(&self, celsius: u8) {
        self.state().temperature = celsius.min(127);
    }

    /// Sets the power that the card takes, in watts.
    pub fn set_power(&self, watts: u32) {
        self.state().power = watts.min((1 << 18) - 1);
    }

    /// Sets what is wrong with a port; nothing happens if there is no such port.
    pub fn set_faults(&self, port: usize, faults: Faults) {
        if let Some(slot) = self.state().faults.get_mut(port) {
            *slot = faults;
        }
    }

    /// Returns what is wrong with a port.
    pub fn faults(&self, port: usize) -> Faults {
        self.state().faults.get(port).copied().unwrap_or_default()
    }

    /// Raises errors of the FME.
    pub fn raise_fme_error(&self, register: ErrorRegister, bits: u64) {
        self.order(|orders| push(&mut orders.fme_errors, (register, bits)));
    }

    /// Raises errors of a port.
    pub fn raise_port_error(&self, port: usize, bits: u64) {
        self.order(|orders| push(&mut orders.port_errors, (port, bits)));
    }

    /// Lets a port's accelerator raise one of its user interrupts.
    pub fn raise_user_interrupt(&self, port: usize, number: u8) {
        self.order(|orders| push(&mut orders.user_interrupts, (port, number)));
    }

    /// Puts another accelerator into a port, as somebody else's reconfiguration would.
    pub fn load(&self, port: usize, kind: AfuKind) {
        self.order(|orders| push(&mut orders.load, (port, kind)));
    }

    pub(crate) fn environment(&self) -> (Environment, Option<Orders>) {
        let mut state = self.state();
        let environment =
            Environment { temperature: state.temperature, power: state.power, faults: state.faults };
        (environment, state.orders.take())
    }

    fn order(&self, give: impl FnOnce(&mut Orders)) {
        give(self.state().orders.get_or_insert_default());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code under the lock can panic between two changes that belong together.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl core::fmt::Debug for Control {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}

fn push<T>(orders: &mut Vec<T>, order: T) {
    if orders.len() < MOST_ORDERS {
        orders.push(order);
    }
}
