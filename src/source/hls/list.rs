//! Master and media lists (RFC 8216; rfc8216bis).
//!
//! Strict where a wrong reading would show the wrong bytes: byte ranges, keys, the order of segments. Lenient where players
//! are: providers forget `EXTINF`, write durations with spaces or not at all, end lines with CR, and put a byte order mark in
//! front. What is not known is passed over.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::time::Duration;

use crate::base::limits::{HLS_LIST_BYTES_MAX, HLS_RENDITIONS_MAX, HLS_SEGMENTS_MAX, HLS_VARIANTS_MAX};
use crate::source::body::Body;
use crate::source::hls::attributes::{Attribute, attributes};
use crate::source::hls::failure::{ListError, Unreadable};
use crate::source::sniff::Sniffer;

/// A list of either kind.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum List {
    /// It names variants of one programme.
    Master(Master),
    /// It names segments.
    Media(Media),
}

/// A place in the text of a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn of(self, text: &str) -> &str {
        &text[self.start as usize..self.end as usize]
    }

    /// Where `part`, which lies in `text`, lies in it.
    fn within(text: &str, part: &str) -> Self {
        let start = part.as_ptr().addr() - text.as_ptr().addr();
        let narrow = |at: usize| u32::try_from(at).expect("a list is shorter than 4 GiB");
        Self { start: narrow(start), end: narrow(start + part.len()) }
    }
}

/// The variants of one programme.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Master {
    /// In the order of the list.
    pub(super) variants: Vec<Variant>,
    /// In the order of the list.
    pub(super) renditions: Vec<Rendition>,
    /// `EXT-X-SESSION-KEY` says that the segments cannot be decrypted here.
    pub(super) locked: Option<Unreadable>,
}

/// One quality of the programme.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Variant {
    /// As written.
    pub(super) uri: String,
    /// Bits per second; 0 when the list does not say.
    pub(super) bandwidth: u64,
    /// Width and height.
    pub(super) resolution: Option<(u32, u32)>,
    /// As written.
    pub(super) codecs: Option<String>,
    /// The group of its sound.
    pub(super) audio: Option<String>,
    /// The group of its subtitles.
    pub(super) subtitles: Option<String>,
}

/// What a rendition is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RenditionKind {
    /// Sound.
    Audio,
    /// Another angle.
    Video,
    /// Subtitles.
    Subtitles,
    /// Captions within the video.
    ClosedCaptions,
}

/// One of several that take each other's place: a language, an angle.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Rendition {
    /// What it is.
    pub(super) kind: RenditionKind,
    /// The group it belongs to.
    pub(super) group: String,
    /// What viewers are shown.
    pub(super) name: String,
    /// RFC 5646.
    pub(super) language: Option<String>,
    /// As written. Without one it is in the variant's own segments.
    pub(super) uri: Option<String>,
    /// To be played unless somebody chooses.
    pub(super) is_default: bool,
    /// To be played when it suits the viewer's settings.
    pub(super) is_autoselect: bool,
}

/// A part of a resource.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ByteRange {
    /// Its first byte.
    pub offset: u64,
    /// `None`: to the end.
    pub length: Option<u64>,
}

impl ByteRange {
    /// The value of the `Range` header (RFC 9110, 14.1.2).
    #[must_use]
    pub fn header(self) -> String {
        match self.length {
            Some(length) => format!("bytes={}-{}", self.offset, self.offset + length.saturating_sub(1)),
            None => format!("bytes={}-", self.offset),
        }
    }
}

/// How segments are protected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Protection {
    None,
    Aes128 { uri: Span, iv: Option<[u8; 16]> },
    Not(Unreadable),
}

/// The key of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Key<'list> {
    /// As written.
    pub(super) uri: &'list str,
    /// As the list gives it, else made of the sequence number (RFC 8216, 5.2).
    pub(super) iv: [u8; 16],
}

#[derive(Clone, PartialEq, Debug)]
struct Segment {
    uri: Span,
    duration: Option<Duration>,
    range: Option<ByteRange>,
    protection: u32,
    has_map: bool,
    is_discontinuous: bool,
    is_gap: bool,
    /// Milliseconds since 1970.
    programme_time: Option<i64>,
}

/// What tells one segment from another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Identity {
    /// By its whole address and range.
    pub(super) whole: u64,
    /// Without the query: tokens change from one list to the next.
    pub(super) path: u64,
}

