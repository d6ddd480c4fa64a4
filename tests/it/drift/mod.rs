//! Columns that change: what a load makes of each kind of change, by policy and role; and changes of the target.

mod contract;
mod evolve;

pub use contract::STANDARD;

use deltalake::operations::write::SchemaMode;
use deltalake::protocol::SaveMode;
use highwater::contract::ddl::TableDef;
use highwater::lake::{Lake, create_table};
use highwater::model::Strategy;
use serde_json::{Value, json};

use crate::common::{Lab, batch};

pub const FILE: &str = "
name: feed
source: {table: src, ddl: src.sql, lineage: seq}
target: {table: tgt, ddl: tgt.sql}
unique_key: [id]
updated_at: v
incremental: {mode: changes}
columns:
  note: {aliases: [remark]}
  state: {checks: [{accepted_values: {values: [new, paid], action: ACTION}}]}
schema: SCHEMA
";

const SRC: &str =
    "id BIGINT, v INT, day DATE, note STRING, amount INT, must STRING NOT NULL, state STRING, seq BIGINT";

const TGT: &str =
    "id BIGINT NOT NULL, v INT NOT NULL, day DATE, note STRING, amount BIGINT, must STRING NOT NULL,
  state STRING, load_batch_id STRING, loaded_at TIMESTAMP, row_hash STRING, PRIMARY KEY (id)";

fn ddl(name: &str, columns: &str) -> String {
    let partitioned = if name == "tgt" { " PARTITIONED BY (day)" } else { "" };
    format!("CREATE TABLE {name} ({columns}) USING DELTA{partitioned}")
}

/// A pipeline that has loaded one row, with this policy.
async fn loaded(schema: &str, action: &str) -> Lab {
    let file = FILE.replace("SCHEMA", schema).replace("ACTION", action);
    let lab = Lab::custom(&file, &[("src", &ddl("src", SRC)), ("tgt", &ddl("tgt", TGT))]);
    lab.append("src", &row(1, 1, &json!({})).to_string()).await;
    lab.load();
    lab
}

/// A row of staging as it was, with some values of its own; NULL takes one out.
fn row(id: i64, version: i64, own: &Value) -> Value {
    let mut row = json!({"id": id, "v": version, "day": "2025-09-01", "note": "n", "amount": 5, "must": "m", "state": "new", "seq": id});
    for (name, value) in own.as_object().unwrap() {
        row[name] = value.clone();
    }
    row
}

/// Puts another table in staging's place, as an upstream job does that writes its frame with another schema.
async fn becomes(lab: &Lab, columns: &str, rows: &[Value]) {
    let other = lab.path().join("other");
    let _ = std::fs::remove_dir_all(&other);
    let location = highwater::config::Location::named(&other.display().to_string()).unwrap();
    let def = TableDef::parse("other", &ddl("other", columns)).unwrap();
    assert!(create_table(&Lake::plain(), &location, &def).await.unwrap());
    let json: Vec<String> = rows.iter().map(Value::to_string).collect();
    let json = json.join("\n");
    let rows = batch(&lab.table("other").await, &json);
    std::fs::remove_dir_all(&other).unwrap();
    let staging = lab.delta("src").await;
    let write = staging.write([rows]).with_save_mode(SaveMode::Overwrite);
    write.with_schema_mode(SchemaMode::Overwrite).await.unwrap();
}

/// One line of the taxonomy.
struct Case {
    /// What changed.
    what: &'static str,
    /// The policy.
    schema: &'static str,
    /// In staging's columns.
    from: &'static str,
    /// What stands there now.
    to: &'static str,
    /// The row that comes then.
    sent: Value,
    /// How the run ends.
    status: i32,
    /// Change, column and answer of each difference.
    drift: &'static [(&'static str, &'static str, &'static str)],
    /// What the run says, or the row that the target has for the key 2.
    expected: Expected,
}

