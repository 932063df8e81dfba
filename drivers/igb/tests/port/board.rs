//! A board without a chip: registers that answer what the driver polls for, an NVM, a PHY, and a DMA engine that a test
//! turns by hand.

use std::sync::{Arc, Mutex};

use pmd_igb::desc::{legacy, rx, tx};
use pmd_igb::regs::{
    CTRL, EEC, EERD, EIMC, EIMS, IMC, IMS, Igb, MDIC, RAH, RAL, RDBA, RDH, RDLEN, RDT, RXPBS, STATUS, SWSM,
    TDBA, TDH, TDLEN, TDT, TDWBA,
};
use pmd_igb::{Config, Configured, Failed, Probed, Started};
use vfio_hal::dma::memory::HeapMemory;
use vfio_hal::dma::pool::{Buf, Burst, Cache, Pool};
use vfio_hal::dma::{DmaAccess, IovaSpace, Region};
use vfio_hal::irq::IrqKind;
use vfio_hal::regs::{AccessKind, Register, RegisterMap};
use vfio_hal::testing::{Access, FakeDevice, FakeIrqs, RegisterFile, VirtualClock};
use vfio_hal::wrap::{FaultInjector, Faults};
use vfio_hal::{Device, Iova};

pub(crate) const I82576: u16 = 0x10c9;
pub(crate) const I350: u16 = 0x1521;

pub(crate) const MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x05];

/// MSI-X vectors of the board, as most cards have them.
pub(crate) const VECTORS: u32 = 10;

/// What is not a register of the chip.
pub(crate) struct Outside {
    pub(crate) nvm: Vec<u16>,
    pub(crate) phy: [u16; 32],
    /// There is an NVM.
    pub(crate) present: bool,
    /// The PHY answers.
    pub(crate) phy_answers: bool,
}

pub(crate) struct Board {
    pub(crate) chip: Arc<FakeDevice>,
    pub(crate) faults: Arc<FaultInjector>,
    pub(crate) device: Arc<dyn Device>,
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) outside: Arc<Mutex<Outside>>,
    pub(crate) space: IovaSpace,
    pub(crate) pool: Pool,
}

/// Returns an NVM with an address, a version, a part number, and sections with right checksums.
pub(crate) fn nvm() -> Vec<u16> {
    let mut words = vec![0xffffu16; 1024];
    for start in [0, 0x80, 0xc0, 0x100] {
        for (at, pair) in MAC.as_chunks::<2>().0.iter().enumerate() {
            words[start + at] = u16::from_le_bytes(*pair);
        }
        words[start + 3..start + 0x3f].fill(0);
        words[start + 5] = 0x1630;
        words[start + 8..start + 10].copy_from_slice(&[0xfafa, 0x200]);
        seal(&mut words, start);
    }
    words[0x42..0x44].copy_from_slice(&[0x1234, 0x8000]);
    words[0x200..0x206].copy_from_slice(&[6, 0x4536, 0x3635, 0x3630, 0x2d30, 0x3032]);
    words
}

/// Makes the checksum of a section right.
pub(crate) fn seal(words: &mut [u16], start: usize) {
    words[start + 0x3f] = 0;
    let sum = words[start..start + 0x3f].iter().fold(0u16, |sum, word| sum.wrapping_add(*word));
    words[start + 0x3f] = 0xbabau16.wrapping_sub(sum);
}

/// One queue each way, small rings.
pub(crate) fn small() -> Config {
    Config { rx_ring: 64, tx_ring: 64, ..Config::default() }
}

/// Several queues each way, small rings.
pub(crate) fn queues(rx: u16, tx: u16) -> Config {
    Config { rx_queues: rx, tx_queues: tx, ..small() }
}

impl Board {
    pub(crate) fn new() -> Board {
        Board::of(I82576)
    }

