//! What an upstream's body is, by its first bytes.
//!
//! Providers answer 200 with login pages, playlists and errors in JSON. Without a look at the bytes such a body
//! would be searched for packets until the startup timeout, and the operator would read about a timeout.

use crate::base::limits::PREVIEW_BYTES_MAX;
use crate::base::redact;
use crate::source::error::{Kind, SourceError};
use crate::source::list::{self, ListShape};
use crate::ts::Codec;
use crate::ts::es::AudioFormat;

use super::body::{Body, Sound};

/// Collects a body's first bytes until it is known what it is.
#[derive(Debug, Default)]
pub struct Sniffer {
    held: Vec<u8>,
    /// Set once: later bytes change nothing.
    decided: Option<Body>,
    /// A stream is not what is asked for.
    lists_only: bool,
}

impl Sniffer {
    /// A look at what may be a list, or else is to be read by other means.
    #[must_use]
    pub fn for_lists() -> Self {
        Self { lists_only: true, ..Self::default() }
    }

    /// Whether a body can be read as it is.
    #[must_use]
    pub fn is_suitable(&self, body: Body) -> bool {
        body == Body::TransportStream && !self.lists_only
    }

    /// The text of a list, as far as its lines are whole.
    #[must_use]
    pub fn into_text(mut self) -> Vec<u8> {
        // Of a text that was not known to be one only the beginning is kept.
        if self.decided == Some(Body::Text) && self.held.len() >= TEXT_BYTES {
            let last = self.held.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
            self.held.truncate(last);
        }
        self.held
    }

    /// Looks at the next bytes. The answer stays `None` until they suffice, at most for [`SNIFF_BYTES_MAX`].
    pub fn push(&mut self, bytes: &[u8]) -> Option<Body> {
        if self.decided.is_none() {
            // The first read nearly always decides, and then nothing is copied but the preview.
            if self.held.is_empty() {
                self.decided =
                    decide(&bytes[..bytes.len().min(SNIFF_BYTES_MAX)], bytes.len() >= SNIFF_BYTES_MAX);
                let needs_little = self.decided.is_some_and(|body| body != Body::List);
                let kept = if needs_little { PREVIEW_SOURCE_BYTES } else { SNIFF_BYTES_MAX };
                self.held.extend_from_slice(&bytes[..bytes.len().min(kept)]);
            } else {
                let room = SNIFF_BYTES_MAX - self.held.len();
                self.held.extend_from_slice(&bytes[..bytes.len().min(room)]);
                self.decided = decide(&self.held, self.held.len() == SNIFF_BYTES_MAX);
            }
        }
        self.decided
    }

    /// The best answer when no more bytes come, or no more time is left.
    pub fn end(&mut self) -> Body {
        *self.decided.get_or_insert_with(|| decide(&self.held, true).unwrap_or(Body::Unknown))
    }

    /// The failure of a body that is no transport stream.
    #[must_use]
    pub fn failure(&self, body: Body) -> SourceError {
        if body == Body::Empty {
            return SourceError::new(Kind::Closed, "source closed before startup bytes were received");
        }
        let preview = if body.is_worth_quoting() { preview(&self.held) } else { String::new() };
        let mut text = format!("upstream body is not MPEG-TS ({})", body.name());
        if !preview.is_empty() {
            text.push_str(": ");
            text.push_str(&preview);
        }
        SourceError::new(Kind::NotTransportStream(body), &text)
    }
}

/// The beginning of a text body, redacted, on one line.
#[must_use]
pub fn preview(bytes: &[u8]) -> String {
    let is_cut = bytes.len() >= PREVIEW_SOURCE_BYTES;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(PREVIEW_SOURCE_BYTES)]);
    // Half a URL may end inside a password, where nothing tells any more that it is one.
    let last_word = text.rfind(|c: char| c.is_whitespace() || "\"'<>,".contains(c)).filter(|_| is_cut);
    let whole = text[..last_word.unwrap_or(text.len())].trim_end_matches(char::REPLACEMENT_CHARACTER);
    let mut line = String::new();
    for word in
        redact::text(whole).split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty())
    {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    let end = (0..=line.len().min(PREVIEW_BYTES_MAX)).rev().find(|&end| line.is_char_boundary(end));
    line.truncate(end.expect("0 is a boundary"));
    line.truncate(line.trim_end().len());
    line
}

