use super::*;
use crate::base::KeyBits;
use crate::engine::core::testing::{NoSources, context, listing};
use crate::engine::port::outlets::Reply;
use crate::filler::{self, Filler, KeepaliveTotals, Mode};
use crate::session::Sources;
use crate::splice::{FirstTimestamps, Run, RunKind};

/// Nobody reads.
struct Nobody;

impl<D: CoreDriver> Readers<D> for Nobody {
    fn tell(&mut self, _cx: &mut Cx<D>, _feed: &Feed, _word: ToOutlet) -> Reply {
        Reply::default()
    }
}

/// What tests of a core do to a channel behind its back.
impl Channel {
    /// Something happens to the machine, and nothing is done about it.
    pub(crate) fn tell_machine(
        &mut self,
        now: Instant,
        event: crate::session::Event,
        sources: &mut dyn Sources,
    ) {
        self.machine.handle(now, event, sources);
    }

    /// The session ends as far as it is written down.
    pub(crate) fn end_as_written<D: CoreDriver>(&mut self, cx: &mut Cx<D>, readers: &mut dyn Readers<D>) {
        self.note_ended(cx.now);
        readers.tell(cx, &self.feed, ToOutlet::Over);
    }

    /// Its source is gone.
    pub(crate) fn lose_source<D: CoreDriver>(&mut self, cx: &mut Cx<D>, readers: &mut dyn Readers<D>) {
        self.stop_source(cx, readers);
    }

    /// A source is selected of which nothing is known.
    pub(crate) fn select_unknown(&mut self, now: Instant) {
        self.stream_probe.select(now, 1, "http://source.example/", false, false);
    }
}

/// The filler that plays the slate that is built in, or sends null packets.
fn filler(now: Instant, mode: Mode) -> Filler {
    let params = filler::Params { mode, interval: Duration::from_millis(40), has_audio: true };
    Filler::start(now, params, None, None, KeepaliveTotals::default())
}

fn channel<D: CoreDriver>(cx: &mut Cx<D>) -> Channel {
    let (id, ring) = (cx.session_id(), Ring::new(1 << 20, crate::ring::Segments::Small).unwrap());
    Channel::new(cx, ChannelRef(KeyBits::first_of(0)), id, listing(1), ring).0
}

#[test]
fn a_boundary_says_what_it_signals_and_the_last_reason_why_it_could_not() {
    let mut cx = context();
    let mut channel = channel(&mut cx);
    for (millis, transition, applied, skipped, expected) in [
        (
            0,
            "live_to_keepalive",
            "",
            "idr_keepalive_non_av",
            ("disc,cc,pcr,psi_version", "stitch_no_observed_pcr,idr_keepalive_non_av", false),
        ),
        (100, "keepalive_to_live", "idr", "", ("disc,cc,pcr,psi_version,stitch,idr", "", true)),
    ] {
        channel.splice.pause(Instant::from_millis(millis));
        channel.note_boundary(transition, applied, skipped);
        let told = &channel.transition;
        let found = (told.signals_applied.as_str(), told.signal_skips.as_str(), told.stitch_applied);
        assert_eq!(found, expected);
        assert_eq!(told.fallback_reason, "default: stitch_no_observed_pcr");
        assert_eq!(told.fallback_count, 1, "the second boundary has nothing to add");
    }
}

#[test]
fn the_bitrate_is_the_sources_of_the_last_seconds_and_filler_has_no_part_in_it() {
    let mut cx = context();
    let mut channel = channel(&mut cx);
    channel.bitrate.add(Instant::from_millis(100), 500_000);
    assert!(channel.write(&mut cx, &[0x47; 188 * 100]), "there is room");
    let nobody = crate::session::history::Audience::new(cx.params.history);
    for (millis, expected) in [(2000, 2_000_000), (3200, 1_250_000), (5000, 0), (90_000, 0)] {
        cx.now = Instant::from_millis(millis);
        let watched = Watched {
            audience: &nobody,
            writes: crate::session::history::WriteCounters::default(),
            viewers: Vec::new(),
        };
        assert_eq!(channel.snapshot(&cx, watched).bitrate_bps, expected, "{millis} ms");
    }
}

#[test]
fn a_session_that_failed_says_with_what() {
    let mut cx = context();
    let mut channel = channel(&mut cx);
    for (failure, text) in [
        (Failure::NoTuners, "no tuners available"),
        (Failure::NoSources, "channel has no enabled sources"),
        (Failure::NoVideo, "all source attempts exhausted"),
        (Failure::SourcesFailed, "all source attempts exhausted"),
    ] {
        channel.failure = Some(failure);
        assert_eq!(channel.failed_with(), text);
    }
    channel.error = Some("upstream returned status 404".to_owned());
    assert_eq!(channel.failed_with(), "upstream returned status 404");
}

#[test]
fn who_waits_is_let_in_once_there_is_a_place_to_start() {
    let mut cx = context();
    let mut channel = channel(&mut cx);
    channel.tell_machine(cx.now, crate::session::Event::Joined, &mut NoSources);
    channel.has_waiting = true;
    channel.admit_late(&mut cx, &mut Nobody);
    assert!(channel.has_waiting, "nothing is shown yet");
    channel.admit(&mut cx, &mut Nobody);
    assert!(!channel.has_waiting, "everybody has been let in");
}

#[test]
fn a_programme_goes_on_by_the_clock_also_behind_a_time_in_which_the_process_stood_still() {
    let mut cx = context();
    let mut channel = channel(&mut cx);
    let stand_still = |cx: &mut Cx<_>| {
        let clock = cx.clock_now() + Duration::from_secs(3);
        cx.now = cx.time.read(clock, Duration::ZERO);
        cx.clock_now()
    };
    // What left last has left just now: no time has passed since.
    let assert_now = |channel: &Channel, clock_now: Instant, what: &str| {
        assert!(channel.splice.clock(clock_now).is_some(), "{what}");
        assert_eq!(channel.splice.clock(clock_now), channel.splice.clock(Instant::START), "{what}");
    };
    let mut source = filler(cx.now, Mode::SlateAv);
    let mut packets = Vec::new();
    source.due(cx.now, &mut packets);
    let programme = source.slate().unwrap().programme();
    let lead = FirstTimestamps::scan(&packets, programme);
    channel.splice.begin(cx.clock_now(), &Run { kind: RunKind::Live, programme, lead });
    let clock_now = stand_still(&mut cx);
    let span = channel.reserve(&mut cx, packets.len()).unwrap();
    channel.feed.ring_mut().received(span, packets.len());
    channel.feed.ring_mut().pending().copy_from_slice(&packets);
    channel.show(&cx, packets.len(), 0, 0);
    assert_now(&channel, clock_now, "a source");
    for mode in [Mode::SlateAv, Mode::Null] {
        let clock_now = stand_still(&mut cx);
        channel.filling = Some(FillerRun::new(filler(cx.now, mode)));
        channel.fill_in(&mut cx, &mut Nobody);
        assert_now(&channel, clock_now, mode.as_str());
    }
}
