//! The crash suite on storage that fails: processes are killed at a step, and what they ask of the store fails now and
//! then, in ways that pass. However often that goes wrong, the same command again reaches the state of one that nothing
//! befell.

use highwater::model::Strategy;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Output};

use clap::Parser as _;
use highwater::cli::{Cli, execute};
use highwater::engine::STACK;
use highwater::events::RunStep;
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;

use crate::common::{CLOCK, Lab, STRATEGIES, seed, setting};
use crate::counted::{count_requests, fail_at_random, know_the_scheme};
use crate::crash::LOADING;
use crate::gate::{loaded_twice, rejecting, would_pass};

/// The command line of the program that this binary is to be, as JSON.
const PROGRAM: &str = "HIGHWATER_IT_PROGRAM";

/// The seed of its faults.
const FAULTS: &str = "HIGHWATER_IT_FAULTS";

/// Runs that may fail for a passing reason before one comes through.
const TRIES: u64 = 60;

/// No test: the program, on storage that fails. The tests below start this binary with the variables set.
#[test]
fn program_on_storage_that_fails() {
    let Ok(arguments) = std::env::var(PROGRAM) else { return };
    let arguments: Vec<String> = serde_json::from_str(&arguments).unwrap();
    know_the_scheme();
    fail_at_random(std::env::var(FAULTS).unwrap().parse().unwrap());
    let cli = Cli::try_parse_from(std::iter::once("highwater".to_owned()).chain(arguments)).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(STACK).build();
    let status = runtime.unwrap().block_on(async { tokio::spawn(execute(cli)).await.unwrap() });
    std::process::exit(status.into());
}

fn start(lab: &Lab, arguments: &[&str], faults: u64) -> Output {
    let config = lab.config().display().to_string();
    let arguments: Vec<&str> = ["-c", &config].iter().chain(arguments).copied().collect();
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash_faults::program_on_storage_that_fails", "--nocapture"])
        .env(PROGRAM, serde_json::to_string(&arguments).unwrap())
        .env(FAULTS, faults.to_string())
        .env("HIGHWATER_CLOCK", CLOCK)
        .env_remove("RUST_LOG")
        .output()
        .unwrap()
}

/// Kills a command at steps drawn by the seed, on storage that fails; the same command again, until it comes through,
/// must reach the end of one that nothing befell.
async fn survives(lab: &Lab, arguments: &[&str], status: i32, steps: &[RunStep]) {
    let whole = lab.copy();
    whole.expect(status, arguments);
    let (versions, state) = (whole.versions().await, whole.state().await);
    let seed = seed();
    let mut rng = Pcg64::seed_from_u64(seed);
    let (mut killed, mut failed) = (0, 0);
    let rounds = setting("HIGHWATER_CRASH_FAULTS_ROUNDS", 6);
    for round in 0.. {
        // In about half of the rounds storage fails before the step comes: one run in thirty kills nothing in six.
        if round >= rounds && killed > 0 {
            break;
        }
        assert!(round < rounds + 60, "seed {seed}: no process was killed");
        let step = steps[rng.random_range(0..steps.len())];
        let point = format!("{step}:{}", ["before", "after"][rng.random_range(0..2)]);
        let crashed = lab.copy();
        count_requests(&crashed);
        let first = rng.random();
        let output = start(&crashed, &[arguments, &["--fail-at", &point]].concat(), first);
        // Storage may have failed before the step came.
        let told = || format!("seed {seed}, round {round}: {arguments:?} {point}: {output:?}");
        match (output.status.signal(), output.status.code()) {
            (Some(9), _) => killed += 1,
            (None, Some(3)) => failed += 1,
            _ => panic!("{}", told()),
        }
        let ended = (1..TRIES).find_map(|again| {
            let output = start(&crashed, arguments, first.wrapping_add(again));
            match output.status.code() {
                Some(3) => None,
                code if code == Some(status) => Some(()),
                _ => panic!("{}: then {output:?}", told()),
            }
        });
        assert!(ended.is_some(), "{}", told());
        assert_eq!(crashed.state().await, state, "{}", told());
        assert_eq!(crashed.versions().await, versions, "{}", told());
    }
    println!("{killed} killed, {failed} failed before");
}

#[tokio::test(flavor = "multi_thread")]
async fn load_that_is_killed_on_storage_that_fails_is_finished_by_the_next() {
    for strategy in STRATEGIES {
        survives(&Lab::reference().await.written_by(strategy), &["run"], 0, LOADING).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rejection_that_is_killed_on_storage_that_fails_is_finished_by_the_next() {
    let steps = [RunStep::Locate, RunStep::Gate, RunStep::Audit, RunStep::Quarantine];
    survives(&rejecting().await, &["run"], 1, &steps).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_that_is_killed_on_storage_that_fails_is_finished_by_the_next() {
    let steps = [RunStep::Merge, RunStep::Reconcile, RunStep::Quarantine, RunStep::Audit, RunStep::Watermark];
    survives(&would_pass().await, &["quarantine", "replay"], 0, &steps).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rollback_that_is_killed_on_storage_that_fails_is_finished_by_the_next() {
    let lab = loaded_twice(Strategy::DeletionVectors).await;
    // By its id: what `--last` names may be taken back by the process that was killed.
    let last = lab.expect(0, &["status"])["batches"][0]["batch_id"].as_str().unwrap().to_owned();
    let steps = [RunStep::Merge, RunStep::Quarantine, RunStep::Audit, RunStep::Watermark];
    survives(&lab, &["rollback", "--batch", &last], 0, &steps).await;
}
