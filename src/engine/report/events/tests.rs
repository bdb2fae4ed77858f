use super::*;
use crate::lineup::{SourceId, StreamProfile};
use crate::session::history::SourceFacts;
use crate::source::startup_facts::StartupFacts;

const ABOUT: About<'_> = About { session_id: 7, channel_id: 42, guide_number: "101" };
const NAME: &str = "session_id=7 channel_id=42 guide_number=101";

fn viewer() -> ViewerName {
    ViewerName { subscriber_id: 3, client_addr: SocketAddr::from(([192, 168, 1, 10], 40_001)) }
}

fn window() -> SourceWindow {
    SourceWindow {
        source: SourceFacts {
            id: SourceId(8),
            item_key: "src:news one".to_owned(),
            name: std::sync::Arc::default(),
            url: "http://host/8.ts".to_owned(),
            mode: "ffmpeg-copy",
            is_unverified: false,
            profile_name: None,
            startup: StartupFacts { relaxed_retry: true, ..StartupFacts::default() },
            profile: StreamProfile::default(),
        },
        selected_at: Instant::START,
        deselected_at: None,
        reason: "recovery_cycle_1:stall".to_owned(),
    }
}

#[test]
fn sessions_are_told_with_their_names() {
    for (line, told) in [
        (session_created(ABOUT), "msg=\"shared session created\" NAME"),
        (session_reused(ABOUT, 4), "msg=\"shared session reused\" NAME subscribers=4"),
        (
            session_ready(ABOUT, Duration::from_millis(1_500)),
            "msg=\"shared session ready\" NAME startup=1.5s",
        ),
        (
            idle_client_preempted(ABOUT, 2, true),
            "msg=\"tuner idle-client preempted\" NAME tuner_id=2 result=preempted",
        ),
        (
            idle_client_preempted(ABOUT, 2, false),
            "msg=\"tuner idle-client preempted\" NAME tuner_id=2 result=not_idle",
        ),
        (probe_preempted(2), "msg=\"tuner probe preempted\" tuner_id=2"),
        (
            tuner_released(2, "101", Duration::from_millis(1_500)),
            "msg=\"tuner lease released\" tuner_id=2 label=101 duration=1.5s",
        ),
        (entered_active_subscribers(ABOUT), "msg=\"shared session entered active_subscribers\" NAME"),
        (
            canceled_while_idle(ABOUT, "idle_preempted"),
            "msg=\"shared session canceled while idle\" NAME reason=idle_preempted",
        ),
        (
            source_selected(ABOUT, &window(), 0),
            "msg=\"shared session selected source\" NAME source_id=8 source_item_key=\"src:news one\" \
             source_url=http://host/8.ts producer=\"ffmpeg-copy:source=8:startup_retry_relaxed_probe\" \
             reason=recovery_cycle_1:stall source_startup_retry_reason=startup_detection_incomplete",
        ),
        (
            reselect_alert(ABOUT, &window(), 3, 3),
            "msg=\"shared session reselect alert\" NAME source_id=8 same_source_reselect_count=3 \
             reselect_alert_threshold=3 reason=recovery_cycle_1:stall",
        ),
        (
            startup_cutover(ABOUT, &window(), Cutover::new(1000, 220, 780), 1),
            "msg=\"shared session startup cutover dropped most of the probe\" NAME source_id=8 \
             startup_probe_raw_bytes=1000 startup_probe_trimmed_bytes=220 startup_probe_cutover_offset=780 \
             startup_probe_dropped_bytes=780 startup_probe_cutover_percent=78 \
             startup_probe_cutover_logs_coalesced=1",
        ),
        (source_lost(ABOUT, 8, None), "msg=\"shared session source ended\" NAME source_id=8"),
        (
            source_lost(ABOUT, 8, Some("connection reset")),
            "msg=\"shared session source lost\" NAME source_id=8 reason=\"connection reset\"",
        ),
        (
            child_ended(ABOUT, 8, ChildExit::Signal(9), "one\ntwo\n"),
            "msg=\"shared session ffmpeg ended\" NAME source_id=8 exit=\"EXIT\" stderr=\"one\\ntwo\"",
        ),
        (
            source_start_failed(ABOUT, 8, "http://host/8", "timeout"),
            "msg=\"shared session source failed to start\" NAME source_id=8 source_url=http://host/8 \
             reason=timeout",
        ),
    ] {
        let exit = ChildExit::Signal(9).to_string();
        assert_eq!(line.to_string(), told.replace("NAME", NAME).replace("EXIT", &exit));
    }
}

