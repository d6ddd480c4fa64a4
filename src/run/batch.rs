//! Carries out the steps of a batch.

use std::collections::BTreeMap;

use super::Run;
use super::quarantine::fate;
use super::report::Slicing;
use crate::engine::{Engine, Rows, Slices};
use crate::error::{Error, Result};
use crate::events::{RunStep, Subject};
use crate::lake::{Replacement, Table, WriteBy, WriteRows};
use crate::model::{AuditRow, BatchKind, Descriptor, Memos, Pin, Strategy, Watermark};
use crate::plan::rows::{rejected_row, row_to_be};
use crate::plan::step::UndoPlan;
use crate::plan::strategy::{Needs, choose, touched_partitions};
use crate::plan::verdict::{Commitment, Rejection, group_counts};
use crate::plan::window::{ReadPlan, own_watermark};
use crate::plan::{
    Allowed, Chosen, Circumstances, Decided, LoadPlan, LoadSpec, Staged, Terms, Verdict, settle,
};
use crate::protocol::{Change, Outcome, Write};
use crate::runner::runner;
use crate::stages::dedupe::{Deduped, dedupe, newest_day};
use crate::stages::gate::{self, Examined, Gated, incomplete, measure, staged_rates};
use crate::stages::locate::{Located, files_to_rewrite, locate, recount, refuse_partitions};
use crate::stages::merge::{Provenance, merge_source};
use crate::stages::nested::must_fit_parts;
use crate::stages::quarantine::{Fate, KeptOut, count_kept, count_kept_ties, keep_out};
use crate::stages::read::read;
use crate::stages::replace::{Way, replacement};

/// Bytes that a MERGE holds for each byte of the files that it rewrites, as measured: a file is smaller than its rows,
/// which are there twice.
const HELD_BY_MERGE: u64 = 5;

/// Bytes that a thread which writes files anew holds for each byte of the row group that it is at, as measured.
const HELD_BY_REWRITE: u64 = 5;

/// Bytes of a large row group: few writers make larger ones.
const LARGE_ROW_GROUP: u64 = 128 << 20;

/// What is kept of a staged batch between two attempts: the pinned input does not change.
pub(super) struct StagedCache {
    inputs: Vec<Pin>,
    spec: LoadSpec,
    reading: ReadPlan,
    /// Late and future rows, and ties in the batch.
    pub(super) memos: Memos,
    /// Digest of the files that the arrived rows were read from.
    pub(super) arrivals: Option<String>,
    /// Rows that lack a required value, and stand outside of the dedupe.
    alone: Rows,
    /// What the gate measures on staged rows, by the number of the check.
    rates: BTreeMap<usize, (i64, i64)>,
    pub(super) deduped: Deduped,
    /// The located rows, and the target's version that they hold for.
    pub(super) located: Option<(u64, Located)>,
}

/// A batch that is ready to be settled.
pub(crate) struct Stage {
    /// What settles it.
    pub(crate) staged: Staged,
    /// Its rows, those that are kept out in a class of their own.
    pub(crate) located: Located,
    /// What the gate found.
    pub(crate) gated: Gated,
    /// How its rows are written.
    pub(crate) chosen: Chosen,
}

/// A staged batch, and what the gate found in it.
#[derive(Clone, Copy)]
pub(super) struct Batch<'a> {
    pub(super) plan: &'a LoadPlan,
    pub(super) spec: &'a LoadSpec,
    /// Its rows, those that are kept out in a class of their own.
    pub(super) rows: &'a Slices,
    pub(super) gated: &'a Gated,
}

/// How the attempt to load a batch ended.
pub(super) enum Loading {
    /// With an attempt at its commit.
    Tried(Outcome),
    /// The row that says so.
    Rejected(Box<AuditRow>),
    /// A replay that changes nothing; the row that it would have had.
    Nothing(Box<AuditRow>),
}

