//! What is said of a source.

use std::time::Duration;

use serde_json::Value;

use super::advice::fault;

/// Entry points further apart than this keep whoever joins waiting.
const ENTRY_POINTS_APART_MAX: Duration = Duration::from_secs(5);
/// The programme's clock is wanted at least this often.
const CLOCK_APART_MAX: Duration = Duration::from_millis(200);

/// How far apart some things were.
#[derive(Default)]
pub(super) struct Distances {
    count: u32,
    sum: Duration,
    most: Duration,
}

impl Distances {
    /// One more, in ticks of so many a second; nothing where there is no distance, or time went back.
    pub(super) fn note(&mut self, ticks: Option<i64>, rate: u64) {
        let Some(ticks) = ticks.and_then(|ticks| u64::try_from(ticks).ok()) else { return };
        let apart = Duration::from_micros(ticks.saturating_mul(1_000_000) / rate);
        self.count += 1;
        self.sum += apart;
        self.most = self.most.max(apart);
    }

    fn said(&self) -> String {
        match self.count {
            0 => "not seen twice".to_owned(),
            count => format!("every {}, {} at the most", short(self.sum / count), short(self.most)),
        }
    }
}

fn short(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

/// What a viewer saw.
#[derive(Default)]
pub(super) struct Played {
    pub(super) first_byte_after: Duration,
    pub(super) watched: Duration,
    pub(super) bytes: u64,
    /// The number of the programme that is shown.
    pub(super) programme: Option<u16>,
    pub(super) video_streams: usize,
    pub(super) audio_streams: usize,
    pub(super) has_picture: bool,
    pub(super) has_sound: bool,
    pub(super) entry_points: Distances,
    pub(super) clock: Distances,
    pub(super) continuity_gaps: u64,
    /// The stream ended by itself.
    pub(super) ended_after: Option<Duration>,
    /// The tuner's row of the status document.
    pub(super) row: Value,
    /// Why the source was lost.
    pub(super) failure: Option<String>,
}

/// What is said.
pub(super) struct Report {
    lines: Vec<String>,
    plays: bool,
}

impl Report {
    /// Whether the source can be played.
    pub(super) fn plays(&self) -> bool {
        self.plays
    }

    pub(super) fn text(&self) -> String {
        self.lines.join("\n") + "\n"
    }

    /// It could not be started.
    pub(super) fn failed(url: &str, reason: &str) -> Self {
        let fault = fault(reason);
        let lines = vec![
            url.to_owned(),
            "It cannot be played.".to_owned(),
            format!("  wrong:  {}", fault.wrong),
            format!("  said:   {}", if reason.is_empty() { "nothing" } else { reason }),
            format!("  do:     {}", fault.todo),
        ];
        Self { lines, plays: false }
    }

    /// It was watched for a while.
    pub(super) fn played(url: &str, played: &Played) -> Self {
        let row = &played.row;
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let or_unknown = |text: String| if text.is_empty() { "not known".to_owned() } else { text };
        let producer = text("producer");
        let by = match producer.split(':').next().unwrap_or_default() {
            "" => "not known".to_owned(),
            "direct" => "MPEG-TS, read by tunerd itself".to_owned(),
            mode => format!("read by {mode}"),
        };
        let rate = row["frame_rate"].as_f64().map(|rate| format!("{rate:.2} pictures a second"));
        let picture: Vec<_> =
            [Some(text("resolution")), rate, Some(text("video_codec"))].into_iter().flatten().collect();
        let picture: Vec<_> = picture.into_iter().filter(|piece| !piece.is_empty()).collect();
        let seconds = played.watched.as_secs_f64().max(0.1);
        let measured = played.bytes as f64 * 8.0 / seconds / 1e6;
        let told = row["current_bitrate_bps"].as_u64().map_or(measured, |bits| bits as f64 / 1e6);
        let streams =
            |count: usize| if count == 1 { "1 stream".to_owned() } else { format!("{count} streams") };
        let mut lines = vec![
            url.to_owned(),
            format!("It plays: the first bytes came after {}.", short(played.first_byte_after)),
            format!("  container:     {by}"),
            format!(
                "  programme:     {}",
                played.programme.map_or("not known".to_owned(), |number| number.to_string())
            ),
            format!("  picture:       {}, {}", or_unknown(picture.join(", ")), streams(played.video_streams)),
            format!(
                "  sound:         {}, {}",
                or_unknown(text("audio_codec")),
                streams(played.audio_streams)
            ),
            format!("  bitrate:       {told:.1} Mbit/s"),
            format!("  entry points:  {}", played.entry_points.said()),
            format!("  clock (PCR):   {}", played.clock.said()),
            format!("  holes:         {} (continuity errors)", played.continuity_gaps),
        ];
        let (wrong, plays) = Self::faults(played);
        if wrong.is_empty() {
            lines.push("Nothing is wrong with it.".to_owned());
        }
        if !plays {
            "It cannot be played for long.".clone_into(&mut lines[1]);
        }
        lines.extend(wrong);
        Self { lines, plays }
    }

    /// What is wrong with what can be seen, and whether it can be played all the same.
    fn faults(played: &Played) -> (Vec<String>, bool) {
        let mut wrong = Vec::new();
        let mut say = |what: String, todo: &str| {
            wrong.push(format!("  wrong:  {what}"));
            wrong.push(format!("  do:     {todo}"));
        };
        let mut plays = true;
        if let Some(after) = played.ended_after {
            plays = false;
            say(format!("The stream ended after {}.", short(after)), "Use another source.");
        } else if played.row["recovery_cycle"].as_u64() > Some(0) {
            plays = false;
            let why = match played.row["recovery_reason"].as_str().unwrap_or_default() {
                "stall" => "it sent nothing that moves the picture",
                "source_eof" => "it ended",
                _ => "it failed",
            };
            let said = played.failure.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"));
            let what = format!("It was lost while it was watched: {why}{said}.");
            let todo = played
                .failure
                .as_deref()
                .map_or("Give the channel another source as well.", |reason| fault(reason).todo);
            say(what, todo);
        }
        if !played.has_picture {
            say(
                "It has no picture: only sound comes.".to_owned(),
                "That is right for radio; else use another source.",
            );
        }
        if !played.has_sound {
            say(
                "It has no sound: it is silent on every player.".to_owned(),
                "Try STREAM_MODE=ffmpeg-copy, or use another source.",
            );
        }
        if played.has_picture && played.entry_points.most > ENTRY_POINTS_APART_MAX {
            let most = short(played.entry_points.most);
            say(
                format!("Entry points are rare: whoever joins waits up to {most} for a picture."),
                "Set STREAM_MODE=ffmpeg-transcode, which makes its own.",
            );
        } else if played.has_picture && played.entry_points.count == 0 && plays {
            say(
                format!("Entry points are rare: no two came within {}.", short(played.watched)),
                "Set STREAM_MODE=ffmpeg-transcode, which makes its own.",
            );
        }
        if played.clock.most > CLOCK_APART_MAX {
            let most = short(played.clock.most);
            say(
                format!("Its clock (PCR) is rare: up to {most} apart, where players want one every 100 ms."),
                "Try STREAM_MODE=ffmpeg-copy, which writes its own.",
            );
        }
        if played.continuity_gaps > 0 {
            say(
                format!(
                    "{} packets or runs of packets were lost before they reached us: the picture breaks up.",
                    played.continuity_gaps
                ),
                "Try another source, or a cable instead of Wi-Fi.",
            );
        }
        (wrong, plays)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn played() -> Played {
        let mut played = Played {
            first_byte_after: Duration::from_millis(420),
            watched: Duration::from_secs(8),
            bytes: 4_000_000,
            programme: Some(7),
            video_streams: 1,
            audio_streams: 2,
            has_picture: true,
            has_sound: true,
            row: json!({"producer": "direct:source=1", "resolution": "1280x720", "frame_rate": 25, "video_codec": "h264",
                "audio_codec": "aac", "current_bitrate_bps": 4_100_000, "recovery_cycle": 0}),
            ..Played::default()
        };
        played.entry_points.note(Some(90_000), 90_000);
        played.entry_points.note(Some(180_000), 90_000);
        played.clock.note(Some(1_080_000), 27_000_000);
        played
    }

    #[test]
    fn a_good_source_is_described() {
        let report = Report::played("http://host/1.ts", &played());
        let text = report.text();
        assert!(report.plays());
        for piece in [
            "It plays: the first bytes came after 420 ms.",
            "MPEG-TS, read by tunerd itself",
            "programme:     7",
            "1280x720, 25.00 pictures a second, h264, 1 stream",
            "aac, 2 streams",
            "4.1 Mbit/s",
            "every 1.5 s, 2.0 s at the most",
            "every 40 ms, 40 ms at the most",
            "Nothing is wrong with it.",
        ] {
            assert!(text.contains(piece), "{piece}: {text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_what_helps() {
        let mut bad = played();
        bad.has_sound = false;
        bad.entry_points.note(Some(900_000), 90_000);
        bad.clock.note(Some(27_000_000), 27_000_000);
        bad.continuity_gaps = 3;
        let report = Report::played("u", &bad);
        let text = report.text();
        assert!(report.plays(), "it is bad, but it plays");
        for piece in ["no sound", "up to 10.0 s for a picture", "up to 1.0 s apart", "breaks up"] {
            assert!(text.contains(piece), "{piece}: {text}");
        }
        assert!(!text.contains("Nothing is wrong"));
        bad.row["recovery_cycle"] = json!(1);
        bad.row["recovery_reason"] = json!("stall");
        let report = Report::played("u", &bad);
        assert!(!report.plays() && report.text().contains("sent nothing that moves the picture"));
        let report = Report::failed("u", "upstream returned status 404: gone");
        assert!(!report.plays() && report.text().contains("said:   upstream returned status 404: gone"));
    }
}
