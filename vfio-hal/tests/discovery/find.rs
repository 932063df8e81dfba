//! What is found of a device.

use std::fs;
use std::os::unix::fs::symlink;

use vfio_hal::pci::discovery::{DiscoveryError, Holder, InUse, LinkSpeed, Name, PciLink, System};

use super::fake::{Machine, bdf};

#[test]
fn a_device_is_described_whole() {
    let machine = Machine::new();
    machine.nic("0000:01:00.0", Some(7), "eth3");
    let all = machine.system().devices().unwrap();
    let [found] = &all[..] else { panic!("{all:?}") };
    assert_eq!(found.address, bdf("0000:01:00.0"));
    assert_eq!(found.ids.to_string(), "8086:10c9");
    assert_eq!((found.ids.subsystem, found.ids.revision), (Some((0x8086, 0xa03c)), 1));
    assert_eq!((found.class.base, found.class.sub), (2, 0));
    assert!(found.is_network() && !found.is_bridge());
    assert_eq!((found.driver.as_deref(), found.holder()), (Some("igb"), Holder::Kernel));
    assert_eq!((found.driver_override.as_deref(), found.numa_node), (None, None));
    assert_eq!(found.iommu_group, Some(7));
    let [slow, fast] = [LinkSpeed(2500), LinkSpeed(5000)];
    assert_eq!(found.link, Some(PciLink { speed: slow, width: 1, max_speed: fast, max_width: 4 }));
    let functions = found.functions.as_ref().unwrap();
    assert_eq!((functions.total, functions.addresses.len()), (7, 0));
    assert_eq!(found.interfaces[0].name, "eth3");
    assert_eq!(found.interfaces[0].in_use(), None);
}

#[test]
fn devices_come_in_the_order_of_their_addresses() {
    let machine = Machine::new();
    for address in ["0000:81:00.0", "0000:01:00.1", "0001:00:00.0", "0000:01:00.0"] {
        machine.nic(address, None, "");
    }
    let all = machine.system().devices().unwrap();
    let order: Vec<String> = all.iter().map(|found| found.address.to_string()).collect();
    assert_eq!(order, ["0000:01:00.0", "0000:01:00.1", "0000:81:00.0", "0001:00:00.0"]);
}

#[test]
fn an_interface_tells_what_it_is_in_use_for() {
    let machine = Machine::new();
    machine.nic("0000:01:00.0", None, "eth3");
    let interface = || machine.system().device(bdf("01:00.0")).unwrap().interfaces.remove(0);
    machine.file("sys/class/net/eth3/flags", "0x1003\n");
    assert_eq!(interface().in_use(), Some(InUse::Up));
    symlink("../br0", machine.path("sys/class/net/eth3/master")).unwrap();
    assert_eq!((interface().in_use(), interface().master.as_deref()), (Some(InUse::Master), Some("br0")));
    // A link-local address comes by itself, another one does not.
    machine.file("proc/net/if_inet6", "fe800000000000000000000000000001 02 40 20 80 eth3\n");
    assert_eq!(interface().in_use(), Some(InUse::Master));
    machine.file("proc/net/if_inet6", "fd820000000000000000000000000002 02 40 00 80     eth3\n");
    assert_eq!(interface().in_use(), Some(InUse::Addresses(1)));
    assert_eq!(interface().addresses[0].to_string(), "fd82::2");
    let route = "Iface\tDestination\neth30\t0000520A\neth3\t0000520A\neth3\t00000000\n";
    machine.file("proc/net/route", route);
    assert_eq!(interface().in_use(), Some(InUse::Routes(2)));
    assert_eq!(InUse::Routes(2).to_string(), "has 2 routes");
}

#[test]
fn the_interface_of_a_virtio_device_is_found() {
    let machine = Machine::new();
    machine.nic("0000:02:00.0", None, "");
    let dir = machine.path("sys/bus/pci/devices/0000:02:00.0/virtio5");
    fs::create_dir_all(dir.join("net/ens2")).unwrap();
    fs::create_dir_all(machine.path("sys/class/net/ens2")).unwrap();
    symlink(&dir, machine.path("sys/class/net/ens2/device")).unwrap();
    assert_eq!(machine.system().device(bdf("02:00.0")).unwrap().interfaces[0].name, "ens2");
    assert_eq!(machine.system().resolve("ens2"), Ok(bdf("02:00.0")));
}

#[test]
fn a_device_is_named_by_address_path_or_interface() {
    let machine = Machine::new();
    machine.nic("0000:01:00.0", None, "eth3");
    let system = machine.system();
    for text in ["0000:01:00.0", "01:00.0", "/sys/bus/pci/devices/0000:01:00.0/", "eth3"] {
        assert_eq!(system.resolve(text), Ok(bdf("01:00.0")), "{text}");
    }
    let address = bdf("05:00.0");
    assert_eq!(system.resolve("05:00.0"), Err(DiscoveryError::NoDevice { address }));
    for text in ["eth4", "", "..", ".", "/", "lo"] {
        let name = Name::new(text.trim_end_matches('/'));
        assert_eq!(system.resolve(text), Err(DiscoveryError::NoSuch { name }), "{text}");
    }
}

#[test]
fn virtual_functions_and_their_device_know_each_other() {
    let machine = Machine::new();
    machine.nic("0000:01:00.0", None, "eth3");
    let system = machine.system();
    let plan = system.plan_functions(bdf("01:00.0"), 2).unwrap();
    system.carry_out(&plan).unwrap();
    let found = system.device(bdf("01:00.0")).unwrap();
    assert_eq!(found.functions.unwrap().addresses, [bdf("01:10.0"), bdf("01:10.1")]);
    assert_eq!(system.device(bdf("01:10.1")).unwrap().physical_function, Some(bdf("01:00.0")));
}

#[test]
fn who_blocks_a_group_is_told() {
    let machine = Machine::new();
    for address in ["0000:01:00.0", "0000:01:00.1"] {
        machine.nic(address, Some(7), "");
    }
    assert_eq!(machine.system().group(7).len(), 2);
    assert_eq!(machine.system().group_blockers(7).len(), 2);
    assert_eq!(machine.system().group_blockers(8), []);
}

#[test]
fn a_system_without_pci_says_so() {
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(System::at(empty.path()).devices(), Err(DiscoveryError::NoPci));
    assert_eq!(System::at(empty.path()).no_iommu_mode(), None);
}

/// The machine that the test runs on: whatever it has, nothing fails.
#[test]
fn this_machine_can_be_read() {
    match System::new().devices() {
        Ok(all) => assert!(all.windows(2).all(|pair| pair[0].address < pair[1].address)),
        Err(error) => assert_eq!(error, DiscoveryError::NoPci),
    }
}
