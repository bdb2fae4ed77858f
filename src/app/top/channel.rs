//! One channel that is open, in words.

use std::time::Duration;

use tunerd::status::words::{Mark, count, failure, long, spelled, why_left};

use super::document::{Document, Listed, Millis, SourceList, Tuner, Window};

/// A stretch of the timeline: from how long ago to how long ago.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Stretch {
    pub(super) source: i64,
    pub(super) from: Duration,
    pub(super) to: Duration,
    pub(super) is_slate: bool,
}

/// A channel that is open.
#[derive(Clone, Debug)]
pub(crate) struct Channel {
    tuner: Tuner,
    windows: Vec<Window>,
    viewers: usize,
    now: Millis,
}

impl Channel {
    /// Those of a document, by their numbers. A source that is tried in the background is none.
    pub(super) fn all(document: &Document) -> Vec<Self> {
        let tuners = document.tuners.iter().filter(|tuner| tuner.kind.as_str() != "probe");
        let mut channels: Vec<_> = tuners
            .map(|tuner| {
                let id = tuner.channel_id;
                let mut sessions = document.session_history.iter();
                let session = sessions.find(|session| session.active && session.channel_id == id);
                Self {
                    tuner: tuner.clone(),
                    windows: session.map(|session| session.sources.clone()).unwrap_or_default(),
                    viewers: document.client_streams.iter().filter(|row| row.channel_id == id).count(),
                    now: document.generated_at,
                }
            })
            .collect();
        channels.sort_by(|one, other| {
            let key = |channel: &Self| channel.number().parse::<f64>().unwrap_or(f64::MAX);
            key(one).total_cmp(&key(other)).then_with(|| one.number().cmp(other.number()))
        });
        channels
    }

    /// 0 before its session is there.
    pub(super) const fn id(&self) -> i64 {
        self.tuner.channel_id
    }

    pub(super) fn number(&self) -> &str {
        self.tuner.guide_number.as_str()
    }

    pub(super) fn name(&self) -> &str {
        self.tuner.guide_name.as_str()
    }

    pub(super) const fn viewers(&self) -> usize {
        self.viewers
    }

    pub(super) const fn recoveries(&self) -> u64 {
        self.tuner.recovery_cycle
    }

    pub(super) const fn bits_per_second(&self) -> u64 {
        self.tuner.current_bitrate_bps
    }

    /// Whether its number or name has this in it.
    pub(super) fn is_called(&self, part: &str) -> bool {
        let part = part.to_lowercase();
        self.number().contains(&part) || self.name().to_lowercase().contains(&part)
    }

    pub(super) fn mark(&self) -> Mark {
        match self.tuner.activity.as_str() {
            "playing" => Mark::Playing,
            "recovering" => Mark::Recovering,
            "idle" | "ending" => Mark::Idle,
            _starting => Mark::Starting,
        }
    }

    fn ago(&self, time: Millis) -> Option<Duration> {
        time.before(self.now)
    }

    /// Since when viewers see the slate, if they do.
    fn slate(&self) -> Option<Duration> {
        let keepalive = !self.tuner.recovery_keepalive_mode.is_empty();
        keepalive.then(|| self.ago(self.tuner.recovery_keepalive_started_at))?
    }

    /// Its state in a few words.
    pub(super) fn state(&self) -> String {
        let said = |word: &str, since: Option<Duration>| {
            since.map_or_else(|| word.to_owned(), |since| format!("{word} {}", long(since)))
        };
        let tuner = &self.tuner;
        match self.mark() {
            Mark::Playing => said("playing", self.ago(tuner.last_source_selected_at)),
            Mark::Starting => {
                let since = self.ago(tuner.session_started_at).or_else(|| self.ago(tuner.lease_started_at));
                said("starting", since)
            }
            Mark::Recovering => self
                .slate()
                .map_or_else(|| "changing source".to_owned(), |since| said("slate for", Some(since))),
            Mark::Idle => "nobody watches".to_owned(),
        }
    }

    /// Its state in a sentence.
    pub(super) fn sentence(&self) -> String {
        let left = why_left(self.tuner.recovery_reason.as_str());
        match (self.mark(), self.slate()) {
            (Mark::Playing, _) => self.state(),
            (Mark::Starting, _) => format!("{}: waiting for a picture", self.state()),
            (Mark::Recovering, Some(since)) => {
                format!("viewers see the slate since {}: the source {left}", long(since))
            }
            (Mark::Recovering, None) => format!("the source {left}; another one is tried"),
            (Mark::Idle, _) => "nobody watches; closes soon".to_owned(),
        }
    }

    /// What its stream is made of.
    pub(super) fn stream(&self) -> String {
        let tuner = &self.tuner;
        let mut words = Vec::new();
        if let Some((_, height)) = tuner.resolution.as_str().split_once('x') {
            let rate = if tuner.frame_rate > 0.0 { format!("{}", tuner.frame_rate) } else { String::new() };
            words.push(format!("{height}p{rate}"));
        }
        let codecs = [&tuner.video_codec, &tuner.audio_codec];
        let codecs: Vec<_> = codecs.into_iter().map(|codec| spelled(codec.as_str())).collect();
        let codecs: Vec<_> = codecs.into_iter().filter(|codec| !codec.is_empty()).collect();
        words.extend((!codecs.is_empty()).then(|| codecs.join(" · ")));
        words.join(" ")
    }

