//! Validates a tree against the schema and finds all that is wrong, not only the first.
//!
//! What is wrong is reported and dropped, so that what is left always deserializes, and the phases
//! after this one can report their problems in the same run.

use serde_json::{Map, Value as Json};

use super::origin::Origin;
use super::problem::Problem;
use super::shape::{Numbers, Shape};
use super::tree::{ENV_PREFIX, ENV_SEPARATOR, Entry, Kind, Node, Scalar, Style, Value, join};
use crate::notation::{Fault, nearest};

/// What keys begin with that hold what a person takes over elsewhere, by an alias.
const OWN_KEYS: &str = "x-";
/// The section in which `${…}` is expanded.
const EXPANDED_SECTION: &str = "storage.";
/// The other key in which it is.
const EXPANDED_KEY: &str = "mask_key";

/// Walks `root` by `shape`. The result holds only what the schema allows.
pub(super) fn walk(root: &Node, shape: &Shape<'_>) -> (Json, Vec<Problem>) {
    let mut walker = Walker { root: shape, problems: Vec::new() };
    let empty = matches!(&root.value, Value::Scalar(scalar) if scalar.kind() == Kind::Null);
    let json = if empty {
        // An empty file lacks all that is required, which is more to the point than that it is
        // empty.
        Some(walker.map(root, &[], shape, ""))
    } else {
        walker.node(root, shape, "")
    };
    (json.unwrap_or_else(|| Json::Object(Map::new())), walker.problems)
}

struct Walker<'s> {
    root: &'s Shape<'s>,
    problems: Vec<Problem>,
}

