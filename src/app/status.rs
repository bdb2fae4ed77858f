//! `tunerd status`: what a running tunerd is doing, on one screen.

use std::fmt::Write as _;
use std::io::Write as _;

use serde_json::Value;

use tunerd::base::Clock;
use tunerd::config::Loaded;
use tunerd::exit::ExitCode;

use super::server::Server;
use super::{Failure, visit};

/// What is asked for.
pub(crate) const DOCUMENT: &str = "/api/admin/tuners?format=2";
/// Channels on one screen.
const CHANNELS_SHOWN_MAX: usize = 40;

/// Asks, prints, and ends.
pub(crate) fn status(loaded: &Loaded, url: Option<&str>) -> Result<ExitCode, Failure> {
    let asked = Server::of(loaded, url);
    let asked = asked.and_then(|server| server.get(&Clock::start(), visit::START_TIME, DOCUMENT));
    let document: Value = asked.map_err(|error| Failure::new(ExitCode::Failure, error))?;
    // Whoever reads only the first line and goes has what it wanted.
    let _closed = std::io::stdout().write_all(screen(&document).as_bytes());
    Ok(ExitCode::Ok)
}

fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or(0)
}

/// A text of the document as it may stand on a terminal: nothing in it moves the cursor.
fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().chars().filter(|letter| !letter.is_control()).collect()
}

fn cut(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    text.chars().take(columns.saturating_sub(1)).chain(['…']).collect()
}

fn state(row: &Value) -> &'static str {
    let is_filled = !text(row, "recovery_keepalive_mode").is_empty();
    match text(row, "state").as_str() {
        "probe" => "is tried",
        "idle_grace_no_subscribers" => "idle",
        "allocating_session" => "starting",
        _ if is_filled || text(row, "activity") == "recovering" => "recovering",
        _ if number(row, "source_id") == 0 => "starting",
        _ => "playing",
    }
}

/// The document on one screen of 80 columns.
fn screen(document: &Value) -> String {
    let rows = document["tuners"].as_array().map_or(&[][..], Vec::as_slice);
    let viewers = document["client_streams"].as_array().map_or(0, Vec::len);
    let (count, in_use) = (number(document, "tuner_count"), number(document, "in_use_count"));
    let mut out = format!(
        "{in_use} of {count} tuners in use, {viewers} watching, at {}\n",
        text(document, "generated_at")
    );
    let push = |out: &mut String, line: String| writeln!(out, "{line}").expect("a String takes everything");
    if !rows.is_empty() {
        push(
            &mut out,
            format!(
                "\n{:>6} {:<22} {:<10} {:>7} {:>7}  {}",
                "number", "name", "state", "Mbit/s", "viewers", "source"
            ),
        );
    }
    for row in rows.iter().take(CHANNELS_SHOWN_MAX) {
        let watching = row["subscribers"].as_array().map_or(0, Vec::len);
        let tenths = number(row, "current_bitrate_bps") / 100_000;
        let picture = [text(row, "resolution"), text(row, "video_codec"), text(row, "audio_codec")];
        let picture: Vec<_> = picture.into_iter().filter(|word| !word.is_empty()).collect();
        let recoveries = match number(row, "recovery_cycle") {
            0 => String::new(),
            many => format!(", recovered {many}× ({})", text(row, "recovery_reason")),
        };
        push(
            &mut out,
            format!(
                "{:>6} {:<22} {:<10} {:>5}.{} {watching:>7}  {}",
                cut(&text(row, "guide_number"), 6),
                cut(&text(row, "guide_name"), 22),
                state(row),
                tenths / 10,
                tenths % 10,
                cut(&format!("{} {}{recoveries}", number(row, "source_id"), picture.join(" ")), 60),
            ),
        );
    }
    if rows.len() > CHANNELS_SHOWN_MAX {
        push(&mut out, format!("       and {} more", rows.len() - CHANNELS_SHOWN_MAX));
    }
    for core in document["cores"].as_array().into_iter().flatten().filter(|core| core["is_saturated"] == true)
    {
        push(
            &mut out,
            format!("core {} has more to do than it can, and takes nobody in", number(core, "core")),
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_document_fits_on_a_screen_and_says_what_is_going_on() {
        let document = json!({
            "generated_at": "2026-03-01T20:15:00Z", "tuner_count": 4, "in_use_count": 2,
            "client_streams": [{}, {}, {}],
            "tuners": [
                {"guide_number": "101", "guide_name": "News One with a name that is long", "state": "active_subscribers",
                 "source_id": 8, "current_bitrate_bps": 8_140_000, "resolution": "1280x720", "video_codec": "h264",
                 "audio_codec": "aac", "recovery_cycle": 2, "recovery_reason": "stall", "subscribers": [{}, {}, {}]},
                {"guide_number": "102", "guide_name": "\u{1b}[2JX", "state": "active_subscribers", "subscribers": []},
            ],
            "cores": [{"core": 1, "is_saturated": true}],
        });
        let shown = screen(&document);
        assert_eq!(
            shown,
            "2 of 4 tuners in use, 3 watching, at 2026-03-01T20:15:00Z\n\n\
             number name                   state       Mbit/s viewers  source\n\
             \u{20}  101 News One with a name … playing        8.1       3  8 1280x720 h264 aac, recovered 2× (stall)\n\
             \u{20}  102 [2JX                   starting       0.0       0  0 \n\
             core 1 has more to do than it can, and takes nobody in\n"
        );
        assert_eq!(screen(&json!({})), "0 of 0 tuners in use, 0 watching, at \n");
    }
}