/// What the bytes are; `None` when more of them could change the answer. `complete`: no more will come.
fn decide(bytes: &[u8], complete: bool) -> Option<Body> {
    if is_transport_stream(bytes, complete) {
        return Some(Body::TransportStream);
    }
    let text = text_start(bytes);
    if text.is_empty() {
        return complete.then_some(if bytes.is_empty() { Body::Empty } else { Body::Unknown });
    }
    match list::listing(text, complete) {
        Some(ListShape::Hls) => return Some(Body::Hls),
        Some(ListShape::Plain) => return Some(Body::List),
        Some(ListShape::Undecided) => return None,
        None => {}
    }
    if let Some(body) = by_magic(bytes, text) {
        return Some(body);
    }
    if let Some(sound) = sound_of(bytes) {
        return Some(Body::Sound(sound));
    }
    let is_text = is_text(&bytes[..bytes.len().min(TEXT_BYTES)]);
    if is_text && (complete || bytes.len() >= TEXT_BYTES) {
        return Some(match text[0] {
            b'{' | b'[' => Body::Json,
            b'<' if text.starts_with(b"<?xml") => Body::Xml,
            _other_text => Body::Text,
        });
    }
    complete.then_some(Body::Unknown)
}

/// True when the bytes are UTF-8 without control characters. A character cut in two at their end is one.
fn is_text(bytes: &[u8]) -> bool {
    let is_utf8 = match str::from_utf8(bytes) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    is_utf8 && bytes.iter().all(|&byte| byte >= 0x20 || matches!(byte, b'\t' | b'\n' | b'\r'))
}

/// True when sync bytes stand a packet apart, at the sizes of 188 bytes, with a time code (192) or with parity (204).
fn is_transport_stream(bytes: &[u8], complete: bool) -> bool {
    if bytes.first() == Some(&SYNC) && complete && bytes.len() >= 188 && bytes.len() < 2 * 188 {
        return true;
    }
    [188, 192, 204].into_iter().any(|stride| {
        // A short body that is complete is judged by the packets it has.
        let wanted = if complete { (bytes.len() / stride).clamp(2, SYNCS) } else { SYNCS };
        let span = stride * (wanted - 1);
        (0..bytes.len().saturating_sub(span))
            .any(|start| bytes[start..=start + span].iter().step_by(stride).all(|&byte| byte == SYNC))
    })
}

/// The bytes without a byte order mark and white space in front.
fn text_start(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes).trim_ascii_start()
}

/// The sound that a body without a container is made of.
fn sound_of(bytes: &[u8]) -> Option<Sound> {
    [(Codec::Mpeg2Audio, Sound::Mp3), (Codec::Aac, Sound::Adts), (Codec::Ac3, Sound::Ac3)]
        .into_iter()
        .find(|(codec, _)| AudioFormat::is_stream_of(*codec, bytes, SOUND_FRAMES, SOUND_WITHIN))
        .map(|(_, sound)| sound)
}

/// Recognises formats by how they begin.
fn by_magic(bytes: &[u8], text: &[u8]) -> Option<Body> {
    let lower: Vec<u8> = text.iter().take(PREVIEW_SOURCE_BYTES).map(u8::to_ascii_lowercase).collect();
    let starts = |prefix: &[u8]| lower.starts_with(prefix);
    let holds = |words: &[u8]| lower.windows(words.len()).any(|window| window == words);
    if starts(b"<mpd") || (starts(b"<?xml") && holds(b"<mpd")) {
        return Some(Body::Dash);
    }
    if [&b"<!doctype html"[..], b"<html", b"<head", b"<body", b"<script"].iter().any(|tag| starts(tag))
        || ((starts(b"<?xml") || starts(b"<!--")) && holds(b"<html"))
    {
        return Some(Body::Html);
    }
    if bytes.starts_with(b"ID3") {
        return Some(Body::Sound(Sound::Tagged));
    }
    MAGIC
        .iter()
        .find(|&&(at, magic, _)| bytes.get(at..).is_some_and(|rest| rest.starts_with(magic)))
        .map(|&(_, _, name)| Body::OtherContainer(name))
}

const SYNC: u8 = 0x47;
/// Frames of sound in a row that are no accident.
const SOUND_FRAMES: u32 = 3;
/// They begin within so many bytes: a listener comes in the middle of a frame, and none is longer.
const SOUND_WITHIN: usize = 8192;
/// Sync bytes in a row that are no accident: in random bytes the chance is 10⁻⁷ over the whole window.
const SYNCS: usize = 5;
/// The most bytes looked at. A stream's junk in front of its first packet is far shorter.
pub const SNIFF_BYTES_MAX: usize = 64 * 1024;
/// Bytes that must be text for a body to be text. A packet holds a byte below 0x20 much earlier.
const TEXT_BYTES: usize = 128;
/// Bytes a preview is made of; white space and markup shrink.
const PREVIEW_SOURCE_BYTES: usize = 2 * PREVIEW_BYTES_MAX;

