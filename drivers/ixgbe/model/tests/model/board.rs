//! A board for the model: memory with rights, doorbells, interrupts, a clock, a wire, and the few steps every driver
//! makes.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use pmd_ixgbe_model::{Config, Model82599};
use pmd_links::{Link, PairEnd, pair};
use vfio_user_kit::{Context, DeviceModel, DmaBus, DmaFault, Doorbells, IrqBus, NoConfig, Work};

/// Where memory begins on the bus: nowhere near 0.
pub(crate) const MEMORY: u64 = 0x12_3456_0000;
pub(crate) const MEMORY_BYTES: usize = 4 << 20;
pub(crate) const MAC: [u8; 6] = [0x02, 0x11, 0x22, 0x33, 0x44, 0x55];

/// Memory that counts accesses outside of what a test allows.
pub(crate) struct Memory {
    bytes: RefCell<Vec<u8>>,
    /// What may be (read, written); everything if empty.
    pub(crate) allowed: RefCell<Vec<(u64, u64, bool)>>,
    pub(crate) violations: Cell<u32>,
    pub(crate) accesses: Cell<u64>,
    next: Cell<u64>,
}

impl Memory {
    fn new() -> Memory {
        Memory {
            bytes: RefCell::new(vec![0; MEMORY_BYTES]),
            allowed: RefCell::default(),
            violations: Cell::new(0),
            accesses: Cell::new(0),
            next: Cell::new(MEMORY + 0x1000),
        }
    }

    fn copy(&self) -> Memory {
        Memory {
            bytes: self.bytes.clone(),
            allowed: self.allowed.clone(),
            violations: Cell::new(0),
            accesses: Cell::new(0),
            next: self.next.clone(),
        }
    }

    /// All of it.
    pub(crate) fn all(&self) -> Vec<u8> {
        self.bytes.borrow().clone()
    }