#[test]
fn recoveries_are_told_with_what_is_done_instead() {
    let event = RecoveryTriggered {
        cycle: 2,
        reason: "stall",
        source_id: 8,
        stall_policy: "failover_source",
        effective_mode: Some("restart_same_fallback"),
        fallback_reason: Some("no_alternate_sources"),
        coalesced: 3,
    };
    let plain = RecoveryTriggered { effective_mode: None, fallback_reason: None, coalesced: 0, ..event };
    let boundary = Transition {
        transition: "live_to_keepalive",
        signals_applied: "disc,cc",
        signal_skips: "",
        stitch_applied: false,
    };
    for (line, told) in [
        (
            recovery_triggered(ABOUT, &event),
            "msg=\"shared session recovery triggered\" NAME recovery_cycle=2 recovery_reason=stall source_id=8 \
             stall_policy=failover_source effective_recovery_mode=restart_same_fallback \
             fallback_reason=no_alternate_sources recovery_trigger_logs_coalesced=3",
        ),
        (
            recovery_triggered(ABOUT, &plain),
            "msg=\"shared session recovery triggered\" NAME recovery_cycle=2 recovery_reason=stall source_id=8 \
             stall_policy=failover_source",
        ),
        (
            recovery_skipped(ABOUT, 8, "source_eof"),
            "msg=\"shared session skipped recovery while idle without subscribers\" NAME source_id=8 \
             recovery_reason=source_eof",
        ),
        (
            keepalive_started(ABOUT, 2, "slate_av"),
            "msg=\"shared session recovery keepalive started\" NAME recovery_cycle=2 \
             recovery_keepalive_mode=slate_av",
        ),
        (
            keepalive_fallback(ABOUT, "slate_av", "psi", "no picture"),
            "msg=\"shared session recovery keepalive fallback\" NAME from_mode=slate_av to_mode=psi \
             error=\"no picture\"",
        ),
        (
            keepalive_stopped(ABOUT, "psi", Duration::from_millis(4_500), 2_475_000, 40),
            "msg=\"shared session recovery keepalive stopped\" NAME recovery_keepalive_mode=psi duration=4.5s \
             bytes=2475000 chunks=40",
        ),
        (
            transition(ABOUT, &boundary),
            "msg=\"shared session recovery transition\" NAME transition=live_to_keepalive \
             signals_applied=disc,cc stitch_applied=false",
        ),
        (
            transition(ABOUT, &Transition { signal_skips: "idr_not_ready", ..boundary }),
            "msg=\"shared session recovery transition\" NAME transition=live_to_keepalive \
             signals_applied=disc,cc signal_skips=idr_not_ready stitch_applied=false",
        ),
    ] {
        assert_eq!(line.to_string(), told.replace("NAME", NAME));
    }
}

