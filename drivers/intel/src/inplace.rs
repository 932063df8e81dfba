//! Starting and stopping the in-place forwarder: what is the same for every device with legacy descriptors and head
//! write-back.
//!
//! [`start`] links queue 0 of one port to queue 0 of others that share an IOVA space, [`stop`] takes it apart. A driver
//! says with a [`Port`] how its registers are told. See [`vfio_hal::ring::InPlace`] for how the forwarder works, and
//! [`Legacy`] for why these descriptors.

use alloc::vec::Vec;

use vfio_hal::addr::SpaceId;
use vfio_hal::bar::Doorbell;
use vfio_hal::dma::{Quiesced, Region};
use vfio_hal::pmd::PortError;
use vfio_hal::ring::{InPlace, Output, RingMemory};
use vfio_hal::{BusAddr, DeviceError, Lost};

use crate::desc::Legacy;

/// A forwarder from queue 0 of one port to queue 0 of others.
pub type Forwarder = InPlace<Legacy>;

/// Bytes between two buffers, and how much of each the device may fill.
const STRIDE: u32 = 2048;

/// A configured port, as a forwarder sees it. Rings are given as address and length in bytes.
pub trait Port {
    /// Returns the address space it is configured in.
    fn space(&mut self) -> SpaceId;

    /// Returns whether all that it receives comes to queue 0.
    fn receives_on_first(&mut self) -> bool;

    /// Stops and resets the device.
    fn reset(&mut self) -> Result<Quiesced, DeviceError>;

    /// Resets the device and sets it up, but for queues.
    fn prepare(&mut self) -> Result<(), PortError>;

    /// Returns memory that the device can read and write.
    fn region(&mut self, bytes: usize) -> Result<Region, PortError>;

    /// Returns the tail register of receive queue 0, and the device's latch.
    fn receive_tail(&mut self) -> Result<(Doorbell, Lost), DeviceError>;

    /// Returns the tail register of transmit queue 0.
    fn transmit_tail(&mut self) -> Result<Doorbell, DeviceError>;

    /// Enables transmit queue 0, which writes its head to `head`.
    fn start_transmit(&mut self, ring: (BusAddr, u32), head: BusAddr) -> Result<(), PortError>;

    /// Enables receive queue 0 with legacy descriptors and buffers of `kib` KiB.
    fn start_receive(&mut self, ring: (BusAddr, u32), kib: u32) -> Result<(), PortError>;

    /// Lets packets in.
    fn open(&mut self) -> Result<(), PortError>;
}

const NO_PORT: PortError =
    PortError::Invalid { what: "the forwarder's input and outputs must be among the ports" };

/// Starts a forwarder with a ring of `size` descriptors that receives on `ports[input]` and can send on each of
/// `ports[outputs]`, in this order; a port may be input and output. All of them are reset first.
///
/// # Errors
/// With all ports reset, as far as they can be. One that cannot keeps what it was given, which is leaked and counted.
pub fn start<P: Port>(
    space: SpaceId,
    ports: &mut [P],
    input: usize,
    outputs: &[usize],
    size: u32,
) -> Result<Forwarder, PortError> {
    check(ports, input, outputs)?;
    link(space, ports, input, outputs, size).inspect_err(|_| {
        for port in ports {
            // Its rings are gone, their memory is not if the device could still reach it. One that does not stop now is
            // reset before it is started again.
            let _ = port.reset();
        }
    })
}

/// Stops all ports and frees the forwarder's memory.
///
/// # Errors
/// The first, if one does not stop: then the forwarder's memory is leaked and counted where that device could still reach it.
pub fn stop<P: Port>(forwarder: Forwarder, ports: &mut [P]) -> Result<(), PortError> {
    // All are told to stop, also after one that does not.
    let proofs: Vec<_> = ports.iter_mut().map(Port::reset).collect();
    let proofs: Vec<Quiesced> = proofs.into_iter().collect::<Result<_, _>>()?;
    Ok(forwarder.release(&proofs)?)
}

/// Refuses what cannot work before any device is touched.
fn check<P: Port>(ports: &mut [P], input: usize, outputs: &[usize]) -> Result<(), PortError> {
    if outputs.iter().chain([&input]).any(|&port| port >= ports.len()) {
        return Err(NO_PORT);
    }
    if outputs.iter().enumerate().any(|(number, output)| outputs[..number].contains(output)) {
        return Err(PortError::Invalid {
            what: "a port can be an output of the forwarder once: all outputs send on its queue 0",
        });
    }
    if !ports.get_mut(input).ok_or(NO_PORT)?.receives_on_first() {
        return Err(PortError::Invalid {
            what: "the forwarder receives on queue 0: configure its input without RSS, or with one queue",
        });
    }
    Ok(())
}

fn link<P: Port>(
    space: SpaceId,
    ports: &mut [P],
    input: usize,
    outputs: &[usize],
    size: u32,
) -> Result<Forwarder, PortError> {
    for port in ports.iter_mut() {
        if port.space() != space {
            return Err(PortError::NotInSpace);
        }
        port.prepare()?;
    }
    // One ring, shared with the first output, one for each further output, and a write-back block each.
    let rings = core::iter::repeat_n(size, outputs.len().max(1));
    let receiver = ports.get_mut(input).ok_or(NO_PORT)?;
    let mut memory = RingMemory::new(receiver.region(RingMemory::bytes(rings) + 64 * outputs.len())?);
    let buffers = receiver.region(size as usize * STRIDE as usize)?;
    let ring = memory.ring(size)?;
    let mut own = Vec::new();
    for _ in outputs.iter().skip(1) {
        own.push(memory.ring(size)?);
    }
    let mut own = own.into_iter();
    let (mut ends, mut heads) = (Vec::new(), Vec::new());
    for (number, &output) in outputs.iter().enumerate() {
        let tail = ports.get_mut(output).ok_or(NO_PORT)?.transmit_tail()?;
        // Behind all rings: a block is smaller than what rings are aligned to.
        let (head, bus) = memory.block()?;
        heads.push(bus);
        // The first has none of its own, and the others have one each.
        ends.push(match if number == 0 { None } else { own.next() } {
            None => Output::shared(tail, head),
            Some(ring) => Output::own(ring, tail, head),
        });
    }
    let (tail, lost) = ports.get_mut(input).ok_or(NO_PORT)?.receive_tail()?;
    let mut forwarder = Forwarder::new(ring, tail, ends, buffers, STRIDE, STRIDE, lost)?;
    for (number, (&output, head)) in outputs.iter().zip(heads).enumerate() {
        let ring = forwarder.output_bus(number).ok_or(NO_PORT)?;
        ports.get_mut(output).ok_or(NO_PORT)?.start_transmit(ring, head)?;
    }
    let receiver = ports.get_mut(input).ok_or(NO_PORT)?;
    receiver.start_receive(forwarder.bus(), STRIDE / 1024)?;
    forwarder.start();
    receiver.open()?;
    Ok(forwarder)
}
