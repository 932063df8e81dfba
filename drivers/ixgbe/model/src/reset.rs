//! Resets: which there are, what they clear, how long they take (datasheet 4.2).
//!
//! - Power-on and function-level reset clear everything but the EEPROM's contents.
//! - CTRL.RST and CTRL.LRST clear the port: registers, queues, link; not the tables in RAM (MTA, VFTA, RETA, filters),
//!   not SW_FW_SYNC.
//!
//! After each the EEPROM is read again: the MAC address and the link's defaults appear with EEC.ARD.
//!
//! Key types: [`Resetting`].

use pmd_links::Nanos;
use vfio_user_kit::{Context, Doorbells, ResetKind};

use crate::config::Part;
use crate::flow_control::FlowControl;
use crate::mdio::Mdio;
use crate::model::Model82599;
use crate::regs::map::ENTRIES;
use crate::regs::{Access, Reg};

/// CTRL bits.
pub(crate) const CTRL_LRST: u32 = 1 << 3;
pub(crate) const CTRL_RST: u32 = 1 << 26;
/// RDRXCTL.DMAIDONE.
pub(crate) const DMAIDONE: u32 = 1 << 3;
/// ESDP: SDP3 and SDP5 are outputs (laser and rate select of an SFP+ board).
const ESDP_SFP: u32 = 1 << 11 | 1 << 13;

/// When the parts of a reset are over.
#[derive(Default)]
pub(crate) struct Resetting {
    /// CTRL.RST reads 0 from here on.
    pub(crate) busy_until: Nanos,
    /// The bits of CTRL that were written.
    pub(crate) bits: u32,
    /// When the EEPROM is read, until it is.
    ard_at: Option<Nanos>,
    /// DMAIDONE.
    pub(crate) dma_ready_at: Nanos,
}

/// RAM that a software reset leaves alone; software has to clear it (4.6.3, 4.6.7).
fn is_ram(reg: Reg) -> bool {
    matches!(
        reg,
        Reg::Mta
            | Reg::Uta
            | Reg::Vfta
            | Reg::Reta
            | Reg::Rssrk
            | Reg::Saqf
            | Reg::Daqf
            | Reg::Sdpqf
            | Reg::Ftqf
            | Reg::L34timir
            | Reg::Mpsar
            | Reg::Vlvf
            | Reg::Vlvfb
            | Reg::Fhft
            | Reg::Pfmbmem
    )
}

impl Model82599 {
    /// The state after power was applied.
    pub(crate) fn power_on(&mut self) {
        if let Some(mut seed) = self.core.config.ram_noise {
            for entry in ENTRIES.iter().filter(|entry| is_ram(entry.reg) && entry.access == Access::Rw) {
                for element in 0..entry.count as usize {
                    // xorshift64: any generator does, the values need only not be zero.
                    seed = seed.max(1);
                    seed ^= seed << 13;
                    seed ^= seed >> 7;
                    seed ^= seed << 17;
                    self.core.regs.set_at(entry.reg, element, seed as u32 & entry.mask);
                }
            }
        }
        // The EEPROM was read before PCIe came up.
        self.load_eeprom();
        self.rx.mac.filter.reload(&self.core.regs);
        for queue in 0..crate::shared::QUEUES {
            self.rx.queues[queue].set_srrctl(self.core.regs.get_at(Reg::Srrctl, queue));
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
    pub(crate) fn software_reset(&mut self, cx: &Context<'_>, bits: u32) {
        self.core.events.counters.resets += 1;
        self.core.regs.reset(|reg| !is_ram(reg) && !matches!(reg, Reg::Gssr));
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
        regs.set_at(Reg::Ral, 0, u32::from_le_bytes([m[0], m[1], m[2], m[3]]));
        regs.set_at(Reg::Rah, 0, 1 << 31 | u32::from(m[5]) << 8 | u32::from(m[4]));
        regs.set(Reg::Autoc, autoc);
        regs.set(Reg::Autoc2, autoc2);
        regs.set(Reg::Ledctl, 0x0584_0100);
        regs.set(Reg::Rxpbsize, 512 << 10);
        regs.set(Reg::Txpbsize, 160 << 10);
        regs.set(Reg::Txpbthresh, 0x96);
        if self.core.config.part == Part::Sfp {
            regs.set(Reg::Esdp, ESDP_SFP);
        }
    }
}
