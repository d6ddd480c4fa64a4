//! The steps that a run can take, each with every choice in it.

use chrono::{DateTime, NaiveDate, Utc};

use super::recipe::Rules;
use super::window::ReadPlan;
use crate::model::batch::RecordTables;
use crate::model::{AuditRow, BatchKind, Clock, Counts, Descriptor, Group, Memos, Pin, Status, WatermarkRow};

/// What a run wants, and what it remembers of its earlier observations.
#[derive(Debug, Clone)]
pub struct Intent {
    /// The rules of the run's pipeline file.
    pub rules: Rules,
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
}

impl Intent {
    /// The intent of a run that starts now and has seen nothing.
    #[must_use]
    pub fn new(rules: Rules, as_of: NaiveDate, clock: Clock) -> Self {
        Self { rules, as_of, started: clock.now(), clock, first: None, gap: None }
    }
}

/// What a run remembers of its first observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct First {
    /// The newest number in the audit table.
    pub audited: i64,
    /// The newest number in the target.
    pub newest: i64,
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

/// A batch to be staged and committed.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadPlan {
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
    /// Ids of rejections that are already recorded.
    pub rejections: Vec<String>,
    /// Which rows to read.
    pub reading: ReadPlan,
    /// The live watermark before this batch.
    pub live: Option<NaiveDate>,
}

impl LoadPlan {
    /// The descriptor of one commit of this batch.
    #[must_use]
    pub fn descriptor(
        &self,
        counts: Counts,
        memos: Memos,
        own_watermark: Option<NaiveDate>,
        group: Option<Group>,
    ) -> Descriptor {
        Descriptor {
            pipeline: self.pipeline.clone(),
            sequence: self.sequence,
            covers_from: self.sequence,
            batch_id: self.batch_id.clone(),
            kind: BatchKind::Load,
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
            own_watermark,
            undone: Vec::new(),
            reason: None,
            group,
        }
    }
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

/// An unbalanced batch to be taken back by a RESTORE of its own number.
#[derive(Debug, Clone, PartialEq)]
pub struct UndoPlan {
    /// The descriptor of the RESTORE's commit.
    pub descriptor: Descriptor,
    /// The target's version to go back to.
    pub restore_to: u64,
    /// The target's version to commit onto.
    pub onto: u64,
}
