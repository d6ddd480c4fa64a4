//! From what was observed to the next step.
//!
//! A run is a loop: observe, [`decide`], do that one step with a compare-and-set on the table's log, and
//! again. A crash is nothing special, because the next run observes what is there. A lost race is
//! nothing special, because the loser observes again and helps to finish.
//!
//! # Why this order is safe
//!
//! A batch is written in this order: target, quarantine, audit, watermark. The target's commit decides:
//! before it, only data files exist that no log names; after it, everything that is left to do follows from
//! the descriptor in that commit. The quarantine follows the last group, not the first: until then the
//! batch may have to be undone or abandoned, and entries would be closed for rows that nobody loaded. A
//! rejected batch writes audit, then quarantine, and its audit row decides. So at any instant the tables are
//! in one of the states below, and each has one way forward. `n` is the newest number in the target's log.
//!
//! The case letters are used by the code below and by the tests; people are told the names, and the state
//! ([`Case`](super::Case)).
//!
//! | Case | Name | State | Step |
//! |---|---|---|---|
//! | A | `another_table` | the target, or a record table, is another table than the one last written | refuse |
//! | B | `records_ahead` | a record table is ahead of what it records | refuse |
//! | C | `restored_by_another` | somebody's RESTORE took the target back to before a batch of this pipeline | refuse |
//! | D | `descriptor_gone` | `n` has no audit row, and its first descriptor is gone from the log | refuse |
//! | E | `numbers_missing` | numbers before `n`, or a rejection's, or rows of recorded numbers, are missing from a record table | look again, then refuse |
//! | F | `group_missing` | groups of `n` are missing, the pinned inputs can be read | write the next group |
//! | G | `inputs_gone` | groups of `n` are missing, a pinned input is gone | abandon `n` |
//! | H | `unbalanced` | a commit of `n` does not balance, or did not and was taken back by hand | undo `n`, as batch `n + 1` |
//! | I | `unbalanced_and_buried` | a commit of `n` does not balance, and other data lies on top | refuse |
//! | Q | `entries_missing` | `n` is complete or abandoned, and what it changes in the quarantine is not there | write that |
//! | J | `audit_missing` | `n` is complete and balances, without an audit row | write the audit row |
//! | K | `watermark_missing` | `n` has an audit row, without a watermark row | write the watermark row |
//! | R | `evidence_missing` | a rejection's rows are not in the quarantine | write them |
//! | S | `evidence_gone` | a rejection's rows are not in the quarantine, and its entry is gone from the log | refuse |
//! | L | `undone_meanwhile` | all done; `n` undid an unbalanced batch while this run looked on | end: failed |
//! | M | `overtaken` | all done; somebody rolled a batch back while this run looked on | end: overtaken |
//! | N | `done` | all done; a batch with this run's inputs, or the one that it set out to load, is in effect | end: done |
//! | O | `staging_went_back` | all done; staging is older than what the last load read | refuse |
//! | P | `not_loaded` | all done; this run's batch is not loaded | load |
//! | T | `taken_back` | all done; what a person wants taken back is taken back, or there is nothing | end: taken back |
//! | U | `not_to_be_taken_back` | all done; a person wants a batch taken back, and that cannot be | refuse |
//! | V | `past_unknown` | all done; a person wants a batch taken back, and the target's past is not known | look back |
//! | W | `to_be_taken_back` | all done; a person wants a batch taken back | undo it and what came after it, as batch `n + 1` |
//!
//! H and I are looked for before F and G, and rows that are missing (E) before C.
//!
//! A rollback shares the cases up to K with a load: it too finishes what it finds. Where a batch does not
//! balance, and a person says that other writers' rows may go with it, case I is case W.

use super::batch_id::batch_id;
use super::ledger::Ledger;
use super::observation::{Commit, Observation};
use super::refuse;
use super::request::{Accepted, First, Intent, Request};
use super::rollback::roll_back;
use super::rows::{audit_row, watermark_row};
use super::step::{End, GroupPlan, LoadPlan, Look, QuarantineNumber, QuarantinePlan, Refusal, Step, Work};
use super::undo::{undo, was_taken_back};
use super::window::{Arrived, ReadPlan, plan_reading};
use crate::model::{BatchKind, Descriptor, EntryStatus, QuarantineWork, Selection, Status};

