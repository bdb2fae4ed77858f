//! Whole screens at two sizes, compared with text files in `tests/screens`, and what keys do.

use std::path::PathBuf;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};
use serde_json::{Value, json};

use tunerd::base::Instant;

use super::document::{Document, SourceList};
use super::draw::draw;
use super::state::{Action, Key, State};

/// Narrow and wide.
const SIZES: [(u16, u16); 2] = [(80, 24), (200, 60)];

fn second(count: u64) -> Instant {
    Instant::from_nanos(count * 1_000_000_000)
}

/// So many seconds after the server has started, at 20:00.
fn time(second: u64) -> String {
    format!("2026-03-01T{:02}:{:02}:{:02}Z", 20 + second / 3600, second / 60 % 60, second % 60)
}

fn document(second: u64, rows: &[Value], streams: &[Value], history: &[Value]) -> Document {
    let value = json!({
        "format": 2, "generated_at": time(second), "started_at": time(0), "version": "0.1.0",
        "tuner_count": rows.len().max(4), "in_use_count": rows.len(), "tuners": rows, "client_streams": streams,
        "session_history": history,
        "cores": [
            {"core": 0, "sent_bytes_total": second * 2_150_000, "busy_us_total": second * 31_000, "is_saturated": false},
            {"core": 1, "sent_bytes_total": second * 400_000, "busy_us_total": second * 4_000, "is_saturated": false},
        ],
    });
    serde_json::from_value(value).unwrap()
}

fn row(number: &str, id: u64, name: &str, activity: &str) -> Value {
    json!({
        "kind": "client", "state": "active_subscribers", "guide_number": number, "guide_name": name, "channel_id": id,
        "activity": activity, "source_id": id * 10, "source_stream_url": format!("http://provider.example/…/{id}.ts"),
        "resolution": "1920x1080", "frame_rate": 50.0, "video_codec": "h264", "audio_codec": "ac3",
        "current_bitrate_bps": 8_140_000, "session_started_at": time(1), "last_source_selected_at": time(2),
        "recovery_cycle": 0,
    })
}

fn viewer(channel: u64, number: u64, bytes: u64) -> Value {
    json!({
        "channel_id": channel, "viewer_id": format!("{channel}-{number}"),
        "client_addr": format!("10.0.{}.{}:{}", number / 200, number % 200, 40_000 + number),
        "connected_at": time(10 * (number % 700)), "bytes_sent": bytes, "lag_bytes": 3_760 * number,
    })
}

fn sources(value: Value) -> SourceList {
    serde_json::from_value(json!({ "sources": value })).unwrap()
}

