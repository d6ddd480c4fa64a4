//! What runs come to that find sound tables.

use super::check::Same;
use super::events::Event::*;
use super::rows::{Row, row};
use super::scenario::*;
use super::start::{Reading, Start, Tie};
use super::world::World;

const NEXT_DAY: Start = Start { as_of: 11, ..RUN };

pub fn one_run() -> Scenario {
    Scenario::new("one run", World::new(three_days()), &[RUN]).faults(3).reaches("PJKN")
}

pub fn two_runs() -> Scenario {
    Scenario::new("two runs", World::new(three_days()), &[RUN, RUN2]).faults(1).reaches("PJKN")
}

pub fn loaded_before() -> Scenario {
    Scenario::new("loaded before", after(three_days(), RUN, "PJKN"), &[RUN, RUN2])
        .reaches("N")
        .same(Same::Nothing)
}

pub fn groups() -> Scenario {
    Scenario::new("groups", World::new(three_days()), &[SPLIT]).faults(2).reaches("PFJKN")
}

pub fn sabotage() -> Scenario {
    let world = sabotaged(World::new(three_days()), 1);
    Scenario::new("sabotage", world, &[RUN, Start { clock: 1, ..RUN2 }])
        .faults(1)
        .reaches("PHJKLN")
        .endings("LN")
}

/// A group is written, then staging's pinned version goes.
pub fn unreadable() -> Scenario {
    let world = with(after(three_days(), SPLIT, "PF"), &[VacuumStaging]);
    Scenario::new("abandoned", world, &[SPLIT, Start { clock: 1, ..SPLIT2 }]).faults(1).reaches("GJKPN")
}

pub fn rolled_back() -> Scenario {
    let world = with(after(three_days(), RUN, "PJKN"), &[AppendStaging]);
    Scenario::new("rolled back", world, &[RUN, BACK]).faults(1).reaches("PJKMNVWT").endings("MNTU")
}

#[test]
fn one_run_with_crashes_ends_as_if_nothing_had_happened() {
    one_run().holds();
}

#[test]
fn two_runs_end_as_one() {
    two_runs().holds();
}

#[test]
fn three_runs_end_as_one() {
    // Of one clock reading, so that which of them did what is no other state.
    Scenario::new("three runs", World::new(three_days()), &[RUN, RUN, RUN]).faults(1).reaches("PJKN").holds();
}

#[test]
fn a_rerun_changes_nothing() {
    loaded_before().holds();
}

#[test]
fn a_rerun_after_maintenance_by_others_changes_nothing() {
    Scenario::new("maintenance", after(three_days(), RUN, "PJKN"), &[RUN, RUN2])
        .events(&[OptimizeStaging, OptimizeFact, CleanFact { but: 0 }])
        .reaches("N")
        .holds();
}

#[test]
fn nothing_to_merge_is_recorded_by_an_empty_commit() {
    let world = after(three_days(), RUN, "PJKN");
    Scenario::new("nothing to merge", world, &[NEXT_DAY, Start { clock: 2, ..NEXT_DAY }])
        .faults(1)
        .reaches("PJKN")
        .holds();
}

#[test]
fn groups_are_written_to_the_end() {
    groups().holds();
}

#[test]
fn groups_are_finished_by_a_helper_with_another_config() {
    let helper = Start { on_tie: Tie::Replace, partitions: 2, ..RUN2 };
    Scenario::new("groups, helped", World::new(three_days()), &[SPLIT, helper]).reaches("PFJKN").holds();
}

#[test]
fn groups_of_moved_keys_are_written_to_the_end() {
    let moved = vec![row(1, 4, 3), row(2, 5, 2), row(7, 6, 1)];
    let mut world = after(three_days(), RUN, "PJKN");
    append(&mut world, moved);
    Scenario::new("moved keys", world, &[SPLIT, SPLIT2]).reaches("PFJKN").holds();
}

#[test]
fn a_batch_whose_staging_goes_in_the_middle_is_abandoned_and_loaded_anew() {
    unreadable().holds();
}