    pub(crate) fn of(id: u16) -> Board {
        let mut config = vec![0; 256];
        config[..2].copy_from_slice(&0x8086u16.to_le_bytes());
        config[2..4].copy_from_slice(&id.to_le_bytes());
        config[0x0b] = 2;
        let chip = FakeDevice::new(0x2_0000).with_config(config);
        let chip = Arc::new(chip.with_irqs(FakeIrqs::new(IrqKind::MsiX, VECTORS)).named("board"));
        let outside =
            Arc::new(Mutex::new(Outside { nvm: nvm(), phy: [0; 32], present: true, phy_answers: true }));
        power_on(chip.registers().registers(), true);
        chip.registers().react({
            let outside = outside.clone();
            move |access, registers| react(access, registers, &mut outside.lock().unwrap())
        });
        let faults = Arc::new(FaultInjector::new(chip.clone(), Faults::new()));
        let device: Arc<dyn Device> = faults.clone();
        let space = IovaSpace::new();
        space.attach(&device).unwrap();
        let memory = HeapMemory::new(Pool::stride(2048) * 4480).unwrap();
        let pool =
            Pool::new(Region::alloc(&space, memory, DmaAccess::ReadWrite).unwrap(), 4480, 2048).unwrap();
        Board { chip, faults, device, clock: Arc::new(VirtualClock::new()), outside, space, pool }
    }

    pub(crate) fn registers(&self) -> &RegisterFile {
        self.chip.registers().registers()
    }

    pub(crate) fn get<R: Register>(&self, index: usize) -> R {
        self.registers().get(index)
    }

    /// Brings the link up, as the PHY's negotiation would.
    pub(crate) fn link_up(&self) {
        self.registers().set(0, self.get::<STATUS>(0).with_lu(true).with_fd(true).with_speed(2));
    }

    pub(crate) fn probe(&self) -> Probed {
        Probed::new(self.device.clone(), self.clock.clone()).unwrap()
    }

    pub(crate) fn configure(&self, config: Config) -> Configured {
        self.probe().configure(&self.space, &self.pool, config).unwrap()
    }

    pub(crate) fn start(&self, config: Config) -> Started {
        self.configure(config).start().unwrap()
    }

    pub(crate) fn stop(&self, started: Started) -> Configured {
        started.port.stop(started.rx, started.tx).map_err(|Failed { error, .. }| error).unwrap()
    }

    /// All buffers are in the pool.
    #[track_caller]
    pub(crate) fn assert_home(&self) {
        assert_eq!((self.pool.available(), self.pool.leaked()), (self.pool.capacity(), 0));
    }

    pub(crate) fn buf(&self, bytes: &[u8]) -> Buf {
        let mut buf = self.pool.alloc().unwrap();
        assert!(buf.fill(bytes));
        buf
    }

    /// Receives a packet into receive queue `queue`, in as many descriptors as it takes, `room` bytes each. `words` is what
    /// the last descriptor says besides length, DD and EOP. False if there are not enough descriptors.
    pub(crate) fn receive(&self, queue: usize, bytes: &[u8], room: usize, words: [u64; 2]) -> bool {
        let (size, tail) = (self.get::<RDLEN>(queue).len() / 16, self.get::<RDT>(queue).rdt());
        let mut head = self.get::<RDH>(queue).rdh();
        let free = (tail + size - head) % size;
        let count = bytes.len().div_ceil(room);
        if free < count as u32 {
            return false;
        }
        for (number, part) in bytes.chunks(room).enumerate() {
            let at = Iova(self.get::<RDBA>(queue).to_raw() + u64::from(head) * 16);
            let memory = self.chip.memory();
            let buffer = memory.load(at).unwrap();
            memory.write(Iova(buffer), part).unwrap();
            let last = number + 1 == count;
            let length = (part.len() as u64) << rx::LENGTH_SHIFT;
            let [first, second] = if last { [words[0], words[1] | rx::EOP] } else { [0, 0] };
            memory.store(at, first).unwrap();
            memory.store(Iova(at.0 + 8), second | length | rx::DD).unwrap();
            head = (head + 1) % size;
        }
        self.registers().set(queue, RDH::default().with_rdh(head));
        true
    }

