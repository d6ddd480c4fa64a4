//! Tables and their contracts: what `init` creates and compares, and which tables a load refuses or takes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use deltalake::kernel::{DataType, PrimitiveType, StructField};
use highwater::config::Location;
use highwater::contract::STAGING_ORDERS;
use highwater::contract::ddl::TableDef;
use highwater::contract::widening::TABLE;
use highwater::lake::{Lake, Table, create_table};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{CLOCK, Lab, batch, json_of};

const ORDERS: &str = "config/orders.yaml";
const STOCK: &str = "config/stock.yaml";

/// Each table's state and differences after `init`.
type States = BTreeMap<String, (String, Vec<String>)>;

/// A copy of the shipped pipeline files and DDL, without tables.
struct Project {
    folder: TempDir,
    file: &'static str,
}

impl Project {
    fn new(file: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for part in ["config", "tables"] {
            std::fs::create_dir(folder.path().join(part)).unwrap();
            for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(part)).unwrap() {
                let entry = entry.unwrap();
                if entry.path().is_dir() {
                    continue;
                }
                std::fs::copy(entry.path(), folder.path().join(part).join(entry.file_name())).unwrap();
            }
        }
        Self { folder, file }
    }

    fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.folder.path().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from} is not in {file}");
        std::fs::write(path, text.replace(from, to)).unwrap();
    }

    /// Takes lines out of a file: those that begin with one of these words.
    fn drop_lines(&self, file: &str, words: &[&str]) {
        let path = self.folder.path().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        let dropped = |line: &str| words.iter().any(|word| line.trim_start().starts_with(word));
        let kept: Vec<&str> = text.lines().filter(|line| !dropped(line)).collect();
        assert_eq!(text.lines().count() - kept.len(), words.len(), "{file}");
        std::fs::write(path, kept.join("\n") + "\n").unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(crate::common::program());
        command.arg("-c").arg(self.folder.path().join(self.file)).args(arguments);
        command.args(if arguments == ["run"] { &["--as-of", "2025-09-01"][..] } else { &[] });
        command.env("HIGHWATER_CLOCK", CLOCK).env_remove("RUST_LOG");
        command
    }

    fn json(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        json_of(self.command(arguments))
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs `init`; gives its exit status and each table with its state and differences.
    fn init(&self) -> (Option<i32>, States) {
        let (code, document) = self.json(&["init"]);
        let tables = document["tables"].as_array().unwrap_or_else(|| panic!("{document:#}"));
        let state = |table: &Value| {
            let differences = table["differences"].as_array().unwrap().iter();
            let differences = differences.map(|text| text.as_str().unwrap().to_owned()).collect();
            (table["state"].as_str().unwrap().to_owned(), differences)
        };
        (
            code,
            tables.iter().map(|table| (table["name"].as_str().unwrap().to_owned(), state(table))).collect(),
        )
    }

    /// Makes a table as somebody else would: by its file, without some columns.
    async fn foreign(&self, table: &str, without: &[&str]) {
        let text = std::fs::read_to_string(self.folder.path().join(format!("tables/{table}.sql"))).unwrap();
        let mut def = TableDef::parse(table, &text).unwrap();
        def.columns.retain(|column| !without.contains(&column.field.name.as_str()));
        let location = Location::named(&self.place(table).display().to_string()).unwrap();
        assert!(create_table(&Lake::plain(), &location, &def).await.unwrap());
    }

    fn place(&self, table: &str) -> PathBuf {
        let folder = self.folder.path();
        if self.file == STOCK { folder.join(table) } else { folder.join("config").join(table) }
    }

    async fn table(&self, name: &str) -> Table {
        let location = Location::named(&self.place(name).display().to_string()).unwrap();
        Lake::plain().open(name, &location).await.unwrap()
    }

    async fn delta(&self, name: &str) -> deltalake::DeltaTable {
        let url = deltalake::ensure_table_uri(self.place(name).display().to_string()).unwrap();
        deltalake::open_table(url).await.unwrap()
    }

    async fn append(&self, name: &str, json: &str) {
        let table = self.table(name).await;
        table.append_foreign(vec![batch(&table, json)]).await.unwrap();
    }

    async fn rows(&self, name: &str) -> Vec<String> {
        let engine = highwater::engine::Engine::new(1 << 30);
        let provider = self.table(name).await.rows(&engine.state()).await.unwrap();
        let _known = engine.register("t", provider).unwrap();
        crate::common::rows(&engine, "SELECT * FROM t").await
    }

    /// How many commits each table has, but for that of failed runs, which is none that a load could harm.
    fn commits(&self) -> BTreeMap<String, usize> {
        let root = if self.file == STOCK {
            self.folder.path().to_owned()
        } else {
            self.folder.path().join("config")
        };
        let folders = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
        let logs =
            folders.filter(|path| path.join("_delta_log").is_dir() && !path.ends_with("loads_attempts"));
        logs.map(|path| {
            let log = std::fs::read_dir(path.join("_delta_log")).unwrap();
            let commits =
                log.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|e| e == "json"));
            (path.file_name().unwrap().to_str().unwrap().to_owned(), commits.count())
        })
        .collect()
    }
}

