//! Typed registers from the outside: what reaches the device, in which order, and what is refused.

use std::sync::Arc;

use vfio_hal::bar::Width;
use vfio_hal::dma::memory::HeapMemory;
use vfio_hal::dma::{DmaAccess, IovaSpace, Region};
use vfio_hal::regs::{AccessKind, Block, Decoder, Register};
use vfio_hal::testing::Access::{self, Read, Write};
use vfio_hal::testing::{FakeDevice, RamDevice};
use vfio_hal::{Bar, Device, DeviceError, Lost, registers};

registers! {
    /// Registers of every kind, width and shape.
    pub block Map[0x200];
    /// Control.
    pub CTRL @ 0x00 RW { rst: 26, mode: 6:4, prio: 31:28 }
    /// Status.
    pub STATUS @ 0x04 RO { up: 0 }
    /// Command.
    pub COMMAND @ 0x08 WO { go: 0 }
    /// Causes.
    pub CAUSE @ 0x0c W1C { rx: 0, tx: 1 }
    /// Causes that clear when read, too.
    pub EICR @ 0x10 RCW1C { rx: 0 }
    /// A counter of 36 bits in two words.
    pub BYTES @ 0x14 RC<u32x2> { count: 35:0 }
    /// 64 bits in one access.
    pub WIDE @ 0x20 RW<u64> { all: 63:0, top: 63 }
    /// 16 bits.
    pub SHORT @ 0x2a RW<u16> { high: 15:8 }
    /// 8 bits.
    pub TINY @ 0x2d RW<u8> { bit: 7 }
    /// Queue base.
    pub BASE @ 0x40 + 0x20 * [4] BUS<u32x2, align 128>;
    /// Head write-back: an address with a flag.
    pub HEADWB @ 0x48 + 0x20 * [4] BUS<u32x2, align 16> { enable: 0, coherent: 1 }
    /// An address in one access.
    pub MAILBOX @ 0x38 BUS<u64>;
    /// An address in units of 64 bytes.
    pub LINES @ 0x1f0 BUS<u64, align 64, shift 6>;
    /// A 32-bit register cannot hold every address.
    pub NARROW @ 0x30 BUS<u32>;
    /// Queue control, in two places and partly in a third.
    pub QCTL @ 0x50 + 0x20 * [4], 0x150 + 0x20 * [4] = 0x1e0 + 4 * [2] RW { enable: 25 }
    /// Queue tail.
    pub TAIL @ 0x54 + 0x20 * [4] RW;
}

type Regs = Block<Map>;

fn trapped() -> (Arc<FakeDevice>, Regs) {
    let device = Arc::new(FakeDevice::new(0x200));
    let regs = Regs::new(device.bar(0).unwrap()).unwrap();
    (device, regs)
}

fn read(offset: u64, value: u64) -> Access {
    Read { offset, width: Width::W32, value }
}

fn write(offset: u64, value: u64) -> Access {
    Write { offset, width: Width::W32, value }
}

/// Memory that a space vouches for.
fn region(device: Arc<FakeDevice>) -> (IovaSpace, Region) {
    let space = IovaSpace::new();
    space.attach(&(device as Arc<dyn Device>)).unwrap();
    let region = Region::alloc(&space, HeapMemory::new(0x1000).unwrap(), DmaAccess::ReadWrite).unwrap();
    (space, region)
}

#[test]
fn fields_are_the_bits_they_name() {
    let ctrl = CTRL::default().with_rst(true).with_mode(5).with_prio(0xf);
    assert_eq!(ctrl.bits(), 0xf400_0050);
    assert_eq!((ctrl.rst(), ctrl.mode(), ctrl.prio()), (true, 5, 0xf));
    // Other fields stay what they are, numbers are cut to the field.
    assert_eq!(ctrl.with_mode(0xa).bits(), 0xf400_0020);
    assert_eq!(CTRL::new(u32::MAX).with_rst(false).bits(), 0xfbff_ffff);
    assert_eq!(WIDE::default().with_all(u64::MAX).bits(), u64::MAX);
    assert!(WIDE::new(1 << 63).top());
    assert_eq!(SHORT::default().with_high(0x1ff).bits(), 0xff00);
    assert_eq!(format!("{ctrl:?}"), "CTRL { bits: 0xf4000050, rst: 1, mode: 5, prio: 15 }");
}

