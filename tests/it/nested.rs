//! Columns that hold arrays, structs and maps.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use deltalake::kernel::{ArrayType, DataType, MapType, PrimitiveType, StructField, StructType};
use highwater::events::{Events, RunStep};
use highwater::fail_points::FailPoints;
use highwater::hooks::Hooks;
use highwater::plan::Accepted;
use highwater::run::run;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use crate::common::{Lab, STRATEGIES, batch, clock, seed};
use crate::foreign::Once;

const PIPELINE: &str = "name: p\nsource: {table: src, ddl: src.sql}\ntarget: {table: tgt, ddl: tgt.sql}\n\
    unique_key: id\nupdated_at: v\nincremental: {mode: changes}\n";

const COLUMNS: &str = "id BIGINT NOT NULL, v BIGINT NOT NULL, tags ARRAY<STRING>, \
    item STRUCT<sku: STRING, sizes: ARRAY<STRUCT<w: DOUBLE>>>, attrs MAP<STRING, INT>";

fn lab(file: &str) -> Lab {
    let source = format!("CREATE TABLE src ({}) USING DELTA", COLUMNS.replace(" NOT NULL", ""));
    let target = format!(
        "CREATE TABLE tgt ({COLUMNS}, load_batch_id STRING, loaded_at TIMESTAMP, row_hash STRING, PRIMARY KEY (id)) USING DELTA"
    );
    Lab::custom(file, &[("src", &source), ("tgt", &target)])
}

/// A row whose values follow from a number.
fn row(id: i64, v: i64, number: i64) -> String {
    let row = json!({
        "id": id, "v": v,
        "tags": [format!("t{number}"), null],
        "item": {"sku": "s", "sizes": [{"w": number}, {}]},
        "attrs": {"b": number, "a": null},
    });
    format!("{row}\n")
}

