//! How a batch is written, or was.

use super::text::{grouped, line, number_of};
use crate::model::Strategy;
use crate::plan::Chosen;
use crate::run::{Purged, Report, Slicing};

/// What is to be written, by which strategy, and in how many slices; with an empty line behind it.
pub(super) fn writing(report: &Report) -> String {
    let mut text = String::new();
    if let Some(rewrite) = &report.rewrite {
        let does = match &report.strategy {
            Some(chosen) if chosen.strategy == Strategy::DeletionVectors => "marking rows in",
            _ => "rewriting",
        };
        line(
            &mut text,
            format_args!(
                "to write: {} in {}, {does} {} of {} bytes",
                number_of(rewrite.partitions, "partition"),
                number_of(rewrite.commits, "commit"),
                number_of(rewrite.files, "file"),
                grouped(rewrite.bytes)
            ),
        );
    }
    if let Some(Chosen { strategy, why, .. }) = &report.strategy {
        line(&mut text, format_args!("strategy: {} ({why})", strategy.as_str()));
    }
    if let Some(Slicing { slices, bytes }) = &report.slicing {
        let size = grouped(i64::try_from(*bytes >> 20).unwrap_or(i64::MAX));
        line(
            &mut text,
            format_args!("cut by key: {slices} slices, as {size} MiB of rows do not fit `memory`"),
        );
    }
    if let Some(Purged { files, bytes, dead_rows }) = report.purged {
        let size = grouped(i64::try_from(bytes).unwrap_or(i64::MAX));
        let files = number_of(files, "file");
        line(&mut text, format_args!("purged: {files} of {size} bytes, {} dead rows", grouped(dead_rows)));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}
