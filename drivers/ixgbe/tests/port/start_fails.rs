//! Steps that fail midway: the state before comes back, no buffer is lost, and it works once the cause is gone.

use std::time::Duration;

use pmd_ixgbe::regs::{CTRL, EEC, RDRXCTL, RXDCTL, SECRXSTAT, STATUS, TXDCTL};
use pmd_ixgbe::{Config, Probed, StopFailed};
use pmd_ixgbe_model::{Module, Part};
use vfio_hal::dma::DmaError;
use vfio_hal::pmd::PortError;
use vfio_hal::regs::Register;
use vfio_hal::wrap::Faults;
use vfio_hal::{Clock, DeviceError};

use crate::frames::{Frame, number_of};
use crate::rig::{Rig, model_config, queues, small};

fn timeout(error: PortError) -> &'static str {
    let PortError::Device(DeviceError::Timeout { what, .. }) = error else { panic!("{error}") };
    what
}

fn offset<R: Register>(index: usize) -> u64 {
    R::INFO.offset(index).unwrap()
}

/// A packet each way.
fn works(rig: &mut Rig, started: &mut pmd_ixgbe::Started) {
    rig.inject(&Frame::numbered(64, 1));
    let packets = rig.received(&mut started.rx[0]);
    assert_eq!(packets.iter().map(|packet| number_of(packet.data())).collect::<Vec<_>>(), [1]);
    rig.send(&mut started.tx[0], packets);
    assert_eq!(rig.sent().len(), 1);
}

#[test]
fn a_start_that_fails_gives_the_port_and_its_buffers_back() {
    let mut rig = Rig::new();
    let mut configured = rig.configure(queues(3, 3));
    let enable = RXDCTL::default().with_enable(true).to_raw();
    let faults = [
        (offset::<RXDCTL>(0), enable, 0),
        (offset::<RXDCTL>(2), enable, 0),
        (offset::<TXDCTL>(0), enable, 0),
        (offset::<TXDCTL>(1), enable, 0),
        (SECRXSTAT::OFFSET, SECRXSTAT::default().with_secrx_rdy(true).to_raw(), 0),
        (EEC::OFFSET, EEC::default().with_auto_rd(true).to_raw(), 0),
        (RDRXCTL::OFFSET, RDRXCTL::default().with_dmaidone(true).to_raw(), 0),
        (CTRL::OFFSET, CTRL::default().with_rst(true).to_raw(), u64::MAX),
    ];
    for (offset, mask, value) in faults {
        rig.faults.set(Faults::new().stuck(0, offset, mask, value & mask));
        let before = rig.clock.now();
        let failed = configured.start().unwrap_err();
        let what = timeout(failed.error);
        assert!(rig.clock.now() - before < Duration::from_secs(5), "{what}");
        rig.faults.set(Faults::new());
        let mut started = rig.up(failed.back);
        works(&mut rig, &mut started);
        configured = rig.stop(started);
    }
}

#[test]
fn buffers_under_a_device_that_neither_starts_nor_stops_are_given_up() {
    let rig = Rig::new();
    let configured = rig.configure(queues(2, 2));
    // The second queue does not start, then the bus is never let go of, and no reset helps.
    let busy = STATUS::default().with_pcie_master_enable(true).to_raw();
    let enable = RXDCTL::default().with_enable(true).to_raw();
    let faults = Faults::new().stuck(0, offset::<RXDCTL>(1), enable, 0);
    // The reset before is to go well: the status shows its change only after some reads.
    rig.faults.set(
        faults.stuck(0, STATUS::OFFSET, busy, busy).fail_reset(DeviceError::Unsupported { what: "reset" }),
    );
    let failed = configured.start().unwrap_err();
    assert!(matches!(failed.error, PortError::Device(DeviceError::Unsupported { .. })), "{}", failed.error);
    // Nothing was given to the device yet, so nothing is lost.
    rig.assert_home();
    rig.faults.set(Faults::new());
    let mut started = rig.up(failed.back);
    rig.received(&mut started.rx[0]);
    // A stop without a proof.
    rig.faults.set(
        Faults::new()
            .stuck(0, STATUS::OFFSET, busy, busy)
            .stuck(0, offset::<RXDCTL>(1), enable, enable)
            .fail_reset(DeviceError::Unsupported { what: "reset" }),
    );
    let failed = started.port.stop(started.rx, started.tx).unwrap_err();
    assert!(matches!(failed.error, PortError::Device(DeviceError::Unsupported { .. })), "{}", failed.error);
    let StopFailed::Stopped(configured) = failed.back else { panic!("it is not running") };
    // The first queue said that it stopped, the second did not.
    assert_eq!(rig.pool.leaked(), 64);
    assert_eq!(rig.pool.available(), rig.pool.capacity() - 64);
    rig.faults.set(Faults::new());
    let started = rig.up(configured);
    started.port.stop(started.rx, started.tx).unwrap();
    assert_eq!(rig.pool.available(), rig.pool.capacity() - 64);
}

