//! Which unit a register access goes to. What is not named here is storage, by the rules of the register map.
//!
//! Reads have side effects here and nowhere else; `peek` is the same without.
//!
//! Key types: [`Registers`]. Neighbours: [`access`](crate::regs::access) splits accesses into dwords before.

use pmd_ixgbe::regs::*;
use pmd_links::Nanos;
use vfio_hal::regs::{AccessKind, Register};
use vfio_user_kit::Context;

use crate::clock;
use crate::model::Model82599;
use crate::regs::RegisterFile;
use crate::regs::access::Dwords;
use crate::shared::doorbell;

/// The registers during one access.
pub(crate) struct Registers<'m, 'c, 'x> {
    pub(crate) model: &'m mut Model82599,
    pub(crate) cx: &'c Context<'x>,
}

impl Dwords for Registers<'_, '_, '_> {
    fn read(&mut self, offset: u64) -> u32 {
        let model = &mut *self.model;
        let Some(place) = RegisterFile::decode(offset) else {
            model.core.events.counters.unknown_reads += 1;
            log::trace!("read of {offset:#x}, where there is no register");
            return 0;
        };
        if model.in_reset() && place.register != CTRL::OFFSET {
            model.core.events.counters.accesses_in_reset += 1;
        }
        let core = &mut model.core;
        match place.register {
            EICR::OFFSET => {
                let value = core.irq.read_eicr(&core.regs);
                core.irq.settle_pin(self.cx.irq);
                value
            }
            LINKS::OFFSET => model.phy.read_links(core.regs.get()),
            SWSM::OFFSET => model.semaphores.read(),
            SYSTIM::OFFSET => model.clock.read(core, place.half),
            RXSTMPH::OFFSET => {
                clock::free_rx(core);
                core.regs.peek(&place)
            }
            TXSTMP::OFFSET => {
                if place.half == 1 {
                    clock::free_tx(core);
                }
                core.regs.peek(&place)
            }
            _ if place.info.access == AccessKind::ReadClear => core.regs.software_read(&place),
            _ => self.peek(offset),
        }
    }

    fn peek(&mut self, offset: u64) -> u32 {
        let model = &mut *self.model;
        let Some(place) = RegisterFile::decode(offset) else { return 0 };
        let (core, now, element) = (&model.core, model.core.now, place.element);
        let value = core.regs.peek(&place);
        match place.register {
            CTRL::OFFSET if model.in_reset() => value | model.resetting.bits.bits(),
            STATUS::OFFSET => {
                let primary = !core.regs.get::<CTRL>().pcie_master_disable();
                STATUS::default().with_pcie_master_enable(primary).with_link_up(model.phy.up()).bits()
            }
            // SDP2 is an input: a module is in the cage.
            ESDP::OFFSET => ESDP::new(value).with_sdp2(model.i2c.present()).bits(),
            I2CCTL::OFFSET => model.i2c.read(),
            EEC::OFFSET => model.nvm.read_eec(now),
            EERD::OFFSET => model.nvm.read_eerd(now),
            SWSM::OFFSET => model.semaphores.peek(),
            MSCA::OFFSET => model.mdio.read_msca(now),
            MSRWD::OFFSET => model.mdio.read_msrwd(),
            // A read of EICS gives the causes and clears none.
            EICR::OFFSET | EICS::OFFSET => core.irq.peek(),
            EICR_EX::OFFSET | EICS_EX::OFFSET => core.irq.peek_ex(element),
            EIMS::OFFSET => core.irq.eims(),
            EIMS_EX::OFFSET => core.irq.eims_ex(element),
            LINKS::OFFSET => model.phy.peek_links(core.regs.get()),
            ANLP1::OFFSET => model.phy.anlp1(now),
            RDRXCTL::OFFSET => RDRXCTL::new(value).with_dmaidone(now >= model.resetting.dma_ready_at).bits(),
            // There are no security offloads; a stopped path is empty.
            SECRXSTAT::OFFSET => {
                let stopped = core.regs.get::<SECRXCTRL>().rx_dis();
                SECRXSTAT::default().with_secrx_off_dis(true).with_secrx_rdy(stopped).bits()
            }
            SECTXSTAT::OFFSET => {
                let stopped = core.regs.get::<SECTXCTRL>().tx_dis();
                SECTXSTAT::default().with_sectx_off_dis(true).with_sectx_rdy(stopped).bits()
            }
            FDIRCTRL::OFFSET => {
                FDIRCTRL::new(value).with_init_done(model.rx.steering.flow_director.is_ready(now)).bits()
            }
            TFCS::OFFSET => model.flow.tfcs(now),
            RDH::OFFSET => model.rx.queues[element].head,
            TDH::OFFSET => model.tx.queues[element].head,
            RDT::OFFSET => self.cx.doorbells.load(doorbell::rx(element)) & 0xFFFF,
            TDT::OFFSET => self.cx.doorbells.load(doorbell::tx(element)) & 0xFFFF,
            RXDCTL::OFFSET => model.rx.read_control(core, element),
            TXDCTL::OFFSET => model.tx.read_control(core, element),
            _ if place.info.access == AccessKind::WriteOnly => 0,
            _ => value,
        }
    }

    fn write(&mut self, offset: u64, value: u32) {
        let model = &mut *self.model;
        let Some(place) = RegisterFile::decode(offset) else {
            model.core.events.counters.unknown_writes += 1;
            log::trace!("write of {value:#x} to {offset:#x}, where there is no register");
            return;
        };
        if model.in_reset() {
            model.core.events.counters.accesses_in_reset += 1;
        }
        let (now, element) = (model.core.now, place.element);
        let core = &mut model.core;
        let (doorbells, irq) = (self.cx.doorbells, self.cx.irq);
        if place.register == TIMINCA::OFFSET {
            model.clock.settle(core);
        }
        // Storage first; what follows looks at the result.
        core.regs.software_write(&place, value);
        match place.register {
            CTRL::OFFSET => {
                let value = CTRL::new(value);
                core.regs.set(CTRL::default().with_pcie_master_disable(value.pcie_master_disable()));
                if value.rst() || value.lrst() {
                    model.software_reset(
                        self.cx,
                        CTRL::default().with_rst(value.rst()).with_lrst(value.lrst()),
                    );
                }
            }
            I2CCTL::OFFSET => model.i2c.write(I2CCTL::new(value)),
            EEC::OFFSET => model.nvm.write_eec(EEC::new(value)),
            EERD::OFFSET => model.nvm.write_eerd(EERD::new(value), now, &core.config.timing),
            SWSM::OFFSET => model.semaphores.write(SWSM::new(value)),
            MSCA::OFFSET => {
                model.mdio.write_msca(MSCA::new(value), now, core.config.timing.mdio.as_nanos() as Nanos);
            }
            MSRWD::OFFSET => model.mdio.write_msrwd(MSRWD::new(value)),

            EICR::OFFSET => {
                core.irq.write_eicr(value);
                core.irq.settle_pin(irq);
            }
            EICR_EX::OFFSET => core.irq.write_eicr_ex(element, value),
            EICS::OFFSET => core.irq.write_eics(value),
            EICS_EX::OFFSET => core.irq.write_eics_ex(element, value),
            EIMS::OFFSET => core.irq.unmask(u64::from(value & 0xFFFF), value),
            EIMC::OFFSET => {
                core.irq.mask(u64::from(value & 0xFFFF), value);
                core.irq.settle_pin(irq);
            }
            EIMS_EX::OFFSET => core.irq.unmask(u64::from(value) << (32 * element), 0),
            EIMC_EX::OFFSET => {
                core.irq.mask(u64::from(value) << (32 * element), 0);
                core.irq.settle_pin(irq);
            }
            IVAR::OFFSET => core.irq.route(element, core.regs.at(element)),
            EITR::OFFSET => core.irq.moderate(element, EITR::new(value)),

            AUTOC::OFFSET => {
                core.regs.set(AUTOC::new(value).with_restart_an(false));
                if AUTOC::new(value).restart_an() && model.phy.restart(now) {
                    model.link_changed();
                }
                model.update_link();
            }
            AUTOC2::OFFSET | HLREG0::OFFSET | ESDP::OFFSET => model.update_link(),

            RAL::OFFSET | RAH::OFFSET => model.rx.mac.filter.reload(&core.regs),
            RSSRK::OFFSET => model.rx.steering.rss.rekey(),
            ETQF::OFFSET => model.rx.steering.ethertypes.reload(&core.regs),
            SAQF::OFFSET | DAQF::OFFSET | SDPQF::OFFSET | FTQF::OFFSET | L34TIMIR::OFFSET => {
                model.rx.steering.tuples.invalidate();
            }
            FDIRCTRL::OFFSET => model.rx.steering.flow_director.init(core),
            FDIRCMD::OFFSET => model.rx.steering.flow_director.command(core, FDIRCMD::new(value)),
            SRRCTL::OFFSET => model.rx.queues[element].set_srrctl(core.regs.at(element)),
            RXDCTL::OFFSET => model.rx.control(core, doorbells, element),
            RDT::OFFSET => doorbells.store(doorbell::rx(element), value & 0xFFFF),

            PFQDE::OFFSET => {
                let value = PFQDE::new(value);
                if value.we() {
                    model.rx.queues[value.queue_index() as usize].drop_anyway = value.enable();
                }
            }

            SYSTIM::OFFSET => model.clock.write(core, place.half, value),
            TIMADJ::OFFSET if place.half == 1 => model.clock.adjust(core),
            TCPTIMER::OFFSET => {
                model.timer.write(TCPTIMER::new(value), now);
                core.regs.set(TCPTIMER::new(value).with_kick_start(false));
            }

            RTTBCNRC::OFFSET => {
                let queue = core.regs.get::<RTTDQSEL>().txdq_idx() as usize;
                model.tx.queues[queue].set_rate(RTTBCNRC::new(value));
            }
            DMATXCTL::OFFSET => model.tx.enable(core, doorbells),
            TXDCTL::OFFSET => model.tx.control(core, doorbells, element),
            TDWBA::OFFSET => model.tx.queues[element].set_head_address(core.regs.at(element)),
            TDT::OFFSET => doorbells.store(doorbell::tx(element), value & 0xFFFF),
            _ => {}
        }
    }
}
