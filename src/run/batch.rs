//! Carries out the steps of a batch.

use super::Run;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::hooks::RunStep;
use crate::lake::{Outcome, Stamp, Table, rejected_app};
use crate::model::{AuditRow, Descriptor, Group, Memos, Pin};
use crate::plan::rows::rejected_row;
use crate::plan::settle::{Commitment, Rejection, group_counts};
use crate::plan::step::{GroupPlan, UndoPlan};
use crate::plan::window::{Arrived, ReadPlan, own_watermark};
use crate::plan::{LoadPlan, Recipe, Staged, Verdict, settle};
use crate::stages::dedupe::{Deduped, dedupe};
use crate::stages::gate::{Nulls, incomplete, refused_by_target};
use crate::stages::locate::{Located, locate};
use crate::stages::merge::{Provenance, merge_source};
use crate::stages::read::read;
use crate::stages::record::to_batch;

/// What is kept of a staged batch between two attempts: the pinned input does not change.
pub(super) struct Kept {
    inputs: Vec<Pin>,
    recipe: Recipe,
    reading: ReadPlan,
    /// Late and future rows, and ties in the batch.
    memos: Memos,
    /// Digest of the files that the arrived rows were read from.
    arrivals: Option<String>,
    /// Rows that lack a value: outside of the dedupe, and after it.
    nulls: [Nulls; 2],
    deduped: Deduped,
    /// The located rows, and the target's version that they hold for.
    located: Option<(u64, Located)>,
}

/// How the attempt to load a batch ended.
pub(super) enum Loading {
    Committed,
    Lost,
    Unknown(Error),
    Rejected(Rejection, Box<AuditRow>),
}

