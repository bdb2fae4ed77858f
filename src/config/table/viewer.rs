//! What viewers get, and how long sessions last.

use std::time::Duration;

use crate::base::limits::SEND_BYTES_MAX;

use super::super::setting::{Group, Kind, SPAN, SPAN_SOME, Setting};
use super::super::words::{SlowPolicy, Word as _, ZeroCopy};

/// A mebibyte.
const MIB: i64 = 1_048_576;

/// From one send of seven packets, the least that fills a network packet, to the most that one send takes.
const EGRESS: Kind = Kind::Whole { min: 1_316, max: 262_144 };
const _: () = assert!(SEND_BYTES_MAX == 262_144);

pub(super) const BUFFER: Group = Group {
    heading: "Ring",
    settings: &[
        Setting {
            env: "BUFFER_CHUNK_BYTES",
            flag: "buffer-chunk-bytes",
            default: "65536",
            kind: Kind::Whole { min: 1, max: 16 * MIB },
            help: "Bytes after which a chunk is published.",
        },
        Setting {
            env: "BUFFER_PUBLISH_FLUSH_INTERVAL",
            flag: "buffer-publish-flush-interval",
            default: "20ms",
            kind: SPAN_SOME,
            help: "How long read bytes may wait to fill a chunk.",
        },
        Setting {
            env: "BUFFER_TS_ALIGN_188",
            flag: "buffer-ts-align-188",
            default: "true",
            kind: Kind::Switch,
            help: "Whether chunks hold whole packets only.",
        },
    ],
};

pub(super) const SUBSCRIBERS: Group = Group {
    heading: "Viewers",
    settings: &[
        Setting {
            env: "STREAM_ALLOW",
            flag: "stream-allow",
            default: "",
            kind: Kind::Special("a list of addresses and ranges such as 192.168.0.0/16,fd00::/8, or nothing"),
            help: "Who may watch besides this host; nothing is everybody.",
        },
        Setting {
            env: "STREAM_TOKEN",
            flag: "stream-token",
            default: "",
            kind: Kind::Private("up to 256 printable ASCII characters"),
            help: "What a stream's address has to carry, as ?token=. A lineup that is asked for with it names addresses with it.",
        },
        Setting {
            env: "STREAM_MAX_PER_ADDRESS",
            flag: "stream-max-per-address",
            default: "0",
            kind: Kind::Whole { min: 0, max: 1_000_000 },
            help: "Streams of one address, other than of this host; 0 is no limit.",
        },
        Setting {
            env: "VIEWERS_MAX",
            flag: "viewers-max",
            default: "0",
            kind: Kind::Whole { min: 0, max: 1_000_000 },
            help: "Viewers of all channels together; 0 is no limit.",
        },
        Setting {
            env: "SUBSCRIBER_JOIN_LAG_BYTES",
            flag: "subscriber-join-lag-bytes",
            default: "8388608",
            kind: Kind::Whole { min: 0, max: 1_024 * MIB },
            help: "How far behind live a viewer starts, which fills its player's buffer at once; 0 is live. Each live channel holds a little more than this in memory.",
        },
        Setting {
            env: "SUBSCRIBER_SLOW_CLIENT_POLICY",
            flag: "subscriber-slow-client-policy",
            default: "disconnect",
            kind: Kind::Choice(SlowPolicy::CHOICES),
            help: "What becomes of a viewer who falls behind the ring.",
        },
        Setting {
            env: "SUBSCRIBER_MAX_BLOCKED_WRITE",
            flag: "subscriber-max-blocked-write",
            default: "6s",
            kind: SPAN,
            help: "How long a viewer may take nothing at all before it is let go; 0 turns it off.",
        },
    ],
};

pub(super) const SESSIONS: Group = Group {
    heading: "Sessions",
    settings: &[
        Setting {
            env: "SESSION_IDLE_TIMEOUT",
            flag: "session-idle-timeout",
            default: "5s",
            kind: SPAN,
            help: "How long a channel goes on after its last viewer left; 0 ends it at once.",
        },
        Setting {
            env: "SESSION_DRAIN_TIMEOUT",
            flag: "session-drain-timeout",
            default: "2s",
            kind: SPAN_SOME,
            help: "How long closing a source may take.",
        },
        Setting {
            env: "SESSION_MAX_SUBSCRIBERS",
            flag: "session-max-subscribers",
            default: "0",
            kind: Kind::Whole { min: 0, max: 1_000_000 },
            help: "Viewers per channel; 0 is no limit.",
        },
        Setting {
            env: "SESSION_HISTORY_LIMIT",
            flag: "session-history-limit",
            default: "0",
            kind: Kind::Whole { min: 0, max: 65_536 },
            help: "Ended sessions that are remembered; 0 is 256.",
        },
        Setting {
            env: "SESSION_SOURCE_HISTORY_LIMIT",
            flag: "session-source-history-limit",
            default: "0",
            kind: Kind::Whole { min: 0, max: 65_536 },
            help: "Sources remembered per session, from 16 to 4096; 0 is as many as sessions.",
        },
        Setting {
            env: "SESSION_SUBSCRIBER_HISTORY_LIMIT",
            flag: "session-subscriber-history-limit",
            default: "0",
            kind: Kind::Whole { min: 0, max: 65_536 },
            help: "Viewers remembered per session, from 16 to 4096; 0 is as many as sessions.",
        },
        Setting {
            env: "SOURCE_HEALTH_DRAIN_TIMEOUT",
            flag: "source-health-drain-timeout",
            default: "0",
            kind: SPAN,
            help: "How long the end of a session waits for its sources' health to be stored; 0 is 250ms.",
        },
    ],
};

