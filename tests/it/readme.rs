//! What README.md and the pages of `docs/` show is what the program prints: each ```` ```console ```` block is run, in
//! the order of [`PAGES`] and in one folder, and each command's output is held against the lines below it. `…` as the
//! last of them stands for the rest.
//!
//! `HIGHWATER_README=write` writes what differs anew; read the difference then. A block that nobody can run here says
//! so, as ```` ```console not run ````, and is listed in [`NOT_RUN`].

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use chrono::{DateTime, TimeDelta, Utc};
use highwater::config::Location;
use highwater::lake::Lake;
use serde_json::Value;
use tempfile::TempDir;

use crate::common::{batch, program};

/// The pages with console blocks, in the order in which they are run.
const PAGES: [&str; 13] = [
    "README.md",
    "docs/tutorial.md",
    "docs/checks.md",
    "docs/quarantine.md",
    "docs/rollback.md",
    "docs/your-tables.md",
    "docs/mapping.md",
    "docs/files.md",
    "docs/columns.md",
    "docs/tests.md",
    "docs/runbook.md",
    "docs/command-line.md",
    "docs/operate.md",
];

/// The first commands of the blocks that are not run.
const NOT_RUN: [&str; 0] = [];

/// Python scripts of the README with the table that they append to and their rows: not every machine has Python's
/// `deltalake`. With `HIGHWATER_PYTHON`, an interpreter that has it, they are run themselves.
const SCRIPTS: [(&str, &str, &str); 2] = [
    (
        "bad.py",
        "bad/staging_orders",
        r#"{"order_id":104,"customer_id":7,"order_date":"2025-09-01","updated_at":"2025-09-01T00:06:00Z","total_amount":"12.00","source_file":"orders_20250901b","ingest_time":"2025-09-01T00:06:00Z"}
           {"order_id":105,"customer_id":1,"order_date":"2025-09-01","updated_at":null,"total_amount":"30.00","source_file":"orders_20250901b","ingest_time":"2025-09-01T00:06:00Z"}"#,
    ),
    ("customer.py", "demo/dim_customer", r#"{"customer_id":9,"signup_date":"2025-09-01"}"#),
];

/// When the first command is run; each of the others comes a little later.
const START: &str = "2025-09-01T06:00:00Z";

/// A fenced block.
struct Block<'a> {
    /// What the fence says.
    info: &'a str,
    /// The number of its first line.
    first: usize,
    lines: &'a [&'a str],
}

fn blocks<'a>(readme: &'a [&'a str]) -> Vec<Block<'a>> {
    let mut blocks = Vec::new();
    let mut first = None;
    for (at, line) in readme.iter().enumerate() {
        match (line.strip_prefix("```"), first) {
            (Some(_), None) => first = Some(at + 1),
            (Some(_), Some(from)) => {
                blocks.push(Block { info: &readme[from - 1][3..], first: from, lines: &readme[from..at] });
                first = None;
            }
            (None, _) => {}
        }
    }
    assert_eq!(first, None, "a block has no end");
    blocks
}

/// A command with the output that is shown, and the numbers of the lines that show it.
struct Shown<'a> {
    command: &'a str,
    output: &'a [&'a str],
    first: usize,
}

fn commands<'a>(block: &Block<'a>) -> Vec<Shown<'a>> {
    let starts: Vec<usize> = (0..block.lines.len()).filter(|at| block.lines[*at].starts_with("$ ")).collect();
    assert_eq!(starts.first(), Some(&0), "line {}: a console block starts with a command", block.first);
    let ends: Vec<usize> = starts.iter().copied().skip(1).chain([block.lines.len()]).collect();
    let shown = |(at, end): (&usize, &usize)| Shown {
        command: &block.lines[*at][2..],
        output: &block.lines[at + 1..*end],
        first: block.first + at + 1,
    };
    starts.iter().zip(&ends).map(shown).collect()
}

/// A folder in which commands are run one after the other.
struct Shell {
    folder: TempDir,
    /// How many commands were run.
    run: i32,
    /// The exit status of the last one.
    status: i32,
    /// The last Python block.
    python: String,
}

impl Shell {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        for name in ["bin", "lake"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        std::os::unix::fs::symlink(program(), folder.path().join("bin/highwater")).unwrap();
        Self { folder, run: 0, status: 0, python: String::new() }
    }

    /// Where commands are run; the README has `/tmp/lake`.
    fn lake(&self) -> PathBuf {
        self.folder.path().join("lake")
    }