#[test]
fn metadata_says_what_was_declared() {
    assert_eq!((QCTL::NAME, QCTL::OFFSET, QCTL::STRIDE, QCTL::COUNT), ("QCTL", 0x50, 0x20, 8));
    assert_eq!(QCTL::INFO.offset(3), Some(0xb0));
    assert_eq!(QCTL::INFO.offset(4), Some(0x150));
    assert_eq!(QCTL::INFO.offset(8), None);
    assert_eq!((STATUS::ACCESS, STATUS::COUNT), (AccessKind::ReadOnly, 1));
    assert_eq!(BASE::ACCESS, AccessKind::BusAddress);
    let mode = &CTRL::FIELDS[1];
    assert_eq!((mode.name, mode.msb, mode.lsb, mode.mask(), mode.get(0x50)), ("mode", 6, 4, 0x70, 5));
    let names: Vec<_> = Regs::REGISTERS.iter().map(|info| info.name).collect();
    assert_eq!(names[..3], ["CTRL", "STATUS", "COMMAND"]);
    assert_eq!(names.len(), 16);
}

#[test]
fn decoder_finds_every_place() {
    let decoder = Decoder::of::<Map>();
    let name = |offset| decoder.find(offset).map(|found| found.to_string());
    assert_eq!(name(0x00).as_deref(), Some("CTRL"));
    assert_eq!(name(0x14).as_deref(), Some("BYTES.lo"));
    assert_eq!(name(0x18).as_deref(), Some("BYTES.hi"));
    assert_eq!(name(0x24).as_deref(), Some("WIDE"));
    assert_eq!(name(0x190).as_deref(), Some("QCTL[6]"));
    // A register of 16 bits in the upper half of its word, one of 8 bits in the middle of its.
    assert_eq!(name(0x28), None);
    assert_eq!(name(0x2b).as_deref(), Some("SHORT"));
    assert_eq!(name(0x2c), None);
    assert_eq!(name(0x2d).as_deref(), Some("TINY"));
    assert_eq!(name(0x34), None);
    assert_eq!(name(0x200), None);
    assert_eq!(name(u64::MAX), None);
    let alias = decoder.find(0x1e4).unwrap();
    assert_eq!((alias.info.name, alias.index, alias.alias), ("QCTL", 1, true));
    // What the decoder finds is where the register is.
    for info in Regs::REGISTERS {
        for (index, offset) in info.places() {
            let found = decoder.find(offset).unwrap();
            assert_eq!((found.info.name, found.index, found.byte), (info.name, index, 0), "{offset:#x}");
        }
    }
}

#[test]
fn registers_narrower_than_a_word_share_it() {
    registers! {
        /// Small registers.
        pub block Small[0x10];
        /// Low byte.
        pub A @ 0x4 RW<u8>;
        /// Second byte.
        pub B @ 0x5 RW<u8>;
        /// High half.
        pub C @ 0x6 RW<u16>;
    }
    let decoder = Decoder::of::<Small>();
    let names: Vec<_> =
        (4..8).map(|at| decoder.find(at).unwrap()).map(|at| (at.info.name, at.byte)).collect();
    assert_eq!(names, [("A", 0), ("B", 0), ("C", 0), ("C", 1)]);
}

#[test]
fn one_access_of_the_register_s_own_width() {
    let (device, mut regs) = trapped();
    regs.write(WIDE::new(0x0123_4567_89ab_cdef));
    regs.write(SHORT::new(0xbeef));
    regs.modify(|tiny: TINY| tiny.with_bit(true));
    assert_eq!(regs.read::<WIDE>().bits(), 0x0123_4567_89ab_cdef);
    assert_eq!(
        device.registers().take_log(),
        [
            Write { offset: 0x20, width: Width::W64, value: 0x0123_4567_89ab_cdef },
            Write { offset: 0x2a, width: Width::W16, value: 0xbeef },
            Read { offset: 0x2d, width: Width::W8, value: 0 },
            Write { offset: 0x2d, width: Width::W8, value: 0x80 },
            Read { offset: 0x20, width: Width::W64, value: 0x0123_4567_89ab_cdef },
        ]
    );
}

#[test]
fn modify_reads_once_and_writes_once() {
    let (device, mut regs) = trapped();
    device.registers().registers().set(0, CTRL::new(0x40));
    regs.modify(|ctrl: CTRL| ctrl.with_rst(true));
    assert_eq!(device.registers().take_log(), [read(0, 0x40), write(0, 0x0400_0040)]);
    regs.at_mut::<QCTL>(5).unwrap().modify(|queue| queue.with_enable(true));
    assert_eq!(device.registers().take_log(), [read(0x170, 0), write(0x170, 0x0200_0000)]);
}

#[test]
fn what_clears_when_read_has_one_reader() {
    let (device, mut regs) = trapped();
    let counter = device.registers();
    counter.registers().set(0, BYTES::new(0xf_0000_0001));
    assert_eq!(regs.take::<BYTES>().count(), 0xf_0000_0001);
    // Low word first: it latches the high one (82599 datasheet, 8.2.3.23).
    assert_eq!(counter.take_log(), [read(0x14, 1), read(0x18, 0xf)]);
    regs.write(EICR::default().with_rx(true));
    counter.answer(0, [EICR::new(1)]);
    assert!(regs.take::<EICR>().rx());
}

