//! Which library call answers a command, and how its answer is told.

use chrono::NaiveDate;
use serde_json::Value;

use super::arguments::{BatchArgs, FailArgs, SelectionArgs};
use super::columns::{contract_answer, drift_answer, evolve_answer};
use super::files::{bookmarks_answer, bring_in, ingest_answer, replay_answer};
use super::named::Named;
use super::new::{init_answer, new_answer};
use super::pages::{completions, manual, schema_page};
use super::print::pretty;
use super::several::{several_answer, tried, validated};
use super::{Cli, Command, ConfigCommand, QuarantineCommand, clock, command_name};
use crate::alerts::{BadEnd, tell};
use crate::attempts::{Attempt, ended};
use crate::config::{AlertOn, Location, Origins, Pipeline, json_schema, show_resolved, yaml_as_json};
use crate::context::{self, PipelineContext};
use crate::demo::{DemoOptions, write_demo};
use crate::doctor::doctor;
use crate::error::{Error, Kind, Result, masked};
use crate::events::Events;
use crate::evolve::evolve_first;
use crate::fail_points::FailPoints;
use crate::hooks::Hooks;
use crate::init::target_ddl;
use crate::lake::Lake;
use crate::model::{Clock, Selection};
use crate::names::batch_named;
use crate::notation::near;
use crate::plan::{Accepted, Request, RollbackGoal};
use crate::preview::preview;
use crate::quarantine;
use crate::register::{Registered, register};
use crate::report::{doctor as doctors, gate, json, look::Look, progress::Progress, tables, text};
use crate::rollback::roll_back;
use crate::run::{Ending, Report, run};
use crate::show::show;
use crate::spark::spark_sql;
use crate::status::status;
use crate::stop::Stop;

/// What a command has to say on stdout, and its exit status.
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) json: Value,
    pub(super) status: u8,
    /// What is left to say with `--quiet`; `None` where the text is what was asked for.
    pub(super) brief: Option<String>,
}

impl Answer {
    pub(super) fn new(text: String, json: Value) -> Self {
        Self { text, json, status: 0, brief: None }
    }

    /// The answer of a command that loads, or would.
    fn of(command: &str, report: &Report, look: &Look) -> Self {
        let status = u8::from(report.ending == Ending::Rejected);
        let told = Self::new(text::report(report, look), json::report(command, report));
        let answer = Self { status, ..told };
        if command == "plan" { answer } else { answer.or_silence() }
    }

    /// The same, but quiet unless something is wrong: then its first lines are told.
    pub(super) fn or_silence(self) -> Self {
        let first = self.text.split("\n\n").next().unwrap_or_default();
        let brief = if self.status == 0 { String::new() } else { format!("{}\n", first.trim_end()) };
        Self { brief: Some(brief), ..self }
    }
}

/// Answers a command, and tells whom the pipeline file names if it ends badly.
pub(super) async fn answer(cli: Cli, stop: &Stop) -> Result<Answer> {
    let writes = match &cli.command {
        Command::Run { dry_run, .. }
        | Command::Rollback { dry_run, .. }
        | Command::Quarantine(QuarantineCommand::Replay { dry_run, .. }) => !dry_run,
        _ => false,
    };
    let (config, name) = (Named::of(&cli), command_name(&cli.command));
    let answer = Box::pin(answer_to(cli, stop)).await;
    if writes && let Some(end) = bad_end(name, &answer) {
        // One that cannot be understood names nobody.
        if let Ok((pipeline, _)) = load(config, None).await {
            Box::pin(tell(&pipeline, &end)).await;
        }
    }
    answer
}

fn bad_end<'a>(command: &'a str, answer: &Result<Answer>) -> Option<BadEnd<'a>> {
    let (on, exit_status, why, document) = match answer {
        Ok(answer) if answer.status == 1 => {
            let why = answer.json["reason"].as_str().unwrap_or("the gate rejected the batch");
            (AlertOn::Rejected, 1, why.to_owned(), answer.json.clone())
        }
        Ok(_) => return None,
        // Whoever ends a run knows of it.
        Err(error) if error.kind() == Kind::Stopped => return None,
        Err(error) => {
            (AlertOn::Failed, error.kind().exit_status(), error.chain(), json::error(command, error))
        }
    };
    Some(BadEnd { command, on, exit_status, why, document: pretty(&json::with_format(document)) })
}

