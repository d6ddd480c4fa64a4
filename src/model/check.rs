//! What the gate found: one result for each check of a batch.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What happens when a check fails: to the rows that fail it, or to the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is told, and nothing else.
    Warn,
    /// The rows are kept out of the target, and kept in the quarantine.
    Quarantine,
    /// The batch is rejected.
    Fail,
}

impl Action {
    /// The action's name in pipeline files, tables and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Quarantine => "quarantine",
            Self::Fail => "fail",
        }
    }
}

/// What the gate says of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckVerdict {
    /// Nothing is wrong.
    Passed,
    /// Something is wrong, and nothing follows from it.
    Warned,
    /// Rows were kept out.
    Quarantined,
    /// The check rejects the batch.
    Failed,
    /// The check would reject the batch, but a person accepted it.
    Accepted,
    /// There was nothing to judge by: too few loads before, or a replay, which is not judged as a whole.
    Skipped,
}

impl CheckVerdict {
    /// The verdict's name in tables and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Warned => "warned",
            Self::Quarantined => "quarantined",
            Self::Failed => "failed",
            Self::Accepted => "accepted",
            Self::Skipped => "skipped",
        }
    }
}

/// The result of one check. Numbers are of rows, but for `schema`, whose numbers are of columns; a check that
/// judges a value instead of rows has 1 as `failed` where the value is out of bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckResult {
    /// The check's name.
    pub name: String,
    /// The column that it is declared at.
    pub column: Option<String>,
    /// What follows when it fails.
    pub action: Action,
    /// Rows that were looked at, after `where`.
    pub examined: i64,
    /// How many of them failed.
    pub failed: i64,
    /// What it was judged by, in words.
    pub threshold: Option<String>,
    /// What the gate says.
    pub verdict: CheckVerdict,
    /// The value of a check that judges one: a count, a day, an aggregate.
    pub value: Option<String>,
    /// Some of the rows that failed, by key and lineage.
    pub examples: Vec<String>,
}

impl CheckResult {
    /// Failed in percent of examined; `None` where nothing was examined.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "for people; what is judged are the integers")]
    pub fn percent(&self) -> Option<f64> {
        (self.examined > 0).then(|| self.failed as f64 * 100.0 / self.examined as f64)
    }
}

/// A result as the audit table and JSON have it.
#[derive(Serialize, Deserialize)]
struct Stored {
    name: String,
    column: Option<String>,
    action: Action,
    examined: i64,
    failed: i64,
    #[serde(default)]
    percent: Option<f64>,
    threshold: Option<String>,
    verdict: CheckVerdict,
    #[serde(default)]
    examples: Vec<String>,
    value: Option<String>,
}

impl Serialize for CheckResult {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { name, column, action, examined, failed, threshold, verdict, value, examples } =
            self.clone();
        let percent = self.percent();
        Stored { name, column, action, examined, failed, percent, threshold, verdict, examples, value }
            .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for CheckResult {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Stored { name, column, action, examined, failed, threshold, verdict, examples, value, .. } =
            Stored::deserialize(deserializer)?;
        Ok(Self { name, column, action, examined, failed, threshold, verdict, value, examples })
    }
}
