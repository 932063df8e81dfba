//! The stream accelerator by its specification, and the dummy accelerator.

use pmd_afu::regs::stream::{Operation, Status, fault};
use pmd_afu_model::{AfuKind, Faults};

use crate::board::{AFU, Board};

const SIZE: u64 = 64;

/// A queue as its driver has it.
struct Ring {
    queue: u64,
    base: u64,
    tail: u64,
}

fn register(ring: &Ring, offset: u64) -> u64 {
    AFU + 0x1000 + 0x100 * ring.queue + offset
}

fn open(board: &mut Board, queue: u64, control: u32) -> Ring {
    let ring = Ring { queue, base: board.memory.take(32 * SIZE as usize), tail: 0 };
    board.w(2, register(&ring, 0), ring.base);
    board.w32(2, register(&ring, 8), SIZE as u32);
    board.w32(2, register(&ring, 0xC), 1 | control);
    assert_eq!(board.r(2, register(&ring, 0x18)), 1, "running");
    ring
}

impl Ring {
    fn push(&mut self, board: &Board, source: u64, length: u64, operation: u64, destination: u64) {
        let at = self.base + 32 * self.tail;
        for (word, value) in [source, length | operation << 32, destination, 0].into_iter().enumerate() {
            board.memory.put(at + 8 * word as u64, &value.to_le_bytes());
        }
        self.tail = (self.tail + 1) % SIZE;
    }

    fn ring(&self, board: &mut Board) {
        board.w32(2, register(self, 0x14), self.tail as u32);
        board.wait_us(2_000);
    }

    /// (done, status, result) of a descriptor.
    fn completion(&self, board: &Board, index: u64) -> (bool, u64, u32) {
        let word = board.memory.word(self.base + 32 * index + 24);
        (word >> 63 == 1, word >> 32 & 0xFF, word as u32)
    }

    fn state(&self, board: &mut Board) -> (u64, u64) {
        let state = board.r(2, register(self, 0x18));
        (state & 1, state >> 4 & 0xF)
    }
}

#[test]
fn checksums_are_those_of_the_published_crate() {
    let mut board = Board::ready(AfuKind::Stream);
    let mut ring = open(&mut board, 0, 0);
    let source = board.memory.patterned(200_000);
    board.memory.put(source, b"123456789");
    let lengths = [9u64, 1, 64, 4096, 16_384, 16_385, 200_000];
    for length in lengths {
        ring.push(&board, source, length, Operation::Crc32c as u64, 0);
    }
    ring.ring(&mut board);
    for (index, length) in (0..).zip(lengths) {
        let expected = crc32c::crc32c(&board.memory.get(source, length as usize));
        assert_eq!(ring.completion(&board, index), (true, 0, expected), "{length} bytes");
    }
    // RFC 3720 and everybody's check value.
    assert_eq!(ring.completion(&board, 0).2, 0xE306_9283);
    assert_eq!(board.r(2, AFU + 0x118), lengths.len() as u64, "pieces of work");
    assert_eq!(board.r(2, AFU + 0x128), lengths.iter().sum::<u64>(), "bytes");
    assert_eq!(board.r(2, register(&ring, 0x10)) & 0xFFFF_FFFF, lengths.len() as u64, "the head");
}

#[test]
fn copies_arrive_with_and_without_checksum() {
    let mut board = Board::ready(AfuKind::Stream);
    let mut ring = open(&mut board, 3, 0);
    let source = board.memory.patterned(50_000);
    let (one, two) = (board.memory.take(50_000), board.memory.take(50_000));
    ring.push(&board, source, 50_000, Operation::Copy as u64, one);
    ring.push(&board, source + 3, 40_001, Operation::CopyCrc32c as u64, two + 5);
    ring.ring(&mut board);
    assert_eq!(ring.completion(&board, 0), (true, 0, 50_000));
    assert_eq!(board.memory.get(one, 50_000), board.memory.get(source, 50_000));
    let data = board.memory.get(source + 3, 40_001);
    assert_eq!(ring.completion(&board, 1), (true, 0, crc32c::crc32c(&data)));
    assert_eq!(board.memory.get(two + 5, 40_001), data);
    assert_eq!(board.memory.get(two, 5), [0; 5]);
}

