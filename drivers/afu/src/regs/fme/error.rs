//! Errors of the management engine (feature 4; Linux, `dfl-fme-error.c`; bits as OPAE's `fpgainfo errors` names them).
//!
//! A mask bit that is set keeps the error from being latched and from interrupting. Errors clear by writing back what was
//! read.

vfio_hal::registers! {
    /// The error block.
    pub block FmeErrorBlock[0x78];

    /// The feature's header.
    pub DFH @ 0x00 RO<u64> { id: 11:0, revision: 15:12, next: 39:16, eol: 40, version: 59:52, kind: 63:60 }
    /// Mask of the fabric's errors.
    pub FME_ERROR_MASK @ 0x08 RW<u64>;
    /// The fabric's errors, of revision 0.
    pub FME_ERROR @ 0x10 W1C<u64> {
        fabric: 0, fabric_fifo: 1, kti_cdc_0: 2, kti_cdc_1: 3, iommu_parity: 4, pf_vf_mismatch: 5,
        /// Always masked in revision 0.
        mbp: 6,
    }
    /// Mask of PCIe 0's errors.
    pub PCIE0_ERROR_MASK @ 0x18 RW<u64>;
    /// PCIe 0's errors.
    pub PCIE0_ERROR @ 0x20 W1C<u64> {
        tlp_format: 0, mwr_address: 1, mwr_length: 2, mrd_address: 3, mrd_length: 4, cpl_tag: 5, cpl_status: 6,
        cpl_timeout: 7, cci_parity: 8, poisoned: 9, early_sop: 10, wrong_eop: 11, rx_fifo: 12,
        vf_number: 62, function_type: 63,
    }
    /// Mask of PCIe 1's errors.
    pub PCIE1_ERROR_MASK @ 0x28 RW<u64>;
    /// PCIe 1's errors.
    pub PCIE1_ERROR @ 0x30 W1C<u64> {
        tlp_format: 0, mwr_address: 1, mwr_length: 2, mrd_address: 3, mrd_length: 4, cpl_tag: 5, cpl_status: 6,
        cpl_timeout: 7, cci_parity: 8, poisoned: 9,
    }
    /// The error that was first.
    pub FME_FIRST_ERROR @ 0x38 RO<u64> {
        error: 59:0,
        /// 0 FME, 1 PCIe 0, 2 PCIe 1.
        source: 61:60,
    }
    /// The one after it.
    pub FME_NEXT_ERROR @ 0x40 RO<u64> { error: 59:0, source: 61:60 }
    /// Mask of what is not fatal.
    pub RAS_NONFATAL_MASK @ 0x48 RW<u64>;
    /// What is not fatal.
    pub RAS_NONFATAL @ 0x50 RO<u64> {
        temp_ap1: 0, temp_ap2: 1, pcie: 2, port_fatal: 3, prochot: 4, pf_vf_mismatch: 5, injected: 6,
        temp_ap6: 9, power_ap1: 10, power_ap2: 11, mbp: 12,
    }
    /// Mask of what is fatal or catastrophic.
    pub RAS_CATFATAL_MASK @ 0x58 RW<u64>;
    /// What is fatal or catastrophic.
    pub RAS_CATFATAL @ 0x60 RO<u64> {
        kti_link: 0, tag_cache: 1, cci: 2, kti_protocol: 3, dram: 4, iommu: 5, fabric: 6, poison: 7,
        injected_fatal: 8, crc: 9, thermal: 10, injected_catastrophic: 11,
    }
    /// Injects errors as long as a bit is set.
    pub RAS_ERROR_INJECT @ 0x68 RW<u64> { catastrophic: 0, fatal: 1, nonfatal: 2 }
    /// The interrupt of the error block.
    pub FME_ERROR_CAP @ 0x70 RO<u64> { supported: 0, vector: 12:1 }
}