    /// The address of the source that is shown, without what is secret in it.
    pub(super) fn address(&self) -> &str {
        self.tuner.source_stream_url.as_str()
    }

    /// The source that is shown.
    pub(super) const fn source(&self) -> i64 {
        self.tuner.source_id
    }

    /// How often this session has lost a source because it was bad.
    pub(super) fn losses(&self, source: i64) -> usize {
        let followed = self.windows.iter().zip(self.windows.iter().skip(1));
        let is_bad = |why: &str| !why_left(why).starts_with("was left because somebody");
        followed
            .filter(|(window, next)| window.source_id == source && is_bad(next.selection_reason.as_str()))
            .count()
    }

    /// What was shown when, in this session.
    pub(super) fn timeline(&self) -> Vec<Stretch> {
        let ago = |time: Millis| self.ago(time).unwrap_or_default();
        let mut stretches: Vec<_> = self
            .windows
            .iter()
            .map(|window| Stretch {
                source: window.source_id,
                from: ago(window.selected_at),
                to: ago(window.deselected_at),
                is_slate: false,
            })
            .collect();
        let tuner = &self.tuner;
        if let (Some(from), Some(last)) =
            (self.ago(tuner.recovery_keepalive_started_at), self.windows.last().map(|last| last.source_id))
        {
            // One that runs has no end, and that of the one before is older than its begin.
            let has_ended = tuner.recovery_keepalive_stopped_at >= tuner.recovery_keepalive_started_at;
            let to = if has_ended { ago(tuner.recovery_keepalive_stopped_at) } else { Duration::ZERO };
            stretches.push(Stretch { source: last, from, to, is_slate: true });
        }
        stretches
    }

    /// The switches from source to source, newest first: how long ago, to which, and why.
    pub(super) fn switches(&self) -> impl Iterator<Item = (Duration, i64, String)> {
        self.windows.iter().rev().filter_map(|window| {
            let ago = self.ago(window.selected_at)?;
            let why = if window.selection_reason.as_str() == "initial_startup" {
                "at the start".to_owned()
            } else {
                format!("because the one before {}", why_left(window.selection_reason.as_str()))
            };
            Some((ago, window.source_id, why))
        })
    }

    /// The seconds since 1970.
    const fn seconds(&self) -> u64 {
        self.now.0 / 1000
    }
}

/// What is known of a channel's sources.
#[derive(Debug)]
pub(crate) struct Known {
    sources: Vec<Listed>,
}

/// How a source is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Health {
    pub(super) short: String,
    pub(super) words: String,
    pub(super) is_bad: bool,
}

impl Known {
    pub(super) fn new(list: SourceList) -> Self {
        Self { sources: list.sources }
    }

    /// The place of a source, as people count, and how many there are.
    pub(super) fn place(&self, source: i64) -> Option<(usize, usize)> {
        let place = self.sources.iter().position(|listed| listed.source_id == source)?;
        Some((place + 1, self.sources.len()))
    }

    /// What a source is called.
    pub(super) fn called(known: Option<&Self>, source: i64) -> String {
        let place = known.and_then(|known| known.place(source));
        place.map_or_else(|| format!("Source #{source}"), |(place, _)| format!("Source {place}"))
    }

    /// Each source with its health.
    pub(super) fn all(&self, channel: &Channel) -> Vec<(i64, &str, Health)> {
        let all = self.sources.iter();
        all.map(|listed| (listed.source_id, listed.tvg_name.as_str(), health(listed, channel))).collect()
    }

    /// How this source is.
    pub(super) fn health(&self, channel: &Channel, source: i64) -> Option<Health> {
        let listed = self.sources.iter().find(|listed| listed.source_id == source)?;
        Some(health(listed, channel))
    }
}

fn health(source: &Listed, channel: &Channel) -> Health {
    let now = channel.seconds();
    let losses = channel.losses(source.source_id);
    let (short, words, is_bad) = match (source.enabled, source.fail_count, losses) {
        (false, ..) => ("off".to_owned(), String::new(), false),
        (true, 0, 0) => ("good".to_owned(), String::new(), false),
        (true, 0, losses) => (format!("lost {}", count(losses, "time", "times")), String::new(), true),
        (true, fails, _) => {
            let short = format!("failed {}", count(fails.try_into().unwrap_or(usize::MAX), "time", "times"));
            let ago = long(Duration::from_secs(now.saturating_sub(source.last_fail_at)));
            let rests = if source.cooldown_until > now {
                format!("; rests another {}", long(Duration::from_secs(source.cooldown_until - now)))
            } else {
                String::new()
            };
            let reason = failure(source.last_fail_reason.as_str());
            (short, format!(", {ago} ago{rests}: {reason}"), true)
        }
    };
    Health { words: format!("{short}{words}"), short, is_bad }
}
