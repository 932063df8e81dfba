//! What accelerators are found by.

use vfio_hal::pci::Ids;

use crate::card::Card;
use crate::dfl::{Feature, Features, Place};
use crate::guid::Uuid;

/// What is known of an accelerator without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Properties {
    /// The card's PCI ids, where it has a configuration space.
    pub ids: Option<Ids>,
    /// The accelerator's GUID; `None` while its port is stuck in reset.
    pub guid: Option<Uuid>,
    /// The interface id of the static region: what a bitstream must be made for.
    pub interface_id: Option<Uuid>,
    /// The number of its port; `None` where the accelerator has no port and is a function of its own.
    pub port: Option<u8>,
    /// Its revision.
    pub revision: u8,
    /// Bytes of its registers.
    pub mmio_size: u64,
    /// User interrupts of its port.
    pub interrupts: u32,
    /// Where its registers are.
    pub place: Place,
    /// Somebody of this process has it open.
    pub open: bool,
}

impl Properties {
    pub(crate) fn of(card: &Card, features: &Features, feature: &Feature) -> Option<Properties> {
        let slot = card.slot_of(features, feature)?;
        let place = feature.registers?;
        let rest = card.bar(place.bar).ok()?.len().saturating_sub(place.offset);
        let mmio_size = feature.size.map(u64::from).or(slot.mmio_size()).unwrap_or(rest).min(rest);
        Some(Properties {
            ids: card.ids(),
            guid: feature.guid,
            interface_id: card.fme().ok().and_then(|fme| fme.interface_id().ok()),
            port: slot.is_port().then(|| slot.number()),
            revision: feature.revision,
            mmio_size,
            interrupts: slot.user_interrupts().map_or(0, |(_, count)| count),
            place,
            open: slot.users() != 0,
        })
    }
}

/// Properties that an accelerator must have. Empty, it matches all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    guid: Option<Uuid>,
    vendor: Option<u16>,
    device: Option<u16>,
    interface_id: Option<Uuid>,
    port: Option<u8>,
    free: bool,
}

impl Filter {
    /// Returns a filter that matches all.
    pub fn new() -> Filter {
        Filter::default()
    }

    /// Asks for a GUID.
    pub fn guid(mut self, guid: Uuid) -> Filter {
        self.guid = Some(guid);
        self
    }

    /// Asks for a PCI vendor id.
    pub fn vendor(mut self, vendor: u16) -> Filter {
        self.vendor = Some(vendor);
        self
    }

    /// Asks for a PCI device id.
    pub fn device(mut self, device: u16) -> Filter {
        self.device = Some(device);
        self
    }

    /// Asks for an interface id.
    pub fn interface_id(mut self, id: Uuid) -> Filter {
        self.interface_id = Some(id);
        self
    }

    /// Asks for a port.
    pub fn port(mut self, port: u8) -> Filter {
        self.port = Some(port);
        self
    }

    /// Asks for one that nobody of this process has open.
    pub fn free(mut self) -> Filter {
        self.free = true;
        self
    }

    /// Returns whether an accelerator has all of them.
    pub fn matches(&self, properties: &Properties) -> bool {
        fn fits<T: PartialEq>(wanted: Option<T>, has: Option<T>) -> bool {
            wanted.is_none() || wanted == has
        }
        fits(self.guid, properties.guid)
            && fits(self.vendor, properties.ids.map(|ids| ids.vendor))
            && fits(self.device, properties.ids.map(|ids| ids.device))
            && fits(self.interface_id, properties.interface_id)
            && fits(self.port, properties.port)
            && !(self.free && properties.open)
    }
}

/// Returns every accelerator of these cards that has the properties asked for, with the index of its card.
pub fn enumerate(cards: &[Card], filter: &Filter) -> alloc::vec::Vec<(usize, Properties)> {
    let all = cards
        .iter()
        .enumerate()
        .flat_map(|(index, card)| card.accelerators().into_iter().map(move |properties| (index, properties)));
    all.filter(|(_, properties)| filter.matches(properties)).collect()
}
