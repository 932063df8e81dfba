//! A card in this process: the model works whenever the driver waits.

use std::sync::Arc;
use std::time::Duration;

use pmd_afu::accel::Memory;
use pmd_afu::{AfuError, Card};
use pmd_afu_model::{AfuModel, Config, Control};
use vfio_hal::backend::local::{LocalDevice, LocalOptions, Stepper};
use vfio_hal::dma::{DmaAccess, IovaSpace, Region};
use vfio_hal::testing::VirtualClock;
use vfio_hal::{Clock, Device};

/// Model, clock and memory.
pub(crate) struct Bench {
    pub(crate) device: Arc<LocalDevice<AfuModel>>,
    pub(crate) control: Control,
    pub(crate) clock: VirtualClock,
    pub(crate) space: IovaSpace,
    pub(crate) memory: Memory,
}

impl Bench {
    pub(crate) fn new(config: Config) -> Bench {
        let model = AfuModel::new(config);
        let control = model.control();
        // The model asks for the time under its own lock, so it has a clock of its own, moved along with the driver's.
        let device_clock = VirtualClock::new();
        let options = LocalOptions::default().clock(Arc::new(device_clock.clone()));
        let device = LocalDevice::new("afu0", model, options).expect("the model's description is right");
        let clock = VirtualClock::new();
        let stepper: Stepper<AfuModel> = device.stepper();
        clock.hook(move |now| {
            let behind = now.saturating_sub(device_clock.now());
            device_clock.advance(behind);
            stepper.run_until_idle(10_000);
        });
        let space = IovaSpace::new();
        Bench { device, control, clock, memory: Memory::new(&space), space }
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(self.clock.clone())
    }

    pub(crate) fn open_as(&self, device: Arc<dyn Device>) -> Result<Card, AfuError> {
        let card = Card::open(device, self.clock())?;
        card.attach(&self.space)?;
        Ok(card)
    }

    pub(crate) fn card(&self) -> Card {
        self.open_as(self.device.clone()).expect("the card opens")
    }

    pub(crate) fn buffer(&self, len: usize, access: DmaAccess) -> Region {
        self.memory.buffer(len, access, "test").expect("memory")
    }

    /// Lets time go by.
    pub(crate) fn pass(&self, time: Duration) {
        self.clock.wait(time);
    }
}
