//! Which batch a person means: by its id, by the beginning of one, or by its number.

use crate::context::PipelineContext;
use crate::error::{Error, Result};
use crate::protocol::{Observer, Wanted};

/// What a message lists at most.
const MOST: usize = 10;

/// A batch by its names.
type Named = (String, Option<i64>);

/// The id of the batch that `text` names: its id, the beginning of it that no other batch of the pipeline has, or its
/// number. A number names the batch with that number, even where ids begin so. What names no batch is given back.
///
/// # Errors
/// Fails when several batches' ids begin so, or the tables cannot be read.
pub async fn batch_named(opened: &mut PipelineContext, text: &str) -> Result<String> {
    let mut observer = Observer::new(&opened.pipeline.name);
    let seen = observer.observe(&opened.engine, &mut opened.tables, Wanted::default()).await?;
    let recorded = seen.rows.iter().map(|row| (row.batch_id.clone(), row.sequence));
    let unfinished = seen.target.commits.iter().filter_map(|commit| commit.descriptor.as_ref());
    let unfinished = unfinished.map(|descriptor| (descriptor.batch_id.clone(), Some(descriptor.sequence)));
    let mut known: Vec<Named> = recorded.chain(unfinished).collect();
    known.sort();
    known.dedup_by(|a, b| a.0 == b.0);
    meant(&known, text)
}

fn meant(known: &[Named], text: &str) -> Result<String> {
    if known.iter().any(|(id, _)| id == text) {
        return Ok(text.to_owned());
    }
    let number = text.parse::<i64>().ok();
    if let Some((id, _)) = known.iter().find(|(_, sequence)| number.is_some() && *sequence == number) {
        return Ok(id.clone());
    }
    let lower = text.to_ascii_lowercase();
    let found: Vec<&Named> =
        known.iter().filter(|(id, _)| !text.is_empty() && id.starts_with(&lower)).collect();
    match found.as_slice() {
        [] => Ok(text.to_owned()),
        [(id, _)] => Ok(id.clone()),
        several => Err(Error::usage(format!(
            "`{text}` is the beginning of {} batches: {}",
            several.len(),
            listed(several)
        ))
        .hint("give more of the id, or the batch's number")),
    }
}

fn listed(several: &[&Named]) -> String {
    let told = |(id, sequence): &&Named| match sequence {
        Some(number) => format!("{id} (number {number})"),
        None => id.clone(),
    };
    let mut names: Vec<String> = several.iter().take(MOST).map(told).collect();
    if several.len() > MOST {
        names.push("…".to_owned());
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<Named> {
        let batch = |id: &str, number| (id.to_owned(), number);
        vec![batch("12ab", Some(7)), batch("12cd", None), batch("3f00", Some(12)), batch("7777", Some(1))]
    }

    #[test]
    fn batch_is_named_by_id_by_number_or_by_the_beginning_of_its_id() {
        for (text, id) in
            [("12ab", "12ab"), ("12a", "12ab"), ("12C", "12cd"), ("3", "3f00"), ("7", "12ab"), ("12", "3f00")]
        {
            assert_eq!(meant(&known(), text).unwrap(), id, "{text}");
        }
        assert_eq!(meant(&known(), "9").unwrap(), "9", "what names no batch is for others to judge");
    }

    #[test]
    fn beginning_of_several_ids_is_refused_with_the_batches_it_could_be() {
        let error = meant(&known()[..2], "12").unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::Usage);
        assert!(error.to_string().contains("12ab (number 7), 12cd"), "{error}");
        assert!(meant(&known()[..2], "").is_ok_and(|id| id.is_empty()));
    }
}
