//! Errors that tell an operator what to do.
//!
//! There are few kinds, because a caller can do only a few different things about a failure: mend what
//! was asked for, try again later, or call a person. Everything else is in the message. An outcome, such
//! as a rejected batch or a commit that lost a race, is a value and never an [`Error`].

mod markup;
mod mask;

use std::error::Error as StdError;
use std::fmt;

pub use markup::{element, in_few_words};
pub use mask::{hide, hide_password, masked, user_and_password};

/// A result whose error tells the operator what to do.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What somebody can do about an error; decides the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The command line, the pipeline file or the tables it names are wrong. Exit status 2.
    Usage,
    /// Nothing is wrong with the batch: storage was away, or others kept committing. Exit status 3.
    Retry,
    /// The tables say something that no run could have written. Exit status 4.
    Person,
    /// It was ended from outside, by SIGTERM. Exit status 143.
    Stopped,
    /// A bug in highwater. Exit status 70.
    Bug,
}

impl Kind {
    /// The process exit status for this kind.
    #[must_use]
    pub fn exit_status(self) -> u8 {
        match self {
            Self::Usage => 2,
            Self::Retry => 3,
            Self::Person => 4,
            Self::Stopped => 143,
            Self::Bug => 70,
        }
    }

    /// The kind's name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::Retry => "retry",
            Self::Person => "person",
            Self::Stopped => "stopped",
            Self::Bug => "bug",
        }
    }
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub message: String,
    /// What to do about it, where that is known.
    pub hint: Option<String>,
    /// The file to look at.
    pub file: Option<String>,
    /// The line in it, from 1.
    pub line: Option<usize>,
    /// The column, from 1.
    pub column: Option<usize>,
    /// The line's text, where it may be shown.
    pub excerpt: Option<String>,
}

/// A failure with what to do about it.
///
/// `Display` gives this error's own message only; the chain of sources is printed once, in `main`.
pub struct Error {
    kind: Kind,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
    problems: Vec<Problem>,
}

impl Error {
    fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, source: None, problems: Vec::new() }
    }

    /// The request, the config or a named table is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// The same call may succeed later.
    pub fn retry(message: impl Into<String>) -> Self {
        Self::new(Kind::Retry, message)
    }

    /// A person has to look at the tables.
    pub fn person(message: impl Into<String>) -> Self {
        Self::new(Kind::Person, message)
    }

    /// It was ended from outside.
    pub fn stopped(message: impl Into<String>) -> Self {
        Self::new(Kind::Stopped, message)
    }

    /// Something that cannot happen did.
    pub fn bug(message: impl Into<String>) -> Self {
        Self::new(Kind::Bug, message)
    }

    /// Adds the line that says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the error underneath.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds what is wrong one by one, where the message tells several things or a place.
    #[must_use]
    pub fn problems(mut self, problems: Vec<Problem>) -> Self {
        self.problems = problems;
        self
    }

    /// The error underneath.
    #[must_use]
    pub fn into_source(self) -> Option<Box<dyn StdError + Send + Sync>> {
        self.source
    }

    /// What is wrong, one by one; the error itself where it is one thing.
    #[must_use]
    pub fn each(&self) -> Vec<Problem> {
        if !self.problems.is_empty() {
            return self.problems.clone();
        }
        vec![Problem { message: self.chain(), hint: self.hint.clone(), ..Problem::default() }]
    }

    /// What somebody can do about it.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The line that says what to do, where there is one.
    #[must_use]
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The message followed by every source that adds something, joined by `: `.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.message.clone();
        let mut next = StdError::source(self);
        while let Some(error) = next {
            let line = error.to_string();
            // Some carry a backtrace in their message, if the environment asks for one.
            let traces = ["\n\nstack backtrace:", "\n   0: "];
            let line =
                traces.iter().fold(line.as_str(), |line, trace| line.split(trace).next().unwrap_or_default());
            let line = in_few_words(line.trim_end()).replace('\n', " ");
            // Some libraries repeat their source in their own message; say each thing once.
            if !text.contains(&line) {
                text.push_str(": ");
                text.push_str(&line);
            }
            next = error.source();
        }
        masked(&text)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&masked(&self.message))
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, hint, .. } = self;
        f.debug_struct("Error")
            .field("kind", kind)
            .field("message", &self.chain())
            .field("hint", hint)
            .finish_non_exhaustive()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_with_a_repeating_source_says_each_thing_once() {
        let inner = Error::retry("disk on fire");
        let outer = Error::person("could not write: disk on fire").because(inner);
        assert_eq!(outer.chain(), "could not write: disk on fire");
    }

    #[test]
    fn backtrace_in_a_message_of_a_library_is_left_out() {
        let told = |inner: &str| Error::bug("odd").because(Error::bug(inner)).chain();
        assert_eq!(told("broken\n   0: <unknown>\n   1: main"), "odd: broken");
        assert_eq!(told("broken\n\nstack backtrace:\n   0: x"), "odd: broken");
    }

    #[test]
    fn exit_statuses_are_the_documented_ones() {
        let kinds = [Kind::Usage, Kind::Retry, Kind::Person, Kind::Bug, Kind::Stopped];
        assert_eq!(kinds.map(Kind::exit_status), [2, 3, 4, 70, 143]);
    }
}
