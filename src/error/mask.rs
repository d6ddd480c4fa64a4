//! Keeps secrets out of what is told: messages, log lines, `Debug`.
//!
//! Libraries put what they were given into their errors: a URL with its password, the key id that a server answered
//! with. So all that is told goes through [`masked`], whoever wrote it.

use std::collections::BTreeSet;
use std::sync::RwLock;

/// What stands in a secret's place.
const MASK: &str = "***";

/// Shorter values are no secrets, and would blacken harmless words.
const SHORTEST: usize = 6;

/// Values that are told to nobody, as far as they are known.
static HIDDEN: RwLock<BTreeSet<String>> = RwLock::new(BTreeSet::new());

/// What ends a URL in a message, besides blanks.
const ENDS: &str = "\"'`<>";

/// What values follow in a signed URL, or in a server's answer.
const BEFORE_VALUES: [&str; 6] = [
    "X-Amz-Signature=",
    "X-Amz-Credential=",
    "X-Amz-Security-Token=",
    "<AWSAccessKeyId>",
    "AWSAccessKeyId=",
    "Authorization: ",
];

/// Tells a value to nobody from now on.
pub fn hide(value: &str) {
    if value.len() >= SHORTEST
        && let Ok(mut hidden) = HIDDEN.write()
    {
        hidden.insert(value.to_owned());
    }
}

/// Tells the password of a URL to nobody from now on, wherever it stands by itself: parsed, a URL is told in parts.
pub fn hide_password(url: &str) {
    let user = url.split_once("://").and_then(|(_, rest)| user_and_password(rest));
    if let Some((_, password)) = user.and_then(|user| user.split_once(':')) {
        hide(password);
    }
}

/// The `user:password` of a URL, given what follows its `://`.
#[must_use]
pub fn user_and_password(rest: &str) -> Option<&str> {
    let url = &rest[..rest.find(|c: char| c.is_whitespace() || ENDS.contains(c)).unwrap_or(rest.len())];
    let authority = url.split(['/', '?', '#']).next().unwrap_or_default();
    if let Some((user, _)) = authority.rsplit_once('@') {
        return user.contains(':').then_some(user);
    }
    // Secret keys hold slashes, which nobody escapes: then the authority seems to end in the middle of one. Digits are
    // a port.
    let (_, begun) = authority.split_once(':')?;
    let is_port = !begun.is_empty() && begun.chars().all(|c| c.is_ascii_digit());
    url.rsplit_once('@').filter(|_| !is_port).map(|(user, _)| user)
}

/// The text without passwords in URLs, signatures, and values that were hidden.
#[must_use]
pub fn masked(text: &str) -> String {
    let mut text = without_users(text);
    for before in BEFORE_VALUES {
        text = without_values(&text, before);
    }
    if let Ok(hidden) = HIDDEN.read() {
        // The longest first: one may be the beginning of another.
        let mut values: Vec<&String> = hidden.iter().collect();
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        for value in values {
            text = text.replace(value.as_str(), MASK);
        }
    }
    text
}

/// The text with `***@` for `user:password@` in its URLs. A name alone is part of an address, as in
/// `abfss://container@account`, but where HTTP is spoken it is a token.
fn without_users(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let ends = |c: char| c.is_whitespace() || "/?#".contains(c) || ENDS.contains(c);
        let authority = &after[..after.find(ends).unwrap_or(after.len())];
        let is_http =
            before.to_lowercase().ends_with("http://") || before.to_lowercase().ends_with("https://");
        let token = authority.rsplit_once('@').map(|(token, _)| token).filter(|_| is_http);
        if let Some(user) = user_and_password(after).or(token) {
            out.push_str(MASK);
            rest = &after[user.len()..];
        } else {
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

fn without_values(text: &str, before: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(before) {
        let (kept, after) = rest.split_at(at + before.len());
        out.push_str(kept);
        let end = after.find(|c: char| c.is_whitespace() || "&<\"'`)".contains(c)).unwrap_or(after.len());
        if end > 0 {
            out.push_str(MASK);
        }
        rest = &after[end..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_a_url_is_masked_wherever_the_url_stands() {
        for (text, told) in [
            (
                "cannot reach http://me:pa@ss@host:9000/b: refused",
                "cannot reach http://***@host:9000/b: refused",
            ),
            ("(https://token@host)", "(https://***@host)"),
            ("bad table URL `s3://AKIA:wJal/rXU/tn@lake/fact`", "bad table URL `s3://***@lake/fact`"),
            ("http://host:9000/a@b, s3://key:/word@lake", "http://host:9000/a@b, s3://***@lake"),
            ("s3://key:word@lake/fact, s3://lake/a@b:c", "s3://***@lake/fact, s3://lake/a@b:c"),
            ("abfss://box@account.host/fact", "abfss://box@account.host/fact"),
            ("https://h/o?X-Amz-Signature=abc&X-Amz-Date=1", "https://h/o?X-Amz-Signature=***&X-Amz-Date=1"),
            ("<AWSAccessKeyId>AKIA</AWSAccessKeyId>", "<AWSAccessKeyId>***</AWSAccessKeyId>"),
            ("ends in ://", "ends in ://"),
        ] {
            assert_eq!(masked(text), told);
        }
    }

    #[test]
    fn a_hidden_value_is_masked_and_a_short_one_is_not() {
        hide("a-hidden-value");
        hide("tiny");
        assert_eq!(masked("tiny: a-hidden-value is wrong"), "tiny: *** is wrong");
    }
}
