//! The printed SQL: it runs elsewhere and gives the run's classes, and the README shows it as it is.

use std::path::Path;

use highwater::config::Overrides;
use highwater::context::{self, PipelineContext};
use highwater::engine::Engine;
use highwater::engine::sql::Params;
use highwater::plan::window::plan_reading;
use highwater::plan::{Ledger, Rules};
use highwater::protocol::{Observer, Wanted};
use highwater::spark::{SparkSql, spark_sql};
use highwater::stages::dedupe::dedupe;
use highwater::stages::locate::locate;
use highwater::stages::read::read;
use highwater::stages::text::Text;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::common::{Lab, clock, json_of, rows, setting};

/// Row hashes of the reference case: order, canonical text, SHA-256.
const VECTORS: [(i32, &str, &str); 4] = [
    (
        100,
        "i3:100i1:1D10:2025-08-26d5:49.00",
        "b0f82925e4e8aefd1ec58e80b4ad0c2ef80c00b959ef01de9fe440ff8583e455",
    ),
    (
        101,
        "i3:101i1:2D10:2025-08-28d5:22.00",
        "50276a2244e490eaff5401234c9ba5f405f37d4e6501f51d700d63e02cc7cd0b",
    ),
    (
        102,
        "i3:102i1:3D10:2025-08-31d5:15.50",
        "b3b93e92e104d374d28f5d1e711e68efeba8b12d6d3ffb82ac730de18d58acd5",
    ),
    (
        103,
        "i3:103i1:9D10:2025-09-01d6:105.00",
        "5b763b08379099311ca4839775da80e87be5908355856220fa01ed07033e3d45",
    ),
];

