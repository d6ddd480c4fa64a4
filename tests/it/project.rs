//! `highwater.yaml`: what pipelines share, and what differs from place to place.

use std::process::{Command, Output};

use crate::common::{CLOCK, Lab, program};

const FEED: &str = "
x-defaults: &defaults {unique_key: order_id, updated_at: updated_at, incremental: {mode: changes}}
name: feed
source: {table: '${var:raw}/staging_orders', lineage: [source_file, ingest_time]}
target: ${var:raw}/${var:lake}/feed
merge: {partitions_per_commit: '${var:commits}'}
<<: *defaults
";

fn command(lab: &Lab, folder: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(arguments).current_dir(lab.path().join(folder));
    command.env("HIGHWATER_CLOCK", CLOCK).env_remove("RUST_LOG").env_remove("HIGHWATER_PROFILE");
    command
}

fn run(lab: &Lab, folder: &str, arguments: &[&str]) -> Output {
    command(lab, folder, arguments).output().unwrap()
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

async fn project() -> Lab {
    let lab = Lab::generated(60, 2).await;
    for folder in ["feeds", "deep/er"] {
        std::fs::create_dir_all(lab.path().join(folder)).unwrap();
    }
    let lake = lab.path().display();
    let text = format!(
        "pipelines: feeds\nvars: {{raw: {lake}, lake: dev, commits: 7}}\nprofiles:\n  prod: {{vars: {{lake: prod}}}}\n"
    );
    std::fs::write(lab.path().join("highwater.yaml"), text).unwrap();
    std::fs::write(lab.path().join("feeds/feed.yaml"), FEED).unwrap();
    lab
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_and_profiles_say_where_tables_are() {
    let lab = project().await;
    // From any folder of the project, without a file.
    for (profile, table) in
        [(&[][..], "dev/feed"), (&["--profile", "prod"], "prod/feed"), (&["--var", "lake=mine"], "mine/feed")]
    {
        for arguments in [["init", "--all"], ["run", "--all"]] {
            let output = run(&lab, "deep/er", &[&arguments[..], profile].concat());
            assert_eq!(output.status.code(), Some(0), "{profile:?}: {}", told(&output));
        }
        assert!(!lab.rows(table).await.is_empty(), "{table}");
    }
    let shown =
        told(&run(&lab, "feeds", &["-c", "feed.yaml", "config", "show", "--resolved", "--profile", "prod"]));
    assert!(shown.contains("/prod/feed ") && shown.contains("partitions_per_commit: 7"), "{shown}");
    // The same batch wherever it lies: no variable is part of it but by what it says.
    let id = |arguments: &[&str]| {
        let output = run(&lab, "feeds", &[&["-c", "feed.yaml", "plan", "--json"][..], arguments].concat());
        let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        document["batch_id"].clone()
    };
    assert_eq!(id(&[]), id(&["--var", "commits=9"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_project_is_told_by_its_place() {
    let lab = project().await;
    let feed = lab.path().join("feeds/feed.yaml");
    for (text, why) in [
        (FEED.replace("${var:lake}", "${var:lakes}"), "did you mean `lake`?"),
        (FEED.replace("${var:lake}/feed", "${var:lake"), "without its `}`"),
        (FEED.replace("<<: *defaults", "<<: [a, b]"), "`<<` takes a section over"),
    ] {
        std::fs::write(&feed, text).unwrap();
        let output = run(&lab, "feeds", &["-c", "feed.yaml", "plan"]);
        assert_eq!(output.status.code(), Some(2), "{}", told(&output));
        assert!(told(&output).contains(why) && told(&output).contains("feed.yaml:"), "{}", told(&output));
    }
    std::fs::write(&feed, FEED).unwrap();
    let output = run(&lab, "feeds", &["-c", "feed.yaml", "plan", "--profile", "prd"]);
    assert!(
        output.status.code() == Some(2) && told(&output).contains("did you mean `prod`?"),
        "{}",
        told(&output)
    );
    let output = run(&lab, "feeds", &["-c", "feed.yaml", "plan", "--var", "x"]);
    assert!(
        output.status.code() == Some(2) && told(&output).contains("must be NAME=VALUE"),
        "{}",
        told(&output)
    );
    for (text, why) in [
        ("pipeline: feeds\n", "did you mean `pipelines`?"),
        ("vars: [a]\n", "`vars` must be a section"),
        ("profiles: {dev: {var: {}}}\n", "unknown key `var`"),
        ("vars: {a: {b: c}}\n", "`vars.a` must be a text"),
    ] {
        std::fs::write(lab.path().join("highwater.yaml"), text).unwrap();
        let output = run(&lab, "feeds", &["-c", "feed.yaml", "plan"]);
        assert_eq!(output.status.code(), Some(2), "{}", told(&output));
        assert!(
            told(&output).contains(why) && told(&output).contains("highwater.yaml:1"),
            "{}",
            told(&output)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_for_the_environment_is_read_on_request_and_goes_behind_it() {
    let lab = project().await;
    let text = format!("{FEED}columns: {{customer_id: {{mask: hash}}}}\nmask_key: ${{env:MY_KEY}}\n");
    std::fs::write(lab.path().join("feeds/feed.yaml"), text).unwrap();
    std::fs::write(lab.path().join("feeds/.env"), "MY_KEY='0123456789 0123456789'\n").unwrap();
    let arguments = ["-c", "feed.yaml", "init"];
    let output = run(&lab, "feeds", &arguments);
    assert!(told(&output).contains("needs the environment variable MY_KEY"), "{}", told(&output));
    let with = [&arguments[..], &["--env-file", ".env"]].concat();
    assert_eq!(run(&lab, "feeds", &with).status.code(), Some(0));
    let short = command(&lab, "feeds", &with).env("MY_KEY", "short").output().unwrap();
    assert!(told(&short).contains("at least 16 characters"), "{}", told(&short));
    let output = run(&lab, "feeds", &[&arguments[..], &["--env-file", "nowhere"]].concat());
    assert!(
        output.status.code() == Some(2) && told(&output).contains("cannot read nowhere"),
        "{}",
        told(&output)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn aliases_that_stand_for_millions_are_refused() {
    let lab = project().await;
    let mut text = "x-0: &a0 [a, a, a, a, a, a, a, a, a, a]\n".to_owned();
    for n in 1..12 {
        let before = format!("*a{}, ", n - 1).repeat(10);
        text += &format!("x-{n}: &a{n} [{before}]\n");
    }
    std::fs::write(lab.path().join("feeds/feed.yaml"), text).unwrap();
    let output = run(&lab, "feeds", &["-c", "feed.yaml", "plan"]);
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(told(&output).contains("aliases stand for too much"), "{}", told(&output));
}
