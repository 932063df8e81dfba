//! How packets are spread over receive queues by a hash of their flow: RSS (82576 datasheet 7.1.1.7, 8.10).
//!
//! The device hashes addresses and ports with Toeplitz' function and a 40-byte key; the low 7 bits of the hash select an
//! entry of the redirection table, and that says the queue. Packets of one flow stay in order on one queue. The hash
//! is in the packet's metadata.
//!
//! Key types: [`RssConfig`] is what an application asks for, the whole family's. What the device cannot do is an error when
//! the port is configured, and what it does is read back from the device, not from memory of what was asked.

use alloc::vec::Vec;

use pmd_intel::rss::Table;
pub use pmd_intel::rss::{HashTypes, Redirection, RssConfig, RssKey};
use vfio_hal::DeviceError;
use vfio_hal::pmd::PortError;

use crate::Running;
use crate::hw::{Chip, Hw};
use crate::regs::{MRQC, RCTL, RETA, RSSRK, RXCSUM};

/// MRQC.MRQE: RSS alone, without pools.
const RSS_ALONE: u32 = 2;

/// Entries of the redirection table.
pub(crate) const RETA_SIZE: u16 = 128;

/// What both chips can hash: all but SCTP's ports.
pub const SUPPORTED: [HashTypes; 9] = [
    HashTypes::IPV4,
    HashTypes::TCP_IPV4,
    HashTypes::UDP_IPV4,
    HashTypes::IPV6,
    HashTypes::TCP_IPV6,
    HashTypes::UDP_IPV6,
    HashTypes::IPV6_EX,
    HashTypes::TCP_IPV6_EX,
    HashTypes::UDP_IPV6_EX,
];

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
    pub(crate) fn new(chip: Chip, config: Option<&RssConfig>, queues: u16) -> Result<Rss, PortError> {
        let Some(config) = config else { return Ok(Rss(None)) };
        let max = chip.queues();
        if !(1..=max).contains(&queues) {
            let (value, max) = (queues.into(), max.into());
            return Err(PortError::OutOfRange { what: "the number of RSS queues", value, min: 1, max });
        }
        config.types.check(SUPPORTED.into_iter().fold(HashTypes::NONE, |set, one| set | one))?;
        let table = Table::new(RETA_SIZE.into(), &config.redirection, queues)?;
        Ok(Rss(Some(Spread { key: config.key, types: config.types, table })))
    }

    /// Tells the device everything: key and table first, then that RSS is on, then asks which hash types it took.
    ///
    /// # Errors
    /// While the port receives, RSS can be changed but not switched on or off.
    pub(crate) fn apply(&self, hw: &mut Hw) -> Result<(), PortError> {
        let on = hw.regs.read::<MRQC>().mrqe() == RSS_ALONE;
        let receiving = hw.regs.read::<RCTL>().rxen();
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
        write(hw, table)?;
        // Without it the descriptor has the fragment checksum where the hash would be.
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
        write(hw, table)
    }
}

impl Running {
    /// Returns the hash types that the device works with, as it says itself; none if RSS is off.
    pub fn rss_types(&mut self) -> Result<HashTypes, PortError> {
        Ok(granted(self.parts().0)?)
    }

    /// Returns the RSS key that the device works with, as it says itself.
    pub fn rss_key(&mut self) -> Result<RssKey, PortError> {
        let hw = self.parts().0;
        let mut words = [0; 10];
        for (index, word) in words.iter_mut().enumerate() {
            *word = hw.regs.at::<RSSRK>(index)?.read().bits();
        }
        hw.check()?;
        Ok(RssKey::from_words(words))
    }

    /// Returns the redirection table that the device works with, as it says itself: a queue for each entry.
    pub fn rss_table(&mut self) -> Result<Vec<u16>, PortError> {
        let hw = self.parts().0;
        let mask = hw.model.chip.queues() as u8 - 1;
        let mut entries = Vec::with_capacity(RETA_SIZE.into());
        for index in 0..usize::from(RETA_SIZE) / 4 {
            let word = hw.regs.at::<RETA>(index)?.read().bits();
            entries.extend(word.to_le_bytes().map(|entry| u16::from(entry & mask)));
        }
        hw.check()?;
        Ok(entries)
    }

    /// Changes entries of the redirection table from `first` on, all or none, while packets flow. Packets of a flow that
    /// changes its queue may overtake each other.
    pub fn update_rss_table(&mut self, first: u16, queues: &[u16]) -> Result<(), PortError> {
        let (hw, setup) = self.parts();
        setup.rss.update_table(hw, first, queues)
    }
}

fn write(hw: &mut Hw, table: &Table) -> Result<(), PortError> {
    for (index, word) in table.words().enumerate() {
        hw.regs.at::<RETA>(index)?.write(RETA::new(word));
    }
    Ok(hw.check()?)
}

/// Returns the hash types that the device works with, none if RSS is off.
fn granted(hw: &Hw) -> Result<HashTypes, DeviceError> {
    let mrqc = hw.regs.read::<MRQC>();
    hw.check()?;
    Ok(if mrqc.mrqe() == RSS_ALONE { HashTypes::of_mrqc(mrqc.bits()) } else { HashTypes::NONE })
}
