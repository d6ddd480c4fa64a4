//! Records whose lists are long: they lie in files of their own, and the commit stays small.

use std::fs;
use std::path::PathBuf;

use crate::common::{Lab, setting};
use crate::gate::{CUSTOMER, order, quarantining};

const REPLAY: [&str; 2] = ["quarantine", "replay"];

/// Entries that are replayed; `--long` draws half a million.
fn many() -> u32 {
    u32::try_from(setting("HIGHWATER_ENTRIES", 3_000)).unwrap()
}

/// Many rows of a customer who is not known: kept out, and known by now.
async fn kept_out() -> Lab {
    let lab = quarantining().await;
    let rows: String = (1_000..1_000 + many()).map(|id| order(id, 9, "2025-09-01", 1, "4.00")).collect();
    lab.append("staging_orders", &rows).await;
    assert_eq!(lab.load()["counts"]["quarantined"], many() + 1);
    lab.append("dim_customer", CUSTOMER).await;
    lab
}

/// The largest log entry of a table, in bytes.
fn largest_entry(lab: &Lab, table: &str) -> u64 {
    let log = fs::read_dir(lab.path().join(table).join("_delta_log")).unwrap();
    let entries =
        log.map(|entry| entry.unwrap()).filter(|entry| entry.path().extension().is_some_and(|e| e == "json"));
    entries.map(|entry| entry.metadata().unwrap().len()).max().unwrap()
}

fn lists(lab: &Lab, table: &str) -> Vec<PathBuf> {
    let Ok(folder) = fs::read_dir(lab.path().join(table).join("_highwater")) else { return Vec::new() };
    folder.map(|file| file.unwrap().path()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_of_many_entries_makes_a_small_commit_and_is_finished_after_a_crash() {
    let lab = kept_out().await;
    let whole = lab.copy();
    assert_eq!(whole.expect(0, &REPLAY)["counts"]["inserted"], many() + 1);
    assert_eq!(lists(&whole, "fact_orders_bad").len(), 1);
    assert!(largest_entry(&whole, "fact_orders") < 20_000, "{} bytes", largest_entry(&whole, "fact_orders"));
    let (versions, state) = (whole.versions().await, whole.state().await);
    for point in ["merge:after", "quarantine:before", "quarantine:after"] {
        let crashed = lab.copy();
        crashed.die(&REPLAY, point);
        crashed.expect(0, &REPLAY);
        assert_eq!(crashed.state().await, state, "{point}");
        assert_eq!(crashed.versions().await, versions, "{point}");
    }
    whole.must_be_sound("a replay of many", &["orders"], 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn list_of_an_unfinished_batch_that_is_gone_or_has_changed_is_told_and_nothing_is_changed() {
    let lab = kept_out().await;
    lab.die(&REPLAY, "merge:after");
    let [file] = &lists(&lab, "fact_orders_bad")[..] else { panic!("no file, or several") };
    let text = fs::read(file).unwrap();
    let versions = lab.versions().await;
    fs::remove_file(file).unwrap();
    for how in ["is gone", "has changed"] {
        let document = lab.expect(4, &["run"]);
        let message = document["error"]["message"].as_str().unwrap();
        assert!(message.contains(how) && message.contains("_highwater/"), "{message}");
        assert_eq!(lab.versions().await, versions);
        fs::write(file, "[1]").unwrap();
    }
    let lost = lab.copy();
    fs::write(file, text).unwrap();
    assert_eq!(lab.load()["recovered"].as_array().unwrap().len(), 1);
    lab.must_be_sound("a list that came back", &["orders"], 1).await;
    // A person gives it up: the batch is done, and its entries keep the status that they had.
    fs::write(&lists(&lost, "fact_orders_bad")[0], "[]\n").unwrap();
    assert_eq!(lost.load()["recovered"].as_array().unwrap().len(), 1);
    assert!(lost.entries().await.iter().all(|(_, status)| status == "open" || status == "replayed"));
}

/// A batch of a thousand days, in groups.
async fn whole_again() -> Lab {
    let lab = Lab::reference().await;
    lab.edit("partitions_per_commit: 400", "partitions_per_commit: 300");
    // A first batch of a thousand days.
    let day = |n: u32| chrono::NaiveDate::from_ymd_opt(2022, 1, 1).unwrap() + chrono::Days::new(n.into());
    let rows: String = (0..1_000).map(|n| order(5_000 + n, 1, &day(n).to_string(), 1, "4.00")).collect();
    lab.append("staging_orders", &rows).await;
    lab.edit("initial: lookback", "initial: all");
    lab
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_of_many_groups_names_them_in_a_file() {
    let lab = whole_again().await;
    let whole = lab.copy();
    let loaded = whole.load();
    assert_eq!(loaded["status"], "loaded", "{loaded:#}");
    assert!(loaded["counts"]["inserted"].as_u64().unwrap() > 1_000, "{loaded:#}");
    let state = whole.state().await;
    assert_eq!(lists(&whole, "fact_orders").len(), 1);
    let lost = lab.copy();
    lab.die(&["run"], "merge:1:after");
    lab.load();
    assert!(lab.state().await == state, "the state differs");
    // A list that is gone is told before anything is abandoned; one that a person gave up abandons what is missing.
    lost.die(&["run"], "merge:1:after");
    let [file] = &lists(&lost, "fact_orders")[..] else { panic!("no file, or several") };
    let (text, versions) = (fs::read(file).unwrap(), lost.versions().await);
    fs::remove_file(file).unwrap();
    let document = lost.expect(4, &["run"]);
    assert!(document["error"]["message"].as_str().unwrap().contains("is gone"), "{document:#}");
    assert_eq!(lost.versions().await, versions);
    let given_up = lost.copy();
    fs::write(file, text).unwrap();
    lost.load();
    assert!(lost.state().await == state, "the state differs");
    fs::write(
        given_up.path().join("fact_orders").join(file.strip_prefix(lost.path().join("fact_orders")).unwrap()),
        "[]",
    )
    .unwrap();
    assert_eq!(given_up.load()["status"], "loaded");
    let rows = given_up.values("loads_audit").await;
    assert!(rows.iter().any(|row| row["status"] == "abandoned"), "{rows:#?}");
    assert!(given_up.orders().await == whole.orders().await, "the orders differ");
}

#[tokio::test(flavor = "multi_thread")]
async fn vacuum_leaves_the_lists_of_an_unfinished_batch() {
    let lab = kept_out().await;
    lab.die(&REPLAY, "merge:after");
    let before = lists(&lab, "fact_orders_bad");
    let table = lab.delta("fact_orders_bad").await;
    let vacuum = table.vacuum().with_retention_period(chrono::TimeDelta::zero());
    vacuum.with_enforce_retention_duration(false).await.unwrap();
    assert_eq!((before.len(), lists(&lab, "fact_orders_bad")), (1, before));
    assert_eq!(lab.load()["recovered"].as_array().unwrap().len(), 1);
}