    /// Takes `len` bytes, 128-byte aligned.
    pub(crate) fn take(&self, len: usize) -> u64 {
        let at = self.next.get();
        self.next.set((at + len as u64).next_multiple_of(128));
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

    pub(crate) fn put_word(&self, at: u64, word: u64) {
        self.put(at, &word.to_le_bytes());
    }

    fn place(&self, iova: u64, len: usize, write: bool) -> Result<usize, DmaFault> {
        self.accesses.set(self.accesses.get() + 1);
        let allowed = self.allowed.borrow();
        let inside =
            |start: u64, end: u64| iova >= start && iova.checked_add(len as u64).is_some_and(|e| e <= end);
        let fault = DmaFault::NotMapped { iova, len };
        if !inside(MEMORY, MEMORY + MEMORY_BYTES as u64) {
            return Err(fault);
        }
        if !allowed.is_empty() && !allowed.iter().any(|&(s, e, w)| inside(s, e) && (w || !write)) {
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
pub(crate) struct Irqs {
    pub(crate) msi: RefCell<Vec<u32>>,
    pub(crate) pin: Cell<bool>,
}

impl IrqBus for Irqs {
    fn msi(&self, vector: u32) {
        self.msi.borrow_mut().push(vector);
    }
    fn intx(&self, asserted: bool) {
        self.pin.set(asserted);
    }
}

pub(crate) struct Bells(Vec<Cell<u32>>);

impl Doorbells for Bells {
    fn load(&self, index: usize) -> u32 {
        self.0[index].get()
    }
    fn store(&self, index: usize, value: u32) {
        self.0[index].set(value);
    }
}

pub(crate) struct Board {
    pub(crate) model: Model82599,
    pub(crate) memory: Memory,
    pub(crate) irqs: Irqs,
    bells: Bells,
    bell_offsets: Vec<(u8, u64)>,
    pub(crate) now: Duration,
    /// The other end of the wire.
    pub(crate) wire: PairEnd,
    depth: usize,
}

impl Board {
    /// A board that was just switched on.
    pub(crate) fn new(config: Config) -> Board {
        Board::with_wire(config, 4096)
    }

    /// The same with a wire that takes `frames` frames before it is busy.
    pub(crate) fn with_wire(config: Config, frames: usize) -> Board {
        let (wire, end) = pair(frames);
        let model = Model82599::new(config, Box::new(end));
        let bell_offsets = model.spec().doorbells;
        Board {
            model,
            memory: Memory::new(),
            irqs: Irqs::default(),
            bells: Bells(bell_offsets.iter().map(|_| Cell::new(0)).collect()),
            bell_offsets,
            now: Duration::from_secs(1),
            wire,
            depth: frames,
        }
    }

    /// A board with the link up, receive and transmit on, promiscuous, no queue yet.
    pub(crate) fn ready() -> Board {
        Board::ready_with(Config::new(MAC))
    }

    pub(crate) fn ready_with(config: Config) -> Board {
        let mut board = Board::new(config);
        board.wait_ms(20);
        board.w(0x5080, 1 << 8 | 1 << 9 | 1 << 10);
        board.w(0x3000, 1);
        board.w(0x4A80, 0x8100_0001);
        assert_eq!(board.r(0x42A4) >> 30 & 1, 1, "the link is up");
        board
    }

    /// A second board with the same memory and tails, at time `now`, whose model becomes what this one's is.
    pub(crate) fn fork_at(&self, now: Duration) -> Board {
        let mut other = Board::with_wire(Config::new([2, 0, 0, 0, 0, 9]), self.depth);
        other.now = now;
        other.memory = self.memory.copy();
        for (to, from) in other.bells.0.iter().zip(&self.bells.0) {
            to.set(from.get());
        }
        *other.irqs.msi.borrow_mut() = self.irqs.msi.borrow().clone();
        other.irqs.pin.set(self.irqs.pin.get());
        other.model.load_state(&self.model.save_state().unwrap()).unwrap();
        other
    }

    fn context<T>(&mut self, f: impl FnOnce(&mut Model82599, &mut Context<'_>) -> T) -> T {
        let mut cx = Context {
            dma: &self.memory,
            irq: &self.irqs,
            doorbells: &self.bells,
            config: &NoConfig,
            now: self.now,
        };
        f(&mut self.model, &mut cx)
    }

    /// Gives another device the board's surroundings.
    pub(crate) fn with<D, T>(&mut self, device: &mut D, f: impl FnOnce(&mut D, &mut Context<'_>) -> T) -> T {
        f(
            device,
            &mut Context {
                dma: &self.memory,
                irq: &self.irqs,
                doorbells: &self.bells,
                config: &NoConfig,
                now: self.now,
            },
        )
    }

    /// Reads a register.
    pub(crate) fn r(&mut self, offset: u64) -> u32 {
        let mut data = [0; 4];
        self.context(|model, cx| model.bar_read(cx, 0, offset, &mut data)).unwrap();
        u32::from_le_bytes(data)
    }

    /// Writes a register; what is a doorbell goes past the model, as in a backend.
    pub(crate) fn w(&mut self, offset: u64, value: u32) {
        match self.bell_offsets.binary_search(&(0, offset)) {
            Ok(index) => self.bells.0[index].set(value),
            Err(_) => self.context(|model, cx| model.bar_write(cx, 0, offset, &value.to_le_bytes())).unwrap(),
        }
    }

    pub(crate) fn access<T>(&mut self, f: impl FnOnce(&mut Model82599, &mut Context<'_>) -> T) -> T {
        self.context(f)
    }

    pub(crate) fn step(&mut self) -> Work {
        self.context(|model, cx| model.step(cx))
    }

    /// Steps until there is nothing to do.
    pub(crate) fn run(&mut self) {
        for _ in 0..10_000 {
            if self.step() == Work::Idle {
                return;
            }
        }
        panic!("the model never comes to rest");
    }

    pub(crate) fn wait(&mut self, time: Duration) {
        self.now += time;
        self.step();
    }

    /// Lets time pass, a step each millisecond.
    pub(crate) fn wait_ms(&mut self, ms: u64) {
        (0..ms).for_each(|_| self.wait(Duration::from_millis(1)));
    }

    pub(crate) fn wait_us(&mut self, us: u64) {
        self.wait(Duration::from_micros(us));
    }

    /// Puts a frame onto the wire and lets the model work.
    pub(crate) fn inject(&mut self, frame: &[u8]) {
        let sent = self.wire.transmit(frame, 0).unwrap();
        assert_eq!(sent, pmd_links::Sent::Accepted);
        self.run();
    }

    /// Takes all frames that the model sent.
    pub(crate) fn sent(&mut self) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        let mut frame = Vec::new();
        while self.wire.receive(&mut frame, 0).unwrap() {
            frames.push(frame.clone());
        }
        frames
    }

    /// Sets up a receive queue of one-buffer descriptors, 2 KB each, all given to the device but one.
    pub(crate) fn rx_ring(&mut self, queue: usize, len: u32) -> RxRing {
        self.rx_ring_with(queue, len, 1 << 25 | 2)
    }

    pub(crate) fn rx_ring_with(&mut self, queue: usize, len: u32, srrctl: u32) -> RxRing {
        let buffer = ((srrctl & 0x7F) as usize * 1024).max(64);
        let header = (srrctl >> 8 & 0x3F) as usize * 64;
        let base = self.memory.take(len as usize * 16);
        let (mut buffers, mut headers) = (Vec::new(), Vec::new());
        for i in 0..u64::from(len) {
            buffers.push(self.memory.take(buffer));
            headers.push(self.memory.take(header));
            self.memory.put_word(base + 16 * i, buffers[i as usize]);
            self.memory.put_word(base + 16 * i + 8, if header > 0 { headers[i as usize] } else { 0 });
        }
        let ring = RxRing { regs: rx_regs(queue), base, len, buffers, headers, next: 0 };
        self.w(ring.regs, base as u32);
        self.w(ring.regs + 4, (base >> 32) as u32);
        self.w(ring.regs + 8, len * 16);
        self.w(ring.regs + 0x14, srrctl);
        self.w(ring.regs + 0x28, 1 << 25);
        self.wait_us(20);
        assert_eq!(self.r(ring.regs + 0x28) >> 25 & 1, 1);
        self.w(ring.regs + 0x18, len - 1);
        ring
    }

    /// Sets up a transmit queue.
    pub(crate) fn tx_ring(&mut self, queue: usize, len: u32) -> TxRing {
        let regs = 0x6000 + 0x40 * queue as u64;
        let base = self.memory.take(len as usize * 16);
        self.w(regs, base as u32);
        self.w(regs + 4, (base >> 32) as u32);
        self.w(regs + 8, len * 16);
        self.w(regs + 0x28, 1 << 25);
        self.wait_us(20);
        assert_eq!(self.r(regs + 0x28) >> 25 & 1, 1);
        TxRing { regs, base, len, tail: 0 }
    }
}

/// The registers of a receive queue.
pub(crate) fn rx_regs(queue: usize) -> u64 {
    if queue < 64 { 0x1000 + 0x40 * queue as u64 } else { 0xD000 + 0x40 * (queue as u64 - 64) }
}

#[derive(Clone)]
pub(crate) struct RxRing {
    pub(crate) regs: u64,
    pub(crate) base: u64,
    pub(crate) len: u32,
    pub(crate) buffers: Vec<u64>,
    pub(crate) headers: Vec<u64>,
    next: u32,
}

/// A descriptor that came back, with the bytes of its buffer.
pub(crate) struct Received {
    pub(crate) index: usize,
    pub(crate) words: [u64; 2],
    pub(crate) data: Vec<u8>,
}

impl Received {
    pub(crate) fn status(&self) -> u32 {
        self.words[1] as u32
    }
    pub(crate) fn vlan(&self) -> u16 {
        (self.words[1] >> 48) as u16
    }
    pub(crate) fn hash(&self) -> u32 {
        (self.words[0] >> 32) as u32
    }
    pub(crate) fn kind(&self) -> u32 {
        self.words[0] as u32
    }
    pub(crate) fn end(&self) -> bool {
        self.status() & 2 != 0
    }
}

impl RxRing {
    /// Takes the next descriptor if it is done. Nothing is given back.
    pub(crate) fn poll(&mut self, board: &Board) -> Option<Received> {
        let index = self.next as usize;
        let at = self.base + 16 * index as u64;
        let words = [board.memory.word(at), board.memory.word(at + 8)];
        if words[1] & 1 == 0 {
            return None;
        }
        // Done is seen once, as by a driver that refills at once.
        board.memory.put_word(at + 8, 0);
        let len = (words[1] >> 32) as usize & 0xFFFF;
        self.next = (self.next + 1) % self.len;
        Some(Received { index, words, data: board.memory.get(self.buffers[index], len) })
    }

    /// Gives descriptors up to (not including) `tail` to the device again, refreshed.
    pub(crate) fn refill(&self, board: &mut Board, from: u32, tail: u32) {
        let mut index = from;
        while index != tail {
            let at = self.base + 16 * u64::from(index);
            board.memory.put_word(at, self.buffers[index as usize]);
            board.memory.put_word(at + 8, 0);
            index = (index + 1) % self.len;
        }
        board.w(self.regs + 0x18, tail);
    }

    /// Starts over at the ring's beginning.
    pub(crate) fn rewind(&mut self) {
        self.next = 0;
    }

    /// Takes the next legacy descriptor if it is done.
    pub(crate) fn poll_legacy(&mut self, board: &Board) -> Option<Received> {
        let index = self.next as usize;
        let at = self.base + 16 * index as u64;
        let words = [board.memory.word(at), board.memory.word(at + 8)];
        if words[1] >> 32 & 1 == 0 {
            return None;
        }
        self.next = (self.next + 1) % self.len;
        Some(Received {
            index,
            words,
            data: board.memory.get(self.buffers[index], words[1] as usize & 0xFFFF),
        })
    }

    /// All that is there.
    pub(crate) fn drain(&mut self, board: &Board) -> Vec<Received> {
        std::iter::from_fn(|| self.poll(board)).collect()
    }
}

#[derive(Clone)]
pub(crate) struct TxRing {
    pub(crate) regs: u64,
    pub(crate) base: u64,
    pub(crate) len: u32,
    pub(crate) tail: u32,
}

/// Word 1 of descriptors.
pub(crate) mod cmd {
    pub(crate) const EOP: u64 = 1 << 24;
    pub(crate) const IFCS: u64 = 1 << 25;
    pub(crate) const IC: u64 = 1 << 26;
    pub(crate) const RS: u64 = 1 << 27;
    pub(crate) const DEXT: u64 = 1 << 29;
    pub(crate) const VLE: u64 = 1 << 30;
    pub(crate) const TSE: u64 = 1 << 31;
    pub(crate) const DATA: u64 = 3 << 20 | DEXT | IFCS;
    pub(crate) const CONTEXT: u64 = 2 << 20 | DEXT;
    pub(crate) const IXSM: u64 = 1 << 40;
    pub(crate) const TXSM: u64 = 1 << 41;
    pub(crate) fn payload(len: usize) -> u64 {
        (len as u64) << 46
    }
}

impl TxRing {
    /// Writes one descriptor, without ringing; returns its address.
    pub(crate) fn put(&mut self, board: &Board, words: [u64; 2]) -> u64 {
        let at = self.base + 16 * u64::from(self.tail);
        board.memory.put_word(at, words[0]);
        board.memory.put_word(at + 8, words[1]);
        self.tail = (self.tail + 1) % self.len;
        at
    }

    /// Rings and lets the model work.
    pub(crate) fn ring(&self, board: &mut Board) {
        board.w(self.regs + 0x18, self.tail);
        board.run();
    }

    /// Sends bytes with one advanced descriptor, with more bits; returns the descriptor's address.
    pub(crate) fn send(&mut self, board: &mut Board, frame: &[u8], bits: u64) -> u64 {
        let at = board.memory.take(frame.len());
        board.memory.put(at, frame);
        let word = cmd::DATA | cmd::EOP | cmd::payload(frame.len()) | frame.len() as u64 | bits;
        let descriptor = self.put(board, [at, word]);
        self.ring(board);
        descriptor
    }
}

/// An Ethernet frame to `to`, of `len` bytes, with recognisable content.
pub(crate) fn frame(to: [u8; 6], len: usize) -> Vec<u8> {
    let mut frame = to.to_vec();
    frame.extend_from_slice(&[0x02, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0x88, 0xB5]);
    let from = frame.len();
    frame.extend((from..len).map(|i| (i * 7 % 251) as u8));
    frame
}
