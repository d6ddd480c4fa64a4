//! What an entry tells of a check that its row broke: short, since there may be a million of them.

use crate::checks::Check;
use crate::stages::check_text::LONGEST;

/// What a check demands of a row, in few words: every entry of a row that breaks it says so.
pub(super) fn demand(check: &Check) -> String {
    shortened(format!("must {}", check.kind.kind().demand()))
}

/// A text that an entry tells, or its beginning.
pub(super) fn shortened(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push('…');
    }
    text
}
