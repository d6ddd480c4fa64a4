//! Tells a topic of SNS when a run ends badly.
//!
//! Nothing depends on it: an alert that cannot be sent is a warning, and costs seconds at most.

use std::time::Duration;

use futures::future::join_all;
use tokio::time::timeout;

use crate::config::{Alert, AlertOn, Pipeline};
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::store::{Ask, Service};

/// How long it may take to send one.
const PATIENCE: Duration = Duration::from_secs(10);
/// Characters that a subject may have, all of them ASCII.
const SUBJECT: usize = 100;
/// Characters of a message that are sent.
const MESSAGE: usize = 10_000;

/// What an alert tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadEnd<'a> {
    /// The command.
    pub command: &'a str,
    /// Whether the gate rejected the batch, or the run failed.
    pub on: AlertOn,
    /// The exit status.
    pub exit_status: u8,
    /// Why, in a line or two.
    pub why: String,
    /// The command's document, as `--json` prints it.
    pub document: String,
}

/// Sends what the pipeline's alerts ask for.
pub async fn tell(pipeline: &Pipeline, end: &BadEnd<'_>) {
    let lake = Lake::of(pipeline);
    let wanted = pipeline.alerts.iter().filter(|alert| alert.on.contains(&end.on));
    join_all(wanted.map(async |alert| {
        let sent = timeout(PATIENCE, publish(&lake, alert, pipeline, end)).await;
        let sent = sent.unwrap_or_else(|_| Err(Error::retry("SNS did not answer in time")));
        if let Err(error) = sent {
            tracing::warn!(topic = alert.sns, error = error.chain(), "an alert could not be sent");
        }
    }))
    .await;
}

async fn publish(lake: &Lake, alert: &Alert, pipeline: &Pipeline, end: &BadEnd<'_>) -> Result<()> {
    let what = match end.on {
        AlertOn::Rejected => "rejected a batch".to_owned(),
        AlertOn::Failed => format!("failed with exit status {}", end.exit_status),
    };
    let subject: String = format!("highwater: {} of {} {what}", end.command, pipeline.name)
        .chars()
        .filter(char::is_ascii)
        .take(SUBJECT)
        .collect();
    let message: String = format!("{}\n\n{}", end.why, end.document).chars().take(MESSAGE).collect();
    let fields = [
        ("Action", "Publish"),
        ("Version", "2010-03-31"),
        ("TopicArn", alert.sns.as_str()),
        ("Subject", subject.as_str()),
        ("Message", message.as_str()),
    ];
    let aws = lake.aws().await?;
    // A topic answers in its own region, which its ARN names.
    let region = alert.sns.split(':').nth(3).filter(|region| !region.is_empty());
    let answer = aws.ask_in(Service::Sns, region, Ask::Form(&fields)).await?;
    answer.map(drop).map_err(|refused| refused.told(&format!("the topic {} takes no alert", alert.sns)))
}