async fn answer_to(cli: Cli, stop: &Stop) -> Result<Answer> {
    let clock = clock()?;
    let look = look_of(&cli);
    if cli.command.is_of_several() {
        return Box::pin(several_answer(cli, stop, &look)).await;
    }
    let (config, quiet) = (Named::of(&cli), cli.quiet);
    match cli.command {
        Command::Validate => Box::pin(validated(&config)).await,
        Command::Test => Box::pin(tried(&config, clock)).await,
        Command::New(arguments) => Box::pin(new_answer(arguments, clock, &look)).await,
        Command::Init { print_ddl: true, .. } => {
            let (pipeline, origins) = load(config, None).await?;
            let def = target_ddl(&pipeline, &origins).await?.to_string();
            Ok(Answer::new(def.clone(), serde_json::json!({"command": "init", "ddl": def})))
        }
        Command::Init { print_ddl: false, .. } => init_answer(config, &look).await,
        Command::Plan { batch, .. } | Command::Run { batch, dry_run: true, .. } => {
            let look = look.asked(&batch.words());
            let report = planned(config, batch, clock, quiet).await?;
            Ok(Answer::of("plan", &report, &look))
        }
        Command::Check { batch, .. } => {
            let look = look.asked(&batch.words());
            let report = planned(config, batch, clock, quiet).await?;
            let mut document = json::report("check", &report);
            if report.ending == Ending::Planned {
                document["status"] = if report.would_reject { "rejected" } else { "passed" }.into();
            }
            let told = Answer::new(text::check(&report, &look), document);
            Ok(Answer { status: u8::from(report.would_reject), ..told }.or_silence())
        }
        Command::Run { batch, fail, timings, .. } => {
            let look = Look { timings, ..look.asked(&batch.words()) };
            let BatchArgs { as_of, accept } = batch;
            let mut opened = open_to_run(config, as_of, stop).await?;
            let hooks = hooks(&fail, quiet, stop);
            let ended = ended(hooks.stop.or_end(Box::pin(async {
                let accepted = known(&opened, accept.accepted())?;
                let came = bring_in(&mut opened, clock, &hooks).await?;
                let evolved = Box::pin(evolve_first(&mut opened, clock, &hooks)).await?;
                Ok((came, evolved, run(&mut opened, clock, &hooks, accepted).await?))
            })));
            let ended = ended.await;
            let (came, evolved, report) = Attempt { command: "run", clock }.told(&opened, ended).await?;
            let answer = Answer::of("run", &report, &look).evolved(evolved.as_ref(), &look);
            Ok(match came {
                Some(came) => answer.after(&came, &look),
                None => answer,
            })
        }
        Command::Ingest { fail } => {
            let (pipeline, _) = load(config, None).await?;
            stop.limit(pipeline.deadline);
            let hooks = hooks(&fail, quiet, stop);
            hooks.stop.or_end(Box::pin(ingest_answer(&pipeline, clock, &hooks, &look))).await
        }
        Command::Replay { since, dry_run, .. } => {
            let (pipeline, _) = load(config, None).await?;
            stop.limit(pipeline.deadline);
            stop.or_end(Box::pin(replay_answer(&pipeline, since, dry_run, &look))).await
        }
        Command::Contract(command) => contract_answer(command, &look).await,
        Command::Drift { since } => Box::pin(drift_answer(config, since, clock, &look)).await,
        Command::Evolve { add, dry_run, fail } => {
            let mut opened = open_to_run(config, None, stop).await?;
            let hooks = hooks(&fail, quiet, stop);
            Box::pin(evolve_answer(&mut opened, clock, &hooks, add, dry_run, &look)).await
        }
        Command::Bookmarks(command) => {
            let (pipeline, _) = load(config, None).await?;
            Box::pin(bookmarks_answer(&pipeline, command, clock, &look)).await
        }
        Command::Quarantine(command) => {
            Box::pin(quarantine_answer(config, command, clock, &look, quiet, stop)).await
        }
        Command::Rollback { batch, dry_run, cascade, even_foreign, reason, fail, .. } => {
            let mut opened = open_to_run(config, None, stop).await?;
            let batch = named(&mut opened, batch).await?;
            let goal = RollbackGoal { batch_id: batch, cascade, even_foreign, reason };
            let hooks = hooks(&fail, quiet, stop);
            let work = roll_back(&mut opened, clock, &hooks, goal, dry_run);
            let report = if dry_run {
                hooks.stop.or_end(Box::pin(work)).await?
            } else {
                let ended = ended(hooks.stop.or_end(Box::pin(work))).await;
                Attempt { command: "rollback", clock }.told(&opened, ended).await?
            };
            Ok(Answer::of("rollback", &report, &look))
        }
        Command::Status { last, batch } => {
            let mut opened = open_tables(config, None).await?;
            let batch = named(&mut opened, batch).await?;
            let report = status(&mut opened, clock, last, batch.as_deref()).await?;
            Ok(Answer::new(text::status(&report, &look), json::status(&report)))
        }
        Command::Doctor => {
            let path = config.path()?;
            let loaded = context::load(&path, &config.overrides(None)?).await;
            let report = Box::pin(doctor(&path, loaded, clock)).await?;
            let told = Answer::new(doctors::doctor(&report, &look), json::doctor(&report));
            Ok(Answer { status: report.exit_status, ..told }.or_silence())
        }
        Command::Register { glue_database, table } => {
            let (pipeline, _) = load(config, None).await?;
            let done = Box::pin(register(&pipeline, &glue_database, table.as_deref())).await?;
            let line = |done: &Registered| {
                format!("{} {} in {glue_database}: {}\n", done.state.as_str(), done.table, done.location)
            };
            let told = done.iter().map(line).collect::<String>();
            Ok(Answer::new(told, json::registered(&glue_database, &done)).or_silence())
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
            let lake = if config.is_given() {
                Lake::of(&context::load(&config.path()?, &config.overrides(None)?).await?.0)
            } else {
                Lake::plain()
            };
            let shown = show(&lake, &location, limit).await?;
            let text = tables::shown(&shown, &look);
            let json = json::shown(&shown, &text);
            Ok(Answer::new(text, json))
        }
        Command::Demo { dir, orders, seed, as_of, tables } => {
            let report = write_demo(&dir, DemoOptions { orders, seed, as_of, tables }).await?;
            let json = serde_json::json!({
                "command": "demo",
                "config": report.config,
                "fact_rows": report.fact_rows,
                "customer_rows": report.customer_rows,
                "staged_rows": report.counts.total(),
            });
            let look = Look { colour: look.colour, ..Look::of_stdout(false, Some(&report.config)) };
            Ok(Answer::new(tables::demo(&report, &look), json).or_silence())
        }
        Command::Config(command) => config_answer(config, &command).await,
        Command::Schema { name } => schema_page(&name),
        Command::Completions { shell } => Ok(completions(shell)),
        Command::Man { command } => manual(&command),
    }
}