/// The segments of one rendition.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Media {
    text: String,
    segments: Vec<Segment>,
    protections: Vec<Protection>,
    sequence: Option<u64>,
    target: Option<Duration>,
    start: Option<f64>,
    is_ended: bool,
    is_whole: bool,
    has_hls_tags: bool,
    obstacle: Option<Unreadable>,
}

impl Media {
    /// How many segments there are.
    #[must_use]
    pub(super) fn len(&self) -> usize {
        self.segments.len()
    }

    /// True without segments.
    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// The sequence number of the first segment.
    #[must_use]
    pub(super) fn sequence(&self) -> u64 {
        self.sequence.unwrap_or(0)
    }

    /// The list says what number its first segment has.
    #[must_use]
    pub(super) const fn has_sequence(&self) -> bool {
        self.sequence.is_some()
    }

    /// No segment will be added.
    #[must_use]
    pub(super) const fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// The list is that of something whole, not of something live: it is played from its beginning.
    #[must_use]
    pub(super) const fn is_whole(&self) -> bool {
        self.is_ended || self.is_whole
    }

    /// False for a list of stations.
    #[must_use]
    pub(super) const fn has_hls_tags(&self) -> bool {
        self.has_hls_tags
    }

    /// Where the list wants to be played from, in seconds: from its end when negative.
    #[must_use]
    pub(super) const fn start(&self) -> Option<f64> {
        self.start
    }

    /// The address of a segment, as written.
    #[must_use]
    pub(super) fn uri(&self, index: usize) -> &str {
        self.segments[index].uri.of(&self.text)
    }

    /// The part of that resource that the segment is.
    #[must_use]
    pub(super) fn range(&self, index: usize) -> Option<ByteRange> {
        self.segments[index].range
    }

    /// A discontinuity comes before the segment.
    #[must_use]
    pub(super) fn is_discontinuous(&self, index: usize) -> bool {
        self.segments[index].is_discontinuous
    }

    /// There is nothing at the segment's address, and the list says so.
    #[must_use]
    pub(super) fn is_gap(&self, index: usize) -> bool {
        let segment = &self.segments[index];
        segment.is_gap || segment.range.is_some_and(|range| range.length == Some(0))
    }

    /// When the segment's first picture was taken, in milliseconds since 1970.
    #[must_use]
    pub(super) fn programme_time(&self, index: usize) -> Option<i64> {
        self.segments[index].programme_time
    }

    /// Why a segment is not read here.
    #[must_use]
    pub(super) fn obstacle(&self, index: usize) -> Option<Unreadable> {
        let segment = &self.segments[index];
        match self.protections[segment.protection as usize] {
            _ if self.obstacle.is_some() => self.obstacle,
            Protection::Not(why) => Some(why),
            Protection::None | Protection::Aes128 { .. } => {
                segment.has_map.then_some(Unreadable::FragmentedMp4)
            }
        }
    }

    /// The key of a segment, when it needs one.
    #[must_use]
    pub(super) fn key(&self, index: usize) -> Option<Key<'_>> {
        match self.protections[self.segments[index].protection as usize] {
            Protection::Aes128 { uri, iv } => {
                let number = u128::from(self.sequence()) + index as u128;
                Some(Key { uri: uri.of(&self.text), iv: iv.unwrap_or(number.to_be_bytes()) })
            }
            Protection::None | Protection::Not(_) => None,
        }
    }

    /// How long a segment is, as far as the list can be believed.
    #[must_use]
    pub(super) fn duration(&self, index: usize) -> Duration {
        self.segments[index].duration.unwrap_or_else(|| self.target())
    }

    /// How long the segments from `index` on are together.
    #[must_use]
    pub(super) fn duration_from(&self, index: usize) -> Duration {
        (index..self.len()).map(|index| self.duration(index)).sum()
    }

    /// The target duration that the list should have. Without one, with one that the segments exceed, or with one that is
    /// twice what any segment has, it is made of the segments.
    #[must_use]
    pub(super) fn target(&self) -> Duration {
        let known = || self.segments.iter().filter_map(|segment| segment.duration);
        let longest = known().max();
        let target = match (self.target, longest) {
            (None, None) => TARGET_USUAL,
            (Some(target), None) => target,
            (None, Some(longest)) => whole_seconds(longest),
            (Some(target), Some(longest)) if target > 2 * whole_seconds(longest) => whole_seconds(longest),
            // One long segment does not make a list slow.
            (Some(target), Some(longest)) if whole_seconds(longest) > target => {
                let count = u32::try_from(known().count()).expect("a list's segments are bounded");
                target.max(whole_seconds(known().sum::<Duration>() / count))
            }
            (Some(target), Some(_)) => target,
        };
        target.clamp(TARGET_MIN, TARGET_MAX)
    }

    /// What tells a segment from the others.
    #[must_use]
    pub(super) fn identity(&self, index: usize) -> Identity {
        let (uri, range) = (self.uri(index), self.range(index));
        let hash = |uri: &str| {
            let mut hasher = DefaultHasher::new();
            (uri, range.map(|range| (range.offset, range.length))).hash(&mut hasher);
            hasher.finish()
        };
        Identity { whole: hash(uri), path: hash(uri.split('?').next().unwrap_or("")) }
    }
}