    /// Runs a command, and gives its output as the README would show it.
    async fn run(&mut self, command: &str) -> Vec<String> {
        self.run += 1;
        if command == "echo $?" {
            return vec![std::mem::take(&mut self.status).to_string()];
        }
        if let Some(script) = command.strip_prefix("python3 ") {
            self.python(script).await;
            return Vec::new();
        }
        let clock: DateTime<Utc> = START.parse().unwrap();
        let output = Command::new("sh")
            .args(["-c", &format!("exec 2>&1\nexec {command}")])
            .current_dir(self.lake())
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", self.folder.path().join("bin").display()))
            .env("HIGHWATER_CLOCK", (clock + TimeDelta::seconds(97) * self.run).to_rfc3339())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        self.status = output.status.code().unwrap_or(137);
        if let Some(folder) = command.strip_prefix("highwater demo ") {
            fix_ids(&self.lake().join(folder.split(' ').next().unwrap()));
        }
        let text = String::from_utf8(output.stdout).unwrap();
        let text = text.replace(&self.folder.path().display().to_string(), "/tmp");
        let mut lines: Vec<String> = text.lines().map(|line| line.trim_end().to_owned()).collect();
        if output.status.signal() == Some(9) {
            lines.push("Killed".to_owned());
        }
        lines
    }

    /// Writes a file that names itself in its first line.
    fn file(&self, lines: &[&str]) {
        let name =
            lines.first().and_then(|line| line.strip_prefix("# ")).filter(|name| name.contains(".yaml"));
        if let Some(name) = name {
            let path = self.lake().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, lines.join("\n") + "\n").unwrap();
        }
    }

    async fn python(&self, script: &str) {
        if let Some(python) = std::env::var_os("HIGHWATER_PYTHON") {
            std::fs::write(self.lake().join(script), &self.python).unwrap();
            let status = Command::new(python).arg(script).current_dir(self.lake()).status().unwrap();
            assert!(status.success(), "{script}");
            return;
        }
        let known = SCRIPTS.iter().find(|(name, ..)| *name == script);
        let (_, table, rows) = known.unwrap_or_else(|| panic!("{script} is not listed in SCRIPTS"));
        assert!(self.python.contains(table), "{script} does not write to {table}");
        let location = Location::named(&self.lake().join(table).display().to_string()).unwrap();
        let table = Lake::plain().open(table, &location).await.unwrap();
        table.append_foreign(vec![batch(&table, rows)]).await.unwrap();
    }

    /// What the section on an existing target starts from: the least pipeline file, and a target without load columns.
    async fn existing_target(&mut self, file: &str) {
        let lake = self.lake();
        std::fs::write(lake.join("orders.yaml"), file).unwrap();
        self.run("highwater demo existing >/dev/null").await;
        for table in ["staging_orders", "dim_customer", "fact_orders"] {
            std::fs::rename(lake.join("existing").join(table), lake.join(table)).unwrap();
        }
        let log = lake.join("fact_orders/_delta_log/00000000000000000000.json");
        edit_metadata(&log, |metadata| {
            let mut schema: Value = serde_json::from_str(metadata["schemaString"].as_str().unwrap()).unwrap();
            let fields = schema["fields"].as_array_mut().unwrap();
            fields.retain(|field| {
                !["load_batch_id", "loaded_at", "row_hash"].iter().any(|name| field["name"] == *name)
            });
            metadata["schemaString"] = schema.to_string().into();
        });
        self.run("highwater -c orders.yaml init").await;
    }
}

/// Edits the metadata that a log entry holds.
fn edit_metadata(log: &Path, edit: impl Fn(&mut Value)) {
    let text = std::fs::read_to_string(log).unwrap();
    let actions = text.lines().map(|line| {
        let mut action: Value = serde_json::from_str(line).unwrap();
        if action.get("metaData").is_some() {
            edit(&mut action["metaData"]);
        }
        action.to_string()
    });
    let text: Vec<String> = actions.collect();
    std::fs::write(log, text.join("\n") + "\n").unwrap();
}

/// Gives a new demo's tables ids that follow from their names: batch ids, which cover them, are then the same each time.
fn fix_ids(demo: &Path) {
    for entry in std::fs::read_dir(demo).unwrap() {
        let table = entry.unwrap().path();
        let log = table.join("_delta_log/00000000000000000000.json");
        if !log.exists() {
            continue;
        }
        let name =
            format!("{}/{}", demo.file_name().unwrap().display(), table.file_name().unwrap().display());
        // FNV-1a: any hash that stays the same would do.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        edit_metadata(&log, |metadata| {
            metadata["id"] = format!("{:08x}-0000-4000-8000-{:012x}", hash >> 32, hash & 0xffff_ffff).into();
        });
    }
}

