//! How many bytes a row of Avro takes.

use std::collections::HashMap;

use serde_json::Value;

/// How deep a schema may be nested, and a value of a type that holds itself.
const DEEPEST: usize = 64;

/// The most values that take no byte, of one array.
const MANY: usize = 1 << 20;

/// A type, as far as it says where a value ends.
#[derive(Debug, Clone, PartialEq)]
enum Shape {
    Nothing,
    Number,
    Bytes,
    Fixed(usize),
    Array(Box<Shape>),
    Map(Box<Shape>),
    Union(Vec<Shape>),
    Record(Vec<Shape>),
    /// One that is defined elsewhere.
    Named(String),
}

/// The shape of a file's rows.
pub(super) struct Shapes {
    row: Shape,
    named: HashMap<String, Shape>,
}

impl Shapes {
    /// That of a schema's rows; `None` where it is no schema.
    pub(super) fn of(schema: &Value) -> Option<Self> {
        let mut named = HashMap::new();
        let row = shape(schema, "", &mut named, DEEPEST)?;
        Some(Self { row, named })
    }

    /// Whether these bytes are as many rows, and nothing else.
    pub(super) fn is_rows(&self, bytes: &[u8], rows: usize) -> bool {
        let mut rest = bytes;
        // Of rows that take no byte there could be any number.
        rows <= bytes.len()
            && (0..rows).all(|_| self.skip(&self.row, &mut rest, DEEPEST).is_some())
            && rest.is_empty()
    }

    fn skip(&self, shape: &Shape, rest: &mut &[u8], depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        match shape {
            Shape::Nothing => {}
            Shape::Number => drop(number(rest)?),
            Shape::Fixed(size) => *rest = rest.get(*size..)?,
            Shape::Bytes => {
                let size = usize::try_from(number(rest)?).ok()?;
                *rest = rest.get(size..)?;
            }
            Shape::Array(element) => self.skip_blocks(&[element], rest, depth)?,
            Shape::Map(value) => self.skip_blocks(&[&Shape::Bytes, value], rest, depth)?,
            Shape::Union(branches) => {
                let branch = usize::try_from(number(rest)?).ok()?;
                self.skip(branches.get(branch)?, rest, depth)?;
            }
            Shape::Record(members) => {
                for member in members {
                    self.skip(member, rest, depth)?;
                }
            }
            Shape::Named(name) => self.skip(self.named.get(name)?, rest, depth)?,
        }
        Some(())
    }

    /// Skips what comes in counted blocks, of which the last has nothing.
    fn skip_blocks(&self, parts: &[&Shape], rest: &mut &[u8], depth: usize) -> Option<()> {
        loop {
            let count = number(rest)?;
            if count == 0 {
                return Some(());
            }
            if count < 0 {
                number(rest)?;
            }
            let count = usize::try_from(count.unsigned_abs()).ok()?;
            if parts == [&Shape::Nothing] && count <= MANY {
                continue;
            }
            // Each takes a byte at least.
            if count > rest.len() {
                return None;
            }
            for _ in 0..count {
                for part in parts {
                    self.skip(part, rest, depth)?;
                }
            }
        }
    }
}

/// Takes the namespace out of names that have it: what decodes rows knows a type by its own name, and by the whole one where
/// that is referred to.
pub(super) fn without_dots(schema: &mut Value) {
    match schema {
        Value::Array(branches) => branches.iter_mut().for_each(without_dots),
        Value::Object(members) => {
            let is_named = members.get("type").is_some_and(|kind| {
                kind.as_str().is_some_and(|kind| ["record", "error", "enum", "fixed"].contains(&kind))
            });
            let dotted = members.get("name").and_then(Value::as_str).and_then(|name| name.rsplit_once('.'));
            if let Some((namespace, name)) = dotted.filter(|_| is_named) {
                let (namespace, name) = (Value::from(namespace), Value::from(name));
                members.insert("namespace".to_owned(), namespace);
                members.insert("name".to_owned(), name);
            }
            members.values_mut().for_each(without_dots);
        }
        _ => {}
    }
}

/// A number, of seven bits in a byte, the lowest first.
pub(super) fn number(rest: &mut &[u8]) -> Option<i64> {
    let mut value = 0_u64;
    for at in 0..10 {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            let half = i64::try_from(value >> 1).ok()?;
            return Some(if value & 1 == 0 { half } else { -half - 1 });
        }
    }
    None
}

