//! The steps that a run can take, each with every choice in it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};

use super::load_spec::Rules;
use super::observation::Observation;
use super::window::ReadPlan;
use crate::model::batch::RecordTables;
use crate::model::{
    AuditRow, BatchKind, CheckResult, Clock, Counts, Descriptor, Group, Memos, Pin, QuarantineWork,
    Selection, Status, WatermarkRow,
};

/// What a run wants, and what it remembers of its earlier observations.
#[derive(Debug, Clone)]
pub struct Intent {
    /// The rules of the run's pipeline file.
    pub rules: Rules,
    /// What it is after.
    pub goal: Goal,
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
    pub fn new(rules: Rules, goal: Goal, as_of: NaiveDate, clock: Clock) -> Self {
        Self { rules, goal, as_of, started: clock.now(), clock, first: None, gap: None, planned: None }
    }
}

/// What a run is after, once what others left unfinished is finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
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

/// The next step, with every choice in it.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Nothing is left to do.
    End(End),
    /// Nothing may be done; a person has to look.
    Refuse(Refusal),
    /// The observation was torn by a race; observe again.
    LookAgain {
        /// Audit and target version of this observation.
        gap: (u64, u64),
    },
    /// Stage the batch, and commit or reject it.
    Load(Box<LoadPlan>),
    /// Write the next group of an unfinished batch.
    WriteGroup(Box<GroupPlan>),
    /// Spend the number of a batch that cannot be completed, with an empty commit.
    Abandon(Box<Descriptor>),
    /// Take an unbalanced batch back.
    Undo(Box<UndoPlan>),
    /// Look again, and at the target's past since this version too.
    LookBack {
        /// The version that a rollback would go back to.
        to: u64,
    },
    /// Write what a batch, or a rejected one, changes in the quarantine.
    WriteQuarantine(Box<QuarantinePlan>),
    /// Append this row to the audit table, onto this version of it.
    WriteAudit {
        /// The row.
        row: Box<AuditRow>,
        /// The audit table's version.
        onto: u64,
    },
    /// Append this row to the watermark table, onto this version of it.
    WriteWatermark {
        /// The row.
        row: WatermarkRow,
        /// The watermark table's version.
        onto: u64,
    },
}

impl Step {
    /// Whether the step goes on with a batch that is begun, for which no input needs to be as it should.
    #[must_use]
    pub fn needs_no_inputs(&self) -> bool {
        match self {
            Self::WriteAudit { .. }
            | Self::WriteWatermark { .. }
            | Self::WriteGroup(_)
            | Self::Abandon(_)
            | Self::Undo(_)
            | Self::WriteQuarantine(_)
            | Self::LookBack { .. }
            | Self::LookAgain { .. } => true,
            Self::Refuse(refusal) => refusal.case != 'O',
            Self::End(end) => !matches!(end, End::Done(_)),
            Self::Load(_) => false,
        }
    }
}

/// How a run ends when nothing is wrong with the tables.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// The batch is loaded, by this run or another.
    Done(Box<AuditRow>),
    /// A batch did not balance and was undone; this is the row that says so.
    Failed(Box<AuditRow>),
    /// What a person wants taken back is taken back; the row that says so, where there is one.
    TakenBack(Option<Box<AuditRow>>),
    /// A person rolled a batch back while this run was under way; loading it again is not ours to do.
    Overtaken(Box<AuditRow>),
}

/// Why nothing may be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The case's letter.
    pub case: char,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl Refusal {
    /// The case's name, by which the runbook has it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self.case {
            'A' => "another_table",
            'B' => "records_ahead",
            'C' => "restored_by_another",
            'D' => "descriptor_gone",
            'E' => "numbers_missing",
            'I' => "unbalanced_and_buried",
            'O' => "staging_went_back",
            'S' => "evidence_gone",
            'U' => "not_to_be_taken_back",
            _ => "unknown",
        }
    }

    /// What is wrong, with the case's name.
    #[must_use]
    pub fn told(&self) -> String {
        format!("{} ({})", self.message, self.name())
    }
}

/// A batch to be staged and committed.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadPlan {
    /// A load or a replay.
    pub kind: BatchKind,
    /// Identifies the batch.
    pub batch_id: String,
    /// The number that it takes if it is not rejected.
    pub sequence: i64,
    /// The logical date.
    pub as_of: NaiveDate,
    /// The batch's one clock reading.
    pub started: DateTime<Utc>,
    /// The time that stands still, if it does.
    pub frozen: Option<DateTime<Utc>>,
    /// Digest of the rules.
    pub config_digest: String,
    /// The pipeline.
    pub pipeline: String,
    /// Pinned inputs, staging first.
    pub inputs: Vec<Pin>,
    /// Ids of the tables that are written.
    pub tables: RecordTables,
    /// The target's version to commit onto.
    pub onto: u64,
    /// The audit table's version to append a rejection onto.
    pub audit_onto: u64,
    /// The quarantine's version to tell new entries from old ones on.
    pub entries_at: u64,
    /// Ids of rejections that are already recorded.
    pub rejections: Vec<String>,
    /// Which rows to read.
    pub reading: ReadPlan,
    /// Checks that a person lets pass.
    pub accepted: Accepted,
    /// The loads in effect, oldest first, by which checks of the batch's size judge.
    pub history: Vec<PastLoad>,
    /// Ids of the batches in effect: what they kept out is judged no more, unless it is replayed.
    pub in_effect: Vec<String>,
    /// The live watermark before this batch.
    pub live: Option<NaiveDate>,
}

