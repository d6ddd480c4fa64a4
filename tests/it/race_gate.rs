//! Rejections, replays, discards and rollbacks at once with loads and with each other, as chance has it; in `meeting`
//! they must meet.

use highwater::model::Strategy;
use std::time::Duration;

use serde_json::Value;

use crate::common::{Lab, setting};
use crate::gate::{expect_with, kept_out, loaded_twice, order, quarantining, would_pass};
use crate::race::{Racer, race};

/// About how long a command takes.
const WHILE: Duration = Duration::from_millis(1200);
const RUN: &[&str] = &["run"];
const REPLAY: &[&str] = &["quarantine", "replay"];
const DISCARD: &[&str] = &["quarantine", "discard", "--all", "--reason", "a test order"];
const LAST: &[&str] = &["rollback", "--last"];

fn rounds() -> u64 {
    setting("HIGHWATER_RACE_ROUNDS", 8).div_ceil(2)
}

fn ended(documents: &[Value], status: &str) -> usize {
    documents.iter().filter(|document| document["status"] == status).count()
}

/// Runs what is left to run: the first finishes and loads, the second finds everything done.
async fn settle(lab: &Lab, what: &str) {
    lab.load();
    let versions = lab.versions().await;
    assert_eq!(lab.load()["status"], "already_loaded", "{what}");
    assert_eq!(lab.versions().await, versions, "{what}");
    lab.must_be_sound(what, &["orders"], 1).await;
}

/// The same command, several times at once, reaches the state of one.
async fn as_one(lab: &Lab, arguments: &[&str], done: &str) {
    let whole = lab.copy();
    whole.expect(0, arguments);
    let (versions, state) = (whole.versions().await, whole.state().await);
    let mut met = 0;
    for round in 0..rounds() {
        let raced = lab.copy();
        let racers: Vec<Racer<'_>> =
            (0..2 + round % 2).map(|_| Racer::new(&raced.file, arguments, &[0])).collect();
        let found = race(&raced, &racers);
        met += u64::from(found.lost);
        assert!(ended(&found.documents, done) > 0, "{:#?}", found.documents);
        assert_eq!(raced.state().await, state, "{arguments:?} round {round}");
        assert_eq!(raced.versions().await, versions, "{arguments:?} round {round}");
    }
    println!("{met} of {} rounds met at a commit", rounds());
}