async fn quarantine_answer(
    config: Named,
    command: QuarantineCommand,
    clock: Clock,
    look: &Look,
    quiet: bool,
    stop: &Stop,
) -> Result<Answer> {
    match command {
        QuarantineCommand::List { selection, status, limit } => {
            let mut opened = open_tables(config, None).await?;
            let selection = chosen(&mut opened, selection).await?;
            let entries = quarantine::list(&opened, &selection, status.status(), limit).await?;
            Ok(Answer::new(gate::entries(&entries, look), json::entries("quarantine list", &entries)))
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
            Ok(Answer::new(gate::entries_in_full(&entries, look), json::entries("quarantine show", &entries)))
        }
        QuarantineCommand::Replay { selection, batch, dry_run, fail } => {
            let look = look.asked(&[selection.words(), batch.words()].concat());
            let BatchArgs { as_of, accept } = batch;
            let mut opened = open_to_run(config, as_of, stop).await?;
            let selection = chosen(&mut opened, selection).await?;
            let hooks = hooks(&fail, quiet, stop);
            let mut selected = 0;
            let work = async {
                let accepted = known(&opened, accept.accepted())?;
                selected = quarantine::count_open(&opened, &selection).await?;
                quarantine::replay(&mut opened, clock, &hooks, selection, accepted, dry_run).await
            };
            let report = if dry_run {
                Box::pin(work).await?
            } else {
                let ended = ended(hooks.stop.or_end(Box::pin(work))).await;
                Attempt { command: "quarantine replay", clock }.told(&opened, ended).await?
            };
            let mut answer = Answer::of("quarantine replay", &report, &look);
            answer.json["selected"] = selected.into();
            Ok(answer)
        }
        QuarantineCommand::Discard { selection, reason, fail, .. } => {
            let mut opened = open_tables(config, None).await?;
            let (selection, hooks) = (chosen(&mut opened, selection).await?, hooks(&fail, quiet, stop));
            let number = quarantine::discard(&mut opened, clock, &hooks, &selection, &reason).await?;
            let name = &opened.pipeline.name;
            let plural = if number == 1 { "entry" } else { "entries" };
            let json = serde_json::json!({
                "command": "quarantine discard", "pipeline": name, "selected": number, "discarded": number,
                "reason": reason,
            });
            let told = match number {
                0 => format!("{name}: selected 0 open entries; nothing to discard\n"),
                _ => format!("{name}: {number} {plural} discarded\n"),
            };
            Ok(Answer::new(told, json).or_silence())
        }
    }
}

