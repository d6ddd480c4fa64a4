//! Runs brought together: at the beginning of each step that writes they wait for each other, so that those which are
//! at the same step commit onto the same version, and all but one must lose. Whatever the machine's load.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{Builder, JoinHandle};

use highwater::config::Overrides;
use highwater::context;
use highwater::events::{Began, Ended, Event, Events, Listener, RunStep};
use highwater::hooks::Hooks;
use highwater::model::{Selection, Strategy};
use highwater::plan::{Accepted, RollbackGoal};
use highwater::quarantine::replay;
use highwater::rollback::roll_back;
use highwater::run::{Ending, Report, run};

use crate::common::{Lab, STRATEGIES, clock};
use crate::gate::{loaded_twice, order, quarantining, would_pass};

/// Plans recurse deeply.
const STACK: usize = 16 << 20;

/// What is known of runs that wait for each other.
#[derive(Default)]
struct Meeting {
    /// Runs that have not ended.
    present: usize,
    /// Where those stand that wait.
    waiting: Vec<RunStep>,
    /// How often all went on.
    turn: u64,
    /// Commits that were begun onto the same version as another's, by step.
    met: BTreeMap<RunStep, usize>,
    /// Commits that were begun and not made, by step.
    lost: BTreeMap<RunStep, usize>,
}

impl Meeting {
    /// Lets all go on, if nobody is missing.
    fn go_on(&mut self) {
        if self.waiting.len() < self.present {
            return;
        }
        for step in &self.waiting {
            let together = self.waiting.iter().filter(|other| *other == step).count();
            if together > 1 {
                *self.met.entry(*step).or_default() += 1;
            }
        }
        self.waiting.clear();
        self.turn += 1;
    }
}

/// One of the runs.
struct Guest(Arc<(Mutex<Meeting>, Condvar)>);

fn writes(step: RunStep) -> bool {
    matches!(step, RunStep::Merge | RunStep::Quarantine | RunStep::Audit | RunStep::Watermark)
}

impl Listener for Guest {
    fn hear(&self, event: &Event) {
        match event {
            Event::Began(Began { step, .. }) => self.begin(*step),
            Event::Ended(Ended { step, .. }) => self.end(*step),
            _ => {}
        }
    }
}

impl Guest {
    fn begin(&self, step: RunStep) {
        if !writes(step) {
            return;
        }
        let (meeting, changed) = &*self.0;
        let mut now = meeting.lock().unwrap();
        *now.lost.entry(step).or_default() += 1;
        let turn = now.turn;
        now.waiting.push(step);
        now.go_on();
        changed.notify_all();
        drop(changed.wait_while(now, |now| now.turn == turn).unwrap());
    }

    fn end(&self, step: RunStep) {
        if writes(step) {
            *self.0.0.lock().unwrap().lost.entry(step).or_default() -= 1;
        }
    }
}

/// Nobody waits for a run that has ended, however it did.
impl Drop for Guest {
    fn drop(&mut self) {
        let (meeting, changed) = &*self.0;
        let mut now = meeting.lock().unwrap();
        now.present -= 1;
        now.go_on();
        changed.notify_all();
    }
}

/// What a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    Load,
    Replay,
    TakeLastBack,
}

/// What came of a meeting.
struct Met {
    reports: Vec<Report>,
    /// Commits that were begun onto the same version as another's, by step.
    together: BTreeMap<RunStep, usize>,
    /// Commits that were lost to another, by step.
    lost: BTreeMap<RunStep, usize>,
}

impl Met {
    fn ended(&self, ending: Ending) -> usize {
        self.reports.iter().filter(|report| report.ending == ending).count()
    }

    /// Of each two that met, one lost.
    fn must_have_met_at(&self, steps: &[RunStep]) {
        for step in steps {
            assert!(
                self.together.get(step).is_some_and(|met| *met > 1),
                "nobody met at {step}: {:?}",
                self.together
            );
            assert!(self.lost[step] > 0, "nobody lost at {step}, where {:?} met", self.together);
        }
    }
}

/// Runs these at once, each in a thread and with tables opened for itself.
fn meet(lab: &Lab, runs: &[(&str, Does)]) -> Met {
    let shared =
        Arc::new((Mutex::new(Meeting { present: runs.len(), ..Meeting::default() }), Condvar::new()));
    let start = |(file, does): &(&str, Does)| {
        let (file, does, guest) = (lab.path().join(file), *does, Guest(Arc::clone(&shared)));
        let hooks = Hooks { events: Events::default().with(guest), ..Hooks::default() };
        let runtime = move || {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(1).thread_stack_size(STACK).enable_all().build().unwrap()
        };
        let work = move || runtime().block_on(go(&file, does, hooks));
        Builder::new().stack_size(STACK).spawn(work).unwrap()
    };
    let threads: Vec<JoinHandle<Report>> = runs.iter().map(start).collect();
    let reports = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let meeting = std::mem::take(&mut *shared.0.lock().unwrap());
    println!("met at {:?}, lost at {:?}", meeting.met, meeting.lost);
    Met { reports, together: meeting.met, lost: meeting.lost }
}