#[test]
fn an_index_is_checked_once() {
    let (device, mut regs) = trapped();
    let refused = DeviceError::RegisterIndex { register: "QCTL", index: 8, count: 8 };
    assert_eq!(regs.at::<QCTL>(8).unwrap_err(), refused);
    assert_eq!(regs.at_mut::<QCTL>(8).unwrap_err(), refused);
    assert!(regs.at::<TAIL>(usize::MAX).is_err());
    assert!(regs.doorbell::<TAIL>(4).is_err());
    assert!(device.registers().log().is_empty());
    assert_eq!(regs.at::<QCTL>(7).unwrap().offset(), 0x1b0);
    assert_eq!(regs.at_const::<QCTL, 7>().offset(), 0x1b0);
}

#[test]
fn a_bar_that_does_not_fit_is_refused_once() {
    let device = FakeDevice::new(0x1ff);
    let refused = DeviceError::BarTooSmall { index: 0, len: 0x1ff, need: 0x200 };
    assert_eq!(Regs::new(device.bar(0).unwrap()).unwrap_err(), refused);
    let device = FakeDevice::new(0x300);
    let bar = device.bar(0).unwrap();
    assert!(Regs::at_offset(bar.clone(), 0x100).is_ok());
    assert!(Regs::at_offset(bar.clone(), 0x101).is_err());
    assert!(Regs::at_offset(bar, u64::MAX).is_err());
}

#[test]
fn a_hole_where_a_register_is_is_refused() {
    let registers = Arc::new(vfio_hal::testing::FakeBar::new(0x200));
    let part = Bar::builder(2, 0x200, Lost::new()).trapped(0, 0x60, registers.clone());
    let bar = part.trapped(0x68, 0x198, registers).build().unwrap();
    let refused = DeviceError::OutOfBar { index: 2, offset: 0x60, width: 4 };
    assert_eq!(Regs::new(bar).unwrap_err(), refused);
}

#[test]
fn a_block_can_lie_anywhere_in_a_bar() {
    let device = FakeDevice::new(0x1000);
    let regs = Regs::at_offset(device.bar(0).unwrap(), 0x800).unwrap();
    regs.write(CTRL::new(7));
    regs.doorbell::<TAIL>(1).unwrap().ring(9);
    assert_eq!(device.registers().take_log(), [write(0x800, 7), write(0x874, 9)]);
}

#[test]
fn only_memory_of_the_bound_space_becomes_a_bus_address() {
    let (device, mut regs) = trapped();
    let (space, ours) = region(device.clone());
    let (_other_space, foreign) = region(Arc::new(FakeDevice::new(0x200)));

    let unbound = regs.write_bus::<BASE>(0, ours.bus(0).unwrap());
    assert_eq!(unbound, Err(DeviceError::Unbound { register: "BASE" }));
    regs.bind(space.id()).unwrap();
    assert_eq!(regs.space(), Some(space.id()));
    assert_eq!(regs.write_bus::<BASE>(0, foreign.bus(0).unwrap()), Err(DeviceError::ForeignSpace));
    let crooked = ours.bus(8).unwrap();
    let refused = DeviceError::BusAlign { register: "BASE", iova: crooked.iova(), align: 128 };
    assert_eq!(regs.write_bus::<BASE>(0, crooked), Err(refused));
    // The space hands out addresses from 4 GiB up.
    assert!(matches!(regs.write_bus::<NARROW>(0, ours.bus(0).unwrap()), Err(DeviceError::BusAlign { .. })));
    assert!(regs.write_bus::<BASE>(4, ours.bus(0).unwrap()).is_err());
    assert!(device.registers().log().is_empty(), "nothing that was refused is written");

    let iova = ours.iova().0 + 128;
    regs.write_bus::<BASE>(3, ours.bus(128).unwrap()).unwrap();
    assert_eq!(device.registers().take_log(), [write(0xa0, iova & 0xffff_ffff), write(0xa4, iova >> 32)]);
    assert_eq!(regs.at::<BASE>(3).unwrap().read().bits(), iova);
    regs.write_bus::<MAILBOX>(0, ours.bus(8).unwrap()).unwrap();
    assert_eq!(regs.at::<MAILBOX>(0).unwrap().read().bits(), ours.iova().0 + 8);
    regs.write_bus::<LINES>(0, ours.bus(128).unwrap()).unwrap();
    assert_eq!(regs.at::<LINES>(0).unwrap().read().bits(), iova >> 6);
    assert!(regs.write_bus::<LINES>(0, ours.bus(32).unwrap()).is_err(), "not whole units");
}

