//! What a run did.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::{Purged, Run};
use crate::engine::Slices;
use crate::error::{Error, Result};
use crate::events::{Event, Over, Timing};
use crate::lake::Came;
use crate::model::{AuditRow, BatchKind, CheckResult, Counts, Drift, Memos, Pin, Status, Watermark, Window};
use crate::plan::rows::row_to_be;
use crate::plan::step::UndoPlan;
use crate::plan::{Chosen, Decision, End, Ledger, LoadPlan};
use crate::protocol::Conclusion;
use crate::protocol::course::Rejected;

/// What a run did, or what a plan would do.
#[derive(Debug, Clone)]
pub struct Report {
    /// The pipeline.
    pub pipeline: String,
    /// What kind of batch it was.
    pub kind: BatchKind,
    /// The batch.
    pub batch_id: String,
    /// Its number; a rejected batch has none.
    pub sequence: Option<i64>,
    /// How it ended.
    pub ending: Ending,
    /// The logical date.
    pub as_of: NaiveDate,
    /// The days read.
    pub window: Window,
    /// The live watermark before and after.
    pub watermark: (Option<Watermark>, Option<Watermark>),
    /// Rows by class.
    pub counts: Counts,
    /// Late and future rows, and ties.
    pub memos: Memos,
    /// Distinct rows that broke a rule.
    pub dq_errors: i64,
    /// What the gate found, check by check.
    pub checks: Vec<CheckResult>,
    /// Of a plan: the gate would reject the batch.
    pub would_reject: bool,
    /// Of a rollback: the batches that it took back.
    pub undone: Vec<String>,
    /// Of a rollback that took other writers' rows with it: where they are kept.
    pub kept_aside: Option<KeptAside>,
    /// Batches of others that this process finished.
    pub recovered: Vec<String>,
    /// The inputs as the batch pinned them.
    pub inputs: Vec<Pin>,
    /// Versions of each table before and after, by the table's name.
    pub tables: BTreeMap<String, (u64, u64)>,
    /// Columns of staging that are neither loaded nor excluded.
    pub not_loaded: Vec<String>,
    /// In what the batch's columns differ from the target's.
    pub drift: Vec<Drift>,
    /// Why the batch was rejected or undone.
    pub reason: Option<String>,
    /// What a plan found would be rewritten.
    pub rewrite: Option<Rewrite>,
    /// How rows are written, or were, and why so; `None` where none were.
    pub strategy: Option<Chosen>,
    /// How the batch was cut, if it did not fit memory.
    pub slicing: Option<Slicing>,
    /// What was written anew once the batch was loaded.
    pub purged: Option<Purged>,
    /// How long it took.
    pub seconds: f64,
    /// What each step of it took.
    pub steps: Vec<Timing>,
    /// Bytes of data files that came to the target meanwhile.
    pub bytes_written: i64,
    /// What was decided, step by step, and why.
    pub decisions: Vec<Decision>,
}

impl Report {
    /// Staged rows a second.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    pub fn rows_per_second(&self) -> Option<f64> {
        (self.seconds > 0.0).then(|| self.counts.staged as f64 / self.seconds)
    }
}

/// How a run or a plan ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// This process made a commit of the batch.
    Loaded,
    /// The batch was loaded before; this process made no commit of it.
    AlreadyLoaded,
    /// The gate rejected the batch.
    Rejected,
    /// A plan: nothing was done.
    Planned,
    /// This process took batches back.
    RolledBack,
    /// There was nothing to do: no entry to replay, or no batch to take back.
    NothingToDo,
}

/// Rows of other writers that went with a batch which was taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAside {
    /// The table that keeps them.
    pub table: String,
    /// How many there are.
    pub rows: usize,
    /// Some of them.
    pub examples: Vec<String>,
}

impl Ending {
    /// The status in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::AlreadyLoaded => "already_loaded",
            Self::Rejected => "rejected",
            Self::Planned => "planned",
            Self::RolledBack => "rolled_back",
            Self::NothingToDo => "nothing_to_do",
        }
    }
}

/// The part of the target that a batch rewrites.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// Partitions that rows are written to or taken from.
    pub partitions: usize,
    /// Files that hold rows to be replaced.
    pub files: usize,
    /// The size of those files.
    pub bytes: i64,
    /// Commits that the batch takes.
    pub commits: usize,
}

