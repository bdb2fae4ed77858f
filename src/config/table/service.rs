//! What the network sees, and what is kept.

use std::time::Duration;

use super::super::setting::{Group, Kind, SPAN, SPAN_SOME, Setting};
use super::super::words::{LogFormat, Word as _};

/// A mebibyte.
const MIB: i64 = 1_048_576;

pub(super) const HTTP: Group = Group {
    heading: "HTTP",
    settings: &[
        Setting {
            env: "HTTP_ADDR",
            flag: "http-addr",
            default: ":5004",
            kind: Kind::Special("an address such as :5004, 192.0.2.7:5004 or [::1]:5004"),
            help: "Where to listen; without a host, everywhere.",
        },
        Setting {
            env: "HTTP_ADDR_LEGACY",
            flag: "http-addr-legacy",
            default: "",
            kind: Kind::Special("an address such as :80, or nothing"),
            help: "A second place to listen, for clients that know only port 80.",
        },
        Setting {
            env: "REQUEST_TIMEOUT",
            flag: "request-timeout",
            default: "15s",
            kind: SPAN,
            help: "How long an answer other than a stream may take; 0 turns it off.",
        },
        Setting {
            env: "RATE_LIMIT_RPS",
            flag: "rate-limit-rps",
            default: "8",
            kind: Kind::Real { min: 0.0, max: 1_000_000.0 },
            help: "Requests per second, other than for streams, that one client may make for long; 0 turns it off.",
        },
        Setting {
            env: "RATE_LIMIT_BURST",
            flag: "rate-limit-burst",
            default: "32",
            kind: Kind::Whole { min: 0, max: 1_000_000 },
            help: "Requests that one client may make at once.",
        },
        Setting {
            env: "RATE_LIMIT_MAX_CLIENTS",
            flag: "rate-limit-max-clients",
            default: "4096",
            kind: Kind::Whole { min: 0, max: 1_000_000 },
            help: "Clients whose rate is remembered; 0 is the most there can be, 1000000.",
        },
        Setting {
            env: "RATE_LIMIT_TRUSTED_PROXIES",
            flag: "rate-limit-trusted-proxies",
            default: "",
            kind: Kind::Special("a list of addresses and ranges such as 127.0.0.1,10.0.0.0/8"),
            help: "The proxies whose Forwarded headers are believed.",
        },
        Setting {
            env: "ENABLE_METRICS",
            flag: "enable-metrics",
            default: "false",
            kind: Kind::Switch,
            help: "Whether /metrics answers.",
        },
    ],
};

pub(super) const ADMIN: Group = Group {
    heading: "Administration",
    settings: &[
        Setting {
            env: "ADMIN_AUTH",
            flag: "admin-auth",
            default: "",
            kind: Kind::Private("user:password"),
            help: "Who may administer. Without it, only this host may, as localhost or by its own name.",
        },
        Setting {
            env: "ADMIN_JSON_BODY_LIMIT_BYTES",
            flag: "admin-json-body-limit-bytes",
            default: "1048576",
            kind: Kind::Whole { min: 1, max: 64 * MIB },
            help: "The largest request body of the admin routes.",
        },
    ],
};

pub(super) const DISCOVERY: Group = Group {
    heading: "Discovery",
    settings: &[
        Setting {
            env: "FRIENDLY_NAME",
            flag: "friendly-name",
            default: "HDHR IPTV",
            kind: Kind::Special("up to 256 bytes of text without control characters"),
            help: "What clients call this tuner. Given once, it is remembered.",
        },
        Setting {
            env: "DEVICE_ID",
            flag: "device-id",
            default: "",
            kind: Kind::Special("eight hexadecimal digits, or nothing"),
            help: "Which HDHomeRun this is. Made up and remembered when not given.",
        },
        Setting {
            env: "DEVICE_AUTH",
            flag: "device-auth",
            default: "",
            kind: Kind::Private("up to 256 printable ASCII characters"),
            help: "The token that discovery hands out. Made up and remembered when not given.",
        },
        Setting {
            env: "LINEUP_MAX",
            flag: "lineup-max",
            default: "480",
            kind: Kind::Whole { min: 0, max: 100_000 },
            help: "Channels in the lineup: Plex fails above about 480; 0 is all.",
        },
        Setting {
            env: "GUIDE_URL",
            flag: "guide-url",
            default: "",
            kind: Kind::Private("an http:// or https:// address, or nothing"),
            help: "The programme guide (XMLTV) that /lineup.m3u names instead of our own; whoever reads that reads this.",
        },
        Setting {
            env: "GUIDE_URLS",
            flag: "guide-urls",
            default: "",
            kind: Kind::Private("url=…[,shift=…] entries separated by semicolons, or nothing"),
            help: "Programme guides (XMLTV) for /guide.xml, besides those that the playlist names.",
        },
        Setting {
            env: "GUIDE_REFRESH_INTERVAL",
            flag: "guide-refresh-interval",
            default: "6h",
            kind: SPAN,
            help: "How often programme guides are read again; 0 is only when something is new.",
        },
        Setting {
            env: "GUIDE_PLACEHOLDERS",
            flag: "guide-placeholders",
            default: "false",
            kind: Kind::Switch,
            help: "Whether channels without a guide get programmes with their name.",
        },
        Setting {
            env: "HDHR_DISCOVERY_ENABLED",
            flag: "hdhr-discovery-enabled",
            default: "true",
            kind: Kind::Switch,
            help: "Whether HDHomeRun clients find this tuner.",
        },
        Setting {
            env: "HDHR_DISCOVERY_ADDR",
            flag: "hdhr-discovery-addr",
            default: ":65001",
            kind: Kind::Special("an address such as :65001 or 192.0.2.7:65001"),
            help: "Where HDHomeRun clients look for tuners; with an address, only there.",
        },
        Setting {
            env: "UPNP_ENABLED",
            flag: "upnp-enabled",
            default: "true",
            kind: Kind::Switch,
            help: "Whether UPnP clients find this tuner.",
        },
        Setting {
            env: "UPNP_ADDR",
            flag: "upnp-addr",
            default: ":1900",
            kind: Kind::Special("an address such as :1900 or 192.0.2.7:1900"),
            help: "Where UPnP searches arrive; with an address, only there.",
        },
        Setting {
            env: "UPNP_NOTIFY_INTERVAL",
            flag: "upnp-notify-interval",
            default: "5m",
            kind: SPAN,
            help: "How often the network is told that this tuner is here; 0 turns it off.",
        },
        Setting {
            env: "UPNP_MAX_AGE",
            flag: "upnp-max-age",
            default: "30m",
            kind: Kind::Span { min: Duration::from_secs(1), max: Duration::from_secs(31 * 24 * 3_600) },
            help: "How long others may believe that.",
        },
        Setting {
            env: "UPNP_CONTENT_DIRECTORY_UPDATE_ID_CACHE_TTL",
            flag: "upnp-content-directory-update-id-cache-ttl",
            default: "1s",
            kind: SPAN_SOME,
            help: "How long the answer to GetSystemUpdateID is reused.",
        },
    ],
};

