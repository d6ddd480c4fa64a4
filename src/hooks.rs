//! What watches a run go: progress for people, and the switch that kills the process on purpose.

use std::fmt;
use std::str::FromStr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// The exit status that a shell gives a killed process.
const KILLED: i32 = 137;

/// A step of a load, as `--fail-at` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RunStep {
    /// Decide on inputs, window and batch id.
    Pin,
    /// Read the batch's rows from staging.
    Read,
    /// Hash each row; done by the same query that reads.
    Hash,
    /// Keep the latest version of each key.
    Dedupe,
    /// Classify each row against the target.
    Locate,
    /// Reject the batch, or let it pass.
    Gate,
    /// Commit to the target.
    Merge,
    /// Hold the commit against the classes.
    Reconcile,
    /// Record rows that were kept out.
    Quarantine,
    /// Append the audit row.
    Audit,
    /// Append the watermark row.
    Watermark,
}

impl RunStep {
    /// Every step, in the order in which a run takes them.
    pub const ALL: [Self; 11] = [
        Self::Pin,
        Self::Read,
        Self::Hash,
        Self::Dedupe,
        Self::Locate,
        Self::Gate,
        Self::Merge,
        Self::Reconcile,
        Self::Quarantine,
        Self::Audit,
        Self::Watermark,
    ];

    /// The step's name on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pin => "pin",
            Self::Read => "read",
            Self::Hash => "hash",
            Self::Dedupe => "dedupe",
            Self::Locate => "locate",
            Self::Gate => "gate",
            Self::Merge => "merge",
            Self::Reconcile => "reconcile",
            Self::Quarantine => "quarantine",
            Self::Audit => "audit",
            Self::Watermark => "watermark",
        }
    }
}

impl fmt::Display for RunStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a process kills itself: `STEP[:N][:before|after]`, `before` unless said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailAt {
    step: RunStep,
    group: Option<usize>,
    after: bool,
}

impl FromStr for FailAt {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let names = || RunStep::ALL.map(RunStep::as_str).join(", ");
        let wrong = || {
            Error::usage(format!("`{text}` names no point of a run")).hint(format!(
                "STEP[:before|after] or merge[:N][:before|after], with STEP one of {}",
                names()
            ))
        };
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default();
        let step = RunStep::ALL.into_iter().find(|step| step.as_str() == name).ok_or_else(wrong)?;
        let mut fail = Self { step, group: None, after: false };
        for part in parts {
            match part {
                "before" => fail.after = false,
                "after" => fail.after = true,
                number if step == RunStep::Merge => {
                    fail.group = Some(number.parse().map_err(|_| wrong())?);
                }
                _ => return Err(wrong()),
            }
        }
        Ok(fail)
    }
}

/// Watches a run.
pub trait Watch: Send + Sync {
    /// A step begins; `detail` says on what.
    fn begin(&self, step: RunStep, detail: &str);
    /// A step is done; `detail` says with what result.
    fn end(&self, step: RunStep, detail: &str);
}

/// Watches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Watch for Unwatched {
    fn begin(&self, _: RunStep, _: &str) {}
    fn end(&self, _: RunStep, _: &str) {}
}

/// Everything that may happen at the borders of a run's steps.
pub struct Hooks {
    /// Who watches.
    pub watch: Box<dyn Watch>,
    /// Where to die.
    pub fail_at: Option<FailAt>,
    /// Leave one row out of the MERGE's source, to prove that reconciling notices. For tests only.
    pub lose_a_row: bool,
    /// What each step took.
    pub pace: Pace,
}

/// What each step of a run took.
#[derive(Debug, Default)]
pub struct Pace(Mutex<Vec<Lap>>);

#[derive(Debug)]
struct Lap {
    step: RunStep,
    begun: Option<Instant>,
    took: Duration,
}

impl Pace {
    fn begin(&self, step: RunStep) {
        let Ok(mut laps) = self.0.lock() else { return };
        let begun = Some(Instant::now());
        match laps.iter_mut().find(|lap| lap.step == step) {
            Some(lap) => lap.begun = begun,
            None => laps.push(Lap { step, begun, took: Duration::ZERO }),
        }
    }

    fn end(&self, step: RunStep) {
        let Ok(mut laps) = self.0.lock() else { return };
        if let Some(lap) = laps.iter_mut().find(|lap| lap.step == step)
            && let Some(begun) = lap.begun.take()
        {
            lap.took += begun.elapsed();
        }
    }

    /// The steps that were begun, in their order, with the seconds that each took in all.
    #[must_use]
    pub fn seconds(&self) -> Vec<(RunStep, f64)> {
        let Ok(laps) = self.0.lock() else { return Vec::new() };
        laps.iter().map(|lap| (lap.step, lap.took.as_secs_f64())).collect()
    }
}

impl Default for Hooks {
    fn default() -> Self {
        Self { watch: Box::new(Unwatched), fail_at: None, lose_a_row: false, pace: Pace::default() }
    }
}

impl Hooks {
    /// A step begins.
    pub fn begin(&self, step: RunStep, detail: &str) {
        self.pace.begin(step);
        self.watch.begin(step, detail);
        tracing::info!(step = step.as_str(), detail, "begin");
        self.die_if(step, None, false);
    }

    /// A step is done.
    pub fn end(&self, step: RunStep, detail: &str) {
        self.die_if(step, None, true);
        tracing::info!(step = step.as_str(), detail, "end");
        self.pace.end(step);
        self.watch.end(step, detail);
    }

    /// Commit number `group` of a batch begins.
    pub fn begin_commit(&self, group: usize, detail: &str) {
        self.pace.begin(RunStep::Merge);
        self.watch.begin(RunStep::Merge, detail);
        tracing::info!(step = "merge", group, detail, "begin");
        self.die_if(RunStep::Merge, Some(group), false);
    }

    /// Commit number `group` of a batch is made.
    pub fn end_commit(&self, group: usize, detail: &str) {
        self.die_if(RunStep::Merge, Some(group), true);
        tracing::info!(step = "merge", group, detail, "end");
        self.pace.end(RunStep::Merge);
        self.watch.end(RunStep::Merge, detail);
    }

    fn die_if(&self, step: RunStep, group: Option<usize>, after: bool) {
        let Some(fail) = self.fail_at else { return };
        let named = fail.group.is_none() || fail.group == group;
        if fail.step == step && fail.after == after && named {
            // No unwinding, no destructors, no flushing: what a power cut leaves behind.
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            // The kernel spares the first process of a container; it leaves at once, all the same.
            std::process::exit(KILLED);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fail_at_with_group_and_side_is_read() {
        let fail: FailAt = "merge:2:after".parse().unwrap();
        assert_eq!(fail, FailAt { step: RunStep::Merge, group: Some(2), after: true });
        let fail: FailAt = "audit".parse().unwrap();
        assert_eq!(fail, FailAt { step: RunStep::Audit, group: None, after: false });
    }

    #[test]
    fn fail_at_with_an_unknown_step_lists_the_names() {
        for text in ["mergee", "audit:2", "merge:x", "pin:during"] {
            let error = text.parse::<FailAt>().unwrap_err();
            assert!(error.hint_text().unwrap().contains("pin, read, hash, dedupe"), "{text}");
        }
    }
}