/// A line without what differs from run to run: numbers that a unit of time or size follows, and the columns' widths
/// that go with them.
fn normal(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    if let Some(steps) = steps(line) {
        return steps;
    }
    let mut measured = false;
    let mut normal = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let number = word.trim_start_matches('(');
        let is_number = number.starts_with(|c: char| c.is_ascii_digit())
            && number.chars().all(|c| c.is_ascii_digit() || ".,".contains(c));
        let unit = words.get(at + 1).map_or("", |next| next.trim_end_matches([')', ',', ';', '.', ':']));
        if is_number && ["s", "ms", "rows/s", "B", "kB", "KiB", "MB", "MiB", "GiB"].contains(&unit) {
            measured = true;
            normal.push(word.replace(number, "#"));
        } else {
            normal.push((*word).to_owned());
        }
    }
    if measured {
        normal.retain(|word| !word.is_empty());
    }
    normal.join(" ")
}

/// The steps of a run, of a line that says what each of them took and nothing else.
fn steps(line: &str) -> Option<String> {
    let took = line.strip_prefix("seconds: ").unwrap_or(line);
    let is_number = |text: &str| text.parse::<f64>().is_ok_and(f64::is_finite);
    let steps: Option<Vec<&str>> = took
        .split_whitespace()
        .map(|word| word.split_once('=').filter(|(_, number)| is_number(number)).map(|(step, _)| step))
        .collect();
    steps.filter(|steps| !steps.is_empty()).map(|steps| steps.join(" "))
}

/// Whether the output is what is shown.
fn is_shown(shown: &[&str], output: &[String]) -> bool {
    let (shown, output) = match shown.split_last() {
        Some((&"…", before)) if output.len() > before.len() => (before, &output[..before.len()]),
        _ => (shown, output),
    };
    shown.len() == output.len() && shown.iter().zip(output).all(|(shown, line)| normal(shown) == normal(line))
}

/// The lines to show: those that are shown, where they differ in nothing but times.
fn shown_anew(shown: &[&str], output: &[String]) -> Vec<String> {
    let cut = shown.last() == Some(&"…") && output.len() >= shown.len();
    let output = if cut { &output[..shown.len() - 1] } else { output };
    let anew = output.iter().enumerate().map(|(at, line)| match shown.get(at) {
        Some(shown) if normal(shown) == normal(line) => (*shown).to_owned(),
        _ => line.clone(),
    });
    anew.chain(cut.then(|| "…".to_owned())).collect()
}

/// Ids of 32 hex digits.
fn ids(line: &str) -> impl Iterator<Item = &str> {
    let words = line.split(|c: char| !c.is_ascii_alphanumeric());
    words.filter(|word| word.len() == 32 && word.chars().all(|c| c.is_ascii_hexdigit()))
}

/// A command that names ids as shown, with those that the program printed in their place.
fn renamed(command: &str, known: &[(String, String)]) -> String {
    let mut command = command.to_owned();
    for (shown, printed) in known {
        command = command.replace(shown, printed);
    }
    command
}

/// What was run so far, and what differed.
#[derive(Default)]
struct Shows {
    differences: Vec<String>,
    left_out: Vec<String>,
    /// Ids as shown, with those that the program printed in their place.
    known: Vec<(String, String)>,
}

