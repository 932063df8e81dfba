//! Numbers: PCI ids of cards, feature ids, how a list is found.

/// Intel's PCI vendor id.
pub const VENDOR_INTEL: u16 = 0x8086;

/// The PCI device ids that Linux's `dfl-pci` takes, and what they are.
pub const DEVICES: &[(u16, &str)] = &[
    (0x09c4, "Arria 10 GX PAC"),
    (0x09c5, "Arria 10 GX PAC, virtual function"),
    (0x0b30, "PAC N3000"),
    (0x0b31, "PAC N3000, virtual function"),
    (0x0b2b, "PAC D5005"),
    (0x0b2c, "PAC D5005, virtual function"),
    (0xbcce, "FPGA card with a feature list"),
    (0xbccf, "FPGA card with a feature list, virtual function"),
];

/// The id of the vendor-specific extended capability that says where the feature lists are (Linux, `dfl-pci.c`).
pub const VSEC_DFL: u16 = 0x43;

/// DFH.type: an accelerator.
pub const TYPE_AFU: u8 = 1;
/// DFH.type: a private feature, of the FIU or AFU before it.
pub const TYPE_PRIVATE: u8 = 3;
/// DFH.type: an FPGA interface unit: FME or port.
pub const TYPE_FIU: u8 = 4;
/// DFH.type: an interface (OFS).
pub const TYPE_INTERFACE: u8 = 5;

/// Id of the FIU that is the management engine.
pub const FIU_FME: u16 = 0;
/// Id of the FIU that is a port.
pub const FIU_PORT: u16 = 1;

/// FME private feature: temperature.
pub const FME_THERMAL: u16 = 0x1;
/// FME private feature: power.
pub const FME_POWER: u16 = 0x2;
/// FME private feature: performance counters of an integrated FPGA.
pub const FME_PERF_INTEGRATED: u16 = 0x3;
/// FME private feature: errors.
pub const FME_ERROR: u16 = 0x4;
/// FME private feature: partial reconfiguration.
pub const FME_PR: u16 = 0x5;
/// FME private feature: network interface (HSSI).
pub const FME_HSSI: u16 = 0x6;
/// FME private feature: performance counters of a discrete FPGA.
pub const FME_PERF_DISCRETE: u16 = 0x7;

/// Port private feature: errors.
pub const PORT_ERROR: u16 = 0x10;
/// Port private feature: user messages.
pub const PORT_UMSG: u16 = 0x11;
/// Port private feature: user interrupts.
pub const PORT_UINT: u16 = 0x12;
/// Port private feature: signal tap.
pub const PORT_STP: u16 = 0x13;
/// Port private feature: user clock, where the port header has none (OPAE, `USRCLK_FEATURE_ID`).
pub const PORT_USERCLK: u16 = 0x14;

/// DFH v1 parameter: MSI-X vectors.
pub const PARAM_MSIX: u16 = 1;
/// DFH v1 parameter: GUIDs of child accelerators.
pub const PARAM_CHILD_AFUS: u16 = 2;

/// Returns what a private feature is called; ids are unique across FME and port.
pub fn feature_name(id: u16) -> Option<&'static str> {
    Some(match id {
        FME_THERMAL => "thermal",
        FME_POWER => "power",
        FME_PERF_INTEGRATED | FME_PERF_DISCRETE => "performance",
        FME_ERROR => "FME errors",
        FME_PR => "partial reconfiguration",
        FME_HSSI => "HSSI",
        PORT_ERROR => "port errors",
        PORT_UMSG => "user messages",
        PORT_UINT => "user interrupts",
        PORT_STP => "signal tap",
        PORT_USERCLK => "user clock",
        _ => return None,
    })
}
