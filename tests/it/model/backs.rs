//! What a rollback comes to, and what others do meanwhile.

use super::check::Same;
use super::events::Event::{self, *};
use super::loads::append;
use super::rows::{Row, row};
use super::scenario::*;
use super::start::{Back, Reading, Start};
use super::world::World;

const EVEN_FOREIGN: Start = back(Back { number: None, cascade: false, even_foreign: true });
const RETURNS: Start = Start { pipeline: "returns", ..RUN };

fn loaded() -> World {
    after(three_days(), RUN, "PJKN")
}

/// Loaded twice.
fn twice() -> World {
    let mut world = loaded();
    append(&mut world, vec![row(4, 4, 1), row(1, 4, 3)]);
    advance(&mut world, RUN, "PJKN");
    world
}

/// A row was kept out by the first load, and loaded by the second.
fn closed_by_the_second() -> World {
    let mut rows: Vec<Row> = three_days();
    rows.push(row(21, 2, 1));
    let mut world = with(after(rows, RUN, "PQJKN"), &[Learn(21)]);
    advance(&mut world, RUN, "PQJKN");
    world
}

/// A rollback that has to change nothing.
fn refused(name: &'static str, world: World, run: Start) -> Scenario {
    Scenario::new(name, world, &[run]).reaches("U").endings("U").same(Same::Nothing)
}

pub fn last() -> Scenario {
    Scenario::new("last", twice(), &[BACK, BACK]).faults(1).reaches("VWQJKT").endings("T")
}

/// Both loads of an even younger one's list.
pub fn list_may_grow() -> Scenario {
    let mut world = loaded();
    append(&mut world, vec![row(4, 4, 1), row(1, 4, 3)]);
    Scenario::new("list may grow", world, &[RUN, back_to(1, true)]).reaches("PJKVWQNMTU").endings("NMTU")
}

pub fn foreign_rows() -> Scenario {
    refused("foreign rows", with(loaded(), &[AppendFact]), BACK)
}

/// The row that the second load closed opens again.
pub fn reopened() -> Scenario {
    Scenario::new("reopened", closed_by_the_second(), &[BACK])
        .faults(1)
        .reaches("VWQJKT")
        .endings("T")
        .reads_each()
}

#[test]
fn last_batch_is_taken_back_once_however_often_that_is_tried() {
    last().holds();
}

#[test]
fn last_batch_is_taken_back_after_maintenance_by_others() {
    Scenario::new("back, maintenance", loaded(), &[BACK])
        .events(&[OptimizeFact, OptimizeStaging])
        .faults(1)
        .reaches("VWQJKT")
        .endings("T")
        .holds();
}

#[test]
fn a_rollback_without_any_batch_ends() {
    Scenario::new("nothing to take back", World::new(three_days()), &[BACK])
        .reaches("T")
        .endings("T")
        .same(Same::Nothing)
        .holds();
}

#[test]
fn an_earlier_batch_goes_with_all_later_ones_or_not_at_all() {
    refused("no cascade", twice(), back_to(1, false)).holds();
    Scenario::new("cascade", twice(), &[back_to(1, true), BACK])
        .faults(1)
        .reaches("VWQJKT")
        .endings("T")
        .holds();
}

#[test]
fn an_earlier_batch_goes_without_those_that_were_taken_back_before() {
    let mut world = twice();
    advance(&mut world, BACK, "VWQJKT");
    refused("a rollback", world.clone(), back_to(3, true)).holds();
    advance(&mut world, RUN, "PJKN");
    refused("no cascade, undone", world.clone(), back_to(1, false)).holds();
    Scenario::new("cascade, undone", world.clone(), &[back_to(1, true)])
        .faults(1)
        .reaches("VWQJKT")
        .endings("T")
        .holds();
    // The one that was taken back already.
    Scenario::new("undone already", world, &[back_to(2, false)])
        .reaches("T")
        .endings("T")
        .same(Same::Nothing)
        .holds();
}

#[test]
fn a_batch_loaded_meanwhile_is_not_taken_back_unseen() {
    list_may_grow().holds();
}

#[test]
fn a_run_loads_again_what_was_taken_back_and_all_is_as_before() {
    Scenario::new("back and again", twice(), &[BACK, RUN])
        .faults(1)
        .reaches("VWQJKTPMN")
        .endings("TMN")
        .same(Same::Content)
        .comes_to_one_end();
    Scenario::new("closed, back and again", closed_by_the_second(), &[BACK, RUN])
        .reaches("VWQJKTPN")
        .endings("TMN")
        .same(Same::Content)
        .reads_each()
        .comes_to_one_end();
}