#[test]
fn memory_that_cannot_be_mapped_is_an_error_and_no_loss() {
    let mut rig = Rig::new();
    let configured = rig.configure(small());
    rig.faults.set(Faults::new().fail_map(0, DmaError::EntryLimit { limit: 1 }));
    let failed = configured.start().unwrap_err();
    assert!(matches!(failed.error, PortError::Dma(_) | PortError::Ring(_)), "{}", failed.error);
    rig.assert_home();
    rig.faults.set(Faults::new());
    let mut started = rig.up(failed.back);
    works(&mut rig, &mut started);
    rig.stop(started);
}

#[test]
fn a_pool_that_others_have_emptied_is_an_error_and_no_loss() {
    let mut rig = Rig::new();
    let configured = rig.configure(small());
    let hoard: Vec<_> = core::iter::from_fn(|| rig.pool.alloc()).skip(20).collect();
    let failed = configured.start().unwrap_err();
    assert!(matches!(failed.error, PortError::Ring(_)), "{}", failed.error);
    drop(hoard);
    rig.assert_home();
    let mut started = rig.up(failed.back);
    works(&mut rig, &mut started);
    rig.stop(started);
}

#[test]
fn a_bad_eeprom_is_not_driven() {
    let rig = Rig::new();
    // EERD: the data is 16 bits from bit 16 on.
    rig.faults.set(Faults::new().stuck(0, pmd_ixgbe::regs::EERD::OFFSET, 1 << 16, 1 << 16));
    let error = Probed::new(rig.device.clone(), rig.clock.clone()).unwrap_err();
    assert!(matches!(error, PortError::EepromChecksum { .. }), "{error}");
    rig.faults.set(Faults::new().fail_config(DeviceError::System { what: "read", errno: 5 }));
    let error = Probed::new(rig.device.clone(), rig.clock.clone()).unwrap_err();
    assert!(matches!(error, PortError::Device(_) | PortError::Config(_)), "{error}");
    rig.faults.set(Faults::new());
    rig.stop(rig.start(small()));
}

#[test]
fn another_device_is_refused_by_its_ids() {
    let device = std::sync::Arc::new(vfio_hal::testing::RamDevice::new(0x2_0000));
    let error = Probed::new(device, std::sync::Arc::new(vfio_hal::testing::VirtualClock::new())).unwrap_err();
    assert!(matches!(error, PortError::Device(DeviceError::Unsupported { .. }) | PortError::Config(_)));
}

#[test]
fn an_empty_cage_is_a_link_that_is_down() {
    let mut config = model_config();
    config.module = Module::Absent;
    let rig = Rig::with(config, 2048);
    let mut started = rig.configure(small()).start().unwrap();
    let before = rig.clock.now();
    assert!(!started.port.wait_for_link(Duration::from_secs(1)).unwrap().up);
    assert!(rig.clock.now() - before < Duration::from_secs(3));
    // Nothing is sent, nothing is lost.
    rig.send(&mut started.tx[0], (0..10).map(|number| rig.buf(&Frame::numbered(64, number))));
    rig.stop(started);
}

#[test]
fn a_backplane_needs_no_module() {
    let mut config = model_config();
    config.part = Part::BackplaneKx4;
    let mut rig = Rig::with(config, 2048);
    let mut started = rig.start(Config { promiscuous: true, ..small() });
    works(&mut rig, &mut started);
    rig.stop(started);
}
