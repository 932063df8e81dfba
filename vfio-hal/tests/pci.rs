//! Configuration space: an 82599's, broken ones, and random bytes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use vfio_hal::bar::Bar;
use vfio_hal::dma::Dma;
use vfio_hal::pci::{
    BarKind, Capability, Class, Config, ConfigError, Link, PortType, PowerState, Status, extended_id, id,
};
use vfio_hal::testing::{FakeDevice, FakeDma, VirtualClock};
use vfio_hal::wrap::{FaultInjector, Faults};
use vfio_hal::{Clock, Device, DeviceError, Lost};

/// A configuration space like an 82599's (datasheet 9.3): PM at 40h, MSI at 50h, MSI-X at 70h, PCIe at A0h, VPD
/// at E0h; AER at 100h, serial number at 140h, ARI at 150h, SR-IOV at 160h.
fn nic() -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    let mut put = |at: usize, data: &[u8]| bytes[at..at + data.len()].copy_from_slice(data);
    put(0x00, &[0x86, 0x80, 0xfb, 0x10, 0x06, 0x04, 0x10, 0x00, 0x01, 0x00, 0x00, 0x02]);
    put(0x0e, &[0x80]);
    put(0x10, &0xfbd8_000c_u32.to_le_bytes());
    put(0x14, &0x0000_0012_u32.to_le_bytes());
    put(0x18, &0x0000_e001_u32.to_le_bytes());
    put(0x20, &0xfbd0_4004_u32.to_le_bytes());
    put(0x2c, &[0x86, 0x80, 0x7a, 0x00]);
    put(0x34, &[0x40]);
    put(0x3d, &[0x01]);
    put(0x40, &[id::POWER_MANAGEMENT, 0x50, 0x23, 0x48, 0x08, 0x20]);
    put(0x50, &[id::MSI, 0x70, 0x80, 0x01]);
    put(0x70, &[id::MSI_X, 0xa0, 0x3f, 0x80, 0x04, 0, 0, 0, 0x04, 0x20, 0, 0]);
    put(0xa0, &[id::EXPRESS, 0xe0, 0x02, 0x00, 0xc2, 0x8c, 0, 0x10, 0x10, 0x28]);
    put(0xb2, &[0x82, 0x10]);
    put(0xe0, &[id::VENDOR, 0x00, 0x07, 0xde, 0xad, 0xbe, 0xef]);
    put(0x100, &0x1401_0001_u32.to_le_bytes());
    put(0x140, &0x1501_0003_u32.to_le_bytes());
    put(0x144, &0x0123_4567_89ab_cdef_u64.to_le_bytes());
    put(0x150, &0x1601_000e_u32.to_le_bytes());
    put(0x160, &0x0001_0010_u32.to_le_bytes());
    bytes
}

fn config(bytes: Vec<u8>) -> Config {
    Config::new(Arc::new(FakeDevice::new(0x100).with_config(bytes)))
}

fn changed(changes: &[(usize, u8)]) -> Config {
    let mut bytes = nic();
    for &(at, value) in changes {
        bytes[at] = value;
    }
    config(bytes)
}

#[test]
fn the_header_of_a_nic() {
    let mut config = config(nic());
    let ids = config.ids().unwrap();
    assert_eq!(
        (ids.vendor, ids.device, ids.subsystem, ids.revision),
        (0x8086, 0x10fb, Some((0x8086, 0x7a)), 1)
    );
    assert_eq!(ids.to_string(), "8086:10fb");
    let class = config.class().unwrap();
    assert_eq!((class, class.to_string().as_str()), (Class { base: 2, sub: 0, interface: 0 }, "020000"));
    assert_eq!(
        (config.header_type(), config.multi_function(), config.interrupt_pin()),
        (Ok(0), Ok(true), Ok(1))
    );
    let command = config.command().unwrap();
    assert!(command.memory() && command.bus_master() && command.intx_disable() && !command.io());
    config.modify_command(|command| command.with_bus_master(false)).unwrap();
    assert_eq!(config.read_u16(4), Ok(0x402));
    assert!(config.status().unwrap().capabilities());
    config.clear_status(Status::default().with_signaled_system_error(true)).unwrap();
    assert_eq!(config.read_u16(6), Ok(0x4000), "this fake stores what is written");
}