/// Decides the next step. See the [module documentation](self) for the cases.
#[must_use]
pub fn decide(seen: &Observation, intent: &Intent) -> Step {
    let ledger = Ledger::new(&seen.rows);
    if let Some(refusal) = refuse::another_table(seen, &ledger) {
        return Step::Refuse(refusal); // Case A
    }
    let newest = seen.target.sequence.max(seen.target.group_sequence);
    if seen.audit.sequence.max(seen.quarantine.sequence) > newest
        || seen.watermarks.sequence > seen.audit.sequence
    {
        return Step::Refuse(refuse::records_ahead(seen, newest)); // Case B
    }
    if let Some(refusal) = refuse::rows_missing(seen, &ledger) {
        return look_twice(seen, intent, refusal); // Case E
    }
    if let Some(refusal) = refuse::restored_by_another(seen, &ledger)
        && !was_taken_back(seen, newest)
    {
        return Step::Refuse(refusal); // Case C
    }
    if newest > seen.audit.sequence {
        return finish_target(seen, intent, newest); // Cases D to J
    }
    if newest > seen.watermarks.sequence {
        return finish_watermark(seen, intent, &ledger, newest); // Cases E and K
    }
    if seen.quarantine.evidence > seen.audit.evidence {
        return gap(seen, intent, newest); // Case E
    }
    if seen.audit.evidence > seen.quarantine.evidence
        && let Some(step) = finish_rejection(seen, intent)
    {
        return step; // Cases R and S
    }
    match &intent.request {
        Request::Rollback(goal) => roll_back(seen, intent, goal, &ledger), // Cases T to W
        Request::Load(accepted) => start_or_end(seen, intent, &ledger, None, accepted), // Cases L to P
        Request::Replay(selection, accepted) => {
            start_or_end(seen, intent, &ledger, Some(selection), accepted) // Cases L to P
        }
    }
}

/// Cases D to J: number `newest` is in the target and has no audit row.
fn finish_target(seen: &Observation, intent: &Intent, newest: i64) -> Step {
    let commits: Vec<&Commit> = own_commits(seen, newest).collect();
    let (Some(first), Some(last)) = (
        commits
            .first()
            .and_then(|commit| commit.descriptor.as_ref())
            .filter(|first| is_first_of_batch(first)),
        commits.last().and_then(|commit| commit.descriptor.as_ref()),
    ) else {
        if let Some(needs) = seen.target.commits.iter().find_map(|commit| commit.unreadable.as_ref()) {
            return Step::Refuse(refuse::descriptor_unreadable(newest, needs)); // Case D
        }
        return Step::Refuse(refuse::descriptor_gone(newest, &intent.rules.pipeline)); // Case D
    };
    if last.tables != seen.tables() {
        return Step::Refuse(refuse::another_record_table(newest)); // Case A
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
            let reading = reading_of(first);
            return Work::WriteGroup(Box::new(GroupPlan {
                first: first.clone(),
                index,
                onto: seen.target.version,
                reading,
            }))
            .into(); // Case F
        }
        return Work::Abandon { descriptor: Box::new(abandoned(first)), onto: seen.target.version }.into(); // Case G
    }
    let row = audit_row(&commits, first, last);
    if last.kind != BatchKind::Rollback
        && let Some(why) = row.counts().imbalance()
    {
        return undo(seen, intent, first, first.base_version + 1, &why); // Cases H and I
    }
    if seen.quarantine.sequence < newest
        && let Some(work) = quarantine_work(first, last)
    {
        return Work::WriteQuarantine(Box::new(QuarantinePlan {
            pipeline: first.pipeline.clone(),
            batch_id: first.batch_id.clone(),
            number: QuarantineNumber::Batch(newest),
            work,
            at: first.run_start,
            onto: seen.quarantine.version,
        }))
        .into(); // Case Q
    }
    Work::WriteAudit { row: Box::new(row), onto: seen.audit.version }.into() // Case J
}

/// What a batch changes in the quarantine, once its last commit is there. Of an abandoned batch nobody knows
/// which rows were loaded: it closes no entry, and the next batch that meets a loaded row does.
fn quarantine_work(first: &Descriptor, last: &Descriptor) -> Option<QuarantineWork> {
    let mut work = first.quarantine.clone()?;
    if last.status == Status::Abandoned {
        work.changes.retain(|change| change.status == EntryStatus::Open);
    }
    work.into_some()
}

/// Cases E and K: number `newest` has its audit row and no watermark row.
fn finish_watermark(seen: &Observation, intent: &Intent, ledger: &Ledger<'_>, newest: i64) -> Step {
    let before = ledger.rows().iter().filter_map(|row| row.sequence).filter(|n| *n < newest).max();
    let Some(row) = ledger.numbered(newest) else {
        return gap(seen, intent, newest); // Case E
    };
    if before.is_some_and(|before| seen.watermarks.sequence < before) {
        return gap(seen, intent, newest); // Case E
    }
    Work::WriteWatermark { row: Box::new(watermark_row(row, ledger)), onto: seen.watermarks.version }.into() // Case K
}

/// Cases R and S: the newest rejection left rows that are not in the quarantine.
///
/// Rejections are numbered by quarantine, so one whose rows belong into another quarantine than the pipeline file names
/// by now is not looked for. Before that there was one count for all, and the evidence says which quarantine it is for:
/// rows of another are left alone, since they are in staging too.
fn finish_rejection(seen: &Observation, intent: &Intent) -> Option<Step> {
    let Some(evidence) = &seen.evidence else {
        let refusal = refuse::evidence_gone(seen.audit.evidence, &seen.evidence_app);
        return Some(Step::Refuse(refusal)); // Case S
    };
    if evidence.quarantine_id != seen.quarantine.table_id {
        return None;
    }
    let plan = QuarantinePlan {
        pipeline: intent.rules.pipeline.clone(),
        batch_id: evidence.batch_id.clone(),
        number: QuarantineNumber::Evidence { app: seen.evidence_app.clone(), number: evidence.number },
        work: evidence.work.clone(),
        at: evidence.run_start,
        onto: seen.quarantine.version,
    };
    Some(Work::WriteQuarantine(Box::new(plan)).into()) // Case R
}

