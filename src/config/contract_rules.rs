//! Rules of a contract as checks of a pipeline, where its file lets them in.

use std::path::Path;
use std::sync::Arc;

use super::contract_file::{contract_of_text, is_standard};
use super::evolution::ContractRules;
use super::location;
use super::origin::Origin;
use super::problem::Problem;
use super::tree::{Kind, Node, Value, entry};
use super::yaml;
use crate::notation::Fault;

/// The key that lets them in.
const KEY: &str = "schema.rules";

/// Adds the checks that the contract named under `target.ddl`, or else under `source.ddl`, asks for: those of a kind that the
/// pipeline file does not have in the same place. A path is relative to `folder`.
pub(super) fn lay(root: &mut Node, folder: &Path) -> Result<(), Problem> {
    let Some(wish) = found(root, &["schema", "rules"]) else { return Ok(()) };
    if text(wish) != Some(ContractRules::Check.name()) {
        return Ok(());
    }
    let origin = wish.origin.clone();
    let named = [["target", "ddl"], ["source", "ddl"]].into_iter();
    let named = named.filter_map(|path| found(root, &path)).filter_map(text).map(str::to_owned);
    let Some(name) = named.into_iter().find(|name| is_standard(Path::new(name))) else {
        let fault = Fault::new(format!("`{KEY}` is `check`, and no contract of the standard is named"));
        return Err(fault.hint("name it under `target.ddl` or `source.ddl`").at(KEY, origin));
    };
    let wrong = |why: String| Fault::new(format!("`{KEY}`: {why}")).at(KEY, origin.clone());
    let path = location::file(&name, folder).map_err(|fault| wrong(fault.message))?;
    let file: Arc<str> = path.display().to_string().into();
    let read =
        std::fs::read_to_string(&path).map_err(|error| wrong(format!("cannot read {file}: {error}")))?;
    let contract = contract_of_text(&file, &read, None).map_err(&wrong)?;
    for check in contract.checks {
        let (mut item, _) = yaml::parse(&check.yaml, &file).map_err(|problem| wrong(problem.message))?;
        from_file(&mut item, &Origin::WholeFile(Arc::clone(&file)));
        let at = match &check.column {
            Some(column) => section(root, "columns").and_then(|columns| section_in(columns, column)),
            None => section_of(root),
        };
        // What is no section is reported as such later.
        let Some(items) = at.and_then(|entries| list(entry(entries, "checks", &item.origin))) else {
            continue;
        };
        if !items.iter().any(|other| kind(other) == kind(&item)) {
            items.push(item);
        }
    }
    Ok(())
}

/// The node at a path.
fn found<'n>(root: &'n Node, path: &[&str]) -> Option<&'n Node> {
    path.iter().try_fold(root, |node, key| match &node.value {
        Value::Map(entries) => entries.iter().find(|entry| entry.key == *key).map(|entry| &entry.node),
        _ => None,
    })
}

fn text(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Scalar(scalar) => Some(&scalar.text),
        _ => None,
    }
}

/// The kind of a check.
fn kind(item: &Node) -> Option<&str> {
    match &item.value {
        Value::Map(entries) => entries.first().map(|entry| entry.key.as_str()),
        _ => text(item),
    }
}

/// Has all of it come from there.
fn from_file(node: &mut Node, origin: &Origin) {
    node.origin = origin.clone();
    match &mut node.value {
        Value::Scalar(_) => {}
        Value::List(items) => items.iter_mut().for_each(|item| from_file(item, origin)),
        Value::Map(entries) => {
            for entry in entries {
                entry.key_origin = origin.clone();
                from_file(&mut entry.node, origin);
            }
        }
    }
}

type Entries = Vec<super::tree::Entry>;

/// The entries of a section, which is made where nothing stands.
fn section_of(node: &mut Node) -> Option<&mut Entries> {
    if is_nothing(node) {
        node.value = Value::Map(Vec::new());
    }
    match &mut node.value {
        Value::Map(entries) => Some(entries),
        _ => None,
    }
}

fn section<'n>(node: &'n mut Node, key: &str) -> Option<&'n mut Entries> {
    section_in(section_of(node)?, key)
}

fn section_in<'n>(entries: &'n mut Entries, key: &str) -> Option<&'n mut Entries> {
    section_of(entry(entries, key, &Origin::Default))
}

/// The items of a list, for which its only one may stand.
fn list(node: &mut Node) -> Option<&mut Vec<Node>> {
    if is_nothing(node) {
        node.value = Value::List(Vec::new());
    } else if !matches!(node.value, Value::List(_)) {
        let only = node.clone();
        node.value = Value::List(vec![only]);
    }
    match &mut node.value {
        Value::List(items) => Some(items),
        _ => None,
    }
}

fn is_nothing(node: &Node) -> bool {
    matches!(&node.value, Value::Scalar(scalar) if scalar.kind() == Kind::Null)
}
