//! A platform of one's own: a register file in plain memory, and the wire behind it.
//!
//! [`Platform`] implements [`Device`] as a bare-metal board would: a pointer to a BAR, a way to memory, the bytes of
//! configuration space. Here the BAR is memory, and the bench is the hardware: [`Clock`](vfio_hal::Clock)'s hook answers what
//! the driver polls for while it starts, and [`receive`](Platform::receive) and [`transmit`](Platform::transmit) play the DMA
//! engine between two bursts.

use std::sync::Arc;

use pmd_ixgbe::desc::{legacy, rx, tx};
use pmd_ixgbe::regs::{
    ANLP1, CTRL, EEC, EERD, LINKS, RDBA, RDLEN, RDRXCTL, RDT, RXDCTL, SECRXSTAT, SRRCTL, STATUS, SWSM, TDBA,
    TDLEN, TDT, TDWBA,
};
use vfio_hal::bar::Bar;
use vfio_hal::dma::Dma;
use vfio_hal::testing::{FakeDma, RegisterFile, VirtualClock};
use vfio_hal::{Device, DeviceError, Iova, Lost};

/// An 82599 without a chip: backplane flavour, so that there is no module to be asked.
pub struct Platform {
    lost: Lost,
    registers: RegisterFile,
    memory: FakeDma,
    config: [u8; 64],
}

impl Device for Platform {
    fn name(&self) -> &str {
        "plain memory"
    }

    fn lost(&self) -> &Lost {
        &self.lost
    }

    fn bar(&self, index: u8) -> Result<Bar, DeviceError> {
        self.registers.mapped_bar(index, &self.lost)
    }

    fn dma(&self) -> &dyn Dma {
        &self.memory
    }

    fn config_read(&self, offset: u16, data: &mut [u8]) -> Result<(), DeviceError> {
        let range = usize::from(offset)..usize::from(offset) + data.len();
        let out = DeviceError::ConfigRange { offset, len: data.len() as u16 };
        data.copy_from_slice(self.config.get(range).ok_or(out)?);
        Ok(())
    }

    fn config_write(&self, _: u16, _: &[u8]) -> Result<(), DeviceError> {
        // Nothing in this header changes what plain memory does.
        Ok(())
    }
}

/// Words of the EEPROM: all ones but for the checksum, and pointers that lead nowhere.
fn eeprom(word: u32) -> u16 {
    const ADDRESS: [u16; 3] = [0x0002, 0x0000, 0x0100];
    let fixed = |word: u32| match word {
        0x00 => 0x1200,
        0x01..=0x0f => 0,
        _ => 0xffff,
    };
    match word {
        0x3f => (0..0x3f).fold(0xbabau16, |sum, word| sum.wrapping_sub(fixed(word))),
        0x100..=0x102 => ADDRESS[(word - 0x100) as usize],
        word => fixed(word),
    }
}

impl Platform {
    /// Returns the device, and the clock that makes it answer while a driver waits.
    pub fn new() -> (Arc<Platform>, Arc<VirtualClock>) {
        let mut config = [0; 64];
        config[..4].copy_from_slice(&[0x86, 0x80, 0xf7, 0x10]);
        config[0x0b] = 0x02;
        let platform = Arc::new(Platform {
            lost: Lost::new(),
            registers: RegisterFile::new(0x2_0000),
            memory: FakeDma::new(),
            config,
        });
        platform.power_on();
        let clock = Arc::new(VirtualClock::new());
        let hardware = Arc::downgrade(&platform);
        clock.hook(move |_| {
            if let Some(hardware) = hardware.upgrade() {
                hardware.answer();
            }
        });
        (platform, clock)
    }

    fn power_on(&self) {
        let registers = &self.registers;
        registers.set(0, EEC::default().with_pres(true).with_auto_rd(true).with_size(7));
        registers.set(0, RDRXCTL::default().with_dmaidone(true));
        registers.set(0, SECRXSTAT::default().with_secrx_rdy(true));
        registers.set(0, LINKS::default().with_link_up(true).with_link_speed(3));
        registers.set(0, STATUS::default());
        registers.set(0, ANLP1::default().with_an_state(1));
        // The station's address, as the EEPROM's auto-load leaves it.
        registers.write32(0xa200, 0x0000_0002);
        registers.write32(0xa204, 0x8000_0100);
    }

