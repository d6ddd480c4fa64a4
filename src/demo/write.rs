//! Writes demo data as real tables, with a pipeline file that points at them.

use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use deltalake::arrow::array::RecordBatch;

use super::{DemoData, GeneratedCounts, Options, generate, reference};
use crate::config::{self, Location, Overrides, Pipeline};
use crate::contract::ddl::TableDef;
use crate::contract::quarantine::quarantine_of;
use crate::contract::{
    DIM_CUSTOMER, FACT_ORDERS, LOAD_WATERMARKS, LOADS_ATTEMPTS, LOADS_AUDIT, STAGING_ORDERS,
};
use crate::error::{Error, Result};
use crate::lake::{Lake, create_table};

/// The pipeline file that ships with the project; the demo's is the same but for the lines below.
const ORDERS_YAML: &str = include_str!("../../config/orders.yaml");
/// The pipeline file's name in the demo's folder.
const FILE: &str = "orders.yaml";
/// The last day of the reference case.
const REFERENCE_DAY: &str = "2025-09-01";

/// What a demo is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DemoOptions {
    /// Orders in the target; `None` for the reference case.
    pub orders: Option<u64>,
    /// Picks the staged rows.
    pub seed: u64,
    /// The last day of the staged week.
    pub as_of: NaiveDate,
    /// The URL of the folder that tables are made in; beside the pipeline file unless said.
    pub tables: Option<String>,
}

/// What was written.
#[derive(Debug, Clone)]
pub struct DemoReport {
    /// The pipeline file.
    pub config: PathBuf,
    /// Rows in the target.
    pub fact_rows: usize,
    /// Rows in the dimension.
    pub customer_rows: usize,
    /// Rows in staging, by purpose.
    pub counts: GeneratedCounts,
}

/// Makes `folder` with `orders.yaml` and, unless they are to lie elsewhere, one folder a table.
///
/// # Errors
/// Fails when the folder holds a demo already, or it or the tables' place cannot be written.
pub async fn write_demo(folder: &Path, options: DemoOptions) -> Result<DemoReport> {
    let reference_day = REFERENCE_DAY.parse::<NaiveDate>().ok();
    if options.orders.is_none() && reference_day != Some(options.as_of) {
        return Err(Error::usage(format!("the reference case is fixed to {REFERENCE_DAY}"))
            .hint("give --orders N for data of another day"));
    }
    if folder.to_str().is_some_and(|text| text.contains("://")) {
        return Err(Error::usage(format!(
            "a demo is written to a local folder, not to {}",
            folder.display()
        ))
        .hint("name a folder for its pipeline file, and the URL by `--tables`"));
    }
    let named = std::path::absolute(folder).ok().and_then(|path| path.to_str().map(str::to_owned));
    let trouble = match named {
        Some(path) => Location::new(path).trouble(),
        None => Some("must have a UTF-8 path".to_owned()),
    };
    if let Some(trouble) = trouble {
        return Err(Error::usage(format!("the demo's folder {trouble}")).hint("name another folder"));
    }
    std::fs::create_dir_all(folder).map_err(|error| {
        Error::usage(format!("cannot create the folder {}", folder.display())).because(error)
    })?;
    if folder.join("fact_orders").exists() || folder.join(FILE).exists() {
        return Err(Error::usage(format!("{} holds a demo already", folder.display()))
            .hint("name an empty folder, or remove that one"));
    }
    let unfit = |error| Error::usage("cannot make demo data").because(Box::new(error) as Box<_>);
    let data = match options.orders {
        None => reference(),
        Some(orders) => generate(&Options { orders, seed: options.seed, as_of: options.as_of }),
    };
    let DemoData { staging, fact, customers, counts } = data.map_err(unfit)?;
    let fact: Vec<RecordBatch> = fact.collect::<std::result::Result<_, _>>().map_err(unfit)?;
    let rows = |batches: &[RecordBatch]| batches.iter().map(RecordBatch::num_rows).sum();
    let (fact_rows, customer_rows) = (rows(&fact), rows(&customers));

    let file = folder.join(FILE);
    std::fs::write(&file, pipeline_file(options.as_of, options.tables.as_deref()))
        .map_err(|error| Error::usage(format!("cannot write {}", file.display())).because(error))?;
    let made = write_tables(&file, staging, fact, customers).await;
    if let Err(error) = made {
        // Else the next try would find a demo that is none.
        let _ = std::fs::remove_file(&file);
        return Err(error);
    }
    Ok(DemoReport { config: file, fact_rows, customer_rows, counts })
}

