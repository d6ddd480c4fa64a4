//! How reports for people look: colour, length, and how the program is called.

use std::path::Path;

use anstyle::{AnsiColor, Style};

use super::plain::paragraph;
use crate::model::{CheckVerdict, Status};

/// How reports look.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// Whether there is colour. Everything reads well without.
    pub colour: bool,
    /// Whether what is as it should be is told one by one.
    pub verbose: bool,
    /// Whether steps are told with their rows and memory.
    pub timings: bool,
    /// How the program is called for this pipeline, such as `highwater -c orders.yaml`.
    pub program: String,
    /// The words that named the batch, for a line that says how to go on with the same one; with a space before.
    pub words: String,
}

impl Look {
    /// The look of reports on stdout: in colour on a terminal, unless `NO_COLOR` is set.
    #[must_use]
    pub fn of_stdout(verbose: bool, config: Option<&Path>) -> Self {
        let choice = anstream::AutoStream::choice(&std::io::stdout());
        let program = config.map_or_else(
            || "highwater".to_owned(),
            |path| format!("highwater -c {}", for_shell(&path.display().to_string())),
        );
        Self {
            colour: choice != anstream::ColorChoice::Never,
            verbose,
            timings: false,
            program,
            words: String::new(),
        }
    }

    /// The look of a report of the batch that these words named.
    #[must_use]
    pub fn asked(&self, words: &[String]) -> Self {
        let words = words.iter().flat_map(|word| [" ".to_owned(), for_shell(word)]).collect();
        Self { words, ..self.clone() }
    }

    pub(super) fn paint(&self, style: Style, text: &str) -> String {
        if self.colour && style != Style::new() && !text.is_empty() {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }

    /// The line that says what to do next.
    pub(super) fn next(&self, what: &str) -> String {
        let text = paragraph(&format!("next: {what}"));
        match text.strip_prefix("next:") {
            Some(rest) => format!("\n{}{rest}", self.paint(Style::new().bold(), "next:")),
            None => format!("\n{text}"),
        }
    }
}

/// How headings look.
pub(super) fn heading() -> Style {
    Style::new().bold()
}

/// The colour of a check's verdict.
pub(super) fn of_verdict(verdict: CheckVerdict) -> Style {
    match verdict {
        CheckVerdict::Passed => good(),
        CheckVerdict::Failed => bad(),
        CheckVerdict::Warned | CheckVerdict::Quarantined | CheckVerdict::Accepted => odd(),
        CheckVerdict::Skipped => Style::new().dimmed(),
    }
}

/// The colour of a batch's status.
pub(super) fn of_status(status: Status) -> Style {
    match status {
        Status::Loaded | Status::Evolved => good(),
        Status::Rejected | Status::Failed => bad(),
        Status::RolledBack | Status::Abandoned => odd(),
    }
}

pub(super) fn good() -> Style {
    AnsiColor::Green.on_default()
}

pub(super) fn odd() -> Style {
    AnsiColor::Yellow.on_default()
}

pub(super) fn bad() -> Style {
    AnsiColor::Red.on_default().bold()
}

/// A word as a shell reads it back.
fn for_shell(word: &str) -> String {
    let bare =
        !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+:,@%=".contains(c));
    if bare { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_the_shell_where_they_must_be() {
        assert_eq!(["a/b.yaml", "my file", "it's"].map(for_shell), ["a/b.yaml", "'my file'", r"'it'\''s'"]);
    }
}