#[tokio::test(flavor = "multi_thread")]
async fn rollbacks_of_the_last_batch_at_once_take_one_batch_back() {
    as_one(&loaded_twice(Strategy::Builder).await, LAST, "rolled_back").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replays_of_the_same_entries_at_once_load_them_once() {
    as_one(&would_pass().await, REPLAY, "loaded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn discards_of_the_same_entries_at_once_close_them_once() {
    let lab = kept_out().await;
    let whole = lab.copy();
    whole.expect(0, DISCARD);
    for _ in 0..rounds() {
        let raced = lab.copy();
        let racers: Vec<Racer<'_>> = (0..3).map(|_| Racer::new(&raced.file, DISCARD, &[0])).collect();
        let found = race(&raced, &racers);
        let discarded = found.documents.iter().map(|document| document["discarded"].as_i64().unwrap());
        assert_eq!(discarded.sum::<i64>(), 1, "{:#?}", found.documents);
        assert_eq!(raced.state().await, whole.state().await);
        assert_eq!(raced.versions().await, whole.versions().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn run_and_rollback_at_once_end_where_one_of_their_orders_does() {
    let lab = kept_out().await;
    let row = order(105, 1, "2025-08-31", 2, "5.00") + &order(106, 7, "2025-09-01", 2, "6.00");
    lab.append("staging_orders", &row).await;
    let whole = lab.copy();
    whole.load();
    let mut ends = [0; 3];
    for round in 0..rounds() * 2 {
        let raced = lab.copy();
        let racers = [
            Racer::new(&raced.file, RUN, &[0, 4]).within(WHILE / 3),
            Racer::new(&raced.file, LAST, &[0, 4]).within(WHILE / 3),
        ];
        let found = race(&raced, &racers).documents;
        let text = |document: &Value| document["error"]["message"].as_str().unwrap_or_default().to_owned();
        let (run, back) = (text(&found[0]), text(&found[1]));
        assert!(run.is_empty() || run.contains("rolled batches back"), "{run}");
        assert!(back.is_empty() || back.contains("while this rollback was under way"), "{back}");
        // One of them goes first, so not both can be refused.
        assert!(run.is_empty() || back.is_empty(), "{run} {back}");
        ends[usize::from(!run.is_empty()) + 2 * usize::from(!back.is_empty())] += 1;
        raced.must_be_sound(&format!("round {round}: {run} {back}"), &["orders"], 1).await;
        settle(&raced, &format!("round {round}, settled")).await;
        assert_eq!(raced.loaded().await, whole.loaded().await, "round {round}");
        assert_eq!(raced.entries().await, whole.entries().await, "round {round}");
    }
    println!("both done, run overtaken, rollback refused: {ends:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_and_run_at_once_load_a_row_once() {
    let lab = would_pass().await;
    lab.append("staging_orders", &order(105, 1, "2025-08-31", 2, "5.00")).await;
    let whole = lab.copy();
    whole.load();
    let mut met = 0;
    for round in 0..rounds() {
        let raced = lab.copy();
        let racers = [
            Racer::new(&raced.file, REPLAY, &[0]),
            Racer::new(&raced.file, RUN, &[0]),
            Racer::new(&raced.file, REPLAY, &[0]),
        ];
        let found = race(&raced, &racers);
        met += u64::from(found.lost);
        assert_eq!(found.documents[1]["status"], "loaded", "{:#}", found.documents[1]);
        assert_eq!(raced.entries().await, [(103, "replayed".to_owned())], "round {round}");
        raced.must_be_sound(&format!("round {round}"), &["orders"], 1).await;
        settle(&raced, &format!("round {round}, settled")).await;
        assert_eq!(raced.loaded().await, whole.loaded().await, "round {round}");
    }
    println!("{met} of {} rounds met at a commit", rounds());
}

#[tokio::test(flavor = "multi_thread")]
async fn discard_at_once_with_what_loads_the_row_ends_with_the_row_in_or_out() {
    let lab = would_pass().await;
    let mut ends = [0; 2];
    for round in 0..rounds() {
        for loading in [RUN, REPLAY] {
            let raced = lab.copy();
            let racers = [
                Racer::new(&raced.file, loading, &[0]),
                Racer::new(&raced.file, DISCARD, &[0]).within(WHILE),
            ];
            race(&raced, &racers);
            let what = format!("{loading:?} round {round}");
            settle(&raced, &what).await;
            let loaded = raced.orders().await.iter().any(|(id, _)| *id == 103);
            let expected = if loaded { "replayed" } else { "discarded" };
            assert_eq!(raced.entries().await, [(103, expected.to_owned())], "{what}");
            ends[usize::from(loaded)] += 1;
        }
    }
    println!("row out, row in: {ends:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rejection_and_load_at_once_that_meet_the_same_row_make_one_entry() {
    let lab = quarantining().await;
    let strict = lab.variant("strict.yaml", "action: quarantine}", "action: fail}");
    let mut met = 0;
    for round in 0..rounds() {
        let raced = lab.copy();
        let racers = [
            Racer::new(&raced.file, RUN, &[0]),
            Racer::new(&strict, RUN, &[0, 1]),
            Racer::new(&raced.file, &["run", "--as-of", "2025-09-02"], &[0]),
            Racer::new(&strict, &["run", "--as-of", "2025-09-02"], &[0, 1]),
        ];
        let found = race(&raced, &racers);
        met += u64::from(found.lost);
        // A run that finds the row kept out by a load is not rejected for it.
        let (loaded, rejected) = (ended(&found.documents, "loaded"), ended(&found.documents, "rejected"));
        assert!(loaded >= 2 && loaded + rejected == 4, "{loaded} loaded, {rejected} rejected");
        assert_eq!(raced.entries().await, [(103, "open".to_owned())], "round {round}");
        raced.must_be_sound(&format!("round {round}"), &["orders"], 1).await;
        // Whoever wrote the entry, the row was kept out by a load by now: no run is rejected for it any more.
        for racer in &racers {
            expect_with(&raced, racer.file, 0, racer.arguments);
        }
        let versions = raced.versions().await;
        for racer in &racers {
            expect_with(&raced, racer.file, 0, racer.arguments);
        }
        assert_eq!(raced.versions().await, versions, "round {round}");
    }
    println!("{met} of {} rounds met at a commit", rounds());
}
