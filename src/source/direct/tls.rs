//! The encrypted layer of a client: bytes of the socket on one side, bytes of HTTP on the other.
//!
//! Certificates are judged by the wall clock, which rustls reads itself; nothing else here depends on time.

use std::io::{Read, Write};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use crate::source::direct::RECEIVE_BYTES_MAX;
use crate::source::error::{Kind, SourceError};

/// The configuration all clients share: it holds the roots and the sessions that can be resumed. Build it once.
///
/// # Errors
/// When a root is no certificate.
pub fn tls_config(roots: &[CertificateDer<'static>]) -> Result<Arc<ClientConfig>, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let verifies = Arc::new(Verifies::new(roots)?);
    Ok(shared(builder.dangerous().with_custom_certificate_verifier(verifies).with_no_client_auth()))
}

/// The configuration for servers that are believed whatever they show.
///
/// # Errors
/// When the library has no version of the protocol.
pub fn unverified_tls_config() -> Result<Arc<ClientConfig>, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let believes = Arc::new(Believes(provider().signature_verification_algorithms));
    Ok(shared(builder.dangerous().with_custom_certificate_verifier(believes).with_no_client_auth()))
}

fn shared(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// Named here, because a process-wide default would be an unordered side effect of whoever installs it first.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Takes certificates that a root vouches for, and a root that a server shows as its own: boxes have made one for themselves, and
/// the usual way to make one marks it as an authority's, which no server may show otherwise.
#[derive(Debug)]
struct Verifies {
    /// `None`: without roots nobody is believed.
    by_roots: Option<Arc<WebPkiServerVerifier>>,
    roots: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifies {
    fn new(roots: &[CertificateDer<'static>]) -> Result<Self, rustls::Error> {
        let mut store = RootCertStore::empty();
        for root in roots {
            store.add(root.clone())?;
        }
        let by_roots = (!roots.is_empty())
            .then(|| WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider()).build())
            .transpose()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        let algorithms = provider().signature_verification_algorithms;
        Ok(Self { by_roots, roots: roots.to_vec(), algorithms })
    }
}

impl ServerCertVerifier for Verifies {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(by_roots) = &self.by_roots else {
            return Err(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer));
        };
        match by_roots.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // Its time has been looked at before that, its name has not.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(_)))
                if self.roots.iter().any(|root| root == end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Takes every certificate. That the peer has the key of the one it shows is still looked at: less would be no connection.
#[derive(Debug)]
struct Believes(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Believes {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// One encrypted connection.
pub(super) struct Tls {
    connection: ClientConnection,
    /// Received and not yet taken by rustls, which takes no more while 16 KiB of plaintext wait.
    pending: Vec<u8>,
    /// Plaintext that can be read.
    waiting: usize,
    peer_closed: bool,
}

impl Tls {
    pub(super) fn new(config: &Arc<ClientConfig>, host: &str) -> Result<Self, SourceError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_invalid| {
            SourceError::request(Kind::Tls, format!("{host:?} is no name of a TLS server"))
        })?;
        let connection = ClientConnection::new(Arc::clone(config), name).map_err(failure)?;
        Ok(Self { connection, pending: Vec::new(), waiting: 0, peer_closed: false })
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Takes plaintext to be sent: at once, or when the handshake is done.
    pub(super) fn write(&mut self, plaintext: &[u8]) -> Result<(), SourceError> {
        // rustls keeps at most 64 KiB before the handshake is done; a request's head is shorter, and is all we send.
        let taken = self.connection.writer().write_all(plaintext);
        taken.map_err(|_full| SourceError::request(Kind::Tls, "TLS: the request is too long"))
    }

    /// Appends what is to be sent.
    pub(super) fn take_outgoing(&mut self, into: &mut Vec<u8>) {
        while self.connection.wants_write() {
            self.connection.write_tls(into).expect("a vector takes every write");
        }
    }

    /// Takes what came from the socket.
    pub(super) fn received(&mut self, bytes: &[u8]) -> Result<(), SourceError> {
        assert!(
            self.pending.is_empty(),
            "bytes are received only after the plaintext of earlier ones was taken"
        );
        assert!(bytes.len() <= RECEIVE_BYTES_MAX, "the private buffer holds {RECEIVE_BYTES_MAX} bytes");
        self.pending.extend_from_slice(bytes);
        self.decrypt()
    }

    /// Plaintext that can be read now. What is pending becomes plaintext as it is read.
    pub(super) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// Reads plaintext; 0 when none waits.
    pub(super) fn read(&mut self, into: &mut [u8]) -> Result<usize, SourceError> {
        let wanted = into.len().min(self.waiting);
        self.connection.reader().read_exact(&mut into[..wanted]).expect("rustls said that so much waits");
        self.waiting -= wanted;
        self.decrypt()?;
        Ok(wanted)
    }

    /// True when the peer said that it has sent everything: what came is not cut short.
    pub(super) const fn peer_closed(&self) -> bool {
        self.peer_closed
    }

    fn decrypt(&mut self) -> Result<(), SourceError> {
        let mut taken = 0;
        while taken < self.pending.len() && self.waiting <= PLAINTEXT_BYTES_MAX && !self.peer_closed {
            let mut rest = &self.pending[taken..];
            let count = self.connection.read_tls(&mut rest).unwrap_or(0);
            if count == 0 {
                // There is room for plaintext, so it is a message longer than rustls puts up with.
                return Err(SourceError::request(Kind::Tls, "TLS: the server's message is too long"));
            }
            taken += count;
            let state = self.connection.process_new_packets().map_err(failure)?;
            self.waiting = state.plaintext_bytes_to_read();
            self.peer_closed = state.peer_has_closed();
        }
        if self.peer_closed {
            // What follows a peer's close_notify is not part of the connection.
            self.pending.clear();
        } else {
            self.pending.drain(..taken);
        }
        Ok(())
    }
}

fn failure(error: rustls::Error) -> SourceError {
    SourceError::request(Kind::Tls, format!("TLS: {error}"))
}

/// The limit of rustls for plaintext that nobody has read.
const PLAINTEXT_BYTES_MAX: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::pki_types::PrivateKeyDer;
    use rustls::{ServerConfig, ServerConnection};

    use super::*;
    use crate::base::{Errno, Instant};
    use crate::http::{CookieJar, RequestHeaders};
    use crate::source::direct::{Client, Params, Want};

    const T0: Instant = Instant::START;

    /// An authority of our own, and a server it vouches for.
    struct Authority {
        root: CertificateDer<'static>,
        server: Arc<ServerConfig>,
    }

    impl Authority {
        fn new(name: &str) -> Self {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let root = params.self_signed(&key).unwrap().der().clone();
            let issuer = Issuer::new(params, key);
            let server_key = KeyPair::generate().unwrap();
            let certificate = CertificateParams::new(vec![name.to_owned()])
                .unwrap()
                .signed_by(&server_key, &issuer)
                .unwrap();
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let server = ServerConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(
                    vec![certificate.der().clone()],
                    PrivateKeyDer::try_from(server_key.serialize_der()).unwrap(),
                )
                .unwrap();
            Self { root, server: Arc::new(server) }
        }
    }

    fn connected(url: &str, roots: &[CertificateDer<'static>]) -> Client {
        let params = Params {
            via: None,
            headers: RequestHeaders::NONE,
            cookies: CookieJar::default(),
            user_agent: String::new(),
            connect_timeout: Duration::from_secs(3),
            header_timeout: Duration::from_secs(5),
            startup_timeout: Duration::from_secs(12),
            tls: tls_config(roots).unwrap(),
        };
        let mut client = Client::new(url, params, T0).unwrap();
        if matches!(client.want(), Want::Resolve { .. }) {
            client.resolved(T0, Ok(vec!["10.0.0.1:443".parse().unwrap()]));
        }
        client.connected(T0, Ok(()));
        client
    }

    /// How a server ends.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    enum Ending {
        /// It says so, and closes.
        CloseNotify,
        /// It only closes.
        Silence,
    }

    /// What came of a whole connection.
    struct Outcome {
        request: String,
        streamed: Vec<u8>,
        client: Client,
    }

    /// Lets a client talk to a server that answers with `response`. Bytes go in pieces of the sizes given.
    fn converse(
        mut client: Client,
        server: &Arc<ServerConfig>,
        response: &[u8],
        ending: Ending,
        sizes: &[usize],
    ) -> Outcome {
        let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
        server.set_buffer_limit(None);
        let mut sizes = sizes.iter().copied().cycle();
        let (mut wire, mut streamed, mut request) = (Vec::new(), Vec::new(), Vec::new());
        let mut answered = false;
        let mut memory = vec![0; 40_000];
        loop {
            match client.want() {
                Want::Send => {
                    let count = client.outgoing().len().min(sizes.next().unwrap());
                    let piece = client.outgoing()[..count].to_vec();
                    server.read_tls(&mut piece.as_slice()).unwrap();
                    client.sent(count);
                    // What a server thinks of a client's alert does not matter here.
                    let heard = server.process_new_packets().is_ok();
                    let mut plain = [0; 4096];
                    while let Ok(count @ 1..) = server.reader().read(&mut plain) {
                        request.extend_from_slice(&plain[..count]);
                    }
                    if heard && !answered && request.ends_with(b"\r\n\r\n") {
                        answered = true;
                        server.writer().write_all(response).unwrap();
                        if ending == Ending::CloseNotify {
                            server.send_close_notify();
                        }
                    }
                }
                Want::ReceivePrivate => {
                    while server.wants_write() {
                        server.write_tls(&mut wire).unwrap();
                    }
                    if wire.is_empty() {
                        client.closed();
                    } else {
                        let count = wire.len().min(sizes.next().unwrap());
                        let piece: Vec<u8> = wire.drain(..count).collect();
                        client.received(T0, &piece);
                    }
                }
                Want::TakeBody => {
                    let count = client.take_body(&mut memory);
                    streamed.extend_from_slice(&memory[..count]);
                }
                Want::Finished | Want::Failed | Want::Reconnect => break,
                want @ (Want::Resolve { .. } | Want::Connect(_) | Want::ReceiveBody | Want::Wait) => {
                    unreachable!("{want:?}")
                }
            }
        }
        Outcome { request: String::from_utf8(request).unwrap(), streamed, client }
    }

    fn body(count: usize) -> Vec<u8> {
        (0..=250).cycle().take(count).collect()
    }

    #[test]
    fn a_body_arrives_decrypted_whatever_its_size() {
        let authority = Authority::new("tv.example");
        for size in [0, 1, 188, 16_384, 16_385, 300_000] {
            for piece in [usize::MAX, RECEIVE_BYTES_MAX, 1460] {
                let piece = piece.min(RECEIVE_BYTES_MAX);
                let client = connected("https://tv.example/live.ts", std::slice::from_ref(&authority.root));
                let response = [b"HTTP/1.1 200 OK\r\n\r\n", body(size).as_slice()].concat();
                let outcome = converse(client, &authority.server, &response, Ending::CloseNotify, &[piece]);
                assert_eq!(outcome.client.want(), Want::Finished, "{:?}", outcome.client.failure());
                assert!(outcome.streamed == body(size), "{size} bytes in pieces of {piece}");
                assert!(outcome.request.starts_with("GET /live.ts HTTP/1.1\r\n"), "{}", outcome.request);
            }
        }
    }

    #[test]
    fn addresses_are_names_of_servers_too() {
        let authority = Authority::new("10.0.0.1");
        let client = connected("https://10.0.0.1/", std::slice::from_ref(&authority.root));
        let outcome =
            converse(client, &authority.server, b"HTTP/1.1 204 x\r\n\r\n", Ending::Silence, &[4096]);
        assert_eq!(outcome.client.want(), Want::Finished, "{:?}", outcome.client.failure());
    }

    #[test]
    fn an_end_without_close_notify_is_a_cut_unless_the_length_was_told() {
        let cut = Some("upstream closed the connection in the middle of the stream");
        for (head, ending, failure) in [
            ("200 OK", Ending::CloseNotify, None),
            ("200 OK", Ending::Silence, cut),
            ("200 OK\r\nContent-Length: 10", Ending::Silence, None),
            ("200 OK\r\nContent-Length: 11", Ending::Silence, cut),
            ("200 OK\r\nContent-Length: 11", Ending::CloseNotify, cut),
            ("404 No", Ending::Silence, Some("upstream returned status 404: 0123456789")),
            ("404 No", Ending::CloseNotify, Some("upstream returned status 404: 0123456789")),
        ] {
            let authority = Authority::new("h");
            let client = connected("https://h/", std::slice::from_ref(&authority.root));
            let response = format!("HTTP/1.1 {head}\r\n\r\n0123456789");
            let outcome = converse(client, &authority.server, response.as_bytes(), ending, &[4096]);
            let text = outcome.client.failure().map(ToString::to_string);
            assert_eq!(text.as_deref(), failure, "{head} {ending:?}");
            assert!(head.starts_with("404") || outcome.streamed == b"0123456789", "{head} {ending:?}");
        }
    }

    #[test]
    fn servers_nobody_vouches_for_are_refused() {
        let (known, stranger) = (Authority::new("h"), Authority::new("h"));
        for (url, roots) in [
            ("https://h/", &[][..]),
            ("https://h/", std::slice::from_ref(&stranger.root)),
            ("https://other/", std::slice::from_ref(&known.root)),
        ] {
            let outcome = converse(connected(url, roots), &known.server, b"", Ending::Silence, &[4096]);
            let failure = outcome.client.failure().unwrap();
            assert_eq!(failure.kind(), Kind::Tls);
            assert!(failure.to_string().starts_with("request upstream stream failed: TLS: "), "{failure}");
            assert_eq!(outcome.request, "", "a request holds credentials");
        }
    }

    #[test]
    fn a_handshake_that_ends_early_fails() {
        let handshaking = || {
            let mut client = connected("https://h/", &[]);
            client.sent(client.outgoing().len());
            client
        };
        let (mut closed, mut lost, mut garbled) = (handshaking(), handshaking(), handshaking());
        closed.closed();
        lost.lost(Errno::CONNRESET);
        garbled.received(T0, b"HTTP/1.1 400 Bad Request\r\n\r\n");
        for (client, kind, text) in [
            (closed, Kind::Tls, "connection closed during the TLS handshake"),
            (lost, Kind::Connection, "Connection reset by peer (os error 104)"),
            (garbled, Kind::Tls, "TLS: "),
        ] {
            let failure = client.failure().unwrap();
            assert_eq!(failure.kind(), kind);
            assert!(
                failure.to_string().starts_with(&format!("request upstream stream failed: {text}")),
                "{failure}"
            );
        }
    }

    #[test]
    fn a_redirect_leads_from_encryption_to_plain_text() {
        let authority = Authority::new("h");
        let client = connected("https://user:pw@h/", std::slice::from_ref(&authority.root));
        let response = b"HTTP/1.1 302 Found\r\nLocation: http://h/plain\r\n\r\n";
        let mut client = converse(client, &authority.server, response, Ending::Silence, &[4096]).client;
        assert_eq!(client.want(), Want::Reconnect);
        client.disconnected(T0);
        client.resolved(T0, Ok(vec!["10.0.0.1:80".parse().unwrap()]));
        client.connected(T0, Ok(()));
        let request = String::from_utf8(client.outgoing().to_vec()).unwrap();
        assert!(
            request.starts_with("GET /plain HTTP/1.1\r\n") && !request.contains("Authorization"),
            "{request}"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn a_connection_is_the_same_however_it_is_cut(sizes in prop::collection::vec(1_usize..3000, 1..20)) {
            let authority = Authority::new("h");
            let mut response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            for chunk in body(40_000).chunks(4099) {
                response.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                response.extend_from_slice(chunk);
                response.extend_from_slice(b"\r\n");
            }
            response.extend_from_slice(b"0\r\n\r\n");
            let client = connected("https://h/", std::slice::from_ref(&authority.root));
            let outcome = converse(client, &authority.server, &response, Ending::Silence, &sizes);
            prop_assert_eq!(outcome.client.want(), Want::Finished);
            prop_assert!(outcome.streamed == body(40_000));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 1..600)) {
            let mut client = connected("https://h/", &[]);
            client.sent(client.outgoing().len());
            client.received(T0, &bytes);
            prop_assert!(matches!(client.want(), Want::ReceivePrivate | Want::Send | Want::Failed));
        }
    }
}
