//! The model as a whole: its units, one step of work, and what the outside calls.
//!
//! Key types: [`Model82599`]. Neighbours: implements [`DeviceModel`] for the backends; `dispatch` gives registers
//! meaning, `reset` puts everything back, `inspect` shows the inside.

use core::time::Duration;

use pmd_ixgbe::regs::{CTRL, EICR, ESDP, GPIE, HLREG0, MLFC, RDT, TDT};
use pmd_links::{Link, LinkError, LinkStatus, Nanos, Sent};
use vfio_hal::regs::{Register, RegisterInfo};
use vfio_user_kit::{
    AccessError, BarKind, BarSpec, Context, DeviceModel, Ids, Migration, ResetKind, Spec, Work,
};

use crate::clock::Clock;
use crate::config::{Config, Module, Overrun, Part, Signals};
use crate::dispatch::Registers;
use crate::events::Events;
use crate::flow_control::FlowControl;
use crate::irq::Interrupts;
use crate::link::{Conditions, Phy};
use crate::mdio::Mdio;
use crate::nvm::Nvm;
use crate::regs::file::BAR0_BYTES;
use crate::regs::{RegisterFile, access};
use crate::reset::Resetting;
use crate::rx::Rx;
use crate::semaphore::Semaphores;
use crate::sfp::i2c::I2c;
use crate::sfp::memory::ModuleMemory;
use crate::shared::{Core, QUEUES};
use crate::state::Moving;
use crate::timer::TcpTimer;
use crate::tx::{self, Tx};
use crate::wire::Wire;

/// Packets handled in one step, each way.
const BATCH: usize = 64;

/// A model of the Intel 82599.
pub struct Model82599 {
    pub(crate) core: Core,
    pub(crate) nvm: Nvm,
    pub(crate) semaphores: Semaphores,
    pub(crate) mdio: Mdio,
    pub(crate) i2c: I2c,
    pub(crate) phy: Phy,
    pub(crate) wire: Wire,
    pub(crate) flow: FlowControl,
    pub(crate) rx: Rx,
    pub(crate) tx: Tx,
    pub(crate) clock: Clock,
    pub(crate) timer: TcpTimer,
    pub(crate) resetting: Resetting,
    pub(crate) moving: Moving,
}

impl Model82599 {
    /// Returns a model that was just switched on, plugged into `link`.
    pub fn new(config: Config, link: Box<dyn Link>) -> Model82599 {
        let mut model = Model82599 {
            nvm: Nvm::new(&config),
            semaphores: Semaphores::default(),
            mdio: Mdio::default(),
            i2c: I2c::new(match config.part {
                Part::Sfp => ModuleMemory::new(config.module),
                Part::BackplaneKx4 => None,
            }),
            phy: Phy::new(config.part, &config.timing),
            wire: Wire::new(link),
            flow: FlowControl::default(),
            rx: Rx::new(),
            tx: Tx::new(),
            clock: Clock::default(),
            timer: TcpTimer::default(),
            resetting: Resetting::default(),
            moving: Moving::default(),
            core: Core {
                config,
                regs: RegisterFile::new(),
                irq: Interrupts::new(),
                events: Events::default(),
                speed_mbps: 0,
                now: 0,
                shift: 0,
                arrived: false,
            },
        };
        model.power_on();
        model
    }

    /// Plugs in another link; returns the one before.
    pub fn plug(&mut self, link: Box<dyn Link>) -> Box<dyn Link> {
        self.wire.replace(link)
    }

    /// Pulls the module out of the cage and puts another in; nothing happens on a backplane. The pins say so: SDP2 changes
    /// level, which interrupts if GPIE.sdp2_gpien allows it.
    pub fn swap_module(&mut self, module: Module) {
        if self.core.config.part != Part::Sfp {
            return;
        }
        self.core.config.module = module;
        self.i2c.plug(ModuleMemory::new(module));
        if self.core.regs.get::<GPIE>().sdp2_gpien() {
            self.core.irq.raise(EICR::default().with_gpi_sdp2(true));
        }
        if self.phy.restart(self.core.now) {
            self.link_changed();
        }
        self.update_link();
    }

