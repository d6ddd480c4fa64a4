//! Data made fit to be read: nothing that a terminal would act on, and no two values that look alike.

use serde_json::Value;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// The columns that reports keep to.
pub(super) const WIDTH: usize = 80;

/// A text on one line, with control characters, line breaks and what turns the reading direction written out.
#[must_use]
pub fn plain(text: &str) -> String {
    escaped(text, |_| false)
}

/// As [`plain`], with the line breaks kept: for messages of more than one line.
#[must_use]
pub fn plain_lines(text: &str) -> String {
    escaped(text, |c| c == '\n')
}

fn escaped(text: &str, keep: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if keep(c) => out.push(c),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || turns(c) => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// Whether a character breaks a line or turns the direction of what follows, though it is no control character.
fn turns(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A value of a table. NULL is bare; a text that could be taken for it, or for nothing, is in quotes.
#[must_use]
pub fn value(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "NULL".to_owned(),
        Some(Value::String(text)) => quoted(text),
        Some(other) => plain(&other.to_string()),
    }
}

/// A text, in quotes where it could be taken for another.
#[must_use]
pub fn quoted(text: &str) -> String {
    let odd = text.trim() != text || text.is_empty() || text == "NULL" || text.starts_with('\'');
    // A backslash of the text's own is doubled, so that it is told from one that stands for something.
    let text = plain(&text.replace('\\', "\\\\"));
    if odd { format!("'{}'", text.replace('\'', "''")) } else { text }
}

/// The columns that a text takes on a terminal.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// A text in lines of at most `room` columns, broken between words where that is possible.
pub(super) fn wrapped(text: &str, room: usize) -> Vec<String> {
    let room = room.max(8);
    let mut lines = vec![String::new()];
    for word in text.split_inclusive(' ') {
        let last = lines.last().map_or(0, |line| width(line));
        if last > 0 && last + width(word.trim_end()) > room {
            lines.push(String::new());
        }
        for part in pieces(word, room) {
            match lines.last_mut() {
                Some(line) if width(line) + width(part.trim_end()) <= room => line.push_str(&part),
                _ => lines.push(part),
            }
        }
    }
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

/// A text in lines that fit, with nothing in them that a terminal would act on. Each line goes on further in.
pub(super) fn paragraph(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let line = plain(line);
        let words = line.trim_start();
        let inset = (line.len() - words.len()).min(WIDTH / 2);
        let whole = " ".repeat(inset);
        if inset + width(words) <= WIDTH {
            out.push_str(&format!("{whole}{words}\n"));
            continue;
        }
        let parts = wrapped(words, WIDTH - inset - 2);
        for (number, part) in parts.iter().enumerate() {
            let further = if number == 0 { "" } else { "  " };
            out.push_str(&format!("{whole}{further}{part}\n"));
        }
    }
    out
}

/// A word that is longer than a line, cut.
fn pieces(word: &str, room: usize) -> Vec<String> {
    if width(word.trim_end()) <= room {
        return vec![word.to_owned()];
    }
    let mut pieces = vec![String::new()];
    let mut taken = 0;
    for c in word.chars() {
        let wide = c.width().unwrap_or_default();
        if taken + wide > room {
            pieces.push(String::new());
            taken = 0;
        }
        taken += wide;
        if let Some(piece) = pieces.last_mut() {
            piece.push(c);
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_that_look_alike_are_told_apart() {
        let values = [json!(null), json!(""), json!(" "), json!("NULL"), json!("a"), json!("'a'"), json!(1)];
        assert_eq!(
            [json!("a\nb"), json!("a\\nb")].each_ref().map(|one| value(Some(one))),
            ["a\\nb", "a\\\\nb"]
        );
        let shown = values.each_ref().map(|one| value(Some(one)));
        assert_eq!(shown, ["NULL", "''", "' '", "'NULL'", "a", "'''a'''", "1"]);
    }

    #[test]
    fn what_a_terminal_would_act_on_is_written_out() {
        let text = "a\nb\r\u{1b}[31mred\u{7}\u{9b}\u{202e}x\u{2028}é漢";
        assert_eq!(plain(text), "a\\nb\\r\\u{1b}[31mred\\u{7}\\u{9b}\\u{202e}x\\u{2028}é漢");
        assert_eq!(plain_lines("a\nb\u{1b}"), "a\nb\\u{1b}");
    }

    #[test]
    fn wrapped_text_keeps_every_character_and_the_width() {
        let text = format!("some words {} and 漢字漢字漢字漢字漢字 then the end", "x".repeat(50));
        for room in [10, 20, 33, 80] {
            let lines = wrapped(&text, room);
            assert!(lines.iter().all(|line| width(line) <= room), "{lines:?}");
            let letters = |text: &str| text.replace(' ', "");
            assert_eq!(letters(&lines.concat()), letters(&text));
        }
        assert_eq!(wrapped("", 10), [""]);
    }

    #[test]
    fn paragraph_keeps_to_the_width_and_its_lines() {
        let text = paragraph(&format!("one\n\n  hint: {}", "word ".repeat(40)));
        assert!(text.starts_with("one\n\n  hint: word") && text.contains("\n    word"), "{text}");
        assert!(text.lines().all(|line| width(line) <= WIDTH), "{text}");
    }
}
