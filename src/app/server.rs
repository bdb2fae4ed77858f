//! A tunerd that runs, here or elsewhere, as one of our commands asks it.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::DeserializeOwned;

use tunerd::base::Clock;
use tunerd::config::{BindAddress, Loaded};
use tunerd::http::Url;

use super::visit::{self, Begun};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Letters of what a server says to a request that it refuses.
const SAID_MAX: usize = 200;

/// Where it is asked, and with which password.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// As it stands in `Host`.
    authority: String,
    host: String,
    port: u16,
    /// The header field, with its line's end.
    authorization: String,
}

impl Server {
    /// The one at an address, or the one of these settings on this host.
    pub(crate) fn of(loaded: &Loaded, url: Option<&str>) -> Result<Self, String> {
        match url {
            Some(text) => Self::at(text),
            None => Self::here(loaded),
        }
    }

    fn here(loaded: &Loaded) -> Result<Self, String> {
        let settings = &loaded.settings;
        let first = settings.http.listen.first().ok_or("HTTP_ADDR names no address")?;
        let address = match first {
            BindAddress::One(address) if !address.ip().is_unspecified() => *address,
            other @ (BindAddress::All { .. } | BindAddress::Loopback { .. } | BindAddress::One(_)) => {
                SocketAddr::from(([127, 0, 0, 1], other.port()))
            }
        };
        let own = settings.admin.credentials.as_ref();
        let own = own.map(|own| BASE64.encode(format!("{}:{}", own.user, own.password.expose())));
        let authorization = own.map(|own| format!("Authorization: Basic {own}\r\n")).unwrap_or_default();
        Ok(Self { authorization, ..Self::local(address) })
    }

    /// The one at this address, without a password.
    pub(crate) fn local(address: SocketAddr) -> Self {
        let (host, port) = (address.ip().to_string(), address.port());
        Self { authority: address.to_string(), host, port, authorization: String::new() }
    }

    fn at(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("the address cannot be read: {error}"))?;
        if !text.trim_start().to_ascii_lowercase().starts_with("http://") {
            return Err("the address has to begin with http://; tunerd itself speaks no TLS".to_owned());
        }
        let basic = url.basic_authorization();
        Ok(Self {
            authority: url.authority(),
            host: url.host().trim_matches(['[', ']']).to_owned(),
            port: url.port_or_default(),
            authorization: basic.map(|basic| format!("Authorization: {basic}\r\n")).unwrap_or_default(),
        })
    }

    /// What it is called: host and port.
    pub(crate) fn name(&self) -> &str {
        &self.authority
    }

    /// What it answers to a question. Everything has to have come within `limit`.
    pub(crate) fn get<T: DeserializeOwned>(
        &self,
        clock: &Clock,
        limit: Duration,
        path: &str,
    ) -> Result<T, String> {
        let answer = self.ask(clock, limit, "GET", path, "")?;
        serde_json::from_slice(&answer.body).map_err(|error| format!("the answer is not tunerd's: {error}"))
    }

    /// Has it do something.
    pub(crate) fn post(&self, clock: &Clock, limit: Duration, path: &str, body: &str) -> Result<(), String> {
        self.ask(clock, limit, "POST", path, body).map(drop)
    }

    fn ask(
        &self,
        clock: &Clock,
        limit: Duration,
        method: &str,
        path: &str,
        body: &str,
    ) -> Result<Begun, String> {
        let Self { authority, authorization, .. } = self;
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {authority}\r\n{authorization}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        let answer = visit::ask(self.connect(limit)?, clock, limit, &request)?;
        if answer.is_ok() {
            return Ok(answer);
        }
        let line = &answer.status_line;
        if answer.status() == Some("401") {
            let wanted = "it wants the user and password of ADMIN_AUTH, as http://user:password@host:port";
            return Err(format!("the answer is {line}: {wanted}"));
        }
        let said: String = String::from_utf8_lossy(&answer.body).trim().chars().take(SAID_MAX).collect();
        Err(format!("the answer is {line}: {said}"))
    }

    fn connect(&self, limit: Duration) -> Result<TcpStream, String> {
        let found = (self.host.as_str(), self.port).to_socket_addrs();
        let found = found.map_err(|error| format!("{}: {error}", self.host))?;
        let mut last = format!("{} has no address", self.host);
        for address in found {
            match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT.min(limit)) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = format!("{address}: {error}; is tunerd running there?"),
            }
        }
        Err(last)
    }
}
