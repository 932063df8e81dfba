//! The device's state leaves a model and another one goes on with it: at each step of a life, register by register and
//! packet by packet.

use std::time::Duration;

use pmd_ixgbe_model::Config;

use crate::board::{Board, MAC, RxRing, TxRing, cmd, frame};
use crate::packets::Packet;

/// A board, and the rings that its driver knows of.
pub(crate) struct Life {
    pub(crate) board: Board,
    rx: Vec<RxRing>,
    tx: Vec<TxRing>,
}

impl Life {
    /// The wire takes four frames before it is busy.
    fn begin() -> Life {
        Life { board: Board::with_wire(Config::new(MAC), 4), rx: Vec::new(), tx: Vec::new() }
    }

    /// A life in full swing: paused and limited, packets waiting each way, filters set.
    pub(crate) fn busy() -> Life {
        Life::until(22)
    }

    /// Lives through the first steps. What is on the wire is taken before each of them, so that what the last one sent is still
    /// there, and the wire busy if that was much.
    fn until(step: usize) -> Life {
        let mut life = Life::begin();
        for (_, step) in &STEPS[..=step] {
            life.seen();
            step(&mut life);
        }
        life
    }

    /// The copy's time begins with its first call: both are asked for CTRL at this moment.
    fn fork(&mut self, now: Duration) -> Life {
        let control = self.board.r(0);
        let mut board = self.board.fork_at(now);
        assert_eq!(board.r(0), control);
        Life { board, rx: self.rx.clone(), tx: self.tx.clone() }
    }

    /// What the world saw of the device since it was last asked, as one text.
    fn seen(&mut self) -> String {
        let irqs: Vec<u32> = std::mem::take(&mut *self.board.irqs.msi.borrow_mut());
        let mut sent = self.board.sent();
        // What the busy wire held back comes after.
        loop {
            self.board.step();
            let more = self.board.sent();
            if more.is_empty() {
                break;
            }
            sent.extend(more);
        }
        format!("{irqs:?} {} {sent:?}", self.board.irqs.pin.get())
    }

    /// All of BAR 0 and all of memory. Reads what clears on read, so it is the last that is done.
    fn everything(&mut self) -> (Vec<u32>, Vec<u8>) {
        let registers = (0..0x1_6000).step_by(4).map(|offset| self.board.r(offset)).collect();
        (registers, self.board.memory.all())
    }

    /// Sends so much that the wire is busy in the middle of it.
    fn segmented(&mut self) {
        let packet = Packet { payload: vec![7; 9_000], ..Packet::tcp() };
        let bytes = packet.build();
        let headers = packet.headers();
        let at = self.board.memory.take(bytes.len());
        self.board.memory.put(at, &bytes);
        let ring = &mut self.tx[0];
        let high = cmd::CONTEXT | 1 << 10 | 1 << 11 | 20 << 40 | 1_000 << 48;
        ring.put(&self.board, [14 << 9 | 20, high]);
        let payload = (bytes.len() - headers) as u64;
        let word = cmd::DATA | cmd::TSE | cmd::IXSM | cmd::TXSM | payload << 46 | cmd::EOP | cmd::RS;
        ring.put(&self.board, [at, word | bytes.len() as u64]);
        self.board.w(ring.regs + 0x18, ring.tail);
        self.board.run();
    }

    fn send(&mut self, ring: usize, len: usize, bits: u64) {
        let Life { board, tx, .. } = self;
        tx[ring].send(board, &frame(MAC, len), bits);
    }
}

type Step = fn(&mut Life);

