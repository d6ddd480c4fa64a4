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

/// The steps that commit.
const WRITING: [&str; 3] = ["merge", "audit", "watermark"];

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

async fn killed_at_any_time(lab: Lab, rounds: u64) {
    let mut random = Pcg64::seed_from_u64(seed());
    let whole = lab.copy();
    let started = Instant::now();
    whole.load();
    let length = started.elapsed();
    let (versions, state) = (whole.versions().await, whole.state().await);

    let mut kills: BTreeMap<String, u64> = BTreeMap::new();
    let missed = |kills: &BTreeMap<String, u64>| WRITING.iter().any(|step| !kills.contains_key(*step));
    // Over the run once, and on for at most three times as long until each writing step was hit.
    for round in 0..rounds * 4 {
        if round >= rounds && !missed(&kills) {
            break;
        }
        let victim = lab.copy();
        let mut command = victim.command(&["run", "--log-format", "json"]);
        command.env("RUST_LOG", "highwater::hooks=info").stderr(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
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

        victim.load();
        assert_eq!(victim.state().await, state, "round {round}, killed in {step}");
        assert_eq!(victim.versions().await, versions, "round {round}, killed in {step}");
    }
    println!("kills by step: {kills:?}");
    for step in WRITING {
        assert!(kills.get(step).copied().unwrap_or_default() > 0, "no kill hit {step}: {kills:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_killed_at_any_time_then_rerun_equals_the_whole_run() {
    killed_at_any_time(Lab::reference().await, setting("HIGHWATER_KILL_ROUNDS", 200) / 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_killed_at_any_time_then_rerun_equals_the_whole_run() {
    killed_at_any_time(Lab::stock().await, setting("HIGHWATER_KILL_ROUNDS", 200) / 2).await;
}
