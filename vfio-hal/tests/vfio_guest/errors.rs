//! What a user does wrong, and what is said. The checks arrange it.

use vfio_hal::backend::vfio::{Options, VfioDevice};

use crate::kit;

/// Opens `KIT_OPEN` and expects the error whose text `KIT_EXPECT` is a part of.
#[test]
#[ignore = "runs in a guest: scripts/guest/guest run vfio"]
fn expected_error() {
    let expected = kit::address("KIT_EXPECT");
    let result = VfioDevice::open(&kit::address("KIT_OPEN"), &kit::options());
    let error = result.map(drop).expect_err("it was opened");
    println!("{error}");
    assert!(error.to_string().contains(&expected), "'{error}' is not '{expected}'");
}

/// Opens `KIT_OPEN` and says by which interface, to be compared with `KIT_EXPECT`.
#[test]
#[ignore = "runs in a guest: scripts/guest/guest run vfio"]
fn automatic_choice() {
    let device = VfioDevice::open(&kit::address("KIT_OPEN"), &Options::default()).expect("open");
    assert_eq!(device.api().to_string(), kit::address("KIT_EXPECT"));
}

/// Keeps `KIT_OPEN` open until a file appears.
#[test]
#[ignore = "runs in a guest: scripts/guest/guest run vfio"]
fn hold() {
    let device = VfioDevice::open(&kit::address("KIT_OPEN"), &kit::options()).expect("open");
    std::fs::write(kit::address("KIT_HELD"), "").expect("a file");
    let release = std::path::PathBuf::from(kit::address("KIT_RELEASE"));
    kit::wait("the end of holding", || release.exists());
    drop(device);
}
