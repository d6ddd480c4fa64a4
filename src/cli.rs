//! The command line: what can be asked, and which library call answers it.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, Utc};
use clap::{Parser, Subcommand, ValueEnum};
use serde_json::Value;
use tracing_subscriber::EnvFilter;

use crate::config::{Location, Origins, Overrides, Pipeline, json_schema, show_resolved};
use crate::demo::{DemoOptions, write_demo};
use crate::error::{Error, Kind, Result};
use crate::hooks::{FailAt, Hooks};
use crate::init::{InitState, init};
use crate::lake::Lake;
use crate::model::Clock;
use crate::open::{self, Opened};
use crate::preview::preview;
use crate::report::{json, progress::Progress, text};
use crate::run::{Ending, run};
use crate::show::show;
use crate::spark::spark_sql;
use crate::status::status;

/// Names the variable that makes the clock stand still.
const CLOCK: &str = "HIGHWATER_CLOCK";

/// Idempotent daily loads into Delta Lake tables.
///
/// Exit status: 0 done, or nothing to do; 1 the gate rejected the batch; 2 usage or config; 3 try again
/// later; 4 needs a person; 70 a bug.
#[derive(Debug, Parser)]
#[command(name = "highwater", version, max_term_width = 100)]
pub struct Cli {
    /// The pipeline file
    #[arg(short, long, global = true, env = "HIGHWATER_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON document on stdout, and nothing else
    #[arg(long, global = true)]
    json: bool,
    /// How log lines on stderr are written; `RUST_LOG` chooses which
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create missing tables from their DDL, and compare existing ones with theirs
    Init,
    /// Show what a run would do, with no table changed
    Plan {
        /// The logical date of the batch, such as 2025-09-01
        #[arg(long, value_name = "DATE", value_parser = date)]
        as_of: Option<NaiveDate>,
    },
    /// Load a batch, after finishing whatever another run left behind
    Run {
        /// The logical date of the batch, such as 2025-09-01
        #[arg(long, value_name = "DATE", value_parser = date)]
        as_of: Option<NaiveDate>,
        /// The same as `plan`
        #[arg(long)]
        dry_run: bool,
        /// Kill this process hard at a point of the run, to try recovery: STEP[:before|after], with STEP one
        /// of pin, read, hash, dedupe, locate, gate, merge[:N], reconcile, quarantine, audit, watermark
        #[arg(long, value_name = "STEP", value_parser = fail_at)]
        fail_at: Option<FailAt>,
    },
    /// Show the watermark, the last batches, and an unfinished batch if there is one
    Status {
        /// How many batches to show
        #[arg(long, default_value_t = 10, value_name = "N", value_parser = at_least_one)]
        last: usize,
    },
    /// Print the load as Spark SQL: dedupe, row hash, classification, MERGE
    Sql {
        /// The logical date of the batch, such as 2025-09-01
        #[arg(long, value_name = "DATE", value_parser = date)]
        as_of: Option<NaiveDate>,
    },
    /// Show a table's rows
    Show {
        /// The table's path or URL
        table: String,
        /// How many rows to show
        #[arg(long, default_value_t = 20, value_name = "N")]
        limit: usize,
    },
    /// Write tables to try on, with a pipeline file that points at them
    Demo {
        /// The folder; it must not hold a demo yet
        dir: PathBuf,
        /// Orders in the target; without it, the reference case of five staged rows
        #[arg(long, value_name = "N")]
        orders: Option<u64>,
        /// Picks the staged rows
        #[arg(long, default_value_t = 1, value_name = "S")]
        seed: u64,
        /// The last day of the staged week
        #[arg(long, default_value = "2025-09-01", value_name = "DATE", value_parser = date)]
        as_of: NaiveDate,
    },
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Show the pipeline file as it is understood
    Show {
        /// With every default filled in, and where each value came from
        #[arg(long)]
        resolved: bool,
    },
    /// Print the JSON Schema of a pipeline file
    Schema,
}

/// What a command has to say on stdout, and its exit status.
struct Answer {
    text: String,
    json: Value,
    status: u8,
}

impl Answer {
    fn new(text: String, json: Value) -> Self {
        Self { text, json, status: 0 }
    }
}

fn at_least_one(text: &str) -> std::result::Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "must be a number of at least 1".to_owned())
}