/// How many rows a load in effect had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastLoad {
    /// The batch.
    pub batch_id: String,
    /// Rows left after its dedupe.
    pub deduped: i64,
    /// Rows that each of its checks examined, by the check's name.
    pub examined: BTreeMap<String, i64>,
}

impl PastLoad {
    /// How many rows a check that compares their number takes it for: those that it examined itself, if it was there.
    #[must_use]
    pub fn counted(&self, check: &str) -> i64 {
        self.examined.get(check).copied().unwrap_or(self.deduped)
    }
}

/// What the gate decided about a batch, for its descriptor.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decided {
    /// Rows by class.
    pub counts: Counts,
    /// Memos.
    pub memos: Memos,
    /// The watermark that it stores as its own.
    pub own_watermark: Option<NaiveDate>,
    /// What the gate found.
    pub checks: Vec<CheckResult>,
    /// Distinct rows that broke a check whose action isn't warn.
    pub dq_errors: i64,
    /// What changes in the quarantine.
    pub quarantine: Option<QuarantineWork>,
    /// Present when the batch is written in groups.
    pub group: Option<Group>,
}

impl LoadPlan {
    /// The descriptor of the commit that decides this batch.
    #[must_use]
    pub fn descriptor(&self, decided: Decided) -> Descriptor {
        let Decided { counts, memos, own_watermark, checks, dq_errors, quarantine, group } = decided;
        // Later groups keep out what the first did: they have to know what the quarantine held then, whatever
        // others write to it meanwhile.
        let judged_by = || QuarantineWork { base_version: self.entries_at, ..QuarantineWork::default() };
        let quarantine = quarantine.or_else(|| group.is_some().then(judged_by));
        Descriptor {
            pipeline: self.pipeline.clone(),
            sequence: self.sequence,
            covers_from: self.sequence,
            batch_id: self.batch_id.clone(),
            kind: self.kind,
            status: Status::Loaded,
            as_of: self.as_of,
            run_start: self.started,
            run_end: self.frozen,
            config_digest: self.config_digest.clone(),
            inputs: self.inputs.clone(),
            tables: self.tables.clone(),
            base_version: self.onto,
            window: self.reading.window,
            counts,
            memos,
            checks,
            dq_errors,
            quarantine,
            // A replay's rows are a choice of a person: how new they are says nothing about what was loaded.
            own_watermark: own_watermark.filter(|_| self.kind == BatchKind::Load),
            undone: Vec::new(),
            reason: self.accepted.told(),
            group,
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

/// What to write to the quarantine.
#[derive(Debug, Clone, PartialEq)]
pub struct QuarantinePlan {
    /// The pipeline.
    pub pipeline: String,
    /// The batch, or the rejection.
    pub batch_id: String,
    /// The number that the commit carries.
    pub number: QuarantineNumber,
    /// What changes.
    pub work: QuarantineWork,
    /// When entries are closed: the batch's clock reading.
    pub at: DateTime<Utc>,
    /// The quarantine's version to commit onto.
    pub onto: u64,
}

impl QuarantinePlan {
    /// Whether the quarantine moved since new entries were told from old ones, so that they must be told
    /// apart again: a rejection and a load may both have met a row.
    #[must_use]
    pub fn must_compare_again(&self) -> bool {
        self.work.base_version != self.onto && !self.work.adds.is_empty()
    }
}

/// What a commit to the quarantine belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuarantineNumber {
    /// A numbered batch.
    Batch(i64),
    /// A rejection.
    Evidence {
        /// The appId under which rejections' rows are numbered there.
        app: String,
        /// The rejection's number.
        number: i64,
    },
}

/// The next group of an unfinished batch.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupPlan {
    /// The first group's descriptor: it lists the groups and how rows are read and compared.
    pub first: Descriptor,
    /// The group to write.
    pub index: usize,
    /// The target's version to locate on and commit onto.
    pub onto: u64,
    /// What the batch's reading was.
    pub reading: ReadPlan,
}

/// Batches to be taken back by a RESTORE with a number of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct UndoPlan {
    /// The descriptor of the RESTORE's commit.
    pub descriptor: Descriptor,
    /// The target's version to go back to.
    pub restore_to: u64,
    /// Whether rows of other writers go with it, which are kept in a table of their own.
    pub foreign: bool,
    /// The target's version to commit onto.
    pub onto: u64,
}
