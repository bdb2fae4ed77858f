//! What is done with bytes from outside, one function for each kind of them: `tests/hostile_bytes.rs` gives each a hundred
//! thousand inputs, and `fuzz` has a target of its name. Each is a function of its input alone, and panics when something is wrong.

use std::time::Duration;

use tunerd::base::{Instant, redact};
use tunerd::catalog::guide::{self, Digest, GuideEntry, GuideWriter, LineupChannel};
use tunerd::catalog::{m3u, xtream};
use tunerd::control;
use tunerd::http::upstream::Framing;
use tunerd::http::{
    BodyDecoder, CookieJar, Dechunker, Parsed, Url, Via, parse, parse_response, stream_route,
};
use tunerd::source::profile::ffprobe;
use tunerd::source::udp::{DatagramAddress, Receiver};
use tunerd::source::{SourceError, dash, hls, list};
use tunerd::splice::{FirstTimestamps, HELD_BYTES_MAX, Holdback, Run, RunKind, Splice};
use tunerd::ts::psi::{Pat, Pmt, Programme, Section, SectionAssembler};
use tunerd::ts::{
    Aligner, Codec, Inspector, Packet, PacketBytes, PesStart, PesTimes, Pid, crc32, es, pes_bytes,
};

const PACKET_BYTES: usize = 188;
const NOW: Instant = Instant::from_millis(1000);

fn url(text: &str) -> Url {
    Url::parse(text).expect("it is one")
}

/// What a viewer or an administrator asks for.
pub fn request_head(bytes: &[u8]) {
    if let Ok(Parsed::Complete { request, head_bytes }) = parse(bytes) {
        assert!(head_bytes <= bytes.len());
        let _route = stream_route(&request);
        let sent_on = Via::of(&request).sent_on_by("tunerd-0").unwrap_or_default();
        assert!(!sent_on.contains(['\r', '\n']), "{sent_on:?}");
        assert!(request.query_pairs().count() <= bytes.len());
    }
}

/// What a provider answers, and the cookie that it sets.
pub fn upstream_head(bytes: &[u8]) {
    let _parsed = parse_response(bytes);
    let at = url("http://h.example/a/b");
    let text = String::from_utf8_lossy(bytes);
    let mut jar = CookieJar::default();
    for line in text.lines() {
        jar.set(NOW, &at, line, Some(&text));
    }
    // Nothing that was set begins another field.
    let field = jar.header(NOW, &at).unwrap_or_default();
    assert!(!field.contains(['\r', '\n', '\0']), "{field:?}");
}

/// A body in chunks: in one piece, in two, and a byte at a time.
pub fn chunked(bytes: &[u8]) {
    let decoded = |pieces: &[&[u8]]| {
        let mut decoder = Dechunker::new();
        let mut body = Vec::new();
        for piece in pieces {
            let mut piece = piece.to_vec();
            let decoded = decoder.decode(&mut piece)?;
            assert!(decoded.body_bytes <= piece.len());
            body.extend_from_slice(&piece[..decoded.body_bytes]);
        }
        Ok::<_, tunerd::http::BodyError>(body)
    };
    let at_once = decoded(&[bytes]).ok();
    let (first, second) = bytes.split_at(bytes.len() / 2);
    assert_eq!(at_once, decoded(&[first, second]).ok());
    assert_eq!(at_once, decoded(&bytes.chunks(1).collect::<Vec<_>>()).ok());
    for framing in [Framing::UntilClose, Framing::Length(bytes.len() as u64 / 2)] {
        let mut whole = bytes.to_vec();
        let decoded = BodyDecoder::new(framing).decode(&mut whole);
        assert!(decoded.is_ok_and(|decoded| decoded.body_bytes <= bytes.len()));
    }
}

/// An address, and what is shown of it.
pub fn address(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for url in [Url::parse(&text), url("http://u:p@h:8080/a/b?c").join(&text)].into_iter().flatten() {
        // What is sent in a request's first line cannot end it.
        assert!(url.target().starts_with('/') && url.target().bytes().all(|byte| byte.is_ascii_graphic()));
        assert_eq!(Url::parse(&url.text()).map(|again| again.text()), Ok(url.text()));
    }
    let _datagrams = DatagramAddress::parse(&text);
    for shown in [redact::url(&text), redact::text(&text)] {
        assert!(!shown.contains(char::is_control), "{shown:?}");
    }
}

