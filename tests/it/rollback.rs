//! Batches that are taken back, and those that cannot be.

use highwater::model::Strategy;
use std::sync::Mutex;

use highwater::contract::ddl::ColumnDef;
use highwater::events::{Events, RunStep};
use highwater::fail_points::FailPoints;
use highwater::hooks::Hooks;
use highwater::model::types::{DataType, Field};
use highwater::plan::Accepted;
use highwater::run::run;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use crate::common::{Lab, batch, clock};
use crate::foreign::Once;
use crate::gate::{expect_with, kept_out, loaded_twice, order};
use crate::recovery::{clean_log, vacuum};

const LAST: [&str; 2] = ["rollback", "--last"];

fn id(document: &Value) -> &str {
    document["batch_id"].as_str().unwrap()
}

/// The ids of all numbered batches, by number.
fn batches(lab: &Lab) -> Vec<String> {
    let status = lab.expect(0, &["status"]);
    let mut batches: Vec<&Value> = status["batches"].as_array().unwrap().iter().collect();
    batches.retain(|row| !row["sequence"].is_null());
    batches.sort_by_key(|row| row["sequence"].as_i64());
    batches.into_iter().map(|row| id(row).to_owned()).collect()
}

/// A rollback that must be refused, with words in its message, and change nothing.
async fn refused(lab: &Lab, arguments: &[&str], told: &str) {
    let (versions, state) = (lab.versions().await, lab.state().await);
    for more in [&[][..], &["--dry-run"]] {
        let error = lab.expect(4, &[arguments, more].concat());
        assert!(error["error"]["message"].as_str().unwrap().contains(told), "{error:#}");
        assert!(!error["error"]["hint"].is_null(), "{error:#}");
    }
    assert_eq!((lab.versions().await, lab.state().await), (versions, state));
}

