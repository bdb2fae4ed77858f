//! Sources tried in the background: what the prober asks for is done here.
//!
//! A source that is tried lives in a session that no channel names, so that nobody joins it. Its machine is never
//! asked anything: what happens to it is the prober's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::base::logfmt::Line;
use crate::base::{Instant, redact};
use crate::health::{Action, Candidate, Event, Params, Prober, Ranked, failure_reason};
use crate::lineup::{Channel, ChannelId, Source, SourceId};
use crate::ring::{Lent, Ring};
use crate::session::ProviderScope;
use crate::source::error::SourceError;
use crate::tuner::Kind;
use crate::uring::Driver;

use super::client::SessionKey;
use super::core::Core;
use super::live::LiveSession;
use super::placement::home;
use super::port::TunerMessage;
use super::token::Token;

/// What is tried is never shown, so its ring stays empty.
const RING_BYTES: usize = 1;
const EMPTY_URL: &str = "source stream URL is empty";

/// A core's prober.
pub(crate) struct Probing {
    prober: Prober<ChannelId, SourceId>,
    /// Of the channels of this pass, the guide numbers.
    channels: BTreeMap<ChannelId, String>,
    /// The channel that is to be looked at: one each turn, since viewers do not wait for a long list.
    next: Option<ChannelId>,
    /// Where the source is that is tried, from the question for its tuner on.
    session: Option<SessionKey>,
}

impl Probing {
    pub(crate) fn new(params: Params) -> Self {
        let prober = Prober::new(params, Instant::START);
        Self { prober, channels: BTreeMap::new(), next: None, session: None }
    }

    /// True when the next turn has something to do.
    pub(crate) const fn is_looking(&self) -> bool {
        self.next.is_some()
    }

    pub(crate) const fn next_deadline(&self) -> Option<Instant> {
        self.prober.next_deadline()
    }
}

impl<D: Driver<Memory = Lent, Token = Token>> Core<D> {
    /// True when the session is a source that is tried.
    pub(crate) fn is_probe(&self, session: SessionKey) -> bool {
        self.probing.session == Some(session)
    }

    /// Does what is due.
    pub(crate) fn expire_probing(&mut self) {
        if let Some(channel) = self.probing.next.take() {
            let candidates = self.probe_candidates(channel);
            self.probe_event(candidates);
        }
        if self.probing.next_deadline().is_some_and(|deadline| deadline <= self.now) {
            self.probe_event(Event::Deadline);
        }
    }

    /// Something has happened to the prober. What it asks for may make something happen at once, always by the last
    /// thing that it asks for.
    pub(crate) fn probe_event(&mut self, event: Event<ChannelId, SourceId>) {
        for action in self.probing.prober.handle(self.now, event) {
            self.perform_probe(action);
        }
    }

    fn perform_probe(&mut self, action: Action<ChannelId, SourceId>) {
        match action {
            Action::List => self.list_for_probes(),
            Action::Look(channel) => self.probing.next = Some(channel),
            Action::Lease { channel, source } => self.lease_for_probe(channel, source),
            Action::Start { channel: _, source, timeout } => self.start_probe(source, timeout),
            Action::Stop => {
                if let Some(session) = self.probing.session {
                    self.stop_source(session);
                }
            }
            Action::Release => self.release_probe(),
            Action::RecordOk { channel, source } => {
                log::debug!("{}", Line::new("background source probe succeeded").field("source_id", source));
                self.health_ok(source, channel, None);
            }
            Action::RecordFailure { channel, source, reason } => {
                let reason = failure_reason(None, &redact::text(&reason));
                let line = Line::new("background source probe failed").field("source_id", source);
                log::info!("{}", line.field("channel_id", channel).field("reason", &reason));
                self.health_failed(source, channel, None, &reason);
            }
        }
    }

    fn list_for_probes(&mut self) {
        let here = |channel: &&Arc<Channel>| home(channel.id, self.params.cores) == self.id;
        let channels: Vec<_> = self.lineup.channels().filter(here).cloned().collect();
        let ids = channels.iter().map(|channel| channel.id).collect();
        let named = |channel: &Arc<Channel>| (channel.id, channel.guide_number.clone());
        self.probing.channels = channels.iter().map(named).collect();
        self.probe_event(Event::Channels(ids));
    }

