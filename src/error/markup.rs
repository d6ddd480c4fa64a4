//! What object stores put into messages, in fewer words: requests, and answers as XML or HTML.

use std::sync::LazyLock;

use regex::Regex;

/// The text in an element, as far as it is no markup itself.
#[must_use]
pub fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (inner, _) = rest.split_once('<')?;
    Some(inner.trim()).filter(|inner| !inner.is_empty())
}

/// How documents begin.
const BEGINNINGS: [&str; 6] = ["<?xml", "<Error", "<!DOCTYPE", "<!doctype", "<html", "<HTML"];
/// How they end.
const ENDS: [&str; 5] = ["</Error>", "</ErrorResponse>", "</html>", "</HTML>", "</Response>"];

/// The text with each document in it told in a few words: its code and its message.
#[must_use]
fn without_documents(text: &str) -> String {
    let mut told = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = BEGINNINGS.iter().filter_map(|beginning| rest.find(beginning)).min() {
        let (before, document) = rest.split_at(start);
        let end = ENDS.iter().filter_map(|end| Some(document.find(end)? + end.len())).min();
        let (document, after) = document.split_at(end.unwrap_or(document.len()));
        told.push_str(before);
        let parts = ["Code", "Message", "title"].into_iter().filter_map(|name| element(document, name));
        let parts: Vec<&str> = parts.collect();
        told.push_str(&parts.join(": "));
        rest = after;
    }
    told.push_str(rest);
    told
}

/// How `object_store` tells of a request that failed. What was tried how often, by which limits, is for the log.
static REQUEST: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let words = r"(?:The operation lacked the necessary privileges to complete for path \S+: )?Error performing ([A-Z]+) (\S+) in ([0-9.]+)(µs|ms|s)(?:, after ([0-9]+) retries, max_retries: \S+ \S+ \S+ )? +- ";
    Regex::new(words).ok()
});

/// Words around it that say nothing.
const IDLE: [&str; 4] = [
    "Error performing list request: ",
    "Server returned non-2xx status code: ",
    "Server returned error response: ",
    "HTTP error: ",
];

/// Characters that XML writes otherwise.
const ENTITIES: [(&str, &str); 7] = [
    ("&#34;", "\""),
    ("&#39;", "'"),
    ("&quot;", "\""),
    ("&apos;", "'"),
    ("&lt;", "<"),
    ("&gt;", ">"),
    ("&amp;", "&"),
];

/// An error of an object store, in few words: the request, and its answer.
#[must_use]
pub fn in_few_words(text: &str) -> String {
    let mut told = without_documents(text).replace("Generic S3 error: ", "");
    if let Some(request) = REQUEST.as_ref()
        && request.is_match(&told)
    {
        told = request
            .replace_all(&told, |found: &regex::Captures<'_>| match found.get(5) {
                None => format!("{} {}: ", &found[1], &found[2]),
                Some(retries) => {
                    format!("{} {}, tried again {} times: ", &found[1], &found[2], retries.as_str())
                }
            })
            .into_owned();
        for idle in IDLE {
            told = told.replace(idle, "");
        }
        for (entity, char) in ENTITIES {
            told = told.replace(entity, char);
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn document_is_told_by_its_code_and_message() {
        let text = "status code: 403 Forbidden: <?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code><Message>no \
                    way</Message><RequestId>1</RequestId></Error> at last";
        assert_eq!(without_documents(text), "status code: 403 Forbidden: AccessDenied: no way at last");
        assert_eq!(
            without_documents("502: <html><head><title>502 Bad Gateway</title></head><body/></html>"),
            "502: 502 Bad Gateway"
        );
        let request = "Generic S3 error: Error performing PUT http://h/b/k in 1.925104383s, after 10 retries, \
                       max_retries: 10, retry_timeout: 15s  - HTTP error: error sending request: refused";
        assert_eq!(
            in_few_words(request),
            "PUT http://h/b/k, tried again 10 times: error sending request: refused"
        );
        assert_eq!(without_documents("x <Error> cut off"), "x ");
        assert_eq!(without_documents("a < b"), "a < b");
    }
}