fn date(text: &str) -> std::result::Result<NaiveDate, String> {
    text.parse().map_err(|_| "must be a day such as 2025-09-01".to_owned())
}

fn fail_at(text: &str) -> std::result::Result<FailAt, String> {
    FailAt::from_str(text).map_err(|error| format!("{error}; {}", error.hint_text().unwrap_or_default()))
}

/// Runs a command, prints its answer, and gives its exit status.
pub async fn execute(cli: Cli) -> u8 {
    start_logging(cli.log_format);
    let (name, json) = (command_name(&cli.command), cli.json);
    let answer = answer(cli).await;
    let (out, status) = match &answer {
        Ok(answer) if json => (pretty(&answer.json), answer.status),
        Ok(answer) => (answer.text.clone(), answer.status),
        Err(error) => {
            complain(error);
            let out = if json { pretty(&json::error(name, error)) } else { String::new() };
            (out, error.kind().exit_status())
        }
    };
    // A reader that went away is no failure of the command.
    let _ = std::io::stdout().lock().write_all(out.as_bytes());
    status
}

/// Answers words that are no command line, `--help` and `--version`, and gives the exit status.
#[must_use]
pub fn refuse(words: &clap::Error, json: bool) -> u8 {
    if !json || !words.use_stderr() {
        // A reader that went away is no failure.
        let _ = words.print();
        return if words.use_stderr() { Kind::Usage.exit_status() } else { 0 };
    }
    let text = words.render().to_string();
    let error = Error::usage(text.trim().trim_start_matches("error: ").to_owned());
    complain(&error);
    let _ = std::io::stdout().lock().write_all(pretty(&json::error("", &error)).as_bytes());
    error.kind().exit_status()
}

/// Answers a panic: a bug, told like any other failure.
#[must_use]
pub fn crashed(message: &str, json: bool) -> u8 {
    let error = Error::bug(format!("internal error: {message}"))
        .hint("this is a bug in highwater; running again is safe. Please report it");
    complain(&error);
    if json {
        let _ = std::io::stdout().lock().write_all(pretty(&json::error("", &error)).as_bytes());
    }
    error.kind().exit_status()
}

/// Says on stderr what went wrong, and what to do.
fn complain(error: &Error) {
    let mut text = format!("error: {}\n", error.chain());
    if let Some(hint) = error.hint_text() {
        text.push_str(&format!("hint: {hint}\n"));
    }
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

fn pretty(document: &Value) -> String {
    format!("{document:#}\n")
}

fn command_name(command: &Command) -> &'static str {
    match command {
        Command::Init => "init",
        Command::Plan { .. } | Command::Run { dry_run: true, .. } => "plan",
        Command::Run { .. } => "run",
        Command::Status { .. } => "status",
        Command::Sql { .. } => "sql",
        Command::Show { .. } => "show",
        Command::Demo { .. } => "demo",
        Command::Config(_) => "config",
    }
}

