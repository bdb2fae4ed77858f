//! What viewers get while there is no source.

use std::sync::Arc;
use std::time::Duration;

use crate::base::Instant;
use crate::filler::slate::{Profile as SlateProfile, Slate, SlateSpec};
use crate::filler::{Due, Filler, Mode, Report as FillerReport};
use crate::ring::Lent;
use crate::source::profile::Profile;
use crate::splice::{Lead, Run, RunKind, Splice};
use crate::uring::Driver;

use crate::engine::channel::live::LiveSession;
use crate::engine::connection::client::SessionKey;
use crate::engine::context::token::Token;
use crate::engine::core::Core;
use crate::engine::port::messages::ControlRequest;
use crate::engine::port::snapshot::{KeepaliveSnapshot, TransitionSnapshot};
use crate::engine::report::events::{self, Transition};

/// A session's filler, from its start to the moment a source takes over.
pub(crate) struct Filling {
    filler: Filler,
    /// The slate whose run has begun in the splice.
    begun: Option<Arc<Slate>>,
    /// The boundary before null packets or tables has been made.
    is_paused: bool,
    /// What is due and has not been written yet: the ring had no room, or was lent.
    unwritten: Vec<u8>,
    /// Nothing is written before this: pictures and sound that follow each other are written together.
    rests_until: Option<Instant>,
}

/// How long what is due of a slate may wait for more: short beside the egress delay, and long enough that twenty
/// slates cost less than the twenty sources in whose place they are.
const REST: Duration = Duration::from_millis(45);

impl<D: Driver<Memory = Lent, Token = Token>> Core<D> {
    /// From now on viewers get filler.
    pub(crate) fn start_filler(&mut self, session: SessionKey) {
        let now = self.now;
        let Some(params) = &self.params.filler else { return };
        let params = params.filler;
        let Some(live) = self.sessions.get_mut(session) else { return };
        let bitrate = live.stream.map(|stream| stream.bitrate_bps).filter(|rate| *rate > 0);
        let totals = live.keepalive.take().map(|report| report.totals).unwrap_or_default();
        let filler = Filler::start(now, params, live.slate.clone(), bitrate, totals);
        let mode = filler.mode().map_or("", Mode::as_str);
        let cycle = u64::from(live.machine.record().recovery_cycle);
        log::info!("{}", events::keepalive_started(live.about(), cycle, mode));
        live.filling =
            Some(Filling { filler, begun: None, is_paused: false, unwritten: Vec::new(), rests_until: None });
        self.fill_in(session);
        self.arm(session);
    }

    /// Filler ends, because a source takes over or because none will.
    pub(crate) fn stop_filler(&mut self, session: SessionKey) {
        let now = self.now;
        let Some(live) = self.sessions.get_mut(session) else { return };
        let Some(mut filling) = live.filling.take() else { return };
        let mode = filling.filler.mode().map_or("", Mode::as_str);
        filling.filler.stop(now);
        // It has its place in the counters already.
        live.prologue.extend_from_slice(&filling.unwritten);
        let report = filling.filler.report(now);
        let line =
            events::keepalive_stopped(live.about(), mode, report.duration, report.bytes, report.chunks);
        log::info!("{line}");
        live.keepalive = Some(report);
        self.drive(session);
    }

    /// Writes what is due of the filler.
    pub(crate) fn fill_in(&mut self, session: SessionKey) {
        let now = self.now;
        let Some(live) = self.sessions.get_mut(session) else { return };
        let Some(mut filling) = live.filling.take() else { return };
        let boundaries = filling.prepare(now, &mut live.splice);
        if boundaries {
            let is_picture = filling.begun.is_some();
            live.note_boundary("live_to_keepalive", if is_picture { "idr" } else { "" }, {
                if is_picture { "" } else { "idr_keepalive_non_av" }
            });
        }
        let packets = std::mem::take(&mut filling.unwritten);
        let is_written = packets.is_empty() || self.write(session, &packets);
        let Some(live) = self.sessions.get_mut(session) else { return };
        if is_written && !packets.is_empty() {
            filling.rests_until = filling.filler.slate().is_some().then(|| now + REST);
            let before = filling.filler.mode();
            filling.filler.published(now, packets.len() as u64);
            filling.tell_fallback(now, before, live);
        }
        if !is_written {
            filling.unwritten = packets;
        }
        live.filling = Some(filling);
        if is_written {
            self.admit_late(session);
            self.publish(session);
        }
    }

