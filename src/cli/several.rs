//! Commands for several pipelines at once.

use std::io::Write as _;

use serde_json::json;

use super::answer::Answer;
use super::named::Named;
use super::{Cli, Command, command_name};
use crate::cases::{tests_of, try_all};
use crate::context;
use crate::error::{Error, Result};
use crate::fleet::{files, members, run_all};
use crate::model::Clock;
use crate::report::look::Look;
use crate::report::plain::plain_lines;
use crate::report::{fleet, json as documents};
use crate::stop::Stop;

impl Command {
    /// Whether several pipelines are meant.
    pub(super) fn is_of_several(&self) -> bool {
        match self {
            Self::Init { several, .. }
            | Self::Plan { several, .. }
            | Self::Check { several, .. }
            | Self::Run { several, .. } => several.is_given(),
            _ => false,
        }
    }
}

/// Runs the command for each of the pipelines, each in a process of its own.
pub(super) async fn several_answer(cli: Cli, stop: &Stop, look: &Look) -> Result<Answer> {
    let (name, quiet) = (command_name(&cli.command), cli.quiet || cli.json);
    let named = Named::of(&cli);
    let (words, several) = match cli.command {
        Command::Init { print_ddl: false, several } => (vec!["init".to_owned()], several),
        Command::Plan { batch, several } => (with("plan", batch.words()), several),
        Command::Check { batch, several } => (with("check", batch.words()), several),
        Command::Run { batch, dry_run, fail, several, .. } if fail.fail_at.is_none() => {
            (with(if dry_run { "plan" } else { "run" }, batch.words()), several)
        }
        _ => {
            return Err(Error::usage("`--fail-at` and `--print-ddl` are for one pipeline")
                .hint("leave out `--all` and `--select`"));
        }
    };
    let members = members(&files(&named.path()?)?, &several.select, &named.overrides(None)?)?;
    let words = [words, named.words()].concat();
    let told = |outcome: &_| {
        if !quiet {
            // As progress is, beside what is printed.
            let _ = writeln!(std::io::stderr(), "{}", fleet::progress(outcome));
        }
    };
    let work = run_all(&members, &words, several.max_parallel, told);
    let outcomes = Box::pin(stop.or_end_of_processes(work)).await?;
    let answer = Answer::new(fleet::fleet(&outcomes, look), fleet::document(name, &outcomes));
    Ok(Answer { status: fleet::worst(&outcomes), ..answer }.or_silence())
}

fn with(command: &str, words: Vec<String>) -> Vec<String> {
    std::iter::once(command.to_owned()).chain(words).collect()
}

/// Holds each file against its tables.
pub(super) async fn validated(named: &Named) -> Result<Answer> {
    let (mut text, mut found, mut status) = (String::new(), Vec::new(), 0);
    let overrides = named.overrides(None)?;
    for file in files(&named.path()?)? {
        let error = match context::load(&file, &overrides).await {
            Ok((pipeline, origins)) => match context::open(pipeline, origins).await {
                Ok(mut opened) => opened.problem_of_next().await?,
                Err(error) => Some(error),
            },
            Err(error) => Some(error),
        };
        let shown = file.display();
        match &error {
            None => text.push_str(&format!("{shown}: ok\n")),
            Some(error) => {
                text.push_str(&format!("{shown}: {}\n", plain_lines(&error.chain())));
                text.extend(error.hint_text().map(|hint| format!("  hint: {}\n", plain_lines(hint))));
                status = status.max(error.kind().exit_status());
            }
        }
        let error = error.map(|error| documents::error("validate", &error)["error"].clone());
        found.push(json!({"config": file, "ok": error.is_none(), "error": error}));
    }
    let document = json!({"command": "validate", "files": found});
    Ok(Answer { status, ..Answer::new(text, document) }.or_silence())
}

/// Runs the tests beside each file; a file that has none is passed over, unless it is the only one.
pub(super) async fn tried(named: &Named, clock: Clock) -> Result<Answer> {
    let files = files(&named.path()?)?;
    let (mut text, mut found) = (String::new(), Vec::new());
    let overrides = named.overrides(None)?;
    for file in &files {
        if !tests_of(file).is_file() && files.len() > 1 {
            continue;
        }
        let (pipeline, origins) = context::load(file, &overrides).await?;
        for tried in Box::pin(try_all(file, &pipeline, &origins, clock)).await? {
            let passed = tried.differences.is_empty();
            let word = if passed { "ok" } else { "FAILED" };
            text.push_str(&format!("{word}  {}: {}\n", pipeline.name, plain_lines(&tried.name)));
            for difference in &tried.differences {
                text.push_str(&format!("        {}\n", plain_lines(difference)));
            }
            found.push(json!({
                "config": tried.file, "pipeline": pipeline.name, "name": tried.name, "passed": passed,
                "differences": tried.differences,
            }));
        }
    }
    let failed = found.iter().filter(|tried| tried["passed"] == false).count();
    text.push_str(&format!("\n{} passed, {failed} failed\n", found.len() - failed));
    let document =
        json!({"command": "test", "passed": found.len() - failed, "failed": failed, "tests": found});
    Ok(Answer { status: u8::from(failed > 0), ..Answer::new(text, document) })
}
