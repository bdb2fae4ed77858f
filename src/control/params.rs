//! What control is told when it is started.

use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sha1::{Digest, Sha1};

pub use crate::base::Network;
use crate::base::{Clock, LogTail};
use crate::engine::{Mailbox, StreamToken};
use crate::source::Trust;
use crate::store::{ChannelRecord, SearchLimits, Store};

use super::children::Passthrough;
use super::port::Inbox;
use super::schedule::Timing;

/// What the names of devices begin with before they are made into ids.
const UDN_NAMESPACE: &str = "hdhriptv:upnp:udn:";

/// Settings.
#[derive(Clone, Debug)]
pub struct Params {
    /// Who we are to clients.
    pub identity: Identity,
    /// Connections for what is no stream at the same time.
    pub connections_max: usize,
    /// Channels in a lineup at most.
    pub lineup_max: Option<usize>,
    /// Where the programme guide of the channels is, as the playlist for players names it.
    pub guide_url: Option<String>,
    /// Where guides come from that are served here.
    pub guides: Guides,
    /// The first guide number given to a channel that asks for none.
    pub guide_start: u32,
    /// How much of a search counts.
    pub search: SearchLimits,
    /// Where HTTP listens, as the sockets say.
    pub listens: Vec<SocketAddr>,
    /// The port for clients that know no other, if the settings name one.
    pub legacy_port: Option<u16>,
    /// Where HDHomeRun clients look for tuners. `None` is not at all.
    pub hdhomerun_discovery: Option<Listen>,
    /// How UPnP clients find this tuner. `None` is not at all.
    pub upnp: Option<Upnp>,
    /// How long the answer to `GetSystemUpdateID` is reused.
    pub update_id_cache_ttl: Duration,
    /// Who may administer. Without it only this host may.
    pub admin: Option<AdminAuth>,
    /// What this machine is called.
    pub own_names: Vec<String>,
    /// Whose word about a client's address and scheme is taken.
    pub trusted_proxies: Vec<Network>,
    /// How much one client may ask, if there is a limit.
    pub rate_limit: Option<RateLimit>,
    /// Whether monitoring is answered.
    pub has_metrics: bool,
    /// What a request for a stream has to carry.
    pub stream_token: Option<StreamToken>,
    /// The longest body of an administrative request.
    pub json_body_bytes_max: usize,
    /// How long an answer may take, if there is a limit.
    pub request_timeout: Option<Duration>,
    /// The name of the playlists' profile.
    pub playlist_profile: Option<String>,
    /// When playlists are read again; `None` is only when asked.
    pub refresh: Option<Timing>,
    /// Sources that are tried at once when they are put in order.
    pub auto_prioritize_workers: usize,
    /// Who we are to the playlists' servers, unless a playlist says. Empty: ourselves.
    pub user_agent: String,
    /// Which servers are believed.
    pub trust: Arc<Trust>,
    /// Encodes slates.
    pub ffmpeg: OsString,
    /// Where slates are kept over a restart. It is made when needed; `None` keeps them in memory only.
    pub slates: Option<PathBuf>,
    /// Whether and how what children say is logged.
    pub passthrough: Option<Passthrough>,
    /// This program's own binary, for starting children. `/proc/self/exe` stays right when the file is replaced.
    pub trampoline: PathBuf,
    /// What is told of this machine and of the settings.
    pub about: Arc<About>,
}

/// What is told of this machine and of the settings to whoever runs the server.
#[derive(Clone, Default, Debug)]
pub struct About {
    /// What was found on this machine when the program started, a line each.
    pub check: Vec<String>,
    /// Every setting, as it may be shown.
    pub settings: Vec<SettingNow>,
    /// The last lines of the log.
    pub log: Arc<LogTail>,
}

/// A setting, as it may be shown.
#[derive(Clone, Debug)]
pub struct SettingNow {
    /// Its name in the environment.
    pub name: &'static str,
    /// What is used.
    pub value: String,
    /// What is used when nobody says anything.
    pub default: &'static str,
    /// Who said so.
    pub from: String,
    /// What it does.
    pub help: &'static str,
}