impl Run<'_> {
    /// Stages a batch, settles it, and makes its deciding commit.
    pub(super) async fn load(&mut self, plan: &LoadPlan) -> Result<Loading> {
        self.hooks.begin(RunStep::Pin, Subject::Batch(plan.batch_id.clone()));
        tracing::info!(batch = plan.batch_id, sequence = plan.sequence, window = ?plan.reading.window, "pinned");
        self.hooks.end(RunStep::Pin, Subject::Batch(plan.batch_id.clone()));
        self.tell_drift();
        let spec = self.spec_of(plan);
        let Stage { staged, located, gated, chosen } = self.stage(plan, &spec).await?;
        let verdict = self.judge(plan, &staged, &spec, &chosen);
        tracing::debug!(strategy = chosen.strategy.as_str(), why = chosen.why, "how rows are written");
        let batch = Batch { plan, spec: &spec, rows: &located.rows, gated: &gated };
        match verdict {
            Verdict::Reject(rejection) => self.reject(batch, rejection).await,
            Verdict::Nothing(commitment) => {
                Ok(Loading::Nothing(Box::new(planned_row(plan, &commitment, None))))
            }
            Verdict::Commit(commitment) => {
                let own = own_watermark_of(plan, &spec, &staged);
                let group = self.first_group(&commitment, &plan.reading, &spec).await?;
                if let Some(imbalance) = whole_imbalance(&commitment, &staged) {
                    return Err(Error::bug(format!("the classes do not add up: {imbalance}")));
                }
                let quarantine = self.prepare_entries(batch, fate(plan.kind), &plan.batch_id).await?;
                let descriptor = plan.descriptor(Decided {
                    counts: commitment.counts,
                    memos: commitment.memos,
                    own_watermark: own,
                    checks: commitment.checks.clone(),
                    dq_errors: commitment.dq_errors,
                    quarantine,
                    strategy: chosen.strategy,
                    drift: self.opened.columns.told(),
                    group,
                });
                self.chosen = Some(chosen);
                let partitions = commitment.groups.first().map(Vec::as_slice);
                let outcome = self.commit_rows(&descriptor, plan.onto, &spec, &located, partitions).await?;
                if !commitment.groups.is_empty() {
                    self.keep_located(located, &outcome);
                }
                Ok(Loading::Tried(outcome))
            }
        }
    }

    /// How the rows of a planned batch are read and compared.
    pub(crate) fn spec_of(&self, plan: &LoadPlan) -> LoadSpec {
        let spec = &self.opened.spec;
        if plan.kind == BatchKind::Replay { spec.of_entries() } else { spec.clone() }
    }

    /// Reads, dedupes, locates and measures the rows of a planned batch.
    pub(crate) async fn stage(&mut self, plan: &LoadPlan, spec: &LoadSpec) -> Result<Stage> {
        let staging = self.opened.staging()?.clone();
        self.opened.check_columns_again()?;
        if plan.kind == BatchKind::Load && plan.history.is_empty() {
            self.opened.columns.unless_loaded.take().map_or(Ok(()), Err)?;
        }
        let source =
            if plan.kind == BatchKind::Replay { self.opened.tables.quarantine.clone() } else { staging };
        self.keep_deduped(&plan.inputs, &plan.reading, spec, &source).await?;
        let kept = self.kept.as_ref().ok_or_else(|| Error::bug("nothing was staged"))?;
        self.hooks.begin(RunStep::Locate, counted(kept.deduped.rows.len()));
        let engine = &self.opened.engine;
        let mut located = locate(engine, spec, &kept.deduped, &self.opened.tables.target).await?;
        self.hooks.end(RunStep::Locate, Subject::Nothing);
        let chosen = self.choose(spec, &located)?;

        self.hooks.begin(RunStep::Gate, Subject::Checks(spec.checks.len()));
        let examined = Examined {
            located: &located.rows,
            alone: &kept.alone,
            counts: kept.deduped.counts,
            staged: &kept.rates,
            dimensions: &self.opened.tables.dimensions,
            quarantine: &self.opened.tables.quarantine,
            in_effect: &plan.in_effect,
            accepted: &plan.accepted,
            terms: gate::StatementTerms { as_of: plan.as_of, limit: self.opened.pipeline.checks_timeout },
        };
        let gated = measure(engine, spec, &examined).await?;
        let KeptOut { out, outside, evidence, judged_ties } = count_kept(&gated)?;
        let mut kept_ties = 0;
        if out > outside {
            located.rows = keep_out(engine, spec, &located.rows, &gated).await?;
            located.cells = recount(engine, spec, &located.rows).await?;
            kept_ties = count_kept_ties(engine, spec, &located.rows).await?;
        }
        let local = self.opened.tables.target.is_local();
        refuse_partitions(engine, spec, &located.rows, local).await?;
        let staged = Staged {
            dedupe: kept.deduped.counts,
            memos: kept.memos,
            cells: located.cells.clone(),
            target_ties: located.ties.rows,
            tied_examples: located.ties.examples.clone(),
            measures: gated.measures.clone(),
            dq_errors: gated.dq_errors,
            tied_errors: gated.tied_errors,
            kept_ties,
            evidence,
            outside,
            judged_ties,
            newest: newest_day(engine, spec, &located.rows).await?,
        };
        Ok(Stage { staged, located, gated, chosen })
    }

    /// Reads and dedupes, unless that was done for the same input before.
    pub(super) async fn keep_deduped(
        &mut self,
        inputs: &[Pin],
        reading: &ReadPlan,
        spec: &LoadSpec,
        staging: &Table,
    ) -> Result<()> {
        if self
            .kept
            .as_ref()
            .is_some_and(|kept| kept.inputs == inputs && kept.spec == *spec && kept.reading == *reading)
        {
            return Ok(());
        }
        self.kept = None;
        let engine = &self.opened.engine;
        self.hooks.begin(RunStep::Read, Subject::Nothing);
        let rows = read(engine, spec, reading, staging).await?;
        let found = counted(rows.rows.len());
        self.hooks.end(RunStep::Read, found.clone());
        self.hooks.begin(RunStep::Hash, found.clone());
        self.hooks.end(RunStep::Hash, found.clone());
        self.hooks.begin(RunStep::Dedupe, found);
        let (mut memos, arrivals) = (rows.memos, rows.arrivals.clone());
        self.slicing = Slicing::of(&rows.rows);
        if let Some(Slicing { slices, bytes }) = self.slicing {
            tracing::info!(slices, bytes, "cut by key, for the rows do not fit memory");
        }
        let alone = incomplete(engine, spec, &rows.rows).await?;
        let terms = gate::StatementTerms {
            as_of: self.course.intent.as_of,
            limit: self.opened.pipeline.checks_timeout,
        };
        let rates = staged_rates(engine, spec, &rows.rows, terms).await?;
        let outside = i64::try_from(alone.len()).unwrap_or(i64::MAX);
        let deduped = dedupe(engine, spec, rows.rows, outside).await?;
        memos.ties.in_batch = deduped.ties;
        self.hooks.end(RunStep::Dedupe, counted(deduped.rows.len()));
        self.kept = Some(StagedCache {
            inputs: inputs.to_vec(),
            spec: spec.clone(),
            reading: reading.clone(),
            memos,
            arrivals,
            alone,
            rates,
            deduped,
            located: None,
        });
        Ok(())
    }

    /// What the target allows.
    pub(super) fn allowed(&self, spec: &LoadSpec) -> Result<Allowed> {
        let target = &self.opened.tables.target;
        let left_as_it_is =
            |name: &str| spec.column(name).is_none() && !spec.rules.load_columns.contains(name);
        let schema = target.arrow_schema()?;
        let left = schema.fields().iter().find(|field| left_as_it_is(field.name()));
        let left = left.map(|field| format!("the target's column `{}` stays as it is", field.name()));
        Ok(Allowed {
            replacing: target.keeps_from_replacing()?.or(left),
            merging: target.keeps_from_merging()?,
            vectors: target.keeps_from_vectors()?,
        })
    }

    /// By which strategy the located rows are written.
    fn choose(&self, spec: &LoadSpec, located: &Located) -> Result<Chosen> {
        let (target, pipeline) = (&self.opened.tables.target, &self.opened.pipeline);
        must_fit_parts(spec, located, target)?;
        let allowed = self.allowed(spec)?;
        let (_, bytes) = files_to_rewrite(located, target)?;
        let room = self.opened.engine.room();
        // The located rows, and those of them that are merged: on disk they are as long as they are not merged.
        let rows = 2 * located.rows.bytes();
        let (held, to_be_held) = if located.rows.is_spooled() { (0, rows) } else { (rows, 0) };
        let needs = Needs {
            bytes: bytes.unsigned_abs().saturating_mul(HELD_BY_MERGE).saturating_add(to_be_held as u64),
            room: room.saturating_sub(held).max(room / 8) as u64,
            partitions: touched_partitions(&located.cells),
        };
        choose(pipeline.strategy, &allowed, needs)
    }

    pub(crate) fn judge(
        &self,
        plan: &LoadPlan,
        staged: &Staged,
        spec: &LoadSpec,
        chosen: &Chosen,
    ) -> Verdict {
        let verdict = settle(
            staged,
            &Terms {
                checks: &spec.checks,
                on_tie: spec.rules.on_tie,
                partitions_per_commit: match chosen.strategy {
                    Strategy::Builder => {
                        self.opened.pipeline.partitions_per_commit.min(chosen.partitions_at_once)
                    }
                    Strategy::DeletionVectors | Strategy::Rewrite => usize::MAX,
                },
                by: Circumstances {
                    kind: plan.kind,
                    as_of: plan.as_of,
                    accepted: &plan.accepted,
                    history: &plan.history,
                },
            },
        );
        let detail = match &verdict {
            Verdict::Reject(rejection) => rejection.reason.clone(),
            Verdict::Commit(_) | Verdict::Nothing(_) => "passed".to_owned(),
        };
        self.hooks.end(RunStep::Gate, Subject::Told(detail));
        verdict
    }

    /// Commits the rows that go to `partitions`, or all: a MERGE, or an empty commit where none is written.
    pub(super) async fn commit_rows(
        &self,
        descriptor: &Descriptor,
        onto: u64,
        spec: &LoadSpec,
        located: &Located,
        partitions: Option<&[String]>,
    ) -> Result<Outcome> {
        let group = descriptor.group.as_ref().map_or(0, |group| group.index);
        let rows = descriptor.counts.inserted + descriptor.counts.updated;
        let written = Subject::Rows(rows.unsigned_abs());
        self.hooks.begin_commit(group, written.clone());
        let change = if rows == 0 {
            Change::Nothing
        } else {
            let engine: &Engine = &self.opened.engine;
            let provenance = Provenance { batch_id: &descriptor.batch_id, loaded_at: descriptor.run_start };
            let lose = self.hooks.fail_points.lose_a_row;
            let (by, threads) = if descriptor.strategy == Strategy::Builder {
                let mut source = merge_source(engine, spec, located, partitions, provenance).await?;
                if lose {
                    source.lose_a_row()?;
                }
                (WriteBy::Merge(Box::new(source)), engine.threads())
            } else {
                let by_vectors = descriptor.strategy == Strategy::DeletionVectors;
                let target = self.opened.tables.target.arrow_schema()?;
                let (sort_by, threads) = (&self.opened.pipeline.sort_by, engine.threads());
                let way = Way { by_vectors, sort_by, threads };
                let mut rows = replacement(spec, located, &target, provenance, way)?;
                if lose {
                    rows.lose_a_row();
                }
                let threads = if by_vectors { engine.threads() } else { self.threads_to_rewrite(&rows)? };
                (WriteBy::Replace(rows), threads)
            };
            Change::Merge(WriteRows { by, state: engine.state_with_threads(threads) })
        };
        let outcome = Write::batch(descriptor.clone(), onto, change).make(&self.opened.tables).await?;
        if matches!(outcome, Outcome::Committed(_)) {
            self.hooks.end_commit(group, written);
        }
        Ok(outcome)
    }

    /// How many files are written anew side by side: a row group of each is in memory.
    fn threads_to_rewrite(&self, rows: &Replacement) -> Result<usize> {
        let target = &self.opened.tables.target;
        let files = target.files()?;
        let rewritten = files.iter().filter(|(file, _)| rows.replaced.contains_key(&target.url_of(file)));
        let largest = rewritten.map(|(_, size)| size.bytes.unsigned_abs()).max().unwrap_or_default();
        let each = largest.clamp(1, LARGE_ROW_GROUP).saturating_mul(HELD_BY_REWRITE);
        let room = self.opened.engine.room() as u64 / 2;
        Ok(usize::try_from(room / each).unwrap_or(usize::MAX))
    }

    /// Takes batches back.
    pub(super) async fn undo(&mut self, plan: &UndoPlan) -> Result<Outcome> {
        tracing::info!(reason = plan.descriptor.reason, undone = ?plan.descriptor.undone, "taking batches back");
        if plan.foreign {
            self.keep_aside(plan, true).await?;
        }
        let detail = Subject::Version(plan.restore_to);
        self.hooks.begin_commit(0, detail.clone());
        let outcome = Write::undo(plan).make(&self.opened.tables).await?;
        if matches!(outcome, Outcome::Committed(_)) {
            self.hooks.end_commit(0, detail);
        }
        Ok(outcome)
    }

    /// Records a rejection, unless the same one is recorded already.
    async fn reject(&mut self, batch: Batch<'_>, rejection: Rejection) -> Result<Loading> {
        let plan = batch.plan;
        let drift = self.opened.columns.told();
        let row = AuditRow { runner: runner().await, drift, ..rejected_row(plan, &rejection) };
        if plan.rejections.contains(&row.batch_id) {
            return Ok(Loading::Rejected(Box::new(row)));
        }
        let work = self.prepare_entries(batch, Fate::Reject, &row.batch_id).await?;
        self.hooks.begin(RunStep::Audit, Subject::Batch(row.batch_id.clone()));
        let row = Box::new(row);
        let write = Write::rejection(&self.opened.tables, plan, row.clone(), work).await?;
        let outcome = write.make(&self.opened.tables).await?;
        if !matches!(outcome, Outcome::Committed(_)) {
            return Ok(Loading::Tried(outcome));
        }
        self.hooks.end(RunStep::Audit, Subject::Batch(row.batch_id.clone()));
        Ok(Loading::Rejected(row))
    }
}

