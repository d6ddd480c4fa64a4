//! The steps that a run can take, each with every choice in it.

use chrono::{DateTime, NaiveDate, Utc};

use super::case::Case;
use super::request::Accepted;
use super::window::ReadPlan;
use crate::checks::PastLoad;
use crate::model::batch::WrittenTables;
use crate::model::{
    AuditRow, BatchKind, CheckResult, Counts, Descriptor, Drift, Group, Memos, Pin, QuarantineWork, Status,
    Strategy, Watermark, WatermarkRow,
};

/// The next step, with every choice in it.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Nothing is left to do.
    End(End),
    /// Nothing may be done; a person has to look.
    Refuse(Refusal),
    /// What was seen is not enough: observe again.
    Look(Look),
    /// Do this piece of work: at most one commit that decides anything.
    Do(Work),
}

/// What to look at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Everything: a race may have torn the observation.
    Again {
        /// Audit and target version of this observation.
        gap: (u64, u64),
    },
    /// Everything, and the target's past since this version too.
    Back {
        /// The version that a rollback would go back to.
        to: u64,
    },
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// Stage the batch, and commit or reject it.
    Load(Box<LoadPlan>),
    /// Write the next group of an unfinished batch.
    WriteGroup(Box<GroupPlan>),
    /// Spend the number of a batch that cannot be completed, with an empty commit.
    Abandon {
        /// The descriptor of that commit.
        descriptor: Box<Descriptor>,
        /// The target's version.
        onto: u64,
    },
    /// Take batches back: an unbalanced one, or what a person wants taken back.
    Undo(Box<UndoPlan>),
    /// Write what a batch, or a rejected one, changes in the quarantine.
    WriteQuarantine(Box<QuarantinePlan>),
    /// Append this row to the audit table.
    WriteAudit {
        /// The row.
        row: Box<AuditRow>,
        /// The audit table's version.
        onto: u64,
    },
    /// Append this row to the watermark table.
    WriteWatermark {
        /// The row.
        row: Box<WatermarkRow>,
        /// The watermark table's version.
        onto: u64,
    },
}

impl Step {
    /// The case that the step is taken in.
    #[must_use]
    pub fn case(&self) -> Case {
        match self {
            Self::Refuse(refusal) => refusal.case,
            Self::Look(Look::Again { .. }) => Case::NumbersMissing,
            Self::Look(Look::Back { .. }) => Case::PastUnknown,
            Self::End(End::Failed(_)) => Case::UndoneMeanwhile,
            Self::End(End::Overtaken(_)) => Case::Overtaken,
            Self::End(End::Done(_)) => Case::Done,
            Self::End(End::TakenBack(_)) => Case::TakenBack,
            Self::Do(work) => work.case(),
        }
    }

    /// Why the step is taken, in words.
    #[must_use]
    pub fn why(&self) -> String {
        match self {
            Self::Refuse(refusal) => refusal.message.clone(),
            Self::Do(Work::Undo(plan)) => {
                // Taken back by a person's wish, and unbalanced all the same.
                let state = if plan.foreign { Case::UnbalancedAndBuried } else { self.case() }.state();
                format!("{state} (batch {})", plan.descriptor.undone.join(", "))
            }
            Self::Do(work) => format!("{} (batch {})", work.case().state(), work.batch_id()),
            Self::Look(Look::Again { .. }) => {
                "numbers are missing, which a race between two reads looks like too: look again".to_owned()
            }
            _ => self.case().state().to_owned(),
        }
    }
}

impl Work {
    /// The case that it is done in.
    #[must_use]
    pub fn case(&self) -> Case {
        match self {
            Self::Load(_) => Case::NotLoaded,
            Self::WriteGroup(_) => Case::GroupMissing,
            Self::Abandon { .. } => Case::InputsGone,
            Self::Undo(plan) if plan.descriptor.status == Status::Failed => Case::Unbalanced,
            Self::Undo(_) => Case::ToBeTakenBack,
            Self::WriteQuarantine(plan) => match plan.number {
                QuarantineNumber::Batch(_) => Case::EntriesMissing,
                QuarantineNumber::Evidence { .. } => Case::EvidenceMissing,
            },
            Self::WriteAudit { .. } => Case::AuditMissing,
            Self::WriteWatermark { .. } => Case::WatermarkMissing,
        }
    }

    /// The batch whose commit it is.
    #[must_use]
    pub fn batch_id(&self) -> &str {
        match self {
            Self::Load(plan) => &plan.batch_id,
            Self::WriteGroup(plan) => &plan.first.batch_id,
            Self::Abandon { descriptor, .. } => &descriptor.batch_id,
            Self::Undo(plan) => &plan.descriptor.batch_id,
            Self::WriteQuarantine(plan) => &plan.batch_id,
            Self::WriteAudit { row, .. } => &row.batch_id,
            Self::WriteWatermark { row, .. } => &row.batch_id,
        }
    }
}

impl From<Work> for Step {
    fn from(work: Work) -> Self {
        Self::Do(work)
    }
}

impl From<Look> for Step {
    fn from(look: Look) -> Self {
        Self::Look(look)
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
    /// The case.
    pub case: Case,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl Refusal {
    /// What is wrong, with the case's name.
    #[must_use]
    pub fn told(&self) -> String {
        format!("{} ({})", self.message, self.case)
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
    /// Pinned inputs, first what rows are read from.
    pub inputs: Vec<Pin>,
    /// Ids of the tables that are written.
    pub tables: WrittenTables,
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
    pub live: Option<Watermark>,
}

/// What the gate decided about a batch, for its descriptor.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decided {
    /// Rows by class.
    pub counts: Counts,
    /// Memos.
    pub memos: Memos,
    /// The watermark that it stores as its own.
    pub own_watermark: Option<Watermark>,
    /// What the gate found.
    pub checks: Vec<CheckResult>,
    /// Distinct rows that broke a check whose action isn't warn.
    pub dq_errors: i64,
    /// What changes in the quarantine.
    pub quarantine: Option<QuarantineWork>,
    /// How the rows are written.
    pub strategy: Strategy,
    /// In what the batch's columns differ from the target's.
    pub drift: Vec<Drift>,
    /// Present when the batch is written in groups.
    pub group: Option<Group>,
}

impl LoadPlan {
    /// The descriptor of the commit that decides this batch.
    #[must_use]
    pub fn descriptor(&self, decided: Decided) -> Descriptor {
        let Decided { counts, memos, own_watermark, checks, dq_errors, quarantine, strategy, drift, group } =
            decided;
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
            strategy,
            drift,
            undone: Vec::new(),
            reason: self.accepted.told(),
            group,
        }
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