/// A playlist: of a provider, or one that leads to streams.
pub fn playlist(bytes: &[u8]) {
    for item in m3u::Entries::new(bytes) {
        let item = item.expect("memory can be read");
        assert!(item.url.len() <= m3u::URL_BYTES_MAX && item.attrs.len() <= m3u::ATTRIBUTES_MAX);
        // No header field can begin another one.
        assert!(
            item.headers
                .iter()
                .all(|(name, value)| !name.contains(['\r', '\n', ':']) && !value.contains(['\r', '\n']))
        );
    }
    assert!(list::entries(bytes, &url("http://h/x.m3u")).len() <= 8);
}

/// A list of segments or of variants, and what is asked for then: further lists, keys and segments, each of what lies between two
/// of [`BETWEEN_ANSWERS`], and from the first again. Nothing between two of them is a server that does not have it.
pub fn hls_list(bytes: &[u8]) {
    const FETCHES_MAX: usize = 10;
    const STEPS_MAX: usize = 256;
    let at = url("http://h/live/x.m3u8");
    let _rewritten = hls::rewritten(bytes, &at, |url| format!("http://127.0.0.1/{}", url.target()));
    let answers = answers(bytes);
    let mut next_answers = answers.iter().cycle().take(FETCHES_MAX);
    let mut group = hls::Group::new(at, hls::HlsParams::default(), 7, NOW);
    let (mut now, mut coming) = (NOW, Vec::new());
    for _step in 0..STEPS_MAX {
        match group.want(now, true) {
            hls::HlsWant::Fetch(fetch) => {
                let Some(answer) = next_answers.next() else { break };
                coming = answer.to_vec();
                // Some servers know ranges.
                let is_part = fetch.range.is_some() && coming.len().is_multiple_of(2);
                match coming.is_empty() {
                    true => group.failed(now, SourceError::status(404, "", None)),
                    false => group.answered(fetch.url, if is_part { 206 } else { 200 }),
                }
            }
            hls::HlsWant::Receive { .. } if coming.is_empty() => group.complete(now),
            hls::HlsWant::Receive { .. } => {
                let piece_bytes = (coming.len() / 2).max(64).min(coming.len());
                let mut piece: Vec<u8> = coming.drain(..piece_bytes).collect();
                assert!(group.body(now, &mut piece) <= piece.len());
            }
            hls::HlsWant::TakeTail => {
                let taken = group.take_tail(&mut [0; 4 * PACKET_BYTES]);
                assert!(taken > 0, "what waits can be taken");
            }
            hls::HlsWant::Abandon => group.abandoned(),
            hls::HlsWant::Wait { until } => now = until.unwrap_or(now).max(now + Duration::from_millis(10)),
            hls::HlsWant::Ended | hls::HlsWant::Failed => break,
        }
    }
}

/// What an input of several answers has between one and the next.
const BETWEEN_ANSWERS: &[u8] = b"\n--\n";

fn answers(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut answers = Vec::new();
    let end =
        |bytes: &[u8]| bytes.windows(BETWEEN_ANSWERS.len()).position(|window| window == BETWEEN_ANSWERS);
    while let Some(at) = end(bytes) {
        answers.push(&bytes[..at]);
        bytes = &bytes[at + BETWEEN_ANSWERS.len()..];
    }
    answers.push(bytes);
    answers
}

/// A DASH manifest.
pub fn manifest(bytes: &[u8]) {
    let _start = dash::start(bytes);
    let _rewritten =
        dash::rewritten(bytes, &url("http://h/live/x.mpd"), |url| format!("http://r{}", url.target()));
}

/// Datagrams of both kinds of discovery, and what a connection of HDHomeRun's tools begins with. What would fail at its checksum is
/// given one that is right, too.
pub fn discovery(bytes: &[u8]) {
    let _asks = (control::is_question(bytes), control::is_search(bytes), control::value_answer(bytes));
    let payload = &bytes[..bytes.len().min(1400)];
    let _asks = control::is_question(&framed(2, payload));
    if let Some(answer) = control::value_answer(&framed(4, payload)) {
        assert_eq!(control::value_answer(&answer), None, "an answer asks for nothing");
    }
}

