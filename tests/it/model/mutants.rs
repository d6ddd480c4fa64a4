//! A planner that lacks a case must not pass: each case is left out in turn, and the scenarios that need it
//! must fail, for the reason given.

use highwater::model::{AuditRow, Status};
use highwater::plan::step::{QuarantineNumber, QuarantinePlan};
use highwater::plan::window::Arrived;
use highwater::plan::{Case, End, Intent, Look, Observation, Past, Refusal, Step, Work, Written, decide};

use super::actor::Part;
use super::effect::letter;
use super::explore::Explorer;
use super::scenario::Scenario;
use super::{backs, damage, keeps, loads};

/// Case, scenario, and what is said to be wrong without the case.
type Need = (char, fn() -> Scenario, &'static str);

const NEEDS: &[Need] = &[
    ('A', damage::new_target, "ends with"),
    ('A', damage::new_audit_in_the_middle, "a table was changed"),
    ('B', damage::older_target, "a table was changed"),
    ('B', damage::older_audit, "a table was changed"),
    ('C', damage::restored, "I9"),
    ('D', damage::cleaned, "a table was changed"),
    ('D', damage::partly_cleaned, "a table was changed"),
    ('E', damage::older_records, "a table was changed"),
    ('E', damage::older_watermarks, "a table was changed"),
    ('E', damage::deleted_audit_row, "a table was changed"),
    ('E', damage::deleted_watermark_row, "a table was changed"),
    ('E', damage::older_rejections, "a table was changed"),
    // The half-written batch does not add up, and is undone every time.
    ('F', loads::groups, "again and again"),
    ('G', loads::unreadable, "again and again"),
    ('H', loads::sabotage, "I5"),
    ('I', damage::buried, "an undo loses another writer's"),
    ('J', loads::one_run, "ends with"),
    ('K', loads::one_run, "I2"),
    ('L', loads::sabotage, "a run loads although it saw"),
    ('M', loads::rolled_back, "a run loads although it saw"),
    ('N', loads::loaded_before, "a table was changed"),
    ('O', damage::older_staging, "a table was changed"),
    ('P', loads::one_run, "ends with"),
    ('Q', keeps::kept_out, "I9"),
    ('R', keeps::evidence, "not in the quarantine"),
    ('S', keeps::evidence_gone, "a table was changed"),
    ('T', backs::last, "is taken back twice"),
    ('U', backs::list_may_grow, "which came after its start"),
    ('U', backs::foreign_rows, "an undo loses another writer's"),
    ('V', backs::last, "does not say so"),
    ('W', backs::last, "ends with"),
];

#[test]
fn leaving_out_any_case_is_noticed() {
    let mut missing: Vec<char> = ('A'..='W').collect();
    for (case, scenario, because) in NEEDS {
        let scenario = scenario();
        assert!(scenario.reaches.contains(*case), "{} does not need case {case}", scenario.name);
        scenario.explore_with(&decide).unwrap();
        let result =
            scenario.explore_with(&|seen: &Observation, intent: &Intent| without(*case, seen, intent));
        let problem = result.expect_err(&format!("{} passes without case {case}", scenario.name));
        println!("without {case}: {}", problem.lines().next().unwrap_or_default());
        assert!(problem.contains(because), "without case {case}: {problem}");
        missing.retain(|other| other != case);
    }
    assert!(missing.is_empty(), "nothing needs cases {missing:?}");
}

#[test]
fn writing_the_quarantine_before_the_last_group_is_noticed() {
    for (scenario, because) in [
        (keeps::abandoned(), "was closed by no batch in effect"),
        (keeps::sabotaged_group(), "was closed by no batch in effect"),
    ] {
        scenario.explore_with(&decide).unwrap();
        let problem = scenario.explore_with(&quarantine_first).unwrap_err();
        assert!(problem.contains(because), "{problem}");
    }
}

#[test]
fn writing_entries_without_comparing_again_is_noticed() {
    let compares_not = |seen: &Observation, intent: &Intent| {
        let mut step = decide(seen, intent);
        if let Step::Do(Work::WriteQuarantine(plan)) = &mut step {
            plan.work.base_version = plan.onto;
        }
        step
    };
    let problem = keeps::both_meet_a_row().explore_with(&compares_not).unwrap_err();
    assert!(problem.contains("is in the quarantine twice"), "{problem}");
}

#[test]
fn judging_again_what_a_load_kept_out_is_noticed() {
    let judges_again = |seen: &Observation, intent: &Intent| {
        let mut step = decide(seen, intent);
        if let Step::Do(Work::Load(plan)) = &mut step {
            plan.in_effect.clear();
        }
        step
    };
    let problem = keeps::judged_once().explore_with(&judges_again).unwrap_err();
    assert!(problem.contains("which is none of") && problem.contains("status: Rejected"), "{problem}");
}

#[test]
fn a_rollback_that_opens_no_entry_again_is_noticed() {
    let opens_not = |seen: &Observation, intent: &Intent| {
        let mut step = decide(seen, intent);
        if let Step::Do(Work::Undo(plan)) = &mut step {
            plan.descriptor.quarantine = None;
        }
        step
    };
    let problem = backs::reopened().explore_with(&opens_not).unwrap_err();
    assert!(problem.contains("was closed by no batch in effect"), "{problem}");
}

#[test]
fn a_replay_that_forgets_its_batch_is_noticed() {
    let forgets =
        |seen: &Observation, intent: &Intent| decide(seen, &Intent { planned: None, ..intent.clone() });
    let problem = keeps::replayed().endings("N").explore_with(&forgets).unwrap_err();
    assert!(problem.contains("ends with Nothing"), "{problem}");
}

#[test]
fn reading_a_change_of_staging_twice_is_noticed() {
    let problem = loads::changes_of_one_day().explore_with(&reads_all).unwrap_err();
    assert!(problem.contains("rows were read of"), "{problem}");
}

#[test]
fn a_first_batch_that_takes_history_is_noticed() {
    let problem = loads::history().explore_with(&reads_all).unwrap_err();
    assert!(problem.contains("takes late rows"), "{problem}");
}

#[test]
fn writing_the_watermark_before_the_audit_row_is_noticed() {
    for scenario in [loads::one_run(), loads::two_runs(), loads::groups()] {
        let problem = scenario.explore_with(&watermark_first).unwrap_err();
        assert!(problem.contains("I4"), "{problem}");
    }
}

#[test]
fn observing_in_the_order_of_writing_is_noticed() {
    let scenario = loads::two_runs();
    let forward = &[Part::Inputs, Part::Target, Part::Audit, Part::Marks];
    let problem = Explorer::new(&scenario, &decide, forward).exhaust().unwrap_err();
    assert!(problem.contains("ends with Case('B')"), "{problem}");
}

/// `decide` without a case: what it looks for is made invisible, so that the code goes on to the next, or
/// what it would do is taken for done.
fn without(case: char, seen: &Observation, intent: &Intent) -> Step {
    let step = decide(seen, intent);
    let (mut seen, mut intent) = (seen.clone(), intent.clone());
    let newest = seen.target.sequence.max(seen.target.group_sequence);
    let tables = seen.tables();
    let descriptors = seen.target.commits.iter_mut().filter_map(|commit| commit.descriptor.as_mut());
    match case {
        'A' => {
            seen.rows.iter_mut().for_each(|row| row.target_id.clone_from(&tables.target));
            descriptors.for_each(|descriptor| descriptor.tables = tables.clone());
        }
        'B' => {
            seen.audit.sequence = seen.audit.sequence.min(newest);
            seen.watermarks.sequence = seen.watermarks.sequence.min(seen.audit.sequence);
        }
        'C' => seen.target.commits.iter_mut().for_each(|commit| commit.restored = None),
        'D' if letter(&step) == 'D' => {
            seen.target.sequence = seen.audit.sequence;
            seen.target.group_sequence = 0;
        }
        'E' if letter(&step) == 'E' => {
            let audited = seen.audit.sequence;
            descriptors.for_each(|descriptor| descriptor.covers_from = audited + 1);
            seen.watermarks.sequence = audited;
            seen.quarantine.evidence = seen.quarantine.evidence.min(seen.audit.evidence);
            seen.marked = (1..=audited).collect();
            let numbers: Vec<i64> = seen.rows.iter().filter_map(|row| row.sequence).collect();
            if let Some(row) = seen.rows.first().cloned() {
                let lost = (1..=audited).filter(|number| !numbers.contains(number));
                seen.rows.extend(lost.map(|number| AuditRow {
                    batch_id: format!("lost {number}"),
                    sequence: Some(number),
                    status: Status::Abandoned,
                    ..row.clone()
                }));
            }
        }
        'F' => descriptors.filter_map(|d| d.group.as_mut()).for_each(|group| group.of = group.index + 1),
        'G' => seen.pinned_readable = true,
        'H' => seen.target.commits.iter_mut().for_each(|commit| commit.written = Written::default()),
        'I' => seen.target.commits.iter_mut().for_each(|commit| commit.changed_data = false),
        'J' if letter(&step) == 'J' => {
            seen.audit.sequence = newest;
            seen.watermarks.sequence = newest;
            if let Step::Do(Work::WriteAudit { row, .. }) = step {
                // No row counts as missing, and no batch is in effect for it.
                seen.rows.push(AuditRow {
                    batch_id: "another".to_owned(),
                    status: Status::Abandoned,
                    ..*row
                });
                seen.marked.insert(newest);
            }
        }
        'K' if letter(&step) == 'K' => {
            seen.watermarks.sequence = newest;
            seen.marked.insert(newest);
        }
        'L' => intent.first.iter_mut().for_each(|first| first.audited = i64::MAX),
        'M' => intent.first.iter_mut().for_each(|first| first.newest = i64::MAX),
        'N' => {
            if let Step::End(End::Done(done)) = &step {
                let found = seen.rows.iter_mut().filter(|row| row.batch_id == done.batch_id);
                found.for_each(|row| {
                    "another".clone_into(&mut row.batch_id);
                    row.inputs.clear();
                });
            }
        }
        'O' => {
            let now = seen.inputs[0].table().version;
            let pins = seen.rows.iter_mut().flat_map(|row| &mut row.inputs);
            pins.for_each(|pin| pin.table_mut().version = pin.table().version.min(now));
        }
        'Q' if letter(&step) == 'Q' => seen.quarantine.sequence = newest,
        'R' if letter(&step) == 'R' => seen.quarantine.evidence = seen.audit.evidence,
        'S' if letter(&step) == 'S' => seen.quarantine.evidence = seen.audit.evidence,
        'T' if letter(&step) == 'T' => seen.rows.iter_mut().for_each(|row| row.undone.clear()),
        'U' => {
            intent.first.iter_mut().for_each(|first| {
                first.batches.extend(seen.rows.iter().map(|row| row.batch_id.clone()));
            });
            let commits = seen.past.iter_mut().flat_map(|past| &mut past.commits);
            commits.for_each(|commit| commit.changed_data &= commit.descriptor.is_some());
        }
        'V' if letter(&step) == 'V' => {
            let Step::Look(Look::Back { to }) = step else { return step };
            let (commits, gap, readable, same_schema) = (Vec::new(), false, true, true);
            seen.past = Some(Past { since: to, commits, gap, readable, same_schema });
        }
        'P' | 'W' if letter(&step) == case => {
            let refusal = Refusal { case: Case::AnotherTable, message: String::new(), hint: String::new() };
            return Step::Refuse(refusal);
        }
        _ => return step,
    }
    decide(&seen, &intent)
}

/// `decide`, but every row of staging counts as arrived since the last load.
fn reads_all(seen: &Observation, intent: &Intent) -> Step {
    let mut step = decide(seen, intent);
    if let Step::Do(Work::Load(plan)) = &mut step {
        (plan.reading.arrived, plan.reading.first) = (Arrived::Everything, false);
    }
    step
}

/// `decide`, but with the quarantine written right after a batch's first commit.
fn quarantine_first(seen: &Observation, intent: &Intent) -> Step {
    let step = decide(seen, intent);
    if !matches!(step, Step::Do(Work::WriteGroup(_) | Work::Abandon { .. })) {
        return step;
    }
    let mut descriptors = seen.target.commits.iter().filter_map(|commit| commit.descriptor.as_ref());
    let Some(first) = descriptors.find(|d| d.sequence > seen.quarantine.sequence && d.quarantine.is_some())
    else {
        return step;
    };
    Work::WriteQuarantine(Box::new(QuarantinePlan {
        pipeline: first.pipeline.clone(),
        batch_id: first.batch_id.clone(),
        number: QuarantineNumber::Batch(first.sequence),
        work: first.quarantine.clone().unwrap_or_default(),
        at: first.run_start,
        onto: seen.quarantine.version,
    }))
    .into()
}

/// `decide`, but with the watermark row written first.
fn watermark_first(seen: &Observation, intent: &Intent) -> Step {
    let mut hidden = seen.clone();
    hidden.watermarks.sequence = seen.watermarks.sequence.min(seen.audit.sequence);
    let step = decide(&hidden, intent);
    let Step::Do(Work::WriteAudit { row, .. }) = &step else { return step };
    if Some(seen.watermarks.sequence) >= row.sequence {
        return step;
    }
    let mut rows = seen.rows.clone();
    rows.push((**row).clone());
    let ledger = highwater::plan::Ledger::new(&rows);
    let row = Box::new(highwater::plan::rows::watermark_row(row, &ledger));
    Work::WriteWatermark { row, onto: seen.watermarks.version }.into()
}