const MAGIC: &[(usize, &[u8], &str)] = &[
    (4, b"ftyp", "MP4"),
    (4, b"styp", "MP4"),
    (0, b"\x1A\x45\xDF\xA3", "Matroska"),
    (0, b"FLV\x01", "FLV"),
    (0, b"OggS", "Ogg"),
    (0, b"\x00\x00\x01\xBA", "MPEG programme stream"),
    (0, b"\x1F\x8B\x08", "gzip"),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets of a size, after junk.
    fn packets(stride: usize, count: usize, junk: usize) -> Vec<u8> {
        let mut bytes = vec![0x80; junk];
        for _ in 0..count {
            bytes.push(SYNC);
            bytes.resize(bytes.len() + stride - 1, 0xFF);
        }
        bytes
    }

    fn sniffed(bytes: &[u8]) -> Body {
        let mut sniffer = Sniffer::default();
        sniffer.push(bytes);
        sniffer.end()
    }

    #[test]
    fn packets_are_found_at_every_size_and_behind_junk() {
        for (stride, count, junk) in [
            (188, 5, 0),
            (192, 6, 4),
            (204, 5, 0),
            (188, 8, 1000),
            (188, 5, 60_000),
            (188, 2, 0),
            (188, 3, 3),
            (188, 1, 0),
        ] {
            assert_eq!(
                sniffed(&packets(stride, count, junk)),
                Body::TransportStream,
                "{count} of {stride} after {junk}"
            );
        }
        assert_eq!(sniffed(&packets(188, 5, SNIFF_BYTES_MAX)), Body::Unknown);
    }

    #[test]
    fn bodies_are_known_by_their_beginning() {
        let filler = "a".repeat(300);
        for (bytes, expected) in [
            ("#EXTM3U\n#EXT-X-VERSION:3\n", Body::Hls),
            ("\u{FEFF}\r\n #EXTM3U", Body::List),
            ("#EXTM3U\n#EXTINF:-1,One\nhttp://h/one\n", Body::List),
            ("#EXTM3U\n#EXTINF:9,\n0.ts\n#EXT-X-ENDLIST", Body::Hls),
            ("[playlist]\nFile1=http://h/one\n", Body::List),
            ("http://h/one\n", Body::List),
            ("ID3\u{4}", Body::Sound(Sound::Tagged)),
            ("<!DOCTYPE html><html>", Body::Html),
            ("\n\n<HTML><body>", Body::Html),
            ("<?xml version=\"1.0\"?><html xmlns=\"x\">", Body::Html),
            ("<?xml version=\"1.0\"?>\n<MPD xmlns=\"urn:mpeg\">", Body::Dash),
            (&format!("<?xml version=\"1.0\"?><error>{filler}</error>"), Body::Xml),
            ("{\"error\":\"expired\"}", Body::Json),
            ("[1,2]", Body::Json),
            ("Too many connections", Body::Text),
            (&filler, Body::Text),
            ("FLV\u{1}\u{5}", Body::OtherContainer("FLV")),
            ("\0\0\0\u{20}ftypisom", Body::OtherContainer("MP4")),
            ("\0\u{1}\u{2}", Body::Unknown),
            ("  \n", Body::Unknown),
            ("", Body::Empty),
        ] {
            assert_eq!(sniffed(bytes.as_bytes()), expected, "{bytes:?}");
        }
    }

    #[test]
    fn sound_is_known_by_its_frames_as_soon_as_three_have_come() {
        // 128 kbit/s at 44.1 kHz, 418 bytes; 48 kHz stereo, 256 bytes; 192 kbit/s, 768 bytes.
        for (header, length, expected) in [
            (&[0xFF, 0xFB, 0x92, 0xC0][..], 418, Sound::Mp3),
            (&[0xFF, 0xF1, 0x4C, 0x80, 0x20, 0x1F, 0xFC], 256, Sound::Adts),
            (&[0x0B, 0x77, 0, 0, 0x14, 0x40, 0x40, 0], 768, Sound::Ac3),
        ] {
            let frame: Vec<u8> = header.iter().copied().chain([0x11; 1000]).take(length).collect();
            let body = [&frame[length - 100..], &frame, &frame, &frame].concat();
            let mut sniffer = Sniffer::default();
            let needed = 100 + 2 * length + header.len();
            assert_eq!(sniffer.push(&body[..needed - 4]), None, "{expected:?}");
            assert_eq!(sniffer.push(&body[needed - 4..needed]), Some(Body::Sound(expected)));
            // Two could be an accident.
            assert_eq!(sniffed(&body[..100 + 2 * length]), Body::Unknown);
        }
    }

    #[test]
    fn a_list_is_kept_whole() {
        let text = format!("#EXTM3U\n{}http://h/one\n", "# nothing\n".repeat(2000));
        let mut sniffer = Sniffer::default();
        for piece in text.as_bytes().chunks(999) {
            assert_eq!(sniffer.push(piece), None);
        }
        assert_eq!(sniffer.end(), Body::List);
        assert_eq!(sniffer.into_text(), text.as_bytes());
    }

    #[test]
    fn where_a_list_is_looked_for_a_stream_is_something_else() {
        for (sniffer, expected) in [(Sniffer::default(), true), (Sniffer::for_lists(), false)] {
            assert_eq!(sniffer.is_suitable(Body::TransportStream), expected);
            assert!(!sniffer.is_suitable(Body::Hls));
        }
    }

    #[test]
    fn a_verdict_waits_for_the_bytes_it_needs() {
        let mut sniffer = Sniffer::default();
        for packet in packets(188, 4, 0).chunks(188) {
            assert_eq!(sniffer.push(packet), None);
        }
        assert_eq!(sniffer.push(&[SYNC]), Some(Body::TransportStream));
        let mut short = Sniffer::default();
        assert_eq!(short.push(b"{\"err"), None);
        assert_eq!(short.end(), Body::Json);
    }

    #[test]
    fn a_body_cut_into_bytes_is_the_same_body() {
        for bytes in [packets(188, 6, 7), b"<html><body>no</body>".to_vec(), vec![b'{'; 200], vec![0; 70_000]]
        {
            let mut sniffer = Sniffer::default();
            let step = (bytes.len() / 97).max(1);
            for piece in bytes.chunks(step) {
                sniffer.push(piece);
            }
            assert_eq!(sniffer.end(), sniffed(&bytes));
        }
    }

    #[test]
    fn memory_is_bounded_however_long_nothing_is_recognised() {
        let mut sniffer = Sniffer::default();
        for _ in 0..20 {
            sniffer.push(&[0; 5000]);
        }
        assert_eq!(sniffer.held.len(), SNIFF_BYTES_MAX);
        assert_eq!(sniffer.push(&[0]), Some(Body::Unknown));
    }

    #[test]
    fn the_failure_quotes_text_and_only_text() {
        for (bytes, expected) in [
            (
                &b"<html>\n  <title>Sign\tin</title>"[..],
                "upstream body is not MPEG-TS (HTML): <html> <title>Sign in</title>",
            ),
            (b"#EXTM3U\n#EXT-X-VERSION:3\nhttp://h/x?token=1", "upstream body is not MPEG-TS (HLS playlist)"),
            (b"#EXTM3U\nhttp://h/x?token=1", "upstream body is not MPEG-TS (playlist)"),
            (b"\x00\x01", "upstream body is not MPEG-TS (unknown format)"),
            (b"", "source closed before startup bytes were received"),
        ] {
            let mut sniffer = Sniffer::default();
            sniffer.push(bytes);
            let body = sniffer.end();
            assert_eq!(sniffer.failure(body).to_string(), expected);
        }
    }

    #[test]
    fn previews_are_short_redacted_and_on_one_line() {
        for bytes in [
            "word ".repeat(200).into_bytes(),
            "é".repeat(600).into_bytes(),
            b"a\x1b[31mb\0c".to_vec(),
            b"see http://user:secret@h/p?token=hidden now".to_vec(),
            vec![0xFF; 900],
            format!("{}http://user:secret@h/p", " ".repeat(PREVIEW_SOURCE_BYTES - 18)).into_bytes(),
        ] {
            let text = preview(&bytes);
            assert!(text.len() <= PREVIEW_BYTES_MAX, "{} bytes", text.len());
            assert!(!text.chars().any(char::is_control), "{text:?}");
            assert!(!text.contains("secret") && !text.contains("hidden"), "{text}");
        }
        assert_eq!(preview(b"  missing\n token "), "missing token");
    }
}
