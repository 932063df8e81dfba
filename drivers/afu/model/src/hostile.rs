//! Cards that lie.
//!
//! Real cards do this when they break, are pulled out, are half configured or are attacked; a driver must not believe any
//! offset, count or status.
//!
//! - [`RandomLists`] is a card whose registers are random: headers that look right more often than chance, with links that
//!   loop, overrun, are not aligned, or lead nowhere, and a VSEC that may be anything.
//! - [`Hostile`] is the model behind a wrapper that falsifies what registers read, and what goes to memory that is not data
//!   of a test, while a [`Switch`] says so.
//!
//! Same seed, same lies. Neighbours: both are [`DeviceModel`]s for any backend.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use pmd_afu::ids;
use pmd_afu::regs::dfh::DFH;
use vfio_user_kit::{
    AccessError, BarKind, BarSpec, CapabilitySpec, Context, DeviceModel, DmaBus, DmaFault, Ids, ResetKind,
    Spec, Work,
};

use crate::model::AfuModel;

/// Bytes of each BAR of a random card.
const BAR_BYTES: u64 = 0x1_0000;

/// Numbers that look random and repeat with their seed (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ word >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ word >> 31
    }

    /// A number below `end`, which is not 0.
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }
}

/// A card whose registers are random, and stay as they are.
pub struct RandomLists {
    seed: u64,
    refused: Arc<AtomicU64>,
}

impl RandomLists {
    /// Returns the card of this seed.
    pub fn new(seed: u64) -> RandomLists {
        RandomLists { seed, refused: Arc::default() }
    }

    /// Counts accesses outside of the BARs, which a driver must not make.
    pub fn refused(&self) -> Arc<AtomicU64> {
        self.refused.clone()
    }

    fn random(&self, what: u64) -> Random {
        let mut random = Random(self.seed ^ what.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        random.next();
        random
    }

    /// The word at an offset.
    fn word(&self, bar: u8, offset: u64) -> u64 {
        let mut random = self.random(u64::from(bar) << 32 | offset);
        // Most words are made as headers that a walk may go on from.
        if random.one_in(6) {
            let small = random.one_in(2);
            return if small { random.below(0x1000) } else { random.next() };
        }
        let next = match random.below(12) {
            0 => 0,
            1 => random.below(1 << 24),
            2 => 8,
            3 => BAR_BYTES.wrapping_sub(offset).wrapping_add(8 * random.below(4)) & 0xFF_FFFF,
            _ => 8 * (1 + random.below(0x200)),
        };
        let kind = match random.below(8) {
            // A list starts with a FIU, or is none.
            1.. if offset == 0 => ids::TYPE_FIU.into(),
            0 => random.below(16),
            1 | 2 => ids::TYPE_FIU.into(),
            3 => ids::TYPE_AFU.into(),
            _ => ids::TYPE_PRIVATE.into(),
        };
        let version = if random.one_in(8) { random.below(256) } else { random.below(2) };
        DFH::default()
            .with_id(if random.one_in(4) { random.below(1 << 12) } else { random.below(0x15) })
            .with_revision(random.below(16))
            .with_next(next)
            .with_eol(random.one_in(16))
            .with_version(version)
            .with_kind(kind)
            .bits()
    }
}

impl DeviceModel for RandomLists {
    fn spec(&self) -> Spec {
        let mut random = self.random(u64::MAX);
        let memory = |index: u8| BarSpec { index, size: BAR_BYTES, kind: BarKind::Memory32 };
        let mut capabilities = Vec::new();
        if random.one_in(2) {
            let lists = random.below(8);
            // The count need not be what there is.
            let count = if random.one_in(3) { random.next() as u32 } else { lists as u32 };
            let mut data = count.to_le_bytes().to_vec();
            for _ in 0..lists {
                let entry = match random.below(3) {
                    0 => random.next(),
                    1 => random.below(BAR_BYTES * 2),
                    _ => random.below(8),
                };
                data.extend((entry as u32).to_le_bytes());
            }
            capabilities.push(CapabilitySpec::vsec(ids::VSEC_DFL, 0, &data).read_only());
        }
        Spec {
            ids: Ids { vendor: ids::VENDOR_INTEL, device: 0xBCCE, class: 0x12_0000, ..Ids::default() },
            bars: vec![memory(0), memory(2)],
            capabilities,
            ..Spec::default()
        }
    }

