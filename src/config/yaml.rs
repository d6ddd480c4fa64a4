//! The text of a pipeline file as a tree of marked nodes.
//!
//! Reads the parser's events rather than a ready-made document, which would drop the positions of
//! keys, all but one of a key's duplicates, and the text of numbers.

use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::origin::Origin;
use super::problem::Problem;
use super::tree::{Entry, Node, Scalar, Style, Value, join};
use crate::notation::Fault;

/// How deep a file may nest. The schema goes three deep; the limit keeps a hostile file off the
/// stack.
const MAX_DEPTH: usize = 32;

/// Parses `text`, the content of `file`. The problems are those after which parsing could go on:
/// duplicate keys.
///
/// # Errors
/// The first error in the file's syntax, or use of a part of YAML that pipeline files do without.
pub(super) fn parse(text: &str, file: &Arc<str>) -> Result<(Node, Vec<Problem>), Problem> {
    let mut builder =
        Builder { parser: Parser::new_from_str(text), file: Arc::clone(file), problems: Vec::new() };
    let root = builder.document()?;
    Ok((root, builder.problems))
}

struct Builder<'t> {
    parser: Parser<'t, StrInput<'t>>,
    file: Arc<str>,
    problems: Vec<Problem>,
}

impl<'t> Builder<'t> {
    fn document(&mut self) -> Result<Node, Problem> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
                _ if root.is_some() => {
                    let fault = Fault::new("a pipeline file holds one document");
                    return Err(self.fatal(fault.hint("one pipeline, one file"), span));
                }
                event => root = Some(self.node(event, span, "", 0)?),
            }
        }
        Ok(root.unwrap_or_else(|| Node::null(Origin::WholeFile(Arc::clone(&self.file)))))
    }

    fn node(&mut self, event: Event<'t>, span: Span, path: &str, depth: usize) -> Result<Node, Problem> {
        if depth > MAX_DEPTH {
            return Err(self.fatal(Fault::new("nested too deeply"), span));
        }
        let origin = self.origin(span.start);
        let value = match event {
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, Some(_))
            | Event::MappingStart(_, Some(_)) => {
                return Err(self.fatal(Fault::new("tags are not supported"), span));
            }
            Event::Scalar(text, style, _, None) => Value::Scalar(Scalar {
                text: text.into_owned(),
                style: match style {
                    ScalarStyle::Plain => Style::Plain,
                    _ => Style::Quoted,
                },
            }),
            Event::SequenceStart(_, None) => Value::List(self.list(path, depth)?),
            Event::MappingStart(_, None) => Value::Map(self.map(path, depth)?),
            Event::Alias(_) => {
                let fault = Fault::new("aliases are not supported");
                return Err(self.fatal(fault.hint("write the value out"), span));
            }
            _ => return Err(self.fatal(Fault::new("expected a value"), span)),
        };
        Ok(Node { value, origin })
    }

    fn list(&mut self, path: &str, depth: usize) -> Result<Vec<Node>, Problem> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(items);
            }
            let path = join(path, &items.len().to_string());
            items.push(self.node(event, span, &path, depth + 1)?);
        }
    }

    fn map(&mut self, path: &str, depth: usize) -> Result<Vec<Entry>, Problem> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            let key = match event {
                Event::MappingEnd => return Ok(entries),
                Event::Scalar(text, _, _, None) => text.into_owned(),
                _ => return Err(self.fatal(Fault::new("a key must be a plain name"), span)),
            };
            let key_origin = self.origin(span.start);
            let path = join(path, &key);
            let (event, span) = self.next()?;
            let node = self.node(event, span, &path, depth + 1)?;
            if let Some(first) = entries.iter().find(|entry| entry.key == key) {
                let fault = Fault::new(format!("`{key}` stands here twice; first at {}", first.key_origin));
                self.problems.push(fault.at(&path, key_origin));
            } else {
                entries.push(Entry { key, key_origin, node });
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'t>, Span), Problem> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(self.syntax(&error)),
            None => {
                let origin = Origin::WholeFile(Arc::clone(&self.file));
                Err(Fault::new("ends in the middle of a value").at("", origin))
            }
        }
    }

    fn syntax(&self, error: &ScanError) -> Problem {
        let fault = Fault::new(format!("not valid YAML: {}", error.info()));
        fault.at("", self.origin(*error.marker()))
    }

    fn fatal(&self, fault: Fault, span: Span) -> Problem {
        fault.at("", self.origin(span.start))
    }

    fn origin(&self, at: Marker) -> Origin {
        Origin::File { file: Arc::clone(&self.file), line: at.line(), column: at.col() + 1 }
    }
}