/// Each row of the target as JSON, by its id.
async fn target(lab: &Lab) -> BTreeMap<i64, Value> {
    let rows = lab.rows("tgt").await;
    let parsed = rows.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    parsed.map(|row| (row["id"].as_i64().unwrap(), row)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_differ_in_a_nested_value_only_are_told_apart() {
    for strategy in STRATEGIES {
        let lab = lab(PIPELINE).written_by(strategy);
        let all: String = (0..6).map(|id| row(id, 5, 1)).collect();
        lab.append("src", &all).await;
        assert_eq!(lab.load()["counts"]["inserted"], 6);

        let other_order = row(0, 5, 1).replace(r#""b":1,"a":null"#, r#""a":null,"b":1"#);
        assert_ne!(other_order, row(0, 5, 1));
        let tied = [
            row(1, 5, 1).replace(r#""t1",null"#, r#"null,"t1""#),
            row(2, 5, 1).replace(r#"{"w":1},{}"#, r#"{"w":1}"#),
            row(3, 5, 1).replace(r#""a":null"#, r#""a":0"#),
        ];
        lab.append("src", &(other_order + &tied.concat() + &row(4, 4, 2) + &row(5, 6, 2) + &row(6, 1, 1)))
            .await;
        let counts = &lab.load()["counts"];
        let found = ["unchanged", "tied", "stale", "updated", "inserted"]
            .map(|class| counts[class].as_i64().unwrap());
        assert_eq!(found, [1, 3, 1, 1, 1], "{counts:#}");
        let rows = target(&lab).await;
        let words = |id| {
            (
                rows[&id]["tags"][0].clone(),
                rows[&id]["item"]["sizes"][0]["w"].clone(),
                rows[&id]["attrs"]["b"].clone(),
            )
        };
        for (id, number) in [(1, 1), (2, 1), (3, 1), (4, 1), (5, 2), (6, 1)] {
            assert_eq!(
                words(id),
                (json!(format!("t{number}")), json!(f64::from(number)), json!(number)),
                "{id}"
            );
        }
        assert_eq!(lab.load()["status"], "already_loaded");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_others_wrote_without_a_hash_are_compared_by_their_values() {
    let lab = lab(PIPELINE);
    let all: String = (0..3).map(|id| row(id, 5, 1)).collect();
    lab.append("tgt", &all).await;
    let map = row(0, 5, 1).replace(r#""b":1,"a":null"#, r#""a":null,"b":1"#);
    let whole = row(2, 5, 1).replace(r#""item":{"#, r#""item":null,"was":{"#);
    lab.append("src", &(map + &row(1, 5, 2) + &whole)).await;
    let counts = &lab.load()["counts"];
    assert_eq!((&counts["unchanged"], &counts["tied"]), (&json!(1), &json!(2)), "{counts:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_others_wrote_over_an_unbalanced_batch_are_kept_aside_whole() {
    let lab = lab(PIPELINE);
    lab.append("src", &row(1, 1, 1)).await;
    lab.load();
    lab.append("src", &(row(1, 2, 2) + &row(2, 1, 1))).await;
    let table = lab.table("tgt").await;
    let action = move || {
        let append = async {
            let mut table = table;
            table.refresh().await.unwrap();
            table
                .append_foreign(vec![batch(&table, &row(9, 1, 9)), batch(&table, &row(9, 1, 9))])
                .await
                .unwrap();
        };
        block_in_place(|| Handle::current().block_on(append));
    };
    let hooks = Hooks {
        events: Events::default().with(Once { step: RunStep::Reconcile, action: Mutex::new(Some(action)) }),
        fail_points: FailPoints { lose_a_row: true, fail_at: None },
        ..Hooks::default()
    };
    let mut opened = lab.opened().await;
    run(&mut opened, clock(), &hooks, Accepted::default()).await.unwrap_err();
    let (status, document) = lab.json(&["rollback", "--last", "--even-foreign"]);
    assert_eq!((status, &document["kept_aside"]["rows"]), (Some(0), &json!(2)), "{document:#}");
    let kept = lab.rows(document["kept_aside"]["table"].as_str().unwrap()).await;
    assert!(
        kept.len() == 2 && kept.iter().all(|row| row.contains("t9") && row.contains(r#""attrs":{"#)),
        "{kept:?}"
    );
    assert_eq!(target(&lab).await.len(), 1);
    assert_eq!(lab.load()["counts"]["updated"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn values_with_null_where_the_target_s_parts_take_none_are_refused_and_nothing_changes() {
    let strict = |inner| DataType::Array(Box::new(ArrayType::new(inner, false)));
    let text = || DataType::Primitive(PrimitiveType::String);
    let map =
        DataType::Map(Box::new(MapType::new(text(), DataType::Primitive(PrimitiveType::Integer), false)));
    for strategy in STRATEGIES {
        for (name, data_type, fine, broken) in [
            ("tags", strict(text()), r#"["a"]"#, r#"["a",null]"#),
            ("attrs", map.clone(), r#"{"a":1}"#, r#"{"a":null}"#),
        ] {
            let lab = lab(PIPELINE);
            remake(lab.path(), name, data_type).await;
            let lab = lab.written_by(strategy);
            let line = |id: i64, value: &str| format!(r#"{{"id":{id},"v":1,"{name}":{value}}}"#) + "\n";
            lab.append("src", &line(1, fine)).await;
            assert_eq!(lab.load()["counts"]["inserted"], 1);
            lab.append("src", &(line(2, fine) + &line(3, broken))).await;
            let before = lab.versions().await["tgt"];
            let (status, document) = lab.json(&["run"]);
            assert_eq!(status, Some(2), "{document:#}");
            let message = document["error"]["message"].as_str().unwrap();
            assert!(message.contains(&format!("`{name}` holds NULL")), "{message}");
            assert_eq!(lab.versions().await["tgt"], before);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_whose_parts_may_not_be_null_is_written_anew_and_not_merged() {
    let of = |name, nullable| StructField::new(name, DataType::Primitive(PrimitiveType::String), nullable);
    let item = DataType::Struct(Box::new(StructType::try_new([of("sku", true)]).unwrap()));
    let strict = DataType::Array(Box::new(ArrayType::new(item, false)));
    let file = PIPELINE
        .replace("{table: src, ddl: src.sql}", "{table: src}")
        .replace("{table: tgt, ddl: tgt.sql}", "{table: tgt}");
    let lab = Lab::custom(
        &file.replace("{table: src}", "{table: src, ddl: src.sql}"),
        &[("src", "CREATE TABLE src (id BIGINT, v BIGINT, items ARRAY<STRUCT<sku: STRING>>) USING DELTA")],
    );
    remake(lab.path(), "items", strict).await;
    lab.append("src", "{\"id\":1,\"v\":1,\"items\":[{\"sku\":\"a\"},{}]}\n{\"id\":2,\"v\":1}\n").await;
    let document = lab.load();
    assert_eq!(
        (&document["counts"]["inserted"], &document["strategy"]["name"]),
        (&json!(2), &json!("rewrite")),
        "{document:#}"
    );
    lab.append("src", "{\"id\":1,\"v\":2,\"items\":[]}").await;
    assert_eq!(lab.load()["counts"]["updated"], 1);
    lab.append("src", "{\"id\":2,\"v\":2,\"items\":[null]}").await;
    for command in ["plan", "run"] {
        let (status, document) = lab.json(&[command]);
        assert_eq!(status, Some(2), "{command}: {document:#}");
    }
    std::fs::write(
        lab.config(),
        std::fs::read_to_string(lab.config()).unwrap() + "merge: {strategy: builder}\n",
    )
    .unwrap();
    let (status, document) = lab.json(&["run"]);
    assert_eq!(status, Some(2), "{document:#}");
}

/// Makes the target anew, with another type of a column.
async fn remake(folder: &Path, name: &str, data_type: DataType) {
    let path = folder.join("tgt");
    std::fs::remove_dir_all(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let primitive = |name: &str, of, nullable| StructField::new(name, DataType::Primitive(of), nullable);
    let url = deltalake::ensure_table_uri(path.display().to_string()).unwrap();
    let table = deltalake::DeltaTableBuilder::from_url(url).unwrap().build().unwrap();
    table
        .create()
        .with_columns([
            primitive("id", PrimitiveType::Long, false),
            primitive("v", PrimitiveType::Long, false),
            StructField::nullable(name, data_type),
            primitive("load_batch_id", PrimitiveType::String, true),
            primitive("loaded_at", PrimitiveType::Timestamp, true),
            primitive("row_hash", PrimitiveType::String, true),
        ])
        .await
        .unwrap();
}

const EXPLODED: &str = "name: p\nsource: {table: src, ddl: src.sql, explode: {column: items, as: item, position: place}, \
    where: \"item.n <> 13 OR item.n IS NULL\"}\ntarget: {table: tgt, ddl: tgt.sql}\nunique_key: [id, place]\nupdated_at: v\n\
    columns: {n: {from: item.n, default: 0}}\nincremental: {column: day, initial: all}\n";

const ORDERS: &str =
    "CREATE TABLE src (id BIGINT, v BIGINT, day DATE, items ARRAY<STRUCT<n: INT, name: STRING>>) USING DELTA";

fn exploding() -> Lab {
    let target = "CREATE TABLE tgt (id BIGINT NOT NULL, place BIGINT NOT NULL, v BIGINT NOT NULL, day DATE, n INT, \
         item STRUCT<n: INT, name: STRING>, load_batch_id STRING, loaded_at TIMESTAMP, row_hash STRING, \
         PRIMARY KEY (id, place)) USING DELTA";
    Lab::custom(EXPLODED, &[("src", ORDERS), ("tgt", target)])
}

/// A row with drawn elements, and what they are as rows: place and number.
fn drawn(random: &mut StdRng, id: i64, v: i64) -> (String, Vec<(i64, i64)>) {
    let elements: Vec<Option<i64>> = match random.random_range(0..6) {
        0 => return (format!("{{\"id\":{id},\"v\":{v},\"day\":\"2025-08-20\"}}\n"), Vec::new()),
        1 => Vec::new(),
        _ => (0..random.random_range(1..5))
            .map(|_| random.random_bool(0.8).then(|| random.random_range(0..16)))
            .collect(),
    };
    let items: Vec<Value> =
        elements.iter().map(|n| n.map_or(Value::Null, |n| json!({"n": n, "name": "x"}))).collect();
    let row = json!({"id": id, "v": v, "day": "2025-08-20", "items": items});
    let rows =
        elements.iter().zip(1..).filter(|(n, _)| **n != Some(13)).map(|(n, place)| (place, n.unwrap_or(0)));
    (format!("{row}\n"), rows.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_element_of_an_array_is_a_row_with_the_columns_beside_it() {
    let mut random = StdRng::seed_from_u64(seed());
    for strategy in STRATEGIES {
        let lab = exploding().written_by(strategy);
        let mut expected: BTreeMap<(i64, i64), (i64, i64)> = BTreeMap::new();
        let mut all = 0;
        for day in 1..4 {
            let mut lines = String::new();
            let mut rows = 0;
            for id in 0..3_000 {
                let (line, elements) = drawn(&mut random, id % 2_000, id + day * 10_000);
                lines.push_str(&line);
                rows += elements.len();
                for (place, n) in elements {
                    // Later lines are newer.
                    expected.insert((id % 2_000, place), (id + day * 10_000, n));
                }
                if id % 1_000 == 999 {
                    lab.append("src", &std::mem::take(&mut lines)).await;
                }
            }
            all += rows;
            let document = lab.json(&["run", "--as-of", &format!("2025-08-2{day}")]).1;
            // The window is all that there is.
            assert_eq!(document["counts"]["staged"], all, "{document:#}");
            assert!(document["filtered"].as_i64().unwrap() > 50, "{document:#}");
            let found = lab.rows("tgt").await;
            let found = found.iter().map(|line| serde_json::from_str::<Value>(line).unwrap()).map(|row| {
                let number = |name: &str| row[name].as_i64().unwrap();
                ((number("id"), number("place")), (number("v"), number("n")))
            });
            assert_eq!(found.collect::<BTreeMap<_, _>>(), expected);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_exploded_is_told_where_it_stands() {
    let lab = exploding();
    for (from, to, why) in [
        ("column: items", "column: item", "error: the staging table has no column `item`"),
        ("column: items", "column: day", "`source.explode` takes an array, and `day` is DATE"),
        ("as: item", "as: Day", "there is another column `Day`"),
        ("position: place", "position: Item", "there is another column `Item`"),
        ("position: place", "place: place", "unknown key `place` in `source.explode`"),
    ] {
        lab.edit(from, to);
        let output = lab.run(&["run"]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(why) && told.contains("pipeline.yaml:2:"), "{told}");
        lab.edit(to, from);
    }
}
