//! The options of the object store, by the names that delta-rs and its stores read.

use crate::notation::{Fault, near};

/// What S3 reads, in any case, with or without `aws_` before it.
const S3: [&str; 44] = [
    "access_key_id",
    "secret_access_key",
    "default_region",
    "region",
    "bucket",
    "bucket_name",
    "endpoint",
    "endpoint_url",
    "session_token",
    "token",
    "virtual_hosted_style_request",
    "s3_express",
    "imdsv1_fallback",
    "metadata_endpoint",
    "unsigned_payload",
    "checksum_algorithm",
    "container_credentials_relative_uri",
    "container_credentials_full_uri",
    "container_authorization_token_file",
    "web_identity_token_file",
    "role_arn",
    "role_session_name",
    "endpoint_url_sts",
    "skip_signature",
    "copy_if_not_exists",
    "conditional_put",
    "disable_tagging",
    "request_payer",
    "server_side_encryption",
    "sse_kms_key_id",
    "sse_bucket_key_enabled",
    "sse_customer_key_base64",
    "allow_http",
    "allow_invalid_certificates",
    "connect_timeout",
    "default_content_type",
    "http1_only",
    "http2_only",
    "pool_idle_timeout",
    "pool_max_idle_per_host",
    "proxy_url",
    "randomize_addresses",
    "timeout",
    "user_agent",
];

/// What its HTTP client reads beside those, likewise.
const HTTP: [&str; 6] = [
    "http2_keep_alive_interval",
    "http2_keep_alive_timeout",
    "http2_keep_alive_while_idle",
    "http2_max_frame_size",
    "proxy_ca_certificate",
    "proxy_excludes",
];

/// What delta-rs reads for S3, in lower or upper case, in full.
const DELTA_S3: [&str; 14] = [
    "aws_endpoint_url_s3",
    "aws_profile",
    "aws_s3_addressing_style",
    "aws_iam_role_arn",
    "aws_s3_assume_role_arn",
    "aws_iam_role_session_name",
    "aws_s3_role_session_name",
    "aws_s3_pool_idle_timeout_seconds",
    "aws_sts_pool_idle_timeout_seconds",
    "aws_s3_get_internal_server_error_retries",
    "aws_s3_allow_unsafe_rename",
    "aws_ec2_metadata_disabled",
    "aws_ec2_metadata_timeout",
    "aws_force_credential_load",
];

/// Options of the lock table that other builds of delta-rs hold while they commit.
fn is_of_locking(lower: &str) -> bool {
    lower == "aws_s3_locking_provider" || lower.starts_with("delta_dynamo_") || lower.ends_with("_dynamodb")
}

/// What delta-rs reads for any store, just so.
const DELTA: [&str; 19] = [
    "max_concurrency",
    "concurrency_limit",
    "certificate_path",
    "multi_threaded",
    "worker_threads",
    "thread_name",
    "enable_io",
    "enable_time",
    "max_retries",
    "retry_timeout",
    "init_backoff",
    "backoff_config.init_backoff",
    "backoff.init_backoff",
    "max_backoff",
    "backoff_config.max_backoff",
    "backoff.max_backoff",
    "base",
    "backoff_config.base",
    "backoff.base",
];

/// Every option that S3's store itself reads, in full.
#[cfg(test)]
pub(crate) fn of_s3() -> impl Iterator<Item = String> {
    S3.into_iter().chain(HTTP).map(|name| format!("aws_{name}"))
}

/// Whether somebody reads an option of this name.
pub(super) fn check(name: &str) -> Result<(), Fault> {
    let lower = name.to_lowercase();
    if is_of_locking(&lower) {
        // Who sets it has other writers that hold the lock, and would take this one to do so too.
        return Err(Fault::new("asks for a lock table, which highwater does not hold").hint(
            "commits are made by conditional PUTs, which S3 and MinIO have: leave it out, and see that no other \
             writer of these tables relies on the lock",
        ));
    }
    let short = lower.strip_prefix("aws_").unwrap_or(&lower);
    let is_s3 = S3.contains(&short) || HTTP.contains(&short);
    if is_s3 || DELTA_S3.contains(&lower.as_str()) || DELTA.contains(&name) {
        return Ok(());
    }
    let long: Vec<String> = S3.iter().chain(&HTTP).map(|short| format!("aws_{short}")).collect();
    let long = long.iter().map(String::as_str);
    // The name as it is told most: `aws_region` before `region`.
    let known = if lower.starts_with("aws_") {
        near(&lower, long.chain(DELTA_S3), 1)
    } else {
        near(&lower, S3.into_iter().chain(HTTP).chain(DELTA).chain(long).chain(DELTA_S3), 1)
    };
    let fault = Fault::new("is no option of the object store");
    Err(match known.first() {
        Some(meant) => fault.hint(format!("did you mean `{meant}`?")),
        None => {
            fault.hint("options are those of S3, such as `aws_region`, `aws_endpoint` or `aws_access_key_id`")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_in_any_case_and_a_mistyped_one_gets_the_nearest() {
        for name in ["aws_region", "AWS_REGION", "region", "AWS_S3_ALLOW_UNSAFE_RENAME", "max_retries"] {
            assert!(check(name).is_ok(), "{name}");
        }
        for (name, meant) in [
            ("aws_regoin", "aws_region"),
            ("aws_acces_key_id", "aws_access_key_id"),
            ("alow_http", "allow_http"),
            ("aws_enpoint_url", "aws_endpoint_url"),
        ] {
            let hint = check(name).unwrap_err().hint.unwrap();
            assert_eq!(hint, format!("did you mean `{meant}`?"));
        }
        for name in ["AWS_S3_LOCKING_PROVIDER", "delta_dynamo_table_name", "aws_region_dynamodb"] {
            assert!(check(name).unwrap_err().message.contains("lock table"), "{name}");
        }
        assert!(check("colour").unwrap_err().hint.unwrap().contains("aws_region"));
    }
}
