//! What monitoring reads: the same figures as the status document, and what has been counted since the start.
//!
//! Names that begin with `stream_` are those of the reference. Nothing has a label that a client could choose, and of channels and
//! playlists so many are named as [`SERIES_MAX`] says.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::base::Histogram;
use crate::engine::Tallies;
use crate::engine::snapshot::{CoreSnapshot, SessionSnapshot};

use super::tuners::rows;
use super::words;

/// Channels, and playlists, that have series of their own. Of more the first are named, and it is said how many are not.
const SERIES_MAX: usize = 512;
/// The longest label.
const LABEL_CHARS_MAX: usize = 64;
/// Of the reference: how it closed what blocks. Here closing never blocks, and dashboards find their zeros.
const CLOSES: [(&str, &str); 10] = [
    ("started", "Closings of upstream readers that were given a time limit."),
    ("retried", "Deferred closings that were begun."),
    ("suppressed", "Closings that were not begun."),
    ("suppressed_duplicate", "Closings that were not begun because they were under way."),
    ("suppressed_budget", "Closings that were not begun for want of a worker."),
    ("dropped", "Closings that were forgotten because the queue was full."),
    ("timeouts", "Closings that took longer than they might."),
    ("late_completions", "Closings that ended after their time."),
    ("late_abandoned", "Closings that never ended."),
    ("release_underflow", "Closings that gave a worker back twice."),
];

/// What monitoring is told in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MetricsFormat {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The older text format of Prometheus.
    Text,
}

impl MetricsFormat {
    /// Its `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// How a playlist is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlaylistMetrics {
    /// Its number.
    pub id: i64,
    /// Since it was read last.
    pub age: Option<Duration>,
    /// The last try went well.
    pub is_read: bool,
    /// Entries.
    pub items: u64,
}

/// What control has counted and the kernel says of this process.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ControlMetrics {
    /// Wrong passwords.
    pub wrong_passwords: u64,
    /// Requests refused because too many came from one address.
    pub limited: u64,
    /// Requests that ended in a panic.
    pub panics: u64,
    /// The playlists.
    pub playlists: Vec<PlaylistMetrics>,
    /// Seconds of processors.
    pub cpu_seconds: f64,
    /// Memory in use.
    pub resident_bytes: u64,
    /// Descriptors in use.
    pub open_descriptors: u64,
    /// When the process began, in seconds since 1970.
    pub started_at: f64,
}