/// So many rows, for an event.
fn counted(rows: usize) -> Subject {
    Subject::Rows(u64::try_from(rows).unwrap_or(u64::MAX))
}

/// The watermark that a batch stores as its own. A replay stores none.
pub(crate) fn own_watermark_of(plan: &LoadPlan, spec: &LoadSpec, staged: &Staged) -> Option<Watermark> {
    let rules = &spec.rules.incremental;
    let own = || own_watermark(rules, plan.as_of, staged.newest, plan.reading.previous);
    (plan.kind == BatchKind::Load).then(own).flatten()
}

/// The audit row that a batch would have.
pub(crate) fn planned_row(plan: &LoadPlan, commitment: &Commitment, own: Option<Watermark>) -> AuditRow {
    let descriptor = plan.descriptor(Decided {
        counts: commitment.counts,
        memos: commitment.memos,
        own_watermark: own,
        checks: commitment.checks.clone(),
        dq_errors: commitment.dq_errors,
        quarantine: None,
        strategy: Strategy::default(),
        drift: Vec::new(),
        group: None,
    });
    row_to_be(&descriptor)
}

/// Whether the classes of the whole batch add up, before anything is written.
fn whole_imbalance(commitment: &Commitment, staged: &Staged) -> Option<String> {
    let rest = commitment.groups.iter().skip(1).map(|partitions| group_counts(&staged.cells, partitions));
    rest.fold(commitment.counts, |sum, counts| sum + counts).imbalance()
}
