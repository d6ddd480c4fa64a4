//! What is wrong with a pipeline file, told so that its author knows where to look and what to
//! write.

use std::fmt;

use super::origin::{Origin, Origins};
use super::tree::join;
use crate::error::{self, Error, masked};
use crate::notation::Fault;

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

impl Fault {
    /// The fault as a problem of this path.
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
