//! What sessions learn of their sources' streams: from the packets, and from ffprobe where those do not tell.

use crate::base::{ChildExit, Instant};
use crate::health::Book;
use crate::lineup::{ChannelId, Source, SourceId, StoredProfile};
use crate::ring::Lent;
use crate::session;
use crate::session::history::Profile as HistoryProfile;
use crate::source::Opening;
use crate::source::profile::{Profile, Schedule, StreamProfile, Timing, ffprobe, needs_ffprobe};
use crate::uring::Driver;

use super::client::SessionKey;
use super::core::Core;
use super::live::{LiveSession, PROFILE_WAIT};
use super::port::{ControlRequest, SessionId, Ticket, TunerMessage};
use super::token::Token;

/// A session's questions to ffprobe.
pub(crate) struct Probing {
    pub(super) schedule: Schedule,
    /// The probe for which a place at the provider is asked for.
    asked: Option<u64>,
    /// The probe that runs.
    question: Option<(Ticket, u64)>,
}

impl Probing {
    pub(crate) const fn new(params: session::Params) -> Self {
        let timing = Timing {
            patience: Timing::PATIENCE,
            min_health: params.min_health,
            stall_detect: params.stall_detect,
        };
        Self { schedule: Schedule::new(timing), asked: None, question: None }
    }

    pub(crate) const fn next_deadline(&self) -> Option<Instant> {
        self.schedule.next_deadline()
    }
}

impl<D: Driver<Memory = Lent, Token = Token>> Core<D> {
    /// What was learnt of selected sources' streams from their packets: kept, stored, and their slates made ready.
    pub(crate) fn use_profiles(&mut self) {
        let now = self.now;
        let due: Vec<_> =
            self.sessions.iter_mut().filter_map(|(key, live)| live.profile_due(now).then_some(key)).collect();
        for session in due {
            let Some(live) = self.sessions.get_mut(session) else { continue };
            let Some(run) = &mut live.source else { continue };
            run.profile_used = true;
            let known = StreamProfile::from(&run.ingest.scanner.profile());
            if !known.is_empty() {
                self.learn_profile(session, known);
            }
        }
    }

    /// What is known of the selected source's stream from now on.
    fn learn_profile(&mut self, session: SessionKey, known: StreamProfile) {
        let Some(live) = self.sessions.get_mut(session) else { return };
        let Some(run) = &live.source else { return };
        let (source, channel) = (run.attempt.source.id, live.channel.id);
        live.history.update(|facts| {
            facts.profile = HistoryProfile {
                resolution: (known.width, known.height),
                frame_rate: known.fps,
                video_codec: known.video_codec.clone(),
                audio_codec: known.audio_codec.clone(),
                bitrate_bps: known.bitrate_bps,
            };
        });
        live.stream = Some(Profile::from(&known));
        let stored = StoredProfile {
            width: known.width,
            height: known.height,
            fps: known.fps,
            video_codec: known.video_codec,
            audio_codec: known.audio_codec,
            bitrate_bps: known.bitrate_bps,
            probed_at: 0,
        };
        self.health_looked(source, channel, Some(session), stored);
        self.ask_for_slate(session);
    }

    /// A source is selected: ffprobe is asked about it in a while, if that turns out to be needed.
    pub(crate) fn schedule_probe(&mut self, session: SessionKey) {
        let now = self.now;
        let Some(live) = self.sessions.get_mut(session) else { return };
        let Some(run) = &live.source else { return };
        if run.opening == Opening::Direct {
            return;
        }
        let is_known = live.history.current().is_some_and(|window| {
            let (width, height) = window.source.profile.resolution;
            width > 0 && height > 0
        });
        let source = &run.attempt.source;
        let in_recovery = run.attempt.in_recovery;
        live.probing.schedule.select(now, source.id.0, &source.url, in_recovery, is_known);
    }

