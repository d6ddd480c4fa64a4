//! S3 as it is met: a real server, and a proxy before it on which everything may go wrong. Who asks, where, for how long,
//! and how each failure ends.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::common::{Lab, STRATEGIES, json_of, setting};
use crate::faults::{WRITTEN, labs, state};
use crate::gateway::{KEY, SECRET, environment, gateway};
use crate::proxy::{Harm, Proxy, Seen, Teller};

/// A command that may take so long at most.
const LONGEST: Duration = Duration::from_mins(1);

/// A lab on S3, behind a proxy.
struct Behind {
    lab: Lab,
    proxy: Proxy,
}

impl Behind {
    fn new(whole: &Lab) -> Self {
        Self { lab: whole.on_s3(), proxy: Proxy::start() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.lab.command(arguments);
        command.envs(environment(self.proxy.port));
        command
    }

    /// Runs to the end; the status, what was said on stderr, and how long it took.
    fn run(&self, arguments: &[&str]) -> (i32, String, Duration) {
        let began = Instant::now();
        let output = self.command(arguments).output().unwrap();
        (status(&output), String::from_utf8_lossy(&output.stderr).into_owned(), began.elapsed())
    }
}

fn status(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("{output:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn load_on_s3_reaches_the_state_of_one_on_disk_by_every_strategy() {
    for strategy in STRATEGIES {
        let whole = Lab::reference().await.written_by(strategy);
        let (on_disk, on_s3) = (whole.copy(), whole.on_s3());
        on_disk.load();
        let document = on_s3.load();
        assert_eq!(state(&on_s3).await, state(&on_disk).await, "{strategy:?}");
        let (_, shown) = on_s3.json(&["config", "show", "--resolved"]);
        let shown = shown.to_string();
        assert!(shown.contains("s3://lab-") && !shown.contains(SECRET), "{strategy:?}: {shown}");
        assert_eq!(document["status"], "loaded");
        assert_eq!(on_s3.load()["status"], "already_loaded");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_is_passed_over_and_what_does_not_ends_in_its_status_and_the_next_run_finishes() {
    let (whole, wanted) = labs().await;
    let many = 100_000;
    // What happens, how often, and how the run ends.
    let passing = [
        (Harm::Answered(500, "InternalError"), 3, &[0][..]),
        (Harm::Answered(503, "SlowDown"), 3, &[0]),
        (Harm::Answered(429, "TooManyRequests"), 3, &[0]),
        (Harm::Reset, 2, &[0]),
        (Harm::LostReset, 1, &[0]),
        (Harm::Lost(500, "InternalError"), 1, &[0]),
        (Harm::Lost(503, "SlowDown"), 4, &[0]),
        (Harm::Half, 1, &[0, 3]),
        (Harm::Slow, 3, &[0]),
        (Harm::Answered(403, "AccessDenied"), many, &[2]),
        (Harm::Answered(400, "InvalidRequest"), many, &[2]),
        (Harm::Answered(400, "ExpiredToken"), many, &[3]),
        (Harm::Answered(501, "NotImplemented"), many, &[2]),
    ];
    let tables = WRITTEN.map(|table| ("PUT", format!("{table}/_delta_log/0")));
    let more = [("GET", "staging_orders/"), ("GET", "fact_orders/_delta_log/0"), ("PUT", ".parquet")];
    let places = tables.into_iter().chain(more.map(|(method, part)| (method, part.to_owned())));
    for (at, (method, part)) in places.enumerate() {
        // Everything befalls the target's commit, and the others a third of it each.
        for (index, (harm, times, statuses)) in passing.into_iter().enumerate() {
            if at > 0 && (at + index) % 3 != 0 {
                continue;
            }
            let behind = Behind::new(&whole);
            let before = behind.lab.versions().await;
            behind.proxy.harm(method, part.clone(), harm, times);
            let (status, said, took) = behind.run(&["run"]);
            let what =
                || format!("{method} {part}: {harm:?} × {times}: status {status} after {took:?}: {said}");
            assert!(statuses.contains(&status), "{}", what());
            assert!(took < LONGEST, "{}", what());
            assert!(!said.contains("<Error>") && !said.contains("<?xml"), "{}", what());
            assert!(status == 0 || said.lines().count() <= 3, "{}", what());
            if part == "fact_orders/_delta_log/0" && method == "PUT" && status != 0 {
                assert_eq!(behind.lab.versions().await["fact_orders"], before["fact_orders"], "{}", what());
            }
            behind.proxy.mend();
            let (again, said, _) = behind.run(&["run"]);
            assert_eq!(again, 0, "{}: then {said}", what());
            assert_eq!(state(&behind.lab).await, wanted, "{}", what());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commit_that_was_made_is_this_runs_own_whatever_was_answered() {
    let (whole, wanted) = labs().await;
    for harm in [Harm::Lost(500, "InternalError"), Harm::Lost(503, "SlowDown"), Harm::LostReset] {
        for table in WRITTEN {
            for times in [1, 4] {
                let behind = Behind::new(&whole);
                behind.proxy.harm("PUT", format!("{table}/_delta_log/0"), harm, times);
                let (status, document) = json_of(behind.command(&["run"]));
                assert_eq!(status, Some(0), "{harm:?} {table}: {document:#}");
                assert_eq!(document["status"], "loaded", "{harm:?} {table} × {times}: {document:#}");
                assert_eq!(state(&behind.lab).await, wanted, "{harm:?} {table} × {times}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn store_that_is_away_or_hangs_ends_any_command_with_3_within_a_minute() {
    let (whole, wanted) = labs().await;
    let many = 100_000;
    // From the beginning, or from the first write on, or from the target's commit on.
    let cases = [
        ("*", "", Harm::Hang),
        ("PUT", "", Harm::Hang),
        ("*", "fact_orders/_delta_log/00000000000000000002.json", Harm::Hang),
        ("PUT", "", Harm::Answered(503, "SlowDown")),
        ("*", "", Harm::Answered(500, "InternalError")),
        ("*", "", Harm::Reset),
    ];
    let behind: Vec<Behind> = cases.iter().map(|_| Behind::new(&whole)).collect();
    // Side by side: they wait, and compute nothing.
    std::thread::scope(|scope| {
        for ((method, part, harm), behind) in cases.iter().zip(&behind) {
            scope.spawn(move || {
                behind.proxy.harm(method, *part, *harm, many);
                let (status, said, took) = behind.run(&["run"]);
                println!("{method} {part:?} {harm:?}: {status} after {took:?}");
                assert_eq!(status, 3, "{method} {part:?} {harm:?}: {said}");
                assert!(took < LONGEST, "{method} {part:?} {harm:?}: {took:?}: {said}");
            });
        }
    });
    for behind in &behind {
        behind.proxy.mend();
        assert_eq!(behind.run(&["run"]).0, 0);
        assert_eq!(state(&behind.lab).await, wanted);
    }
    // Nobody listens there.
    let lab = whole.on_s3();
    let began = Instant::now();
    let output = lab.command(&["run"]).envs(environment(1)).output().unwrap();
    assert_eq!(status(&output), 3);
    // And who looks what is wrong waits no longer.
    let looking = Instant::now();
    let looked = lab.command(&["doctor"]).envs(environment(1)).output().unwrap();
    assert_eq!(status(&looked), 3);
    assert!(looking.elapsed() < LONGEST, "{looked:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("Connection refused") && began.elapsed() < 2 * LONGEST, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn store_that_takes_every_put_is_refused_before_anything_is_written() {
    let whole = Lab::reference().await;
    let behind = Behind::new(&whole);
    let before = state(&behind.lab).await;
    behind.proxy.harm("PUT", "", Harm::Careless, 100_000);
    for arguments in [&["run"][..], &["doctor"]] {
        let output = behind.command(arguments).output().unwrap();
        assert_eq!(status(&output), 2, "{arguments:?}: {output:?}");
        let said = [output.stdout, output.stderr].concat();
        assert!(String::from_utf8_lossy(&said).contains("If-None-Match"), "{arguments:?}");
        assert_eq!(state(&behind.lab).await, before);
    }
    // What only reads needs no conditions.
    assert_eq!(behind.run(&["plan"]).0, 0);
    assert!(!behind.lab.path().join("fact_orders/_highwater").exists());
    behind.proxy.mend();
    behind.proxy.seen();
    assert_eq!(behind.run(&["run"]).0, 0);
    let probes = |behind: &Behind| {
        let seen = behind.proxy.seen();
        let is_probe = |seen: &&Seen| seen.method == "PUT" && seen.path.contains("_highwater/probe/");
        seen.iter().filter(is_probe).count()
    };
    assert_eq!(probes(&behind), 2);
    // A run that writes nothing tries nothing.
    assert_eq!(behind.run(&["run"]).0, 0);
    assert_eq!(probes(&behind), 0);
}

/// A variable and its value.
type Pair = (&'static str, &'static str);

/// Sets variables, and takes those away whose value is empty.
fn set(command: &mut Command, variables: &[(&str, &str)]) {
    for (name, value) in variables {
        if value.is_empty() {
            command.env_remove(name);
        } else {
            command.env(name, value);
        }
    }
}

/// Runs `plan` with more in its environment, less of it (by an empty value) or other values.
fn planned(lab: &Lab, with: &[(&str, &str)]) -> (i32, String) {
    let mut command = lab.command(&["plan"]);
    set(&mut command, with);
    let output = command.output().unwrap();
    (status(&output), String::from_utf8_lossy(&output.stderr).into_owned())
}

const ID: &str = "HIGHWATER__STORAGE__AWS_ACCESS_KEY_ID";
const WORD: &str = "HIGHWATER__STORAGE__AWS_SECRET_ACCESS_KEY";

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_are_wrong_end_with_2_and_say_what_to_do() {
    let lab = Lab::reference().await.on_s3();
    let target = "HIGHWATER__TARGET__TABLE";
    let cases: [(&[Pair], &[&str]); 13] = [
        (&[(target, "s3://no-such-bucket/fact_orders")], &["NoSuchBucket", "create it"]),
        (&[(ID, ""), (WORD, "")], &["no credentials for S3"]),
        (&[(WORD, "")], &["without `aws_secret_access_key`"]),
        (&[(ID, "")], &["without `aws_access_key_id`"]),
        (&[(ID, ""), (WORD, ""), ("AWS_ACCESS_KEY_ID", "half")], &["without AWS_SECRET_ACCESS_KEY"]),
        (&[(WORD, "some-other-word")], &["SignatureDoesNotMatch", "the secret is not that"]),
        (&[(ID, "nobody-at-all")], &["access key"]),
        (&[("AWS_REGION", "eu-west-1")], &["us-east-1", "aws_region: us-east-1"]),
        (&[("HIGHWATER__STORAGE__ALLOW_HTTP", "")], &["has no encryption", "allow_http: true"]),
        (&[("HIGHWATER__STORAGE__ALLOW_HTTP", "ture")], &["must be `true` or `false`, not `ture`"]),
        (&[("HIGHWATER__STORAGE__AWS_REGOIN", "x")], &["did you mean `aws_region`"]),
        (&[("AWS_S3_LOCKING_PROVIDER", "dynamodb")], &["lock table"]),
        (&[(target, "gs://lake/fact_orders")], &["gs://", "s3://"]),
    ];
    for (with, words) in cases {
        let (status, said) = planned(&lab, with);
        assert_eq!(status, 2, "{with:?}: {said}");
        assert!(words.iter().all(|word| said.contains(word)), "{with:?}: {said}");
        assert!(!said.contains("<Error>") && !said.contains("some-other-word"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_aws_that_no_other_server_gives_end_in_their_status() {
    let lab = Lab::reference().await;
    let cases = [
        (403, "RequestTimeTooSkewed", 2, "clock"),
        (403, "InvalidAccessKeyId", 2, "access key id"),
        (403, "AccessDenied", 2, "s3:ListBucket"),
        (403, "ExpiredToken", 3, "has run out"),
        (400, "ExpiredToken", 3, "has run out"),
        (301, "PermanentRedirect", 2, "region"),
        (400, "IllegalLocationConstraintException", 2, "region"),
    ];
    for (code, name, wanted, word) in cases {
        let behind = Behind::new(&lab);
        behind.proxy.harm("GET", "fact_orders/_delta_log", Harm::Answered(code, name), 100_000);
        let (status, said, _) = behind.run(&["run"]);
        assert_eq!(status, wanted, "{code} {name}: {said}");
        assert!(said.contains(word), "{code} {name}: {said}");
    }
}

/// A file of AWS's own format, in the lab's folder.
fn aws_config(lab: &Lab, text: &str) -> PathBuf {
    let path = lab.path().join("aws-config");
    std::fs::write(&path, text).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn profile_gives_keys_region_and_endpoint_and_the_environment_and_the_file_come_before_it() {
    let lab = Lab::reference().await.on_s3();
    let port = gateway().port;
    let config = aws_config(
        &lab,
        &format!(
            "[profile work]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\nregion = us-east-1\n\
             endpoint_url = http://127.0.0.1:1\nservices = local\n\
             [services local]\ns3 =\n  endpoint_url = http://127.0.0.1:{port}\n\
             [profile elsewhere]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\nregion = eu-west-1\n"
        ),
    );
    let config = config.to_str().unwrap();
    let bare =
        [(ID, ""), (WORD, ""), ("HIGHWATER__STORAGE__AWS_ENDPOINT_URL", ""), ("AWS_CONFIG_FILE", config)];
    let with = |more: &[(&'static str, &'static str)]| {
        planned(&lab, &bare.iter().copied().chain(more.iter().copied()).collect::<Vec<_>>())
    };
    let (status, said) = with(&[("AWS_PROFILE", "work")]);
    assert_eq!(status, 0, "{said}");
    let (status, said) = with(&[("HIGHWATER__STORAGE__AWS_PROFILE", "work")]);
    assert_eq!(status, 0, "{said}");
    // The file's profile, although the environment has keys of nobody.
    let keys = [("AWS_ACCESS_KEY_ID", "nobody-at-all"), ("AWS_SECRET_ACCESS_KEY", "nobodys-word")];
    assert_eq!(with(&[("HIGHWATER__STORAGE__AWS_PROFILE", "work"), keys[0], keys[1]]).0, 0);
    // The environment's keys come before the profile that it names, as for AWS's own tools.
    assert_eq!(with(&[("AWS_PROFILE", "work"), keys[0], keys[1]]).0, 2);
    // The environment's region comes before the profile's, and the file's before both.
    let (status, said) = with(&[("AWS_PROFILE", "work"), ("AWS_REGION", "eu-west-1")]);
    assert!(status == 2 && said.contains("us-east-1"), "{said}");
    let file = ("HIGHWATER__STORAGE__AWS_REGION", "us-east-1");
    assert_eq!(with(&[("AWS_PROFILE", "work"), ("AWS_REGION", "eu-west-1"), file]).0, 0);
    let (status, said) = with(&[("AWS_PROFILE", "no-such-profile")]);
    assert!(status == 2 && said.contains("no-such-profile"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn task_role_is_asked_once_a_run_and_the_metadata_service_never_where_all_is_known() {
    let whole = Lab::reference().await;
    let answer = serde_json::json!({
        "AccessKeyId": KEY, "SecretAccessKey": SECRET, "Token": "", "Expiration": "2099-01-01T00:00:00Z",
    });
    let task = Teller::start(answer.to_string());
    let metadata = Teller::start("{}".to_owned());
    let lab = whole.on_s3();
    let run = |more: &[(&str, &str)]| {
        let mut command = lab.command(&["run"]);
        command
            .env_remove("AWS_EC2_METADATA_DISABLED")
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("http://127.0.0.1:{}", metadata.port));
        set(&mut command, more);
        command.output().unwrap()
    };
    let uri = format!("http://127.0.0.1:{}/task", task.port);
    let output = run(&[(ID, ""), (WORD, ""), ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &uri)]);
    assert_eq!(status(&output), 0, "{output:?}");
    assert_eq!(task.asked().len(), 1, "{:?}", task.asked());
    assert_eq!(metadata.asked(), Vec::<String>::new());
    // Keys in the pipeline file, and a store that is not AWS's.
    assert_eq!(status(&run(&[])), 0);
    assert_eq!(metadata.asked(), Vec::<String>::new());
    assert_eq!(task.asked().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_on_the_wire_do_not_grow_with_the_days_and_only_the_log_protocol_lists() {
    let behind = Behind::new(&Lab::ungated().await);
    let day = |day: u64| chrono::NaiveDate::from_ymd_opt(2025, 9, 1).unwrap() + chrono::Days::new(day);
    // Days between are loaded past the proxy, by one process each.
    for number in 0..=setting("HIGHWATER_WIRE_DAYS", 40) {
        let as_of = day(number).to_string();
        let row = serde_json::json!({
            "order_id": 1000 + number, "customer_id": 1, "order_date": as_of,
            "updated_at": format!("{as_of}T00:00:00Z"), "total_amount": "1.00",
        });
        behind.lab.append("staging_orders", &format!("{row}\n")).await;
        let counted = [0, 10, 40, 80].contains(&number);
        if !counted {
            let mut run = behind.lab.command(&["run", "--as-of", &as_of]);
            assert_eq!(run.output().unwrap().status.code(), Some(0), "{as_of}");
            continue;
        }
        behind.proxy.seen();
        assert_eq!(behind.run(&["run", "--as-of", &as_of]).0, 0);
        let run = behind.proxy.seen();
        assert_eq!(behind.run(&["run", "--as-of", &as_of]).0, 0);
        let rerun = behind.proxy.seen();
        let files: std::collections::BTreeSet<&str> = run
            .iter()
            .filter(|seen| seen.path.contains(".parquet") && !seen.path.contains("_delta_log"))
            .map(|seen| seen.path.as_str())
            .collect();
        println!("day {number}: run {}, rerun {}, data files {}", run.len(), rerun.len(), files.len());
        // The bound of the table port, and five for the probe.
        assert!(run.len() <= 35 + 10 * files.len(), "day {number}: {run:#?}");
        assert!(rerun.len() <= 30, "day {number}: {rerun:#?}");
        for seen in run.iter().chain(&rerun).filter(|seen| seen.path.contains("list-type=2")) {
            assert!(seen.path.contains("_delta_log"), "{seen:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_tells_what_a_run_needs_and_ends_as_it_would() {
    let lab = Lab::reference().await.on_s3();
    let (code, document) = lab.json(&["doctor"]);
    assert_eq!(code, Some(0), "{document:#}");
    let findings = document["findings"].as_array().unwrap();
    let told = |what: &str| {
        let finding = findings.iter().find(|finding| finding["what"] == what);
        finding.unwrap_or_else(|| panic!("{what}: {document:#}"))["told"].as_str().unwrap().to_owned()
    };
    assert!(told("credentials").contains("from the pipeline file"));
    assert!(told("region").contains("us-east-1"));
    assert!(told("target fact_orders").contains("version 1"));
    assert!(told("store").contains("one won"));
    assert!(!document.to_string().contains(SECRET) && !document.to_string().contains(KEY));
    for (with, wanted) in [
        (&[(ID, ""), (WORD, "")][..], 2),
        (&[(WORD, "some-other-word")], 2),
        (&[("HIGHWATER__TARGET__TABLE", "s3://no-such-bucket/fact_orders")], 2),
        (&[("HIGHWATER__STORAGE__AWS_ENDPOINT_URL", "http://127.0.0.1:1")], 3),
    ] {
        let status_of = |arguments: &[&str]| {
            let mut command = lab.command(arguments);
            set(&mut command, with);
            status(&command.output().unwrap())
        };
        assert_eq!(status_of(&["doctor"]), wanted, "{with:?}");
        assert_eq!(status_of(&["run"]), wanted, "{with:?}");
    }
}
