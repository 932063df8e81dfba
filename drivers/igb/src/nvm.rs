//! The NVM, an EEPROM or a flash (82576 datasheet chapter 6, 8.4).
//!
//! [`Nvm`] reads words through EERD. [`verify_checksum`], [`permanent_mac`], [`part_number`] and [`version`] are what
//! drivers and tools want of them, [`dump`] is everything. What is in the NVM is not trusted: a pointer or length that
//! leaves it is an answer of its own, every walk is bounded in words and in time.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use vfio_hal::DeviceError;
use vfio_hal::clock::Deadline;
use vfio_hal::pmd::{MacAddr, PortError};

use crate::hw::{Chip, Hw};
use crate::regs::{EEC, EERD, RAH, RAL, STATUS};

/// Words with a fixed place (6.1), from the start of a port's section.
mod at {
    /// The address, three words.
    pub(super) const ADDRESS: u32 = 0x00;
    /// The version of the image.
    pub(super) const VERSION: u32 = 0x05;
    /// The part number or, after a guard, a pointer to it.
    pub(super) const PART_NUMBER: u32 = 0x08;
    /// What makes the sum right.
    pub(super) const CHECKSUM: u32 = 0x3f;
    /// The image's number, two words.
    pub(super) const TRACK_ID: u32 = 0x42;
}

/// What the words 0 to 3Fh of a section add up to.
const SUM: u16 = 0xbaba;

/// The NVM, open to read.
struct Nvm<'a> {
    hw: &'a Hw,
    len: u32,
    deadline: Deadline,
}

impl<'a> Nvm<'a> {
    /// Longest time from opening to the last word, for all of it.
    const PATIENCE: Duration = Duration::from_secs(10);