    fn bar_read(
        &mut self,
        _: &mut Context<'_>,
        bar: u8,
        offset: u64,
        data: &mut [u8],
    ) -> Result<(), AccessError> {
        let inside = offset.checked_add(data.len() as u64).is_some_and(|end| end <= BAR_BYTES);
        if !inside || !matches!(bar, 0 | 2) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(AccessError::OutOfRange { bar, offset });
        }
        // An access need not be aligned: each byte has its word.
        for (at, byte) in (offset..).zip(data) {
            *byte = self.word(bar, at & !7).to_le_bytes()[(at % 8) as usize];
        }
        Ok(())
    }

    fn bar_write(
        &mut self,
        _: &mut Context<'_>,
        bar: u8,
        offset: u64,
        data: &[u8],
    ) -> Result<(), AccessError> {
        if offset.checked_add(data.len() as u64).is_none_or(|end| end > BAR_BYTES) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(AccessError::OutOfRange { bar, offset });
        }
        Ok(())
    }

    fn step(&mut self, _: &mut Context<'_>) -> Work {
        Work::Idle
    }

    fn reset(&mut self, _: &mut Context<'_>, _: ResetKind) {}
}

/// The model behind the lies.
pub struct Hostile {
    model: AfuModel,
    random: Random,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    rate: AtomicU32,
    lies: AtomicU64,
}

/// Turns the lies on and off while a backend holds the card.
#[derive(Clone)]
pub struct Switch(Arc<State>);

impl Switch {
    /// Sets how many of 1,024 chances are used: 0 is an honest card, as at the start.
    pub fn set_rate(&self, of_1024: u32) {
        self.0.rate.store(of_1024.min(1024), Ordering::Relaxed);
    }

    /// Returns how many lies were told.
    pub fn lies(&self) -> u64 {
        self.0.lies.load(Ordering::Relaxed)
    }
}

impl Hostile {
    /// Returns a card that is honest until its [`switch`](Self::switch) is used.
    pub fn new(model: AfuModel, seed: u64) -> Hostile {
        Hostile { model, random: Random(seed), state: Arc::default() }
    }

    /// Returns the switch.
    pub fn switch(&self) -> Switch {
        Switch(self.state.clone())
    }
}

fn lies(random: &mut Random, state: &State) -> bool {
    let rate = state.rate.load(Ordering::Relaxed);
    let hit = rate > 0 && random.below(1024) < u64::from(rate);
    if hit {
        state.lies.fetch_add(1, Ordering::Relaxed);
    }
    hit
}

/// A wrong value: anything, nothing, everything, or one bit off.
fn falsify(random: &mut Random, word: u64) -> u64 {
    match random.below(4) {
        0 => random.next(),
        1 => 0,
        2 => u64::MAX,
        _ => word ^ 1 << random.below(64),
    }
}

/// Memory as the card sees it while it lies: words that tell a status are falsified, data are not.
struct LyingBus<'b> {
    bus: &'b dyn DmaBus,
    random: RefCell<&'b mut Random>,
    state: &'b State,
}

impl LyingBus<'_> {
    fn word(&self, word: u64) -> u64 {
        let mut random = self.random.borrow_mut();
        if lies(&mut random, self.state) { falsify(&mut random, word) } else { word }
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
        if lies(&mut self.random, &self.state) {
            let mut bytes = [0; 8];
            bytes[..data.len()].copy_from_slice(data);
            let word = falsify(&mut self.random, u64::from_le_bytes(bytes)).to_le_bytes();
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
        let bus = LyingBus { bus: cx.dma, random: RefCell::new(&mut self.random), state: &self.state };
        let mut lying =
            Context { dma: &bus, irq: cx.irq, doorbells: cx.doorbells, config: cx.config, now: cx.now };
        self.model.step(&mut lying)
    }

    fn next_deadline(&self) -> Option<Duration> {
        self.model.next_deadline()
    }

    fn reset(&mut self, cx: &mut Context<'_>, kind: ResetKind) {
        self.model.reset(cx, kind);
    }
}