/// A table as its DDL file has it, or as its log has it.
#[derive(Debug, PartialEq, Eq, Default)]
struct Shape {
    /// Name, type, whether it may be NULL, and comment.
    columns: Vec<(String, String, bool, Option<String>)>,
    partitioned_by: Vec<String>,
    properties: BTreeMap<String, String>,
}

/// Reads a DDL file without the program's parser: the files are plain enough.
fn shape_of_file(path: &Path) -> Shape {
    let text = std::fs::read_to_string(path).unwrap();
    let text: Vec<&str> = text.lines().filter(|line| !line.starts_with("--")).collect();
    let text = text.join(" ");
    let (columns, mut rest) = parenthesis(&text);
    let mut shape = Shape::default();
    for item in items(columns) {
        if item.starts_with("PRIMARY KEY") {
            continue;
        }
        let (definition, comment) = match item.split_once(" COMMENT ") {
            Some((definition, comment)) => (definition, Some(unquoted(comment))),
            None => (item.as_str(), None),
        };
        let nullable = !definition.contains("NOT NULL");
        let (name, sql_type) = definition.trim().split_once(' ').unwrap();
        let sql_type = sql_type.replace("NOT NULL", "").replace(['`', ' '], "");
        shape.columns.push((name.to_owned(), sql_type, nullable, comment));
    }
    while let Some(at) = rest.find('(') {
        let clause = rest[..at].trim().trim_start_matches("USING DELTA").trim().to_owned();
        let (inside, after) = parenthesis(rest);
        match clause.as_str() {
            "PARTITIONED BY" => shape.partitioned_by = items(inside),
            "TBLPROPERTIES" => {
                let pairs = items(inside);
                let pairs = pairs.iter().map(|pair| pair.split_once('=').unwrap());
                shape.properties = pairs.map(|(key, value)| (unquoted(key), unquoted(value))).collect();
            }
            other => panic!("{other} in {}", path.display()),
        }
        rest = after;
    }
    shape
}

/// What the first parenthesis holds, and what follows it. Quotes may hold anything.
fn parenthesis(text: &str) -> (&str, &str) {
    let open = text.find('(').unwrap();
    let (mut depth, mut quoted) = (0, false);
    for (at, c) in text.char_indices().skip(open) {
        match c {
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            _ => {}
        }
        if at > open && depth == 0 {
            return (&text[open + 1..at], &text[at + 1..]);
        }
    }
    panic!("no end of the parenthesis in {text}")
}

/// Splits at the commas that are neither quoted nor within brackets.
fn items(text: &str) -> Vec<String> {
    let (mut depth, mut quoted, mut found) = (0, false, vec![String::new()]);
    for c in text.chars() {
        match c {
            '\'' => quoted = !quoted,
            '(' | '<' if !quoted => depth += 1,
            ')' | '>' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                found.push(String::new());
                continue;
            }
            _ => {}
        }
        found.last_mut().unwrap().push(c);
    }
    found.iter().map(|item| item.trim().to_owned()).collect()
}

fn unquoted(text: &str) -> String {
    text.trim().trim_matches('\'').replace("''", "'")
}

