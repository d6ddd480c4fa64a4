//! What becomes of files by what the pipeline file and a person say.

use std::io::Write as _;
use std::sync::{Arc, Mutex};

use highwater::events::{Event, Events, Listener};
use highwater::hooks::Hooks;
use highwater::ingest::ingest;
use serde_json::{Value, json};

use super::{FILE, SOURCE, TARGET, filled, lab, lab_with, packed, places, rows, write};
use crate::common::{Lab, clock, json_of, program};

#[tokio::test(flavor = "multi_thread")]
async fn run_brings_files_in_first_and_a_rerun_changes_nothing() {
    let lab = lab();
    write(&lab, "a.csv", "id,v,name\n1,1,a\n2,1,b\nx,1,c\n");
    let (status, document) = lab.json(&["run"]);
    assert_eq!(status, Some(0), "{document:#}");
    assert_eq!(document["ingest"]["rows"], 2, "{document:#}");
    assert_eq!(document["counts"]["inserted"], 2, "{document:#}");
    let versions = lab.versions().await;
    let (_, document) = lab.json(&["run"]);
    assert_eq!(
        (&document["status"], &document["ingest"]["status"]),
        (&json!("already_loaded"), &json!("nothing_new"))
    );
    assert_eq!(lab.versions().await, versions);
    // The next day's file, in a folder of its own.
    write(&lab, "day/b.csv", "id,v,name\n1,2,newer\n2,0,older\n");
    let document = lab.load();
    assert_eq!(
        (&document["counts"]["updated"], &document["counts"]["stale"]),
        (&json!(1), &json!(1)),
        "{document:#}"
    );
    assert_eq!(places(&lab).await, ["a.csv:2=1", "a.csv:3=2", "day/b.csv:2=1", "day/b.csv:3=2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_small_files_share_data_files_and_one_commit() {
    let lab = lab();
    for number in 0..2_000 {
        write(&lab, &format!("{}/{number}.csv", number % 10), format!("id,v\n{number},1\n"));
    }
    let (status, document) = lab.json(&["ingest"]);
    assert_eq!(status, Some(0), "{document:#}");
    assert_eq!((&document["files"], &document["rows"]), (&json!(2_000), &json!(2_000)));
    let actions = lab.actions("src", 1);
    let adds = actions.iter().filter(|action| action.contains_key("add")).count();
    assert!((1..=4).contains(&adds), "{adds} data files");
    assert_eq!(lab.versions().await["src"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_large_file_that_breaks_before_its_end_do_not_come_in() {
    let lab = lab();
    // More than waits in memory.
    let text =
        format!("id,v,name\n{}", "1,2,a name that takes some room to keep in memory\n".repeat(450_000));
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(text.as_bytes()).unwrap();
    let packed = packer.finish().unwrap();
    write(&lab, "large.csv.gz", &packed[..packed.len() - 9]);
    write(&lab, "small.csv", "id,v\n1,1\n");
    let (status, document) = lab.json(&["ingest"]);
    assert_eq!((status, &document["rows"]), (Some(1), &json!(1)), "{document:#}");
    assert_eq!(places(&lab).await, ["small.csv:2=1"]);
    write(&lab, "large.csv.gz", &packed);
    let (status, document) = lab.json(&["ingest"]);
    assert_eq!((status, &document["rows"]), (Some(0), &json!(450_000)), "{document:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changed_comes_in_again_or_is_refused() {
    let lab = lab();
    write(&lab, "a.csv", "id,v\n1,1\n");
    lab.load();
    write(&lab, "a.csv", "id,v\n1,2\n7,1\n");
    let document = lab.load();
    assert_eq!(document["ingest"]["changed"], json!(["a.csv"]), "{document:#}");
    assert_eq!((&document["counts"]["updated"], &document["counts"]["inserted"]), (&json!(1), &json!(1)));
    lab.edit("raw/**\" }", "raw/**\", changed: refuse }");
    write(&lab, "a.csv", "id,v\n1,3\n");
    write(&lab, "b.csv", "id,v\n2,1\n");
    let versions = lab.versions().await;
    let (status, document) = lab.json(&["ingest"]);
    assert_eq!(status, Some(4), "{document:#}");
    assert!(document["error"]["message"].as_str().unwrap().contains("a.csv"), "{document:#}");
    assert_eq!(lab.versions().await, versions);
    let (status, _) = lab.json(&["bookmarks", "reset", "a.csv"]);
    assert_eq!(status, Some(0));
    let (status, document) = lab.json(&["ingest"]);
    assert_eq!((status, &document["files"]), (Some(0), &json!(2)), "{document:#}");
    // Away, it is only told.
    std::fs::remove_file(lab.path().join("raw/b.csv")).unwrap();
    let (status, document) = lab.json(&["ingest"]);
    assert_eq!((status, &document["vanished"]), (Some(0), &json!(1)), "{document:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_bad_rows_bring_nothing_in() {
    let lab = lab_with("raw/**\" }", "raw/**\", max_corrupt: 40 % }");
    write(&lab, "a.csv", "id,v\n1,1\nx,1\n");
    let versions = lab.versions().await;
    let (status, document) = lab.json(&["run"]);
    assert_eq!(status, Some(1), "{document:#}");
    let (status, document) = lab.json(&["ingest"]);
    assert_eq!((status, &document["status"]), (Some(1), &json!("rejected")), "{document:#}");
    assert!(document["examples"][0].as_str().unwrap().contains("a.csv:3: `id` is no BIGINT"), "{document:#}");
    let now = lab.versions().await;
    assert_eq!((now["src"], now["ingest_files"]), (versions["src"], versions["ingest_files"]));
    lab.edit("max_corrupt: 40 %", "on_corrupt: fail");
    let (status, document) = lab.json(&["ingest"]);
    assert_eq!((status, &document["status"]), (Some(1), &json!("rejected")), "{document:#}");
    lab.edit("on_corrupt: fail", "on_corrupt: permissive");
    write(&lab, "b.csv", "id,v,name\n1,1\n2,1,a,b\n");
    let (status, document) = lab.json(&["ingest"]);
    assert_eq!((status, &document["rows"]), (Some(0), &json!(4)), "{document:#}");
    assert_eq!(places(&lab).await, ["a.csv:2=1", "a.csv:3=null", "b.csv:2=1", "b.csv:3=2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_skips_resets_pauses_and_resumes() {
    let lab = lab();
    write(&lab, "bad.csv", "a,b\n1,2\n");
    write(&lab, "good.csv", "id,v\n1,1\n");
    assert_eq!(lab.json(&["ingest"]).0, Some(1));
    let (status, document) = lab.json(&["bookmarks", "skip", "bad.csv", "--reason", "not ours"]);
    assert_eq!(status, Some(0), "{document:#}");
    assert_eq!(lab.json(&["ingest"]).0, Some(0));
    let (_, document) = lab.json(&["bookmarks", "list"]);
    let listed: Vec<_> =
        document["files"].as_array().unwrap().iter().map(|row| (&row["path"], &row["status"])).collect();
    assert_eq!(listed, [(&json!("bad.csv"), &json!("skipped")), (&json!("good.csv"), &json!("loaded"))]);
    let (status, document) = lab.json(&["bookmarks", "skip", "god.csv", "--reason", "x"]);
    assert_eq!(status, Some(2), "{document:#}");
    for (command, expected) in [("pause", "paused"), ("resume", "nothing_new")] {
        assert_eq!(lab.json(&["bookmarks", command]).0, Some(0));
        let (status, document) = lab.json(&["run"]);
        assert_eq!((status, document["ingest"]["status"].as_str()), (Some(0), Some(expected)), "{command}");
    }
    let (_, document) = lab.json(&["bookmarks", "reset", "--since", "2025-09-02"]);
    assert_eq!(document["files"], json!([]), "{document:#}");
    let (_, document) = lab.json(&["bookmarks", "reset", "--since", "2025-09-01"]);
    assert_eq!(document["files"].as_array().unwrap().len(), 2, "{document:#}");
    let (status, document) = lab.json(&["ingest"]);
    assert_eq!((status, &document["files"]), (Some(1), &json!(1)), "{document:#}");
    assert_eq!(places(&lab).await, ["good.csv:2=1", "good.csv:2=1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn young_files_wait() {
    let lab = lab_with("raw/**\" }", "raw/**\", settle: 1 hour }");
    let path = write(&lab, "a.csv", "id,v\n1,1\n");
    let at = |text: &str| std::time::SystemTime::from(text.parse::<chrono::DateTime<chrono::Utc>>().unwrap());
    let set = |time| std::fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    // The clock stands at ten past midnight.
    set(at("2025-08-31T23:30:00Z"));
    let (_, document) = lab.json(&["ingest"]);
    assert_eq!((&document["waiting"], &document["files"]), (&json!(1), &json!(0)), "{document:#}");
    set(at("2025-08-31T23:00:00Z"));
    let (_, document) = lab.json(&["ingest"]);
    assert_eq!((&document["waiting"], &document["files"]), (&json!(0), &json!(1)), "{document:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_staging_table_is_refused_until_a_person_has_every_file_brought_in_again() {
    let lab = lab();
    write(&lab, "a.csv", "id,v\n1,1\n");
    lab.load();
    std::fs::remove_dir_all(lab.path().join("src")).unwrap();
    assert_eq!(lab.run(&["init"]).status.code(), Some(0));
    for _ in 0..2 {
        let (status, document) = lab.json(&["ingest"]);
        assert_eq!(status, Some(4), "{document:#}");
        // A word on one file does not make it the right table.
        assert_eq!(lab.json(&["bookmarks", "skip", "a.csv", "--reason", "x"]).0, Some(0));
    }
    assert_eq!(lab.json(&["bookmarks", "reset", "--all"]).0, Some(0));
    let (status, document) = lab.json(&["ingest"]);
    assert_eq!((status, &document["numbers"]), (Some(0), &json!([2])), "{document:#}");
    assert_eq!(places(&lab).await, ["a.csv:2=1"]);
    assert_eq!(lab.json(&["ingest"]).1["status"], "nothing_new");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_files_from_coming_in_is_told_before_anything_is_written() {
    let lab = lab();
    write(&lab, "a.csv", "id,v\n1,1\n");
    let versions = lab.versions().await;
    for (from, to, why) in [
        ("raw/**", "nowhere/**", "there is no folder"),
        ("raw/**\"", "raw/**\", delimiter: \";;\"", "must be one ASCII character"),
        ("raw/**\"", "raw/**\", encoding: klingon", "names no encoding"),
        ("raw/**", "raw/[", "holds no pattern"),
        ("raw/**\"", "raw/**\", ledger: gone", "does not exist"),
        (", files: {path: \"raw/**\" }", "", "brings no files in"),
    ] {
        lab.edit(from, to);
        let (status, document) = lab.json(&["ingest"]);
        assert_eq!(status, Some(2), "{to}: {document:#}");
        assert!(document["error"]["message"].as_str().unwrap().contains(why), "{to}: {document:#}");
        if to.is_empty() {
            break;
        }
        lab.edit(to, from);
    }
    assert_eq!(lab.versions().await, versions);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_ddl_init_makes_staging_of_what_the_files_hold() {
    let lab = lab_with("raw/**\" }", "raw/**\" }");
    write(&lab, "a.csv", "id,v,day,amount,code\n1,1,2025-08-31,1.5,007\n");
    std::fs::remove_dir_all(lab.path().join("src")).unwrap();
    lab.edit(", ddl: src.sql", "");
    lab.edit(", ddl: tgt.sql", "");
    std::fs::remove_dir_all(lab.path().join("tgt")).unwrap();
    std::fs::remove_dir_all(lab.path().join("tgt_bad")).unwrap();
    let (status, document) = lab.json(&["init"]);
    assert_eq!(status, Some(0), "{document:#}");
    let document = lab.load();
    assert_eq!(document["counts"]["inserted"], 1, "{document:#}");
    let row = &rows(&lab, "tgt").await[0];
    for (name, value) in
        [("id", json!(1)), ("day", json!("2025-08-31")), ("amount", json!(1.5)), ("code", json!("007"))]
    {
        assert_eq!(row[name], value, "{row:#}");
    }
    // What was found once stays: a text among numbers is kept aside.
    write(&lab, "b.csv", "id,v,day,amount,code,new\n2,1,2025-08-31,much,1,x\n3,1,2025-08-31,2,1,x\n");
    let document = lab.load();
    assert_eq!((&document["ingest"]["rows"], &document["ingest"]["corrupt_rows"]), (&json!(1), &json!(1)));
    assert_eq!(document["ingest"]["unknown_columns"], json!(["new"]), "{document:#}");
}

/// A shipped pipeline file in a lab of its own, beside files and DDL.
fn shipped(
    name: &str,
    files: &[(&str, &[u8])],
) -> (tempfile::TempDir, impl Fn(&[&str]) -> (Option<i32>, Value) + use<>) {
    let folder = tempfile::tempdir().unwrap();
    let shipped = format!("{}/config/examples/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::copy(shipped, folder.path().join(name)).unwrap();
    for (path, bytes) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let config = folder.path().join(name);
    let run = move |arguments: &[&str]| {
        let mut command = std::process::Command::new(program());
        command.arg("-c").arg(&config).args(arguments).env_remove("RUST_LOG");
        json_of(command)
    };
    (folder, run)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_file_of_csv_files_loads_them_from_scratch() {
    let files: [(&str, &[u8]); 2] = [
        (
            "incoming/0831/a.csv",
            b"order_id,order_date,updated_at,amount\n1,2025-08-31,2025-08-31T10:00:00Z,1.5\n",
        ),
        (
            "incoming/0901/b.csv",
            b"order_id,order_date,updated_at,amount\n1,2025-08-31,2025-09-01T10:00:00Z,2\nx,,,\n",
        ),
    ];
    let (folder, run) = shipped("files.yaml", &files[..1]);
    assert_eq!(run(&["init"]).0, Some(0));
    std::fs::create_dir(folder.path().join("incoming/0901")).unwrap();
    std::fs::write(folder.path().join(files[1].0), files[1].1).unwrap();
    let same_day = ["run", "--as-of", "2025-09-01"];
    let (status, document) = run(&same_day);
    assert_eq!((status, &document["counts"]["inserted"]), (Some(0), &json!(1)), "{document:#}");
    assert_eq!(document["ingest"]["corrupt_rows"], 1, "{document:#}");
    assert_eq!(run(&same_day).1["status"], "already_loaded");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_file_of_an_old_system_loads_its_export() {
    let ddl = b"CREATE TABLE articles_staging (article STRING, revision BIGINT, title STRING, price DECIMAL(10,2)) USING DELTA";
    let export = b"A1;1;'K\xE4se; mild';1.50\nA2;1;NULL;2\nA1;2;'B\\'rie';\nA3;1;x;y\n";
    let files: [(&str, &[u8]); 3] =
        [("articles.sql", ddl), ("export/ART0901.txt", export), ("export/other.txt", b"?")];
    let (folder, run) = shipped("export.yaml", &files);
    assert_eq!(run(&["init"]).0, Some(0));
    // Just written, it waits.
    assert_eq!(run(&["ingest"]).1["waiting"], 1);
    let past = std::time::SystemTime::UNIX_EPOCH;
    let file = std::fs::File::options().write(true).open(folder.path().join("export/ART0901.txt")).unwrap();
    file.set_modified(past).unwrap();
    let (status, document) = run(&["run"]);
    assert_eq!(status, Some(0), "{document:#}");
    let rows = crate::common::rows_of(folder.path(), "articles", "article, title, price").await;
    assert_eq!(rows, [r#"{"article":"A1","title":"B'rie"}"#, r#"{"article":"A2","price":2.00}"#]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_file_of_items_makes_rows_of_an_array_s_elements() {
    let day = br#"{"order_id": 1, "updated_at": "2025-09-01T10:00:00Z", "items": [{"sku": "a", "amount": 1.5}, {"sku": "b", "amount": 2}], "note": "paid"}
{"order_id": 2, "updated_at": "2025-09-01T10:00:00Z", "items": [], "note": {"by": ["x"]}}
{"order_id": 3, "updated_at": "2025-09-01T10:00:00Z", "items": [null, {"sku": "c", "amount": 3}], "note": 7}
"#;
    let next = br#"{"order_id": 1, "updated_at": "2025-09-02T10:00:00Z", "items": [{"sku": "a", "amount": 9}], "note": [1.10]}
"#;
    let (folder, run) = shipped("items.yaml", &[("raw/orders/1.ndjson", day)]);
    assert_eq!(run(&["init"]).0, Some(0));
    assert_eq!(run(&["run"]).1["counts"]["inserted"], 4);
    std::fs::write(folder.path().join("raw/orders/2.ndjson"), next).unwrap();
    let (status, document) = run(&["run"]);
    assert_eq!((status, &document["counts"]["updated"]), (Some(0), &json!(1)), "{document:#}");
    assert_eq!(document["ingest"]["corrupt_rows"], 0, "{document:#}");
    let found =
        crate::common::rows_of(folder.path(), "order_items", "order_id, line, sku, amount, note").await;
    let expected = [
        r#"{"order_id":1,"line":1,"sku":"a","amount":9.00,"note":"[1.10]"}"#,
        r#"{"order_id":1,"line":2,"sku":"b","amount":2.00,"note":"paid"}"#,
        r#"{"order_id":3,"line":1,"note":"7"}"#,
        r#"{"order_id":3,"line":2,"sku":"c","amount":3.00,"note":"7"}"#,
    ];
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_in_a_bucket_come_in_as_those_on_disk_do() {
    let on_disk = filled();
    write(&on_disk, "packed.csv.gz", packed("id,v\n9000,1\n"));
    let on_s3 = on_disk.on_s3();
    for lab in [&on_disk, &on_s3] {
        let output = lab.run(&["ingest", "--fail-at", "ingest-corrupt:before"]);
        assert!(!output.status.success(), "{output:?}");
        let document = lab.load();
        assert_eq!(document["ingest"]["finished"], json!([1]), "{document:#}");
        assert_eq!(document["counts"]["inserted"], 589, "{document:#}");
        assert_eq!(lab.json(&["ingest"]).1["status"], "nothing_new");
    }
    assert_eq!(places(&on_s3).await, places(&on_disk).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn staging_may_be_partitioned_but_not_promise_what_added_files_do_not_keep() {
    let more =
        |ddl: &str| Lab::custom(FILE, &[("src", &SOURCE.replace("USING DELTA", ddl)), ("tgt", TARGET)]);
    let lab = more("USING DELTA PARTITIONED BY (day, name)");
    write(&lab, "a b%20c/ü/x y.csv", "id,v,day,name\n1,1,2025-01-01,ä/b\n2,1,,\n3,1,2025-01-02,\n");
    assert_eq!(lab.load()["counts"]["inserted"], 3);
    assert_eq!(
        places(&lab).await,
        ["a b%20c/ü/x y.csv:2=1", "a b%20c/ü/x y.csv:3=2", "a b%20c/ü/x y.csv:4=3"]
    );
    assert_eq!(lab.json(&["ingest"]).1["status"], "nothing_new");
    for (ddl, why) in [
        ("USING DELTA TBLPROPERTIES ('delta.columnMapping.mode' = 'name')", "has column mapping"),
        (
            "USING DELTA TBLPROPERTIES ('delta.constraints.positive' = 'id > 0')",
            "has the CHECK constraint `positive`",
        ),
    ] {
        let lab = more(ddl);
        write(&lab, "a.csv", "id,v\n1,1\n");
        let versions = lab.versions().await;
        let (status, document) = lab.json(&["ingest"]);
        assert_eq!(status, Some(2), "{document:#}");
        assert!(document["error"]["message"].as_str().unwrap().contains(why), "{document:#}");
        assert_eq!(lab.versions().await, versions);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skipped_file_stays_out_as_it_is_and_is_a_change_when_it_is_another() {
    let lab = lab_with("raw/**\" }", "raw/**\", changed: refuse, on_corrupt: fail }");
    write(&lab, "a.csv", "id,v\n1,1\n");
    write(&lab, "bad.csv", "id,v\nx,1\n");
    write(&lab, "broken.csv.gz", "no gzip");
    // Of a rejection, the files that failed are told too.
    let (status, document) = lab.json(&["ingest"]);
    assert_eq!(
        (status, document["failed"][0]["path"].as_str()),
        (Some(1), Some("broken.csv.gz")),
        "{document:#}"
    );
    for name in ["bad.csv", "broken.csv.gz"] {
        // It was never met in a commit.
        assert_eq!(lab.json(&["bookmarks", "skip", name, "--reason", "no"]).0, Some(0), "{name}");
    }
    assert_eq!(lab.json(&["ingest"]).0, Some(0));
    write(&lab, "a.csv", "id,v\n1,2\n7,7\n");
    assert_eq!(lab.json(&["ingest"]).0, Some(4));
    assert_eq!(lab.json(&["bookmarks", "skip", "a.csv", "--reason", "no"]).0, Some(0));
    assert_eq!(lab.json(&["ingest"]).1["status"], "nothing_new");
    write(&lab, "bad.csv", "id,v\n11,11\n");
    assert_eq!(lab.json(&["ingest"]).0, Some(4));
    assert_eq!(places(&lab).await, ["a.csv:2=1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_says_while_an_ingest_is_unfinished_comes_after_it() {
    let lab = lab();
    write(&lab, "a.csv", "id,v\n1,1\n");
    assert_eq!(lab.json(&["ingest"]).0, Some(0));
    write(&lab, "a.csv", "id,v\n1,22\n");
    let _ = lab.run(&["ingest", "--fail-at", "ingest-ledger:before"]);
    assert_eq!(lab.json(&["bookmarks", "skip", "a.csv", "--reason", "no"]).0, Some(0));
    assert_eq!(lab.json(&["ingest"]).1["finished"], json!([2]));
    assert_eq!(lab.json(&["bookmarks", "list"]).1["files"][0]["status"], "skipped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_ledger_is_told_and_every_file_may_come_again() {
    let lab = lab();
    for name in ["a.csv", "b.csv"] {
        write(&lab, name, "id,v\n1,1\n");
        assert_eq!(lab.json(&["ingest"]).0, Some(0));
    }
    std::fs::remove_dir_all(lab.path().join("ingest_files")).unwrap();
    assert_eq!(lab.run(&["init"]).status.code(), Some(0));
    let (status, document) = lab.json(&["ingest"]);
    assert_eq!(status, Some(4), "{document:#}");
    assert!(document["error"]["message"].as_str().unwrap().contains("knows less"), "{document:#}");
    assert_eq!(lab.json(&["bookmarks", "reset", "--all"]).0, Some(0));
    let (status, document) = lab.json(&["ingest"]);
    assert_eq!((status, &document["numbers"]), (Some(0), &json!([3])), "{document:#}");
    assert_eq!(places(&lab).await.len(), 4);
    assert_eq!(lab.json(&["ingest"]).1["status"], "nothing_new");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_that_covers_the_tables_themselves_reads_none_of_their_files() {
    let lab = lab_with("raw/**", "**/*.parquet");
    let batch = deltalake::arrow::array::RecordBatch::try_from_iter([
        ("id", std::sync::Arc::new(deltalake::arrow::array::Int64Array::from(vec![1])) as std::sync::Arc<_>),
        ("v", std::sync::Arc::new(deltalake::arrow::array::Int64Array::from(vec![1])) as std::sync::Arc<_>),
    ]);
    let batch = batch.unwrap();
    let mut writer =
        deltalake::parquet::arrow::ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    write(&lab, "a.parquet", writer.into_inner().unwrap());
    for expected in ["ingested", "nothing_new"] {
        assert_eq!(lab.json(&["ingest"]).1["status"], expected);
    }
    assert_eq!(places(&lab).await, ["raw/a.parquet:1=1"]);
}

/// Keeps what it is told of files.
struct Told(Arc<Mutex<Vec<(usize, usize)>>>);

impl Listener for Told {
    fn hear(&self, event: &Event) {
        if let Event::Files { begun, of } = event {
            self.0.lock().unwrap().push((*begun, *of));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_listens_is_told_how_many_files_are_read() {
    let lab = filled();
    let opened = lab.opened().await;
    let told = Arc::default();
    let hooks = Hooks { events: Events::default().with(Told(Arc::clone(&told))), ..Hooks::default() };
    let came = ingest(&opened.pipeline, &opened.lake, &opened.engine, clock(), &hooks).await.unwrap();
    let told = told.lock().unwrap();
    assert!(!told.is_empty());
    assert!(told.is_sorted() && told.iter().all(|(begun, of)| begun <= of && *of == came.files), "{told:?}");
}

/// A value that is none of its column's type comes in as a text beside it, where the pipeline file says so.
#[tokio::test(flavor = "multi_thread")]
async fn choice_types_land_in_a_column_of_texts() {
    let folder = tempfile::TempDir::new().unwrap();
    let put = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let at = "2025-08-30T10:00:00Z";
    put("raw/a.csv", &format!("id,at,amount,note\n1,{at},12.5,x\n"));
    put(
        "p.yaml",
        "name: p\nsource: {table: staging, files: {path: \"raw/*\", on_corrupt: choice}}\ntarget: tgt\nunique_key: id\n\
         updated_at: at\nincremental: {mode: changes}\n",
    );
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(program());
        command.current_dir(folder.path()).args(["-c", "p.yaml"]).args(arguments).env_remove("RUST_LOG");
        let (status, document) = json_of(command);
        assert_eq!(status, Some(0), "{arguments:?}: {document:#}");
        document
    };
    run(&["init"]);
    put("raw/b.csv", &format!("id,at,amount,note\n2,{at},n/a,y\n3,{at}\n4,{at},7,z\n"));
    put(
        "raw/c.ndjson",
        &format!(
            "{{\"id\":5,\"at\":\"{at}\",\"amount\":\"much\"}}\n{{\"id\":6,\"at\":\"{at}\",\"amount\":[1]}}\n"
        ),
    );
    let document = run(&["run"]);
    // What is no row of the table at all is kept aside.
    assert_eq!(
        (&document["ingest"]["rows"], &document["ingest"]["corrupt_rows"]),
        (&json!(4), &json!(2)),
        "{document:#}"
    );
    assert_eq!(
        crate::common::rows_of(folder.path(), "tgt", "id, amount, amount_string, note").await,
        [
            r#"{"id":1,"amount":12.5,"note":"x"}"#,
            r#"{"id":2,"amount_string":"n/a","note":"y"}"#,
            r#"{"id":4,"amount":7.0,"note":"z"}"#,
            r#"{"id":5,"amount_string":"much"}"#,
        ]
    );
}
