//! What is learnt of a source's stream: from the packets, and from ffprobe where those do not tell.

use std::time::Duration;

use crate::base::{ChildExit, Instant};
use crate::engine::context::cx::{CoreDriver, Cx, Question};
use crate::engine::context::health::Known;
use crate::engine::port::ids::Ticket;
use crate::engine::port::messages::{ControlRequest, TunerMessage};
use crate::session::{ProviderScope, Purpose};
use crate::source::ffmpeg::verification_options;
use crate::source::profile::{ffprobe, needs_ffprobe};
use crate::source::{Opening, Relayed};
use crate::ts::StreamProfile;

use super::Channel;

/// A stream that has not told its make-up after this long is taken for what is known by then.
const PROFILE_WAIT: Duration = Duration::from_secs(5);

impl Channel {
    /// What was learnt of the selected source's stream from its packets: kept, stored, and its slate made ready.
    pub(crate) fn use_profile<D: CoreDriver>(&mut self, cx: &mut Cx<D>) {
        let Some(run) = self.upstream.run_mut() else { return };
        if run.take_profile_due(cx.now, PROFILE_WAIT) {
            let known = run.ingest().scanner().profile();
            if !known.is_empty() {
                self.learn_profile(cx, known);
            }
        } else if run.take_rate_due() {
            let known = run.ingest().scanner().profile();
            // What ffprobe has told since is not forgotten.
            let before = self.stream.clone().unwrap_or_default();
            self.learn_profile(cx, known.filled_from(&before));
        }
    }

    /// What is known of the selected source's stream from now on.
    fn learn_profile<D: CoreDriver>(&mut self, cx: &mut Cx<D>, known: StreamProfile) {
        let Some(run) = self.upstream.run() else { return };
        let source = run.attempt().source.id;
        self.history.update(|facts| facts.profile.clone_from(&known));
        self.stream = Some(known.clone());
        let listing = self.feed.listing();
        let of = Known { lineup: &cx.lineup, channel: listing.id, used: Some(listing) };
        cx.health.looked(cx.now, &of, source, known);
        self.ask_for_slate(cx);
    }

    /// A source is selected: ffprobe is asked about it in a while, if that turns out to be needed.
    pub(super) fn schedule_probe(&mut self, now: Instant) {
        let Some(run) = self.upstream.run() else { return };
        if !matches!(run.opening(), Opening::Ffmpeg(_)) {
            return;
        }
        let is_known = self.history.current().is_some_and(|window| {
            let profile = &window.source.profile;
            profile.width > 0 && profile.height > 0
        });
        let attempt = run.attempt();
        let (source, in_recovery) = (&attempt.source, attempt.in_recovery);
        self.stream_probe.select(now, source.id.0, &source.url, in_recovery, is_known);
    }

    /// The time for a probe may have come.
    pub(super) fn ask_ffprobe_if_due<D: CoreDriver>(&mut self, cx: &mut Cx<D>) {
        let Some(number) = self.stream_probe.start(cx.now) else { return };
        let Some(run) = self.upstream.run() else { return };
        // Whether there is a place at the provider is known elsewhere, and asked for only when it matters.
        if !needs_ffprobe(&run.ingest().scanner().profile(), run.opening(), true) {
            self.stream_probe.finish(number);
            return;
        }
        self.stream_probe.ask_for_room(number);
        cx.post.tell_tuners(TunerMessage::IsRoom { core: cx.id, session: self.id() });
    }

    /// Whether a connection more takes nothing from a viewer.
    pub(crate) fn on_room<D: CoreDriver>(&mut self, cx: &mut Cx<D>, is_room: bool) {
        let Some(number) = self.stream_probe.take_asked() else { return };
        let Some(run) = self.upstream.run() else { return };
        let attempt = run.attempt();
        let (address, source) = (&attempt.address, &attempt.source);
        let verification = cx.params.sources.verification(source.tls_verify);
        let verification = verification_options(address, &verification, &cx.params.sources.capabilities);
        let arguments =
            verification.ok().and_then(|verification| ffprobe::arguments(address, &verification).ok());
        let params = self.upstream.asking(cx, source, cx.params.sources.direct.startup_timeout);
        let relayed = Relayed::of(&source.url, address, params, &cx.params.sources.admission);
        let (true, Some(arguments), Ok(relayed)) = (is_room, arguments, relayed) else {
            self.stream_probe.finish(number);
            return;
        };
        let playlist = source.playlist;
        let Some(place) = cx.take_playlist_place(playlist, self.id(), Purpose::Look) else {
            self.stream_probe.finish(number);
            return;
        };
        let relayed = relayed.map(Box::new);
        let program = cx.params.sources.ffprobe_path.clone();
        let arguments = arguments.into_iter().map(std::ffi::OsString::from).collect();
        let request = |core, ticket| ControlRequest::Probe { core, ticket, program, arguments, relayed };
        match cx.ask(Question::Stream(self.me), request) {
            Some(ticket) => self.stream_probe.runs(ticket, number, place),
            None => {
                cx.give_playlist_place_back(&place, Duration::ZERO);
                self.stream_probe.finish(number);
            }
        }
    }

    /// The answer of ffprobe, or how it ended without one.
    pub(crate) fn on_probed<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        ticket: Ticket,
        exit: Option<ChildExit>,
        stdout: &[u8],
        stderr: &str,
    ) {
        let Some((number, place)) = self.stream_probe.take_answered(ticket) else { return };
        cx.give_playlist_place_back(&place, self.counted(cx));
        if !self.stream_probe.finish(number) {
            return;
        }
        let Some(run) = self.upstream.run() else { return };
        match ffprobe::outcome(exit, stdout, stderr.as_bytes()) {
            Ok(probed) => {
                let known = run.ingest().scanner().profile().filled_from(&probed);
                self.learn_profile(cx, known);
            }
            Err(error) => {
                let line = self.about().line("shared session stream profile probe failed");
                log::debug!("{}", line.field("source_id", run.attempt().source.id.0).field("error", error));
            }
        }
    }

    /// Nothing is asked about the source any more.
    pub(crate) fn cancel_probe<D: CoreDriver>(&mut self, cx: &mut Cx<D>) {
        if let Some((ticket, place)) = self.stream_probe.cancel() {
            let counted = self.counted(cx);
            cx.withdraw(ticket, place, counted);
        }
    }

    /// How long the provider of the source counts what is closed.
    fn counted<D: CoreDriver>(&self, cx: &Cx<D>) -> Duration {
        self.upstream.run().map_or(Duration::ZERO, |run| {
            let source = &run.attempt().source;
            cx.providers().counted(&ProviderScope::of(&source.url, source.id.0))
        })
    }
}
