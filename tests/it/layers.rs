//! The layers of DESIGN.md, read from the source: who may import whom, and which module is the only door to
//! which dependency.

use std::path::{Path, PathBuf};

/// Modules from the lowest layer up; each imports only from layers below its own.
const LAYERS: [&[&str]; 16] = [
    &["model", "error"],
    &["contract"],
    &["notation"],
    &["checks"],
    &["config"],
    &["plan"],
    &["protocol"],
    &["failure"],
    &["store"],
    &["engine", "lake"],
    &["stages"],
    &["events", "fail_points", "hooks", "patience", "runner", "stop"],
    &[
        "alerts",
        "attempts",
        "cases",
        "contracts",
        "demo",
        "doctor",
        "drift",
        "evolve",
        "fleet",
        "ingest",
        "init",
        "names",
        "context",
        "preview",
        "quarantine",
        "register",
        "rollback",
        "run",
        "scaffold",
        "show",
        "spark",
        "status",
    ],
    &["report"],
    &["cli"],
    &["main"],
];

/// Imports within a layer: who, and from whom.
const NEIGHBOURS: [(&str, &str); 34] = [
    ("model", "error"),
    ("fail_points", "events"),
    ("hooks", "events"),
    ("hooks", "fail_points"),
    ("hooks", "stop"),
    ("stop", "events"),
    ("attempts", "context"),
    ("cases", "context"),
    ("cases", "init"),
    ("cases", "run"),
    ("doctor", "context"),
    ("drift", "context"),
    ("drift", "init"),
    ("evolve", "context"),
    ("evolve", "init"),
    ("evolve", "run"),
    ("init", "contracts"),
    ("init", "context"),
    ("status", "attempts"),
    ("lake", "engine"),
    ("names", "context"),
    ("preview", "context"),
    ("preview", "run"),
    ("quarantine", "context"),
    ("quarantine", "preview"),
    ("quarantine", "run"),
    ("rollback", "context"),
    ("rollback", "preview"),
    ("rollback", "run"),
    ("run", "context"),
    ("scaffold", "context"),
    ("scaffold", "init"),
    ("spark", "context"),
    ("status", "context"),
];

/// Modules of `stages` that are no stage: any stage may call them.
const HELPERS: [&str; 6] = ["check_text", "keys", "mapping", "rows", "selection", "text"];

/// Lines of a file without its tests, at most.
const LONGEST: usize = 450;

/// A file of the program.
struct Source {
    /// Its module, from the top: `stages`, `read`.
    module: Vec<String>,
    name: String,
    text: String,
}

/// Reads every file below `src`.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push(Source::new(path.strip_prefix(&root).unwrap(), text));
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(found.len() > 50, "{} files", found.len());
    found
}

impl Source {
    fn new(path: &Path, text: impl Into<String>) -> Self {
        let parts = path.with_extension("");
        let module = parts.iter().map(|part| part.to_str().unwrap().to_owned());
        let module = module.filter(|part| part != "mod" && part != "lib").collect();
        Self { module, name: path.display().to_string(), text: text.into() }
    }

    fn top(&self) -> &str {
        self.module.first().map_or("lib", String::as_str)
    }

    fn is_test(&self) -> bool {
        self.module.iter().any(|part| part == "tests")
    }

    /// The code without lines that are only comment, with everything in one line.
    fn code(&self) -> String {
        let lines = self.text.lines().map(str::trim).filter(|line| !line.starts_with("//"));
        lines.collect::<Vec<_>>().join(" ")
    }

    /// Lines before the tests.
    fn length(&self) -> usize {
        let lines: Vec<&str> = self.text.lines().collect();
        let tests = lines.windows(2).position(|pair| pair[0] == "#[cfg(test)]" && pair[1].ends_with('{'));
        tests.unwrap_or(lines.len())
    }

    /// Every path in the code that begins with `root`, with groups taken apart.
    fn paths(&self, root: &str) -> Vec<Vec<String>> {
        let code = self.code();
        let start = format!("{root}::");
        let starts = code
            .match_indices(&start)
            .filter(|(at, _)| !code[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':'));
        starts.flat_map(|(at, _)| tree(&code[at + start.len()..])).collect()
    }

