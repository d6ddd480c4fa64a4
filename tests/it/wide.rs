//! Tables of a thousand columns.

use highwater::engine::Engine;
use serde_json::json;

use crate::common::{Lab, rows};

/// More than a chain of operators over them has room for on a stack, and the key behind what files have statistics of.
const COLUMNS: usize = 1_024;

fn row(id: usize, v: usize, note: &str) -> String {
    let fields: Vec<String> = (0..COLUMNS).map(|n| format!(r#""c{n}":"{n} of {id}{note}""#)).collect();
    format!("{{{},\"id\":{id},\"v\":{v}}}\n", fields.join(","))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_of_a_thousand_columns_compares_and_writes_every_one_of_them() {
    let columns: String = (0..COLUMNS).map(|n| ["c", &n.to_string(), " STRING, "].concat()).collect();
    let staging = format!("CREATE TABLE src ({columns}id BIGINT, v BIGINT) USING DELTA");
    let target = format!(
        "CREATE TABLE tgt ({columns}id BIGINT NOT NULL, v BIGINT, load_batch_id STRING, loaded_at TIMESTAMP, \
         row_hash STRING, PRIMARY KEY (id)) USING DELTA"
    );
    let file = "name: wide\nsource: {table: src, ddl: src.sql}\ntarget: {table: tgt, ddl: tgt.sql}\n\
                unique_key: id\nupdated_at: v\nincremental: {mode: changes}\n";
    let lab = Lab::custom(file, &[("src", &staging), ("tgt", &target)]);
    // Rows without a hash: every column of them has to be compared.
    lab.append("tgt", &(row(1, 1, "") + &row(2, 1, "") + &row(3, 1, ""))).await;
    let last = format!("c{}", COLUMNS - 1);
    let differs = row(2, 1, "").replace(&format!("\"{} of 2\"", COLUMNS - 1), "\"other\"");
    lab.append("src", &(row(1, 1, "") + &differs + &row(3, 2, " anew") + &row(4, 1, "") + &row(4, 1, "")))
        .await;
    let loaded = lab.load();
    let counts = ["unchanged", "tied", "updated", "inserted", "duplicate"]
        .map(|class| loaded["counts"][class].clone());
    assert_eq!(counts, [1; 5].map(|one| json!(one)), "{loaded:#}");

    let engine = Engine::new(1 << 30);
    let _known = engine.register("t", lab.table("tgt").await.rows(&engine.state()).await.unwrap()).unwrap();
    let found = rows(&engine, &format!("SELECT id, c0, `{last}` AS z FROM t WHERE id > 2")).await;
    let n = COLUMNS - 1;
    let expected = [
        format!(r#"{{"id":3,"c0":"0 of 3 anew","z":"{n} of 3 anew"}}"#),
        format!(r#"{{"id":4,"c0":"0 of 4","z":"{n} of 4"}}"#),
    ];
    assert_eq!(found, expected);
}
