//! What is wrong with a pipeline file, told so that its author knows where to look and what to
//! write.

use std::fmt;

use super::origin::{Origin, Origins};
use super::tree::join;
use crate::error::{self, Error, masked};

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The dotted path of the key, such as `incremental.lookback`; empty for the file as a whole.
    pub path: String,
    /// Where to look.
    pub origin: Origin,
    /// What is wrong, in one line. Never holds a value from `storage`.
    pub message: String,
    /// What to do about it, where that is known.
    pub hint: Option<String>,
}

impl Problem {
    /// What keeps a check from being run, where its `key` stands.
    #[must_use]
    pub fn of_check(origins: &Origins, name: &str, key: &str, why: &str) -> Self {
        Self {
            path: join(origins.check_path(name), key),
            origin: origins.of_check(name, key),
            message: format!("check {name}: {why}"),
            hint: None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong with a configuration, in the order of the file; what the environment
/// and the flags set comes last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            let newline = if i == 0 { "" } else { "\n" };
            write!(f, "{newline}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl From<&Problem> for error::Problem {
    fn from(problem: &Problem) -> Self {
        let (file, line, column) = match &problem.origin {
            Origin::WholeFile(file) => (Some(file.to_string()), None, None),
            Origin::File { file, line, column } => (Some(file.to_string()), Some(*line), Some(*column)),
            Origin::Env(_) | Origin::Flag(_) | Origin::Default => (None, None, None),
        };
        let message = match &problem.origin {
            Origin::Env(name) | Origin::Flag(name) => format!("{name}: {}", problem.message),
            _ => problem.message.clone(),
        };
        // What is written about storage may be a secret.
        let shown = !problem.path.starts_with("storage");
        let excerpt = match &problem.origin {
            Origin::File { file, line, .. } if shown => line_of(file, *line),
            _ => None,
        };
        Self { message, hint: problem.hint.clone(), file, line, column, excerpt }
    }
}

/// A line of a file, if it can still be read.
fn line_of(file: &str, line: usize) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    text.lines().nth(line.checked_sub(1)?).map(masked)
}

impl Problems {
    /// The problems as one failure.
    #[must_use]
    pub fn to_error(&self) -> Error {
        Error::usage(self.to_string()).problems(self.0.iter().map(Into::into).collect())
    }
}

/// What is wrong with one value, before it is known where the value stands.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Fault {
    pub(super) fn new(message: impl Into<String>) -> Self {
        let message = masked(&message.into());
        Self { message, hint: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn at(self, path: &str, origin: Origin) -> Problem {
        Problem { path: path.to_owned(), origin, message: self.message, hint: self.hint }
    }
}

/// Problems as they are found, each at the position of its path.
pub(super) struct Report<'a> {
    pub(super) origins: &'a Origins,
    pub(super) problems: Vec<Problem>,
}

impl<'a> Report<'a> {
    pub(super) fn new(origins: &'a Origins) -> Self {
        let problems = Vec::new();
        Self { origins, problems }
    }

    pub(super) fn add(&mut self, path: &str, fault: Fault) {
        let problem = fault.at(path, self.origins.position(path));
        self.problems.push(problem);
    }
}

/// The one of `known` that was probably meant by `name`, if any is near enough.
pub(super) fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    near(name, known, 1).first().copied()
}

/// Those of `known` that may have been meant by `name`, the nearest first; at most so many.
#[must_use]
pub fn near<'k>(name: &str, known: impl IntoIterator<Item = &'k str>, most: usize) -> Vec<&'k str> {
    let lower = name.to_lowercase();
    // One typing mistake in three letters: more, and the suggestion would puzzle more than it
    // helps.
    let limit = (lower.chars().count() / 3).max(1);
    let mut found: Vec<(usize, &str)> = known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .collect();
    found.sort_by_key(|(distance, _)| *distance);
    found.into_iter().map(|(_, candidate)| candidate).take(most).collect()
}

/// The hint that names the one of `known` that was probably meant by `name`, if any is near enough.
#[must_use]
pub fn did_you_mean<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<String> {
    nearest(name, known).map(|candidate| format!("did you mean `{candidate}`?"))
}
