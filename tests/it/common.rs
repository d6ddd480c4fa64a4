//! A lab: a folder with real tables and a pipeline file, and what tests do with it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use deltalake::arrow::array::RecordBatch;
use deltalake::arrow::json::{LineDelimitedWriter, ReaderBuilder};
use highwater::config::{Location, Overrides};
use highwater::context::{self, PipelineContext};
use highwater::contract::ddl::TableDef;
use highwater::demo::{DemoOptions, write_demo};
use highwater::engine::Engine;
use highwater::engine::sql::Params;
use highwater::lake::{Lake, Table, create_table};
use highwater::model::{Clock, Strategy};
use serde_json::{Map, Value};
use tempfile::TempDir;

use crate::gateway::{gateway, labs_lie_there};

/// The time at which every test's clock stands still.
pub const CLOCK: &str = "2025-09-01T00:10:00Z";
/// The demo's week ends here.
pub const AS_OF: &str = "2025-09-01";

/// Every way to write a batch.
pub const STRATEGIES: [Strategy; 3] = [Strategy::Builder, Strategy::DeletionVectors, Strategy::Rewrite];

/// A folder with tables and a pipeline file.
pub struct Lab {
    folder: TempDir,
    /// Whether the program is told to reach the tables by S3.
    on_s3: bool,
    /// The pipeline file's name.
    pub file: String,
    /// The tables that a load writes or reads, by folder.
    pub tables: Vec<&'static str>,
}

impl Lab {
    /// The reference case.
    pub async fn reference() -> Self {
        Self::demo(None, 1).await
    }

    /// The reference case without the checks of its pipeline file: order 103 loads.
    pub async fn ungated() -> Self {
        let lab = Self::reference().await;
        lab.drop_checks();
        lab
    }

    /// Takes the checks out of the pipeline file.
    pub fn drop_checks(&self) {
        let text = std::fs::read_to_string(self.config()).unwrap();
        let from = text.find("\ncolumns:").unwrap();
        let to = text.find("\nquarantine:").unwrap();
        std::fs::write(self.config(), format!("{}{}", &text[..from], &text[to..])).unwrap();
    }

    /// Generated orders.
    pub async fn generated(orders: u64, seed: u64) -> Self {
        Self::demo(Some(orders), seed).await
    }

    async fn demo(orders: Option<u64>, seed: u64) -> Self {
        let folder = new_folder();
        let as_of = AS_OF.parse().unwrap();
        write_demo(folder.path(), DemoOptions { orders, seed, as_of, tables: None }).await.unwrap();
        let tables = vec![
            "staging_orders",
            "fact_orders",
            "dim_customer",
            "fact_orders_bad",
            "loads_audit",
            "load_watermarks",
        ];
        Self { folder, on_s3: labs_lie_there(), file: "orders.yaml".to_owned(), tables }
    }

    /// The second example pipeline: compound key, BIGINT version, no partitions, by arrival.
    pub async fn stock() -> Self {
        let folder = new_folder();
        for (path, file) in
            [("config", "stock.yaml"), ("tables", "staging_stock.sql"), ("tables", "stock.sql")]
        {
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(path).join(file);
            std::fs::create_dir_all(folder.path().join(path)).unwrap();
            std::fs::copy(source, folder.path().join(path).join(file)).unwrap();
        }
        let tables = vec!["staging_stock", "stock", "stock_bad", "loads_audit", "load_watermarks"];
        let lab = Self { folder, on_s3: labs_lie_there(), file: "config/stock.yaml".to_owned(), tables };
        assert_eq!(lab.run(&["init"]).status.code(), Some(0));
        lab.append(
            "stock",
            r#"{"warehouse":"north","item":1,"revision":5,"quantity":10,"note":null}
               {"warehouse":"north","item":2,"revision":7,"quantity":20,"note":"kept"}"#,
        )
        .await;
        lab.append(
            "staging_stock",
            r#"{"warehouse":"north","item":1,"revision":6,"quantity":11,"note":"newer","arrived_from":"a"}
               {"warehouse":"north","item":1,"revision":4,"quantity":9,"note":"older","arrived_from":"a"}
               {"warehouse":"south","item":1,"revision":1,"quantity":1,"note":"","arrived_from":"b"}
               {"warehouse":"north","item":2,"revision":7,"quantity":20,"note":"kept","arrived_from":"b"}
               {"warehouse":"north","item":3,"revision":1,"quantity":3,"note":null,"arrived_from":"b"}
               {"warehouse":"north","item":3,"revision":1,"quantity":3,"note":null,"arrived_from":"c"}"#,
        )
        .await;
        lab
    }

