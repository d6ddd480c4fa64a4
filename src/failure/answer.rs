//! What S3 says where it refuses a request, and why there are no credentials to make one with.

use std::error::Error as StdError;

use super::{Cause, chain};
use crate::error::element;

/// Why nobody could say as whom to ask; by whoever looks for credentials.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{told}")]
pub(crate) struct NoCredentials {
    /// In words.
    pub(crate) told: String,
    /// Whether another try may help.
    pub(crate) passing: bool,
    /// What to do.
    pub(crate) hint: &'static str,
}

/// A store that two writers could both commit one version to.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unsafe(pub(crate) String);

/// An answer of S3, as its error document has it.
pub(super) struct Answer<'a> {
    code: &'a str,
    /// The region that the bucket lies in, where the answer names it.
    region: Option<&'a str>,
    of_log: bool,
}

impl<'a> Answer<'a> {
    /// The answer in the text of an error.
    pub(super) fn within(text: &'a str) -> Option<Self> {
        let code = element(text, "Code")?;
        Some(Self { code, region: element(text, "Region"), of_log: text.contains("_delta_log") })
    }

    /// What it means; `None` where the HTTP status says it.
    pub(super) fn cause(&self) -> Option<Cause> {
        match self.code {
            "ExpiredToken"
            | "ExpiredTokenException"
            | "TokenRefreshRequired"
            | "RequestExpired"
            | "SlowDown"
            | "InternalError"
            | "ServiceUnavailable"
            | "RequestTimeout"
            | "OperationAborted"
            // The answer to the end of an upload was lost, and it was asked for again.
            | "NoSuchUpload" => Some(Cause::Away),
            "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "RequestTimeTooSkewed"
            | "InvalidToken"
            | "AccessDenied"
            | "AllAccessDisabled"
            | "AccountProblem" => Some(Cause::Denied),
            "NoSuchBucket"
            | "PermanentRedirect"
            | "TemporaryRedirect"
            | "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraintException"
            | "NotImplemented"
            | "InvalidBucketName"
            | "MethodNotAllowed" => Some(Cause::Refused),
            _ => None,
        }
    }

    /// What to do about it.
    pub(super) fn hint(&self) -> Option<String> {
        let hint = match self.code {
            "NoSuchBucket" => "there is no such bucket: create it, or correct the table's URL",
            "InvalidAccessKeyId" => {
                "nobody has this access key id: check the credentials, and that they belong to this store"
            }
            "SignatureDoesNotMatch" => "the secret is not that of the access key id: check the credentials",
            "RequestTimeTooSkewed" => "this machine's clock is off by minutes: set it, best by NTP",
            "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" | "RequestExpired" => {
                "the session token has run out: renew it, such as by `aws sso login`, and run it again"
            }
            "InvalidToken" => "the session token does not belong to the access key id",
            "AccessDenied" | "AllAccessDisabled" if self.of_log => {
                "the credentials may not do this. Without s3:ListBucket on the bucket, S3 answers so for an object \
                 that is not there, too: grant it with s3:GetObject and s3:PutObject"
            }
            "AccessDenied" | "AllAccessDisabled" => {
                "the credentials may not do this: grant s3:GetObject and s3:PutObject on the table's folder, and \
                 s3:ListBucket on the bucket"
            }
            "NotImplemented" => {
                "the store does not have what a commit needs, a PUT under `If-None-Match`: use one that has, such as \
                 S3 or MinIO"
            }
            "PermanentRedirect"
            | "TemporaryRedirect"
            | "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraintException" => {
                return Some(match self.region {
                    Some(region) => {
                        format!(
                            "the bucket lies in the region {region}: set `aws_region: {region}` under `storage`"
                        )
                    }
                    None => "the bucket lies in another region: set `aws_region` under `storage`".to_owned(),
                });
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

/// What an error of ours in the chain means, and what to do about it.
pub(super) fn of_ours(error: &(dyn StdError + 'static)) -> Option<(Cause, &'static str)> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(none) = error.downcast_ref::<NoCredentials>() {
            return Some((if none.passing { Cause::Away } else { Cause::Denied }, none.hint));
        }
        if error.downcast_ref::<Unsafe>().is_some() {
            return Some((
                Cause::Refused,
                "use a store that holds to `If-None-Match`, such as S3, MinIO or versitygw; nothing was written",
            ));
        }
        next = error.source();
    }
    None
}

/// What to do about a failure of which more is known than its cause.
pub(super) fn hint(error: &(dyn StdError + 'static)) -> Option<String> {
    if let Some((_, hint)) = of_ours(error) {
        return Some(hint.to_owned());
    }
    Answer::within(&chain(error)).and_then(|answer| answer.hint())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn region_of_the_answer_is_named() {
        let text = "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>";
        let answer = Answer::within(text).unwrap();
        assert_eq!(answer.cause(), Some(Cause::Refused));
        assert!(answer.hint().unwrap().contains("`aws_region: eu-west-1`"));
    }

    #[test]
    fn refusal_on_a_log_file_hints_at_listing() {
        let text = "GET http://x/b/t/_delta_log/0.json <Error><Code>AccessDenied</Code></Error>";
        assert!(Answer::within(text).unwrap().hint().unwrap().contains("s3:ListBucket"));
    }
}