    /// Paths into this crate, from its top. What `super` reaches counts too.
    fn imports(&self) -> Vec<Vec<String>> {
        let mut found = self.paths("crate");
        if self.top() == "main" {
            found.extend(self.paths("highwater"));
        }
        for path in self.paths("super") {
            let ups = 1 + path.iter().take_while(|part| *part == "super").count();
            let above = self.module.len().saturating_sub(ups);
            let path: Vec<String> = self.module[..above].iter().chain(&path[ups - 1..]).cloned().collect();
            // `super` in a module inside of the file means the file; only names of modules lead out of it.
            if path.first().is_some_and(|top| layer(top).is_some()) {
                found.push(path);
            }
        }
        found
    }
}

/// The paths that `text` begins with: `a::b`, or one for each branch of `a::{b, c::d}`.
fn tree(text: &str) -> Vec<Vec<String>> {
    let text = text.trim_start();
    if let Some(group) = text.strip_prefix('{') {
        let (mut depth, mut branches, mut begin) = (0, Vec::new(), 0);
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => {
                    branches.extend(tree(&group[begin..at]));
                    break;
                }
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    branches.extend(tree(&group[begin..at]));
                    begin = at + 1;
                }
                _ => {}
            }
        }
        return branches;
    }
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    let name = text[..end].to_owned();
    let rest = text[end..].strip_prefix("::").map(tree).unwrap_or_default();
    if name.is_empty() {
        return Vec::new();
    }
    if rest.is_empty() {
        return vec![vec![name]];
    }
    rest.into_iter().map(|path| std::iter::once(name.clone()).chain(path).collect()).collect()
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}

/// Imports that point the wrong way.
fn wrong_edges(source: &Source) -> Vec<String> {
    let from = source.top();
    let mut wrong = Vec::new();
    for path in source.imports() {
        let to = path[0].as_str();
        let neighbours = NEIGHBOURS.contains(&(from, to));
        let allowed = match (layer(from), layer(to)) {
            (Some(own), Some(other)) => other < own || from == to || neighbours,
            _ => false,
        };
        if !allowed {
            wrong.push(format!("{} imports {}", source.name, path.join("::")));
        }
    }
    wrong
}

/// Imports by which a stage calls another: anything of it that is no type.
fn wrong_calls(source: &Source) -> Vec<String> {
    let [top, stage] = source.module.as_slice() else { return Vec::new() };
    if top != "stages" {
        return Vec::new();
    }
    let mut wrong = Vec::new();
    for path in source.imports() {
        let [top, other, names @ ..] = path.as_slice() else { continue };
        let helper = HELPERS.contains(&other.as_str());
        let value = names.last().is_some_and(|name| name.starts_with(char::is_uppercase));
        if top == "stages" && other != stage && !helper && !value {
            wrong.push(format!("{} imports {}", source.name, path.join("::")));
        }
    }
    wrong
}

/// Uses of DataFusion's session and of Delta tables outside of the modules that are their only doors.
fn wrong_doors(source: &Source) -> Vec<String> {
    let mut wrong = Vec::new();
    let top = source.top();
    if top != "engine" && source.code().contains("SessionContext") {
        wrong.push(format!("{} uses SessionContext", source.name));
    }
    let aws = ["aws_config", "aws_credential_types", "aws_sigv4", "aws_types"]
        .map(|root| source.paths(root))
        .concat();
    for path in aws.into_iter().filter(|_| top != "store") {
        wrong.push(format!("{} uses {}", source.name, path.join("::")));
    }
    // What a failure means is told by the types of all that can fail.
    if top == "lake" || top == "failure" {
        return wrong;
    }
    let deltalake = source.paths("deltalake").into_iter().filter(|path| match path[0].as_str() {
        "arrow" | "datafusion" => false,
        // The session's defaults for Delta, and the errors that a query ends with.
        "delta_datafusion" | "parquet" => top != "engine",
        _ => true,
    });
    // S3 itself is made there, and what can be done with it is for the lake.
    let stores = source.paths("object_store").into_iter().filter(|_| top != "store");
    for path in deltalake.chain(stores.filter(|path| top != "engine" || path[0] != "Error")) {
        wrong.push(format!("{} uses {}", source.name, path.join("::")));
    }
    wrong
}

/// All that `check` finds wrong in the program.
fn all(check: impl Fn(&Source) -> Vec<String>) -> Vec<String> {
    sources().iter().flat_map(check).collect()
}

#[test]
fn every_import_points_to_a_lower_layer() {
    assert_eq!(all(wrong_edges), Vec::<String>::new());
}

