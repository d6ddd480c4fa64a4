//! A run, taken apart: it reads one table after another, decides, and makes one commit, and between any two
//! of these others may act.

use std::hash::Hash;
use std::rc::Rc;

use chrono::{DateTime, TimeZone as _, Utc};
use highwater::config::{Incremental, Initial, Late, LoadColumns, Mode, OnTie};
use highwater::model::{AuditRow, Clock, Pin};
use highwater::plan::step::First;
use highwater::plan::{Fact, Intent, Ledger, Record, Rules, Seen};

use super::effect::Decision;
use super::rows::date;
use super::world::{AuditLog, FactLog, GROUPS, MarksLog, StagingLog, World, group_app, hash_of};

/// Commits that a run may lose to others, as in `run.rs`.
pub const MAX_LOST: u32 = 30;

/// How a run is started: its pipeline file and flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Start {
    pub pipeline: &'static str,
    pub as_of: u8,
    pub mode: Reading,
    pub on_tie: Tie,
    pub partitions: usize,
    /// The minute at which its clock stands still.
    pub clock: u8,
}

/// As in the pipeline file; those types have no hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reading {
    Window,
    Changes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tie {
    Keep,
    Replace,
}

impl Start {
    pub fn intent(&self) -> Intent {
        let at: DateTime<Utc> = Utc.with_ymd_and_hms(2025, 9, 1, 4, self.clock.into(), 0).unwrap();
        let text = str::to_owned;
        let rules = Rules {
            pipeline: text(self.pipeline),
            unique_key: vec![text("key")],
            version: text("version"),
            tie_breakers: Vec::new(),
            on_tie: if self.on_tie == Tie::Keep { OnTie::Keep } else { OnTie::ReplaceIfDifferent },
            lineage: Vec::new(),
            exclude: Vec::new(),
            load_columns: LoadColumns {
                batch_id: text("batch_id"),
                loaded_at: text("loaded_at"),
                row_hash: text("row_hash"),
            },
            incremental: Incremental {
                mode: if self.mode == Reading::Window { Mode::Window } else { Mode::Changes },
                column: Some(text("day")),
                lookback_days: 2,
                lag_days: 1,
                late: Late::Load,
                initial: Initial::All,
            },
            dimensions: std::collections::BTreeSet::new(),
        };
        Intent {
            rules,
            as_of: date(self.as_of),
            started: at,
            clock: Clock::Frozen(at),
            first: None,
            gap: None,
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ending {
    /// With this case.
    Case(char),
    /// The gate refused the batch.
    Rejected,
    /// What was to be read is gone; try again.
    Retry,
}

impl Ending {
    /// One character for each, as scenarios name them.
    pub fn letter(self) -> char {
        match self {
            Self::Case(letter) => letter,
            Self::Rejected => 'r',
            Self::Retry => 't',
        }
    }
}

/// The parts of an observation, each as it was when it was read.
#[derive(Clone, Default)]
pub struct Parts {
    pub marks: Option<MarksLog>,
    pub audit: Option<AuditLog>,
    pub fact: Option<FactLog>,
    pub staging: Option<StagingLog>,
}

/// What is read of the tables at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Marks,
    Audit,
    Fact,
    Staging,
}

impl Parts {
    pub fn read(&mut self, part: Part, world: &World) {
        match part {
            Part::Marks => self.marks = Some(world.marks.clone()),
            Part::Audit => self.audit = Some(world.audit.clone()),
            Part::Fact => self.fact = Some(world.fact.clone()),
            Part::Staging => self.staging = Some(world.staging.clone()),
        }
    }

    pub fn key(&self) -> u64 {
        hash_of(&(
            self.marks.as_ref().map(MarksLog::key),
            self.audit.as_ref().map(AuditLog::key),
            self.fact.as_ref().map(FactLog::key),
            self.staging.as_ref().map(StagingLog::key),
        ))
    }

    /// What a run remembers if this is its first observation.
    pub fn first(&self, pipeline: &str) -> First {
        let (audit, fact) = (self.audit.as_ref().unwrap(), self.fact.as_ref().unwrap());
        First { audited: audit.txn(pipeline), newest: fact.newest(pipeline) }
    }

    /// The observation, put together as in `observe.rs`. Only once all parts are read.
    pub fn seen(&self, pipeline: &str) -> Seen {
        let (marks, audit) = (self.marks.as_ref().unwrap(), self.audit.as_ref().unwrap());
        let (fact, staging) = (self.fact.as_ref().unwrap(), self.staging.as_ref().unwrap());
        let rows: Vec<AuditRow> = audit.nodes().into_iter().filter_map(|node| node.entry.clone()).collect();
        let rows: Vec<AuditRow> = rows.into_iter().filter(|row| row.pipeline == pipeline).collect();
        let watermarks = Record {
            table_id: marks.id.to_owned(),
            version: marks.head.version,
            sequence: marks.txn(pipeline),
        };
        let audit = Record {
            table_id: audit.id.to_owned(),
            version: audit.head.version,
            sequence: audit.txn(pipeline),
        };
        let (sequence, group_sequence) = (fact.txn(pipeline), fact.txn(&group_app(pipeline)) / GROUPS);
        let audited = Ledger::new(&rows).newest().and_then(|row| row.fact_version_after);
        let audited = audited.and_then(|version| u64::try_from(version).ok());
        let unfinished = sequence.max(group_sequence) > audit.sequence;
        let commits = fact.commits_since(pipeline, audited, unfinished);
        let fact = Fact {
            table_id: fact.id.to_owned(),
            version: fact.head.version,
            sequence,
            group_sequence,
            commits,
        };
        let pin = Pin {
            name: "staging".to_owned(),
            table_id: staging.id.to_owned(),
            version: staging.head.version,
            data_version: staging.data_version(),
        };
        let descriptor = fact.commits.iter().rev().find_map(|commit| commit.descriptor.as_ref());
        let pinned_readable = match descriptor.filter(|descriptor| !descriptor.is_last_of_batch()) {
            None => true,
            Some(unfinished) => {
                let same = |pin: &&Pin| pin.table_id == staging.id;
                let pin = unfinished.inputs.first().filter(same);
                pin.is_some_and(|pin| staging.is_readable_at(pin.version))
            }
        };
        Seen { watermarks, audit, rows, fact, inputs: vec![pin], pinned_readable }
    }
}

/// What a run is about to do.
#[derive(Clone)]
pub enum Phase {
    /// To read the next part.
    Look {
        parts: Parts,
        next: usize,
    },
    /// To make the commit that it decided on.
    Act(Rc<Decision>, u64),
    Ended(Ending),
}

/// A run under way.
#[derive(Clone)]
pub struct Actor {
    pub start: Start,
    pub first: Option<First>,
    pub gap: Option<(u64, u64)>,
    pub phase: Phase,
    pub lost: u32,
}

impl Actor {
    pub fn new(start: Start) -> Self {
        Self { start, first: None, gap: None, phase: Self::look(), lost: 0 }
    }

    pub fn look() -> Phase {
        Phase::Look { parts: Parts::default(), next: 0 }
    }

    /// Two runs with one key do the same from here on. Commits lost are not part of it: they end a run
    /// only where others go on committing for ever.
    pub fn key(&self) -> u64 {
        let first = self.first.map(|first| (first.audited, first.newest));
        let phase = match &self.phase {
            Phase::Look { parts, .. } => (0, parts.key()),
            Phase::Act(_, key) => (1, *key),
            Phase::Ended(ending) => (2, hash_of(ending)),
        };
        hash_of(&(self.start, first, self.gap, phase))
    }
}
