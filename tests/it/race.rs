//! Several processes at once reach the state of one, whatever their starts are like. Whether any two meet at a commit
//! is left to chance here; in `meeting` they must.

use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use serde_json::Value;

use crate::common::{Lab, STRATEGIES, seed, seed_of, setting};
use crate::gate::quarantining;

/// A command in a race: its pipeline file, its words, and the exit statuses that it may end with.
pub struct Racer<'a> {
    pub file: &'a str,
    pub arguments: &'a [&'a str],
    pub may_end: &'a [i32],
    /// It starts at random up to so long after the first.
    within: Duration,
}

impl<'a> Racer<'a> {
    pub fn new(file: &'a str, arguments: &'a [&'a str], may_end: &'a [i32]) -> Self {
        Self { file, arguments, may_end, within: Duration::ZERO }
    }

    pub fn within(self, within: Duration) -> Self {
        Self { within, ..self }
    }
}

/// What came of a race.
pub struct Raced {
    /// Each command's document, in the order in which they are given.
    pub documents: Vec<Value>,
    /// Whether any lost a commit to another.
    pub lost: bool,
}

/// Starts all commands at once, or nearly.
pub fn race(lab: &Lab, racers: &[Racer<'_>]) -> Raced {
    static RACES: AtomicU64 = AtomicU64::new(0);
    let mut random = Pcg64::seed_from_u64(seed_of(seed(), RACES.fetch_add(1, Ordering::Relaxed)));
    let started = Instant::now();
    let mut starts: Vec<(Duration, usize)> =
        racers.iter().map(|racer| racer.within.mul_f64(random.random::<f64>())).zip(0..).collect();
    starts.sort();
    let mut children: Vec<(usize, Child)> = Vec::new();
    for (at, index) in starts {
        let racer = &racers[index];
        let mut command = lab.command_with(racer.file, racer.arguments);
        command.arg("--json").env("RUST_LOG", "highwater::lake=info");
        sleep(at.saturating_sub(started.elapsed()));
        children.push((index, command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()));
    }
    let mut raced = Raced { documents: vec![Value::Null; racers.len()], lost: false };
    for (index, child) in children {
        let output = child.wait_with_output().unwrap();
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        raced.lost |= log.contains("commit lost to another");
        let (code, racer) = (output.status.code().unwrap(), &racers[index]);
        assert!(racer.may_end.contains(&code), "{:?} ended with {code}: {log}", racer.arguments);
        raced.documents[index] = serde_json::from_slice(&output.stdout).unwrap();
    }
    raced
}

/// Loads with these pipeline files, all at once; each must end well.
fn race_loads(lab: &Lab, files: &[&str]) -> (Vec<Value>, bool) {
    let racers: Vec<Racer<'_>> = files.iter().map(|file| Racer::new(file, &["run"], &[0])).collect();
    let raced = race(lab, &racers);
    (raced.documents, raced.lost)
}

fn rounds() -> u64 {
    setting("HIGHWATER_RACE_ROUNDS", 8)
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_one_batch_at_once_reach_the_state_of_one_run() {
    for lab in [Lab::reference().await, Lab::stock().await] {
        let whole = lab.copy();
        whole.load();
        let (versions, state) = (whole.versions().await, whole.state().await);
        let mut met = 0;
        for round in 0..rounds() {
            // A strategy changes no row of any table.
            let raced = lab.copy().written_by(STRATEGIES[usize::try_from(round).unwrap() % 3]);
            let runs = 2 + usize::try_from(round % 3).unwrap();
            let (documents, lost) = race_loads(&raced, &vec![raced.file.as_str(); runs]);
            met += u64::from(lost);
            assert!(documents.iter().any(|document| document["status"] == "loaded"));
            assert_eq!(raced.state().await, state);
            assert_eq!(raced.versions().await, versions);
        }
        println!("{met} of {} rounds met at a commit", rounds());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_configs_of_one_pipeline_at_once_load_one_batch_each() {
    let lab = quarantining().await;
    let other = lab.variant("other.yaml", "lookback: 7 days", "lookback: 3 days");
    let mut met = 0;
    for _ in 0..rounds() {
        let raced = lab.copy();
        let (documents, lost) = race_loads(&raced, &[&raced.file, &other, &raced.file]);
        met += u64::from(lost);
        assert_ne!(documents[0]["batch_id"], documents[1]["batch_id"]);
        assert_eq!(documents[0]["batch_id"], documents[2]["batch_id"]);
        // Whichever came first wrote the rows; the other found them unchanged.
        assert_eq!(raced.rows("fact_orders").await.len(), 3);
        let inserted = |document: &Value| document["counts"]["inserted"].as_i64().unwrap();
        assert_eq!(inserted(&documents[0]) + inserted(&documents[1]), 2);
        // Both met the row of order 103.
        assert_eq!(raced.entries().await, [(103, "open".to_owned())]);
        assert_eq!(raced.rows("loads_audit").await.len(), 2);
        assert_eq!(raced.rows("load_watermarks").await.len(), 2);
        assert_eq!(raced.versions().await["fact_orders"], 3);
    }
    println!("{met} of {} rounds met at a commit", rounds());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pipelines_into_one_target_at_once_keep_one_row_a_key() {
    let lab = Lab::reference().await;
    let other = lab.variant("other.yaml", "name: orders", "name: orders_too");
    let mut met = 0;
    for _ in 0..rounds() {
        let raced = lab.copy();
        let (documents, lost) = race_loads(&raced, &[&raced.file, &other]);
        met += u64::from(lost);
        for document in &documents {
            assert_eq!((&document["status"], &document["sequence"]), (&"loaded".into(), &1.into()));
        }
        assert_eq!(raced.rows("fact_orders").await.len(), 3);
        // Each pipeline keeps its own entry of the row that both kept out.
        assert_eq!(raced.entries().await, vec![(103, "open".to_owned()); 2]);
        for pipeline in ["orders", "orders_too"] {
            for table in ["fact_orders", "loads_audit", "load_watermarks"] {
                assert_eq!(raced.number(table, pipeline).await, 1, "{pipeline} in {table}");
            }
        }
    }
    println!("{met} of {} rounds met at a commit", rounds());
}
