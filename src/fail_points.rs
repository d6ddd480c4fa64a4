//! Points at which a run fails on purpose, so that tests and people can see what becomes of it.

use std::str::FromStr;

use crate::error::{Error, Result};
use crate::events::RunStep;

/// The exit status that a shell gives a killed process.
const KILLED: i32 = 137;

/// What goes wrong on purpose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FailPoints {
    /// Where to die.
    pub fail_at: Option<FailAt>,
    /// Leave one row out of the MERGE's source, to prove that reconciling notices. For tests only.
    pub lose_a_row: bool,
}

/// A commit that belongs to no batch, as `--fail-at` names it: of files that are brought in, or of a target's columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SideCommit {
    /// To staging.
    Staging,
    /// To the table of rows that could not be read.
    Corrupt,
    /// To the ledger.
    Ledger,
    /// To the target: other columns.
    Schema,
    /// To the audit table: the row that tells of them.
    SchemaAudit,
}

impl SideCommit {
    /// Every one, in the order in which they are made.
    pub const ALL: [Self; 5] = [Self::Staging, Self::Corrupt, Self::Ledger, Self::Schema, Self::SchemaAudit];

    /// Its name on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Staging => "ingest",
            Self::Corrupt => "ingest-corrupt",
            Self::Ledger => "ingest-ledger",
            Self::Schema => "schema",
            Self::SchemaAudit => "schema-audit",
        }
    }
}

/// What a process may be at when it kills itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Point {
    Run(RunStep),
    Side(SideCommit),
}

impl Point {
    fn named(name: &str) -> Option<Self> {
        let run = RunStep::ALL.into_iter().find(|step| step.as_str() == name).map(Self::Run);
        run.or_else(|| SideCommit::ALL.into_iter().find(|at| at.as_str() == name).map(Self::Side))
    }
}

/// Where a process kills itself: `STEP[:N][:before|after]`, `before` unless said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailAt {
    point: Point,
    group: Option<usize>,
    after: bool,
}

impl FromStr for FailAt {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let names = || {
            let run = RunStep::ALL.map(RunStep::as_str).join(", ");
            format!("{run}, {}", SideCommit::ALL.map(SideCommit::as_str).join(", "))
        };
        let wrong = || {
            Error::usage(format!("`{text}` names no point of a run")).hint(format!(
                "STEP[:before|after] or merge[:N][:before|after], with STEP one of {}",
                names()
            ))
        };
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default();
        let point = Point::named(name).ok_or_else(wrong)?;
        let mut fail = Self { point, group: None, after: false };
        for part in parts {
            match part {
                "before" => fail.after = false,
                "after" => fail.after = true,
                number if point == Point::Run(RunStep::Merge) => {
                    fail.group = Some(number.parse().map_err(|_| wrong())?);
                }
                _ => return Err(wrong()),
            }
        }
        Ok(fail)
    }
}

impl FailPoints {
    /// Kills the process if this is the point; `after` is the end of the step.
    pub(crate) fn pass(&self, step: RunStep, group: Option<usize>, after: bool) {
        let Some(fail) = self.fail_at else { return };
        let named = fail.group.is_none() || fail.group == group;
        if fail.point == Point::Run(step) && fail.after == after && named {
            die();
        }
    }

    /// The same, for a commit that belongs to no batch.
    pub(crate) fn pass_side(&self, commit: SideCommit, after: bool) {
        if self.fail_at.is_some_and(|fail| fail.point == Point::Side(commit) && fail.after == after) {
            die();
        }
    }
}

fn die() -> ! {
    // No unwinding, no destructors, no flushing: what a power cut leaves behind.
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    // The kernel spares the first process of a container; it leaves at once, all the same.
    std::process::exit(KILLED);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fail_at_with_group_and_side_is_read() {
        let fail: FailAt = "merge:2:after".parse().unwrap();
        assert_eq!(fail, FailAt { point: Point::Run(RunStep::Merge), group: Some(2), after: true });
        let fail: FailAt = "audit".parse().unwrap();
        assert_eq!(fail, FailAt { point: Point::Run(RunStep::Audit), group: None, after: false });
    }

    #[test]
    fn fail_at_a_commit_of_files_is_read() {
        let fail: FailAt = "ingest-ledger:after".parse().unwrap();
        assert_eq!(fail, FailAt { point: Point::Side(SideCommit::Ledger), group: None, after: true });
    }

    #[test]
    fn fail_at_with_an_unknown_step_lists_the_names() {
        for text in ["mergee", "audit:2", "merge:x", "pin:during"] {
            let error = text.parse::<FailAt>().unwrap_err();
            assert!(error.hint_text().unwrap().contains("pin, read, hash, dedupe"), "{text}");
        }
    }
}
