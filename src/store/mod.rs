//! Buckets of S3, and of stores like it: where they answer, who asks, and how long is waited for them.
//!
//! The one door to aws-config, and to `object_store`'s S3. A process has one [`Aws`]: its settings are settled once, and
//! its credentials are asked for once, whatever the number of tables.

mod api;
mod credentials;
mod settings;
mod wire;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::region::ProvideRegion as _;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{Region, SdkConfig};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::limit::LimitStore;
use object_store::{Certificate, ClientConfigKey, ClientOptions, ObjectStore};
use url::Url;

pub(crate) use self::api::{Ask, Service};
pub(crate) use self::credentials::Identity;
pub(crate) use self::settings::{Found, From};
pub(crate) use self::wire::Health;

use self::credentials::Shared;
use self::settings::{Settings, checked_endpoint, settle};
use self::wire::{Wire, WireState};
use crate::error::{Error, Result};
use crate::failure::{self, Phase};

/// Where a bucket is looked for if nobody says it.
const REGION: &str = "us-east-1";
/// How long the machine's metadata service may take: it is near, or not there.
const METADATA: Duration = Duration::from_secs(1);

/// AWS, or a store like S3, as one process uses it.
pub(crate) struct Aws {
    settings: Settings,
    region: Found,
    endpoint: Option<(Found, Url)>,
    credentials: Option<Arc<Shared>>,
    wire: Arc<WireState>,
}

impl Aws {
    /// Settles what the pipeline file's options, the environment and the profile say. Nobody is asked over the network,
    /// unless no one of them names a region: then the machine's metadata service is, for a second.
    ///
    /// # Errors
    /// Fails on settings that no request can be made with.
    pub(crate) async fn open(options: Vec<(String, String)>, env: Vec<(String, String)>) -> Result<Self> {
        let mut settings = settle(&options, &env)?;
        let profile = settings.profile.as_ref().map(|found| found.value.clone());
        if settings.endpoint.is_none() {
            settings.endpoint = endpoint_of_profile(profile.as_deref(), &env).await;
        }
        let endpoint = match settings.endpoint.clone() {
            Some(found) => {
                let url = checked_endpoint(&found, settings.allow_http)?;
                Some((found, url))
            }
            None => None,
        };
        let region = match settings.region.clone() {
            Some(found) => found,
            None => region(profile.as_deref(), &settings, endpoint.is_some()).await,
        };
        let credentials = if settings.unsigned {
            None
        } else {
            Some(Arc::new(Shared::new(&settings, &region.value).await))
        };
        let wire = Arc::new(WireState::new(settings.timeout, settings.retry.retry_timeout));
        Ok(Self { settings, region, endpoint, credentials, wire })
    }

    /// The store of a bucket.
    ///
    /// # Errors
    /// Fails on options that do not fit each other.
    pub(crate) fn bucket(&self, name: &str) -> Result<Arc<dyn ObjectStore>> {
        let settings = &self.settings;
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(name)
            .with_region(&self.region.value)
            .with_retry(settings.retry.clone())
            .with_allow_http(settings.allow_http)
            .with_skip_signature(settings.unsigned)
            .with_virtual_hosted_style_request(settings.virtual_hosted)
            .with_http_connector(Wire(Arc::clone(&self.wire)));
        if let Some((_, url)) = &self.endpoint {
            builder = builder.with_endpoint(endpoint_of(url, name, settings.virtual_hosted)?);
        }
        if let Some(credentials) = &self.credentials {
            builder = builder.with_credentials(Arc::clone(credentials) as _);
        }
        // Each request has its time by what it sends, and each part of an answer has its own.
        let client = self.client_options()?.with_timeout_disabled();
        builder = builder.with_client_options(client);
        for (key, value) in &settings.passed_on {
            if !matches!(key, AmazonS3ConfigKey::Client(_)) {
                builder = builder.with_config(*key, value);
            }
        }
        let what = || format!("the options of the object store make no store of the bucket `{name}`");
        let store = builder.build().map_err(|error| Error::usage(what()).because(error))?;
        Ok(match settings.max_concurrency {
            Some(most) => Arc::new(LimitStore::new(store, most)),
            None => Arc::new(store),
        })
    }

    /// How HTTP is spoken, to the store and to AWS's other services.
    fn client_options(&self) -> Result<ClientOptions> {
        let mut client = ClientOptions::new();
        if let Some(path) = &self.settings.certificate_path {
            client = client.with_root_certificate(certificate(Path::new(path))?);
        }
        for (key, value) in &self.settings.passed_on {
            if let AmazonS3ConfigKey::Client(key) = key {
                client = client.with_config(*key, value);
            }
        }
        Ok(client.with_config(ClientConfigKey::AllowHttp, self.settings.allow_http.to_string()))
    }

    /// Whether this is AWS itself, whose stores are known to hold to `If-None-Match`.
    pub(crate) fn is_aws(&self) -> bool {
        let is_aws = |url: &Url| url.host_str().is_some_and(|host| host.ends_with(".amazonaws.com"));
        self.endpoint.as_ref().is_none_or(|(_, url)| is_aws(url))
    }

