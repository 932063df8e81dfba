//! A board for the model: memory with rights, interrupts, a clock, and the few steps every driver makes.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use pmd_afu_model::{AfuKind, AfuModel, Config, Control};
use vfio_user_kit::{Context, DeviceModel, DmaBus, DmaFault, Doorbells, IrqBus, NoConfig, Work};

/// Where memory begins on the bus: nowhere near 0.
pub(crate) const MEMORY: u64 = 0x12_3456_0000;
pub(crate) const MEMORY_BYTES: usize = 8 << 20;
/// The port's list and its accelerator, in BAR 2.
pub(crate) const PORT: u64 = 0;
pub(crate) const AFU: u64 = 0x4_0000;

/// Memory that tells what was written outside of what a test allows.
pub(crate) struct Memory {
    bytes: RefCell<Vec<u8>>,
    /// Where the device may write; everywhere if empty.
    pub(crate) writable: RefCell<Vec<(u64, u64)>>,
    pub(crate) violations: Cell<u32>,
    next: Cell<u64>,
}

impl Memory {
    fn new() -> Memory {
        Memory {
            bytes: RefCell::new(vec![0; MEMORY_BYTES]),
            writable: RefCell::default(),
            violations: Cell::new(0),
            next: Cell::new(MEMORY + 0x1000),
        }
    }

    /// Takes `len` bytes, on a page of their own.
    pub(crate) fn take(&self, len: usize) -> u64 {
        let at = self.next.get();
        self.next.set((at + len as u64).next_multiple_of(4096));
        assert!(self.next.get() <= MEMORY + MEMORY_BYTES as u64, "the board's memory is used up");
        at
    }

    pub(crate) fn get(&self, at: u64, len: usize) -> Vec<u8> {
        let from = (at - MEMORY) as usize;
        self.bytes.borrow()[from..from + len].to_vec()
    }

    pub(crate) fn put(&self, at: u64, data: &[u8]) {
        let from = (at - MEMORY) as usize;
        self.bytes.borrow_mut()[from..from + data.len()].copy_from_slice(data);
    }

    pub(crate) fn word(&self, at: u64) -> u64 {
        u64::from_le_bytes(self.get(at, 8).try_into().unwrap())
    }

    pub(crate) fn word32(&self, at: u64) -> u32 {
        u32::from_le_bytes(self.get(at, 4).try_into().unwrap())
    }

    /// Takes a buffer with a pattern that has no two equal lines.
    pub(crate) fn patterned(&self, len: usize) -> u64 {
        let at = self.take(len);
        let words =
            (0..len as u32 / 4).flat_map(|n| n.wrapping_mul(0x9E37_79B1).rotate_left(7).to_le_bytes());
        self.put(at, &words.collect::<Vec<u8>>());
        at
    }

    fn place(&self, iova: u64, len: usize, write: bool) -> Result<usize, DmaFault> {
        let inside = |start: u64, end: u64| {
            iova >= start && iova.checked_add(len as u64).is_some_and(|last| last <= end)
        };
        let fault = DmaFault::NotMapped { iova, len };
        if !inside(MEMORY, MEMORY + MEMORY_BYTES as u64) {
            return Err(fault);
        }
        let writable = self.writable.borrow();
        if write && !writable.is_empty() && !writable.iter().any(|&(start, end)| inside(start, end)) {
            self.violations.set(self.violations.get() + 1);
            return Err(fault);
        }
        Ok((iova - MEMORY) as usize)
    }
}

