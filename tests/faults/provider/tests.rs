//! The providers before a strict viewer: each does what it is said to do.

use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use super::{Act, Fault, Make, Plan, Provider, Refusal, When};
use crate::judge::{Rules, Wrong, judge};
use crate::kit::{End, Stopwatch, Viewer};
use crate::recorder::{Recording, record};

const HEALTHY: Duration = Duration::from_secs(1);
const AFTER: Duration = Duration::from_millis(2500);

fn view(provider: &Provider) -> Viewer {
    let stream = TcpStream::connect(provider.address()).unwrap();
    Viewer::ask(stream, "GET /live.ts HTTP/1.1\r\nHost: provider\r\n\r\n")
}

/// What a viewer gets up to some time after things went wrong.
fn watch(provider: &Provider, clock: Stopwatch) -> Recording {
    record(view(provider), clock, Duration::from_secs(10), |now| {
        provider.failed().is_some_and(|failed| now > failed + AFTER)
    })
}

/// Each fault, and what it shows itself as.
const FAULTS: &[(Fault, Wrong)] = &[
    (Fault::Silence, Wrong::Silence),
    (Fault::Eof, Wrong::Ended),
    (Fault::Reset, Wrong::Ended),
    (Fault::Torn, Wrong::Ended),
    (Fault::GarbageOnce, Wrong::Sync),
    (Fault::Garbage, Wrong::Sync),
    (Fault::FrozenPcr, Wrong::Still),
    (Fault::NoVideo, Wrong::Missing),
    (Fault::OnlyNulls, Wrong::Missing),
    (Fault::Trickle, Wrong::Continuity),
    (Fault::Jump(3600 * 90_000), Wrong::TimeJump),
    (Fault::Jump(-10 * 90_000), Wrong::TimeBack),
    (Fault::Change(Make::Hevc), Wrong::Table),
];

#[test]
fn each_fault_shows_itself_to_a_strict_viewer_and_not_before_its_time() {
    let clock = Stopwatch::start();
    let watched: Vec<_> = FAULTS
        .iter()
        .map(|(fault, wrong)| {
            let script = [Act::Fail(When::After(HEALTHY), *fault)];
            let provider = Provider::start(clock, Plan::new(Make::SmallPrimary, &script));
            std::thread::spawn(move || (*fault, *wrong, watch(&provider, clock)))
        })
        .collect();
    let rules = Rules { silence: Duration::from_secs(1), ..Rules::default() };
    for (index, thread) in watched.into_iter().enumerate() {
        let (fault, wrong, recording) = thread.join().unwrap();
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("provider-{index}"));
        let verdict = judge(&recording, &rules, &path);
        let of_fault = verdict.findings.iter().find(|finding| finding.wrong == wrong);
        let found = of_fault.unwrap_or_else(|| panic!("{fault:?} shows as {:#?}", verdict.lines()));
        assert!(found.at + Duration::from_millis(100) > HEALTHY, "{fault:?}: {found}");
        let end = if fault == Fault::Reset { End::Reset } else { End::Finished };
        let end = (wrong == Wrong::Ended).then_some(end);
        assert_eq!(recording.end, end, "{fault:?}");
        assert_eq!(
            !recording.bytes.len().is_multiple_of(188),
            fault == Fault::Torn || fault == Fault::GarbageOnce
        );
    }
}

#[test]
fn refusals_are_answers_and_every_connection_is_counted() {
    let clock = Stopwatch::start();
    let refusals = [
        (Refusal::NotFound, 404, None),
        (Refusal::TooMany, 429, Some("Retry-After: 2")),
        (Refusal::Page, 200, None),
    ];
    let script: Vec<_> = refusals.iter().map(|(refusal, ..)| Act::Refuse(*refusal)).collect();
    let provider = Provider::start(
        clock,
        Plan { headers: "X-Own: 1\r\n".to_owned(), ..Plan::new(Make::SmallPrimary, &script) },
    );
    for (index, (refusal, status, line)) in refusals.into_iter().enumerate() {
        let viewer = view(&provider);
        assert_eq!((viewer.status(), provider.connections().len()), (status, index + 1), "{refusal:?}");
        assert!(viewer.head.contains("X-Own: 1"), "{}", viewer.head);
        assert!(line.is_none_or(|line| viewer.head.contains(line)), "{}", viewer.head);
    }
    assert_eq!(provider.played(), None);
}
