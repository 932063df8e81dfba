//! What this crate's tests of EEPROM, modules, PHYs and links talk to: registers that behave, or misbehave as a test
//! says.
//!
//! [`Card`] is the card; the test changes its [`State`] before and between calls. It is written from the bus
//! standards and the datasheet, with everything that can go wrong in it; for how the whole device behaves there is
//! the model.

mod slave;

extern crate std;

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;
use std::sync::{Mutex, MutexGuard};

use vfio_hal::regs::Register;
use vfio_hal::testing::{Access, FakeDevice, RegisterFile, VirtualClock};
use vfio_hal::{Clock, Device};

use crate::hw::{Hw, MODELS};
use crate::regs::*;

pub(crate) use slave::{Slave, blank_module, check, sr};

/// The device ids that tests use.
pub(crate) const SFP: u16 = 0x10fb;
pub(crate) const KX4: u16 = 0x10f7;
pub(crate) const X540: u16 = 0x1528;
pub(crate) const X550: u16 = 0x1563;

/// The card, as a test holds it.
pub(crate) struct Card {
    pub(crate) device: Arc<FakeDevice>,
    pub(crate) clock: VirtualClock,
    state: Arc<Mutex<State>>,
}

/// How the card behaves.
pub(crate) struct State {
    /// The words of the EEPROM.
    pub(crate) nvm: Vec<u16>,
    /// Reads of the EEPROM are never done.
    pub(crate) nvm_hangs: bool,
    /// SWSM.SMBI never reads 0.
    pub(crate) smbi_stuck: bool,
    /// Firmware never lets go of SW_FW_SYNC.
    pub(crate) firmware_stuck: bool,
    has_regsmp: bool,
    /// Firmware does not answer commands.
    pub(crate) commands_hang: bool,
    /// The module.
    pub(crate) module: Slave,
    /// The copper PHY's address and registers.
    pub(crate) phy: Option<u32>,
    pub(crate) mdio: BTreeMap<(u32, u32), u16>,
    pub(crate) mdio_hangs: bool,
    mdio_at: u32,
    /// The link partner's AUTOC.LMS, or one of two that it takes.
    pub(crate) partner: Vec<u32>,
    /// ANLP1 stays 0.
    pub(crate) pipeline_stuck: bool,
    /// What AUTOC was given.
    pub(crate) autoc: Vec<AUTOC>,
    /// What CORECTL was given.
    pub(crate) corectl: Vec<u32>,
    link_at: Option<Duration>,
}

