//! Processes killed with SIGKILL at random instants within each of their steps.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Lines};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ChildStderr, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use chrono::{DateTime, Utc};
use highwater::events::RunStep;
use highwater::model::{Clock, Strategy};
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use serde_json::Value;

use crate::common::{Lab, STRATEGIES, seed, setting};
use crate::gate::{kept_out, loaded_twice, rejecting, would_pass};

/// What a process's log says of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Event {
    step: String,
    /// It begins, or it is done.
    begins: bool,
    at: DateTime<Utc>,
}

impl Event {
    fn read(line: &str) -> Option<Self> {
        let line: Value = serde_json::from_str(line).ok()?;
        let fields = &line["fields"];
        Some(Self {
            step: fields["step"].as_str()?.to_owned(),
            begins: fields["message"] == "begin",
            at: line["timestamp"].as_str()?.parse().unwrap(),
        })
    }

    /// The point of a run, as `--fail-at` has it.
    fn point(&self) -> String {
        format!("{}:{}", self.step, if self.begins { "before" } else { "after" })
    }
}

/// Starts a command that logs its steps.
fn start(mut command: Command) -> (std::process::Child, Lines<BufReader<ChildStderr>>) {
    command.args(["--log-format", "json"]).env("RUST_LOG", "highwater::events=info");
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    (child, lines)
}

/// A stretch of a run: from one event of its log to the next.
struct Place {
    name: String,
    /// How many events come before it.
    after: usize,
    /// Where it ends: a process that is not killed by then kills itself.
    until: String,
    /// How long it took once.
    length: Duration,
}

/// The events of a whole run, and its places in their order.
fn places(command: Command, status: i32) -> (Vec<Event>, Vec<Place>) {
    let began = Clock::System.now();
    let (mut child, lines) = start(command);
    let events: Vec<Event> = lines.map_while(Result::ok).filter_map(|line| Event::read(&line)).collect();
    assert_eq!(child.wait().unwrap().code(), Some(status));
    let mut places: Vec<Place> = Vec::new();
    let mut since = (began, "start".to_owned());
    for (after, event) in events.iter().enumerate() {
        let known = events[..after].iter().any(|other| other.point() == event.point());
        assert!(!known, "{} comes twice, and `--fail-at` knows the first only", event.point());
        let length = (event.at - since.0).to_std().unwrap_or_default();
        places.push(Place { name: since.1, after, until: event.point(), length });
        let name = if event.begins { event.step.clone() } else { format!("after {}", event.step) };
        since = (event.at, name);
    }
    (events, places)
}

/// Kills a command at a random instant of a place: once its log has told that it came there, and before it can go on.
/// On a machine that is so busy that the kill would come late, the process has killed itself where the place ends.
fn kill(mut command: Command, place: &Place, instant: f64) -> Vec<Event> {
    command.args(["--fail-at", &place.until]);
    let (mut child, lines) = start(command);
    let mut events = lines.map_while(Result::ok).filter_map(|line| Event::read(&line));
    let mut seen: Vec<Event> = events.by_ref().take(place.after).collect();
    sleep(place.length.mul_f64(instant));
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9), "{} was not reached", place.until);
    seen.extend(events);
    seen
}

/// Kills a command at random instants of each place that is `wanted`, as many rounds as given and at least one a
/// place; the same command again must reach the end of one that was never killed.
async fn killed_within(
    lab: Lab,
    arguments: &[&str],
    status: i32,
    wanted: impl Fn(&str) -> bool,
    rounds: usize,
) {
    let mut random = Pcg64::seed_from_u64(seed());
    let whole = lab.copy();
    let (events, mut places) = places(whole.command(arguments), status);
    let (versions, state) = (whole.versions().await, whole.state().await);
    places.retain(|place| wanted(&place.name));
    assert!(!places.is_empty(), "{arguments:?} has no such steps: {events:?}");

    let mut kills: BTreeMap<&str, u64> = BTreeMap::new();
    for round in 0..rounds.max(places.len()) {
        let place = &places[round % places.len()];
        let what = format!("{arguments:?} round {round}, killed in {}", place.name);
        let victim = lab.copy();
        // A little longer than it took: the end of a place is one of its instants.
        let seen = kill(victim.command(arguments), place, 1.2 * random.random::<f64>());
        let told = |events: &[Event]| events.iter().map(Event::point).collect::<Vec<_>>();
        // The log tells that a step begins before the process kills itself there.
        let most = place.after + usize::from(events[place.after].begins);
        assert!(seen.len() >= place.after && seen.len() <= most, "{what}: {seen:?}");
        assert_eq!(told(&seen), told(&events[..seen.len()]), "{what}");
        *kills.entry(&place.name).or_default() += 1;

        victim.expect(status, arguments);
        assert_eq!(victim.state().await, state, "{what}");
        assert_eq!(victim.versions().await, versions, "{what}");
    }
    println!("{arguments:?}: kills by step: {kills:?}");
}

