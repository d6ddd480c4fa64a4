//! Who numbers a commit: each lane is an `appId`, and numbers of one lane are compared with each other only.

/// What numbers a pipeline's commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane<'a> {
    /// Batches, by their number: in the target and in every record table.
    Live,
    /// Groups of a batch, in the target.
    Group,
    /// Rejections, in the audit table.
    Rejected,
    /// Rejections that leave rows behind for the quarantine with this Delta id, in the audit table and there.
    Evidence(&'a str),
    /// The same as it was before there was a count for each quarantine.
    OldEvidence,
    /// Files brought in: in staging, the ledger and the table of rows that could not be read.
    Ingest,
    /// Changes of the target's columns: in the target and the audit table.
    Schema,
}

impl Lane<'_> {
    /// The lane's `appId` in a pipeline. Names cannot contain `/`, so it collides with no other pipeline's.
    #[must_use]
    pub fn app(self, pipeline: &str) -> String {
        match self {
            Self::Live => pipeline.to_owned(),
            Self::Group => format!("{pipeline}/group"),
            Self::Rejected => format!("{pipeline}/rejected"),
            Self::Evidence(quarantine_id) => format!("{pipeline}/evidence/{quarantine_id}"),
            Self::OldEvidence => format!("{pipeline}/evidence"),
            Self::Ingest => format!("{pipeline}/ingest"),
            Self::Schema => format!("{pipeline}/schema"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lane_of_two_pipelines_has_an_app_id_of_its_own() {
        let lanes = [
            Lane::Live,
            Lane::Group,
            Lane::Rejected,
            Lane::Evidence("q"),
            Lane::OldEvidence,
            Lane::Ingest,
            Lane::Schema,
        ];
        let mut apps: Vec<String> =
            ["a", "b"].iter().flat_map(|name| lanes.map(|lane| lane.app(name))).collect();
        apps.sort();
        apps.dedup();
        assert_eq!(apps.len(), 14, "{apps:?}");
    }
}