/// Reads a list. Compressed ones are unpacked: some servers do that although nobody asked for it.
///
/// # Errors
/// When the bytes are no list, or one that is too long.
pub(super) fn parse(bytes: &[u8]) -> Result<List, ListError> {
    if bytes.len() > HLS_LIST_BYTES_MAX {
        return Err(ListError::TooLong);
    }
    if !is_gzip(bytes) {
        return parse_text(bytes);
    }
    let unpacked = unpack(bytes, HLS_LIST_BYTES_MAX).ok_or(ListError::DamagedGzip)?;
    if unpacked.len() > HLS_LIST_BYTES_MAX {
        return Err(ListError::TooLong);
    }
    parse_text(&unpacked)
}

/// True for what gzip has made (RFC 1952).
pub fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1F, 0x8B])
}

/// What gzip has packed; one byte more than `bytes_max` when it is longer. `None` when it is damaged.
pub fn unpack(bytes: &[u8], bytes_max: usize) -> Option<Vec<u8>> {
    let mut unpacked = Vec::new();
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    flate2::read::MultiGzDecoder::new(bytes).take(limit).read_to_end(&mut unpacked).ok()?;
    Some(unpacked)
}

/// What a body is that begins so, when it is certainly no list.
pub(super) fn other_body(beginning: &[u8]) -> Option<Body> {
    let found = Sniffer::default().push(beginning)?;
    (!is_gzip(beginning) && !matches!(found, Body::Hls | Body::List)).then_some(found)
}

fn parse_text(bytes: &[u8]) -> Result<List, ListError> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_start_matches(|c: char| c == '\u{FEFF}' || c == '\0' || c.is_whitespace());
    if !lines(text).find(|line| !is_comment(line)).is_some_and(|line| line.starts_with('#')) {
        let mut sniffer = Sniffer::default();
        let early = sniffer.push(bytes);
        return Err(ListError::NotAList(early.unwrap_or_else(|| sniffer.end())));
    }
    let mut parser = Parser::new(text);
    for line in lines(text) {
        parser.line(line)?;
    }
    parser.finish()
}

/// Lines that are not empty, without white space around them.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split(['\n', '\r'])
        .map(|line| line.trim_matches(|c: char| c == '\0' || c.is_whitespace()))
        .filter(|line| !line.is_empty())
}

/// True for a line that begins with `#` and is no tag.
fn is_comment(line: &str) -> bool {
    line.starts_with('#') && !line.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("#EXT"))
}

/// What has been said of the next segment.
#[derive(Clone, Copy, Default)]
struct Pending {
    duration: Option<Duration>,
    range: Option<(u64, Option<u64>)>,
    is_discontinuous: bool,
    is_gap: bool,
    programme_time: Option<i64>,
}

struct Parser<'text> {
    text: &'text str,
    master: Master,
    media: Media,
    /// A variant whose address is on the next line.
    variant: Option<Variant>,
    pending: Pending,
    /// What the segments are protected by, and whether one has been since.
    protection: u32,
    protection_used: bool,
    has_map: bool,
    /// Where the range of the segment before has ended, and in what.
    range_end: Option<(&'text str, u64)>,
    /// What the list calls by a name may stand in its addresses.
    has_variables: bool,
}

impl<'text> Parser<'text> {
    fn new(text: &'text str) -> Self {
        let media = Media {
            text: String::new(),
            segments: Vec::new(),
            protections: vec![Protection::None],
            sequence: None,
            target: None,
            start: None,
            is_ended: false,
            is_whole: false,
            has_hls_tags: false,
            obstacle: None,
        };
        Self {
            text,
            master: Master::default(),
            media,
            variant: None,
            pending: Pending::default(),
            protection: 0,
            protection_used: true,
            has_map: false,
            range_end: None,
            has_variables: false,
        }
    }