#[test]
fn viewers_are_told_with_why_they_went() {
    let whose = "session_id=7 channel_id=42 guide_number=101 subscriber_id=3 client_addr=192.168.1.10:40001";
    let lag = Lag { position: 10, tail: 188, head: 376, bytes: 366 };
    let (watched, blocked) = (Duration::from_secs(90), Duration::from_secs(6));
    let ended = |reason| stream_ended(ABOUT, viewer(), reason, watched, blocked, lag);
    for (line, told) in [
        (
            subscriber_connected(ABOUT, viewer(), 1),
            "msg=\"shared session subscriber connected\" WHOSE subscribers=1",
        ),
        (
            subscriber_disconnected(ABOUT, viewer(), CloseReason::HttpContextCanceled, 0, watched),
            "msg=\"shared session subscriber disconnected\" WHOSE close_reason=http_context_canceled \
             subscribers=0 duration=90s",
        ),
        (
            stream_started(ABOUT, viewer(), 1, "direct:source=8", 2),
            "msg=\"stream subscriber started\" WHOSE tuner_id=1 producer=\"direct:source=8\" subscribers=2",
        ),
        (
            slow_skip(ABOUT, viewer(), lag, 2),
            "msg=\"stream subscriber skipped forward due to lag\" WHOSE position=10 oldest_position=188 \
             newest_position=376 lag_bytes=366 slow_skip_logs_coalesced=2",
        ),
        (
            ended(CloseReason::SessionClosed),
            "msg=\"stream subscriber ended\" WHOSE close_reason=session_closed duration=90s",
        ),
        (
            ended(CloseReason::HttpContextCanceled),
            "msg=\"stream subscriber canceled\" WHOSE close_reason=http_context_canceled duration=90s",
        ),
        (
            ended(CloseReason::SlowClientLagged),
            "msg=\"stream subscriber disconnected due to lag\" WHOSE close_reason=slow_client_lagged \
             duration=90s position=10 oldest_position=188 newest_position=376 lag_bytes=366",
        ),
        (
            ended(CloseReason::StreamWriteError),
            "msg=\"stream subscriber ended with error\" WHOSE close_reason=stream_write_error duration=90s \
             blocked=6s",
        ),
        (
            ended(CloseReason::CoreSaturated),
            "msg=\"stream subscriber ended because its core is saturated\" WHOSE \
             close_reason=core_saturated duration=90s",
        ),
    ] {
        assert_eq!(line.to_string(), told.replace("WHOSE", whose));
    }
}

#[test]
fn the_end_of_a_session_is_a_warning_when_it_failed() {
    for (outcome, level, told) in [
        (Outcome::Completed, log::Level::Info, "stopped\" NAME terminal_status=completed duration=2s"),
        (
            Outcome::Canceled("canceled".to_owned()),
            log::Level::Info,
            "stopped\" NAME terminal_status=canceled error=canceled duration=2s",
        ),
        (
            Outcome::Failed("source ended".to_owned()),
            log::Level::Warn,
            "stopped with error\" NAME terminal_status=error error=\"source ended\" duration=2s",
        ),
    ] {
        let (found, line) = session_stopped(ABOUT, &outcome, Duration::from_secs(2));
        assert_eq!(found, level);
        assert_eq!(line.to_string(), format!("msg=\"shared stream session {}", told.replace("NAME", NAME)));
    }
}

#[test]
fn thousands_who_go_at_once_are_not_told_one_by_one_unless_something_is_wrong() {
    for (reason, few, many) in [
        (CloseReason::SessionClosed, log::Level::Info, log::Level::Debug),
        (CloseReason::HttpContextCanceled, log::Level::Info, log::Level::Debug),
        (CloseReason::CoreSaturated, log::Level::Info, log::Level::Debug),
        (CloseReason::SlowClientLagged, log::Level::Warn, log::Level::Warn),
        (CloseReason::StreamWriteError, log::Level::Warn, log::Level::Warn),
    ] {
        assert_eq!((stream_ended_level(reason, 64), stream_ended_level(reason, 65)), (few, many));
    }
}

#[test]
fn a_line_that_says_the_same_within_a_second_is_kept_back_and_counted() {
    let mut log = Coalesced::default();
    for (millis, what, due) in [
        (0, "a:stall", Some(0)),
        (400, "a:stall", None),
        (999, "a:stall", None),
        (1_000, "a:stall", Some(2)),
        (1_001, "b:stall", Some(0)),
        (1_002, "b:source_eof", Some(0)),
        (1_003, "a:stall", Some(0)),
        (1_004, "a:stall", None),
    ] {
        assert_eq!(log.due(Instant::from_millis(millis), what), due, "{what} at {millis}");
    }
}
