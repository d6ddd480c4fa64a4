//! Failed runs, a row each in `loads_attempts`.
//!
//! The table is no part of the protocol: nothing is decided by it, and where it is missing or cannot be written, all
//! goes on without.

use std::any::Any;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::Duration;

use futures::FutureExt as _;
use tokio::time::timeout;

use crate::context::PipelineContext;
use crate::error::{Error, Kind, Result, masked};
use crate::lake::Table;
use crate::lake::record::{rows_of, to_batch};
use crate::model::{AttemptRow, Clock, Runner};
use crate::runner::runner;

/// How long a failed run may take to say so: storage that is away must not keep it.
const PATIENCE: Duration = Duration::from_secs(10);
/// Characters that a message keeps.
const LONGEST: usize = 4_000;

/// How a piece of work ended: with a result, or in a panic.
type Ended<T> = std::result::Result<Result<T>, Box<dyn Any + Send>>;

/// A command that loads or takes back, for the row of its failure.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    /// The command's name.
    pub command: &'static str,
    /// Its clock.
    pub clock: Clock,
}

/// Does a run's work to its end, even where that is a panic.
///
/// # Errors
/// With the panic. How the work itself failed is part of the result.
pub async fn ended<T>(work: impl Future<Output = Result<T>>) -> Ended<T> {
    AssertUnwindSafe(work).catch_unwind().await
}

impl Attempt {
    /// Gives on how a run's work ended. A failure leaves a row first, where that can be written.
    ///
    /// # Errors
    /// As the work. A panic goes on.
    pub async fn told<T>(self, opened: &PipelineContext, ended: Ended<T>) -> Result<T> {
        match ended {
            Ok(Ok(done)) => Ok(done),
            // Nothing was begun, and nothing changes where a pipeline file does not fit its tables.
            Ok(Err(error)) if opened.problem_told => Err(error),
            Ok(Err(error)) => {
                self.record(opened, error.kind(), &error.chain()).await;
                Err(error)
            }
            Err(panic) => {
                let message = format!("internal error: {}", panic_message(panic.as_ref()));
                self.record(opened, Kind::Bug, &message).await;
                resume_unwind(panic)
            }
        }
    }

    async fn record(self, opened: &PipelineContext, kind: Kind, message: &str) {
        let Runner { job_id, job_attempt, ecs_task, .. } = runner().await.unwrap_or_default();
        let row = AttemptRow {
            attempted_at: self.clock.now(),
            pipeline: opened.pipeline.name.clone(),
            command: self.command.to_owned(),
            as_of: Some(opened.as_of(self.clock)),
            exit_status: kind.exit_status().into(),
            message: Some(kept(message)),
            job_id,
            job_attempt,
            ecs_task,
        };
        match timeout(PATIENCE, append(opened, &row)).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => tracing::debug!("there is no table of attempts"),
            Ok(Err(error)) => {
                tracing::warn!(error = error.chain(), "this failure could not be noted among the attempts");
            }
            Err(_) => tracing::warn!("this failure could not be noted among the attempts in time"),
        }
    }
}

/// Appends a row; `false` where there is no table.
async fn append(opened: &PipelineContext, row: &AttemptRow) -> Result<bool> {
    let Some(table) = table(opened).await? else { return Ok(false) };
    let rows = to_batch(&table, row)?;
    table.append_foreign(vec![rows]).await?;
    Ok(true)
}

/// The latest failures of a pipeline, newest first; none where they cannot be read.
pub async fn latest(opened: &PipelineContext, number: usize) -> Vec<AttemptRow> {
    let read = async {
        let Some(table) = table(opened).await? else { return Ok(Vec::new()) };
        rows_of::<AttemptRow>(&opened.engine, &table, &opened.pipeline.name).await
    };
    let rows: Result<Vec<AttemptRow>, Error> = read.await;
    let mut rows = rows.unwrap_or_else(|error| {
        tracing::debug!(error = error.chain(), "the attempts cannot be read");
        Vec::new()
    });
    rows.sort_by_key(|row| std::cmp::Reverse(row.attempted_at));
    rows.truncate(number);
    rows
}

async fn table(opened: &PipelineContext) -> Result<Option<Table>> {
    let location = &opened.pipeline.attempts;
    opened.lake.open_existing(location.name(), location).await
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without a message")
}

/// A message as a table may keep it for good: short, and without what URLs say after `?`, signed or not.
fn kept(message: &str) -> String {
    let without_query = |word: &str| {
        let query = word.split_once("://").and_then(|(_, rest)| rest.split_once('?')).map(|(_, query)| query);
        match query {
            Some(query) => format!("{}***", &word[..word.len() - query.len()]),
            None => word.to_owned(),
        }
    };
    let words: Vec<String> = masked(message).split(' ').map(without_query).collect();
    words.join(" ").chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn panic_of_a_run_is_caught_with_its_message() {
        let panic = ended(async { if LONGEST == 0 { Ok(()) } else { panic!("no {}", "way") } }).await;
        assert_eq!(panic_message(panic.unwrap_err().as_ref()), "no way");
        let failed = ended(async { Err::<(), Error>(Error::retry("later")) }).await;
        assert_eq!(failed.unwrap().unwrap_err().kind(), Kind::Retry);
    }

    #[test]
    fn message_keeps_no_credentials_of_a_url() {
        let message =
            "cannot read https://me:pass@host/a?X-Amz-Signature=f00 and `s3://k:s@lake/t`: see s3://lake/u";
        assert_eq!(
            kept(message),
            "cannot read https://***@host/a?*** and `s3://***@lake/t`: see s3://lake/u"
        );
    }

    #[test]
    fn message_is_cut() {
        assert_eq!(kept(&"x".repeat(10_000)).len(), LONGEST);
    }
}