    fn line(&mut self, line: &'text str) -> Result<(), ListError> {
        if !line.starts_with('#') {
            return self.address(line);
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let (name, value) = (name.trim_end(), value.trim());
        let is_hls = name.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("#EXT-X-"));
        self.media.has_hls_tags |= is_hls;
        let tag = TAGS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|&(_, tag)| tag);
        match tag {
            None => {}
            Some(Tag::StreamInf) => self.variant = Some(variant(value)),
            Some(Tag::Media) => self.rendition(value)?,
            Some(Tag::SessionKey) => {
                if let Protection::Not(why) = self.protection_of(value) {
                    self.master.locked = Some(why);
                }
            }
            Some(Tag::Define) => self.has_variables = true,
            Some(Tag::Start) => {
                let offset = attributes(value).find(|attribute| attribute.is("TIME-OFFSET"));
                self.media.start = offset
                    .and_then(|offset| offset.value.parse().ok())
                    .filter(|seconds: &f64| seconds.is_finite());
            }
            Some(tag) => self.media_tag(tag, value)?,
        }
        Ok(())
    }

    fn media_tag(&mut self, tag: Tag, value: &'text str) -> Result<(), ListError> {
        match tag {
            Tag::Inf => self.pending.duration = duration(value.split(',').next().unwrap_or("")),
            Tag::TargetDuration => {
                self.media.target = duration(value).filter(|target| *target <= TARGET_BELIEVED)
            }
            Tag::MediaSequence => self.media.sequence = number(value),
            Tag::ByteRange => self.pending.range = byte_range(value),
            Tag::Discontinuity => self.pending.is_discontinuous = true,
            Tag::Gap => self.pending.is_gap = true,
            Tag::ProgramDateTime => self.pending.programme_time = programme_time(value),
            Tag::EndList => self.media.is_ended = true,
            Tag::PlaylistType => self.media.is_whole = value.eq_ignore_ascii_case("VOD"),
            Tag::IFramesOnly => self.media.obstacle = Some(Unreadable::KeyPicturesOnly),
            Tag::Map => self.has_map = true,
            Tag::Key => self.key(value)?,
            Tag::StreamInf | Tag::Media | Tag::SessionKey | Tag::Define | Tag::Start => {
                unreachable!("{tag:?} is no tag of media lists alone")
            }
        }
        Ok(())
    }

    /// A line that is no tag: the address of a variant or of a segment.
    fn address(&mut self, line: &'text str) -> Result<(), ListError> {
        if self.has_variables && line.contains("{$") {
            self.master.locked = Some(Unreadable::Variables);
            self.media.obstacle = Some(Unreadable::Variables);
        }
        if let Some(variant) = self.variant.take() {
            if self.master.variants.len() == HLS_VARIANTS_MAX {
                return Err(ListError::TooLong);
            }
            self.master.variants.push(Variant { uri: line.to_owned(), ..variant });
            return Ok(());
        }
        if self.media.segments.len() == HLS_SEGMENTS_MAX {
            return Err(ListError::TooLong);
        }
        let pending = std::mem::take(&mut self.pending);
        let range = pending.range.and_then(|(length, offset)| self.place(line, length, offset));
        self.range_end = range.and_then(|range| Some((line, range.offset.checked_add(range.length?)?)));
        self.protection_used = true;
        self.media.segments.push(Segment {
            uri: Span::within(self.text, line),
            duration: pending.duration,
            range,
            protection: self.protection,
            has_map: self.has_map,
            is_discontinuous: pending.is_discontinuous,
            is_gap: pending.is_gap,
            programme_time: pending.programme_time,
        });
        Ok(())
    }

    /// The part of a resource that a tag names. One without an offset follows the one before, of the same resource.
    fn place(&self, uri: &str, length: u64, offset: Option<u64>) -> Option<ByteRange> {
        let before = self.range_end.filter(|(before, _)| *before == uri).map_or(0, |(_, end)| end);
        let offset = offset.unwrap_or(before);
        offset.checked_add(length)?;
        Some(ByteRange { offset, length: Some(length) })
    }

    /// `EXT-X-KEY`. Of several for the same segments the one that can be used here counts.
    fn key(&mut self, value: &'text str) -> Result<(), ListError> {
        let protection = self.protection_of(value);
        let present = self.media.protections[self.protection as usize];
        let stands_beside = !self.protection_used
            && matches!(present, Protection::Aes128 { .. })
            && matches!(protection, Protection::Not(_));
        if stands_beside || protection == present {
            return Ok(());
        }
        if self.media.protections.len() > HLS_SEGMENTS_MAX {
            return Err(ListError::TooLong);
        }
        self.protection = u32::try_from(self.media.protections.len()).expect("keys are bounded");
        self.protection_used = false;
        self.media.protections.push(protection);
        Ok(())
    }

    fn protection_of(&self, value: &'text str) -> Protection {
        let (mut method, mut uri, mut iv, mut format) = ("", None, None, "identity");
        for attribute in attributes(value) {
            match attribute {
                _ if attribute.is("METHOD") => method = attribute.value,
                _ if attribute.is("URI") => uri = attribute.text(),
                _ if attribute.is("IV") => iv = attribute.text(),
                _ if attribute.is("KEYFORMAT") => format = attribute.text().unwrap_or("identity"),
                _not_needed => {}
            }
        }
        let method = |name: &str| method.eq_ignore_ascii_case(name);
        if method("NONE") {
            return Protection::None;
        }
        if !format.eq_ignore_ascii_case("identity") {
            return Protection::Not(Unreadable::Drm);
        }
        if method("SAMPLE-AES") || method("SAMPLE-AES-CTR") {
            return Protection::Not(Unreadable::SampleAes);
        }
        let iv = match iv.map(initialization_vector) {
            None => None,
            Some(Some(iv)) => Some(iv),
            Some(None) => return Protection::Not(Unreadable::KeyTag),
        };
        match uri {
            Some(uri) if method("AES-128") => Protection::Aes128 { uri: Span::within(self.text, uri), iv },
            Some(_) | None => Protection::Not(Unreadable::KeyTag),
        }
    }

    fn rendition(&mut self, value: &str) -> Result<(), ListError> {
        let Some(rendition) = rendition(value) else { return Ok(()) };
        if self.master.renditions.len() == HLS_RENDITIONS_MAX {
            return Err(ListError::TooLong);
        }
        self.master.renditions.push(rendition);
        Ok(())
    }

    fn finish(self) -> Result<List, ListError> {
        // Some name both. What they name first of all is what they are asked for.
        if !self.master.variants.is_empty() {
            return Ok(List::Master(self.master));
        }
        let Self { text, mut media, .. } = self;
        text.clone_into(&mut media.text);
        Ok(List::Media(media))
    }
}