impl DmaBus for Memory {
    fn read(&self, iova: u64, data: &mut [u8]) -> Result<(), DmaFault> {
        let from = self.place(iova, data.len(), false)?;
        data.copy_from_slice(&self.bytes.borrow()[from..from + data.len()]);
        Ok(())
    }
    fn write(&self, iova: u64, data: &[u8]) -> Result<(), DmaFault> {
        let from = self.place(iova, data.len(), true)?;
        self.bytes.borrow_mut()[from..from + data.len()].copy_from_slice(data);
        Ok(())
    }
    fn load(&self, iova: u64) -> Result<u64, DmaFault> {
        let mut bytes = [0; 8];
        self.read(iova, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
    fn store(&self, iova: u64, word: u64) -> Result<(), DmaFault> {
        if !iova.is_multiple_of(8) {
            return Err(DmaFault::Unaligned { iova });
        }
        self.write(iova, &word.to_le_bytes())
    }
    fn store32(&self, iova: u64, word: u32) -> Result<(), DmaFault> {
        if !iova.is_multiple_of(4) {
            return Err(DmaFault::Unaligned { iova });
        }
        self.write(iova, &word.to_le_bytes())
    }
}

/// Interrupts seen.
#[derive(Default)]
pub(crate) struct Irqs(RefCell<Vec<u32>>);

impl Irqs {
    /// Takes the vectors that fired.
    pub(crate) fn take(&self) -> Vec<u32> {
        self.0.take()
    }
}

impl IrqBus for Irqs {
    fn msi(&self, vector: u32) {
        self.0.borrow_mut().push(vector);
    }
    fn intx(&self, _: bool) {
        panic!("the card has no INTx pin");
    }
}

struct NoBells;

impl Doorbells for NoBells {
    fn load(&self, _: usize) -> u32 {
        0
    }
    fn store(&self, _: usize, _: u32) {}
}

pub(crate) struct Board {
    pub(crate) model: AfuModel,
    pub(crate) control: Control,
    pub(crate) memory: Memory,
    pub(crate) irqs: Irqs,
    pub(crate) now: Duration,
}

impl Board {
    /// A board that was just switched on.
    pub(crate) fn new(config: Config) -> Board {
        let model = AfuModel::new(config);
        let control = model.control();
        let (memory, irqs) = (Memory::new(), Irqs::default());
        Board { model, control, memory, irqs, now: Duration::from_secs(1) }
    }

    /// A board with one accelerator, its port out of reset and its errors unmasked.
    pub(crate) fn ready(kind: AfuKind) -> Board {
        Board::ready_with(Config::with_ports(&[kind]))
    }

    pub(crate) fn ready_with(config: Config) -> Board {
        let mut board = Board::new(config);
        board.release(PORT);
        board.w(2, PORT + 0x1008, 0);
        board
    }

    /// Ends the reset of the port whose list is at `port`.
    pub(crate) fn release(&mut self, port: u64) {
        self.w(2, port + 0x38, 0);
        self.wait_us(100);
        assert_eq!(self.r(2, port + 0x38) & 0x11, 0, "the reset's end is acknowledged");
    }

    pub(crate) fn context<T>(&mut self, f: impl FnOnce(&mut AfuModel, &mut Context<'_>) -> T) -> T {
        let mut cx = Context {
            dma: &self.memory,
            irq: &self.irqs,
            doorbells: &NoBells,
            config: &NoConfig,
            now: self.now,
        };
        f(&mut self.model, &mut cx)
    }

    /// Reads 64 bits.
    pub(crate) fn r(&mut self, bar: u8, offset: u64) -> u64 {
        let mut data = [0; 8];
        self.context(|model, cx| model.bar_read(cx, bar, offset, &mut data)).unwrap();
        u64::from_le_bytes(data)
    }

    /// Writes 64 bits.
    pub(crate) fn w(&mut self, bar: u8, offset: u64, value: u64) {
        self.context(|model, cx| model.bar_write(cx, bar, offset, &value.to_le_bytes())).unwrap();
    }

    /// Writes 32 bits.
    pub(crate) fn w32(&mut self, bar: u8, offset: u64, value: u32) {
        self.context(|model, cx| model.bar_write(cx, bar, offset, &value.to_le_bytes())).unwrap();
    }

    pub(crate) fn step(&mut self) -> Work {
        self.context(|model, cx| model.step(cx))
    }

    /// Steps until there is nothing to do at this time.
    pub(crate) fn run(&mut self) {
        for _ in 0..100_000 {
            if self.step() == Work::Idle {
                return;
            }
        }
        panic!("the model never comes to rest");
    }

    /// Lets time pass.
    pub(crate) fn wait_us(&mut self, us: u64) {
        self.now += Duration::from_micros(us);
        self.run();
    }

    /// Lets time pass in steps until `done`, at most `us` microseconds. Returns whether it came.
    pub(crate) fn wait_for(&mut self, us: u64, mut done: impl FnMut(&mut Board) -> bool) -> bool {
        for _ in 0..us {
            if done(self) {
                return true;
            }
            self.wait_us(1);
        }
        done(self)
    }
}
