//! A device that lies: the model behind a wrapper that falsifies what it tells the driver.
//!
//! Real devices do this when they break, are pulled out or are attacked; a driver must not believe in any index, length
//! or status that a device wrote. The wrapper falsifies
//!
//! - descriptors and heads on their way to memory,
//! - words of descriptors that nobody asked to be written,
//! - what RDH, TDH, LINKS and the counters read,
//!
//! and leaves the model itself as it is: it goes on moving packets, so a test can send a million of them through the
//! lies. Same seed, same lies.
//!
//! Key types: [`Hostile`], [`Switch`]. Neighbours: wraps [`Model82599`] for any backend.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use pmd_ixgbe::regs::{LINKS, QPRC, RDBA, RDH, RDLEN, TDBA, TDH, TDLEN};
use vfio_hal::regs::{AccessKind, Register};
use vfio_user_kit::{AccessError, Context, DeviceModel, DmaBus, DmaFault, ResetKind, Spec, Work};

use crate::model::Model82599;
use crate::regs::RegisterFile;
use crate::shared::{QUEUES, Random};

/// The model behind the lies.
pub struct Hostile {
    model: Model82599,
    random: Random,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    rate: AtomicU32,
    lies: AtomicU64,
}

/// Turns the lies on and off while a backend holds the device.
#[derive(Clone)]
pub struct Switch(Arc<State>);

impl Switch {
    /// Sets how many of 1,024 chances are used: 0 is an honest device, as at the start.
    pub fn set_rate(&self, of_1024: u32) {
        self.0.rate.store(of_1024.min(1024), Ordering::Relaxed);
    }

    /// Returns how many lies were told.
    pub fn lies(&self) -> u64 {
        self.0.lies.load(Ordering::Relaxed)
    }
}

impl Hostile {
    /// Returns a device that is honest until its [`switch`](Self::switch) is used.
    pub fn new(model: Model82599, seed: u64) -> Hostile {
        Hostile { model, random: Random::new(seed), state: Arc::default() }
    }

    /// Returns the switch.
    pub fn switch(&self) -> Switch {
        Switch(Arc::clone(&self.state))
    }

    /// Returns the model.
    pub fn model(&self) -> &Model82599 {
        &self.model
    }

    fn chance(&mut self) -> bool {
        chance(&mut self.random, &self.state)
    }