impl Run<'_> {
    /// Stages a batch, settles it, and makes its deciding commit.
    pub(super) async fn load(&mut self, plan: &LoadPlan) -> Result<Loading> {
        self.hooks.begin(RunStep::Pin, &plan.batch_id);
        tracing::info!(batch = plan.batch_id, sequence = plan.sequence, window = ?plan.reading.window, "pinned");
        self.hooks.end(RunStep::Pin, &plan.batch_id);
        let recipe = self.opened.recipe.clone();
        let (staged, located) = self.stage(plan, &recipe).await?;

        let verdict = self.judge(&staged, &recipe);
        match verdict {
            Verdict::Reject(rejection) => self.reject(plan, rejection).await,
            Verdict::Commit(commitment) => {
                let own = own_watermark(
                    &recipe.rules.incremental,
                    plan.as_of,
                    staged.newest,
                    plan.reading.previous,
                );
                let group = self.first_group(&commitment, &plan.reading, &recipe)?;
                let descriptor = plan.descriptor(commitment.counts, commitment.memos, own, group);
                if let Some(imbalance) = whole_imbalance(&commitment, &staged) {
                    return Err(Error::bug(format!("the classes do not add up: {imbalance}")));
                }
                let partitions = commitment.groups.first().map(Vec::as_slice);
                let outcome = self.commit_rows(&descriptor, plan.onto, &recipe, &located, partitions).await?;
                if !commitment.groups.is_empty() {
                    self.keep_located(located, &outcome);
                }
                Ok(match outcome {
                    Outcome::Committed(version) => {
                        tracing::info!(batch = plan.batch_id, version, "committed");
                        self.made.insert(plan.batch_id.clone());
                        Loading::Committed
                    }
                    Outcome::Lost => Loading::Lost,
                    Outcome::Unknown(error) => Loading::Unknown(error),
                })
            }
        }
    }

    /// Reads, dedupes and locates the rows of a planned batch.
    pub(crate) async fn stage(&mut self, plan: &LoadPlan, recipe: &Recipe) -> Result<(Staged, Located)> {
        let staging = self.opened.staging()?.clone();
        self.keep_deduped(&plan.inputs, &plan.reading, recipe, &staging).await?;
        let kept = self.kept.as_ref().ok_or_else(|| Error::bug("nothing was staged"))?;
        self.hooks.begin(RunStep::Locate, &format!("{} rows", kept.deduped.rows.len()));
        let located = locate(&self.opened.engine, recipe, &kept.deduped, &self.opened.tables.target).await?;
        self.hooks.end(RunStep::Locate, "");
        let examples = kept.nulls.iter().flat_map(|nulls| &nulls.examples);
        let staged = Staged {
            dedupe: kept.deduped.counts,
            memos: kept.memos,
            cells: located.cells.clone(),
            target_ties: located.ties.rows,
            lacking_ties: located.ties.lacking,
            nulls: kept.nulls.iter().flat_map(|nulls| nulls.by_column.clone()).collect(),
            null_rows: kept.nulls.iter().map(|nulls| nulls.rows).sum(),
            examples: examples.chain(&located.ties.examples).cloned().collect(),
            newest: kept.deduped.newest,
        };
        Ok((staged, located))
    }

    /// Reads and dedupes, unless that was done for the same input before.
    async fn keep_deduped(
        &mut self,
        inputs: &[Pin],
        reading: &ReadPlan,
        recipe: &Recipe,
        staging: &Table,
    ) -> Result<()> {
        if self
            .kept
            .as_ref()
            .is_some_and(|kept| kept.inputs == inputs && kept.recipe == *recipe && kept.reading == *reading)
        {
            return Ok(());
        }
        self.kept = None;
        let engine = &self.opened.engine;
        self.hooks.begin(RunStep::Read, "");
        let rows = read(engine, recipe, reading, staging).await?;
        let found = format!("{} rows", rows.rows.len());
        self.hooks.end(RunStep::Read, &found);
        self.hooks.begin(RunStep::Hash, &found);
        self.hooks.end(RunStep::Hash, &found);
        self.hooks.begin(RunStep::Dedupe, &found);
        let (mut memos, arrivals) = (rows.memos, rows.arrivals.clone());
        let alone = incomplete(engine, recipe, &rows.rows).await?;
        let deduped = dedupe(engine, recipe, rows.rows, alone.rows).await?;
        let refused = refused_by_target(engine, recipe, &deduped.rows).await?;
        memos.ties.in_batch = deduped.ties;
        self.hooks.end(RunStep::Dedupe, &format!("{} rows", deduped.rows.len()));
        self.kept = Some(Kept {
            inputs: inputs.to_vec(),
            recipe: recipe.clone(),
            reading: reading.clone(),
            memos,
            arrivals,
            nulls: [alone, refused],
            deduped,
            located: None,
        });
        Ok(())
    }

    pub(crate) fn judge(&self, staged: &Staged, recipe: &Recipe) -> Verdict {
        self.hooks.begin(RunStep::Gate, "");
        let verdict = settle(staged, recipe.rules.on_tie, self.opened.pipeline.partitions_per_commit);
        let detail = match &verdict {
            Verdict::Reject(rejection) => rejection.reason.clone(),
            Verdict::Commit(_) => "passed".to_owned(),
        };
        self.hooks.end(RunStep::Gate, &detail);
        verdict
    }

    /// Commits the rows that go to `partitions`, or all: a MERGE, or an empty commit where none is written.
    async fn commit_rows(
        &self,
        descriptor: &Descriptor,
        onto: u64,
        recipe: &Recipe,
        located: &Located,
        partitions: Option<&[String]>,
    ) -> Result<Outcome> {
        let group = descriptor.group.as_ref().map_or(0, |group| group.index);
        let rows = descriptor.counts.inserted + descriptor.counts.updated;
        self.hooks.begin_commit(group, &format!("{rows} rows"));
        let target = self.opened.tables.target.at_decided(onto)?;
        let stamp = Stamp::describe(descriptor)?;
        let outcome = if rows == 0 {
            target.commit_empty(stamp).await?
        } else {
            let engine: &Engine = &self.opened.engine;
            let provenance = Provenance { batch_id: &descriptor.batch_id, loaded_at: descriptor.run_start };
            let mut source = merge_source(engine, recipe, located, partitions, provenance).await?;
            if self.hooks.lose_a_row {
                source.lose_a_row()?;
            }
            target.merge(source, &engine.state(), stamp).await?
        };
        if matches!(outcome, Outcome::Committed(_)) {
            self.hooks.end_commit(group, &format!("{rows} rows"));
        }
        Ok(outcome)
    }

    /// Writes the next group of an unfinished batch, by the recipe that the batch was begun with.
    pub(super) async fn write_group(&mut self, plan: &GroupPlan) -> Result<Outcome> {
        let begun = plan.first.group.as_ref();
        let recipe: Recipe = begun
            .and_then(|group| group.recipe.clone())
            .and_then(|recipe| serde_json::from_value(recipe).ok())
            .ok_or_else(|| unreadable_group(&plan.first))?;
        let partitions = begun.and_then(|group| group.partitions.get(plan.index));
        let partitions = partitions.ok_or_else(|| unreadable_group(&plan.first))?;
        let of = begun.map_or(0, |group| group.of);

        let pinned = plan.first.inputs.first().map_or(0, |pin| pin.version);
        let gone = || Error::retry("staging's pinned version is gone");
        let staging = self.opened.tables.staging.as_ref().ok_or_else(gone)?.at(pinned).await?;
        let staging = staging.ok_or_else(gone)?;
        self.keep_deduped(&plan.first.inputs, &plan.reading, &recipe, &staging).await?;
        let located = self.located_again(plan.onto, &recipe).await?;
        let descriptor = Descriptor {
            counts: group_counts(&located.cells, partitions),
            memos: Memos::default(),
            run_end: self.intent.clock.frozen(),
            group: Some(Group {
                index: plan.index,
                partitions: Vec::new(),
                of,
                arrived_after: None,
                arrivals: None,
                recipe: None,
            }),
            ..plan.first.clone()
        };
        let outcome = self.commit_rows(&descriptor, plan.onto, &recipe, &located, Some(partitions)).await?;
        self.keep_located(located, &outcome);
        Ok(outcome)
    }

    /// The first group's part of the descriptor, if the batch is written in groups.
    fn first_group(
        &self,
        commitment: &Commitment,
        reading: &ReadPlan,
        recipe: &Recipe,
    ) -> Result<Option<Group>> {
        if commitment.groups.is_empty() {
            return Ok(None);
        }
        let recipe =
            serde_json::to_value(recipe).map_err(|error| Error::bug("a recipe is no JSON").because(error))?;
        let arrived_after = match reading.arrived {
            Arrived::After(version) => Some(version),
            Arrived::Everything => None,
        };
        Ok(Some(Group {
            index: 0,
            partitions: commitment.groups.clone(),
            of: commitment.groups.len(),
            arrived_after,
            arrivals: self.kept.as_ref().and_then(|kept| kept.arrivals.clone()),
            recipe: Some(recipe),
        }))
    }

    /// The rows located on version `onto`. Where the only commits since they were located are groups of
    /// this very batch, made by this process, they hold still: groups have no key in common.
    async fn located_again(&mut self, onto: u64, recipe: &Recipe) -> Result<Located> {
        let kept = self.kept.as_mut().ok_or_else(|| Error::bug("nothing was staged"))?;
        if let Some((version, located)) = kept.located.take()
            && version == onto
        {
            return Ok(located);
        }
        locate(&self.opened.engine, recipe, &kept.deduped, &self.opened.tables.target).await
    }

    /// Keeps located rows for the next group, if this process committed onto the version they hold for.
    fn keep_located(&mut self, located: Located, outcome: &Outcome) {
        if let (Some(kept), Outcome::Committed(version)) = (&mut self.kept, outcome) {
            kept.located = Some((*version, located));
        }
    }

    /// Takes an unbalanced batch back.
    pub(super) async fn undo(&mut self, plan: &UndoPlan) -> Result<Outcome> {
        tracing::error!(reason = plan.descriptor.reason, "undoing a batch that does not balance");
        let stamp = Stamp::describe(&plan.descriptor)?;
        self.opened.tables.target.at_decided(plan.onto)?.restore(plan.restore_to, stamp).await
    }

    pub(super) async fn append_audit(&self, row: &AuditRow, onto: u64) -> Result<Outcome> {
        let table = self.opened.tables.audit.at_decided(onto)?;
        let sequence = row.sequence.unwrap_or_default();
        table.append(to_batch(table, row)?, Stamp::number(&row.pipeline, sequence)).await
    }

    /// Records a rejection, unless the same one is recorded already.
    async fn reject(&mut self, plan: &LoadPlan, rejection: Rejection) -> Result<Loading> {
        let row = rejected_row(plan, &rejection);
        if plan.rejections.contains(&row.batch_id) {
            return Ok(Loading::Rejected(rejection, Box::new(row)));
        }
        self.hooks.begin(RunStep::Audit, &row.batch_id);
        let table = self.opened.tables.audit.at_decided(plan.audit_onto)?;
        let app = rejected_app(&row.pipeline);
        let number = table.txn(&app).await?.unwrap_or_default() + 1;
        let outcome = table.append(to_batch(table, &row)?, Stamp::number(&app, number)).await?;
        Ok(match outcome {
            Outcome::Committed(_) => {
                self.hooks.end(RunStep::Audit, &row.batch_id);
                Loading::Rejected(rejection, Box::new(row))
            }
            Outcome::Lost => Loading::Lost,
            Outcome::Unknown(error) => Loading::Unknown(error),
        })
    }
}

/// Whether the classes of the whole batch add up, before anything is written.
fn whole_imbalance(commitment: &Commitment, staged: &Staged) -> Option<String> {
    let rest = commitment.groups.iter().skip(1).map(|partitions| group_counts(&staged.cells, partitions));
    rest.fold(commitment.counts, |sum, counts| sum + counts).imbalance()
}

fn unreadable_group(first: &Descriptor) -> Error {
    Error::person(format!("batch {} is unfinished, and its list of groups cannot be read", first.batch_id))
        .hint("run it once more with the version of highwater that it was begun with")
}