    /// Sends what is on transmit queue `queue`; returns the packets, and word 1 of each one's first data descriptor and
    /// context.
    pub(crate) fn transmit(&self, queue: usize) -> Vec<(Vec<u8>, u64, Option<[u64; 2]>)> {
        let (size, tail) = (self.get::<TDLEN>(queue).len() / 16, self.get::<TDT>(queue).tdt());
        let mut head = self.get::<TDH>(queue).tdh();
        let (mut sent, mut bytes, mut first, mut context) = (Vec::new(), Vec::new(), None, None);
        let memory = self.chip.memory();
        while head != tail {
            let at = Iova(self.get::<TDBA>(queue).to_raw() + u64::from(head) * 16);
            let words = [memory.load(at).unwrap(), memory.load(Iova(at.0 + 8)).unwrap()];
            let is_context = words[1] & tx::DTYP_MASK == tx::DTYP_CONTEXT;
            if is_context {
                context = Some(words);
            } else {
                let start = bytes.len();
                bytes.resize(start + (words[1] & 0xffff) as usize, 0);
                memory.read(Iova(words[0]), &mut bytes[start..]).unwrap();
                first.get_or_insert(words[1]);
            }
            if words[1] & tx::RS != 0 {
                memory.store(Iova(at.0 + 8), words[1] | tx::DD).unwrap();
            }
            head = (head + 1) % size;
            if !is_context && words[1] & tx::EOP != 0 {
                sent.push((std::mem::take(&mut bytes), first.take().unwrap(), context));
            }
        }
        self.registers().set(queue, TDH::default().with_tdh(head));
        sent
    }

    /// Receives a packet into the legacy descriptors of queue 0.
    pub(crate) fn receive_legacy(&self, bytes: &[u8]) -> bool {
        let (size, tail) = (self.get::<RDLEN>(0).len() / 16, self.get::<RDT>(0).rdt());
        let head = self.get::<RDH>(0).rdh();
        if head == tail {
            return false;
        }
        let at = Iova(self.get::<RDBA>(0).to_raw() + u64::from(head) * 16);
        let memory = self.chip.memory();
        memory.write(Iova(memory.load(at).unwrap()), bytes).unwrap();
        memory.store(Iova(at.0 + 8), bytes.len() as u64 | legacy::DD | legacy::RX_EOP).unwrap();
        self.registers().set(0, RDH::default().with_rdh((head + 1) % size));
        true
    }

    /// Sends what is on the legacy descriptors of queue 0, and writes the head back where asked to.
    pub(crate) fn transmit_legacy(&self) -> Vec<Vec<u8>> {
        let (size, tail) = (self.get::<TDLEN>(0).len() / 16, self.get::<TDT>(0).tdt());
        let mut head = self.get::<TDH>(0).tdh();
        let mut sent = Vec::new();
        let memory = self.chip.memory();
        let write_back = self.get::<TDWBA>(0).to_raw();
        while head != tail {
            let at = Iova(self.get::<TDBA>(0).to_raw() + u64::from(head) * 16);
            let words = [memory.load(at).unwrap(), memory.load(Iova(at.0 + 8)).unwrap()];
            let mut bytes = vec![0; (words[1] & legacy::LENGTH_MASK) as usize];
            if !bytes.is_empty() {
                memory.read(Iova(words[0]), &mut bytes).unwrap();
                sent.push(bytes);
            }
            head = (head + 1) % size;
            if words[1] & legacy::TX_RS != 0 {
                assert_eq!(write_back & 1, 1, "the head is written back");
                memory.store32(Iova(write_back & !1), head).unwrap();
            }
        }
        self.registers().set(0, TDH::default().with_tdh(head));
        sent
    }
}