/// A packet of HDHomeRun's discovery. Its checksum is the CRC-32 of ISO-HDLC, bit by bit.
fn framed(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("it was cut");
    let mut packet = [&[0, kind][..], &length.to_be_bytes(), payload].concat();
    let crc = packet.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _bit| (crc >> 1) ^ (0xEDB8_8320 * (crc & 1)))
    });
    packet.extend((!crc).to_le_bytes());
    packet
}

/// The body of a UPnP action.
pub fn soap(bytes: &[u8]) {
    let _is_action = control::is_action(bytes);
}

/// A guide, compressed or not: what players get of it is well-formed, and each of its programmes can be read again.
pub fn guide(bytes: &[u8]) {
    const UNPACKED_BYTES_MAX: u64 = 64 * 1024;
    const SECONDS: i64 = 1_772_395_200;
    let Ok(unpacked) = control::unpacked_guide(bytes, UNPACKED_BYTES_MAX) else { return };
    let entries = |bytes: &[u8]| {
        let (mut reader, mut entries) = (guide::Reader::new(bytes), Vec::new());
        while let Some(entry) = reader.next_entry(&mut |_id| true).expect("memory can be read") {
            entries.push(entry);
        }
        entries
    };
    let entries_of_it = entries(&unpacked);
    let mut digest = Digest::default();
    entries_of_it.iter().for_each(|entry| digest.add(entry, SECONDS));
    let lineup =
        [("100", "News & \"co\"", "news.tv"), ("101", "News", "kino.tv")].map(|(number, name, id)| {
            let [number, name, id] = [number, name, id].map(str::to_owned);
            LineupChannel { number, name, ids: vec![id], ..LineupChannel::default() }
        });
    let picks = guide::choose(&lineup, &[digest]);
    let icon = |pick: &Option<guide::Pick>| pick.as_ref().map(|pick| pick.icon.clone()).unwrap_or_default();
    let logos: Vec<_> = picks.iter().map(icon).collect();
    let mut writer = GuideWriter::begin(Vec::new(), &lineup, &logos, SECONDS).expect("memory takes it");
    for entry in &entries_of_it {
        let GuideEntry::Programme(programme) = entry else { continue };
        assert!(programme.body.len() <= unpacked.len() * 16, "a guide does not grow");
        for channel in 0..lineup.len() {
            writer.programme(channel, programme, 0).expect("memory takes it");
        }
    }
    let (written, counts) = writer.finish(true).expect("memory takes it");
    assert_is_xml(&written);
    let programmes = entries(&written).into_iter().filter(|entry| matches!(entry, GuideEntry::Programme(_)));
    assert_eq!(programmes.count() as u64, counts.programmes);
}

/// Panics unless a reader that forgives nothing reads all of it.
fn assert_is_xml(bytes: &[u8]) {
    let text = str::from_utf8(bytes).expect("what is written is text");
    let mut reader = quick_xml::Reader::from_str(text);
    loop {
        match reader.read_event() {
            Ok(quick_xml::events::Event::Eof) => return,
            Ok(quick_xml::events::Event::Start(tag) | quick_xml::events::Event::Empty(tag)) => {
                assert!(tag.attributes().all(|attribute| attribute.is_ok()), "{text}");
            }
            Ok(_) => {}
            Err(error) => panic!("{error} in {text}"),
        }
    }
}

