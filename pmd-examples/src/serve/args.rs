//! The command line of `pmd serve`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use log::LevelFilter;
use pmd_afu_model::AfuKind;
use pmd_links::Spec;
use vfio_hal::pmd::MacAddr;
use vfio_user_kit::server::LostClient;

/// Serve device models on vfio-user sockets.
#[derive(Args)]
#[command(after_help = format!("Links:\n{}", Spec::HELP))]
pub(crate) struct ServeArgs {
    /// The device to play
    #[arg(value_enum, value_name = "MODEL")]
    pub(crate) model: Device,
    /// The socket to make. Repeat for more devices
    #[arg(long, value_name = "PATH", required = true)]
    pub(crate) socket: Vec<PathBuf>,
    /// What a network device is plugged into, such as tap,iface=t0. One for each --socket
    #[arg(long, value_name = "KIND,...")]
    pub(crate) link: Vec<String>,
    /// The first device's MAC address; the next ones count up
    #[arg(long, value_name = "MAC", default_value = "02:82:59:90:01:00")]
    pub(crate) mac: MacAddr,
    /// The variant of the device
    #[arg(long, value_enum, default_value_t, value_name = "PART")]
    pub(crate) part: PartName,
    /// What is in the SFP+ cage
    #[arg(long, value_enum, default_value_t, value_name = "MODULE")]
    pub(crate) module: ModuleName,
    /// An accelerator of an FPGA card: nlb0, he-lpbk, he-mem, dummy or stream. Repeat for more ports, up to four
    #[arg(long, value_name = "AFU", default_value = "nlb0")]
    pub(crate) afu: Vec<AfuKind>,
    /// An FPGA card's feature lists are told by a vendor-specific capability (device BCCE, otherwise 09C4)
    #[arg(long)]
    pub(crate) vsec: bool,
    /// An FPGA card's private features have headers of version 1
    #[arg(long)]
    pub(crate) dfh_v1: bool,
    /// An FPGA card takes orders from standard input: its temperature, its faults. `help` lists them
    #[arg(long)]
    pub(crate) control: bool,
    /// How the devices may interrupt, in the order of the sockets; the last one holds for those that follow
    #[arg(long, value_enum, value_delimiter = ',', default_value = "msix", value_name = "WAY")]
    pub(crate) interrupts: Vec<Interrupts>,
    /// How clients ring doorbells: a message each, or a store to memory that they may map
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    pub(crate) doorbells: Doorbells,
    /// What becomes of frames for which the device has no room: lost as on a wire, or left on a link that can wait
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    pub(crate) overrun: Overrun,
    /// What happens to the device when its client is lost
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    pub(crate) lost_client: Lost,
    /// Stand still, and leave frames on the link, until a client has migrated a device's state to here
    #[arg(long)]
    pub(crate) incoming: bool,
    /// Print each register access, decoded, to standard error
    #[arg(long)]
    pub(crate) trace_mmio: bool,
    /// End after the first client has left
    #[arg(long)]
    pub(crate) once: bool,
    /// Do not confine the process by seccomp and Landlock once everything is open
    #[arg(long)]
    pub(crate) no_sandbox: bool,
    /// What the models and the protocol tell of themselves on standard error
    #[arg(long, value_enum, default_value_t, value_name = "LEVEL")]
    pub(crate) log_level: LogLevel,
    /// Time in seconds between two lines of live rates; 0 shows none
    #[arg(long, default_value_t = 1, value_name = "SECONDS")]
    pub(crate) stats_period: u64,
    /// Print one JSON array with the totals of each device to standard output
    #[arg(long)]
    pub(crate) json: bool,
}

/// Models that can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Device {
    /// Intel 82599.
    Ixgbe,
    /// An FPGA card with a device feature list.
    Afu,
}

/// Variants of the 82599.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum PartName {
    /// With an SFP+ cage (10FB).
    #[default]
    Sfp,
    /// With a KX4 backplane (10F7).
    Kx4,
}

/// Modules for the cage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModuleName {
    /// 10GBASE-SR.
    #[default]
    Sr,
    /// 10GBASE-LR.
    Lr,
    /// A passive copper cable.
    Dac,
    /// 10GBASE-SR of a vendor that drivers may refuse.
    Foreign,
    /// None.
    Absent,
}

/// How a device may interrupt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Interrupts {
    /// MSI-X, MSI and the pin.
    #[default]
    Msix,
    /// MSI and the pin.
    Msi,
    /// The INTx pin alone.
    Intx,
}

/// How doorbells are rung.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Doorbells {
    /// By messages: what every client knows.
    #[default]
    Trapped,
    /// By stores, for clients that know how; others send messages.
    Mapped,
}

/// What becomes of frames for which there is no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Overrun {
    /// They are lost, and counted.
    #[default]
    Drop,
    /// They stay on the link.
    Wait,
}

/// What a lost client does to its device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Lost {
    /// It keeps its state for the next client.
    #[default]
    Keep,
    /// It is reset.
    Reset,
}

impl From<Lost> for LostClient {
    fn from(lost: Lost) -> LostClient {
        match lost {
            Lost::Keep => LostClient::Keep,
            Lost::Reset => LostClient::Reset,
        }
    }
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    /// Nothing.
    Off,
    /// What ends something.
    Error,
    /// What is wrong and was got over.
    #[default]
    Warn,
    /// Clients that come and go.
    Info,
    /// Resets, faults, malformed descriptors.
    Debug,
    /// Accesses to registers that there are not.
    Trace,
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> LevelFilter {
        match level {
            LogLevel::Off => LevelFilter::Off,
            LogLevel::Error => LevelFilter::Error,
            LogLevel::Warn => LevelFilter::Warn,
            LogLevel::Info => LevelFilter::Info,
            LogLevel::Debug => LevelFilter::Debug,
            LogLevel::Trace => LevelFilter::Trace,
        }
    }
}