    /// The time for a probe may have come.
    pub(crate) fn ask_ffprobe_if_due(&mut self, session: SessionKey) {
        let now = self.now;
        let Some(live) = self.sessions.get_mut(session) else { return };
        let Some(number) = live.probing.schedule.start(now) else { return };
        let Some(run) = &live.source else { return };
        // Whether there is a place at the provider is known elsewhere, and asked for only when it matters.
        if !needs_ffprobe(&run.ingest.scanner.profile(), run.opening, true) {
            live.probing.schedule.finish(number);
            return;
        }
        live.probing.asked = Some(number);
        let id = live.id;
        self.tell_tuners(TunerMessage::IsRoom { core: self.id, session: id });
    }

    /// Whether a connection more takes nothing from a viewer.
    pub(crate) fn on_room(&mut self, session: SessionId, is_room: bool) {
        let Some(&key) = self.by_id.get(&session) else { return };
        let Some(live) = self.sessions.get_mut(key) else { return };
        let Some(number) = live.probing.asked.take() else { return };
        let Some(run) = &live.source else { return };
        let arguments = ffprobe::arguments(
            &run.attempt.address,
            &self.params.sources.ffmpeg.user_agent,
            &run.attempt.source.headers,
        );
        let (true, Ok(arguments)) = (is_room, arguments) else {
            live.probing.schedule.finish(number);
            return;
        };
        let program = self.params.sources.ffprobe_path.clone();
        let arguments = arguments.into_iter().map(std::ffi::OsString::from).collect();
        let ticket = self.ticket();
        let core = self.id;
        let is_asked =
            self.control.request(ControlRequest::Probe { core, ticket, program, arguments }).is_ok();
        self.counters.queue_full += u64::from(!is_asked);
        let Some(live) = self.sessions.get_mut(key) else { return };
        if is_asked {
            live.probing.question = Some((ticket, number));
        } else {
            live.probing.schedule.finish(number);
        }
    }

    /// The answer of ffprobe, or how it ended without one.
    pub(crate) fn on_probed(&mut self, ticket: Ticket, exit: Option<ChildExit>, stdout: &[u8], stderr: &str) {
        let is_asker = |live: &LiveSession| live.probing.question.is_some_and(|(asked, _)| asked == ticket);
        let Some((session, live)) = self.sessions.iter_mut().find(|(_, live)| is_asker(live)) else { return };
        let Some((_, number)) = live.probing.question.take() else { return };
        if !live.probing.schedule.finish(number) {
            return;
        }
        let Some(run) = &live.source else { return };
        match ffprobe::outcome(exit, stdout, stderr.as_bytes()) {
            Ok(probed) => {
                let known = StreamProfile::from(&run.ingest.scanner.profile()).filled_from(&probed);
                self.learn_profile(session, known);
            }
            Err(error) => {
                let line = live.about().line("shared session stream profile probe failed");
                log::debug!("{}", line.field("source_id", run.attempt.source.id.0).field("error", error));
            }
        }
    }

    /// The source is no longer the session's: nothing is asked about it any more.
    pub(crate) fn cancel_probe(&mut self, session: SessionKey) {
        let Some(live) = self.sessions.get_mut(session) else { return };
        live.probing.schedule.cancel();
        live.probing.asked = None;
        let Some((ticket, _)) = live.probing.question.take() else { return };
        if self.control.request(ControlRequest::StopChild { core: self.id, ticket }).is_err() {
            // It ends by itself before long.
            self.counters.queue_full += 1;
        }
    }
}

impl LiveSession {
    /// True once enough is known of the selected source's stream, or nothing more is waited for.
    fn profile_due(&self, now: Instant) -> bool {
        let Some(run) = &self.source else { return false };
        let Some(selected_at) = run.selected_at else { return false };
        !run.profile_used && (run.ingest.scanner.is_complete() || now - selected_at >= PROFILE_WAIT)
    }
}

/// What was known of a source's stream before: by this core, else by the database.
pub(crate) fn stored_profile(book: &Book<SourceId, ChannelId>, source: &Source) -> StreamProfile {
    let stored = book.profile(source.id).unwrap_or(&source.profile);
    StreamProfile {
        width: stored.width,
        height: stored.height,
        fps: stored.fps,
        video_codec: stored.video_codec.clone(),
        audio_codec: stored.audio_codec.clone(),
        bitrate_bps: stored.bitrate_bps,
        ..StreamProfile::default()
    }
}
