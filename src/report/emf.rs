//! A run as metrics, in CloudWatch's embedded metric format: one line of JSON in a log, of which CloudWatch makes metrics.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

/// The metrics' name space.
const NAMESPACE: &str = "highwater";

/// Numbers of a command's document that become metrics: where they stand, and their unit.
const METRICS: [(&str, &str); 17] = [
    ("/seconds", "Seconds"),
    ("/rows_per_second", "Count/Second"),
    ("/bytes_written", "Bytes"),
    ("/counts/staged", "Count"),
    ("/counts/duplicate", "Count"),
    ("/counts/superseded", "Count"),
    ("/counts/deduped", "Count"),
    ("/counts/inserted", "Count"),
    ("/counts/updated", "Count"),
    ("/counts/stale", "Count"),
    ("/counts/unchanged", "Count"),
    ("/counts/tied", "Count"),
    ("/counts/quarantined", "Count"),
    ("/counts/rejected", "Count"),
    ("/late", "Count"),
    ("/future", "Count"),
    ("/dq_errors", "Count"),
];

/// The line of a command that ended with this document and status, by pipeline. A failure has `failed` 1 and no counts.
#[must_use]
pub fn line(pipeline: &str, document: &Value, exit_status: u8, at: DateTime<Utc>) -> String {
    let mut values = Map::new();
    let mut told = Vec::new();
    let mut add = |name: &str, unit: &str, value: Value| {
        told.push(json!({"Name": name, "Unit": unit}));
        values.insert(name.to_owned(), value);
    };
    add("failed", "Count", i32::from(exit_status > 1).into());
    add("rejected_batches", "Count", i32::from(exit_status == 1).into());
    // What an earlier run loaded, or what one would, is not counted again.
    let is_done = ["loaded", "rolled_back", "rejected"].iter().any(|status| document["status"] == *status);
    for (place, unit) in METRICS {
        if !is_done && place != "/seconds" {
            continue;
        }
        let Some(value) = document.pointer(place).filter(|value| value.is_number()) else { continue };
        let name = place.rsplit('/').next().unwrap_or(place);
        let name = if place.starts_with("/counts/") { format!("{name}_rows") } else { name.to_owned() };
        add(&name, unit, value.clone());
    }
    let mut line = json!({
        "_aws": {
            "Timestamp": at.timestamp_millis(),
            "CloudWatchMetrics": [{"Namespace": NAMESPACE, "Dimensions": [["pipeline"]], "Metrics": told}],
        },
        "pipeline": pipeline,
        "command": document["command"],
        "status": document.get("status"),
        "batch_id": document.get("batch_id"),
        "exit_status": exit_status,
    });
    if let Some(line) = line.as_object_mut() {
        line.extend(values);
    }
    format!("{line}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_metric_has_its_value_beside_it() {
        let document = json!({"command": "run", "status": "loaded", "batch_id": "b", "seconds": 1.5, "counts": {"staged": 5}});
        let text = line("orders", &document, 0, DateTime::UNIX_EPOCH);
        assert_eq!(text.lines().count(), 1);
        let line: Value = serde_json::from_str(&text).unwrap();
        let metrics = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(metrics["Dimensions"], json!([["pipeline"]]));
        let names: Vec<&str> = metrics["Metrics"]
            .as_array()
            .unwrap()
            .iter()
            .map(|metric| metric["Name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["failed", "rejected_batches", "seconds", "staged_rows"]);
        assert!(names.iter().all(|name| line[*name].is_number()), "{line}");
        let again =
            json!({"command": "run", "status": "already_loaded", "seconds": 0.1, "counts": {"staged": 5}});
        let again: Value =
            serde_json::from_str(&super::line("orders", &again, 0, DateTime::UNIX_EPOCH)).unwrap();
        assert!(again.get("staged_rows").is_none() && again.get("seconds").is_some(), "{again}");
        let failed = super::line("orders", &json!({"command": "run"}), 3, DateTime::UNIX_EPOCH);
        let failed: Value = serde_json::from_str(&failed).unwrap();
        assert_eq!(failed["failed"], 1);
    }
}
