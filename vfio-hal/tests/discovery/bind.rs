//! Giving devices to drivers and back.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use vfio_hal::pci::discovery::{BindError, BindOptions, Carried, InUse, Name, Owner, System};

use super::fake::{Machine, bdf};

const NIC: &str = "0000:01:00.0";

fn nic() -> (Machine, System) {
    let machine = Machine::new();
    machine.nic(NIC, Some(7), "eth3");
    let system = machine.system();
    (machine, system)
}

fn vfio() -> BindOptions {
    BindOptions::new("vfio-pci")
}

#[track_caller]
fn bind(system: &System, options: &BindOptions) -> Carried {
    let plan = system.plan_bind(bdf(NIC), options).unwrap();
    system.carry_out(&plan).unwrap()
}

#[track_caller]
fn release(system: &System) -> Carried {
    let plan = system.plan_release(bdf(NIC), None, false).unwrap();
    system.carry_out(&plan).unwrap()
}

fn overridden(machine: &Machine) -> String {
    machine.read("sys/bus/pci/devices/0000:01:00.0/driver_override")
}

#[test]
fn a_device_goes_to_vfio_and_back() {
    let (machine, system) = nic();
    let carried = bind(&system, &vfio());
    assert_eq!(carried.driver.as_deref(), Some("vfio-pci"));
    assert_eq!(carried.files.group, Some(machine.path("dev/vfio/7")));
    assert_eq!(carried.files.cdev, Some(machine.path("dev/vfio/devices/vfio1")));
    assert_eq!(system.previous_driver(bdf(NIC)).as_deref(), Some("igb"));
    let back = release(&system);
    assert_eq!((back.driver.as_deref(), system.previous_driver(bdf(NIC))), (Some("igb"), None));
    assert_eq!(overridden(&machine), "(null)");
    assert!(fs::read_dir(machine.path("run/pmd/bind")).unwrap().next().is_none(), "nothing is left behind");
}

#[test]
fn a_plan_does_nothing_by_itself_and_says_what_it_would() {
    let (machine, system) = nic();
    let plan = system.plan_bind(bdf(NIC), &vfio().owner(Owner { user: Some(1000), group: None })).unwrap();
    assert_eq!(machine.written(), []);
    let text = plan.steps().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    for words in ["driver/unbind", "\"vfio-pci\"", "drivers_probe", "/run/pmd/bind/0000:01:00.0", "user 1000"]
    {
        assert!(text.contains(words), "no {words} in {text}");
    }
}

#[test]
fn what_the_device_was_like_survives_several_changes() {
    let (machine, system) = nic();
    machine.file("sys/bus/pci/devices/0000:01:00.0/driver_override", "igb\n");
    bind(&system, &vfio());
    bind(&system, &BindOptions::new("uio_pci_generic"));
    let plan = system.plan_unbind(bdf(NIC), false).unwrap();
    assert_eq!(system.carry_out(&plan).unwrap().driver, None);
    bind(&system, &vfio());
    assert_eq!(release(&system).driver.as_deref(), Some("igb"));
    assert_eq!(overridden(&machine), "igb", "the override that was there is there again");
}

#[test]
fn a_device_that_nobody_had_goes_back_to_nobody() {
    let (machine, system) = nic();
    fs::remove_file(machine.path("sys/bus/pci/devices/0000:01:00.0/driver")).unwrap();
    bind(&system, &vfio());
    assert_eq!(release(&system).driver, None);
    assert_eq!(overridden(&machine), "(null)");
}

#[test]
fn without_notes_the_kernel_chooses() {
    let (machine, system) = nic();
    bind(&system, &vfio());
    fs::remove_file(machine.path("run/pmd/bind/0000:01:00.0")).unwrap();
    assert_eq!(release(&system).driver.as_deref(), Some("igb"));
    bind(&system, &vfio());
    fs::remove_file(machine.path("run/pmd/bind/0000:01:00.0")).unwrap();
    machine.refuse("igb");
    let plan = system.plan_release(bdf(NIC), None, false).unwrap();
    assert_eq!(system.carry_out(&plan), Err(BindError::NothingToRestore { address: bdf(NIC) }));
    assert_eq!(machine.driver(NIC).as_deref(), Some("vfio-pci"), "VFIO has it again");
}

#[test]
fn a_release_to_another_driver_than_before() {
    let (machine, system) = nic();
    bind(&system, &vfio());
    let plan = system.plan_release(bdf(NIC), Some("uio_pci_generic"), false).unwrap();
    assert_eq!(system.carry_out(&plan).unwrap().driver.as_deref(), Some("uio_pci_generic"));
    assert_eq!(overridden(&machine), "(null)");
}

