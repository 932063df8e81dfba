//! Who the card is: its address, its part number, its versions.

use alloc::string::String;
use core::fmt;

use vfio_hal::pmd::{MacAddr, PortError};

use super::{Nvm, at};
use crate::hw::{Chip, Hw};
use crate::regs::{RAH, RAL, STATUS};

/// Returns the permanent address: what the device loaded into its first receive address after the last reset
/// (8.2.3.7.8).
///
/// On the 82599 it is compared with the EEPROM; another valid address there is logged and does not count, for
/// platform firmware may have chosen an alternate one. [`BadMac`](PortError::BadMac) if no station can have it.
pub(crate) fn permanent_mac(hw: &Hw) -> Result<MacAddr, PortError> {
    let low = hw.regs.at_const::<RAL, 0>().read().bits().to_le_bytes();
    let high = hw.regs.at_const::<RAH, 0>().read().rah().to_le_bytes();
    hw.check()?;
    let mac = MacAddr([low[0], low[1], low[2], low[3], high[0], high[1]]);
    if !mac.is_valid_unicast() {
        return Err(PortError::BadMac { mac });
    }
    if hw.model.chip == Chip::I82599
        && let Some(own) = core_mac(&Nvm::open(hw)?, hw.regs.read::<STATUS>().lan_id())?
        && own != mac
    {
        log::warn!("{}: its address is {mac}, its EEPROM says {own}", hw.device.name());
    }
    Ok(mac)
}

/// Returns the address in the core section of a port, if there is one (6.3.7).
fn core_mac(nvm: &Nvm<'_>, port: u32) -> Result<Option<MacAddr>, PortError> {
    let Some(core) = nvm.pointer(at::CORE + port.min(1))?.filter(|core| core + 4 <= nvm.len()) else {
        return Ok(None);
    };
    let mut words = [0; 3];
    nvm.read(core + 1, &mut words)?;
    let [[a, b], [c, d], [e, f]] = words.map(u16::to_le_bytes);
    Ok(Some(MacAddr([a, b, c, d, e, f])).filter(|mac| mac.is_valid_unicast()))
}

/// Returns the board's part number (PBA), such as `E66560-002`; `None` if the EEPROM has none that can be read.
pub(crate) fn part_number(hw: &Hw) -> Result<Option<String>, PortError> {
    /// Says that a pointer follows.
    const GUARD: u16 = 0xfafa;
    /// The longest number in words; the usual ones have 5.
    const MOST_WORDS: usize = 31;
    let nvm = Nvm::open(hw)?;
    let mut words = [0; 2];
    nvm.read(at::PART_NUMBER, &mut words)?;
    if words[0] != GUARD {
        // The older form: eight hexadecimal digits, the last two behind a dash and a zero.
        let [[a, b], [c, d]] = words.map(u16::to_be_bytes);
        let blank = matches!(words, [0, 0] | [0xffff, 0xffff]);
        return Ok((!blank).then(|| alloc::format!("{a:02X}{b:02X}{c:02X}-0{d:02X}")));
    }
    let Some(block) = nvm.pointer(at::PART_NUMBER + 1)? else { return Ok(None) };
    // The length counts itself.
    let len = usize::from(nvm.word(block)?).saturating_sub(1);
    if len == 0 || len > MOST_WORDS || block as usize + 1 + len > nvm.len() as usize {
        return Ok(None);
    }
    let mut words = [0; MOST_WORDS];
    let words = &mut words[..len];
    nvm.read(block + 1, words)?;
    let bytes = words.iter().flat_map(|word| word.to_be_bytes()).take_while(|&byte| byte != 0);
    let text: String = bytes.map(char::from).collect();
    let text = text.trim_end();
    let printable = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    Ok((printable && !text.is_empty()).then(|| String::from(text)))
}

/// Versions of what is in the EEPROM. `Display` is the form that `ethtool -i` shows as the firmware's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NvmVersion {
    /// The number of the image (EETRACK id).
    pub track_id: u32,
    /// The version of the firmware patch; none on boards without manageability.
    pub firmware: Option<u16>,
    /// The version of the option ROM, if there is one.
    pub option_rom: Option<OptionRom>,
}

/// The version of an option ROM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionRom {
    /// Major.
    pub major: u8,
    /// Build.
    pub build: u16,
    /// Patch.
    pub patch: u8,
}

impl fmt::Display for NvmVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.track_id)?;
        match self.option_rom {
            Some(OptionRom { major, build, patch }) => write!(f, ", {major}.{build}.{patch}"),
            None => Ok(()),
        }
    }
}

/// Reads the versions.
pub(crate) fn version(hw: &Hw) -> Result<NvmVersion, PortError> {
    let nvm = Nvm::open(hw)?;
    Ok(NvmVersion {
        track_id: track_id(&nvm)?,
        firmware: firmware(hw.model.chip, &nvm)?,
        option_rom: option_rom(&nvm)?,
    })
}

fn track_id(nvm: &Nvm<'_>) -> Result<u32, PortError> {
    let mut words = [0; 2];
    nvm.read(at::TRACK_ID, &mut words)?;
    let [low, high] = words.map(u32::from);
    // Which half comes first is said by the top bit of the second word.
    Ok(if high & 0x8000 != 0 { high << 16 | low } else { low << 16 | high })
}

/// The pass-through patch's version (DPDK: the fourth version word of the patch configuration).
fn firmware(chip: Chip, nvm: &Nvm<'_>) -> Result<Option<u16>, PortError> {
    const PATCH: u32 = 4;
    const VERSION: u32 = 7;
    if chip == Chip::X550 {
        return Ok(None);
    }
    let Some(module) = field(nvm, at::FIRMWARE, PATCH)? else { return Ok(None) };
    let Some(patch) = nvm.pointer(module)? else { return Ok(None) };
    if patch + VERSION >= nvm.len() {
        return Ok(None);
    }
    Ok(Some(nvm.word(patch + VERSION)?).filter(|&version| version != 0xffff))
}

fn option_rom(nvm: &Nvm<'_>) -> Result<Option<OptionRom>, PortError> {
    const LOW: u32 = 0x83;
    let Some(first) = field(nvm, at::OPTION_ROM, LOW)?.filter(|first| first + 1 < nvm.len()) else {
        return Ok(None);
    };
    let mut words = [0; 2];
    nvm.read(first, &mut words)?;
    if matches!(words, [0, 0] | [0xffff, _] | [_, 0xffff]) {
        return Ok(None);
    }
    let [[major, build_high], [build_low, patch]] = words.map(u16::to_be_bytes);
    Ok(Some(OptionRom { major, build: u16::from_be_bytes([build_high, build_low]), patch }))
}

/// Returns the place of word `offset` in the section that word `pointer` points to, if it is inside.
fn field(nvm: &Nvm<'_>, pointer: u32, offset: u32) -> Result<Option<u32>, PortError> {
    Ok(nvm.pointer(pointer)?.map(|section| section + offset).filter(|&at| at < nvm.len()))
}
