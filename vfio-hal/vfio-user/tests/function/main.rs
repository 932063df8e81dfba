//! A PCI function's emulation, as software on the other side of the bus sees it.

mod capabilities;
mod header;
mod interrupts;
mod specs;
mod writes;

use vfio_user_kit::config::ConfigError;
use vfio_user_kit::{BarKind, BarSpec, Config, Function, Ids, Spec};

/// A function with something of everything.
pub(crate) fn spec() -> Spec {
    Spec {
        ids: Ids {
            vendor: 0x8086,
            device: 0x10fb,
            subsystem_vendor: 0x15d9,
            subsystem: 0x0611,
            class: 0x02_0000,
            revision: 1,
        },
        bars: vec![
            BarSpec { index: 0, size: 512 << 10, kind: BarKind::Memory64Prefetchable },
            BarSpec { index: 2, size: 32, kind: BarKind::Io },
            BarSpec { index: 3, size: 4096, kind: BarKind::Memory32 },
            BarSpec { index: 4, size: 16 << 10, kind: BarKind::Memory64 },
        ],
        msix_vectors: 64,
        msix_bar: 4,
        msi_vectors: 4,
        intx: true,
        doorbells: vec![(0, 0x1018), (0, 0x6018)],
        serial: Some(0x0011_22ff_ff33_4455),
        ..Spec::default()
    }
}

pub(crate) fn function() -> Function {
    Function::new(&spec()).unwrap()
}

pub(crate) fn read8(config: &Config, offset: u16) -> u8 {
    let mut data = [0];
    config.read(offset, &mut data).unwrap();
    data[0]
}

pub(crate) fn read16(config: &Config, offset: u16) -> u16 {
    let mut data = [0; 2];
    config.read(offset, &mut data).unwrap();
    u16::from_le_bytes(data)
}

pub(crate) fn read32(config: &Config, offset: u16) -> u32 {
    let mut data = [0; 4];
    config.read(offset, &mut data).unwrap();
    u32::from_le_bytes(data)
}

pub(crate) fn write16(config: &mut Config, offset: u16, value: u16) -> vfio_user_kit::config::Changed {
    config.write(offset, &value.to_le_bytes()).unwrap()
}

pub(crate) fn write32(config: &mut Config, offset: u16, value: u32) -> vfio_user_kit::config::Changed {
    config.write(offset, &value.to_le_bytes()).unwrap()
}

/// Walks the capability list as an operating system does.
pub(crate) fn capabilities(config: &Config) -> Vec<(u8, u16)> {
    assert_ne!(read16(config, 0x06) & (1 << 4), 0, "the status register announces the list");
    let mut list = Vec::new();
    let mut at = u16::from(read8(config, 0x34));
    while at != 0 {
        assert!(at >= 0x40 && at.is_multiple_of(4) && list.len() < 48, "a broken list: {list:x?}, {at:#x}");
        list.push((read8(config, at), at));
        at = u16::from(read8(config, at + 1));
    }
    list
}
