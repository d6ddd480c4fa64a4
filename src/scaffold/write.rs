//! A guess told as a pipeline file, with the figures that it rests on.

use std::path::Path;

use super::guess::{Guess, range};
use super::identity::Guessed;
use super::profile::Profile;
use crate::model::Clock;
use crate::model::sql::Ident;

/// The column at which comments start, unless the line goes further.
const COMMENT: usize = 40;

/// Where things lie, as the file names them.
#[derive(Clone, Copy)]
pub(super) struct Places<'a> {
    pub(super) name: &'a str,
    pub(super) source: &'a str,
    pub(super) target: &'a str,
    pub(super) ddl: Option<&'a Path>,
}

/// The pipeline file.
pub(super) fn pipeline_file(places: &Places<'_>, profile: &Profile, guess: &Guess, clock: Clock) -> String {
    let mut lines = Vec::new();
    let mut add = |line: String, comment: Option<String>| {
        lines.push(match comment {
            Some(comment) => format!("{line:<COMMENT$} # {}", comment.replace('\n', " ")),
            None => line,
        });
    };
    let rows = if profile.whole {
        format!("{} rows", profile.rows)
    } else {
        format!("the first {} rows", profile.rows)
    };
    add(
        format!(
            "# Written by `highwater new` on {}, from {rows} of {}.",
            clock.now().date_naive(),
            plain(&profile.origin())
        ),
        None,
    );
    add(
        "# What was guessed is marked (?): look at it, then `highwater -c FILE init`, `plan` and `run`."
            .to_owned(),
        None,
    );
    add(format!("name: {}", places.name), None);
    source(places, profile, guess, &mut add);
    let ddl = places.ddl.and_then(Path::file_name).map(|name| name.display().to_string());
    match ddl {
        Some(ddl) => {
            add("target:".to_owned(), None);
            add(format!("  table: {}", yaml(places.target)), None);
            add(
                format!("  ddl: {}", yaml(&ddl)),
                Some("made by `init`; partitions, types and properties are said there".to_owned()),
            );
            if let Some((day, why)) = &guess.partition {
                let clause = plain(&format!("PARTITIONED BY ({})", Ident(day)));
                add(
                    format!("  # A large table is loaded faster in partitions: {clause} there; {why}."),
                    None,
                );
            }
            add(
                "  # And with deletion vectors, if all that read it know them: \
                 TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')."
                    .to_owned(),
                None,
            );
        }
        None => add(format!("target: {}", yaml(places.target)), None),
    }
    let because = |guessed: &[&Guessed]| {
        let why: Vec<&str> = guessed.iter().filter_map(|guessed| guessed.why.as_deref()).collect();
        (!why.is_empty()).then(|| format!("(?) {}", why.join("; ")))
    };
    let key: Vec<&Guessed> = guess.key.iter().collect();
    let names: Vec<String> = key.iter().map(|guessed| yaml(&guessed.column)).collect();
    let written =
        if let [only] = names.as_slice() { only.clone() } else { format!("[{}]", names.join(", ")) };
    add(format!("unique_key: {written}"), because(&key));
    for doubt in &guess.doubts {
        add(format!("# (?) {}", plain(doubt)), None);
    }
    add(format!("updated_at: {}", yaml(&guess.version.column)), because(&[&guess.version]));
    let window =
        guess.day.as_ref().map(|day| format!("; or by days, {{column: {}, lookback: 7 days}}", yaml(day)));
    add(
        "incremental: {mode: changes}".to_owned(),
        Some(format!("each change of staging is read by one load{}", window.unwrap_or_default())),
    );
    for name in &guess.unknown {
        add(
            format!(
                "# The target's column {} is not in staging: say where it comes from, or name it in target.exclude.",
                plain(name)
            ),
            None,
        );
    }
    if !guess.computed.is_empty() || !guess.checks.is_empty() {
        columns(guess, &mut add);
    }
    add(String::new(), None);
    add(format!("# What {rows} hold:"), None);
    for line in table(profile) {
        add(format!("#   {line}"), None);
    }
    lines.join("\n") + "\n"
}