async fn config_answer(config: Named, command: &ConfigCommand) -> Result<Answer> {
    let ConfigCommand::Show { resolved } = command else {
        let schema = json_schema();
        return Ok(Answer::new(pretty(&schema), schema));
    };
    let path = config.path()?;
    // A file that is refused may hold what must not be shown.
    let (pipeline, origins) = context::load(&path, &config.overrides(None)?).await?;
    let text = if *resolved {
        show_resolved(&pipeline, &origins)
    } else {
        let text = std::fs::read_to_string(&path)
            .map_err(|error| Error::usage(format!("cannot read {}", path.display())).because(error))?;
        masked(&text)
    };
    let object = yaml_as_json(&text, &path.display().to_string()).map_err(|problems| problems.to_error())?;
    let json = serde_json::json!({"command": "config", "resolved": resolved, "config": object, "text": text});
    Ok(Answer::new(text, json))
}

/// How reports look.
fn look_of(cli: &Cli) -> Look {
    let look = Look::of_stdout(cli.verbose, cli.config.as_deref());
    // A document holds no colour, whatever it is printed on.
    Look { colour: look.colour && !cli.json, ..look }
}

/// The batch that is meant, if one is named.
async fn named(opened: &mut PipelineContext, batch: Option<String>) -> Result<Option<String>> {
    match batch {
        Some(text) => batch_named(opened, &text).await.map(Some),
        None => Ok(None),
    }
}

/// The selection, with the batch that is meant.
async fn chosen(opened: &mut PipelineContext, arguments: SelectionArgs) -> Result<Selection> {
    let mut selection = Selection::from(arguments);
    selection.batch_id = named(opened, selection.batch_id.take()).await?;
    Ok(selection)
}

/// What a batch would do.
async fn planned(config: Named, batch: BatchArgs, clock: Clock, quiet: bool) -> Result<Report> {
    let BatchArgs { as_of, accept } = batch;
    let mut opened = open_tables(config, as_of).await?;
    let accepted = known(&opened, accept.accepted())?;
    preview(
        &mut opened,
        clock,
        &hooks(&FailArgs { fail_at: None }, quiet, &Stop::default()),
        Request::Load(accepted),
    )
    .await
}

/// The accepted checks, if there are such, and if a person may accept them.
fn known(opened: &PipelineContext, accepted: Accepted) -> Result<Accepted> {
    let spec = &opened.spec;
    for name in accepted.checks.iter().filter(|_| opened.problem.is_none()) {
        match spec.checks.iter().find(|check| check.name == *name) {
            None => {
                let names: Vec<&str> = spec.checks.iter().map(|check| check.name.as_str()).collect();
                let hint = match near(name, names.iter().copied(), 1).first() {
                    Some(meant) => format!("did you mean `{meant}`? The checks are {}", names.join(", ")),
                    None => format!("the checks are {}", names.join(", ")),
                };
                return Err(Error::usage(format!("there is no check {name}")).hint(hint));
            }
            Some(check) if spec.is_built_in(check) => {
                return Err(Error::usage(format!("check {name} cannot be accepted"))
                    .hint("no row without a value there can be loaded; mend the rows in staging"));
            }
            Some(_) => {}
        }
    }
    Ok(accepted)
}

fn hooks(fail: &FailArgs, quiet: bool, stop: &Stop) -> Hooks {
    let progress = if quiet { Progress::hidden() } else { Progress::new() };
    Hooks {
        events: Events::default().with(progress),
        fail_points: FailPoints { fail_at: fail.fail_at, ..FailPoints::default() },
        stop: stop.clone(),
    }
}

/// Opens the tables of a command that has a deadline: its time runs from here.
async fn open_to_run(config: Named, as_of: Option<NaiveDate>, stop: &Stop) -> Result<PipelineContext> {
    let (pipeline, origins) = load(config, as_of).await?;
    stop.limit(pipeline.deadline);
    context::open(pipeline, origins).await
}

pub(super) async fn open_tables(config: Named, as_of: Option<NaiveDate>) -> Result<PipelineContext> {
    let (pipeline, origins) = load(config, as_of).await?;
    context::open(pipeline, origins).await
}

pub(super) async fn load(config: Named, as_of: Option<NaiveDate>) -> Result<(Pipeline, Origins)> {
    let path = config.path()?;
    if path.is_dir() {
        return Err(Error::usage(format!("{} is a folder, and this is for one pipeline", path.display()))
            .hint("name a file; `init`, `plan`, `check` and `run` take `--all`, or `--select NAME`"));
    }
    context::load(&path, &config.overrides(as_of)?).await
}