    /// Opens the NVM. A card without one, or with a blank one, is [`Unsupported`](PortError::Unsupported): nothing has given
    /// it an address or told it what it is soldered to.
    fn open(hw: &'a Hw) -> Result<Nvm<'a>, PortError> {
        let eec = hw.regs.read::<EEC>();
        hw.check()?;
        if !eec.pres() {
            return Err(PortError::Unsupported {
                what: "reading its NVM: it has none, or a blank one (EEC.PRES is 0), and must be programmed first",
            });
        }
        // EERD has 14 address bits.
        let len = (1u32 << (6 + eec.size())).min(1 << 14);
        Ok(Nvm { hw, len, deadline: Deadline::after(&*hw.clock, Nvm::PATIENCE) })
    }

    /// Returns where the section of this port starts: the I350's ports have one each (I350 datasheet 6.1).
    fn section(&self) -> u32 {
        match (self.hw.model.chip, self.hw.regs.read::<STATUS>().lan_id()) {
            (Chip::I82576, _) | (Chip::I350, 0) => 0,
            (Chip::I350, port) => 0x40 + 0x40 * port,
        }
    }

    fn word(&self, at: u32) -> Result<u16, PortError> {
        if at >= self.len {
            let max = u64::from(self.len) - 1;
            return Err(PortError::OutOfRange {
                what: "the NVM word to read",
                value: at.into(),
                min: 0,
                max,
            });
        }
        if self.deadline.passed(&*self.hw.clock) {
            let millis = Nvm::PATIENCE.as_millis() as u32;
            return Err(DeviceError::Timeout { what: "reading the NVM", millis }.into());
        }
        let hw = self.hw;
        hw.regs.write(EERD::default().with_start(true).with_addr(at));
        let eerd =
            hw.poll("NVM read (EERD.DONE)", 500).register(hw.regs.single(), |eerd: EERD| eerd.done())?;
        Ok(eerd.data() as u16)
    }
}

/// Checks the checksum of this port's section. [`EepromChecksum`](PortError::EepromChecksum) with the sum found.
pub(crate) fn verify_checksum(hw: &Hw) -> Result<(), PortError> {
    let nvm = Nvm::open(hw)?;
    let start = nvm.section();
    let mut found = 0u16;
    for at in start..=start + at::CHECKSUM {
        found = found.wrapping_add(nvm.word(at)?);
    }
    if found == SUM { Ok(()) } else { Err(PortError::EepromChecksum { found }) }
}

/// Reads all words.
pub(crate) fn dump(hw: &Hw) -> Result<Vec<u16>, PortError> {
    let nvm = Nvm::open(hw)?;
    let mut words = vec![0; nvm.len as usize];
    for (word, at) in words.iter_mut().zip(0..) {
        *word = nvm.word(at)?;
    }
    Ok(words)
}

/// Returns the permanent address: what the device loaded into its first receive address after the last reset.
///
/// It is compared with the NVM; another valid address there is logged and does not count, for platform firmware may have
/// chosen an alternate one. [`BadMac`](PortError::BadMac) if no station can have it.
pub(crate) fn permanent_mac(hw: &Hw) -> Result<MacAddr, PortError> {
    let [a, b, c, d] = hw.regs.at_const::<RAL, 0>().read().bits().to_le_bytes();
    let [e, f, ..] = hw.regs.at_const::<RAH, 0>().read().rah().to_le_bytes();
    hw.check()?;
    let mac = MacAddr([a, b, c, d, e, f]);
    if !mac.is_valid_unicast() {
        return Err(PortError::BadMac { mac });
    }
    let own = nvm_mac(hw)?;
    if own.is_valid_unicast() && own != mac {
        log::warn!("{}: its address is {mac}, its NVM says {own}", hw.device.name());
    }
    Ok(mac)
}

/// Returns the address in the NVM.
fn nvm_mac(hw: &Hw) -> Result<MacAddr, PortError> {
    let nvm = Nvm::open(hw)?;
    let start = nvm.section() + at::ADDRESS;
    let [a, b] = nvm.word(start)?.to_le_bytes();
    let [c, d] = nvm.word(start + 1)?.to_le_bytes();
    let [e, f] = nvm.word(start + 2)?.to_le_bytes();
    // The ports of an 82576 share one: the second's differs in the last bit (6.2.1).
    let port = if hw.model.chip == Chip::I82576 { hw.regs.read::<STATUS>().lan_id() as u8 & 1 } else { 0 };
    Ok(MacAddr([a, b, c, d, e, f ^ port]))
}

/// Returns the board's part number (PBA); `None` if the NVM has none that can be read.
pub(crate) fn part_number(hw: &Hw) -> Result<Option<String>, PortError> {
    /// Says that a pointer follows.
    const GUARD: u16 = 0xfafa;
    /// The longest number in words; the usual ones have 5.
    const MOST_WORDS: u32 = 31;
    let nvm = Nvm::open(hw)?;
    let words = [nvm.word(at::PART_NUMBER)?, nvm.word(at::PART_NUMBER + 1)?];
    if words[0] != GUARD {
        // The older form: eight hexadecimal digits, the last two behind a dash and a zero.
        let [[a, b], [c, d]] = words.map(u16::to_be_bytes);
        let blank = matches!(words, [0, 0] | [0xffff, 0xffff]);
        return Ok((!blank).then(|| alloc::format!("{a:02X}{b:02X}{c:02X}-0{d:02X}")));
    }
    let block = u32::from(words[1]);
    if block == 0 || block >= nvm.len {
        return Ok(None);
    }
    // The length counts itself.
    let len = u32::from(nvm.word(block)?).saturating_sub(1);
    if len == 0 || len > MOST_WORDS || block + 1 + len > nvm.len {
        return Ok(None);
    }
    let mut text = String::new();
    for at in block + 1..block + 1 + len {
        text.extend(nvm.word(at)?.to_be_bytes().map(char::from));
    }
    let text = text.trim_end_matches(['\0', ' ']);
    let printable = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    Ok((printable && !text.is_empty()).then(|| String::from(text)))
}

/// The version of what is in the NVM. `Display` is the form that `ethtool -i` shows as the firmware's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NvmVersion {
    /// Major.
    pub major: u8,
    /// Minor.
    pub minor: u8,
    /// The number of the image (EETRACK id), if it has one.
    pub track_id: Option<u32>,
}

impl fmt::Display for NvmVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The minor number's digits are decimal, one in four bits.
        write!(f, "{}.{:02x}", self.major, self.minor)?;
        self.track_id.map_or(Ok(()), |id| write!(f, ", {id:#010x}"))
    }
}

/// Reads the version.
pub(crate) fn version(hw: &Hw) -> Result<NvmVersion, PortError> {
    let nvm = Nvm::open(hw)?;
    let version = nvm.word(at::VERSION)?;
    let (low, high) = (nvm.word(at::TRACK_ID)?, nvm.word(at::TRACK_ID + 1)?);
    // Bit 31 says that it is one (Linux).
    let track_id = (high >> 12 == 8).then_some(u32::from(high) << 16 | u32::from(low));
    Ok(NvmVersion { major: (version >> 12) as u8, minor: (version >> 4) as u8, track_id })
}
