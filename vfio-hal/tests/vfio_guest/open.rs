//! Opening devices, and what they say of themselves.

use vfio_hal::backend::vfio::{DeviceKind, VfioDevice};
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
    drop(edu);
    // Without the domain, and by path.
    let text = format!("{:02x}:{:02x}.{}", bdf.bus(), bdf.device(), bdf.function());
    for address in [text, format!("/sys/bus/pci/devices/{bdf}")] {
        let device = VfioDevice::open(&address, &kit::options()).expect("the same device");
        assert_eq!(device.name(), bdf.to_string());
        assert_eq!(device.info().kind, DeviceKind::Pci);
    }
}
