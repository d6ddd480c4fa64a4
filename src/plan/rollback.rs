//! What a rollback takes back, read from the target's log.

use std::collections::BTreeSet;

use super::batch_id::undo_id;
use super::ledger::Ledger;
use super::observation::{Commit, Observation, Past};
use super::refuse;
use super::request::{First, Intent, RollbackGoal};
use super::step::{End, Look, Step, UndoPlan, Work};
use crate::model::{
    AuditRow, BatchKind, Counts, Descriptor, Memos, QuarantineWork, Status, Strategy, Window,
};

/// Cases T to W: every number in the target is recorded, and a person wants a batch taken back.
pub(super) fn roll_back(
    seen: &Observation,
    intent: &Intent,
    goal: &RollbackGoal,
    ledger: &Ledger<'_>,
) -> Step {
    let first = intent.first.clone().unwrap_or_else(|| First::of(seen));
    let Some(named) = goal.batch_id.as_ref().or(first.newest_id.as_ref()) else {
        return Step::End(End::TakenBack(None)); // Case T: there is no batch at all
    };
    if let Some(row) = ledger.taken_back_by(named) {
        return Step::End(End::TakenBack(Some(Box::new(row.clone())))); // Case T
    }
    let Some(row) = ledger.rows().iter().find(|row| row.batch_id == *named && row.sequence.is_some()) else {
        return Step::Refuse(refuse::unknown_batch(named)); // Case U
    };
    if row.kind == BatchKind::Rollback {
        // `--last` right after a rollback: a scheduler's retry undoes nothing more.
        return match goal.batch_id {
            None => Step::End(End::TakenBack(Some(Box::new(row.clone())))), // Case T
            Some(_) => Step::Refuse(refuse::is_a_rollback(row)),            // Case U
        };
    }
    let Some(base) = row.fact_version_before.and_then(|version| u64::try_from(version).ok()) else {
        return Step::Refuse(refuse::unknown_batch(named)); // Case U
    };
    let Some(past) = seen.past.as_ref().filter(|past| past.since == base) else {
        return Look::Back { to: base }.into(); // Case V
    };
    match undone_with(past, ledger, goal, &first, named) {
        Ok(undone) => Work::Undo(Box::new(plan(seen, intent, goal, row, undone))).into(), // Case W
        Err(refusal) => Step::Refuse(*refusal),                                           // Case U
    }
}

/// The batches that go with the named one, itself included, oldest first; or why they cannot.
fn undone_with(
    past: &Past,
    ledger: &Ledger<'_>,
    goal: &RollbackGoal,
    first: &First,
    named: &str,
) -> Result<Vec<String>, Box<super::step::Refusal>> {
    if past.gap {
        return Err(Box::new(refuse::past_gone(past.since)));
    }
    let mut undone: Vec<String> = Vec::new();
    for descriptor in past.commits.iter().filter_map(|commit| commit.descriptor.as_ref()) {
        let id = &descriptor.batch_id;
        let counts = descriptor.kind != BatchKind::Rollback && ledger.taken_back_by(id).is_none();
        if counts && !undone.contains(id) {
            undone.push(id.clone());
        }
    }
    if let Some(new) = undone.iter().find(|id| !first.batches.contains(*id)) {
        return Err(Box::new(refuse::list_grew(new)));
    }
    let later: Vec<&AuditRow> = undone
        .iter()
        .filter(|id| *id != named)
        .filter_map(|id| ledger.rows().iter().find(|row| row.batch_id == *id))
        .collect();
    if !later.is_empty() && !goal.cascade {
        return Err(Box::new(refuse::needs_cascade(named, &later)));
    }
    let strangers = strangers(&past.commits);
    if !strangers.is_empty() {
        return Err(Box::new(refuse::others_between(&strangers)));
    }
    if !past.same_schema {
        return Err(Box::new(refuse::schema_changed(past.since)));
    }
    if !past.readable {
        return Err(Box::new(refuse::files_gone(past.since)));
    }
    Ok(undone)
}

/// Commits that changed rows and are not this pipeline's, but for other pipelines' batches that were taken
/// back again.
pub(super) fn strangers(commits: &[Commit]) -> Vec<&Commit> {
    let others = || commits.iter().filter_map(|commit| commit.other.as_ref());
    let there: BTreeSet<&String> = others().map(|other| &other.batch_id).collect();
    let taken_back: BTreeSet<&String> = others().flat_map(|other| &other.undone).collect();
    commits
        .iter()
        .filter(|commit| commit.descriptor.is_none() && commit.changed_data)
        .filter(|commit| match &commit.other {
            None => true,
            Some(other) if other.undone.is_empty() => !taken_back.contains(&other.batch_id),
            // A rollback within the range leaves nothing behind of what it took back.
            Some(other) => !other.undone.iter().all(|id| there.contains(id)),
        })
        .collect()
}

