//! The text of a pipeline file as a tree of marked nodes.
//!
//! Reads the parser's events rather than a ready-made document, which would drop the positions of
//! keys, all but one of a key's duplicates, and the text of numbers.

use std::collections::HashMap;
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::origin::Origin;
use super::problem::Problem;
use super::tree::{Entry, Node, Scalar, Style, Value, join};
use crate::notation::Fault;

/// How deep a file may nest. The schema goes three deep; the limit keeps a hostile file off the
/// stack.
const MAX_DEPTH: usize = 32;

/// How many values aliases may stand for: they can stand for each other, and a few lines for millions.
const MAX_COPIED: usize = 10_000;

/// The key under which other sections' entries are taken over.
const MERGE: &str = "<<";

/// Parses `text`, the content of `file`. The problems are those after which parsing could go on:
/// duplicate keys.
///
/// # Errors
/// The first error in the file's syntax, or use of a part of YAML that pipeline files do without.
pub(super) fn parse(text: &str, file: &Arc<str>) -> Result<(Node, Vec<Problem>), Problem> {
    let mut builder = Builder {
        parser: Parser::new_from_str(text),
        file: Arc::clone(file),
        problems: Vec::new(),
        anchored: HashMap::new(),
        copied: 0,
    };
    let root = builder.document()?;
    Ok((root, builder.problems))
}

struct Builder<'t> {
    parser: Parser<'t, StrInput<'t>>,
    file: Arc<str>,
    problems: Vec<Problem>,
    /// What each anchor names.
    anchored: HashMap<usize, Node>,
    /// How many values aliases stand for.
    copied: usize,
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
        let anchor = match &event {
            Event::Scalar(_, _, anchor, _)
            | Event::SequenceStart(anchor, _)
            | Event::MappingStart(anchor, _) => *anchor,
            _ => 0,
        };
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
            Event::Alias(anchor) => {
                let Some(node) = self.anchored.get(&anchor).cloned() else {
                    return Err(self.fatal(Fault::new("an alias stands within what it names"), span));
                };
                self.copied += node.len();
                if self.copied > MAX_COPIED {
                    return Err(self.fatal(Fault::new("aliases stand for too much"), span));
                }
                // What is wrong with it is wrong where it is written.
                return Ok(node);
            }
            _ => return Err(self.fatal(Fault::new("expected a value"), span)),
        };
        let node = Node { value, origin };
        if anchor > 0 {
            self.anchored.insert(anchor, node.clone());
        }
        Ok(node)
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
        let (mut entries, mut merged): (Vec<Entry>, Vec<Entry>) = (Vec::new(), Vec::new());
        loop {
            let (event, span) = self.next()?;
            let key = match event {
                Event::MappingEnd => {
                    for entry in merged {
                        // What stands here goes before what is taken over.
                        if !entries.iter().any(|own| own.key == entry.key) {
                            entries.push(entry);
                        }
                    }
                    return Ok(entries);
                }
                Event::Scalar(text, _, _, None) => text.into_owned(),
                _ => return Err(self.fatal(Fault::new("a key must be a plain name"), span)),
            };
            let key_origin = self.origin(span.start);
            let path = join(path, &key);
            let (event, span) = self.next()?;
            let node = self.node(event, span, &path, depth + 1)?;
            if key == MERGE {
                merged.extend(self.taken_over(node, span)?);
                continue;
            }
            if let Some(first) = entries.iter().find(|entry| entry.key == key) {
                let fault = Fault::new(format!("`{key}` stands here twice; first at {}", first.key_origin));
                self.problems.push(fault.at(&path, key_origin));
            } else {
                entries.push(Entry { key, key_origin, node });
            }
        }
    }

    /// The entries of a section, or of several, that another takes over.
    fn taken_over(&self, node: Node, span: Span) -> Result<Vec<Entry>, Problem> {
        let nodes = match node.value {
            Value::Map(entries) => return Ok(entries),
            Value::List(nodes) => nodes,
            Value::Scalar(_) => Vec::new(),
        };
        let sections: Option<Vec<Vec<Entry>>> = nodes
            .into_iter()
            .map(|node| match node.value {
                Value::Map(entries) => Some(entries),
                _ => None,
            })
            .collect();
        match sections {
            Some(sections) if !sections.is_empty() => Ok(sections.into_iter().flatten().collect()),
            _ => {
                Err(self.fatal(Fault::new(format!("`{MERGE}` takes a section over: `{MERGE}: *name`")), span))
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