#[test]
fn bars_as_the_header_has_them() {
    let [bar0, bar1, bar2, bar3, bar4, bar5] = config(nic()).bars().unwrap();
    let bar0 = bar0.unwrap();
    assert_eq!((bar0.kind, bar0.prefetchable, bar0.address), (BarKind::Memory64, true, 0x12_fbd8_0000));
    let bar2 = bar2.unwrap();
    assert_eq!((bar2.kind, bar2.prefetchable, bar2.address, bar2.index), (BarKind::Io, false, 0xe000, 2));
    assert_eq!((bar4.unwrap().kind, bar4.unwrap().address), (BarKind::Memory64, 0xfbd0_4000));
    assert_eq!((bar1, bar3, bar5), (None, None, None));
    // A 64-bit BAR at the last place has no upper half; type 3 is reserved.
    assert!(matches!(changed(&[(0x20, 0), (0x24, 0x04)]).bars(), Err(ConfigError::Reserved { .. })));
    assert!(matches!(
        changed(&[(0x10, 0x06)]).bars(),
        Err(ConfigError::Reserved { what: "BAR 0", value: 0xfbd8_0006 })
    ));
    // A bridge has two BARs.
    assert_eq!(changed(&[(0x0e, 1)]).bars().unwrap().iter().flatten().count(), 1);
    assert_eq!(changed(&[(0x0e, 2)]).bars().unwrap(), [None; 6]);
}

#[test]
fn an_empty_place_is_no_device() {
    assert_eq!(config(vec![0xff; 256]).ids(), Err(DeviceError::Lost.into()));
    let broken =
        FaultInjector::new(Arc::new(FakeDevice::new(0x100)), Faults::new().fail_config(DeviceError::Lost));
    let config = Config::new(Arc::new(broken));
    assert_eq!(config.ids(), Err(DeviceError::Lost.into()));
    assert!(
        config.bars().is_err() && config.capabilities().is_err() && config.extended_capabilities().is_err()
    );
}

#[test]
fn both_lists_are_walked() {
    let config = config(nic());
    let found: Vec<_> =
        config.capabilities().unwrap().map(|entry| entry.map(|entry| (entry.id, entry.offset))).collect();
    assert_eq!(found, [Ok((1, 0x40)), Ok((5, 0x50)), Ok((0x11, 0x70)), Ok((0x10, 0xa0)), Ok((9, 0xe0))]);
    let found: Vec<_> = config.extended_capabilities().unwrap().map(|entry| entry.unwrap()).collect();
    assert_eq!(
        found.iter().map(|entry| (entry.id, entry.version, entry.offset)).collect::<Vec<_>>(),
        [
            (extended_id::AER, 1, 0x100),
            (extended_id::SERIAL_NUMBER, 1, 0x140),
            (extended_id::ARI, 1, 0x150),
            (extended_id::SR_IOV, 1, 0x160),
        ]
    );
    assert_eq!(config.serial_number(), Ok(Some(0x0123_4567_89ab_cdef)));
    assert_eq!(config.find(id::MSI).unwrap(), Some(Capability { id: 5, offset: 0x50 }));
    assert_eq!(config.find(0x55), Ok(None));
    assert_eq!(config.find_extended(extended_id::ATS), Ok(None));
}

#[test]
fn without_a_list_or_extended_space_there_are_none() {
    assert_eq!(changed(&[(0x06, 0)]).capabilities().unwrap().count(), 0);
    assert_eq!(changed(&[(0x34, 0)]).capabilities().unwrap().count(), 0);
    let mut small = nic();
    small.truncate(256);
    let small = config(small);
    assert_eq!(small.extended_capabilities().unwrap().count(), 0);
    assert_eq!((small.serial_number(), small.capabilities().unwrap().count()), (Ok(None), 5));
    for empty in [0, 0xff] {
        let empty = changed(&[(0x100, empty), (0x101, empty), (0x102, empty), (0x103, empty)]);
        assert_eq!(empty.extended_capabilities().unwrap().count(), 0);
    }
}

