//! What becomes of rows that are kept out, and of rejected batches.

use super::check::Same;
use super::events::Event::*;
use super::loads::append;
use super::rows::{Row, row};
use super::scenario::*;
use super::start::{Orphans, Reading, Start};
use super::world::World;

/// Rejects what [`RUN`] keeps out.
const STRICT: Start = Start { orphans: Orphans::Reject, ..RUN };
/// Reads what arrived only, so that a replay alone loads what was kept out.
const ARRIVED: Start = Start { mode: Reading::Changes, ..RUN };

/// Rows of three days, and one of a customer whom nobody knows.
fn with_orphan() -> Vec<Row> {
    let mut rows = three_days();
    rows.push(row(21, 2, 1));
    rows
}

/// One row was kept out, and its customer is known since. A run in groups is under way: it has written the
/// first of three, and that row is in the second.
fn closing_in_groups() -> World {
    let mut world = with(after(with_orphan(), RUN, "PQJKN"), &[Learn(21)]);
    append(&mut world, vec![row(4, 1, 1), row(5, 3, 1)]);
    advance(&mut world, SPLIT, "P");
    world
}

/// Two rows wait, in partitions of their own.
fn two_wait(known: &[super::events::Event]) -> World {
    let mut rows = with_orphan();
    rows.push(row(22, 3, 1));
    with(after(rows, ARRIVED, "PQJKN"), known)
}

pub fn kept_out() -> Scenario {
    let world = World::new(with_orphan());
    Scenario::new("kept out", world, &[RUN]).faults(2).reaches("PQJKN").reads_each()
}

pub fn abandoned() -> Scenario {
    let world = with(closing_in_groups(), &[VacuumStaging]);
    Scenario::new("abandoned, closing", world, &[SPLIT, SPLIT]).reaches("GQJKPN").reads_each()
}

pub fn sabotaged_group() -> Scenario {
    Scenario::new("sabotaged, closing", sabotaged(closing_in_groups(), 1), &[SPLIT])
        .faults(1)
        .reaches("FHJKL")
        .endings("LN")
        .reads_each()
}

/// The audit row of a rejection is there, and its rows are not.
pub fn evidence() -> Scenario {
    Scenario::new("evidence", after(with_orphan(), STRICT, "P"), &[RUN])
        .faults(1)
        .reaches("RPJKN")
        .reads_each()
}

pub fn evidence_gone() -> Scenario {
    let world = with(after(with_orphan(), STRICT, "P"), &[CleanAudit]);
    Scenario::new("evidence gone", world, &[RUN, BACK])
        .reaches("S")
        .endings("S")
        .same(Same::Nothing)
        .reads_each()
}

/// A row was kept out, and the next load would reject its batch for it.
pub fn judged_once() -> Scenario {
    let world = after(with_orphan(), RUN, "PQJKN");
    Scenario::new("judged once", world, &[Start { as_of: 11, ..STRICT }]).reaches("PJKN").reads_each()
}

/// A load and a rejection meet the same row.
pub fn both_meet_a_row() -> Scenario {
    let world = World::new(with_orphan());
    Scenario::new("load and rejection", world, &[RUN, STRICT]).reaches("PQRJKN").endings("Nr").reads_each()
}

/// The same, in groups; and the load accepts what the other rejects.
fn groups_and_a_rejection() -> [Scenario; 2] {
    let accepting = Start { accepts: true, partitions: 1, ..STRICT };
    [SPLIT, accepting].map(|run| {
        let world = World::new(with_orphan());
        Scenario::new("groups and rejection", world, &[run, STRICT])
            .reaches("PFRJKN")
            .endings("Nr")
            .same(if run.accepts { Same::Open } else { Same::Everything })
            .reads_each()
    })
}

pub fn replayed() -> Scenario {
    // The dimension is read by all, so that a load of what arrived would be another batch after `Learn`.
    Scenario::new("replay", two_wait(&[Learn(21)]), &[REPLAY, REPLAY])
        .faults(1)
        .reaches("PQJKN")
        .endings("N0")
}

#[test]
fn a_row_kept_out_is_in_the_quarantine_once_whatever_crashes() {
    kept_out().holds();
}

