//! What pipelines of a folder share: `highwater.yaml`, with variables that differ from place to place.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::origin::Origin;
use super::problem::{Problem, Problems};
use super::storage::substitute;
use super::tree::{Node, Scalar, Style, Value, join};
use super::yaml;
use crate::notation::{Fault, did_you_mean};

/// The project file's name.
const PROJECT: &str = "highwater.yaml";
/// What begins a variable in a pipeline file.
const BEGIN: &str = "${var:";
/// The project file's keys, and a profile's.
const KEYS: [&str; 3] = ["pipelines", "vars", "profiles"];

/// What a project file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Project {
    /// Where the pipelines are: a file, a folder, or a pattern; the file's own folder, unless it says otherwise.
    pub pipelines: Option<PathBuf>,
    vars: BTreeMap<String, String>,
    profiles: BTreeMap<String, BTreeMap<String, String>>,
}

impl Project {
    /// The project of a folder: that of the nearest `highwater.yaml` there or above.
    ///
    /// # Errors
    /// Fails with all that is wrong with it.
    pub fn of(folder: &Path) -> Result<Self, Problems> {
        let Some(file) = folder.ancestors().map(|folder| folder.join(PROJECT)).find(|file| file.is_file())
        else {
            return Ok(Self::default());
        };
        let name: Arc<str> = file.display().to_string().into();
        let text = std::fs::read_to_string(&file).map_err(|error| {
            let fault = Fault::new(format!("cannot be read: {error}"));
            Problems(vec![fault.at("", Origin::WholeFile(Arc::clone(&name)))])
        })?;
        Self::parse(&text, &name, &file)
    }

    fn parse(text: &str, name: &Arc<str>, file: &Path) -> Result<Self, Problems> {
        let (root, problems) = yaml::parse(text, name).map_err(|problem| Problems(vec![problem]))?;
        let folder = file.parent().map(Path::to_path_buf);
        let mut project = Self { pipelines: folder, ..Self::default() };
        let mut reader = Reader { problems };
        for (key, origin, node) in reader.section("", &root) {
            match key {
                "pipelines" => {
                    let place = reader.text(key, node).map(|text| file.parent().unwrap_or(file).join(text));
                    project.pipelines = place.or(project.pipelines);
                }
                "vars" => project.vars = reader.vars(key, node),
                "profiles" => {
                    for (profile, _, node) in reader.section(key, node) {
                        let path = join(key, profile);
                        let mut vars = BTreeMap::new();
                        for (inner, origin, node) in reader.section(&path, node) {
                            match inner {
                                "vars" => vars = reader.vars(&join(&path, inner), node),
                                _ => reader.unknown(&join(&path, inner), inner, origin, &["vars"]),
                            }
                        }
                        project.profiles.insert(profile.to_owned(), vars);
                    }
                }
                _ => reader.unknown(key, key, origin, &KEYS),
            }
        }
        if reader.problems.is_empty() { Ok(project) } else { Err(Problems(reader.problems)) }
    }

    /// The variables of a profile, and those that a person gives over them.
    ///
    /// # Errors
    /// Fails where there is no such profile.
    pub fn variables(
        &self,
        profile: Option<&str>,
        given: &[(String, String)],
    ) -> Result<BTreeMap<String, String>, Problems> {
        let mut vars = self.vars.clone();
        if let Some(name) = profile {
            let Some(own) = self.profiles.get(name) else {
                let mut fault = Fault::new(format!("there is no profile `{name}`"));
                let known: Vec<&str> = self.profiles.keys().map(String::as_str).collect();
                let all = if known.is_empty() {
                    format!("`profiles` of {PROJECT} has none")
                } else {
                    format!("the profiles are {}", known.join(", "))
                };
                fault.hint = did_you_mean(name, known.iter().copied()).or(Some(all));
                return Err(Problems(vec![fault.at("", Origin::Flag("--profile".to_owned()))]));
            };
            vars.extend(own.clone());
        }
        vars.extend(given.iter().cloned());
        Ok(vars)
    }
}

/// Reads the project file's tree, and notes what is wrong with it.
struct Reader {
    problems: Vec<Problem>,
}

impl Reader {
    fn section<'n>(&mut self, path: &str, node: &'n Node) -> Vec<(&'n str, &'n Origin, &'n Node)> {
        match &node.value {
            Value::Map(entries) => {
                entries.iter().map(|entry| (entry.key.as_str(), &entry.key_origin, &entry.node)).collect()
            }
            Value::Scalar(scalar) if scalar.text.is_empty() => Vec::new(),
            _ => {
                let subject = if path.is_empty() { "a project file".to_owned() } else { format!("`{path}`") };
                self.problems
                    .push(Fault::new(format!("{subject} must be a section")).at(path, node.origin.clone()));
                Vec::new()
            }
        }
    }

    fn text(&mut self, path: &str, node: &Node) -> Option<String> {
        if let Value::Scalar(scalar) = &node.value {
            return Some(scalar.text.clone());
        }
        self.problems.push(Fault::new(format!("`{path}` must be a text")).at(path, node.origin.clone()));
        None
    }

    fn vars(&mut self, path: &str, node: &Node) -> BTreeMap<String, String> {
        let entries = self.section(path, node);
        let read = entries
            .into_iter()
            .filter_map(|(name, _, node)| Some((name.to_owned(), self.text(&join(path, name), node)?)));
        read.collect()
    }

    fn unknown(&mut self, path: &str, key: &str, origin: &Origin, known: &[&str]) {
        let mut fault = Fault::new(format!("unknown key `{key}`"));
        fault.hint =
            did_you_mean(key, known.iter().copied()).or(Some(format!("the keys are {}", known.join(", "))));
        self.problems.push(fault.at(path, origin.clone()));
    }
}

/// Writes each variable's value where a value of the tree names it.
pub(super) fn expand(root: &mut Node, vars: &BTreeMap<String, String>) -> Vec<Problem> {
    let mut problems = Vec::new();
    visit(root, "", vars, &mut problems);
    problems
}

fn visit(node: &mut Node, path: &str, vars: &BTreeMap<String, String>, problems: &mut Vec<Problem>) {
    match &mut node.value {
        Value::Scalar(scalar) => {
            if let Err(fault) = expand_scalar(scalar, vars) {
                problems.push(fault.at(path, node.origin.clone()));
            }
        }
        Value::List(items) => {
            for (i, item) in items.iter_mut().enumerate() {
                visit(item, &join(path, &i.to_string()), vars, problems);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                visit(&mut entry.node, &join(path, &entry.key), vars, problems);
            }
        }
    }
}

fn expand_scalar(scalar: &mut Scalar, vars: &BTreeMap<String, String>) -> Result<(), Fault> {
    if !scalar.text.contains(BEGIN) {
        return Ok(());
    }
    let expanded = substitute(&scalar.text, BEGIN, |name| {
        vars.get(name).cloned().ok_or_else(|| {
            let mut fault = Fault::new(format!("there is no variable `{name}`"));
            let says = format!("say `vars: {{{name}: …}}` in {PROJECT}, or give `--var {name}=…`");
            fault.hint = did_you_mean(name, vars.keys().map(String::as_str)).or(Some(says));
            fault
        })
    })?;
    // A value that is a variable alone is whatever the schema wants; within braces it has quotes around it.
    if scalar.text.starts_with(BEGIN) && scalar.text.find('}') == Some(scalar.text.len() - 1) {
        scalar.style = Style::Override;
    }
    scalar.text = expanded;
    Ok(())
}