    /// Writes rubbish into a descriptor of a running ring. Not into one that the model has still to read: it would make
    /// the model itself fault, and the test would be over.
    fn scribble(&mut self, dma: &dyn DmaBus) {
        let queue = self.random.below(QUEUES as u64) as usize;
        let regs = &self.model.core.regs;
        let (rx, tx) = (&self.model.rx.queues[queue], &self.model.tx.queues[queue]);
        let (base, len, owned) = if self.random.next() & 1 == 0 {
            (
                regs.at::<RDBA>(queue).bits(),
                regs.at::<RDLEN>(queue).len() / 16,
                rx.enabled.then(|| rx.owned()),
            )
        } else {
            (
                regs.at::<TDBA>(queue).bits(),
                regs.at::<TDLEN>(queue).len() / 16,
                tx.enabled.then(|| tx.owned()),
            )
        };
        let Some((first, count)) = owned else { return };
        if len == 0 {
            return;
        }
        let index = self.random.below(u64::from(len)) as u32;
        if (index + len - first) % len < count {
            return;
        }
        let word = rubbish(&mut self.random);
        let half = self.random.below(2) * 8;
        // A ring that is not mapped any more is no reason to stop lying.
        if dma.store(base.wrapping_add(16 * u64::from(index) + half), word).is_ok() {
            self.state.lies.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn chance(random: &mut Random, state: &State) -> bool {
    let rate = state.rate.load(Ordering::Relaxed);
    let hit = rate > 0 && random.below(1024) < u64::from(rate);
    if hit {
        state.lies.fetch_add(1, Ordering::Relaxed);
    }
    hit
}

/// A descriptor word such as a driver fears: done or not, any length, any status.
fn rubbish(random: &mut Random) -> u64 {
    let word = random.next();
    match random.below(5) {
        0 => word,
        // Done, end of packet, no length or all of it.
        1 => 0x3,
        2 => 0xFFFF << 32 | 0x3,
        // Done, and never an end.
        3 => word & !0x2 | 0x1,
        // Done as a transmit or legacy descriptor says it.
        _ => word | 1 << 32,
    }
}

/// Memory as the model sees it while it lies.
struct LyingBus<'b> {
    bus: &'b dyn DmaBus,
    random: RefCell<&'b mut Random>,
    state: &'b State,
}

impl LyingBus<'_> {
    fn word(&self, word: u64) -> u64 {
        let mut random = self.random.borrow_mut();
        if chance(&mut random, self.state) { rubbish(&mut random) } else { word }
    }
}

impl DmaBus for LyingBus<'_> {
    fn read(&self, iova: u64, data: &mut [u8]) -> Result<(), DmaFault> {
        self.bus.read(iova, data)
    }
    fn write(&self, iova: u64, data: &[u8]) -> Result<(), DmaFault> {
        self.bus.write(iova, data)
    }
    fn load(&self, iova: u64) -> Result<u64, DmaFault> {
        self.bus.load(iova)
    }
    fn store(&self, iova: u64, word: u64) -> Result<(), DmaFault> {
        self.bus.store(iova, self.word(word))
    }
    fn store32(&self, iova: u64, word: u32) -> Result<(), DmaFault> {
        self.bus.store32(iova, self.word(u64::from(word)) as u32)
    }
}

impl DeviceModel for Hostile {
    fn spec(&self) -> Spec {
        self.model.spec()
    }

    fn bar_read(
        &mut self,
        cx: &mut Context<'_>,
        bar: u8,
        offset: u64,
        data: &mut [u8],
    ) -> Result<(), AccessError> {
        self.model.bar_read(cx, bar, offset, data)?;
        let lied_about = RegisterFile::decode(offset).is_some_and(|place| {
            let heads = [RDH::OFFSET, TDH::OFFSET, LINKS::OFFSET, QPRC::OFFSET];
            heads.contains(&place.register) || place.info.access == AccessKind::ReadClear
        });
        if lied_about && self.chance() {
            let word = self.random.next().to_le_bytes();
            let len = data.len();
            data.copy_from_slice(&word[..len]);
        }
        Ok(())
    }

    fn bar_write(
        &mut self,
        cx: &mut Context<'_>,
        bar: u8,
        offset: u64,
        data: &[u8],
    ) -> Result<(), AccessError> {
        self.model.bar_write(cx, bar, offset, data)
    }

    fn step(&mut self, cx: &mut Context<'_>) -> Work {
        if self.state.rate.load(Ordering::Relaxed) == 0 {
            return self.model.step(cx);
        }
        if self.chance() {
            self.scribble(cx.dma);
        }
        let bus = LyingBus { bus: cx.dma, random: RefCell::new(&mut self.random), state: &self.state };
        let mut lying =
            Context { dma: &bus, irq: cx.irq, doorbells: cx.doorbells, config: cx.config, now: cx.now };
        self.model.step(&mut lying)
    }

    fn config_read(&mut self, cx: &mut Context<'_>, offset: u16, data: &mut [u8]) -> Result<(), AccessError> {
        self.model.config_read(cx, offset, data)
    }

    fn config_write(&mut self, cx: &mut Context<'_>, offset: u16, data: &[u8]) -> Result<(), AccessError> {
        self.model.config_write(cx, offset, data)
    }

    fn next_deadline(&self) -> Option<Duration> {
        self.model.next_deadline()
    }

    fn reset(&mut self, cx: &mut Context<'_>, kind: ResetKind) {
        self.model.reset(cx, kind);
    }
}