#[tokio::test(flavor = "multi_thread")]
async fn last_batch_taken_back_leaves_the_target_as_before_it_and_loads_again() {
    let lab = loaded_twice(Strategy::DeletionVectors).await;
    let once = kept_out().await;
    let loaded = lab.loaded().await;
    let second = batches(&lab)[1].clone();
    let versions = lab.versions().await;
    let planned = lab.expect(0, &["rollback", "--last", "--dry-run"]);
    assert_eq!((&planned["status"], &planned["undone"]), (&"planned".into(), &json!([second])));
    assert_eq!(lab.versions().await, versions);

    let document = lab.expect(0, &["rollback", "--last", "--reason", "wrong prices"]);
    assert_eq!((&document["status"], &document["kind"]), (&"rolled_back".into(), &"rollback".into()));
    assert_eq!((&document["undone"], &document["sequence"]), (&json!([second]), &3.into()));
    assert_eq!(document["watermark"], planned["watermark"]);
    assert_eq!(document["watermark"], json!({"before": "2025-08-31", "after": "2025-08-30"}));
    assert_eq!(lab.loaded().await, once.loaded().await);
    let audit = lab.values("loads_audit").await;
    let row = audit.iter().find(|row| row["sequence"] == 3).unwrap();
    assert_eq!((&row["status"], &row["reason"]), (&"rolled_back".into(), &"wrong prices".into()));
    assert_eq!(lab.expect(0, &["status"])["watermark"], "2025-08-30");
    // The entry that the batch closed is open again; the one that it made stays.
    let open = |id: i64| (id, "open".to_owned());
    assert_eq!(lab.entries().await, [open(103), open(104)]);
    lab.must_be_sound("taken back", &["orders"], 1).await;

    // A scheduler that tries again takes nothing more back.
    let versions = lab.versions().await;
    for _ in 0..2 {
        assert_eq!(lab.expect(0, &LAST)["status"], "nothing_to_do");
    }
    assert_eq!(lab.expect(0, &["rollback", "--batch", &second])["status"], "nothing_to_do");
    assert_eq!(lab.versions().await, versions);

    let again = lab.load();
    assert_eq!((&again["status"], &again["sequence"]), (&"loaded".into(), &4.into()));
    assert_ne!(id(&again), second);
    assert_eq!(lab.loaded().await, loaded);
    assert_eq!(lab.entries().await, [(103, "replayed".to_owned()), open(104)]);
    assert_eq!(lab.expect(0, &["status"])["watermark"], "2025-08-31");
    assert_eq!(lab.load()["status"], "already_loaded");
    lab.must_be_sound("loaded again", &["orders"], 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn earlier_batch_goes_only_with_all_later_ones() {
    let lab = loaded_twice(Strategy::Builder).await;
    let loaded = lab.loaded().await;
    let both = batches(&lab);
    refused(&lab, &["rollback", "--batch", &both[0]], &both[1]).await;
    let document = lab.expect(0, &["rollback", "--batch", &both[0], "--cascade"]);
    assert_eq!((&document["undone"], &document["sequence"]), (&json!(both), &3.into()));
    assert_eq!(lab.orders().await, [(101, "20.0".to_owned())]);
    assert_eq!(lab.expect(0, &["status"])["watermark"], Value::Null);
    lab.must_be_sound("both taken back", &["orders"], 1).await;
    let again = lab.load();
    assert_eq!(again["counts"]["inserted"], 4, "{again:#}");
    assert_eq!(lab.loaded().await, loaded);
    lab.must_be_sound("loaded again", &["orders"], 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_taken_back_opens_its_entries() {
    let lab = crate::gate::would_pass().await;
    let before = lab.loaded().await;
    let replay = lab.expect(0, &["quarantine", "replay"]);
    assert_eq!(lab.expect(0, &LAST)["undone"], json!([id(&replay)]));
    assert_eq!(lab.entries().await, [(103, "open".to_owned())]);
    assert_eq!(lab.loaded().await, before);
    lab.must_be_sound("a replay taken back", &["orders"], 1).await;
    // It may be replayed again, as another batch.
    let again = lab.expect(0, &["quarantine", "replay"]);
    assert_eq!((&again["status"], &again["sequence"]), (&"loaded".into(), &4.into()));
    assert_eq!(lab.entries().await, [(103, "replayed".to_owned())]);
    lab.must_be_sound("replayed again", &["orders"], 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_that_are_not_there_are_usage_errors_and_nothing_loaded_is_nothing_to_do() {
    let lab = crate::gate::rejecting().await;
    let versions = lab.versions().await;
    assert_eq!(lab.expect(0, &LAST)["status"], "nothing_to_do");
    assert_eq!(lab.versions().await, versions);
    lab.expect(2, &["rollback", "--batch", "nope"]);
    lab.expect(2, &["rollback"]);
    let rejected = lab.expect(1, &["run"]);
    let error = lab.expect(2, &["rollback", "--batch", id(&rejected)]);
    assert!(error["error"]["message"].as_str().unwrap().contains("rejected"), "{error:#}");
    assert_eq!(lab.expect(0, &LAST)["status"], "nothing_to_do");
    lab.must_be_sound("nothing loaded", &["orders"], 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn target_that_cannot_go_back_is_left_alone() {
    // VACUUM took the files of the version before.
    let vacuumed = kept_out().await;
    vacuum(vacuumed.delta("fact_orders").await).await;
    refused(&vacuumed, &LAST, "VACUUM").await;
    let lab = loaded_twice(Strategy::Builder).await;
    // Log entries in between are gone.
    let cleaned = lab.copy();
    let newest = cleaned.table("fact_orders").await.version();
    clean_log(&cleaned, "fact_orders", newest).await;
    let first = batches(&cleaned)[0].clone();
    refused(&cleaned, &["rollback", "--batch", &first, "--cascade"], "log entries").await;
    // A column came since.
    let widened = lab.copy();
    let field = Field { name: "channel".to_owned(), data_type: DataType::String, nullable: true };
    widened.table("fact_orders").await.add_columns(&[ColumnDef { field, comment: None }]).await.unwrap();
    widened.edit("exclude: []", "exclude: [channel]");
    refused(&widened, &LAST, "columns or properties").await;
    // Another writer's rows lie on top; `--even-foreign` is for batches that do not balance.
    lab.append("fact_orders", &order(900, 1, "2025-08-20", 1, "9.00")).await;
    refused(&lab, &LAST, "another writer").await;
    refused(&lab, &["rollback", "--last", "--even-foreign"], "another writer").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn optimize_and_vacuum_since_are_not_in_the_way() {
    let lab = kept_out().await;
    let before = lab.loaded().await;
    lab.append("staging_orders", &order(105, 1, "2025-08-31", 2, "5.00")).await;
    lab.load();
    let (table, metrics) = lab.delta("fact_orders").await.optimize().await.unwrap();
    assert!(metrics.num_files_removed > 0, "{metrics:?}");
    table.vacuum().await.unwrap();
    lab.expect(0, &LAST);
    assert_eq!(lab.loaded().await, before);
    lab.must_be_sound("compacted", &["orders"], 1).await;
    assert_eq!(lab.load()["counts"]["inserted"], 1);
    lab.must_be_sound("loaded again", &["orders"], 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_pipeline_s_batch_is_in_the_way_until_it_is_taken_back_itself() {
    let lab = kept_out().await;
    let other = lab.variant("other.yaml", "name: orders", "name: orders_too");
    lab.append("staging_orders", &order(105, 1, "2025-08-31", 2, "5.00")).await;
    assert_eq!(expect_with(&lab, &other, 0, &["run"])["counts"]["inserted"], 1);
    let both = ["orders", "orders_too"];
    lab.must_be_sound("both loaded", &both, 1).await;
    refused(&lab, &LAST, "orders_too").await;
    expect_with(&lab, &other, 0, &LAST);
    lab.must_be_sound("theirs taken back", &both, 1).await;
    lab.expect(0, &LAST);
    assert_eq!(lab.orders().await, [(101, "20.0".to_owned())]);
    lab.must_be_sound("both taken back", &both, 1).await;
    // Each loads again what it lacks, in either order.
    assert_eq!(expect_with(&lab, &other, 0, &["run"])["counts"]["inserted"], 3);
    assert_eq!(lab.load()["counts"]["unchanged"], 4);
    lab.must_be_sound("both loaded again", &both, 1).await;
}

/// A load whose commit lacks a row, and on top of it another writer's row, before anybody noticed.
async fn buried() -> Lab {
    let lab = Lab::reference().await;
    let table = lab.table("fact_orders").await;
    let row = order(900, 1, "2025-08-20", 1, "9.00");
    let action = move || {
        let append = async {
            let mut table = table;
            table.refresh().await.unwrap();
            table.append_foreign(vec![batch(&table, &row)]).await.unwrap();
        };
        block_in_place(|| Handle::current().block_on(append));
    };
    let watch = Once { step: RunStep::Reconcile, action: Mutex::new(Some(action)) };
    let hooks = Hooks {
        events: Events::default().with(watch),
        fail_points: FailPoints { lose_a_row: true, fail_at: None },
        ..Hooks::default()
    };
    let mut opened = lab.opened().await;
    let error = run(&mut opened, clock(), &hooks, Accepted::default()).await.unwrap_err();
    assert_eq!(error.kind().exit_status(), 4);
    assert!(error.to_string().contains("unbalanced_and_buried"), "{error}");
    lab
}

#[tokio::test(flavor = "multi_thread")]
async fn unbalanced_batch_under_other_writers_rows_is_undone_on_demand_and_the_rows_are_kept() {
    let lab = buried().await;
    for arguments in [&["run"][..], &LAST, &["run", "--as-of", "2025-09-02"]] {
        let versions = lab.versions().await;
        let error = lab.expect(4, arguments);
        assert!(error["error"]["message"].as_str().unwrap().contains("does not balance"), "{error:#}");
        assert!(error["error"]["hint"].as_str().unwrap().contains("--even-foreign"), "{error:#}");
        assert_eq!(lab.versions().await, versions, "{arguments:?}");
    }
    let even = ["rollback", "--last", "--even-foreign", "--reason", "rows are kept"];
    let planned = lab.expect(0, &[&even[..], &["--dry-run"]].concat());
    assert_eq!((&planned["kept_aside"]["rows"], &planned["status"]), (&1.into(), &"planned".into()));
    assert!(!lab.path().join("fact_orders_undone_2").exists());
    // Killed on the way, and again: the rows are kept once.
    let crashed = [lab.copy(), lab.copy()];
    for (crashed, point) in crashed.iter().zip(["merge:before", "merge:after"]) {
        crashed.die(&even, point);
    }
    crashed[0].die(&even, "merge:before");
    let [first, second] = crashed;
    for (lab, what) in [(lab, "whole"), (first, "merge:before"), (second, "merge:after")] {
        let document = lab.expect(0, &even);
        if what != "merge:after" {
            assert_eq!(document["kept_aside"]["table"], "fact_orders_undone_2", "{document:#}");
            assert_eq!(document["kept_aside"]["rows"], 1, "{document:#}");
        }
        assert_eq!(lab.orders().await, [(101, "20.0".to_owned())], "{what}");
        let kept = lab.values("fact_orders_undone_2").await;
        assert_eq!(kept.len(), 1, "{what}: {kept:#?}");
        assert_eq!((&kept[0]["order_id"], &kept[0]["total_amount"]), (&900.into(), &json!(9.0)));
        let audit = lab.values("loads_audit").await;
        assert_eq!((audit.len(), &audit[0]["status"]), (1, &"rolled_back".into()), "{what}");
        let reason = audit[0]["reason"].as_str().unwrap();
        assert!(reason.contains("did not balance") && reason.contains("rows are kept"), "{reason}");
        let document = lab.load();
        assert_eq!(
            (&document["sequence"], &document["counts"]["inserted"]),
            (&3.into(), &2.into()),
            "{what}"
        );
        assert_eq!(lab.entries().await, [(103, "open".to_owned())], "{what}");
    }
}
