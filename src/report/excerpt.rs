//! What is wrong with a file, told under the line that it is about.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::plain::{plain, plain_lines};
use crate::error::Problem;

/// The problems as text, each with its line of the file where that may be shown; `None` where none has a place.
#[must_use]
pub fn excerpts(problems: &[Problem], colour: bool) -> Option<String> {
    if problems.iter().all(|problem| problem.line.is_none()) {
        return None;
    }
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let told: Vec<String> = problems.iter().map(|problem| told(problem, &renderer)).collect();
    Some(format!("{}\n", told.join("\n\n")))
}

fn told(problem: &Problem, renderer: &Renderer) -> String {
    let (message, hint) = (plain_lines(&problem.message), problem.hint.as_deref().map(plain_lines));
    let file = problem.file.as_deref().map(plain).unwrap_or_default();
    let line = problem.excerpt.as_deref().map(plain).unwrap_or_default();
    let mut group: Group<'_> = Level::ERROR.primary_title(message).elements(Vec::<Origin<'_>>::new());
    match (problem.line, &problem.excerpt) {
        (Some(number), Some(_)) => {
            let span = marked(&line, problem.column.unwrap_or(1));
            let snippet = Snippet::source(line).line_start(number).path(file);
            group = group.element(snippet.annotation(AnnotationKind::Primary.span(span)));
        }
        (Some(number), None) => {
            let place = Origin::path(file).line(number).char_column(problem.column.unwrap_or(1));
            group = group.element(place);
        }
        _ if !file.is_empty() => group = group.element(Origin::path(file)),
        _ => {}
    }
    if let Some(hint) = hint {
        group = group.element(Level::HELP.with_name("hint").message(hint));
    }
    renderer.render(&[group])
}

/// The bytes of a line that a problem at this column, counted in characters from 1, is about: a key, or a value to the
/// end of it.
fn marked(line: &str, column: usize) -> Range<usize> {
    let start = line.char_indices().nth(column.saturating_sub(1)).map_or(line.len(), |(at, _)| at);
    let rest = &line[start..];
    // Within brackets on one line, a value ends where the next one begins.
    let in_brackets = line[..start].contains(['[', '{']);
    let next = rest.find([',', ']', '}']).filter(|_| in_brackets);
    let ends = [rest.find(": "), rest.find(" #"), rest.strip_suffix(':').map(str::len), next];
    let end = ends.into_iter().flatten().min().unwrap_or(rest.len());
    start..start + rest[..end].trim_end().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_or_value_is_marked_to_its_end() {
        let marked = |line: &str, column| line[marked(line, column)].to_owned();
        assert_eq!(marked("  lookback: 7 dayz  # a week", 3), "lookback");
        assert_eq!(marked("  lookback: 7 dayz  # a week", 13), "7 dayz");
        assert_eq!(marked("columns:", 1), "columns");
        assert_eq!(marked("unique_key: [ordr_id, b]", 14), "ordr_id");
        assert_eq!(marked("  gruß: ä", 9), "ä");
        assert_eq!(marked("", 1), "");
        assert_eq!(marked("a", 9), "");
    }

    #[test]
    fn problem_is_told_with_its_line_and_a_caret() {
        let problem = Problem {
            message: "unknown key `lookbak`".to_owned(),
            hint: Some("did you mean `lookback`?".to_owned()),
            file: Some("orders.yaml".to_owned()),
            line: Some(37),
            column: Some(3),
            excerpt: Some("  lookbak: 7 days".to_owned()),
        };
        let text = excerpts(std::slice::from_ref(&problem), false).unwrap();
        let lines = [
            "error: unknown key `lookbak`",
            "  --> orders.yaml:37:3",
            "   |",
            "37 |   lookbak: 7 days",
            "   |   ^^^^^^^",
            "   |",
            "   = hint: did you mean `lookback`?",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), lines);
        // What may be a secret is not shown.
        let place = excerpts(&[Problem { excerpt: None, ..problem.clone() }], false).unwrap();
        assert!(place.contains("--> orders.yaml:37:3") && !place.contains("7 days"), "{place}");
        assert_eq!(excerpts(&[Problem { line: None, ..problem }], false), None);
    }
}
