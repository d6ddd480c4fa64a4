//! Requests to AWS's other services, signed as S3's are: Glue's catalog, SNS, STS.
//!
//! Few requests of few kinds, so by hand: the SDK's crate of Glue alone has 350,000 lines.

use std::time::Duration;

use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use futures::TryStreamExt as _;
use http::header::{CONTENT_TYPE, HOST};
use object_store::client::{HttpClient, HttpConnector as _, HttpRequest, HttpResponse, ReqwestConnector};
use serde_json::Value;
use tokio::time::sleep;
use url::Url;

use super::Aws;
use super::settings::{Found, From, checked_endpoint};
use crate::config::flag;
use crate::error::{Error, Result, element};
use crate::failure::{self, Phase};
use crate::model::Clock;

/// Tries of a request that fails in passing.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(300);

/// A service, by the name that it is signed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    /// The Data Catalog.
    Glue,
    /// Messages.
    Sns,
    /// Who one is.
    Sts,
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Self::Glue => "glue",
            Self::Sns => "sns",
            Self::Sts => "sts",
        }
    }
}

/// What a service is asked, in its own form.
pub(crate) enum Ask<'a> {
    /// An action with a JSON document.
    Json { target: &'a str, document: &'a Value },
    /// An action with fields of a form.
    Form(&'a [(&'a str, &'a str)]),
}

/// A service said no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{service}: {status} {code}: {message}")]
pub(crate) struct Refused {
    service: &'static str,
    status: u16,
    /// Such as `EntityNotFoundException`.
    pub(crate) code: String,
    message: String,
}

impl Refused {
    fn of(service: Service, status: u16, body: &str) -> Self {
        let json: Value = serde_json::from_str(body).unwrap_or_default();
        let said = |name: &str| json[name].as_str().map(str::to_owned);
        let code = said("__type").or_else(|| element(body, "Code").map(str::to_owned)).unwrap_or_default();
        // Some put their name space before it.
        let code = code.rsplit('#').next().unwrap_or_default().to_owned();
        let message = said("Message").or_else(|| said("message"));
        let message = message.or_else(|| element(body, "Message").map(str::to_owned)).unwrap_or_default();
        Self { service: service.name(), status, code, message }
    }

    fn is_passing(&self) -> bool {
        let codes = ["Throttl", "ConcurrentModification", "OperationTimeout"];
        self.status >= 500 || self.status == 429 || codes.iter().any(|code| self.code.contains(code))
    }

    /// The error for a person, unless the caller knows better.
    pub(crate) fn told(self, what: &str) -> Error {
        if self.is_passing() {
            return Error::retry(what).because(self);
        }
        if self.code.contains("Expired") {
            let hint = "the session token has run out: renew it, such as by `aws sso login`";
            return Error::retry(what).hint(hint).because(self);
        }
        let hint = if self.status == 403 || self.code.contains("AccessDenied") {
            "the credentials may not do this: grant the action to the role"
        } else {
            "check the region, the credentials and what is named"
        };
        Error::usage(what).hint(hint).because(self)
    }
}

impl Aws {
    /// Asks a service; what it answers, or that it said no.
    ///
    /// # Errors
    /// Fails where there is no answer, or there are no credentials.
    pub(crate) async fn ask(
        &self,
        service: Service,
        ask: Ask<'_>,
    ) -> Result<std::result::Result<String, Refused>> {
        self.ask_in(service, None, ask).await
    }

    /// The same, in this region.
    ///
    /// # Errors
    /// As [`ask`](Self::ask) does.
    pub(crate) async fn ask_in(
        &self,
        service: Service,
        region: Option<&str>,
        ask: Ask<'_>,
    ) -> Result<std::result::Result<String, Refused>> {
        let what = || format!("{} does not answer", service.name());
        let region = region.unwrap_or(&self.region.value);
        let url = self.url_of(service, region)?;
        let options = self.client_options()?.with_timeout(self.settings.timeout);
        let client = ReqwestConnector::default().connect(&options);
        let client = client.map_err(|error| Error::bug(what()).because(error))?;
        let mut tried = 0;
        loop {
            tried += 1;
            let request = self.signed(service, region, &url, &ask).await?;
            match answered(&client, request).await {
                Ok((status, body)) if status < 300 => return Ok(Ok(body)),
                Ok((status, body)) => {
                    let refused = Refused::of(service, status, &body);
                    if tried == TRIES || !refused.is_passing() {
                        return Ok(Err(refused));
                    }
                }
                Err(error) if tried == TRIES => return Err(Error::retry(what()).because(error)),
                Err(error) => tracing::debug!(%error, "asked again"),
            }
            sleep(PAUSE * tried).await;
        }
    }

