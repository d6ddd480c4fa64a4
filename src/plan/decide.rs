//! From what was observed to the next step.
//!
//! A run is a loop: observe, [`decide`], do that one step with a compare-and-set on the table's log, and
//! again. A crash is nothing special, because the next run observes what is there. A lost race is
//! nothing special, because the loser observes again and helps to finish.
//!
//! # Why this order is safe
//!
//! A batch is written in this order: target, audit, watermark. The target's commit decides: before it,
//! only data files exist that no log names; after it, everything that is left to do follows from the
//! descriptor in that commit. So at any instant the tables are in one of the states below, and each has
//! one way forward. `n` is the newest number in the target's log.
//!
//! The case letters are used by the code below and by the tests.
//!
//! | Case | State | Step |
//! |---|---|---|
//! | A | the target, or a record table, is another table than the one last written | refuse |
//! | B | a record table is ahead of what it records | refuse |
//! | C | somebody's RESTORE took the target back to before a batch of this pipeline | refuse |
//! | D | `n` has no audit row, and its first descriptor is gone from the log | refuse |
//! | E | numbers before `n` are missing from a record table | look again, then refuse |
//! | F | groups of `n` are missing, staging's pinned version can be read | write the next group |
//! | G | groups of `n` are missing, staging's pinned version is gone | abandon `n` |
//! | H | a commit of `n` does not balance, or did not and was taken back by hand | undo `n`, as batch `n + 1` |
//! | I | a commit of `n` does not balance, and other data lies on top | refuse |
//! | J | `n` is complete and balances, without an audit row | write the audit row |
//! | K | `n` has an audit row, without a watermark row | write the watermark row |
//! | L | all done; `n` undid an unbalanced batch while this run looked on | end: failed |
//! | M | all done; somebody rolled a batch back while this run looked on | end: overtaken |
//! | N | all done; a batch with this run's inputs is in effect | end: done |
//! | O | all done; staging is older than what the last load read | refuse |
//! | P | all done; this run's batch is not loaded | load |

use chrono::{DateTime, NaiveDate, Utc};

use super::batch_id::{batch_id, undo_id};
use super::ledger::{Ledger, staging_pin};
use super::recipe::Rules;
use super::rows::{audit_row, watermark_row};
use super::seen::{Commit, Seen};
use super::window::{ReadPlan, plan_reading};
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

/// Decides the next step. See the [module documentation](self) for the cases.
#[must_use]
pub fn decide(seen: &Seen, intent: &Intent) -> Step {
    let ledger = Ledger::new(&seen.rows);
    if let Some(refusal) = another_table(seen, &ledger) {
        return Step::Refuse(refusal); // Case A
    }
    let newest = seen.fact.sequence.max(seen.fact.group_sequence);
    if seen.audit.sequence > newest || seen.watermarks.sequence > seen.audit.sequence {
        return Step::Refuse(records_ahead(seen, newest)); // Case B
    }
    if let Some(refusal) = restored_by_another(seen, &ledger)
        && !was_taken_back(seen, newest)
    {
        return Step::Refuse(refusal); // Case C
    }
    if newest > seen.audit.sequence {
        return finish_target(seen, intent, &ledger, newest); // Cases D to J
    }
    if newest > seen.watermarks.sequence {
        return finish_watermark(seen, intent, &ledger, newest); // Cases E and K
    }
    start_or_end(seen, intent, &ledger) // Cases L to P
}

