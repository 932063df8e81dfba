//! From power-on to link: reset, EEPROM, semaphores, module, negotiation.

use pmd_ixgbe_model::{Config, Module, Part};
use vfio_user_kit::{AccessError, BarKind, DeviceModel, ResetKind};

use crate::board::{Board, MAC};

const CTRL: u64 = 0x0;
const STATUS: u64 = 0x8;
const ESDP: u64 = 0x20;
const EEC: u64 = 0x10010;
const EERD: u64 = 0x10014;
const AUTOC: u64 = 0x42A0;
const LINKS: u64 = 0x42A4;
const ANLP1: u64 = 0x42B0;
const EICR: u64 = 0x800;
const LSC: u32 = 1 << 20;

fn eeprom(board: &mut Board, word: u32) -> u16 {
    board.w(EERD, word << 2 | 1);
    for _ in 0..10 {
        let value = board.r(EERD);
        if value & 2 != 0 {
            return (value >> 16) as u16;
        }
        board.wait_us(5);
    }
    panic!("EERD does not answer");
}

#[test]
fn the_function_is_an_82599() {
    let board = Board::new(Config::new(MAC));
    let spec = board.model.spec();
    assert_eq!((spec.ids.vendor, spec.ids.device, spec.ids.class), (0x8086, 0x10FB, 0x02_0000));
    assert_eq!((spec.bars[0].size, spec.bars[0].kind), (512 << 10, BarKind::Memory64));
    assert_eq!((spec.msix_vectors, spec.msix_bar), (64, 4));
    assert_eq!(spec.serial, Some(0x0211_22FF_FF33_4455));
    assert_eq!(spec.doorbells.len(), 256);
    assert!(spec.doorbells.is_sorted());
    for offset in [0x1018, 0x1FD8, 0x6018, 0x7FD8, 0xD018, 0xDFD8] {
        assert!(spec.doorbells.contains(&(0, offset)), "{offset:#x}");
    }
}

#[test]
fn a_reset_clears_itself_within_ten_microseconds() {
    let mut board = Board::new(Config::new(MAC));
    for bit in [1 << 26, 1 << 3] {
        board.w(CTRL, bit);
        assert_eq!(board.r(CTRL) & bit, bit, "at once it is still running");
        board.wait_us(10);
        assert_eq!(board.r(CTRL) & bit, 0);
    }
}

#[test]
fn after_a_reset_the_eeprom_is_read_again() {
    let mut board = Board::new(Config::new(MAC));
    board.w(0x5404, 0); // RAH: the address goes
    board.w(CTRL, 1 << 26);
    board.wait_us(10);
    assert_eq!(board.r(EEC) & 1 << 9, 0, "the auto-read takes its time");
    assert_eq!(board.r(0x2F00) & 1 << 3, 0, "and so does the DMA unit");
    board.wait_ms(1);
    assert_eq!(board.r(EEC) & (1 << 9 | 1 << 8), 1 << 9 | 1 << 8);
    assert_eq!(board.r(0x2F00) & 1 << 3, 1 << 3);
    assert_eq!((board.r(0x5400), board.r(0x5404)), (0x3322_1102, 0x8000_5544));
}

#[test]
fn registers_are_back_after_a_reset_and_tables_are_not() {
    let mut board = Board::new(Config::new(MAC));
    board.w(0x5200, 0xFFFF_FFFF); // MTA
    board.w(0x5080, 1 << 9); // FCTRL
    board.w(0x10160, 5); // SW_FW_SYNC
    board.w(CTRL, 1 << 26);
    board.wait_ms(1);
    assert_eq!((board.r(0x5200), board.r(0x5080), board.r(0x10160)), (0xFFFF_FFFF, 0, 5));
    board.access(|model, cx| model.reset(cx, ResetKind::Function));
    board.wait_ms(1);
    assert_eq!((board.r(0x5200), board.r(0x10160)), (0, 0));
}

#[test]
fn ram_noise_shows_which_tables_nobody_cleared() {
    let mut board = Board::new(Config { ram_noise: Some(7), ..Config::new(MAC) });
    assert_ne!(board.r(0x5200), 0);
    assert_ne!(board.r(0xF400), 0);
    assert_eq!(board.r(0x5080), 0, "a register is no RAM");
    assert_eq!(board.r(0x5404), 0x8000_5544);
}