    /// Does what the chip does while a driver waits: ends resets, reads the EEPROM.
    fn answer(&self) {
        let registers = &self.registers;
        let ctrl: CTRL = registers.get(0);
        registers.set(0, ctrl.with_rst(false).with_lrst(false));
        let swsm: SWSM = registers.get(0);
        registers.set(0, swsm.with_smbi(false));
        let eerd: EERD = registers.get(0);
        if eerd.start() && !eerd.done() {
            let word = eeprom(eerd.addr());
            registers.set(0, eerd.with_done(true).with_data(word.into()));
        }
    }

    /// Returns the register file, for a bench that looks at what the driver wrote.
    pub fn registers(&self) -> &RegisterFile {
        &self.registers
    }

    /// Writes `count` packets of `len` bytes back to receive queue 0 from `head` on, as the queue's format is; returns the new
    /// head. The bench never asks for more than the driver has posted.
    pub fn receive(&self, head: u32, count: u32, len: u64) -> u32 {
        let (base, mask) = self.ring::<RDBA, RDLEN>();
        let srrctl: SRRCTL = self.registers.get(0);
        let word = match srrctl.desctype() {
            0 => legacy::DD | legacy::RX_EOP | len,
            _ => rx::DD | rx::EOP | rx::IPCS | rx::L4CS | len << rx::LENGTH_SHIFT,
        };
        for index in head..head + count {
            let at = Iova(base + u64::from(index & mask) * 16);
            if srrctl.desctype() != 0 {
                // An RSS hash over TCP and IPv4, and the packet type of both.
                self.store(at, 0x1234_5678_0000_0111);
            }
            self.store(Iova(at.0 + 8), word);
        }
        (head + count) & mask
    }

    /// Sends everything between `head` and the tail of transmit queue 0; returns the new head. Reports are answered in the
    /// descriptor, or by head write-back where that is set up.
    pub fn transmit(&self, head: u32) -> u32 {
        let (base, mask) = self.ring::<TDBA, TDLEN>();
        let tail: TDT = self.registers.get(0);
        let write_back: TDWBA = self.registers.get(0);
        let address = self.registers.read32(0x6038) & !3;
        let mut head = head;
        let mut reported = None;
        while head != tail.tdt() {
            let at = Iova(base + u64::from(head & mask) * 16 + 8);
            let word = self.memory.load(at).unwrap_or_default();
            head = (head + 1) & mask;
            if word & tx::RS != 0 {
                if write_back.head_wb_en() {
                    reported = Some(head);
                } else {
                    self.store(at, tx::DD);
                }
            }
        }
        if let Some(head) = reported {
            let high = u64::from(self.registers.read32(0x603c)) << 32;
            let _ = self.memory.store32(Iova(u64::from(address) | high), head);
        }
        head
    }

    /// Returns the descriptors that the driver has posted to receive queue 0, counted from `head`.
    pub fn posted(&self, head: u32) -> u32 {
        let (_, mask) = self.ring::<RDBA, RDLEN>();
        let (tail, control): (RDT, RXDCTL) = (self.registers.get(0), self.registers.get(0));
        if control.enable() { tail.rdt().wrapping_sub(head) & mask } else { 0 }
    }

    fn ring<B: vfio_hal::regs::Register, L: vfio_hal::regs::Register>(&self) -> (u64, u32) {
        let (base, len): (B, L) = (self.registers.get(0), self.registers.get(0));
        (base.to_raw(), (len.to_raw() / 16).wrapping_sub(1) as u32)
    }

    fn store(&self, at: Iova, word: u64) {
        // A ring that is not mapped would show as packets that never come.
        let _ = self.memory.store(at, word);
    }
}
