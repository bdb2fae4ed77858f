//! The whole service, started for one visit and ended behind it.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::getpid;

use tunerd::base::Clock;
use tunerd::config::{BindAddress, Loaded};
use tunerd::exit::ExitCode;
use tunerd::store::Database;

use super::listeners::HeldPort;
use super::{Failure, run};

/// How long the service may take to listen, and to answer.
pub(crate) const START_TIME: Duration = Duration::from_secs(30);
/// The longest head of an answer, and the longest answer that is read whole.
const HEAD_BYTES_MAX: usize = 64 * 1024;
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Has the service listen on a free port of this host only, where nobody needs to find it. The port is nobody else's for as long
/// as what is given is kept.
pub(crate) fn hide(loaded: &mut Loaded) -> Result<HeldPort, Failure> {
    let held = HeldPort::take()?;
    loaded.settings.http.listen = vec![BindAddress::One(held.address)];
    (loaded.settings.discovery.hdhomerun, loaded.settings.discovery.upnp) = (None, None);
    Ok(held)
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
        self.status() == Some("200")
    }

    /// The number of its status.
    pub(crate) fn status(&self) -> Option<&str> {
        self.status_line.split(' ').nth(1)
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
        let count = match stream.read(&mut buffer) {
            Ok(count) => count,
            // A signal, as the one that a terminal has another size.
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if is_late(&error) => return Err("there was no answer in time".to_owned()),
            Err(error) => return Err(error.to_string()),
        };
        if count == 0 {
            return Err("the connection ended before the answer's head".to_owned());
        }
        bytes.extend_from_slice(&buffer[..count]);
    }
}

/// Whether it is the time that was up.
fn is_late(error: &std::io::Error) -> bool {
    // Linux says the one, and what it stands for is the other.
    [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind())
}

/// What a server answers: its first line, and the whole body. All of it has to come within `limit`.
pub(crate) fn ask(
    mut stream: TcpStream,
    clock: &Clock,
    limit: Duration,
    request: &str,
) -> Result<Begun, String> {
    let late = || format!("there was no whole answer within {} s", limit.as_secs());
    let failed = |error: std::io::Error| if is_late(&error) { late() } else { error.to_string() };
    let until = clock.now() + limit;
    stream
        .set_write_timeout(Some(limit))
        .and_then(|()| stream.set_read_timeout(Some(limit)))
        .map_err(failed)?;
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut begun = head(&mut stream)?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let left = until - clock.now();
        if left.is_zero() {
            return Err(late());
        }
        stream.set_read_timeout(Some(left)).map_err(failed)?;
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(begun),
            Ok(count) => begun.body.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
        if begun.body.len() > BODY_BYTES_MAX {
            return Err(format!("the answer has more than {BODY_BYTES_MAX} bytes"));
        }
    }
}