    /// Shows viewers packets of our own. False when there is no room yet.
    pub(crate) fn write(&mut self, session: SessionKey, packets: &[u8]) -> bool {
        let Some(span) = self.reserve(session, packets.len()) else { return false };
        let Some(live) = self.sessions.get_mut(session) else { return false };
        live.ring.received(span, packets.len());
        assert_eq!(live.ring.pending_bytes(), packets.len() as u64, "our packets come between two sources");
        live.ring.pending().copy_from_slice(packets);
        live.look(packets.len());
        live.ring.commit(packets.len(), 0);
        true
    }

    /// Has a slate made that looks like what the selected source shows.
    pub(crate) fn ask_for_slate(&mut self, session: SessionKey) {
        let Some(params) = &self.params.filler else { return };
        if params.filler.mode != Mode::SlateAv {
            return;
        }
        let (text, has_audio) = (params.text.clone(), params.filler.has_audio);
        let Some(profile) = self.sessions.get(session).and_then(|live| live.stream) else { return };
        let profile = slate_profile(&profile);
        let spec = SlateSpec::of(&profile, &text, has_audio);
        let key = spec.key();
        let Some(live) = self.sessions.get(session) else { return };
        if live.slate_key.as_ref() == Some(&key) {
            return;
        }
        if let Some(reason) = profile.size_adjustment() {
            log::info!("{}", live.about().line("shared session slate size adjusted").field("reason", reason));
        }
        let ticket = self.ticket();
        let core = self.id;
        if self.control.request(ControlRequest::PrepareSlate { core, ticket, spec }).is_err() {
            self.counters.queue_full += 1;
            return;
        }
        if let Some(live) = self.sessions.get_mut(session) {
            live.slate_question = Some(ticket);
            live.slate_key = Some(key);
        }
    }
}

impl Filling {
    /// When something more is to be written.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let due = self.filler.next_deadline()?;
        Some(self.rests_until.map_or(due, |until| due.max(until)))
    }

    /// Makes ready what is due, unless something waits to be written. True when it begins with a boundary.
    fn prepare(&mut self, now: Instant, splice: &mut Splice) -> bool {
        if !self.unwritten.is_empty() || self.rests_until.is_some_and(|until| until > now) {
            return false;
        }
        self.rests_until = None;
        let mut packets = Vec::new();
        let due = self.filler.due(now, &mut packets);
        let is_beat = matches!(due, Due::Null | Due::Psi);
        let is_first_beat = is_beat && !self.is_paused;
        self.is_paused |= is_beat;
        if is_first_beat {
            self.unwritten = splice.pause(now);
        }
        match due {
            Due::Nothing => false,
            Due::Null => {
                self.unwritten.extend_from_slice(&packets);
                is_first_beat
            }
            Due::Psi => {
                self.unwritten.extend_from_slice(&splice.psi());
                is_first_beat
            }
            Due::Slate => {
                let Some(slate) = self.filler.slate() else { return false };
                let is_new = self.begun.as_ref().is_none_or(|begun| !Arc::ptr_eq(begun, slate));
                if is_new {
                    self.begun = Some(Arc::clone(slate));
                    let lead = Lead::scan(&packets, slate.programme());
                    let run = Run { kind: RunKind::Filler, programme: slate.programme(), lead };
                    self.unwritten = splice.begin(now, &run);
                }
                splice.restamp(now, &mut packets);
                self.unwritten.extend_from_slice(&packets);
                is_new
            }
        }
    }

    fn tell_fallback(&self, now: Instant, before: Option<Mode>, live: &LiveSession) {
        let after = self.filler.mode();
        if before == after {
            return;
        }
        let report = self.filler.report(now);
        let name = |mode: Option<Mode>| mode.map_or("", Mode::as_str);
        let reason = &report.totals.fallback_reason;
        log::warn!("{}", events::keepalive_fallback(live.about(), name(before), name(after), reason));
    }
}

