//! Sources tried in the background: what the prober asks for is done here.
//!
//! A source that is tried is read as a channel reads one, by an [`Upstream`] of its own, until a start has been found in it.
//! Nothing of it is ever shown.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::logfmt::Line;
use crate::base::{ChildExit, Instant};
use crate::engine::context::cx::{CoreDriver, Cx};
use crate::engine::context::health::Known;
use crate::engine::context::timers::Timer;
use crate::engine::context::token::{SourceOwner, SourceStep};
use crate::engine::port::ids::SessionId;
use crate::engine::port::messages::{ChildRefused, TryOutcome, TryReply, TunerMessage};
use crate::engine::port::placement::home;
use crate::engine::source::upstream::{Completed, Happened, Upstream};
use crate::health::{Action, Candidate, Event, Params, Prober, Ranked, failure_reason};
use crate::http::Via;
use crate::lineup::{self, ChannelId, Source, SourceId};
use crate::ring::Lent;
use crate::session::ProviderScope;
use crate::source::error::SourceError;
use crate::ts::StreamProfile;
use crate::tuner::Kind;
use crate::uring;

/// While another core tries a source, it is asked again after this long whether it still does.
const TURN_AGAIN: Duration = Duration::from_millis(100);
const EMPTY_URL: &str = "source stream URL is empty";

/// A core's prober.
pub(crate) struct Probe {
    prober: Prober<ChannelId, SourceId>,
    /// Of the channels of this pass, the guide numbers.
    channels: BTreeMap<ChannelId, String>,
    /// The channel that is to be looked at: one each turn, since viewers do not wait for a long list.
    next: Option<ChannelId>,
    /// It is another core's turn to try a source: this one asks again then.
    asks_at: Option<Instant>,
    /// It is this one's. What somebody asks for needs none.
    has_turn: bool,
    /// The pause after each trial.
    tune_delay: Duration,
    /// The source that is tried, from the question for its tuner on.
    tried: Option<Tried>,
    /// Whoever has asked for the source that is tried, and what has come of it.
    wish: Option<(TryReply, TryOutcome)>,
    /// How many have been tried: whoever speaks of an earlier one is not heard.
    count: u32,
}

/// A source that is tried.
struct Tried {
    id: SessionId,
    listing: Arc<lineup::Channel>,
    tuner: Option<u16>,
    upstream: Upstream,
}

impl Probe {
    pub(crate) fn new(params: Params) -> Self {
        let prober = Prober::new(params, Instant::START);
        Self {
            prober,
            channels: BTreeMap::new(),
            next: None,
            asks_at: None,
            has_turn: false,
            tune_delay: params.tune_delay,
            tried: None,
            wish: None,
            count: 0,
        }
    }

    /// True when the next turn has something to do.
    pub(crate) const fn is_looking(&self) -> bool {
        self.next.is_some() && self.asks_at.is_none()
    }

    /// A source is being tried.
    pub(crate) const fn is_trying(&self) -> bool {
        self.tried.is_some()
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        // While it waits for its turn the prober itself has none.
        self.asks_at.or(self.prober.next_deadline())
    }

    /// True when the tuners know the source that is tried by this name.
    pub(crate) fn is_named(&self, session: SessionId) -> bool {
        self.tried.as_ref().is_some_and(|tried| tried.id == session)
    }

    const fn owner(&self) -> SourceOwner {
        SourceOwner::Probe(self.count)
    }

    /// Does what is due. `is_tuned` says which channels are watched.
    pub(crate) fn expire<D: CoreDriver>(&mut self, cx: &mut Cx<D>, is_tuned: impl Fn(ChannelId) -> bool) {
        let asks_now = self.asks_at.is_none_or(|at| at <= cx.now);
        if asks_now
            && self.next.is_some()
            && self.begin_turn(cx)
            && let Some(channel) = self.next.take()
        {
            let candidates = self.candidates(cx, channel, is_tuned(channel));
            self.handle(cx, candidates);
            if self.tried.is_none() {
                self.end_turn(cx, Duration::ZERO);
            }
        }
        if self.prober.next_deadline().is_some_and(|deadline| deadline <= cx.now) {
            self.handle(cx, Event::Deadline);
        }
    }

    /// True when a source may be tried now: none is on another core.
    fn begin_turn<D: CoreDriver>(&mut self, cx: &Cx<D>) -> bool {
        if cx.params.cores == 1 || self.has_turn {
            return true;
        }
        self.has_turn = cx.params.trials.begin(cx.id, cx.clock_now());
        self.asks_at = (!self.has_turn).then(|| cx.now + TURN_AGAIN);
        self.has_turn
    }

    /// Another core may try one after this pause.
    fn end_turn<D: CoreDriver>(&mut self, cx: &Cx<D>, pause: Duration) {
        if std::mem::take(&mut self.has_turn) {
            cx.params.trials.end(cx.clock_now() + pause);
        }
    }