impl Card {
    /// Returns a card with a valid EEPROM, an SR module and a partner at 10 Gb/s, right after a reset.
    pub(crate) fn new(id: u16) -> (Hw, Card) {
        let device = Arc::new(FakeDevice::new(0x2_0000));
        let clock = VirtualClock::new();
        let state = Arc::new(Mutex::new(State::new(matches!(id, X540 | X550))));
        let file = device.registers().registers().clone();
        let size = state.lock().unwrap().nvm.len().ilog2() - 6;
        file.set(0, EEC::default().with_pres(true).with_auto_rd(true).with_size(size));
        file.set(0, HICR::default().with_en(true));
        file.set(0, RAL::new(u32::from_le_bytes([0x02, 0x11, 0x22, 0x33])));
        file.set(0, RAH::default().with_rah(0x5544).with_av(true));
        file.set(0, I2CCTL::new(0xf));
        file.set(0, AUTOC::new(0xc09c_6004));
        file.set(0, AUTOC2::default().with_pma_pmd_10g_serial(2));
        if id == KX4 {
            file.set(0, AUTOC::new(0xc09c_8284));
            file.set(0, AUTOC2::default());
        }
        device.registers().react({
            let (state, clock) = (state.clone(), clock.clone());
            move |access, file| {
                let now = clock.now();
                state.lock().unwrap().react(access, file, now);
            }
        });
        clock.hook({
            let (state, file) = (state.clone(), file.clone());
            move |now| {
                // The reaction asks for the time while it holds the state.
                if let Ok(mut state) = state.try_lock() {
                    state.tick(&file, now);
                }
            }
        });
        let regs = Regs::new(device.bar(0).unwrap()).unwrap();
        let model = MODELS.iter().find(|model| model.id == id).unwrap();
        let hw = Hw { regs, device: device.clone(), clock: Arc::new(clock.clone()), model };
        (hw, Card { device, clock, state })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn file(&self) -> &RegisterFile {
        self.device.registers().registers()
    }

    /// Asserts that the driver holds no semaphore.
    #[track_caller]
    pub(crate) fn assert_all_given_back(&self) {
        let sync = self.file().get::<SW_FW_SYNC>(0);
        let own = sync.sw_eep() || sync.sw_phy0() || sync.sw_phy1() || sync.sw_mac_csr() || sync.sw_mng();
        assert!(!own, "{sync:?}");
        let swsm = self.file().get::<SWSM>(0);
        assert!(!swsm.swesmbi(), "{swsm:?}");
        assert!(self.state().smbi_stuck || !swsm.smbi(), "{swsm:?}");
    }
}

/// An EEPROM of 4,096 words with the sections the driver looks at.
fn nvm() -> Vec<u16> {
    let mut nvm = vec![0xffff; 4096];
    nvm[..0x42].fill(0);
    let sections: [(usize, usize, &[u16]); 9] = [
        (0x03, 0x80, &[2, 0x1111, 0x2222]),
        (0x09, 0x90, &[4, 0x1102, 0x3322, 0x5544, 0x0100]),
        (0x0a, 0xa0, &[4, 0x1102, 0x3322, 0x5644, 0x0100]),
        (0x0f, 0xb0, &[8, 0, 0, 0, 0xc0, 0, 0, 0, 0]),
        (0x10, 0xc0, &[0, 0, 0, 0, 0, 0, 0, 7]),
        (0x16, 0xd0, &[6, 0x4536, 0x3635, 0x3630, 0x2d30, 0x3032]),
        (0x17, 0x100, &[0]),
        (0x2b, 0xe0, &[13, 3, 0xf0, 4, 0xf0, 5, 0xf4, 6, 0xf4, 0xffff]),
        (0x11, 0xf0, &[2, 0x0c10, 0xffff, 0, 2, 0x0d24, 0x0e31, 0xffff]),
    ];
    for (pointer, at, words) in sections {
        nvm[pointer] = at as u16;
        nvm[at..at + words.len()].copy_from_slice(words);
    }
    nvm[0x183] = 0x0103;
    nvm[0x184] = 0x4205;
    nvm[0x15] = 0xfafa;
    nvm[0x2c] = 1 << 7;
    nvm[0x2d] = 0x0578;
    nvm[0x2e] = 0x8000;
    seal(&mut nvm);
    nvm
}

/// Makes the sum right again.
pub(crate) fn seal(nvm: &mut [u16]) {
    nvm[0x3f] = 0;
    let mut sum = nvm[..0x40].iter().fold(0u16, |sum, word| sum.wrapping_add(*word));
    for pointer in 0x03..0x0f {
        let at = usize::from(nvm[pointer]);
        if at != 0 && at != 0xffff {
            let len = usize::from(nvm[at]);
            sum = nvm[at + 1..=at + len].iter().fold(sum, |sum, word| sum.wrapping_add(*word));
        }
    }
    nvm[0x3f] = 0xbabau16.wrapping_sub(sum);
}

impl State {
    fn new(has_regsmp: bool) -> State {
        State {
            nvm: nvm(),
            nvm_hangs: false,
            smbi_stuck: false,
            firmware_stuck: false,
            has_regsmp,
            commands_hang: false,
            module: Slave::new(),
            phy: None,
            mdio: BTreeMap::new(),
            mdio_hangs: false,
            mdio_at: 0,
            partner: vec![3],
            pipeline_stuck: false,
            autoc: Vec::new(),
            corectl: Vec::new(),
            link_at: None,
        }
    }

