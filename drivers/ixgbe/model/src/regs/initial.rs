//! What the register map does not say: initial values, and write masks where they are not simply the fields.
//!
//! Neighbours: [`file`](super::file) applies both.

use pmd_ixgbe::regs::*;
use vfio_hal::regs::{AccessKind, Register, RegisterInfo};

/// Registers of the map that the 82599 does not have: they came with the X540 and X550.
const NOT_HERE: &[u64] = &[EEWR::OFFSET, I2CCTL_X550::OFFSET, ERETA::OFFSET, FDIRSCTPM::OFFSET, MACC::OFFSET];

/// Values after a reset that are not 0, without what the EEPROM loads.
const VALUES: &[(u64, u32)] = &[
    (I2CCTL::OFFSET, 0xF),
    (EXVET::OFFSET, 0x8100 << 16),
    (FLA::OFFSET, 1 << 2),
    (MREVID::OFFSET, 0x1),
    // Valid firmware, in no mode of management.
    (FWSM::OFFSET, 1 << 15),
    (VLNCTRL::OFFSET, 0x8100),
    // Transmit and receive FCS on, padding on, MDIO slow, lengths checked; reserved bits as documented.
    (HLREG0::OFFSET, 0x0801_2C0B),
    (MAXFRS::OFFSET, 1518 << 16),
    // 2 KB packets, 256 bytes of header.
    (SRRCTL::OFFSET, 4 << 8 | 2),
    (DCA_RXCTRL::OFFSET, 0xA200),
    (DCA_TXCTRL::OFFSET, 0x2A00),
    (RDRXCTL::OFFSET, 8 << 17),
    (DMATXCTL::OFFSET, 0x8100 << 16),
    // FIN and PSH only in the last segment, CWR only in the first (7.2.4.7).
    (DTXTCPFLGL::OFFSET, 0x0F76_0FF6),
    (DTXTCPFLGH::OFFSET, 0x0F7F),
    (DTXMXSZRQ::OFFSET, 0x10),
    (SECTXCTRL::OFFSET, 1),
    (SECRXCTRL::OFFSET, 1),
    (SECTXMINIFG::OFFSET, 1),
    (FDIRHKEY::OFFSET, 0x8000_0001),
    (FDIRSKEY::OFFSET, 0x8000_0001),
    (RXMTRL::OFFSET, 319 << 16),
    // Priority flow control: MAC control frames (8808h) with operation 0101h (802.1Qbb).
    (PFCTOP::OFFSET, 0x0101 << 16 | 0x8808),
];

/// Bits that software can change, where that is not what the fields say.
const MASKS: &[(u64, u32)] = &[
    // Linux's register test finds bit 4 stored.
    (FCRTL::OFFSET, 0x8007_FFF0),
    (FCRTH::OFFSET, 0x8007_FFF0),
    // A multiple of 128 bytes.
    (RDLEN::OFFSET, 0x000F_FF80),
    (TDLEN::OFFSET, 0x000F_FF80),
    // Bit 31 is of the 82598.
    (VLNCTRL::OFFSET, 0x7000_FFFF),
    // All but the latches' bits.
    (TSYNCRXCTL::OFFSET, 0x1E),
    (TSYNCTXCTL::OFFSET, 0x10),
    // What software can leave set; the others act and fall back.
    (PFMAILBOX::OFFSET, 1 << 3),
    // All but DMAIDONE.
    (RDRXCTL::OFFSET, 0x3FFE_FFF7),
];

/// Whether the 82599 has the register.
pub(super) fn exists(info: &RegisterInfo) -> bool {
    !NOT_HERE.contains(&u64::from(info.spans[0].offset))
}

/// Returns the initial value of each dword of an element.
pub(super) fn value(info: &RegisterInfo) -> u32 {
    find(VALUES, info).unwrap_or(0)
}

/// Returns the mask of dword `half` (0 or 1) of an element.
pub(super) fn mask(info: &RegisterInfo, half: u32) -> u32 {
    if let Some(mask) = find(MASKS, info) {
        return mask;
    }
    let fields = info.fields.iter().fold(0, |mask, field| mask | field.mask());
    let mask = match info.access {
        AccessKind::BusAddress => !(info.align - 1) | fields,
        _ if info.fields.is_empty() => u64::MAX,
        _ => fields,
    };
    (mask >> (32 * half)) as u32
}

fn find(table: &[(u64, u32)], info: &RegisterInfo) -> Option<u32> {
    let offset = u64::from(info.spans[0].offset);
    table.iter().find(|(of, _)| *of == offset).map(|(_, value)| *value)
}
