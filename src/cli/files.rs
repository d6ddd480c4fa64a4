//! `ingest` and `bookmarks`: files that come before staging.

use chrono::NaiveDate;
use clap::{Args, Subcommand};

use super::answer::Answer;
use super::arguments::{date, some_text};
use crate::config::Pipeline;
use crate::context::{PipelineContext, memory_limit};
use crate::engine::Engine;
use crate::error::Result;
use crate::hooks::Hooks;
use crate::ingest::bookmarks::{Say, Which, list, say};
use crate::ingest::{IngestReport, ingest, replay_from_raw};
use crate::lake::Lake;
use crate::model::Clock;
use crate::report::files;
use crate::report::look::Look;

/// What is known of files.
#[derive(Debug, Subcommand)]
pub(super) enum BookmarksCommand {
    /// List the files that were found, by path, with what became of each
    List,
    /// Decide that a file stays out, as long as its content is what it is
    Skip {
        /// Its path, as `list` shows it
        #[arg(value_name = "FILE")]
        file: String,
        /// Why; kept with it
        #[arg(long, value_name = "TEXT", value_parser = some_text)]
        reason: String,
    },
    /// Have files brought in again by the next `ingest` or `run`; what they brought before stays in staging
    Reset(ResetArgs),
    /// Bring no files in until `resume`
    Pause,
    /// Bring files in again
    Resume,
}

/// Which files.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct ResetArgs {
    /// The file's path, as `list` shows it
    #[arg(value_name = "FILE")]
    file: Option<String>,
    /// Those that were found on this day or later
    #[arg(long, value_name = "DATE", value_parser = date)]
    since: Option<NaiveDate>,
    /// Every one; staging may be another table than before
    #[arg(long)]
    all: bool,
}

pub(super) fn bookmarks_name(command: &BookmarksCommand) -> &'static str {
    match command {
        BookmarksCommand::List => "bookmarks list",
        BookmarksCommand::Skip { .. } => "bookmarks skip",
        BookmarksCommand::Reset(_) => "bookmarks reset",
        BookmarksCommand::Pause => "bookmarks pause",
        BookmarksCommand::Resume => "bookmarks resume",
    }
}

fn opened(pipeline: &Pipeline) -> (Lake, Engine) {
    (Lake::of(pipeline), Engine::new(memory_limit(pipeline.memory)))
}

/// Brings files in.
pub(super) async fn ingest_answer(
    pipeline: &Pipeline,
    clock: Clock,
    hooks: &Hooks,
    look: &Look,
) -> Result<Answer> {
    let (lake, engine) = opened(pipeline);
    let report = ingest(pipeline, &lake, &engine, clock, hooks).await?;
    let told = Answer::new(files::ingest(&report, look), files::ingest_document(&report));
    Ok(Answer { status: u8::from(report.is_bad()), ..told }.or_silence())
}

/// Makes rows of staging anew.
pub(super) async fn replay_answer(
    pipeline: &Pipeline,
    since: Option<NaiveDate>,
    dry_run: bool,
    look: &Look,
) -> Result<Answer> {
    let (lake, engine) = opened(pipeline);
    let report = Box::pin(replay_from_raw(pipeline, &lake, &engine, since, dry_run)).await?;
    let told = Answer::new(files::replay(&report, dry_run, look), files::replay_document(&report, dry_run));
    Ok(Answer { status: u8::from(!report.gone.is_empty()), ..told }.or_silence())
}

/// Shows or changes what is known of files.
pub(super) async fn bookmarks_answer(
    pipeline: &Pipeline,
    command: BookmarksCommand,
    clock: Clock,
    look: &Look,
) -> Result<Answer> {
    let (lake, engine) = opened(pipeline);
    let name = bookmarks_name(&command);
    let what = match command {
        BookmarksCommand::List => {
            let rows = list(pipeline, &lake, &engine).await?;
            let document = files::bookmarks_document(name, &pipeline.name, &rows);
            return Ok(Answer::new(files::bookmarks(&rows, look), document));
        }
        BookmarksCommand::Pause | BookmarksCommand::Resume => {
            let is_pause = matches!(command, BookmarksCommand::Pause);
            let what = if is_pause { Say::Pause } else { Say::Resume };
            let rows = say(pipeline, &lake, &engine, clock, &what).await?;
            let told = format!(
                "{}: bringing files in is {}\n",
                pipeline.name,
                if is_pause { "paused" } else { "on" }
            );
            return Ok(Answer::new(told, files::bookmarks_document(name, &pipeline.name, &rows)).or_silence());
        }
        BookmarksCommand::Skip { file, reason } => Say::Skip(file, reason),
        BookmarksCommand::Reset(ResetArgs { file: Some(file), .. }) => Say::Reset(Which::File(file)),
        BookmarksCommand::Reset(ResetArgs { since: Some(day), .. }) => Say::Reset(Which::Since(day)),
        BookmarksCommand::Reset(_) => Say::Reset(Which::All),
    };
    let rows = say(pipeline, &lake, &engine, clock, &what).await?;
    let told = files::said(&pipeline.name, &rows);
    Ok(Answer::new(told, files::bookmarks_document(name, &pipeline.name, &rows)).or_silence())
}

/// Brings files in before a load, if the pipeline file names some.
pub(super) async fn bring_in(
    opened: &mut PipelineContext,
    clock: Clock,
    hooks: &Hooks,
) -> Result<Option<IngestReport>> {
    if opened.pipeline.source.files.is_none() {
        return Ok(None);
    }
    let came = Box::pin(ingest(&opened.pipeline, &opened.lake, &opened.engine, clock, hooks)).await?;
    if came.is_bad() || came.corrupt_rows > 0 {
        // Told at once: the load may end in an error.
        tracing::warn!(
            failed = came.failed.len(),
            corrupt_rows = came.corrupt_rows,
            rejected = came.rejected,
            "not all of the files came in"
        );
    }
    // Staging moved since it was opened.
    opened.tables.fresh = false;
    Ok(Some(came))
}

impl Answer {
    /// The same, after files were brought in: what is wrong with them is wrong with all.
    pub(super) fn after(self, came: &IngestReport, look: &Look) -> Self {
        let mut json = self.json;
        json["ingest"] = files::ingest_document(came);
        let text = format!("{}\n{}", files::ingest(came, look), self.text);
        let status = if came.is_bad() { self.status.max(1) } else { self.status };
        Self { text, json, status, brief: self.brief }.or_silence()
    }
}