async fn write_tables(
    file: &Path,
    staging: Vec<RecordBatch>,
    fact: Vec<RecordBatch>,
    customers: Vec<RecordBatch>,
) -> Result<()> {
    let pipeline = pipeline(file)?;
    let lake = Lake::of(&pipeline);
    let tables = [
        (STAGING_ORDERS, &pipeline.source.table, staging),
        (FACT_ORDERS, &pipeline.target.table, fact),
        (DIM_CUSTOMER, &pipeline.target.table.sibling("dim_customer"), customers),
        (LOADS_AUDIT, &pipeline.audit, Vec::new()),
        (LOAD_WATERMARKS, &pipeline.watermarks, Vec::new()),
        (LOADS_ATTEMPTS, &pipeline.attempts, Vec::new()),
    ];
    for (ddl, location, batches) in tables {
        let def = TableDef::parse(location.name(), ddl).map_err(|error| Error::bug(error.to_string()))?;
        if !create_table(&lake, location, &def).await? {
            return Err(Error::usage(format!("there is a table at {location} already"))
                .hint("name another folder by `--tables`"));
        }
        if !batches.is_empty() {
            lake.open(location.name(), location).await?.append_foreign(batches).await?;
        }
    }
    let staging = lake.open(pipeline.source.table.name(), &pipeline.source.table).await?;
    let quarantine = quarantine_of(pipeline.quarantine.name(), &staging.columns()?);
    let quarantine = quarantine.map_err(|error| Error::bug(error.to_string()))?;
    create_table(&lake, &pipeline.quarantine, &quarantine).await?;
    Ok(())
}

/// The shipped pipeline file, without DDL paths, with the week's end as logical date, and with its tables elsewhere.
fn pipeline_file(as_of: NaiveDate, tables: Option<&str>) -> String {
    const LOCATIONS: [&str; 5] = ["table:", "quarantine:", "audit:", "watermarks:", "attempts:"];

    let elsewhere_of = |line: &str| {
        let (tables, place) = (tables?.trim_end_matches('/'), line.len() - line.trim_start().len());
        let key = LOCATIONS.into_iter().find(|key| line[place..].starts_with(key))?;
        let (name, rest) = line[place + key.len()..]
            .trim_start()
            .split_once(' ')
            .unwrap_or((&line[place + key.len() + 1..], ""));
        let comment = if rest.trim().is_empty() { String::new() } else { format!("  {}", rest.trim()) };
        Some(format!("{}{key} {tables}/{name}{comment}", &line[..place]))
    };
    let mut text = String::new();
    for line in ORDERS_YAML.lines() {
        let key = line.trim_start();
        let elsewhere = ["ddl:", "# yaml-language-server", "# orders-minimal.yaml"];
        if elsewhere.iter().any(|start| key.starts_with(start)) || (text.is_empty() && key == "#") {
            continue;
        }
        if key.starts_with("as_of:") {
            text.push_str(&format!(
                "as_of: {as_of}                            # the end of the demo's week\n"
            ));
        } else {
            text.push_str(&elsewhere_of(line).unwrap_or_else(|| line.to_owned()));
            text.push('\n');
        }
    }
    text
}

fn pipeline(file: &Path) -> Result<Pipeline> {
    let loaded = config::load(file, &Overrides::default());
    let valid = loaded.and_then(config::Loaded::into_valid);
    valid.map(|(pipeline, _)| pipeline).map_err(|problems| Error::bug(problems.to_string()))
}