/// A life from power-on to a reset, with something unfinished after each step.
const STEPS: &[(&str, Step)] = &[
    ("power-on", |_| {}),
    ("training", |l| l.board.wait_ms(1)),
    ("link up", |l| l.board.wait_ms(20)),
    ("filters and engines", |l| {
        let board = &mut l.board;
        [(0x5080, 1 << 10), (0x5200, 5), (0x3000, 1), (0x4A80, 0x8100_0001), (0x5400, 0x3322_1102)]
            .into_iter()
            .for_each(|(register, value)| board.w(register, value));
        board.w(0x5404, 0x8000_5544);
        board.w(0x5080, 1 << 9 | 1 << 8 | 1 << 10);
        board.w(0xA000, 0xFFFF_0000);
    }),
    ("vectors and moderation", |l| {
        let board = &mut l.board;
        board.w(0x898, 1 << 4 | 1 << 5 | 1 << 30 | 1 << 31);
        board.w(0x900, 0x8180_8180);
        board.w(0x820, 100 << 3);
        board.w(0x880, 0x7FFF_FFFF);
        board.w(0xA00, 0x8282);
    }),
    ("rings being enabled", |l| {
        let ring = l.board.rx_ring(0, 8);
        l.rx.push(ring);
        let ring = l.board.tx_ring(0, 64);
        l.tx.push(ring);
        let regs = 0x6040;
        l.board.w(regs, 0);
    }),
    ("frames received", |l| (0..3).for_each(|i| l.board.inject(&frame(MAC, 60 + i)))),
    ("frames waiting for descriptors", |l| (0..9).for_each(|i| l.board.inject(&frame(MAC, 100 + i)))),
    ("descriptors refilled", |l| {
        let ring = l.rx[0].clone();
        ring.refill(&mut l.board, 7, 5);
        l.board.run();
    }),
    ("half a packet gathered", |l| {
        let at = l.board.memory.take(500);
        l.board.memory.put(at, &frame(MAC, 500));
        l.tx[0].put(&l.board, [at, cmd::DATA | cmd::payload(500) | 100]);
        l.tx[0].ring(&mut l.board);
        l.tx[0].put(&l.board, [at + 100, cmd::DATA | cmd::EOP | cmd::RS | 400]);
    }),
    ("a packet half cut, the wire busy", |l| {
        l.tx[0].ring(&mut l.board);
        l.segmented();
    }),
    ("reports held back", |l| {
        l.board.w(0x6028, 1 << 25 | 4 << 16);
        l.send(0, 64, cmd::RS);
        l.send(0, 65, cmd::RS);
    }),
    ("the module's bus in the middle of a byte", |l| {
        [0xA, 0x2, 0x0, 0x8, 0xA, 0x8, 0x0, 0x2, 0x0].into_iter().for_each(|pins| l.board.w(0x28, pins));
    }),
    ("the serial EEPROM in the middle of a command", |l| {
        for pins in [0x40, 0x48, 0x49, 0x48, 0x4C, 0x4D, 0x4C] {
            l.board.w(0x10010, pins);
        }
    }),
    ("EEPROM word, MDIO command, semaphore", |l| {
        l.board.w(0x10014, 0x3F << 2 | 1);
        l.board.w(0x425C, 1 << 30 | 2 << 26);
        l.board.r(0x10140);
    }),
    ("flow filters", |l| {
        let board = &mut l.board;
        board.w(0xEE68, 0x3DAD_14E2);
        board.w(0xEE6C, 0x174D_3614);
        board.w(0xEE00, 1 | 1 << 4 | 1 << 5 | 6 << 16 | 4 << 28);
        board.wait_ms(1);
        board.w(0xEE28, 0x123);
        board.w(0xEE2C, 1 | 1 << 3 | 2 << 5 | 1 << 15);
        board.w(0xE600, 1 << 31 | 0x1F << 25);
    }),
    ("clock, stamp, timer", |l| {
        let board = &mut l.board;
        board.w(0x8C14, 10 << 24 | 64);
        board.w(0x5188, 4 << 1 | 1 << 4);
        board.w(0x8C00, 1 << 4);
        board.wait_us(300);
        board.w(0x4C, 5 | 1 << 8 | 1 << 9 | 1 << 11);
        board.inject(&frame(MAC, 90));
        l.send(0, 90, 1 << 19);
        l.board.r(0x8C0C);
    }),
    ("paused by the partner", |l| {
        let mut pause = vec![0u8; 60];
        pause[..6].copy_from_slice(&[0x01, 0x80, 0xC2, 0, 0, 1]);
        pause[12..18].copy_from_slice(&[0x88, 0x08, 0, 1, 0x40, 0]);
        l.board.w(0x4294, 1 << 3);
        l.board.inject(&pause);
        l.send(0, 77, cmd::RS);
    }),
    ("the pause over", |l| l.board.wait_ms(900)),
    ("the partner paused", |l| {
        let board = &mut l.board;
        board.w(0x3D00, 1 << 3);
        board.w(0x3200, 0x1000);
        board.w(0x32A0, 0x800);
        board.w(0x3220, 1 << 31 | 0x20);
        board.w(0x3260, 1 << 31 | 0x60);
        (0..12).for_each(|i| board.inject(&frame(MAC, 1_000 + i)));
    }),
    ("a rate limit", |l| {
        l.board.w(0x4904, 0);
        l.board.w(0x4984, 1 << 31 | 100 << 14);
        (0..3).for_each(|i| l.send(0, 1_000 + i, cmd::RS));
    }),
    ("causes masked and moderated", |l| {
        l.board.w(0x888, 0xFFFF_FFFF);
        l.board.w(0x808, 1 << 20 | 3);
        l.board.w(0x880, 1);
    }),
    ("receive classes, tags stripped", |l| {
        l.board.w(0x5818, 1 | 1 << 16 | 1 << 17);
        l.board.w(0x5C00, 0x0100_0100);
        (0..10).for_each(|i| l.board.w(0x5C80 + 4 * i, 0x0123_4567 * (i as u32 + 1)));
        l.board.w(0x5000, 1 << 13);
        l.board.w(0x1028, 1 << 25 | 1 << 30);
        let ring = l.board.rx_ring_with(1, 16, 2 << 25 | 4 << 8 | 2);
        l.rx.push(ring);
        l.board.inject(&Packet { vlan: Some(0x2005), ..Packet::tcp() }.build());
        l.board.inject(&Packet::udp().v6().build());
    }),
    ("a fault", |l| {
        let ring = l.board.tx_ring(3, 8);
        l.board.memory.put_word(ring.base, 0x10);
        l.board.memory.put_word(ring.base + 8, cmd::DATA | cmd::EOP | 60);
        l.tx.push(ring);
        l.board.w(0x60D8, 1);
        l.board.run();
    }),
    ("in reset", |l| l.board.w(0, 1 << 26)),
    ("after it", |l| l.board.wait_us(100)),
    ("and up again", |l| l.board.wait_ms(20)),
];