    /// What there is to be tried of a channel; nothing when it is not offered any more.
    fn probe_candidates(&self, channel: ChannelId) -> Event<ChannelId, SourceId> {
        let guide_number = self.probing.channels.get(&channel);
        let offered = guide_number.and_then(|number| self.lineup.find(number));
        let sources = offered.filter(|offered| offered.id == channel).map_or_else(Vec::new, |offered| {
            let candidate = |Ranked { source: place, id, priority, health }: Ranked<usize>| {
                let source = &offered.sources[place];
                let provider = ProviderScope::of(&source.url, source.id.0);
                Candidate {
                    ranked: Ranked { source: source.id, id, priority, health },
                    is_limited: self.providers.free_at(self.now, &provider).is_some(),
                }
            };
            self.health_order(offered).into_iter().map(candidate).collect()
        });
        Event::Candidates {
            is_tuned: self.by_channel.contains_key(&channel),
            wall: self.health.wall_at(self.now),
            sources,
        }
    }

    /// Makes room for the source and asks for its tuner.
    fn lease_for_probe(&mut self, channel: ChannelId, source: SourceId) {
        let offered = self.lineup.source(source).filter(|(offered, _)| offered.id == channel);
        let Some((offered, item)) = offered else { return self.probe_event(Event::Refused) };
        let (offered, label) = (Arc::clone(offered), format!("probe:{}", item.item_key.trim()));
        let has_url = !item.url.trim().is_empty();
        let Ok(ring) = Ring::new(RING_BYTES) else { return self.probe_event(Event::Refused) };
        let id = self.session_id();
        let (params, limits) = (self.params.session, self.params.history);
        let (live, _asks_for_a_tuner) = LiveSession::new(id, offered, params, limits, ring, self.now);
        let Ok(session) = self.sessions.insert(live) else { return self.probe_event(Event::Refused) };
        self.by_id.insert(id, session);
        self.probing.session = Some(session);
        if !has_url {
            // It needs no tuner to fail.
            return self.probe_event(Event::Leased);
        }
        self.tell_tuners(TunerMessage::Request { core: self.id, session: id, label, kind: Kind::Probe });
    }

    /// There is no tuner.
    pub(crate) fn probe_refused(&mut self) {
        self.release_probe();
        self.probe_event(Event::Refused);
    }

    fn start_probe(&mut self, source: SourceId, timeout: Duration) {
        let Some(session) = self.probing.session else { unreachable!("a source is tried where it lives") };
        let sources = self.sessions.get(session).map(|live| &live.channel.sources);
        let source = sources.and_then(|sources| sources.iter().find(|other| other.id == source)).cloned();
        match source {
            // Taken away while the tuner was on its way.
            None => self.probe_event(Event::Preempted),
            Some(source) if source.url.trim().is_empty() => {
                self.probe_event(Event::Failed(EMPTY_URL.to_owned()));
            }
            Some(source) => self.try_source(session, source, String::new(), false, timeout),
        }
    }

    /// The source cannot be used.
    pub(crate) fn probe_failed(&mut self, source: &Source, error: &SourceError) {
        if error.is_overlimit() {
            let provider = ProviderScope::of(&source.url, source.id.0);
            self.providers.arm(self.now, &provider, error.retry_after());
        }
        self.probe_event(Event::Failed(error.reason()));
    }

    /// Forgets where the source lived and gives its tuner back.
    fn release_probe(&mut self) {
        let Some(session) = self.probing.session.take() else { return };
        self.stop_source(session);
        let Some(live) = self.sessions.remove(session) else { return };
        self.by_id.remove(&live.id);
        if let Some(tuner) = live.tuner {
            self.tell_tuners(TunerMessage::Released { tuner });
        }
    }