/// Reads a table's first commit, as any other reader of Delta tables would.
fn shape_of_log(folder: &Path) -> Shape {
    let commit = std::fs::read_to_string(folder.join("_delta_log/00000000000000000000.json")).unwrap();
    let mut actions = commit.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let metadata = actions.find_map(|action| action.get("metaData").cloned()).unwrap();
    let schema: Value = serde_json::from_str(metadata["schemaString"].as_str().unwrap()).unwrap();
    let columns = schema["fields"].as_array().unwrap().iter().map(|field| {
        let comment = field["metadata"]["comment"].as_str().map(str::to_owned);
        let name = field["name"].as_str().unwrap().to_owned();
        (name, sql_type(&field["type"]), field["nullable"].as_bool().unwrap(), comment)
    });
    Shape {
        columns: columns.collect(),
        partitioned_by: serde_json::from_value(metadata["partitionColumns"].clone()).unwrap(),
        properties: serde_json::from_value(metadata["configuration"].clone()).unwrap(),
    }
}

/// A Delta type as DDL writes it, without spaces.
fn sql_type(delta: &Value) -> String {
    match delta["type"].as_str() {
        Some("array") => format!("ARRAY<{}>", sql_type(&delta["elementType"])),
        Some("struct") => {
            let fields = delta["fields"].as_array().unwrap().iter();
            let fields = fields
                .map(|field| format!("{}:{}", field["name"].as_str().unwrap(), sql_type(&field["type"])));
            format!("STRUCT<{}>", fields.collect::<Vec<_>>().join(","))
        }
        _ => match delta.as_str().unwrap() {
            "integer" => "INT".to_owned(),
            "long" => "BIGINT".to_owned(),
            other => other.to_uppercase(),
        },
    }
}