impl Walker<'_> {
    fn report(&mut self, path: &str, origin: &Origin, fault: Fault) {
        self.problems.push(fault.at(path, origin.clone()));
    }

    fn node(&mut self, node: &Node, shape: &Shape<'_>, path: &str) -> Option<Json> {
        match (&node.value, shape.items) {
            (Value::Map(entries), _) if shape.mapping.is_some() => Some(self.map(node, entries, shape, path)),
            (Value::List(items), Some(schema)) => self.list(items, &Shape::of(schema), path),
            (Value::Scalar(scalar), _) => match read_scalar(scalar, shape, path) {
                Ok(json) => Some(json),
                Err(fault) => {
                    let fault = self.not_by_its_name_alone(&scalar.text, shape, path).unwrap_or(fault);
                    self.report(path, &node.origin, fault);
                    None
                }
            },
            (Value::Map(_), _) => self.mismatch(node, shape, path, "a section"),
            (Value::List(_), None) => self.mismatch(node, shape, path, "a list"),
        }
    }

    fn mismatch(&mut self, node: &Node, shape: &Shape<'_>, path: &str, found: &str) -> Option<Json> {
        let subject = subject(path);
        let fault = Fault::new(format!("{subject} must be {}, not {found}", shape.expected()));
        self.report(path, &node.origin, fault);
        None
    }

    /// A list with one bad item is dropped as a whole: without it, the others would stand at
    /// positions not their own. A check can be left empty in its place instead.
    fn list(&mut self, items: &[Node], shape: &Shape<'_>, path: &str) -> Option<Json> {
        let items: Vec<_> = items
            .iter()
            .enumerate()
            .map(|(i, item)| {
                let empty = shape.is_choice().then(|| Json::Object(Map::new()));
                self.node(item, shape, &join(path, &i.to_string())).or(empty)
            })
            .collect();
        items.into_iter().collect::<Option<Vec<_>>>().map(Json::Array)
    }

    fn map(&mut self, node: &Node, entries: &[Entry], shape: &Shape<'_>, path: &str) -> Json {
        let mut map = Map::new();
        let mut probably_meant = Vec::new();
        if shape.is_choice() {
            self.one_kind(node, entries, shape, path);
        }
        for entry in entries {
            let below = join(path, &entry.key);
            if path.is_empty() && entry.key.starts_with(OWN_KEYS) {
                continue;
            }
            if let Some(shape_below) = shape.below(&entry.key) {
                let empty = matches!(&entry.node.value, Value::Scalar(scalar) if scalar.kind() == Kind::Null);
                if empty && shape.is_choice() {
                    let fault = Fault::new(format!("`{below}` has no value"));
                    let fault = fault.hint(format!("write `{}`", with_keys(&entry.key, &shape_below)));
                    self.report(&below, &entry.node.origin, fault);
                } else if let Some(json) = self.node(&entry.node, &shape_below, &below) {
                    map.insert(entry.key.clone(), json);
                }
            } else if shape.is_choice()
                && let Some(fault) = self.misplaced(&entry.key, entries, shape, path)
            {
                self.report(&below, &entry.key_origin, fault);
            } else {
                probably_meant.extend(self.unknown(entry, shape, path));
            }
        }
        // A misspelt key is one mistake, not a missing key and an unknown one.
        let is_there =
            |key: &str| entries.iter().any(|entry| entry.key == key) || probably_meant.contains(&key);
        for key in shape.required().filter(|key| !is_there(key)) {
            let fault = Fault::new(format!("missing key `{key}`{}", within(path)));
            self.report(&join(path, key), &node.origin, fault);
        }
        if let Some(first) = shape.alternatives().next()
            && !shape.alternatives().any(is_there)
        {
            let others: Vec<_> = shape.alternatives().skip(1).map(|key| format!("`{key}`")).collect();
            let fault = Fault::new(format!("missing key `{first}`{}", within(path)));
            let fault = fault.hint(format!("or {}", others.join(" or ")));
            self.report(&join(path, first), &node.origin, fault);
        }
        Json::Object(map)
    }

    /// A check has one kind.
    fn one_kind(&mut self, node: &Node, entries: &[Entry], shape: &Shape<'_>, path: &str) {
        if entries.is_empty() {
            let kinds: Vec<_> = shape.keys().map(|kind| format!("`{kind}`")).collect();
            let fault = Fault::new(format!("{} must have one key, the kind of check", subject(path)));
            self.report(path, &node.origin, fault.hint(format!("one of {}", kinds.join(", "))));
        }
        // A key that is no kind is reported as such.
        let mut kinds = entries.iter().filter(|entry| shape.below(&entry.key).is_some());
        if let (Some(first), Some(second)) = (kinds.next(), kinds.next()) {
            let (subject, first) = (subject(path), &first.key);
            let fault =
                Fault::new(format!("{subject} is a `{first}` check already, not `{}` too", second.key));
            let fault = fault.hint("begin each check with a `-` of its own");
            self.report(&join(path, &second.key), &second.key_origin, fault);
        }
    }

    /// What to do about a key that is no kind of check here, if that is known.
    fn misplaced(&self, key: &str, entries: &[Entry], shape: &Shape<'_>, path: &str) -> Option<Fault> {
        if let Some(fault) = self.other_level(key, path) {
            return Some(fault);
        }
        let takes_it = |entry: &&Entry| shape.below(&entry.key).is_some_and(|kind| kind.below(key).is_some());
        let kind = &entries.iter().find(takes_it)?.key;
        let fault = Fault::new(format!("`{key}` is no kind of check"));
        Some(fault.hint(format!("as a key of `{kind}` it goes below that: `{kind}: {{{key}: …}}`")))
    }

    /// What to do about a kind of check that is one of a column, or of the table, where only the others may stand.
    fn other_level(&self, kind: &str, path: &str) -> Option<Fault> {
        let of_table = path.starts_with("checks.");
        let checks = if of_table { self.root.below("columns")?.below("*")? } else { self.root.clone() };
        let other = Shape::of(checks.below("checks")?.items?);
        other.below(kind)?;
        let (of, place) =
            if of_table { ("one column", "columns.NAME.checks") } else { ("the table as a whole", "checks") };
        Some(Fault::new(format!("`{kind}` is a check of {of}")).hint(format!("it belongs under `{place}`")))
    }

    /// Why the kind of check `text` cannot stand by itself here, if it is one.
    fn not_by_its_name_alone(&self, text: &str, shape: &Shape<'_>, path: &str) -> Option<Fault> {
        if !shape.is_choice() {
            return None;
        }
        let Some(kind) = shape.below(text) else {
            return self.other_level(text, path);
        };
        let fault = Fault::new(format!("`{text}` is no check without its keys"));
        Some(fault.hint(format!("write `{}`", with_keys(text, &kind))))
    }

    /// Reports an unknown key. Returns the known one that was probably meant.
    fn unknown<'s>(&mut self, entry: &Entry, shape: &Shape<'s>, path: &str) -> Option<&'s str> {
        let Entry { key, key_origin, .. } = entry;
        let meant = nearest(key, shape.keys());
        let mut fault = Fault::new(format!("unknown key `{key}`{}", within(path)));
        fault.hint = meant.map(|meant| {
            let meant = match key_origin {
                Origin::Env(_) => env_name(&join(path, meant)),
                _ => meant.to_owned(),
            };
            format!("did you mean `{meant}`?")
        });
        let empty = matches!(&entry.node.value, Value::Scalar(scalar) if scalar.kind() == Kind::Null);
        if meant.is_none() && empty && key.contains(')') {
            // `{from: CAST(a AS DECIMAL(10,2))}`
            fault.hint =
                Some("within braces a comma ends a value: put the text before it in quotes, too".to_owned());
        }
        self.report(&join(path, key), key_origin, fault);
        meant
    }
}

