//! Options of a run.

use std::time::Duration;

use clap::Args;

use super::parse::duration;

/// What is shown, and when to end.
#[derive(Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct RunArgs {
    /// End after this time, such as 5, 1.5s or 500ms; 0 runs until Ctrl-C
    /// [default: 5 s if all traffic is generated, else until Ctrl-C or until all captures are played]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) duration: Option<Duration>,
    /// Time between two lines of live rates; 0 shows none
    #[arg(long, default_value = "1", value_name = "TIME", value_parser = duration)]
    pub(crate) stats_period: Duration,
    /// Print one JSON object with all totals to standard output, and rates to standard error
    #[arg(long)]
    pub(crate) json: bool,
    /// Show extended statistics at the end
    #[arg(long)]
    pub(crate) xstats: bool,
}
