//! Mode noisy: a neighbour with a memory of its own. Packets wait in a queue, and each of them costs reads and writes all
//! over a table, as in a network function that looks up flows.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use vfio_hal::dma::pool::{Buf, Burst};

use super::options::NoisyArgs;
use crate::fault::Fault;

/// A line of the processor's cache, in words of 8 bytes: no two accesses of a table this wide share one by chance.
const LINE: usize = 8;

/// One stream's queue and table.
pub(crate) struct Noisy {
    queue: VecDeque<Buf>,
    size: usize,
    flush: Duration,
    flushed: Instant,
    table: Vec<u64>,
    reads: u32,
    writes: u32,
    both: u32,
    random: u64,
}

impl Noisy {
    pub(crate) fn new(args: &NoisyArgs) -> Result<Noisy, Fault> {
        let words = args.noisy_lkup_memory as usize * (1 << 20) / size_of::<u64>();
        let mut table = Vec::new();
        table.try_reserve_exact(words).map_err(|_| {
            let asked = args.noisy_lkup_memory;
            Fault::Run(format!(
                "there is no memory for --noisy-lkup-memory {asked} MiB on each queue: ask for less"
            ))
        })?;
        // Written, so that every page is there.
        table.resize(words, 1);
        Ok(Noisy {
            queue: VecDeque::with_capacity(args.noisy_tx_sw_buffer_size as usize),
            size: args.noisy_tx_sw_buffer_size as usize,
            flush: Duration::from_millis(args.noisy_tx_sw_buffer_flushtime.into()),
            flushed: Instant::now(),
            table,
            reads: args.noisy_lkup_num_reads,
            writes: args.noisy_lkup_num_writes,
            both: args.noisy_lkup_num_reads_writes,
            random: 0x9e37_79b9_7f4a_7c15,
        })
    }

    /// Takes the packets of `burst`, and leaves in it those that are to be sent now: all without a queue, else those that
    /// the queue has no room for, and when the flush time is over, or with `all`, what it holds.
    pub(crate) fn pass(&mut self, burst: &mut Burst, all: bool) {
        for _ in 0..burst.len() {
            self.look_up();
        }
        if self.size == 0 {
            return;
        }
        while let Some(buf) = burst.take() {
            self.queue.push_back(buf);
        }
        let over = all || self.flushed.elapsed() >= self.flush;
        let keep = if over { 0 } else { self.size };
        while self.queue.len() > keep && burst.room() != 0 {
            let Some(buf) = self.queue.pop_front() else { break };
            // There is room.
            let _ = burst.push(buf);
        }
        if over && self.queue.is_empty() {
            self.flushed = Instant::now();
        }
    }

    /// Returns how many packets wait.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Returns how many packets the queue and a burst on its way into it can hold.
    pub(crate) fn holds(args: &NoisyArgs, burst: u16) -> u32 {
        match args.noisy_tx_sw_buffer_size {
            0 => 0,
            size => size + u32::from(burst),
        }
    }

    /// What one packet costs.
    fn look_up(&mut self) {
        if self.table.len() < LINE {
            return;
        }
        let mut found = 0;
        for _ in 0..self.reads {
            let place = self.place();
            found ^= self.table[place];
        }
        for _ in 0..self.writes {
            let place = self.place();
            self.table[place] = found;
        }
        for _ in 0..self.both {
            let place = self.place();
            self.table[place] = self.table[place].wrapping_add(1);
        }
        // What is read must seem to matter, or the compiler leaves the reads out.
        std::hint::black_box(found);
    }

    /// Returns a place of the table by chance (xorshift, Marsaglia 2003).
    fn place(&mut self) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let lines = self.table.len() / LINE;
        (self.random % lines as u64) as usize * LINE
    }
}