async fn answer(cli: Cli) -> Result<Answer> {
    let clock = clock()?;
    match cli.command {
        Command::Init => {
            let (pipeline, _) = load(cli.config, None).await?;
            let tables = init(&pipeline).await?;
            let any = |wrong: fn(&InitState) -> bool| tables.iter().any(|table| wrong(&table.state));
            let status = if any(|state| matches!(state, InitState::Differs(_))) {
                Kind::Person.exit_status()
            } else if any(|state| matches!(state, InitState::Missing)) {
                Kind::Usage.exit_status()
            } else {
                0
            };
            Ok(Answer { status, ..Answer::new(text::init(&tables), json::init(&tables)) })
        }
        Command::Plan { as_of } | Command::Run { as_of, dry_run: true, .. } => {
            plan_answer(cli.config, as_of, clock).await
        }
        Command::Run { as_of, fail_at, .. } => {
            let mut opened = open_tables(cli.config, as_of).await?;
            let hooks = Hooks { watch: Box::new(Progress::new()), fail_at, ..Hooks::default() };
            let report = run(&mut opened, clock, &hooks).await;
            drop(hooks);
            let report = report?;
            let status = u8::from(report.ending == Ending::Rejected);
            Ok(Answer { status, ..Answer::new(text::report(&report), json::report("run", &report)) })
        }
        Command::Status { last } => {
            let mut opened = open_tables(cli.config, None).await?;
            let report = status(&mut opened, clock, last).await?;
            Ok(Answer::new(text::status(&report), json::status(&report)))
        }
        Command::Sql { as_of } => {
            let mut opened = open_tables(cli.config, as_of).await?;
            let sql = spark_sql(&mut opened, clock).await?;
            let json = serde_json::json!({
                "command": "sql",
                "settings": sql.settings,
                "classify": sql.classify,
                "dedupe_counts": sql.dedupe_counts,
                "merge": sql.merge,
            });
            Ok(Answer::new(sql.script(), json))
        }
        Command::Show { table, limit } => {
            let location = Location::named(&table)
                .map_err(|error| Error::usage(format!("bad table path {table}")).because(error))?;
            // A pipeline file lends its storage options.
            let lake = match cli.config {
                Some(path) => Lake::of(&open::load(&path, &overrides(None)).await?.0),
                None => Lake::plain(),
            };
            let text = show(&lake, &location, limit).await?;
            let json = serde_json::json!({"command": "show", "text": text});
            Ok(Answer::new(text, json))
        }
        Command::Demo { dir, orders, seed, as_of } => {
            let report = write_demo(&dir, DemoOptions { orders, seed, as_of }).await?;
            let json = serde_json::json!({
                "command": "demo",
                "config": report.config,
                "fact_rows": report.fact_rows,
                "customer_rows": report.customer_rows,
                "staged_rows": report.counts.total(),
            });
            Ok(Answer::new(text::demo(&report), json))
        }
        Command::Config(ConfigCommand::Schema) => {
            let schema = json_schema();
            Ok(Answer::new(pretty(&schema), schema))
        }
        Command::Config(ConfigCommand::Show { resolved }) => {
            let path = config_path(cli.config)?;
            let text = if resolved {
                let (pipeline, origins) = open::load(&path, &overrides(None)).await?;
                show_resolved(&pipeline, &origins)
            } else {
                // A file that is refused may hold what must not be shown.
                open::load(&path, &overrides(None)).await?;
                std::fs::read_to_string(&path)
                    .map_err(|error| Error::usage(format!("cannot read {}", path.display())).because(error))?
            };
            let json = serde_json::json!({"command": "config", "text": text});
            Ok(Answer::new(text, json))
        }
    }
}

async fn plan_answer(config: Option<PathBuf>, as_of: Option<NaiveDate>, clock: Clock) -> Result<Answer> {
    let mut opened = open_tables(config, as_of).await?;
    let hooks = Hooks { watch: Box::new(Progress::new()), ..Hooks::default() };
    let report = preview(&mut opened, clock, &hooks).await;
    drop(hooks);
    let report = report?;
    Ok(Answer::new(text::report(&report), json::report("plan", &report)))
}

async fn open_tables(config: Option<PathBuf>, as_of: Option<NaiveDate>) -> Result<Opened> {
    let (pipeline, origins) = load(config, as_of).await?;
    open::open(pipeline, origins).await
}

async fn load(config: Option<PathBuf>, as_of: Option<NaiveDate>) -> Result<(Pipeline, Origins)> {
    open::load(&config_path(config)?, &overrides(as_of)).await
}

fn config_path(config: Option<PathBuf>) -> Result<PathBuf> {
    config.ok_or_else(|| {
        Error::usage("no pipeline file is named").hint("give -c FILE, or set HIGHWATER_CONFIG")
    })
}

fn overrides(as_of: Option<NaiveDate>) -> Overrides {
    let flag = as_of.map(|day| ("as_of".to_owned(), day.to_string(), "--as-of".to_owned()));
    Overrides::from_process(flag.into_iter().collect())
}

/// The machine's clock, unless `HIGHWATER_CLOCK` makes it stand still.
fn clock() -> Result<Clock> {
    match std::env::var(CLOCK) {
        Err(_) => Ok(Clock::System),
        Ok(text) => text
            .parse::<DateTime<Utc>>()
            .map(Clock::Frozen)
            .map_err(|error| Error::usage(format!("{CLOCK}={text} is no time")).because(error)),
    }
}

fn start_logging(format: LogFormat) {
    // A lost race is nothing to worry people with: the run looks again.
    let quiet = "error,highwater=warn,deltalake_core::kernel::transaction=off,buoyant_kernel=off";
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(quiet));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // A second start, in tests, keeps the first.
    let _ = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}