type Labels = Vec<(&'static str, String)>;

#[derive(Debug)]
enum Values {
    Counters(Vec<(Labels, u64)>),
    Seconds(f64),
    Gauges(Vec<(Labels, f64)>),
    Histograms(Vec<(Labels, Shape)>),
}

/// A histogram whose bounds do not matter any more.
#[derive(Debug)]
struct Shape {
    sum: f64,
    count: u64,
    ranges: Vec<(f64, u64)>,
}

impl<const N: usize> From<&Histogram<N>> for Shape {
    fn from(histogram: &Histogram<N>) -> Self {
        Self { sum: histogram.sum(), count: histogram.count(), ranges: histogram.ranges() }
    }
}

#[derive(Debug)]
struct MetricFamily {
    name: String,
    help: &'static str,
    values: Values,
}

/// All metrics, as they are at one moment.
#[derive(Debug, Default)]
pub struct Metrics(Vec<MetricFamily>);

impl Metrics {
    /// Of all cores, and of control.
    #[must_use]
    pub fn new(cores: &[CoreSnapshot], control: &ControlMetrics) -> Self {
        let mut metrics = Self::default();
        let mut all = Tallies::default();
        for core in cores {
            all.add(&core.tallies);
        }
        metrics.of_the_reference(&all);
        metrics.of_viewers(&all);
        metrics.of_sources(&all);
        metrics.of_tuners(cores);
        metrics.of_cores(cores);
        let sessions: Vec<_> = rows(cores).into_iter().filter_map(|row| row.session).collect();
        metrics.of_channels(&sessions);
        metrics.of_playlists(&control.playlists);
        metrics.of_process(control);
        metrics
    }

    /// As text.
    #[must_use]
    pub fn write(self, format: MetricsFormat) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        encode(&mut text, &registry).expect("writing to memory does not fail");
        match format {
            MetricsFormat::OpenMetrics => text,
            MetricsFormat::Text => older(&text),
        }
    }

    fn add(&mut self, name: &str, help: &'static str, values: Values) {
        self.0.push(MetricFamily { name: name.to_owned(), help, values });
    }

    fn counter(&mut self, name: &str, help: &'static str, value: u64) {
        self.add(name, help, Values::Counters(vec![(Vec::new(), value)]));
    }

    fn gauge(&mut self, name: &str, help: &'static str, value: f64) {
        self.add(name, help, Values::Gauges(vec![(Vec::new(), value)]));
    }

    fn histogram<const N: usize>(&mut self, name: &str, help: &'static str, histogram: &Histogram<N>) {
        self.add(name, help, Values::Histograms(vec![(Vec::new(), histogram.into())]));
    }

    fn by<'a>(
        &mut self,
        name: &str,
        help: &'static str,
        label: &'static str,
        counts: impl Iterator<Item = (&'a str, u64)>,
    ) {
        let counts = counts.map(|(value, count)| (vec![(label, escaped(value))], count));
        self.add(name, help, Values::Counters(counts.collect()));
    }

    fn of_the_reference(&mut self, all: &Tallies) {
        self.counter(
            "stream_slow_skip_events",
            "Viewers moved forward because they were too slow.",
            all.skipped_chunks().count(),
        );
        self.histogram(
            "stream_slow_skip_lag_chunks",
            "Chunks missed by a viewer moved forward.",
            all.skipped_chunks(),
        );
        self.histogram(
            "stream_slow_skip_lag_bytes",
            "Bytes missed by a viewer moved forward.",
            all.skipped_bytes(),
        );
        self.counter(
            "stream_subscriber_write_deadline_timeouts",
            "Viewers ended because their socket took nothing for too long.",
            all.deadline_timeouts(),
        );
        self.counter(
            "stream_subscriber_write_short_writes",
            "Sends of which the socket took a part only.",
            all.short_writes(),
        );
        self.histogram(
            "stream_subscriber_write_blocked_seconds",
            "How long sends waited for room in sockets.",
            all.blocked(),
        );
        for (name, help) in CLOSES {
            self.counter(&format!("stream_close_with_timeout_{name}"), help, 0);
        }
    }

    fn of_viewers(&mut self, all: &Tallies) {
        self.counter("tunerd_viewer_joins", "Viewers who were let in to a channel.", all.joins());
        self.by(
            "tunerd_viewer_ends",
            "Viewers whose stream has ended.",
            "reason",
            all.ends().iter().map(|(reason, count)| (*reason, *count)),
        );
        self.by(
            "tunerd_tune_refusals",
            "Requests for a stream that were refused.",
            "reason",
            all.refusals().iter().map(|(reason, count)| (*reason, *count)),
        );
        self.histogram(
            "tunerd_viewer_first_byte_seconds",
            "How long viewers waited for their first bytes, from their request.",
            all.first_bytes(),
        );
        self.histogram(
            "tunerd_viewer_send_size_bytes",
            "Bytes that a viewer's socket took at once.",
            all.sent_bytes(),
        );
    }

    fn of_sources(&mut self, all: &Tallies) {
        self.counter("tunerd_source_selections", "Sources that began to be shown.", all.selections());
        self.counter(
            "tunerd_source_failures",
            "Sources that could not be started, or failed.",
            all.source_failures(),
        );
        self.by(
            "tunerd_recoveries",
            "Recoveries begun.",
            "reason",
            all.recoveries().iter().map(|(kind, count)| (kind.as_str(), *count)),
        );
        self.histogram(
            "tunerd_recovery_seconds",
            "How long it took until a source showed a picture again.",
            all.recovery_seconds(),
        );
    }

    fn of_tuners(&mut self, cores: &[CoreSnapshot]) {
        let tuners = cores.iter().find_map(|core| core.tuners.as_ref());
        let (count, in_use) = tuners.map_or((0, 0), |tuners| (tuners.count, tuners.in_use));
        self.gauge("tunerd_tuners", "Tuners that there are.", size(count));
        self.gauge("tunerd_tuners_in_use", "Tuners that are granted.", size(in_use));
    }

    fn of_cores(&mut self, cores: &[CoreSnapshot]) {
        let each = |value: &dyn Fn(&CoreSnapshot) -> u64| {
            let values = cores.iter().map(|core| (of_core(core), value(core)));
            Values::Counters(values.collect())
        };
        let ways = |core: &CoreSnapshot| {
            let counters = core.counters;
            let copied = counters.sends.saturating_sub(counters.zero_copy_sends + counters.file_sends);
            [("copy", copied), ("zero_copy", counters.zero_copy_sends), ("file", counters.file_sends)]
        };
        let sends = cores.iter().flat_map(|core| {
            ways(core).map(|(way, count)| {
                (of_core(core).into_iter().chain([("way", way.to_owned())]).collect(), count)
            })
        });
        let sends = Values::Counters(sends.collect());
        self.add("tunerd_core_sends", "Sends to viewers that have ended, by the way out.", sends);
        for (name, help, values) in [
            (
                "tunerd_core_sent_bytes",
                "Bytes that viewers' sockets took, heads of answers included.",
                each(&|core| core.counters.bytes_sent),
            ),
            (
                "tunerd_core_given_bytes",
                "Bytes of pages of rings that were left to the kernel.",
                each(&|core| core.counters.given_bytes),
            ),
            ("tunerd_core_turns", "Turns of the loop.", each(&|core| core.counters.turns)),
            ("tunerd_core_accepted", "Connections accepted.", each(&|core| core.counters.accepted)),
            (
                "tunerd_core_refused",
                "Requests and connections that were refused.",
                each(&|core| core.counters.refused),
            ),
            (
                "tunerd_core_refused_at_bound",
                "Connections closed because there was no place for so many.",
                each(&|core| core.counters.refused_at_bound),
            ),
            (
                "tunerd_core_accept_pauses",
                "How often accepting was paused for want of descriptors or memory.",
                each(&|core| core.counters.accept_pauses),
            ),
            (
                "tunerd_core_queue_full",
                "Messages and operations that found a queue full.",
                each(&|core| core.counters.queue_full),
            ),
        ] {
            self.add(name, help, values);
        }
        let gauges = |value: &dyn Fn(&CoreSnapshot) -> f64| {
            Values::Gauges(cores.iter().map(|core| (of_core(core), value(core))).collect())
        };
        for (name, help, values) in [
            (
                "tunerd_core_connections",
                "Connections that are not viewers.",
                gauges(&|core| size(core.connections)),
            ),
            (
                "tunerd_core_ring_bytes",
                "Memory that the rings of channels take.",
                gauges(&|core| float(core.ring_bytes)),
            ),
            (
                "tunerd_core_turn_longest_seconds",
                "The longest turn of the last half minute to a minute.",
                gauges(&|core| core.turn_longest.as_secs_f64()),
            ),
        ] {
            self.add(name, help, values);
        }
        let turns = cores.iter().map(|core| (of_core(core), core.tallies.turns().into()));
        let turns = Values::Histograms(turns.collect());
        self.add("tunerd_core_turn_seconds", "How long turns of the loop worked.", turns);
    }

    fn of_channels(&mut self, sessions: &[&SessionSnapshot]) {
        let viewers = sessions.iter().map(|session| session.viewers.len()).sum();
        self.gauge("tunerd_sessions", "Channels that are open.", size(sessions.len()));
        self.gauge("tunerd_viewers", "Viewers, those included who wait for a picture.", size(viewers));
        let unnamed = sessions.len().saturating_sub(SERIES_MAX);
        self.gauge(
            "tunerd_channels_unlisted",
            "Open channels that have no series of their own.",
            size(unnamed),
        );
        // Two sessions of one number are one that ends and its successor: the newer one counts.
        let by_number: BTreeMap<&str, &SessionSnapshot> =
            sessions.iter().map(|session| (session.record.guide_number.as_str(), *session)).collect();
        let named: Vec<_> = by_number.into_values().take(SERIES_MAX).collect();
        let gauges = |value: &dyn Fn(&SessionSnapshot) -> f64| {
            Values::Gauges(named.iter().map(|session| (of_channel(session), value(session))).collect())
        };
        let counters = |value: &dyn Fn(&SessionSnapshot) -> u64| {
            Values::Counters(named.iter().map(|session| (of_channel(session), value(session))).collect())
        };
        for (name, help, values) in [
            (
                "tunerd_channel_viewers",
                "Viewers of the channel.",
                gauges(&|session| size(session.viewers.len())),
            ),
            (
                "tunerd_channel_bytes_per_second",
                "Rate of the channel's source over the last four seconds.",
                gauges(&|session| float(session.bitrate_bps) / 8.0),
            ),
            (
                "tunerd_channel_viewer_lag_longest_bytes",
                "What the viewer who is furthest behind has yet to be sent.",
                gauges(&|session| {
                    float(session.viewers.iter().map(|viewer| viewer.lag_bytes).max().unwrap_or(0))
                }),
            ),
            (
                "tunerd_channel_read_bytes",
                "Bytes read from the channel's sources in this session.",
                counters(&|session| session.bytes_read),
            ),
            (
                "tunerd_channel_stalls",
                "Stalls of the channel's sources in this session.",
                counters(&|session| session.recovery.stall_count),
            ),
            (
                "tunerd_channel_recoveries",
                "Recoveries of the channel in this session.",
                counters(&|session| session.recovery.cycle),
            ),
            (
                "tunerd_channel_writer_pauses",
                "How often the channel's writer waited a turn for memory.",
                counters(&|session| session.writer_pauses),
            ),
        ] {
            self.add(name, help, values);
        }
        let holes = named.iter().flat_map(|session| {
            let of = |direction: &str| {
                of_channel(session).into_iter().chain([("direction", direction.to_owned())]).collect()
            };
            let errors = session.continuity;
            [(of("in"), errors.incoming), (of("out"), errors.outgoing)]
        });
        let holes = Values::Counters(holes.collect());
        self.add(
            "tunerd_channel_continuity_errors",
            "Places where packets are missing, in what comes from the channel's sources and in what viewers get, in this session.",
            holes,
        );
        let states = named.iter().flat_map(|session| {
            let is_now = words::activity(session);
            CHANNEL_STATES.map(|state| {
                let labels = of_channel(session).into_iter().chain([("state", state.to_owned())]);
                (labels.collect(), f64::from(u8::from(state == is_now)))
            })
        });
        let states = Values::Gauges(states.collect());
        self.add("tunerd_channel_state", "1 for the state that the channel is in.", states);
    }

    fn of_playlists(&mut self, playlists: &[PlaylistMetrics]) {
        let named = &playlists[..playlists.len().min(SERIES_MAX)];
        let label = |playlist: &PlaylistMetrics| vec![("playlist", playlist.id.to_string())];
        let gauges = |value: &dyn Fn(&PlaylistMetrics) -> Option<f64>| {
            let values = named.iter().filter_map(|playlist| Some((label(playlist), value(playlist)?)));
            Values::Gauges(values.collect())
        };
        for (name, help, values) in [
            (
                "tunerd_playlist_age_seconds",
                "Time since the playlist was read.",
                gauges(&|playlist| Some(playlist.age?.as_secs_f64())),
            ),
            (
                "tunerd_playlist_read",
                "1 when the playlist could be read the last time.",
                gauges(&|playlist| Some(f64::from(u8::from(playlist.is_read)))),
            ),
            (
                "tunerd_playlist_items",
                "Entries of the playlist.",
                gauges(&|playlist| Some(float(playlist.items))),
            ),
        ] {
            self.add(name, help, values);
        }
    }

    fn of_process(&mut self, control: &ControlMetrics) {
        self.counter(
            "tunerd_wrong_passwords",
            "Requests to administration with a wrong password.",
            control.wrong_passwords,
        );
        self.counter(
            "tunerd_requests_limited",
            "Requests refused because too many came from one address.",
            control.limited,
        );
        self.counter("tunerd_request_panics", "Requests that ended in a panic.", control.panics);
        let version = vec![(vec![("version", env!("CARGO_PKG_VERSION").to_owned())], 1.0)];
        self.add("tunerd_build_info", "Which program this is.", Values::Gauges(version));
        self.add("process_cpu_seconds", "Time of processors spent.", Values::Seconds(control.cpu_seconds));
        self.gauge("process_resident_memory_bytes", "Memory in use.", float(control.resident_bytes));
        self.gauge("process_open_fds", "Descriptors in use.", float(control.open_descriptors));
        self.gauge("process_start_time_seconds", "When the process began.", control.started_at);
    }
}

