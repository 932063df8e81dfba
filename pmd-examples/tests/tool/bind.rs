//! Devices and who holds them, on a machine made of files: nothing is bound there, so these tests look and plan.

use serde_json::Value;

use super::machine::Machine;
use super::support::{refused, run, text};

/// Two NICs: one used by the kernel, one that VFIO holds.
fn machine() -> Machine {
    let machine = Machine::new();
    machine.nic("0000:01:00.0", Some(7), "eth3");
    machine.nic("0000:02:00.0", Some(8), "eth4");
    machine.file("sys/class/net/eth3/flags", "0x1003\n");
    let system = machine.system();
    let options = vfio_hal::pci::discovery::BindOptions::new("vfio-pci");
    let plan = system.plan_bind("02:00.0".parse().unwrap(), &options).unwrap();
    system.carry_out(&plan).unwrap();
    machine
}

fn at(machine: &Machine, args: &str) -> String {
    format!("{args} --sysroot {}", text(&machine.path("")))
}

#[test]
fn status_sorts_devices_by_their_holders() {
    let machine = machine();
    for args in ["status", "bind -s", "bind --status"] {
        let ran = run(&at(&machine, args));
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let user = ran.stdout.find("given to user space").unwrap();
        let kernel = ran.stdout.find("used by the kernel").unwrap();
        let [first, second] =
            ["0000:01:00.0", "0000:02:00.0"].map(|address| ran.stdout.find(address).unwrap());
        assert!(user < second && second < kernel && kernel < first, "{}", ran.stdout);
        for words in ["if=eth3 drv=igb", "*Active* (eth3 is up)", "drv=vfio-pci", "group=8", "before=igb"] {
            assert!(ran.stdout.contains(words), "no {words} in {}", ran.stdout);
        }
    }
    let ran = run(&at(&machine, "status eth3"));
    assert!(ran.stdout.contains("0000:01:00.0") && !ran.stdout.contains("0000:02:00.0"), "{}", ran.stdout);
}

#[test]
fn info_lists_devices_for_people_and_programs() {
    let machine = machine();
    let ran = run(&at(&machine, "info"));
    for words in
        ["[8086:10c9]", "IOMMU group 7", "PCIe link   2.5 GT/s x1 (of 5.0 GT/s x4)", "VFs         0 of 7"]
    {
        assert!(ran.stdout.contains(words), "no {words} in {}", ran.stdout);
    }
    let devices: Value = serde_json::from_str(&run(&at(&machine, "info --json")).stdout).unwrap();
    let [first, second] = [&devices[0], &devices[1]];
    assert_eq!((first["address"].as_str(), first["iommu_group"].as_u64()), (Some("0000:01:00.0"), Some(7)));
    assert_eq!((first["driver"].as_str(), first["in_use"].as_str()), (Some("igb"), Some("eth3 is up")));
    assert_eq!(first["interfaces"][0], "eth3");
    assert_eq!(
        (second["driver"].as_str(), second["previous_driver"].as_str()),
        (Some("vfio-pci"), Some("igb"))
    );
    assert_eq!(second["files"].as_array().unwrap().len(), 2);
}

#[test]
fn a_dry_run_says_the_steps_and_takes_none() {
    let machine = machine();
    machine.written();
    for (args, words) in [
        ("bind --force --dry-run 01:00.0", &["vfio-pci", "driver/unbind", "drivers_probe"][..]),
        ("bind --force --dry-run eth3", &["vfio-pci"]),
        ("bind --force --dry-run -b uio_pci_generic 01:00.0", &["\"uio_pci_generic\" to"]),
        ("bind --force --dry-run -u 01:00.0", &["driver/unbind"]),
        ("bind --force --dry-run -b none 01:00.0", &["driver/unbind"]),
        ("bind --force --dry-run -i -u 1000 -g 1001 01:00.0", &["user 1000, group 1001"]),
        ("bind --force --dry-run -i -U 0 01:00.0", &["user 0"]),
        ("bind --dry-run --vfs 2 01:00.0", &["write \"2\" to", "sriov_numvfs"]),
        ("bind --dry-run -r 02:00.0", &["check that igb has it", "forget how it was"]),
        ("bind --dry-run -r -d uio_pci_generic 02:00.0", &["check that uio_pci_generic has it"]),
        ("unbind --dry-run 02:00.0", &["check that igb has it"]),
        ("bind --dry-run 02:00.0", &["nothing to do"]),
    ] {
        let ran = run(&at(&machine, args));
        assert_eq!(ran.code, Some(0), "{args}: {}", ran.stderr);
        for word in words {
            assert!(ran.stdout.contains(word), "{args}: no {word} in {}", ran.stdout);
        }
    }
    let planned: Value =
        serde_json::from_str(&run(&at(&machine, "unbind --dry-run --json 02:00.0")).stdout).unwrap();
    assert!(planned[0]["steps"].as_array().unwrap().len() > 3);
    assert_eq!(machine.driver("0000:02:00.0").as_deref(), Some("vfio-pci"));
}

#[test]
fn what_cannot_be_bound_is_said_with_the_way_out() {
    let machine = machine();
    machine.nic("0000:03:00.0", None, "eth5");
    let no = |code, args: &str, words: &[&str]| refused(code, &at(&machine, args), words);
    no(1, "bind --dry-run 01:00.0", &["eth3 is up", "--force"]);
    no(1, "bind --dry-run eth3 02:00.0", &["eth3 is up"]);
    no(1, "bind --dry-run 03:00.0", &["IOMMU", "--noiommu-mode"]);
    no(2, "bind --dry-run 09:00.0", &["0000:09:00.0", "pmd status"]);
    no(2, "bind --dry-run eth9", &["eth9", "0000:01:00.0"]);
    no(2, "bind --dry-run -b nothing-such 02:00.0", &["nothing-such", "modprobe"]);
    no(2, "bind --dry-run --vfs 8 01:00.0", &["0 to 7", "8"]);
    no(2, "bind --dry-run -i -u no-such-user 02:00.0", &["no user no-such-user"]);
    no(2, "bind --dry-run -b none -g 0 02:00.0", &["--group", "-i"]);
    no(2, "bind --dry-run -b vfio-pci -u 02:00.0", &["--unbind"]);
    no(2, "bind --dry-run -d igb 02:00.0", &["--release"]);
    no(2, "bind", &["name the devices"]);
    no(2, "bind 02:00.0", &["--sysroot", "--dry-run"]);
    no(2, "unbind 02:00.0", &["--sysroot", "--dry-run"]);
    refused(1, "status --sysroot /nonexistent", &["/sys/bus/pci/devices"]);
}