/// Cases D to J: number `newest` is in the target and has no audit row.
fn finish_target(seen: &Seen, intent: &Intent, ledger: &Ledger<'_>, newest: i64) -> Step {
    let commits: Vec<&Commit> = own_commits(seen, newest).collect();
    let (Some(first), Some(last)) = (
        commits
            .first()
            .and_then(|commit| commit.descriptor.as_ref())
            .filter(|first| is_first_of_batch(first)),
        commits.last().and_then(|commit| commit.descriptor.as_ref()),
    ) else {
        return Step::Refuse(Refusal {
            case: 'D',
            message: format!(
                "batch number {newest} is unfinished, and its entry is gone from the target's log"
            ),
            hint: format!(
                "somebody cleaned the log past an unfinished batch; append its audit row by hand, in a \
                 commit with the txn entry (appId {}, version {newest}), or give this pipeline another name",
                intent.rules.pipeline
            ),
        }); // Case D
    };
    if last.tables != seen.tables() {
        return Step::Refuse(another_record_table(newest)); // Case A
    }
    if last.covers_from > seen.audit.sequence + 1 {
        return gap(seen, intent, newest); // Case E
    }
    let written_whole = last.status != Status::Loaded || last.is_last_of_batch();
    let unbalanced = commits.iter().find_map(|commit| commit.imbalance().map(|why| (commit.version, why)));
    if let Some((version, why)) = unbalanced {
        return undo(seen, intent, first, version, &why); // Cases H and I
    }
    if !written_whole {
        if seen.pinned_readable {
            let index = last.group.as_ref().map_or(0, |group| group.index + 1);
            let reading = reading_of(first, intent, ledger);
            return Step::WriteGroup(Box::new(GroupPlan {
                first: first.clone(),
                index,
                onto: seen.fact.version,
                reading,
            })); // Case F
        }
        return Step::Abandon(Box::new(abandoned(first))); // Case G
    }
    Step::WriteAudit { row: Box::new(audit_row(&commits, first, last)), onto: seen.audit.version } // Case J
}

/// Cases E and K: number `newest` has its audit row and no watermark row.
fn finish_watermark(seen: &Seen, intent: &Intent, ledger: &Ledger<'_>, newest: i64) -> Step {
    let before = ledger.rows().iter().filter_map(|row| row.sequence).filter(|n| *n < newest).max();
    let Some(row) = ledger.numbered(newest) else {
        return gap(seen, intent, newest); // Case E
    };
    if before.is_some_and(|before| seen.watermarks.sequence < before) {
        return gap(seen, intent, newest); // Case E
    }
    Step::WriteWatermark { row: watermark_row(row, ledger), onto: seen.watermarks.version } // Case K
}

/// Cases L to P: every number in the target is recorded.
fn start_or_end(seen: &Seen, intent: &Intent, ledger: &Ledger<'_>) -> Step {
    let first = intent.first.unwrap_or(First { audited: seen.audit.sequence, newest: seen.fact.sequence });
    let newer = |status, than| {
        let mut rows = ledger.rows().iter();
        rows.find(|row| row.status == status && row.sequence.is_some_and(|n| n > than))
    };
    if let Some(row) = newer(Status::Failed, first.audited) {
        return Step::End(End::Failed(Box::new(row.clone()))); // Case L
    }
    if let Some(row) = newer(Status::RolledBack, first.newest) {
        return Step::End(End::Overtaken(Box::new(row.clone()))); // Case M
    }
    let digest = intent.rules.digest();
    let id = batch_id(BatchKind::Load, intent.as_of, &digest, &seen.inputs, ledger);
    if let Some(row) = ledger.loaded(&id) {
        return Step::End(End::Done(Box::new(row.clone()))); // Case N
    }
    let Some(staging) = seen.inputs.first() else {
        return Step::Refuse(Refusal {
            case: 'O',
            message: "no staging table was pinned".to_owned(),
            hint: "this is a bug".to_owned(),
        });
    };
    if let Some(refusal) = staging_went_back(staging, ledger) {
        return Step::Refuse(refusal); // Case O
    }
    Step::Load(Box::new(LoadPlan {
        batch_id: id,
        sequence: seen.fact.sequence + 1,
        as_of: intent.as_of,
        started: intent.started,
        frozen: intent.clock.frozen(),
        config_digest: digest,
        pipeline: intent.rules.pipeline.clone(),
        inputs: seen.inputs.clone(),
        tables: seen.tables(),
        onto: seen.fact.version,
        audit_onto: seen.audit.version,
        rejections: ledger
            .rows()
            .iter()
            .filter(|row| row.status == Status::Rejected)
            .map(|row| row.batch_id.clone())
            .collect(),
        reading: plan_reading(&intent.rules.incremental, intent.as_of, ledger, staging),
        live: ledger.live_watermark(),
    })) // Case P
}

