//! What the author of a broken file reads.

use proptest::prelude::*;

use super::*;

#[test]
fn a_file_with_seven_mistakes_has_all_of_them_reported_at_once_in_order() {
    let text = "\
name: the orders
source: staging
target: {table: fact, exclude: [[a]]}
updated_at: updated_at
on_tie: keeep
incremental:
  lookbak: 7 days
  lag: 12 hours
  column: order_date
memory: 60
merge: {partitions_per_commit: 0}
";
    let expected = "\
orders.yaml:1:1: missing key `unique_key`
orders.yaml:1:7: `name` must be 1 to 100 letters, digits, `_`, `.` or `-`, not `the orders`
orders.yaml:3:33: `target.exclude.0` must be text, not a list
orders.yaml:5:9: `on_tie` must be `keep` or `replace_if_different` or `fail`, not `keeep`
  hint: did you mean `keep`?
orders.yaml:7:3: unknown key `lookbak` in `incremental`
  hint: did you mean `lookback`?
orders.yaml:8:8: `incremental.lag` must be a number of whole days, not `12 hours`
  hint: windows are whole UTC days: write it like `7 days` or `2 weeks`
orders.yaml:10:9: `memory` must be text, not the number 60
  hint: for example `60 %`
orders.yaml:11:32: `merge.partitions_per_commit` must be at least 1, not 0";
    assert_eq!(report(text, &Overrides::default()), expected);
    assert!(
        loaded(text, &Overrides::default()).pipeline.is_some(),
        "its tables are known, so they can be looked at"
    );
}

#[test]
fn an_empty_file_is_told_what_it_lacks() {
    let expected = ["name", "source", "target", "unique_key", "updated_at"];
    let expected: Vec<_> = expected.iter().map(|key| format!("orders.yaml: missing key `{key}`")).collect();
    for text in ["", "# nothing but this\n", "---\n"] {
        let problems = loaded(text, &Overrides::default()).problems;
        let messages: Vec<_> = problems.iter().map(|problem| problem.message.clone()).collect();
        assert_eq!(messages.len(), 5, "{messages:?}");
        assert!(expected.iter().all(|line| messages.iter().any(|message| line.ends_with(message))));
    }
}

#[test]
fn a_misspelt_required_key_is_reported_once() {
    let text = MINIMAL.replace("updated_at:", "updatd_at:");
    assert_eq!(
        report(&text, &Overrides::default()),
        "orders.yaml:8:1: unknown key `updatd_at`\n  hint: did you mean `updated_at`?"
    );
}

#[test]
fn a_key_that_stands_twice_is_reported_with_both_positions_beside_other_problems() {
    assert_eq!(
        report_on("as_of: today\nas_of: 2025-09-01\nfoo: 1\n"),
        "orders.yaml:8:1: `as_of` stands here twice; first at orders.yaml:7:1\norders.yaml:9:1: unknown key `foo`"
    );
}

#[test]
fn a_key_without_value_is_reported() {
    assert_eq!(
        report_on("storage:\n"),
        "orders.yaml:7:8: `storage` has no value\n  hint: leave it out altogether to have the default"
    );
}

#[test]
fn a_section_in_place_of_text_and_text_in_place_of_a_section_are_reported() {
    assert_eq!(report_on("as_of: {day: 1}\n"), "orders.yaml:7:8: `as_of` must be text, not a section");
    assert_eq!(report_on("merge: fast\n"), "orders.yaml:7:8: `merge` must be a section, not text");
    assert_eq!(
        report_on("dimensions: {d: [x]}\n"),
        "orders.yaml:7:17: `dimensions.d` must be text or a section, not a list"
    );
}

#[test]
fn syntax_errors_aliases_tags_and_second_documents_are_refused_with_their_position() {
    for (text, expected) in [
        ("name: [a\n", "orders.yaml:2:1: not valid YAML: "),
        ("name: &a [x, *a]\n", "orders.yaml:1:14: an alias stands within what it names"),
        ("<<: x\n", "orders.yaml:1:5: `<<` takes a section over"),
        ("name: !!str x\n", "orders.yaml:1:7: tags are not supported"),
        ("name: x\n---\nname: y\n", "orders.yaml:3:1: a pipeline file holds one document"),
        ("? [a]\n: b\n", "orders.yaml:1:3: a key must be a plain name"),
    ] {
        let problems = try_load(text, &Overrides::default()).err().unwrap();
        assert!(problems.to_string().starts_with(expected), "{problems}");
    }
}

#[test]
fn a_file_that_nests_without_end_is_refused() {
    let text = format!("name: {}", "[".repeat(100));
    let problems = try_load(&text, &Overrides::default()).err().unwrap();
    assert!(problems.to_string().contains("nested too deeply"), "{problems}");
}

#[test]
fn references_are_expanded_under_storage_only() {
    assert_eq!(
        report_on("as_of: \"${env:DAY}\"\n"),
        "orders.yaml:7:8: `as_of` holds `${…}`, which is expanded under `storage` and in `mask_key` only\n  \
         hint: to set it from outside, use the variable HIGHWATER__AS_OF"
    );
}

proptest! {
    #[test]
    fn a_damaged_file_never_panics_and_yields_a_pipeline_or_a_problem(
        start in 0..FULL.len(),
        length in 0..200_usize,
        damage in "[ -~\n\tä{}:#&*!|>'\"%@-]{0,12}",
    ) {
        let chars: Vec<char> = FULL.chars().collect();
        let start = start.min(chars.len());
        let end = (start + length).min(chars.len());
        let before: String = chars[..start].iter().collect();
        let after: String = chars[end..].iter().collect();
        let text = before + &damage + &after;
        let told = match try_load(&text, &Overrides::default()) {
            Ok(loaded) => loaded.pipeline.is_some() || !loaded.problems.is_empty(),
            Err(problems) => !problems.0.is_empty(),
        };
        prop_assert!(told, "{}", text);
    }
}