#[test]
fn a_broken_list_is_an_error_and_ends() {
    let walk = |config: Config| config.capabilities().unwrap().collect::<Vec<_>>();
    let looped = walk(changed(&[(0xe1, 0x50)]));
    assert_eq!((looped.len(), looped.last().copied()), (6, Some(Err(ConfigError::Loop { offset: 0x50 }))));
    let itself = walk(changed(&[(0x41, 0x40)]));
    assert_eq!(itself[1..], [Err(ConfigError::Loop { offset: 0x40 })]);
    assert_eq!(walk(changed(&[(0x34, 0x41)])), [Err(ConfigError::Misaligned { offset: 0x41 })]);
    let outside = ConfigError::Outside { offset: 0x3c, first: 0x40, last: 0xfc };
    assert_eq!(walk(changed(&[(0x34, 0x3c)])), [Err(outside)]);
    // What is searched for lies before the break, or not.
    let looped = changed(&[(0xe1, 0x50)]);
    assert!(looped.msi().is_ok());
    assert_eq!(looped.find(0x55), Err(ConfigError::Loop { offset: 0x50 }));

    let walk = |config: Config| config.extended_capabilities().unwrap().last();
    assert_eq!(walk(changed(&[(0x163, 0x10)])), Some(Err(ConfigError::Loop { offset: 0x100 })));
    assert_eq!(
        walk(changed(&[(0x163, 0x17), (0x162, 0x21)])),
        Some(Err(ConfigError::Misaligned { offset: 0x172 }))
    );
    let outside = ConfigError::Outside { offset: 0x40, first: 0x100, last: 0xffc };
    assert_eq!(walk(changed(&[(0x163, 0x04)])), Some(Err(outside)));
}

#[test]
fn power_management_and_its_waits() {
    let mut config = config(nic());
    let power = config.power_management().unwrap();
    assert_eq!((power.offset, power.version, power.state), (0x40, 3, PowerState::D0));
    assert!(power.no_soft_reset && !power.d1 && !power.d2);
    let clock = VirtualClock::new();
    config.set_power_state(PowerState::D3Hot, &clock).unwrap();
    assert_eq!(config.power_management().unwrap().state, PowerState::D3Hot);
    assert_eq!(clock.now(), Duration::from_millis(10));
    config.set_power_state(PowerState::D0, &clock).unwrap();
    assert_eq!(clock.now(), Duration::from_millis(20));
    assert!(config.set_power_state(PowerState::D2, &clock).is_err());
    let none = changed(&[(0x40, 0x55)]);
    assert_eq!(none.power_management(), Err(ConfigError::Missing { what: "power management" }));
}

#[test]
fn message_interrupts() {
    let mut config = config(nic());
    let msi = config.msi().unwrap();
    assert_eq!((msi.offset, msi.vectors, msi.wide, msi.maskable, msi.enabled), (0x50, 1, true, true, false));
    let msi_x = config.msi_x().unwrap();
    assert_eq!((msi_x.vectors, msi_x.enabled, msi_x.masked), (64, true, false));
    assert_eq!((msi_x.table.bar, msi_x.table.offset, msi_x.table.len), (4, 0, 1024));
    assert_eq!((msi_x.pending.bar, msi_x.pending.offset, msi_x.pending.len), (4, 0x2000, 8));
    config.set_msi_x(false, true).unwrap();
    let msi_x = config.msi_x().unwrap();
    assert_eq!((msi_x.vectors, msi_x.enabled, msi_x.masked), (64, false, true));

    assert!(matches!(changed(&[(0x52, 0x0c)]).msi(), Err(ConfigError::Reserved { value: 6, .. })));
    assert!(matches!(changed(&[(0x74, 0x06)]).msi_x(), Err(ConfigError::Reserved { value: 6, .. })));
    // A capability whose end is beyond the 256 bytes.
    let late = changed(&[(0x51, 0xf8), (0xf8, id::MSI_X), (0xf9, 0)]);
    assert_eq!(late.msi_x(), Err(ConfigError::Overrun { id: 0x11, offset: 0xf8, len: 12 }));
    let late = changed(&[(0x41, 0xf4), (0xf4, id::MSI), (0xf5, 0), (0xf6, 0x80)]);
    assert_eq!(late.msi(), Err(ConfigError::Overrun { id: 5, offset: 0xf4, len: 14 }));
}

