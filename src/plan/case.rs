//! The cases of [`decide`](super::decide), in the order of its table.

use std::fmt;

macro_rules! cases {
    ($($variant:ident, $letter:literal, $name:literal, $state:literal;)*) => {
        /// A state of a pipeline's tables, and what is done about it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Case {
            $(#[doc = $state] $variant,)*
        }

        impl Case {
            /// Every case, in the order of the table of [`decide`](super::super::decide).
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The letter, by which tests call the case.
            #[must_use]
            pub fn letter(self) -> char {
                match self { $(Self::$variant => $letter,)* }
            }

            /// The name, by which people are told of it and the runbook has it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The state that it stands for.
            #[must_use]
            pub fn state(self) -> &'static str {
                match self { $(Self::$variant => $state,)* }
            }
        }
    };
}

cases! {
    AnotherTable, 'A', "another_table",
        "the target, or a record table, is another table than the one last written";
    RecordsAhead, 'B', "records_ahead",
        "a record table is ahead of what it records";
    RestoredByAnother, 'C', "restored_by_another",
        "somebody's RESTORE took the target back to before a batch of this pipeline";
    DescriptorGone, 'D', "descriptor_gone",
        "the newest batch has no audit row, and its first descriptor is gone from the log";
    NumbersMissing, 'E', "numbers_missing",
        "numbers before the newest batch, or a rejection's, or rows of recorded numbers, are missing from a record table";
    GroupMissing, 'F', "group_missing",
        "groups of the newest batch are missing, and the pinned inputs can be read";
    InputsGone, 'G', "inputs_gone",
        "groups of the newest batch are missing, and a pinned input is gone";
    Unbalanced, 'H', "unbalanced",
        "a commit of the newest batch does not balance, or did not and was taken back by hand";
    UnbalancedAndBuried, 'I', "unbalanced_and_buried",
        "a commit of the newest batch does not balance, and other data lies on top";
    EntriesMissing, 'Q', "entries_missing",
        "the newest batch is complete or abandoned, and what it changes in the quarantine is not there";
    AuditMissing, 'J', "audit_missing",
        "the newest batch is complete and balances, without an audit row";
    WatermarkMissing, 'K', "watermark_missing",
        "the newest batch has an audit row, without a watermark row";
    EvidenceMissing, 'R', "evidence_missing",
        "a rejection's rows are not in the quarantine";
    EvidenceGone, 'S', "evidence_gone",
        "a rejection's rows are not in the quarantine, and its entry is gone from the log";
    UndoneMeanwhile, 'L', "undone_meanwhile",
        "all is recorded; an unbalanced batch was undone while this run looked on";
    Overtaken, 'M', "overtaken",
        "all is recorded; somebody rolled a batch back while this run looked on";
    Done, 'N', "done",
        "all is recorded; a batch with this run's inputs, or the one that it set out to load, is in effect";
    StagingWentBack, 'O', "staging_went_back",
        "all is recorded; staging is older than what the last load read";
    NotLoaded, 'P', "not_loaded",
        "all is recorded; this run's batch is not loaded";
    TakenBack, 'T', "taken_back",
        "all is recorded; what a person wants taken back is taken back, or there is nothing";
    NotToBeTakenBack, 'U', "not_to_be_taken_back",
        "all is recorded; a person wants a batch taken back, and that cannot be";
    PastUnknown, 'V', "past_unknown",
        "all is recorded; a person wants a batch taken back, and the target's past is not known";
    ToBeTakenBack, 'W', "to_be_taken_back",
        "all is recorded; a person wants a batch taken back";
}

/// What was decided once, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The case.
    pub case: Case,
    /// Why, in words.
    pub why: String,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names and letters of the table in the planner's documentation.
    fn documented() -> Vec<(String, String)> {
        let cell = |text: &str| text.trim().trim_matches('`').to_owned();
        include_str!("decide.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("//! | "))
            .map(|row| row.split('|').map(cell).collect::<Vec<_>>())
            .filter(|cells| cells[0].len() == 1)
            .map(|cells| (cells[0].clone(), cells[1].clone()))
            .collect()
    }

    #[test]
    fn cases_are_those_of_the_planners_table_in_its_order() {
        let cases: Vec<(String, String)> =
            Case::ALL.iter().map(|case| (case.letter().to_string(), case.name().to_owned())).collect();
        assert_eq!(cases, documented());
    }
}