/// Three channels, of which the second has lost its source and the third has just been asked for.
fn three(state: &mut State) {
    for tick in 0..=60 {
        let now = 720 + tick;
        let mut steady = row("101", 1, "News One", "playing");
        steady["current_bitrate_bps"] = (4_000_000 + tick % 7 * 900_000).into();
        let mut lost = row("102", 2, "Filme mit Überlänge 日本 and a long name", "recovering");
        for (field, value) in [
            ("recovery_cycle", json!(2)),
            ("recovery_reason", json!("stall")),
            ("recovery_keepalive_mode", json!("slate_av")),
            ("recovery_keepalive_started_at", json!(time(776))),
            ("current_bitrate_bps", json!(if tick < 56 { 6_000_000 } else { 0 })),
            ("source_id", json!(21)),
        ] {
            lost[field] = value;
        }
        let new = json!({
            "kind": "client", "state": "active_subscribers", "guide_number": "1001", "guide_name": "Sport", "channel_id": 3,
            "activity": "starting", "session_started_at": time(778), "lease_started_at": time(778),
        });
        let probe = json!({"kind": "probe", "state": "probe", "guide_number": "probe:src:x"});
        let windows = json!([
            {"source_id": 20, "selected_at": time(2), "deselected_at": time(400), "selection_reason": "initial_startup"},
            {"source_id": 21, "selected_at": time(403), "selection_reason": "recovery_cycle_1:upstream_404"},
        ]);
        let history = [
            json!({"channel_id": 2, "active": false, "sources": [{"source_id": 99, "selected_at": time(1)}]}),
            json!({"channel_id": 1, "active": true, "sources": [
                {"source_id": 10, "selected_at": time(2), "selection_reason": "initial_startup"}]}),
            json!({"channel_id": 2, "active": true, "sources": windows}),
        ];
        let streams = [
            viewer(1, 1, tick * 600_000),
            viewer(1, 2, tick * 580_000),
            json!({"channel_id": 1, "viewer_id": "1-3", "client_addr": "[2001:db8::77]:51512", "connected_at": time(700),
                   "bytes_sent": 90_000_000, "lag_bytes": 0, "delivery": "hls", "user_agent": "VLC/3.0.21 \u{1b}[2J"}),
            viewer(2, 4, tick * 500_000),
            viewer(3, 5, 0),
        ];
        state.take(document(now, &[new, lost, steady, probe], &streams, &history), second(tick));
    }
    let good = json!({"source_id": 10, "tvg_name": "News One HD", "enabled": true});
    state.take_sources(
        1,
        sources(json!([good, {"source_id": 11, "tvg_name": "News One SD", "enabled": false}])),
    );
    let bad = json!({"source_id": 21, "tvg_name": "Filme", "enabled": true, "fail_count": 2, "last_fail_at": 1_772_395_976,
        "last_fail_reason": "stream pump stall detected", "cooldown_until": 1_772_396_006});
    state.take_sources(2, sources(json!([{"source_id": 20, "tvg_name": "Filme HD", "enabled": true}, bad])));
}

/// Many channels and many viewers.
fn many(state: &mut State) {
    let rows: Vec<_> =
        (1..=200).map(|id| row(&(100 + id).to_string(), id, &format!("Channel {id}"), "playing")).collect();
    let streams: Vec<_> = (0..5000).map(|number| viewer(1 + number % 200, number, 0)).collect();
    state.take(document(7200, &rows, &streams, &[]), second(0));
}

fn fresh() -> State {
    State::new("127.0.0.1:5004", false, second(0))
}

fn drawn(state: &State, (width, height): (u16, u16)) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(state, frame)).unwrap();
    terminal.backend().buffer().clone()
}

