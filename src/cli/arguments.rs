//! Arguments that commands share, and how they are read.

use std::str::FromStr as _;

use chrono::NaiveDate;
use clap::{Args, ValueEnum};

use crate::contract::compatibility::Compatibility;
use crate::fail_points::FailAt;
use crate::model::{EntryStatus, Selection};
use crate::plan::Accepted;

/// Which pipelines, where `-c` names several files.
#[derive(Debug, Args)]
pub(super) struct SeveralArgs {
    /// Every pipeline that `-c` names: by a folder, or by a pattern in quotes
    #[arg(long)]
    pub(super) all: bool,
    /// The pipeline of this name; once for each
    #[arg(long, value_name = "NAME", conflicts_with = "all")]
    pub(super) select: Vec<String>,
    /// How many run at once; the others wait, and those that read what another writes
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one)]
    pub(super) max_parallel: usize,
}

impl SeveralArgs {
    /// Whether several are meant.
    pub(super) fn is_given(&self) -> bool {
        self.all || !self.select.is_empty()
    }
}

/// Which batch, and which of its checks may fail.
#[derive(Debug, Args)]
pub(super) struct BatchArgs {
    /// The logical date of the batch, such as 2025-09-01
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub(super) as_of: Option<NaiveDate>,
    #[command(flatten)]
    pub(super) accept: AcceptArgs,
}

/// Checks that a person lets pass once.
#[derive(Debug, Args)]
pub(super) struct AcceptArgs {
    /// Let this check pass once, although it would reject the batch; may be given more than once
    #[arg(long, value_name = "CHECK", requires = "reason")]
    pub(super) accept: Vec<String>,
    /// Why, for the audit row
    #[arg(long, value_name = "TEXT", requires = "accept", value_parser = some_text)]
    pub(super) reason: Option<String>,
}

impl BatchArgs {
    /// The words that ask for the same batch.
    pub(super) fn words(&self) -> Vec<String> {
        let as_of = self.as_of.map(|day| ["--as-of".to_owned(), day.to_string()]);
        let accept = self.accept.accept.iter().map(|check| ["--accept".to_owned(), check.clone()]);
        let reason = self.accept.reason.iter().map(|reason| ["--reason".to_owned(), reason.clone()]);
        as_of.into_iter().chain(accept).chain(reason).flatten().collect()
    }
}

impl SelectionArgs {
    /// The words that select the same entries.
    pub(super) fn words(&self) -> Vec<String> {
        let since = self.since.map(|day| day.to_string());
        let options = [
            ("--batch", self.batch.as_ref()),
            ("--check", self.check.as_ref()),
            ("--since", since.as_ref()),
            ("--where", self.r#where.as_ref()),
        ];
        let options = options.into_iter().filter_map(|(name, value)| Some([name.to_owned(), value?.clone()]));
        let keys = self.key.iter().map(|value| ["--key".to_owned(), value.clone()]);
        options.chain(keys).flatten().collect()
    }
}

impl AcceptArgs {
    pub(super) fn accepted(self) -> Accepted {
        Accepted { checks: self.accept.into_iter().collect(), reason: self.reason }
    }
}

/// Where to die.
#[derive(Debug, Args)]
pub(super) struct FailArgs {
    /// Kill this process hard at a point of the run, to try recovery: STEP[:before|after], with STEP one
    /// of pin, read, hash, dedupe, locate, gate, merge[:N], reconcile, quarantine, audit, watermark
    #[arg(long, value_name = "STEP", value_parser = fail_at)]
    pub(super) fail_at: Option<FailAt>,
}

/// Which entries of the quarantine; what is not said narrows nothing.
#[derive(Debug, Args)]
pub(super) struct SelectionArgs {
    /// Those that this batch kept out: its id, the beginning of it, or its number
    #[arg(long, value_name = "BATCH")]
    pub(super) batch: Option<String>,
    /// Those with this key; once for each of its columns, NULL where there is none
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    pub(super) key: Vec<String>,
    /// Those that broke this check
    #[arg(long, value_name = "CHECK")]
    pub(super) check: Option<String>,
    /// Those that were kept out on this day or later
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub(super) since: Option<NaiveDate>,
    /// Those for which this SQL condition holds
    #[arg(long, value_name = "SQL")]
    pub(super) r#where: Option<String>,
}

impl From<SelectionArgs> for Selection {
    fn from(arguments: SelectionArgs) -> Self {
        Self {
            batch_id: arguments.batch,
            key: Some(arguments.key).filter(|key| !key.is_empty()),
            check: arguments.check,
            since: arguments.since,
            filter: arguments.r#where,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum CompatibilityArg {
    Backward,
    Forward,
    Full,
}

impl From<CompatibilityArg> for Compatibility {
    fn from(asked: CompatibilityArg) -> Self {
        match asked {
            CompatibilityArg::Backward => Self::Backward,
            CompatibilityArg::Forward => Self::Forward,
            CompatibilityArg::Full => Self::Full,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum StatusArg {
    Open,
    Replayed,
    Stale,
    Discarded,
    All,
}

impl StatusArg {
    pub(super) fn status(self) -> Option<EntryStatus> {
        match self {
            Self::Open => Some(EntryStatus::Open),
            Self::Replayed => Some(EntryStatus::Replayed),
            Self::Stale => Some(EntryStatus::Stale),
            Self::Discarded => Some(EntryStatus::Discarded),
            Self::All => None,
        }
    }
}

pub(super) fn at_least_one(text: &str) -> std::result::Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "must be a number of at least 1".to_owned())
}

pub(super) fn some_text(text: &str) -> std::result::Result<String, String> {
    let text = text.trim();
    if text.is_empty() { Err("must say something".to_owned()) } else { Ok(text.to_owned()) }
}

pub(super) fn date(text: &str) -> std::result::Result<NaiveDate, String> {
    text.parse().map_err(|_| "must be a day such as 2025-09-01".to_owned())
}

pub(super) fn fail_at(text: &str) -> std::result::Result<FailAt, String> {
    FailAt::from_str(text).map_err(|error| format!("{error}; {}", error.hint_text().unwrap_or_default()))
}

pub(super) fn assignment(text: &str) -> std::result::Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE")?;
    if name.is_empty() {
        Err("must be NAME=VALUE".to_owned())
    } else {
        Ok((name.to_owned(), value.to_owned()))
    }
}
