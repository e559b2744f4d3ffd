//! The cluster's own certificate authority and the few keys below it.

use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use super::layout::{API_SERVICE_IP, NODE_IP};

/// Why the keys could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A key or certificate could not be generated.
    #[error("the cluster's certificates could not be made")]
    Generate(#[from] rcgen::Error),
    /// A file could not be written.
    #[error("{} could not be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        #[source]
        source: io::Error,
    },
}

/// Writes the authority, the API server's certificate, an administrator's certificate and the key that signs service
/// account tokens into `folder`.
pub(super) fn write(folder: &Path) -> Result<(), CertificateError> {
    let authority_key = KeyPair::generate()?;
    let mut authority = named("ostler-e2e", None, Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    put(folder, "ca.crt", &authority.self_signed(&authority_key)?.pem())?;
    let issuer = Issuer::new(authority, authority_key);

    let names = ["localhost", "127.0.0.1", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"];
    let names = names.map(str::to_owned).into_iter().chain([NODE_IP.to_string(), API_SERVICE_IP.to_string()]);
    let server = named("kube-apiserver", None, names.collect())?;
    issue(folder, "api-server", server, ExtendedKeyUsagePurpose::ServerAuth, &issuer)?;
    // RBAC gives the group `system:masters` everything.
    let admin = named("admin", Some("system:masters"), Vec::new())?;
    issue(folder, "admin", admin, ExtendedKeyUsagePurpose::ClientAuth, &issuer)?;

    let tokens = KeyPair::generate()?;
    put(folder, "service-account.key", &tokens.serialize_pem())?;
    put(folder, "service-account.pub", &tokens.public_key_pem())
}

fn named(
    common_name: &str,
    organization: Option<&str>,
    alternatives: Vec<String>,
) -> Result<CertificateParams, rcgen::Error> {
    let mut parameters = CertificateParams::new(alternatives)?;
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, common_name);
    if let Some(organization) = organization {
        parameters.distinguished_name.push(DnType::OrganizationName, organization);
    }
    Ok(parameters)
}

fn issue(
    folder: &Path,
    name: &str,
    mut parameters: CertificateParams,
    usage: ExtendedKeyUsagePurpose,
    issuer: &Issuer<'_, KeyPair>,
) -> Result<(), CertificateError> {
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    parameters.extended_key_usages = vec![usage];
    let key = KeyPair::generate()?;
    let certificate = parameters.signed_by(&key, issuer)?;
    put(folder, &format!("{name}.crt"), &certificate.pem())?;
    put(folder, &format!("{name}.key"), &key.serialize_pem())
}

fn put(folder: &Path, name: &str, text: &str) -> Result<(), CertificateError> {
    let path = folder.join(name);
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()));
    written.map_err(|source| CertificateError::Write { path, source })
}