#[test]
fn two_runs_keep_a_row_out_once() {
    let world = World::new(with_orphan());
    Scenario::new("two runs, kept out", world, &[RUN, RUN2]).faults(1).reaches("PQJKN").holds();
    // Met again in the next window, it is counted and no new entry.
    let world = after(with_orphan(), RUN, "PQJKN");
    let next = Start { as_of: 11, ..RUN };
    Scenario::new("kept out again", world, &[next, next]).reaches("PJKN").reads_each().holds();
}

#[test]
fn two_pipelines_keep_a_row_out_each() {
    let other = Start { pipeline: "returns", ..RUN };
    Scenario::new("two pipelines, kept out", World::new(with_orphan()), &[RUN, other])
        .reaches("PQJKN")
        .reads_each()
        .holds();
}

#[test]
fn groups_keep_rows_out_and_write_them_with_the_last() {
    let world = World::new(with_orphan());
    Scenario::new("groups, kept out", world, &[SPLIT, SPLIT]).reaches("PFQJKN").reads_each().holds();
    Scenario::new("groups, known meanwhile", World::new(with_orphan()), &[SPLIT])
        .events(&[Learn(21)])
        .faults(1)
        .reaches("PFQJKN")
        .reads_each()
        .holds();
}

#[test]
fn a_row_that_passes_later_is_loaded_and_its_entry_closed() {
    let world = after(with_orphan(), RUN, "PQJKN");
    Scenario::new("passes later", world, &[RUN, RUN])
        .events(&[Learn(21)])
        .reaches("PQJKN")
        .reads_each()
        .holds();
    Scenario::new("passes meanwhile", World::new(with_orphan()), &[RUN])
        .events(&[Learn(21), Forget(21)])
        .faults(1)
        .reaches("PQJKN")
        .reads_each()
        .holds();
}

#[test]
fn an_abandoned_batch_closes_no_entry() {
    abandoned().holds();
}

#[test]
fn a_batch_undone_for_a_later_group_closes_no_entry() {
    sabotaged_group().holds();
}

#[test]
fn a_rejected_batch_leaves_its_rows_as_evidence_once() {
    let world = World::new(with_orphan());
    Scenario::new("rejected rows", world, &[STRICT, Start { clock: 2, ..STRICT }])
        .faults(1)
        .reaches("PR")
        .endings("r")
        .reads_each()
        .holds();
}

#[test]
fn evidence_left_behind_is_written_by_the_next_run_whatever_it_is_after() {
    evidence().holds();
    let world = after(with_orphan(), STRICT, "P");
    Scenario::new("evidence, replay", world.clone(), &[REPLAY]).faults(1).reaches("RP").endings("0").holds();
    Scenario::new("evidence, rollback", world, &[BACK]).reaches("RT").endings("T").same(Same::Open).holds();
    let mut loaded = after(three_days(), STRICT, "PJKN");
    append(&mut loaded, vec![row(21, 2, 1)]);
    advance(&mut loaded, STRICT, "P");
    Scenario::new("evidence, rollback of a load", loaded, &[BACK, STRICT])
        .reaches("RVWQJKT")
        .endings("TMr")
        .holds();
}

#[test]
fn evidence_whose_log_entry_was_cleaned_away_is_refused() {
    evidence_gone().holds();
}

#[test]
fn evidence_for_another_quarantine_holds_nobody_up_even_where_its_log_entry_was_cleaned_away() {
    for steps in ["P", "PR"] {
        let world = with(after(with_orphan(), STRICT, steps), &[NewQuarantine, CleanAudit]);
        Scenario::new("evidence elsewhere", world, &[RUN]).faults(1).reaches("PQJKN").reads_each().holds();
    }
}

#[test]
fn a_row_that_a_load_kept_out_rejects_no_batch_after_it() {
    judged_once().faults(1).holds();
    // Discarded, it rejects none either; and a rejection judges nothing for later, until a load keeps the row out.
    let discarded = with(after(with_orphan(), STRICT, "PR"), &[Discard]);
    Scenario::new("discarded", discarded, &[STRICT]).reaches("PJKN").reads_each().holds();
    let rejected = after(with_orphan(), STRICT, "PR");
    let next = Start { as_of: 11, ..STRICT };
    Scenario::new("rejected", rejected.clone(), &[next]).reaches("P").endings("r").reads_each().holds();
    let mut claimed = rejected;
    advance(&mut claimed, RUN, "PQJKN");
    Scenario::new("claimed", claimed.clone(), &[next]).reaches("PJKN").reads_each().holds();
    // Taken back, that load kept nothing out.
    advance(&mut claimed, BACK, "VWQJKT");
    Scenario::new("taken back", claimed, &[next]).reaches("P").endings("r").reads_each().holds();
}

