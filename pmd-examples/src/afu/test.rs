//! The outcome of tests: a line each, a verdict, an exit code.

use pmd_afu::AfuError;
use pmd_afu::accel::loopback::{Mismatch, Report};
use serde::Serialize;

use super::session::Session;
use crate::fault::Fault;
use crate::output;

/// What one test gave.
#[derive(Serialize)]
pub(super) struct Outcome {
    /// What was tested.
    pub(super) test: String,
    /// Nothing was wrong.
    pub(super) pass: bool,
    /// What was wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    /// Counted by the accelerator.
    pub(super) clocks: u64,
    pub(super) reads: u64,
    pub(super) writes: u64,
    /// Bandwidth by the accelerator's own clock, in 10^9 bytes a second.
    pub(super) gigabytes_per_second: f64,
}

impl Outcome {
    /// Judges a test: it ended, it counted what was asked, and what it copied is right.
    pub(super) fn of(
        test: String,
        report: Result<(Report, Option<Mismatch>), AfuError>,
        expected: Option<(u64, u64)>,
        mhz: u32,
    ) -> Outcome {
        let (report, mismatch) = match report {
            Ok(both) => both,
            Err(error) => {
                let reason = Some(error.to_string());
                let (clocks, reads, writes, gigabytes_per_second) = (0, 0, 0, 0.0);
                return Outcome { test, pass: false, reason, clocks, reads, writes, gigabytes_per_second };
            }
        };
        let Report { reads, writes, clocks, .. } = report;
        let counted = expected.filter(|expected| *expected != (reads, writes));
        let reason = match (mismatch, counted) {
            (Some(mismatch), _) => Some(mismatch.to_string()),
            (None, Some((r, w))) => Some(format!("{r} reads and {w} writes were asked for")),
            (None, None) if clocks == 0 => Some("the accelerator counted no clocks".to_owned()),
            (None, None) => None,
        };
        let gigabytes_per_second = report.bandwidth(mhz);
        Outcome { test, pass: reason.is_none(), reason, clocks, reads, writes, gigabytes_per_second }
    }

    fn verdict(&self) -> &'static str {
        if self.pass { "PASS" } else { "FAIL" }
    }
}

/// Outcomes as they come.
#[derive(Default)]
pub(super) struct Outcomes(Vec<Outcome>);

impl Outcomes {
    /// Adds an outcome and shows it.
    pub(super) fn add(&mut self, session: &Session, outcome: Outcome) {
        let Outcome { test, clocks, reads, writes, gigabytes_per_second: rate, .. } = &outcome;
        if self.0.is_empty() {
            let heads = ["clocks", "reads", "writes", "GB/s"];
            let [clocks, reads, writes, rate] = heads;
            session.say(format_args!("{:<28} {clocks:>12} {reads:>11} {writes:>11} {rate:>7}", "test"));
        }
        let verdict = outcome.verdict();
        session.say(format_args!("{test:<28} {clocks:>12} {reads:>11} {writes:>11} {rate:>7.3}  {verdict}"));
        if let Some(reason) = &outcome.reason {
            session.say(format_args!("    {reason}"));
        }
        self.0.push(outcome);
    }

    /// Shows one outcome as `host_exerciser` does.
    pub(super) fn add_alone(&mut self, session: &Session, outcome: Outcome) {
        session.say(format_args!("Number of clocks: {}", outcome.clocks));
        session.say(format_args!("Total number of Reads sent: {}", outcome.reads));
        session.say(format_args!("Total number of Writes sent: {}", outcome.writes));
        session.say(format_args!("Bandwidth: {:.3} GB/s", outcome.gigabytes_per_second));
        if let Some(reason) = &outcome.reason {
            session.say(format_args!("{reason}"));
        }
        session.say(format_args!("Test {}: {}", outcome.test, outcome.verdict()));
        self.0.push(outcome);
    }

    /// Gives the verdict over all of them: an error if one failed, or none ran.
    pub(super) fn finish(self, session: &Session, accelerator: &serde_json::Value) -> Result<(), Fault> {
        let failed = self.0.iter().filter(|outcome| !outcome.pass).count();
        let (total, pass) = (self.0.len(), failed == 0 && !self.0.is_empty());
        if session.json() {
            let interrupted = session.stop.is_set();
            let tests = &self.0;
            output::json(&serde_json::json!({
                "accelerator": accelerator, "tests": tests, "pass": pass, "interrupted": interrupted,
            }))?;
        } else if total > 1 {
            session
                .say(format_args!("{total} tests, {failed} failed: {}", if pass { "PASS" } else { "FAIL" }));
        }
        match (pass, total) {
            (true, _) => Ok(()),
            (false, 0) => Err(Fault::Run("interrupted before a test ran".into())),
            (false, _) => Err(Fault::Run(format!("{failed} of {total} tests failed"))),
        }
    }
}
