//! The control side of a started port.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use pmd_intel::rss::RssConfig;
use pmd_intel::{Failed, PortKey};
use vfio_hal::irq::IrqSink;
use vfio_hal::pmd::{self, FlowControl, LinkStatus, MacAddr, Port, PortError, PortInfo, PortStats};

use crate::hw::Hw;
use crate::inspect::Inspect;
use crate::interrupt::{self, Vector};
use crate::port::{Configured, Setup, Started, release};
use crate::rx::RxQueue;
use crate::tx::TxQueue;
use crate::{control, flow_control, init, link, mtu};

/// The control side of a started port. Its queues are values of their own; it has the registers that all of them share.
pub struct Running {
    hw: Box<Hw>,
    setup: Box<Setup>,
    key: PortKey,
    /// How many receive and transmit queues there are.
    queues: (u32, u32),
    /// The link was up when somebody asked last.
    link_up: bool,
}

impl core::fmt::Debug for Running {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Running")
            .field("model", self.hw.model)
            .field("queues", &self.queues)
            .finish_non_exhaustive()
    }
}

impl Running {
    pub(crate) fn new(hw: Box<Hw>, setup: Box<Setup>, key: PortKey, queues: (u32, u32)) -> Running {
        Running { hw, setup, key, queues, link_up: false }
    }

    /// Returns what the port is.
    pub fn info(&self) -> PortInfo {
        self.setup.info(&self.hw)
    }

    /// Returns the state of the link.
    pub fn link(&mut self) -> Result<LinkStatus, PortError> {
        let status = link::status(&self.hw)?;
        self.follow(status)
    }

    /// Waits for the link to come up, at most `limit`; returns its state then.
    pub fn wait_for_link(&mut self, limit: Duration) -> Result<LinkStatus, PortError> {
        let status = link::wait(&self.hw, limit)?;
        self.follow(status)
    }

    /// A link that came up may have negotiated flow control.
    fn follow(&mut self, status: LinkStatus) -> Result<LinkStatus, PortError> {
        let came_up = status.up && !self.link_up;
        self.link_up = status.up;
        if came_up {
            flow_control::apply(&mut self.hw, self.setup.config.flow_control, self.setup.config.mtu)?;
        }
        Ok(status)
    }

    pub(crate) fn parts(&mut self) -> (&mut Hw, &mut Setup) {
        (&mut self.hw, &mut self.setup)
    }

    /// Reacts to the link interrupt, and returns the link's state then.
    pub fn service_link(&mut self) -> Result<LinkStatus, PortError> {
        let status = link::service(&mut self.hw)?;
        self.follow(status)
    }

