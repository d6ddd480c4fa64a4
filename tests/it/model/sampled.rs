//! Three runs and more at once: too many ways to go them all, so some are drawn.
//!
//! `HIGHWATER_SEED` repeats a draw, `HIGHWATER_ROUNDS` says how many ways are gone in each scenario.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use highwater::plan::decide;
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;

use super::check::Same;
use super::events::Event::*;
use super::explore::Explorer;
use super::rows::{Row, row};
use super::scenario::*;
use super::start::{Orphans, Start, Tie};
use super::world::World;

const ROUNDS: u32 = 300;

fn number<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

fn sampled(scenario: &Scenario) {
    let seed: u64 = number("HIGHWATER_SEED").unwrap_or_else(|| RandomState::new().build_hasher().finish());
    let rounds = number("HIGHWATER_ROUNDS").unwrap_or(ROUNDS);
    let mut random = Pcg64::seed_from_u64(seed);
    let explorer = Explorer::new(scenario, &decide, scenario.order);
    println!("{}: HIGHWATER_SEED={seed} HIGHWATER_ROUNDS={rounds}", scenario.name);
    match explorer.sample(rounds, &mut |moves| random.random_range(0..moves)) {
        Ok(found) => println!("{}: {found:?}", scenario.name),
        Err(problem) => panic!("HIGHWATER_SEED={seed}: {problem}"),
    }
}

#[test]
fn three_runs_in_groups_end_as_one() {
    let runs = [SPLIT, SPLIT2, Start { partitions: 2, ..RUN3 }];
    sampled(
        &Scenario::new("three runs, groups", World::new(three_days()), &runs)
            .faults(3)
            .events(&[OptimizeFact, AppendStaging]),
    );
}

#[test]
fn three_runs_of_other_dates_and_configs_end_as_one_after_the_other() {
    let mut rows = three_days();
    rows.extend([row(4, 6, 1), row(1, 6, 3), Row { value: 77, ..row(2, 2, 1) }]);
    let runs = [RUN, Start { as_of: 5, ..SPLIT2 }, Start { on_tie: Tie::Replace, ..RUN3 }];
    sampled(
        &Scenario::new("three runs, dates and configs", World::new(rows), &runs)
            .faults(3)
            .events(&[OptimizeStaging]),
    );
}

#[test]
fn three_runs_with_a_sabotaged_merge_and_a_rollback_end_as_one_after_the_other() {
    let runs = [RUN, Start { clock: 1, ..SPLIT2 }, Start { clock: 1, ..RUN3 }, BACK];
    sampled(
        &Scenario::new("three runs, sabotage", sabotaged(World::new(three_days()), 1), &runs)
            .faults(2)
            .events(&[AppendFact])
            .endings("LMNITU"),
    );
}

#[test]
fn three_runs_of_two_pipelines_end_as_one_after_the_other() {
    let other = Start { pipeline: "returns", ..RUN2 };
    let world = || World::new(three_days());
    sampled(&Scenario::new("three runs, two pipelines", world(), &[RUN, RUN3, other]).faults(3));
    // Groups of two pipelines alternate, which batches one after the other do not.
    let runs = [RUN, SPLIT2, Start { partitions: 1, ..other }];
    sampled(&Scenario::new("two pipelines, groups", world(), &runs).faults(3).same(Same::Content));
}

#[test]
fn three_runs_while_staging_may_go_come_to_the_same_content() {
    let runs = [SPLIT, SPLIT2, Start { partitions: 2, ..RUN3 }];
    sampled(
        &Scenario::new("three runs, vacuum", World::new(three_days()), &runs)
            .faults(3)
            .events(&[VacuumStaging, AppendStaging, OptimizeFact])
            .endings("Nt")
            .same(Same::Content),
    );
}

#[test]
fn three_runs_and_restores_by_another_hand_end_as_one() {
    sampled(
        &Scenario::new("three runs, restores", World::new(three_days()), &[RUN, RUN2, RUN3])
            .faults(3)
            .events(&[EmptyFact, RestoreFact])
            .endings("CN"),
    );
}

#[test]
fn three_runs_of_a_rejected_batch_record_it_once() {
    let mut rows = three_days();
    rows.push(Row { key: None, ..row(9, 2, 1) });
    let runs = [RUN, RUN2, RUN3];
    sampled(&Scenario::new("three runs, rejected", World::new(rows), &runs).faults(3).endings("r"));
}

/// Rows of three days, and two of customers whom nobody knows.
fn with_orphans() -> Vec<Row> {
    let mut rows = three_days();
    rows.extend([row(21, 2, 1), row(22, 3, 1)]);
    rows
}

#[test]
fn loads_rejections_and_replays_while_customers_get_known_lose_no_row() {
    let strict = Start { orphans: Orphans::Reject, ..RUN };
    let replay = Start { partitions: 1, ..REPLAY };
    sampled(
        &Scenario::new("load, rejection, replay", World::new(with_orphans()), &[SPLIT, strict, replay])
            .faults(2)
            .events(&[Learn(21), Learn(22), OptimizeFact, Discard])
            .endings("Nr0")
            .same(Same::Open)
            .reads_each(),
    );
}

#[test]
fn loads_replays_and_a_rollback_end_as_one_after_the_other() {
    let world = with(after(with_orphans(), RUN, "PQJKN"), &[Learn(21)]);
    sampled(
        &Scenario::new("load, replay, rollback", world, &[RUN, REPLAY, BACK])
            .faults(2)
            .events(&[Learn(22), OptimizeFact])
            .endings("MNTU0")
            .same(Same::Content)
            .reads_each(),
    );
}

#[test]
fn two_runs_and_a_rollback_in_groups_end_as_one_after_the_other() {
    sampled(
        &Scenario::new("two runs, rollback", World::new(three_days()), &[SPLIT, RUN, BACK])
            .faults(2)
            .events(&[AppendStaging, OptimizeFact])
            .endings("MNTU"),
    );
}

#[test]
fn rollbacks_of_two_pipelines_take_back_their_own_only() {
    let mut world = after(three_days(), RUN, "PJKN");
    world.staging.push(super::world::Staged { rows: vec![row(4, 4, 1)], changed_data: true }, []);
    let theirs = Start { pipeline: "returns", ..BACK };
    let runs = [BACK, Start { pipeline: "returns", ..RUN }, theirs, RUN];
    sampled(
        &Scenario::new("two pipelines, rollbacks", world, &runs)
            .faults(1)
            .endings("MNTU")
            .same(Same::Content),
    );
}
