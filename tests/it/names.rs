//! Folders with names that nobody would choose: loaded right, or refused before anything is written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};

use highwater::config::Location;
use highwater::engine::Engine;
use highwater::lake::{Lake, Table};
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;
use serde_json::Value;
use tempfile::TempDir;

use crate::common::{CLOCK, batch, json_of, rows, seed, setting};

const PIECES: [&str; 46] = [
    "a", "b", "c", " ", "%", "%20", "%2F", "%2", "%zz", "[", "]", "|", "^", "#", "?", "{", "}", "*", "'",
    "\"", "<", ">", "`", ":", ";", "&", "=", "+", "~", ",", "@", "!", "$", "(", ")", ".", "-", "_", "ü",
    "日本", "e\u{301}", "\\", "\t", "\n", "\u{7f}", "\u{1}",
];

const ROLES: [&str; 5] = ["source", "target", "quarantine", "audit", "watermarks"];

/// A folder that holds a pipeline's tables, with names of its own for each role.
struct Named {
    root: TempDir,
    /// The folder that the tables lie in, below the root.
    folder: String,
    names: BTreeMap<&'static str, String>,
}

impl Named {
    fn new(folder: &str, odd: Option<(&'static str, &str)>) -> Self {
        let mut names: BTreeMap<_, _> = ROLES.iter().map(|role| (*role, format!("t_{role}"))).collect();
        names.extend(odd.map(|(role, name)| (role, name.to_owned())));
        let named = Self { root: TempDir::new().unwrap(), folder: folder.to_owned(), names };
        let ddl = |name: &str, load: &str| {
            let path = named.root.path().join(format!("{name}.sql"));
            let text =
                format!("CREATE TABLE {name} (id BIGINT NOT NULL, at TIMESTAMP, n BIGINT{load}) USING DELTA");
            std::fs::write(path, text).unwrap();
        };
        ddl("src", "");
        ddl("tgt", ", load_batch_id STRING, loaded_at TIMESTAMP, row_hash STRING, PRIMARY KEY (id)");
        let at = |role: &str| quoted(&format!("{folder}/{}", named.names[role]));
        let text = format!(
            "name: names\nsource: {{table: {}, ddl: src.sql}}\ntarget: {{table: {}, ddl: tgt.sql}}\nunique_key: id\n\
             updated_at: at\nincremental: {{column: at}}\nas_of: 2025-09-01\nquarantine: {}\naudit: {}\n\
             watermarks: {}\n",
            at("source"),
            at("target"),
            at("quarantine"),
            at("audit"),
            at("watermarks"),
        );
        std::fs::write(named.root.path().join("p.yaml"), text).unwrap();
        named
    }

    fn json(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
        command.arg("-c").arg(self.root.path().join("p.yaml")).args(arguments);
        command.env("HIGHWATER_CLOCK", CLOCK).env_remove("RUST_LOG").stdin(Stdio::null());
        json_of(command)
    }

    fn succeeds(&self, arguments: &[&str], status: &str) {
        let (code, document) = self.json(arguments);
        assert_eq!((code, &document["status"]), (Some(0), &status.into()), "{arguments:?}: {document:#}");
    }

    async fn table(&self, role: &str) -> Table {
        let path = self.root.path().join(&self.folder).join(&self.names[role]);
        let location = Location::named(path.to_str().unwrap()).unwrap();
        Lake::plain().open(role, &location).await.unwrap()
    }

    async fn stage(&self, json: &str) {
        let table = self.table("source").await;
        table.append_foreign(vec![batch(&table, json)]).await.unwrap();
    }

    async fn loaded(&self) -> Vec<String> {
        let engine = Engine::new(1 << 30);
        let table = self.table("target").await;
        let _known = engine.register("t", table.rows(&engine.state()).await.unwrap()).unwrap();
        rows(&engine, "SELECT id, n FROM t").await
    }

    /// What lies in the root folder, and in the tables' folder.
    fn listed(&self) -> BTreeSet<String> {
        let names = |folder: &Path| -> Vec<String> {
            let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        };
        let mut listed: BTreeSet<String> = names(self.root.path()).into_iter().collect();
        listed.extend(names(&self.root.path().join(&self.folder)));
        listed
    }

    async fn loads(&self) {
        let (code, document) = self.json(&["init"]);
        assert_eq!(code, Some(0), "{document:#}");
        let mut expected: BTreeSet<String> =
            ["loads_attempts", "p.yaml", "src.sql", "tgt.sql"].map(str::to_owned).into();
        expected.insert(self.folder.clone());
        expected.extend(self.names.values().cloned());
        self.stage(r#"{"id":1,"at":"2025-08-31T00:00:00Z","n":1}"#).await;
        self.succeeds(&["run"], "loaded");
        self.succeeds(&["run"], "already_loaded");
        self.stage(
            r#"{"id":1,"at":"2025-08-31T01:00:00Z","n":2}
               {"id":2,"at":"2025-08-31T00:00:00Z","n":3}"#,
        )
        .await;
        self.succeeds(&["run"], "loaded");
        assert_eq!(self.loaded().await, [r#"{"id":1,"n":2}"#, r#"{"id":2,"n":3}"#]);
        self.succeeds(&["rollback", "--last"], "rolled_back");
        assert_eq!(self.loaded().await, [r#"{"id":1,"n":1}"#]);
        assert_eq!(self.listed(), expected);
    }

    fn is_refused(&self) {
        let before = self.listed();
        for arguments in [&["init"][..], &["plan"], &["check"], &["run"], &["rollback", "--last"]] {
            let (code, document) = self.json(arguments);
            assert_eq!(code, Some(2), "{arguments:?}: {document:#}");
            let message = document["error"]["message"].as_str().unwrap();
            assert!(message.contains("must") || message.contains("is expanded under"), "{document:#}");
        }
        assert_eq!(self.listed(), before);
    }
}

/// A text in a YAML file, whatever it holds.
fn quoted(text: &str) -> String {
    let units = text.encode_utf16().map(|unit| format!("\\u{unit:04x}"));
    format!("\"{}\"", units.collect::<String>())
}

/// What the table library would look for elsewhere.
fn is_misread(name: &str) -> bool {
    let encoded = name
        .as_bytes()
        .windows(3)
        .any(|window| window[0] == b'%' && window[1].is_ascii_hexdigit() && window[2].is_ascii_hexdigit());
    // Nor is a variable of the environment meant.
    encoded || name.contains("${") || name.contains(|c: char| c == '\\' || c.is_ascii_control())
}

#[tokio::test(flavor = "multi_thread")]
async fn folder_of_any_name_is_loaded_right_or_refused_with_nothing_written() {
    let mut random = Pcg64Mcg::seed_from_u64(seed());
    // The table library makes a host of a folder's path, which must not hold these as they are.
    let fixed = [(None, "a[b]|^c"), (None, "a%20b"), (None, "a${b"), (Some("target"), "[x")];
    let mut drawn: Vec<_> = fixed.into_iter().map(|(role, name)| (role, name.to_owned())).collect();
    for _ in 0..setting("HIGHWATER_NAMES", 6) {
        let pieces = random.random_range(1..6);
        let name: String = (0..pieces).map(|_| *PIECES.choose(&mut random).unwrap()).collect();
        let role = if random.random_bool(0.5) { ROLES.choose(&mut random).copied() } else { None };
        drawn.push((role, name));
    }
    for (role, name) in drawn {
        if name.chars().all(|c| c == '.') {
            continue;
        }
        println!("{role:?} {name:?}");
        let named = match role {
            Some(role) => Named::new("lake", Some((role, &name))),
            None => Named::new(&name, None),
        };
        if is_misread(&name) {
            named.is_refused();
        } else {
            named.loads().await;
        }
    }
}
