//! The card as a whole, played by the model of the 82599: a reset, its EEPROM, its module over I2C, its link.
//!
//! The model was written from the datasheet by others than this driver, so both must have read it alike.

extern crate std;

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::sync::Arc;
use core::time::Duration;

use pmd_ixgbe_model::{Config, Model82599, Module as Cage, Part};
use pmd_links::Loopback;
use vfio_hal::Device;
use vfio_hal::backend::local::{LocalDevice, LocalOptions};
use vfio_hal::pmd::{LinkStatus, MacAddr, PortError};
use vfio_hal::testing::VirtualClock;

use crate::hw::{Hw, MODELS};
use crate::link::{self, LinkConfig, Speeds};
use crate::phy::{self, ModuleKind};
use crate::regs::Regs;
use crate::{eeprom, init};

const MAC: [u8; 6] = [0x02, 0x00, 0x00, 0x00, 0x12, 0x34];

/// Returns a model that the driver has reset.
fn card(part: Part, module: Cage) -> (Hw, Arc<LocalDevice<Model82599>>) {
    let clock = Arc::new(VirtualClock::new());
    let config = Config { part, module, ..Config::new(MAC) };
    let model = Model82599::new(config, Box::new(Loopback::new(16)));
    let device = LocalDevice::new("model", model, LocalOptions::default().clock(clock.clone())).unwrap();
    let regs = Regs::new(device.bar(0).unwrap()).unwrap();
    let model = MODELS.iter().find(|model| model.id == part.device_id()).unwrap();
    let mut hw = Hw { regs, device: device.clone(), clock, model };
    init::reset(&mut hw).unwrap();
    (hw, device)
}

fn up(hw: &Hw) -> LinkStatus {
    link::wait(hw, Duration::from_millis(100)).unwrap()
}

#[test]
fn its_eeprom_is_right_and_says_who_it_is() {
    for part in [Part::Sfp, Part::BackplaneKx4] {
        let (hw, _device) = card(part, Cage::Sr);
        assert_eq!(eeprom::verify_checksum(&hw), Ok(()));
        assert_eq!(eeprom::permanent_mac(&hw), Ok(MacAddr(MAC)));
        assert_eq!(eeprom::part_number(&hw).unwrap().as_deref(), Some("G11111-001"));
        let version = eeprom::version(&hw).unwrap();
        assert_eq!((version.to_string().as_str(), version.firmware), ("0x80000001", Some(7)));
        assert_eq!(eeprom::dump(&hw).unwrap().len(), 8192);
    }
}

#[test]
fn its_modules_are_told_apart() {
    for (cage, kind, speeds) in [
        (Cage::Absent, ModuleKind::Absent, Speeds::NONE),
        (Cage::Sr, ModuleKind::Sr, Speeds::GB10 | Speeds::GB1),
        (Cage::ForeignSr, ModuleKind::Sr, Speeds::GB10 | Speeds::GB1),
        (Cage::Lr, ModuleKind::Lr, Speeds::GB10 | Speeds::GB1),
        (Cage::DirectAttach, ModuleKind::PassiveCable, Speeds::GB10),
    ] {
        let (mut hw, _device) = card(Part::Sfp, cage);
        let module = phy::identify(&mut hw).unwrap();
        assert_eq!((module.kind(), module.speeds()), (kind, speeds), "{cage:?}");
    }
    let (mut hw, _device) = card(Part::Sfp, Cage::Sr);
    let module = phy::identify(&mut hw).unwrap();
    let it = module.identification().unwrap();
    assert_eq!(it.vendor().to_string(), "Intel Corp");
    assert_eq!(it.serial().to_string(), "MODEL0001");
}

#[test]
fn its_modules_memory_is_one_page_or_two() {
    for (cage, len) in [(Cage::Sr, 512), (Cage::DirectAttach, 256)] {
        let (mut hw, _device) = card(Part::Sfp, cage);
        assert_eq!(phy::module_eeprom(&mut hw).unwrap().len(), len);
    }
    let (mut hw, _device) = card(Part::Sfp, Cage::Absent);
    assert!(matches!(phy::module_eeprom(&mut hw), Err(PortError::Module { .. })));
}

#[test]
fn its_link_comes_up_with_every_module_it_can_have() {
    for cage in [Cage::Sr, Cage::ForeignSr, Cage::Lr, Cage::DirectAttach] {
        let (mut hw, device) = card(Part::Sfp, cage);
        link::setup(&mut hw, &LinkConfig::default()).unwrap();
        let state = up(&hw);
        assert!(state.up && state.speed_mbps == 10_000 && !state.autoneg, "{cage:?}: {state}");
        assert!(device.with_model(|model| model.inspect().link().up).unwrap());
        assert_eq!(device.refused_accesses(), 0);
    }
    let (mut hw, _device) = card(Part::Sfp, Cage::Absent);
    link::setup(&mut hw, &LinkConfig::default()).unwrap();
    assert!(!up(&hw).up);
}

#[test]
fn its_backplane_negotiates_and_is_forced() {
    for (config, autoneg, speed_mbps) in [
        (LinkConfig::default(), true, 10_000),
        (LinkConfig { speeds: Speeds::GB1, autoneg: true }, true, 1_000),
        (LinkConfig { speeds: Speeds::GB10, autoneg: false }, false, 10_000),
        (LinkConfig { speeds: Speeds::GB1, autoneg: false }, false, 1_000),
    ] {
        let (mut hw, _device) = card(Part::BackplaneKx4, Cage::Absent);
        link::setup(&mut hw, &config).unwrap();
        let expected = LinkStatus { up: true, speed_mbps, full_duplex: true, autoneg };
        assert_eq!(up(&hw), expected, "{config:?}");
    }
}

#[test]
fn its_laser_takes_the_link_along() {
    let (mut hw, _device) = card(Part::Sfp, Cage::Sr);
    link::setup(&mut hw, &LinkConfig::default()).unwrap();
    assert!(up(&hw).up);
    link::disable_laser(&mut hw).unwrap();
    assert!(!link::status(&hw).unwrap().up);
    link::enable_laser(&mut hw).unwrap();
    assert!(up(&hw).up);
}

#[test]
fn one_that_is_pulled_out_is_lost() {
    let (mut hw, device) = card(Part::Sfp, Cage::Sr);
    device.kill();
    let lost = PortError::Device(vfio_hal::DeviceError::Lost);
    assert_eq!(eeprom::verify_checksum(&hw), Err(lost));
    assert_eq!(phy::identify(&mut hw), Err(lost));
    assert_eq!(link::setup(&mut hw, &LinkConfig::default()), Err(lost));
    assert_eq!(link::status(&hw), Err(lost));
}
