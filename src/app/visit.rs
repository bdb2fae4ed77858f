//! The whole service, started for one visit and ended behind it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::getpid;
use serde_json::Value;

use tunerd::base::Clock;
use tunerd::config::{BindAddress, Loaded};
use tunerd::exit::ExitCode;
use tunerd::store::Database;

use super::{Failure, run};

/// How long the service may take to listen, and to answer.
pub(crate) const START_TIME: Duration = Duration::from_secs(30);
/// The longest head of an answer, and the longest answer that is read whole.
const HEAD_BYTES_MAX: usize = 64 * 1024;
const BODY_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Has the service listen on a free port of this host only, where nobody needs to find it.
pub(crate) fn hide(loaded: &mut Loaded) -> Result<SocketAddr, Failure> {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    let address = free.map_err(|error| Failure::because(ExitCode::Bind, &error))?;
    loaded.settings.http.listen = vec![BindAddress::One(address)];
    (loaded.settings.discovery.hdhomerun, loaded.settings.discovery.upnp) = (None, None);
    Ok(address)
}

/// Runs the service until the visit is over; gives how it ended, and what came of the visit.
pub(crate) fn around<T: Send + 'static>(
    loaded: &Loaded,
    database: Database,
    visit: impl FnOnce() -> T + Send + 'static,
) -> Result<(ExitCode, T), Failure> {
    // Before the visitor's thread: the signal it sends is for control alone.
    tunerd::control::block_signals().map_err(|error| Failure::because(ExitCode::Failure, &error))?;
    let visitor = std::thread::Builder::new()
        .name("viewer".to_owned())
        .spawn(move || {
            let seen = visit();
            // The service ends as it would when asked by the service manager.
            let _gone = kill(getpid(), Signal::SIGTERM);
            seen
        })
        .map_err(|error| Failure::because(ExitCode::Failure, &error))?;
    let code = run::run(loaded, run::Catalog::Prepared(database))?;
    let seen = visitor.join().map_err(|_panic| Failure::new(ExitCode::Failure, "the viewer broke"))?;
    Ok((code, seen))
}

/// Connects to what may be about to listen.
pub(crate) fn connect(clock: &Clock, address: SocketAddr) -> Result<TcpStream, String> {
    let started = clock.now();
    loop {
        match TcpStream::connect_timeout(&address, Duration::from_secs(1)) {
            Ok(stream) => return Ok(stream),
            Err(error) if clock.now() - started > START_TIME => return Err(error.to_string()),
            Err(_not_yet) => std::thread::park_timeout(Duration::from_millis(50)),
        }
    }
}

/// An answer's first line, and what of its body has come.
pub(crate) struct Begun {
    pub(crate) status_line: String,
    pub(crate) body: Vec<u8>,
}

impl Begun {
    pub(crate) fn is_ok(&self) -> bool {
        self.status_line.split(' ').nth(1) == Some("200")
    }
}

/// Reads the head of an answer.
pub(crate) fn head(stream: &mut impl Read) -> Result<Begun, String> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]);
            let status_line = head.lines().next().unwrap_or_default().to_owned();
            return Ok(Begun { status_line, body: bytes.split_off(end + 4) });
        }
        if bytes.len() > HEAD_BYTES_MAX {
            return Err("the answer's head does not end".to_owned());
        }
        let count = stream.read(&mut buffer).map_err(|error| error.to_string())?;
        if count == 0 {
            return Err("the connection ended before the answer's head".to_owned());
        }
        bytes.extend_from_slice(&buffer[..count]);
    }
}

/// What a server answers that speaks JSON. `fields` are header fields, each with its line's end.
pub(crate) fn ask_json(mut stream: TcpStream, host: &str, path: &str, fields: &str) -> Result<Value, String> {
    let failed = |error: std::io::Error| error.to_string();
    stream.set_read_timeout(Some(START_TIME)).map_err(failed)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{fields}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let Begun { status_line, mut body } = head(&mut stream)?;
    stream.take(BODY_BYTES_MAX).read_to_end(&mut body).map_err(failed)?;
    if status_line.split(' ').nth(1) != Some("200") {
        let said: String = String::from_utf8_lossy(&body).trim().chars().take(200).collect();
        return Err(format!("the answer is {status_line}: {said}"));
    }
    serde_json::from_slice(&body).map_err(|error| format!("the answer is no JSON: {error}"))
}