    /// A pipeline of its own: its file, and a folder of tables made from these DDL texts.
    pub fn custom(file: &str, ddl: &[(&'static str, &str)]) -> Self {
        let folder = new_folder();
        for (name, text) in ddl {
            std::fs::write(folder.path().join(format!("{name}.sql")), text).unwrap();
        }
        std::fs::write(folder.path().join("pipeline.yaml"), file).unwrap();
        let mut tables: Vec<&'static str> = ddl.iter().map(|(name, _)| *name).collect();
        tables.extend(["tgt_bad", "loads_audit", "load_watermarks"]);
        let lab = Self { folder, on_s3: labs_lie_there(), file: "pipeline.yaml".to_owned(), tables };
        let output = lab.run(&["init"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        lab
    }

    /// The same, its target written by this strategy: one that is not chosen by itself is named in the pipeline file.
    pub fn written_by(self, strategy: Strategy) -> Self {
        match strategy {
            Strategy::Builder => {}
            Strategy::DeletionVectors => {
                self.enable_vectors();
                // A purge makes a version of its own, which runs that are compared by versions may or may not make.
                self.set_merge("\"purge\": {\"dead_rows\": \"100 %\", \"small_files\": 0}", |text| {
                    text.replace("dead_rows: 15 % ", "dead_rows: 100 % ")
                        .replace("small_files: 6 ", "small_files: 0 ")
                });
            }
            Strategy::Rewrite => {
                self.set_merge("\"strategy\": \"rewrite\"", |text| {
                    text.replace("strategy: auto ", "strategy: rewrite ")
                });
            }
        }
        self
    }

    /// Sets a key of the section `merge`, in whatever way the pipeline file is written; `edited` does where there is one
    /// in blocks.
    fn set_merge(&self, key: &str, edited: impl Fn(&str) -> String) {
        let text = std::fs::read_to_string(self.config()).unwrap();
        let text = if let Some(place) = text.find("\"merge\": {") {
            let (before, after) = text.split_at(place + "\"merge\": {".len());
            format!("{before}{key}, {after}")
        } else if text.contains("\nmerge:") {
            let changed = edited(&text);
            assert_ne!(changed, text, "{key}");
            changed
        } else {
            format!("{text}\nmerge: {{{key}}}\n")
        };
        std::fs::write(self.config(), text).unwrap();
    }

    /// Makes the target one that has deletion vectors, as if its DDL had said so.
    fn enable_vectors(&self) {
        let target =
            ["fact_orders", "stock", "tgt"].into_iter().find(|name| self.tables.contains(name)).unwrap();
        let log = self.path().join(target).join("_delta_log/00000000000000000000.json");
        let entry = std::fs::read_to_string(&log).unwrap();
        let lines = entry.lines().map(|line| {
            let mut action: Value = serde_json::from_str(line).unwrap();
            if let Some(metadata) = action.get_mut("metaData") {
                metadata["configuration"]["delta.enableDeletionVectors"] = "true".into();
            }
            if let Some(protocol) = action.get_mut("protocol") {
                let with_vectors = |features: &Value| {
                    let mut all = features.as_array().cloned().unwrap_or_default();
                    all.push("deletionVectors".into());
                    Value::from(all)
                };
                let old = (protocol["readerFeatures"].clone(), protocol["writerFeatures"].clone());
                *protocol = serde_json::json!({
                    "minReaderVersion": 3, "minWriterVersion": 7,
                    "readerFeatures": with_vectors(&old.0), "writerFeatures": with_vectors(&old.1),
                });
            }
            action.to_string()
        });
        std::fs::write(&log, lines.collect::<Vec<_>>().join("\n")).unwrap();
    }

    /// Tables that an older version wrote, by the folder of their pipeline: see `tests/fixtures/v0.1-pre8/make.py`.
    pub fn before(folder: &str, file: &str, tables: Vec<&'static str>) -> Self {
        let into = new_folder();
        let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v0.1-pre8/tables.tar.gz");
        let mut tar = Command::new("tar");
        tar.arg("xzf").arg(archive).args(["--strip-components=1", folder]).current_dir(into.path());
        assert!(tar.status().unwrap().success());
        Self { folder: into, on_s3: labs_lie_there(), file: file.to_owned(), tables }
    }

    /// A copy of the tables: the same Delta ids, so the same batch ids.
    pub fn copy(&self) -> Self {
        self.copied(self.on_s3)
    }

    /// A copy whose tables the program reaches by S3.
    pub fn on_s3(&self) -> Self {
        self.copied(true)
    }

    fn copied(&self, on_s3: bool) -> Self {
        let folder = if on_s3 { gateway().bucket() } else { TempDir::new().unwrap() };
        copy_folder(self.folder.path(), folder.path());
        Self { folder, on_s3, file: self.file.clone(), tables: self.tables.clone() }
    }

    /// What a process is told to find the tables of this pipeline file where they lie.
    fn environment(&self, file: &str) -> Vec<(String, String)> {
        if !self.on_s3 {
            return Vec::new();
        }
        let mut all = gateway().environment();
        let Ok(loaded) = highwater::config::load(&self.path().join(file), &Overrides::default()) else {
            return all;
        };
        // One that cannot be understood is tested without its tables.
        let Some(pipeline) = loaded.pipeline else { return all };
        let mut places = vec![
            ("SOURCE__TABLE".to_owned(), &pipeline.source.table),
            ("TARGET__TABLE".to_owned(), &pipeline.target.table),
            ("QUARANTINE".to_owned(), &pipeline.quarantine),
            ("AUDIT".to_owned(), &pipeline.audit),
            ("WATERMARKS".to_owned(), &pipeline.watermarks),
            ("ATTEMPTS".to_owned(), &pipeline.attempts),
        ];
        if let Some(files) = &pipeline.source.files {
            places.push(("SOURCE__FILES__LEDGER".to_owned(), &files.ledger));
            places.push(("SOURCE__FILES__CORRUPT".to_owned(), &files.corrupt));
            if let Some(url) = gateway().url(Path::new(files.folder.as_str())) {
                all.push(("HIGHWATER__SOURCE__FILES__PATH".to_owned(), format!("{url}/{}", files.pattern)));
            }
        }
        for (name, dimension) in &pipeline.dimensions {
            places.push((format!("DIMENSIONS__{}__TABLE", name.to_uppercase()), &dimension.table));
        }
        for (name, location) in places {
            if let Some(url) = gateway().url(Path::new(location.as_str())) {
                all.push((format!("HIGHWATER__{name}"), url));
            }
        }
        all
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn config(&self) -> PathBuf {
        self.path().join(&self.file)
    }

    /// Rewrites the pipeline file.
    pub fn edit(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.config()).unwrap();
        assert!(text.contains(from), "{from} is not in the pipeline file");
        std::fs::write(self.config(), text.replace(from, to)).unwrap();
    }

    /// A second pipeline file beside the first.
    pub fn variant(&self, name: &str, from: &str, to: &str) -> String {
        let text = std::fs::read_to_string(self.config()).unwrap();
        assert!(text.contains(from), "{from} is not in the pipeline file");
        let file = self.config().with_file_name(name);
        std::fs::write(&file, text.replace(from, to)).unwrap();
        file.strip_prefix(self.path()).unwrap().display().to_string()
    }

    /// A command that is not started yet.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_with(&self.file, arguments)
    }

    /// A command with another pipeline file.
    pub fn command_with(&self, file: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command
            .arg("-c")
            .arg(self.path().join(file))
            .args(arguments)
            .env("HIGHWATER_CLOCK", CLOCK)
            .env_remove("RUST_LOG")
            .envs(self.environment(file))
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs the program with `--json`, and checks that stdout holds one document.
    pub fn json(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        json_of(self.command(arguments))
    }

    /// Runs a load that must succeed.
    pub fn load(&self) -> Value {
        let (status, document) = self.json(&["run"]);
        assert_eq!(status, Some(0), "{document:#}");
        document
    }

    /// The pipeline opened in this process.
    pub async fn opened(&self) -> PipelineContext {
        let overrides = Overrides { env: self.environment(&self.file), ..Overrides::default() };
        let (pipeline, origins) = context::load(&self.config(), &overrides).await.unwrap();
        context::open(pipeline, origins).await.unwrap()
    }

    pub async fn table(&self, name: &str) -> Table {
        table_in(self.path(), name).await
    }

    /// The newest version of each table.
    pub async fn versions(&self) -> BTreeMap<&'static str, u64> {
        let mut versions = BTreeMap::new();
        for name in &self.tables {
            versions.insert(*name, self.table(name).await.version());
        }
        versions
    }

    /// All rows of a table with all columns, as sorted JSON lines.
    pub async fn rows(&self, name: &str) -> Vec<String> {
        rows_of(self.path(), name, "*").await
    }

    /// All rows of all tables.
    pub async fn state(&self) -> BTreeMap<&'static str, Vec<String>> {
        let mut state = BTreeMap::new();
        for name in &self.tables {
            state.insert(*name, self.rows(name).await);
        }
        state
    }

    /// Appends rows, given as JSON lines, as any other writer would.
    pub async fn append(&self, name: &str, json: &str) {
        let table = self.table(name).await;
        let rows = batch(&table, json);
        table.append_foreign(vec![rows]).await.unwrap();
    }

    /// The actions of a commit of a table.
    pub fn actions(&self, table: &str, version: u64) -> Vec<Map<String, Value>> {
        let entry = self.path().join(format!("{table}/_delta_log/{version:020}.json"));
        let text = std::fs::read_to_string(entry).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The table for plain delta-rs operations.
    pub async fn delta(&self, name: &str) -> deltalake::DeltaTable {
        let url = deltalake::ensure_table_uri(self.path().join(name).display().to_string()).unwrap();
        deltalake::open_table(url).await.unwrap()
    }

    /// The pipeline's number in a table's log.
    pub async fn number(&self, table: &str, app: &str) -> i64 {
        self.table(table).await.txn(app).await.unwrap().unwrap_or_default()
    }
}

/// A new folder where labs lie.
fn new_folder() -> TempDir {
    if labs_lie_there() { gateway().bucket() } else { TempDir::new().unwrap() }
}

async fn table_in(folder: &Path, name: &str) -> Table {
    let location = Location::named(&folder.join(name).display().to_string()).unwrap();
    Lake::plain().open(name, &location).await.unwrap()
}

/// These columns of a table's rows, as sorted JSON lines.
pub async fn rows_of(folder: &Path, table: &str, columns: &str) -> Vec<String> {
    let (engine, table) = (Engine::new(1 << 30), table_in(folder, table).await);
    let _known = engine.register("t", table.rows(&engine.state()).await.unwrap()).unwrap();
    rows(&engine, &format!("SELECT {columns} FROM t")).await
}

/// Makes a table from its DDL, with rows that are given as JSON lines.
pub async fn make_table(folder: &Path, name: &str, ddl: &str, json: &str) {
    let location = Location::named(&folder.join(name).display().to_string()).unwrap();
    let def = TableDef::parse(name, ddl).unwrap();
    assert!(create_table(&Lake::plain(), &location, &def).await.unwrap());
    let table = table_in(folder, name).await;
    table.append_foreign(vec![batch(&table, json)]).await.unwrap();
}

/// Rows of a query as sorted JSON lines, with NULLs written out.
pub async fn rows(engine: &Engine, sql: &str) -> Vec<String> {
    let rows = engine.rows(sql, &Params::new()).await.unwrap();
    let mut json = Vec::new();
    let mut writer = LineDelimitedWriter::new(&mut json);
    for batch in &rows.batches {
        writer.write(batch).unwrap();
    }
    writer.finish().unwrap();
    let mut lines: Vec<String> = String::from_utf8(json).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Rows given as JSON lines, in the table's schema.
pub fn batch(table: &Table, json: &str) -> RecordBatch {
    let decoder = ReaderBuilder::new(table.arrow_schema().unwrap()).with_batch_size(1 << 20);
    let mut decoder = decoder.build_decoder().unwrap();
    decoder.decode(json.as_bytes()).unwrap();
    decoder.flush().unwrap().unwrap()
}

/// The program: the one just built, unless HIGHWATER names another.
pub fn program() -> PathBuf {
    std::env::var_os("HIGHWATER").map_or_else(|| env!("CARGO_BIN_EXE_highwater").into(), PathBuf::from)
}

/// Runs a command with `--json`.
pub fn json_of(mut command: Command) -> (Option<i32>, Value) {
    let output = command.arg("--json").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let document = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {text:?} {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code(), document)
}

pub fn clock() -> Clock {
    Clock::Frozen(CLOCK.parse().unwrap())
}

/// A number from the environment, for those who want more rounds.
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

/// The seed of a randomised test: taken from the environment, else new; printed either way.
pub fn seed() -> u64 {
    let fresh = || u64::from(std::process::id());
    let seed = std::env::var("HIGHWATER_SEED").ok().map_or_else(fresh, |text| text.parse().unwrap());
    println!("HIGHWATER_SEED={seed}");
    seed
}

/// The seed of one of many drawn cases. Every other case is the same in each run, so that what must come up among them
/// does, whatever the rest are like; the first never is, so that one case can be run alone.
pub fn seed_of(seed: u64, case: u64) -> u64 {
    if case % 2 == 1 { case } else { seed.wrapping_add(case) }
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
