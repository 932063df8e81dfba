//! The in-place forwarder on this device: legacy descriptors, head write-back.
//!
//! [`start`] links one receive queue to transmit queues of one or more ports that share an IOVA space. See
//! [`vfio_hal::ring::InPlace`] for how it works. Legacy descriptors keep the buffer's address when they are written
//! back (82599 datasheet 7.1.5), and with head write-back the device leaves transmit descriptors alone (7.2.3.5.2).

use alloc::vec::Vec;
use core::time::Duration;

use vfio_hal::DeviceError;
use vfio_hal::dma::{IovaSpace, Quiesced};
use vfio_hal::pmd::PortError;
use vfio_hal::poll::Poll;
use vfio_hal::ring::{InPlace, Output, RingMemory};

pub use crate::desc::Legacy;
use crate::init;
use crate::port::{Configured, Failed, region};
use crate::regs::{DCA_TXCTRL, RDBA, RDH, RDLEN, RDT, RXDCTL, SRRCTL, TDBA, TDH, TDLEN, TDT, TDWBA, TXDCTL};
use crate::tx::thresholds;

/// A forwarder from queue 0 of one port to queue 0 of others.
pub type Forwarder = InPlace<Legacy>;

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
    match link(space, &mut ports, input, outputs, size) {
        Ok(forwarder) => Ok(InPlaceStarted { forwarder, ports }),
        Err(error) => {
            for port in &mut ports {
                // Its rings are gone, their memory is not if the device could still reach it. One that does not stop now is
                // reset before it is started again.
                let _ = init::reset(port.parts().0);
            }
            Err(Failed { error, back: ports })
        }
    }
}

/// Refuses what cannot work before any device is touched.
fn check(ports: &mut [Configured], input: usize, outputs: &[usize]) -> Result<(), PortError> {
    if outputs.iter().chain([&input]).any(|&port| port >= ports.len()) {
        return Err(NO_PORT);
    }
    if outputs.iter().enumerate().any(|(number, output)| outputs[..number].contains(output)) {
        return Err(PortError::Invalid {
            what: "a port can be an output of the forwarder once: all outputs send on its queue 0",
        });
    }
    let config = &ports.get_mut(input).ok_or(NO_PORT)?.parts().1.config;
    if config.rss.is_some() && config.rx_queues > 1 {
        return Err(PortError::Invalid {
            what: "the forwarder receives on queue 0: configure its input without RSS, or with one queue",
        });
    }
    Ok(())
}

const NO_PORT: PortError =
    PortError::Invalid { what: "the forwarder's input and outputs must be among the ports" };

/// Bytes between two buffers, and how much of each the device may fill, in KiB.
const STRIDE: u32 = 2048;

fn link(
    space: &IovaSpace,
    ports: &mut [Configured],
    input: usize,
    outputs: &[usize],
    size: u32,
) -> Result<Forwarder, PortError> {
    check(ports, input, outputs)?;
    for port in ports.iter_mut() {
        let (hw, setup) = port.parts();
        if setup.space.id() != space.id() {
            return Err(PortError::NotInSpace);
        }
        init::reset(hw)?;
        init::allow_access(hw)?;
        hw.regs.bind(setup.space.id())?;
        port.prepare()?;
    }
    // One ring, shared with the first output, one for each further output, and a write-back block each.
    let rings = core::iter::repeat_n(size, outputs.len().max(1));
    let receiver = ports.get_mut(input).ok_or(NO_PORT)?;
    let mut memory =
        RingMemory::new(region(receiver.parts().1, RingMemory::bytes(rings) + 64 * outputs.len())?);
    let buffers = region(receiver.parts().1, size as usize * STRIDE as usize)?;
    let ring = memory.ring(size)?;
    let mut own = Vec::new();
    for _ in outputs.iter().skip(1) {
        own.push(memory.ring(size)?);
    }
    let mut own = own.into_iter();
    let mut ends = Vec::new();
    let mut write_backs = Vec::new();
    for (number, &output) in outputs.iter().enumerate() {
        let port = ports.get_mut(output).ok_or(NO_PORT)?;
        let tail = port.parts().0.regs.doorbell::<TDT>(0)?;
        // Behind all rings: a block is smaller than what rings are aligned to (TDBA, 8.2.3.9.5: 128 bytes).
        let (head, bus) = memory.block()?;
        write_backs.push(bus);
        // The first has none of its own, and the others have one each.
        ends.push(match if number == 0 { None } else { own.next() } {
            None => Output::shared(tail, head),
            Some(ring) => Output::own(ring, tail, head),
        });
    }
    let receiver = ports.get_mut(input).ok_or(NO_PORT)?;
    let regs = &receiver.parts().0.regs;
    let (tail, lost) = (regs.doorbell::<RDT>(0)?, regs.lost().clone());
    let mut forwarder = Forwarder::new(ring, tail, ends, buffers, STRIDE, STRIDE, lost)?;
    for (number, &output) in outputs.iter().enumerate() {
        let port = ports.get_mut(output).ok_or(NO_PORT)?;
        let (hw, _) = port.parts();
        let (bus, bytes) = forwarder.output_bus(number).ok_or(NO_PORT)?;
        hw.regs.write_bus::<TDBA>(0, bus)?;
        hw.regs.at::<TDLEN>(0)?.write(TDLEN::new(bytes));
        hw.regs.at::<TDH>(0)?.write(TDH::default());
        hw.regs.at::<TDT>(0)?.write(TDT::default());
        let write_back = *write_backs.get(number).ok_or(NO_PORT)?;
        hw.regs.at::<TDWBA>(0)?.write_bus(write_back, TDWBA::default().with_head_wb_en(true))?;
        // 7.2.3.5.2: a head that is written back must not pass the data before it.
        let mut dca = hw.regs.at_mut::<DCA_TXCTRL>(0)?;
        dca.modify(|dca| dca.with_desc_write_ro_en(false));
        let control = hw.regs.at::<TXDCTL>(0)?;
        control.write(thresholds().with_enable(true));
        Poll::new(&*hw.clock, "transmit queue enable (TXDCTL.ENABLE)", ENABLE_LIMIT)
            .register(control, TXDCTL::enable)?;
    }
    let (hw, setup) = ports.get_mut(input).ok_or(NO_PORT)?.parts();
    let (bus, bytes) = forwarder.bus();
    hw.regs.write_bus::<RDBA>(0, bus)?;
    hw.regs.at::<RDLEN>(0)?.write(RDLEN::new(bytes));
    let drop = setup.config.drop_enabled();
    // Legacy descriptors: type 0.
    hw.regs.at::<SRRCTL>(0)?.write(SRRCTL::default().with_bsizepacket(STRIDE / 1024).with_drop_en(drop));
    hw.regs.at::<RDH>(0)?.write(RDH::default());
    let control = hw.regs.at::<RXDCTL>(0)?;
    control.write(RXDCTL::default().with_enable(true));
    Poll::new(&*hw.clock, "receive queue enable (RXDCTL.ENABLE)", ENABLE_LIMIT)
        .register(control, RXDCTL::enable)?;
    forwarder.start();
    init::enable_receive(hw, true)?;
    Ok(forwarder)
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
        // All are told to stop, also after one that does not.
        let proofs: Vec<_> = ports.iter_mut().map(|port| init::reset(port.parts().0)).collect();
        let proofs: Result<Vec<Quiesced>, _> = proofs.into_iter().collect();
        let released = proofs.map_err(PortError::from).and_then(|proofs| Ok(forwarder.release(&proofs)?));
        match released {
            Ok(()) => Ok(ports),
            Err(error) => Err(Failed { error, back: ports }),
        }
    }
}