enum Expected {
    /// A part of the message.
    Says(&'static str),
    /// These columns of the row.
    Holds(Value),
    /// The row is an entry of the quarantine, with the column NULL and this text beside it.
    KeptOut(&'static str, &'static str),
}
use Expected::{Holds, KeptOut, Says};

const TELL: &str = "{}";
const ADD: &str = "{new_column: add}";
const AUTO: &str = "{new_column: add, evolve: auto}";
const BY_ROW: &str = "{unfit_type: quarantine}";
const FAIL: &str = "{new_column: fail, dropped_column: fail}";

#[expect(clippy::too_many_lines, reason = "a table")]
fn cases() -> Vec<Case> {
    let case = |what, schema, from, to, sent, status, drift, expected| Case {
        what,
        schema,
        from,
        to,
        sent,
        status,
        drift,
        expected,
    };
    let new = "seq BIGINT, coupon STRING";
    let coupon = || json!({"coupon": "c"});
    vec![
        // A new column.
        case(
            "new",
            TELL,
            "seq BIGINT",
            new,
            coupon(),
            0,
            &[("new_column", "coupon", "told")],
            Holds(json!({"note": "n"})),
        ),
        case(
            "new",
            ADD,
            "seq BIGINT",
            new,
            coupon(),
            0,
            &[("new_column", "coupon", "add")],
            Holds(json!({"note": "n"})),
        ),
        case("new", AUTO, "seq BIGINT", new, coupon(), 0, &[], Holds(json!({"coupon": "c"}))),
        case(
            "new",
            FAIL,
            "seq BIGINT",
            new,
            coupon(),
            2,
            &[("new_column", "coupon", "fail")],
            Says("new column `coupon` (STRING)"),
        ),
        case(
            "new, NOT NULL",
            AUTO,
            "seq BIGINT",
            "seq BIGINT, coupon STRING NOT NULL",
            coupon(),
            0,
            &[],
            Holds(json!({"coupon": "c"})),
        ),
        case(
            "new, nested",
            AUTO,
            "seq BIGINT",
            "seq BIGINT, parts ARRAY<INT>",
            json!({"parts": [1]}),
            0,
            &[],
            Holds(json!({"parts": [1]})),
        ),
        case(
            "new, in other case",
            AUTO,
            "seq BIGINT",
            "seq BIGINT, Coupon STRING",
            json!({"Coupon": "c"}),
            0,
            &[],
            Holds(json!({"Coupon": "c"})),
        ),
        case(
            "new, a load column's name",
            AUTO,
            "seq BIGINT",
            "seq BIGINT, row_hash STRING",
            json!({"row_hash": "x"}),
            0,
            &[],
            Holds(json!({"note": "n"})),
        ),
        // A column that is gone.
        case(
            "dropped",
            TELL,
            " amount INT,",
            "",
            json!({}),
            0,
            &[("dropped_column", "amount", "leave")],
            Holds(json!({"amount": null, "note": "n"})),
        ),
        case(
            "dropped",
            FAIL,
            " amount INT,",
            "",
            json!({}),
            2,
            &[("dropped_column", "amount", "fail")],
            Says("`amount` is missing in the staging table"),
        ),
        case(
            "dropped, key",
            TELL,
            "id BIGINT, ",
            "",
            json!({}),
            2,
            &[("dropped_column", "id", "fail")],
            Says("has no column `id`"),
        ),
        case(
            "dropped, version",
            TELL,
            " v INT,",
            "",
            json!({}),
            2,
            &[("dropped_column", "v", "fail")],
            Says("has no column `v`"),
        ),
        case(
            "dropped, partition",
            TELL,
            " day DATE,",
            "",
            json!({}),
            2,
            &[("dropped_column", "day", "fail")],
            Says("partitioned by it"),
        ),
        case(
            "dropped, NOT NULL",
            TELL,
            " must STRING NOT NULL,",
            "",
            json!({}),
            2,
            &[("dropped_column", "must", "fail")],
            Says("it is NOT NULL"),
        ),
        case("dropped, lineage", TELL, ", seq BIGINT", "", json!({}), 2, &[], Says("has no column `seq`")),
        // Another name.
        case(
            "renamed, as the file says",
            TELL,
            "note STRING",
            "remark STRING",
            json!({"remark": "r"}),
            0,
            &[("renamed", "note", "load")],
            Holds(json!({"note": "r"})),
        ),
        case(
            "renamed, to both names",
            TELL,
            "note STRING",
            "remark STRING, note STRING",
            json!({"remark": "r"}),
            0,
            &[],
            Holds(json!({"note": "n"})),
        ),
        case(
            "renamed, in rows of both names",
            AUTO,
            "note STRING",
            "remark STRING, note STRING",
            json!({"remark": "r", "note": null}),
            0,
            &[],
            Holds(json!({"note": "r"})),
        ),
        case(
            "renamed, in rows of both names and two types",
            TELL,
            "note STRING",
            "remark INT, note STRING",
            json!({"remark": 1}),
            2,
            &[],
            Says("of several types: say under `from` which counts"),
        ),
        case(
            "renamed, in case only",
            TELL,
            "amount INT",
            "Amount INT",
            json!({"Amount": 7}),
            2,
            &[("dropped_column", "amount", "fail")],
            Says("names must agree in case too"),
        ),
        case(
            "renamed, and nobody says so, where new ones are added",
            AUTO,
            "amount INT",
            "amounts INT",
            json!({"amounts": 7}),
            2,
            &[("dropped_column", "amount", "fail"), ("new_column", "amounts", "told")],
            Says("is it `amounts` now?"),
        ),
        case(
            "renamed, and nobody says so",
            TELL,
            "amount INT",
            "amounts INT",
            json!({"amounts": 7}),
            2,
            &[("dropped_column", "amount", "fail"), ("new_column", "amounts", "told")],
            Says("is it `amounts` now?"),
        ),
        // Another type.
        case(
            "wider, and the target is wide enough",
            TELL,
            "amount INT",
            "amount BIGINT",
            json!({"amount": 5_000_000_000_i64}),
            0,
            &[],
            Holds(json!({"amount": 5_000_000_000_i64})),
        ),
        case(
            "narrower",
            TELL,
            "amount INT",
            "amount TINYINT",
            json!({}),
            0,
            &[("other_type", "amount", "load")],
            Holds(json!({"amount": 5})),
        ),
        case(
            "wider than the target",
            TELL,
            "amount INT",
            "amount DECIMAL(20,2)",
            json!({}),
            2,
            &[("unfit_type", "amount", "fail")],
            Says("does not fit the target's BIGINT"),
        ),
        case(
            "a text",
            TELL,
            "amount INT",
            "amount STRING",
            json!({"amount": "5"}),
            2,
            &[("unfit_type", "amount", "fail")],
            Says("CAST(`amount` AS BIGINT)"),
        ),
        case(
            "wider, version",
            TELL,
            " v INT",
            " v BIGINT",
            json!({}),
            2,
            &[("unfit_type", "v", "fail")],
            Says("does not fit the target's INT"),
        ),
        case(
            "a text, key",
            TELL,
            "id BIGINT",
            "id STRING",
            json!({"id": "2"}),
            2,
            &[("unfit_type", "id", "fail")],
            Says("does not fit the target's BIGINT"),
        ),
        case(
            "nested",
            TELL,
            "amount INT",
            "amount ARRAY<INT>",
            json!({"amount": [5]}),
            2,
            &[("unfit_type", "amount", "fail")],
            Says("is ARRAY<INT> in the staging table, which does not fit the target's BIGINT"),
        ),
        // A type that does not fit, row by row.
        case(
            "by row, a number that fits",
            BY_ROW,
            "amount INT",
            "amount DECIMAL(20,2)",
            json!({"amount": "7.00"}),
            0,
            &[("unfit_type", "amount", "quarantine")],
            Holds(json!({"amount": 7})),
        ),
        case(
            "by row, a number that does not",
            BY_ROW,
            "amount INT",
            "amount DECIMAL(20,2)",
            json!({"amount": "7.50"}),
            0,
            &[("unfit_type", "amount", "quarantine")],
            KeptOut("amount", "7.50"),
        ),
        case(
            "by row, a text that fits",
            BY_ROW,
            "amount INT",
            "amount STRING",
            json!({"amount": " 7 "}),
            0,
            &[("unfit_type", "amount", "quarantine")],
            Holds(json!({"amount": 7})),
        ),
        case(
            "by row, a text that does not",
            BY_ROW,
            "amount INT",
            "amount STRING",
            json!({"amount": "much"}),
            0,
            &[("unfit_type", "amount", "quarantine")],
            KeptOut("amount", "much"),
        ),
        case(
            "by row, NULL",
            BY_ROW,
            "amount INT",
            "amount STRING",
            json!({"amount": null}),
            0,
            &[("unfit_type", "amount", "quarantine")],
            Holds(json!({"amount": null})),
        ),
        case(
            "by row, a text out of a number",
            BY_ROW,
            "note STRING",
            "note INT",
            json!({"note": 12}),
            0,
            &[("unfit_type", "note", "quarantine")],
            Holds(json!({"note": "12"})),
        ),
        case(
            "by row, by another name",
            BY_ROW,
            "note STRING",
            "remark INT",
            json!({"remark": 12}),
            0,
            &[("unfit_type", "note", "quarantine"), ("renamed", "note", "load")],
            Holds(json!({"note": "12"})),
        ),
        case(
            "by row, a time of a day",
            BY_ROW,
            " day DATE",
            " day TIMESTAMP",
            json!({"day": "2025-09-01T00:00:00Z"}),
            0,
            &[("unfit_type", "day", "quarantine")],
            Holds(json!({"day": "2025-09-01"})),
        ),
        case(
            "by row, a time with hours",
            BY_ROW,
            " day DATE",
            " day TIMESTAMP",
            json!({"day": "2025-09-01T10:00:00Z"}),
            0,
            &[("unfit_type", "day", "quarantine")],
            KeptOut("day", "2025-09-01T10:00:00Z"),
        ),
        case(
            "by row, version",
            BY_ROW,
            " v INT",
            " v BIGINT",
            json!({}),
            2,
            &[("unfit_type", "v", "fail")],
            Says("does not fit the target's INT"),
        ),
        case(
            "by row, key",
            BY_ROW,
            "id BIGINT",
            "id STRING",
            json!({"id": "2"}),
            2,
            &[("unfit_type", "id", "fail")],
            Says("does not fit the target's BIGINT"),
        ),
        case(
            "by row, NOT NULL",
            BY_ROW,
            "must STRING NOT NULL",
            "must INT NOT NULL",
            json!({"must": 1}),
            2,
            &[("unfit_type", "must", "fail")],
            Says("does not fit the target's STRING"),
        ),
        case(
            "by row, nested",
            BY_ROW,
            "amount INT",
            "amount ARRAY<INT>",
            json!({"amount": [5]}),
            2,
            &[("unfit_type", "amount", "fail")],
            Says("is ARRAY<INT> in the staging table, which does not fit the target's BIGINT"),
        ),
        // NULL.
        case(
            "may be NULL, and is not",
            TELL,
            "must STRING NOT NULL",
            "must STRING",
            json!({}),
            0,
            &[("nullable", "must", "load")],
            Holds(json!({"must": "m"})),
        ),
        case(
            "may be NULL, and is",
            TELL,
            "must STRING NOT NULL",
            "must STRING",
            json!({"must": null}),
            1,
            &[("nullable", "must", "load")],
            Says("not_null_must"),
        ),
        // The order is none of anybody's concern.
        case(
            "in another order",
            FAIL,
            "note STRING, amount INT",
            "amount INT, note STRING",
            json!({}),
            0,
            &[],
            Holds(json!({"note": "n", "amount": 5})),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_change_has_the_result_that_policy_and_role_say() {
    let mut labs = std::collections::BTreeMap::new();
    for case in cases() {
        let told = format!("{}, {}", case.what, case.schema);
        assert!(SRC.contains(case.from), "{told}");
        if !labs.contains_key(case.schema) {
            labs.insert(case.schema, loaded(case.schema, "warn").await);
        }
        let lab = labs[case.schema].copy();
        let columns = SRC.replacen(case.from, case.to, 1);
        let mut sent = row(2, 1, &case.sent);
        if let Some(row) = sent.as_object_mut() {
            row.retain(|name, _| columns.split([' ', ',']).any(|word| word == *name));
        }
        becomes(&lab, &columns, &[sent]).await;
        let versions = lab.versions().await;

        let (status, found) = lab.json(&["drift"]);
        let automatic = case.schema == AUTO && case.drift.is_empty()
            || found["problem"].to_string().contains("several types");
        let of = |found: &Value| -> Vec<(String, String, String)> {
            let differs =
                found["columns"].as_array().unwrap().iter().filter(|column| column["change"] != Value::Null);
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            differs.map(|c| (text(&c["change"]), text(&c["column"]), text(&c["answer"]))).collect()
        };
        let expected: Vec<_> =
            case.drift.iter().map(|(a, b, c)| ((*a).to_owned(), (*b).to_owned(), (*c).to_owned())).collect();
        let mut drift = of(&found);
        // `amount` is wider in the target than in staging all along, and told where something of it changed.
        drift.retain(|drift| expected.contains(drift) || drift.0 != "other_type");
        drift.sort_by_key(|drift| expected.iter().position(|other| other == drift));
        if !automatic {
            // It has one line a column.
            let mut first = expected.clone();
            first.dedup_by(|b, a| a.1 == b.1);
            assert_eq!(drift, first, "{told}: {found:#}");
        }
        let refused = case.drift.iter().any(|drift| drift.2 == "fail");
        let is_refused = refused || case.status == 2;
        assert_eq!(status, Some(i32::from(is_refused)), "{told}: {found:#}");
        assert_eq!(lab.versions().await, versions, "{told}");

        let (status, document) = lab.json(&["run"]);
        assert_eq!(status, Some(case.status), "{told}: {document:#}");
        match case.expected {
            Says(part) => {
                assert!(document.to_string().contains(part), "{told}: {document:#}");
                if status == Some(2) {
                    assert_eq!(lab.versions().await, versions, "{told}");
                }
            }
            KeptOut(column, text) => {
                assert_eq!(document["counts"]["quarantined"], 1, "{told}: {document:#}");
                assert_eq!(lab.rows("tgt").await.len(), 1, "{told}");
                let entries = lab.json(&["quarantine", "list"]).1["entries"].clone();
                let entry = &entries[0];
                assert_eq!(
                    (&entry[column], &entry[format!("unfit_{column}")]),
                    (&Value::Null, &json!(text)),
                    "{told}: {entry:#}"
                );
                assert_eq!(lab.json(&["run"]).1["status"], "already_loaded", "{told}");
            }
            Holds(expected) => {
                let rows = lab.rows("tgt").await;
                let rows: Vec<Value> = rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect();
                let found = rows.iter().find(|row| row["id"] == 2).unwrap();
                for (name, value) in expected.as_object().unwrap() {
                    assert_eq!(&found[name], value, "{told}: {name}");
                }
                // What the batch says of it stands in its audit row too.
                let audit = lab.json(&["status"]).1["batches"][0].clone();
                assert_eq!(audit["drift"], document["drift"], "{told}");
                let kinds = ["new_column", "dropped_column", "renamed", "unfit_type"];
                let recorded: Vec<_> =
                    audit["drift"].as_array().unwrap().iter().map(|d| d["change"].clone()).collect();
                let wanted: Vec<Value> =
                    case.drift.iter().filter(|d| kinds.contains(&d.0)).map(|d| json!(d.0)).collect();
                assert_eq!(recorded, wanted, "{told}");
                assert_eq!(lab.json(&["run"]).1["status"], "already_loaded", "{told}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_value_of_an_enum_has_the_result_of_its_check() {
    for (action, status, errors) in [("warn", 0, 0), ("quarantine", 0, 1), ("fail", 1, 1)] {
        let lab = loaded(TELL, action).await;
        lab.append("src", &row(2, 1, &json!({"state": "returned"})).to_string()).await;
        let (code, document) = lab.json(&["run"]);
        assert_eq!((code, &document["dq_errors"]), (Some(status), &json!(errors)), "{action}: {document:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_staging_never_brought_is_a_mistake_and_not_one_that_was_dropped() {
    let file = FILE.replace("SCHEMA", TELL).replace("ACTION", "warn");
    let lab = Lab::custom(&file, &[("src", &ddl("src", SRC)), ("tgt", &ddl("tgt", TGT))]);
    let mut sent = row(1, 1, &json!({}));
    sent.as_object_mut().unwrap().remove("amount");
    becomes(&lab, &SRC.replace(" amount INT,", ""), &[sent]).await;
    let versions = lab.versions().await;
    for command in ["run", "plan", "check", "validate"] {
        let (status, document) = lab.json(&[command]);
        assert_eq!(status, Some(2), "{command}: {document:#}");
        assert!(document.to_string().contains("`amount` is missing in the staging table"), "{document:#}");
    }
    assert_eq!(lab.versions().await, versions);
    // Left out on purpose, it is no difference.
    lab.edit("ddl: tgt.sql}", "ddl: tgt.sql, exclude: amount}");
    assert_eq!(lab.load()["drift"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_replaced_keep_what_they_had_in_a_column_that_is_gone() {
    // A target in which a column stays as it is takes the MERGE, whatever else it allows.
    for strategy in [Strategy::Builder, Strategy::DeletionVectors] {
        let file = FILE.replace("SCHEMA", TELL).replace("ACTION", "warn");
        let lab =
            Lab::custom(&file, &[("src", &ddl("src", SRC)), ("tgt", &ddl("tgt", TGT))]).written_by(strategy);
        lab.append("src", &row(1, 1, &json!({})).to_string()).await;
        lab.load();
        let mut sent = row(1, 2, &json!({"note": "later"}));
        sent.as_object_mut().unwrap().remove("amount");
        becomes(&lab, &SRC.replace(" amount INT,", ""), &[sent]).await;
        let document = lab.load();
        assert_eq!(document["counts"]["updated"], 1, "{document:#}");
        let row: Value = serde_json::from_str(&lab.rows("tgt").await[0]).unwrap();
        assert_eq!((&row["note"], &row["amount"]), (&json!("later"), &json!(5)), "{strategy:?}");
    }
}

/// Each pair of types whose values are told apart row by row: values that fit, with what they are then, and some that do not.
#[tokio::test(flavor = "multi_thread")]
async fn values_of_another_type_are_loaded_as_they_are_or_kept_out() {
    for (from, to, fits, others) in [
        (
            "STRING",
            "INT",
            vec![(json!("7"), json!(7)), (json!(" -7 "), json!(-7))],
            vec!["x", "", "7.0", "1e3", "2147483648", "７"],
        ),
        (
            "STRING",
            "DECIMAL(6,2)",
            vec![(json!("1.5"), json!(1.5)), (json!("+1.500"), json!(1.5))],
            vec!["1.255", "12345.6", "NaN", ".", ""],
        ),
        (
            "STRING",
            "DOUBLE",
            vec![(json!("1.5"), json!(1.5)), (json!("1e300"), json!(1e300))],
            vec!["1e400", "inf", "NaN", "x"],
        ),
        ("STRING", "FLOAT", vec![(json!("1.5"), json!(1.5))], vec!["1e39", "x"]),
        (
            "STRING",
            "BOOLEAN",
            vec![(json!("true"), json!(true)), (json!(" FALSE"), json!(false))],
            vec!["tr", "on", "2"],
        ),
        (
            "STRING",
            "DATE",
            vec![(json!("2025-09-01"), json!("2025-09-01")), (json!("9999-12-31"), json!("9999-12-31"))],
            vec!["2025-9-01", "2025-08-1x", "2025-02-30", "+2025-1-01", "2025-09-01T10:00:00"],
        ),
        ("BIGINT", "DOUBLE", vec![(json!(7), json!(7.0))], vec!["9223372036854775807", "9007199254740993"]),
        ("BIGINT", "FLOAT", vec![(json!(7), json!(7.0))], vec!["9223372036854775807", "16777217"]),
        ("BIGINT", "INT", vec![(json!(7), json!(7))], vec!["2147483648", "-2147483649"]),
        ("DOUBLE", "INT", vec![(json!(7.0), json!(7))], vec!["7.5", "1e300"]),
        (
            "DECIMAL(38,2)",
            "DOUBLE",
            vec![(json!("0.10"), json!(0.1))],
            vec!["123456789012345678901234567890.12"],
        ),
        ("DECIMAL(20,2)", "DECIMAL(6,1)", vec![(json!("0.10"), json!(0.1))], vec!["0.12", "123456.00"]),
        ("BOOLEAN", "STRING", vec![(json!(true), json!("true"))], vec![]),
        ("INT", "STRING", vec![(json!(-7), json!("-7"))], vec![]),
        ("DATE", "TIMESTAMP", vec![(json!("9999-12-31"), json!("9999-12-31T00:00:00Z"))], vec![]),
        (
            "TIMESTAMP",
            "DATE",
            vec![
                (json!("0001-01-01T00:00:00Z"), json!("0001-01-01")),
                (json!("1969-12-31T00:00:00Z"), json!("1969-12-31")),
            ],
            vec!["1969-12-31T23:59:59.999999Z", "9999-12-31T00:00:01Z"],
        ),
    ] {
        let told = format!("{from} to {to}");
        let file = "name: f\nsource: {table: src, ddl: src.sql}\ntarget: {table: tgt, ddl: tgt.sql}\nunique_key: id\n\
                    updated_at: v\nincremental: {mode: changes}\nschema: {unfit_type: quarantine}\n\
                    columns: {x: {checks: [not_null]}}\n";
        let target = format!(
            "CREATE TABLE tgt (id INT NOT NULL, v INT, x {to}, load_batch_id STRING, loaded_at TIMESTAMP, row_hash STRING, PRIMARY KEY (id)) USING DELTA"
        );
        // The quarantine is made for the type that fits.
        let lab = Lab::custom(
            file,
            &[("src", &format!("CREATE TABLE src (id INT, v INT, x {to}) USING DELTA")), ("tgt", &target)],
        );
        let mut sent: Vec<Value> = fits.iter().map(|(value, _)| value.clone()).collect();
        sent.extend(others.iter().map(|text| {
            if from.starts_with("STRING") || from == "TIMESTAMP" || from.starts_with("DEC") {
                json!(text)
            } else {
                serde_json::from_str(text).unwrap()
            }
        }));
        let rows: Vec<Value> =
            (0..).zip(&sent).map(|(id, value)| json!({"id": id, "v": 1, "x": value})).collect();
        becomes(&lab, &format!("id INT, v INT, x {from}"), &rows).await;
        let (status, document) = lab.json(&["run"]);
        assert_eq!(status, Some(0), "{told}: {document:#}");
        let counts = &document["counts"];
        assert_eq!(
            (&counts["inserted"], &counts["quarantined"]),
            (&json!(fits.len()), &json!(others.len())),
            "{told}: {document:#}"
        );
        let found: Vec<Value> =
            lab.rows("tgt").await.iter().map(|row| serde_json::from_str(row).unwrap()).collect();
        for (id, (_, expected)) in (0..).zip(&fits) {
            let row = found.iter().find(|row| row["id"] == id).unwrap();
            assert_eq!(&row["x"], expected, "{told}: {row}");
        }
        // The values are kept as text, and are never loaded as NULL, whatever the type is then.
        let entries = lab.json(&["quarantine", "list"]).1["entries"].clone();
        assert!(
            entries.as_array().unwrap().iter().all(|entry| entry["unfit_x"].is_string()),
            "{told}: {entries:#}"
        );
        becomes(&lab, &format!("id INT, v INT, x {to}"), &[json!({"id": 999, "v": 1})]).await;
        let (status, document) = lab.json(&["quarantine", "replay"]);
        assert_eq!((status, &document["counts"]["staged"]), (Some(0), &json!(0)), "{told}: {document:#}");
        assert_eq!(lab.rows("tgt").await.len(), fits.len(), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_values_that_do_not_fit_are_two_entries_and_hide_no_row_that_does() {
    let lab = loaded(BY_ROW, "warn").await;
    let columns = SRC.replace("amount INT", "amount STRING");
    let of = |amount: Value| row(2, 1, &json!({"amount": amount}));
    becomes(&lab, &columns, &[of(json!("ghi"))]).await;
    assert_eq!(lab.load()["counts"]["quarantined"], 1);
    // The same key and version, with another value, and with none.
    lab.append("src", &of(json!("xyz")).to_string()).await;
    assert_eq!(lab.load()["counts"]["quarantined"], 1);
    let entries = lab.json(&["quarantine", "list"]).1["entries"].clone();
    let mut texts: Vec<&str> =
        entries.as_array().unwrap().iter().map(|entry| entry["unfit_amount"].as_str().unwrap()).collect();
    texts.sort_unstable();
    assert_eq!(texts, ["ghi", "xyz"]);
    lab.append("src", &of(Value::Null).to_string()).await;
    let document = lab.load();
    assert_eq!(
        (&document["counts"]["inserted"], &document["counts"]["quarantined"]),
        (&json!(1), &json!(0)),
        "{document:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_mask_hides_is_not_brought_back_by_its_type() {
    let file = "name: f\nsource: {table: src, ddl: src.sql}\ntarget: {table: tgt, ddl: tgt.sql, exclude: salary}\nunique_key: id\nupdated_at: v\n\
                incremental: {mode: changes}\nschema: {unfit_type: quarantine}\n\
                columns: {shown: {from: salary, mask: redact}, pay: {aliases: [wage]}}\n";
    let target = "CREATE TABLE tgt (id INT NOT NULL, v INT, salary BIGINT, shown STRING, pay BIGINT, load_batch_id STRING, \
                  loaded_at TIMESTAMP, row_hash STRING, PRIMARY KEY (id)) USING DELTA";
    let lab = Lab::custom(
        file,
        &[
            ("src", "CREATE TABLE src (id INT, v INT, salary STRING, pay BIGINT) USING DELTA"),
            ("tgt", target),
        ],
    );
    lab.append("src", r#"{"id":1,"v":1,"salary":"500","pay":1}"#).await;
    lab.load();
    lab.edit("tgt.sql, exclude: salary}", "tgt.sql}");
    lab.append("src", r#"{"id":2,"v":1,"salary":"600","pay":1}"#).await;
    lab.load();
    // Without the ids and hashes, whose digits may be any.
    let rows = crate::common::rows_of(lab.path(), "tgt", "id, v, salary, shown, pay").await.concat();
    assert!(!rows.contains("600") && rows.contains("\"shown\":\"***\""), "{rows}");
    // Two names and a type that does not fit: a person says which counts.
    becomes(
        &lab,
        "id INT, v INT, salary STRING, pay STRING, wage STRING",
        &[json!({"id": 3, "v": 1, "wage": "7"})],
    )
    .await;
    let (status, document) = lab.json(&["run"]);
    assert_eq!(status, Some(2), "{document:#}");
    assert!(document.to_string().contains("does not fit the target's BIGINT"), "{document:#}");
    becomes(&lab, "id INT, v INT, salary STRING, wage STRING", &[json!({"id": 3, "v": 1, "wage": "7"})])
        .await;
    assert_eq!(lab.load()["counts"]["inserted"], 1);
    assert!(lab.rows("tgt").await.concat().contains("\"pay\":7"));
}
