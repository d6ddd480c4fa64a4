//! `new` and `init`: a pipeline file from a look at a table, and the tables that it names.

use std::path::PathBuf;

use clap::Args;

use super::answer::{Answer, load};
use super::named::Named;
use crate::error::{Kind, Result};
use crate::init::{InitState, init};
use crate::model::Clock;
use crate::report::look::Look;
use crate::report::{json, tables};
use crate::scaffold::{Wish, scaffold};

/// Which table, and what is known of it.
#[derive(Debug, Args)]
pub(super) struct NewArgs {
    /// The pipeline's name, and that of the files: NAME.yaml and NAME.sql
    name: String,
    /// The staging table's path or URL; or files, a folder or a pattern in quotes, such as 'raw/**/*.csv'
    #[arg(long, value_name = "TABLE|FILES")]
    source: String,
    /// The target's path or URL; without it, it lies beside staging, under the pipeline's name
    #[arg(long, value_name = "TABLE")]
    target: Option<String>,
    /// A column of the key, if it is not to be guessed; once for each
    #[arg(long, value_name = "COLUMN")]
    key: Vec<String>,
    /// The version column, if it is not to be guessed
    #[arg(long, value_name = "COLUMN")]
    version_column: Option<String>,
    /// The folder of the files; without it, the current one
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Writes the files, and says what was guessed.
pub(super) async fn new_answer(arguments: NewArgs, clock: Clock, look: &Look) -> Result<Answer> {
    let NewArgs { name, source, target, key, version_column, dir } = arguments;
    let wish = Wish { name, source, target, key, version: version_column, folder: dir.unwrap_or_default() };
    let made = scaffold(&wish, clock).await?;
    let look = Look { colour: look.colour, ..Look::of_stdout(false, Some(&made.file)) };
    Ok(Answer::new(tables::scaffold(&made, &look), json::scaffold(&wish.name, &made)).or_silence())
}

pub(super) async fn init_answer(config: Named, look: &Look) -> Result<Answer> {
    let (pipeline, origins) = load(config, None).await?;
    let found = init(&pipeline, &origins).await?;
    let any = |wrong: fn(&InitState) -> bool| found.iter().any(|table| wrong(&table.state));
    let status = if any(|state| matches!(state, InitState::Differs(_))) {
        Kind::Person.exit_status()
    } else if any(|state| matches!(state, InitState::Missing)) {
        Kind::Usage.exit_status()
    } else {
        0
    };
    Ok(Answer {
        status,
        ..Answer::new(tables::init(&found, pipeline.source.files.is_some(), look), json::init(&found))
    }
    .or_silence())
}
