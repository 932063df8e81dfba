//! Resets: which there are, what they clear, how long they take (datasheet 4.2).
//!
//! - Power-on and function-level reset clear everything but the EEPROM's contents.
//! - CTRL.RST and CTRL.LRST clear the port: registers, queues, link; not the tables in RAM (MTA, VFTA, RETA, filters),
//!   not SW_FW_SYNC.
//!
//! After each the EEPROM is read again: the MAC address and the link's defaults appear with EEC.ARD.
//!
//! Key types: [`Resetting`].

use pmd_ixgbe::regs::{
    AUTOC, AUTOC2, CTRL, DAQF, ESDP, FTQF, L34TIMIR, LEDCTL, MPSAR, MTA, PFMBMEM, PFUTA, PFVLVF, PFVLVFB,
    RAH, RAL, RETA, RSSRK, RXPBSIZE, SAQF, SDPQF, SRRCTL, SW_FW_SYNC, TXPBSIZE, TXPBTHRESH, VFTA,
};
use pmd_links::Nanos;
use vfio_hal::regs::Register;
use vfio_user_kit::{Context, Doorbells, ResetKind};

use crate::clock::Clock;
use crate::config::Part;
use crate::flow_control::FlowControl;
use crate::mdio::Mdio;
use crate::model::Model82599;
use crate::shared::Random;
use crate::state::state;
use crate::timer::TcpTimer;

/// ESDP.iodir of an SFP+ board: SDP3 (laser off) and SDP5 (rate select) are outputs.
const OUTPUTS: u32 = 1 << 3 | 1 << 5;

/// When the parts of a reset are over.
#[derive(Default)]
pub(crate) struct Resetting {
    /// CTRL.RST reads 0 from here on.
    pub(crate) busy_until: Nanos,
    /// The reset bits of CTRL that were written.
    pub(crate) bits: CTRL,
    /// When the EEPROM is read, until it is.
    pub(crate) ard_at: Option<Nanos>,
    /// DMAIDONE.
    pub(crate) dma_ready_at: Nanos,
}

state!(Resetting { busy_until, bits, ard_at, dma_ready_at });

/// RAM that a software reset leaves alone; software has to clear it (4.6.3, 4.6.7).
fn is_ram(register: u64) -> bool {
    const RAM: &[u64] = &[
        MTA::OFFSET,
        PFUTA::OFFSET,
        VFTA::OFFSET,
        RETA::OFFSET,
        RSSRK::OFFSET,
        SAQF::OFFSET,
        DAQF::OFFSET,
        SDPQF::OFFSET,
        FTQF::OFFSET,
        L34TIMIR::OFFSET,
        MPSAR::OFFSET,
        PFVLVF::OFFSET,
        PFVLVFB::OFFSET,
        PFMBMEM::OFFSET,
    ];
    RAM.contains(&register)
}

impl Model82599 {
    /// The state after power was applied.
    pub(crate) fn power_on(&mut self) {
        if let Some(seed) = self.core.config.ram_noise {
            let mut random = Random::new(seed);
            self.core.regs.fill(is_ram, || random.next() as u32);
        }
        // The EEPROM was read before PCIe came up.
        self.load_eeprom();
        self.rx.mac.filter.reload(&self.core.regs);
        for queue in 0..crate::shared::QUEUES {
            self.rx.queues[queue].set_srrctl(self.core.regs.at::<SRRCTL>(queue));
        }
    }

    /// FLR, or the client is gone.
    pub(crate) fn function_reset(&mut self, cx: &Context<'_>, kind: ResetKind) {
        log::debug!("{kind:?} reset");
        self.core.events.counters.resets += 1;
        self.semaphores = Default::default();
        self.core.regs.reset(|_| true);
        self.port_reset(cx.doorbells);
        self.core.irq.settle_pin(cx.irq);
        self.resetting.busy_until = self.core.now;
    }

    /// CTRL.RST or CTRL.LRST was written.
    pub(crate) fn software_reset(&mut self, cx: &Context<'_>, bits: CTRL) {
        self.core.events.counters.resets += 1;
        self.core.regs.reset(|register| !is_ram(register) && register != SW_FW_SYNC::OFFSET);
        self.port_reset(cx.doorbells);
        self.core.irq.settle_pin(cx.irq);
        let takes = self.core.config.timing.reset.as_nanos() as Nanos;
        self.resetting.busy_until = self.core.now.saturating_add(takes);
        self.resetting.bits = bits;
    }

    fn port_reset(&mut self, doorbells: &dyn Doorbells) {
        let after = |time: core::time::Duration| self.core.now.saturating_add(time.as_nanos() as Nanos);
        let ard_at = after(self.core.config.timing.auto_read);
        self.resetting.dma_ready_at = after(self.core.config.timing.dma_init);
        self.resetting.ard_at = Some(ard_at);
        self.nvm.reset(ard_at);
        self.core.irq.reset();
        self.flow = FlowControl::default();
        self.mdio = Mdio::default();
        self.clock = Clock::default();
        self.timer = TcpTimer::default();
        self.core.speed_mbps = 0;
        self.rx.reset(&mut self.core, doorbells);
        self.tx.reset(doorbells);
        self.phy.restart(self.core.now);
    }

    /// Ends what is over.
    pub(crate) fn finish_reset(&mut self, now: Nanos) {
        if self.resetting.ard_at.is_some_and(|at| now >= at) {
            self.resetting.ard_at = None;
            self.load_eeprom();
            self.rx.mac.filter.reload(&self.core.regs);
            self.update_link();
        }
    }

    /// Whether a reset is under way: registers must not be touched, nothing moves.
    pub(crate) fn in_reset(&self) -> bool {
        self.core.now < self.resetting.busy_until
    }

    /// What the auto-read writes: address 0 of the exact filters, link defaults, pins, LEDs.
    fn load_eeprom(&mut self) {
        let image = self.nvm.image();
        let m = image.mac();
        let [autoc, autoc2] = image.autoc();
        let regs = &mut self.core.regs;
        regs.set(RAL::new(u32::from_le_bytes([m[0], m[1], m[2], m[3]])));
        regs.set(RAH::default().with_rah(u32::from(m[5]) << 8 | u32::from(m[4])).with_av(true));
        regs.set(AUTOC::new(autoc));
        regs.set(AUTOC2::new(autoc2));
        // Link up, 10 Gbit/s, blinking activity, 1 Gbit/s.
        let leds = LEDCTL::default().with_led0_mode(0).with_led1_mode(1).with_led2_mode(4).with_led3_mode(5);
        regs.set(leds.with_led2_blink(true));
        regs.set(RXPBSIZE::default().with_size(512));
        regs.set(TXPBSIZE::default().with_size(160));
        regs.set(TXPBTHRESH::default().with_thresh(0x96));
        if self.core.config.part == Part::Sfp {
            regs.set(ESDP::default().with_iodir(OUTPUTS));
        }
    }
}
