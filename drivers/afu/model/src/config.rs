//! What kind of card a model is.
//!
//! Key types: [`Config`], [`AfuKind`], [`Discovery`], [`Headers`], [`Timing`]. Neighbours:
//! [`AfuModel::new`](crate::AfuModel::new) takes it; `list` lays the feature lists out from it.

use core::time::Duration;

use pmd_afu::guid;
use uuid::{Uuid, uuid};

/// Ports that a card can have: the FME header has offsets for four.
pub const MAX_PORTS: usize = 4;

/// An accelerator that a port can hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AfuKind {
    /// Native loopback in mode 0.
    #[default]
    Nlb0,
    /// Host exerciser without memory of its own.
    HeLpbk,
    /// Host exerciser with memory of its own.
    HeMem,
    /// The sample accelerator: scratchpads and a copy of one line.
    Dummy,
    /// CRC-32C over buffers, fed through a descriptor ring.
    Stream,
}

impl AfuKind {
    /// All of them.
    pub const ALL: [AfuKind; 5] =
        [AfuKind::Nlb0, AfuKind::HeLpbk, AfuKind::HeMem, AfuKind::Dummy, AfuKind::Stream];

    /// Returns the accelerator's identifier.
    pub const fn guid(self) -> Uuid {
        match self {
            AfuKind::Nlb0 => guid::NLB0,
            AfuKind::HeLpbk => guid::HE_LBK,
            AfuKind::HeMem => guid::HE_MEM,
            AfuKind::Dummy => guid::DUMMY,
            AfuKind::Stream => guid::STREAM,
        }
    }

    /// Returns its name on command lines.
    pub const fn name(self) -> &'static str {
        match self {
            AfuKind::Nlb0 => "nlb0",
            AfuKind::HeLpbk => "he-lpbk",
            AfuKind::HeMem => "he-mem",
            AfuKind::Dummy => "dummy",
            AfuKind::Stream => "stream",
        }
    }

    /// Returns the accelerator with this identifier.
    pub fn from_guid(guid: Uuid) -> Option<AfuKind> {
        AfuKind::ALL.into_iter().find(|kind| kind.guid() == guid)
    }
}

/// A name that no accelerator of the model has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such accelerator: there are nlb0, he-lpbk, he-mem, dummy and stream")]
pub struct NoSuchAfu;

impl core::str::FromStr for AfuKind {
    type Err = NoSuchAfu;

    fn from_str(name: &str) -> Result<AfuKind, NoSuchAfu> {
        AfuKind::ALL.into_iter().find(|kind| kind.name() == name).ok_or(NoSuchAfu)
    }
}

impl core::fmt::Display for AfuKind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.name())
    }
}

/// How a driver finds the feature lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Discovery {
    /// The FME's list is at the start of BAR 0 and ends there; the FME header's port offsets tell where each port's
    /// list is. Cards with device id 09C4 do so.
    #[default]
    PortOffsets,
    /// A vendor-specific extended capability (VSEC 43h) names the lists: the FME's in BAR 0, that of port n in BAR
    /// n + 1. The port offsets say BAR 7: not to be followed. Cards with device id BCCE do so.
    Vsec,
}

/// The version of the private features' headers. FIUs and accelerators have version 0 always, as on every card so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Headers {
    /// Registers follow the header; interrupts are told by registers of the features.
    #[default]
    V0,
    /// The header says where its registers are, and a parameter block which interrupts.
    V1,
}

/// Which performance counters the FME has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Counters {
    /// Those of a card of its own (feature 7): fabric and clock.
    #[default]
    Discrete,
    /// Those of an FPGA in the processor's package (feature 3): also cache, VT-d and its page walks.
    Integrated,
}

/// Times that the hardware takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// From the request of a port reset, or its end, to the acknowledgement.
    pub port_reset: Duration,
    /// Until the reconfiguration engine acknowledges its reset.
    pub pr_reset: Duration,
    /// From the last word of a bitstream until the port has its new accelerator.
    pub pr_load: Duration,
    /// Words of a bitstream that the engine takes a microsecond.
    pub pr_words_per_us: u32,
    /// Until a performance counter shows the event that was selected.
    pub counter_select: Duration,
    /// Until a register of the user clock's PLL is written or read.
    pub pll_access: Duration,
    /// Until the PLL has locked.
    pub pll_lock: Duration,
    /// Until the user clock has been measured.
    pub pll_measure: Duration,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            port_reset: Duration::from_micros(5),
            pr_reset: Duration::from_micros(20),
            pr_load: Duration::from_millis(5),
            pr_words_per_us: 100,
            counter_select: Duration::from_nanos(500),
            pll_access: Duration::from_micros(2),
            pll_lock: Duration::from_micros(200),
            pll_measure: Duration::from_millis(2),
        }
    }
}

