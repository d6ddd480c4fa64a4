//! Several pipelines in one command: their order, their failures, one exit status.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::common::{CLOCK, Lab, json_of, program};

const ORDERS: &str = "
source: {table: ../staging_orders, lineage: [source_file, ingest_time]}
unique_key: order_id
updated_at: updated_at
incremental: {mode: changes}
";

/// A file of the folder `feeds`.
fn feed(lab: &Lab, file: &str, text: &str) {
    let folder = lab.path().join("feeds");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(file), text).unwrap();
}

/// A pipeline from staging into a table of its own.
fn plain(lab: &Lab, name: &str, more: &str) {
    feed(lab, &format!("{name}.yaml"), &format!("name: {name}\ntarget: ../{name}\n{ORDERS}{more}"));
}

/// A pipeline from another's target.
fn after(lab: &Lab, name: &str, other: &str) {
    let text = format!(
        "name: {name}\nsource: {{table: ../{other}, lineage: [load_batch_id, loaded_at, row_hash]}}\ntarget: ../{name}\n\
         unique_key: order_id\nupdated_at: updated_at\nincremental: {{mode: changes}}\n"
    );
    feed(lab, &format!("{name}.yaml"), &text);
}

fn command(lab: &Lab, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(["-c", "feeds"]).args(arguments).current_dir(lab.path());
    command.env("HIGHWATER_CLOCK", CLOCK).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

fn all(lab: &Lab, arguments: &[&str]) -> (Option<i32>, Value) {
    json_of(command(lab, arguments))
}

/// Name and exit status of each, in the order in which they are told.
fn statuses(document: &Value) -> Vec<(String, Option<i64>)> {
    let pipelines = document["pipelines"].as_array().unwrap();
    let one = |pipeline: &Value| {
        (pipeline["pipeline"].as_str().unwrap().to_owned(), pipeline["exit_status"].as_i64())
    };
    pipelines.iter().map(one).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelines_are_run_after_what_they_read_and_one_that_fails_stops_only_those() {
    let lab = Lab::generated(400, 5).await;
    plain(&lab, "z_orders", "");
    after(&lab, "a_mart", "z_orders");
    plain(&lab, "broken", "checks: [{row_count: {min: 1000000}}]\n");
    after(&lab, "after_broken", "broken");
    let (status, made) = all(&lab, &["init", "--all"]);
    assert_eq!(status, Some(0), "{made:#}");
    let (status, document) = all(&lab, &["run", "--all"]);
    // A rejected batch is the worst that there is.
    assert_eq!((status, document["exit_status"].as_i64()), (Some(1), Some(1)), "{document:#}");
    assert_eq!(
        statuses(&document),
        [("broken", Some(1)), ("after_broken", None), ("z_orders", Some(0)), ("a_mart", Some(0))]
            .map(|(name, status)| (name.to_owned(), status))
    );
    let skipped = document["pipelines"][1]["skipped"].as_str().unwrap();
    assert!(skipped.contains("`broken` failed"), "{skipped}");
    let orders = lab.rows("z_orders").await.len();
    assert!(orders > 50);
    assert_eq!(lab.rows("a_mart").await.len(), orders);
    assert_eq!(lab.rows("after_broken").await.len(), 0);
    // A file that cannot be understood is the failure of that one.
    feed(&lab, "odd.yml", "name: odd\nsourc: x\n");
    let output = command(&lab, &["run", "--all"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("unknown key `sourc`") && text.contains("already loaded"), "{text}");
    assert!(String::from_utf8(output.stderr).unwrap().contains("odd: failed (2)"));
}

#[tokio::test(flavor = "multi_thread")]
async fn those_that_are_selected_run_side_by_side() {
    let lab = Lab::generated(300, 6).await;
    for name in ["a", "b", "c", "d"] {
        plain(&lab, name, "");
    }
    assert_eq!(all(&lab, &["init", "--all", "--max-parallel", "4"]).0, Some(0));
    let chosen = ["run", "--select", "a", "--select", "b", "--select", "d", "--max-parallel", "3"];
    let (status, document) = all(&lab, &chosen);
    assert_eq!(status, Some(0), "{document:#}");
    assert_eq!(statuses(&document).len(), 3);
    let expected = lab.rows("a").await.len();
    assert!(expected > 50);
    for (table, found) in [("b", expected), ("c", 0), ("d", expected)] {
        assert_eq!(lab.rows(table).await.len(), found, "{table}");
    }
    // The same by a pattern.
    let mut pattern = Command::new(program());
    pattern
        .args(["-c", "feeds/[ab].yaml", "plan", "--all"])
        .current_dir(lab.path())
        .env("HIGHWATER_CLOCK", CLOCK);
    let (status, document) = json_of(pattern);
    assert_eq!((status, statuses(&document).len()), (Some(0), 2), "{document:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn validate_holds_each_file_against_its_tables() {
    let lab = Lab::generated(50, 7).await;
    plain(&lab, "good", "");
    plain(&lab, "typo", "checks: [{expression: {sql: no_such > 1}}]\n");
    assert_eq!(all(&lab, &["init", "--select", "good"]).0, Some(0));
    let (status, document) = all(&lab, &["validate"]);
    assert_eq!(status, Some(2), "{document:#}");
    let oks: Vec<_> = document["files"].as_array().unwrap().iter().map(|file| file["ok"].clone()).collect();
    assert_eq!(oks, [true, false], "{document:#}");
    std::fs::remove_file(lab.path().join("feeds/typo.yaml")).unwrap();
    assert_eq!(all(&lab, &["validate"]).0, Some(0));
}

/// How many processes work in a folder.
fn processes_in(folder: &Path) -> usize {
    let folder = folder.canonicalize().unwrap();
    let all = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    all.filter(|entry| std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == folder)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_reaches_each_and_the_next_run_ends_as_one_undisturbed_would() {
    let lab = Lab::generated(2_000, 8).await;
    for name in ["a", "b", "c", "d"] {
        plain(&lab, name, "");
    }
    assert_eq!(all(&lab, &["init", "--all"]).0, Some(0));
    let mut ended = 0;
    // At some time, and when the first pipeline has begun.
    for wait in [Some(20), Some(50), Some(200), Some(400), None] {
        let mut child =
            command(&lab, &["run", "--all", "--max-parallel", "2"]).stdout(Stdio::null()).spawn().unwrap();
        match wait {
            Some(wait) => std::thread::sleep(Duration::from_millis(wait)),
            None => {
                while child.try_wait().unwrap().is_none() && processes_in(lab.path()) < 2 {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let status = child.wait().unwrap();
        // On a machine that is busy it may come before the process has come to listen for it, and has begun anything.
        let is_early = status.signal() == Some(rustix::process::Signal::TERM.as_raw());
        assert!(is_early || [Some(143), Some(0)].contains(&status.code()), "{status:?}");
        ended += usize::from(status.code() == Some(143));
        // None of those that it began goes on.
        assert_eq!(processes_in(lab.path()), 0);
    }
    assert!(ended > 0, "no SIGTERM came in time");
    assert_eq!(all(&lab, &["run", "--all"]).0, Some(0));
    let expected = lab.rows("a").await.len();
    for name in ["b", "c", "d"] {
        assert_eq!(lab.rows(name).await.len(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_names_no_pipeline_is_told() {
    let lab = Lab::generated(20, 9).await;
    plain(&lab, "orders", "");
    plain(&lab, "twin", "");
    feed(&lab, "twin.yaml", &std::fs::read_to_string(lab.path().join("feeds/orders.yaml")).unwrap());
    for (arguments, why) in [
        (&["run", "--select", "oders"][..], "did you mean `orders`?"),
        (&["run", "--all"], "have one name, `orders`"),
        (&["run"], "is a folder"),
        (&["status"], "is a folder"),
        (&["run", "--all", "--fail-at", "merge"], "are for one pipeline"),
    ] {
        let output = command(&lab, arguments).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {told}");
        assert!(told.contains(why), "{arguments:?}: {told}");
    }
}