pub(super) const CATALOG: Group = Group {
    heading: "Catalog",
    settings: &[
        Setting {
            env: "PLAYLIST_URL",
            flag: "playlist-url",
            default: "",
            kind: Kind::Private("an http://, https://, file:// or xtream:// address, or nothing"),
            help: "The playlist.",
        },
        Setting {
            env: "PLAYLIST_PROFILE",
            flag: "playlist-profile",
            default: "",
            kind: Kind::Special("the name of a profile, or nothing"),
            help: "The profile of all sources of the playlists that have none of their own, and whose channel has none.",
        },
        Setting {
            env: "PLAYLIST_SOURCES",
            flag: "playlist-sources",
            default: "",
            kind: Kind::Private(
                "url=…,tuners=…[,name=…][,user_agent=…][,enabled=…], several separated by semicolons",
            ),
            help: "Further playlists, each with its own tuners: a place for each stream that its provider allows at once.",
        },
        Setting {
            env: "REFRESH_SCHEDULE",
            flag: "refresh-schedule",
            default: "",
            kind: Kind::Special("a cron expression of five or six fields, @daily and its like, or nothing"),
            help: "When the playlists are fetched again.",
        },
        Setting {
            env: "REFRESH_INTERVAL",
            flag: "refresh-interval",
            default: "",
            kind: Kind::Special("a duration that divides an hour or a day into whole minutes, or nothing"),
            help: "The same as an interval; give one of the two.",
        },
        Setting {
            env: "TRADITIONAL_GUIDE_START",
            flag: "traditional-guide-start",
            default: "100",
            kind: Kind::Whole { min: 1, max: 9_999 },
            help: "The first channel number that is given out.",
        },
        Setting {
            env: "CATALOG_SEARCH_MAX_TERMS",
            flag: "catalog-search-max-terms",
            default: "12",
            kind: Kind::Whole { min: 0, max: 256 },
            help: "Words of a search that count; 0 is 12.",
        },
        Setting {
            env: "CATALOG_SEARCH_MAX_DISJUNCTS",
            flag: "catalog-search-max-disjuncts",
            default: "6",
            kind: Kind::Whole { min: 0, max: 128 },
            help: "Alternatives of a search that count; 0 is 6.",
        },
        Setting {
            env: "CATALOG_SEARCH_MAX_TERM_RUNES",
            flag: "catalog-search-max-term-runes",
            default: "64",
            kind: Kind::Whole { min: 0, max: 256 },
            help: "Characters of a word that count; 0 is 64.",
        },
    ],
};

pub(super) const PROCESS: Group = Group {
    heading: "Process",
    settings: &[
        Setting {
            env: "DB_PATH",
            flag: "db-path",
            default: "./hdhr-iptv.db",
            kind: Kind::Special("a path"),
            help: "The database. What else must be kept lies beside it.",
        },
        Setting {
            env: "LOG_LEVEL",
            flag: "log-level",
            default: "info",
            kind: Kind::Choice(log::LevelFilter::CHOICES),
            help: "The least important messages that are logged.",
        },
        Setting {
            env: "LOG_FORMAT",
            flag: "log-format",
            default: "logfmt",
            kind: Kind::Choice(LogFormat::CHOICES),
            help: "How the log is written.",
        },
    ],
};
