//! Resets.

use vfio_hal::backend::vfio::{Api, Owner};
use vfio_hal::bar::Width;
use vfio_hal::{Bdf, Device, DeviceError};

use crate::kit;

/// A register of the 82576 that a reset clears: receive control (datasheet 8.10.1).
const RCTL: u64 = 0x100;
const UPE: u64 = 1 << 3;

#[test]
#[ignore = "runs in a guest: scripts/guest/guest run vfio"]
fn reset_of_a_function() {
    let igb = kit::open("KIT_IGB");
    let bar = igb.bar(0).expect("registers");
    bar.write(RCTL, Width::W32, UPE).expect("a register");
    assert_eq!(bar.read(RCTL, Width::W32), Ok(UPE));
    igb.reset().expect("FLR");
    assert_eq!(bar.read(RCTL, Width::W32), Ok(0));
    bar.write(RCTL, Width::W32, UPE).expect("a register");
    assert_eq!(bar.read(RCTL, Width::W32), Ok(UPE), "it works again");
    assert!(!igb.lost().is_lost());

    let edu = kit::open("KIT_EDU");
    assert!(matches!(edu.reset(), Err(DeviceError::Unsupported { .. })), "{:?}", edu.reset());
}

#[test]
#[ignore = "runs in a guest: scripts/guest/guest run vfio"]
fn reset_of_a_bus() {
    let igb = kit::open("KIT_IGB");
    let here: Bdf = igb.name().parse().expect("an address");
    let dependents = igb.hot_reset_info().expect("behind a root port");
    println!("{dependents:?}");
    assert_eq!(dependents.iter().map(|dependent| dependent.bdf).collect::<Vec<_>>(), [here]);
    let by_device = matches!(dependents[0].owner, Owner::Device(_));
    assert_eq!(by_device, igb.api() == Api::Iommufd);
    let bar = igb.bar(0).expect("registers");
    bar.write(RCTL, Width::W32, UPE).expect("a register");
    igb.hot_reset(&[]).expect("the bus is ours");
    assert_eq!(bar.read(RCTL, Width::W32), Ok(0));

    // The root bus has nothing above that could reset it.
    let edu = kit::open("KIT_EDU");
    assert!(matches!(edu.hot_reset_info(), Err(DeviceError::Unsupported { .. })));
    assert!(matches!(edu.hot_reset(&[]), Err(DeviceError::Unsupported { .. })));
}

#[test]
#[ignore = "runs in a guest: scripts/guest/guest run vfio"]
fn reset_of_a_shared_bus() {
    let one = kit::open("KIT_EDU3");
    let bus: Vec<Bdf> =
        one.hot_reset_info().expect("behind a bridge").iter().map(|dependent| dependent.bdf).collect();
    let two: Bdf = kit::address("KIT_EDU4").parse().expect("an address");
    assert!(bus.contains(&two), "{bus:?}");
    one.hot_reset(&[]).expect("all of the bus is in one group, which is ours");
}
