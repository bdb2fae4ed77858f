//! Which of a channel's sources is best, by what is known of them. Pure.

use crate::store::SourceRecord;
use crate::ts::codec_name;
use crate::ts::es::FrameRate;

/// A failure counts against a source for so long, in seconds.
const RECENT_SECONDS: u64 = 30 * 60;
/// What frames a second are taken for that nobody has counted.
const FPS_UNKNOWN: f64 = 25.0;

/// How good a source is; the greater the better, piece by piece.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug)]
struct Score {
    /// It works: neither did it fail just now, nor is it left alone.
    works: bool,
    /// Something is known of its picture.
    is_known: bool,
    /// Lines of the picture, in steps that matter.
    lines: u32,
    /// Above 40 frames a second.
    is_smooth: bool,
    has_sound: bool,
    /// Rate in steps of a third, what a modern codec saves put on top.
    rate: u32,
}

/// The ids of sources, best first. Equal ones stay in their order, and so do those that are disabled, behind all others. `failed` are
/// those that could not be tried just now; `now` is in seconds since 1970.
pub(super) fn ordered(sources: &[SourceRecord], failed: &[i64], now: u64) -> Vec<i64> {
    let mut ranked: Vec<(bool, Score, i64)> = sources
        .iter()
        .map(|source| {
            (source.enabled, score(source, failed.contains(&source.source_id), now), source.source_id)
        })
        .collect();
    ranked.sort_by(|(one_is_on, one, _), (other_is_on, other, _)| {
        let by_score = if *one_is_on { other.partial_cmp(one) } else { None };
        other_is_on.cmp(one_is_on).then(by_score.unwrap_or(std::cmp::Ordering::Equal))
    });
    ranked.into_iter().map(|(_, _, id)| id).collect()
}

fn score(source: &SourceRecord, has_failed: bool, now: u64) -> Score {
    let (health, stream) = (&source.health, &source.profile.stream);
    let is_failing =
        health.last_fail_at > health.last_ok_at && now.saturating_sub(health.last_fail_at) < RECENT_SECONDS;
    let fps = stream.frame_rate.map_or(FPS_UNKNOWN, FrameRate::as_f64);
    Score {
        works: !has_failed && !is_failing && health.cooldown_until <= now,
        is_known: stream.height > 0,
        lines: lines(stream.height),
        is_smooth: fps > 40.0,
        has_sound: stream.audio_codec.is_some(),
        rate: rate(stream.bitrate_bps, codec_name(stream.video_codec.as_ref())),
    }
}

/// 1080 and 1088 lines are the same.
const fn lines(height: u32) -> u32 {
    match height {
        0 => 0,
        1..=400 => 360,
        401..=500 => 480,
        501..=650 => 576,
        651..=900 => 720,
        901..=1300 => 1080,
        1301..=1700 => 1440,
        _ => 2160,
    }
}

/// Half a rate is visible; what is less than a step of a quarter is not.
fn rate(bits_per_second: u64, codec: &str) -> u32 {
    let effective = match codec {
        "hevc" | "h265" | "av1" => bits_per_second.saturating_mul(2),
        "mpeg2video" | "mpeg2" => bits_per_second / 2,
        _other => bits_per_second,
    };
    // Steps of a third of a doubling.
    let (mut step, mut bound) = (0, 100_000_u64);
    while bound < effective && step < 40 {
        bound += bound / 4 + 1;
        step += 1;
    }
    step
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lineup::{Health, StreamProfile};
    use crate::ts::ProfileCodec;

    fn source(source_id: i64, height: u32, codecs: &str, mbit: u64) -> SourceRecord {
        let (video, audio) = codecs.split_once('+').unwrap_or((codecs, ""));
        let stream = StreamProfile {
            height,
            video_codec: ProfileCodec::of_name(video),
            audio_codec: ProfileCodec::of_name(audio),
            bitrate_bps: mbit * 1_000_000,
            ..StreamProfile::default()
        };
        SourceRecord::showing(source_id, stream)
    }

    #[test]
    fn sources_are_ordered_by_behaviour_picture_sound_and_rate() {
        let failing = Health { last_ok_at: 100, last_fail_at: 9_000, ..Health::default() };
        let cooling = Health { cooldown_until: 10_001, ..Health::default() };
        let with = |health: &Health, source: SourceRecord| SourceRecord { health: health.clone(), ..source };
        let smooth = |mut source: SourceRecord| {
            source.profile.stream.frame_rate = FrameRate::new(50, 1);
            source
        };
        for (name, sources, failed, expected) in [
            (
                "by lines",
                vec![source(1, 576, "h264+aac", 4), source(2, 1080, "h264+aac", 4)],
                vec![],
                [2, 1].as_slice(),
            ),
            ("unknown last", vec![source(1, 0, "", 0), source(2, 360, "h264+aac", 1)], vec![], &[2, 1]),
            (
                "equal stays",
                vec![source(2, 1080, "h264+aac", 8), source(1, 1088, "h264+aac", 8)],
                vec![],
                &[2, 1],
            ),
            (
                "less than a step is nothing",
                vec![source(1, 1080, "h264+aac", 12), source(2, 1080, "h264+aac", 13)],
                vec![],
                &[1, 2],
            ),
            (
                "half is much",
                vec![source(1, 1080, "h264+aac", 4), source(2, 1080, "h264+aac", 8)],
                vec![],
                &[2, 1],
            ),
            (
                "a better codec",
                vec![source(1, 1080, "mpeg2video+mp2", 8), source(2, 1080, "hevc+aac", 6)],
                vec![],
                &[2, 1],
            ),
            ("sound", vec![source(1, 1080, "h264", 8), source(2, 1080, "h264+aac", 4)], vec![], &[2, 1]),
            (
                "frames",
                vec![source(1, 720, "h264+aac", 8), smooth(source(2, 720, "h264+aac", 4))],
                vec![],
                &[2, 1],
            ),
            (
                "what has failed",
                vec![source(1, 2160, "hevc+aac", 20), source(2, 576, "h264+aac", 2)],
                vec![1],
                &[2, 1],
            ),
            (
                "what fails",
                vec![with(&failing, source(1, 2160, "h264+aac", 9)), source(2, 576, "h264+aac", 2)],
                vec![],
                &[2, 1],
            ),
            (
                "what cools",
                vec![with(&cooling, source(1, 2160, "h264+aac", 9)), source(2, 576, "h264+aac", 2)],
                vec![],
                &[2, 1],
            ),
            (
                "disabled ones last, as they are",
                vec![
                    SourceRecord { enabled: false, ..source(1, 576, "h264+aac", 4) },
                    SourceRecord { enabled: false, ..source(2, 1080, "h264+aac", 4) },
                    source(3, 360, "h264+aac", 1),
                ],
                vec![],
                &[3, 1, 2],
            ),
        ] {
            assert_eq!(ordered(&sources, &failed, 10_000), expected, "{name}");
        }
    }
}
