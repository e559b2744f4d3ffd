//! The control plane's certificate authority, the API server's certificate, and the key of account tokens.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// Writes `ca.crt`, `server.{crt,key}` and `service-account.{key,pub}` into `folder`.
pub(super) fn write(folder: &Path) {
    generate(folder).expect("keys and certificates can be generated");
}

fn generate(folder: &Path) -> Result<(), rcgen::Error> {
    let authority_key = KeyPair::generate()?;
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.distinguished_name.push(DnType::CommonName, "ostler-tests");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    super::write(folder, "ca.crt", &authority.self_signed(&authority_key)?.pem());

    let server_key = KeyPair::generate()?;
    let mut server = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()])?;
    server.distinguished_name.push(DnType::CommonName, "kube-apiserver");
    let issuer = Issuer::new(authority, authority_key);
    super::write(folder, "server.crt", &server.signed_by(&server_key, &issuer)?.pem());
    super::write(folder, "server.key", &server_key.serialize_pem());

    let tokens = KeyPair::generate()?;
    super::write(folder, "service-account.key", &tokens.serialize_pem());
    super::write(folder, "service-account.pub", &tokens.public_key_pem());
    Ok(())
}