impl Shows {
    /// Runs a page's blocks; gives the page as it should be.
    async fn page(&mut self, shell: &mut Shell, page: &str, text: &str, write: bool) -> String {
        let all: Vec<&str> = text.lines().collect();
        let (mut anew, mut written): (Vec<String>, usize) = (Vec::new(), 0);
        for block in blocks(&all) {
            match block.info {
                "python" => shell.python = block.lines.join("\n"),
                "yaml" => shell.file(block.lines),
                "console not run" => self.left_out.push(block.lines[0].to_owned()),
                "console" => {
                    if block.lines[0] == "$ highwater -c orders.yaml plan" {
                        let mut blocks = blocks(&all).into_iter();
                        let least = blocks.find(|block| block.lines.first() == Some(&"name: orders"));
                        shell.existing_target(&least.unwrap().lines.join("\n")).await;
                    }
                    for shown in commands(&block) {
                        let command = if write {
                            renamed(shown.command, &self.known)
                        } else {
                            shown.command.to_owned()
                        };
                        let output = shell.run(&command).await;
                        anew.extend(all[written..shown.first - 1].iter().map(|line| (*line).to_owned()));
                        anew.push(format!("$ {command}"));
                        anew.extend(shown_anew(shown.output, &output));
                        written = shown.first + shown.output.len();
                        if !is_shown(shown.output, &output) {
                            let (line, output) = (shown.first, output.join("\n"));
                            self.differences.push(format!("{page}:{line}: $ {command}\n{output}\n"));
                        }
                        let shown = shown.output.iter().flat_map(|line| ids(line));
                        for (old, new) in shown.zip(output.iter().flat_map(|line| ids(line))) {
                            if !self.known.iter().any(|(known, _)| known == old) {
                                self.known.push((old.to_owned(), new.to_owned()));
                            }
                        }
                    }
                }
                _ => {}
            }
        }
        anew.extend(all[written..].iter().map(|line| (*line).to_owned()));
        anew.join("\n") + "\n"
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[tokio::test(flavor = "multi_thread")]
async fn readme_and_docs_show_what_their_commands_print() {
    let write = std::env::var_os("HIGHWATER_README").is_some_and(|what| what == "write");
    let (mut shell, mut run) = (Shell::new(), Shows::default());
    for page in PAGES {
        let text = std::fs::read_to_string(root().join(page)).unwrap();
        let anew = run.page(&mut shell, page, &text, write).await;
        if write {
            std::fs::write(root().join(page), anew).unwrap();
        }
    }
    assert_eq!(run.left_out, NOT_RUN, "a block is marked as not run and not listed, or the other way round");
    assert!(
        write || run.differences.is_empty(),
        "other output is shown. If it is right, run this test with HIGHWATER_README=write, and read what it \
         changed:\n\n{}",
        run.differences.join("\n")
    );
}

#[test]
fn every_page_with_a_console_block_is_run() {
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(root()).unwrap().display().to_string();
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(!text.contains("```console") || PAGES.contains(&name.as_str()), "{name} is not run");
        }
    }
}

/// Where a page links to, but for the web.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://"))
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let pages =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"].map(|page| root().join(page));
    let mut pages = pages.to_vec();
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { pages.push(path) }
        }
    }
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        for link in links(&text) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            assert!(target.exists(), "{}: {link} leads nowhere", page.display());
            if !heading.is_empty() {
                let text = std::fs::read_to_string(&target).unwrap();
                let slug = |line: &str| {
                    let words = line.trim_start_matches('#').trim().to_lowercase();
                    let plain: String =
                        words.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect();
                    plain.replace(' ', "-")
                };
                let found = text.lines().any(|line| line.starts_with('#') && slug(line) == heading);
                assert!(found, "{}: {link}: there is no such heading", page.display());
            }
        }
    }
}

#[test]
fn times_and_sizes_are_all_that_may_differ() {
    assert_eq!(normal("number 1 loaded in 2.6 s"), normal("number 1 loaded in 12.25 s"));
    assert_eq!(normal("nothing to do (0.1 s)"), normal("nothing to do (2 s)"));
    assert_eq!(normal("merge      12.5 s   1,200 rows/s"), normal("merge       2.5 s  11,200 rows/s"));
    assert_eq!(normal("seconds: pin=0.0 read=0.1"), normal("seconds: pin=1.0 read=0.2"));
    assert_ne!(normal("seconds: pin=0.0 read=0.1"), normal("seconds: pin=0.0 hash=0.1"));
    assert_ne!(normal("  order_id=103 source_file=a"), normal("  order_id=104 source_file=a"));
    assert_ne!(normal("number 1 loaded in 2.6 s"), normal("number 2 loaded in 2.6 s"));
    assert_ne!(normal("staged           5"), normal("staged           6"));
    assert_ne!(normal("deduped  4"), normal("deduped   4"));
    assert_ne!(normal("2025-09-01T06:00:00Z"), normal("2025-09-01T06:00:01Z"));
}

#[test]
fn dots_stand_for_the_rest_and_for_nothing_else() {
    let output = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
    assert!(is_shown(&["a", "b", "c"], &output) && is_shown(&["a", "…"], &output));
    assert!(!is_shown(&["a", "b"], &output) && !is_shown(&["b", "…"], &output));
    assert!(!is_shown(&["a", "b", "c", "…"], &output) && !is_shown(&["a", "…", "c"], &output));
    assert_eq!(shown_anew(&["x", "…"], &output), ["a", "…"]);
}
