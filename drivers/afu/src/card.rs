//! A card: its lists are walked, its ports are out of reset, and its parts are given out.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use spin::{Mutex, RwLock};
use vfio_hal::dma::IovaSpace;
use vfio_hal::pci::{Config, Ids};
use vfio_hal::{Bar, Clock, Device, DeviceError, Lost};

use crate::AfuError;
use crate::afu::{Afu, Sharing};
use crate::dfl::{self, DflError, Feature, Features, Place, Start};
use crate::events::Events;
use crate::fme::Fme;
use crate::guid::Uuid;
use crate::port::{Port, Slot};
use crate::properties::{Filter, Properties};

/// A card with a device feature list. Clones share it.
///
/// Make one per device: a second one would not know what the first has in reset.
#[derive(Clone)]
pub struct Card(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) device: Arc<dyn Device>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Option<Ids>,
    start: Start,
    starts: Vec<Place>,
    bars: [Option<Bar>; 6],
    /// Addresses of the BARs on the bus, where configuration space tells.
    addresses: [Option<u64>; 6],
    /// Changes when a port is reconfigured.
    features: RwLock<Arc<Features>>,
    pub(crate) slots: Vec<Arc<Slot>>,
    pub(crate) fme: Option<Mutex<crate::fme::Blocks>>,
    pub(crate) events: Events,
}

impl Card {
    /// Walks the device's lists and takes its ports out of reset, as Linux does when it finds a port. A port that stays in
    /// reset is listed; its accelerator cannot be opened.
    pub fn open(device: Arc<dyn Device>, clock: Arc<dyn Clock>) -> Result<Card, AfuError> {
        device.lost().check()?;
        let mut config = Config::new(device.clone());
        let ids = match config.ids() {
            Ok(ids) => Some(ids),
            Err(error) => unless_absent(error.into())?,
        };
        if ids.is_some() {
            config.modify_command(|command| command.with_memory(true).with_bus_master(true))?;
        }
        let (start, starts) = dfl::starts(&config)?;
        let mut addresses = [None; 6];
        if ids.is_some() {
            for info in config.bars()?.into_iter().flatten() {
                if let Some(address) = addresses.get_mut(usize::from(info.index)) {
                    *address = Some(info.address);
                }
            }
        }
        let mut bars = [const { None }; 6];
        for (index, bar) in (0..).zip(&mut bars) {
            *bar = match device.bar(index) {
                Ok(bar) => Some(bar),
                Err(DeviceError::NoBar { .. }) => None,
                Err(error) => return Err(error.into()),
            };
        }
        let features = walk(&starts, &bars, &addresses)?;
        let slots = Slot::of_all(&device, &features, &bars)?;
        let stuck = slots.iter().filter(|slot| slot.release_at_start(&*clock).is_err()).count();
        if stuck != 0 {
            log::warn!("{}: {stuck} ports stay in reset", device.name());
        }
        device.lost().check()?;
        // Accelerators whose ports were in reset were not looked at.
        let features = walk(&starts, &bars, &addresses)?;
        let fme = crate::fme::Blocks::of(&features, &bars)?.map(Mutex::new);
        let events = Events::of(&device, &features, &bars)?;
        let features = RwLock::new(Arc::new(features));
        let inner =
            Inner { device, clock, ids, start, starts, bars, addresses, features, slots, fme, events };
        Ok(Card(Arc::new(inner)))
    }

    /// Returns the device.
    pub fn device(&self) -> &Arc<dyn Device> {
        &self.0.device
    }

    /// Returns the latch that closes when the device is gone.
    pub fn lost(&self) -> &Lost {
        self.0.device.lost()
    }

    /// Returns the clock that deadlines are measured with.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    /// Returns the PCI ids, where the device has a configuration space.
    pub fn ids(&self) -> Option<Ids> {
        self.0.ids
    }

    /// Returns how the lists were found, and where they start.
    pub fn lists(&self) -> (Start, &[Place]) {
        (self.0.start, &self.0.starts)
    }

    /// Returns everything that is on the card, as it was last found.
    pub fn features(&self) -> Arc<Features> {
        self.0.features.read().clone()
    }

    /// Walks the lists again.
    pub fn rescan(&self) -> Result<(), AfuError> {
        let features = Arc::new(walk(&self.0.starts, &self.0.bars, &self.0.addresses)?);
        *self.0.features.write() = features;
        Ok(())
    }

    /// Returns a BAR, for tools that look at raw registers. Registers of an accelerator are not to be touched while its
    /// port is in reset; [`Afu`] sees to that, a BAR does not.
    pub fn bar(&self, index: u8) -> Result<&Bar, AfuError> {
        let bar = self.0.bars.get(usize::from(index)).and_then(|bar| bar.as_ref());
        bar.ok_or(AfuError::Device(DeviceError::NoBar { index }))
    }