#[test]
fn the_primary_disable_bit_stops_requests() {
    let mut board = Board::new(Config::new(MAC));
    assert_eq!(board.r(STATUS) & 1 << 19, 1 << 19);
    board.w(CTRL, 1 << 2);
    assert_eq!(board.r(STATUS) & 1 << 19, 0);
}

#[test]
fn eerd_reads_words_whose_sum_is_right() {
    let mut board = Board::new(Config::new(MAC));
    let sum = (0..0x40).fold(0u16, |sum, word| sum.wrapping_add(eeprom(&mut board, word)));
    assert_eq!(sum, 0xBABA);
    let core = u32::from(eeprom(&mut board, 0x09));
    assert_eq!(eeprom(&mut board, core + 1), 0x1102);
    assert_eq!(eeprom(&mut board, 0x3FFF), 0xFFFF, "beyond the end");
}

#[test]
fn the_software_semaphore_goes_to_the_first_reader() {
    let mut board = Board::new(Config::new(MAC));
    assert_eq!(board.r(0x10140) & 1, 0);
    assert_eq!(board.r(0x10140) & 1, 1);
    board.w(0x10140, 3);
    assert_eq!(board.r(0x10140) & 2, 2);
    board.w(0x10140, 0);
    assert_eq!(board.r(0x10140) & 3, 0);
}

#[test]
fn there_is_no_phy_on_mdio() {
    let mut board = Board::new(Config::new(MAC));
    board.w(0x425C, 1 << 30 | 3 << 26 | 1 << 16 | 2);
    assert_ne!(board.r(0x425C) & 1 << 30, 0);
    board.wait_us(100);
    assert_eq!(board.r(0x425C) & 1 << 30, 0);
    assert_eq!(board.r(0x4260) >> 16, 0xFFFF);
}

#[test]
fn the_link_comes_up_and_says_so_once() {
    let mut board = Board::new(Config::new(MAC));
    assert_eq!(board.r(LINKS) & 1 << 30, 0);
    board.wait_ms(20);
    assert_eq!(board.r(LINKS) >> 28 & 7, 0b111, "up at 10 Gbit/s");
    assert_eq!(board.r(EICR) & LSC, LSC);
    assert_eq!(board.r(EICR) & LSC, 0, "reading clears");
}

#[test]
fn restarting_negotiation_takes_the_link_down_for_a_while() {
    let mut board = Board::new(Config::new(MAC));
    board.wait_ms(20);
    board.r(EICR);
    let autoc = board.r(AUTOC);
    board.w(AUTOC, (autoc | 1 << 12) ^ 4 << 13);
    assert_eq!(board.r(ANLP1) >> 16 & 0xF, 0);
    assert_eq!(board.r(AUTOC) & 1 << 12, 0, "self-clearing");
    board.wait_ms(4);
    assert_ne!(board.r(ANLP1) >> 16 & 0xF, 0, "software waits for this");
    board.w(AUTOC, autoc | 1 << 12);
    assert_eq!(board.r(LINKS) & 1 << 30, 0);
    board.wait_ms(20);
    assert_eq!(board.r(LINKS) & 1 << 30, 1 << 30);
    assert_eq!(board.r(EICR) & LSC, LSC);
}

#[test]
fn a_dark_laser_an_empty_cage_and_a_pulled_cable_are_no_link() {
    let mut board = Board::new(Config::new(MAC));
    board.wait_ms(20);
    let esdp = board.r(ESDP);
    assert_eq!(esdp & 1 << 2, 1 << 2, "a module is there");
    board.w(ESDP, esdp | 1 << 3);
    assert_eq!(board.r(LINKS) & 1 << 30, 0);
    board.w(ESDP, esdp);
    board.wait_ms(20);
    assert_eq!(board.r(LINKS) & 1 << 30, 1 << 30);
    drop(std::mem::replace(&mut board.wire, pmd_links::pair(1).0));
    board.wait_ms(5);
    assert_eq!(board.r(LINKS) & 1 << 30, 0);

    let mut board = Board::new(Config { module: Module::Absent, ..Config::new(MAC) });
    board.wait_ms(50);
    assert_eq!((board.r(LINKS) & 1 << 30, board.r(ESDP) & 1 << 2), (0, 0));
}

