use core::time::Duration;

use vfio_hal::{Clock, DeviceError};

use super::{Held, Resource};
use crate::phy::peer::{Card, SFP, X540, X550};
use crate::regs::{STATUS, SW_FW_SYNC, SWSM};

fn sync(card: &Card) -> SW_FW_SYNC {
    card.file().get(0)
}

#[test]
fn smbi_that_is_never_free_is_a_timeout_and_leaves_nothing_taken() {
    for id in [SFP, X540] {
        let (hw, card) = Card::new(id);
        card.state().smbi_stuck = true;
        card.file().set(0, SWSM::default().with_smbi(true));
        let error = Held::take(&hw, Resource::MacCsr).err();
        assert_eq!(
            error,
            Some(DeviceError::Timeout {
                what: "the other drivers of the card to free SWSM.SMBI",
                millis: 100
            })
        );
        card.assert_all_given_back();
        assert!(card.clock.now() < Duration::from_millis(200), "{:?}", card.clock.now());
    }
}

#[test]
fn smbi_of_a_driver_that_died_is_taken_over() {
    let (hw, card) = Card::new(SFP);
    card.file().set(0, SWSM::default().with_smbi(true));
    let held = Held::take(&hw, Resource::MacCsr).unwrap();
    assert!(sync(&card).sw_mac_csr());
    drop(held);
    card.assert_all_given_back();
}

#[test]
fn firmware_that_never_grants_the_register_is_a_timeout_and_smbi_is_given_back() {
    for id in [SFP, X540, X550] {
        let (hw, card) = Card::new(id);
        card.state().firmware_stuck = true;
        card.file().set(0, SW_FW_SYNC::default().with_regsmp(true));
        let error = Held::take(&hw, Resource::Phy).err();
        assert!(matches!(error, Some(DeviceError::Timeout { millis: 100, .. })), "{error:?}");
        card.assert_all_given_back();
    }
}

#[test]
fn a_resource_is_waited_for_and_taken_when_it_is_free() {
    let (hw, card) = Card::new(SFP);
    let busy = SW_FW_SYNC::default().with_fw_mac_csr(true);
    card.file().set(0, busy);
    let file = card.file().clone();
    card.clock.hook(move |now| {
        if now > Duration::from_millis(300) {
            file.set(0, file.get::<SW_FW_SYNC>(0).with_fw_mac_csr(false));
        }
    });
    let held = Held::take(&hw, Resource::MacCsr).unwrap();
    let waited = card.clock.now();
    assert!(waited > Duration::from_millis(300) && waited < Duration::from_millis(310), "{waited:?}");
    assert_eq!(sync(&card), SW_FW_SYNC::default().with_sw_mac_csr(true));
    drop(held);
    card.assert_all_given_back();
}

#[test]
fn who_holds_a_resource_for_too_long_is_dead() {
    let own = SW_FW_SYNC::default().with_sw_mac_csr(true);
    for (id, holder, patience) in [
        (SFP, SW_FW_SYNC::default().with_fw_mac_csr(true), 1_000),
        (SFP, own, 1_000),
        (X550, SW_FW_SYNC::default().with_fw_mac_csr(true), 5_000),
    ] {
        let (hw, card) = Card::new(id);
        card.file().set(0, holder);
        let held = Held::take(&hw, Resource::MacCsr).unwrap();
        assert!(card.clock.now() >= Duration::from_millis(patience));
        drop(held);
        assert!(!sync(&card).sw_mac_csr());
        assert_eq!(sync(&card).fw_mac_csr(), holder.fw_mac_csr(), "firmware's own bit is not ours to clear");
        card.assert_all_given_back();
    }
}

#[test]
fn resources_of_others_are_left_alone() {
    let (hw, card) = Card::new(SFP);
    let others =
        SW_FW_SYNC::default().with_sw_phy1(true).with_fw_phy1(true).with_fw_eep(true).with_sw_mng(true);
    card.file().set(0, others);
    let held = Held::take(&hw, Resource::Phy).unwrap();
    assert_eq!(sync(&card), others.with_sw_phy0(true));
    drop(held);
    assert_eq!(sync(&card), others);
    assert_eq!(card.clock.now(), Duration::ZERO, "nothing was in the way");
}

#[test]
fn the_second_port_has_its_own_phy() {
    let (hw, card) = Card::new(SFP);
    card.file().set(0, STATUS::new(1 << 2));
    let held = Held::take(&hw, Resource::Phy).unwrap();
    assert_eq!(sync(&card), SW_FW_SYNC::default().with_sw_phy1(true));
    drop(held);
}

#[test]
fn a_shadow_ram_that_is_written_to_flash_keeps_the_nvm_busy_on_later_chips_only() {
    for (id, waits) in [(SFP, false), (X540, true)] {
        let (hw, card) = Card::new(id);
        card.file().set(0, SW_FW_SYNC::default().with_sw_flash(true));
        drop(Held::take(&hw, Resource::Nvm).unwrap());
        assert_eq!(card.clock.now() >= Duration::from_secs(1), waits);
    }
}

#[test]
fn a_device_that_goes_is_lost_wherever_it_goes() {
    for id in [SFP, X540, X550] {
        for accesses in 0..12 {
            let (hw, card) = Card::new(id);
            card.device.registers().die_after(accesses);
            match Held::take(&hw, Resource::HostInterface) {
                Ok(held) => drop(held),
                Err(error) => assert_eq!(error, DeviceError::Lost, "after {accesses}"),
            }
        }
    }
}