#[test]
fn vendor_capabilities_have_a_length() {
    let config = config(nic());
    let entry = config.find(id::VENDOR).unwrap().unwrap();
    let mut data = [0; 8];
    assert_eq!(config.read_vendor(entry, &mut data), Ok(4));
    assert_eq!(data[..5], [0xde, 0xad, 0xbe, 0xef, 0]);
    assert_eq!(config.read_vendor(entry, &mut data[..2]), Ok(2));
    let long = changed(&[(0xe2, 0x21)]);
    assert_eq!(
        long.read_vendor(entry, &mut data),
        Err(ConfigError::Overrun { id: 9, offset: 0xe0, len: 0x21 })
    );
    assert!(changed(&[(0xe2, 2)]).read_vendor(entry, &mut data).is_err());
    assert!(config.read_vendor(Capability { id: 9, offset: u16::MAX }, &mut data).is_err());
}

#[test]
fn the_express_capability() {
    let express = config(nic()).express().unwrap();
    assert_eq!((express.offset, express.version, express.port_type), (0xa0, 2, PortType::Endpoint));
    assert_eq!((express.max_payload, express.flr, express.link), (512, true, Link { speed: 2, width: 8 }));
    assert!(matches!(changed(&[(0xa4, 7)]).express(), Err(ConfigError::Reserved { value: 7, .. })));
    assert_eq!(changed(&[(0xa2, 0x92)]).express().unwrap().link, Link::default());
}

/// A function that resets, sizes its BARs and answers "retry" for a while, as the specification says.
struct Function {
    inner: FakeDevice,
    /// Reads of the vendor id that still answer "retry" after a reset.
    retries: Mutex<u32>,
    pending: Mutex<u32>,
}

impl Function {
    fn new(retries: u32, pending: u32) -> Arc<Function> {
        let inner = FakeDevice::new(0x100).with_config(nic());
        Arc::new(Function { inner, retries: Mutex::new(retries), pending: Mutex::new(pending) })
    }
}

impl Device for Function {
    fn name(&self) -> &str {
        "function"
    }

    fn lost(&self) -> &Lost {
        self.inner.lost()
    }

    fn bar(&self, index: u8) -> Result<Bar, DeviceError> {
        self.inner.bar(index)
    }

    fn dma(&self) -> &dyn Dma {
        static NONE: std::sync::LazyLock<FakeDma> = std::sync::LazyLock::new(FakeDma::new);
        &*NONE
    }

    fn config_read(&self, offset: u16, data: &mut [u8]) -> Result<(), DeviceError> {
        self.inner.config_read(offset, data)?;
        let reset = self.inner.resets() > 0;
        let mut retries = self.retries.lock().unwrap();
        let mut pending = self.pending.lock().unwrap();
        if offset == 0 && reset && *retries > 0 {
            *retries -= 1;
            data.copy_from_slice(&[0x01, 0x00][..data.len()]);
        }
        if offset == 0xaa && *pending > 0 {
            *pending -= 1;
            data[0] |= 1 << 5;
        }
        Ok(())
    }

