//! Signatures for the OTLP endpoint of `CloudWatch`
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/metrics-otel-send.html>): metrics, over HTTP/1.1.

use crate::clock;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http::{Request, Uri};
use std::time::{Duration, SystemTime};
use tokio::sync::OnceCell;

/// What the signature is for.
const SERVICE: &str = "monitoring";

/// Signs by the credentials of the environment, which are asked for with the first request.
#[derive(Debug)]
pub(super) struct Signer {
    region: String,
    shared: OnceCell<SdkConfig>,
}

/// The region of `CloudWatch`'s own endpoint; `None` for any other.
pub(super) fn region(endpoint: &Uri) -> Option<&str> {
    let rest = endpoint.host()?.strip_prefix("monitoring.")?;
    let region = rest.strip_suffix(".amazonaws.com").or_else(|| rest.strip_suffix(".amazonaws.com.cn"))?;
    (!region.is_empty() && !region.contains('.')).then_some(region)
}

impl Signer {
    pub(super) fn new(region: &str) -> Self {
        Self { region: region.to_owned(), shared: OnceCell::new() }
    }

    /// Adds the signature to `request`, which goes as it is after that.
    ///
    /// # Errors
    /// No credentials, or a request that can't be signed; in words.
    pub(super) async fn sign(&self, request: &mut Request<bytes::Bytes>) -> Result<(), String> {
        let shared = self.shared.get_or_init(|| async {
            let region = Region::new(self.region.clone());
            aws_config::defaults(BehaviorVersion::v2026_01_12()).region(region).load().await
        });
        let provider = shared.await.credentials_provider().ok_or("no AWS credentials")?;
        let credentials = provider.provide_credentials().await.map_err(|error| error.to_string())?;
        let identity = credentials.into();
        let now = SystemTime::UNIX_EPOCH + Duration::from_nanos(clock::wall_nanos());
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(SERVICE)
            .time(now)
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| error.to_string())?
            .into();
        let headers =
            request.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let signable = SignableRequest::new(
            request.method().as_str(),
            request.uri().to_string(),
            headers,
            SignableBody::Bytes(request.body()),
        );
        let signed =
            signable.and_then(|signable| sign(signable, &parameters)).map_err(|error| error.to_string())?;
        signed.into_parts().0.apply_to_request_http1x(request);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cloudwatchs_own_endpoint_tells_its_region() {
        let of = |url: &'static str| region(&Uri::from_static(url)).map(str::to_owned);
        assert_eq!(of("https://monitoring.eu-west-1.amazonaws.com/v1/metrics").as_deref(), Some("eu-west-1"));
        assert_eq!(of("https://monitoring.cn-north-1.amazonaws.com.cn").as_deref(), Some("cn-north-1"));
        for other in [
            "https://monitoring.example.com",
            "https://monitoring.a.b.amazonaws.com",
            "https://logs.eu-west-1.amazonaws.com",
            "https://monitoring..amazonaws.com",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
