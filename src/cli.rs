//! The command line: what can be asked. [`answer`] says which library call answers it.

mod answer;
mod arguments;
mod columns;
mod files;
mod logging;
mod named;
mod new;
mod pages;
mod print;
mod several;

use std::path::PathBuf;

use chrono::{DateTime, NaiveDate, Utc};
use clap::{ArgGroup, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub use self::print::{crashed, execute, refuse};

use self::arguments::{
    BatchArgs, CompatibilityArg, FailArgs, SelectionArgs, SeveralArgs, StatusArg, assignment, at_least_one,
    date, some_text,
};
use self::files::{BookmarksCommand, bookmarks_name};
use self::new::NewArgs;
use crate::error::{Error, Result};
use crate::model::Clock;

/// Names the variable that makes the clock stand still.
const CLOCK: &str = "HIGHWATER_CLOCK";

/// Idempotent daily loads into Delta Lake tables.
///
/// Exit status: 0 done, or nothing to do; 1 the gate rejected the batch; 2 usage or config; 3 try again
/// later; 4 needs a person; 70 a bug; 143 ended by SIGTERM.
#[derive(Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[command(name = "highwater", version, max_term_width = 100)]
pub struct Cli {
    /// The pipeline file; for several, a folder or a pattern
    #[arg(short, long, global = true, env = "HIGHWATER_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The profile of `highwater.yaml` whose variables are meant
    #[arg(long, global = true, env = "HIGHWATER_PROFILE", value_name = "NAME")]
    profile: Option<String>,
    /// A variable for `${var:NAME}`, before those of `highwater.yaml`; once for each
    #[arg(long = "var", global = true, value_name = "NAME=VALUE", value_parser = assignment)]
    vars: Vec<(String, String)>,
    /// A file of NAME=VALUE lines for `${env:NAME}`, where the environment has none of that name
    #[arg(long, global = true, value_name = "FILE")]
    env_file: Option<PathBuf>,
    /// Print one JSON document on stdout, and nothing else
    #[arg(long, global = true)]
    json: bool,
    /// End stdout with the JSON document in one line, for what reads logs
    #[arg(long, global = true, conflicts_with = "json")]
    summary_line: bool,
    /// End stdout with a line of metrics, in CloudWatch's embedded format
    #[arg(long, global = true, value_enum, value_name = "FORMAT", conflicts_with = "json")]
    metrics: Option<MetricsFormat>,
    /// Tell what is as it should be too: checks that passed, tables that did not move, batch ids in full
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    verbose: bool,
    /// Print no report unless something is wrong, and no progress; what is asked for is printed all the same
    #[arg(short, long, global = true)]
    quiet: bool,
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

#[derive(Debug, Clone, Copy, ValueEnum)]
enum MetricsFormat {
    Emf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Look at a staging table, and write a pipeline file and the target's DDL for it
    ///
    /// Key, version, lineage and checks are guessed from names and values; the file says by what. No table is changed, and
    /// no file that is there is written over.
    New(NewArgs),
    /// Create missing tables from their DDL, and compare existing ones with theirs
    ///
    /// A target without a DDL file is made from the batch's columns: staging's, as the pipeline file maps them.
    Init {
        /// Only print the target's DDL: the table's own, or what it would be made from
        #[arg(long)]
        print_ddl: bool,
        #[command(flatten)]
        several: SeveralArgs,
    },
    /// Try a pipeline on rows of your own, in memory: FILE.tests.yaml beside FILE.yaml
    ///
    /// Each test has rows that are given and what is expected: rows of target and quarantine, counts, verdicts. No table is
    /// read or written, but for its columns. Exit status 1 where something is not as expected.
    Test,
    /// Hold pipeline files against their tables, with nothing read of their rows: one file, a folder, or a pattern
    Validate,
    /// Show what a run would do, with no table changed
    Plan {
        #[command(flatten)]
        batch: BatchArgs,
        #[command(flatten)]
        several: SeveralArgs,
    },
    /// Run the gate alone on what a run would load, with no table changed
    Check {
        #[command(flatten)]
        batch: BatchArgs,
        #[command(flatten)]
        several: SeveralArgs,
    },
    /// Load a batch, after finishing whatever another run left behind
    Run {
        #[command(flatten)]
        batch: BatchArgs,
        /// The same as `plan`
        #[arg(long)]
        dry_run: bool,
        /// Show the rows, seconds and memory of each step
        #[arg(long)]
        timings: bool,
        #[command(flatten)]
        fail: FailArgs,
        #[command(flatten)]
        several: SeveralArgs,
    },
    /// Bring new files into staging: those that the pipeline file names under `source.files`; `run` does so first
    ///
    /// A file comes in once, by path, size and tag. Exit status 1 where a file could not be read, or more rows than may.
    Ingest {
        #[command(flatten)]
        fail: FailArgs,
    },
    /// Make rows of staging anew from the files that they came in, with the times at which they came
    ///
    /// Rows that are as they came stay; others, and those that are missing, are put in their place in one commit. Exit status 1
    /// where a file is gone, or holds something else: what came of it stays as it is.
    Replay {
        /// From the raw files; entries of the quarantine are loaded again by `quarantine replay`
        #[arg(long, required = true)]
        from_raw: bool,
        /// Files that came in on this day or later; without it, all
        #[arg(long, value_name = "DATE", value_parser = date)]
        since: Option<NaiveDate>,
        /// Only show what would be made anew
        #[arg(long)]
        dry_run: bool,
    },
    /// Show in what the columns of contract, staging and target differ, and what is done about it; change nothing
    ///
    /// Staging is shown as it is and as it was. Exit status 1 where the pipeline file has a difference refused.
    Drift {
        /// Staging as it was on this day, such as 2025-09-01; without it, a week ago
        #[arg(long, value_name = "DATE", value_parser = date)]
        since: Option<NaiveDate>,
    },
    /// Change the target's columns as its DDL file and `schema` ask for: add columns, let them be NULL, set comments
    ///
    /// No file is written anew. Exit status 1 where something is asked for that cannot be done so.
    Evolve {
        /// Add this column of the batch to the target, whatever `schema.new_column` says; may be given more than once
        #[arg(long, value_name = "COLUMN")]
        add: Vec<String>,
        /// Only show what would be changed
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        fail: FailArgs,
    },
    /// Look at contract files: DDL, or the Open Data Contract Standard
    #[command(subcommand)]
    Contract(ContractCommand),
    /// Look at what is known of files, skip one, or have some brought in again
    #[command(subcommand)]
    Bookmarks(BookmarksCommand),
    /// Look at rows that were kept out, load them again, or decide that they stay out
    #[command(subcommand)]
    Quarantine(QuarantineCommand),
    /// Take a batch back, and all that came after it: the target returns to what it was before
    #[command(group = ArgGroup::new("named").required(true).args(["batch", "last"]))]
    Rollback {
        /// The batch: its id, the beginning of it, or its number, as `status` shows them
        #[arg(long, value_name = "BATCH")]
        batch: Option<String>,
        /// The newest batch; right after a rollback, none
        #[arg(long)]
        last: bool,
        /// Only show what would be taken back
        #[arg(long)]
        dry_run: bool,
        /// Take later batches back too
        #[arg(long)]
        cascade: bool,
        /// Take back a batch that does not balance although other writers' rows go with it; they are kept in a
        /// table beside the target
        #[arg(long)]
        even_foreign: bool,
        /// Why, for the audit row
        #[arg(long, value_name = "TEXT", value_parser = some_text)]
        reason: Option<String>,
        #[command(flatten)]
        fail: FailArgs,
    },
    /// Show the watermark, the last batches, and an unfinished batch if there is one
    Status {
        /// How many batches to show
        #[arg(long, default_value_t = 10, value_name = "N", value_parser = at_least_one)]
        last: usize,
        /// Only this batch: its id, the beginning of it, or its number
        #[arg(long, value_name = "BATCH", conflicts_with = "last")]
        batch: Option<String>,
    },
    /// Look at all that a run needs: config, credentials, tables, store, clock, memory; change nothing
    ///
    /// Each line says ok, warn or fail, and what to do. The exit status is what `run` would end with before it reads a
    /// row. A file of a byte is written beside the target and taken away, to see whether the store keeps to conditions.
    Doctor,
    /// Make the target and the quarantine known in the Glue Data Catalog, or their entries what they should be
    Register {
        /// The database in the catalog
        #[arg(long, value_name = "NAME")]
        glue_database: String,
        /// The target's name there; without it, the table's own
        #[arg(long, value_name = "NAME")]
        table: Option<String>,
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
        #[arg(long, default_value_t = 20, value_name = "N", value_parser = at_least_one)]
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
        /// Where the tables are made, such as `s3://bucket/demo`; without it, beside the pipeline file
        #[arg(long, value_name = "URL")]
        tables: Option<String>,
    },
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the JSON Schema of a command's `--json` document; without a name, list the names
    Schema {
        /// The command, such as `status` or `quarantine list`; or `error`, or `pipeline` for the pipeline file
        #[arg(value_name = "NAME")]
        name: Vec<String>,
    },
    /// Print what completes command lines in a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, of the program or of one command
    Man {
        /// The command, such as `run` or `quarantine list`
        #[arg(value_name = "COMMAND")]
        command: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
enum QuarantineCommand {
    /// List entries, the newest first
    List {
        #[command(flatten)]
        selection: SelectionArgs,
        /// Entries with this status
        #[arg(long, value_enum, default_value_t = StatusArg::Open, value_name = "STATUS")]
        status: StatusArg,
        /// How many entries to list
        #[arg(long, default_value_t = 50, value_name = "N", value_parser = at_least_one)]
        limit: usize,
    },
    /// Show the entries of a key in full, whatever their status
    Show {
        /// The key: one value for each of its columns, NULL where there is none
        #[arg(required = true, value_name = "KEY", allow_negative_numbers = true)]
        key: Vec<String>,
    },
    /// Load open entries again, as a batch of its own: through dedupe, gate and guard
    Replay {
        #[command(flatten)]
        selection: SelectionArgs,
        #[command(flatten)]
        batch: BatchArgs,
        /// Only show what would be loaded
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        fail: FailArgs,
    },
    /// Decide that the rows of open entries stay out
    #[command(group = ArgGroup::new("which").required(true).multiple(true)
        .args(["batch", "key", "check", "since", "where", "all"]))]
    Discard {
        #[command(flatten)]
        selection: SelectionArgs,
        /// Every open entry
        #[arg(long, conflicts_with_all = ["batch", "key", "check", "since", "where"])]
        all: bool,
        /// Why; kept with each entry
        #[arg(long, value_name = "TEXT", value_parser = some_text)]
        reason: String,
        #[command(flatten)]
        fail: FailArgs,
    },
}

#[derive(Debug, Subcommand)]
enum ContractCommand {
    /// Say which change of a contract breaks whom. Exit status 1 where one is against what is asked
    Check {
        /// The contract
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// What it was: a file, here or at an http URL, a commit of git that has the same file, or a Delta table
        #[arg(long, value_name = "FILE|COMMIT|TABLE|URL")]
        against: String,
        /// Who must still be able to read: with the new contract, rows of the old one (backward); with the old contract,
        /// rows of the new one (forward); both (full)
        #[arg(long, value_enum, default_value_t = CompatibilityArg::Backward, value_name = "WHO")]
        compatibility: CompatibilityArg,
        /// Which of the contract's tables is meant, where it has several
        #[arg(long, value_name = "NAME")]
        table: Option<String>,
    },
    /// Print a contract as DDL, with the checks that it asks for, and what of it nothing here keeps
    Show {
        /// The contract
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Which of the contract's tables is meant, where it has several
        #[arg(long, value_name = "NAME")]
        table: Option<String>,
    },
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

fn command_name(command: &Command) -> &'static str {
    match command {
        Command::New(_) => "new",
        Command::Init { .. } => "init",
        Command::Validate => "validate",
        Command::Test => "test",
        Command::Plan { .. } | Command::Run { dry_run: true, .. } => "plan",
        Command::Run { .. } => "run",
        Command::Check { .. } => "check",
        Command::Ingest { .. } => "ingest",
        Command::Replay { .. } => "replay",
        Command::Contract(ContractCommand::Check { .. }) => "contract check",
        Command::Contract(ContractCommand::Show { .. }) => "contract show",
        Command::Drift { .. } => "drift",
        Command::Evolve { .. } => "evolve",
        Command::Bookmarks(command) => bookmarks_name(command),
        Command::Quarantine(QuarantineCommand::List { .. }) => "quarantine list",
        Command::Quarantine(QuarantineCommand::Show { .. }) => "quarantine show",
        Command::Quarantine(QuarantineCommand::Replay { .. }) => "quarantine replay",
        Command::Quarantine(QuarantineCommand::Discard { .. }) => "quarantine discard",
        Command::Rollback { .. } => "rollback",
        Command::Status { .. } => "status",
        Command::Doctor => "doctor",
        Command::Register { .. } => "register",
        Command::Sql { .. } => "sql",
        Command::Show { .. } => "show",
        Command::Demo { .. } => "demo",
        Command::Config(_) => "config",
        Command::Schema { .. } => "schema",
        Command::Completions { .. } => "completions",
        Command::Man { .. } => "man",
    }
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