/// Where rows come from.
fn source(
    places: &Places<'_>,
    profile: &Profile,
    guess: &Guess,
    add: &mut impl FnMut(String, Option<String>),
) {
    if guess.lineage.is_empty() && profile.files.is_none() {
        add(format!("source: {}", yaml(places.source)), None);
        return;
    }
    add("source:".to_owned(), None);
    let is_made = profile.files.is_some() && profile.version.is_none();
    add(
        format!("  table: {}", yaml(places.source)),
        is_made.then(|| "made by `init`, of what the files hold".to_owned()),
    );
    if let Some(files) = &profile.files {
        let delimiter =
            files.delimiter.map(|delimiter| format!(", delimiter: {}", quoted(&delimiter.to_string())));
        let bad = (files.corrupt > 0).then(|| {
            let example = files.example.as_deref().unwrap_or_default();
            format!(
                "{} of their rows cannot be read, and will be kept aside: {}",
                files.corrupt,
                plain(example)
            )
        });
        add(format!("  files: {{path: {}{}}}", quoted(&files.path), delimiter.unwrap_or_default()), bad);
    }
    if !guess.lineage.is_empty() {
        let names: Vec<String> = guess.lineage.iter().map(|name| yaml(name)).collect();
        add(
            format!("  lineage: [{}]", names.join(", ")),
            Some("(?) where a row came from, by the names: not loaded".to_owned()),
        );
    }
}

/// What is computed, and what could be checked.
fn columns(guess: &Guess, add: &mut impl FnMut(String, Option<String>)) {
    // A section of comments alone would have no value.
    let only_comments = guess.computed.is_empty();
    add(format!("{}columns:", if only_comments { "#" } else { "" }), None);
    for (name, sql, why) in &guess.computed {
        add(format!("  {}: {{from: {}}}", yaml(name), flow(sql)), Some(format!("(?) {why}")));
    }
    for (name, check, why) in &guess.checks {
        add(format!("#  {}: {{checks: [{check}]}}", yaml(name)), Some(why.clone()));
    }
}

/// The profile as lines of one width a column.
fn table(profile: &Profile) -> Vec<String> {
    let head = ["column", "type", "NULL", "values", "from … to"].map(str::to_owned);
    let rows = profile.columns.iter().map(|column| {
        let distinct = column.distinct.map_or("-".to_owned(), |distinct| format!("~{distinct}"));
        [
            plain(&column.name),
            column.data_type.to_string(),
            column.nulls.to_string(),
            distinct,
            plain(&range(column)),
        ]
    });
    let rows: Vec<[String; 5]> = std::iter::once(head).chain(rows).collect();
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or_default();
    let widths = [width(0), width(1), width(2), width(3)];
    let line = |row: &[String; 5]| {
        let [a, b, c, d] = widths;
        format!("{:a$}  {:b$}  {:>c$}  {:>d$}  {}", row[0], row[1], row[2], row[3], row[4])
            .trim_end()
            .to_owned()
    };
    rows.iter().map(line).collect()
}

/// What no YAML may hold but at its beginning.
const BOM: char = '\u{feff}';

/// A text in a comment: in one line, whatever is in it.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || c == BOM { ' ' } else { c }).collect()
}

/// A text as YAML: bare where that cannot mean anything else.
fn yaml(text: &str) -> String {
    let first = text.starts_with(|c: char| c.is_alphabetic() || "_/".contains(c));
    let rest =
        text.chars().all(|c| c.is_alphanumeric() || "_./- ".contains(c)) && !text.ends_with([' ', '.']);
    let is_url = text.split_once("://").is_some_and(|(scheme, rest)| {
        scheme.chars().all(|c| c.is_ascii_alphanumeric())
            && rest.chars().all(|c| c.is_ascii_alphanumeric() || "_./-".contains(c))
    });
    let word =
        ["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&text.to_lowercase().as_str());
    if (first && rest || is_url) && !word { text.to_owned() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    serde_json::json!(text).to_string().replace(BOM, "\\ufeff")
}

/// A text within braces, where a comma ends it.
fn flow(text: &str) -> String {
    let bare = text.chars().all(|c| c.is_alphanumeric() || "_./-() ".contains(c))
        && text.starts_with(|c: char| c.is_alphabetic());
    match (bare, text.contains('(')) {
        (true, true) => text.to_owned(),
        (true, false) => yaml(text),
        (false, _) => quoted(text),
    }
}
