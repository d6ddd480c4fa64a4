//! What a run is asked for, and what it remembers of its looks.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, Utc};

use super::load_spec::Rules;
use super::observation::Observation;
use crate::model::{Clock, Selection};

/// What a run wants, and what it remembers of its earlier observations.
#[derive(Debug, Clone)]
pub struct Intent {
    /// The rules of the run's pipeline file.
    pub rules: Rules,
    /// What it is asked for.
    pub request: Request,
    /// The logical date.
    pub as_of: NaiveDate,
    /// The run's one clock reading.
    pub started: DateTime<Utc>,
    /// The clock, to know whether it stands still.
    pub clock: Clock,
    /// What the run saw first; `None` before its first observation.
    pub first: Option<First>,
    /// Audit and target version of an observation that had a gap (case E).
    pub gap: Option<(u64, u64)>,
    /// The batch that the run last set out to load.
    pub planned: Option<String>,
}

impl Intent {
    /// The intent of a run that starts now and has seen nothing.
    #[must_use]
    pub fn new(rules: Rules, request: Request, as_of: NaiveDate, clock: Clock) -> Self {
        Self { rules, request, as_of, started: clock.now(), clock, first: None, gap: None, planned: None }
    }
}

/// What a run is asked for, once what others left unfinished is finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Load what staging holds.
    Load(Accepted),
    /// Load entries of the quarantine.
    Replay(Selection, Accepted),
    /// Take batches back.
    Rollback(RollbackGoal),
}

/// Checks that a person lets pass once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Their names.
    pub checks: BTreeSet<String>,
    /// Why, for the audit row.
    pub reason: Option<String>,
}

/// What a person wants taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollbackGoal {
    /// The batch; `None` is the newest one that the run saw first.
    pub batch_id: Option<String>,
    /// Whether later batches may go with it.
    pub cascade: bool,
    /// Whether rows of other writers may go with a batch that does not balance.
    pub even_foreign: bool,
    /// Why, for the audit row.
    pub reason: Option<String>,
}

/// What a run remembers of its first observation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct First {
    /// The newest number in the audit table.
    pub audited: i64,
    /// The newest number in the target.
    pub newest: i64,
    /// The batch with that number, if its log entry or audit row tells.
    pub newest_id: Option<String>,
    /// Every batch that was known.
    pub batches: BTreeSet<String>,
}

impl First {
    /// What there is to remember of an observation.
    #[must_use]
    pub fn of(seen: &Observation) -> Self {
        let newest = seen.target.sequence.max(seen.target.group_sequence);
        let unfinished: Vec<(i64, &String)> = seen
            .target
            .commits
            .iter()
            .filter_map(|commit| commit.descriptor.as_ref())
            .map(|descriptor| (descriptor.sequence, &descriptor.batch_id))
            .collect();
        let audited = seen.rows.iter().filter_map(|row| Some((row.sequence?, &row.batch_id)));
        let numbered: Vec<(i64, &String)> = audited.chain(unfinished).collect();
        Self {
            audited: seen.audit.sequence,
            newest,
            newest_id: numbered.iter().find(|(number, _)| *number == newest).map(|(_, id)| (*id).clone()),
            batches: numbered.into_iter().map(|(_, id)| id.clone()).collect(),
        }
    }
}

impl Accepted {
    /// What was accepted and why, in words.
    #[must_use]
    pub fn told(&self) -> Option<String> {
        if self.checks.is_empty() {
            return None;
        }
        let names: Vec<&str> = self.checks.iter().map(String::as_str).collect();
        let reason = self.reason.as_deref().unwrap_or("no reason given");
        Some(format!("accepted {}: {reason}", names.join(", ")))
    }
}
