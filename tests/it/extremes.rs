//! Every type over its whole range, in every role that a column can have.

use serde_json::{Value, json};

use highwater::engine::Engine;
use highwater::model::Strategy;

use crate::common::{Lab, STRATEGIES, json_of, rows};

/// A type: its column's name, its SQL, the lowest and the highest value, and further ones; all as JSON.
struct Type {
    name: &'static str,
    sql: &'static str,
    values: &'static [&'static str],
    /// Whether a key may have it.
    is_key: bool,
    /// Whether a version may have it.
    is_version: bool,
}

const fn of(name: &'static str, sql: &'static str, values: &'static [&'static str]) -> Type {
    Type { name, sql, values, is_key: true, is_version: false }
}

const fn version(name: &'static str, sql: &'static str, values: &'static [&'static str]) -> Type {
    Type { name, sql, values, is_key: true, is_version: true }
}

const fn inexact(name: &'static str, sql: &'static str, values: &'static [&'static str]) -> Type {
    Type { name, sql, values, is_key: false, is_version: false }
}

/// How many values each type has; the last is NULL.
const VALUES: usize = 6;

const TYPES: [Type; 15] = [
    of("flag", "BOOLEAN", &["false", "true", "false", "true", "true", "null"]),
    version("tiny", "TINYINT", &["-128", "127", "0", "-1", "1", "null"]),
    version("small", "SMALLINT", &["-32768", "32767", "0", "-1", "1", "null"]),
    version("whole", "INT", &["-2147483648", "2147483647", "0", "-1", "1", "null"]),
    version(
        "big",
        "BIGINT",
        &["-9223372036854775808", "9223372036854775807", "0", "-1", "9007199254740993", "null"],
    ),
    inexact("single", "FLOAT", &["-3.4028235e38", "3.4028235e38", "0.0", "-0.0", "0.1", "null"]),
    inexact(
        "double",
        "DOUBLE",
        &["-1.7976931348623157e100", "1.7976931348623157e100", "0.0", "-0.0", "0.1", "null"],
    ),
    of(
        "exact",
        "DECIMAL(15,2)",
        &[r#""-9999999999999.99""#, r#""9999999999999.99""#, r#""0""#, r#""-0.01""#, r#""0.01""#, "null"],
    ),
    inexact(
        "wide",
        "DECIMAL(38,0)",
        &[
            r#""-99999999999999999999999999999999999999""#,
            r#""99999999999999999999999999999999999999""#,
            r#""0""#,
            r#""-1""#,
            r#""9007199254740993""#,
            "null",
        ],
    ),
    inexact(
        "fine",
        "DECIMAL(38,38)",
        &[
            r#""-0.99999999999999999999999999999999999999""#,
            r#""0.99999999999999999999999999999999999999""#,
            r#""0""#,
            r#""-0.00000000000000000000000000000000000001""#,
            r#""0.1""#,
            "null",
        ],
    ),
    version(
        "day",
        "DATE",
        &[
            r#""0001-01-01""#,
            r#""9999-12-31""#,
            r#""1582-10-10""#,
            r#""1677-09-21""#,
            r#""2262-04-12""#,
            "null",
        ],
    ),
    version(
        "instant",
        "TIMESTAMP",
        &[
            r#""0001-01-01T00:00:00Z""#,
            r#""9999-12-31T23:59:59.999999Z""#,
            r#""1677-09-21T00:12:43.145224Z""#,
            r#""1969-12-31T23:59:59.999999Z""#,
            r#""2262-04-11T23:47:16.854776Z""#,
            "null",
        ],
    ),
    of(
        "wall",
        "TIMESTAMP_NTZ",
        &[
            r#""0001-01-01T00:00:00""#,
            r#""9999-12-31T23:59:59.999999""#,
            r#""1677-09-21T00:12:43.145224""#,
            r#""1969-12-31T23:59:59.999999""#,
            r#""2262-04-11T23:47:16.854776""#,
            "null",
        ],
    ),
    of("words", "STRING", &[r#""""#, "\"\u{10ffff}\"", r#""NULL""#, r#"" ""#, r#""a/b='%20""#, "null"]),
    inexact("bytes", "BINARY", &[r#""""#, r#""ffffffff""#, r#""00""#, r#""ff""#, r#""ff00""#, "null"]),
];

/// Columns that hold others, which are no part of a key and order nothing.
const NESTED: [Type; 3] = [
    inexact(
        "many",
        "ARRAY<STRUCT<a: INT, at: TIMESTAMP>>",
        &[
            "[]",
            r#"[{"a":2147483647,"at":"9999-12-31T23:59:59.999999Z"},{"a":-2147483648,"at":"0001-01-01T00:00:00Z"}]"#,
            "[null]",
            r#"[{"a":null,"at":null}]"#,
            r#"[{"a":0,"at":"1969-12-31T23:59:59.999999Z"}]"#,
            "null",
        ],
    ),
    inexact(
        "inner",
        "STRUCT<d: DECIMAL(38,0), words: ARRAY<STRING>, x: DOUBLE, bytes: BINARY, wall: TIMESTAMP_NTZ, day: DATE>",
        &[
            r#"{"d":"-99999999999999999999999999999999999999","words":[],"x":-0.0,"bytes":"","wall":"0001-01-01T00:00:00"}"#,
            r#"{"d":"99999999999999999999999999999999999999","words":["","n","]"],"x":0.1,"bytes":"ff00","day":"9999-12-31"}"#,
            r#"{"words":[null,"{}"],"x":0.0,"day":"0001-01-01"}"#,
            r#"{"words":["[]"]}"#,
            "{}",
            "null",
        ],
    ),
    inexact(
        "pairs",
        "MAP<STRING, ARRAY<BIGINT>>",
        &[
            "{}",
            r#"{"":[],"b":[9223372036854775807,null],"a":null}"#,
            r#"{"a":[1]}"#,
            r#"{"a":[1,1]}"#,
            r#"{"a":[],"b":[1]}"#,
            "null",
        ],
    ),
];

fn definitions(types: &[&Type]) -> String {
    types.iter().map(|of| [of.name, " ", of.sql, ", "].concat()).collect()
}

fn names(types: &[&Type]) -> String {
    types.iter().map(|of| of.name).collect::<Vec<_>>().join(", ")
}

/// The number `value` of each type, as fields of a JSON object.
fn fields(types: &[&Type], value: impl Fn(usize) -> usize) -> String {
    let field = |(at, of): (usize, &&Type)| format!(r#","{}":{}"#, of.name, of.values[value(at)]);
    types.iter().enumerate().map(field).collect()
}

/// A pipeline over `id`, `v` and these columns.
fn lab(types: &[&Type], file: &str, partitions: &[&Type]) -> Lab {
    let columns = definitions(types);
    let partitioned = match partitions {
        [] => String::new(),
        some => format!("PARTITIONED BY ({})", names(some)),
    };
    let staging = format!("CREATE TABLE src ({columns}id BIGINT, v BIGINT) USING DELTA");
    let target = format!(
        "CREATE TABLE tgt ({columns}id BIGINT NOT NULL, v BIGINT, load_batch_id STRING, loaded_at TIMESTAMP, \
         row_hash STRING, PRIMARY KEY (id)) USING DELTA {partitioned}"
    );
    let file = format!(
        "name: p\nsource: {{table: src, ddl: src.sql}}\ntarget: {{table: tgt, ddl: tgt.sql}}\nunique_key: id\n\
         updated_at: v\nas_of: 9999-12-31\nincremental: {{mode: changes}}\n{file}"
    );
    Lab::custom(&file, &[("src", &staging), ("tgt", &target)])
}

/// These columns of a table as texts, as sorted lines.
async fn texts(lab: &Lab, table: &str, types: &[&Type], condition: &str) -> Vec<String> {
    let engine = Engine::new(1 << 30);
    let _known = engine.register("t", lab.table(table).await.rows(&engine.state()).await.unwrap()).unwrap();
    let columns: Vec<String> = types
        .iter()
        .map(|of| match of.sql {
            "BINARY" => format!("hex({0}) AS {0}", of.name),
            nested if nested.contains('<') => of.name.to_owned(),
            // As bits: the text of a float says too little.
            _ => format!("CAST({0} AS STRING) AS {0}", of.name),
        })
        .collect();
    rows(&engine, &format!("SELECT id, {} FROM t WHERE {condition}", columns.join(", "))).await
}

/// Each row of the values, all columns alike, one id a row.
fn values(types: &[&Type], ids: i64, v: i64, shift: usize) -> String {
    let line = |at: usize| {
        let id = ids + i64::try_from(at).unwrap();
        format!(r#"{{"id":{id},"v":{v}{}}}"#, fields(types, |_| (at + shift) % VALUES))
    };
    (0..VALUES).map(|at| line(at) + "\n").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn values_at_the_ends_of_every_type_load_pass_checks_wait_in_the_quarantine_and_are_replayed() {
    let types: Vec<&Type> = TYPES.iter().chain(&NESTED).collect();
    let mut columns = serde_json::Map::new();
    for of in TYPES.iter().filter(|of| !["BOOLEAN", "BINARY", "STRING"].contains(&of.sql)) {
        let end = |at: usize| {
            let text = of.values[at].trim_matches('"');
            if of.name == "wall" { text.replace('T', " ") } else { text.to_owned() }
        };
        let range = json!({"min": end(0), "max": end(1), "action": "fail"});
        columns.insert(of.name.to_owned(), json!({"checks": [{ "accepted_range": range }]}));
    }
    columns.insert(
        "id".to_owned(),
        json!({"checks": [{"accepted_range": {"max": "99", "action": "quarantine", "name": "kept_out"}}]}),
    );
    for strategy in STRATEGIES {
        loads_them_all(&types, &format!("columns: {}\n", Value::Object(columns.clone())), strategy).await;
    }
}

async fn loads_them_all(types: &[&Type], file: &str, strategy: Strategy) {
    let lab = lab(types, file, &[]).written_by(strategy);
    lab.append("src", &(values(types, 0, 1, 0) + &values(types, 100, 1, 0))).await;
    let first = lab.load();
    let six = json!(VALUES);
    assert_eq!((&first["counts"]["inserted"], &first["counts"]["quarantined"]), (&six, &six), "{first:#}");
    let staged = texts(&lab, "src", types, "id < 100").await;
    assert_eq!(texts(&lab, "tgt", types, "TRUE").await, staged);
    assert_eq!(texts(&lab, "tgt_bad", types, "TRUE").await, texts(&lab, "src", types, "id >= 100").await);

    // Met again, with the same values and with the next ones.
    lab.append("src", &(values(types, 0, 1, 0) + &values(types, 100, 1, 0))).await;
    let again = lab.load();
    assert_eq!(again["counts"]["unchanged"], six, "{again:#}");
    lab.append("src", &values(types, 0, 2, 1)).await;
    assert_eq!(lab.load()["counts"]["updated"], six);
    let newer = texts(&lab, "src", types, "v = 2").await;
    assert_eq!(texts(&lab, "tgt", types, "TRUE").await, newer);

    lab.edit("\"99\"", "\"999\"");
    let (code, replayed) = lab.json(&["quarantine", "replay"]);
    assert_eq!((code, &replayed["counts"]["inserted"]), (Some(0), &six), "{replayed:#}");
    // Staging has each of them twice.
    let mut kept_out = texts(&lab, "src", types, "id >= 100").await;
    kept_out.dedup();
    assert_eq!(texts(&lab, "tgt", types, "id >= 100").await, kept_out);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_at_the_ends_of_every_type_are_found_again() {
    for strategy in STRATEGIES {
        finds_keys(strategy).await;
    }
}

async fn finds_keys(strategy: Strategy) {
    let types: Vec<&Type> = TYPES.iter().filter(|of| of.is_key).collect();
    let lab = lab(&types, "", &[]).written_by(strategy);
    // The DDL's key is id; the same tables under a compound key of all types.
    let ddl = lab.path().join("tgt.sql");
    let text = std::fs::read_to_string(&ddl).unwrap();
    std::fs::write(&ddl, text.replace("(id))", &format!("({}))", names(&types)))).unwrap();
    lab.edit("unique_key: id", &format!("unique_key: [{}]", names(&types)));
    let all = values(&types, 0, 1, 0);
    let filled = all.lines().take(VALUES - 1).collect::<Vec<_>>().join("\n");
    lab.append("src", &filled).await;
    assert_eq!(lab.load()["counts"]["inserted"], VALUES - 1);
    lab.append("src", &filled.replace(r#""v":1"#, r#""v":2"#)).await;
    lab.append("src", &filled).await;
    let again = lab.load();
    let counts = &again["counts"];
    assert_eq!(
        (&counts["updated"], &counts["superseded"]),
        (&json!(VALUES - 1), &json!(VALUES - 1)),
        "{again:#}"
    );
    assert_eq!(texts(&lab, "tgt", &types, "v = 2").await.len(), VALUES - 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_and_watermarks_at_the_ends_of_their_types_are_ordered() {
    for of in TYPES.iter().filter(|of| of.is_version) {
        let lab = lab(&[of], "", &[]);
        let row = |value: usize| format!("{{\"id\":1,\"v\":{value},\"{}\":{}}}\n", of.name, of.values[value]);
        lab.edit("updated_at: v", &format!("updated_at: {}", of.name));
        if ["DATE", "TIMESTAMP"].contains(&of.sql) {
            let window = format!("incremental: {{column: {}, initial: all}}", of.name);
            lab.edit("incremental: {mode: changes}", &window);
        }
        // A check that fails keeps the highest out, and knows it again.
        lab.append("src", &(row(0) + &row(2))).await;
        let first = lab.load();
        assert_eq!(
            (&first["counts"]["inserted"], &first["counts"]["superseded"]),
            (&json!(1), &json!(1)),
            "{}",
            of.sql
        );
        lab.append("src", &row(1)).await;
        assert_eq!(lab.load()["counts"]["updated"], 1, "{}", of.sql);
        lab.append("src", &(row(0) + &row(4))).await;
        assert_eq!(lab.load()["counts"]["updated"], 0, "{}", of.sql);
        let highest = texts(&lab, "src", &[of], "v = 1").await;
        assert_eq!(texts(&lab, "tgt", &[of], "TRUE").await, highest, "{}", of.sql);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_only_order_rows_do_so_at_the_ends_of_every_type() {
    for role in ["tie_breakers", "lineage", "exclude"] {
        let nested = if role == "tie_breakers" { &[][..] } else { &NESTED };
        let types: Vec<&Type> = TYPES.iter().chain(nested).collect();
        let file = match role {
            "tie_breakers" => format!("tie_breakers: [{}]\n", names(&types)),
            _ => String::new(),
        };
        let lab = lab(&types, &file, &[]);
        match role {
            "lineage" => lab.edit("ddl: src.sql}", &format!("ddl: src.sql, lineage: [{}]}}", names(&types))),
            "exclude" => lab.edit("ddl: tgt.sql}", &format!("ddl: tgt.sql, exclude: [{}]}}", names(&types))),
            _ => {}
        }
        // A key for each type, whose rows differ in that column alone.
        let mut lines = String::new();
        for at in 0..types.len() {
            for value in [5, 1, 0] {
                lines.push_str(&format!(
                    "{{\"id\":{at},\"v\":1{}}}\n",
                    fields(&types, |of| if of == at { value } else { 5 })
                ));
            }
        }
        lab.append("src", &lines).await;
        let lost = json!(2 * types.len());
        let loaded = lab.load();
        let class = if role == "tie_breakers" { "superseded" } else { "duplicate" };
        assert_eq!(loaded["counts"][class], lost, "{role}: {loaded:#}");
        if role == "tie_breakers" {
            let found = texts(&lab, "tgt", &types, "TRUE").await;
            let mut lowest = String::new();
            for at in 0..types.len() {
                let values = fields(&types, |of| if of == at { 0 } else { 5 });
                lowest.push_str(&format!("{{\"id\":{},\"v\":9{values}}}\n", 100 + at));
            }
            lab.append("src", &lowest).await;
            let expected = texts(&lab, "src", &types, "v = 9").await;
            let same = |lines: &[String]| {
                let rest = |line: &String| line.split_once(',').unwrap().1.to_owned();
                let mut rest: Vec<String> = lines.iter().map(rest).collect();
                rest.sort();
                rest
            };
            assert_eq!(same(&found), same(&expected));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_at_the_ends_of_every_type_are_kept_apart_and_found_again() {
    // A partition column of a target has no empty string.
    let words = of(
        "words",
        "STRING",
        &[r#""NULL""#, "\"\u{10ffff}\"", r#""'NULL'""#, r#"" ""#, r#""a/b='%20""#, "null"],
    );
    let exact = TYPES.iter().filter(|of| !["BINARY", "STRING"].contains(&of.sql));
    let types: Vec<&Type> = exact.chain([&words]).collect();
    for strategy in STRATEGIES {
        let lab = lab(&types, "", &types).written_by(strategy);
        lab.append("src", &values(&types, 0, 1, 0)).await;
        let first = lab.load();
        assert_eq!(first["counts"]["inserted"], VALUES, "{first:#}");
        assert_eq!(texts(&lab, "tgt", &types, "TRUE").await, texts(&lab, "src", &types, "TRUE").await);
        // Newer rows where they lie, then elsewhere.
        for (v, shift) in [(2, 0), (3, 1)] {
            lab.append("src", &values(&types, 0, v, shift)).await;
            let newer = lab.load();
            assert_eq!(newer["counts"]["updated"], VALUES, "{newer:#}");
            let expected = texts(&lab, "src", &types, &format!("v = {v}")).await;
            assert_eq!(texts(&lab, "tgt", &types, "TRUE").await, expected);
        }
    }
}

#[test]
fn a_binary_partition_is_refused_by_init_before_a_table_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("src.sql", "CREATE TABLE src (id BIGINT, v BIGINT, p BINARY) USING DELTA");
    write(
        "tgt.sql",
        "CREATE TABLE tgt (id BIGINT NOT NULL, v BIGINT, p BINARY, load_batch_id STRING, loaded_at TIMESTAMP, \
         row_hash STRING, PRIMARY KEY (id)) USING DELTA PARTITIONED BY (p)",
    );
    write(
        "pipeline.yaml",
        "name: p\nsource: {table: src, ddl: src.sql}\ntarget: {table: tgt, ddl: tgt.sql}\nunique_key: id\n\
         updated_at: v\nincremental: {mode: changes}\n",
    );
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_highwater"));
    command.arg("-c").arg(folder.path().join("pipeline.yaml")).arg("init");
    let (code, document) = json_of(command);
    assert_eq!(code, Some(2), "{document:#}");
    assert!(document["error"]["message"].as_str().unwrap().contains("BINARY"), "{document:#}");
    assert!(!folder.path().join("src").exists() && !folder.path().join("tgt").exists());
}