fn slate_profile(profile: &Profile) -> SlateProfile {
    let frame_rate = match profile.fps_den {
        0 => 0.0,
        den => f64::from(profile.fps_num) / f64::from(den),
    };
    SlateProfile {
        video: profile.video_codec,
        width: profile.width,
        height: profile.height,
        frame_rate,
        audio: profile.audio_codec,
        sample_rate: profile.sample_rate,
        channels: profile.channels,
    }
}

impl LiveSession {
    /// A boundary has been made: what it signals, and what it could not.
    pub(crate) fn note_boundary(&mut self, transition: &'static str, applied: &str, skipped: &str) {
        let report = self.splice.boundary();
        let join = |words: &mut dyn Iterator<Item = &'static str>, last: &str| {
            let mut words: Vec<_> = words.map(str::to_owned).collect();
            words.extend((!last.is_empty()).then(|| last.to_owned()));
            words.join(",")
        };
        let signals_applied = join(&mut report.applied(), applied);
        let signal_skips = join(&mut report.skips(), skipped);
        let stitch_applied = report.stitch();
        let reason = signal_skips
            .split(',')
            .find(|word| !word.is_empty() && *word != "idr_keepalive_non_av")
            .map(|word| format!("default: {word}"));
        let before = &self.transition;
        let is_news = reason.as_ref().is_some_and(|reason| *reason != before.fallback_reason);
        self.transition = TransitionSnapshot {
            fallback_count: before.fallback_count + u64::from(is_news),
            fallback_reason: reason.unwrap_or_else(|| before.fallback_reason.clone()),
            signals_applied,
            signal_skips,
            stitch_applied,
        };
        let event = Transition {
            transition,
            signals_applied: &self.transition.signals_applied,
            signal_skips: &self.transition.signal_skips,
            stitch_applied,
        };
        log::info!("{}", events::transition(self.about(), &event));
    }

    /// What operators see of the filler, the running one or the last.
    pub(crate) fn keepalive_snapshot(&self, now: Instant) -> KeepaliveSnapshot {
        let report: Option<FillerReport> = match &self.filling {
            Some(filling) => Some(filling.filler.report(now)),
            None => self.keepalive.clone(),
        };
        let Some(report) = report else { return KeepaliveSnapshot::default() };
        KeepaliveSnapshot {
            mode: report.mode.map(Mode::as_str),
            fallback_count: report.totals.fallback_count,
            fallback_reason: report.totals.fallback_reason,
            started_at: Some(report.started_at),
            stopped_at: report.stopped_at,
            bytes: report.bytes,
            chunks: report.chunks,
            rate: report.rate_bytes_per_second,
            expected_rate: report.expected_rate_bytes_per_second,
            multiplier: report.realtime_multiplier,
            guardrail_count: report.guardrail_count,
            guardrail_reason: report.guardrail_reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{add_session, core};

    #[test]
    fn a_boundary_says_what_it_signals_and_the_last_reason_why_it_could_not() {
        let (mut core, _) = core();
        let session = add_session(&mut core, 1);
        let live = core.sessions.get_mut(session).unwrap();
        for (millis, transition, applied, skipped, expected) in [
            (
                0,
                "live_to_keepalive",
                "",
                "idr_keepalive_non_av",
                ("disc,cc,pcr", "stitch_no_observed_pcr,idr_keepalive_non_av", false),
            ),
            (100, "keepalive_to_live", "idr", "", ("disc,cc,pcr,stitch,idr", "", true)),
        ] {
            live.splice.pause(Instant::from_millis(millis));
            live.note_boundary(transition, applied, skipped);
            let told = &live.transition;
            let found = (told.signals_applied.as_str(), told.signal_skips.as_str(), told.stitch_applied);
            assert_eq!(found, expected);
            assert_eq!(told.fallback_reason, "default: stitch_no_observed_pcr");
            assert_eq!(told.fallback_count, 1, "the second boundary has nothing to add");
        }
    }
}
