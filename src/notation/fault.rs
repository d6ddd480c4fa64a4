//! What is wrong with a value that somebody wrote, and what was probably meant.

use crate::error::masked;

/// What is wrong with one value, before it is known where the value stands.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Fault {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        let message = masked(&message.into());
        Self { message, hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The one of `known` that was probably meant by `name`, if any is near enough.
pub(crate) fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
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
