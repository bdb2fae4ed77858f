//! Control on a thread of its own, and the one core it serves, which a test plays.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::thread::JoinHandle;

use tunerd::base::Clock;
use tunerd::control::{ControlError, Guides, Identity, Params, Parts, Port, port, run};
use tunerd::engine::{ControlPort, ControlRequest, CoreCommand, Mailbox, MailboxReader};
use tunerd::store::{Database, Store};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_tunerd");

pub(crate) struct Control {
    port: Port,
    mailbox: MailboxReader,
    wakeup: File,
    thread: JoinHandle<Result<(), ControlError>>,
}

impl Control {
    pub(crate) fn start(ffmpeg: impl Into<OsString>, slates: Option<PathBuf>) -> Self {
        let (port, inbox) = port();
        let (mailbox, reader) = Mailbox::new().unwrap();
        let params = params(ffmpeg.into(), slates);
        let thread = std::thread::spawn(move || {
            let store = Store::start(Database::in_memory().unwrap()).unwrap();
            run(
                params,
                Parts { inbox, mailboxes: vec![mailbox], store, clock: Clock::start(), listed: Vec::new() },
            )
        });
        let wakeup = File::from(reader.wakeup_descriptor().unwrap());
        Self { port, mailbox: reader, wakeup, thread }
    }

    pub(crate) fn request(&self, request: ControlRequest) {
        self.port.request(request).unwrap();
    }

    /// The next message that is no lineup.
    pub(crate) fn next(&mut self) -> CoreCommand {
        loop {
            match self.mailbox.take() {
                Some(CoreCommand::Lineup(_)) => {}
                Some(message) => return message,
                None => self.wakeup.read_exact(&mut [0; 8]).unwrap(),
            }
        }
    }

    /// The core ends, and control with it.
    pub(crate) fn end(self) {
        drop(self.port);
        self.thread.join().unwrap().unwrap();
    }
}

fn params(ffmpeg: OsString, slates: Option<PathBuf>) -> Params {
    Params {
        guides: Guides::default(),
        auto_prioritize_workers: 1,
        identity: Identity {
            friendly_name: String::new(),
            device_id: String::new(),
            device_auth: String::new(),
            tuner_count: 1,
        },
        has_metrics: false,
        connections_max: tunerd::base::limits::CONTROL_CONNECTIONS_MAX,
        lineup_max: None,
        guide_url: None,
        listens: Vec::new(),
        legacy_port: None,
        hdhomerun_discovery: None,
        upnp: None,
        update_id_cache_ttl: std::time::Duration::from_secs(1),
        guide_start: 100,
        search: tunerd::store::SearchLimits { terms_max: 12, disjuncts_max: 6, term_chars_max: 64 },
        admin: None,
        own_names: Vec::new(),
        rate_limit: None,
        trusted_proxies: Vec::new(),
        stream_token: None,
        json_body_bytes_max: 1024,
        request_timeout: None,
        playlist_profile: None,
        refresh: None,
        ffmpeg,
        slates,
        trust: std::sync::Arc::new(tunerd::source::Trust::new(true, Vec::new()).unwrap()),
        user_agent: String::new(),
        passthrough: None,
        trampoline: BINARY.into(),
        about: std::sync::Arc::default(),
    }
}
