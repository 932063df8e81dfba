//! The device's interrupts, from the model to the client's eventfds.
//!
//! [`Vectors`] keeps what the client armed and masked. What the function lets out ([`Signal`]) is delivered here. A
//! client may also leave descriptors here that mask or unmask a vector when it signals them ([`Switch`]).

use std::io::IoSliceMut;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{FileType, OFlags, fcntl_getfl, fcntl_setfl, fstat};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use super::core::Core;
use super::logger::say;
use crate::context::{IrqBus, IrqKind};
use crate::function::{Messages, Signal};
use crate::proto::wire::{
    IRQ_ACTION_MASK, IRQ_ACTION_TRIGGER, IRQ_ACTION_UNMASK, IRQ_AUTOMASKED, IRQ_DATA_BOOL, IRQ_DATA_EVENTFD,
    IRQ_DATA_NONE, IRQ_EVENTFD, IRQ_MASKABLE, IrqSet,
};
use crate::spec::Spec;

type Sink = Option<Arc<OwnedFd>>;

impl IrqKind {
    /// All kinds, by their number in the protocol.
    const ALL: [IrqKind; 5] = [IrqKind::IntX, IrqKind::Msi, IrqKind::MsiX, IrqKind::Error, IrqKind::Request];

    pub(super) fn from_index(index: u32) -> Option<IrqKind> {
        IrqKind::ALL.get(index as usize).copied()
    }

    fn messages(self) -> Option<Messages> {
        match self {
            IrqKind::Msi => Some(Messages::Msi),
            IrqKind::MsiX => Some(Messages::MsiX),
            IrqKind::IntX | IrqKind::Error | IrqKind::Request => None,
        }
    }
}

/// What the client armed.
pub(super) struct Vectors {
    /// By kind and vector.
    sinks: [Box<[Sink]>; 5],
    pin: bool,
    /// The pin fired, and does not again until it is unmasked.
    pin_masked: bool,
    switches: Vec<Switch>,
}

/// A descriptor that masks or unmasks a vector when the client signals it, such as at the end of an interrupt.
struct Switch {
    kind: IrqKind,
    vector: u32,
    mask: bool,
    fd: Arc<OwnedFd>,
}

impl Vectors {
    pub(super) fn new(spec: &Spec) -> Vectors {
        let [error, request] = [spec.error_irqs, spec.request_irqs].map(|count| count.unwrap_or(1).into());
        let counts = [spec.intx.into(), spec.msi_vectors.into(), spec.msix_vectors, error, request];
        let sinks = counts.map(|count: u16| vec![None; count.into()].into_boxed_slice());
        Vectors { sinks, pin: false, pin_masked: false, switches: Vec::new() }
    }

    pub(super) fn count(&self, kind: IrqKind) -> u32 {
        self.sinks[kind as usize].len() as u32
    }

    /// Returns the flags that the protocol has for an interrupt kind.
    pub(super) fn flags(&self, kind: IrqKind) -> u32 {
        match kind {
            _ if self.count(kind) == 0 => 0,
            IrqKind::IntX => IRQ_EVENTFD | IRQ_MASKABLE | IRQ_AUTOMASKED,
            IrqKind::Msi | IrqKind::MsiX => IRQ_EVENTFD | IRQ_MASKABLE,
            IrqKind::Error | IrqKind::Request => IRQ_EVENTFD,
        }
    }

    /// Lets go of all descriptors.
    pub(super) fn disarm_all(&mut self) {
        self.sinks.iter_mut().for_each(|sinks| sinks.fill(None));
        self.switches.clear();
        self.pin_masked = false;
    }

    /// Replaces the switches of as many vectors as there are descriptors, from `first` on.
    fn set_switches(&mut self, kind: IrqKind, first: u32, mask: bool, sinks: Vec<Sink>) {
        let range = first..first.saturating_add(sinks.len() as u32);
        self.switches.retain(|old| old.kind != kind || old.mask != mask || !range.contains(&old.vector));
        let new = range.zip(sinks).filter_map(|(vector, fd)| Some(Switch { kind, vector, mask, fd: fd? }));
        self.switches.extend(new);
    }

    /// Returns the descriptors that mask and unmask.
    pub(super) fn switch_fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.switches.iter().map(|switch| switch.fd.as_fd())
    }

    fn sink(&self, kind: IrqKind, vector: u32) -> Sink {
        self.sinks[kind as usize].get(vector as usize)?.clone()
    }
}

/// What one message wants done.
enum Data {
    None,
    Bool(Vec<bool>),
    /// No descriptors disarm.
    Eventfds(Vec<Sink>),
}

