//! Reset and start-up, in the datasheet's order (82599 datasheet 4.6.3).

use vfio_hal::dma::Quiesced;
use vfio_hal::pci;
use vfio_hal::pmd::PortError;
use vfio_hal::{DeviceError, poll};

use crate::hw::{Chip, Hw};
use crate::regs::{
    CTRL, CTRL_EXT, DMATXCTL, DTXMXSZRQ, EEC, EICR, EIMC, EIMC_EX, HLREG0, MTQC, RDRXCTL, RTTDCS, RXCSUM,
    RXCTRL, RXPBSIZE, SECRXCTRL, SECRXSTAT, STATUS, TXPBSIZE, TXPBTHRESH,
};

/// Bits of EIMC that exist.
const ALL_CAUSES: u32 = 0x7fff_ffff;

/// Stops all DMA by the device and resets it, link included (4.6.3.2). The proof covers everything it was given.
pub(crate) fn reset(hw: &mut Hw) -> Result<Quiesced, DeviceError> {
    mask_interrupts(hw);
    let proof = disable_master(hw)?;
    hw.regs.write(CTRL::default().with_lrst(true).with_rst(true));
    // No register may be touched for 1 ms, and most are not themselves again for 10 ms.
    hw.wait_millis(1);
    hw.poll("device reset (CTRL.RST)", 10).register(hw.regs.single(), |ctrl: CTRL| !ctrl.rst())?;
    hw.wait_millis(10);
    mask_interrupts(hw);
    hw.poll("EEPROM auto-read (EEC.ARD)", 100).register(hw.regs.single(), |eec: EEC| eec.auto_rd())?;
    hw.poll("DMA initialisation (RDRXCTL.DMAIDONE)", 100)
        .register(hw.regs.single(), |rdrxctl: RDRXCTL| rdrxctl.dmaidone())?;
    Ok(proof)
}

/// Lets the device reach memory and answer register accesses: a reset of the whole function takes that away.
pub(crate) fn allow_access(hw: &Hw) -> Result<(), PortError> {
    let mut config = pci::Config::new(hw.device.clone());
    Ok(config.modify_command(|command| command.with_memory(true).with_bus_master(true))?)
}

/// Masks every interrupt and drops what is pending.
pub(crate) fn mask_interrupts(hw: &mut Hw) {
    hw.regs.write(EIMC::new(ALL_CAUSES));
    for half in 0..2 {
        if let Ok(at) = hw.regs.at::<EIMC_EX>(half) {
            at.write(EIMC_EX::new(u32::MAX));
        }
    }
    let _ = hw.regs.take::<EICR>();
}

/// Stops the device's requests on PCIe (5.2.5.3.2). Where it hangs, a reset of the whole function is left.
fn disable_master(hw: &mut Hw) -> Result<Quiesced, DeviceError> {
    hw.regs.modify(|ctrl: CTRL| ctrl.with_pcie_master_disable(true));
    let limit = core::time::Duration::from_millis(80);
    match poll::quiesced(&*hw.clock, limit, hw.regs.single::<STATUS>()) {
        Err(DeviceError::Timeout { .. }) => poll::reset(&*hw.device),
        other => other,
    }
}

/// Sets up what all receive queues share, with receive off (4.6.7). CRC strip must be the same in two registers.
/// `reserved` KiB of the packet buffer are the flow director's.
pub(crate) fn receive(hw: &mut Hw, reserved: u32) -> Result<(), PortError> {
    // The rest of the receive packet buffer in KiB, for one traffic class.
    let packet_buffer = if hw.model.chip == Chip::I82599 { 512 } else { 384 } - reserved;
    hw.regs.write(RXCTRL::default());
    hw.regs.modify(|hlreg0: HLREG0| hlreg0.with_txcrcen(true).with_rxcrcstrp(true).with_txpaden(true));
    hw.regs.modify(|rdrxctl: RDRXCTL| {
        rdrxctl.with_crcstrip(true).with_rscfrstsize(0).with_rscackc(true).with_fcoe_wrfix(true)
    });
    for class in 0..8 {
        let size = if class == 0 { packet_buffer } else { 0 };
        hw.regs.at::<RXPBSIZE>(class)?.write(RXPBSIZE::default().with_size(size));
    }
    // The descriptor carries the RSS hash, not the fragment checksum.
    hw.regs.write(RXCSUM::default().with_pcsd(true));
    Ok(())
}

/// Sets up what all transmit queues share (4.6.8).
pub(crate) fn transmit(hw: &mut Hw) -> Result<(), PortError> {
    /// The whole transmit packet buffer in KiB, for one traffic class.
    const PACKET_BUFFER: u32 = 160;
    /// Room that must be free before the next packet is fetched: the longest one, 15.5 KB (8.2.3.9.16).
    const LONGEST: u32 = 16;
    hw.regs.modify(|rttdcs: RTTDCS| rttdcs.with_arbdis(true));
    for class in 0..8 {
        let size = if class == 0 { PACKET_BUFFER } else { 0 };
        hw.regs.at::<TXPBSIZE>(class)?.write(TXPBSIZE::default().with_size(size));
        let threshold = size.saturating_sub(LONGEST);
        hw.regs.at::<TXPBTHRESH>(class)?.write(TXPBTHRESH::default().with_thresh(threshold));
    }
    hw.regs.write(DTXMXSZRQ::default().with_max_bytes_num_req(0xfff));
    hw.regs.write(MTQC::default());
    hw.regs.modify(|rttdcs: RTTDCS| rttdcs.with_arbdis(false));
    hw.regs.modify(|dmatxctl: DMATXCTL| dmatxctl.with_te(true));
    Ok(())
}

/// Lets packets in, or stops them (4.6.7): the security block must be empty while that changes.
pub(crate) fn enable_receive(hw: &mut Hw, on: bool) -> Result<(), DeviceError> {
    hw.regs.modify(|secrxctrl: SECRXCTRL| secrxctrl.with_rx_dis(true));
    let ready = hw
        .poll("receive path to run empty (SECRXSTAT)", 10)
        .register(hw.regs.single(), |secrxstat: SECRXSTAT| secrxstat.secrx_rdy());
    hw.regs.write(RXCTRL::default().with_rxen(on));
    hw.regs.modify(|secrxctrl: SECRXCTRL| secrxctrl.with_rx_dis(false));
    ready?;
    if on {
        // 4.6.7: no-snoop must be off, or write-backs could pass the processor's caches by.
        hw.regs.modify(|ctrl_ext: CTRL_EXT| ctrl_ext.with_ns_dis(true).with_drv_load(true));
    }
    Ok(())
}
