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

impl FailPoints {
    /// Kills the process if this is the point; `after` is the end of the step.
    pub(crate) fn pass(&self, step: RunStep, group: Option<usize>, after: bool) {
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