/// Bodies of requests, ffprobe's answer, and those of a provider's interface.
pub fn json(bytes: &[u8]) {
    let _is_body = control::is_body(bytes);
    let _profile = ffprobe::parse(bytes);
    let login = xtream::Login::parse("xtream://u:p@h").expect("it is a login").expect("it is whole");
    let account = xtream::Account::read(bytes);
    let categories = xtream::Categories::read(bytes).unwrap_or_default();
    let usual = xtream::Account::read(&br#"{"user_info":{}}"#[..]).expect("it is an account");
    let mut written = Vec::new();
    let listed = xtream::write_list(&login, &account.unwrap_or(usual), &categories, bytes, &mut written);
    // A name cannot bring entries of its own: each is two lines of the list.
    if listed.is_ok() {
        let text = String::from_utf8(written).expect("what is written is text");
        let addresses = text.lines().filter(|line| line.starts_with("http://h/live/u/p/")).count();
        assert_eq!(text.lines().count(), 1 + 2 * addresses, "{text}");
    }
}

/// Datagrams of a source, each as long as its first byte says.
pub fn datagrams(mut bytes: &[u8]) {
    let mut receiver = Receiver::new();
    let mut now = NOW;
    let (mut taken, mut sent) = (vec![0; 64 * 1024], 0);
    while let Some((length, rest)) = bytes.split_first() {
        let (datagram, rest) = rest.split_at(rest.len().min(usize::from(*length) * 2));
        receiver.came(now, datagram);
        now += Duration::from_millis(20);
        if receiver.next_deadline().is_some_and(|deadline| deadline <= now) {
            receiver.expire(now);
        }
        sent += datagram.len();
        let bytes_taken = receiver.take(&mut taken);
        assert!(bytes_taken <= sent, "nothing is made up");
        sent -= bytes_taken;
        bytes = rest;
    }
}

fn packets(bytes: &[u8]) -> Vec<PacketBytes> {
    let packet = |bytes: &[u8]| {
        let mut packet: PacketBytes = bytes.try_into().expect("it has the length of one");
        packet[0] = 0x47;
        mend(&mut packet);
        packet
    };
    bytes.chunks_exact(PACKET_BYTES).map(packet).collect()
}

/// A PAT or PMT that is whole within a packet gets a CRC that is right: what is made by chance hardly ever has one.
fn mend(packet: &mut PacketBytes) {
    let parsed = Packet::parse(packet).ok().filter(|packet| packet.payload_unit_start_indicator());
    let Some(payload) = parsed.and_then(Packet::payload_at).and_then(|at| packet.get_mut(at..)) else {
        return;
    };
    let Some((pointer, rest)) = payload.split_first_mut() else { return };
    let Some(section) = rest.get_mut(usize::from(*pointer)..) else { return };
    let [0 | 2, high @ 0x80..=0xFF, low, ..] = *section else { return };
    let length = 3 + usize::from(u16::from_be_bytes([high & 0x0F, low]));
    if let Some((body, crc)) = section.get_mut(..length).and_then(<[u8]>::split_last_chunk_mut) {
        *crc = crc32(body).to_be_bytes();
    }
}

/// A section of this table with such a body, and a CRC that is right.
fn section(table: u8, body: &[u8]) -> Vec<u8> {
    let body = &body[..body.len().min(1000)];
    let length = u16::try_from(body.len() + 9).expect("it was cut");
    let [high, low] = (0xB000 | length).to_be_bytes();
    let mut bytes = [&[table, high, low, 0, 1, 0xC1, 0, 0][..], body].concat();
    bytes.extend(crc32(&bytes).to_be_bytes());
    bytes
}

/// Transport streams: packets, tables, PES headers, and what they carry.
pub fn transport_stream(bytes: &[u8]) {
    assert!(Aligner::new().align(&mut bytes.to_vec()).packets_bytes <= bytes.len());
    for table in [0, 2] {
        let section = section(table, bytes);
        let section = Section::parse(&section).expect("its form and its CRC are right");
        let _programmes = Pat::parse(section).map(|pat| pat.programmes().count());
        let _streams = Pmt::parse(section).map(|pmt| pmt.streams().len());
    }
    let _pictures =
        (es::h264_slice_start(bytes), es::h264_sps(bytes), es::hevc_sps(bytes), es::hevc_vps(bytes));
    if let Some(picture) = es::mpeg2_sequence(bytes) {
        let _more = es::mpeg2_sequence_extension(picture, bytes);
    }
    for codec in Codec::ALL.iter().copied().filter(|codec| es::AudioFormat::is_readable(*codec)) {
        let frame = es::audio_frame(codec, bytes);
        assert!(frame.is_none_or(|(_, frame_bytes)| frame_bytes > 0));
        let _found =
            (es::AudioFormat::find(codec, bytes), es::AudioFormat::is_stream_of(codec, bytes, 3, 64));
    }
    let (mut inspector, mut assembler) = (Inspector::new(), SectionAssembler::new());
    let (mut starts, mut sections) = (true, 0);
    for (position, packet) in (0..).step_by(PACKET_BYTES).zip(packets(bytes)) {
        inspector.packet(position, &packet);
        assembler.feed(&packet[4..], starts, true, |_section| sections += 1);
        starts = !starts;
        let payload = &packet[4..];
        let _start = (pes_bytes(payload), PesStart::read(payload));
        let _times = Packet::parse(&packet).ok().and_then(PesTimes::begun_in);
    }
    let _inventory = inspector.inventory();
    assert!(sections <= bytes.len());
}

/// The programme of `tests/support/tsgen.rs`, or one with this table.
fn programme(table: &[u8]) -> Programme {
    const USUAL: &[u8] =
        &[0xE1, 0x00, 0xF0, 0x00, 0x1B, 0xE1, 0x00, 0xF0, 0x00, 0x0F, 0xE1, 0x01, 0xF0, 0x00];
    let read = |body: &[u8]| Pmt::parse(Section::parse(&section(2, body)).expect("it is one")).ok();
    let pmt = read(table).unwrap_or_else(|| read(USUAL).expect("it is a table"));
    let pmt_pid = Pid::new(0x1000).expect("it has 13 bits");
    Programme { transport_stream_id: 1, pat_version: 0, alone: true, pmt_pid, pmt }
}

/// Runs as a session plays them. First come where the second run begins, in packets, how many packets come at once and how many
/// milliseconds apart, how long the second run's own table is, and that table; all else are packets.
pub fn splice(bytes: &[u8]) {
    let [cut, at_once, apart, table_bytes, rest @ ..] = bytes else { return };
    let (table, rest) = rest.split_at(rest.len().min(usize::from(*table_bytes)));
    let packets = packets(rest);
    let (first, second) = packets.split_at(packets.len().min(usize::from(*cut)));
    let (mut splice, mut now) = (Splice::new(), NOW);
    let kind = if apart & 0x80 == 0 { RunKind::Live } else { RunKind::Filler };
    for (kind, table, packets) in [(RunKind::Live, &[][..], first), (kind, table, second)] {
        let programme = programme(table);
        let mut holdback = Holdback::new(apart & 0x40 != 0, HELD_BYTES_MAX);
        holdback.set_programme(Some(&programme));
        let lead = FirstTimestamps::scan(packets.as_flattened(), &programme);
        let boundary = splice.begin(now, &Run { kind, programme: &programme, lead });
        assert_are_packets(&boundary);
        let mut held = Vec::new();
        for together in packets.chunks(usize::from(*at_once).max(1)) {
            together.iter().for_each(|packet| holdback.packet(packet));
            held.extend_from_slice(together.as_flattened());
            release(&mut splice, &mut holdback, &mut held, now);
            let millis = u64::from(apart & 0x3F);
            (now, _) = (now + Duration::from_millis(millis), holdback.pass(Duration::from_millis(millis)));
        }
        holdback.has_ended();
        holdback.end(kind == RunKind::Filler);
        release(&mut splice, &mut holdback, &mut held, now);
    }
    assert_are_packets(&splice.pause(now));
}

fn release(splice: &mut Splice, holdback: &mut Holdback, held: &mut Vec<u8>, now: Instant) {
    let shown = holdback.release(held);
    let (leaves, stays) = held.split_at_mut(shown);
    splice.restamp_before(now, leaves, stays);
    assert_are_packets(leaves);
    held.drain(..shown);
}

fn assert_are_packets(bytes: &[u8]) {
    let (packets, rest) = bytes.as_chunks::<PACKET_BYTES>();
    assert!(rest.is_empty(), "{} bytes are no packet", rest.len());
    assert!(packets.iter().all(|packet| Packet::parse(packet).is_ok()), "what leaves can be read");
}