async fn go(file: &Path, does: Does, hooks: Hooks) -> Report {
    let (pipeline, origins) = context::load(file, &Overrides::default()).await.unwrap();
    let mut opened = context::open(pipeline, origins).await.unwrap();
    let accepted = Accepted::default();
    let report = match does {
        Does::Load => run(&mut opened, clock(), &hooks, accepted).await,
        Does::Replay => replay(&mut opened, clock(), &hooks, Selection::default(), accepted, false).await,
        Does::TakeLastBack => {
            let goal = RollbackGoal { batch_id: None, cascade: false, even_foreign: false, reason: None };
            roll_back(&mut opened, clock(), &hooks, goal, false).await
        }
    };
    report.unwrap()
}

/// The same, two and three times at once, meets at each of the steps and reaches the state of one.
async fn as_one(lab: &Lab, does: Does, done: Ending, steps: &[RunStep]) {
    let whole = lab.copy();
    assert_eq!(meet(&whole, &[(&whole.file, does)]).ended(done), 1);
    let (versions, state) = (whole.versions().await, whole.state().await);
    for runs in [2, 3] {
        let raced = lab.copy();
        let met = meet(&raced, &vec![(raced.file.as_str(), does); runs]);
        met.must_have_met_at(steps);
        assert!(met.ended(done) > 0);
        assert_eq!(raced.state().await, state, "{runs} times {does:?}");
        assert_eq!(raced.versions().await, versions, "{runs} times {does:?}");
    }
}

const ALL: [RunStep; 4] = [RunStep::Merge, RunStep::Quarantine, RunStep::Audit, RunStep::Watermark];

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_one_batch_that_meet_at_each_commit_reach_the_state_of_one_run() {
    for strategy in STRATEGIES {
        as_one(&Lab::reference().await.written_by(strategy), Does::Load, Ending::Loaded, &ALL).await;
    }
    let steps = [RunStep::Merge, RunStep::Audit, RunStep::Watermark];
    as_one(&Lab::stock().await, Does::Load, Ending::Loaded, &steps).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replays_that_meet_at_each_commit_load_their_entries_once() {
    as_one(&would_pass().await, Does::Replay, Ending::Loaded, &ALL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rollbacks_that_meet_at_each_commit_take_one_batch_back() {
    as_one(&loaded_twice(Strategy::DeletionVectors).await, Does::TakeLastBack, Ending::RolledBack, &ALL)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_configs_that_meet_at_the_target_load_one_batch_each() {
    let lab = quarantining().await;
    let other = lab.variant("other.yaml", "lookback: 7 days", "lookback: 3 days");
    let met = meet(&lab, &[(&lab.file, Does::Load), (&other, Does::Load)]);
    met.must_have_met_at(&[RunStep::Merge]);
    assert_ne!(met.reports[0].batch_id, met.reports[1].batch_id);
    assert_eq!(met.ended(Ending::Loaded), 2);
    // Whichever came first wrote the rows; the other found them unchanged.
    assert_eq!(met.reports.iter().map(|report| report.counts.inserted).sum::<i64>(), 2);
    assert_eq!(lab.entries().await, [(103, "open".to_owned())]);
    lab.must_be_sound("two configs", &["orders"], 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pipelines_that_meet_at_one_target_keep_one_row_a_key() {
    let lab = Lab::reference().await;
    let other = lab.variant("other.yaml", "name: orders", "name: orders_too");
    let met = meet(&lab, &[(&lab.file, Does::Load), (&other, Does::Load)]);
    met.must_have_met_at(&[RunStep::Merge]);
    assert_eq!(met.ended(Ending::Loaded), 2);
    assert_eq!(lab.entries().await, vec![(103, "open".to_owned()); 2]);
    lab.must_be_sound("two pipelines", &["orders", "orders_too"], 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_and_load_that_meet_at_the_target_load_a_row_once() {
    let lab = would_pass().await;
    lab.append("staging_orders", &order(105, 1, "2025-08-31", 2, "5.00")).await;
    let whole = lab.copy();
    whole.load();
    let met = meet(&lab, &[(&lab.file, Does::Replay), (&lab.file, Does::Load)]);
    met.must_have_met_at(&[RunStep::Merge]);
    assert_eq!(met.reports[1].ending, Ending::Loaded);
    assert_eq!(lab.entries().await, [(103, "replayed".to_owned())]);
    assert_eq!(lab.loaded().await, whole.loaded().await);
    lab.must_be_sound("replay and load", &["orders"], 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rejection_and_load_that_meet_at_the_quarantine_make_one_entry_of_a_row() {
    let lab = quarantining().await;
    let strict = lab.variant("strict.yaml", "action: quarantine}", "action: fail}");
    let met = meet(&lab, &[(&lab.file, Does::Load), (&strict, Does::Load)]);
    met.must_have_met_at(&[RunStep::Quarantine]);
    assert_eq!((met.ended(Ending::Loaded), met.ended(Ending::Rejected)), (1, 1));
    assert_eq!(lab.entries().await, [(103, "open".to_owned())]);
    lab.must_be_sound("rejection and load", &["orders"], 1).await;
}