#[test]
fn flags_beside_an_address_cannot_change_it() {
    let (device, mut regs) = trapped();
    let (space, ours) = region(device);
    regs.bind(space.id()).unwrap();
    let place = regs.at::<HEADWB>(1).unwrap();
    place.write_bus(ours.bus(16).unwrap(), HEADWB::new(u64::MAX)).unwrap();
    assert_eq!(place.read().bits(), ours.iova().0 + 16 + 3);
    assert!(place.read().enable() && place.read().coherent());
}

#[test]
fn a_block_is_bound_to_one_space_and_so_are_its_views() {
    let (device, mut regs) = trapped();
    let view = regs.view();
    let (space, ours) = region(device);
    let (other, _foreign) = region(Arc::new(FakeDevice::new(0x200)));
    regs.bind(space.id()).unwrap();
    assert_eq!(regs.bind(space.id()), Ok(()));
    assert_eq!(regs.bind(other.id()), Err(DeviceError::ForeignSpace));
    assert_eq!(view.write_bus::<BASE>(0, ours.bus(0).unwrap()), Ok(()));
}

#[test]
fn a_trapped_device_that_dies_in_the_middle_reads_all_ones_and_is_not_asked_again() {
    let (device, mut regs) = trapped();
    let doorbell = regs.doorbell::<TAIL>(0).unwrap();
    device.registers().die_after(3);
    regs.write(CTRL::new(1));
    // The second access of the read-change-write is its last, so the write is lost with it.
    regs.modify(|ctrl: CTRL| ctrl.with_mode(2));
    assert!(!regs.lost().is_lost());
    assert_eq!(regs.read::<STATUS>().bits(), u32::MAX);
    assert_eq!(regs.lost().check(), Err(DeviceError::Lost));
    assert_eq!(regs.take::<BYTES>().bits(), u64::MAX);
    assert_eq!(regs.read::<WIDE>().bits(), u64::MAX);
    assert_eq!(regs.read::<TINY>().bits(), u8::MAX);
    regs.write(CTRL::new(5));
    doorbell.ring(1);
    assert_eq!(device.registers().log(), [write(0, 1), read(0, 1), write(0, 0x21)]);
    assert!(device.lost().is_lost());
}

#[test]
fn a_doorbell_notices_that_the_device_is_gone() {
    let (device, regs) = trapped();
    let doorbell = regs.doorbell::<TAIL>(2).unwrap();
    doorbell.ring(7);
    device.registers().die_after(0);
    doorbell.ring(8);
    assert!(regs.lost().is_lost());
    assert_eq!(device.registers().log(), [write(0x94, 7)]);
}

#[test]
fn a_mapped_device_is_the_same_to_a_driver() {
    let device = RamDevice::new(0x200);
    let mut regs = Regs::new(device.bar(0).unwrap()).unwrap();
    assert_eq!(device.bar(0).unwrap().windows().collect::<Vec<_>>(), [(0, 0x200, true)]);
    regs.write(WIDE::new(0x0123_4567_89ab_cdef));
    regs.write(SHORT::new(0xbeef));
    regs.modify(|tiny: TINY| tiny.with_bit(true));
    regs.at_mut::<QCTL>(4).unwrap().modify(|queue| queue.with_enable(true));
    regs.doorbell::<TAIL>(3).unwrap().ring(31);
    let seen = device.registers();
    assert_eq!(seen.get::<WIDE>(0).bits(), 0x0123_4567_89ab_cdef);
    assert_eq!(seen.get::<SHORT>(0).bits(), 0xbeef);
    assert_eq!(seen.read32(0x2c), 0x8000);
    assert!(seen.get::<QCTL>(4).enable() && !seen.get::<QCTL>(3).enable());
    assert_eq!(seen.get::<TAIL>(3).bits(), 31);
    seen.set(0, BYTES::new(0x5_0000_0004));
    seen.set(0, TINY::new(0x7f));
    assert_eq!(regs.take::<BYTES>().count(), 0x5_0000_0004);
    assert_eq!(regs.read::<TINY>().bits(), 0x7f);
    device.reset().unwrap();
    assert_eq!(regs.read::<WIDE>().bits(), 0);
}

#[test]
fn registers_outlive_the_device_they_are_of() {
    let device = RamDevice::new(0x200);
    let regs = Regs::new(device.bar(0).unwrap()).unwrap();
    let doorbell = regs.doorbell::<TAIL>(0).unwrap();
    drop(device);
    doorbell.ring(3);
    assert_eq!(regs.at::<TAIL>(0).unwrap().read().bits(), 3);
    drop(regs);
    doorbell.ring(4);
}
