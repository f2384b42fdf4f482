//! TLS to a collector as OpenTelemetry's variables have it
//! (<https://opentelemetry.io/docs/specs/otel/protocol/exporter/>): whom to trust, and who we are.

use super::feed;
use crate::settings::Signal;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;

/// The configuration that the variables ask for; `None` when they ask for none. A file that can't be used is said with
/// its variable: sending without what it asks for would be less safe than not sending.
pub(super) fn config(
    signal: Signal,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<ClientConfig>, String> {
    let find = |kind: &str| {
        feed::variables(signal, kind).into_iter().find_map(|name| {
            variable(&name).filter(|path| !path.trim().is_empty()).map(|path| Named { name, path })
        })
    };
    let (roots, certificate, key) = (find("CERTIFICATE"), find("CLIENT_CERTIFICATE"), find("CLIENT_KEY"));
    if roots.is_none() && certificate.is_none() && key.is_none() {
        return Ok(None);
    }
    let store = match &roots {
        Some(named) => trusted(named)?,
        None => crate::publish::post::roots(),
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(store);
    match (certificate, key) {
        (None, None) => Ok(Some(builder.with_no_client_auth())),
        (Some(certificate), Some(key)) => {
            let chain = certificate.certificates()?;
            let secret = PrivateKeyDer::from_pem_file(&key.path).map_err(|error| key.unusable(&error))?;
            builder.with_client_auth_cert(chain, secret).map(Some).map_err(|error| key.unusable(&error))
        }
        (Some(alone), None) | (None, Some(alone)) => {
            Err(format!("{} alone proves nobody: a certificate and its key go together", alone.name))
        }
    }
}

/// A file, and the variable that names it.
struct Named {
    name: String,
    path: String,
}

impl Named {
    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        let read = CertificateDer::pem_file_iter(&self.path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let read = read.map_err(|error| self.unusable(&error))?;
        if read.is_empty() { Err(self.unusable(&"it holds no certificate")) } else { Ok(read) }
    }

    fn unusable(&self, why: &impl ToString) -> String {
        format!("{} = {:?} can't be used: {}", self.name, self.path, why.to_string())
    }
}

/// Only these are trusted: who names one means no other.
fn trusted(named: &Named) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    for certificate in named.certificates()? {
        store.add(certificate).map_err(|error| named.unusable(&error))?;
    }
    Ok(store)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(set: &[(&str, &str)]) -> Result<bool, String> {
        let find =
            |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        config(Signal::Metrics, find).map(|config| config.is_some())
    }

    #[test]
    fn a_file_that_cannot_be_used_is_said_with_its_variable() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificate, key) =
            (file("c.pem", &own.cert.pem()), file("k.pem", &own.signing_key.serialize_pem()));
        let (empty, other) = (file("e.pem", ""), rcgen::KeyPair::generate().unwrap());
        let other = file("o.pem", &other.serialize_pem());

        assert_eq!(of(&[]), Ok(false));
        assert_eq!(of(&[("OTEL_EXPORTER_OTLP_CERTIFICATE", " ")]), Ok(false));
        assert_eq!(of(&[("OTEL_EXPORTER_OTLP_CERTIFICATE", &certificate)]), Ok(true));
        let (chain, secret) = ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "OTEL_EXPORTER_OTLP_CLIENT_KEY");
        assert_eq!(of(&[(chain, &certificate), (secret, &key)]), Ok(true));
        for (set, says) in [
            (
                vec![("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere.pem")],
                "OTEL_EXPORTER_OTLP_CERTIFICATE = \"/nowhere.pem\"",
            ),
            (vec![("OTEL_EXPORTER_OTLP_CERTIFICATE", &*empty)], "holds no certificate"),
            (vec![("OTEL_EXPORTER_OTLP_CERTIFICATE", &*key)], "holds no certificate"),
            (vec![(chain, &*certificate)], "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE alone"),
            (vec![(secret, &*key)], "OTEL_EXPORTER_OTLP_CLIENT_KEY alone"),
            (vec![(chain, &*certificate), (secret, &*certificate)], "OTEL_EXPORTER_OTLP_CLIENT_KEY = "),
            (vec![(chain, &*certificate), (secret, &*other)], "OTEL_EXPORTER_OTLP_CLIENT_KEY = "),
            // That of metrics alone counts more.
            (
                vec![
                    ("OTEL_EXPORTER_OTLP_CERTIFICATE", &*certificate),
                    ("OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE", "/nowhere.pem"),
                ],
                "OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE",
            ),
        ] {
            let why = of(&set).unwrap_err();
            assert!(why.contains(says), "{set:?}: {why}");
        }
    }
}
