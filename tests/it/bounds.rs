//! Files that the log's statistics exclude are not read, and no other file is left out.

use std::path::PathBuf;

use serde_json::json;

use crate::common::{Lab, STRATEGIES};

fn lab(key: &str, partition: &str) -> Lab {
    let columns = format!("k {key} NOT NULL, p INT, at BIGINT");
    let own = "load_batch_id STRING, loaded_at TIMESTAMP, row_hash STRING, PRIMARY KEY (k)";
    Lab::custom(
        "name: p\nsource: {table: src, ddl: src.sql}\ntarget: {table: tgt, ddl: tgt.sql}\nunique_key: k\n\
         updated_at: at\nincremental: {mode: changes}\nas_of: 2025-09-01\n",
        &[
            ("src", &format!("CREATE TABLE src ({columns}) USING DELTA")),
            ("tgt", &format!("CREATE TABLE tgt ({columns}, {own}) USING DELTA {partition}")),
        ],
    )
}

fn row(key: &str, at: i64) -> String {
    format!("{{\"k\":{key},\"p\":1,\"at\":{at}}}\n")
}

/// The target's data files, of which there is one.
fn data_file(lab: &Lab) -> PathBuf {
    let names = std::fs::read_dir(lab.path().join("tgt")).unwrap().map(|entry| entry.unwrap().path());
    let mut files = names.filter(|path| path.extension().is_some_and(|end| end == "parquet"));
    let (file, none) = (files.next().unwrap(), files.next());
    assert_eq!(none, None);
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn files_whose_bounds_exclude_the_keys_are_not_read_for_types_whose_bounds_are_right() {
    let long = |end: &str| format!("\"{}{end}\"", "long ".repeat(40));
    let (one, five, three) = (long("1"), long("5"), long("3"));
    // Two keys of a file, one between them, one beyond. Floats, and decimals that a JSON number does not hold, are no keys.
    let types = [
        ("BIGINT", ["-9223372036854775807", "40", "7", "41"]),
        ("INT", ["-2147483648", "2147483646", "0", "2147483647"]),
        ("SMALLINT", ["-5", "5", "-1", "-6"]),
        ("TINYINT", ["-128", "126", "0", "127"]),
        ("DATE", ["\"1969-12-30\"", "\"2024-02-29\"", "\"1970-01-01\"", "\"2024-03-01\""]),
        ("STRING", ["\"a\"", "\"c\"", "\"b\"", "\"d\""]),
        ("STRING", ["\"\"", "\"c\"", "\"B\"", "\"d\""]),
        // By their bytes, as ß, á, ä, ö.
        ("STRING", ["\"ß\"", "\"ä\"", "\"á\"", "\"ö\""]),
        // The log has their beginning only, which is the same.
        ("STRING", [&one, &five, &three, "\"longer\""]),
        ("DECIMAL(10,2)", ["\"-1.25\"", "\"3.00\"", "\"2.00\"", "\"4.00\""]),
        ("DECIMAL(15,0)", ["\"1\"", "\"999999999999998\"", "\"2\"", "\"999999999999999\""]),
        // The log has milliseconds, and may be wrong by a minute.
        (
            "TIMESTAMP",
            [
                "\"1969-01-01T00:00:00.000001Z\"",
                "\"2024-01-03T00:00:00.123456Z\"",
                "\"2024-01-02T00:00:00Z\"",
                "\"2024-01-03T00:01:00.13Z\"",
            ],
        ),
    ];
    for (key, [low, high, between, beyond]) in types {
        let lab = lab(key, "");
        lab.append("src", &(row(low, 1) + &row(high, 1))).await;
        lab.load();
        let file = data_file(&lab);
        let aside = file.with_extension("aside");
        std::fs::rename(&file, &aside).unwrap();
        lab.append("src", &row(beyond, 1)).await;
        assert_eq!(lab.load()["counts"]["inserted"], 1, "{key} {beyond}");
        // A key between the bounds may be there.
        lab.append("src", &row(between, 1)).await;
        lab.expect(4, &["run"]);
        std::fs::rename(&aside, &file).unwrap();
        lab.append("src", &(row(low, 2) + &row(high, 2) + &row(between, 2))).await;
        let counts = &lab.load()["counts"];
        assert_eq!(
            (&counts["updated"], &counts["inserted"]),
            (&json!(2), &json!(1)),
            "{key} {low}: {counts}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_found_in_files_without_statistics_marked_ones_and_moved_partitions() {
    for (properties, strategies) in [
        ("PARTITIONED BY (p) TBLPROPERTIES ('delta.dataSkippingNumIndexedCols' = '0')", &STRATEGIES[..]),
        ("PARTITIONED BY (p)", &STRATEGIES[..]),
    ] {
        for strategy in strategies {
            let lab = lab("BIGINT", properties).written_by(*strategy);
            lab.append("src", &(1..=9).map(|key| row(&key.to_string(), 1)).collect::<String>()).await;
            lab.load();
            lab.append("src", &(row("1", 2) + &row("9", 2))).await;
            assert_eq!(lab.load()["counts"]["updated"], 2);
            lab.append(
                "src",
                "{\"k\":5,\"p\":2,\"at\":3}\n{\"k\":9,\"p\":2,\"at\":3}\n{\"k\":1,\"p\":1,\"at\":1}\n",
            )
            .await;
            let counts = &lab.load()["counts"];
            assert_eq!(
                (&counts["updated"], &counts["stale"], &counts["inserted"]),
                (&json!(2), &json!(1), &json!(0))
            );
            assert_eq!(lab.rows("tgt").await.len(), 9);
        }
    }
}