/// Whether a batch begins with this commit. A log is cleaned from its old end, so that of a batch in groups
/// the first commits may be gone while later ones are still there.
fn is_first_of_batch(descriptor: &Descriptor) -> bool {
    match &descriptor.group {
        Some(group) => group.index == 0,
        None => descriptor.status != Status::Abandoned,
    }
}

/// This pipeline's commits of one number, oldest first.
fn own_commits(seen: &Seen, sequence: i64) -> impl Iterator<Item = &Commit> {
    seen.fact.commits.iter().filter(move |commit| {
        commit.descriptor.as_ref().is_some_and(|descriptor| descriptor.sequence == sequence)
    })
}

/// Case A, against the newest numbered audit row.
fn another_table(seen: &Seen, ledger: &Ledger<'_>) -> Option<Refusal> {
    let row = ledger.newest()?;
    (row.target_id != seen.fact.table_id).then(|| Refusal {
        case: 'A',
        message: format!(
            "pipeline {} has loaded into the table with id {}, the target has id {}",
            row.pipeline, row.target_id, seen.fact.table_id
        ),
        hint: "point `target` at the former table, or give this pipeline another name".to_owned(),
    })
}

/// Case A, against an unfinished batch's descriptor.
fn another_record_table(newest: i64) -> Refusal {
    Refusal {
        case: 'A',
        message: format!(
            "batch number {newest} is unfinished, and was begun with another audit or watermark table"
        ),
        hint: "run it once more with the pipeline file that it was begun with".to_owned(),
    }
}

/// Case B.
fn records_ahead(seen: &Seen, newest: i64) -> Refusal {
    Refusal {
        case: 'B',
        message: format!(
            "the records are ahead of the target: target {newest}, audit {}, watermark {}",
            seen.audit.sequence, seen.watermarks.sequence
        ),
        hint: "the target was replaced by an older copy or created anew; bring the former table back, or \
               give this pipeline another name"
            .to_owned(),
    }
}

/// Case C: whether the target's present content still holds the last batch in the records.
///
/// Content is followed through the commits since that batch: a RESTORE by another hand to a version
/// before the batch loses it, a second one to a version after it brings it back.
fn restored_by_another(seen: &Seen, ledger: &Ledger<'_>) -> Option<Refusal> {
    let recorded = ledger.newest().and_then(|row| row.fact_version_after);
    let mut base = recorded.and_then(|version| u64::try_from(version).ok());
    // Versions since `base` that do not hold the batch, and the RESTORE that lost it.
    let mut lost: Vec<u64> = Vec::new();
    let mut culprit = None;
    for commit in &seen.fact.commits {
        if commit.descriptor.is_some() {
            base = Some(commit.version);
            lost.clear();
            culprit = None;
            continue;
        }
        let Some(base) = base else { continue };
        match commit.restored {
            Some(Some(to)) if to >= base && !lost.contains(&to) => culprit = None,
            Some(_) => culprit = culprit.or(Some(commit.version)),
            None => {}
        }
        if culprit.is_some() {
            lost.push(commit.version);
        }
    }
    culprit.map(|version| Refusal {
        case: 'C',
        message: format!(
            "version {version} of the target is a RESTORE by another hand that took loaded batches back"
        ),
        hint: format!("restore the target to version {} to bring them back", version - 1),
    })
}

/// Case E: numbers are missing. A race between two reads looks the same, so look twice before refusing.
fn gap(seen: &Seen, intent: &Intent, newest: i64) -> Step {
    let versions = (seen.audit.version, seen.fact.version);
    if intent.gap != Some(versions) {
        return Step::LookAgain { gap: versions };
    }
    Step::Refuse(Refusal {
        case: 'E',
        message: format!(
            "numbers are missing from the records: target {newest}, audit {}, watermark {}",
            seen.audit.sequence, seen.watermarks.sequence
        ),
        hint: "an audit or watermark table was replaced by an older copy or created anew; bring the \
               former one back, or give this pipeline another name"
            .to_owned(),
    })
}