fn forked_after(step: usize, later: Duration) {
    let (name, _) = STEPS[step];
    let mut one = Life::until(step);
    // What is on the wire has left the device.
    one.board.sent();
    let mut two = one.fork(one.board.now + later);
    for (then, step) in &STEPS[step + 1..] {
        assert_eq!(one.seen(), two.seen(), "forked after '{name}', before '{then}'");
        step(&mut one);
        step(&mut two);
    }
    assert_eq!(one.seen(), two.seen(), "forked after '{name}', at the end");
    compare(name, &mut one, &mut two);
}

fn compare(name: &str, one: &mut Life, two: &mut Life) {
    assert_eq!(one.board.model.inspect().counters(), two.board.model.inspect().counters(), "{name}");
    let ((registers, memory), (copied, copied_memory)) = (one.everything(), two.everything());
    for (place, (a, b)) in registers.iter().zip(&copied).enumerate() {
        assert_eq!(a, b, "register {:#x} after '{name}'", place * 4);
    }
    assert!(memory == copied_memory, "memory after '{name}'");
}

#[test]
fn at_each_step_of_a_life_the_copy_does_what_the_original_does() {
    for step in 0..STEPS.len() {
        forked_after(step, Duration::ZERO);
    }
}

#[test]
fn the_life_is_as_eventful_as_its_steps_say() {
    let counters = Life::until(STEPS.len() - 1).board.model.inspect().counters();
    assert_eq!((counters.tx_malformed, counters.dma_faults, counters.resets), (0, 1, 1), "{counters:?}");
    assert!(counters.tx_busy > 0 && counters.rx_flushed > 0, "{counters:?}");
    // 9 segments, a packet in pieces, four alone, three limited, and the PAUSE frame.
    assert!(counters.tx_frames >= 15, "{counters:?}");
}

#[test]
fn the_registers_at_each_step_are_the_same() {
    for (step, (name, _)) in STEPS.iter().enumerate() {
        let mut one = Life::until(step);
        one.board.sent();
        let mut two = one.fork(one.board.now);
        compare(name, &mut one, &mut two);
    }
}

#[test]
fn a_device_does_not_notice_that_the_clock_is_another() {
    for (step, by) in [(1, 3_600), (10, 1), (16, 100_000), (20, 7), (24, 1)] {
        forked_after(step, Duration::from_secs(by));
    }
    // Back in time, too: the new host was switched on later.
    let mut life = Life::until(16);
    life.board.wait_ms(5_000);
    life.board.sent();
    let mut copy = life.fork(Duration::from_millis(1));
    for _ in 0..3 {
        life.board.wait_ms(7);
        copy.board.wait_ms(7);
        assert_eq!(life.seen(), copy.seen());
    }
    compare("a younger host", &mut life, &mut copy);
}