    fn tick(&mut self, file: &RegisterFile, now: Duration) {
        if self.link_at.is_some_and(|at| now >= at) {
            self.link_at = None;
            let speed = if matches!(file.get::<AUTOC>(0).lms(), 0 | 2) { 2 } else { 3 };
            file.set(0, LINKS::default().with_link_up(true).with_link_speed(speed));
        }
        self.module.levels(file, now);
    }

    fn react(&mut self, access: Access, file: &RegisterFile, now: Duration) {
        let (offset, written) = match access {
            Access::Read { offset, .. } => (offset, None),
            Access::Write { offset, value, .. } => (offset, Some(value as u32)),
        };
        let is = |info: vfio_hal::regs::RegisterInfo| info.offset(0) == Some(offset);
        if is(SWSM::INFO) {
            let swsm = file.get::<SWSM>(0);
            let smbi = self.smbi_stuck || written.is_none() || swsm.smbi();
            file.set(0, swsm.with_smbi(smbi).with_swesmbi(swsm.swesmbi() && !self.firmware_stuck));
        } else if is(SW_FW_SYNC::INFO) {
            let sync = file.get::<SW_FW_SYNC>(0);
            let taken = self.firmware_stuck || written.is_none() || sync.regsmp();
            file.set(0, sync.with_regsmp(taken && self.has_regsmp));
        } else if is(EERD::INFO) && written.is_some() && !self.nvm_hangs {
            let eerd = file.get::<EERD>(0);
            let word = self.nvm.get(eerd.addr() as usize).copied().unwrap_or(0xffff);
            file.set(0, eerd.with_data(word.into()).with_done(true));
        } else if is(HICR::INFO) && written.is_some_and(|value| HICR::new(value).c()) && !self.commands_hang {
            self.shadow_ram(file);
        } else if let Some(value) = written {
            if is(I2CCTL::INFO) {
                let pins = I2CCTL::new(value);
                self.module.drive(pins.clk_out(), pins.data_out(), now);
                self.module.levels(file, now);
            } else if is(MSCA::INFO) {
                self.mdio(file, MSCA::new(value));
            } else if is(AUTOC::INFO) {
                self.restart(file, AUTOC::new(value), now);
            } else if is(CORECTL::INFO) {
                self.corectl.push(value);
            }
        }
    }

    fn shadow_ram(&mut self, file: &RegisterFile) {
        let word = |index| file.get::<FLEX_MNG>(index).bits();
        let done = HICR::default().with_en(true);
        if word(0) != 0xff06_0031 {
            return file.set(0, done);
        }
        let (address, bytes) = (word(1).swap_bytes() as usize, (word(2) as u16).swap_bytes() as usize);
        for index in 0..bytes.div_ceil(4) {
            let half = |at: usize| u32::from(self.nvm.get(at).copied().unwrap_or(0xffff));
            let at = address / 2 + 2 * index;
            file.set(3 + index, FLEX_MNG::new(half(at + 1) << 16 | half(at)));
        }
        file.set(0, done.with_sv(true));
    }

    fn mdio(&mut self, file: &RegisterFile, command: MSCA) {
        if !command.mdicmd() || self.mdio_hangs {
            return;
        }
        let here = self.phy == Some(command.phyadd());
        let place = (command.devadd(), self.mdio_at);
        match command.opcode() {
            0 => self.mdio_at = command.mdiadd(),
            1 if here => {
                self.mdio.insert(place, file.get::<MSRWD>(0).mdiwrdata() as u16);
            }
            3 => {
                let value = if here { self.mdio.get(&place).copied().unwrap_or(0) } else { 0xffff };
                file.set(0, MSRWD::default().with_mdirddata(value.into()));
            }
            _ => {}
        }
        file.set(0, command.with_mdicmd(false));
    }

    fn restart(&mut self, file: &RegisterFile, autoc: AUTOC, now: Duration) {
        self.autoc.push(autoc);
        file.set(0, autoc.with_restart_an(false));
        if autoc.restart_an() {
            file.set(0, LINKS::default());
            file.set(0, ANLP1::default().with_an_state(u32::from(!self.pipeline_stuck)));
            let meets = self.partner.contains(&autoc.lms());
            self.link_at = meets.then(|| now + Duration::from_millis(5));
        }
    }
}
