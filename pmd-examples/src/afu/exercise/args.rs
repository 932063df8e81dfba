//! The options of `host_exerciser` and `hello_fpga`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use pmd_afu::Filter;
use pmd_afu::accel::he::{Atomic, Encoding};
use pmd_afu::accel::loopback::Mode;

/// Options of `lpbk` and `mem`.
#[derive(Args)]
pub(crate) struct ExerciseArgs {
    /// The accelerator of this port [default: the first that fits]
    #[arg(long, value_name = "PORT")]
    pub(super) port: Option<u8>,
    /// Open the accelerator shared
    #[arg(short = 's', long)]
    pub(super) shared: bool,
    /// What to do [default: every mode]
    #[arg(short = 'm', long, value_enum, value_name = "MODE")]
    pub(super) mode: Option<ModeName>,
    /// Cache lines a request
    #[arg(long, value_enum, value_name = "CLS")]
    pub(super) cls: Option<Cls>,
    /// Lines of a test
    #[arg(long, default_value_t = 1024, value_name = "LINES")]
    pub(super) lines: u32,
    /// From one request to the next, in requests
    #[arg(long, value_name = "REQUESTS")]
    pub(super) stride: Option<u32>,
    /// Start over at the end, for a time
    #[arg(long, num_args = 0..=1, default_missing_value = "true", default_value_t = false, value_name = "BOOL")]
    pub(super) continuousmode: bool,
    /// How long a continuous test runs, in seconds
    #[arg(long, default_value_t = 1, value_name = "SECONDS")]
    contmodetime: u64,
    /// Every mode, and then every mode continuously
    #[arg(long, num_args = 0..=1, default_missing_value = "true", default_value_t = false, value_name = "BOOL")]
    pub(super) testall: bool,
    /// Atomic operation on each line
    #[arg(long, value_parser = atomic, value_name = "off|fadd_4|fadd_8|swap_4|swap_8|cas_4|cas_8")]
    pub(super) atomic: Option<AtomicName>,
    /// Encoding of requests
    #[arg(long, value_parser = encoding, value_name = "default|dm|pu|random")]
    pub(super) encoding: Option<Encoding>,
    /// Random delays between requests
    #[arg(short = 'd', long, num_args = 0..=1, default_missing_value = "true", default_value_t = false, value_name = "BOOL")]
    pub(super) delay: bool,
    /// Requests in throughput mode: 0 read, write; 1 two and two; 2 four and four
    #[arg(long, value_name = "PATTERN")]
    pub(super) interleave: Option<u8>,
    /// Wait for this user interrupt
    #[arg(long, value_name = "NUMBER")]
    pub(super) interrupt: Option<u16>,
    /// The accelerator's clock, instead of what it tells
    #[arg(long, value_name = "MHZ", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) clock_mhz: Option<u32>,
    /// How long a test may take, in milliseconds
    #[arg(short = 't', long, default_value_t = 60_000, value_name = "MS")]
    timeout: u64,
}

/// Modes of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModeName {
    /// Copy
    Lpbk,
    /// Read
    Read,
    /// Write
    Write,
    /// Read and write
    Trput,
}

impl From<ModeName> for Mode {
    fn from(name: ModeName) -> Mode {
        match name {
            ModeName::Lpbk => Mode::Loopback,
            ModeName::Read => Mode::Read,
            ModeName::Write => Mode::Write,
            ModeName::Trput => Mode::Throughput,
        }
    }
}

/// Cache lines of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub(crate) enum Cls {
    #[value(name = "cl_1")]
    Cl1,
    #[value(name = "cl_2")]
    Cl2,
    #[value(name = "cl_4")]
    Cl4,
    #[value(name = "cl_8")]
    Cl8,
    #[value(name = "cl_16")]
    Cl16,
}

impl Cls {
    pub(super) fn lines(self) -> u32 {
        match self {
            Cls::Cl1 => 1,
            Cls::Cl2 => 2,
            Cls::Cl4 => 4,
            Cls::Cl8 => 8,
            Cls::Cl16 => 16,
        }
    }
}

/// An atomic operation, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AtomicName(pub(super) Option<Atomic>);

fn atomic(text: &str) -> Result<AtomicName, String> {
    if text == "off" {
        return Ok(AtomicName(None));
    }
    let found =
        Atomic::ALL.into_iter().find(|(name, _)| *name == text).map(|(_, atomic)| AtomicName(Some(atomic)));
    found.ok_or_else(|| format!("'{text}' is none: use off, fadd_4, fadd_8, swap_4, swap_8, cas_4 or cas_8"))
}

fn encoding(text: &str) -> Result<Encoding, String> {
    let found = Encoding::ALL.into_iter().find(|(name, _)| *name == text).map(|(_, encoding)| encoding);
    found.ok_or_else(|| format!("'{text}' is none: use default, dm, pu or random"))
}

impl ExerciseArgs {
    pub(super) fn filter(&self) -> Filter {
        self.port.map_or(Filter::new(), |port| Filter::new().port(port))
    }

    pub(super) fn contmodetime(&self) -> Duration {
        Duration::from_secs(self.contmodetime)
    }

    pub(super) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout)
    }

    /// Returns whether the command line says what to do; otherwise everything is done.
    pub(super) fn chooses(&self) -> bool {
        let ExerciseArgs {
            mode,
            cls,
            stride,
            continuousmode,
            atomic,
            encoding,
            delay,
            interleave,
            interrupt,
            ..
        } = self;
        let options =
            [cls.is_some(), stride.is_some(), atomic.is_some(), encoding.is_some(), interleave.is_some()];
        !self.testall
            && (mode.is_some() || interrupt.is_some() || *continuousmode || *delay || options.contains(&true))
    }
}

/// Options of `hello`.
#[derive(Args)]
pub(crate) struct HelloArgs {
    /// The accelerator of this port [default: the first that fits]
    #[arg(long, value_name = "PORT")]
    pub(super) port: Option<u8>,
    /// Open the accelerator shared
    #[arg(short = 's', long)]
    pub(super) shared: bool,
}
