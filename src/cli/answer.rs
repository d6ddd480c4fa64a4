//! Which library call answers a command, and how its answer is told.

use std::path::PathBuf;

use chrono::NaiveDate;
use serde_json::Value;

use super::{BatchArgs, Cli, Command, ConfigCommand, FailArgs, QuarantineCommand, clock, pretty};
use crate::attempts::{Attempt, ended};
use crate::config::{Location, Origins, Overrides, Pipeline, json_schema, show_resolved};
use crate::demo::{DemoOptions, write_demo};
use crate::error::{Error, Kind, Result};
use crate::hooks::Hooks;
use crate::init::{InitState, init};
use crate::lake::Lake;
use crate::model::{Clock, Selection};
use crate::open::{self, Opened};
use crate::plan::{Accepted, Goal, RollbackGoal};
use crate::preview::preview;
use crate::quarantine;
use crate::report::{gate, json, progress::Progress, text};
use crate::rollback::roll_back;
use crate::run::{Ending, Report, run};
use crate::show::show;
use crate::spark::spark_sql;
use crate::status::status;

/// What a command has to say on stdout, and its exit status.
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) json: Value,
    pub(super) status: u8,
}

impl Answer {
    fn new(text: String, json: Value) -> Self {
        Self { text, json, status: 0 }
    }

    /// The answer of a command that loads, or would.
    fn of(command: &str, report: &Report) -> Self {
        let status = u8::from(report.ending == Ending::Rejected);
        Self { status, ..Self::new(text::report(report), json::report(command, report)) }
    }
}

