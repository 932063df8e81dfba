//! Answers ARP and ping at 192.0.2.2 until a UDP datagram to port 9 comes.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use pmd_igb::{Config, Failed, Probed};
use vfio_hal::dma::memory::HeapMemory;
use vfio_hal::dma::pool::{Burst, MAGAZINE, Pool};
use vfio_hal::dma::{DmaAccess, DmaError, IovaSpace, Region};
use vfio_hal::pmd::{MacAddr, PortError};
use vfio_hal::ring::{RxError, TxError};
use vfio_hal::{Clock, Device, DeviceError};

use crate::net::{self, Answer};
use crate::say;

/// An address of the network for documentation (RFC 5737).
const ADDRESS: [u8; 4] = [192, 0, 2, 2];

/// How long a link may take.
const LINK_LIMIT: Duration = Duration::from_secs(10);

/// Bytes of a buffer.
const ROOM: u32 = 2048;

pub(crate) fn run(nics: Vec<(Arc<dyn Device>, Probed)>, clock: &dyn Clock) -> Result<(), PortError> {
    let none = PortError::Invalid { what: "there is no NIC that the driver knows" };
    let (device, probed) = nics.into_iter().next().ok_or(none)?;
    let config = Config::default();
    let (space, pool) = memory(&device, config.buffers())?;
    let MacAddr(mac) = probed.mac();
    let started = probed.configure(&space, &pool, config).map_err(|Failed { error, .. }| error)?;
    let mut started = started.start().map_err(|Failed { error, .. }| error)?;
    let link = started.port.wait_for_link(LINK_LIMIT)?;
    say!("ok link {link} after {} ms", clock.now().as_millis());

    let (mut cache, mut received, mut answers) = (pool.cache(), Burst::new(MAGAZINE), Burst::new(MAGAZINE));
    let (rx, tx) = (&mut started.rx[0], &mut started.tx[0]);
    let (mut sent, mut end) = (0, false);
    while !end {
        rx.rx_burst(&mut cache, &mut received).map_err(receive_error)?;
        while let Some(mut buf) = received.take() {
            match net::answer(buf.data_mut(), mac, ADDRESS) {
                // There is room: answers are sent before more is received.
                Answer::Send => answers.push(buf).map_or_else(|buf| cache.free(buf), |()| sent += 1),
                Answer::Ignore => cache.free(buf),
                Answer::End => {
                    cache.free(buf);
                    end = true;
                }
            }
        }
        while !answers.is_empty() {
            tx.tx_burst(&mut cache, &mut answers).map_err(send_error)?;
        }
    }
    let stats = started.port.stats()?;
    say!("ok answered {sent}, received {} and sent {} packets", stats.ipackets, stats.opackets);
    started.port.stop(started.rx, started.tx).map_err(|Failed { error, .. }| error)?;
    drop(cache);
    let (home, all) = (pool.available(), pool.capacity());
    if home != all || pool.leaked() != 0 {
        return Err(PortError::Invalid { what: "buffers are missing after the stop" });
    }
    say!("ok stopped, {home} of {all} buffers are home");
    Ok(())
}

/// Returns an address space with the device in it, and a pool of `buffers` there.
pub(crate) fn memory(device: &Arc<dyn Device>, buffers: u32) -> Result<(IovaSpace, Pool), DmaError> {
    let space = IovaSpace::new();
    space.attach(device)?;
    let memory = HeapMemory::new(buffers as usize * Pool::stride(ROOM))?;
    let pool = Pool::new(Region::alloc(&space, memory, DmaAccess::ReadWrite)?, buffers, ROOM)?;
    Ok((space, pool))
}

/// Errors of bursts, as a port's.
pub(crate) fn receive_error(error: RxError) -> PortError {
    match error {
        RxError::Lost => DeviceError::Lost.into(),
        RxError::Stopped => PortError::Invalid { what: "the receive queue is stopped" },
        RxError::ForeignCache => PortError::Invalid { what: "the cache is another pool's" },
    }
}

pub(crate) fn send_error(error: TxError) -> PortError {
    match error {
        TxError::Lost => DeviceError::Lost.into(),
        TxError::Offload { reason } => PortError::Invalid { what: reason },
        _ => PortError::Invalid { what: "a packet cannot be sent" },
    }
}