impl Core {
    /// Signals a vector's eventfd. Returns whether it is armed.
    pub(super) fn fire(&self, kind: IrqKind, vector: u32) -> bool {
        let sink = self.vectors.borrow().sink(kind, vector);
        let Some(sink) = sink else { return false };
        // The client shares the descriptor's flags and may have cleared what `eventfd` set: a full counter must not hold the
        // server up.
        let _ = fcntl_setfl(&*sink, OFlags::NONBLOCK);
        match rustix::io::write(&*sink, &1u64.to_ne_bytes()) {
            // A full counter has a signal pending already.
            Ok(_) | Err(Errno::AGAIN) => {}
            Err(error) => say!(self.logger, Warning, "cannot signal {kind:?} vector {vector}: {error}"),
        }
        true
    }

    pub(super) fn deliver(&self, signal: Signal) {
        match signal {
            Signal::Msi(vector) => drop(self.fire(IrqKind::Msi, vector)),
            Signal::MsiX(vector) => drop(self.fire(IrqKind::MsiX, vector)),
            Signal::IntX(level) => {
                self.vectors.borrow_mut().pin = level;
                self.settle_pin();
            }
        }
    }

    /// Signals the pin if it is asserted and not masked, and masks it until the driver has dealt with it.
    fn settle_pin(&self) {
        let due = {
            let vectors = self.vectors.borrow();
            vectors.pin && !vectors.pin_masked
        };
        if due && self.fire(IrqKind::IntX, 0) {
            self.vectors.borrow_mut().pin_masked = true;
        }
    }

    /// Carries a SET_IRQS out. Returns the vectors that were masked or unmasked, for the model to know.
    pub(super) fn set_irqs(
        &self,
        set: &IrqSet,
        data: &[u8],
        fds: Vec<OwnedFd>,
    ) -> Result<Vec<(IrqKind, u32, bool)>, Errno> {
        const ACTIONS: u32 = IRQ_ACTION_MASK | IRQ_ACTION_UNMASK | IRQ_ACTION_TRIGGER;
        const DATA: u32 = IRQ_DATA_NONE | IRQ_DATA_BOOL | IRQ_DATA_EVENTFD;
        let (action, kind_of_data) = (set.flags & ACTIONS, set.flags & DATA);
        let one_each = action.is_power_of_two() && kind_of_data.is_power_of_two();
        if !one_each || set.flags & !(ACTIONS | DATA) != 0 {
            return Err(Errno::INVAL);
        }
        let kind = IrqKind::from_index(set.index).ok_or(Errno::INVAL)?;
        let end = set.start.checked_add(set.count).ok_or(Errno::INVAL)?;
        if end > self.vectors.borrow().count(kind) || (set.count == 0 && set.start != 0) {
            return Err(Errno::INVAL);
        }
        let data = match kind_of_data {
            IRQ_DATA_BOOL if data.len() == set.count as usize && fds.is_empty() => {
                Data::Bool(data.iter().map(|&byte| byte != 0).collect())
            }
            IRQ_DATA_NONE if data.is_empty() && fds.is_empty() => Data::None,
            IRQ_DATA_EVENTFD if data.is_empty() && fds.is_empty() => {
                Data::Eventfds(vec![None; set.count as usize])
            }
            IRQ_DATA_EVENTFD if data.is_empty() && fds.len() == set.count as usize => {
                Data::Eventfds(fds.into_iter().map(eventfd).collect::<Result<_, _>>()?)
            }
            _ => return Err(Errno::INVAL),
        };
        match (action, data) {
            (IRQ_ACTION_TRIGGER, Data::None) if set.count == 0 => {
                self.disarm(kind);
                Ok(Vec::new())
            }
            // Without a vector there is nothing to do, and only the case above has a meaning.
            _ if set.count == 0 => Err(Errno::INVAL),
            (IRQ_ACTION_TRIGGER, Data::Eventfds(sinks)) => {
                self.arm(kind, set.start, sinks);
                Ok(Vec::new())
            }
            (IRQ_ACTION_TRIGGER, data) => {
                for vector in chosen(set, &data) {
                    self.fire(kind, vector);
                }
                Ok(Vec::new())
            }
            (_, _) if self.vectors.borrow().flags(kind) & IRQ_MASKABLE == 0 => Err(Errno::INVAL),
            (action, Data::Eventfds(sinks)) => {
                let mask = action == IRQ_ACTION_MASK;
                self.vectors.borrow_mut().set_switches(kind, set.start, mask, sinks);
                Ok(Vec::new())
            }
            (action, data) => {
                let masked = action == IRQ_ACTION_MASK;
                let vectors: Vec<u32> = chosen(set, &data).collect();
                vectors.iter().for_each(|&vector| self.set_mask(kind, vector, masked));
                Ok(vectors.into_iter().map(|vector| (kind, vector, masked)).collect())
            }
        }
    }