pub(super) const TUNERS: Group = Group {
    heading: "Tuners",
    settings: &[
        Setting {
            env: "TUNER_COUNT",
            flag: "tuner-count",
            default: "2",
            kind: Kind::Whole { min: 1, max: 65_536 },
            help: "Sources that may be open at once. Providers count connections: take what yours allows.",
        },
        Setting {
            env: "PREEMPT_SETTLE_DELAY",
            flag: "preempt-settle-delay",
            default: "500ms",
            kind: SPAN,
            help: "How long a freed tuner rests, for providers that notice late that a connection has ended.",
        },
        Setting {
            env: "TUNE_WAIT",
            flag: "tune-wait",
            default: "3s",
            kind: Kind::Span { min: Duration::ZERO, max: Duration::from_secs(30) },
            help: "How long a request waits for a tuner when all are in use: whoever changes the channel often asks for \
                the next one before the last connection is closed; 0 refuses at once.",
        },
        Setting {
            env: "TUNE_BACKOFF_MAX_TUNES",
            flag: "tune-backoff-max-tunes",
            default: "8",
            kind: Kind::Whole { min: 0, max: 10_000 },
            help: "Failed tunes of one channel after which it is refused for a while; 0 turns it off.",
        },
        Setting {
            env: "TUNE_BACKOFF_INTERVAL",
            flag: "tune-backoff-interval",
            default: "1m",
            kind: SPAN,
            help: "The time within which failed tunes are counted.",
        },
        Setting {
            env: "TUNE_BACKOFF_COOLDOWN",
            flag: "tune-backoff-cooldown",
            default: "20s",
            kind: SPAN,
            help: "How long the channel is then refused.",
        },
    ],
};

pub(super) const PROBES: Group = Group {
    heading: "Probes",
    settings: &[
        Setting {
            env: "PROBE_INTERVAL",
            flag: "probe-interval",
            default: "0",
            kind: SPAN,
            help: "How often sources are tried in the background; 0 turns it off.",
        },
        Setting {
            env: "PROBE_TIMEOUT",
            flag: "probe-timeout",
            default: "3s",
            kind: SPAN_SOME,
            help: "How long one such trial may take.",
        },
        Setting {
            env: "AUTO_PRIORITIZE_PROBE_TUNE_DELAY",
            flag: "auto-prioritize-probe-tune-delay",
            default: "1s",
            kind: SPAN,
            help: "The pause after each trial that held a tuner.",
        },
        Setting {
            env: "AUTO_PRIORITIZE_WORKERS",
            flag: "auto-prioritize-workers",
            default: "2",
            kind: Kind::Special("auto, or a whole number from 1 to 64"),
            help: "Sources that are tried at once when they are put in order, one on each core at most; auto is one for each tuner.",
        },
    ],
};

pub(super) const ENGINE: Group = Group {
    heading: "Engine",
    settings: &[
        Setting {
            env: "CORES",
            flag: "cores",
            default: "auto",
            kind: Kind::Special("auto, or a whole number from 1 to 64"),
            help: "Threads that send; the viewers of one channel are on all of them, its memory is there once. auto is one for each processor that the process may run on (taskset, cpuset), and no more than its container's share of processor time allows.",
        },
        Setting {
            env: "ZERO_COPY",
            flag: "zero-copy",
            default: "auto",
            kind: Kind::Choice(ZeroCopy::CHOICES),
            help: "How the ring is sent without copying it: send-zc has the network card read it, which halves the cost for viewers on other hosts; sendfile is the cheapest for those on this one where many watch a channel; auto sees which is which.",
        },
        Setting {
            env: "RING_MEMORY_BYTES",
            flag: "ring-memory-bytes",
            default: "0",
            kind: Kind::Whole { min: 0, max: 1_048_576 * MIB },
            help: "Memory for the rings of all channels together; 0 is half of what this host or container has.",
        },
        Setting {
            env: "EGRESS_BYTES",
            flag: "egress-bytes",
            default: "65048",
            kind: EGRESS,
            help: "Bytes that gather for a viewer before they are sent, in whole packets. The default is what the network stack takes as one unit.",
        },
        Setting {
            env: "EGRESS_DELAY",
            flag: "egress-delay",
            default: "100ms",
            kind: Kind::Span { min: Duration::ZERO, max: Duration::from_secs(5) },
            help: "How long bytes may wait for more to gather.",
        },
        Setting {
            env: "EGRESS_DELAY_MAX",
            flag: "egress-delay-max",
            default: "200ms",
            kind: Kind::Span { min: Duration::ZERO, max: Duration::from_secs(5) },
            help: "How long they may wait while the core is busy, when up to twice EGRESS_BYTES gather; no less than EGRESS_DELAY.",
        },
    ],
};