/// What is in the registers when power comes, or after a reset.
fn power_on(registers: &RegisterFile, present: bool) {
    let [a, b, c, d, e, f] = MAC;
    registers.set(0, EEC::default().with_pres(present).with_auto_rd(present).with_size(4));
    registers.set(0, STATUS::default().with_gio_master_enable(true));
    registers.set(0, RXPBS::default().with_size(64));
    registers.set(0, RAL::new(u32::from_le_bytes([a, b, c, d])));
    registers.set(0, RAH::default().with_rah(u16::from_le_bytes([e, f]).into()).with_av(true));
}

/// What the chip does at once.
pub(crate) fn react(access: Access, registers: &RegisterFile, outside: &mut Outside) {
    let is = |offset, of: u64| offset == of;
    match access {
        Access::Write { offset, .. } if is(offset, CTRL::OFFSET) => {
            let ctrl: CTRL = registers.get(0);
            let status: STATUS = registers.get(0);
            registers.set(0, status.with_gio_master_enable(!ctrl.gio_master_disable()));
            if ctrl.rst() {
                let lan = status.lan_id();
                for offset in (0..registers.len()).step_by(4) {
                    registers.write32(offset, 0);
                }
                power_on(registers, outside.present);
                registers.set(0, registers.get::<STATUS>(0).with_lan_id(lan));
            }
        }
        Access::Write { offset, .. } if is(offset, EERD::OFFSET) => {
            let eerd: EERD = registers.get(0);
            let word = outside.nvm.get(eerd.addr() as usize).copied().unwrap_or(0xffff);
            registers.set(0, eerd.with_start(false).with_done(true).with_data(word.into()));
        }
        Access::Write { offset, .. } if is(offset, MDIC::OFFSET) => {
            let mdic: MDIC = registers.get(0);
            let register = &mut outside.phy[mdic.regadd() as usize];
            let data = match mdic.op() {
                1 => {
                    *register = mdic.data() as u16;
                    mdic.data()
                }
                _ => (*register).into(),
            };
            registers.set(0, mdic.with_data(data).with_ready(true).with_error(!outside.phy_answers));
        }
        Access::Write { offset, value, .. } if is(offset, EIMC::OFFSET) => {
            let unmasked: EIMS = registers.get(0);
            registers.set(0, EIMS::new(unmasked.bits() & !(value as u32)));
        }
        Access::Write { offset, value, .. } if is(offset, IMC::OFFSET) => {
            let unmasked: IMS = registers.get(0);
            registers.set(0, IMS::new(unmasked.bits() & !(value as u32)));
        }
        Access::Read { offset, .. } if is(offset, SWSM::OFFSET) => {
            registers.set(0, registers.get::<SWSM>(0).with_smbi(true));
        }
        Access::Read { offset, .. } => {
            let clears = |info: &&vfio_hal::regs::RegisterInfo| {
                let kind = matches!(info.access, AccessKind::ReadClear | AccessKind::ReadOrWrite1Clear);
                kind && info.places().any(|(_, at)| offset >= at && offset < at + info.bits.bytes())
            };
            if Igb::REGISTERS.iter().any(|info| clears(&info)) {
                registers.write32(offset, 0);
            }
        }
        Access::Write { .. } => {}
    }
}

/// Takes everything that a queue has.
pub(crate) fn take(rx: &mut pmd_igb::RxQueue, cache: &mut Cache) -> Vec<Buf> {
    let mut all = Vec::new();
    let mut burst = Burst::new(32);
    while rx.rx_burst(cache, &mut burst).unwrap() != 0 {
        while let Some(buf) = burst.take() {
            all.push(buf);
        }
    }
    all
}

/// Returns a queue's error of a burst.
pub(crate) fn burst_of(bufs: impl IntoIterator<Item = Buf>) -> Burst {
    let mut burst = Burst::new(64);
    for buf in bufs {
        burst.push(buf).unwrap();
    }
    burst
}