#[test]
fn a_later_batch_whose_staging_goes_in_the_middle_is_abandoned_and_loaded_anew() {
    let mut world = after(three_days(), RUN, "PJKN");
    append(&mut world, vec![row(1, 4, 3), row(2, 5, 2), row(7, 6, 1), row(8, 7, 1)]);
    advance(&mut world, SPLIT, "PF");
    let world = with(world, &[VacuumStaging]);
    Scenario::new("abandoned later", world, &[SPLIT, Start { clock: 1, ..SPLIT2 }])
        .events(&[OptimizeFact])
        .reaches("GJKPN")
        .holds();
}

#[test]
fn a_batch_whose_staging_may_go_at_any_time_comes_to_the_same_content() {
    let world = World::new(three_days());
    Scenario::new("vacuum", world, &[SPLIT, SPLIT2])
        .events(&[VacuumStaging])
        .reaches("PFGJKN")
        .endings("Nt")
        .same(Same::Content)
        .holds();
}

#[test]
fn a_commit_that_loses_a_row_is_undone_and_the_next_run_loads() {
    sabotage().holds();
}

#[test]
fn a_commit_that_loses_a_row_on_top_of_other_loads_is_undone() {
    let mut world = after(three_days(), RUN, "PJKN");
    append(&mut world, vec![row(4, 4, 1), row(1, 4, 3)]);
    Scenario::new("later sabotage", sabotaged(world, 2), &[RUN])
        .faults(1)
        .reaches("PHJKL")
        .endings("L")
        .holds();
}

#[test]
fn a_later_group_that_loses_a_row_has_the_whole_batch_undone() {
    let world = sabotaged(after(three_days(), SPLIT, "PF"), 1);
    Scenario::new("sabotaged group", world, &[SPLIT, Start { clock: 1, ..SPLIT2 }])
        .reaches("FHJKLPN")
        .endings("LN")
        .holds();
}

#[test]
fn a_rejected_batch_is_recorded_once() {
    let mut rows = three_days();
    rows.push(Row { key: None, ..row(9, 2, 1) });
    Scenario::new("rejected", World::new(rows), &[RUN, RUN2]).faults(2).reaches("P").endings("r").holds();
}

#[test]
fn a_rejected_batch_does_not_block_the_next() {
    let mut rows = three_days();
    rows.push(Row { key: None, ..row(9, 9, 1) });
    let earlier = Start { as_of: 5, ..RUN2 };
    Scenario::new("rejected, other date", World::new(rows), &[RUN, earlier])
        .reaches("PJKN")
        .endings("rN")
        .holds();
}

#[test]
fn logical_dates_in_any_order_end_as_one_after_the_other() {
    let mut rows = three_days();
    rows.extend([row(4, 6, 1), row(1, 6, 3), row(5, 9, 1)]);
    let earlier = Start { as_of: 5, ..RUN2 };
    Scenario::new("two dates", World::new(rows.clone()), &[RUN, earlier]).faults(1).reaches("PJKN").holds();
    let world = after(rows, RUN, "PJKN");
    Scenario::new("dates out of order", world, &[earlier, Start { clock: 3, ..NEXT_DAY }])
        .reaches("PJKN")
        .holds();
}

#[test]
fn rows_that_arrive_meanwhile_are_loaded_by_this_run_or_the_next() {
    for mode in [Reading::Window, Reading::Changes] {
        let runs = [Start { mode, ..RUN }, Start { mode, ..RUN2 }];
        Scenario::new("arrivals", World::new(three_days()), &runs)
            .events(if mode == Reading::Window {
                &[AppendStaging, OptimizeStaging]
            } else {
                &[AppendStaging]
            })
            .reaches("PJKN")
            .holds();
    }
}

#[test]
fn the_next_day_loads_what_arrived_since_the_day_before() {
    for mode in [Reading::Window, Reading::Changes] {
        let world = after(three_days(), Start { mode, ..RUN }, "PJKN");
        let next_day = Start { mode, ..NEXT_DAY };
        let runs = [next_day, Start { clock: 2, ..next_day }];
        let scenario = |runs| Scenario::new("next day", world.clone(), runs).reaches("PJKN");
        scenario(&runs).events(&[AppendStaging]).holds();
        scenario(&runs[..1]).events(&[AppendStaging, OptimizeStaging]).faults(1).holds();
    }
}

