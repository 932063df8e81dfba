//! How packets are spread over receive queues by a hash of their flow: RSS (82599 datasheet 7.1.2.8).
//!
//! The device hashes addresses and ports with Toeplitz' function and a 40-byte key; the low bits of the hash select an
//! entry of the redirection table, and that says the queue. Packets of one flow stay in order on one queue. The hash
//! is in the packet's metadata.
//!
//! Key types: [`RssConfig`] is what an application asks for: a [`RssKey`], the [`HashTypes`], the [`Redirection`]. What
//! the device cannot do is an error when the port is configured, and what it does is read back from the device, not
//! from memory of what was asked.
//!
//! Neighbours: [`Config`](crate::Config) carries it to the port. Whether a packet comes in at all is decided before, by
//! the receive filters.

mod table;
pub(crate) use table::max_queues;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use vfio_hal::DeviceError;
use vfio_hal::pmd::PortError;

use crate::Running;
use crate::hw::{Chip, Hw, Model};
use crate::regs::{MRQC, RSSRK, RXCSUM, RXCTRL};
use pmd_intel::rss::Table;
pub use pmd_intel::rss::{HashTypes, Redirection, RssConfig, RssKey};

/// MRQC.MRQE: RSS alone, without pools and classes.
const RSS_ALONE: u32 = 1;

/// RSS of a port: off, or what it was told.
#[derive(Clone, Debug)]
pub(crate) struct Rss(Option<Spread>);

#[derive(Clone, Debug)]
struct Spread {
    key: RssKey,
    types: HashTypes,
    table: Table,
}

impl Rss {
    /// Checks what is asked of a port with `queues` receive queues.
    pub(crate) fn new(model: &Model, config: Option<&RssConfig>, queues: u16) -> Result<Rss, PortError> {
        let Some(config) = config else { return Ok(Rss(None)) };
        let max = table::max_queues(model.chip);
        if !(1..=max).contains(&queues) {
            let (value, max) = (queues.into(), max.into());
            return Err(PortError::OutOfRange { what: "the number of RSS queues", value, min: 1, max });
        }
        config.types.check(supported(model.chip))?;
        let table = Table::new(table::len(model.chip), &config.redirection, queues)?;
        Ok(Rss(Some(Spread { key: config.key, types: config.types, table })))
    }

    /// Tells the device everything: key and table first, then that RSS is on, then asks which hash types it took.
    ///
    /// # Errors
    /// While the port receives, RSS can be changed but not switched on or off (7.1.2.8).
    pub(crate) fn apply(&self, hw: &mut Hw) -> Result<(), PortError> {
        let on = hw.regs.read::<MRQC>().mrqe() == RSS_ALONE;
        let receiving = hw.regs.read::<RXCTRL>().rxen();
        hw.check()?;
        if receiving && on != self.0.is_some() {
            return Err(PortError::Invalid {
                what: "RSS cannot be switched on or off while the port receives: stop it, and configure it anew",
            });
        }
        let Some(Spread { key, types, table }) = &self.0 else {
            hw.regs.write(MRQC::default());
            return Ok(hw.check()?);
        };
        for (index, word) in key.words().enumerate() {
            hw.regs.at::<RSSRK>(index)?.write(RSSRK::new(word));
        }
        table::write(hw, table)?;
        // Without it the descriptor has the fragment checksum where the hash would be (8.2.3.7.5).
        hw.regs.modify(|rxcsum: RXCSUM| rxcsum.with_pcsd(true));
        hw.regs.write(MRQC::new(types.mrqc_bits()).with_mrqe(RSS_ALONE));
        if granted(hw)? != *types {
            return Err(PortError::Unsupported {
                what: "an RSS hash type that was asked for: the device did not take it",
            });
        }
        Ok(())
    }

    /// Changes entries of the redirection table from `first` on, while packets flow.
    fn update_table(&mut self, hw: &mut Hw, first: u16, queues: &[u16]) -> Result<(), PortError> {
        let off = PortError::Invalid {
            what: "the port has no RSS: its configuration must say so before it starts",
        };
        let Spread { table, .. } = self.0.as_mut().ok_or(off)?;
        table.set(first, queues)?;
        table::write(hw, table)
    }
}

impl Running {
    /// Returns the hash types that the device works with, as it says itself; none if RSS is off.
    pub fn rss_types(&mut self) -> Result<HashTypes, PortError> {
        Ok(granted(self.parts().0)?)
    }

    /// Returns the RSS key that the device works with, as it says itself.
    pub fn rss_key(&mut self) -> Result<RssKey, PortError> {
        Ok(key(self.parts().0)?)
    }

    /// Returns the redirection table that the device works with, as it says itself: a queue for each entry.
    pub fn rss_table(&mut self) -> Result<Vec<u16>, PortError> {
        Ok(table::read(self.parts().0)?)
    }

    /// Changes entries of the redirection table from `first` on, all or none, while packets flow. Packets of a flow that
    /// changes its queue may overtake each other.
    pub fn update_rss_table(&mut self, first: u16, queues: &[u16]) -> Result<(), PortError> {
        let (hw, setup) = self.parts();
        setup.rss.update_table(hw, first, queues)
    }
}

/// Returns the hash types that the device works with, none if RSS is off.
fn granted(hw: &Hw) -> Result<HashTypes, DeviceError> {
    let mrqc = hw.regs.read::<MRQC>();
    hw.check()?;
    Ok(if mrqc.mrqe() == RSS_ALONE { HashTypes::of_mrqc(mrqc.bits()) } else { HashTypes::NONE })
}

/// Returns the key that the device works with.
fn key(hw: &Hw) -> Result<RssKey, DeviceError> {
    let mut words = [0; 10];
    for (index, word) in words.iter_mut().enumerate() {
        *word = hw.regs.at::<RSSRK>(index)?.read().bits();
    }
    hw.check()?;
    Ok(RssKey::from_words(words))
}

/// Returns what a chip can hash: addresses, and the ports of TCP and UDP, over IPv4 and IPv6 (7.1.2.8.1).
pub fn supported(chip: Chip) -> HashTypes {
    match chip {
        Chip::I82599 | Chip::X540 | Chip::X550 => {
            HashTypes::IPV4
                | HashTypes::TCP_IPV4
                | HashTypes::UDP_IPV4
                | HashTypes::IPV6
                | HashTypes::TCP_IPV6
                | HashTypes::UDP_IPV6
        }
    }
}