/// The letters of a screen. Behind a wide one there is nothing.
fn letters(buffer: &Buffer) -> String {
    use unicode_width::UnicodeWidthStr;
    let mut text = String::new();
    for y in 0..buffer.area.height {
        let (mut line, mut x) = (String::new(), 0);
        while x < buffer.area.width {
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            x += u16::try_from(symbol.width().max(1)).unwrap();
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Compares a screen at both sizes with its files. What is drawn instead is left in `target/screens`.
fn compare(name: &str, state: &State) {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = Vec::new();
    for (width, height) in SIZES {
        let found = letters(&drawn(state, (width, height)));
        let file = format!("{name}-{width}x{height}.txt");
        let expected = std::fs::read_to_string(root.join("tests/screens").join(&file)).unwrap_or_default();
        if found != expected {
            let folder = root.join("target/screens");
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(&file), &found).unwrap();
            wrong.push(format!("tests/screens/{file} is not what is drawn:\n{found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn press(state: &mut State, keys: &str) -> Vec<Action> {
    keys.chars().map(|letter| state.key(Key::Letter(letter))).collect()
}

#[test]
fn without_channels_all_is_quiet() {
    let mut state = fresh();
    state.take(document(10, &[], &[], &[]), second(0));
    state.take(document(11, &[], &[], &[]), second(1));
    compare("quiet", &state);
}

#[test]
fn three_channels_of_which_one_recovers_are_shown_with_all_that_is_known() {
    let mut state = fresh();
    three(&mut state);
    compare("three", &state);
    assert_eq!(state.wanted(), [1, 2, 3], "the chosen one first");
    state.key(Key::Down);
    compare("recovering", &state);
    assert_eq!(state.wanted(), [2, 1, 3]);
}

#[test]
fn of_many_channels_and_viewers_those_around_the_chosen_one_are_drawn() {
    let mut state = fresh();
    many(&mut state);
    for _ in 0..12 {
        state.key(Key::PageDown);
    }
    state.key(Key::Tab);
    state.key(Key::Down);
    compare("many", &state);
    state.key(Key::Escape);
    state.key(Key::End);
    assert!(letters(&drawn(&state, SIZES[0])).contains("›●   300 Channel 200"));
}

#[test]
fn a_server_that_is_away_is_told_of_in_place_and_what_was_known_stays() {
    let mut state = fresh();
    let why = "127.0.0.1:5004: Connection refused (os error 111); is tunerd running there?";
    state.lost(why, second(0));
    compare("never", &state);
    three(&mut state);
    state.lost(why, second(61));
    state.at(second(73));
    compare("away", &state);
    state.take(document(800, &[], &[], &[]), second(74));
    assert!(!letters(&drawn(&state, SIZES[0])).contains("No answer"));
}

#[test]
fn a_filter_leaves_those_that_are_called_so() {
    let mut state = fresh();
    three(&mut state);
    press(&mut state, "/ü");
    compare("filter", &state);
    press(&mut state, "q");
    assert!(letters(&drawn(&state, SIZES[0])).contains("No open channel has “üq”"), "q is a letter here");
    state.key(Key::Backspace);
    state.key(Key::Enter);
    assert!(letters(&drawn(&state, SIZES[0])).contains("1 of 1 with “ü”, 3 in all"));
    state.key(Key::Escape);
    assert!(letters(&drawn(&state, SIZES[0])).contains("2 of 3"), "what was chosen is still");
}

#[test]
fn help_lies_over_the_screen_until_a_key_is_pressed() {
    let mut state = fresh();
    three(&mut state);
    press(&mut state, "?");
    compare("help", &state);
    assert_eq!(press(&mut state, "q"), [Action::None]);
    assert!(!letters(&drawn(&state, SIZES[0])).contains("any key closes this"));
}

#[test]
fn what_cannot_be_taken_back_is_asked_once_and_done_for_y_alone() {
    let mut state = fresh();
    three(&mut state);
    press(&mut state, "r");
    compare("confirm", &state);
    assert_eq!(press(&mut state, "n"), [Action::None]);
    assert_eq!(press(&mut state, "ry"), [Action::None, Action::Recover(1)]);
    state.key(Key::Tab);
    state.key(Key::Down);
    assert_eq!(press(&mut state, "x"), [Action::None]);
    assert!(letters(&drawn(&state, SIZES[0])).contains("Disconnect 10.0.0.2:40002?  y: yes"));
    assert_eq!(press(&mut state, "y"), [Action::Kick("1-2".to_owned())]);
    assert_eq!(
        press(&mut state, "xqy"),
        [const { Action::None }; 3],
        "any other key is no, and y alone is nothing"
    );
    assert_eq!(press(&mut state, "q"), [Action::Quit]);
}

#[test]
fn a_wish_about_nothing_asks_nothing() {
    let mut state = fresh();
    assert_eq!(press(&mut state, "rxyrky"), [const { Action::None }; 6]);
}

#[test]
fn what_came_of_a_wish_is_told_for_some_seconds() {
    let mut state = fresh();
    three(&mut state);
    let last = |state: &State| letters(&drawn(state, SIZES[0])).lines().last().unwrap().to_owned();
    state.told(Err("the answer is HTTP/1.1 404 Not Found"), second(70));
    assert_eq!(last(&state), " ■ the answer is HTTP/1.1 404 Not Found");
    state.at(second(75));
    assert!(last(&state).contains("404"));
    state.at(second(76));
    assert!(last(&state).contains("q quit"));
}

#[test]
fn what_is_chosen_stays_chosen_while_others_come_and_go() {
    let mut state = fresh();
    let rows = |numbers: &[&str]| -> Vec<Value> {
        numbers.iter().zip(1..).map(|(number, id)| row(number, id, "name", "playing")).collect()
    };
    let chosen = |state: &State| {
        let text = letters(&drawn(state, SIZES[0]));
        let line = text.lines().find(|line| line.starts_with('›')).map(str::to_owned);
        line.and_then(|line| line.split_whitespace().nth(1).map(str::to_owned))
    };
    state.take(document(1, &rows(&["101", "102", "103"]), &[], &[]), second(1));
    state.key(Key::Down);
    assert_eq!(chosen(&state).as_deref(), Some("102"));
    state.take(document(2, &rows(&["99", "100", "101", "102"]), &[], &[]), second(2));
    assert_eq!(chosen(&state).as_deref(), Some("102"));
    state.take(document(3, &rows(&["99", "100"]), &[], &[]), second(3));
    assert_eq!(chosen(&state).as_deref(), Some("100"), "its neighbour");
    state.take(document(4, &[], &[], &[]), second(4));
    assert_eq!(chosen(&state), None);
    state.take(document(5, &rows(&["7"]), &[], &[]), second(5));
    assert_eq!(chosen(&state).as_deref(), Some("7"));
}

#[test]
fn a_server_that_began_anew_has_no_rates_before_the_second_answer() {
    let mut state = fresh();
    three(&mut state);
    let mut document = document(900, &[row("101", 1, "News One", "playing")], &[viewer(1, 1, 5)], &[]);
    document.started_at = super::document::Millis(1_772_396_300_000);
    state.take(document, second(61));
    let text = letters(&drawn(&state, SIZES[0]));
    assert!(text.contains("· – out · load of 2 cores –"), "{text}");
    assert!(text.contains("› 10.0.0.1:40001") && !text.contains("1844674"), "{text}");
}

#[test]
fn every_size_can_be_drawn_and_no_line_wraps() {
    let mut state = fresh();
    three(&mut state);
    for (width, height) in
        (1..260).step_by(7).flat_map(|width| (1..70).step_by(3).map(move |height| (width, height)))
    {
        let buffer = drawn(&state, (width, height));
        if width >= 40 && height >= 10 {
            let text = letters(&buffer);
            let last = text.lines().last().unwrap();
            assert!(last.contains("choose"), "{width}x{height}: {last}");
            assert!(text.lines().nth(4).unwrap().contains("101"), "{width}x{height}:\n{text}");
        }
    }
}

#[test]
fn without_colour_there_is_none_and_with_it_the_state_has_one() {
    let coloured = |state: &State| {
        let buffer = drawn(state, SIZES[0]);
        buffer.content().iter().filter(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset).count()
    };
    let mut state = fresh();
    three(&mut state);
    assert_eq!(coloured(&state), 0);
    let mut state = State::new("127.0.0.1:5004", true, second(0));
    three(&mut state);
    assert!(coloured(&state) > 0);
    let buffer = drawn(&state, SIZES[0]);
    let reversed = |y: u16| buffer[(5, y)].modifier.contains(Modifier::REVERSED);
    assert!(reversed(4) && !reversed(5), "the chosen row is the one that is turned");
}

#[test]
fn bytes_of_a_server_do_nothing_to_the_terminal() {
    let mut state = fresh();
    three(&mut state);
    let evil = row("10\u{1b}[31m", 1, "\u{9b}2J\u{202e}abc\r\n\t", "\u{7}");
    let watching = json!({"channel_id": 1, "viewer_id": "\u{1b}c", "client_addr": "\u{1b}]0;x\u{7}", "delivery": "\u{8}"});
    state.take(document(800, &[evil], &[watching], &[]), second(61));
    state.lost("\u{1b}[2J\n", second(62));
    state.told(Err("\u{1b}[2J"), second(62));
    state.at(second(62) + Duration::from_secs(1));
    for size in SIZES {
        let buffer = drawn(&state, size);
        let is_bad = |letter: char| letter.is_control() || letter == '\u{202e}';
        assert!(buffer.content().iter().all(|cell| !cell.symbol().contains(is_bad)));
    }
}