#[test]
fn a_backplane_negotiates() {
    let mut board = Board::new(Config { part: Part::BackplaneKx4, ..Config::new(MAC) });
    assert_eq!(board.model.spec().ids.device, 0x10F7);
    board.wait_ms(20);
    assert_eq!(board.r(AUTOC) >> 13 & 7, 4, "KX4, KX and KR");
    assert_eq!(board.r(LINKS) >> 28, 0b1111, "negotiated, up, 10 Gbit/s");
    assert_eq!(board.r(ANLP1) & 0x400, 0x400, "the partner can PAUSE");
}

#[test]
fn holes_in_the_map_read_zero_and_are_counted() {
    let mut board = Board::new(Config::new(MAC));
    board.w(0x7_0000, 0xDEAD_BEEF);
    assert_eq!(board.r(0x7_0000), 0);
    let counters = board.model.inspect().counters();
    assert_eq!((counters.unknown_reads, counters.unknown_writes), (1, 1));
    let mut data = [0; 4];
    let beyond = board.access(|model, cx| model.bar_read(cx, 0, 0x8_0000, &mut data));
    assert_eq!(beyond, Err(AccessError::OutOfRange { bar: 0, offset: 0x8_0000 }));
    let bar2 = board.access(|model, cx| model.bar_read(cx, 2, 0, &mut data));
    assert_eq!(bar2, Err(AccessError::OutOfRange { bar: 2, offset: 0 }));
}

#[test]
fn write_masks_are_those_that_the_kernels_register_test_expects() {
    // Linux's offline register test: what is written under the mask reads back, no other bit sticks.
    let cases = [
        (0x3220u64, 0x8007_FFF0u32, 0x8007_FFF0u32),
        (0x3260, 0x8007_FFF0, 0x8007_FFF0),
        (0x3008, u32::MAX, u32::MAX),
        (0x5088, 0, 0),
        (0x1000, 0xFFFF_FF80, 0xFFFF_FF80),
        (0x1004, u32::MAX, u32::MAX),
        (0x1008, 0x000F_FF80, 0x000F_FFFF),
        (0x3200, u32::MAX, u32::MAX),
        (0x6000, 0xFFFF_FF80, u32::MAX),
        (0x6004, u32::MAX, u32::MAX),
        (0x6008, 0x000F_FF80, 0x000F_FF80),
        (0x5400, u32::MAX, u32::MAX),
        (0x5404, 0x8001_FFFF, 0x800C_FFFF),
        (0x5200, u32::MAX, u32::MAX),
    ];
    let mut board = Board::new(Config::new(MAC));
    for (offset, mask, write) in cases {
        for pattern in [0x5A5A_5A5A, 0xA5A5_A5A5, 0, u32::MAX] {
            board.w(offset, pattern & write);
            assert_eq!(board.r(offset), pattern & write & mask, "{offset:#x} {pattern:#x}");
        }
    }
}

#[test]
fn the_eeprom_can_be_read_and_written_over_its_pins() {
    const SK: u32 = 1;
    const CS: u32 = 2;
    const DI: u32 = 4;
    const DO: u32 = 8;
    const REQ: u32 = 1 << 6;
    const GNT: u32 = 1 << 7;
    fn command(board: &mut Board, bytes: &[u8], answer: usize) -> Vec<u8> {
        board.w(EEC, REQ);
        for bit in bytes.iter().flat_map(|byte| (0..8).rev().map(move |i| byte >> i & 1)) {
            let data = if bit == 1 { DI } else { 0 };
            board.w(EEC, REQ | data);
            board.w(EEC, REQ | data | SK);
            board.w(EEC, REQ | data);
        }
        let mut read_byte = || {
            (0..8).fold(0u8, |byte, _| {
                board.w(EEC, REQ | SK);
                let bit = u8::from(board.r(EEC) & DO != 0);
                board.w(EEC, REQ);
                byte << 1 | bit
            })
        };
        let answer = (0..answer).map(|_| read_byte()).collect();
        board.w(EEC, REQ | CS);
        answer
    }
    let mut board = Board::new(Config::new(MAC));
    board.w(EEC, REQ | CS);
    assert_eq!(board.r(EEC) & GNT, GNT);
    let word = eeprom(&mut board, 0x3F).to_le_bytes();
    assert_eq!(command(&mut board, &[3, 0, 0x7E], 2), word);
    command(&mut board, &[6], 0); // write enable
    command(&mut board, &[2, 0x20, 0x00, 0x34, 0x12], 0);
    board.w(EEC, 0);
    assert_eq!(board.r(EEC) & GNT, 0);
    board.w(CTRL, 1 << 26);
    board.wait_ms(1);
    assert_eq!(eeprom(&mut board, 0x1000), 0x1234, "it stays over a reset");
}