/// Every state of a channel.
const CHANNEL_STATES: [&str; 5] = ["starting", "playing", "recovering", "idle", "ending"];

fn of_core(core: &CoreSnapshot) -> Labels {
    vec![("core", core.core.0.to_string())]
}

fn of_channel(session: &SessionSnapshot) -> Labels {
    vec![("channel", escaped(&session.record.guide_number))]
}

/// A label as both formats write it between quotes.
fn escaped(label: &str) -> String {
    let mut text = String::new();
    for character in label.chars().take(LABEL_CHARS_MAX) {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
    text
}

fn size(count: usize) -> f64 {
    float(u64::try_from(count).unwrap_or(u64::MAX))
}

#[expect(clippy::cast_precision_loss, reason = "exact to nine quadrillion")]
const fn float(count: u64) -> f64 {
    count as f64
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for MetricFamily { name, help, values } in &self.0 {
            let kind = match values {
                Values::Counters(_) | Values::Seconds(_) => MetricType::Counter,
                Values::Gauges(_) => MetricType::Gauge,
                Values::Histograms(_) => MetricType::Histogram,
            };
            // The encoder puts a full stop behind no help of ours: registered metrics alone get one.
            let metric = &mut encoder.encode_descriptor(name, help, None, kind)?;
            match values {
                Values::Counters(series) => each(metric, series, |metric, value| {
                    metric.encode_counter::<NoLabelSet, u64, f64>(value, None)
                })?,
                Values::Seconds(value) => metric.encode_counter::<NoLabelSet, f64, f64>(value, None)?,
                Values::Gauges(series) => {
                    each(metric, series, |metric, value| metric.encode_gauge(value))?;
                }
                Values::Histograms(series) => {
                    each(metric, series, |metric, Shape { sum, count, ranges }| {
                        metric.encode_histogram::<NoLabelSet>(*sum, *count, ranges, None)
                    })?
                }
            }
        }
        Ok(())
    }
}

fn each<V>(
    metric: &mut MetricEncoder<'_>,
    series: &[(Labels, V)],
    write: impl Fn(&mut MetricEncoder<'_>, &V) -> fmt::Result,
) -> fmt::Result {
    for (labels, value) in series {
        if labels.is_empty() {
            write(metric, value)?;
        } else {
            write(&mut metric.encode_family(labels)?, value)?;
        }
    }
    Ok(())
}

/// The same in the older format: there the name of a counter is that of its one series, and nothing marks the end.
fn older(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut help = "";
    for line in text.lines() {
        if line.starts_with("# HELP ") {
            help = line;
            continue;
        }
        if line == "# EOF" {
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, ""));
            let suffix = if kind == "counter" { "_total" } else { "" };
            let said = help.strip_prefix("# HELP ").and_then(|said| said.strip_prefix(name)).unwrap_or("");
            out.push_str(&format!("# HELP {name}{suffix}{said}\n# TYPE {name}{suffix} {kind}\n"));
            continue;
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}