/// Cases L to P: every number in the target is recorded. `replay` are the entries to load instead of what
/// staging holds.
fn start_or_end(
    seen: &Observation,
    intent: &Intent,
    ledger: &Ledger<'_>,
    replay: Option<&Selection>,
    accepted: &Accepted,
) -> Step {
    let first = intent.first.clone().unwrap_or_else(|| First::of(seen));
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
    let kind = if replay.is_some() { BatchKind::Replay } else { BatchKind::Load };
    let further = further(accepted, replay);
    let id = batch_id(kind, intent.as_of, &digest, &seen.inputs, &further, ledger);
    // What a replay closes is part of what it reads: done, it looks like another batch. So does a load whose inputs
    // moved on meanwhile, and where they always do, a run that took that batch too would never end.
    let planned = || intent.planned.as_ref().and_then(|id| ledger.loaded(id));
    let same_inputs = || ledger.loaded_inputs(intent.as_of, &digest, &seen.inputs);
    if let Some(row) =
        ledger.loaded(&id).or_else(|| replay.is_none().then(same_inputs).flatten()).or_else(planned)
    {
        return Step::End(End::Done(Box::new(row.clone()))); // Case N
    }
    let Some(source) = seen.inputs.first() else {
        return Step::Refuse(refuse::nothing_pinned());
    };
    let reading = match replay {
        Some(selection) => ReadPlan { selection: Some(selection.clone()), ..ReadPlan::everything() },
        None => plan_reading(&intent.rules.incremental, intent.as_of, ledger, source),
    };
    if replay.is_none()
        && let Some(refusal) = refuse::staging_went_back(source, ledger)
    {
        return Step::Refuse(refusal); // Case O
    }
    Work::Load(Box::new(LoadPlan {
        kind,
        batch_id: id,
        sequence: seen.target.sequence + 1,
        as_of: intent.as_of,
        started: intent.started,
        frozen: intent.clock.frozen(),
        config_digest: digest,
        pipeline: intent.rules.pipeline.clone(),
        inputs: seen.inputs.clone(),
        tables: seen.tables(),
        onto: seen.target.version,
        audit_onto: seen.audit.version,
        entries_at: seen.quarantine.version,
        rejections: ledger
            .rows()
            .iter()
            .filter(|row| row.status == Status::Rejected)
            .map(|row| row.batch_id.clone())
            .collect(),
        reading,
        accepted: accepted.clone(),
        history: ledger.history(),
        in_effect: match replay {
            // A person chose the entries, to have them judged.
            Some(_) => Vec::new(),
            None => ledger.in_effect().map(|row| row.batch_id.clone()).collect(),
        },
        live: ledger.live_watermark(),
    }))
    .into() // Case P
}

/// What else makes a batch, beside its inputs: each part says what it is.
fn further(accepted: &Accepted, replay: Option<&Selection>) -> Vec<String> {
    let mut parts: Vec<String> = accepted.checks.iter().map(|name| format!("accept {name}")).collect();
    // A plain struct of texts has no way to fail.
    parts.extend(
        replay.map(|selection| format!("replay {}", serde_json::to_string(selection).unwrap_or_default())),
    );
    parts
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
pub(super) fn own_commits(seen: &Observation, sequence: i64) -> impl Iterator<Item = &Commit> {
    seen.target.commits.iter().filter(move |commit| {
        commit.descriptor.as_ref().is_some_and(|descriptor| descriptor.sequence == sequence)
    })
}

/// Case E: numbers are missing.
fn gap(seen: &Observation, intent: &Intent, newest: i64) -> Step {
    look_twice(seen, intent, refuse::numbers_missing(seen, newest))
}

/// Case E: a race between two reads looks the same, so look twice before refusing.
fn look_twice(seen: &Observation, intent: &Intent, refusal: Refusal) -> Step {
    let versions = (seen.audit.version, seen.target.version);
    if intent.gap != Some(versions) {
        return Look::Again { gap: versions }.into();
    }
    Step::Refuse(refusal)
}

/// Case G: the descriptor of the empty commit that spends the number. Its base is the first group's, so
/// that an observer reads back to there and finds all groups that were written.
fn abandoned(first: &Descriptor) -> Descriptor {
    Descriptor {
        status: Status::Abandoned,
        reason: Some("a pinned input is gone; the groups that were written stay".to_owned()),
        ..first.emptied()
    }
}

/// The reading that the first group's commit was made with, as its descriptor says.
fn reading_of(first: &Descriptor) -> ReadPlan {
    let after = first.group.as_ref().and_then(|group| group.arrived_after);
    let arrived = after.map_or(Arrived::Everything, Arrived::After);
    let selection = first.group.as_ref().and_then(|group| group.selection.clone());
    ReadPlan { window: first.window, arrived, selection, ..ReadPlan::everything() }
}