/// Loaded by arrival, with more in staging.
pub fn changes_of_one_day() -> Scenario {
    let mut world = after(three_days(), ARRIVED, "PJKN");
    append(&mut world, vec![row(4, 4, 1), row(1, 4, 3)]);
    Scenario::new("changes of one day", world, &[ARRIVED, Start { clock: 2, ..ARRIVED }])
        .faults(1)
        .events(&[AppendStaging])
        .reaches("PJKN")
}

/// A first batch that starts after most of staging's rows.
pub fn history() -> Scenario {
    let mut rows = three_days();
    rows.extend([row(4, 9, 1), row(5, 10, 1)]);
    let run = Start { leaves_history: true, ..RUN };
    Scenario::new("history", World::new(rows), &[run, Start { clock: 2, ..run }])
        .events(&[AppendStaging])
        .reaches("PJKN")
}

#[test]
fn runs_of_one_day_read_each_change_of_staging_once() {
    changes_of_one_day().holds();
    let mut world = changes_of_one_day().world;
    advance(&mut world, ARRIVED, "PJKN");
    let runs = [ARRIVED, BACK];
    Scenario::new("changes, rollback", world, &runs)
        .events(&[])
        .faults(1)
        .reaches("PJKMNVWT")
        .endings("MNTU")
        .holds();
}

#[test]
fn changes_of_several_days_in_any_order_lose_no_row() {
    let earlier = Start { as_of: 9, clock: 2, ..ARRIVED };
    let world = changes_of_one_day().world;
    Scenario::new("changes, odd order", world, &[ARRIVED, earlier])
        .events(&[AppendStaging])
        .reaches("PJKN")
        .holds();
}

#[test]
fn what_lies_before_a_first_batch_stays_out_and_what_arrives_there_later_is_loaded() {
    history().holds();
    let days = [10, 5].map(|as_of| Start { leaves_history: true, as_of, ..RUN });
    Scenario::new("history, odd order", history().world, &days)
        .events(&[AppendStaging])
        .reaches("PJKN")
        .holds();
    let run = Start { leaves_history: true, ..SPLIT };
    Scenario::new("history, groups", history().world, &[run])
        .events(&[AppendStaging])
        .faults(1)
        .reaches("PFJKN")
        .holds();
}

#[test]
fn other_writers_and_maintenance_of_the_target_do_no_harm() {
    Scenario::new("other writers", World::new(three_days()), &[RUN, RUN2])
        .events(&[AppendFact, OptimizeFact])
        .reaches("PJKN")
        .holds();
    Scenario::new("other writers, groups", World::new(three_days()), &[SPLIT])
        .events(&[AppendFact, OptimizeFact, OptimizeStaging])
        .faults(1)
        .reaches("PFJKN")
        .holds();
}

#[test]
fn runs_of_two_configs_load_one_after_the_other() {
    let mut rows = three_days();
    rows.push(Row { value: 99, ..row(2, 2, 1) });
    let mut world = after(rows, RUN, "PJKN");
    append(&mut world, vec![Row { value: 98, ..row(2, 2, 1) }]);
    let other = Start { on_tie: Tie::Replace, partitions: 1, ..RUN2 };
    Scenario::new("two configs", world, &[RUN, other]).faults(1).reaches("PJKN").holds();
}

#[test]
fn two_pipelines_into_one_target_do_not_disturb_each_other() {
    let other = Start { pipeline: "returns", ..RUN2 };
    Scenario::new("two pipelines", World::new(three_days()), &[RUN, other]).faults(1).reaches("PJKN").holds();
}

#[test]
fn a_run_that_sees_a_rollback_stops_and_the_next_loads_anew() {
    rolled_back().holds();
}

#[test]
fn a_run_and_a_rollback_end_as_one_after_the_other() {
    // Three at once are sampled.
    Scenario::new("run, rollback", World::new(three_days()), &[RUN, BACK])
        .faults(1)
        .reaches("PJKMNVWT")
        .endings("MNT")
        .holds();
}

#[test]
fn groups_rolled_back_are_loaded_anew_with_what_arrived_meanwhile() {
    Scenario::new("groups, rollback", World::new(three_days()), &[SPLIT, BACK])
        .events(&[AppendStaging])
        .reaches("PFJKMNVWT")
        .endings("MNTU")
        .holds();
}

pub fn append(world: &mut World, rows: Vec<Row>) {
    world.staging.push(super::world::Staged { rows, changed_data: true }, []);
}
