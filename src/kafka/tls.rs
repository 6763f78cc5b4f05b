//! TLS by rustls with the ring provider, and its failures in our words.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{KafkaError, TlsSettings};
use crate::host::Stream;
use crate::names::HostPort;

/// Settings made ready for connections; cheap to clone.
#[derive(Clone)]
pub(super) struct Tls {
    connector: TlsConnector,
    server_name: Option<String>,
}

impl Tls {
    /// Parses certificates and key.
    pub(super) fn prepare(settings: &TlsSettings) -> Result<Self, KafkaError> {
        let refused = |reason| KafkaError::TlsSettings { reason };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&settings.ca_pem) {
            let certificate = certificate.map_err(|()| refused("the authorities are not PEM certificates"))?;
            roots.add(certificate).map_err(|_| refused("an authority's certificate is damaged"))?;
        }
        if roots.is_empty() {
            return Err(refused("there is no certificate authority in the PEM text"));
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|_| refused("no version of TLS is left"))?
            .with_root_certificates(roots);
        let config = match &settings.client {
            None => builder.with_no_client_auth(),
            Some(client) => {
                let chain: Vec<_> = certificates(&client.certificate_pem)
                    .collect::<Result<_, _>>()
                    .map_err(|()| refused("the client certificate is not PEM"))?;
                if chain.is_empty() {
                    return Err(refused("there is no client certificate in the PEM text"));
                }
                let key = PrivateKeyDer::from_pem_slice(client.key_pem.expose())
                    .map_err(|_| refused("there is no private key in the PEM text"))?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|_| refused("private key and client certificate do not belong together, or are of a kind that is not supported"))?
            }
        };
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), server_name: settings.server_name.clone() })
    }

    /// Makes a TLS session of a connection to `server`.
    pub(super) async fn handshake(
        &self,
        server: &HostPort,
        stream: Box<dyn Stream>,
    ) -> Result<TlsStream<Box<dyn Stream>>, KafkaError> {
        let name = self.server_name.as_deref().unwrap_or(&server.host);
        let server_name = ServerName::try_from(name.to_owned())
            .map_err(|_| KafkaError::TlsSettings { reason: "the server's name is not a DNS name or an address" })?;
        self.connector.connect(server_name, stream).await.map_err(|error| explain_handshake(server, name, error))
    }
}

fn certificates(pem: &[u8]) -> impl Iterator<Item = Result<CertificateDer<'static>, ()>> {
    CertificateDer::pem_slice_iter(pem).map(|item| item.map_err(drop))
}

fn explain_handshake(server: &HostPort, name: &str, error: std::io::Error) -> KafkaError {
    let server = server.clone();
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        // A Kafka listener without TLS takes our hello for a frame of 369 MB and closes.
        None if is_end(&error) => KafkaError::TlsNotSpoken { server },
        Some(rustls::Error::InvalidMessage(_)) => KafkaError::TlsNotSpoken { server },
        Some(rustls::Error::InvalidCertificate(reason)) => match reason {
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                KafkaError::ServerName { server, name: name.to_owned() }
            }
            reason => KafkaError::ServerCertificate { server, reason: explain_certificate(reason) },
        },
        Some(rustls::Error::AlertReceived(alert)) if is_about_our_certificate(*alert) => {
            KafkaError::ClientCertificate { server }
        }
        _ => KafkaError::Tls { server, source: error },
    }
}

/// Whether a connection ended, in an orderly way or not.
pub(super) fn is_end(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe)
}

fn explain_certificate(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::UnknownIssuer => "its issuer is not one of the trusted authorities",
        CertificateError::BadSignature => "its signature is not by the trusted authority of that name",
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "it is not valid yet",
        CertificateError::Revoked => "it has been revoked",
        _ => "it cannot be verified",
    }
}

/// Whether an alert says that the peer does not like our certificate. TLS 1.3 tells only at the first read.
pub(super) fn is_about_our_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
    )
}