    /// Who asks, as STS has it: the ARN of a user or of a role's session.
    ///
    /// # Errors
    /// Fails where STS does not answer, or says no.
    pub(crate) async fn caller(&self) -> Result<String> {
        let ask = Ask::Form(&[("Action", "GetCallerIdentity"), ("Version", "2011-06-15")]);
        let answer = self.ask(Service::Sts, ask).await?;
        let body = answer.map_err(|refused| refused.told("STS does not say who this is"))?;
        let arn = element(&body, "Arn").map(str::to_owned);
        arn.ok_or_else(|| Error::retry("STS gave an answer without an ARN"))
    }

    /// Where a service answers, as AWS's own tools find it.
    fn url_of(&self, service: Service, region: &str) -> Result<Url> {
        let name = service.name();
        let own = format!("AWS_ENDPOINT_URL_{}", name.to_uppercase());
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let is_ignored = variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
            .and_then(|value| flag(&value))
            .unwrap_or_default();
        let set = [own.as_str(), "AWS_ENDPOINT_URL"].into_iter().filter(|_| !is_ignored).find_map(|name| {
            let value = variable(name)?;
            Some(Found { value, from: From::Env(name.to_owned()) })
        });
        if let Some(found) = set {
            return checked_endpoint(&found, self.settings.allow_http);
        }
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        Url::parse(&format!("https://{name}.{region}.{domain}/"))
            .map_err(|error| Error::usage(format!("`{region}` is no region")).because(error))
    }

    async fn signed(&self, service: Service, region: &str, url: &Url, ask: &Ask<'_>) -> Result<HttpRequest> {
        let credentials = match &self.credentials {
            Some(shared) => shared.credentials().await.map_err(|none| {
                failure::of(Phase::Log, &format!("{} cannot be asked", service.name()), none)
            })?,
            None => return Err(Error::usage(format!("{} takes no unsigned requests", service.name()))),
        };
        let bug = |error: Box<dyn std::error::Error + Send + Sync>| {
            Error::bug("a request cannot be made").because(error)
        };
        let (content_type, body) = match ask {
            Ask::Json { document, .. } => ("application/x-amz-json-1.1", document.to_string()),
            Ask::Form(fields) => {
                let mut form = url::form_urlencoded::Serializer::new(String::new());
                ("application/x-www-form-urlencoded", form.extend_pairs(*fields).finish())
            }
        };
        let host = url.host_str().unwrap_or_default();
        let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let mut headers = vec![("host", host.clone()), ("content-type", content_type.to_owned())];
        if let Ask::Json { target, .. } = ask {
            headers.push(("x-amz-target", (*target).to_owned()));
        }
        let identity = credentials.into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name(service.name())
            .time(Clock::System.now().into())
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| bug(Box::new(error)))?;
        let signable = SignableRequest::new(
            "POST",
            url.as_str(),
            headers.iter().map(|(name, value)| (*name, value.as_str())),
            SignableBody::Bytes(body.as_bytes()),
        )
        .map_err(|error| bug(Box::new(error)))?;
        let (instructions, _) =
            sign(signable, &params.into()).map_err(|error| bug(Box::new(error)))?.into_parts();
        let mut request =
            http::Request::post(url.as_str()).header(HOST, host).header(CONTENT_TYPE, content_type);
        if let Ask::Json { target, .. } = ask {
            request = request.header("x-amz-target", *target);
        }
        let mut request = request.body(body.into()).map_err(|error| bug(Box::new(error)))?;
        instructions.apply_to_request_http1x(&mut request);
        Ok(request)
    }
}

async fn answered(
    client: &HttpClient,
    request: HttpRequest,
) -> std::result::Result<(u16, String), object_store::client::HttpError> {
    let response: HttpResponse = client.execute(request).await?;
    let status = response.status().as_u16();
    let body: Vec<Bytes> = response.into_body().bytes_stream().try_collect().await?;
    Ok((status, String::from_utf8_lossy(&body.concat()).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_both_forms_are_read_and_those_that_pass_are_told_apart() {
        let json = r#"{"__type": "com.amazonaws.glue#EntityNotFoundException", "Message": "no database"}"#;
        let refused = Refused::of(Service::Glue, 400, json);
        assert_eq!(refused.to_string(), "glue: 400 EntityNotFoundException: no database");
        assert!(!refused.is_passing());
        let xml =
            "<ErrorResponse><Error><Code>Throttling</Code><Message>slower</Message></Error></ErrorResponse>";
        let refused = Refused::of(Service::Sns, 400, xml);
        assert!(refused.is_passing());
        assert_eq!(refused.told("x").kind(), crate::error::Kind::Retry);
    }
}
