//! PCI configuration space of random bytes: every walk ends, every question has an answer, nothing panics.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use vfio_hal::pci::Config;
use vfio_hal::testing::FakeDevice;

fuzz_target!(|data: &[u8]| {
    let data = &data[..data.len().min(4096)];
    let config = Config::new(Arc::new(FakeDevice::new(0x100).with_config(data.to_vec())));
    let _ = (config.ids(), config.class(), config.command(), config.status(), config.bars());
    let _ =
        (config.power_management(), config.msi(), config.msi_x(), config.express(), config.serial_number());
    if let Ok(list) = config.capabilities() {
        // 48 entries of 4 bytes fill the space; a walk that gives more has met one twice.
        let entries: Vec<_> = list.collect();
        assert!(entries.len() <= 49, "{entries:?}");
        for entry in entries.into_iter().flatten() {
            let _ = config.read_vendor(entry, &mut [0; 300]);
        }
    }
    if let Ok(list) = config.extended_capabilities() {
        assert!(list.count() <= 961);
    }
    for id in 0..=255 {
        let _ = (config.find(id), config.find_extended(id.into()));
    }
});
