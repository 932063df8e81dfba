//! Which unit a register access goes to. What is not named here is storage, by the rules of the register map.
//!
//! Reads have side effects here and nowhere else; `peek` is the same without.
//!
//! Key types: [`Registers`]. Neighbours: [`access`](crate::regs::access) splits accesses into dwords before.

use pmd_links::Nanos;
use vfio_user_kit::Context;

use crate::link::autoc;
use crate::model::{CTRL_GIO_DIS, Model82599};
use crate::regs::access::Dwords;
use crate::regs::{Reg, RegisterFile};
use crate::reset::{CTRL_LRST, CTRL_RST, DMAIDONE};
use crate::shared::doorbell;

/// STATUS: the primary (PCIe) enable status.
const STATUS_PRIMARY_ENABLED: u32 = 1 << 19;
/// STATUS 7: link up, as the wake-up logic sees it.
const STATUS_LINK_UP: u32 = 1 << 7;
/// SECRXSTAT and SECTXSTAT: the path is empty.
const SEC_READY: u32 = 1 << 0;
/// SECRXSTAT and SECTXSTAT: the part has no security offload.
const SEC_OFF: u32 = 1 << 1;
/// SECRXCTRL.RX_DIS, SECTXCTRL.TX_DIS.
const SEC_DISABLE: u32 = 1 << 1;
/// ESDP 2: the cage is not empty. An input unless bit 10 makes it an output.
const ESDP_MODULE: u32 = 1 << 2;

/// The registers during one access.
pub(crate) struct Registers<'m, 'c, 'x> {
    pub(crate) model: &'m mut Model82599,
    pub(crate) cx: &'c Context<'x>,
}

