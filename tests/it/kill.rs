//! Processes killed with SIGKILL at times spread over the run.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use serde_json::Value;

use crate::common::{Lab, seed, setting};
use crate::gate::{kept_out, loaded_twice, rejecting, would_pass};

/// The step that a process was in, by its own log.
fn last_step(log: &str) -> String {
    let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut step = "start".to_owned();
    for event in events {
        let fields = &event["fields"];
        if let Some(name) = fields["step"].as_str() {
            let done = fields["message"] == "end";
            step = if done { format!("after {name}") } else { name.to_owned() };
        }
    }
    step
}

/// Kills a command at instants spread over its run; the same command again must reach the end of one that was never
/// killed. Goes on until each of the `writing` steps was hit.
async fn killed_at_any_time(lab: Lab, arguments: &[&str], status: i32, writing: &[&str], rounds: u64) {
    let mut random = Pcg64::seed_from_u64(seed());
    let whole = lab.copy();
    let started = Instant::now();
    whole.expect(status, arguments);
    let length = started.elapsed();
    let (versions, state) = (whole.versions().await, whole.state().await);

    let mut kills: BTreeMap<String, u64> = BTreeMap::new();
    let missed = |kills: &BTreeMap<String, u64>| writing.iter().any(|step| !kills.contains_key(*step));
    // Over the run once, and on for at most three times as long until each writing step was hit.
    for round in 0..rounds * 4 {
        if round >= rounds && !missed(&kills) {
            break;
        }
        let victim = lab.copy();
        let mut command = victim.command(arguments);
        command.args(["--log-format", "json"]).env("RUST_LOG", "highwater::hooks=info");
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        // One instant in each slice of the run, so that all of it is covered.
        let slice = length.mul_f64(1.1) / u32::try_from(rounds).unwrap();
        let at = slice * u32::try_from(round % rounds).unwrap() + slice.mul_f64(random.random::<f64>());
        sleep(at.max(Duration::from_millis(1)));
        child.kill().unwrap();
        let killed = child.wait().unwrap().signal() == Some(9);
        let mut log = String::new();
        child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        let step = if killed { last_step(&log) } else { "finished".to_owned() };
        *kills.entry(step.clone()).or_default() += 1;

        victim.expect(status, arguments);
        assert_eq!(victim.state().await, state, "{arguments:?} round {round}, killed in {step}");
        assert_eq!(victim.versions().await, versions, "{arguments:?} round {round}, killed in {step}");
    }
    println!("{arguments:?}: kills by step: {kills:?}");
    for step in writing {
        assert!(kills.get(*step).copied().unwrap_or_default() > 0, "no kill hit {step}: {kills:?}");
    }
}

/// Rounds of a load, which is killed most.
fn rounds() -> u64 {
    setting("HIGHWATER_KILL_ROUNDS", 200) / 2
}

/// Rounds of each of the other commands: the crash suite has their every step, so these look for what lies between.
fn fewer_rounds() -> u64 {
    rounds().div_ceil(10)
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_killed_at_any_time_then_rerun_equals_the_whole_run() {
    // One row is kept out.
    let writing = ["merge", "quarantine", "audit", "watermark"];
    killed_at_any_time(Lab::reference().await, &["run"], 0, &writing, rounds()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_killed_at_any_time_then_rerun_equals_the_whole_run() {
    killed_at_any_time(Lab::stock().await, &["run"], 0, &["merge", "audit", "watermark"], rounds()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rejection_killed_at_any_time_then_rerun_leaves_its_evidence_once() {
    killed_at_any_time(rejecting().await, &["run"], 1, &[], fewer_rounds()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn load_that_closes_entries_killed_at_any_time_then_rerun_equals_the_whole_run() {
    killed_at_any_time(would_pass().await, &["run"], 0, &[], fewer_rounds()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_killed_at_any_time_then_rerun_equals_the_whole_replay() {
    killed_at_any_time(would_pass().await, &["quarantine", "replay"], 0, &[], fewer_rounds()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rollback_killed_at_any_time_then_rerun_equals_the_whole_rollback() {
    killed_at_any_time(loaded_twice().await, &["rollback", "--last"], 0, &[], fewer_rounds()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn discard_killed_at_any_time_then_rerun_closes_the_entry_once() {
    let discard = ["quarantine", "discard", "--all", "--reason", "a test order"];
    killed_at_any_time(kept_out().await, &discard, 0, &[], fewer_rounds()).await;
}