    /// Returns a look at the card: versions, memory dumps, its PHY.
    pub fn inspect(&mut self) -> Inspect<'_> {
        Inspect::new(&mut self.hw)
    }

    /// Returns the basic statistics since they were reset. The device's counters clear when read, so this value is their only
    /// reader; at full rate they are full after 48 minutes (82576 datasheet 8.19): call it more often.
    pub fn stats(&mut self) -> Result<PortStats, PortError> {
        self.setup.stats.update(&mut self.hw)?;
        Ok(self.setup.stats.basic())
    }

    /// Calls `each` with the name and value of every extended statistic.
    pub fn xstats(&mut self, each: &mut dyn FnMut(&str, u64)) -> Result<(), PortError> {
        self.setup.stats.update(&mut self.hw)?;
        self.setup.stats.each_xstat(each);
        Ok(())
    }

    /// Starts all statistics of the device from 0.
    pub fn reset_stats(&mut self) -> Result<(), PortError> {
        self.setup.stats.reset(&mut self.hw)
    }

    /// Receives every packet, or only those that the filters let pass.
    pub fn set_promiscuous(&mut self, on: bool) -> Result<(), PortError> {
        self.setup.filters.set_promiscuous(&mut self.hw, on)
    }

    /// Receives every multicast packet, or only listed groups.
    pub fn set_all_multicast(&mut self, on: bool) -> Result<(), PortError> {
        self.setup.filters.set_all_multicast(&mut self.hw, on)
    }

    /// Changes the port's own address.
    pub fn set_mac(&mut self, mac: MacAddr) -> Result<(), PortError> {
        self.setup.filters.set_mac(&mut self.hw, mac)
    }

    /// Receives packets to a further unicast address.
    pub fn add_mac(&mut self, mac: MacAddr) -> Result<(), PortError> {
        self.setup.filters.add_mac(&mut self.hw, mac)
    }

    /// Stops receiving packets to an address that was added.
    pub fn remove_mac(&mut self, mac: MacAddr) -> Result<(), PortError> {
        self.setup.filters.remove_mac(&mut self.hw, mac)
    }

    /// Replaces the list of multicast groups to receive.
    pub fn set_multicast(&mut self, groups: &[MacAddr]) -> Result<(), PortError> {
        self.setup.filters.set_multicast(&mut self.hw, groups)
    }

    /// Filters received packets by VLAN, or lets all pass.
    pub fn set_vlan_filter(&mut self, on: bool) -> Result<(), PortError> {
        self.setup.filters.set_vlan_filter(&mut self.hw, on)
    }

    /// Lets packets of VLAN `id` pass the VLAN filter, or stops that.
    pub fn set_vlan(&mut self, id: u16, on: bool) -> Result<(), PortError> {
        self.setup.filters.set_vlan(&mut self.hw, id, on)
    }

    /// Takes VLAN tags out of packets received from now on, on all queues, or leaves them in. This device has one switch for
    /// all.
    pub fn set_vlan_strip(&mut self, on: bool) -> Result<(), PortError> {
        self.setup.filters.set_vlan_strip(&mut self.hw, on)?;
        self.setup.config.vlan_strip = on;
        Ok(())
    }

    /// Changes the MTU in bytes while packets flow. Longer packets than a buffer come as chains.
    pub fn set_mtu(&mut self, mtu: u16) -> Result<(), PortError> {
        mtu::apply(&mut self.hw, mtu)?;
        self.setup.config.mtu = mtu;
        flow_control::apply(&mut self.hw, self.setup.config.flow_control, mtu)?;
        Ok(())
    }

    /// Changes flow control, and with it whether queues without descriptors drop, unless that was
    /// [said](crate::Config::drop_enable).
    pub fn set_flow_control(&mut self, mode: FlowControl) -> Result<(), PortError> {
        flow_control::apply(&mut self.hw, mode, self.setup.config.mtu)?;
        let config = &mut self.setup.config;
        config.flow_control = mode;
        control::follow_drop_enable(&mut self.hw, config.rx_queues, config.drop_enabled())
    }

    /// Changes how packets are spread over the receive queues.
    pub fn set_rss(&mut self, rss: &RssConfig) -> Result<(), PortError> {
        let rss_new = crate::rss::Rss::new(self.hw.model.chip, Some(rss), self.setup.config.rx_queues)?;
        rss_new.apply(&mut self.hw)?;
        self.setup.rss = rss_new;
        self.setup.config.rss = Some(rss.clone());
        Ok(())
    }

    /// Delivers the interrupt of receive queue `queue` to `sink`, or nowhere. It fires once each time the queue is armed; a
    /// device that does not mask by itself (QEMU's) may fire until the queue is disarmed. A stop lets go of all sinks.
    ///
    /// # Errors
    /// [`PortError::Unsupported`] for a queue that the device has no vector for: cards come with 10 vectors unless their NVM
    /// says 25, which serves the first 9 queues.
    pub fn set_rx_interrupt(&mut self, queue: u16, sink: Option<Arc<dyn IrqSink>>) -> Result<(), PortError> {
        let max = self.queues.0.saturating_sub(1).into();
        if u64::from(queue) > max {
            return Err(PortError::OutOfRange {
                what: "the receive queue",
                value: queue.into(),
                min: 0,
                max,
            });
        }
        interrupt::route(&*self.hw.device, Vector::of_queue(queue), sink)
    }

    /// Delivers link changes to `sink`, or nowhere. A stop lets go of all sinks.
    pub fn set_link_interrupt(&mut self, sink: Option<Arc<dyn IrqSink>>) -> Result<(), PortError> {
        let on = sink.is_some();
        interrupt::route(&*self.hw.device, Vector::OTHER, sink)?;
        interrupt::unmask_link(&mut self.hw, on)
    }

    /// Stops the port. All queues must come back; what is on them, sent or not, returns to its pool, for the device has
    /// acknowledged that it stopped.
    ///
    /// # Errors
    /// [`PortError::QueuesMissing`] if not all queues of this start are given, [`PortError::Invalid`] if others are too:
    /// the port goes on. Another error if the device does not stop: then the buffers on the queues are leaked and counted,
    /// and the device can be started again.
    pub fn stop(mut self, rx: Vec<RxQueue>, tx: Vec<TxQueue>) -> Result<Configured, Failed<StopFailed>> {
        if let Err(error) = self.check_queues(&rx, &tx) {
            let back = StopFailed::Running(Box::new(Started { port: self, rx, tx }));
            return Err(Failed { error, back });
        }
        let result = self.halt(rx, tx);
        let configured = Configured::from_parts(self.hw, self.setup);
        match result {
            Ok(()) => Ok(configured),
            Err(error) => Err(Failed { error, back: StopFailed::Stopped(configured) }),
        }
    }

    /// All queues of this start, and no others: that this device stopped proves nothing for theirs.
    fn check_queues(&self, rx: &[RxQueue], tx: &[TxQueue]) -> Result<(), PortError> {
        let keys = rx.iter().map(|queue| &queue.key).chain(tx.iter().map(|queue| &queue.key));
        let (own, foreign): (Vec<_>, Vec<_>) = keys.partition(|key| key.is(&self.key));
        let missing = (self.queues.0 + self.queues.1).saturating_sub(own.len() as u32);
        if missing != 0 {
            return Err(PortError::QueuesMissing { missing });
        }
        if !foreign.is_empty() {
            return Err(PortError::Invalid {
                what: "a port was given queues of another port, or of another start, to stop: take them out",
            });
        }
        Ok(())
    }

    /// Stops receive, lets transmit drain for a moment, disables every queue, then stops the device as a whole.
    fn halt(&mut self, mut rx: Vec<RxQueue>, mut tx: Vec<TxQueue>) -> Result<(), PortError> {
        init::mask_interrupts(&mut self.hw);
        interrupt::release(&*self.hw.device);
        // A queue that does not stop is what the reset below is for.
        init::enable_receive(&mut self.hw, false);
        for queue in rx.iter_mut().filter(|queue| queue.is_running()) {
            if let Ok(proof) = queue.disable() {
                queue.release(&proof)?;
            }
        }
        for queue in tx.iter_mut().filter(|queue| queue.is_running()) {
            queue.drain()?;
            if let Ok(proof) = queue.disable() {
                queue.release(&proof)?;
            }
        }
        // A device that is gone has nothing left to count; the reset below says so.
        let _ = self.setup.stats.update(&mut self.hw);
        let proof = init::reset(&mut self.hw)?;
        release(&mut rx, &mut tx, &proof)?;
        Ok(())
    }

    /// Returns a port that applications drive without knowing the driver.
    pub fn erase(started: Started) -> pmd::Started {
        let Started { port, rx, tx } = started;
        pmd::Started {
            port: Box::new(port),
            rx: rx.into_iter().map(|queue| Box::new(queue) as Box<dyn pmd::RxQueue>).collect(),
            tx: tx.into_iter().map(|queue| Box::new(queue) as Box<dyn pmd::TxQueue>).collect(),
        }
    }
}