    fn config_write(&self, offset: u16, data: &[u8]) -> Result<(), DeviceError> {
        if offset == 0xa8 && data[1] & 0x80 != 0 {
            self.inner.reset()?;
            for at in (0x04..0x06).chain(0x10..0x28).chain(0xa8..0xaa) {
                self.inner.config_write(at, &[0])?;
            }
            return Ok(());
        }
        // BAR 0: 512 KiB, 64-bit, prefetchable. BAR 2: 32 bytes of I/O ports. BAR 4: 16 KiB, 64-bit.
        let kept: Option<(u32, u32)> = match offset {
            0x10 => Some((0xfff8_0000, 0xc)),
            0x18 => Some((0xffff_ffe0, 0x1)),
            0x20 => Some((0xffff_c000, 0x4)),
            0x24 | 0x14 => Some((u32::MAX, 0)),
            0x1c => Some((0, 0)),
            _ => None,
        };
        match kept {
            Some((mask, kind)) => {
                let value = u32::from_le_bytes(data.try_into().unwrap()) & mask | kind;
                self.inner.config_write(offset, &value.to_le_bytes())
            }
            None => self.inner.config_write(offset, data),
        }
    }
}

#[test]
fn sizing_a_bar_leaves_everything_as_it_was() {
    let device = Function::new(0, 0);
    let mut config = Config::new(device.clone());
    let before = device.inner.config();
    let sizes: Vec<_> = [0, 2, 3, 4].map(|index| config.bar_size(index).unwrap()).to_vec();
    assert_eq!(sizes, [0x8_0000, 0x20, 0, 0x4000]);
    assert_eq!(config.bar_size(6), Err(DeviceError::NoBar { index: 6 }.into()));
    assert_eq!(device.inner.config(), before);
}

#[test]
fn a_function_reset_waits_and_restores() {
    let device = Function::new(3, 2);
    let mut config = Config::new(device.clone());
    let before = (config.bars().unwrap(), config.read_u16(0xa8).unwrap());
    let clock = VirtualClock::new();
    config.function_reset(&clock).unwrap();
    assert_eq!(device.inner.resets(), 1);
    assert_eq!((config.bars().unwrap(), config.read_u16(0xa8).unwrap()), before);
    let command = config.command().unwrap();
    assert!(command.memory() && !command.bus_master(), "DMA stays off until the driver wants it");
    assert_eq!(clock.now(), Duration::from_millis(2 + 100 + 30));
}

#[test]
fn a_function_that_never_comes_back_is_a_timeout() {
    let mut config = Config::new(Function::new(u32::MAX, u32::MAX));
    let error = config.function_reset(&VirtualClock::new()).unwrap_err();
    assert_eq!(error, DeviceError::Timeout { what: "function-level reset", millis: 1100 }.into());
    let unsupported = changed(&[(0xa7, 0)]).function_reset(&VirtualClock::new()).unwrap_err();
    assert_eq!(unsupported, DeviceError::Unsupported { what: "function-level reset" }.into());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// No bytes make any of it panic or run away.
    #[test]
    fn random_bytes_are_harmless(
        noise in proptest::collection::vec(any::<u8>(), 4096),
        // Mostly-valid spaces reach deeper than noise alone.
        keep in 0..4u8,
        edits in proptest::collection::vec((0..4096usize, any::<u8>()), 0..24),
        len in prop_oneof![Just(4096usize), Just(256), 0..4096usize],
    ) {
        let mut bytes = if keep == 0 { noise } else { nic() };
        for (at, value) in edits {
            bytes[at] = value;
        }
        bytes.truncate(len);
        let mut config = config(bytes);
        let clock = VirtualClock::new();
        let _ = (config.ids(), config.class(), config.bars(), config.status(), config.interrupt_pin());
        if let Ok(entries) = config.capabilities() {
            let entries: Vec<_> = entries.collect();
            prop_assert!(entries.len() <= 49);
            for entry in entries.into_iter().flatten() {
                prop_assert!(entry.offset % 4 == 0 && (0x40..0x100).contains(&entry.offset));
                let _ = config.read_vendor(entry, &mut [0; 256]);
            }
        }
        if let Ok(entries) = config.extended_capabilities() {
            prop_assert!(entries.count() <= 961);
        }
        let _ = (config.serial_number(), config.power_management(), config.msi(), config.msi_x(), config.express());
        let _ = (config.transactions_pending(), config.set_power_state(PowerState::D0, &clock));
        let _ = (config.set_msi_x(true, false), config.bar_size(5), config.bar_size(0));
        let _ = config.function_reset(&clock);
    }
}
