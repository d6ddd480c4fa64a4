//! By which strategy a batch is written.

use std::collections::BTreeSet;

use super::verdict::Cells;
use crate::config::MergeStrategy;
use crate::error::{Error, Result};
use crate::model::Strategy;
use crate::model::batch::PartitionName;

/// What the target allows, each with the reason why not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Whether rows can be replaced by their places.
    pub replacing: Option<String>,
    /// Whether delta-rs can merge them.
    pub merging: Option<String>,
    /// Whether that can be by deletion vectors.
    pub vectors: Option<String>,
}

/// A strategy, and why it was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// The strategy.
    pub strategy: Strategy,
    /// Why, for a person.
    pub why: String,
    /// Partitions that one commit may touch, for all it writes to fit memory.
    pub partitions_at_once: usize,
}

/// What the MERGE builder needs, as estimated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// Bytes that it would hold if it wrote all at once.
    pub bytes: u64,
    /// Bytes that it may hold.
    pub room: u64,
    /// Partitions that it would touch.
    pub partitions: usize,
}

impl Needs {
    fn fits(&self) -> bool {
        self.bytes <= self.room
    }

    /// Partitions that it may touch at once, if all are alike.
    fn partitions_at_once(&self) -> usize {
        if self.fits() {
            return usize::MAX;
        }
        let part = self.partitions as u128 * u128::from(self.room) / u128::from(self.bytes);
        usize::try_from(part).unwrap_or(usize::MAX).max(1)
    }
}

/// How many partitions are touched: those that rows go to, and those that the rows which they replace lie in.
#[must_use]
pub fn touched_partitions(cells: &Cells) -> usize {
    let written = cells.keys().filter(|(_, _, class)| class.is_written());
    let touched: BTreeSet<&PartitionName> =
        written.flat_map(|(new, old, _)| std::iter::once(new).chain(old)).collect();
    touched.len()
}

/// Chooses a strategy.
///
/// # Errors
/// Fails when the pipeline file names one that the target does not allow.
pub fn choose(wanted: MergeStrategy, allowed: &Allowed, needs: Needs) -> Result<Chosen> {
    let chosen = |strategy, why: &str| {
        let partitions_at_once =
            if strategy == Strategy::Builder { needs.partitions_at_once() } else { usize::MAX };
        Ok(Chosen { strategy, why: why.to_owned(), partitions_at_once })
    };
    let refused = |strategy: &str, why: &String| {
        Err(Error::usage(format!("`merge.strategy: {strategy}` cannot write this target: {why}"))
            .hint("`merge.strategy: auto` takes what the target allows"))
    };
    let named = "the pipeline file names it";
    match wanted {
        MergeStrategy::Builder => match &allowed.merging {
            None => chosen(Strategy::Builder, named),
            Some(why) => refused("builder", why),
        },
        MergeStrategy::DeletionVectors => match allowed.replacing.as_ref().or(allowed.vectors.as_ref()) {
            None => chosen(Strategy::DeletionVectors, named),
            Some(why) => refused("deletion_vectors", why),
        },
        MergeStrategy::Rewrite => match &allowed.replacing {
            None => chosen(Strategy::Rewrite, named),
            Some(why) => refused("rewrite", why),
        },
        MergeStrategy::Auto => match (&allowed.replacing, &allowed.vectors) {
            (None, None) => chosen(Strategy::DeletionVectors, "the target has deletion vectors"),
            (None, Some(_)) if allowed.merging.is_some() => {
                chosen(Strategy::Rewrite, allowed.merging.as_deref().unwrap_or_default())
            }
            (None, Some(_)) if !needs.fits() => chosen(
                Strategy::Rewrite,
                &format!(
                    "MERGE would hold about {} MiB, and `memory` leaves {}",
                    mib(needs.bytes),
                    mib(needs.room)
                ),
            ),
            (None, Some(why)) | (Some(why), _) => chosen(Strategy::Builder, why),
        },
    }
}

fn mib(bytes: u64) -> u64 {
    bytes >> 20
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_takes_vectors_then_the_builder_and_rewrites_what_does_not_fit() {
        let none = || Some("no".to_owned());
        let all = Allowed::default();
        let plain = Allowed { vectors: none(), ..Allowed::default() };
        let neither = Allowed { replacing: none(), ..Allowed::default() };
        let strict = Allowed { merging: none(), ..plain.clone() };
        let needs = |bytes| Needs { bytes, room: 10, partitions: 100 };
        let auto =
            |allowed: &Allowed, bytes| choose(MergeStrategy::Auto, allowed, needs(bytes)).unwrap().strategy;
        assert_eq!((auto(&all, 1), auto(&all, 11)), (Strategy::DeletionVectors, Strategy::DeletionVectors));
        assert_eq!((auto(&plain, 10), auto(&plain, 11)), (Strategy::Builder, Strategy::Rewrite));
        assert_eq!(auto(&neither, 11), Strategy::Builder);
        assert_eq!(auto(&strict, 1), Strategy::Rewrite);
        for (wanted, refused) in [
            (MergeStrategy::Builder, [false, false, false, true]),
            (MergeStrategy::DeletionVectors, [false, true, true, true]),
            (MergeStrategy::Rewrite, [false, false, true, false]),
        ] {
            let found =
                [&all, &plain, &neither, &strict].map(|allowed| choose(wanted, allowed, needs(1)).is_err());
            assert_eq!(found, refused, "{wanted:?}");
        }
    }
    #[test]
    fn builder_takes_as_many_partitions_at_once_as_fit() {
        let of = |wanted, bytes| {
            let needs = Needs { bytes, room: 10, partitions: 80 };
            choose(wanted, &Allowed::default(), needs).unwrap().partitions_at_once
        };
        let builder = |bytes| of(MergeStrategy::Builder, bytes);
        assert_eq!([builder(10), builder(40), builder(100_000)], [usize::MAX, 20, 1]);
        assert_eq!(of(MergeStrategy::Rewrite, 40), usize::MAX);
    }
}