/// Rounds of a load, which is killed most.
fn rounds() -> usize {
    usize::try_from(setting("HIGHWATER_KILL_ROUNDS", 200)).unwrap() / 2
}

/// Kills one of the other commands in the steps that write, and between them: before, it does what a load does.
async fn killed_while_writing(lab: Lab, arguments: &[&str], status: i32) {
    let writing =
        [RunStep::Merge, RunStep::Reconcile, RunStep::Quarantine, RunStep::Audit, RunStep::Watermark];
    let wanted = |name: &str| writing.iter().any(|step| name.ends_with(step.as_str()));
    killed_within(lab, arguments, status, wanted, rounds().div_ceil(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_killed_within_any_step_then_rerun_equals_the_whole_run() {
    for (strategy, rounds) in
        STRATEGIES.into_iter().zip([rounds(), rounds().div_ceil(4), rounds().div_ceil(4)])
    {
        killed_within(Lab::reference().await.written_by(strategy), &["run"], 0, |_| true, rounds).await;
    }
}

/// Sends SIGTERM while a step is under way: the command ends before its next step, and says so.
#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_a_run_before_its_next_step_and_the_next_run_goes_on() {
    let lab = Lab::reference().await;
    let whole = lab.copy();
    whole.load();
    let (versions, state) = (whole.versions().await, whole.state().await);
    let mut stopped = 0;
    for step in RunStep::ALL {
        let victim = lab.copy();
        let mut command = victim.command(&["run", "--json"]);
        command.args(["--log-format", "json"]).env("RUST_LOG", "highwater::events=info");
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut events = lines.map_while(Result::ok).filter_map(|line| Event::read(&line));
        let point = format!("{step}:before");
        if events.by_ref().all(|event| event.point() != point) {
            // The target of this lab is not purged.
            assert_eq!(step, RunStep::Purge);
            continue;
        }
        let began = std::time::Instant::now();
        let id = child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        events.for_each(drop);
        let output = child.wait_with_output().unwrap();
        assert!(began.elapsed() < Duration::from_secs(25), "{step}: {:?}", began.elapsed());
        match output.status.code() {
            // It was done already.
            Some(0) => {}
            Some(143) => {
                stopped += 1;
                let document: Value = serde_json::from_slice(&output.stdout).unwrap();
                assert_eq!(document["error"]["kind"], "stopped", "{step}: {document:#}");
                let message = document["error"]["message"].as_str().unwrap();
                assert!(message.starts_with("ended by SIGTERM"), "{step}: {message}");
            }
            other => panic!("{step}: {other:?}: {output:?}"),
        }
        victim.load();
        assert_eq!(victim.state().await, state, "{step}");
        assert_eq!(victim.versions().await, versions, "{step}");
    }
    assert!(stopped > 4, "only {stopped} runs were stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn run_that_takes_longer_than_its_deadline_ends_with_3_and_the_next_one_goes_on() {
    let lab = Lab::generated(20_000, 7).await;
    let text = std::fs::read_to_string(lab.config()).unwrap();
    // A billion hashes: no machine is done with them before the run's time is over.
    let heavy = "SELECT a.order_id FROM batch a CROSS JOIN batch b
        JOIN batch c ON length(md5(concat(a.order_id, b.order_id, c.order_id))) = 1";
    lab.edit("\nchecks:", &format!("\nchecks:\n  - sql: {{name: heavy, query: '{heavy}'}}"));
    lab.edit("\ndeadline: 2 hours", "\ndeadline: 1 second");
    let (status, document) = lab.json(&["run"]);
    assert_eq!(status, Some(3), "{document:#}");
    assert!(
        document["error"]["message"].as_str().unwrap().starts_with("the deadline of 1s is over"),
        "{document:#}"
    );
    std::fs::write(lab.config(), text).unwrap();
    lab.load();
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_killed_within_any_step_then_rerun_equals_the_whole_run() {
    killed_within(Lab::stock().await, &["run"], 0, |_| true, rounds()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rejection_killed_within_any_writing_step_then_rerun_leaves_its_evidence_once() {
    killed_while_writing(rejecting().await, &["run"], 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn load_that_closes_entries_killed_within_any_writing_step_then_rerun_equals_the_whole_run() {
    killed_while_writing(would_pass().await, &["run"], 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_killed_within_any_writing_step_then_rerun_equals_the_whole_replay() {
    killed_while_writing(would_pass().await, &["quarantine", "replay"], 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rollback_killed_within_any_writing_step_then_rerun_equals_the_whole_rollback() {
    killed_while_writing(loaded_twice(Strategy::DeletionVectors).await, &["rollback", "--last"], 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn discard_killed_within_its_writing_step_then_rerun_closes_the_entry_once() {
    let discard = ["quarantine", "discard", "--all", "--reason", "a test order"];
    killed_while_writing(kept_out().await, &discard, 0).await;
}