#[test]
fn a_load_and_a_rejection_that_meet_a_row_write_it_once() {
    both_meet_a_row().holds();
    for scenario in groups_and_a_rejection() {
        scenario.holds();
    }
}

#[test]
fn an_accepted_check_lets_the_batch_pass_once() {
    let accepting = Start { accepts: true, ..STRICT };
    Scenario::new("accepted", after(with_orphan(), STRICT, "PR"), &[accepting, STRICT])
        .faults(1)
        .reaches("PQJKN")
        .endings("Nr")
        .reads_each()
        .holds();
    // A rejection may be judged before the row is loaded, and leave its evidence after: its entry is open
    // until the row is met again.
    Scenario::new("accepted meanwhile", World::new(with_orphan()), &[accepting, STRICT])
        .reaches("PRJKN")
        .endings("Nr")
        .same(Same::Open)
        .reads_each()
        .holds();
}

#[test]
fn a_replay_loads_what_passes_in_one_batch_and_a_rerun_nothing() {
    replayed().holds();
    // The older of two entries of a key is closed with the newer.
    let mut world = after(with_orphan(), ARRIVED, "PQJKN");
    append(&mut world, vec![row(21, 3, 2)]);
    advance(&mut world, ARRIVED, "PQJKN");
    let world = with(world, &[Learn(21)]);
    Scenario::new("replay of two versions", world, &[REPLAY, REPLAY])
        .reaches("PQJKN")
        .endings("N0")
        .comes_to_one_end();
}

#[test]
fn a_replay_of_rows_that_still_fail_makes_no_commit() {
    Scenario::new("replay of nothing", two_wait(&[]), &[REPLAY, REPLAY])
        .reaches("P")
        .endings("0")
        .same(Same::Nothing)
        .holds();
}

#[test]
fn a_replay_and_a_load_end_as_one_after_the_other() {
    let world = with(after(with_orphan(), RUN, "PQJKN"), &[Learn(21)]);
    Scenario::new("replay and load", world, &[RUN, REPLAY])
        .faults(1)
        .reaches("PQJKN")
        .endings("N0")
        .reads_each()
        .holds();
}

#[test]
fn a_replay_in_groups_is_finished_by_the_next_run_of_any_kind() {
    let split = Start { partitions: 1, ..REPLAY };
    let world = || two_wait(&[Learn(21), Learn(22)]);
    Scenario::new("replay in groups", world(), &[split, ARRIVED])
        .reaches("PFQJKN")
        .endings("N0")
        .reads_each()
        .holds();
    Scenario::new("replay in groups, quarantine gone", world(), &[split])
        .events(&[VacuumQuarantine])
        .faults(1)
        .reaches("PFGQJKN")
        .endings("N0t")
        .same(Same::Content)
        .reads_each()
        .comes_to_one_end();
}

#[test]
fn entries_discarded_meanwhile_are_loaded_or_stay_out() {
    let world = with(after(with_orphan(), RUN, "PQJKN"), &[Learn(21)]);
    Scenario::new("discarded", world.clone(), &[RUN])
        .events(&[Discard])
        .faults(1)
        .reaches("PQJKN")
        .reads_each()
        .holds();
    Scenario::new("discarded, replay", world, &[REPLAY])
        .events(&[Discard])
        .faults(1)
        .reaches("PQJKN")
        .endings("N0")
        .reads_each()
        .holds();
    for run in [SPLIT, Start { partitions: 1, ..REPLAY }] {
        Scenario::new("discarded, groups", two_wait(&[Learn(21), Learn(22)]), &[run])
            .events(&[Discard])
            .faults(1)
            .reaches("PFQJKN")
            .endings("N0")
            .reads_each()
            .holds();
    }
}