#[test]
fn work_that_fails_completes_with_its_status_and_the_queue_goes_on() {
    let mut board = Board::ready(AfuKind::Stream);
    let mut ring = open(&mut board, 0, 0);
    let source = board.memory.patterned(64);
    let crc = Operation::Crc32c as u64;
    for (source, length, operation, destination) in [
        (source, 64, 99, 0),
        (source, 0, crc, 0),
        (source, (16 << 20) + 1, crc, 0),
        (0x1000, 64, crc, 0),
        (source, 64, Operation::Copy as u64, 0x1000),
        (u64::MAX, 64, crc, 0),
        (source, 64, crc, 0),
    ] {
        ring.push(&board, source, length, operation, destination);
    }
    ring.ring(&mut board);
    let statuses: Vec<u64> = (0..7).map(|index| ring.completion(&board, index).1).collect();
    let [operation, length, from, to] =
        [Status::Operation, Status::Length, Status::Source, Status::Destination].map(|s| s as u64);
    assert_eq!(statuses, [operation, length, length, from, to, from, 0]);
    assert_eq!((board.r(2, AFU + 0x118), board.r(2, AFU + 0x120)), (7, 6));
    assert_eq!(ring.state(&mut board), (1, 0));
}

#[test]
fn rings_wrap_and_queues_take_turns() {
    let mut board = Board::ready(AfuKind::Stream);
    let mut rings: Vec<Ring> = (0..16).map(|queue| open(&mut board, queue, 0)).collect();
    let source = board.memory.patterned(4096);
    for round in 0..3u64 {
        for ring in &mut rings {
            for piece in 0..40 {
                ring.push(&board, source + 64 * piece, 64, Operation::Crc32c as u64, 0);
            }
            board.w32(2, register(ring, 0x14), ring.tail as u32);
        }
        board.wait_us(2_000);
        assert_eq!(board.r(2, AFU + 0x118), (round + 1) * 16 * 40);
    }
    for ring in &rings {
        assert_eq!(board.r(2, register(ring, 0x10)) & 0xFFFF_FFFF, ring.tail);
    }
}

#[test]
fn interrupts_come_when_both_sides_want_them() {
    let mut board = Board::ready(AfuKind::Stream);
    let source = board.memory.patterned(64);
    for (enabled, asked) in [(true, true), (true, false), (false, true)] {
        let mut ring = open(&mut board, 0, (u32::from(enabled)) << 1 | 2 << 16);
        let interrupt = u64::from(asked) << 8;
        ring.push(&board, source, 64, Operation::Crc32c as u64 | interrupt, 0);
        ring.ring(&mut board);
        assert!(ring.completion(&board, 0).0);
        assert_eq!(board.irqs.take(), if enabled && asked { vec![2] } else { vec![] });
        board.w32(2, register(&ring, 0xC), 0);
        assert_eq!(ring.state(&mut board), (0, 0));
    }
}

#[test]
fn a_queue_stops_by_itself_when_it_cannot_go_on() {
    let mut board = Board::ready(AfuKind::Stream);
    let mut ring = open(&mut board, 0, 0);
    board.w32(2, register(&ring, 0x14), SIZE as u32);
    assert_eq!(ring.state(&mut board), (0, fault::TAIL.into()));
    board.w32(2, register(&ring, 0xC), 0);
    board.w32(2, register(&ring, 8), 48);
    board.w32(2, register(&ring, 0xC), 1);
    assert_eq!(ring.state(&mut board), (0, fault::SIZE.into()));
    // A ring that is not there.
    board.w32(2, register(&ring, 0xC), 0);
    board.w32(2, register(&ring, 8), SIZE as u32);
    board.w(2, register(&ring, 0), 0x8000);
    board.w32(2, register(&ring, 0xC), 1);
    ring.tail = 1;
    ring.ring(&mut board);
    assert_eq!(ring.state(&mut board), (0, fault::READ.into()));
    // One that cannot be written.
    let source = board.memory.patterned(64);
    let mut ring = open(&mut board, 1, 0);
    ring.push(&board, source, 64, Operation::Crc32c as u64, 0);
    *board.memory.writable.borrow_mut() = vec![(source, source + 64)];
    ring.ring(&mut board);
    assert_eq!(ring.state(&mut board), (0, fault::WRITE.into()));
}

