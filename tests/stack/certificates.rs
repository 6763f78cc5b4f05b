//! A certificate authority and what it signs, as PEM files that Kafka and rustls read.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use super::{StackError, write_private};

/// A certificate authority (ECDSA P-256) that lives in a folder.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: PathBuf,
    certificate_file: PathBuf,
}

/// A certificate and its unencrypted PKCS#8 key, both as PEM.
pub struct Identity {
    /// The certificate, e.g. `…/payments.pem`.
    pub certificate_file: PathBuf,
    /// Its key, mode 0600, e.g. `…/payments.key`.
    pub key_file: PathBuf,
    /// Key and certificate in one file, as Kafka's `ssl.keystore.type=PEM` wants them, mode 0600.
    pub keystore_file: PathBuf,
}

impl Authority {
    /// Makes a new authority; its certificate is `<folder>/<name>.pem`.
    pub fn create(folder: &Path, name: &str) -> Result<Self, StackError> {
        let mut params = params(name, &[])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(refused("make a key"))?;
        let certificate = params.self_signed(&key).map_err(refused("sign a certificate authority"))?;
        let certificate_file = write_private(folder.join(format!("{name}.pem")), &certificate.pem())?;
        Ok(Self { issuer: Issuer::new(params, key), folder: folder.to_owned(), certificate_file })
    }

    /// What clients trust.
    pub fn certificate_file(&self) -> &Path {
        &self.certificate_file
    }

    /// A server's identity, good for `localhost` and `127.0.0.1`.
    pub fn server(&self, name: &str) -> Result<Identity, StackError> {
        let mut params = params(name, &["localhost", "127.0.0.1"])?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(name, params)
    }

    /// A client's identity with the subject `CN=<common_name>`; on Kafka its principal is `User:CN=<common_name>`.
    pub fn client(&self, common_name: &str) -> Result<Identity, StackError> {
        let mut params = params(common_name, &[])?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(common_name, params)
    }

    fn sign(&self, name: &str, mut params: CertificateParams) -> Result<Identity, StackError> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().map_err(refused("make a key"))?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(refused("sign a certificate"))?;
        let (key, certificate) = (key.serialize_pem(), certificate.pem());
        let file = |extension: &str| self.folder.join(format!("{name}.{extension}"));
        Ok(Identity {
            certificate_file: write_private(file("pem"), &certificate)?,
            key_file: write_private(file("key"), &key)?,
            keystore_file: write_private(file("keystore.pem"), &format!("{key}{certificate}"))?,
        })
    }
}

fn params(common_name: &str, alternative_names: &[&str]) -> Result<CertificateParams, StackError> {
    let names: Vec<String> = alternative_names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).map_err(refused("name a certificate"))?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    Ok(params)
}

fn refused(what: &'static str) -> impl Fn(rcgen::Error) -> StackError {
    move |error| StackError::Io { what: what.to_owned(), source: std::io::Error::other(error) }
}