impl SettingNow {
    /// Whether something else than the default is used.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.value != self.default
    }
}

/// What runs already and control works with.
pub struct Parts {
    /// Where the cores' requests come in. Its ports are the cores' alone.
    pub inbox: Inbox,
    /// The cores' mailboxes, in order.
    pub mailboxes: Vec<Mailbox>,
    /// The store. Control closes it.
    pub store: Store,
    /// The process's clock.
    pub clock: Clock,
    /// The enabled channels with their enabled sources, as the cores have them. Whoever asks before they are read again sees these.
    pub listed: Vec<ChannelRecord>,
}

/// A port for datagrams.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listen {
    /// The port.
    pub port: u16,
    /// The one address of ours that is used. `None` is every one.
    pub only: Option<IpAddr>,
}

/// How UPnP clients find this tuner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Upnp {
    /// Where they search.
    pub listen: Listen,
    /// How often they are told that we are here. `None` is never.
    pub notify_interval: Option<Duration>,
    /// How long they may believe it.
    pub max_age: Duration,
}

/// What `discover.json` says.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The name people see.
    pub friendly_name: String,
    /// Eight hexadecimal digits.
    pub device_id: String,
    /// An opaque word.
    pub device_auth: String,
    /// Tuners.
    pub tuner_count: usize,
}

impl Identity {
    /// Who the device is to UPnP: always the same for the same device id.
    #[must_use]
    pub fn udn(&self) -> String {
        let named = format!("{UDN_NAMESPACE}{}", self.device_id.to_ascii_uppercase());
        let digest: [u8; 20] = Sha1::digest(named.as_bytes()).into();
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        // Version 5, made of a name, in the variant of RFC 9562.
        id[6] = id[6] & 0x0F | 0x50;
        id[8] = id[8] & 0x3F | 0x80;
        let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let (low, mid, high, clock) = (&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20]);
        format!("uuid:{low}-{mid}-{high}-{clock}-{}", &hex[20..])
    }
}

/// Name and password of the administrator.
#[derive(Clone)]
pub struct AdminAuth {
    /// The name.
    pub user: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for AdminAuth {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AdminAuth").finish_non_exhaustive()
    }
}

/// How much one client may ask of what is no stream.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct RateLimit {
    /// Requests a second, for long.
    pub per_second: f64,
    /// Requests at once.
    pub burst: u32,
    /// Clients that are remembered.
    pub clients_max: usize,
}

/// The programme guides that make up the one that is served.
#[derive(Clone, Debug, Default)]
pub struct Guides {
    /// Where they are kept. It is made when needed; `None` is no guide at all.
    pub folder: Option<PathBuf>,
    /// Besides those that playlists name, and before them.
    pub sources: Vec<GuideSource>,
    /// How often they are read again; `None` is only when they, or who names them, are new.
    pub refresh: Option<Duration>,
    /// Channels of which no guide knows anything get programmes with their name.
    pub has_placeholders: bool,
}

/// A programme guide.
#[derive(Clone)]
pub struct GuideSource {
    /// Its address, as that of a playlist. May hold credentials.
    pub url: String,
    /// By how many seconds its programmes are put later.
    pub shift_seconds: i64,
}

impl fmt::Debug for GuideSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("GuideSource(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_the_same_name_for_ever() {
        for (device_id, udn) in [
            ("1234ABCD", "uuid:8d15d7f0-5d4f-5ec8-b7c2-9d5dd6acc7f4"),
            ("1234abcd", "uuid:8d15d7f0-5d4f-5ec8-b7c2-9d5dd6acc7f4"),
        ] {
            let identity = Identity {
                friendly_name: String::new(),
                device_id: device_id.to_owned(),
                device_auth: String::new(),
                tuner_count: 1,
            };
            assert_eq!(identity.udn(), udn);
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let auth = AdminAuth { user: "root".to_owned(), password: "hunter2".to_owned() };
        assert!(!format!("{auth:?}").contains("hunter2"));
    }
}
