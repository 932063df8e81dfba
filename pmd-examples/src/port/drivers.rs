//! Which driver of the kit is for which device.

/// A driver, and what it calls a device.
pub(crate) struct Known {
    /// Its name, as DPDK's driver for the same devices has it.
    pub(crate) name: &'static str,
    /// The device's name.
    pub(crate) model: Option<&'static str>,
    /// How its ports are started.
    pub(crate) family: Family,
}

/// The drivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// 82599, X540, X550.
    Ixgbe,
}

/// Returns the driver for the PCI device `vendor`:`device`.
pub(crate) fn of(vendor: u16, device: u16) -> Option<Known> {
    let ixgbe = pmd_ixgbe::MODELS.iter().find(|model| vendor == pmd_ixgbe::VENDOR && model.id == device);
    ixgbe.map(|model| Known { name: "net_ixgbe", model: Some(model.name), family: Family::Ixgbe })
}
