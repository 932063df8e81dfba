//! Interrupts: causes, masks, vectors, moderation (datasheet 7.3, 8.2.3.5).
//!
//! A queue's cause goes through IVAR to one of 64 vectors; in MSI-X mode the vector is the message, in legacy and MSI
//! mode it is bit 15:0 of EICR and all share one pin or message. The other causes (EICR 29:16) share the vector of
//! IVAR_MISC. A vector fires when a cause arrives or is unmasked, not before its EITR interval has passed.
//!
//! Key types: [`Interrupts`]. Neighbours: the units raise causes; the dispatcher brings register accesses; the model's
//! step calls [`Interrupts::fire`].

use pmd_ixgbe::regs::{EIAC, EIAM, EIAM_EX, EICR, EITR, GPIE, IVAR, IVAR_MISC};
use pmd_links::Nanos;
use vfio_hal::regs::Register;
use vfio_user_kit::IrqBus;

use crate::regs::RegisterFile;
use crate::state::{StateError, check, state};

/// EICR 29:16: the causes that share the second entry of IVAR_MISC.
const MISC: u32 = 0x3FFF_0000;
/// EICR 30.
const TCP_TIMER: u32 = 1 << 30;
/// An entry of IVAR is in use.
const IVAR_VALID: u8 = 0x80;

/// The interrupt unit.
pub(crate) struct Interrupts {
    /// Causes of queues, by vector.
    queues: u64,
    /// Causes 31:16 of EICR.
    other: u32,
    queue_mask: u64,
    other_mask: u32,
    /// Vectors with a cause that was not signalled yet.
    queues_new: u64,
    /// Causes 31:16 not signalled yet.
    other_new: u32,
    /// By vector: no interrupt before.
    quiet_until: Box<[Nanos; EITR::COUNT]>,
    /// The pin's level as last told.
    pin: bool,
    /// IVAR entry by queue: receive, transmit.
    routes: Box<[[u8; 2]; 128]>,
    /// How often each vector fired.
    pub(crate) fired: Box<[u64; 64]>,
}

state!(Interrupts {
    queues,
    other,
    queue_mask,
    other_mask,
    queues_new,
    other_new,
    quiet_until,
    pin,
    routes,
    fired,
});

impl Interrupts {
    /// Checks what came from outside: counts that can go on counting.
    pub(crate) fn sound(&self) -> Result<(), StateError> {
        check(self.fired.iter().all(|count| *count < 1 << 62), "more interrupts than a device fires")
    }

    pub(crate) fn new() -> Interrupts {
        Interrupts {
            queues: 0,
            other: 0,
            queue_mask: 0,
            other_mask: 0,
            queues_new: 0,
            other_new: 0,
            quiet_until: Box::new([0; EITR::COUNT]),
            pin: false,
            routes: Box::new([[0; 2]; 128]),
            fired: Box::new([0; 64]),
        }
    }

    /// Back to power-on; the count of fired interrupts and the pin's level (until told) stay.
    pub(crate) fn reset(&mut self) {
        let fired = std::mem::replace(&mut self.fired, Box::new([0; 64]));
        *self = Interrupts { fired, pin: self.pin, ..Interrupts::new() };
    }

    fn raise_route(&mut self, route: u8) {
        if route & IVAR_VALID != 0 {
            let bit = 1u64 << (route & 0x3F);
            self.queues |= bit;
            self.queues_new |= bit;
        }
    }

    /// A receive queue wrote descriptors back.
    pub(crate) fn raise_rx(&mut self, queue: usize) {
        self.raise_route(self.routes[queue][0]);
    }

    /// A receive queue has a packet that asks for an interrupt at once: its vector waits for no interval (7.3.2.2.3).
    pub(crate) fn hurry_rx(&mut self, queue: usize) {
        self.quiet_until[usize::from(self.routes[queue][0] & 0x3F)] = 0;
    }

    /// A transmit queue wrote descriptors back.
    pub(crate) fn raise_tx(&mut self, queue: usize) {
        self.raise_route(self.routes[queue][1]);
    }

    /// Other causes, of EICR 30:16.
    pub(crate) fn raise(&mut self, causes: EICR) {
        let bits = causes.bits() & (MISC | TCP_TIMER);
        self.other |= bits;
        self.other_new |= bits;
    }

    /// Returns the moderation interval that goes with a transmit queue, 0 if it has no vector.
    pub(crate) fn tx_interval(&self, regs: &RegisterFile, queue: usize) -> Nanos {
        let route = self.routes[queue][1];
        if route & IVAR_VALID == 0 { 0 } else { interval(regs, usize::from(route & 0x3F)) }
    }