/// How to build a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What each port holds: one to four of them; more are not looked at, and of none one is made.
    pub ports: Vec<AfuKind>,
    /// How a driver finds the lists.
    pub discovery: Discovery,
    /// PCI device id, `None` for the one that fits `discovery`: 09C4 or BCCE.
    pub device_id: Option<u16>,
    /// The version of the feature headers.
    pub headers: Headers,
    /// The kind of performance counters.
    pub counters: Counters,
    /// The static region: what a bitstream must have been made for.
    pub interface_id: Uuid,
    /// BITSTREAM_ID: version and hash of the static region.
    pub bitstream_id: u64,
    /// BITSTREAM_MD: date and seed of its synthesis.
    pub bitstream_metadata: u64,
    /// The PCI serial number, if it has one.
    pub serial: Option<u64>,
    /// The accelerators' clock in MHz, 1 to 65,535.
    pub clock_mhz: u16,
    /// User interrupts of each port, 0 to 15.
    pub user_interrupts: u8,
    /// HE-MEM's own memory in bytes, of which only what is written takes memory of the host; from 4 KiB up.
    pub local_memory: u64,
    /// Whether the host exerciser offers atomic operations.
    pub atomics: bool,
    /// The temperature in °C at power-on.
    pub temperature: u8,
    /// The power in watts at power-on.
    pub power: u32,
    /// How long things take.
    pub timing: Timing,
}

impl Default for Config {
    /// One port with native loopback, found by port offsets.
    fn default() -> Config {
        Config {
            ports: vec![AfuKind::Nlb0],
            discovery: Discovery::default(),
            device_id: None,
            headers: Headers::default(),
            counters: Counters::default(),
            interface_id: uuid!("9926ab6d-6c92-5a68-aabc-a7d84c545738"),
            bitstream_id: 0x0240_0002_0288_4c7e,
            bitstream_metadata: 0x0000_0026_1121_0001,
            serial: Some(0x0000_00ff_ff00_afa0),
            clock_mhz: 400,
            user_interrupts: 4,
            local_memory: 64 << 20,
            atomics: true,
            temperature: 42,
            power: 28,
            timing: Timing::default(),
        }
    }
}

impl Config {
    /// Returns the default card with these accelerators.
    pub fn with_ports(ports: &[AfuKind]) -> Config {
        Config { ports: ports.to_vec(), ..Config::default() }
    }

    /// Brings every value into its range, so that the rest need not look.
    pub(crate) fn bounded(mut self) -> Config {
        self.ports.truncate(MAX_PORTS);
        if self.ports.is_empty() {
            self.ports.push(AfuKind::default());
        }
        self.clock_mhz = self.clock_mhz.max(1);
        self.user_interrupts = self.user_interrupts.min(15);
        self.local_memory = self.local_memory.clamp(4096, 1 << 40).next_power_of_two();
        self.timing.pr_words_per_us = self.timing.pr_words_per_us.max(1);
        self
    }

    pub(crate) fn pci_device(&self) -> u16 {
        self.device_id.unwrap_or(match self.discovery {
            Discovery::PortOffsets => 0x09C4,
            Discovery::Vsec => 0xBCCE,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_accelerator_is_found_by_its_identifier() {
        for kind in AfuKind::ALL {
            assert_eq!(AfuKind::from_guid(kind.guid()), Some(kind));
        }
        assert_eq!(AfuKind::from_guid(Uuid::nil()), None);
    }

    #[test]
    fn values_out_of_range_are_brought_back() {
        let config =
            Config { ports: vec![AfuKind::Dummy; 9], clock_mhz: 0, local_memory: 1, ..Config::default() };
        let config = config.bounded();
        assert_eq!((config.ports.len(), config.clock_mhz, config.local_memory), (4, 1, 4096));
        assert_eq!(Config { ports: vec![], ..config }.bounded().ports, [AfuKind::Nlb0]);
    }
}
