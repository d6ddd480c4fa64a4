//! What an entry tells of a check that its row broke: short, since there may be a million of them.

use crate::config::{Check, CheckKind};
use crate::stages::check_text::LONGEST;

/// How many accepted values a demand names.
const VALUES: usize = 5;

/// What a check demands of a row, in few words: every entry of a row that breaks it says so.
pub(super) fn demand(check: &Check) -> String {
    let range = |min: &Option<String>, max: &Option<String>| match (min, max) {
        (Some(min), Some(max)) => format!("lie in {min} to {max}"),
        (Some(min), None) => format!("be at least {min}"),
        (None, Some(max)) => format!("be at most {max}"),
        (None, None) => "have any value".to_owned(),
    };
    let demand = match &check.kind {
        CheckKind::NotNull => "not be NULL".to_owned(),
        CheckKind::Unique { columns } => format!("be the only row with its {}", columns.join(", ")),
        CheckKind::AcceptedValues { values } if values.len() > VALUES => {
            format!("be one of {} and {} more", values[..VALUES].join(", "), values.len() - VALUES)
        }
        CheckKind::AcceptedValues { values } => format!("be one of {}", values.join(", ")),
        CheckKind::AcceptedRange { min, max } => range(min, max),
        CheckKind::Regex { pattern } => format!("match {pattern}"),
        CheckKind::Relationships { to, field } => format!("be found in {to}.{field}"),
        CheckKind::Expression { sql } => format!("satisfy {sql}"),
        CheckKind::Sql { .. } => "not be returned by the query".to_owned(),
        other => format!("pass {}", other.as_str()),
    };
    shortened(format!("must {demand}"))
}

/// A text that an entry tells, or its beginning.
pub(super) fn shortened(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push('…');
    }
    text
}