    /// EICR as software sees it, without the effects of a read.
    pub(crate) fn peek(&self) -> u32 {
        let queues = self.queues as u32 & 0xFFFF;
        EICR::new(queues | self.other).with_other(self.other & MISC != 0).bits()
    }

    fn clear(&mut self, queues: u64, other: u32) {
        self.queues &= !queues;
        self.queues_new &= !queues;
        self.other &= !other;
        self.other_new &= !other;
    }

    /// A read of EICR: clears it, with GPIE.OCD only 29:16, and masks what EIAM says unless MSI-X does that
    /// (8.2.3.5.1, 7.3.1.5).
    pub(crate) fn read_eicr(&mut self, regs: &RegisterFile) -> u32 {
        let value = self.peek();
        if regs.get::<GPIE>().ocd() {
            self.clear(0, MISC);
        } else {
            self.clear(0xFFFF, u32::MAX);
        }
        if !regs.get::<GPIE>().multiple_msix() {
            let auto = regs.get::<EIAM>().bits();
            self.mask(u64::from(auto & 0xFFFF), auto);
        }
        value
    }

    /// EICR(1) or EICR(2), vectors 31:0 and 63:32; a read has no effects.
    pub(crate) fn peek_ex(&self, half: usize) -> u32 {
        (self.queues >> (32 * half)) as u32
    }

    /// Ones written to EICR clear.
    pub(crate) fn write_eicr(&mut self, value: u32) {
        self.clear(u64::from(value & 0xFFFF), value & 0xFFFF_0000);
    }

    /// Ones written to EICR(1) or EICR(2) clear.
    pub(crate) fn write_eicr_ex(&mut self, half: usize, value: u32) {
        self.clear(u64::from(value) << (32 * half), 0);
    }

    /// Software sets causes.
    pub(crate) fn write_eics(&mut self, value: u32) {
        self.queues |= u64::from(value & 0xFFFF);
        self.queues_new |= u64::from(value & 0xFFFF);
        self.raise(EICR::new(value));
    }

    /// Software sets causes of vectors.
    pub(crate) fn write_eics_ex(&mut self, half: usize, value: u32) {
        self.queues |= u64::from(value) << (32 * half);
        self.queues_new |= u64::from(value) << (32 * half);
    }

    /// Unmasks: a cause that waits is signalled.
    pub(crate) fn unmask(&mut self, queues: u64, other: u32) {
        self.queues_new |= self.queues & queues & !self.queue_mask;
        self.other_new |= self.other & other & !self.other_mask;
        self.queue_mask |= queues;
        self.other_mask |= other & 0xFFFF_0000;
    }

    /// Masks.
    pub(crate) fn mask(&mut self, queues: u64, other: u32) {
        self.queue_mask &= !queues;
        self.other_mask &= !(other & 0xFFFF_0000);
    }

    /// EIMS.
    pub(crate) fn eims(&self) -> u32 {
        self.queue_mask as u32 & 0xFFFF | self.other_mask
    }

    /// EIMS(1) and EIMS(2).
    pub(crate) fn eims_ex(&self, half: usize) -> u32 {
        (self.queue_mask >> (32 * half)) as u32
    }

    /// IVAR was written: byte 0 and 2 are receive queues 2n and 2n + 1, byte 1 and 3 the transmit queues.
    pub(crate) fn route(&mut self, element: usize, value: IVAR) {
        let bytes = value.bits().to_le_bytes();
        self.routes[2 * element] = [bytes[0], bytes[1]];
        self.routes[2 * element + 1] = [bytes[2], bytes[3]];
    }

    /// EITR was written: the running interval is given up unless bit 31 says to keep it.
    pub(crate) fn moderate(&mut self, element: usize, value: EITR) {
        if !value.cnt_wdis() {
            self.quiet_until[element] = 0;
        }
    }

    /// Whether something would fire now or once its interval is over.
    pub(crate) fn waiting(&self) -> bool {
        self.queues_new & self.queue_mask != 0 || self.other_new & self.other_mask != 0
    }

