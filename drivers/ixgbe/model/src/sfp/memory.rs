//! The memory of an SFP+ module: identification at A0h, diagnostics at A2h, each with its check codes (SFF-8472).
//!
//! Key types: [`ModuleMemory`]. Neighbours: [`i2c`](super::i2c) reads it.

use crate::config::Module;
use crate::state::state;

/// Both pages.
pub(crate) struct ModuleMemory {
    /// A0h.
    pub(crate) id: [u8; 256],
    /// A2h; `None` for a module without diagnostics, which does not answer at that address.
    pub(crate) diagnostics: Option<Box<[u8; 256]>>,
}

state!(ModuleMemory { id, diagnostics });

/// Intel's organisation id, by which drivers know an approved module.
const OUI_INTEL: [u8; 3] = [0x00, 0x1B, 0x21];
const OUI_OTHER: [u8; 3] = [0x02, 0x00, 0x5E];

impl ModuleMemory {
    /// Returns the memory of a module, `None` for an empty cage.
    pub(crate) fn new(module: Module) -> Option<ModuleMemory> {
        let mut id = [0u8; 256];
        id[0] = 0x03; // SFP
        id[1] = 0x04;
        id[12] = 103; // 10.3 GBd
        let (vendor, oui, part) = match module {
            Module::Absent => return None,
            Module::Sr => (&b"Intel Corp"[..], OUI_INTEL, &b"FTLX8571D3BCV-IT"[..]),
            Module::Lr => (&b"Intel Corp"[..], OUI_INTEL, &b"FTLX1471D3BCV-IT"[..]),
            Module::DirectAttach => (&b"Molex Inc."[..], OUI_OTHER, &b"74752-1101"[..]),
            Module::ForeignSr => (&b"Nobody Optics"[..], OUI_OTHER, &b"SR-1"[..]),
        };
        match module {
            Module::Sr | Module::ForeignSr => {
                id[2] = 0x07; // LC
                id[3] = 0x10; // 10GBASE-SR
                id[6] = 0x01; // 1000BASE-SX
                id[16] = 8;
                id[19] = 30;
                id[60..62].copy_from_slice(&850u16.to_be_bytes());
            }
            Module::Lr => {
                id[2] = 0x07;
                id[3] = 0x20; // 10GBASE-LR
                id[6] = 0x02; // 1000BASE-LX
                id[14] = 10;
                id[60..62].copy_from_slice(&1310u16.to_be_bytes());
            }
            Module::DirectAttach => {
                id[2] = 0x21; // copper pigtail
                id[8] = 0x04; // passive cable
                id[18] = 1;
                id[60] = 0x01;
            }
            Module::Absent => {}
        }
        text(&mut id[20..36], vendor);
        id[37..40].copy_from_slice(&oui);
        text(&mut id[40..56], part);
        text(&mut id[56..60], b"A");
        text(&mut id[68..84], b"MODEL0001");
        text(&mut id[84..92], b"250101");
        let optical = module != Module::DirectAttach;
        if optical {
            id[65] = 0x1A; // transmit disable, transmit fault, loss of signal
            id[92] = 0x68; // diagnostics, internally calibrated, average power
            id[93] = 0xF0;
            id[94] = 0x05; // SFF-8472 revision 11.0
        }
        id[63] = sum(&id[0..63]);
        id[95] = sum(&id[64..95]);
        Some(ModuleMemory { id, diagnostics: optical.then(|| Box::new(diagnostics())) })
    }
}

fn text(field: &mut [u8], value: &[u8]) {
    field.fill(b' ');
    field[..value.len()].copy_from_slice(value);
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

fn diagnostics() -> [u8; 256] {
    let mut page = [0u8; 256];
    // High alarm, low alarm, high warning, low warning: temperature in 1/256 °C, supply in 100 µV, bias in 2 µA,
    // transmit and receive power in 0.1 µW.
    let limits: [[u16; 4]; 5] = [
        [0x4E00, 0xF300, 0x4900, 0xF800],
        [36_300, 29_700, 35_300, 30_700],
        [5_900, 1_000, 5_500, 1_250],
        [12_589, 1_862, 10_000, 2_344],
        [15_849, 501, 12_589, 794],
    ];
    for (i, value) in limits.iter().flatten().enumerate() {
        page[2 * i..2 * i + 2].copy_from_slice(&value.to_be_bytes());
    }
    // Internally calibrated: slopes are 1, offsets 0.
    page[68..72].copy_from_slice(&1.0f32.to_be_bytes());
    for slope in [76, 80, 84, 88] {
        page[slope] = 1;
    }
    page[95] = sum(&page[0..95]);
    let measured: [u16; 5] = [0x2380, 33_000, 3_500, 5_754, 5_012];
    for (i, value) in measured.iter().enumerate() {
        page[96 + 2 * i..98 + 2 * i].copy_from_slice(&value.to_be_bytes());
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_codes_hold() {
        for module in [Module::Sr, Module::Lr, Module::DirectAttach, Module::ForeignSr] {
            let memory = ModuleMemory::new(module).unwrap();
            assert_eq!(memory.id[63], sum(&memory.id[..63]));
            assert_eq!(memory.id[95], sum(&memory.id[64..95]));
            if let Some(page) = memory.diagnostics {
                assert_eq!(page[95], sum(&page[..95]));
            }
        }
        assert!(ModuleMemory::new(Module::Absent).is_none());
    }
}
