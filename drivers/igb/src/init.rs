//! Reset and start-up, in the datasheet's order (82576 datasheet 4.5).

use vfio_hal::dma::Quiesced;
use vfio_hal::pci;
use vfio_hal::pmd::PortError;
use vfio_hal::{DeviceError, poll};

use crate::hw::{Chip, Hw};
use crate::regs::{CTRL, CTRL_EXT, DVMOLR, EEC, EICR, EIMC, ICR, IMC, RCTL, RXCSUM, STATUS, TCTL};

/// Stops all DMA by the device and resets it (4.3.1, 5.2.3.3). The proof covers everything it was given.
pub(crate) fn reset(hw: &mut Hw) -> Result<Quiesced, DeviceError> {
    mask_interrupts(hw);
    hw.regs.write(RCTL::default());
    hw.regs.write(TCTL::default().with_psp(true));
    let proof = disable_master(hw)?;
    hw.regs.modify(|ctrl: CTRL| ctrl.with_rst(true));
    // No register may be touched for 1 ms (4.3.1).
    hw.wait_millis(1);
    hw.poll("device reset (CTRL.RST)", 10).register(hw.regs.single(), |ctrl: CTRL| !ctrl.rst())?;
    wait_for_nvm(hw)?;
    mask_interrupts(hw);
    Ok(proof)
}

/// Waits until the device has read its NVM. Without one it never says so, and neither does QEMU's; what it should have read
/// is checked where it is used, as Linux and DPDK do.
fn wait_for_nvm(hw: &Hw) -> Result<(), DeviceError> {
    match hw.poll("NVM auto-read (EEC.AUTO_RD)", 10).register(hw.regs.single(), |eec: EEC| eec.auto_rd()) {
        Err(error @ DeviceError::Timeout { .. }) => {
            log::debug!("{}: {error}; going on", hw.device.name());
            Ok(())
        }
        other => other.map(|_| ()),
    }
}

/// Lets the device reach memory and answer register accesses: a reset of the whole function takes that away.
pub(crate) fn allow_access(hw: &Hw) -> Result<(), PortError> {
    let mut config = pci::Config::new(hw.device.clone());
    Ok(config.modify_command(|command| command.with_memory(true).with_bus_master(true))?)
}

/// Masks every interrupt and drops what is pending.
pub(crate) fn mask_interrupts(hw: &mut Hw) {
    hw.regs.write(EIMC::default().with_vectors(u32::MAX));
    hw.regs.write(IMC::new(u32::MAX));
    let _ = (hw.regs.take::<EICR>(), hw.regs.take::<ICR>());
}

/// Stops the device's requests on PCIe (5.2.3.3). Where it hangs, a reset of the whole function is left.
fn disable_master(hw: &mut Hw) -> Result<Quiesced, DeviceError> {
    hw.regs.modify(|ctrl: CTRL| ctrl.with_gio_master_disable(true));
    let limit = core::time::Duration::from_millis(80);
    match poll::quiesced(&*hw.clock, limit, hw.regs.single::<STATUS>()) {
        Err(DeviceError::Timeout { .. }) => poll::reset(&*hw.device),
        other => other,
    }
}

/// Sets up what all receive queues share, with receive off (4.5.9).
pub(crate) fn receive(hw: &mut Hw) -> Result<(), PortError> {
    hw.regs.write(RCTL::default().with_secrc(true).with_bam(true).with_dpf(true));
    if hw.model.chip == Chip::I350 {
        for queue in 0..hw.model.chip.queues() {
            hw.regs.at_mut::<DVMOLR>(queue.into())?.modify(|dvmolr| dvmolr.with_strcrc(true));
        }
    }
    // Verdicts of all checksums; and the descriptor carries the RSS hash, not the fragment checksum.
    hw.regs.write(RXCSUM::default().with_ipofl(true).with_tuofl(true).with_crcofl(true).with_pcsd(true));
    Ok(())
}

/// Sets up what all transmit queues share, and lets them send (4.5.10).
pub(crate) fn transmit(hw: &mut Hw) {
    /// Attempts after collisions, of half duplex (8.12.1: the recommended value).
    const ATTEMPTS: u32 = 15;
    let collisions = hw.regs.read::<TCTL>().bst();
    hw.regs.write(
        TCTL::default().with_en(true).with_psp(true).with_ct(ATTEMPTS).with_bst(collisions).with_rtlc(true),
    );
}

/// Lets packets in, or stops them. Comes after everything else (4.5.9).
pub(crate) fn enable_receive(hw: &mut Hw, on: bool) {
    if on {
        hw.regs.modify(|ctrl_ext: CTRL_EXT| ctrl_ext.with_drv_load(true));
    }
    hw.regs.modify(|rctl: RCTL| rctl.with_rxen(on));
}
