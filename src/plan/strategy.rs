//! By which strategy a batch is written.

use crate::config::MergeStrategy;
use crate::error::{Error, Result};
use crate::model::Strategy;

/// What the target allows, each with the reason why not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Whether rows can be replaced by their places.
    pub replacing: Option<String>,
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
}

/// Chooses a strategy. `needed` are the bytes that the MERGE builder is estimated to hold, out of `memory`.
///
/// # Errors
/// Fails when the pipeline file names one that the target does not allow.
pub fn choose(wanted: MergeStrategy, allowed: &Allowed, needed: u64, memory: u64) -> Result<Chosen> {
    let chosen = |strategy, why: &str| Ok(Chosen { strategy, why: why.to_owned() });
    let refused = |strategy: &str, why: &String| {
        Err(Error::usage(format!("`merge.strategy: {strategy}` cannot write this target: {why}"))
            .hint("`merge.strategy: auto` takes what the target allows"))
    };
    let named = "the pipeline file names it";
    match wanted {
        MergeStrategy::Builder => chosen(Strategy::Builder, named),
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
            (None, Some(_)) if needed > memory => chosen(
                Strategy::Rewrite,
                &format!("MERGE would hold about {needed} bytes, and `memory` is {memory}"),
            ),
            (None, Some(why)) | (Some(why), _) => chosen(Strategy::Builder, why),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_takes_vectors_then_the_builder_and_rewrites_what_does_not_fit() {
        let none = || Some("no".to_owned());
        let all = Allowed::default();
        let plain = Allowed { vectors: none(), ..Allowed::default() };
        let neither = Allowed { replacing: none(), vectors: None };
        let auto =
            |allowed: &Allowed, needed| choose(MergeStrategy::Auto, allowed, needed, 10).unwrap().strategy;
        assert_eq!((auto(&all, 1), auto(&all, 11)), (Strategy::DeletionVectors, Strategy::DeletionVectors));
        assert_eq!((auto(&plain, 10), auto(&plain, 11)), (Strategy::Builder, Strategy::Rewrite));
        assert_eq!(auto(&neither, 11), Strategy::Builder);
        for (wanted, refused) in [
            (MergeStrategy::Builder, [false, false, false]),
            (MergeStrategy::DeletionVectors, [false, true, true]),
            (MergeStrategy::Rewrite, [false, false, true]),
        ] {
            let found = [&all, &plain, &neither].map(|allowed| choose(wanted, allowed, 1, 10).is_err());
            assert_eq!(found, refused, "{wanted:?}");
        }
    }
}
