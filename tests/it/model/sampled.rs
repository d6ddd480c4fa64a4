//! Three runs at once: too many ways to go them all, so some are drawn.
//!
//! `HIGHWATER_SEED` repeats a draw, `HIGHWATER_ROUNDS` says how many ways are gone in each scenario.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use highwater::plan::decide;
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;

use super::actor::{Start, Tie};
use super::check::Same;
use super::events::Event::*;
use super::explore::{Explorer, REVERSE};
use super::rows::{Row, row};
use super::scenario::*;
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
    let explorer = Explorer::new(scenario, &decide, REVERSE);
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
    let runs = [RUN, Start { clock: 1, ..SPLIT2 }, Start { clock: 1, ..RUN3 }];
    sampled(
        &Scenario::new("three runs, sabotage", sabotaged(World::new(three_days()), 1), &runs)
            .faults(2)
            .events(&[Rollback, AppendFact])
            .endings("LMNI"),
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