fn variant(value: &str) -> Variant {
    let mut variant = Variant::default();
    for attribute in attributes(value) {
        match attribute {
            _ if attribute.is("BANDWIDTH") => variant.bandwidth = number(attribute.value).unwrap_or(0),
            _ if attribute.is("RESOLUTION") => variant.resolution = resolution(attribute.value),
            _ if attribute.is("CODECS") => variant.codecs = attribute.text().map(str::to_owned),
            _ if attribute.is("AUDIO") => variant.audio = attribute.text().map(str::to_owned),
            _ if attribute.is("SUBTITLES") => variant.subtitles = attribute.text().map(str::to_owned),
            _not_needed => {}
        }
    }
    variant
}

fn rendition(value: &str) -> Option<Rendition> {
    let mut kind = None;
    let (mut group, mut name) = (String::new(), String::new());
    let (mut language, mut uri, mut is_default, mut is_autoselect) = (None, None, false, false);
    for attribute in attributes(value) {
        match attribute {
            _ if attribute.is("TYPE") => kind = rendition_kind(attribute),
            _ if attribute.is("GROUP-ID") => attribute.value.clone_into(&mut group),
            _ if attribute.is("NAME") => attribute.value.clone_into(&mut name),
            _ if attribute.is("LANGUAGE") => language = attribute.text().map(str::to_owned),
            _ if attribute.is("URI") => uri = attribute.text().map(str::to_owned),
            _ if attribute.is("DEFAULT") => is_default = attribute.is_yes(),
            _ if attribute.is("AUTOSELECT") => is_autoselect = attribute.is_yes(),
            _not_needed => {}
        }
    }
    // A default one is an automatic one (RFC 8216, 4.3.4.1).
    let is_autoselect = is_autoselect || is_default;
    Some(Rendition { kind: kind?, group, name, language, uri, is_default, is_autoselect })
}

