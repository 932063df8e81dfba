//! Files that are not as they must be: errors and gaps, no panic.

use std::fs;

use proptest::prelude::*;
use vfio_hal::pci::discovery::DiscoveryError;

use super::fake::{Machine, bdf};

const FILES: [&str; 12] = [
    "vendor",
    "device",
    "class",
    "revision",
    "numa_node",
    "current_link_speed",
    "current_link_width",
    "max_link_speed",
    "sriov_totalvfs",
    "driver_override",
    "subsystem_vendor",
    "sriov_numvfs",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_content_of_a_file_is_a_panic(which in 0..FILES.len(), bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let machine = Machine::new();
        machine.nic("0000:01:00.0", Some(1), "eth3");
        fs::write(machine.path("sys/bus/pci/devices/0000:01:00.0").join(FILES[which]), &bytes).unwrap();
        fs::write(machine.path("proc/net/route"), &bytes).unwrap();
        fs::write(machine.path("proc/net/if_inet6"), &bytes).unwrap();
        fs::create_dir_all(machine.path("run/pmd/bind")).unwrap();
        fs::write(machine.path("run/pmd/bind/0000:01:00.0"), &bytes).unwrap();
        let system = machine.system();
        let _ = system.devices();
        let _ = system.plan_release(bdf("01:00.0"), None, false);
        let _ = system.plan_functions(bdf("01:00.0"), 7);
    }

    #[test]
    fn no_name_of_a_device_is_a_panic(name in "\\PC{0,80}") {
        let machine = Machine::new();
        prop_assert!(machine.system().resolve(&name).is_err());
    }
}

#[test]
fn a_device_without_ids_is_told() {
    let machine = Machine::new();
    machine.nic("0000:01:00.0", None, "");
    fs::remove_file(machine.path("sys/bus/pci/devices/0000:01:00.0/vendor")).unwrap();
    let error = DiscoveryError::Unreadable { address: bdf("01:00.0"), file: "vendor" };
    assert_eq!(machine.system().device(bdf("01:00.0")), Err(error));
}