#[test]
fn a_module_is_read_over_i2c() {
    const I2CCTL: u64 = 0x28;
    struct Bus<'b>(&'b mut Board);
    impl Bus<'_> {
        fn set(&mut self, clock: bool, data: bool) {
            self.0.w(I2CCTL, u32::from(clock) << 1 | u32::from(data) << 3);
        }
        fn clock(&mut self, data: bool) -> bool {
            self.set(false, data);
            self.set(true, data);
            let level = self.0.r(I2CCTL) & 4 != 0;
            self.set(false, data);
            level
        }
        fn start(&mut self) {
            self.set(false, true);
            self.set(true, true);
            self.set(true, false);
            self.set(false, false);
        }
        /// Returns whether it was acknowledged.
        fn send(&mut self, byte: u8) -> bool {
            (0..8).rev().for_each(|i| {
                self.clock(byte >> i & 1 == 1);
            });
            !self.clock(true)
        }
        fn read(&mut self, offset: u8) -> Option<u8> {
            self.start();
            if !self.send(0xA0) {
                return None;
            }
            assert!(self.send(offset));
            self.start();
            assert!(self.send(0xA1));
            let byte = (0..8).fold(0, |byte, _| byte << 1 | u8::from(self.clock(true)));
            self.clock(true); // no more
            self.set(true, false);
            self.set(true, true);
            Some(byte)
        }
    }
    let mut board = Board::new(Config::new(MAC));
    let mut bus = Bus(&mut board);
    assert_eq!([0, 3, 37, 38, 39].map(|at| bus.read(at)), [0x03, 0x10, 0x00, 0x1B, 0x21].map(Some));
    let mut board = Board::new(Config { module: Module::Absent, ..Config::new(MAC) });
    assert_eq!(Bus(&mut board).read(0), None);
}

#[test]
fn register_accesses_touch_no_memory_and_a_step_does_a_bounded_amount() {
    use pmd_links::Link;
    let mut board = Board::ready();
    let mut tx = board.tx_ring(0, 1024);
    let _rx = board.rx_ring(0, 1024);
    let at = board.memory.take(64);
    board.memory.put(at, &crate::board::frame(MAC, 60));
    for _ in 0..1000 {
        use crate::board::cmd;
        tx.put(&board, [at, cmd::DATA | cmd::EOP | cmd::payload(60) | 60]);
        assert_eq!(board.wire.transmit(&crate::board::frame(MAC, 60), 0).unwrap(), pmd_links::Sent::Accepted);
    }
    let accesses = board.memory.accesses.get();
    board.w(tx.regs + 0x18, tx.tail);
    (0..0x8_0000u64).step_by(4).filter(|offset| *offset != 0x4074).for_each(|offset| {
        board.r(offset);
    });
    assert_eq!(board.memory.accesses.get(), accesses);
    assert_eq!(board.step(), vfio_user_kit::Work::Done);
    let counters = board.model.inspect().counters();
    assert!(
        (1..=64).contains(&counters.tx_frames) && (1..=64).contains(&counters.rx_delivered),
        "{counters:?}"
    );
}

#[test]
fn a_clock_that_runs_backwards_stands_still() {
    let mut board = Board::new(Config::new(MAC));
    board.wait_ms(20);
    board.now -= std::time::Duration::from_millis(500);
    board.step();
    assert_eq!(board.r(LINKS) >> 30 & 1, 1);
}