#[test]
fn created_tables_are_what_their_files_say() {
    for (file, tables, quarantine) in [
        (
            ORDERS,
            [
                "staging_orders",
                "fact_orders",
                "dim_customer",
                "loads_audit",
                "load_watermarks",
                "loads_attempts",
            ]
            .as_slice(),
            "fact_orders_bad",
        ),
        (STOCK, &["staging_stock", "stock", "loads_audit", "load_watermarks", "loads_attempts"], "stock_bad"),
    ] {
        let project = Project::new(file);
        let (code, states) = project.init();
        assert_eq!(code, Some(0));
        assert_eq!(states.len(), tables.len() + 1);
        assert_eq!(states[quarantine].0, "created");
        // Staging's columns first, as wide as the target's, then those of the quarantine's own file.
        let kept = shape_of_log(&project.place(quarantine));
        let mut staged = shape_of_log(&project.place(tables[0]));
        let target = shape_of_log(&project.place(tables[1]));
        for column in &mut staged.columns {
            let wide = target.columns.iter().find(|other| other.0 == column.0);
            column.1 = wide.map_or_else(|| column.1.clone(), |wide| wide.1.clone());
        }
        let own = shape_of_file(&project.folder.path().join("tables/quarantine.sql"));
        assert_eq!(kept.columns, [staged.columns, own.columns].concat());
        for table in tables {
            assert_eq!(states[*table], ("created".to_owned(), Vec::new()), "{table}");
            let wanted = shape_of_file(&project.folder.path().join(format!("tables/{table}.sql")));
            assert!(wanted.columns.len() > 1 && !wanted.properties.is_empty(), "{wanted:?}");
            assert_eq!(shape_of_log(&project.place(table)), wanted, "{table}");
        }
    }
    let fact = shape_of_file(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tables/fact_orders.sql"));
    assert_eq!(fact.partitioned_by, ["order_date"]);
    let amount = &fact.columns[4];
    assert_eq!((amount.0.as_str(), amount.1.as_str(), amount.2), ("total_amount", "DECIMAL(10,2)", true));
    assert!(!fact.columns[0].2, "order_id is NOT NULL");
    assert_eq!(fact.columns[7].3.as_deref().map(|comment| &comment[..7]), Some("SHA-256"));
}

#[test]
fn second_init_finds_that_the_tables_agree_and_changes_none() {
    for file in [ORDERS, STOCK] {
        let project = Project::new(file);
        project.init();
        let commits = project.commits();
        let (code, states) = project.init();
        assert_eq!(code, Some(0));
        assert!(states.values().all(|state| state.0 == "agrees"), "{states:?}");
        assert_eq!(project.commits(), commits);
        let output = project.run(&["init"]);
        assert!(
            String::from_utf8_lossy(&output.stdout).contains("loads_audit  exists, and agrees with its DDL")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn table_that_differs_from_its_file_is_named_with_each_difference_and_not_altered() {
    let project = Project::new(ORDERS);
    project.init();
    let properties = [("delta.logRetentionDuration".to_owned(), "interval 3 days".to_owned())];
    let table = project.delta("fact_orders").await;
    table.set_tbl_properties().with_properties(properties.into()).await.unwrap();
    let fact = "tables/fact_orders.sql";
    project.edit(fact, "  load_batch_id STRING", "  shop          STRING,\n  load_batch_id STRING");
    project.edit(fact, "total_amount  DECIMAL(10,2) ", "total_amount  DECIMAL(12,2) ");
    project.edit(fact, "customer_id   INT          ", "customer_id   INT NOT NULL ");
    project.edit(fact, "'The order''s key; one row each'", "'The key'");
    project.edit(fact, "PARTITIONED BY (order_date)\n", "");
    let commits = project.commits();

    let (code, states) = project.init();
    assert_eq!(code, Some(4));
    let (state, differences) = &states["fact_orders"];
    assert_eq!(state, "differs");
    for expected in [
        "column `order_id` has the comment 'The order's key; one row each', the contract says 'The key'",
        "column `customer_id` may be NULL, the contract says NOT NULL",
        "column `total_amount` is DECIMAL(10,2), the contract says DECIMAL(12,2)",
        "column `shop` (STRING) is missing",
        "the table is partitioned by (order_date), the contract says not partitioned",
        "property 'delta.logRetentionDuration' is 'interval 3 days', the contract says 'interval 30 days'",
    ] {
        assert!(
            differences.iter().any(|found| found == expected),
            "{expected} is not among {differences:#?}"
        );
    }
    assert_eq!(differences.len(), 6, "{differences:#?}");
    assert_eq!(states["staging_orders"].0, "agrees");
    assert_eq!(project.commits(), commits);
    let output = project.run(&["init"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&output.stdout).contains("  - column `shop` (STRING) is missing\n"));
}

#[test]
fn primary_key_other_than_unique_key_is_refused_before_any_table_is_created() {
    for (file, from, to, keys) in [
        (
            ORDERS,
            "unique_key: [order_id]",
            "unique_key: [order_id, customer_id]",
            ["(order_id)", "(order_id, customer_id)"],
        ),
        (
            "tables/fact_orders.sql",
            "PRIMARY KEY (order_id)",
            "PRIMARY KEY (updated_at)",
            ["(updated_at)", "(order_id)"],
        ),
    ] {
        let project = Project::new(ORDERS);
        project.edit(file, from, to);
        let (code, document) = project.json(&["init"]);
        assert_eq!((code, &document["error"]["kind"]), (Some(2), &json!("usage")));
        let message = document["error"]["message"].as_str().unwrap();
        assert!(keys.iter().all(|key| message.contains(key)), "{message}");
        assert_eq!(project.commits(), BTreeMap::new());
    }
}

#[test]
fn ddl_that_cannot_be_read_is_refused_before_any_table_is_created() {
    for (from, to, wanted) in [
        ("PARTITIONED BY (order_date)", "CLUSTERED BY (order_date)", "fact_orders.sql:"),
        ("total_amount  DECIMAL(10,2)", "total_amount  MONEY", "total_amount"),
    ] {
        let project = Project::new(ORDERS);
        project.edit("tables/fact_orders.sql", from, to);
        let (code, document) = project.json(&["init"]);
        assert_eq!(code, Some(2), "{document:#}");
        assert!(document["error"]["message"].as_str().unwrap().contains(wanted), "{document:#}");
        assert_eq!(project.commits(), BTreeMap::new());
    }
    let project = Project::new(ORDERS);
    std::fs::remove_file(project.folder.path().join("tables/dim_customer.sql")).unwrap();
    let (code, document) = project.json(&["init"]);
    assert_eq!(code, Some(2));
    assert!(
        document["error"]["message"].as_str().unwrap().contains("tables/dim_customer.sql"),
        "{document:#}"
    );
    assert_eq!(project.commits(), BTreeMap::new());
}

#[test]
fn table_without_ddl_is_reported_missing_and_no_other_is_created() {
    let project = Project::new(ORDERS);
    project.drop_lines(ORDERS, &["ddl: ../tables/dim_customer.sql"]);
    let (code, states) = project.init();
    // As for any command that misses a table.
    assert_eq!(code, Some(2));
    assert_eq!(states["dim_customer"].0, "missing");
    assert_eq!(states.values().filter(|state| state.0 == "not_created").count(), 6);
    assert_eq!(project.commits(), BTreeMap::new());
    let text = String::from_utf8(project.run(&["init"]).stdout).unwrap();
    assert!(text.contains("dim_customer  is missing"), "{text}");
}

#[test]
fn table_that_differs_keeps_the_missing_ones_from_being_created() {
    let project = Project::new(ORDERS);
    project.init();
    std::fs::remove_dir_all(project.place("loads_audit")).unwrap();
    project.edit("tables/dim_customer.sql", "customer_id INT", "customer_id BIGINT");
    let commits = project.commits();
    let (code, states) = project.init();
    assert_eq!((code, states["dim_customer"].0.as_str()), (Some(4), "differs"));
    assert_eq!(states["loads_audit"].0, "not_created");
    assert_eq!(project.commits(), commits);
}

#[test]
fn everything_that_is_wrong_with_the_ddl_is_told_at_once_with_its_place() {
    let project = Project::new(ORDERS);
    project.edit("tables/staging_orders.sql", "total_amount DECIMAL(10,2)", "total_amount MONEY");
    project.edit("tables/dim_customer.sql", "USING DELTA", "USING PARQUET");
    let (code, document) = project.json(&["init"]);
    assert_eq!(code, Some(2), "{document:#}");
    let errors = document["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 2, "{document:#}");
    for (error, file) in errors.iter().zip(["staging_orders.sql", "dim_customer.sql"]) {
        assert!(error["file"].as_str().unwrap().ends_with(file), "{error:#}");
    }
    assert!(errors[0]["message"].as_str().unwrap().contains("MONEY"), "{document:#}");
    assert_eq!(project.commits(), BTreeMap::new());
}

#[test]
fn ddl_that_no_load_could_use_is_refused_with_all_reasons_and_nothing_is_created() {
    let project = Project::new(ORDERS);
    project.drop_lines("tables/fact_orders.sql", &["load_batch_id", "loaded_at"]);
    project.edit("tables/fact_orders.sql", "total_amount  DECIMAL(10,2) ", "total_amount  BINARY ");
    project.edit("tables/staging_orders.sql", "customer_id  INT", "customer_no  INT");
    let (code, document) = project.json(&["init"]);
    assert_eq!(code, Some(2), "{document:#}");
    let message = document["error"]["message"].as_str().unwrap();
    for part in [
        "the target lacks the load columns `load_batch_id`, `loaded_at`",
        "`total_amount` is DECIMAL(10,2) in the staging table, which does not fit the target's BINARY",
        "`customer_id`",
    ] {
        assert!(message.contains(part), "{part} is not in {message}");
    }
    let errors = document["errors"].as_array().unwrap();
    assert!(errors.len() >= 3 && errors.iter().all(|error| error["line"].is_u64()), "{document:#}");
    assert_eq!(project.commits(), BTreeMap::new());
}

#[test]
fn file_where_a_table_should_be_is_told_before_any_table_is_created() {
    let project = Project::new(ORDERS);
    std::fs::write(project.place("load_watermarks"), "").unwrap();
    let (code, document) = project.json(&["init"]);
    assert_eq!(code, Some(2), "{document:#}");
    assert!(document["error"]["message"].as_str().unwrap().contains("is a file"), "{document:#}");
    assert!(!project.place("staging_orders").exists());
}

#[test]
fn existing_table_without_ddl_is_taken_as_it_is() {
    let project = Project::new(ORDERS);
    project.init();
    project.drop_lines(ORDERS, &["ddl: ../tables/fact_orders.sql"]);
    let (code, states) = project.init();
    assert_eq!((code, states["fact_orders"].0.as_str()), (Some(0), "exists"));
}

#[tokio::test(flavor = "multi_thread")]
async fn target_without_load_columns_is_refused_until_the_hint_is_followed() {
    let project = Project::new(ORDERS);
    project.foreign("fact_orders", &["load_batch_id", "loaded_at", "row_hash"]).await;
    let (code, document) = project.json(&["init"]);
    assert_eq!(code, Some(2), "no load could use the staging table that is to be made: {document:#}");
    project.foreign("staging_orders", &[]).await;
    assert_eq!(project.init().0, Some(4), "it lacks what its DDL says");
    project.drop_lines(ORDERS, &["ddl: ../tables/fact_orders.sql"]);
    assert_eq!(project.init().0, Some(0), "without DDL it is taken as it is");
    let order = r#"{"order_id":1,"customer_id":1,"order_date":"2025-08-30","updated_at":"2025-08-30T00:00:00Z","total_amount":"1.00"}"#;
    project.append("dim_customer", r#"{"customer_id":1}"#).await;
    project.append("fact_orders", order).await;
    project.append("staging_orders", &order.replace("-30T", "-31T")).await;
    let commits = project.commits();
    let (code, document) = project.json(&["run"]);
    assert_eq!((code, &document["error"]["kind"]), (Some(2), &json!("usage")));
    let message = document["error"]["message"].as_str().unwrap();
    let place = project.place("fact_orders").canonicalize().unwrap();
    for part in [
        "the target lacks the load columns `load_batch_id`, `loaded_at`, `row_hash`".to_owned(),
        format!(
            "hint: ALTER TABLE delta.`{}` ADD COLUMNS (load_batch_id STRING, loaded_at TIMESTAMP, row_hash STRING)",
            place.display()
        ),
    ] {
        assert!(message.contains(&part), "{message}");
    }
    assert_eq!(project.commits(), commits);

    let types = [
        ("load_batch_id", PrimitiveType::String),
        ("loaded_at", PrimitiveType::Timestamp),
        ("row_hash", PrimitiveType::String),
    ];
    let columns = types.map(|(name, primitive)| StructField::nullable(name, DataType::Primitive(primitive)));
    project.delta("fact_orders").await.add_columns().with_fields(columns).await.unwrap();
    let (code, document) = project.json(&["run"]);
    assert_eq!((code, &document["counts"]["updated"]), (Some(0), &json!(1)), "{document:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn staging_type_that_does_not_widen_is_refused_with_no_table_changed() {
    for (sql_type, message) in [
        (
            "DECIMAL(12,2)",
            "`total_amount` is DECIMAL(12,2) in the staging table, which does not fit the target's DECIMAL(10,2)",
        ),
        (
            "DOUBLE",
            "`total_amount` is DOUBLE in the staging table, which does not fit the target's DECIMAL(10,2)",
        ),
        (
            "STRING",
            "`total_amount` is STRING in the staging table, which does not fit the target's DECIMAL(10,2)",
        ),
        ("INT", "`total_amount` is INT in the staging table, which does not fit the target's DECIMAL(10,2)"),
    ] {
        let project = Project::new(ORDERS);
        project.edit(
            "tables/staging_orders.sql",
            "total_amount DECIMAL(10,2)",
            &format!("total_amount {sql_type}"),
        );
        let (code, document) = project.json(&["init"]);
        assert_eq!(code, Some(2), "{document:#}");
        assert!(document["error"]["message"].as_str().unwrap().contains(message), "{document:#}");
        assert_eq!(project.commits(), BTreeMap::new());
        // Tables that are there already are a run's to judge.
        project.foreign("fact_orders", &[]).await;
        project.foreign("staging_orders", &[]).await;
        assert_eq!(project.init().0, Some(0));
        let commits = project.commits();
        for command in ["run", "plan"] {
            let (code, document) = project.json(&[command]);
            assert_eq!(code, Some(2), "{document:#}");
            assert!(document["error"]["message"].as_str().unwrap().contains(message), "{document:#}");
        }
        assert_eq!(project.commits(), commits);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn staging_type_that_widens_is_loaded_without_loss() {
    let project = Project::new(ORDERS);
    project.edit("tables/fact_orders.sql", "total_amount  DECIMAL(10,2)", "total_amount  DECIMAL(14,4)");
    project.edit("tables/staging_orders.sql", "customer_id  INT", "customer_id  SMALLINT");
    assert_eq!(project.init().0, Some(0));
    let order = r#"{"order_id":1,"customer_id":-7,"order_date":"2025-08-30","updated_at":"2025-08-30T00:00:00Z","total_amount":"12345678.09"}"#;
    project.append("dim_customer", r#"{"customer_id":-7}"#).await;
    project.append("staging_orders", order).await;
    let (code, document) = project.json(&["run"]);
    assert_eq!((code, &document["counts"]["inserted"]), (Some(0), &json!(1)), "{document:#}");
    let fact = project.rows("fact_orders").await;
    assert!(
        fact[0].contains(r#""customer_id":-7,"#) && fact[0].contains(r#""total_amount":12345678.0900"#),
        "{fact:?}"
    );
    let (_, plan) = project.json(&["run", "--as-of", "2025-09-02"]);
    assert_eq!(plan["counts"]["unchanged"], 1);
}

#[test]
fn docs_have_the_table_of_accepted_widenings() {
    let readme =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/your-tables.md")).unwrap();
    let rows = TABLE.iter().map(|widening| {
        let condition = widening.condition.replace('-', "−").replace(">=", "≥");
        let line = format!("| {} | {} | {condition} |", widening.from, widening.to.join(", "));
        line.replace("|  |", "| |")
    });
    for row in rows {
        assert!(readme.contains(&row), "docs/your-tables.md lacks {row}");
    }
}

/// The rows of the reference case's target without the batch's id, which depends on staging's.
async fn fact_without_batch(lab: &Lab) -> Vec<Value> {
    let mut rows: Vec<Value> =
        lab.rows("fact_orders").await.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    for row in &mut rows {
        row.as_object_mut().unwrap().remove("load_batch_id").unwrap();
    }
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn order_of_staging_columns_and_extra_ones_change_nothing() {
    let (plain, shuffled) = (Lab::ungated().await, Lab::ungated().await);
    let staged = shuffled.rows("staging_orders").await;
    std::fs::remove_dir_all(shuffled.path().join("staging_orders")).unwrap();
    let mut def = TableDef::parse("staging_orders.sql", STAGING_ORDERS).unwrap();
    def.columns.reverse();
    let mut extra = def.columns[2].clone();
    extra.field.name = "discount".to_owned();
    def.columns.insert(3, extra);
    let location = Location::named(&shuffled.path().join("staging_orders").display().to_string()).unwrap();
    assert!(create_table(&Lake::plain(), &location, &def).await.unwrap());
    let staged: Vec<String> =
        staged.iter().map(|line| line.replacen('{', r#"{"discount":7.50,"#, 1)).collect();
    shuffled.append("staging_orders", &staged.join("\n")).await;
    assert_eq!(shuffled.rows("staging_orders").await.len(), 5);
    assert!(shuffled.rows("staging_orders").await[0].starts_with(r#"{"ingest_time""#));

    let (expected, found) = (plain.load(), shuffled.load());
    assert_ne!(expected["batch_id"], found["batch_id"], "another staging table is another input");
    for field in ["counts", "watermark", "window", "late", "future", "ties"] {
        assert_eq!(found[field], expected[field], "{field}");
    }
    let fact = fact_without_batch(&plain).await;
    assert_eq!(fact.len(), 4);
    assert_eq!(fact_without_batch(&shuffled).await, fact);
}

#[tokio::test(flavor = "multi_thread")]
async fn ddl_that_no_load_could_use_is_refused_before_any_table_is_made() {
    let with = |property: &str| format!("TBLPROPERTIES (\n  {property},");
    let properties = [
        ("'delta.columnMapping.mode' = 'id'", "column mapping by id"),
        ("'delta.enableChangeDataFeed' = 'perhaps'", "perhaps"),
        ("'delta.constraints.c' = 'order_idd > 0'", "order_idd"),
        ("'delta.constraints.c' = 'order_id > 0', 'delta.no_such' = '1'", "delta.no_such"),
    ];
    let fact = "tables/fact_orders.sql";
    let mut cases: Vec<_> = properties.map(|(line, told)| (fact, "TBLPROPERTIES (", with(line), told)).into();
    let check = "checks:\n  - expression: {name: c, sql: no_such(total_amount) > 0}".to_owned();
    cases.push(("config/orders.yaml", "\nchecks:", format!("\n{check}"), "no_such"));
    for (file, from, to, told) in cases {
        let project = Project::new(ORDERS);
        project.edit(file, from, &to);
        let (code, document) = project.json(&["init"]);
        assert_eq!(code, Some(2), "{to}: {document:#}");
        assert!(document.to_string().contains(told), "{to}: {document:#}");
        assert_eq!(project.commits(), BTreeMap::new(), "{to}");
    }
}

#[test]
fn all_that_is_wrong_with_the_columns_of_a_ddl_is_told_at_once() {
    let project = Project::new(ORDERS);
    project.edit("tables/staging_orders.sql", "order_date", "order_id");
    project.edit("tables/staging_orders.sql", "total_amount DECIMAL(10,2)", "total_amount MONEY");
    let (code, document) = project.json(&["init"]);
    let problems = document["errors"].as_array().unwrap();
    assert_eq!((code, problems.len()), (Some(2), 2), "{document:#}");
    assert!(problems.iter().all(|problem| problem["line"].is_u64()), "{document:#}");
    assert_eq!(project.commits(), BTreeMap::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn ddl_as_people_write_it_makes_a_target_that_keeps_what_it_says() {
    let file = "name: people\nsource: {table: src, ddl: src.sql}\ntarget: {table: tgt, ddl: tgt.sql}\nunique_key: id\n\
                updated_at: at\nincremental: {mode: changes}\n";
    let target = "CREATE TABLE IF NOT EXISTS main.sales.tgt (
        id BIGINT NOT NULL PRIMARY KEY, at TIMESTAMP, wall TIMESTAMP_NTZ, code VARCHAR(3), n INT CHECK (n >= 0),
        CONSTRAINT sane CHECK (n < 100), load_batch_id STRING, loaded_at TIMESTAMP, row_hash STRING
      ) USING DELTA";
    let source =
        "CREATE TABLE src (id BIGINT, at TIMESTAMP, wall TIMESTAMP_NTZ, code STRING, n INT) USING DELTA";
    let lab = Lab::custom(file, &[("src", source), ("tgt", target)]);
    let row = |id: u32, code: &str, n: i32| {
        format!(
            r#"{{"id":{id},"at":"2025-08-30T10:00:00Z","wall":"2025-08-30T10:00:00","code":"{code}","n":{n}}}"#
        )
    };
    lab.append("src", &row(1, "üöä", 99)).await;
    assert_eq!(lab.load()["counts"]["inserted"], 1);
    let protocol =
        lab.actions("tgt", 0).into_iter().find_map(|action| action.get("protocol").cloned()).unwrap();
    let features = protocol["writerFeatures"].as_array().unwrap();
    for feature in ["checkConstraints", "invariants", "timestampNtz"] {
        assert!(features.iter().any(|found| found == feature), "{feature}: {protocol}");
    }
    for (id, code, n, name) in
        [(2, "long", 1, "code_length"), (3, "ok", -1, "n_check"), (4, "ok", 100, "sane")]
    {
        let lab = lab.copy();
        lab.append("src", &row(id, code, n)).await;
        let (status, document) = lab.json(&["run"]);
        assert_eq!(status, Some(4), "{document:#}");
        assert!(document["error"]["message"].as_str().unwrap().contains(name), "{document:#}");
        assert_eq!(lab.rows("tgt").await.len(), 1);
    }
    let ddl = lab.path().join("tgt.sql");
    std::fs::write(&ddl, format!("{target} LOCATION 's3a://elsewhere/tgt'")).unwrap();
    let (status, document) = lab.json(&["init"]);
    assert_eq!(status, Some(2), "{document:#}");
    assert!(
        document["error"]["message"].as_str().unwrap().contains("LOCATION 's3a://elsewhere/tgt'"),
        "{document:#}"
    );
    std::fs::write(&ddl, format!("{target} LOCATION '{}'", lab.path().join("tgt").display())).unwrap();
    assert_eq!(lab.json(&["init"]).0, Some(0));
}
