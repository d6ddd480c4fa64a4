//! The command line as its users meet it: exit statuses, messages, and what goes to stdout and stderr.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::common::{CLOCK, Lab, json_of};

/// The program without a pipeline file, in an environment that is the same everywhere.
fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(crate::common::program());
    command.args(arguments).env("HIGHWATER_CLOCK", CLOCK).stdin(Stdio::null());
    command.env_remove("RUST_LOG").env_remove("HIGHWATER_CONFIG");
    command
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Runs a command that must fail for people and for scripts alike, and gives its message with the hint.
fn refusal(make: impl Fn() -> Command, status: i32) -> (String, String) {
    let output = make().output().unwrap();
    assert_eq!(output.status.code(), Some(status), "{}", stderr(&output));
    assert_eq!(stdout(&output), "", "an error is no data");

    let output = make().arg("--json").output().unwrap();
    assert_eq!(output.status.code(), Some(status));
    let document: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let error = document["error"].as_object().unwrap_or_else(|| panic!("{document:#}"));
    assert_eq!(error.keys().collect::<Vec<_>>(), ["kind", "message", "hint"]);
    let kind = match status {
        2 => "usage",
        3 => "retry",
        4 => "person",
        143 => "stopped",
        _ => "bug",
    };
    assert_eq!(error["kind"], kind);
    let message = error["message"].as_str().unwrap().to_owned();
    let hint = error["hint"].as_str().unwrap_or_default().to_owned();
    let errors = document["errors"].as_array().unwrap();
    if errors.iter().any(|error| !error["line"].is_null()) {
        told_with_their_lines(errors, &stderr(&output));
        return (message, hint);
    }
    let mut talk = format!("error: {}\n", message.trim_start_matches("error: "));
    if !hint.is_empty() {
        talk.push_str(&format!("hint: {hint}\n"));
    }
    assert_eq!(stderr(&output).replacen("error: error: ", "error: ", 1), talk);
    (message, hint)
}

/// Each error is told in order, with its place, a caret, and what to do.
fn told_with_their_lines(errors: &[Value], talk: &str) {
    let mut rest = talk;
    let mut next = |wanted: &str| {
        let at = rest.find(wanted).unwrap_or_else(|| panic!("{wanted} is not told in {talk}"));
        rest = &rest[at + wanted.len()..];
    };
    for error in errors {
        next(&format!("error: {}", error["message"].as_str().unwrap().lines().next().unwrap()));
        if let Some(line) = error["line"].as_u64() {
            next(&format!("--> {}:{line}:{}", error["file"].as_str().unwrap(), error["column"]));
            // What may be a secret is not shown.
            if !error["message"].as_str().unwrap().contains("storage.") {
                next("^");
            }
        }
        if let Some(hint) = error["hint"].as_str() {
            next(hint.lines().next().unwrap());
        }
    }
}

/// Where a text stands in the lab's pipeline file, as messages name it.
fn place(lab: &Lab, text: &str) -> String {
    let file = std::fs::read_to_string(lab.config()).unwrap();
    let (line, column) = file
        .lines()
        .enumerate()
        .find_map(|(line, content)| content.find(text).map(|column| (line + 1, column + 1)))
        .unwrap();
    format!("{}:{line}:{column}: ", lab.config().display())
}