#[test]
fn a_queue_ends_the_work_it_is_at_before_it_stops() {
    let mut board = Board::ready(AfuKind::Stream);
    let mut ring = open(&mut board, 0, 0);
    let source = board.memory.patterned(1 << 20);
    ring.push(&board, source, 1 << 20, Operation::Crc32c as u64, 0);
    ring.push(&board, source, 64, Operation::Crc32c as u64, 0);
    board.w32(2, register(&ring, 0x14), 2);
    board.wait_us(1);
    board.w32(2, register(&ring, 0xC), 0);
    assert_eq!(ring.state(&mut board), (1, 0), "it is still at work");
    board.wait_us(2_000);
    assert_eq!(ring.state(&mut board), (0, 0));
    assert!(ring.completion(&board, 0).0 && !ring.completion(&board, 1).0);
    assert_eq!(board.r(2, register(&ring, 0)), ring.base);
}

#[test]
fn a_reset_stops_all_queues_at_once() {
    let mut board = Board::ready(AfuKind::Stream);
    let mut ring = open(&mut board, 5, 0);
    board.w(2, AFU + 0x110, 7);
    board.control.set_faults(0, Faults { stalled: true, ..Faults::default() });
    ring.push(&board, ring.base, 64, Operation::Crc32c as u64, 0);
    ring.ring(&mut board);
    assert!(!ring.completion(&board, 0).0);
    board.w32(2, AFU + 0x108, 1);
    assert_eq!(board.r(2, AFU + 0x108), 0);
    assert_eq!((ring.state(&mut board), board.r(2, register(&ring, 0))), ((0, 0), 0));
    board.control.set_faults(0, Faults::default());
    board.wait_us(100);
    assert!(!ring.completion(&board, 0).0);
    let capability = board.r(2, AFU + 0x100);
    assert_eq!((capability & 0xFF, capability >> 8 & 0xFF, capability >> 16 & 0xFF), (1, 16, 11));
    assert_eq!(capability >> 32, 0b1110);
}

#[test]
fn the_dummy_accelerator_keeps_what_is_written_and_copies_a_line() {
    let mut board = Board::ready(AfuKind::Dummy);
    board.w(2, AFU + 0x28, 0xC0C0_CAFE_0000_0001);
    board.w32(2, AFU + 0x28, 2);
    assert_eq!(board.r(2, AFU + 0x28), 0xC0C0_CAFE_0000_0002);
    for pad in 0..64u64 {
        board.w(2, AFU + 0x1000 + 8 * pad, 0xC0C0_CAFE | pad);
    }
    for pad in 0..64u64 {
        assert_eq!(board.r(2, AFU + 0x1000 + 8 * pad), 0xC0C0_CAFE | pad);
    }
    let (source, destination) = (board.memory.patterned(64), board.memory.take(64));
    board.w(2, AFU + 0x2050, source);
    board.w(2, AFU + 0x2058, destination);
    board.w(2, AFU + 0x2040, 0);
    board.w(2, AFU + 0x2040, 1);
    assert!(board.wait_for(10, |board| board.r(2, AFU + 0x2048) == 1));
    assert_eq!(board.memory.get(source, 64), board.memory.get(destination, 64));
    assert_eq!(board.irqs.take(), [0]);
    board.w(2, AFU + 0x2058, 0x1000);
    board.w(2, AFU + 0x2040, 0);
    board.w(2, AFU + 0x2040, 1);
    assert!(board.wait_for(10, |board| board.r(2, AFU + 0x2048) == 2), "a copy that failed");
}