    /// When the interval is over that holds an interrupt back; the first of several.
    pub(crate) fn deadline(&self, regs: &RegisterFile) -> Option<Nanos> {
        if !self.waiting() {
            return None;
        }
        if !regs.get::<GPIE>().multiple_msix() {
            return Some(self.quiet_until[0]);
        }
        let misc = regs.get::<IVAR_MISC>().bits().to_le_bytes();
        let others = [(TCP_TIMER, misc[0]), (MISC, misc[1])]
            .into_iter()
            .filter(|(bits, route)| self.other_new & self.other_mask & bits != 0 && route & IVAR_VALID != 0);
        let others = others.map(|(_, route)| usize::from(route & 0x3F));
        let due = self.queues_new & self.queue_mask;
        let vectors = (0..64).filter(|vector| due >> vector & 1 == 1).chain(others);
        vectors.map(|vector| self.quiet_until[vector]).min()
    }

    /// Fires what is due and sets the pin.
    pub(crate) fn fire(&mut self, regs: &RegisterFile, irq: &dyn IrqBus, now: Nanos) {
        if regs.get::<GPIE>().multiple_msix() {
            self.set_pin(irq, false);
            self.fire_msix(regs, irq, now);
        } else {
            self.fire_shared(regs, irq, now);
        }
    }

    fn fire_shared(&mut self, regs: &RegisterFile, irq: &dyn IrqBus, now: Nanos) {
        let active = self.queues & self.queue_mask & 0xFFFF != 0 || self.other & self.other_mask != 0;
        if !active {
            self.set_pin(irq, false);
            return;
        }
        if self.waiting() && now >= self.quiet_until[0] {
            self.queues_new &= !self.queue_mask;
            self.other_new &= !self.other_mask;
            self.quiet_until[0] = now.saturating_add(interval(regs, 0));
            self.fired[0] += 1;
            irq.msi(0);
            self.set_pin(irq, true);
        }
    }

    /// Lowers the pin at once when nothing is active any more; does nothing in the other direction.
    pub(crate) fn settle_pin(&mut self, irq: &dyn IrqBus) {
        if self.queues & self.queue_mask & 0xFFFF == 0 && self.other & self.other_mask == 0 {
            self.set_pin(irq, false);
        }
    }

    fn set_pin(&mut self, irq: &dyn IrqBus, level: bool) {
        if self.pin != level {
            self.pin = level;
            irq.intx(level);
        }
    }

    fn fire_msix(&mut self, regs: &RegisterFile, irq: &dyn IrqBus, now: Nanos) {
        let misc = regs.get::<IVAR_MISC>().bits().to_le_bytes();
        for (bits, route) in [(TCP_TIMER, misc[0]), (MISC, misc[1])] {
            if self.other_new & self.other_mask & bits != 0 && route & IVAR_VALID != 0 {
                let vector = usize::from(route & 0x3F);
                if now >= self.quiet_until[vector] {
                    self.other_new &= !bits;
                    self.other &= !(regs.get::<EIAC>().bits() & bits);
                    if regs.get::<GPIE>().eiame() {
                        self.other_mask &= !(regs.get::<EIAM>().bits() & bits);
                    }
                    self.send(regs, irq, vector, now);
                }
            }
        }
        let mut due = self.queues_new & self.queue_mask;
        while due != 0 {
            let vector = due.trailing_zeros() as usize;
            due &= due - 1;
            if now < self.quiet_until[vector] {
                continue;
            }
            let bit = 1u64 << vector;
            self.queues_new &= !bit;
            // 7.3.1.4: vectors from 16 on have no EIAC bit and clear always.
            if vector >= 16 || regs.get::<EIAC>().bits() >> vector & 1 == 1 {
                self.queues &= !bit;
            }
            if regs.get::<GPIE>().eiame() {
                self.queue_mask &= !(auto_mask(regs) & bit);
            }
            self.send(regs, irq, vector, now);
        }
    }

    fn send(&mut self, regs: &RegisterFile, irq: &dyn IrqBus, vector: usize, now: Nanos) {
        self.quiet_until[vector] = now.saturating_add(interval(regs, vector));
        self.fired[vector] += 1;
        irq.msi(vector as u32);
    }
}

/// EIAM and EIAM(1), EIAM(2) together; EIAM 15:0 and EIAM(1) 15:0 are the same bits.
fn auto_mask(regs: &RegisterFile) -> u64 {
    let vectors = |half: usize| u64::from(regs.at::<EIAM_EX>(half).bits()) << (32 * half);
    vectors(0) | vectors(1) | u64::from(regs.get::<EIAM>().bits() & 0xFFFF)
}

/// EITR counts 2.048 µs at 10 and 1 Gbit/s (8.2.3.5.12).
fn interval(regs: &RegisterFile, vector: usize) -> Nanos {
    u64::from(regs.at::<EITR>(vector).itr_interval()) * 2_048
}