    /// Nothing more is tried. A tuner that is on its way is given back when it comes.
    pub(crate) fn drain_probing(&mut self) {
        self.probe_event(Event::Drain);
        self.probing.next = None;
        self.release_probe();
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::super::testing::{self, SimCore};
    use super::*;
    use crate::engine::CoreCommand;
    use crate::http::RequestHeaders;
    use crate::lineup::{Health, Lineup, StoredProfile};
    use crate::uring::sim::{Answer, Faults, World};

    const PARAMS: Params = Params {
        interval: Duration::from_secs(10),
        timeout: Duration::from_secs(1),
        tune_delay: Duration::ZERO,
    };
    /// Connections are accepted there, and nothing is said.
    const UNANSWERED: &str = "http://10.0.0.9/";

    /// A core with a channel for each address, numbered from one, that has come to its first pass.
    fn core(urls: &[&str]) -> SimCore {
        let channel = |(id, url): (i64, &&str)| Channel {
            id: ChannelId(id),
            guide_number: id.to_string(),
            name: String::new(),
            sources: vec![Source {
                id: SourceId(id),
                item_key: format!(" item{id} "),
                url: (*url).to_owned(),
                headers: RequestHeaders::NONE,
                program: None,
                priority: 0,
                health: Health::default(),
                profile: StoredProfile::default(),
            }],
        };
        let world = World::new(1, Faults::default());
        world.serve(SocketAddr::from(([10, 0, 0, 9], 80)), Answer::Accept);
        let (mut core, _handle) = testing::core_in(&world);
        core.on_lineup(Arc::new(Lineup::new((1..).zip(urls).map(channel))));
        core.probing = Probing::new(PARAMS);
        for _ in 0..=urls.len() {
            turn(&mut core, 10_000);
        }
        core
    }

    fn turn(core: &mut SimCore, millis: u64) {
        core.turn(Instant::from_millis(millis)).unwrap();
    }

    fn tuners_in_use(core: &SimCore) -> usize {
        core.tuners.as_ref().map_or(0, |tuners| tuners.pool.in_use())
    }

    fn assert_nothing_is_left(core: &SimCore) {
        assert_eq!((core.sessions.count(), core.by_id.len(), tuners_in_use(core)), (0, 0, 0));
    }

    #[test]
    fn sources_that_cannot_even_be_begun_are_remembered_one_channel_each_turn() {
        let core = core(&[" ", "http://host.example/", "nonsense"]);
        let reasons = [1, 2, 3].map(|id| core.health_of(SourceId(id)).last_fail_reason);
        assert_eq!(reasons[0], EMPTY_URL);
        assert!(reasons[1].contains("too many names"), "{reasons:?}");
        assert!(!reasons[2].is_empty());
        assert_nothing_is_left(&core);
        assert!(!core.probing.is_looking());
        assert_eq!(core.probing.next_deadline(), Some(Instant::from_millis(20_000)));
    }

    #[test]
    fn a_source_that_is_tried_is_shown_as_a_tuner_and_not_as_a_session() {
        let core = core(&[UNANSWERED]);
        let snapshot = core.snapshot();
        let leases = snapshot.tuners.unwrap().leases;
        assert_eq!((leases[0].kind, leases[0].label.as_str()), (Kind::Probe, "probe:item1"));
        assert_eq!((leases.len(), snapshot.sessions.len()), (1, 0));
    }

    #[test]
    fn a_source_that_does_not_answer_has_failed_when_its_time_is_up() {
        let mut core = core(&[UNANSWERED]);
        turn(&mut core, 10_999);
        assert_eq!(tuners_in_use(&core), 1);
        turn(&mut core, 11_000);
        assert_eq!(core.health_of(SourceId(1)).fail_count, 1);
        assert_nothing_is_left(&core);
    }

    #[test]
    fn a_source_that_is_taken_away_while_it_is_tried_leaves_nothing_behind() {
        let mut core = core(&[UNANSWERED]);
        core.on_lineup(Arc::new(Lineup::default()));
        turn(&mut core, 11_000);
        assert_nothing_is_left(&core);
        assert_eq!(core.health_of(SourceId(1)), Health::default());
    }

    #[test]
    fn a_stop_ends_what_is_tried_at_once() {
        let mut core = core(&[UNANSWERED]);
        let mailbox = core.cores[0].clone();
        assert!(mailbox.send(CoreCommand::Drain { deadline: Instant::from_millis(60_000) }).is_ok());
        turn(&mut core, 10_001);
        assert_nothing_is_left(&core);
        turn(&mut core, 30_000);
        assert!(core.is_drained());
        assert_nothing_is_left(&core);
    }
}