pub(super) async fn answer(cli: Cli) -> Result<Answer> {
    let clock = clock()?;
    let config = cli.config;
    match cli.command {
        Command::Init => init_answer(config).await,
        Command::Plan { batch } | Command::Run { batch, dry_run: true, .. } => {
            let report = planned(config, batch, clock).await?;
            Ok(Answer::of("plan", &report))
        }
        Command::Check { batch } => {
            let report = planned(config, batch, clock).await?;
            let mut document = json::report("check", &report);
            if report.ending == Ending::Planned {
                document["status"] = if report.would_reject { "rejected" } else { "passed" }.into();
            }
            Ok(Answer {
                status: u8::from(report.would_reject),
                ..Answer::new(text::check(&report), document)
            })
        }
        Command::Run { batch, fail, .. } => {
            let BatchArgs { as_of, accept } = batch;
            let mut opened = open_tables(config, as_of).await?;
            let ended = ended(Box::pin(async {
                let accepted = known(&opened, accept.accepted())?;
                run(&mut opened, clock, &hooks(&fail), accepted).await
            }));
            let ended = ended.await;
            let report = Attempt { command: "run", clock }.told(&opened, ended).await?;
            Ok(Answer::of("run", &report))
        }
        Command::Quarantine(command) => Box::pin(quarantine_answer(config, command, clock)).await,
        Command::Rollback { batch, dry_run, cascade, even_foreign, reason, fail, .. } => {
            let mut opened = open_tables(config, None).await?;
            let goal = RollbackGoal { batch_id: batch, cascade, even_foreign, reason };
            let hooks = hooks(&fail);
            let work = roll_back(&mut opened, clock, &hooks, goal, dry_run);
            let report = if dry_run {
                Box::pin(work).await?
            } else {
                let ended = ended(Box::pin(work)).await;
                Attempt { command: "rollback", clock }.told(&opened, ended).await?
            };
            Ok(Answer::of("rollback", &report))
        }
        Command::Status { last } => {
            let mut opened = open_tables(config, None).await?;
            let report = status(&mut opened, clock, last).await?;
            Ok(Answer::new(text::status(&report), json::status(&report)))
        }
        Command::Sql { as_of } => {
            let mut opened = open_tables(config, as_of).await?;
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
            let lake = match config {
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
        Command::Config(command) => config_answer(config, &command).await,
    }
}

async fn init_answer(config: Option<PathBuf>) -> Result<Answer> {
    let (pipeline, _) = load(config, None).await?;
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

async fn quarantine_answer(
    config: Option<PathBuf>,
    command: QuarantineCommand,
    clock: Clock,
) -> Result<Answer> {
    match command {
        QuarantineCommand::List { selection, status, limit } => {
            let opened = open_tables(config, None).await?;
            let entries = quarantine::list(&opened, &selection.into(), status.status(), limit).await?;
            Ok(Answer::new(gate::entries(&entries), json::entries("quarantine list", &entries)))
        }
        QuarantineCommand::Show { key } => {
            let opened = open_tables(config, None).await?;
            let told = key.join(", ");
            let selection = Selection { key: Some(key), ..Selection::default() };
            let entries = quarantine::list(&opened, &selection, None, usize::MAX >> 1).await?;
            if entries.entries.is_empty() {
                return Err(Error::usage(format!("the quarantine has no entry with the key {told}"))
                    .hint("`highwater quarantine list --status all` lists the entries"));
            }
            Ok(Answer::new(gate::entries_in_full(&entries), json::entries("quarantine show", &entries)))
        }
        QuarantineCommand::Replay { selection, batch, dry_run, fail } => {
            let BatchArgs { as_of, accept } = batch;
            let mut opened = open_tables(config, as_of).await?;
            let hooks = hooks(&fail);
            let work = async {
                let accepted = known(&opened, accept.accepted())?;
                quarantine::replay(&mut opened, clock, &hooks, selection.into(), accepted, dry_run).await
            };
            let report = if dry_run {
                Box::pin(work).await?
            } else {
                let ended = ended(Box::pin(work)).await;
                Attempt { command: "quarantine replay", clock }.told(&opened, ended).await?
            };
            Ok(Answer::of("quarantine replay", &report))
        }
        QuarantineCommand::Discard { selection, reason, fail, .. } => {
            let mut opened = open_tables(config, None).await?;
            let (selection, hooks) = (selection.into(), hooks(&fail));
            let number = quarantine::discard(&mut opened, clock, &hooks, &selection, &reason).await?;
            let name = &opened.pipeline.name;
            let plural = if number == 1 { "entry" } else { "entries" };
            let json = serde_json::json!({
                "command": "quarantine discard", "pipeline": name, "discarded": number, "reason": reason,
            });
            Ok(Answer::new(format!("{name}: {number} {plural} discarded\n"), json))
        }
    }
}

async fn config_answer(config: Option<PathBuf>, command: &ConfigCommand) -> Result<Answer> {
    let ConfigCommand::Show { resolved } = command else {
        let schema = json_schema();
        return Ok(Answer::new(pretty(&schema), schema));
    };
    let path = config_path(config)?;
    // A file that is refused may hold what must not be shown.
    let (pipeline, origins) = open::load(&path, &overrides(None)).await?;
    let text = if *resolved {
        show_resolved(&pipeline, &origins)
    } else {
        std::fs::read_to_string(&path)
            .map_err(|error| Error::usage(format!("cannot read {}", path.display())).because(error))?
    };
    let json = serde_json::json!({"command": "config", "text": text});
    Ok(Answer::new(text, json))
}

/// What a batch would do.
async fn planned(config: Option<PathBuf>, batch: BatchArgs, clock: Clock) -> Result<Report> {
    let BatchArgs { as_of, accept } = batch;
    let mut opened = open_tables(config, as_of).await?;
    let accepted = known(&opened, accept.accepted())?;
    preview(&mut opened, clock, &hooks(&FailArgs { fail_at: None }), Goal::Load(accepted)).await
}

/// The accepted checks, if there are such, and if a person may accept them.
fn known(opened: &Opened, accepted: Accepted) -> Result<Accepted> {
    let recipe = &opened.recipe;
    for name in accepted.checks.iter().filter(|_| opened.problem.is_none()) {
        match recipe.checks.iter().find(|check| check.name == *name) {
            None => {
                let names: Vec<&str> = recipe.checks.iter().map(|check| check.name.as_str()).collect();
                return Err(Error::usage(format!("there is no check {name}"))
                    .hint(format!("the checks are {}", names.join(", "))));
            }
            Some(check) if recipe.is_built_in(check) => {
                return Err(Error::usage(format!("check {name} cannot be accepted"))
                    .hint("no row without a value there can be loaded; mend the rows in staging"));
            }
            Some(_) => {}
        }
    }
    Ok(accepted)
}

fn hooks(fail: &FailArgs) -> Hooks {
    Hooks { watch: Box::new(Progress::new()), fail_at: fail.fail_at, ..Hooks::default() }
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