/// How the rows of a batch that does not fit memory were cut by key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slicing {
    /// Slices, each of which was in memory alone.
    pub slices: usize,
    /// Bytes that all staged rows would have taken.
    pub bytes: usize,
}

impl Slicing {
    pub(super) fn of(rows: &Slices) -> Option<Self> {
        rows.is_spooled().then(|| Self { slices: rows.count(), bytes: rows.bytes() })
    }
}

impl Run<'_> {
    /// Counts what came to the target; nothing depends on it.
    pub(super) async fn count_bytes(&mut self) -> Came {
        let target = &self.opened.tables.target;
        let name = self.opened.pipeline.called(&self.opened.pipeline.target.table);
        let Some(before) = self.before.get(&name).filter(|before| **before < target.version()) else {
            return Came::default();
        };
        let came = target.came_since(*before).await.unwrap_or_else(|error| {
            tracing::debug!(error = error.chain(), "the bytes written are not known");
            Came::default()
        });
        self.bytes_written = came.bytes;
        came
    }

    /// The report or the error that an end stands for.
    pub(crate) async fn finish(self, ended: Conclusion) -> Result<Report> {
        let hooks = self.hooks;
        let report = match ended {
            Conclusion::End(End::Done(row)) => self.done(&row),
            Conclusion::End(End::Failed(row)) => return Err(undone(&row)),
            Conclusion::End(End::TakenBack(row)) => self.taken_back(row.as_deref()),
            Conclusion::End(End::Overtaken(row)) => return Err(overtaken(&row)),
            Conclusion::Refused(refusal) => return Err(Error::person(refusal.told()).hint(refusal.hint)),
            Conclusion::Rejected(rejected) => self.rejected(rejected).await?,
        };
        hooks.events.tell(&Event::Over(Over {
            batch_id: report.batch_id.clone(),
            status: report.ending.as_str(),
            rows: report.counts.staged,
            bytes: report.bytes_written,
            seconds: report.seconds,
        }));
        Ok(report)
    }

    fn done(self, row: &AuditRow) -> Report {
        let ledger_rows = self.observer.rows();
        let ledger = Ledger::new(ledger_rows);
        let sequence = row.sequence.unwrap_or_default();
        let ending = if self.made.contains(&row.batch_id) { Ending::Loaded } else { Ending::AlreadyLoaded };
        let recovered = self.made.iter().filter(|id| **id != row.batch_id).cloned().collect();
        let watermark = (ledger.live_watermark_at(sequence - 1), ledger.live_watermark_at(sequence));
        let mut report = Report { ending, recovered, ..self.report(row, watermark) };
        // An audit table made by an earlier version has no column for history.
        if let Some(kept) =
            self.kept.as_ref().filter(|_| self.course.intent.planned.as_ref() == Some(&row.batch_id))
        {
            report.memos.history = report.memos.history.max(kept.memos.history);
        }
        report
    }

    async fn rejected(self, rejected: Rejected) -> Result<Report> {
        let Rejected { live, row } = rejected;
        // The audit table has moved by this row.
        self.opened.tables.audit.refresh().await?;
        let recovered = self.made.iter().filter(|id| **id != row.batch_id).cloned().collect();
        let report = self.report(&row, (live, live));
        Ok(Report { ending: Ending::Rejected, recovered, ..report })
    }

    /// A replay that changed nothing.
    pub(super) fn nothing(&mut self, plan: &LoadPlan, row: &AuditRow) -> Report {
        let recovered = self.made.iter().cloned().collect();
        let report = self.report(row, (plan.live, plan.live));
        Report { ending: Ending::NothingToDo, sequence: None, recovered, ..report }
    }

    /// The report of a rollback, by this process, by another, or of nothing.
    fn taken_back(self, row: Option<&AuditRow>) -> Report {
        let Some(row) = row else {
            let nothing = self.blank();
            return Report { ending: Ending::NothingToDo, ..nothing };
        };
        let report = self.done(row);
        let ending = if report.ending == Ending::Loaded { Ending::RolledBack } else { Ending::NothingToDo };
        Report { ending, ..report }
    }

    /// What a rollback would take back.
    pub(crate) fn would_take_back(&self, plan: &UndoPlan) -> Report {
        let row = row_to_be(&plan.descriptor);
        let before = Ledger::new(self.observer.rows()).live_watermark();
        let rows: Vec<AuditRow> = self.observer.rows().iter().chain([&row]).cloned().collect();
        let after = Ledger::new(&rows).live_watermark();
        Report { recovered: Vec::new(), ..self.report(&row, (before, after)) }
    }

    /// A report of no batch.
    fn blank(&self) -> Report {
        let live = Ledger::new(self.observer.rows()).live_watermark();
        Report {
            pipeline: self.opened.pipeline.name.clone(),
            kind: BatchKind::Rollback,
            batch_id: String::new(),
            sequence: None,
            ending: Ending::NothingToDo,
            as_of: self.course.intent.as_of,
            window: Window::default(),
            watermark: (live, live),
            counts: Counts::default(),
            memos: Memos::default(),
            dq_errors: 0,
            checks: Vec::new(),
            would_reject: false,
            undone: Vec::new(),
            kept_aside: self.aside.clone(),
            recovered: self.made.iter().cloned().collect(),
            inputs: Vec::new(),
            tables: self.moved(),
            not_loaded: self.opened.spec.not_loaded(),
            drift: self.opened.columns.told(),
            reason: None,
            rewrite: None,
            strategy: self.chosen.clone(),
            slicing: self.slicing,
            purged: self.purged,
            seconds: self.started.elapsed().as_secs_f64(),
            steps: self.hooks.events.timings(),
            bytes_written: self.bytes_written,
            decisions: self.course.cases.clone(),
        }
    }

    /// The versions of all tables before and after.
    fn moved(&self) -> BTreeMap<String, (u64, u64)> {
        let before = |name: &String, after| self.before.get(name).copied().unwrap_or(after);
        self.versions()
            .into_iter()
            .map(|(name, after)| (name.clone(), (before(&name, after), after)))
            .collect()
    }

    /// A report of what an audit row says.
    pub(crate) fn report(&self, row: &AuditRow, watermark: (Option<Watermark>, Option<Watermark>)) -> Report {
        Report {
            kind: row.kind,
            batch_id: row.batch_id.clone(),
            sequence: row.sequence,
            ending: Ending::Planned,
            as_of: row.as_of,
            window: Window { from: row.watermark_from, to: row.watermark_to },
            watermark,
            counts: row.counts(),
            memos: row.memos(),
            dq_errors: row.dq_errors,
            checks: row.checks.clone(),
            undone: row.undone.clone(),
            recovered: Vec::new(),
            inputs: row.inputs.clone(),
            reason: row.reason.clone(),
            ..self.blank()
        }
    }

    /// The versions of all tables, by the name that people call them.
    pub(super) fn versions(&self) -> BTreeMap<String, u64> {
        let (pipeline, tables) = (&self.opened.pipeline, &self.opened.tables);
        let mut versions = BTreeMap::from([
            (pipeline.called(&pipeline.target.table), tables.target.version()),
            (pipeline.called(&pipeline.quarantine), tables.quarantine.version()),
            (pipeline.called(&pipeline.audit), tables.audit.version()),
            (pipeline.called(&pipeline.watermarks), tables.watermarks.version()),
        ]);
        if let Some(staging) = &tables.staging {
            versions.insert(pipeline.called(&pipeline.source.table), staging.version());
        }
        for (name, table) in &tables.dimensions {
            versions.insert(name.clone(), table.version());
        }
        versions
    }
}

fn undone(row: &AuditRow) -> Error {
    Error::person(format!(
        "a batch did not balance and was undone as batch number {}: {}",
        row.sequence.unwrap_or_default(),
        row.reason.as_deref().unwrap_or("no reason recorded")
    ))
    .hint("this is a bug in highwater or in the table library; nothing was loaded. Please report it")
}

fn overtaken(row: &AuditRow) -> Error {
    let sequence = row.sequence.unwrap_or_default();
    debug_assert_eq!(row.status, Status::RolledBack);
    Error::person(format!("somebody rolled batches back (number {sequence}) while this run was under way"))
        .hint("nothing was loaded; run it again to load what staging still holds, if that is wanted")
}