    /// Returns the management engine; a virtual function has none.
    pub fn fme(&self) -> Result<Fme, AfuError> {
        if self.0.fme.is_none() {
            return Err(AfuError::Missing { what: "management engine (FME): open the physical function" });
        }
        Ok(Fme { card: self.clone() })
    }

    /// Returns the ports, in the order in which they were found.
    pub fn ports(&self) -> Vec<Port> {
        let ports = self.0.slots.iter().filter(|slot| slot.is_port());
        ports.map(|slot| Port { card: self.clone(), slot: slot.clone() }).collect()
    }

    /// Returns the port with this number.
    pub fn port(&self, number: u8) -> Result<Port, AfuError> {
        let port = self.ports().into_iter().find(|port| port.number() == number);
        port.ok_or(AfuError::NoPort { port: number })
    }

    /// Returns the properties of every accelerator.
    pub fn accelerators(&self) -> Vec<Properties> {
        let features = self.features();
        features.afus().filter_map(|(_, feature)| Properties::of(self, &features, feature)).collect()
    }

    /// Opens the first accelerator with this GUID.
    pub fn open_afu(&self, guid: Uuid, sharing: Sharing) -> Result<Afu, AfuError> {
        self.open_matching(&Filter::new().guid(guid), sharing).map_err(|error| match error {
            AfuError::NoMatch => AfuError::NoAccelerator { guid },
            error => error,
        })
    }

    /// Opens the first accelerator that has all these properties.
    pub fn open_matching(&self, filter: &Filter, sharing: Sharing) -> Result<Afu, AfuError> {
        let mut refused = AfuError::NoMatch;
        for properties in self.accelerators().into_iter().filter(|properties| filter.matches(properties)) {
            match Afu::open(self, &properties, sharing) {
                // Another one may be free.
                Err(error @ AfuError::InUse { .. }) => refused = error,
                result => return result,
            }
        }
        Err(refused)
    }

    /// Lets the card see every buffer of `space`. Cards of multi-port accelerators join the same space.
    pub fn attach(&self, space: &IovaSpace) -> Result<(), AfuError> {
        if !space.is_attached(&self.0.device) {
            space.attach(&self.0.device)?;
        }
        Ok(())
    }

    /// Returns the card's interrupts as events.
    pub fn events(&self) -> &Events {
        &self.0.events
    }

    /// Resets the whole function. All DMA has stopped when it returns; ports come out of it in reset, and are released.
    pub fn reset(&self) -> Result<vfio_hal::dma::Quiesced, AfuError> {
        let clock = &*self.0.clock;
        for (shut, slot) in self.0.slots.iter().enumerate() {
            if let Err(error) = slot.gate.shut(clock) {
                self.0.slots.iter().take(shut).for_each(|slot| slot.gate.open());
                return Err(error);
            }
        }
        let quiesced = vfio_hal::poll::reset(&*self.0.device);
        for slot in &self.0.slots {
            slot.release_at_start(clock)?;
        }
        Ok(quiesced?)
    }

    /// Returns the slot of an accelerator.
    pub(crate) fn slot_of(&self, features: &Features, feature: &Feature) -> Option<Arc<Slot>> {
        let port = feature.parent.and_then(|parent| features.all().get(parent)).map(|parent| parent.header);
        let slots = &self.0.slots;
        slots.iter().find(|slot| slot.holds(port, feature.header)).cloned()
    }
}

fn walk(
    starts: &[Place],
    bars: &[Option<Bar>; 6],
    addresses: &[Option<u64>; 6],
) -> Result<Features, DflError> {
    let mut placed = [const { None }; 6];
    for ((placed, bar), address) in placed.iter_mut().zip(bars).zip(addresses) {
        *placed = bar.as_ref().map(|bar| dfl::Placed(bar, *address));
    }
    let open = |index: u8| placed.get(usize::from(index)).and_then(|bar| bar.as_ref());
    dfl::walk(starts, &open)
}

/// A device without configuration space (bare metal, a bench) is fine; any other error is not.
fn unless_absent<T>(error: AfuError) -> Result<Option<T>, AfuError> {
    use vfio_hal::pci::ConfigError;
    match error {
        AfuError::Config(ConfigError::Device(DeviceError::Unsupported { .. })) => Ok(None),
        error => Err(error),
    }
}

impl fmt::Debug for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Card").field("device", &self.0.device.name()).finish_non_exhaustive()
    }
}

/// Returns the block of registers at a feature's place.
pub(crate) fn block<M: vfio_hal::regs::RegisterMap>(
    bars: &[Option<Bar>; 6],
    feature: &Feature,
) -> Result<Option<vfio_hal::regs::Block<M>>, AfuError> {
    let Some(place) = feature.registers else { return Ok(None) };
    let bar = bars.get(usize::from(place.bar)).and_then(|bar| bar.as_ref());
    let bar = bar.ok_or(DeviceError::NoBar { index: place.bar })?;
    Ok(Some(vfio_hal::regs::Block::at_offset(bar.clone(), place.offset)?))
}