/// The shape of a type in the namespace `within`; those that have names are noted.
fn shape(schema: &Value, within: &str, named: &mut HashMap<String, Shape>, depth: usize) -> Option<Shape> {
    let depth = depth.checked_sub(1)?;
    if let Some(name) = schema.as_str() {
        return Some(match name {
            "null" => Shape::Nothing,
            "boolean" => Shape::Fixed(1),
            "int" | "long" => Shape::Number,
            "float" => Shape::Fixed(4),
            "double" => Shape::Fixed(8),
            "bytes" | "string" => Shape::Bytes,
            other => Shape::Named(full_name(other, within)),
        });
    }
    if let Some(branches) = schema.as_array() {
        let branches = branches.iter().map(|branch| shape(branch, within, named, depth));
        return branches.collect::<Option<_>>().map(Shape::Union);
    }
    let kind = &schema["type"];
    let made = match kind.as_str() {
        Some("array") => return Some(Shape::Array(Box::new(shape(&schema["items"], within, named, depth)?))),
        Some("map") => return Some(Shape::Map(Box::new(shape(&schema["values"], within, named, depth)?))),
        Some("enum") => Shape::Number,
        Some("fixed") => Shape::Fixed(usize::try_from(schema["size"].as_u64()?).ok()?),
        Some("record" | "error") => {
            let within = namespace(schema, within);
            let fields = schema["fields"].as_array()?.iter();
            let members = fields.map(|field| shape(&field["type"], &within, named, depth));
            Shape::Record(members.collect::<Option<_>>()?)
        }
        // A type with a logical one beside it, or one in an object of its own.
        _ => return shape(kind, within, named, depth),
    };
    named.insert(full_name(schema["name"].as_str()?, &namespace(schema, within)), made.clone());
    Some(made)
}

/// The namespace that a named type's own parts are in.
fn namespace(schema: &Value, within: &str) -> String {
    let of_name =
        schema["name"].as_str().and_then(|name| name.rsplit_once('.')).map(|(namespace, _)| namespace);
    of_name.or_else(|| schema["namespace"].as_str()).unwrap_or(within).to_owned()
}

fn full_name(name: &str, within: &str) -> String {
    if name.contains('.') || within.is_empty() { name.to_owned() } else { format!("{within}.{name}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_are_told_from_what_only_looks_like_them() {
        let schema = json!({"type": "record", "name": "r", "namespace": "n", "fields": [
            {"name": "id", "type": {"type": "long", "logicalType": "timestamp-micros"}},
            {"name": "kind", "type": {"type": "enum", "name": "k", "symbols": ["A"]}},
            {"name": "again", "type": ["null", "k", "n.k"]},
            {"name": "text", "type": {"type": "string"}},
            {"name": "ratio", "type": "double"},
            {"name": "tags", "type": {"type": "array", "items": ["null", "string"]}},
            {"name": "counts", "type": {"type": "map", "values": {"type": "fixed", "name": "f", "size": 2}}},
            {"name": "next", "type": ["null", "r"]},
        ]});
        let shapes = Shapes::of(&schema).unwrap();
        let mut row = vec![0x80, 0x01, 0, 2, 0, 4, b'a', b'b'];
        row.extend([0; 8]);
        row.extend([4, 0, 2, 2, b'x', 0]);
        // A block that says its length too.
        row.extend([1, 8, 2, b'k', 1, 2, 0]);
        row.push(0);
        let rows = [row.clone(), row.clone()].concat();
        assert!(shapes.is_rows(&row, 1) && shapes.is_rows(&rows, 2));
        assert!(!shapes.is_rows(&rows, 1) && !shapes.is_rows(&row, 2) && !shapes.is_rows(&rows, usize::MAX));
        for cut in 0..row.len() {
            assert!(!shapes.is_rows(&row[..cut], 1), "{cut}");
        }
        // A row within a row, as often as one likes.
        let end = row.len() - 1;
        let within = [&row[..end], &[2], &row[..]].concat();
        assert!(shapes.is_rows(&within, 1));
        assert!(!shapes.is_rows(&[&row[..end], &[2]].concat().repeat(1000), 1));
        let numbers = [(&[0x01][..], Some(-1)), (&[0xFF; 9], None), (&[0xFF; 11], None), (&[0x7E], Some(63))];
        for (bytes, expected) in numbers {
            assert_eq!(number(&mut &*bytes), expected);
        }
    }
}