impl Dwords for Registers<'_, '_, '_> {
    fn read(&mut self, offset: u64) -> u32 {
        let model = &mut *self.model;
        let Some((reg, element)) = model.core.regs.decode(offset) else {
            model.core.events.counters.unknown_reads += 1;
            log::trace!("read of {offset:#x}, where there is no register");
            return 0;
        };
        if model.in_reset() && reg != Reg::Ctrl {
            model.core.events.counters.accesses_in_reset += 1;
        }
        let core = &mut model.core;
        match reg {
            Reg::Eicr => {
                let value = core.irq.read_eicr(&core.regs);
                core.irq.settle_pin(self.cx.irq);
                value
            }
            Reg::EicrEx => core.irq.read_eicr_ex(element),
            Reg::Links => model.phy.read_links(core.regs.get(Reg::Autoc)),
            Reg::Swsm => model.semaphores.read(),
            _ if RegisterFile::entry(reg).access == crate::regs::Access::Rc => {
                core.regs.software_read(reg, element)
            }
            _ => self.peek(offset),
        }
    }

    fn peek(&mut self, offset: u64) -> u32 {
        let model = &mut *self.model;
        let Some((reg, element)) = model.core.regs.decode(offset) else { return 0 };
        let (core, now) = (&model.core, model.core.now);
        let value = core.regs.get_at(reg, element);
        match reg {
            Reg::Ctrl if model.in_reset() => value | model.resetting.bits,
            Reg::Status => {
                let primary = if core.regs.has(Reg::Ctrl, CTRL_GIO_DIS) { 0 } else { STATUS_PRIMARY_ENABLED };
                let link = if model.phy.up() { STATUS_LINK_UP } else { 0 };
                value & !(STATUS_PRIMARY_ENABLED | STATUS_LINK_UP) | primary | link
            }
            Reg::Esdp => {
                let module = if model.i2c.present() { ESDP_MODULE } else { 0 };
                value & !ESDP_MODULE | module
            }
            // 8.2.3.1.6: counts microseconds, wraps.
            Reg::Frtimer => (now / 1_000) as u32,
            Reg::I2cctl => model.i2c.read(),
            Reg::Eec => model.nvm.read_eec(now),
            Reg::Eerd => model.nvm.read_eerd(now),
            Reg::Swsm => model.semaphores.peek(),
            Reg::Msca => model.mdio.read_msca(now),
            Reg::Msrwd => model.mdio.read_msrwd(),
            Reg::Eicr | Reg::Eics => core.irq.peek(),
            Reg::EicrEx | Reg::EicsEx => core.irq.peek_ex(element),
            Reg::Eims => core.irq.eims(),
            Reg::EimsEx => core.irq.eims_ex(element),
            Reg::Links => model.phy.peek_links(core.regs.get(Reg::Autoc)),
            Reg::Anlp1 => model.phy.anlp1(now),
            Reg::Rdrxctl => value | if now >= model.resetting.dma_ready_at { DMAIDONE } else { 0 },
            Reg::Secrxstat => {
                SEC_OFF | if core.regs.has(Reg::Secrxctrl, SEC_DISABLE) { SEC_READY } else { 0 }
            }
            Reg::Sectxstat => {
                SEC_OFF | if core.regs.has(Reg::Sectxctrl, SEC_DISABLE) { SEC_READY } else { 0 }
            }
            Reg::Tfcs => model.flow.tfcs(now),
            Reg::Rdh => model.rx.queues[element].head,
            Reg::Tdh => model.tx.queues[element].head,
            Reg::Rdt => self.cx.doorbells.load(doorbell::rx(element)) & 0xFFFF,
            Reg::Tdt => self.cx.doorbells.load(doorbell::tx(element)) & 0xFFFF,
            Reg::Rxdctl => model.rx.read_control(core, element),
            Reg::Txdctl => model.tx.read_control(core, element),
            _ if RegisterFile::entry(reg).access == crate::regs::Access::Wo => 0,
            _ => value,
        }
    }

    fn write(&mut self, offset: u64, value: u32) {
        let model = &mut *self.model;
        let Some((reg, element)) = model.core.regs.decode(offset) else {
            model.core.events.counters.unknown_writes += 1;
            log::trace!("write of {value:#x} to {offset:#x}, where there is no register");
            return;
        };
        if model.in_reset() {
            model.core.events.counters.accesses_in_reset += 1;
        }
        let now = model.core.now;
        let core = &mut model.core;
        let (doorbells, irq) = (self.cx.doorbells, self.cx.irq);
        match reg {
            Reg::Ctrl => {
                core.regs.software_write(reg, element, value & !(CTRL_RST | CTRL_LRST));
                if value & (CTRL_RST | CTRL_LRST) != 0 {
                    model.software_reset(self.cx, value & (CTRL_RST | CTRL_LRST));
                }
            }
            Reg::I2cctl => model.i2c.write(value),
            Reg::Eec => model.nvm.write_eec(value),
            Reg::Eerd => model.nvm.write_eerd(value, now, &core.config.timing),
            Reg::Swsm => model.semaphores.write(value),
            Reg::Msca => model.mdio.write_msca(value, now, core.config.timing.mdio.as_nanos() as Nanos),
            Reg::Msrwd => model.mdio.write_msrwd(value),

            Reg::Eicr => {
                core.irq.write_eicr(value);
                core.irq.settle_pin(irq);
            }
            Reg::EicrEx => core.irq.write_eicr_ex(element, value),
            Reg::Eics => core.irq.write_eics(value),
            Reg::EicsEx => core.irq.write_eics_ex(element, value),
            Reg::Eims => core.irq.unmask(u64::from(value & 0xFFFF), value),
            Reg::Eimc => {
                core.irq.mask(u64::from(value & 0xFFFF), value);
                core.irq.settle_pin(irq);
            }
            Reg::EimsEx => core.irq.unmask(u64::from(value) << (32 * element), 0),
            Reg::EimcEx => {
                core.irq.mask(u64::from(value) << (32 * element), 0);
                core.irq.settle_pin(irq);
            }
            Reg::Ivar => {
                let value = core.regs.software_write(reg, element, value);
                core.irq.route(element, value);
            }
            Reg::Eitr => {
                core.regs.software_write(reg, element, value);
                core.irq.moderate(element, value);
            }

            Reg::Autoc => {
                core.regs.software_write(reg, element, value & !autoc::RESTART);
                if value & autoc::RESTART != 0 && model.phy.restart(now) {
                    model.link_changed();
                }
                model.update_link();
            }
            Reg::Autoc2 | Reg::Macc | Reg::Hlreg0 | Reg::Esdp => {
                core.regs.software_write(reg, element, value);
                model.update_link();
            }

            Reg::Ral | Reg::Rah => {
                core.regs.software_write(reg, element, value);
                model.rx.mac.filter.reload(&core.regs);
            }
            Reg::Rssrk => {
                core.regs.software_write(reg, element, value);
                model.rx.rss.rekey();
            }
            Reg::Srrctl => {
                let value = core.regs.software_write(reg, element, value);
                model.rx.queues[element].set_srrctl(value);
            }
            Reg::Rxdctl => {
                core.regs.software_write(reg, element, value);
                model.rx.control(core, doorbells, element);
            }
            Reg::Rdt => doorbells.store(doorbell::rx(element), value & 0xFFFF),

            Reg::Dmatxctl => {
                core.regs.software_write(reg, element, value);
                model.tx.enable(core, doorbells);
            }
            Reg::Txdctl => {
                core.regs.software_write(reg, element, value);
                model.tx.control(core, doorbells, element);
            }
            Reg::Tdwbal | Reg::Tdwbah => {
                core.regs.software_write(reg, element, value);
                let at = |reg| u64::from(core.regs.get_at(reg, element));
                let address = at(Reg::Tdwbah) << 32 | at(Reg::Tdwbal);
                model.tx.queues[element].set_head_address(address);
            }
            Reg::Tdt => doorbells.store(doorbell::tx(element), value & 0xFFFF),

            _ => {
                core.regs.software_write(reg, element, value);
            }
        }
    }
}