/// What a scalar means where `shape` is wanted. Text is handed on as it was written.
fn read_scalar(scalar: &Scalar, shape: &Shape<'_>, path: &str) -> Result<Json, Fault> {
    let Scalar { text, style } = scalar;
    let kind = scalar.kind();
    let subject = subject(path);
    if kind == Kind::Null {
        let fault = Fault::new(format!("{subject} has no value"));
        return Err(fault.hint("leave it out altogether to have the default"));
    }
    let key = path.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    if text.contains("${") && !path.starts_with(EXPANDED_SECTION) && path != EXPANDED_KEY {
        let fault = Fault::new(format!(
            "{subject} holds `${{…}}`, which is expanded under `storage` and in `mask_key` only"
        ));
        return Err(fault.hint(format!("to set it from outside, use the variable {}", env_name(key))));
    }
    if !shape.choices.is_empty() {
        return choose(text, &shape.choices, &subject);
    }
    let is_text = kind == Kind::Text
        || (kind == Kind::Boolean && shape.boolean)
        || (kind == Kind::Number && shape.numbers.is_some());
    if shape.text && is_text {
        return Ok(Json::String(text.clone()));
    }
    let unquoted = kind != Kind::Text || *style == Style::Override;
    if shape.numbers == Some(Numbers::Whole)
        && unquoted
        && let Ok(number) = text.parse::<i64>()
    {
        return in_bounds(number, shape, &subject);
    }
    if shape.boolean
        && unquoted
        && let Ok(value) = text.to_lowercase().parse::<bool>()
    {
        return Ok(Json::Bool(value));
    }
    let found = match kind {
        Kind::Number => format!("the number {text}"),
        Kind::Boolean => format!("the truth value {text}"),
        // Not the text itself, which in a misplaced value may be a secret.
        Kind::Text | Kind::Null => "text".to_owned(),
    };
    let mut fault = Fault::new(format!("{subject} must be {}, not {found}", shape.expected()));
    if shape.text {
        fault.hint = Some(match shape.sample {
            Some(sample) => format!("for example `{sample}`"),
            None => format!("put it in quotes: \"{text}\""),
        });
    }
    Err(fault)
}

fn choose(text: &str, choices: &[&str], subject: &str) -> Result<Json, Fault> {
    if choices.contains(&text) {
        return Ok(Json::String(text.to_owned()));
    }
    let listed: Vec<_> = choices.iter().map(|choice| format!("`{choice}`")).collect();
    let mut fault = Fault::new(format!("{subject} must be {}, not `{text}`", listed.join(" or ")));
    fault.hint = crate::notation::did_you_mean(text, choices.iter().copied());
    Err(fault)
}

fn in_bounds(number: i64, shape: &Shape<'_>, subject: &str) -> Result<Json, Fault> {
    if let Some(minimum) = shape.minimum.filter(|minimum| number < *minimum) {
        return Err(Fault::new(format!("{subject} must be at least {minimum}, not {number}")));
    }
    if let Some(maximum) = shape.maximum.filter(|maximum| number > *maximum) {
        return Err(Fault::new(format!("{subject} must be at most {maximum}, not {number}")));
    }
    Ok(Json::from(number))
}

/// `key` as a mapping with the keys that it needs.
fn with_keys(key: &str, shape: &Shape<'_>) -> String {
    let needed: Vec<_> = shape.required().map(|key| format!("{key}: …")).collect();
    format!("{key}: {{{}}}", needed.join(", "))
}

fn subject(path: &str) -> String {
    if path.is_empty() { "the pipeline file".to_owned() } else { format!("`{path}`") }
}

fn within(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!(" in `{path}`") }
}

fn env_name(path: &str) -> String {
    format!("{ENV_PREFIX}{}", path.to_uppercase().replace('.', ENV_SEPARATOR))
}
