//! What runs come to that find tables as no run leaves them.

use super::check::Same;
use super::events::Event::{self, *};
use super::loads::append;
use super::scenario::*;
use super::start::{Orphans, Start, Tie};
use super::world::World;

/// Two runs, and each has to end with this case and change nothing.
fn refused(name: &'static str, case: &'static str, world: World) -> Scenario {
    Scenario::new(name, world, &[RUN, SPLIT2]).reaches(case).endings(case).same(Same::Nothing)
}

/// Loaded twice, and more to load.
fn twice() -> World {
    let mut world = after(three_days(), RUN, "PJKN");
    append(&mut world, vec![super::rows::row(4, 4, 1)]);
    advance(&mut world, RUN, "PJKN");
    append(&mut world, vec![super::rows::row(5, 5, 1)]);
    world
}

pub fn new_target() -> Scenario {
    refused("new target", "A", with(twice(), &[NewTarget]))
}

pub fn new_audit_in_the_middle() -> Scenario {
    let world = with(after(three_days(), RUN, "P"), &[NewAudit]);
    refused("new audit table", "A", world)
}

pub fn older_target() -> Scenario {
    refused("older target", "B", with(twice(), &[OlderTarget(1)]))
}

pub fn older_audit() -> Scenario {
    refused("older audit table", "B", with(twice(), &[OlderAudit(1)]))
}

pub fn older_records() -> Scenario {
    refused("older records", "E", with(twice(), &[OlderAudit(2), OlderMarks(2)]))
}

pub fn deleted_audit_row() -> Scenario {
    refused("deleted audit row", "E", with(twice(), &[DeleteAudit(1)]))
}

pub fn deleted_watermark_row() -> Scenario {
    refused("deleted watermark row", "E", with(twice(), &[DeleteMark(1)]))
}

pub fn older_watermarks() -> Scenario {
    refused("older watermarks", "E", with(twice(), &[OlderMarks(2)]))
}

/// A rejection is lost, and its rows are in the quarantine: the next one would take its number.
pub fn older_rejections() -> Scenario {
    let mut rows = three_days();
    rows.push(super::rows::row(21, 2, 1));
    let strict = Start { orphans: Orphans::Reject, ..RUN };
    let world = with(after(rows, strict, "PR"), &[OlderAudit(1)]);
    Scenario::new("older rejections", world, &[RUN, strict]).reaches("E").endings("E").same(Same::Nothing)
}

pub fn cleaned() -> Scenario {
    refused("cleaned", "D", with(after(three_days(), RUN, "P"), &[CleanFact { but: 0 }]))
}

pub fn partly_cleaned() -> Scenario {
    refused("partly cleaned", "D", with(after(three_days(), SPLIT, "PF"), &[CleanFact { but: 1 }]))
}

pub fn older_staging() -> Scenario {
    let mut world = after(three_days(), RUN, "PJKN");
    append(&mut world, vec![super::rows::row(4, 4, 1)]);
    advance(&mut world, RUN, "PJKN");
    let world = with(world, &[OlderStaging]);
    let run = Start { as_of: 11, ..RUN };
    Scenario::new("older staging", world, &[run, Start { clock: 2, ..run }])
        .reaches("O")
        .endings("O")
        .same(Same::Nothing)
}

pub fn restored() -> Scenario {
    Scenario::new("restored", World::new(three_days()), &[RUN])
        .faults(1)
        .events(&[RestoreFact])
        .reaches("PJKNC")
        .endings("NC")
}

pub fn buried() -> Scenario {
    let world = after_sabotage("P");
    refused("buried", "I", with(world, &[AppendFact]))
}

fn after_sabotage(cases: &str) -> World {
    let mut world = sabotaged(World::new(three_days()), 1);
    advance(&mut world, RUN, cases);
    world
}

#[test]
fn a_target_created_anew_is_refused() {
    new_target().holds();
}

#[test]
fn a_record_table_created_anew_under_an_unfinished_batch_is_refused() {
    new_audit_in_the_middle().holds();
    refused("new watermarks", "A", with(after(three_days(), RUN, "P"), &[NewMarks])).holds();
    refused("new quarantine", "A", with(after(three_days(), RUN, "P"), &[NewQuarantine])).holds();
}

#[test]
fn a_target_or_audit_table_replaced_by_an_older_copy_is_refused() {
    older_target().holds();
    older_audit().holds();
}

#[test]
fn records_replaced_by_older_copies_are_refused_after_a_second_look() {
    older_records().holds();
    older_watermarks().holds();
    older_rejections().holds();
    refused("new records", "E", with(twice(), &[NewMarks])).holds();
}