/// Cases H and I: what to do about a commit that does not balance.
fn undo(seen: &Seen, intent: &Intent, first: &Descriptor, version: u64, why: &str) -> Step {
    let from = taken_back_at(seen, first).unwrap_or(first.base_version);
    let foreign = seen
        .fact
        .commits
        .iter()
        .find(|commit| commit.version > from && commit.descriptor.is_none() && commit.changed_data);
    if let Some(foreign) = foreign {
        return Step::Refuse(Refusal {
            case: 'I',
            message: format!(
                "version {version} of the target does not balance ({why}), and version {} by another \
                 writer lies on top",
                foreign.version
            ),
            hint: format!(
                "look at both commits; restore the target to version {} if the other writer's rows can \
                 be written again",
                first.base_version
            ),
        });
    }
    let undone = vec![first.batch_id.clone()];
    let sequence = first.sequence + 1;
    let descriptor = Descriptor {
        sequence,
        covers_from: first.sequence,
        batch_id: undo_id(&undone, sequence),
        kind: BatchKind::Rollback,
        status: Status::Failed,
        run_end: intent.clock.frozen(),
        base_version: seen.fact.version,
        counts: Counts::default(),
        memos: Memos::default(),
        own_watermark: None,
        undone,
        reason: Some(format!("version {version} of the target did not balance: {why}")),
        group: None,
        ..first.clone()
    };
    Step::Undo(Box::new(UndoPlan { descriptor, restore_to: first.base_version, onto: seen.fact.version }))
}

/// The last RESTORE by another hand to the version before a batch: it took back all that lay on top too.
fn taken_back_at(seen: &Seen, first: &Descriptor) -> Option<u64> {
    let to_base = |commit: &&Commit| commit.restored == Some(Some(first.base_version));
    seen.fact.commits.iter().rev().find(to_base).map(|commit| commit.version)
}

/// Whether somebody did what case I asks for: the newest batch does not balance, and the target was
/// restored to before it. Then it is undone as in case H, which gives it the number that it lacks.
fn was_taken_back(seen: &Seen, newest: i64) -> bool {
    let mut commits = own_commits(seen, newest);
    let first = commits.next();
    let descriptor = first.and_then(|commit| commit.descriptor.as_ref());
    newest > seen.audit.sequence
        && descriptor.is_some_and(|descriptor| taken_back_at(seen, descriptor).is_some())
        && first.into_iter().chain(commits).any(|commit| commit.imbalance().is_some())
}

/// Case G: the descriptor of the empty commit that spends the number. Its base is the first group's, so
/// that an observer reads back to there and finds all groups that were written.
fn abandoned(first: &Descriptor) -> Descriptor {
    Descriptor {
        status: Status::Abandoned,
        counts: Counts::default(),
        memos: Memos::default(),
        own_watermark: None,
        reason: Some("staging's pinned version is gone; the groups that were written stay".to_owned()),
        group: None,
        ..first.clone()
    }
}

/// Case O.
fn staging_went_back(staging: &Pin, ledger: &Ledger<'_>) -> Option<Refusal> {
    let pinned = ledger.last_load().and_then(staging_pin)?;
    (pinned.table_id == staging.table_id && pinned.version > staging.version).then(|| Refusal {
        case: 'O',
        message: format!(
            "staging is at version {}, and the last load read its version {}",
            staging.version, pinned.version
        ),
        hint: "staging was replaced by an older copy of itself; bring the former one back".to_owned(),
    })
}

/// The reading that the first group's commit was made with, planned again from the rows before it.
fn reading_of(first: &Descriptor, intent: &Intent, ledger: &Ledger<'_>) -> ReadPlan {
    let rules = first
        .group
        .as_ref()
        .and_then(|group| group.recipe.as_ref())
        .and_then(|recipe| recipe.get("rules"))
        .and_then(|rules| serde_json::from_value::<Rules>(rules.clone()).ok());
    let rules = rules.as_ref().unwrap_or(&intent.rules);
    let staging = first.inputs.first().cloned().unwrap_or_else(|| Pin {
        name: String::new(),
        table_id: String::new(),
        version: 0,
        data_version: 0,
    });
    let reading = plan_reading(&rules.incremental, first.as_of, ledger, &staging);
    ReadPlan { window: first.window, ..reading }
}