/// The data files of a table.
fn data_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("_delta_log") {
            found.extend(data_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "parquet") {
            found.push(path);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_table_is_named_with_the_command_that_creates_it() {
    let lab = Lab::reference().await;
    for table in ["loads_audit", "staging_orders", "dim_customer"] {
        std::fs::remove_dir_all(lab.path().join(table)).unwrap();
        for arguments in [&["run"][..], &["plan"], &["run", "--dry-run"], &["status"], &["sql"]] {
            if arguments == ["status"] && table != "loads_audit" {
                // What was loaded can be looked at all the same.
                let (code, status) = lab.json(arguments);
                let refused = status["refused"].as_str().unwrap_or_default();
                assert!(code == Some(0) && refused.contains("does not exist at /"), "{status:#}");
                continue;
            }
            let (message, hint) = refusal(|| lab.command(arguments), 2);
            let name = if table == "staging_orders" { "staging" } else { table };
            assert!(message.contains("does not exist at /"), "{message}");
            assert!(message.contains(&format!("/{table}")) || name != table, "{message}");
            assert!(hint.contains("`highwater init` creates missing tables"), "{hint}");
        }
        std::fs::create_dir(lab.path().join(table)).unwrap();
        let (message, _) = refusal(|| lab.command(&["run"]), 2);
        assert!(message.contains("does not exist at /"), "an empty folder is no table: {message}");
        let (code, init) = lab.json(&["init"]);
        // Only the record tables' DDL is known to the demo's pipeline file.
        assert_eq!(code, Some(if table == "loads_audit" { 0 } else { 2 }), "{init:#}");
        if table != "loads_audit" {
            let missing = init["tables"].as_array().unwrap().iter().any(|table| table["state"] == "missing");
            assert!(missing, "{init:#}");
            return;
        }
    }
}

#[test]
fn pipeline_file_that_is_not_named_or_not_there_is_a_usage_error() {
    for command in ["run", "plan", "status", "sql", "init"] {
        let (message, hint) = refusal(|| program(&[command]), 2);
        assert_eq!(message, "no pipeline file is named");
        assert_eq!(
            hint,
            "give -c FILE, set HIGHWATER_CONFIG, or say `pipelines: FOLDER` in a highwater.yaml above"
        );
    }
    let (message, _) = refusal(|| program(&["-c", "/nowhere/orders.yaml", "run"]), 2);
    assert!(message.starts_with("/nowhere/orders.yaml: cannot be read: "), "{message}");
    let (message, _) = refusal(|| program(&["-c", "/nowhere/orders.yaml", "config", "show"]), 2);
    assert!(message.contains("/nowhere/orders.yaml"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_problems_of_a_pipeline_file_are_reported_in_one_go_with_their_places() {
    let lab = Lab::reference().await;
    for (from, to) in [
        ("on_tie: keep", "on_ti: keep"),
        ("unique_key: [order_id]", "unique_key: [ordr_id]"),
        ("column: order_date", "column: order_dat"),
        ("lag: 1 day ", "lag: 12 hours "),
        ("action: quarantine, error_if", "action: quarantin, error_if"),
        ("to: dim_customer", "to: dim_custmer"),
        ("memory: 60 %", "memory: 60"),
    ] {
        lab.edit(from, to);
    }
    let versions = lab.versions().await;
    let (message, _) = refusal(|| lab.command(&["run"]), 2);
    for (at, problem) in [
        ("on_ti:", "unknown key `on_ti`\n  hint: did you mean `on_tie`?"),
        ("ordr_id", "the staging table has no column `ordr_id`\n  hint: did you mean `order_id`?"),
        ("order_dat ", "the staging table has no column `order_dat`\n  hint: did you mean `order_date`?"),
        ("12 hours", "`incremental.lag` must be a number of whole days, not `12 hours`"),
        ("60 ", "`memory` must be text, not the number 60"),
    ] {
        let expected = format!("{}{problem}", place(&lab, at));
        assert!(message.contains(&expected), "{expected:?} is not in:\n{message}");
    }
    assert_eq!(message.lines().filter(|line| !line.starts_with("  hint: ")).count(), 7, "{message}");
    assert_eq!(lab.versions().await, versions);
}

#[test]
fn decimal_key_that_statistics_cannot_hold_is_refused() {
    for (digits, status) in [(16, 2), (15, 0)] {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
        let columns = format!("id DECIMAL({digits},0) NOT NULL, revision INT");
        write("s.sql", format!("CREATE TABLE s ({columns}) USING DELTA\n"));
        let own = "load_batch_id STRING, loaded_at TIMESTAMP, row_hash STRING";
        write("t.sql", format!("CREATE TABLE t ({columns}, {own}, PRIMARY KEY (id)) USING DELTA\n"));
        let yaml = "name: p\nsource: {table: s, ddl: s.sql}\ntarget: {table: t, ddl: t.sql}\nunique_key: id\n\
                    updated_at: revision\nincremental: {mode: changes}\n";
        write("p.yaml", yaml.to_owned());
        let file = folder.path().join("p.yaml").display().to_string();
        if status == 0 {
            assert_eq!(program(&["-c", &file, "init"]).output().unwrap().status.code(), Some(0));
            let (code, document) = json_of(program(&["-c", &file, "run"]));
            assert_eq!((code, &document["status"]), (Some(0), &json!("loaded")), "{document:#}");
            continue;
        }
        let (message, _) = refusal(|| program(&["-c", &file, "init"]), 2);
        assert!(!folder.path().join("t").exists() && !folder.path().join("s").exists());
        let expected = format!(
            "{file}:4:13: `id` cannot be part of the key: it is DECIMAL(16,0) in the target, \
             whose values file statistics hold only to 15 digits"
        );
        assert!(message.contains(&expected), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn flag_overrides_environment_which_overrides_the_file() {
    let lab = Lab::reference().await;
    let as_of = |make: &dyn Fn(&mut Command), arguments: &[&str]| {
        let mut command = lab.command(arguments);
        make(&mut command);
        let (code, document) = json_of(command);
        assert_eq!(code, Some(0), "{document:#}");
        document["as_of"].as_str().unwrap().to_owned()
    };
    let env = |command: &mut Command| {
        command.env("HIGHWATER__AS_OF", "2025-08-30");
    };
    assert_eq!(as_of(&|_| {}, &["plan"]), "2025-09-01");
    assert_eq!(as_of(&env, &["plan"]), "2025-08-30");
    assert_eq!(as_of(&env, &["plan", "--as-of", "2025-08-29"]), "2025-08-29");

    let mut command = lab.command(&["plan"]);
    let (_, document) = json_of({
        command.env("HIGHWATER__INCREMENTAL__LOOKBACK", "3 days");
        command
    });
    assert_eq!(document["window"]["from"], "2025-08-29");

    let misspelt = || {
        let mut command = lab.command(&["plan"]);
        command.env("HIGHWATER__INCREMENTAL__LOOKBAK", "3 days");
        command
    };
    let (message, _) = refusal(misspelt, 2);
    assert!(message.contains("HIGHWATER__INCREMENTAL__LOOKBAK: unknown key"), "{message}");
    assert!(message.contains("did you mean `HIGHWATER__INCREMENTAL__LOOKBACK`?"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn words_that_are_no_command_line_are_refused_before_anything_happens() {
    let lab = Lab::reference().await;
    let versions = lab.versions().await;
    for (arguments, wanted) in [
        (&["run", "--as-of", "2025-13-01"][..], "2025-13-01"),
        (&["run", "--as-of", "yesterday"], "yesterday"),
        (&["run", "--fail-at", "mergee"], "`mergee` names no point of a run"),
        (&["run", "--fail-at", "audit:during"], "`audit:during` names no point of a run"),
        (&["run", "--sometimes"], "--sometimes"),
        (&["backfil"], "backfil"),
        (&["status", "--last", "many"], "many"),
    ] {
        let (message, _) = refusal(|| lab.command(arguments), 2);
        assert!(message.contains(wanted), "{message}");
        if arguments.contains(&"--fail-at") {
            let steps =
                "pin, read, hash, dedupe, locate, gate, merge, reconcile, quarantine, audit, watermark";
            assert!(message.contains(steps), "{message}");
        }
    }
    let no_time = || {
        let mut command = lab.command(&["run"]);
        command.env("HIGHWATER_CLOCK", "noon");
        command
    };
    assert!(refusal(no_time, 2).0.contains("HIGHWATER_CLOCK=noon is no time"));
    assert_eq!(lab.versions().await, versions);
    for flag in ["--help", "--version"] {
        let output = program(&[flag]).output().unwrap();
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
        assert!(stdout(&output).contains("highwater"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_of_run_and_plan_have_the_fields_that_scripts_rely_on() {
    let lab = Lab::reference().await;
    let fields = [
        "command",
        "pipeline",
        "batch_id",
        "sequence",
        "status",
        "as_of",
        "window",
        "watermark",
        "counts",
        "late",
        "future",
        "history",
        "ties",
        "dq_errors",
        "recovered",
        "tables",
        "seconds",
    ];
    for (command, status) in
        [("plan", "planned"), ("run", "loaded"), ("run", "already_loaded"), ("plan", "already_loaded")]
    {
        let (code, document) = lab.json(&[command]);
        assert_eq!(code, Some(0));
        for field in fields {
            assert!(document.get(field).is_some(), "{command} lacks {field}");
        }
        assert_eq!((&document["command"], &document["status"]), (&json!(command), &json!(status)));
        assert_eq!((&document["pipeline"], &document["sequence"]), (&json!("orders"), &json!(1)));
        assert_eq!(document["batch_id"].as_str().unwrap().len(), 32);
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&document["window"]), ["from", "to"]);
        assert_eq!(keys(&document["watermark"]), ["before", "after"]);
        assert_eq!(keys(&document["ties"]), ["in_batch", "kept", "replaced"]);
        let counts = [
            "staged",
            "duplicate",
            "superseded",
            "deduped",
            "inserted",
            "updated",
            "stale",
            "unchanged",
            "tied",
            "quarantined",
            "rejected",
            "deleted",
        ];
        assert_eq!(keys(&document["counts"]), counts);
        let mut tables = keys(&document["tables"]);
        tables.sort();
        assert_eq!(
            tables,
            [
                "dim_customer",
                "fact_orders",
                "fact_orders_bad",
                "load_watermarks",
                "loads_audit",
                "staging_orders"
            ]
        );
        let fact = if status == "loaded" {
            json!({"before": 1, "after": 2})
        } else {
            document["tables"]["fact_orders"].clone()
        };
        assert_eq!(document["tables"]["fact_orders"], fact);
        assert_eq!(keys(&document["tables"]["loads_audit"]), ["before", "after"]);
        assert!(document["seconds"].as_f64().is_some() && document["recovered"] == json!([]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn success_says_nothing_on_stderr_and_the_summary_adds_up() {
    let lab = Lab::reference().await;
    for arguments in
        [&["plan"][..], &["run"], &["run"], &["status"], &["sql"], &["config", "show"], &["init"]]
    {
        let output = lab.run(arguments);
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{arguments:?}");
        assert!(!stdout(&output).is_empty() && !stdout(&output).contains('\u{1b}'), "{arguments:?}");
    }
    let summary = stdout(&lab.run(&["run"]));
    let number = |name: &str| {
        let line = summary.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
        line.split_whitespace().last().unwrap().parse::<i64>().unwrap()
    };
    let sum = |names: &[&str]| names.iter().map(|name| number(name)).sum::<i64>();
    assert_eq!(number("staged"), 5);
    assert_eq!(number("staged"), sum(&["duplicate", "superseded", "deduped"]));
    let classes = ["inserted", "updated", "stale", "unchanged", "tied", "quarantined", "rejected"];
    assert_eq!(number("deduped"), sum(&classes));
}

#[tokio::test(flavor = "multi_thread")]
async fn log_lines_go_to_stderr_as_json_if_asked_for() {
    let lab = Lab::reference().await;
    let mut command = lab.command(&["run", "--json", "--log-format", "json"]);
    let output = command.env("RUST_LOG", "highwater=info").output().unwrap();
    assert_eq!(serde_json::from_str::<Value>(&stdout(&output)).unwrap()["status"], "loaded");
    let lines: Vec<Value> = stderr(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let steps: Vec<&str> = lines.iter().filter_map(|line| line["fields"]["step"].as_str()).collect();
    for step in ["pin", "read", "dedupe", "locate", "merge", "audit", "watermark"] {
        assert!(steps.contains(&step), "{steps:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn staging_file_that_is_gone_fails_the_run_with_no_table_changed() {
    let lab = Lab::reference().await;
    let file = data_files(&lab.path().join("staging_orders")).remove(0);
    let aside = lab.path().join("aside");
    std::fs::rename(&file, &aside).unwrap();
    let versions = lab.versions().await;
    let (message, hint) = refusal(|| lab.command(&["run"]), 4);
    assert!(message.contains(file.file_name().unwrap().to_str().unwrap()), "{message}");
    assert!(!hint.is_empty());
    assert_eq!(lab.versions().await, versions);
    std::fs::rename(&aside, &file).unwrap();
    assert_eq!(lab.load()["status"], "loaded");
}

#[tokio::test(flavor = "multi_thread")]
async fn target_that_cannot_be_written_fails_the_run_and_a_later_one_loads() {
    let lab = Lab::reference().await;
    // Permissions don't stop root, but a file where a partition's folder is to be does.
    let obstacle = lab.path().join("fact_orders/order_date=2025-08-26");
    std::fs::write(&obstacle, "").unwrap();
    let (before, versions) = (lab.rows("fact_orders").await, lab.versions().await);
    let (message, _) = refusal(|| lab.command(&["run"]), 2);
    assert!(message.contains("fact_orders"), "{message}");
    assert_eq!((lab.rows("fact_orders").await, lab.versions().await), (before, versions));
    std::fs::remove_file(obstacle).unwrap();
    let document = lab.load();
    assert_eq!((&document["status"], &document["sequence"]), (&json!("loaded"), &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn log_that_is_no_json_is_named_and_no_table_changes() {
    for table in ["fact_orders", "staging_orders"] {
        let lab = Lab::reference().await;
        let entry = lab.path().join(table).join("_delta_log/00000000000000000001.json");
        let whole = std::fs::read(&entry).unwrap();
        std::fs::write(&entry, &whole[..whole.len() / 2]).unwrap();
        let commits = || {
            let logs = lab.tables.iter().map(|table| lab.path().join(table).join("_delta_log"));
            logs.map(|log| std::fs::read_dir(log).unwrap().count()).collect::<Vec<_>>()
        };
        let before = commits();
        let (message, _) = refusal(|| lab.command(&["run"]), 4);
        assert!(message.contains(table), "{message}");
        assert_eq!(commits(), before);
        std::fs::write(&entry, whole).unwrap();
        assert_eq!(lab.load()["status"], "loaded");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn demo_into_a_folder_that_holds_one_is_refused_and_leaves_it_alone() {
    let lab = Lab::reference().await;
    let state = lab.state().await;
    let folder = lab.path().display().to_string();
    let (message, hint) = refusal(|| program(&["demo", &folder]), 2);
    assert_eq!(message, format!("{folder} holds a demo already"));
    assert_eq!(hint, "name an empty folder, or remove that one");
    assert_eq!(lab.state().await, state);
    let (message, hint) = refusal(|| program(&["demo", "/tmp/highwater-never", "--as-of", "2025-01-01"]), 2);
    assert_eq!(
        (message.as_str(), hint.as_str()),
        ("the reference case is fixed to 2025-09-01", "give --orders N for data of another day")
    );
}

#[test]
fn demo_makes_a_folder_a_table_and_a_pipeline_file_that_works_from_any_folder() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = program(&["demo", "shop", "--json"]);
    let output = demo.current_dir(folder.path()).output().unwrap();
    let document: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&document["staged_rows"], &document["fact_rows"]), (&json!(5), &json!(1)));
    let mut names: Vec<String> = std::fs::read_dir(folder.path().join("shop"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let tables = [
        "dim_customer",
        "fact_orders",
        "fact_orders_bad",
        "load_watermarks",
        "loads_attempts",
        "loads_audit",
        "orders.yaml",
        "staging_orders",
    ];
    assert_eq!(names, tables);

    let relative = |arguments: &[&str], from: &str| {
        let mut command = program(arguments);
        command.current_dir(folder.path().join(from));
        let (code, document) = json_of(command);
        assert_eq!(code, Some(0), "{document:#}");
        document["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(relative(&["-c", "shop/orders.yaml", "run"], ""), "loaded");
    assert_eq!(relative(&["-c", "orders.yaml", "run"], "shop"), "already_loaded");
    assert_eq!(relative(&["run", "--config", "../orders.yaml"], "shop/fact_orders"), "already_loaded");

    let mut by_variable = program(&["run"]);
    by_variable.current_dir(folder.path()).env("HIGHWATER_CONFIG", "shop/orders.yaml");
    assert_eq!(json_of(by_variable).1["status"], "already_loaded");
    let mut both = program(&["-c", "shop/orders.yaml", "run"]);
    both.current_dir(folder.path()).env("HIGHWATER_CONFIG", "/nowhere.yaml");
    assert_eq!(json_of(both).1["status"], "already_loaded");
}

#[tokio::test(flavor = "multi_thread")]
async fn resolved_configuration_names_origins_and_never_shows_a_secret() {
    let lab = Lab::reference().await;
    lab.edit(
        "storage: {}",
        "storage: {aws_secret_access_key: '${env:HW_TEST_SECRET}', aws_region: eu-central-1}",
    );
    lab.edit("on_tie: keep ", "# ");
    let show = |arguments: &[&str]| {
        let mut command = lab.command(arguments);
        command.env("HW_TEST_SECRET", "hunter2").env("HIGHWATER__MEMORY", "1 GiB");
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(!stdout(&output).contains("hunter2") && stderr(&output).is_empty());
        stdout(&output)
    };
    let shown = show(&["config", "show", "--resolved"]);
    let line = |key: &str| shown.lines().find(|line| line.trim_start().starts_with(key)).unwrap().to_owned();
    let origin = |key: &str| {
        let file = std::fs::read_to_string(lab.config()).unwrap();
        let at = file.lines().position(|line| line.starts_with(&format!("{key}: "))).unwrap();
        format!("# {}:{}:{}", lab.config().display(), at + 1, key.len() + 3)
    };
    assert!(line("name: orders").ends_with(&origin("name")), "{shown}");
    assert!(line("on_tie: keep").ends_with("# default"), "{shown}");
    assert!(line("memory: 1073741824 B").ends_with("# HIGHWATER__MEMORY"), "{shown}");
    assert!(line("as_of: 2025-09-01").ends_with(&origin("as_of")), "{shown}");
    assert!(line("aws_secret_access_key:").contains("\"***\""), "{shown}");
    assert!(show(&["config", "show", "--resolved", "--json"]).contains("***"));
    assert!(show(&["config", "show"]).contains("${env:HW_TEST_SECRET}"));

    // A secret in the file itself is refused, without showing it.
    lab.edit("'${env:HW_TEST_SECRET}'", "hunter2");
    let (message, _) = refusal(|| lab.command(&["config", "show", "--resolved"]), 2);
    assert!(message.contains("is a secret, which must not be written here"), "{message}");
    assert!(message.contains("${env:AWS_SECRET_ACCESS_KEY}") && !message.contains("hunter2"), "{message}");
}

#[test]
fn printed_schema_is_the_shipped_one_which_the_shipped_files_name() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let shipped: Value =
        serde_json::from_str(&std::fs::read_to_string(root.join("pipeline.schema.json")).unwrap()).unwrap();
    let output = program(&["config", "schema"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(serde_json::from_str::<Value>(&stdout(&output)).unwrap(), shipped);
    for file in ["orders.yaml", "orders-minimal.yaml", "stock.yaml"] {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        assert!(text.starts_with("# yaml-language-server: $schema=pipeline.schema.json\n"), "{file}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reader_that_goes_away_is_no_failure() {
    let lab = Lab::reference().await;
    for arguments in [&["run"][..], &["status"], &["sql"], &["config", "schema"], &["--help"]] {
        let mut child = lab.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut talk = String::new();
        child.stderr.take().unwrap().read_to_string(&mut talk).unwrap();
        assert_eq!((child.wait().unwrap().code(), talk.as_str()), (Some(0), ""), "{arguments:?}");
    }
    assert_eq!(lab.load()["status"], "already_loaded");
}