    /// Masks and unmasks what the client's descriptors were signalled for, in the order of their arming. Returns the
    /// vectors, for the model to know.
    pub(super) fn take_switched(&self) -> Vec<(IrqKind, u32, bool)> {
        let switched: Vec<_> = {
            let vectors = self.vectors.borrow();
            let signalled = vectors.switches.iter().filter(|switch| is_signalled(&switch.fd));
            signalled.map(|switch| (switch.kind, switch.vector, switch.mask)).collect()
        };
        switched.iter().for_each(|&(kind, vector, mask)| self.set_mask(kind, vector, mask));
        switched
    }

    fn arm(&self, kind: IrqKind, first: u32, sinks: Vec<Sink>) {
        if let Some(messages) = kind.messages() {
            let armed: Vec<bool> = sinks.iter().map(Option::is_some).collect();
            self.store(kind, first, sinks);
            self.change(|function, signals| {
                // An operating system that arms a vector has switched the messages on and unmasked it, in a table
                // that the client plays for it and the server never sees.
                if armed.contains(&true) {
                    function.set_messages(messages, true, signals);
                }
                for (vector, armed) in (first..).zip(armed) {
                    signals.extend(function.mask(messages, vector, !armed));
                }
            });
        } else {
            self.store(kind, first, sinks);
            if kind == IrqKind::IntX {
                self.settle_pin();
            }
        }
    }

    fn store(&self, kind: IrqKind, first: u32, sinks: Vec<Sink>) {
        let mut vectors = self.vectors.borrow_mut();
        let places = vectors.sinks[kind as usize].iter_mut().skip(first as usize);
        places.zip(sinks).for_each(|(place, sink)| *place = sink);
    }

    fn disarm(&self, kind: IrqKind) {
        {
            let mut vectors = self.vectors.borrow_mut();
            vectors.sinks[kind as usize].fill(None);
            vectors.switches.retain(|switch| switch.kind != kind);
            if kind == IrqKind::IntX {
                vectors.pin_masked = false;
            }
        }
        if let Some(messages) = kind.messages() {
            self.change(|function, signals| function.set_messages(messages, false, signals));
        }
    }

    fn set_mask(&self, kind: IrqKind, vector: u32, masked: bool) {
        match kind.messages() {
            Some(messages) => {
                self.change(|function, signals| signals.extend(function.mask(messages, vector, masked)));
            }
            None => {
                self.vectors.borrow_mut().pin_masked = masked;
                self.settle_pin();
            }
        }
    }

    /// After a reset of the function: what the client armed stays armed, as with the kernel's VFIO.
    pub(super) fn rearm(&self) {
        {
            let mut vectors = self.vectors.borrow_mut();
            (vectors.pin, vectors.pin_masked) = (false, false);
        }
        self.asserted.set(false);
        for (kind, messages) in [(IrqKind::Msi, Messages::Msi), (IrqKind::MsiX, Messages::MsiX)] {
            let armed: Vec<u32> = {
                let vectors = self.vectors.borrow();
                (0..vectors.count(kind)).filter(|&vector| vectors.sink(kind, vector).is_some()).collect()
            };
            self.change(|function, signals| {
                for vector in armed {
                    signals.extend(function.mask(messages, vector, false));
                }
            });
        }
    }
}

impl IrqBus for Core {
    fn msi(&self, vector: u32) {
        if !self.armed.get() {
            return;
        }
        let signal = self.function.borrow_mut().raise(vector);
        if let Some(signal) = signal {
            self.deliver(signal);
        }
    }

    fn intx(&self, asserted: bool) {
        if self.asserted.replace(asserted) != asserted {
            let signal = self.function.borrow_mut().set_intx(asserted);
            if let Some(signal) = signal {
                self.deliver(signal);
            }
        }
    }
}

/// Returns the vectors that a message without descriptors names.
fn chosen<'a>(set: &IrqSet, data: &'a Data) -> impl Iterator<Item = u32> + use<'a> {
    let wanted = move |at: u32| match data {
        Data::Bool(flags) => flags.get(at as usize).copied().unwrap_or(false),
        Data::None | Data::Eventfds(_) => true,
    };
    let start = set.start;
    (0..set.count).filter(move |&at| wanted(at)).map(move |at| start + at)
}

/// Takes the count of a client's eventfd. It never waits, whatever the client does to the descriptor's flags.
fn is_signalled(fd: &OwnedFd) -> bool {
    let mut count = [0; 8];
    let mut buffer = [IoSliceMut::new(&mut count)];
    matches!(preadv2(fd, &mut buffer, u64::MAX, ReadWriteFlags::NOWAIT), Ok(8))
}

/// Takes a client's descriptor as an eventfd. Pipes, sockets and files would do something else when written.
fn eventfd(fd: OwnedFd) -> Result<Sink, Errno> {
    let kind = FileType::from_raw_mode(fstat(&fd)?.st_mode);
    if kind != FileType::Unknown {
        return Err(Errno::INVAL);
    }
    // The server never waits for a client.
    fcntl_setfl(&fd, fcntl_getfl(&fd)? | OFlags::NONBLOCK)?;
    Ok(Some(Arc::new(fd)))
}
