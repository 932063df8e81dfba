//! Opening devices, and what they say of themselves.

use std::fs;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

use vfio_hal::backend::vfio::{Api, DeviceKind, Options, Token, VfioDevice, VfioError};
use vfio_hal::pci::Config;
use vfio_hal::{Bdf, Device};

use crate::edu::Edu;
use crate::kit;

#[test]
#[ignore = "runs in a guest: scripts/guest/guest run vfio"]
fn open_by_address() {
    let edu = Edu::open("KIT_EDU");
    assert_eq!(edu.device.api(), kit::api());
    let bdf: Bdf = edu.device.name().parse().expect("a PCI address");
    assert_eq!(edu.read(0x00), 0x0100_00ed, "the device's version");
    assert_eq!(edu.factorial(7), 5040);
    drop(edu);
    // Without the domain, and by path.
    let text = format!("{:02x}:{:02x}.{}", bdf.bus(), bdf.device(), bdf.function());
    for address in [text, format!("/sys/bus/pci/devices/{bdf}")] {
        let device = VfioDevice::open(&address, &kit::options()).expect("the same device");
        assert_eq!(device.name(), bdf.to_string());
    }
    // The choice that nobody made: an iommufd where there is one, and never without an IOMMU.
    let chosen = VfioDevice::open(&bdf.to_string(), &Options::default()).map(|device| device.api());
    match kit::api() {
        Api::NoIommu => assert!(matches!(chosen, Err(VfioError::NoIommuNotAsked { .. })), "{chosen:?}"),
        _ => assert_eq!(chosen.expect("open"), Api::Iommufd),
    }
}

#[test]
#[ignore = "runs in a guest: scripts/guest/guest run vfio"]
fn open_with_vf_token() {
    let (igb, right) = (kit::address("KIT_IGB"), Token::from_bytes(*b"sixteen bytes ok"));
    let token = |token| Options { token, ..kit::options() };
    let sriov = format!("/sys/bus/pci/devices/{igb}/sriov_numvfs");
    let pf = VfioDevice::open(&igb, &token(Some(right))).expect("the PF sets the token");
    fs::write(&sriov, "1").expect("one VF");
    let vf = fs::read_link(format!("/sys/bus/pci/devices/{igb}/virtfn0")).expect("a VF");
    let vf = vf.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();

    let open = |wanted| VfioDevice::open(&vf, &token(wanted)).map(drop);
    assert!(matches!(open(None), Err(VfioError::Token { .. })), "{:?}", open(None));
    let wrong = Some(Token::from_bytes([1; 16]));
    assert!(matches!(open(wrong), Err(VfioError::Token { .. })), "{:?}", open(wrong));
    assert_eq!(open(Some(right)), Ok(()));
    // The owner of the PF may change its mind.
    pf.set_vf_token(Token::from_bytes([7; 16])).expect("a new token");
    assert!(matches!(open(Some(right)), Err(VfioError::Token { .. })));
    assert_eq!(open(Some(Token::from_bytes([7; 16]))), Ok(()));
    fs::write(&sriov, "0").expect("no VF");
    drop(pf);

    // An ordinary device takes none, and says so.
    let edu = VfioDevice::open(&kit::address("KIT_EDU"), &token(Some(right))).map(drop);
    assert!(matches!(edu, Err(VfioError::TokenNotTaken { .. })), "{edu:?}");
}

#[test]
#[ignore = "runs in a guest: scripts/guest/guest run vfio"]
fn class_ids_name_and_type() {
    for (name, ids, class) in [("KIT_EDU", "1234:11e8", "00ff00"), ("KIT_IGB", "8086:10c9", "020000")] {
        let device = kit::open(name);
        assert_eq!(device.name(), kit::address(name));
        assert_eq!(device.info().kind, DeviceKind::Pci);
        let config = Config::new(Arc::clone(&device) as Arc<dyn Device>);
        assert_eq!(config.ids().expect("ids").to_string(), ids);
        assert_eq!(config.class().expect("class").to_string(), class);
        let command = config.command().expect("command");
        assert!(command.memory() && command.bus_master(), "{command:?}");
    }
}

#[test]
#[ignore = "runs in a guest: scripts/guest/guest run vfio"]
fn kept_files() {
    let device = kit::open("KIT_EDU");
    let fds = device.fds();
    assert_eq!(fds.len(), if device.api() == Api::Iommufd { 2 } else { 3 });
    assert_eq!(fds[0].as_raw_fd(), device.as_fd().as_raw_fd());
    let names: Vec<String> = fds
        .iter()
        .map(|fd| fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).expect("a link"))
        .map(|path| path.to_string_lossy().into_owned())
        .collect();
    println!("{names:?}");
    let want = if device.api() == Api::Iommufd { "/dev/iommu" } else { "/dev/vfio/vfio" };
    assert!(names.iter().any(|name| name == want), "{names:?}");
    // They end with the device.
    let numbers: Vec<i32> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    drop(device);
    for number in numbers {
        assert!(fs::read_link(format!("/proc/self/fd/{number}")).is_err(), "{number} is still open");
    }
}
