//! What HDHomeRun clients are told of tuners.

use super::world::{first_core, lease, streaming, viewer};
use crate::engine::snapshot::{CoreSnapshot, TunersSnapshot};
use crate::status::DeviceTuner;
use crate::tuner::pool::Kind;

/// Three tuners: one that is watched, one that is probed, one that is idle.
fn cores() -> Vec<CoreSnapshot> {
    let mut session = streaming(1, 0);
    session.record.guide_name = "News  One & \u{1F4FA}".to_owned();
    session.bitrate_bps = 4_500_000;
    session.viewers = vec![viewer(2, 300), viewer(1, 200)];
    let leases = vec![lease(0, Kind::Client, "101", 1), lease(1, Kind::Probe, "probe:a", 9)];
    let mut core = first_core(leases.clone(), vec![session]);
    core.tuners = Some(TunersSnapshot { count: 3, in_use: 2, leases });
    vec![core]
}

#[test]
fn a_tuner_that_is_watched_shows_its_channel_and_all_others_are_idle() {
    assert_eq!(
        serde_json::to_string(&DeviceTuner::all(&cores())).unwrap(),
        concat!(
            r#"[{"Resource":"tuner0","VctNumber":"101","VctName":"News  One & \u{1F4FA}","SignalStrengthPercent":100,"#,
            r#""SignalQualityPercent":100,"SymbolQualityPercent":100,"NetworkRate":4500000,"TargetIP":"192.168.1.10"},"#,
            r#"{"Resource":"tuner1"},{"Resource":"tuner2"}]"#
        ).replace(r"\u{1F4FA}", "\u{1F4FA}")
    );
}

#[test]
fn the_status_of_one_tuner_is_words_without_spaces() {
    let cores = cores();
    let shown: Vec<_> = DeviceTuner::all(&cores).iter().map(DeviceTuner::vstatus).collect();
    let idle = "vch=none name=none auth=none cci=none cgms=none";
    assert_eq!(shown, ["vch=101 name=News_One_&_\u{1F4FA} auth=subscribed cci=none cgms=none", idle, idle,]);
}

#[test]
fn cores_that_know_of_no_tuners_show_none() {
    assert_eq!(DeviceTuner::all(&[]), []);
}
