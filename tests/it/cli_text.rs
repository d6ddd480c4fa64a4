//! What people read: it fits 80 columns, shows data as it is, and says what to do next.

use std::process::Command;

use unicode_width::UnicodeWidthStr as _;

use crate::common::{CLOCK, Lab};

/// Runs a command that prints a report, and gives it.
fn report(lab: &Lab, arguments: &[&str]) -> String {
    let output = lab.run(arguments);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{arguments:?} {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A lab whose keys and texts are what a terminal would choke on; every row is kept out.
async fn hostile() -> Lab {
    let file = "name: p\nsource: src\ntarget: tgt\nunique_key: id\nupdated_at: revision\n\
                source: {table: src, ddl: src.sql}\ntarget: {table: tgt, ddl: tgt.sql}\n\
                incremental: {mode: changes}\n\
                columns: {note: {checks: [accepted_values: {values: [fine], action: quarantine}]}}\n";
    let file = file.replacen("source: src\ntarget: tgt\n", "", 1);
    let columns = "id STRING NOT NULL, revision INT, note STRING";
    let own = "load_batch_id STRING, loaded_at TIMESTAMP, row_hash STRING";
    let lab = Lab::custom(
        &file,
        &[
            ("src", &format!("CREATE TABLE src ({columns}) USING DELTA\n")),
            ("tgt", &format!("CREATE TABLE tgt ({columns}, {own}, PRIMARY KEY (id)) USING DELTA\n")),
        ],
    );
    lab.append(
        "src",
        r#"{"id":"a\nb\u001b[31mred","revision":1,"note":"x\ty\r\u0007\u202eend"}
           {"id":"empty","revision":1,"note":""}
           {"id":"space","revision":1,"note":" "}
           {"id":"word","revision":1,"note":"NULL"}"#,
    )
    .await;
    lab
}

#[tokio::test(flavor = "multi_thread")]
async fn every_report_fits_80_columns() {
    let lab = Lab::reference().await;
    let tables = lab.tables.clone();
    let place = |table: &str| lab.path().join(table).display().to_string();
    let mut reports: Vec<Vec<String>> = Vec::new();
    let mut add = |words: &[&str]| {
        for flag in [None, Some("-v")] {
            reports.push(words.iter().copied().chain(flag).map(str::to_owned).collect());
        }
    };
    for words in [
        &["init"][..],
        &["status"],
        &["check", "--as-of", "2025-08-01"],
        &["check"],
        &["plan"],
        &["run"],
        &["run"],
        &["quarantine", "list"],
        &["quarantine", "show", "103"],
        &["quarantine", "replay", "--dry-run"],
        &["quarantine", "replay"],
        &["run", "--as-of", "2025-09-02"],
        &["status"],
        &["rollback", "--batch", "1", "--cascade", "--dry-run"],
        &[
            "rollback",
            "--batch",
            "1",
            "--cascade",
            "--reason",
            "a reason that goes on and on, with \u{1b} in it",
        ],
        &["status"],
        &["quarantine", "discard", "--key", "103", "--reason", "customer 9 does not exist, and never will"],
        &["quarantine", "list", "--status", "all"],
        &["schema"],
    ] {
        add(words);
    }
    for table in &tables {
        add(&["show", &place(table)]);
    }
    for words in reports {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let text = report(&lab, &words);
        assert!(!text.is_empty(), "{words:?}");
        for line in text.lines() {
            assert!(line.width() <= 80, "{words:?}: {line:?}");
            assert!(!line.chars().any(char::is_control), "{words:?}: {line:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn data_is_shown_on_its_line_and_values_that_look_alike_are_told_apart() {
    let lab = hostile().await;
    let shown = report(&lab, &["show", &lab.path().join("src").display().to_string()]);
    let run = report(&lab, &["run"]);
    let list = report(&lab, &["quarantine", "list"]);
    let full = report(&lab, &["quarantine", "show", "empty"]);
    for text in [&shown, &run, &list, &full] {
        assert!(text.lines().all(|line| !line.chars().any(char::is_control)), "{text:?}");
        assert!(!text.contains('\u{202e}'), "{text:?}");
    }
    for text in [&shown, &list] {
        assert!(text.contains(r"a\nb\u{1b}[31mred"), "{text}");
    }
    let cell = |id: &str| {
        let line = shown.lines().find(|line| line.trim_start().starts_with(id)).unwrap();
        line.split_once(" 1  ").unwrap().1.to_owned()
    };
    assert_eq!(["empty", "space", "word"].map(cell), ["''", "' '", "'NULL'"]);
    assert!(cell(r"a\nb").ends_with(r"x\ty\r\u{7}\u{202e}end"), "{shown}");
    assert!(full.contains("note               ''") && full.contains("dq_resolution      NULL"), "{full}");
    assert!(list.contains("note = '' ") && list.contains("note = ' ' "), "{list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn colour_is_for_terminals_and_for_those_who_ask_and_never_in_documents() {
    let lab = Lab::reference().await;
    lab.load();
    let with = |arguments: &[&str], variables: &[&str]| {
        let mut command: Command = lab.command(arguments);
        for name in ["NO_COLOR", "CLICOLOR_FORCE", "CLICOLOR"] {
            command.env_remove(name);
        }
        let output = command.envs(variables.iter().map(|name| (name, "1"))).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let plain = with(&["status"], &[]);
    let colour = with(&["status"], &["CLICOLOR_FORCE"]);
    assert!(!plain.contains('\u{1b}'), "a pipe is no terminal: {plain:?}");
    assert!(colour.contains("\u{1b}[32mloaded\u{1b}[0m"), "{colour:?}");
    assert_eq!(with(&["status"], &["CLICOLOR_FORCE", "NO_COLOR"]), plain);
    assert!(!with(&["status", "--json"], &["CLICOLOR_FORCE"]).contains("\\u001b"));
    let table = lab.path().join("fact_orders").display().to_string();
    assert!(!with(&["show", &table, "--json"], &["CLICOLOR_FORCE"]).contains("\\u001b"));
    let unpainted = |text: &str| {
        let mut parts = text.split('\u{1b}');
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |text, part| text + part.split_once('m').unwrap().1)
    };
    assert_eq!(unpainted(&colour), plain, "colour takes no room");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_as_it_should_be_is_one_line_unless_asked_for() {
    let lab = Lab::reference().await;
    let (short, long) = (report(&lab, &["plan"]), report(&lab, &["plan", "-v"]));
    assert!(short.contains("\n5 checks passed\n") && !short.contains("not_null_order_id"), "{short}");
    assert!(!long.contains("checks passed") && long.contains("not_null_order_id"), "{long}");
    let (short, long) = (report(&lab, &["run"]), report(&lab, &["run", "-v"]));
    assert!(short.contains("\ndid not move: dim_customer 1, staging_orders 1\n"), "{short}");
    assert!(long.contains("\nstaging_orders   1\n"), "{long}");
    assert!(
        short.contains("relationships_customer_id  quarantined  1 of 4   25.0 %  error_if > 25 %\n"),
        "{short}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn run_ends_with_the_seconds_of_its_steps_its_rate_its_bytes_and_what_to_do_next() {
    let lab = Lab::reference().await;
    let text = report(&lab, &["run"]);
    let joined = text.replace("\n  ", " ");
    let seconds = joined.lines().find(|line| line.starts_with("seconds: ")).unwrap();
    let steps: Vec<&str> =
        seconds.split_whitespace().skip(1).map(|step| step.split_once('=').unwrap().0).collect();
    assert_eq!(
        steps,
        [
            "pin",
            "read",
            "hash",
            "dedupe",
            "locate",
            "gate",
            "merge",
            "reconcile",
            "quarantine",
            "audit",
            "watermark"
        ]
    );
    let rate = text.lines().find(|line| line.contains(" rows/s, ")).unwrap();
    let bytes = rate.split(", ").nth(1).unwrap().split(' ').next().unwrap().replace(',', "");
    let adds =
        std::fs::read_to_string(lab.path().join("fact_orders/_delta_log/00000000000000000002.json")).unwrap();
    let written: i64 = adds
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["add"]["size"].as_i64())
        .sum();
    assert!(written > 0 && bytes == written.to_string(), "{rate} {written}");
    assert!(joined.trim_end().ends_with("quarantine list` shows the rows that were kept out"), "{text}");

    let again = lab.load();
    assert_eq!((&again["status"], &again["bytes_written"]), (&"already_loaded".into(), &0.into()));
    let text = report(&lab, &["run"]);
    assert!(!text.contains("next:") && !text.contains("rows/s"), "there is nothing to do: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn timings_are_a_table_of_steps_with_rows_and_memory() {
    let lab = Lab::reference().await;
    let text = report(&lab, &["run", "--timings"]);
    assert!(text.contains(" rows/s, ") && !text.contains("seconds: pin="), "{text}");
    let table: Vec<Vec<&str>> = text
        .lines()
        .skip_while(|line| !line.starts_with("step "))
        .take_while(|line| !line.is_empty())
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(table[0], ["step", "rows", "seconds", "peak", "MiB"]);
    let staged = lab.load()["counts"]["staged"].to_string();
    let read = table.iter().find(|cells| cells[0] == "read").unwrap();
    assert_eq!((read.len(), read[1]), (4, staged.as_str()), "{text}");
    let peaks: Vec<u64> = table[1..].iter().map(|cells| cells.last().unwrap().parse().unwrap()).collect();
    assert!(peaks[0] > 10 && peaks.is_sorted(), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn quiet_says_nothing_of_what_went_well_and_why_of_what_did_not() {
    let lab = Lab::reference().await;
    for words in [&["init", "-q"][..], &["check", "-q"], &["run", "-q"], &["run", "--quiet"]] {
        let output = lab.run(words);
        assert_eq!((output.status.code(), output.stdout, output.stderr), (Some(0), Vec::new(), Vec::new()));
    }
    assert!(report(&lab, &["status", "-q"]).starts_with("orders: watermark 2025-08-30"));
    let output = lab.run(&["check", "-q", "--as-of", "2025-08-01"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("the gate would reject it") && text.contains("reason: row_count"), "{text}");
    assert!(!text.contains("next:"), "{text}");
    let (_, document) = lab.json(&["run", "-q"]);
    assert_eq!(document["status"], "already_loaded", "a document is data");
    assert_eq!(lab.run(&["run", "-q", "-v"]).status.code(), Some(2));
}

#[test]
fn command_that_is_misspelt_is_answered_with_the_one_that_was_meant() {
    for (words, meant) in [
        (&["rnu"][..], "run"),
        (&["statsu"], "status"),
        (&["quarantine", "lsit"], "list"),
        (&["config", "shwo"], "show"),
    ] {
        for json in [false, true] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
            command.args(words).args(json.then_some("--json")).env("HIGHWATER_CLOCK", CLOCK);
            let output = command.output().unwrap();
            assert_eq!(output.status.code(), Some(2));
            let text = String::from_utf8(output.stderr).unwrap();
            assert!(text.ends_with(&format!("hint: did you mean `{meant}`?\n")), "{text}");
            assert_eq!(output.stdout.is_empty(), !json);
        }
    }
}

#[test]
fn completions_and_manual_pages_name_every_command() {
    let text = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_highwater")).args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let commands =
        ["init", "plan", "check", "run", "quarantine", "rollback", "status", "sql", "show", "demo"];
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = text(&["completions", shell]);
        for command in commands {
            assert!(script.contains(command), "{shell} lacks {command}");
        }
    }
    let page = text(&["man"]);
    for command in commands {
        assert!(page.contains(&format!("highwater\\-{command}")), "the page lacks {command}");
    }
    let page = text(&["man", "quarantine", "list"]);
    assert!(page.contains(".TH highwater-quarantine-list 1") && page.contains("\\-\\-since"), "{page}");
    let output = Command::new(env!("CARGO_BIN_EXE_highwater")).args(["man", "rnu"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn demo_into_a_bucket_is_refused_before_anything() {
    let folder = tempfile::tempdir().unwrap();
    for place in ["s3://bucket/demo", "gs://bucket/demo", "file:///tmp/demo"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
        let output = command.args(["demo", place]).current_dir(folder.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("a demo is written to a local folder"), "{text}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

#[test]
fn demo_into_a_folder_that_no_table_can_lie_in_is_refused_before_anything() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a%2Cb", "a\tb", "a\nb", "a\\b", "a\u{1b}b"] {
        let place = folder.path().join(name);
        let output = Command::new(crate::common::program()).arg("demo").arg(&place).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(!place.exists(), "{name:?} was made");
    }
}