fn rendition_kind(attribute: Attribute<'_>) -> Option<RenditionKind> {
    [
        ("AUDIO", RenditionKind::Audio),
        ("VIDEO", RenditionKind::Video),
        ("SUBTITLES", RenditionKind::Subtitles),
        ("CLOSED-CAPTIONS", RenditionKind::ClosedCaptions),
    ]
    .into_iter()
    .find(|(name, _)| name.eq_ignore_ascii_case(attribute.value))
    .map(|(_, kind)| kind)
}

/// Rounded as the standard rounds a segment's duration to compare it with the target.
fn whole_seconds(duration: Duration) -> Duration {
    Duration::from_secs((duration + Duration::from_millis(500)).as_secs().max(1))
}

/// Digits in front, as a number.
fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    text[..text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len())].parse().ok()
}

/// Seconds with a fraction or without. Nothing that is no time, or that no segment lasts.
fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let duration = Duration::try_from_secs_f64(text[..end].parse().ok()?).ok()?;
    (!duration.is_zero() && duration <= SEGMENT_MAX).then_some(duration)
}

/// `<length>[@<offset>]`.
fn byte_range(text: &str) -> Option<(u64, Option<u64>)> {
    let text = text.trim_matches('"');
    match text.split_once('@') {
        Some((length, offset)) => Some((number(length)?, Some(number(offset)?))),
        None => Some((number(text)?, None)),
    }
}

fn resolution(text: &str) -> Option<(u32, u32)> {
    let (width, height) = text.split_once(['x', 'X'])?;
    Some((u32::try_from(number(width)?).ok()?, u32::try_from(number(height)?).ok()?))
}

/// Up to 32 hexadecimal digits, with or without the prefix that they should have.
fn initialization_vector(text: &str) -> Option<[u8; 16]> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    let is_hexadecimal = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hexadecimal.then(|| u128::from_str_radix(digits, 16).ok().map(u128::to_be_bytes)).flatten()
}

/// ISO 8601, in milliseconds since 1970. Without a zone it is UTC: what counts is the time from one segment to the next.
fn programme_time(text: &str) -> Option<i64> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(time.as_millisecond());
    }
    let local = text.parse::<jiff::civil::DateTime>().ok()?;
    Some(local.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Tag {
    Inf,
    TargetDuration,
    MediaSequence,
    ByteRange,
    Discontinuity,
    Gap,
    ProgramDateTime,
    EndList,
    PlaylistType,
    IFramesOnly,
    Map,
    Key,
    StreamInf,
    Media,
    SessionKey,
    Define,
    Start,
}

const TAGS: &[(&str, Tag)] = &[
    ("#EXTINF", Tag::Inf),
    ("#EXT-X-TARGETDURATION", Tag::TargetDuration),
    ("#EXT-X-MEDIA-SEQUENCE", Tag::MediaSequence),
    ("#EXT-X-BYTERANGE", Tag::ByteRange),
    ("#EXT-X-DISCONTINUITY", Tag::Discontinuity),
    ("#EXT-X-GAP", Tag::Gap),
    ("#EXT-X-PROGRAM-DATE-TIME", Tag::ProgramDateTime),
    ("#EXT-X-ENDLIST", Tag::EndList),
    ("#EXT-X-PLAYLIST-TYPE", Tag::PlaylistType),
    ("#EXT-X-I-FRAMES-ONLY", Tag::IFramesOnly),
    ("#EXT-X-MAP", Tag::Map),
    ("#EXT-X-KEY", Tag::Key),
    ("#EXT-X-STREAM-INF", Tag::StreamInf),
    ("#EXT-X-MEDIA", Tag::Media),
    ("#EXT-X-SESSION-KEY", Tag::SessionKey),
    ("#EXT-X-DEFINE", Tag::Define),
    ("#EXT-X-START", Tag::Start),
];

/// What Apple recommends, for lists that say nothing at all.
const TARGET_USUAL: Duration = Duration::from_secs(6);
/// A target duration is a whole number of seconds, and lists are not asked for more often than twice in it.
const TARGET_MIN: Duration = Duration::from_secs(1);
/// Nobody waits longer for what is live.
const TARGET_MAX: Duration = Duration::from_secs(60);
/// A target duration above this is a mistake.
const TARGET_BELIEVED: Duration = Duration::from_secs(3600);
/// No segment lasts longer: a film in one piece may.
const SEGMENT_MAX: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests;