#[test]
fn entries_that_a_batch_closed_open_again_with_its_rollback() {
    reopened().holds();
}

#[test]
fn a_replay_is_taken_back_and_done_again_and_all_is_as_before() {
    let arrived = Start { mode: Reading::Changes, ..RUN };
    let mut rows: Vec<Row> = three_days();
    rows.push(row(21, 2, 1));
    let mut world = with(after(rows, arrived, "PQJKN"), &[Learn(21)]);
    advance(&mut world, REPLAY, "PQJKN");
    Scenario::new("replay back", world, &[BACK, REPLAY])
        .reaches("VWQJKTPN")
        .endings("TMN0")
        .same(Same::Content)
        .reads_each()
        .comes_to_one_end();
}

#[test]
fn an_unfinished_batch_is_finished_and_taken_back() {
    for (start, steps) in [(RUN, "P"), (SPLIT, "PF")] {
        let world = after(three_days(), start, steps);
        Scenario::new("unfinished back", world, &[BACK, start])
            .reaches("JKVWQTN")
            .endings("TMN")
            .same(Same::Content)
            .comes_to_one_end();
    }
    let world = sabotaged(World::new(three_days()), 1);
    let mut world = world;
    advance(&mut world, RUN, "P");
    Scenario::new("unbalanced back", world, &[BACK, RUN]).reaches("HJKTLN").endings("TLN").holds();
}

#[test]
fn an_abandoned_batch_is_taken_back_as_any_other() {
    let mut world = with(after(three_days(), SPLIT, "PF"), &[VacuumStaging]);
    advance(&mut world, SPLIT, "GJKPJKN");
    Scenario::new("abandoned back", world, &[back_to(1, true)])
        .faults(1)
        .reaches("VWQJKT")
        .endings("T")
        .holds();
}

#[test]
fn another_pipelines_batch_is_not_taken_back() {
    let mut world = loaded();
    append(&mut world, vec![row(4, 4, 1)]);
    advance(&mut world, RETURNS, "PJKN");
    refused("another pipeline's", world.clone(), BACK).holds();
    let theirs = Start { pipeline: "returns", ..BACK };
    Scenario::new("theirs first", world, &[BACK, theirs]).faults(1).reaches("VWQJKTU").endings("TU").holds();
}

#[test]
fn an_unbalanced_batch_under_others_rows_goes_only_if_it_is_named_and_these_are_no_pipelines() {
    let buried = |world: World, run| {
        Scenario::new("buried", world, &[run]).reaches("I").endings("I").same(Same::Nothing).holds();
    };
    let mut earlier = sabotaged(twice(), 1);
    append(&mut earlier, vec![row(5, 5, 1)]);
    advance(&mut earlier, RUN, "P");
    let earlier = with(earlier, &[AppendFact]);
    buried(earlier, back(Back { number: Some(1), cascade: true, even_foreign: true }));
    let mut theirs = sabotaged(World::new(three_days()), 1);
    advance(&mut theirs, RUN, "P");
    advance(&mut theirs, RETURNS, "PJKN");
    buried(theirs, EVEN_FOREIGN);
}

#[test]
fn an_unbalanced_batch_is_undone_once_another_pipelines_batch_on_top_is_taken_back() {
    let mut world = sabotaged(World::new(three_days()), 1);
    advance(&mut world, RUN, "P");
    advance(&mut world, RETURNS, "PJKN");
    let theirs = Start { pipeline: "returns", ..BACK };
    Scenario::new("theirs on top", world, &[theirs, RUN])
        .reaches("VWQJKTIHL")
        .endings("TIL")
        .same(Same::Open)
        .holds();
}

#[test]
fn another_writers_rows_are_not_taken_back() {
    foreign_rows().holds();
    Scenario::new("foreign rows meanwhile", loaded(), &[BACK])
        .events(&[AppendFact])
        .faults(1)
        .reaches("VWQJKTU")
        .endings("TU")
        .holds();
}

#[test]
fn a_target_that_cannot_go_back_is_left_alone() {
    let events: [(&str, Event); 3] =
        [("altered", AlterFact), ("vacuumed", VacuumFact), ("cleaned", CleanFact { but: 0 })];
    for (name, event) in events {
        refused(name, with(twice(), &[event]), BACK).holds();
    }
}

#[test]
fn an_unbalanced_batch_under_another_writers_rows_is_taken_back_on_demand() {
    let mut world = sabotaged(World::new(three_days()), 1);
    advance(&mut world, RUN, "P");
    let world = with(world, &[AppendFact]);
    Scenario::new("even foreign", world, &[EVEN_FOREIGN, RUN])
        .reaches("WJKTIN")
        .endings("TINM")
        .same(Same::Open)
        .holds();
}