    /// Makes frames that the link has buffered reach their destination.
    ///
    /// # Errors
    /// What the link answers, or the failure after which it was given up.
    pub fn flush(&mut self) -> Result<(), LinkError> {
        self.wire.flush()
    }

    /// Brings time up to date: resets end, the link comes and goes.
    pub(crate) fn tick(&mut self, now: Nanos) {
        self.core.call_at(now);
        let now = self.core.now;
        self.finish_reset(now);
        if self.timer.expired(self.core.regs.get(), now) {
            self.core.irq.raise(EICR::default().with_tcp_timer(true));
        }
        if let Some(status) = self.wire.poll_status(now) {
            self.phy.set_wire(status);
        } else if self.phy.deadline().is_none_or(|at| now < at) {
            return;
        }
        self.update_link();
    }

    /// Looks at everything that decides about the link.
    pub(crate) fn update_link(&mut self) {
        let regs = &self.core.regs;
        // SDP3, where it is an output, turns the laser off.
        let esdp = regs.get::<ESDP>();
        let laser_off = esdp.sdp3() && esdp.iodir() & 1 << 3 != 0;
        let conditions = Conditions {
            autoc: regs.get(),
            autoc2: regs.get(),
            medium: self.core.config.part == Part::BackplaneKx4 || self.i2c.present() && !laser_off,
            loopback: regs.get::<HLREG0>().lpbk(),
        };
        if self.phy.update(self.core.now, &conditions) {
            self.link_changed();
        }
    }

    /// The link went up or down.
    pub(crate) fn link_changed(&mut self) {
        // The clock of the time stamps runs at the link's speed.
        self.clock.settle(&self.core);
        self.core.speed_mbps = self.phy.speed();
        self.core.irq.raise(EICR::default().with_lsc(true));
        if !self.phy.up() {
            // 8.2.3.23.9: faults of the local MAC.
            self.core.regs.count::<MLFC>();
        }
    }

    /// Frames to and from the link and the rings.
    fn traffic(&mut self, cx: &Context<'_>) -> bool {
        let Model82599 { core, flow, rx, tx, wire, phy, clock, .. } = self;
        let (now, outside) = (core.now, core.outside());
        let loopback = core.regs.get::<HLREG0>().lpbk();
        let mut looped = std::mem::take(&mut wire.frame);
        let mut moved = rx.drain(core, cx.dma, cx.doorbells, BATCH);

        if phy.up() {
            flow.occupancy(core, |class| rx.buffers[class].bytes());
            moved |= send_pause(core, flow, wire, loopback);
            if loopback || !flow.paused(now) {
                let paused = if loopback { 0 } else { flow.paused_classes(now) };
                moved |= tx.run(core, cx.dma, cx.doorbells, paused, &mut |core, frame, stamp| {
                    if loopback {
                        looped.clear();
                        looped.extend_from_slice(frame);
                        tx::mac::count(core, frame);
                        rx.receive(core, flow, clock, cx.dma, cx.doorbells, &mut looped);
                        return Sent::Accepted;
                    }
                    let sent = to_wire(core, wire, frame);
                    if stamp && sent == Sent::Accepted {
                        clock.stamp_tx(core);
                    }
                    sent
                });
            }
            if !loopback {
                for _ in 0..BATCH {
                    if core.config.overrun == Overrun::Wait && !rx.is_empty() {
                        break;
                    }
                    if !wire.receive(&mut looped, outside) {
                        break;
                    }
                    rx.receive(core, flow, clock, cx.dma, cx.doorbells, &mut looped);
                    moved = true;
                }
            }
        }
        wire.frame = looped;
        rx.finish_coalescing(core, cx.dma, cx.doorbells);
        rx.interrupts(core);
        moved
    }
}