#[test]
fn every_module_of_the_library_has_a_layer() {
    for source in sources() {
        assert!(source.top() == "lib" || layer(source.top()).is_some(), "{} is in no layer", source.name);
    }
}

#[test]
fn no_stage_calls_another() {
    assert_eq!(all(wrong_calls), Vec::<String>::new());
}

#[test]
fn session_and_tables_are_used_in_engine_and_lake_only() {
    assert_eq!(all(wrong_doors), Vec::<String>::new());
}

#[test]
fn no_file_is_too_long_without_its_tests() {
    let long = sources().into_iter().filter(|source| !source.is_test() && source.length() > LONGEST);
    let long: Vec<_> = long.map(|source| format!("{}: {} lines", source.name, source.length())).collect();
    assert_eq!(long, Vec::<String>::new());
}

#[test]
fn wrong_edges_of_a_made_up_file_are_found() {
    let found = |file: &str, text: &str| wrong_edges(&Source::new(&PathBuf::from(file), text));
    assert_eq!(found("plan/window.rs", "use crate::lake::Table;"), ["plan/window.rs imports lake::Table"]);
    assert_eq!(
        found("engine/session.rs", "use crate::{\n    error::Error,\n    lake::{Lake, Table},\n};"),
        ["engine/session.rs imports lake::Lake", "engine/session.rs imports lake::Table"]
    );
    assert_eq!(found("stages/read.rs", "fn f() { crate::run::go() }"), ["stages/read.rs imports run::go"]);
    assert_eq!(found("config/raw.rs", "use super::super::lake::Lake;"), ["config/raw.rs imports lake::Lake"]);
    assert_eq!(found("context.rs", "use crate::run::Report;"), ["context.rs imports run::Report"]);
    assert_eq!(found("model/batch.rs", "use crate::newcomer::X;"), ["model/batch.rs imports newcomer::X"]);
    // The right way, in a comment, or within a module.
    assert!(found("lake/table.rs", "use crate::engine::Engine;\n// use crate::run::X;").is_empty());
    assert!(found("lake/table.rs", "use super::log;\nuse crate::lake::merge;").is_empty());
}

#[test]
fn call_from_a_stage_to_another_in_a_made_up_file_is_found() {
    let found = |text: &str| wrong_calls(&Source::new(&PathBuf::from("stages/merge.rs"), text));
    assert_eq!(
        found("use super::read::{Read, describe};\nuse super::text::target_partition;"),
        ["stages/merge.rs imports stages::read::describe"]
    );
    assert_eq!(
        found("fn f() { super::locate::locate() }"),
        ["stages/merge.rs imports stages::locate::locate"]
    );
    assert_eq!(found("use crate::stages::read;"), ["stages/merge.rs imports stages::read"]);
    assert!(found("use super::locate::Located;").is_empty());
}

#[test]
fn table_and_session_in_the_wrong_module_of_a_made_up_file_are_found() {
    let found = |file: &str, text: &str| wrong_doors(&Source::new(&PathBuf::from(file), text)).len();
    assert_eq!(found("run.rs", "use deltalake::DeltaTable;"), 1);
    assert_eq!(found("run.rs", "use deltalake::{arrow::array::Array, kernel::Action, open_table};"), 2);
    assert_eq!(found("stages/read.rs", "use deltalake::datafusion::prelude::SessionContext;"), 1);
    assert_eq!(found("engine/session.rs", "use deltalake::operations::merge::MergeBuilder;"), 1);
    assert_eq!(found("status.rs", "use object_store::ObjectStore;"), 1);
    assert_eq!(found("lake/open.rs", "use aws_config::Region;"), 1);
    assert_eq!(found("store/wire.rs", "use aws_config::Region;"), 0);
    assert_eq!(found("engine/session.rs", "use object_store::{Error, ObjectStore};"), 1);
    assert_eq!(found("lake/table.rs", "use deltalake::DeltaTable;"), 0);
    assert_eq!(found("stages/read.rs", "use deltalake::arrow::array::AsArray;"), 0);
}

#[test]
fn length_of_a_made_up_file_leaves_its_tests_out() {
    let text = "fn f() {}\n\n#[cfg(test)]\nmod tests {\n    use super::*;\n}\n";
    assert_eq!(Source::new(&PathBuf::from("show.rs"), text).length(), 2);
}
