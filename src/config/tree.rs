//! A pipeline file as a tree in which every node knows its origin, with overrides laid over it.

use std::sync::Arc;

use super::origin::{Origin, Origins, SHORTHAND_KEY};
use super::problem::Problem;
use super::shape::Shape;
use crate::notation::Fault;

/// What environment variables that override a key begin with; its sections are joined by `__`.
pub(super) const ENV_PREFIX: &str = "HIGHWATER__";
/// What joins the sections of a key in the name of an environment variable.
pub(super) const ENV_SEPARATOR: &str = "__";

// No `Debug` here: values under `storage` may be secrets.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

#[derive(Clone)]
pub(super) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    /// Where the key itself stands, which is what a problem with the key points at.
    pub(super) key_origin: Origin,
    pub(super) node: Node,
}

/// A scalar as it was written. Its meaning depends on what the schema wants in its place.
#[derive(Clone)]
pub(super) struct Scalar {
    pub(super) text: String,
    pub(super) style: Style,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Unquoted in the file: may be a number, a truth value, nothing, or text.
    Plain,
    /// Quoted in the file: text.
    Quoted,
    /// From a variable or a flag, where all is text: is whatever the schema wants.
    Override,
}

/// What a scalar is by YAML's core schema.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Boolean,
    Number,
    Text,
}

impl Scalar {
    pub(super) fn kind(&self) -> Kind {
        match (self.style, self.text.as_str()) {
            (Style::Quoted, _) => Kind::Text,
            (_, "") | (Style::Plain, "~" | "null" | "Null" | "NULL") => Kind::Null,
            (Style::Plain, "true" | "True" | "TRUE" | "false" | "False" | "FALSE") => Kind::Boolean,
            (Style::Plain, text) if is_number(text) => Kind::Number,
            _ => Kind::Text,
        }
    }
}

fn is_number(text: &str) -> bool {
    // Rust would also take `inf` and `nan`, which YAML's core schema spells otherwise.
    text.contains(|c: char| c.is_ascii_digit()) && text.parse::<f64>().is_ok()
}

impl Node {
    pub(super) fn null(origin: Origin) -> Self {
        let (text, style) = (String::new(), Style::Plain);
        let value = Value::Scalar(Scalar { text, style });
        Self { value, origin }
    }

    /// How many values it holds, itself among them.
    pub(super) fn len(&self) -> usize {
        match &self.value {
            Value::Scalar(_) => 1,
            Value::List(items) => 1 + items.iter().map(Self::len).sum::<usize>(),
            Value::Map(entries) => 1 + entries.iter().map(|entry| entry.node.len()).sum::<usize>(),
        }
    }

    fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.kind() == Kind::Null)
    }

    /// The origin of this node and of everything below it.
    pub(super) fn origins(&self, file: &Arc<str>) -> Origins {
        let mut origins = Origins::new(Origin::WholeFile(Arc::clone(file)));
        self.record("", &mut origins);
        origins
    }

    fn record(&self, path: &str, origins: &mut Origins) {
        if !path.is_empty() {
            let scalar = matches!(self.value, Value::Scalar(_));
            origins.record(path, &self.origin, scalar);
        }
        match &self.value {
            Value::Scalar(_) => {}
            Value::List(items) => {
                for (i, item) in items.iter().enumerate() {
                    item.record(&join(path, &i.to_string()), origins);
                }
            }
            Value::Map(entries) => {
                for entry in entries {
                    entry.node.record(&join(path, &entry.key), origins);
                }
            }
        }
    }
}

/// The dotted path of `key` in the section at `path`.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// One value that replaces what the file says.
pub(super) struct Override {
    /// The key's path, by sections.
    sections: Vec<String>,
    value: String,
    origin: Origin,
}

impl Override {
    /// All overrides that an environment holds, in an order that does not depend on the
    /// environment's.
    pub(super) fn all_from_env(env: &[(String, String)]) -> Vec<Self> {
        let overrides = env.iter().filter_map(|(name, value)| Self::from_env(name, value));
        let mut overrides: Vec<_> = overrides.collect();
        overrides.sort_by(|a, b| (&a.sections, &a.origin).cmp(&(&b.sections, &b.origin)));
        overrides
    }

