//! A fresh CA and a P-256 certificate for loopback.

use anyhow::Context;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// What a server shows, and what a client trusts.
pub(crate) struct Identity {
    /// The leaf alone: its issuer is the root that clients have.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// The key of the leaf: ECDSA P-256.
    pub(crate) key: PrivateKeyDer<'static>,
    /// The root.
    pub(crate) root: CertificateDer<'static>,
    /// The root again, as clients like to read it.
    pub(crate) root_pem: String,
}

/// Makes an identity for `localhost` and the first hundred addresses of loopback.
pub(crate) fn identity() -> anyhow::Result<Identity> {
    let mut root = CertificateParams::new(Vec::new())?;
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let root_key = KeyPair::generate().context("a key for the root")?;
    let root_certificate = root.self_signed(&root_key)?;
    let issuer = Issuer::new(root, root_key);
    let leaf_key = KeyPair::generate().context("a key for the leaf")?;
    let addresses = (1..=100).map(|host| format!("127.0.0.{host}"));
    let leaf = CertificateParams::new(addresses.chain(["localhost".to_owned()]).collect::<Vec<_>>())?;
    let leaf = leaf.signed_by(&leaf_key, &issuer)?;
    Ok(Identity {
        chain: vec![leaf.der().clone()],
        key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf_key.serialize_der())),
        root: root_certificate.der().clone(),
        root_pem: root_certificate.pem(),
    })
}
