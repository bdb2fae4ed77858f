//! Which servers are believed to be who they say, whoever reads from them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::source::direct::{tls_config, unverified_tls_config};

/// The authorities that are believed, and whether servers are asked for a certificate of theirs.
#[derive(Clone, Debug)]
pub struct Trust {
    /// `UPSTREAM_TLS_VERIFY`.
    is_verified: bool,
    roots: Vec<CertificateDer<'static>>,
    verifying: Arc<ClientConfig>,
    believing: Arc<ClientConfig>,
    /// Where other programs find the roots.
    file: Option<PathBuf>,
}

impl Trust {
    /// What is believed of servers for which nothing else is said.
    ///
    /// # Errors
    /// When a root is no certificate of an authority.
    pub fn new(is_verified: bool, roots: Vec<CertificateDer<'static>>) -> Result<Self, rustls::Error> {
        let (verifying, believing) = (tls_config(&roots)?, unverified_tls_config()?);
        Ok(Self { is_verified, roots, verifying, believing, file: None })
    }

    /// The same, with the roots in a file for other programs.
    #[must_use]
    pub fn in_file(self, file: PathBuf) -> Self {
        Self { file: Some(file), ..self }
    }

    /// The authorities on whose word browsers believe, and these.
    #[must_use]
    pub fn public_and(own: Vec<CertificateDer<'static>>) -> Vec<CertificateDer<'static>> {
        webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned().chain(own).collect()
    }

    /// Whether the servers of a source are verified; `wish` is the source's own.
    #[must_use]
    pub fn verifies(&self, wish: Option<bool>) -> bool {
        wish.unwrap_or(self.is_verified)
    }

    /// What a client of ours is told.
    #[must_use]
    pub fn client(&self, verifies: bool) -> Arc<ClientConfig> {
        Arc::clone(if verifies { &self.verifying } else { &self.believing })
    }

    /// Where other programs find them.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// They as such programs read them.
    #[must_use]
    pub fn pem(&self) -> String {
        let mut text = String::new();
        for root in &self.roots {
            let encoded = base64::engine::general_purpose::STANDARD.encode(root);
            text.push_str("-----BEGIN CERTIFICATE-----\n");
            for line in encoded.as_bytes().chunks(PEM_LINE_BYTES) {
                text.push_str(std::str::from_utf8(line).expect("base64 is ASCII"));
                text.push('\n');
            }
            text.push_str("-----END CERTIFICATE-----\n");
        }
        text
    }
}

/// The certificates of a file in PEM.
///
/// # Errors
/// When it cannot be read, or holds none.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let failed = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let bytes = std::fs::read(path).map_err(|error| failed(&error))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if found.is_empty() => Err(failed(&"there is no certificate in it")),
        Ok(found) => Ok(found),
        Err(error) => Err(failed(&error)),
    }
}

/// RFC 7468, 2.
const PEM_LINE_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_public_authorities_are_believed_and_written_as_they_are_read() {
        let trust = Trust::new(true, Trust::public_and(Vec::new())).unwrap();
        assert!(trust.roots.len() > 100, "{}", trust.roots.len());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("roots.pem");
        std::fs::write(&path, trust.pem()).unwrap();
        assert_eq!(certificates(&path).unwrap(), trust.roots);
        assert_eq!(trust.in_file(path.clone()).file(), Some(path.as_path()));
    }

    #[test]
    fn a_source_may_wish_otherwise() {
        for (is_verified, wish, expected) in
            [(true, None, true), (true, Some(false), false), (false, None, false), (false, Some(true), true)]
        {
            let trust = Trust::new(is_verified, Vec::new()).unwrap();
            assert_eq!(trust.verifies(wish), expected, "{is_verified} {wish:?}");
            assert!(!Arc::ptr_eq(&trust.client(true), &trust.client(false)));
        }
    }

    #[test]
    fn a_file_without_certificates_is_refused_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("roots.pem");
        std::fs::write(&path, "nothing\n").unwrap();
        let error = certificates(&path).unwrap_err();
        assert!(error.ends_with("roots.pem: there is no certificate in it"), "{error}");
        assert!(certificates(&folder.path().join("none")).is_err());
        let nonsense = Trust::new(true, vec![CertificateDer::from(vec![1, 2, 3])]);
        assert!(nonsense.is_err(), "no certificate at all");
    }
}
