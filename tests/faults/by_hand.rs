//! A long evening: the source is lost, the slate is shown, the backup plays, and the administrator asks for another.

use std::time::Duration;

use serde_json::json;

use crate::judge::{Rules, judge};
use crate::kit::{LONG, Stopwatch, Viewer, until};
use crate::provider::{Act, Fault, Make, Plan, Provider, Refusal, When};
use crate::recorder::record;
use crate::scenario::{Baseline, STALL_DETECT, channel, is_all, is_chosen, keep_log, start, write_down};

/// How long each of primary, backup and primary again plays, the default and the long version.
const PHASE: Duration = Duration::from_secs(16);
const LONG_PHASE: Duration = Duration::from_secs(55);

#[test]
fn a_direct_evening_goes_from_the_primary_to_the_slate_to_the_backup_and_by_hand_to_the_primary() {
    play("direct");
}

#[test]
fn a_copied_evening_goes_from_the_primary_to_the_slate_to_the_backup_and_by_hand_to_the_primary() {
    play("ffmpeg-copy");
}

#[test]
fn a_transcoded_evening_goes_from_the_primary_to_the_slate_to_the_backup_and_by_hand_to_the_primary() {
    play("ffmpeg-transcode");
}

fn play(mode: &str) {
    let name = &format!("by-hand/{mode}");
    if !is_chosen(name, true) {
        return;
    }
    let phase = if is_all() { LONG_PHASE } else { PHASE };
    let clock = Stopwatch::start();
    let mut daemon = start(mode, "slate_av");
    let lost = [Act::Fail(When::After(phase), Fault::Silence), Act::Play];
    let primary = Provider::start(clock, Plan::new(Make::Primary, &lost));
    // The slate is shown for as long as a source may take to start.
    let slow = [Act::Refuse(Refusal::Nothing), Act::Play];
    let backup = Provider::start(clock, Plan::new(Make::Backup, &slow));
    let (id, path) = channel(&mut daemon, 0, &[&primary, &backup]);
    let baseline = Baseline::of(&daemon);
    let recording = std::thread::scope(|scope| {
        let viewer = Viewer::open(daemon.port(), &path);
        let again = || primary.connections().get(1).and_then(|connection| connection.played);
        let enough = move |now| again().is_some_and(|played| now > played + phase);
        let watching = scope.spawn(move || record(viewer, clock, phase * 4 + LONG, enough));
        let played = until(phase * 2 + LONG, "the backup plays", || backup.played());
        until(phase + LONG, "it has played for a while", || (clock.elapsed() > played + phase).then_some(()));
        let answer =
            daemon.ask("POST", "/api/admin/tuners/recovery", &json!({ "channel_id": id }).to_string());
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        assert_eq!(answer.json()["accepted"], true);
        watching.join().unwrap()
    });
    let again = primary.connections().get(1).and_then(|connection| connection.played);
    let leads = Make::Primary.media().leads.or(Make::Backup.media().leads);
    let rules = Rules {
        silence: STALL_DETECT + Duration::from_secs(1),
        further: [backup.played(), again],
        late: primary.late().max(backup.late()),
        ..Rules::of_sources(mode, leads)
    };
    let verdict = judge(&recording, &rules, &write_down(name));
    eprintln!(
        "{name}: {:.1} s, plays for {:.1} s, at most {} ms without a byte, asked {}+{} times",
        verdict.wall.as_secs_f64(),
        verdict.plays.as_secs_f64(),
        verdict.longest_gap.0.as_millis(),
        primary.connections().len(),
        backup.connections().len(),
    );
    let mut wrong = verdict.lines();
    wrong.extend(baseline.leftovers(&daemon, [&primary, &backup].into_iter()));
    let asked = (primary.connections().len(), backup.connections().len());
    if asked != (2, 2) {
        wrong.push(format!("the providers were asked {asked:?} times"));
    }
    keep_log(name, &daemon, &wrong);
    drop(daemon);
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}
