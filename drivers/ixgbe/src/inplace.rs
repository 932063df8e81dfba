//! The in-place forwarder on this device: legacy descriptors, head write-back.
//!
//! [`start`] links one receive queue to transmit queues of one or more ports that share an IOVA space. See
//! [`vfio_hal::ring::InPlace`] for how it works. Legacy descriptors keep the buffer's address when they are written
//! back (82599 datasheet 7.1.5), and with head write-back the device leaves transmit descriptors alone (7.2.3.5.2).

use alloc::vec::Vec;
use core::time::Duration;

use pmd_intel::inplace as shared;
use vfio_hal::addr::SpaceId;
use vfio_hal::bar::Doorbell;
use vfio_hal::dma::{IovaSpace, Quiesced, Region};
use vfio_hal::pmd::PortError;
use vfio_hal::poll::Poll;
use vfio_hal::{BusAddr, DeviceError, Lost};

pub use crate::desc::Legacy;
use crate::init;
use crate::port::{Configured, Failed, region};
use crate::regs::{DCA_TXCTRL, RDBA, RDH, RDLEN, RDT, RXDCTL, SRRCTL, TDBA, TDH, TDLEN, TDT, TDWBA, TXDCTL};
use crate::tx::thresholds;
pub use pmd_intel::inplace::Forwarder;

/// How long ENABLE may take to follow, both ways.
const ENABLE_LIMIT: Duration = Duration::from_millis(10);

/// Ports with an in-place forwarder running between them.
pub struct InPlaceStarted {
    /// The engine: call its `forward` in a loop.
    pub forwarder: Forwarder,
    /// The ports, in the order they were given.
    pub ports: Vec<Configured>,
}

impl core::fmt::Debug for InPlaceStarted {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("InPlaceStarted").field("ports", &self.ports).finish_non_exhaustive()
    }
}

/// Starts a forwarder that receives on queue 0 of `ports[input]` and can send on queue 0 of each of `ports[outputs]`, in
/// this order; a port may be input and output. All ports must be configured in `space` and are reset first. The ring has
/// `size` descriptors, and every frame must fit into a buffer of 2 KiB.
///
/// # Errors
/// With all ports, stopped; each can be started again.
pub fn start(
    space: &IovaSpace,
    mut ports: Vec<Configured>,
    input: usize,
    outputs: &[usize],
    size: u32,
) -> Result<InPlaceStarted, Failed<Vec<Configured>>> {
    match shared::start(space.id(), &mut ends(&mut ports), input, outputs, size) {
        Ok(forwarder) => Ok(InPlaceStarted { forwarder, ports }),
        Err(error) => Err(Failed { error, back: ports }),
    }
}

/// A port as the forwarder sees it.
struct End<'a>(&'a mut Configured);

fn ends(ports: &mut [Configured]) -> Vec<End<'_>> {
    ports.iter_mut().map(End).collect()
}

impl shared::Port for End<'_> {
    fn space(&mut self) -> SpaceId {
        self.0.parts().1.space.id()
    }

    fn receives_on_first(&mut self) -> bool {
        let config = &self.0.parts().1.config;
        config.rss.is_none() || config.rx_queues == 1
    }

    fn reset(&mut self) -> Result<Quiesced, DeviceError> {
        init::reset(self.0.parts().0)
    }

    fn prepare(&mut self) -> Result<(), PortError> {
        let (hw, setup) = self.0.parts();
        init::reset(hw)?;
        init::allow_access(hw)?;
        hw.regs.bind(setup.space.id())?;
        self.0.prepare()
    }

    fn region(&mut self, bytes: usize) -> Result<Region, PortError> {
        region(self.0.parts().1, bytes)
    }

    fn receive_tail(&mut self) -> Result<(Doorbell, Lost), DeviceError> {
        let regs = &self.0.parts().0.regs;
        Ok((regs.doorbell::<RDT>(0)?, regs.lost().clone()))
    }

    fn transmit_tail(&mut self) -> Result<Doorbell, DeviceError> {
        self.0.parts().0.regs.doorbell::<TDT>(0)
    }

    fn start_transmit(&mut self, (bus, bytes): (BusAddr, u32), head: BusAddr) -> Result<(), PortError> {
        let hw = self.0.parts().0;
        hw.regs.write_bus::<TDBA>(0, bus)?;
        hw.regs.at::<TDLEN>(0)?.write(TDLEN::new(bytes));
        hw.regs.at::<TDH>(0)?.write(TDH::default());
        hw.regs.at::<TDT>(0)?.write(TDT::default());
        hw.regs.at::<TDWBA>(0)?.write_bus(head, TDWBA::default().with_head_wb_en(true))?;
        // 7.2.3.5.2: a head that is written back must not pass the data before it.
        let mut dca = hw.regs.at_mut::<DCA_TXCTRL>(0)?;
        dca.modify(|dca| dca.with_desc_write_ro_en(false));
        let control = hw.regs.at::<TXDCTL>(0)?;
        control.write(thresholds().with_enable(true));
        Poll::new(&*hw.clock, "transmit queue enable (TXDCTL.ENABLE)", ENABLE_LIMIT)
            .register(control, TXDCTL::enable)?;
        Ok(())
    }

    fn start_receive(&mut self, (bus, bytes): (BusAddr, u32), kib: u32) -> Result<(), PortError> {
        let (hw, setup) = self.0.parts();
        hw.regs.write_bus::<RDBA>(0, bus)?;
        hw.regs.at::<RDLEN>(0)?.write(RDLEN::new(bytes));
        let drop = setup.config.drop_enabled();
        // Legacy descriptors: type 0.
        hw.regs.at::<SRRCTL>(0)?.write(SRRCTL::default().with_bsizepacket(kib).with_drop_en(drop));
        hw.regs.at::<RDH>(0)?.write(RDH::default());
        let control = hw.regs.at::<RXDCTL>(0)?;
        control.write(RXDCTL::default().with_enable(true));
        Poll::new(&*hw.clock, "receive queue enable (RXDCTL.ENABLE)", ENABLE_LIMIT)
            .register(control, RXDCTL::enable)?;
        Ok(())
    }

    fn open(&mut self) -> Result<(), PortError> {
        Ok(init::enable_receive(self.0.parts().0, true)?)
    }
}

impl InPlaceStarted {
    /// Returns [`DeviceError::Lost`] if any of the devices is gone. The forwarder itself looks at an output's only when
    /// nothing is received, which comes to pass when an output takes no more.
    pub fn check(&self) -> Result<(), DeviceError> {
        self.ports.iter().try_for_each(Configured::check)
    }

    /// Stops all ports and frees the forwarder's memory.
    ///
    /// # Errors
    /// The first, with all ports, if one does not stop: then the forwarder's memory is leaked and counted where that device
    /// could still reach it.
    pub fn stop(self) -> Result<Vec<Configured>, Failed<Vec<Configured>>> {
        let InPlaceStarted { forwarder, mut ports } = self;
        match shared::stop(forwarder, &mut ends(&mut ports)) {
            Ok(()) => Ok(ports),
            Err(error) => Err(Failed { error, back: ports }),
        }
    }
}
