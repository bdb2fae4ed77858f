//! The program, started with settings and a folder of its own.

use std::env;
use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::client::{Answer, Viewer, exchange};
use super::process::Process;
use super::wait::{LONG, until};

/// The program, as cargo has built it for these tests.
pub fn binary() -> &'static Path {
    static FOUND: LazyLock<PathBuf> = LazyLock::new(|| {
        // Older cargos say it to the compiler of a test program only. Programs stand one folder above their tests.
        let beside_tests = || env::current_exe().unwrap().parent().unwrap().with_file_name("tunerd");
        let found = env::var_os("CARGO_BIN_EXE_tunerd").map_or_else(beside_tests, PathBuf::from);
        assert!(found.is_file(), "the program is not built: there is no {}", found.display());
        found
    });
    &FOUND
}

/// A running program. It is killed when this is dropped, and its log is shown when the test fails.
pub struct Daemon {
    child: Child,
    port: u16,
    folder: TempDir,
    entries: usize,
}

impl Daemon {
    /// Starts the program on a free port and waits until it serves.
    pub fn start(settings: &[(&str, &str)]) -> Daemon {
        let port = free_port();
        Self::start_with(port, settings, |command| {
            command.env("HTTP_ADDR", format!("127.0.0.1:{port}"));
        })
    }

    /// Starts the program as `prepare` wants it; it is expected to serve on `port`.
    pub fn start_with(port: u16, settings: &[(&str, &str)], prepare: impl FnOnce(&mut Command)) -> Daemon {
        let folder = tempfile::tempdir().unwrap();
        let mut command = command(folder.path(), settings);
        prepare(&mut command);
        let mut daemon = Daemon { child: command.spawn().unwrap(), port, folder, entries: 0 };
        until(LONG, "the program serves", || {
            let ended = daemon.child.try_wait().unwrap();
            assert!(ended.is_none(), "the program ended: {ended:?}");
            exchange(port, b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n").ok()
        });
        daemon
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn process(&self) -> Process {
        Process(self.child.id())
    }

    pub fn database(&self) -> PathBuf {
        self.folder.path().join(DATABASE)
    }

    /// Every text of its database, with where it stands: `table.column`.
    pub fn texts(&self) -> Vec<(String, String)> {
        let database =
            Connection::open_with_flags(self.database(), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let mut tables = database.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").unwrap();
        let tables: Vec<String> =
            tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let mut texts = Vec::new();
        for table in tables {
            let mut all = database.prepare(&format!("SELECT * FROM \"{table}\"")).unwrap();
            let columns: Vec<String> = all.column_names().map(str::to_owned).collect();
            let mut rows = all.query([]).unwrap();
            while let Some(row) = rows.next().unwrap() {
                for (index, column) in columns.iter().enumerate() {
                    if let ValueRef::Text(bytes) | ValueRef::Blob(bytes) = row.get_ref(index).unwrap() {
                        texts
                            .push((format!("{table}.{column}"), String::from_utf8_lossy(bytes).into_owned()));
                    }
                }
            }
        }
        texts
    }

    /// Everything it has said so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join(LOG)).unwrap()
    }

    /// Asks as a client of the HTTP/1.1 interface would.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        let port = self.port;
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        exchange(port, request.as_bytes()).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "")
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let answer = self.ask("POST", path, &body.to_string());
        assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
        answer.json()
    }

    /// Makes a channel of these sources, tried in this order. What stands before a tab are attributes of the entry.
    pub fn channel(&mut self, guide_number: &str, urls: &[String]) -> i64 {
        let keys = self.publish(urls);
        let channel = self.post("/api/channels", &json!({"item_key": keys[0], "guide_number": guide_number}));
        let id = channel["channel_id"].as_i64().unwrap();
        for key in &keys[1..] {
            self.post(&format!("/api/channels/{id}/sources"), &json!({"item_key": key}));
        }
        id
    }

    /// Adds entries to the playlist, has it read, and gives the entries' keys.
    fn publish(&mut self, urls: &[String]) -> Vec<Value> {
        let mut playlist =
            fs::OpenOptions::new().append(true).create(true).open(self.folder.path().join(PLAYLIST)).unwrap();
        let mut names = Vec::new();
        for url in urls {
            self.entries += 1;
            let name = format!("entry-{:03}-", self.entries);
            let (attributes, url) = url.split_once('\t').unwrap_or(("", url));
            writeln!(playlist, "#EXTINF:-1 tvg-id=\"{name}\" {attributes},{name}\n{url}").unwrap();
            names.push(name);
        }
        // At the start it reads the playlist too, and does one thing at a time.
        until(LONG, "the playlist is read", || {
            Some(self.ask("POST", "/api/admin/jobs/playlist-sync/run?wait=true", ""))
                .filter(|answer| answer.status == 200)
        });
        let key =
            |name: &String| self.get(&format!("/api/items?q={name}")).json()["items"][0]["item_key"].clone();
        names.iter().map(key).collect()
    }

    pub fn open(&self, path: &str) -> Viewer {
        Viewer::open(self.port, path)
    }

    /// What the administrator sees.
    pub fn tuners(&self) -> Value {
        self.get("/api/admin/tuners").json()
    }

    pub fn tuners_in_use(&self) -> u64 {
        self.tuners()["in_use_count"].as_u64().unwrap()
    }

    /// The addresses of those who watch.
    pub fn viewers(&self) -> Vec<String> {
        let tuners = self.tuners();
        let streams = tuners["client_streams"].as_array().unwrap();
        streams.iter().map(|stream| stream["client_addr"].as_str().unwrap().to_owned()).collect()
    }

    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let process = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(process, signal).unwrap();
    }

    /// Waits for its end.
    pub fn ended(&mut self, limit: Duration) -> ExitStatus {
        until(limit, "the program ends", || self.child.try_wait().unwrap())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Gone already when the test has ended it.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the program's log\n{}---", self.log());
        }
    }
}

const DATABASE: &str = "tunerd.db";
const PLAYLIST: &str = "list.m3u";
const LOG: &str = "log";

/// The program with these settings and no other, in this folder.
pub fn command(folder: &Path, settings: &[(&str, &str)]) -> Command {
    let log = fs::File::create(folder.join(LOG)).unwrap();
    let mut command = Command::new(binary());
    command.env_clear().current_dir(folder);
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("RUST_BACKTRACE", "1").env("LOG_LEVEL", "debug");
    command
        .env("DB_PATH", folder.join(DATABASE))
        .env("PLAYLIST_URL", format!("file://{}/{PLAYLIST}", folder.display()));
    // Not on the network of whoever runs the tests.
    command.env("HDHR_DISCOVERY_ENABLED", "false").env("UPNP_ENABLED", "false");
    command.envs(settings.iter().copied());
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    command
}

/// A port nobody listens on, of those the kernel does not give to outgoing connections.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let offset = u16::try_from(std::process::id() % 200).unwrap() * 100;
    loop {
        let port = 10_000 + (offset + NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        let is_free = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if is_free && TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            return port;
        }
    }
}
