//! What kind of 82599 a model is.
//!
//! Key types: [`Config`], [`Part`], [`Module`]. Neighbours: [`Model82599::new`](crate::Model82599::new) takes it;
//! `nvm` and `sfp` make the contents of the EEPROM and of the module from it.

use core::time::Duration;

use crate::state::{state, state_enum};

/// The variant of the controller, by its device id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// 82599ES with an SFP+ cage, device id 10FB.
    #[default]
    Sfp,
    /// 82599 with a KX4 backplane, device id 10F7: no module to read.
    BackplaneKx4,
}

impl Part {
    /// Returns the PCI device id.
    pub const fn device_id(self) -> u16 {
        match self {
            Part::Sfp => 0x10FB,
            Part::BackplaneKx4 => 0x10F7,
        }
    }
}

/// What is in the SFP+ cage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Module {
    /// A 10GBASE-SR module, also 1000BASE-SX, with digital diagnostics.
    #[default]
    Sr,
    /// A 10GBASE-LR module.
    Lr,
    /// A passive direct-attach copper cable.
    DirectAttach,
    /// A 10GBASE-SR module of a vendor that is not Intel, which drivers may refuse.
    ForeignSr,
    /// An empty cage: no link, and no answer on the I2C bus.
    Absent,
}

/// How the device may interrupt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signals {
    /// MSI-X with 64 vectors, MSI, and the INTx pin, as the card has them.
    #[default]
    MsiX,
    /// No MSI-X: MSI with one vector, and the pin.
    Msi,
    /// The pin alone.
    IntX,
}

/// What happens to frames that arrive while the packet buffer is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overrun {
    /// They are lost and counted in MPC, as on a wire.
    #[default]
    Drop,
    /// They are left on the link until there is room. For links that wait, such as an unpaced generator: the link
    /// decides the rate no more, the driver does, and nothing is lost.
    Wait,
}

/// What a frame below 60 bytes on the link means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ShortFrames {
    /// The other end is software that does not pad (a TAP interface): its frames are padded with zeros as any
    /// MAC would have done before they came here.
    #[default]
    Pad,
    /// The frame is as it was on the wire: undersized, dropped and counted in RUC.
    Undersized,
}

/// Times that the hardware takes. The defaults are of the order of the hardware's and shorter where drivers sleep
/// anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Until CTRL.RST and CTRL.LRST read 0 again.
    pub reset: Duration,
    /// Until EEC.ARD is set after a reset: the EEPROM has been read.
    pub auto_read: Duration,
    /// Until RDRXCTL.DMAIDONE is set after a reset.
    pub dma_init: Duration,
    /// Until the EERD answers.
    pub eeprom_read: Duration,
    /// Until an MDIO command is done.
    pub mdio: Duration,
    /// Until RXDCTL.ENABLE and TXDCTL.ENABLE read what was written.
    pub queue_enable: Duration,
    /// Until ANLP1 shows that auto-negotiation left state 0.
    pub negotiation: Duration,
    /// From all conditions met until the link is up.
    pub link_up: Duration,
    /// Until FDIRCTRL.INIT_DONE.
    pub flow_director: Duration,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            reset: Duration::from_micros(2),
            auto_read: Duration::from_micros(500),
            dma_init: Duration::from_micros(800),
            eeprom_read: Duration::from_micros(2),
            mdio: Duration::from_micros(20),
            queue_enable: Duration::from_micros(10),
            negotiation: Duration::from_millis(1),
            link_up: Duration::from_millis(5),
            flow_director: Duration::from_micros(60),
        }
    }
}

/// How to build a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The permanent MAC address.
    pub mac: [u8; 6],
    /// The variant.
    pub part: Part,
    /// What is in the cage; not looked at for a backplane.
    pub module: Module,
    /// How it may interrupt: drivers fall back from one way to the next.
    pub signals: Signals,
    /// The device serial number of the PCI function, `None` to make it from the MAC address as the card does.
    pub serial: Option<u64>,
    /// What a full packet buffer does.
    pub overrun: Overrun,
    /// What short frames are.
    pub short_frames: ShortFrames,
    /// Whether received UDP packets without a checksum are reported as bad, as the silicon does (specification
    /// update, erratum 44).
    pub udp_zero_checksum_erratum: bool,
    /// Fills tables that no reset clears (MTA, UTA, VFTA, RETA, filters) with values from this seed at power-on, as
    /// RAM would have: a driver that does not clear them shows it. `None`: zero.
    pub ram_noise: Option<u64>,
    /// How long things take.
    pub timing: Timing,
}

state_enum!(Module { Sr = 0, Lr = 1, DirectAttach = 2, ForeignSr = 3, Absent = 4 });
state!(Timing {
    reset,
    auto_read,
    dma_init,
    eeprom_read,
    mdio,
    queue_enable,
    negotiation,
    link_up,
    flow_director,
});
state!(Config { mac, part, module, serial, udp_zero_checksum_erratum, ram_noise, timing } without {
    signals: Signals::default(),
    overrun: Overrun::default(),
    short_frames: ShortFrames::default(),
});

impl Config {
    /// Returns an 82599ES with an SR module and the given permanent MAC address.
    pub fn new(mac: [u8; 6]) -> Config {
        Config {
            mac,
            part: Part::default(),
            module: Module::default(),
            signals: Signals::default(),
            serial: None,
            overrun: Overrun::default(),
            short_frames: ShortFrames::default(),
            udp_zero_checksum_erratum: true,
            ram_noise: None,
            timing: Timing::default(),
        }
    }

    /// The PCI serial number: the MAC address around FFFF (datasheet 9.4.2).
    pub(crate) fn serial(&self) -> u64 {
        let m = self.mac.map(u64::from);
        self.serial
            .unwrap_or(m[0] << 56 | m[1] << 48 | m[2] << 40 | 0xFFFF << 24 | m[3] << 16 | m[4] << 8 | m[5])
    }
}