    /// The override that an environment variable stands for, if its name begins as such names do.
    fn from_env(name: &str, value: &str) -> Option<Self> {
        let path = name.strip_prefix(ENV_PREFIX)?;
        let sections = path.split(ENV_SEPARATOR).map(str::to_lowercase).collect();
        Some(Self { sections, value: value.to_owned(), origin: Origin::Env(name.to_owned()) })
    }

    /// The override that a flag stands for.
    pub(super) fn from_flag(path: &str, value: &str, flag: &str) -> Self {
        Self {
            sections: path.split('.').map(str::to_owned).collect(),
            value: value.to_owned(),
            origin: Origin::Flag(flag.to_owned()),
        }
    }

    /// Lays this value over `root`. Keys need not be known: the walk over the tree reports unknown
    /// ones.
    pub(super) fn lay_over(self, root: &mut Node, shape: &Shape<'_>) -> Result<(), Problem> {
        let path = self.sections.join(".");
        let origin = self.origin.clone();
        self.set(root, shape).map_err(|fault| fault.at(&path, origin))
    }

    fn set(self, root: &mut Node, shape: &Shape<'_>) -> Result<(), Fault> {
        let mut node = root;
        let mut shape = Some(shape.clone());
        let mut walked = String::new();
        for section in &self.sections {
            if section.is_empty() {
                return Err(Fault::new("names no key"));
            }
            let entries = node.open(shape.as_ref(), &walked, &self.origin)?;
            shape = shape.and_then(|shape| shape.below(section));
            walked = join(&walked, section);
            node = entry(entries, section, &self.origin);
        }
        // A bare string is short for the table alone: it leaves the section's other keys as they
        // are.
        let is_map = matches!(node.value, Value::Map(_));
        if is_map && shape.as_ref().is_some_and(Shape::has_short_form) {
            let entries = node.open(shape.as_ref(), &walked, &self.origin)?;
            walked = join(&walked, SHORTHAND_KEY);
            node = entry(entries, SHORTHAND_KEY, &self.origin);
        }
        if let (Origin::Env(before), Origin::Env(_)) = (&node.origin, &self.origin)
            && !node.is_null()
        {
            return Err(Fault::new(format!("sets `{walked}`, which {before} sets too")));
        }
        let (text, style) = (self.value, Style::Override);
        node.value = Value::Scalar(Scalar { text, style });
        node.origin = self.origin;
        Ok(())
    }
}

impl Node {
    /// This node's entries, made into a mapping if it is not one yet.
    fn open(
        &mut self,
        shape: Option<&Shape<'_>>,
        path: &str,
        origin: &Origin,
    ) -> Result<&mut Vec<Entry>, Fault> {
        if matches!(self.value, Value::List(_)) {
            let fault = Fault::new(format!("cannot set one item of the list `{path}`"));
            return Err(fault.hint("an override replaces the whole list by one value"));
        }
        if matches!(self.value, Value::Scalar(_)) {
            let keep = !self.is_null() && shape.is_some_and(Shape::has_short_form);
            let short = std::mem::replace(self, Self::empty_map(origin.clone()));
            if keep && let Value::Map(entries) = &mut self.value {
                self.origin = short.origin.clone();
                entries.push(Entry {
                    key: SHORTHAND_KEY.to_owned(),
                    key_origin: short.origin.clone(),
                    node: short,
                });
            }
        }
        match &mut self.value {
            Value::Map(entries) => Ok(entries),
            Value::Scalar(_) | Value::List(_) => Err(Fault::new(format!("`{path}` is no section"))),
        }
    }

    fn empty_map(origin: Origin) -> Self {
        let value = Value::Map(Vec::new());
        Self { value, origin }
    }
}

/// The entry for `key`, whose case does not matter as variables are written in capitals; a new one
/// if there is none.
pub(super) fn entry<'n>(entries: &'n mut Vec<Entry>, key: &str, origin: &Origin) -> &'n mut Node {
    let found = entries.iter().position(|entry| entry.key.eq_ignore_ascii_case(key));
    let index = found.unwrap_or(entries.len());
    if found.is_none() {
        entries.push(Entry {
            key: key.to_owned(),
            key_origin: origin.clone(),
            node: Node::null(origin.clone()),
        });
    }
    &mut entries[index].node
}
