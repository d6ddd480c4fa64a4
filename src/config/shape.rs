//! What the JSON Schema allows in one place, by the kind of node that may stand there.
//!
//! Reads the part of JSON Schema that our own structs generate: `type`, `properties`,
//! `additionalProperties`, `required`, `items`, `enum`, `const`, `anyOf`/`oneOf`/`allOf`,
//! `minimum`, `maximum`, `maxProperties`. The schema is generated with its subschemas inline, so there are no
//! references to follow.

use serde_json::{Map, Value};

use super::origin::SHORTHAND_KEY;

/// All that may stand in one place: the alternatives of the schema, merged by kind.
#[derive(Clone, Default)]
pub(super) struct Shape<'s> {
    /// The only texts allowed, if there is such a list.
    pub(super) choices: Vec<&'s str>,
    pub(super) text: bool,
    /// Which numbers, if any.
    pub(super) numbers: Option<Numbers>,
    pub(super) boolean: bool,
    /// The bounds of an integer.
    pub(super) minimum: Option<i64>,
    pub(super) maximum: Option<i64>,
    /// The schema of a list's items.
    pub(super) items: Option<&'s Value>,
    /// The schema of a mapping.
    pub(super) mapping: Option<&'s Map<String, Value>>,
    /// A value that would do: the default, or the first example.
    pub(super) sample: Option<&'s str>,
}

/// Numbers that may stand in a place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Numbers {
    /// Those without a fraction.
    Whole,
    /// All.
    Any,
}

impl<'s> Shape<'s> {
    pub(super) fn of(schema: &'s Value) -> Self {
        let mut shape = Self::default();
        shape.merge(schema);
        shape
    }

    fn merge(&mut self, schema: &'s Value) {
        let Some(schema) = schema.as_object() else {
            return;
        };
        for alternatives in ["anyOf", "oneOf", "allOf"] {
            for alternative in list(schema, alternatives) {
                self.merge(alternative);
            }
        }
        let choices = list(schema, "enum").iter().chain(schema.get("const"));
        self.choices.extend(choices.filter_map(Value::as_str));
        let kinds = match schema.get("type") {
            Some(Value::Array(kinds)) => kinds.as_slice(),
            Some(kind) => std::slice::from_ref(kind),
            None => &[],
        };
        for kind in kinds {
            match kind.as_str() {
                Some("string") => self.text = true,
                Some("integer") => self.numbers = self.numbers.or(Some(Numbers::Whole)),
                Some("number") => self.numbers = Some(Numbers::Any),
                Some("boolean") => self.boolean = true,
                Some("array") => self.items = schema.get("items"),
                Some("object") => self.mapping = Some(schema),
                _ => {}
            }
        }
        self.minimum = schema.get("minimum").and_then(Value::as_i64).or(self.minimum);
        self.maximum = schema.get("maximum").and_then(Value::as_i64).or(self.maximum);
        let mut samples = schema.get("default").into_iter().chain(list(schema, "examples"));
        self.sample = self.sample.or(samples.find_map(Value::as_str));
    }

    /// Whether a scalar here is short for a mapping with its table alone.
    pub(super) fn has_short_form(&self) -> bool {
        self.text && self.keys().any(|key| key == SHORTHAND_KEY)
    }

    /// Whether a mapping here has exactly one key, which says what the mapping is: a check's kind.
    pub(super) fn is_choice(&self) -> bool {
        self.mapping.and_then(|mapping| mapping.get("maxProperties")?.as_i64()) == Some(1)
    }

    /// The keys that a mapping here may have, where they are fixed.
    pub(super) fn keys(&self) -> impl Iterator<Item = &'s str> {
        let properties = self.mapping.and_then(|mapping| mapping.get("properties")?.as_object());
        properties.into_iter().flat_map(Map::keys).map(String::as_str)
    }

    /// The keys that a mapping here must have.
    pub(super) fn required(&self) -> impl Iterator<Item = &'s str> {
        let required = self.mapping.map(|mapping| list(mapping, "required")).unwrap_or_default();
        required.iter().filter_map(Value::as_str)
    }

    /// The keys of which a mapping here must have one, the first of them first.
    pub(super) fn alternatives(&self) -> impl Iterator<Item = &'s str> {
        let either = self.mapping.map(|mapping| list(mapping, "anyOf")).unwrap_or_default();
        either.iter().filter_map(|one| one.get("required")?.get(0)?.as_str())
    }

    /// What may stand under `key` of a mapping here; none if there is no such key.
    pub(super) fn below(&self, key: &str) -> Option<Self> {
        let mapping = self.mapping?;
        let property = mapping.get("properties").and_then(|properties| properties.get(key));
        let other = mapping.get("additionalProperties").filter(|schema| schema.is_object());
        property.or(other).map(Self::of)
    }

    /// What may stand here, in words.
    pub(super) fn expected(&self) -> String {
        let kinds = [
            (self.text, "text"),
            (self.numbers == Some(Numbers::Whole), "a whole number"),
            (self.numbers == Some(Numbers::Any), "a number"),
            (self.boolean, "true or false"),
            (self.items.is_some(), "a list"),
            (self.mapping.is_some(), "a section"),
        ];
        let kinds: Vec<_> = kinds.iter().filter(|(allowed, _)| *allowed).map(|(_, kind)| *kind).collect();
        kinds.join(" or ")
    }
}

fn list<'s>(schema: &'s Map<String, Value>, key: &str) -> &'s [Value] {
    schema.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}