fn plan(
    seen: &Observation,
    intent: &Intent,
    goal: &RollbackGoal,
    row: &AuditRow,
    undone: Vec<String>,
) -> UndoPlan {
    let sequence = seen.target.sequence + 1;
    let base = row.fact_version_before.and_then(|version| u64::try_from(version).ok()).unwrap_or_default();
    let work = QuarantineWork {
        base_version: seen.quarantine.version,
        reopen: undone.clone(),
        ..QuarantineWork::default()
    };
    UndoPlan {
        descriptor: Descriptor {
            pipeline: intent.rules.pipeline.clone(),
            sequence,
            covers_from: sequence,
            batch_id: undo_id(&undone, sequence),
            kind: BatchKind::Rollback,
            status: Status::RolledBack,
            as_of: row.as_of,
            run_start: intent.started,
            run_end: intent.clock.frozen(),
            config_digest: intent.rules.digest(),
            inputs: Vec::new(),
            tables: seen.tables(),
            base_version: seen.target.version,
            window: Window::default(),
            counts: Counts::default(),
            memos: Memos::default(),
            checks: Vec::new(),
            dq_errors: 0,
            quarantine: work.into_some(),
            own_watermark: None,
            strategy: Strategy::default(),
            drift: Vec::new(),
            undone,
            reason: goal.reason.clone(),
            group: None,
        },
        restore_to: base,
        foreign: false,
        onto: seen.target.version,
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, NaiveDate};

    use super::super::decide::decide;
    use super::super::observation::{OtherBatch, TableState, Target, Written};
    use super::super::request::Request;
    use super::super::rows::audit_row;
    use super::super::step::Refusal;
    use super::super::{Rules, load_spec};
    use super::*;
    use crate::config::{Incremental, Initial, Late, LoadColumns, Mode, OnTie};
    use crate::model::Clock;
    use crate::model::batch::WrittenTables;
    use crate::notation::NullKeys;
    use crate::plan::Case;

    fn rules() -> Rules {
        let text = str::to_owned;
        load_spec::Rules {
            pipeline: text("p"),
            unique_key: vec![text("key")],
            null_keys: NullKeys::Reject,
            version: text("version"),
            sequence: Vec::new(),
            tie_breakers: Vec::new(),
            on_tie: OnTie::Keep,
            lineage: Vec::new(),
            exclude: Vec::new(),
            load_columns: LoadColumns {
                batch_id: text("batch_id"),
                loaded_at: text("loaded_at"),
                row_hash: text("row_hash"),
            },
            incremental: Incremental {
                mode: Mode::Changes,
                column: None,
                lookback_days: 0,
                lag_days: 0,
                late: Late::Load,
                initial: Some(Initial::All),
            },
            dimensions: BTreeSet::new(),
            checks: Vec::new(),
            mapping: crate::config::Mapping::default(),
        }
    }

    fn tables() -> WrittenTables {
        let [target, quarantine, audit, watermarks] = ["t", "q", "a", "w"].map(str::to_owned);
        WrittenTables { target, quarantine, audit, watermarks }
    }

    fn id(sequence: i64) -> String {
        format!("batch {sequence}")
    }

    /// A batch that was committed as the version of its number.
    fn descriptor(sequence: i64, kind: BatchKind, undone: &[i64]) -> Descriptor {
        let rollback = kind == BatchKind::Rollback;
        Descriptor {
            pipeline: "p".to_owned(),
            sequence,
            covers_from: sequence,
            batch_id: id(sequence),
            kind,
            status: if rollback { Status::RolledBack } else { Status::Loaded },
            as_of: NaiveDate::default(),
            run_start: DateTime::UNIX_EPOCH,
            run_end: None,
            config_digest: String::new(),
            inputs: Vec::new(),
            tables: tables(),
            base_version: u64::try_from(sequence).unwrap() - 1,
            window: Window::default(),
            counts: Counts::default(),
            memos: Memos::default(),
            checks: Vec::new(),
            dq_errors: 0,
            quarantine: None,
            own_watermark: None,
            undone: undone.iter().map(|undone| id(*undone)).collect(),
            reason: None,
            strategy: Strategy::default(),
            drift: Vec::new(),
            group: None,
        }
    }

    fn commit(version: u64, descriptor: Option<Descriptor>) -> Commit {
        Commit {
            version,
            timestamp: DateTime::UNIX_EPOCH,
            descriptor,
            other: None,
            unreadable: None,
            changed_data: true,
            restored: None,
            written: Written::default(),
        }
    }

    fn other(version: u64, batch_id: &str, undone: &[&str]) -> Commit {
        let undone = undone.iter().map(|id| (*id).to_owned()).collect();
        let batch = OtherBatch { pipeline: "o".to_owned(), batch_id: batch_id.to_owned(), undone };
        Commit { other: Some(batch), ..commit(version, None) }
    }

    /// All batches recorded, and the past known since version `since`, with `more` commits on top.
    fn seen(batches: &[Descriptor], since: u64, more: &[Commit]) -> Observation {
        let own = |d: &Descriptor| commit(d.base_version + 1, Some(d.clone()));
        let commits: Vec<Commit> = batches.iter().map(own).collect();
        let rows = commits.iter().map(|commit| {
            let descriptor = commit.descriptor.as_ref().unwrap();
            audit_row(&[commit], descriptor, descriptor)
        });
        let sequence = i64::try_from(batches.len()).unwrap();
        let record = |table_id: String| TableState { table_id, version: 9, sequence, evidence: 0 };
        let tables = tables();
        Observation {
            watermarks: record(tables.watermarks),
            audit: record(tables.audit),
            marked: (1..=sequence).collect(),
            rows: rows.collect(),
            quarantine: record(tables.quarantine),
            evidence: None,
            evidence_app: String::new(),
            target: Target {
                table_id: tables.target,
                version: 9,
                sequence,
                group_sequence: 0,
                commits: more.to_vec(),
            },
            inputs: Vec::new(),
            pinned_readable: true,
            past: Some(Past {
                since,
                commits: commits
                    .into_iter()
                    .chain(more.iter().cloned())
                    .filter(|c| c.version > since)
                    .collect(),
                gap: false,
                readable: true,
                same_schema: true,
            }),
        }
    }

    fn loads(count: i64) -> Vec<Descriptor> {
        (1..=count).map(|sequence| descriptor(sequence, BatchKind::Load, &[])).collect()
    }

    fn goal(number: Option<i64>, cascade: bool) -> RollbackGoal {
        RollbackGoal { batch_id: number.map(id), cascade, even_foreign: false, reason: None }
    }

    /// What a rollback decides that knew all that it sees from its start on.
    fn decided(seen: &Observation, goal: RollbackGoal) -> Step {
        let clock = Clock::Frozen(DateTime::UNIX_EPOCH);
        let mut intent = Intent::new(rules(), Request::Rollback(goal), NaiveDate::default(), clock);
        intent.first = Some(First::of(seen));
        decide(seen, &intent)
    }

    fn refused(seen: &Observation, goal: RollbackGoal) -> String {
        match decided(seen, goal) {
            Step::Refuse(Refusal { case: Case::NotToBeTakenBack, message, .. }) => message,
            other => panic!("not refused: {other:?}"),
        }
    }

    fn undone(seen: &Observation, goal: RollbackGoal) -> (u64, Vec<String>) {
        match decided(seen, goal) {
            Step::Do(Work::Undo(plan)) => (plan.restore_to, plan.descriptor.undone),
            other => panic!("nothing is undone: {other:?}"),
        }
    }

    #[test]
    fn last_batch_goes_alone_and_its_entries_open_again() {
        let seen = seen(&loads(2), 1, &[]);
        let Step::Do(Work::Undo(plan)) = decided(&seen, goal(None, false)) else {
            panic!("nothing is undone")
        };
        assert_eq!((plan.restore_to, plan.onto, plan.foreign), (1, 9, false));
        let descriptor = plan.descriptor;
        assert_eq!((descriptor.sequence, descriptor.covers_from, descriptor.undone), (3, 3, vec![id(2)]));
        assert_eq!(descriptor.quarantine.unwrap().reopen, [id(2)]);
    }

    #[test]
    fn past_that_is_not_known_is_looked_at_first() {
        let mut seen = seen(&loads(2), 0, &[]);
        assert_eq!(decided(&seen, goal(None, false)), Step::Look(Look::Back { to: 1 }));
        seen.past = None;
        assert_eq!(decided(&seen, goal(Some(1), true)), Step::Look(Look::Back { to: 0 }));
    }

    #[test]
    fn earlier_batch_goes_with_all_later_ones_on_demand_only() {
        let seen = seen(&loads(3), 0, &[]);
        assert_eq!(undone(&seen, goal(Some(1), true)), (0, vec![id(1), id(2), id(3)]));
        let message = refused(&seen, goal(Some(1), false));
        assert!(message.contains("number 2 (batch 2, load") && message.contains("number 3"), "{message}");
    }

    #[test]
    fn batch_of_which_the_run_did_not_know_is_not_taken_back() {
        let seen = seen(&loads(2), 0, &[]);
        let clock = Clock::Frozen(DateTime::UNIX_EPOCH);
        let wanted = Request::Rollback(goal(None, true));
        let mut intent = Intent::new(rules(), wanted, NaiveDate::default(), clock);
        let (batches, newest_id) = ([id(1)].into(), Some(id(1)));
        intent.first = Some(First { audited: 1, newest: 1, newest_id, batches });
        let Step::Refuse(refusal) = decide(&seen, &intent) else { panic!("not refused") };
        assert!(refusal.message.starts_with("batch batch 2 was loaded while"), "{}", refusal.message);
    }

    #[test]
    fn batch_that_was_taken_back_is_neither_taken_back_again_nor_in_the_way() {
        let mut batches = loads(2);
        batches.push(descriptor(3, BatchKind::Rollback, &[2]));
        let seen = seen(&batches, 0, &[]);
        for goal in [goal(None, false), goal(Some(2), false)] {
            let Step::End(End::TakenBack(Some(row))) = decided(&seen, goal) else { panic!("no end") };
            assert_eq!(row.batch_id, id(3));
        }
        assert_eq!(undone(&seen, goal(Some(1), false)), (0, vec![id(1)]));
        assert!(refused(&seen, goal(Some(3), false)).contains("is a rollback itself"));
    }

    #[test]
    fn nothing_loaded_is_nothing_to_take_back() {
        let seen = seen(&[], 0, &[]);
        assert_eq!(decided(&seen, goal(None, false)), Step::End(End::TakenBack(None)));
        assert!(refused(&seen, goal(Some(1), false)).contains("no loaded batch"));
    }

    #[test]
    fn rejected_batch_cannot_be_taken_back() {
        let mut seen = seen(&loads(1), 0, &[]);
        let mut row = seen.rows[0].clone();
        (row.batch_id, row.status, row.sequence) = (id(7), Status::Rejected, None);
        seen.rows.push(row);
        assert!(refused(&seen, goal(Some(7), false)).contains("no loaded batch"));
    }

    #[test]
    fn other_writers_rows_on_top_are_in_the_way_and_rewritten_files_are_not() {
        let compacted = Commit { changed_data: false, ..commit(2, None) };
        assert_eq!(undone(&seen(&loads(1), 0, &[compacted]), goal(None, false)), (0, vec![id(1)]));
        let message = refused(&seen(&loads(1), 0, &[commit(2, None)]), goal(None, false));
        assert!(message.contains("version 2 (another writer)"), "{message}");
    }

    #[test]
    fn other_pipelines_batch_is_in_the_way_until_it_is_taken_back() {
        let theirs = [other(2, "o1", &[]), other(3, "o2", &["o1"])];
        let message = refused(&seen(&loads(1), 0, &theirs[..1]), goal(None, false));
        assert!(message.contains("version 2 (batch o1 of pipeline o)"), "{message}");
        assert_eq!(undone(&seen(&loads(1), 0, &theirs), goal(None, false)), (0, vec![id(1)]));
        // What it took back lies before the range: going back would bring that again.
        let message = refused(&seen(&loads(1), 0, &theirs[1..]), goal(None, false));
        assert!(message.contains("version 3 (batch o2 of pipeline o)"), "{message}");
    }

    #[test]
    fn target_that_cannot_go_back_is_left_alone() {
        let with = |change: fn(&mut Past)| {
            let mut seen = seen(&loads(1), 0, &[]);
            seen.past.iter_mut().for_each(change);
            refused(&seen, goal(None, false))
        };
        assert!(with(|past| past.gap = true).contains("log entries of the target after version 0 are gone"));
        assert!(with(|past| past.same_schema = false).contains("have changed since version 0"));
        assert!(with(|past| past.readable = false).contains("VACUUM has deleted files"));
    }
}
