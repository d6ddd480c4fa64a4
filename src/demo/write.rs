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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DemoOptions {
    /// Orders in the target; `None` for the reference case.
    pub orders: Option<u64>,
    /// Picks the staged rows.
    pub seed: u64,
    /// The last day of the staged week.
    pub as_of: NaiveDate,
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

/// Makes `folder` with one folder a table, and `orders.yaml`.
///
/// # Errors
/// Fails when the folder holds tables already, or cannot be written.
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
        .hint("write it to a folder, copy that, and change the paths in its pipeline file"));
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
    std::fs::write(&file, pipeline_file(options.as_of))
        .map_err(|error| Error::usage(format!("cannot write {}", file.display())).because(error))?;
    let pipeline = pipeline(&file)?;
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
        create_table(&lake, location, &def).await?;
        if !batches.is_empty() {
            lake.open(location.name(), location).await?.append_foreign(batches).await?;
        }
    }
    let staging = lake.open(pipeline.source.table.name(), &pipeline.source.table).await?;
    let quarantine = quarantine_of(pipeline.quarantine.name(), &staging.columns()?);
    let quarantine = quarantine.map_err(|error| Error::bug(error.to_string()))?;
    create_table(&lake, &pipeline.quarantine, &quarantine).await?;
    Ok(DemoReport { config: file, fact_rows, customer_rows, counts })
}

/// The shipped pipeline file, without DDL paths and with the week's end as logical date.
fn pipeline_file(as_of: NaiveDate) -> String {
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
            text.push_str(line);
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