#[test]
fn rows_of_the_record_tables_that_somebody_deleted_are_refused_after_a_second_look() {
    deleted_audit_row().holds();
    deleted_watermark_row().holds();
    for number in [1, 2] {
        refused("all audit rows", "E", with(twice(), &[DeleteAudit(number), DeleteAudit(3 - number)]))
            .holds();
        refused("both rows", "E", with(twice(), &[DeleteAudit(number), DeleteMark(number)])).holds();
    }
    // The row of an undo stands for the number that it took back, and no other rollback does.
    let mut undone = sabotaged(World::new(three_days()), 1);
    advance(&mut undone, RUN, "PHJKL");
    advance(&mut undone, RUN, "PJKN");
    append(&mut undone, vec![super::rows::row(4, 4, 1)]);
    refused("deleted undo", "E", with(undone.clone(), &[DeleteAudit(2)])).holds();
    let mut taken_back = after(three_days(), RUN, "PJKN");
    advance(&mut taken_back, BACK, "VWQJKT");
    refused("deleted before a rollback", "E", with(taken_back, &[DeleteAudit(1)])).holds();
}

#[test]
fn record_tables_replaced_by_copies_that_lack_one_row_get_it_again() {
    let mut world = after(three_days(), RUN, "PJKN");
    append(&mut world, vec![super::rows::row(4, 4, 1)]);
    advance(&mut world, RUN, "PJKN");
    for events in [&[OlderMarks(1)][..], &[OlderMarks(1), OlderAudit(1)]] {
        let mut scenario =
            Scenario::new("one row less", with(world.clone(), events), &[RUN, RUN2]).reaches("KN");
        scenario.faults = 1;
        scenario.holds();
    }
}

#[test]
fn an_unfinished_batch_whose_log_entries_were_cleaned_away_is_refused() {
    cleaned().holds();
    partly_cleaned().holds();
    let abandoned = with(after(three_days(), SPLIT, "PF"), &[VacuumStaging]);
    let mut abandoned = abandoned;
    advance(&mut abandoned, SPLIT, "G");
    refused("abandoned, cleaned", "D", with(abandoned, &[CleanFact { but: 1 }])).holds();
}

#[test]
fn a_log_that_may_be_cleaned_at_any_time_breaks_no_invariant() {
    Scenario::new("cleaning", World::new(three_days()), &[SPLIT, SPLIT2])
        .events(&[CleanFact { but: 1 }])
        .reaches("PFJKDN")
        .endings("DN")
        .same(Same::Open)
        .holds();
}

#[test]
fn staging_replaced_by_an_older_copy_is_refused() {
    older_staging().holds();
}

#[test]
fn a_restore_by_another_hand_is_refused_until_it_is_taken_back() {
    restored().holds();
    Scenario::new("restored, groups", World::new(three_days()), &[SPLIT])
        .events(&[RestoreFact])
        .faults(1)
        .reaches("PFJKNC")
        .endings("NC")
        .holds();
}

#[test]
fn several_restores_by_another_hand_are_refused_until_they_are_taken_back() {
    let scenario = |runs: &[Start], events: &[Event]| {
        Scenario::new("restored twice", World::new(three_days()), runs)
            .events(events)
            .reaches("PJKNC")
            .endings("NC")
            .holds();
    };
    scenario(&[RUN, RUN2], &[EmptyFact, RestoreFact]);
    scenario(&[SPLIT], &[EmptyFact, RestoreFact, RestoreFact, OptimizeFact]);
}

#[test]
fn an_unbalanced_commit_under_another_writers_rows_is_refused() {
    buried().holds();
}

#[test]
fn an_unbalanced_commit_under_another_writers_rows_is_undone_once_these_are_taken_back() {
    let scenario = |runs: &[Start], events: &[Event]| {
        Scenario::new("burying", sabotaged(World::new(three_days()), 1), runs)
            .events(events)
            .reaches("PHIJKL")
            .endings("CILN")
            .holds();
    };
    scenario(&[RUN, Start { clock: 1, ..RUN2 }], &[AppendFact]);
    scenario(&[RUN], &[AppendFact, OptimizeFact, RestoreFact, EmptyFact]);
    scenario(&[SPLIT], &[AppendFact, OptimizeFact, RestoreFact]);
}

#[test]
fn an_unbalanced_commit_beside_another_pipeline_is_undone_or_refused() {
    let other = Start { pipeline: "returns", on_tie: Tie::Keep, ..RUN2 };
    Scenario::new("unbalanced beside another", sabotaged(World::new(three_days()), 1), &[RUN, other])
        .reaches("PHIJKLN")
        .endings("ILN")
        .same(Same::Open)
        .holds();
}

#[test]
fn an_undo_does_not_stop_another_pipeline_that_wrote_nothing() {
    let other = Start { pipeline: "returns", ..RUN2 };
    let mut world = after(three_days(), other, "PJKN");
    append(&mut world, vec![super::rows::row(4, 9, 1)]);
    let earlier = Start { as_of: 5, ..other };
    Scenario::new("unbalanced under nothing", sabotaged(world, 1), &[RUN, earlier])
        .reaches("PHJKLN")
        .endings("LN")
        .holds();
}