    /// Something has happened to the prober. What it asks for may make something happen at once, always by the last thing that it
    /// asks for.
    pub(crate) fn handle<D: CoreDriver>(&mut self, cx: &mut Cx<D>, event: Event<ChannelId, SourceId>) {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            for action in self.prober.handle(cx.now, event) {
                debug_assert!(next.is_none(), "only the last thing makes something happen");
                next = self.perform(cx, action);
            }
        }
        if !self.prober.is_trying()
            && let Some((reply, outcome)) = self.wish.take()
        {
            reply(outcome);
        }
    }

    /// Somebody asks for one source to be tried. It is told at once when that cannot be now.
    pub(crate) fn want<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        channel: ChannelId,
        source: SourceId,
        is_watched: bool,
        reply: TryReply,
    ) {
        let is_offered = cx.lineup.source(source).is_some_and(|(offered, _)| offered.id == channel);
        if is_watched || !is_offered {
            return reply(TryOutcome::Watched);
        }
        if !self.prober.is_free() || self.tried.is_some() || self.wish.is_some() {
            return reply(TryOutcome::Busy);
        }
        self.wish = Some((reply, TryOutcome::Busy));
        self.handle(cx, Event::Wanted { channel, source });
    }

    /// What has come of the source that somebody has asked for.
    fn note(&mut self, outcome: TryOutcome) {
        if let Some((_, noted)) = &mut self.wish {
            *noted = outcome;
        }
    }

    /// What the stream of the source that is tried has told so far.
    fn learn_profile<D: CoreDriver>(&self, cx: &mut Cx<D>) {
        let Some(run) = self.tried.as_ref().and_then(|tried| tried.upstream.run()) else { return };
        let known = run.ingest().scanner().profile();
        let source = run.attempt().source.id;
        let Some((offered, item)) = cx.lineup.source(source) else { return };
        if known.width == 0 || known.height == 0 {
            return;
        }
        let (channel, before) = (offered.id, &item.profile.stream);
        let stream = StreamProfile {
            frame_rate: known.frame_rate.or(before.frame_rate),
            video_codec: known.video_codec.or_else(|| before.video_codec.clone()),
            audio_codec: known.audio_codec.or_else(|| before.audio_codec.clone()),
            // A rate takes longer to be told than a picture.
            bitrate_bps: if known.bitrate_bps > 0 { known.bitrate_bps } else { before.bitrate_bps },
            ..known
        };
        let of = Known { lineup: &cx.lineup, channel, used: None };
        cx.health.looked(cx.now, &of, source, stream);
    }

    /// Does one thing; gives what follows from it at once.
    fn perform<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        action: Action<ChannelId, SourceId>,
    ) -> Option<Event<ChannelId, SourceId>> {
        match action {
            Action::List => return Some(self.list(cx)),
            Action::Look(channel) => self.next = Some(channel),
            Action::Lease { channel, source } => return self.lease(cx, channel, source),
            Action::Start { channel: _, source, timeout } => return self.start(cx, source, timeout),
            Action::Stop => {
                self.learn_profile(cx);
                if let Some(tried) = &mut self.tried {
                    tried.upstream.stop(cx);
                }
            }
            Action::Release => self.release(cx),
            Action::RecordOk { channel, source } => {
                log::debug!("{}", Line::new("background source probe succeeded").field("source_id", source));
                let known = Known { lineup: &cx.lineup, channel, used: None };
                cx.health.succeeded(cx.now, &known, source);
                self.note(TryOutcome::Ready);
            }
            Action::RecordFailure { channel, source, reason } => {
                let reason = failure_reason(None, &reason);
                let line = Line::new("background source probe failed").field("source_id", source);
                log::info!("{}", line.field("channel_id", channel).field("reason", &reason));
                let known = Known { lineup: &cx.lineup, channel, used: None };
                cx.health.failed(cx.now, &known, source, &reason);
                self.note(TryOutcome::Failed(reason));
            }
        }
        None
    }

    fn list<D: CoreDriver>(&mut self, cx: &Cx<D>) -> Event<ChannelId, SourceId> {
        let here = |channel: &&Arc<lineup::Channel>| home(channel.id, cx.params.cores) == cx.id;
        let channels: Vec<_> = cx.lineup.channels().filter(here).cloned().collect();
        let named = |channel: &Arc<lineup::Channel>| (channel.id, channel.guide_number.clone());
        self.channels = channels.iter().map(named).collect();
        Event::Channels(channels.iter().map(|channel| channel.id).collect())
    }

    /// What there is to be tried of a channel; nothing when it is not offered any more.
    fn candidates<D: CoreDriver>(
        &self,
        cx: &Cx<D>,
        channel: ChannelId,
        is_tuned: bool,
    ) -> Event<ChannelId, SourceId> {
        let guide_number = self.channels.get(&channel);
        let offered = guide_number.and_then(|number| cx.lineup.find(number));
        let sources = offered.filter(|offered| offered.id == channel).map_or_else(Vec::new, |offered| {
            let candidate = |Ranked { source: place, id, priority, health }: Ranked<usize>| {
                let source = &offered.sources[place];
                let provider = ProviderScope::of(&source.url, source.id.0);
                Candidate {
                    ranked: Ranked { source: source.id, id, priority, health },
                    is_limited: cx.providers().free_at(cx.now, &provider).is_some()
                        || cx.has_no_place(source),
                }
            };
            cx.health.order(cx.now, offered).into_iter().map(candidate).collect()
        });
        Event::Candidates { is_tuned, wall: cx.health.wall_at(cx.now), sources }
    }

    /// Makes room for the source and asks for its tuner.
    fn lease<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        channel: ChannelId,
        source: SourceId,
    ) -> Option<Event<ChannelId, SourceId>> {
        let offered = cx.lineup.source(source).filter(|(offered, _)| offered.id == channel);
        let Some((offered, item)) = offered else { return Some(Event::Refused) };
        let (listing, label) = (Arc::clone(offered), format!("probe:{}", item.item_key.trim()));
        let has_url = !item.url.trim().is_empty();
        let id = cx.session_id();
        self.count = self.count.wrapping_add(1);
        let mut upstream = Upstream::new(self.owner(), id, Arc::clone(&listing));
        upstream.set_via(Via::default().sent_on_by(&cx.params.own.name));
        self.tried = Some(Tried { id, listing, tuner: None, upstream });
        if !has_url {
            // It needs no tuner to fail.
            return Some(Event::Leased);
        }
        cx.post.tell_tuners(TunerMessage::Request { core: cx.id, session: id, label, kind: Kind::Probe });
        None
    }

    /// The tuner for the source has been granted.
    pub(crate) fn granted<D: CoreDriver>(&mut self, cx: &mut Cx<D>, tuner: u16) {
        if let Some(tried) = &mut self.tried {
            tried.tuner = Some(tuner);
        }
        self.handle(cx, Event::Leased);
    }

    /// There is no tuner.
    pub(crate) fn refused<D: CoreDriver>(&mut self, cx: &mut Cx<D>) {
        self.release(cx);
        self.handle(cx, Event::Refused);
    }

    fn start<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        source: SourceId,
        timeout: Duration,
    ) -> Option<Event<ChannelId, SourceId>> {
        let Some(tried) = &mut self.tried else { unreachable!("a source is tried once it is leased") };
        let source = tried.listing.sources.iter().find(|other| other.id == source).cloned();
        match source {
            // Taken away while the tuner was on its way.
            None => Some(Event::Preempted),
            Some(source) if source.url.trim().is_empty() => Some(Event::Failed(EMPTY_URL.to_owned())),
            Some(source) => {
                let happened = tried.upstream.start(cx, source, String::new(), false, timeout);
                self.arm(cx);
                happened.and_then(|happened| event_of(cx, happened))
            }
        }
    }

    /// Forgets the source and gives its tuner back.
    fn release<D: CoreDriver>(&mut self, cx: &mut Cx<D>) {
        let Some(mut tried) = self.tried.take() else { return };
        // What was not begun is no reason for a pause.
        let pause = if tried.tuner.is_some() { self.tune_delay } else { Duration::ZERO };
        self.end_turn(cx, pause);
        tried.upstream.stop(cx);
        cx.timers.forget(Timer::ProbedSource);
        cx.post.tell_tuners(match tried.tuner {
            Some(tuner) => TunerMessage::Released { tuner },
            None => TunerMessage::Cancelled { core: cx.id, session: tried.id },
        });
    }

    /// Nothing more is tried. A tuner that is on its way is given back when it comes.
    pub(crate) fn drain<D: CoreDriver>(&mut self, cx: &mut Cx<D>) {
        self.handle(cx, Event::Drain);
        (self.next, self.asks_at) = (None, None);
        self.release(cx);
    }

    /// The channels have changed: sources that were taken away are not tried.
    pub(crate) fn relist<D: CoreDriver>(&mut self, cx: &Cx<D>) {
        let Some(tried) = &mut self.tried else { return };
        let offered = cx.lineup.channels().find(|channel| channel.id == tried.listing.id);
        tried.listing = offered.map_or_else(
            || Arc::new(lineup::Channel { sources: Vec::new(), ..lineup::Channel::clone(&tried.listing) }),
            Arc::clone,
        );
        tried.upstream.relist(Arc::clone(&tried.listing));
    }

    /// Drives the source that is tried, after what has happened to it.
    fn go_on<D: CoreDriver>(&mut self, cx: &mut Cx<D>, happened: Option<Happened>) {
        if let Some(event) = happened.and_then(|happened| event_of(cx, happened)) {
            self.handle(cx, event);
        }
        let Some(tried) = &mut self.tried else { return };
        if let Some(happened) = tried.upstream.drive_start(cx)
            && let Some(event) = event_of(cx, happened)
        {
            self.handle(cx, event);
        }
        self.arm(cx);
    }

    /// The source of this owner, unless it is not tried any more.
    fn upstream_of(&mut self, count: u32) -> Option<&mut Upstream> {
        let is_it = self.count == count;
        self.tried.as_mut().filter(|_| is_it).map(|tried| &mut tried.upstream)
    }

    /// An operation of a source has ended.
    pub(crate) fn on_source<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        count: u32,
        run: u32,
        step: SourceStep,
        event: uring::Event<Lent, D::Descriptor>,
    ) {
        let Some(upstream) = self.upstream_of(count) else { return };
        match upstream.on_completion(cx, run, step, event) {
            Completed::Here(happened) => self.go_on(cx, happened),
            Completed::Filled(..) | Completed::Stale(_) => {
                unreachable!("a source that is tried is read into memory of its own")
            }
        }
    }

    /// The answer to the question where the source's host is.
    pub(crate) fn on_resolved<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        count: u32,
        run: u32,
        result: Result<Vec<SocketAddr>, String>,
    ) {
        if let Some(upstream) = self.upstream_of(count) {
            upstream.on_resolved(cx, run, result);
            self.go_on(cx, None);
        }
    }

    /// A child has been started for a run, or not.
    pub(crate) fn on_child_started<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        count: u32,
        run: u32,
        result: Result<D::Descriptor, ChildRefused>,
    ) {
        if let Some(upstream) = self.upstream_of(count) {
            let happened = upstream.on_child_started(cx, run, result);
            self.go_on(cx, happened);
        }
    }

    /// The child of a run has ended.
    pub(crate) fn on_child_ended<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        count: u32,
        run: u32,
        exit: ChildExit,
        stderr_tail: &str,
    ) {
        if let Some(upstream) = self.upstream_of(count) {
            let happened = upstream.on_child_ended(cx, run, exit, stderr_tail);
            self.go_on(cx, happened);
        }
    }

    /// A child has ended: begins the attempt that has waited for that.
    pub(crate) fn open_awaited<D: CoreDriver>(&mut self, cx: &mut Cx<D>) {
        if let Some(tried) = self.tried.as_mut().filter(|tried| tried.upstream.is_awaiting()) {
            let happened = tried.upstream.open_awaited(cx);
            self.go_on(cx, happened);
        }
    }

    /// There was no room for an operation last turn.
    pub(crate) fn retry<D: CoreDriver>(&mut self, cx: &mut Cx<D>, count: u32) {
        if self.upstream_of(count).is_some() {
            self.go_on(cx, None);
        }
    }

    /// The timer of the source that is tried has run out.
    pub(crate) fn on_timer<D: CoreDriver>(&mut self, cx: &mut Cx<D>) {
        self.open_awaited(cx);
        let Some(tried) = &mut self.tried else { return };
        if tried.upstream.expire_client(cx) {
            self.go_on(cx, None);
        }
        let Some(tried) = &mut self.tried else { return };
        let happened = tried.upstream.expire(cx);
        self.go_on(cx, happened);
    }

    fn arm<D: CoreDriver>(&self, cx: &mut Cx<D>) {
        let next = self.tried.as_ref().and_then(|tried| tried.upstream.next_deadline());
        cx.timers.arm(cx.now, Timer::ProbedSource, next);
    }
}

/// What has happened to a source that is tried, as the prober is to hear of it.
fn event_of<D: CoreDriver>(cx: &mut Cx<D>, happened: Happened) -> Option<Event<ChannelId, SourceId>> {
    match happened {
        Happened::Ready { .. } => Some(Event::Ready),
        Happened::FailedToStart { source, error, .. } => {
            arm_provider(cx, &source, &error);
            Some(Event::Failed(error.reason()))
        }
        // A viewer was quicker.
        Happened::NoPlace => Some(Event::Preempted),
        // It is never selected.
        Happened::Ended | Happened::Broken(_) | Happened::Stalled(_) => None,
    }
}

/// A provider that allows no more connections is left alone.
fn arm_provider<D: CoreDriver>(cx: &mut Cx<D>, source: &Source, error: &SourceError) {
    if error.is_overlimit() {
        let provider = ProviderScope::of(&source.url, source.id.0);
        cx.providers().arm(cx.now, &provider, error.retry_after());
    }
}