/// What is left of a port that could not be stopped as asked.
#[derive(Debug)]
pub enum StopFailed {
    /// Everything, still running: not all queues were given back.
    Running(Box<Started>),
    /// A stopped port: the device did not answer, and what it may still use is leaked.
    Stopped(Configured),
}

impl Port for Running {
    fn info(&self) -> PortInfo {
        self.info()
    }

    fn link(&mut self) -> Result<LinkStatus, PortError> {
        self.link()
    }

    fn wait_for_link(&mut self, limit: Duration) -> Result<LinkStatus, PortError> {
        self.wait_for_link(limit)
    }

    fn stats(&mut self) -> Result<PortStats, PortError> {
        self.stats()
    }

    fn xstats(&mut self, each: &mut dyn FnMut(&str, u64)) -> Result<(), PortError> {
        self.xstats(each)
    }

    fn reset_stats(&mut self) -> Result<(), PortError> {
        self.reset_stats()
    }

    fn set_promiscuous(&mut self, on: bool) -> Result<(), PortError> {
        self.set_promiscuous(on)
    }

    fn set_all_multicast(&mut self, on: bool) -> Result<(), PortError> {
        self.set_all_multicast(on)
    }

    fn set_mac(&mut self, mac: MacAddr) -> Result<(), PortError> {
        self.set_mac(mac)
    }

    fn add_mac(&mut self, mac: MacAddr) -> Result<(), PortError> {
        self.add_mac(mac)
    }

    fn remove_mac(&mut self, mac: MacAddr) -> Result<(), PortError> {
        self.remove_mac(mac)
    }

    fn set_multicast(&mut self, groups: &[MacAddr]) -> Result<(), PortError> {
        self.set_multicast(groups)
    }

    fn set_vlan_filter(&mut self, on: bool) -> Result<(), PortError> {
        self.set_vlan_filter(on)
    }

    fn set_vlan(&mut self, id: u16, on: bool) -> Result<(), PortError> {
        self.set_vlan(id, on)
    }

    fn set_mtu(&mut self, mtu: u16) -> Result<(), PortError> {
        self.set_mtu(mtu)
    }

    fn set_flow_control(&mut self, mode: FlowControl) -> Result<(), PortError> {
        self.set_flow_control(mode)
    }

    fn set_rx_interrupt(&mut self, queue: u16, sink: Option<Arc<dyn IrqSink>>) -> Result<(), PortError> {
        self.set_rx_interrupt(queue, sink)
    }

    fn set_link_interrupt(&mut self, sink: Option<Arc<dyn IrqSink>>) -> Result<(), PortError> {
        self.set_link_interrupt(sink)
    }

    fn stop(
        self: Box<Self>,
        rx: Vec<Box<dyn pmd::RxQueue>>,
        tx: Vec<Box<dyn pmd::TxQueue>>,
    ) -> Result<(), PortError> {
        // Queues of other drivers do not count, and `stop` says what is missing.
        let rx =
            rx.into_iter().filter_map(|queue| queue.into_any().downcast().ok().map(|queue| *queue)).collect();
        let tx =
            tx.into_iter().filter_map(|queue| queue.into_any().downcast().ok().map(|queue| *queue)).collect();
        (*self).stop(rx, tx).map(drop).map_err(|failed| failed.error)
    }
}
