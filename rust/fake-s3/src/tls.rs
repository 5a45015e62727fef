//! Certificates made at start: a CA, and a server certificate that is right or wrong in one way.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::config::TlsMode;
use crate::server::Wrap;

/// How connections are wrapped, and the PEM of the CA a client should trust.
pub(crate) struct Identity {
    pub wrap: Wrap,
    pub ca_pem: String,
}

fn authority(name: &str) -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

/// Makes CA and certificate for a mode.
pub(crate) fn identity(mode: TlsMode, host: &str) -> io::Result<Identity> {
    make(mode, host).map_err(io::Error::other)
}

fn make(mode: TlsMode, host: &str) -> Result<Identity, Box<dyn std::error::Error + Send + Sync>> {
    let shown = authority("fake-s3 CA")?;
    let ca_pem = shown.pem();
    if mode == TlsMode::Tls10 {
        return Ok(Identity { wrap: Wrap::Tls10, ca_pem });
    }
    let names = match mode {
        TlsMode::WrongName => vec!["wrong.example".to_owned()],
        _ => ["localhost", "*.localhost", "127.0.0.1", "::1", host].map(str::to_owned).to_vec(),
    };
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(rcgen::DnType::CommonName, "fake-s3");
    if mode == TlsMode::Expired {
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
    }
    let key = KeyPair::generate()?;
    let certificate = match mode {
        TlsMode::OtherCa => {
            let other = authority("fake-s3 other CA")?;
            params.signed_by(&key, &other)?
        }
        _ => params.signed_by(&key, &shown)?,
    };
    let versions: &[_] = match mode {
        TlsMode::Tls12 => &[&rustls::version::TLS12],
        _ => rustls::DEFAULT_VERSIONS,
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)?;
    Ok(Identity { wrap: Wrap::Tls(Arc::new(config)), ca_pem })
}

/// Reads a ClientHello and answers with a ServerHello of TLS 1.0.
pub(crate) fn answer_tls10(mut tcp: &TcpStream) {
    let mut hello = [0; 4096];
    if tcp.read(&mut hello).is_ok() {
        let mut body = vec![3, 1];
        body.extend([0x5A; 32]);
        body.extend([0, 0x00, 0x2F, 0]);
        let mut record = vec![0x16, 3, 1, 0, body.len() as u8 + 4, 2, 0, 0, body.len() as u8];
        record.extend(body);
        let _ = tcp.write_all(&record);
        let _ = tcp.read(&mut hello);
    }
}