#[test]
fn what_is_as_asked_needs_no_step() {
    let (machine, system) = nic();
    assert!(system.plan_release(bdf(NIC), None, false).unwrap().is_empty());
    bind(&system, &vfio());
    machine.written();
    assert!(system.plan_bind(bdf(NIC), &vfio()).unwrap().is_empty());
    assert!(system.plan_functions(bdf(NIC), 0).unwrap().is_empty());
    assert_eq!(machine.written(), []);
}

#[test]
fn a_driver_that_refuses_leaves_the_device_with_the_one_that_had_it() {
    let (machine, system) = nic();
    machine.refuse("vfio-pci");
    let plan = system.plan_bind(bdf(NIC), &vfio()).unwrap();
    let error = system.carry_out(&plan).unwrap_err();
    assert!(matches!(error, BindError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("igb has it again"), "{error}");
    assert_eq!((machine.driver(NIC).as_deref(), overridden(&machine).as_str()), (Some("igb"), "(null)"));
    assert_eq!(system.previous_driver(bdf(NIC)), None);
    machine.refuse("igb");
    let error = system.carry_out(&plan).unwrap_err();
    assert!(error.to_string().contains("did not take it back either"), "{error}");
}

/// An override would make the driver take it all the same, and then read registers of another device.
#[test]
fn a_driver_that_does_not_know_the_device_is_not_given_it() {
    let (machine, system) = nic();
    let plan = system.plan_bind(bdf(NIC), &BindOptions::new("igbvf")).unwrap();
    let error = system.carry_out(&plan).unwrap_err();
    assert!(
        error.to_string().contains("igbvf did not take") && error.to_string().contains("igb has it again")
    );
    assert!(machine.written().iter().all(|(_, value)| value != "igbvf"), "no override names it");
}

#[test]
fn no_permission_changes_nothing() {
    let (machine, system) = nic();
    machine.lock("/driver/unbind", ErrorKind::PermissionDenied);
    let plan = system.plan_bind(bdf(NIC), &vfio()).unwrap();
    let error = system.carry_out(&plan).unwrap_err();
    assert_eq!(error, BindError::Permission { what: "the driver's unbind" });
    assert!(error.to_string().contains("root"), "{error}");
    assert_eq!(machine.driver(NIC).as_deref(), Some("igb"));
    machine.unlock();
    machine.lock("/driver_override", ErrorKind::PermissionDenied);
    assert!(system.carry_out(&plan).is_err());
}

#[test]
fn an_interface_in_use_is_refused_without_force() {
    let (machine, system) = nic();
    machine.file("sys/class/net/eth3/flags", "0x1003\n");
    let refused =
        BindError::InterfaceInUse { address: bdf(NIC), interface: Name::new("eth3"), why: InUse::Up };
    assert_eq!(system.plan_bind(bdf(NIC), &vfio()), Err(refused));
    assert_eq!(system.plan_unbind(bdf(NIC), false), Err(refused));
    assert!(refused.to_string().contains("eth3 is up") && refused.to_string().contains("--force"));
    assert_eq!(machine.written(), []);
    assert_eq!(bind(&system, &vfio().force(true)).driver.as_deref(), Some("vfio-pci"));
}

#[test]
fn an_interface_in_another_namespace_is_refused_without_force() {
    let machine = Machine::new();
    machine.nic(NIC, Some(7), "");
    let system = machine.system();
    let error = system.plan_bind(bdf(NIC), &vfio()).unwrap_err();
    assert!(matches!(error, BindError::InterfaceElsewhere { .. }), "{error}");
    assert_eq!(bind(&system, &vfio().force(true)).driver.as_deref(), Some("vfio-pci"));
}

#[test]
fn a_device_that_a_program_has_open_is_refused_even_by_force() {
    let (machine, system) = nic();
    bind(&system, &vfio());
    let fd = machine.path("proc/4711/fd");
    fs::create_dir_all(&fd).unwrap();
    symlink("/dev/null", fd.join("0")).unwrap();
    assert!(system.plan_release(bdf(NIC), None, false).is_ok());
    symlink(fs::canonicalize(machine.path("dev/vfio/7")).unwrap(), fd.join("5")).unwrap();
    for force in [false, true] {
        let error = system.plan_release(bdf(NIC), None, force).unwrap_err();
        assert_eq!(error, BindError::Open { address: bdf(NIC), pid: 4711 });
    }
}

#[test]
fn without_an_iommu_it_takes_a_word() {
    let machine = Machine::new();
    machine.nic(NIC, None, "eth3");
    let system = machine.system();
    let mode = "sys/module/vfio/parameters/enable_unsafe_noiommu_mode";
    assert_eq!(system.plan_bind(bdf(NIC), &vfio()), Err(BindError::NoIommu { address: bdf(NIC) }));
    bind(&system, &vfio().no_iommu(true));
    assert_eq!((machine.read(mode).as_str(), system.no_iommu_mode()), ("Y", Some(true)));
    release(&system);
    assert_eq!(machine.read(mode), "N", "what was switched on for the device is switched off");
    // Somebody else's switch stays as it is.
    machine.file(mode, "Y\n");
    bind(&system, &vfio());
    release(&system);
    assert_eq!(machine.read(mode), "Y");
    fs::remove_file(machine.path(mode)).unwrap();
    assert_eq!(system.plan_bind(bdf(NIC), &vfio().no_iommu(true)), Err(BindError::NoNoIommuMode));
}

#[test]
fn device_files_get_their_owner() {
    let (machine, system) = nic();
    // One's own ids: giving files away needs root.
    let own = fs::metadata(machine.path("")).unwrap();
    let owner = Owner { user: Some(own.uid()), group: Some(own.gid()) };
    let carried = bind(&system, &vfio().owner(owner));
    assert_eq!(carried.files.paths().count(), 2);
    for path in carried.files.paths() {
        let meta = fs::metadata(path).unwrap();
        assert_eq!(
            (meta.uid(), meta.gid(), meta.permissions().mode() & 0o777),
            (own.uid(), own.gid(), 0o660)
        );
    }
}

#[test]
fn drivers_that_are_not_there() {
    let (machine, system) = nic();
    for driver in ["ixgbe", "", "..", "../../drivers/igb", "igb/unbind", "."] {
        let error = system.plan_bind(bdf(NIC), &BindOptions::new(driver)).unwrap_err();
        assert_eq!(error, BindError::NoDriver { driver: Name::new(driver) }, "{driver:?}");
        assert!(system.plan_release(bdf(NIC), Some("ixgbe"), false).is_err());
    }
    assert_eq!(machine.written(), []);
}

#[test]
fn bridges_stay_where_they_are() {
    let (machine, system) = nic();
    machine.file("sys/bus/pci/devices/0000:01:00.0/class", "0x060400\n");
    assert_eq!(system.plan_bind(bdf(NIC), &vfio()), Err(BindError::Bridge { address: bdf(NIC) }));
}

#[test]
fn others_in_the_group_are_told() {
    let (machine, system) = nic();
    machine.nic("0000:01:00.1", Some(7), "eth4");
    let carried = bind(&system, &vfio());
    assert_eq!(carried.blockers, [(bdf("01:00.1"), "igb".to_owned())]);
}

#[test]
fn virtual_functions_come_and_go() {
    let (machine, system) = nic();
    let set = |count| {
        let plan = system.plan_functions(bdf(NIC), count)?;
        system.carry_out(&plan)
    };
    set(2).unwrap();
    // From 2 to 3 the kernel goes by way of none.
    set(3).unwrap();
    assert_eq!(system.device(bdf(NIC)).unwrap().functions.unwrap().addresses.len(), 3);
    let error = system.plan_bind(bdf(NIC), &vfio()).unwrap_err();
    assert_eq!(error, BindError::HasFunctions { address: bdf(NIC), count: 3 });
    set(0).unwrap();
    assert_eq!(system.device(bdf(NIC)).unwrap().functions.unwrap().addresses, []);
    let error = set(8).unwrap_err();
    assert_eq!(error, BindError::TooManyFunctions { address: bdf(NIC), asked: 8, total: 7 });
    fs::remove_file(machine.path("sys/bus/pci/devices/0000:01:00.0/sriov_totalvfs")).unwrap();
    assert_eq!(set(1).unwrap_err(), BindError::NoSriov { address: bdf(NIC) });
}

#[test]
fn sriov_of_vfio_is_switched_on_and_off_again() {
    let (machine, system) = nic();
    let switch = "sys/module/vfio_pci/parameters/enable_sriov";
    bind(&system, &vfio().sriov(true));
    assert_eq!(machine.read(switch), "Y");
    release(&system);
    assert_eq!(machine.read(switch), "N");
}