    /// The region, and who named it.
    pub(crate) fn region(&self) -> &Found {
        &self.region
    }

    /// The endpoint, and who named it; `None` for AWS.
    pub(crate) fn endpoint(&self) -> Option<&Found> {
        self.endpoint.as_ref().map(|(found, _)| found)
    }

    /// Who asks; `None` where requests go unsigned.
    ///
    /// # Errors
    /// Fails when there are no credentials.
    pub(crate) async fn identity(&self) -> Result<Option<Identity>> {
        let Some(credentials) = &self.credentials else { return Ok(None) };
        let found = credentials.identity().await;
        found.map(Some).map_err(|error| failure::of(Phase::Log, "there are no credentials", error))
    }

    /// How the store has answered so far.
    pub(crate) fn health(&self) -> Health {
        self.wire.health()
    }
}

/// The endpoint of a bucket. Where the bucket is part of the host's name, it comes first in it.
fn endpoint_of(url: &Url, bucket: &str, virtual_hosted: bool) -> Result<String> {
    let mut url = url.clone();
    let prefix = format!("{bucket}.");
    if virtual_hosted && let Some(host) = url.host_str().filter(|host| !host.starts_with(&prefix)) {
        let host = format!("{prefix}{host}");
        url.set_host(Some(&host)).map_err(|error| {
            Error::usage(format!("the bucket `{bucket}` cannot be part of the host's name in {url}"))
                .because(error)
                .hint("leave `virtual_hosted_style_request` out: the bucket is then part of the path")
        })?;
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn certificate(path: &Path) -> Result<Certificate> {
    let what = || format!("cannot read the certificate {}", path.display());
    let pem = std::fs::read(path).map_err(|error| Error::usage(what()).because(error))?;
    let found = Certificate::from_pem(&pem);
    found.map_err(|error| Error::usage(what()).because(error).hint("it must be one certificate, as PEM"))
}

/// What a profile says of S3's endpoint.
async fn endpoint_of_profile(profile: Option<&str>, env: &[(String, String)]) -> Option<Found> {
    let ignored = env.iter().find(|(name, _)| name == "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
    if ignored.is_some_and(|(_, value)| value.eq_ignore_ascii_case("true")) {
        return None;
    }
    let config = sdk_config(profile, REGION).await;
    let key = aws_types::service_config::ServiceConfigKey::builder()
        .service_id("s3")
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build()
        .ok()?;
    // The environment, which both ask first, has none.
    let of_s3 = config.service_config().and_then(|config| config.load_config(key));
    let value = of_s3.or_else(|| config.endpoint_url().map(str::to_owned))?;
    Some(Found { value, from: profile_of(profile) })
}

fn profile_of(profile: Option<&str>) -> From {
    From::Profile(profile.unwrap_or("default").to_owned())
}

/// What the SDK reads for its own services, such as STS.
async fn sdk_config(profile: Option<&str>, region: &str) -> SdkConfig {
    let loader = aws_config::from_env().region(Region::new(region.to_owned())).no_credentials();
    match profile {
        Some(profile) => loader.profile_name(profile).load().await,
        None => loader.load().await,
    }
}

/// The region that a profile names, or else the machine that this is.
async fn region(profile: Option<&str>, settings: &Settings, has_endpoint: bool) -> Found {
    let mut by_profile = ProfileFileRegionProvider::builder();
    if let Some(profile) = profile {
        by_profile = by_profile.profile_name(profile);
    }
    if let Some(region) = by_profile.build().region().await {
        return Found { value: region.to_string(), from: profile_of(profile) };
    }
    // A store that is not AWS's has no region that a machine of AWS could know.
    if !has_endpoint && !settings.metadata_disabled {
        let provider = ImdsRegionProvider::builder()
            .configure(&ProviderConfig::without_region())
            .imds_client(metadata_client())
            .build();
        if let Some(region) = provider.region().await {
            return Found { value: region.to_string(), from: From::Metadata };
        }
    }
    Found { value: REGION.to_owned(), from: From::Default }
}

/// Asks the machine's metadata service, and does not wait for one that is not there.
fn metadata_client() -> aws_config::imds::Client {
    aws_config::imds::Client::builder()
        .max_attempts(2)
        .connect_timeout(METADATA)
        .read_timeout(METADATA)
        .operation_timeout(3 * METADATA)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_becomes_part_of_the_host_only_where_that_is_asked() {
        let url = Url::parse("https://store.example:9000/").unwrap();
        let of = |url: &Url, virtual_hosted| endpoint_of(url, "lake", virtual_hosted).unwrap();
        assert_eq!(of(&url, false), "https://store.example:9000");
        assert_eq!(of(&url, true), "https://lake.store.example:9000");
        let with = Url::parse("https://lake.store.example").unwrap();
        assert_eq!(of(&with, true), "https://lake.store.example");
        let numbers = Url::parse("http://10.0.0.5:9000").unwrap();
        assert!(endpoint_of(&numbers, "lake", true).is_err());
    }
}