/// Offers a frame to the wire and counts it if it went.
fn to_wire(core: &mut Core, wire: &mut Wire, frame: &[u8]) -> Sent {
    match wire.transmit(frame, core.outside()) {
        Ok(Sent::Accepted) => {
            tx::mac::count(core, frame);
            Sent::Accepted
        }
        Ok(Sent::Busy) => {
            core.events.counters.tx_busy += 1;
            Sent::Busy
        }
        // The link is broken and the carrier about to go; silicon sends into the void.
        Err(_) => {
            core.events.counters.tx_link_error += 1;
            Sent::Accepted
        }
    }
}

/// Sends the PAUSE frame that flow control wants, before any data.
fn send_pause(core: &mut Core, flow: &mut FlowControl, wire: &mut Wire, loopback: bool) -> bool {
    let Some(frame) = flow.frame(core) else { return false };
    if loopback || to_wire(core, wire, &frame) == Sent::Accepted {
        flow.sent(core);
        return true;
    }
    false
}

impl DeviceModel for Model82599 {
    fn spec(&self) -> Spec {
        let tails = |info: &'static RegisterInfo| {
            (0..QUEUES).filter_map(|queue| info.offset(queue)).map(|offset| (0u8, offset))
        };
        let mut doorbells: Vec<_> = tails(&const { RDT::INFO }).chain(tails(&const { TDT::INFO })).collect();
        doorbells.sort_unstable();
        let signals = self.core.config.signals;
        Spec {
            ids: Ids {
                vendor: 0x8086,
                device: self.core.config.part.device_id(),
                subsystem_vendor: 0x8086,
                subsystem: 0x0006,
                class: 0x02_0000,
                revision: 0x01,
            },
            bars: vec![
                BarSpec { index: 0, size: BAR0_BYTES, kind: BarKind::Memory64 },
                BarSpec { index: 4, size: 0x4000, kind: BarKind::Memory64 },
            ],
            msix_vectors: if signals == Signals::MsiX { 64 } else { 0 },
            msix_bar: 4,
            msi_vectors: if signals == Signals::IntX { 0 } else { 1 },
            intx: true,
            doorbells,
            serial: Some(self.core.config.serial()),
            ..Spec::default()
        }
    }

    fn bar_read(
        &mut self,
        cx: &mut Context<'_>,
        bar: u8,
        offset: u64,
        data: &mut [u8],
    ) -> Result<(), AccessError> {
        self.tick(cx.now.as_nanos() as Nanos);
        access::read(&mut Registers { model: self, cx }, bar, offset, data)
    }

    fn bar_write(
        &mut self,
        cx: &mut Context<'_>,
        bar: u8,
        offset: u64,
        data: &[u8],
    ) -> Result<(), AccessError> {
        self.tick(cx.now.as_nanos() as Nanos);
        access::write(&mut Registers { model: self, cx }, bar, offset, data)
    }

    fn step(&mut self, cx: &mut Context<'_>) -> Work {
        self.tick(cx.now.as_nanos() as Nanos);
        let mut moved = false;
        if !self.in_reset() && !self.core.regs.get::<CTRL>().pcie_master_disable() {
            moved = self.traffic(cx);
        }
        self.core.irq.fire(&self.core.regs, cx.irq, self.core.now);
        if moved { Work::Done } else { Work::Idle }
    }

    fn next_deadline(&self) -> Option<Duration> {
        self.deadline().map(Duration::from_nanos)
    }

    fn reset(&mut self, cx: &mut Context<'_>, kind: ResetKind) {
        self.tick(cx.now.as_nanos() as Nanos);
        self.function_reset(cx, kind);
    }

    fn migration(&mut self) -> Option<&mut dyn Migration> {
        Some(self)
    }
}

/// What the wire says, for the inspector.
pub(crate) fn link_status(phy: &Phy) -> LinkStatus {
    LinkStatus { up: phy.up(), speed_mbps: phy.speed() }
}