fn sha256(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

/// A session that knows a pipeline's staging and target by the names that the printed SQL uses.
async fn session(lab: &Lab) -> Engine {
    let engine = Engine::new(1 << 30);
    for name in &lab.tables[..2] {
        engine.register(name, lab.table(name).await.rows(&engine.state()).await.unwrap()).unwrap().keep();
    }
    engine
}

/// Keys with class and row hash, as the printed SQL gives them.
async fn printed_classes(lab: &Lab, sql: &SparkSql, key: &str) -> Vec<String> {
    let query = format!("SELECT {key}, `__hw_class`, `__hw_hash` FROM (\n{}\n) AS c", sql.classify);
    rows(&session(lab).await, &query).await
}

/// Keys with class and row hash, as the stages of a run give them.
async fn run_classes(opened: &mut PipelineContext, key: &str) -> Vec<String> {
    let mut observer = Observer::new(&opened.pipeline.name);
    let seen = observer.observe(&opened.engine, &mut opened.tables, Wanted::default()).await.unwrap();
    let rules = Rules::of(&opened.pipeline);
    let reading =
        plan_reading(&rules.incremental, opened.as_of(clock()), &Ledger::new(&seen.rows), &seen.inputs[0]);
    let (engine, spec) = (&opened.engine, &opened.spec);
    let staged = read(engine, spec, &reading, opened.tables.staging.as_ref().unwrap()).await.unwrap();
    let deduped = dedupe(engine, spec, staged.rows, 0).await.unwrap();
    let located = locate(engine, spec, &deduped, &opened.tables.target).await.unwrap();
    let _known = engine.register_slices("classes", &located.rows).unwrap();
    let hash = Text::new(spec).located_hash("classes");
    rows(engine, &format!("SELECT {key}, `__hw_class`, {hash} FROM classes")).await
}

/// How many rows the printed SQL puts into each class, and how it splits the staged ones.
async fn printed_counts(lab: &Lab, sql: &SparkSql) -> (Value, i64) {
    let engine = session(lab).await;
    let split = rows(&engine, &sql.dedupe_counts).await;
    let split: Value = serde_json::from_str(&split[0]).unwrap();
    let query = format!(
        "SELECT `__hw_class` AS c, COUNT(*) AS n FROM (\n{}\n) AS c GROUP BY `__hw_class`",
        sql.classify
    );
    let classes: Vec<Value> =
        rows(&engine, &query).await.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let class = |name: &str| {
        let line = classes.iter().find(|line| line["c"] == name);
        line.map_or(0, |line| line["n"].as_i64().unwrap())
    };
    let counts = json!({
        "staged": split["staged"], "duplicate": split["duplicate"], "superseded": split["superseded"],
        "deduped": split["deduped"], "inserted": class("inserted"), "updated": class("updated"),
        "stale": class("stale"), "unchanged": class("unchanged"), "tied": class("tied"),
        "quarantined": 0, "rejected": 0, "deleted": 0,
    });
    (counts, split["tied"].as_i64().unwrap())
}

/// Holds the printed SQL against the stages, then against a run. Returns the run's counts.
async fn printed_sql_gives_the_runs_classes(lab: &Lab, key: &str) -> Value {
    let mut opened = lab.opened().await;
    let sql = spark_sql(&mut opened, clock()).await.unwrap();
    let printed = printed_classes(lab, &sql, key).await;
    assert_eq!(printed, run_classes(&mut opened, key).await);
    let (counts, in_batch) = printed_counts(lab, &sql).await;

    let run = lab.load();
    assert_eq!(run["counts"], counts);
    assert_eq!(run["ties"]["in_batch"], in_batch);

    // Of the rows, what the run wrote are the new and the newer ones, with their hashes.
    let batch = run["batch_id"].as_str().unwrap();
    let engine = session(lab).await;
    let target = lab.tables[1];
    let query =
        format!("SELECT {key}, row_hash AS `__hw_hash` FROM {target} WHERE load_batch_id = '{batch}'");
    let written = rows(&engine, &query).await;
    let is_written = |line: &&String| line.contains(r#""inserted""#) || line.contains(r#""updated""#);
    let mut expected: Vec<String> =
        printed.iter().filter(is_written).map(|line| without_class(line)).collect();
    expected.sort();
    assert_eq!(written, expected);
    run["counts"].clone()
}

fn without_class(line: &str) -> String {
    let mut row: Value = serde_json::from_str(line).unwrap();
    row.as_object_mut().unwrap().remove("__hw_class");
    row.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn printed_sql_of_the_reference_case_gives_the_runs_classes_row_for_row() {
    let lab = Lab::ungated().await;
    let counts = printed_sql_gives_the_runs_classes(&lab, "order_id").await;
    assert_eq!((&counts["inserted"], &counts["updated"]), (&json!(3), &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn printed_sql_of_generated_orders_gives_the_runs_classes_row_for_row() {
    let lab = Lab::generated(2_000, setting("HIGHWATER_SEED", 3)).await;
    lab.drop_checks();
    let counts = printed_sql_gives_the_runs_classes(&lab, "order_id").await;
    for class in ["duplicate", "superseded", "inserted", "updated", "stale", "unchanged", "tied"] {
        assert!(counts[class].as_i64().unwrap() > 0, "{class}: {counts}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn printed_sql_of_a_compound_key_gives_the_runs_classes_row_for_row() {
    let lab = Lab::stock().await;
    let counts = printed_sql_gives_the_runs_classes(&lab, "warehouse, item").await;
    assert_eq!((&counts["inserted"], &counts["unchanged"]), (&json!(2), &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn null_in_a_key_is_a_value_like_others_where_it_matches() {
    let file = "name: p\nsource: {table: src, ddl: src.sql}\ntarget: {table: tgt}\nunique_key: [a, b]\nnull_keys: match\n\
                updated_at: v\nincremental: {mode: changes}\n";
    let staging = "CREATE TABLE src (a BIGINT, b STRING, v BIGINT, x BIGINT) USING DELTA";
    let mut lab = Lab::custom(file, &[("src", staging)]);
    lab.tables = vec!["src", "tgt"];
    let ddl = String::from_utf8(lab.run(&["init", "--print-ddl"]).stdout).unwrap();
    assert!(!ddl.contains("PRIMARY KEY") && ddl.matches("NOT NULL").count() == 1, "{ddl}");
    let row = |a: Value, b: Value, v: i64, x: i64| json!({"a": a, "b": b, "v": v, "x": x}).to_string() + "\n";
    let (none, one, x) = (Value::Null, json!(1), json!("x"));
    let there = [
        row(one.clone(), none.clone(), 1, 1),
        row(none.clone(), x.clone(), 1, 1),
        row(none.clone(), none.clone(), 5, 1),
        row(one.clone(), x.clone(), 1, 1),
    ];
    lab.append("tgt", &there.concat()).await;
    let new = [
        row(one.clone(), none.clone(), 2, 2),
        row(one.clone(), none.clone(), 1, 1),
        row(none.clone(), x.clone(), 1, 1),
        row(none.clone(), none.clone(), 4, 2),
        row(one, x, 1, 2),
        row(none, json!("y"), 1, 1),
        row(json!(2), Value::Null, 1, 1),
    ];
    lab.append("src", &new.concat()).await;
    let counts = printed_sql_gives_the_runs_classes(&lab, "a, b").await;
    let found = ["superseded", "inserted", "updated", "stale", "unchanged", "tied"];
    let found = found.map(|class| counts[class].as_i64().unwrap());
    assert_eq!(found, [1, 2, 1, 1, 1, 1], "{counts:#}");
    assert_eq!(lab.load()["status"], "already_loaded");
}

#[tokio::test(flavor = "multi_thread")]
async fn printed_sql_of_a_second_batch_with_hashes_in_the_target_gives_the_runs_classes() {
    let lab = Lab::ungated().await;
    // Which files arrived since the last load is asked of Spark's `_metadata`, which DataFusion lacks; rows that
    // only count when late are not asked for.
    lab.edit("late: load", "late: skip");
    lab.load();
    let order = |id: i32, at: &str, amount: &str| {
        format!(
            r#"{{"order_id":{id},"customer_id":1,"order_date":"2025-08-26","updated_at":"{at}","total_amount":"{amount}",
                "source_file":"x","ingest_time":"2025-09-01T01:00:00Z"}}"#
        )
    };
    lab.append("staging_orders", &order(100, "2025-08-26T10:00:00Z", "48.00")).await;
    lab.append("staging_orders", &order(102, "2025-08-30T00:00:00Z", "1.00")).await;
    lab.append("staging_orders", &order(104, "2025-08-30T00:00:00Z", "1.00")).await;
    let counts = printed_sql_gives_the_runs_classes(&lab, "order_id").await;
    let picked = ["inserted", "stale", "tied", "unchanged"].map(|class| counts[class].as_i64().unwrap());
    // The older version of 102 loses in the batch already.
    assert_eq!(picked, [1, 0, 1, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn printed_sql_follows_the_tie_rule() {
    for (rule, class) in [("keep", "tied"), ("replace_if_different", "updated")] {
        let lab = Lab::generated(500, 5).await;
        lab.drop_checks();
        lab.edit("on_tie: keep", &format!("on_tie: {rule}"));
        let mut opened = lab.opened().await;
        let sql = spark_sql(&mut opened, clock()).await.unwrap();
        let tie = format!("__hw_t_version` = `updated_at` AND `__hw_class` = '{class}'");
        let query = format!("SELECT COUNT(*) AS n FROM (\n{}\n) AS c WHERE `{tie}", sql.classify);
        assert_ne!(rows(&session(&lab).await, &query).await, [r#"{"n":0}"#], "{rule}");
        assert_eq!(sql.merge.contains("NOT COALESCE(s.`row_hash` = t.`row_hash`, FALSE)"), rule != "keep");
        printed_sql_gives_the_runs_classes(&lab, "order_id").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn json_of_sql_holds_the_statements_of_the_script() {
    let lab = Lab::ungated().await;
    let (code, document) = lab.json(&["sql"]);
    assert_eq!((code, &document["command"]), (Some(0), &json!("sql")));
    let script = String::from_utf8(lab.run(&["sql"]).stdout).unwrap();
    for statement in ["classify", "dedupe_counts", "merge"] {
        assert!(script.contains(document[statement].as_str().unwrap()), "{statement}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readme_shows_the_sql_of_the_reference_case() {
    let lab = Lab::ungated().await;
    let id = lab.json(&["plan"]).1["batch_id"].as_str().unwrap().to_owned();
    let output = lab.run(&["sql"]);
    assert_eq!(output.status.code(), Some(0));
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed.matches(&id).count(), 1, "the MERGE names the batch");
    let printed = printed.replace(&id, "<batch id>");

    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/sql.md");
    let readme = std::fs::read_to_string(&file).unwrap();
    let (before, rest) = readme.split_once("```sql\n").unwrap();
    let (shown, after) = rest.split_once("```").unwrap();
    assert!(before.rfind("<details>") > before.rfind("</details>"), "the block is folded away");
    if shown != printed && std::env::var_os("UPDATE_README").is_some() {
        std::fs::write(&file, format!("{before}```sql\n{printed}```{after}")).unwrap();
        return;
    }
    assert_eq!(
        shown, printed,
        "run this test with UPDATE_README=1 to write the block anew, and read the difference"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn row_hashes_of_the_reference_case_are_the_test_vectors() {
    let lab = Lab::ungated().await;
    lab.load();
    let engine = session(&lab).await;
    let found = rows(&engine, "SELECT order_id, row_hash FROM fact_orders").await;
    let expected: Vec<String> =
        VECTORS.iter().map(|(id, _, hash)| format!(r#"{{"order_id":{id},"row_hash":"{hash}"}}"#)).collect();
    assert_eq!(found, expected);

    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/sql.md")).unwrap();
    for (id, text, hash) in VECTORS {
        assert_eq!(sha256(text), hash, "{id}");
        assert!(readme.contains(hash) && readme.contains(text), "docs/sql.md lacks the hash of {id}");
    }
}

/// A pipeline over columns of every type that has a canonical text.
struct Types {
    folder: TempDir,
}

/// Name and type of a column, and three values as JSON, each with its canonical text.
type Column = (&'static str, &'static str, [(&'static str, &'static str); 3]);

/// Every type that has a canonical text; the third value is NULL throughout.
const TYPES: [Column; 12] = [
    ("flag", "BOOLEAN", [("true", "b4:true"), ("false", "b5:false"), ("null", "n")]),
    ("tiny", "TINYINT", [("0", "i1:0"), ("-7", "i2:-7"), ("null", "n")]),
    ("small", "SMALLINT", [("0", "i1:0"), ("300", "i3:300"), ("null", "n")]),
    ("whole", "INT", [("0", "i1:0"), ("-1", "i2:-1"), ("null", "n")]),
    ("big", "BIGINT", [("0", "i1:0"), ("9007199254740993", "i16:9007199254740993"), ("null", "n")]),
    ("single", "FLOAT", [("0", "f3:0.0"), ("0.1", "f3:0.1"), ("null", "n")]),
    ("double", "DOUBLE", [("0", "f3:0.0"), ("1.5e-7", "f6:1.5E-7"), ("null", "n")]),
    ("exact", "DECIMAL(20,4)", [(r#""0""#, "d6:0.0000"), (r#""-12.5""#, "d8:-12.5000"), ("null", "n")]),
    (
        "day",
        "DATE",
        [(r#""1970-01-01""#, "D10:1970-01-01"), (r#""0099-02-03""#, "D10:0099-02-03"), ("null", "n")],
    ),
    (
        "instant",
        "TIMESTAMP",
        [
            (r#""1970-01-01T00:00:00Z""#, "t1:0"),
            (r#""2025-09-01T00:00:00.000001Z""#, "t16:1756684800000001"),
            ("null", "n"),
        ],
    ),
    ("words", "STRING", [(r#""""#, "s0:"), (r#""0""#, "s1:0"), ("null", "n")]),
    ("bytes", "BINARY", [(r#""""#, "x0:"), (r#""00ff""#, "x4:00FF"), ("null", "n")]),
];

impl Types {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let columns: Vec<String> = TYPES.iter().map(|(name, sql, _)| format!("  {name} {sql}")).collect();
        let columns = columns.join(",\n");
        let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
        write(
            "staging.sql",
            format!("CREATE TABLE staging (\n  id INT,\n  revision INT,\n{columns}\n)\nUSING DELTA\n"),
        );
        write(
            "target.sql",
            format!(
                "CREATE TABLE target (\n  id INT NOT NULL,\n  revision INT,\n{columns},\n  load_batch_id STRING,\n  \
                 loaded_at TIMESTAMP,\n  row_hash STRING,\n  PRIMARY KEY (id)\n)\nUSING DELTA\n"
            ),
        );
        write(
            "types.yaml",
            "name: types\nsource: {table: staging, ddl: staging.sql}\ntarget: {table: target, ddl: target.sql}\n\
             unique_key: id\nupdated_at: revision\nincremental: {mode: changes}\n"
                .to_owned(),
        );
        Self { folder }
    }

    fn run(&self, arguments: &[&str]) -> Value {
        let mut command = std::process::Command::new(crate::common::program());
        command.arg("-c").arg(self.folder.path().join("types.yaml")).args(arguments);
        let (code, document) = json_of(command);
        assert_eq!(code, Some(0), "{document:#}");
        document
    }

    async fn table(&self, name: &str) -> highwater::lake::Table {
        let path = self.folder.path().join(name).display().to_string();
        let location = highwater::config::Location::named(&path).unwrap();
        highwater::lake::Lake::plain().open(name, &location).await.unwrap()
    }

    /// Stages rows of NULLs but for one column.
    async fn stage(&self, ids: std::ops::Range<usize>, row: impl Fn(usize) -> String) {
        let lines: Vec<String> = ids.map(row).collect();
        let table = self.table("staging").await;
        let batch = crate::common::batch(&table, &lines.join("\n"));
        table.append_foreign(vec![batch]).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_hash_of_every_type_is_that_of_the_canonical_text() {
    let types = Types::new();
    types.run(&["init"]);
    // Three rows: every column as A, every one as B, and all NULL.
    let row = |n: usize| {
        let fields: Vec<String> =
            TYPES.iter().map(|(name, _, values)| format!(r#""{name}":{}"#, values[n].0)).collect();
        format!(r#"{{"id":{n},"revision":1,{}}}"#, fields.join(","))
    };
    types.stage(0..3, row).await;
    assert_eq!(types.run(&["run"])["counts"]["inserted"], 3);

    let engine = Engine::new(1 << 30);
    let _known =
        engine.register("t", types.table("target").await.rows(&engine.state()).await.unwrap()).unwrap();
    let found = rows(&engine, "SELECT id, row_hash FROM t").await;
    let expected = (0..3).map(|n| {
        let text: Vec<&str> = TYPES.iter().map(|(_, _, values)| values[n].1).collect();
        format!(r#"{{"id":{n},"row_hash":"{}"}}"#, sha256(&format!("i1:{n}{}", text.concat())))
    });
    assert_eq!(found, expected.collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn null_empty_and_zero_of_any_column_hash_differently() {
    let types = Types::new();
    types.run(&["init"]);
    // All rows alike but for one value of one column, with one key's worth of text left out of the hash: the key
    // is the same length everywhere, and is taken out below.
    let variants: Vec<(&str, &str)> =
        TYPES.iter().flat_map(|(name, _, values)| values[..2].iter().map(|value| (*name, value.0))).collect();
    let ids = 10..11 + variants.len();
    let row = |id: usize| match variants.get(id - 10) {
        Some((name, value)) => format!(r#"{{"id":{id},"revision":1,"{name}":{value}}}"#),
        None => format!(r#"{{"id":{id},"revision":1}}"#),
    };
    types.stage(ids.clone(), row).await;

    // The texts themselves, without the key, as the program writes them.
    let (pipeline, origins) =
        context::load(&types.folder.path().join("types.yaml"), &Overrides::default()).await.unwrap();
    let mut opened = context::open(pipeline, origins).await.unwrap();
    opened.spec.columns.retain(|column| column.name != "id");
    let engine = &opened.engine;
    let _known = engine
        .register("r", opened.tables.staging.as_ref().unwrap().rows(&engine.state()).await.unwrap())
        .unwrap();
    let query = format!("SELECT DISTINCT {} AS text FROM r", Text::new(&opened.spec).hash_text("r"));
    let texts = engine.rows(&query, &Params::new()).await.unwrap();
    assert_eq!(texts.len(), ids.len());
}
